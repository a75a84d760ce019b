"""An import at work: its plan, the services its Region offers, and what there is to undo."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import TYPE_CHECKING, Any

from vmie_tui.jobs.engine.context import JobContext, Remember, Undo
from vmie_tui.jobs.engine.control import JobControl
from vmie_tui.jobs.engine.retry import again
from vmie_tui.jobs.store.ledger import ImportLedger
from vmie_tui.model.errors import ServiceError
from vmie_tui.model.finding import Finding
from vmie_tui.model.machine import Machine, Power
from vmie_tui.model.plan import ImportPlan, Route, VmSource
from vmie_tui.model.rules.plan import check_plan
from vmie_tui.model.task import JobState

if TYPE_CHECKING:
    from vmie_tui.jobs.transfer.source import Origin
    from vmie_tui.jobs.transfer.target import Target
    from vmie_tui.services.aws.s3.objects import ObjectStore
    from vmie_tui.services.aws.vmie.import_tasks import VmImport
    from vmie_tui.services.vsphere.snapshot import Snapshot

Steps = list[tuple[str, Callable[[], dict[str, Any]]]]  # recorded steps of a phase, by their names


class ImportContext(JobContext):
    """One import job in one phase. What a replication's run does in its own way is a method here."""

    plan: ImportPlan
    remember = Remember(ImportLedger)

    @property
    def ledger(self) -> ImportLedger:
        """What is remembered of the job now."""
        return self.record.ledger_as(ImportLedger)

    @property
    def objects(self) -> ObjectStore:
        from vmie_tui.services.aws.s3.objects import ObjectStore

        return ObjectStore(self.aws, self.plan.region)

    @property
    def vm_import(self) -> VmImport:
        from vmie_tui.services.aws.vmie.import_tasks import VmImport

        return VmImport(self.aws, self.plan.region)

    @property
    def own_tags(self) -> dict[str, str]:
        """Tags on all that is made, beside those of every import."""
        return {}

    @property
    def launches(self) -> str:
        """What the instance of the finished AMI is for."""
        return "test instance"

    def begin(self) -> None:
        """An attempt begins, with the check."""

    def findings(self, machine: Machine) -> tuple[Finding, ...]:
        """What the rules say of the plan and the machine as it is now."""
        return check_plan(self.plan, machine)

    def before_freeze(self) -> None:
        """The last moment at which the machine is not frozen by a snapshot."""

    def freezes(self, machine: Machine) -> bool:
        """Whether the disks are read from a snapshot of our own."""
        return machine.power is not Power.OFF

    def frozen(self, snapshot: Snapshot, machine: Machine) -> None:
        """The snapshot is there; ``machine`` is as it was before it, or when an earlier worker had made it."""

    def looks_inside(self) -> bool:
        """Whether the disks are looked into before they are moved."""
        return True

    def origin(self, snapshot_moid: str | None) -> Origin:
        """What the disks are read from in this transfer phase."""
        from vmie_tui.jobs.transfer.source_image import OpenedOrigin
        from vmie_tui.jobs.transfer.source_lease import LeaseOrigin

        if isinstance(self.plan.source, VmSource):
            return LeaseOrigin(self, self.ledger.moid, snapshot_moid)
        return OpenedOrigin(self)

    def blocks_target(self) -> Target:
        """Where the disks go when they become EBS snapshots block by block."""
        from vmie_tui.jobs.transfer.target_ebs import EbsTarget

        return EbsTarget(self)

    def before_release(self) -> Steps:
        """What is done while all disks are in AWS and the machine is still frozen."""
        return []

    def before_launch(self) -> None:
        """The AMI is made; an instance of it is to be launched."""

    def closing(self) -> Steps:
        """The last steps of all."""
        from vmie_tui.jobs.imports import finish

        return [("clean up", partial(finish.clean_up, self))]

    def spared(self) -> frozenset[str]:
        """EBS snapshots that stay whatever becomes of the job."""
        return frozenset()

    def undo(self) -> Iterator[Undo]:
        from vmie_tui.jobs.imports import finish, import_image, import_instance, import_snapshots, register_image
        from vmie_tui.jobs.transfer.target_s3 import target_of

        if self.plan.route is Route.UNMODIFIED:
            yield "an AMI that nobody noted", partial(register_image.find_registered, self)
        record, route = self.record, self.plan.route
        yield f"the {self.launches}", partial(finish.terminate_test, self)
        yield "the volumes", partial(register_image.remove_volumes, self)
        if route is Route.INSTANCE:
            yield "the conversion task", partial(import_instance.cancel_conversion, self)
        elif route in {Route.IMAGE, Route.IMAGE_DIRECT}:
            yield "the import task", partial(import_image.cancel_image, self)
        elif not record.image_id:
            yield "the imported snapshots", partial(import_snapshots.cancel_snapshots, self)
        for made in (record.image_id, *self._copies()):
            if made:
                self.say(f"{made} was made already, and stays", message=False)
        user = self._user_of_bytes()
        if user:
            self.say(f"what was uploaded stays: job {user} uses it", message=False)
        in_use = bool(record.image_id) and route is Route.UNMODIFIED and self.plan.direct
        if self.plan.moves_bytes and not user and not in_use:
            target = target_of(self)
            for disk in self.store.disks(self.job_id):
                yield f"what was uploaded of {disk.label} ({disk.s3_key})", partial(target.remove, disk)
            yield "unfinished snapshots", partial(self._remove_unseen, in_use=bool(record.image_id))
        yield from self.let_go()

    def let_go(self) -> Iterator[Undo]:
        from vmie_tui.jobs.imports.snapshot import remove_snapshot
        from vmie_tui.jobs.transfer.export_lease import give_back

        yield "the export lease", partial(give_back, self)
        # More than one try, whatever the user's wish: what is left of it grows until somebody sees it.
        removed = partial(remove_snapshot, self)
        yield "the snapshot", partial(again, removed, JobControl(), tries=3, before=lambda _: self.reconnect())

    def _copies(self) -> list[str]:
        """Copies of the AMI, with their Regions."""
        return [f"{image_id} in {region}" for region, image_id in self.ledger.copies.items()]

    def _remove_unseen(self, *, in_use: bool) -> None:
        """Snapshots a killed worker began and nobody noted; those of an AMI stay."""
        from vmie_tui.jobs.engine.tags import MADE_BY, TAG_JOB
        from vmie_tui.services.aws.ec2.tagged import delete_snapshot, tagged_snapshots

        if self.ledger.ebs_snapshots_asked and not in_use:
            spared = self.spared()
            found = tagged_snapshots(self.aws, self.plan.region, TAG_JOB, self.job_id, described=MADE_BY)
            for snapshot_id in found:
                if snapshot_id not in spared:
                    delete_snapshot(self.aws, self.plan.region, snapshot_id)

    def _user_of_bytes(self) -> str:
        """The job that fell back to this one's bytes, while it needs them; "" when there is none."""
        user = self.ledger.fallback_job
        if not user:
            return ""
        try:
            state = self.store.record(user).state
        except ServiceError:
            return ""
        keeps = {JobState.CANCELLED} if self.plan.direct else {JobState.CANCELLED, JobState.DONE}
        return "" if state in keeps else user
