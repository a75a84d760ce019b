"""Rate, share done and time left of a job's transfers, written to the store at most twice a second each."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from vmie_tui.jobs.store.store import Store

WRITE_SECONDS = 0.5
SMOOTH_SECONDS = 4.0  # time constant of the rate's moving average
ESTIMATE_FROM = 0.01  # share of a disk that must be read before its total is estimated
UPLOAD_FROM, UPLOAD_TO, IMPORT_TO = 0.02, 0.60, 0.98  # shares of a whole import
EXPORT_TO, DOWNLOAD_TO = 0.60, 0.75  # shares of a whole export that goes on into vCenter


class Rate:
    """Bytes a second as an exponential moving average over about `SMOOTH_SECONDS`; counts every `add`."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._last = clock()
        self._pending = 0
        self._value: float | None = None

    def add(self, nbytes: int) -> None:
        self._pending += nbytes

    def value(self) -> float:
        now = self._clock()
        elapsed = now - self._last
        if elapsed >= WRITE_SECONDS / 2:
            current = self._pending / elapsed
            weight = 1 - math.exp(-elapsed / SMOOTH_SECONDS)
            self._value = current if self._value is None else self._value + weight * (current - self._value)
            self._last, self._pending = now, 0
        return self._value or 0.0


@dataclass(slots=True)
class _Disk:
    """Figures of one transfer in bytes. ``done``: received from the host, at most a few parts ahead of S3."""

    capacity: int
    announced: int = 0  # what the host said the transfer would have, 0 when it did not
    done: int = 0
    skipped: int = 0
    parts: int = 0
    covered: int = 0  # highest byte of the disk that was read: the share when nothing was announced
    finished: bool = False
    skipping: bool = False  # the parts that come now are in S3 already: reading them again is no progress
    rate: Rate = field(default_factory=Rate)

    @property
    def share(self) -> float:
        if self.finished:
            return 1.0
        if self.announced:
            return min(self.done / self.announced, 1.0)
        return min(self.covered / self.capacity, 1.0) if self.capacity else 0.0

    @property
    def total(self) -> int:
        """As announced, else estimated from the share of the disk that was read; 0 while that says nothing."""
        if self.announced or self.finished:
            return self.announced
        return max(int(self.done / self.share), self.done) if self.share > ESTIMATE_FROM else 0

    @property
    def left(self) -> float:
        """Bytes still to come, as well as can be said."""
        if self.finished:
            return 0.0
        return float(max((self.total or self.capacity) - self.done, 0))


class UploadProgress:
    """The transfers of one job's disks, together. Thread-safe. ``between``: the shares of the job they stand for."""

    def __init__(
        self,
        store: Store,
        job_id: str,
        clock: Callable[[], float] = time.monotonic,
        *,
        between: tuple[float, float] = (UPLOAD_FROM, UPLOAD_TO),
    ) -> None:
        self._store, self._job_id, self._clock, self._between = store, job_id, clock, between
        self._lock = threading.Lock()
        self._disks: dict[int, _Disk] = {}
        self._written: dict[int, float] = {}
        self._job_written = 0.0

    def add_disk(self, key: int, capacity: int, *, total: int = 0, finished: bool = False) -> None:
        with self._lock:
            rate = Rate(self._clock)
            self._disks[key] = _Disk(capacity, total, total if finished else 0, finished=finished, rate=rate)

    def restart(self, key: int, total: int | None) -> None:
        """A transfer begins, perhaps again: its figures start at zero."""
        with self._lock:
            disk = self._disks[key]
            disk.announced, disk.done, disk.skipped, disk.parts, disk.covered = total or 0, 0, 0, 0, 0
            disk.skipping, disk.rate = False, Rate(self._clock)
        self._write(key, force=True)

    def received(self, key: int, nbytes: int) -> None:
        """Bytes came from the host."""
        with self._lock:
            disk = self._disks[key]
            disk.done += nbytes
            if not disk.skipping:
                disk.rate.add(nbytes)
        self._write(key)

    def part(self, key: int, nbytes: int, *, skipped: bool) -> None:
        """A part is in S3; ``skipped`` when it was there already, so that its bytes are no part of the rate."""
        with self._lock:
            disk = self._disks[key]
            disk.parts += 1
            if skipped:
                disk.skipped += nbytes
            if skipped != disk.skipping:
                disk.skipping, disk.rate = skipped, Rate(self._clock)
        self._write(key)

    def covered(self, key: int, offset: int) -> None:
        self._disks[key].covered = offset

    def finish(self, key: int, size: int) -> None:
        with self._lock:
            disk = self._disks[key]
            disk.finished, disk.announced, disk.done = True, size, size
        self._write(key, force=True)

    def share(self) -> float:
        """0..1 over all disks, weighed by capacity: what the lease is told."""
        with self._lock:
            return self._share()

    def _share(self) -> float:
        whole = sum(disk.capacity for disk in self._disks.values())
        return sum(disk.share * disk.capacity for disk in self._disks.values()) / whole if whole else 1.0

    def _write(self, key: int, *, force: bool = False) -> None:
        now = self._clock()
        with self._lock:
            if not force and now - self._written.get(key, 0.0) < WRITE_SECONDS:
                return
            self._written[key] = now
            disk = self._disks[key]
            values = {
                "total": disk.total,
                "done": disk.done,
                "skipped": disk.skipped,
                "parts_done": disk.parts,
                "rate": 0.0 if disk.finished else disk.rate.value(),
            }
            job = self._job_values() if force or now - self._job_written >= WRITE_SECONDS else None
            if job is not None:
                self._job_written = now
        self._store.disk(self._job_id, key, **values)
        if job is not None:
            self._store.update(self._job_id, **job)

    def _job_values(self) -> dict[str, float | None]:
        rate = sum(disk.rate.value() for disk in self._disks.values() if not disk.finished)
        left = sum(disk.left for disk in self._disks.values())
        start, end = self._between
        return {
            "rate": rate,
            "eta": left / rate if rate > 0 else None,
            "fraction": start + (end - start) * self._share(),
        }


def import_fraction(percent: int | None) -> float:
    """The whole job's share while AWS converts."""
    return UPLOAD_TO + (IMPORT_TO - UPLOAD_TO) * (percent or 0) / 100


def export_fraction(percent: int | None) -> float:
    """The whole job's share while AWS writes an export."""
    return EXPORT_TO * (percent or 0) / 100
