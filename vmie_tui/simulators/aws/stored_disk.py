"""A snapshot of the store, ancestors included, read as a disk: by exports, and by instances that start."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator

from vmie_tui.simulators.aws.disk_checks import Stopped
from vmie_tui.simulators.aws.snapshots import BLOCK, GIB, SnapshotStore


class StoredDisk:
    """A `DiskSource`. ``ident`` "" is an empty disk; reading raises `Stopped` once ``stop`` is set.

    It is the snapshot as it was when this was made, and keeps nothing open.
    """

    def __init__(self, store: SnapshotStore, ident: str, size_gib: int, stop: threading.Event | None = None) -> None:
        self._store, self._stop, self.size = store, stop, size_gib * GIB
        self._holders = store.blocks(ident) if ident else {}

    def extents(self) -> Iterator[tuple[int, int]]:
        """Runs of blocks that somebody holds."""
        first = last = -1
        for index in self._holders:
            if index != last:
                if first >= 0:
                    yield first * BLOCK, (last - first) * BLOCK
                first = index
            last = index + 1
        if first >= 0:
            yield first * BLOCK, (last - first) * BLOCK

    def read_into(self, offset: int, view: memoryview) -> int:
        """Fill ``view`` from ``offset``; the bytes written, fewer only at the end of the disk."""
        if self._stop is not None and self._stop.is_set():
            raise Stopped
        wanted = max(0, min(len(view), self.size - offset))
        done = 0
        while done < wanted:
            at = offset + done
            step = min(wanted - done, BLOCK - at % BLOCK)
            self._fill(at, view[done : done + step])
            done += step
        return wanted

    def _fill(self, at: int, view: memoryview) -> None:
        """Bytes of one block."""
        holder, done = self._holders.get(at // BLOCK), 0
        if holder is not None:
            descriptor = os.open(self._store.data_path(holder), os.O_RDONLY)
            try:
                done = os.preadv(descriptor, [view], at)
            finally:
                os.close(descriptor)
        view[done:] = bytes(len(view) - done)

    def read_at(self, offset: int, length: int) -> bytes:
        """``length`` bytes from ``offset``; fewer only at the end of the disk."""
        buffer = bytearray(max(0, min(length, self.size - offset)))
        self.read_into(offset, memoryview(buffer))
        return bytes(buffer)
