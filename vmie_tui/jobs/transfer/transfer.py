"""The transfer phase: every disk from the job's source to its target, again after what a second try may cure.

A disk that is done is recorded and never read again. After a lost lease, a reset connection or a damaged stream it is
read again from its start; what has arrived already is recognised and not sent.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

from vmie_tui.jobs.engine.control import Paused
from vmie_tui.jobs.engine.import_context import ImportContext
from vmie_tui.jobs.store.records import DiskRecord
from vmie_tui.jobs.transfer.progress import UPLOAD_TO, UploadProgress
from vmie_tui.jobs.transfer.reporting import AttemptReport
from vmie_tui.jobs.transfer.source import Attempt, TransferSource
from vmie_tui.jobs.transfer.source_image import ImageSource
from vmie_tui.jobs.transfer.target import Target
from vmie_tui.jobs.transfer.target_s3 import target_of
from vmie_tui.model.errors import Cancelled, ErrorKind, VmieError
from vmie_tui.model.job import Stage, StageState
from vmie_tui.model.plan import SnapshotSource
from vmie_tui.services.aws.ebs.block_sender import SnapshotLost
from vmie_tui.services.aws.ec2.job_resources import delete_snapshot
from vmie_tui.services.pacing import Backoff


class Transfer:
    """The transfer of a job's disks within one phase: `prepare`, then `move` for each group, then `close`."""

    def __init__(self, context: ImportContext, source: TransferSource, target: Target) -> None:
        self.context, self.source, self.target = context, source, target
        self.progress = UploadProgress(context.store, context.job_id)
        self._there: set[int] = set()

    def prepare(self) -> list[list[int]]:
        """Keys of the disks that move together, in their order; those found as recorded count as done."""
        context = self.context
        context.start_stage(Stage.UPLOAD)
        disks = context.disks()
        for disk in disks:
            there = disk.done and context.retry(partial(self.target.there, disk))
            if there:
                self._there.add(disk.key)
            if not there and disk.done:
                context.update_disk(disk.key, state=StageState.PENDING.value)
            self.progress.add_disk(disk.key, disk.capacity, total=disk.total if there else 0, finished=there)
        if isinstance(self.source, ImageSource) and len(self._there) < len(disks):
            context.retry(self.source.open)
        where = f"EBS in {context.plan.region}" if context.plan.direct else f"s3://{context.plan.bucket}"
        context.say(f"uploading {len(disks)} disk(s) to {where}")
        return [[disk.key for disk in group] for group in self.target.groups(disks)]

    def move(self, keys: Sequence[int]) -> dict[str, Any]:
        """Bring one group to the target, unless it is there. Raises VmieError."""
        disks = [disk for disk in self.context.disks() if disk.key in set(keys)]
        if not self._there.issuperset(keys):
            for disk in disks:
                self.context.update_disk(disk.key, state=StageState.RUNNING.value)
            self._persist(disks)
        return {"keys": list(keys)}

    def _persist(self, disks: Sequence[DiskRecord]) -> None:
        source, backoff, name = self.source, Backoff(), disks[0].label if len(disks) == 1 else "the disks"
        while True:
            attempt: Attempt | None = None
            report: AttemptReport | None = None
            try:
                attempt = source.begin()
                report = AttemptReport(attempt, self.progress, disks[0].key)
                self.target.send(report, disks)
            except (Cancelled, Paused):
                raise
            except VmieError as error:
                source.check()  # a lease we aborted ourselves looks like a network error
                in_vain = error.kind is ErrorKind.CORRUPT or isinstance(error, SnapshotLost)  # all is sent once more
                if report is not None and report.new_bytes and not in_vain:
                    backoff.reset()
                lost = attempt is not None and attempt.lost()
                hopeless = error.kind is ErrorKind.LOGIN or not _worth_another_try(error)
                if (hopeless and not lost) or not backoff.fail():
                    raise error.about(name) from None
                self.context.say(f"{name}: {error.problem.what}; trying again", message=False, level="warning")
                if attempt is not None and (error.kind is ErrorKind.CORRUPT or lost):
                    attempt.drop(error.problem.what)
            else:
                return
            self.context.control.wait(backoff.seconds)

    def close(self) -> None:
        """All disks are there: give the lease back."""
        self.source.complete()
        context = self.context
        context.finish_stage(Stage.UPLOAD)
        context.update(rate=0.0, eta=None, fraction=UPLOAD_TO)


def _worth_another_try(error: VmieError) -> bool:
    return error.problem.retry_safe or error.kind in {ErrorKind.CORRUPT, ErrorKind.NETWORK, ErrorKind.THROTTLED}


def discard_uploads(context: ImportContext) -> None:
    """The source has changed since the last attempt: delete what was uploaded, so that every disk is read again."""
    target = target_of(context)
    for disk in context.disks():
        context.retry(partial(target.reset, disk))
        if disk.snapshot_id and not context.plan.direct and not isinstance(context.plan.source, SnapshotSource):
            context.retry(partial(delete_snapshot, context.aws, context.plan.region, disk.snapshot_id))
        values = {"snapshot_id": ""} | ({"state": StageState.PENDING.value} if disk.done else {})
        context.update_disk(disk.key, **values)
