"""Writes a streamOptimized VMDK the way an ESXi host does: one pass, tables behind their grains, footer last."""

from __future__ import annotations

import struct
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Literal

import deflate
from isal import isal_zlib

from vmie_tui.model.errors import ErrorKind
from vmie_tui.services.disks.errors import DiskFormatError
from vmie_tui.services.disks.formats.vmdk_layout import (
    ENTRIES,
    GRAIN,
    GRAIN_SECTORS,
    MARKER,
    MARKER_SIZE,
    SECTOR,
    TABLE_SECTORS,
    Mark,
    SparseHeader,
    make_descriptor,
    meta_marker,
    sectors,
)
from vmie_tui.services.disks.streams.pieces import OnData, runs_of
from vmie_tui.services.disks.streams.source import DiskSource, read_exactly

Mode = Literal["fast", "small"]
Write = Callable[[bytes | memoryview], object]

WINDOW = 8  # grains a thread takes at a time: 512 KiB; twice that costs 6 MiB more; divides a grain table
_LEVELS = {"fast": 2, "small": 6}
_MAX_THREADS = 8
_ZERO_GRAIN = bytes(GRAIN)
_MOST_OF_GRAIN = GRAIN + 2 * SECTOR  # bytes of its record: both libraries store what they cannot make smaller
_MAX_SECTOR = 0xFFFFFFFF  # a grain table entry has 32 bits


@dataclass(frozen=True, slots=True)
class Encoded:
    """What `encode` wrote: bytes of the VMDK, and grains (64 KiB each) that hold data."""

    bytes: int
    grains: int


def encode(
    source: DiskSource, write: Write, *, mode: Mode = "fast", threads: int = 2, name: str = "disk.vmdk"
) -> Encoded:
    """Write ``source`` as a streamOptimized VMDK through ``write``, front to back.

    ``write`` must be done with the bytes it gets when it returns: buffers are used again. Everything else is as
    `encoded_pieces` has it; errors of ``write`` pass through.
    """
    pieces = encoded_pieces(source, mode=mode, threads=threads, name=name)
    try:
        while True:
            write(next(pieces))
    except StopIteration as end:
        done: Encoded = end.value
        return done
    finally:
        pieces.close()


def encoded_pieces(
    source: DiskSource,
    *,
    mode: Mode = "fast",
    threads: int = 2,
    name: str = "disk.vmdk",
    on_data: OnData | None = None,
) -> Generator[bytes | memoryview, None, Encoded]:
    """``source`` as a streamOptimized VMDK, piece by piece; each is only good until the next one is asked for.

    The same source, mode and name give the same bytes, whatever ``threads`` says: they compress ahead of who pulls,
    and end when the generator is closed. ``mode``: ``fast`` (isal) or ``small`` (libdeflate, four times the CPU,
    about 6 % smaller). Areas outside the source's extents and grains of zeros are left out. ``on_data`` hears, in
    their order, the byte of the disk and the data of the areas read. Memory stays under 64 MiB whatever ``threads``
    says. Errors of ``source`` pass through; raises ``DiskFormatError`` for an empty disk, or one that ends early.
    """
    if source.size <= 0:
        raise DiskFormatError(ErrorKind.INVALID, "the disk is empty", remedy="Check the source: it has no bytes")
    threads = max(1, min(threads, _MAX_THREADS))
    out: list[bytes | memoryview] = []
    writer = _Writer(out.append, sectors(source.size), name)
    pool = ThreadPoolExecutor(threads, thread_name_prefix="vmdk-encode")
    free = [_Slot(source, mode) for _ in range(3 * threads)]
    queue: deque[tuple[_Slot, Future[None]]] = deque()
    stopped = threading.Event()

    def drain() -> Iterator[bytes | memoryview]:
        slot, future = queue.popleft()
        future.result()
        if on_data is not None:
            on_data(slot.start, slot.raw)
        writer.grains_of(slot)
        yield from out
        out.clear()
        free.append(slot)

    try:
        for first, count in _windows(source):
            if not free:
                yield from drain()
            slot = free.pop()
            queue.append((slot, pool.submit(slot.compress, first, count, stopped)))
        while queue:
            yield from drain()
    finally:
        stopped.set()
        pool.shutdown(cancel_futures=True)
    done = writer.finish()
    yield from out
    return done


def most_bytes(source: DiskSource) -> int:
    """The most bytes a streamOptimized VMDK of ``source`` has, whatever its data is like."""
    grains = sum(last - first for first, last in runs_of(source, GRAIN))
    header = SparseHeader(sectors(source.size))
    tables = header.tables * (1 + TABLE_SECTORS) * SECTOR
    return header.overhead * SECTOR + grains * _MOST_OF_GRAIN + tables + (header.tables * 4 // SECTOR + 6) * SECTOR


def _windows(source: DiskSource) -> Iterator[tuple[int, int]]:
    """``(first grain, grains)`` to look at: each lies in one aligned window of `WINDOW` grains, ascending, once."""
    total = -(-source.size // GRAIN)
    first = last = 0  # the half-open run of grains not yet given out
    for offset, length in source.extents():
        start, end = max(last, offset // GRAIN), min(total, -(-(offset + length) // GRAIN))
        if length <= 0 or start >= end:
            continue
        if first < last and start // WINDOW != (last - 1) // WINDOW:
            yield first, last - first
            first = last = start
        elif first == last:
            first = start
        while first // WINDOW != (end - 1) // WINDOW:
            stop = (first // WINDOW + 1) * WINDOW
            yield first, stop - first
            first = stop
        last = end
    if first < last:
        yield first, last - first


class _Slot:
    """One window on its way: its buffers are used again and again, because the C library would return 1 MiB blocks
    to the system, and fault them in anew, on every turn."""

    def __init__(self, source: DiskSource, mode: Mode) -> None:
        self._source, self._mode = source, mode
        self._raw = bytearray(WINDOW * GRAIN)
        self._out = bytearray(WINDOW * _MOST_OF_GRAIN)
        self.index: list[tuple[int, int]] = []  # (grain, sector within `data`)
        self._used = 0
        self.start = 0  # byte of the disk where `raw` begins
        self._length = 0

    @property
    def raw(self) -> memoryview:
        return memoryview(self._raw)[: self._length]

    @property
    def data(self) -> memoryview:
        return memoryview(self._out)[: self._used]

    def compress(self, first: int, count: int, stopped: threading.Event) -> None:
        """Read ``count`` grains from ``first`` and lay out those with data as they will stand in the file."""
        self.index.clear()
        self._used = self._length = 0
        if stopped.is_set():
            return
        raw = memoryview(self._raw)
        start, end = first * GRAIN, min((first + count) * GRAIN, self._source.size)
        length = end - start
        read_exactly(self._source, start, raw[:length])
        self.start, self._length = start, length
        raw[length : count * GRAIN] = bytes(count * GRAIN - length)
        for number in range(count):
            at = number * GRAIN
            if not self._raw.startswith(_ZERO_GRAIN, at):
                self._add(first + number, _deflate(raw[at : at + GRAIN], self._mode))

    def _add(self, grain: int, data: bytes | bytearray) -> None:
        at = self._used
        end = at + MARKER_SIZE + len(data)
        stop = -(-end // SECTOR) * SECTOR
        if stop > len(self._out):
            self._out.extend(bytes(stop - len(self._out)))
        MARKER.pack_into(self._out, at, grain * GRAIN_SECTORS, len(data))
        self._out[at + MARKER_SIZE : end] = data
        self._out[end:stop] = bytes(stop - end)
        self.index.append((grain, at // SECTOR))
        self._used = stop


def _deflate(data: memoryview, mode: Mode) -> bytes | bytearray:
    compress = isal_zlib.compress if mode == "fast" else deflate.zlib_compress
    compressed: bytes | bytearray = compress(data, _LEVELS[mode])
    return compressed


class _Writer:
    """Keeps the position in the file, the grain table in work and the grain directory."""

    def __init__(self, write: Write, capacity: int, name: str) -> None:
        self._write = write
        self._header = SparseHeader(capacity)
        self._directory = bytearray(self._header.tables * 4)
        self._table = [0] * ENTRIES
        self._current = -1
        self._grains = 0
        descriptor = make_descriptor(capacity, name)
        write((self._header.pack() + descriptor).ljust(self._header.overhead * SECTOR, b"\0"))
        self._position = self._header.overhead  # sectors

    def grains_of(self, slot: _Slot) -> None:
        """Append a window's grains; all of them belong to one grain table."""
        if not slot.index:
            return
        data = slot.data
        if self._position + len(data) // SECTOR > _MAX_SECTOR:
            raise DiskFormatError(
                ErrorKind.INVALID,
                "the compressed disk would pass 2 TiB, which a VMDK cannot address",
                remedy="Import this disk by the EBS direct route",
            )
        table = slot.index[0][0] // ENTRIES
        if table != self._current:
            self._flush()
            self._current = table
        for grain, sector in slot.index:
            self._table[grain % ENTRIES] = self._position + sector
        self._write(data)
        self._grains += len(slot.index)
        self._position += len(data) // SECTOR

    def _flush(self) -> None:
        if self._current < 0:
            return
        self._write(meta_marker(Mark.TABLE, TABLE_SECTORS) + struct.pack(f"<{ENTRIES}I", *self._table))
        struct.pack_into("<I", self._directory, self._current * 4, self._position + 1)
        self._position += 1 + TABLE_SECTORS
        self._table = [0] * ENTRIES

    def finish(self) -> Encoded:
        """Append the last table, the directory, the footer and the end-of-stream marker."""
        self._flush()
        length = sectors(len(self._directory))
        self._write(meta_marker(Mark.DIRECTORY, length) + self._directory.ljust(length * SECTOR, b"\0"))
        footer = replace(self._header, directory=self._position + 1).pack()
        self._write(meta_marker(Mark.FOOTER, 1) + footer + meta_marker(Mark.END, 0))
        return Encoded((self._position + 1 + length + 3) * SECTOR, self._grains)
