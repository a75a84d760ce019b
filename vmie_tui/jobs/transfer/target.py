"""Where a job's bytes go. A target knows which of its disks are there already, sends the others, and records them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

from vmie_tui.jobs.engine.import_context import ImportContext
from vmie_tui.jobs.store.records import DiskRecord
from vmie_tui.jobs.transfer.reporting import AttemptReport
from vmie_tui.model.job import StageState


class Target(ABC):
    """One job's target."""

    def __init__(self, context: ImportContext) -> None:
        self.context = context

    def groups(self, disks: Sequence[DiskRecord]) -> list[list[DiskRecord]]:
        """Disks that are moved together, in one step."""
        return [[disk] for disk in disks]

    @abstractmethod
    def there(self, disk: DiskRecord) -> bool:
        """Whether a disk that was recorded as done is still there as it was recorded."""

    @abstractmethod
    def send(self, report: AttemptReport, disks: Sequence[DiskRecord]) -> None:
        """Move one group, and record it. Raises VmieError; what was sent stays for the next attempt."""

    def reset(self, disk: DiskRecord) -> None:  # noqa: B027 - objects are written over
        """What is stored belongs to an older state of the disk: delete what would be in the way of the upload."""

    @abstractmethod
    def remove(self, disk: DiskRecord) -> None:
        """Leave nothing of a disk behind, whether it arrived or not."""

    def done(self, report: AttemptReport, disk: DiskRecord, size: int, **values: Any) -> None:
        """From here on the disk is never read again. ``size``: bytes that were sent for it, or found there."""
        received = report.attempt.found(disk.key)
        report.progress.finish(disk.key, size)
        if received.sha256:  # else it stays with what an earlier job has found out
            equal = received.host_sha256 == received.sha256 if received.host_sha256 else None
            values |= {"sha256": received.sha256, "host_sha256": received.host_sha256, "verified": equal}
        self.context.update_disk(disk.key, **values | {"state": StageState.DONE.value})


def said(disk: DiskRecord, what: str, skipped: int, sha256: str, *, verified: bool) -> str:
    """A line for the log on a disk that arrived."""
    already = f", {skipped:,} already there" if skipped else ""
    proof = f"; sha256 {sha256}" if sha256 else ""
    equal = ", equal to the host's" if verified else ""
    return f"{disk.label}: {what}{already}{proof}{equal}"
