"""Guests that write: bursts on request, in the background while they run, and a plausible amount at each snapshot."""

from __future__ import annotations

import logging
import random
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from vmie_tui.simulators.fleet.content import seeded
from vmie_tui.simulators.vcenter.changed import ChangedBlocks
from vmie_tui.simulators.vcenter.machine import Machine, SnapshotNode, VmDisk
from vmie_tui.simulators.vcenter.power import ON
from vmie_tui.simulators.vcenter.shared_state import Center

log = logging.getLogger(__name__)

STEP = 4096  # what guests write in
MOST, LEAST = 48 << 20, 256 << 10  # bytes made up at one snapshot
EXTENT = 1 << 20  # of those, in one place
LATER_SHARE = 8  # one part in so many of them comes after the machine is frozen
HOUR = 3600.0


@dataclass(frozen=True, slots=True)
class Burst:
    """How a guest writes at once: ``nbytes`` in ``extents`` places, of which ``zeros`` (0..1) get zeros."""

    nbytes: int
    extents: int = 1
    zeros: float = 0.0
    key: int | None = None  # only to this disk

    def __post_init__(self) -> None:
        if self.nbytes < 1 or self.extents < 1 or not 0 <= self.zeros <= 1:
            raise ValueError("a burst has at least a byte and an extent, and a share of zeros between 0 and 1")


@dataclass(frozen=True, slots=True)
class Area:
    """A written area."""

    key: int
    offset: int
    length: int


@dataclass(slots=True)
class Writer:
    """A guest that writes a burst ``every`` so many seconds of wall time."""

    machine: Machine
    every: float
    burst: Burst
    rng: random.Random
    due: float = 0.0
    bursts: int = 0
    written: int = 0

    def told(self) -> dict[str, Any]:
        return {"vm": self.machine.name, "every": self.every, "bursts": self.bursts, "bytes": self.written}


@dataclass(slots=True)
class _Room:
    """The areas of a disk that may be written to."""

    disk: VmDisk
    ranges: list[tuple[int, int]] = field(default_factory=list)

    @property
    def size(self) -> int:
        return sum(length for _, length in self.ranges)


class Activity:
    """Lets guests write. Everything that changes a machine holds the registry's lock.

    ``clock`` tells how much time passed between two snapshots of a machine that writes by the hour.
    """

    def __init__(self, center: Center, changed: ChangedBlocks, clock: Callable[[], float]) -> None:
        self._registry, self._changed, self._clock = center.registry, changed, clock
        self._began = clock()
        self._writers: dict[str, Writer] = {}
        self._wake = threading.Event()
        self._stopped = False
        self._thread: threading.Thread | None = None

    # ---- once

    def write(self, machine: Machine, burst: Burst, rng: random.Random) -> list[Area]:
        """Write a burst to random places of the machine's disks; raises ValueError when there is none to write to."""
        with self._registry.lock:
            rooms = _rooms(machine, burst.key)
            if not rooms:
                raise ValueError(f"{machine.name} has no disk to write to")
            length = max(burst.nbytes // burst.extents // STEP * STEP, STEP)
            sizes = [room.size for room in rooms]
            return [
                self._extent(machine, rng.choices(rooms, sizes)[0], length, burst, rng) for _ in range(burst.extents)
            ]

    def _extent(self, machine: Machine, room: _Room, length: int, burst: Burst, rng: random.Random) -> Area:
        start, size = rng.choices(room.ranges, [length for _, length in room.ranges])[0]
        kept = min(length, size // STEP * STEP) or STEP
        offset = start + rng.randrange((size - kept) // STEP + 1) * STEP
        content = bytes(kept) if rng.random() < burst.zeros else rng.randbytes(kept)
        self._changed.write(machine, room.disk, offset, content)
        return Area(room.disk.key, offset, kept)

    # ---- in the background

    def start(self, machine: Machine, every: float, burst: Burst, seed: str) -> None:
        """Let a guest go on writing, anew if it does already; nothing is written while it is not powered on."""
        if every <= 0:
            raise ValueError("a writer needs some seconds between two bursts")
        with self._registry.lock:
            self._writers[machine.moid] = Writer(machine, every, burst, seeded(seed), time.monotonic())
            if self._thread is None:
                self._stopped = False
                self._thread = threading.Thread(target=self._run, name="vcenter-guests", daemon=True)
                self._thread.start()
        self._wake.set()

    def end(self, machine: Machine | None = None) -> None:
        """No writer of this machine, or of any, writes once this has returned."""
        with self._registry.lock:
            for moid in [machine.moid] if machine is not None else list(self._writers):
                self._writers.pop(moid, None)

    def writers(self) -> list[dict[str, Any]]:
        with self._registry.lock:
            return [writer.told() for writer in self._writers.values()]

    def stop(self) -> None:
        """End all of them, and the thread."""
        self.end()
        with self._registry.lock:
            self._stopped, thread, self._thread = True, self._thread, None
        self._wake.set()
        if thread is not None:
            thread.join()

    def _run(self) -> None:
        while not self._stopped:
            self._wake.clear()
            now = time.monotonic()
            for writer in self._due(now):
                self._turn(writer, now)
            with self._registry.lock:
                nexts = [writer.due for writer in self._writers.values()]
            self._wake.wait(max(min(nexts) - time.monotonic(), 0.0) if nexts else None)

    def _due(self, now: float) -> list[Writer]:
        with self._registry.lock:
            return [writer for writer in self._writers.values() if writer.due <= now]

    def _turn(self, writer: Writer, now: float) -> None:
        with self._registry.lock:
            machine = writer.machine
            writer.due = now + writer.every
            if self._registry.objects.get(machine.moid) is not machine:  # removed since
                self._writers.pop(machine.moid, None)
            if self._writers.get(machine.moid) is not writer or machine.power != ON:
                return
            try:
                areas = self.write(machine, writer.burst, writer.rng)
            except (OSError, ValueError):
                log.exception("the guest of %s cannot write", machine.name)
                return
            writer.bursts += 1
            writer.written += sum(area.length for area in areas)

    def last_words(self, machine: Machine) -> None:
        """On shutdown a guest writes what it still had in memory."""
        with self._registry.lock:
            writer = self._writers.get(machine.moid)
            if writer is not None:
                self._turn(writer, time.monotonic())

    # ---- by the hour

    def before_snapshot(self, machine: Machine) -> None:
        """Writes what the guest wrote since the last snapshot."""
        if machine.writes and machine.power == ON:
            now = self._clock()
            since, machine.wrote_at = now - (machine.wrote_at or self._began), now
            self._made_up(machine, min(max(int(machine.writes * since / HOUR), LEAST), MOST), "before")

    def after_snapshot(self, node: SnapshotNode) -> None:
        """Writes what the guest writes while the frozen content is read."""
        machine = node.machine
        if machine.writes and machine.power == ON:
            self._made_up(machine, LEAST // LATER_SHARE, "after")

    def _made_up(self, machine: Machine, nbytes: int, when: str) -> None:
        rng = seeded(f"{machine.instance_uuid} {machine.snapshot_count} {when}")
        if _rooms(machine):
            self.write(machine, Burst(nbytes, -(-nbytes // EXTENT)), rng)


def _rooms(machine: Machine, key: int | None = None) -> list[_Room]:
    return [room for disk in machine.disks if _may(disk, key) and (room := _room(disk)).ranges]


def _may(disk: VmDisk, key: int | None) -> bool:
    return disk.spec.backing == "flat" if key is None else disk.key == key


def _room(disk: VmDisk) -> _Room:
    """Ranges that begin and end on whole steps; a disk that was enlarged has its new end too."""
    given = [(0, disk.spec.capacity)] if disk.spec.room is None else list(disk.spec.room())
    if disk.capacity > disk.spec.capacity:
        given.append((disk.spec.capacity, disk.capacity - disk.spec.capacity))
    ranges = []
    for start, length in given:
        first, end = -(-start // STEP) * STEP, min(start + length, disk.capacity) // STEP * STEP
        if end > first:
            ranges.append((first, end - first))
    return _Room(disk, ranges)
