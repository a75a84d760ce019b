"""EBS snapshots as the target of a job: each disk's blocks straight into a snapshot, journaled in the database."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from vmie_tui.jobs.engine.tags import MADE_BY, tags
from vmie_tui.jobs.store.block_journal import BlockJournal
from vmie_tui.jobs.store.ledger import DiskLedger
from vmie_tui.jobs.store.records import DiskRecord
from vmie_tui.jobs.transfer.choose_samples import sample_journal, sampler_for
from vmie_tui.jobs.transfer.reporting import AttemptReport
from vmie_tui.jobs.transfer.target import Target, said
from vmie_tui.model.errors import ErrorKind, ServiceError
from vmie_tui.model.plan import VmSource
from vmie_tui.services.aws.ebs.snapshot_writer import SnapshotLost, SnapshotTarget, SnapshotWriter
from vmie_tui.services.aws.ec2.images import describe_snapshots
from vmie_tui.services.aws.ec2.job_resources import delete_snapshot


class EbsTarget(Target):
    """Each disk a snapshot of its own."""

    def there(self, disk: DiskRecord) -> bool:
        made = disk.ledger.uploaded_snapshot
        if not made:
            return False
        try:
            (found,) = describe_snapshots(self.context.aws, self.context.plan.region, [made])
        except ServiceError as error:
            if error.kind is not ErrorKind.NOT_FOUND:
                raise
            return False
        return found.state == "completed"

    def journal(self, disk: DiskRecord) -> BlockJournal:
        return self.context.block_journal(disk.key)

    def reset(self, disk: DiskRecord) -> None:
        made, pending = disk.ledger.uploaded_snapshot, disk.ledger.pending_snapshot
        # A completed snapshot takes no more blocks, nor does one that is about to be. A pending one gets those that
        # differ of a host's stream, which is read whole; of an image that is read at any place, what the journal has
        # would not even be looked at.
        if made or disk.ledger.completing or not isinstance(self.context.plan.source, VmSource):
            self.begin_anew(disk)
            for ident in {made, pending} - {"", *self.context.kept_snapshots}:
                delete_snapshot(self.context.aws, self.context.plan.region, ident)

    def begin_anew(self, disk: DiskRecord) -> None:
        """What was written of a disk is of no use any more."""
        context, tried = self.context, self.ledger(disk).snapshot_try
        context.remember_disk(
            disk.key, uploaded_snapshot="", pending_snapshot="", completing=False, snapshot_try=tried + 1
        )
        self.journal(disk).clear()

    def ledger(self, disk: DiskRecord) -> DiskLedger:
        """What is remembered of a disk now."""
        return self.context.disk(disk.key).ledger

    def parent(self, disk: DiskRecord) -> str:
        """The completed snapshot that the disk's new one continues, "" when all of the disk is written."""
        return ""

    def send(self, report: AttemptReport, disks: Sequence[DiskRecord]) -> None:
        (disk,) = disks
        context, plan, journal = self.context, self.context.plan, self.journal(disk)
        parent = self.parent(disk)
        ledger = self.ledger(disk)
        pending = ledger.uploaded_snapshot or ledger.pending_snapshot
        if not pending:
            journal.clear()
        target = SnapshotTarget(
            size=disk.capacity,
            description=f"{plan.source.name[:100]} {disk.label[:100]}{MADE_BY}",
            tags=tags(context),
            encrypted=plan.encrypted,
            kms_key_id=plan.kms_key_id,
            parent=parent,
            client_token=f"{context.ledger.client_token}-{disk.key}-{ledger.snapshot_try}{parent[-8:]}",
        )
        sampler = sampler_for(context.job_id, disk.key, disk.capacity)
        context.remember(ebs_snapshots_asked=True)
        writer = SnapshotWriter(context.aws, plan.region, target, journal=journal, snapshot_id=pending, control=report)
        try:
            with writer:
                if writer.snapshot_id != pending:
                    context.remember_disk(disk.key, pending_snapshot=writer.snapshot_id)
                    context.say(f"{disk.label}: snapshot {writer.snapshot_id} begun", message=False)
                report.attempt.blocks(disk, writer, report.disk(disk.key), sampler)
                asking = partial(context.remember_disk, disk.key, completing=True)
                written = writer.complete(asking=asking)
        except SnapshotLost:
            writer.abandon()
            self.begin_anew(disk)
            raise
        sample_journal(journal, sampler)
        context.remember_disk(disk.key, uploaded_snapshot=written.snapshot_id, pending_snapshot="", completing=False)
        self.done(
            report,
            disk,
            written.sent + written.skipped,
            checksum=written.checksum,
            snapshot_id=written.snapshot_id,
            samples=sampler.samples,
        )
        found = report.attempt.found(disk.key)
        what = f"{written.snapshot_id} has {written.blocks:,} blocks"
        context.say(said(disk, what, written.skipped, found.sha256, verified=bool(found.host_sha256)), message=False)

    def remove(self, disk: DiskRecord) -> None:
        """What cancelling leaves of a disk's snapshot: nothing."""
        made = {disk.ledger.uploaded_snapshot, disk.ledger.pending_snapshot}
        for ident in made - {"", *self.context.kept_snapshots}:
            delete_snapshot(self.context.aws, self.context.plan.region, ident)
        self.journal(disk).clear()
