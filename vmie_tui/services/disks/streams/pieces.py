"""Reads a disk once from front to back: hashes all of it, yields what is not zeros, reports progress."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Iterator

from vmie_tui.services.disks.streams.output import Output
from vmie_tui.services.disks.streams.source import PIECE, DiskSource, read_exactly, read_into

STEP = 64 << 10  # zeros are left out in runs of this size, at multiples of it
_ZEROS = bytes(PIECE)
_ZERO_STEP = bytes(STEP)

OnData = Callable[[int, memoryview], None]  # (byte of the disk, its data, good during the call alone)
Progress = Callable[[int, int], object]  # (bytes of the disk done, bytes in all); what it raises ends the work


class Stopped(Exception):
    """Another thread of the same operation failed."""


class Content:
    """SHA-256 of a disk's content, fed in order; zeros need not be read. Without ``wanted`` it only counts."""

    def __init__(self, *, wanted: bool = True, stop: threading.Event | None = None) -> None:
        self._digest = hashlib.sha256() if wanted else None
        self._stop = stop or threading.Event()
        self.at = 0  # bytes so far
        self.data = 0  # of them, bytes that are not in runs of zeros

    def update(self, data: memoryview) -> None:
        if self._stop.is_set():
            raise Stopped
        if self._digest:
            self._digest.update(data)
        self.at += len(data)

    def zeros_until(self, end: int) -> None:
        if not self._digest:
            self.at = max(self.at, end)
        while self.at < end:
            self.update(memoryview(_ZEROS)[: end - self.at])

    @property
    def sha256(self) -> str:
        """Hex; empty when it was not wanted."""
        return self._digest.hexdigest() if self._digest else ""


class Watched:
    """A `DiskSource` that reports reading progress, from whichever thread reads."""

    def __init__(self, source: DiskSource, progress: Progress) -> None:
        self._source, self._progress = source, progress
        self._at = 0

    @property
    def size(self) -> int:
        return self._source.size

    def read_into(self, offset: int, view: memoryview) -> int:
        got = read_into(self._source, offset, view)
        self._at = max(self._at, offset + got)
        self._progress(self._at, self.size)
        return got

    def read_at(self, offset: int, length: int) -> bytes:
        buffer = bytearray(max(0, min(length, self.size - offset)))
        return bytes(buffer[: self.read_into(offset, memoryview(buffer))])

    def extents(self) -> Iterator[tuple[int, int]]:
        return self._source.extents()


def slowest(progress: Progress, readers: int) -> list[Progress]:
    """Progress callbacks for several readers of one disk; ``progress`` follows the slowest."""
    places = [0] * readers

    def part(number: int) -> Progress:
        def report(done: int, total: int) -> None:
            places[number] = done
            progress(min(places), total)

        return report

    return [part(number) for number in range(readers)]


def runs(source: DiskSource, content: Content) -> Iterator[tuple[int, memoryview]]:
    """``(offset, data)`` of what is not zeros, ascending; a run never crosses a multiple of 1 MiB.

    The data is only good until the next one is asked for. ``content`` has seen the whole disk when this ends. Raises
    ``DiskFormatError`` (CORRUPT) for a source that ends early, and what the source raises.
    """
    buffer, at = bytearray(PIECE), 0
    for start, length in source.extents():
        at, end = max(at, start), min(start + length, source.size)
        if at >= end:
            continue
        content.zeros_until(at)
        while at < end:
            stop = min(end, (at // PIECE + 1) * PIECE)
            read_exactly(source, at, memoryview(buffer)[: stop - at])
            content.update(memoryview(buffer)[: stop - at])
            for first, last in _filled(buffer, at, stop - at):
                content.data += last - first
                yield at + first, memoryview(buffer)[first:last]
            at = stop
    content.zeros_until(source.size)


def zeros(count: int) -> Iterator[memoryview]:
    """``count`` bytes of zeros, in pieces."""
    for at in range(0, count, PIECE):
        yield memoryview(_ZEROS)[: count - at]


def content_sha256(source: DiskSource, content: Content) -> str:
    """SHA-256 (hex) of the whole disk."""
    for _ in runs(source, content):
        pass
    return content.sha256


def runs_of(source: DiskSource, step: int) -> Iterator[tuple[int, int]]:
    """Half-open ranges of the numbers of blocks of ``step`` bytes that the extents touch; ascending, each once."""
    total = -(-source.size // step)
    last = 0
    for offset, length in source.extents():
        start, end = max(last, offset // step), min(total, -(-(offset + length) // step))
        if length > 0 and start < end:
            yield start, end
            last = end


def _filled(buffer: bytearray, at: int, length: int) -> Iterator[tuple[int, int]]:
    """Half-open ranges of ``buffer``, which stands at byte ``at`` of the disk, without its steps of zeros."""
    first, here = -1, 0
    while here < length:
        end = min(length, here + STEP - (at + here) % STEP)
        if end - here == STEP:
            empty = buffer.startswith(_ZERO_STEP, here)
        else:
            empty = buffer[here:end] == _ZERO_STEP[: end - here]
        if empty and first >= 0:
            yield first, here
            first = -1
        elif not empty and first < 0:
            first = here
        here = end
    if first >= 0:
        yield first, length


# -- a RAW disk: its bytes and nothing else


def write_raw(source: DiskSource, out: Output, content: Content) -> None:
    """Fill ``out`` with the disk, holes where it is zeros; exactly ``source.size`` bytes."""
    for offset, data in runs(source, content):
        out.write_at(offset, data)
    out.resize(source.size)


def raw_pieces(source: DiskSource, on_data: OnData | None = None) -> Iterator[memoryview]:
    """All bytes of the disk front to back; a piece is only good until the next one is asked for.

    ``on_data`` hears the byte of the disk and the data of what is not zeros.
    """
    at = 0
    for offset, data in runs(source, Content(wanted=False)):
        if on_data is not None:
            on_data(offset, data)
        yield from zeros(offset - at)
        yield data
        at = offset + len(data)
    yield from zeros(source.size - at)
