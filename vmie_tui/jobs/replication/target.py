"""The target of a replication's run: EBS snapshots, each on top of the one that the last run made of the disk."""

from __future__ import annotations

from collections.abc import Sequence

from vmie_tui.jobs.replication.context import ReplicationContext
from vmie_tui.jobs.replication.delta import delta_of
from vmie_tui.jobs.store.records import DiskRecord
from vmie_tui.jobs.transfer.reporting import AttemptReport
from vmie_tui.jobs.transfer.target_ebs import EbsTarget
from vmie_tui.model.formatting import size
from vmie_tui.model.replication import Sync
from vmie_tui.services.aws.ebs.start_snapshot import ParentRefused
from vmie_tui.services.aws.ec2.job_resources import delete_snapshot


class ReplicaTarget(EbsTarget):
    """One snapshot per disk, even where nothing changed: then without a block, on its parent."""

    context: ReplicationContext

    def parent(self, disk: DiskRecord) -> str:
        """The parent; also decides what is moved of the disk: see `ReplicationContext.deltas`."""
        context = self.context
        if context.reads_by_lease:
            self._fits(disk, "")
            why = context.lease_reason
            context.remember_disk(disk.key, parent_snapshot="", sync=Sync.FIRST, reason=why)
            return ""
        delta = delta_of(context, context.disk(disk.key))
        if not self._fits(disk, delta.parent):
            context.remember_disk(disk.key, begun_at=context.ledger.at_snapshot.moid)
        context.remember_disk(
            disk.key,
            parent_snapshot=delta.parent,
            sync=delta.sync,
            reason=delta.reason,
            changed=delta.changed,
        )
        context.deltas[disk.key] = delta
        on = f" on {delta.parent}" if delta.parent else ""
        why = f" ({delta.reason})" if delta.reason else ""
        context.say(f"{disk.label}: {delta.sync.value}{why}{on}, {size(delta.changed)}", message=False)
        return delta.parent

    def _fits(self, disk: DiskRecord, parent: str) -> bool:
        """Whether an earlier attempt began a snapshot on this parent; one on another parent is deleted."""
        context, ledger = self.context, self.ledger(disk)
        begun = {ledger.uploaded_snapshot, ledger.pending_snapshot} - {""}
        if begun and ledger.parent_snapshot != parent:
            self.begin_anew(disk)
            for ident in begun - context.kept_snapshots:
                delete_snapshot(context.aws, context.plan.region, ident)
            return False
        return bool(begun)

    def send(self, report: AttemptReport, disks: Sequence[DiskRecord]) -> None:
        try:
            super().send(report, disks)
        except ParentRefused as error:
            (disk,) = disks
            refused = f"{error.problem.subject}: {error.problem.what}"
            self.context.remember_disk(disk.key, parent_refused=refused)
            super().send(report, disks)
