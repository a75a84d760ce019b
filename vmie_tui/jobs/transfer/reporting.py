"""Between the movers of bytes and the progress store: who moves asks it whether to stop, and tells it how far it is."""

from __future__ import annotations

from collections.abc import Mapping

from vmie_tui.jobs.transfer.progress import UploadProgress
from vmie_tui.jobs.transfer.source import Attempt


class Meter:
    """One attempt at moving one disk, or all disks into one object. What uploads ask (`TransferControl`)."""

    def __init__(self, attempt: Attempt, progress: UploadProgress, key: int) -> None:
        self.attempt, self.progress, self.key = attempt, progress, key
        self.moved = 0  # bytes that were sent: the attempt was not in vain

    def stop(self) -> None:
        self.attempt.stop()

    def sent(self, nbytes: int, *, skipped: bool) -> None:
        if not skipped:
            self.moved += nbytes
        self.progress.part(self.key, nbytes, skipped=skipped)

    def watcher(self, key: int) -> DiskWatcher:
        """For the reading of one of the disks."""
        return DiskWatcher(self, key)


class DiskWatcher:
    """How far the reading of one disk has come (`Watcher`)."""

    def __init__(self, meter: Meter, key: int) -> None:
        self._meter, self._key = meter, key

    def begin(self, total: int) -> None:
        self._meter.key = self._key  # what is sent from now on is of this disk, or nearly so
        self._meter.progress.restart(self._key, total)

    def stop(self) -> None:
        self._meter.stop()

    def received(self, nbytes: int) -> None:
        progress = self._meter.progress
        progress.received(self._key, nbytes)
        self._meter.attempt.tell(progress.share())

    def covered(self, offset: int) -> None:
        self._meter.progress.covered(self._key, offset)


class ArchiveWatcher:
    """How far the reading of an archive has come: each of its disks gets its share, by the size it has."""

    def __init__(self, meter: Meter, capacities: Mapping[int, int]) -> None:
        self._meter, self._whole = meter, max(sum(capacities.values()), 1)
        self._capacities, self._got = capacities, 0
        self._given = dict.fromkeys(capacities, 0)

    def begin(self, total: int) -> None:
        for key, capacity in self._capacities.items():
            self._meter.progress.restart(key, total * capacity // self._whole)

    def stop(self) -> None:
        self._meter.stop()

    def received(self, nbytes: int) -> None:
        self._got += nbytes
        for key, capacity in self._capacities.items():
            share = self._got * capacity // self._whole
            self._meter.progress.received(key, share - self._given[key])
            self._given[key] = share

    def covered(self, offset: int) -> None:
        """An archive's size is known."""
