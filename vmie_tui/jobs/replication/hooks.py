"""What a replication's run does differently from an import."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from functools import partial

from vmie_tui.jobs.engine.ports import Steps, Undo
from vmie_tui.jobs.imports.hooks import ImportHooks
from vmie_tui.jobs.replication import cutover, retention, verify
from vmie_tui.jobs.replication.context import ReplicationContext
from vmie_tui.jobs.replication.snapshot import note_snapshot, prepare_machine, remove_stale_snapshots
from vmie_tui.jobs.replication.source_changed_blocks import ChangedBlocksSource, choose_reader
from vmie_tui.jobs.replication.target import ReplicaTarget
from vmie_tui.jobs.transfer.source import TransferSource
from vmie_tui.jobs.transfer.target import Target
from vmie_tui.model.errors import ErrorKind, ServiceError
from vmie_tui.model.finding import Finding
from vmie_tui.model.machine import Machine
from vmie_tui.model.rules.replication import check_replication
from vmie_tui.services.vsphere.snapshot import Snapshot


class ReplicationHooks(ImportHooks):
    """The hooks of one run in one phase."""

    context: ReplicationContext

    def __init__(self, context: ReplicationContext) -> None:
        super().__init__(context)

    def attempt_begins(self) -> None:
        """Also takes over the EBS snapshots that earlier runs could not delete. Raises ServiceError."""
        context, plan = self.context, self.context.plan
        self._refuse_another_account()
        context.replications.begin(plan.run, context.clock.now())
        context.remember(began=time.time(), copy_seconds=0.0, kept_after=None)
        if context.ledger.leftovers is None:
            context.remember(leftovers=context.replications.leftovers(plan.replication, besides=context.job_id))

    def _refuse_another_account(self) -> None:
        """What runs left in another account still exists there, and must not be made again in this one."""
        context = self.context
        wanted = context.replications.record(context.plan.replication).account
        used = context.retry(lambda: context.aws.identity().account)
        if wanted and used != wanted:
            raise ServiceError(
                ErrorKind.REFUSED,
                f"the profile {context.profile.name} uses AWS account {used}, and this replication is in {wanted}",
                subject=context.plan.source.name,
                remedy=f"Sign in to {wanted} again; or delete this replication, and create another",
            )

    def findings(self, machine: Machine) -> tuple[Finding, ...]:
        context = self.context
        machine, ours = remove_stale_snapshots(context, machine)
        spec = context.spec
        spec = replace(spec, plan=replace(spec.plan, override=context.plan.override))
        return check_replication(spec, machine, now=context.clock.now(), begun=True, at_work=ours)

    def before_snapshot(self) -> None:
        prepare_machine(self.context)

    def needs_snapshot(self, machine: Machine) -> bool:
        """Always: change ids come from snapshots (trap 25)."""
        return True

    def snapshot_taken(self, snapshot: Snapshot, machine: Machine) -> None:
        note_snapshot(self.context, snapshot, machine)
        if not self.context.reads_by_lease:
            choose_reader(self.context)

    def inspects_guest(self) -> bool:
        """Before the first copy only: what would be found later is in the image of every run."""
        return not self.context.kept

    def before_launch(self) -> None:
        cutover.refuse_running_machine(self.context)

    def source(self, snapshot_moid: str | None) -> TransferSource:
        return super().source(snapshot_moid) if self.context.reads_by_lease else ChangedBlocksSource(self.context)

    def target(self) -> Target:
        return ReplicaTarget(self.context) if self.context.plan.direct else super().target()

    def before_release(self) -> Steps:
        return [("verify", partial(verify.verify, self.context)), ("keep", partial(verify.keep_copy, self.context))]

    def closing(self) -> Steps:
        return [
            ("retention", partial(retention.apply_retention, self.context)),
            ("figures", partial(retention.finish_run, self.context)),
        ]

    def give_back(self) -> Iterator[Undo]:
        yield from super().give_back()
        cutover.say_machine_is_off(self.context)
