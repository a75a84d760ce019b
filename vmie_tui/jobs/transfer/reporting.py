"""Between what moves bytes and the progress store: whether an attempt may go on, and how far it has come."""

from __future__ import annotations

from collections.abc import Mapping

from vmie_tui.jobs.transfer.progress import UploadProgress
from vmie_tui.jobs.transfer.source import Attempt


class AttemptReport:
    """One attempt at moving one disk, or all disks into one object (a `TransferControl`)."""

    def __init__(self, attempt: Attempt, progress: UploadProgress, key: int) -> None:
        self.attempt, self.progress, self.key = attempt, progress, key
        self.new_bytes = 0  # not found there already: the attempt was not in vain

    def check(self) -> None:
        self.attempt.check()

    def moved(self, nbytes: int, *, skipped: bool = False) -> None:
        if not skipped:
            self.new_bytes += nbytes
        self.progress.part(self.key, nbytes, skipped=skipped)

    def disk(self, key: int) -> DiskReport:
        """For the reading of one of the disks."""
        return DiskReport(self, key)


class DiskReport:
    """The reading of one disk (a `DiskControl`)."""

    def __init__(self, whole: AttemptReport, key: int) -> None:
        self._whole, self._key = whole, key

    def begin(self, total: int) -> None:
        self._whole.key = self._key  # what is sent from now on is of this disk, or nearly so
        self._whole.progress.restart(self._key, total)

    def check(self) -> None:
        self._whole.check()

    def moved(self, nbytes: int, *, skipped: bool = False) -> None:
        progress = self._whole.progress
        progress.received(self._key, nbytes)
        self._whole.attempt.tell(progress.share())

    def covered(self, offset: int) -> None:
        self._whole.progress.covered(self._key, offset)


class ArchiveReport:
    """The reading of an archive (a `DiskControl`): each of its disks gets its share, by the size it has."""

    def __init__(self, whole: AttemptReport, capacities: Mapping[int, int]) -> None:
        self._whole, self._capacity = whole, max(sum(capacities.values()), 1)
        self._capacities, self._got = capacities, 0
        self._given = dict.fromkeys(capacities, 0)

    def begin(self, total: int) -> None:
        for key, capacity in self._capacities.items():
            self._whole.progress.restart(key, total * capacity // self._capacity)

    def check(self) -> None:
        self._whole.check()

    def moved(self, nbytes: int, *, skipped: bool = False) -> None:
        self._got += nbytes
        for key, capacity in self._capacities.items():
            share = self._got * capacity // self._capacity
            self._whole.progress.received(key, share - self._given[key])
            self._given[key] = share

    def covered(self, offset: int) -> None:
        """An archive's size is known."""
