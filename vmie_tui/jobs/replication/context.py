"""One run of a replication at work: an import of the machine as it is now, on top of what the last run left in AWS."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from vmie_tui.clock import Clock, clock_of
from vmie_tui.jobs.engine.context import Remember, Runtime, Undo
from vmie_tui.jobs.engine.control import JobControl
from vmie_tui.jobs.engine.import_context import ImportContext, Steps
from vmie_tui.jobs.engine.retry import again
from vmie_tui.jobs.store.block_digests import ContentLedger
from vmie_tui.jobs.store.ledger import RunLedger
from vmie_tui.jobs.store.replications import Replications, runs_of
from vmie_tui.model.errors import ErrorKind, ServiceError
from vmie_tui.model.finding import Finding
from vmie_tui.model.machine import Machine
from vmie_tui.model.replication import TAG_REPLICATION, TAG_RUN, KeptDisk, Replication, ReplicationPlan
from vmie_tui.model.rules.disks import one_time_stores
from vmie_tui.model.rules.replication import check_replication

if TYPE_CHECKING:
    from vmie_tui.jobs.replication.delta import Delta
    from vmie_tui.jobs.transfer.source import Origin
    from vmie_tui.jobs.transfer.target import Target
    from vmie_tui.services.vsphere.snapshot import Snapshot


class ReplicationContext(ImportContext):
    """One run in one phase. ``deltas``: what is moved of each disk, by its key, once that was decided."""

    plan: ReplicationPlan
    remember = Remember(RunLedger)

    def __init__(self, runtime: Runtime, job_id: str, control: JobControl) -> None:
        super().__init__(runtime, job_id, control)
        self.replications = Replications(self.store)
        self.deltas: dict[int, Delta] = {}

    # what the run is of

    @property
    def ledger(self) -> RunLedger:
        return self.record.ledger_as(RunLedger)

    @property
    def clock(self) -> Clock:
        """The one that the replication's schedule follows."""
        return clock_of(self.settings.state_dir, self.profile)

    @property
    def spec(self) -> Replication:
        return self.replications.record(self.plan.replication).spec

    @property
    def kept(self) -> dict[int, KeptDisk]:
        """What the last run left, by the disk's key."""
        return {disk.key: disk for disk in self.replications.kept(self.plan.replication)}

    @property
    def by_lease(self) -> bool:
        """Whether an export lease reads the disks, all of them: where their datastore shows no files (F424)."""
        return bool(self.lease_reason)

    @property
    def lease_reason(self) -> str:
        """Why a lease reads the disks, in words; "" when their files are read."""
        from vmie_tui.jobs.imports.uploaded import machine_of

        if one_time_stores(machine_of(self)):
            return "its datastore shows no files: all is read by an export lease"
        return self.ledger.lease_reason

    def content(self, key: int) -> ContentLedger:
        """The digests of what the last run left of a disk."""
        return ContentLedger(self.store, self.plan.replication, key)

    def jobs_of_runs(self) -> dict[str, str]:
        """Run id -> job id of this replication's runs, newest first."""
        with self.store.begin() as connection:
            return {run.id: run.job_id for run in runs_of(connection, self.plan.replication) if run.job_id}

    def earlier_jobs(self) -> list[str]:
        """Ids of the jobs of this replication's other runs, newest first."""
        return [job_id for job_id in self.jobs_of_runs().values() if job_id != self.job_id]

    def leave(self, snapshots: Iterable[str]) -> None:
        """Nothing goes on from these snapshots any more: the retention deletes those that no AMI uses."""
        before = self.ledger.leftovers or ()
        self.remember(leftovers=tuple(dict.fromkeys([*before, *sorted(snapshots)])))

    # an import's hooks

    @property
    def own_tags(self) -> dict[str, str]:
        return {TAG_REPLICATION: self.plan.replication, TAG_RUN: self.plan.run}

    @property
    def launches(self) -> str:
        return "instance of the cutover" if self.plan.shut_down else super().launches

    def begin(self) -> None:
        """Also takes over what earlier runs could not delete. Raises ServiceError."""
        self._same_account()
        self.replications.begin(self.plan.run, self.clock.now())
        self.remember(began=time.time(), copy_seconds=0.0, kept_after=None)
        if self.ledger.leftovers is None:
            before = self.replications.leftovers(self.plan.replication, besides=self.job_id)
            self.remember(leftovers=before)

    def _same_account(self) -> None:
        """What runs left in another account is not gone, and is not to be made anew in this one. Raises REFUSED."""
        wanted = self.replications.record(self.plan.replication).account
        used = again(lambda: self.aws.identity().account, self.control)
        if wanted and used != wanted:
            raise ServiceError(
                ErrorKind.REFUSED,
                f"the profile {self.profile.name} uses AWS account {used}, and this replication is in {wanted}",
                subject=self.plan.source.name,
                remedy=f"Sign in to {wanted} again; or delete this replication, and create another",
            )

    def findings(self, machine: Machine) -> tuple[Finding, ...]:
        from vmie_tui.jobs.replication.snapshot import settle_snapshots

        machine, ours = settle_snapshots(self, machine)
        spec = replace(self.spec, plan=replace(self.spec.plan, override=self.plan.override))
        return check_replication(spec, machine, now=self.clock.now(), begun=True, at_work=ours)

    def before_freeze(self) -> None:
        from vmie_tui.jobs.replication.snapshot import prepare

        prepare(self)

    def freezes(self, machine: Machine) -> bool:
        """Always: change ids come from snapshots (trap 25)."""
        return True

    def frozen(self, snapshot: Snapshot, machine: Machine) -> None:
        from vmie_tui.jobs.replication.snapshot import note
        from vmie_tui.jobs.replication.source_changed_blocks import find_way

        note(self, snapshot, machine)
        if not self.by_lease:
            find_way(self)

    def looks_inside(self) -> bool:
        """Before the first copy; what it would find is in the image of every later run."""
        return not self.kept

    def origin(self, snapshot_moid: str | None) -> Origin:
        from vmie_tui.jobs.replication.source_changed_blocks import ChangedOrigin

        return super().origin(snapshot_moid) if self.by_lease else ChangedOrigin(self)

    def blocks_target(self) -> Target:
        from vmie_tui.jobs.replication.target import ReplicaTarget

        return ReplicaTarget(self)

    def before_release(self) -> Steps:
        from vmie_tui.jobs.replication import verify

        return [("verify", partial(verify.verify, self)), ("keep", partial(verify.keep, self))]

    def before_launch(self) -> None:
        from vmie_tui.jobs.replication.cutover import still_off

        still_off(self)

    def closing(self) -> Steps:
        from vmie_tui.jobs.replication import retention

        return [
            ("retention", partial(retention.retain, self)),
            ("figures", partial(retention.finish, self)),
        ]

    def spared(self) -> frozenset[str]:
        """What the next run goes on from."""
        return frozenset(disk.snapshot_id for disk in self.kept.values())

    def let_go(self) -> Iterator[Undo]:
        from vmie_tui.jobs.replication.cutover import say_where_it_is

        yield from super().let_go()
        say_where_it_is(self)
