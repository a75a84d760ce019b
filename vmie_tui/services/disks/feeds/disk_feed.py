"""Every byte stream an upload needs: a disk in the format wanted, from a host's stream or from random access.

- `DiskFeed`: a host's VMDK stream as it is; `decoded`: the same stream as RAW or fixed VHD, made on the way.
- `disk_feed`: a `DiskSource` as streamOptimized VMDK, RAW or dynamic VHD; the same bytes each time it is made.
- `blocks` and `blocks_of`: the data of a host's stream, or of a `DiskSource`, for a writer of EBS snapshots.

Whatever comes from a host is hashed as received, and proven by ``at_end`` before the end is reported. ``on_data``
everywhere hears the byte of the disk and its data, only good during the call: `Sampler.take` fits.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Generator, Iterator
from types import TracebackType
from typing import Protocol, Self

from vmie_tui.close_on_exit import Closing
from vmie_tui.model.plan import UploadFormat
from vmie_tui.services.disks.feeds.grain_stream import ReceivedGrains
from vmie_tui.services.disks.feeds.tee import CHUNK, Readable, Tee
from vmie_tui.services.disks.formats.vhd_write import SECTOR, dynamic_pieces, dynamic_size, fixed_footer, whole_sectors
from vmie_tui.services.disks.formats.vmdk_stream import StreamDecoder
from vmie_tui.services.disks.formats.vmdk_write import Mode, encoded_pieces, most_bytes
from vmie_tui.services.disks.streams.pieces import OnData, raw_pieces, runs_of, zeros
from vmie_tui.services.disks.streams.proof_samples import BLOCK
from vmie_tui.services.disks.streams.source import DiskSource, read_exactly

Piece = bytes | memoryview
Put = Callable[[int, memoryview], object]


class Feed(Protocol):
    """A pull source of an upload's bytes. A context manager: leaving it ends its threads.

    ``sha256`` (hex) and ``size`` are those of all bytes given; they hold once `fill` has returned 0.
    """

    sha256: str
    size: int

    def fill(self, view: memoryview) -> int:
        """Bytes written into ``view``, 0 at the end; blocks, raises what the source raises."""

    def close(self) -> None:
        """Ends the threads, at any point; idempotent. Call it from the thread that calls `fill`."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None
    ) -> None: ...


class DiskFeed(Closing):
    """Fills upload buffers from a disk's stream while its SHA-256 is taken and its VMDK structure is proven.

    ``check`` is called before each read and may raise, ``on_bytes`` after it. ``at_end`` is called once with the
    SHA-256 and the size of all bytes, before the end is reported: what it raises keeps the upload from being
    completed. In a consumer's thread ``on_offset`` hears up to which byte of the disk the stream has come, and
    ``on_data`` what it holds (byte of the disk, data, only good during the call).
    """

    def __init__(
        self,
        stream: Readable,
        *,
        check: Callable[[], None],
        on_bytes: Callable[[int], None],
        at_end: Callable[[str, int], None],
        on_offset: Callable[[int], None] | None = None,
        on_data: OnData | None = None,
    ) -> None:
        self.sha256, self.size = "", 0
        self._stream, self._check, self._on_bytes = stream, check, on_bytes
        self._at_end, self._on_offset, self._on_data = at_end, on_offset, on_data
        self._hash = hashlib.sha256()
        self._decoder = StreamDecoder(self._grain if on_offset or on_data else None, inflate=True)
        self._tee = Tee(sha256=self._hash.update, vmdk=self._decoder.feed)

    def close(self) -> None:
        self._tee.close()

    def _grain(self, offset: int, data: memoryview) -> None:
        if self._on_data is not None:
            self._on_data(offset, data)
        if self._on_offset is not None:
            self._on_offset(offset + len(data))

    def fill(self, view: memoryview) -> int:
        """Bytes written into ``view``; 0 at the end, then everything is proven. Raises ServiceError."""
        if self.sha256:
            return 0
        self._check()
        count = self._stream.readinto(view[:CHUNK])
        if count == 0:
            self._tee.drain()
            self._decoder.finish()
            sha256 = self._hash.hexdigest()
            self._at_end(sha256, self.size)
            self.sha256 = sha256
            return 0
        self._tee.put(view[:count])
        self.size += count
        self._on_bytes(count)
        return count


class PieceFeed(Closing):
    """A `Feed` of pieces made one after the other, in the thread that fills; hashed in another one.

    ``done`` is called when it is closed. Each piece need only be good until the next one is asked for.
    """

    def __init__(self, pieces: Iterator[Piece], done: Callable[[], None] = lambda: None) -> None:
        self.sha256, self.size = "", 0
        self._pieces, self._done = pieces, done
        self._rest = memoryview(b"")
        self._hash = hashlib.sha256()
        self._tee = Tee(sha256=self._hash.update)

    def close(self) -> None:
        if isinstance(self._pieces, Generator):
            self._pieces.close()
        self._done()
        self._tee.close()

    def fill(self, view: memoryview) -> int:
        """Bytes written into ``view``, 0 at the end. Raises what the source raises."""
        if self.sha256:
            return 0
        view, count = view[:CHUNK], 0
        while count < len(view):
            if not self._rest:
                piece = next(self._pieces, None)
                if piece is None:
                    break
                self._rest = memoryview(piece)
            step = min(len(view) - count, len(self._rest))
            view[count : count + step] = self._rest[:step]
            self._rest = self._rest[step:]
            count += step
        if count:
            self._tee.put(view[:count])
            self.size += count
        else:
            self._tee.drain()
            self.sha256 = self._hash.hexdigest()
        return count


def disk_feed(
    source: DiskSource,
    format: UploadFormat,
    *,
    mode: Mode = "fast",
    name: str = "disk",
    on_data: OnData | None = None,
) -> PieceFeed:
    """``source`` as streamOptimized VMDK, RAW, or dynamic VHD (blocks for what lies within its extents).

    The same disk, mode and name give the same bytes. Nothing is read before the first `fill`, which raises
    ``DiskFormatError``: INVALID for an empty disk or one that the format cannot hold, CORRUPT for one that ends early
    or changes meanwhile, and what ``source`` raises. ValueError for OVA, which is no disk.
    """
    match format:
        case UploadFormat.VMDK:
            return PieceFeed(encoded_pieces(source, mode=mode, name=name, on_data=on_data))
        case UploadFormat.VHD:
            return PieceFeed(dynamic_pieces(source, name, on_data))
        case UploadFormat.RAW:
            return PieceFeed(raw_pieces(source, on_data))
    raise ValueError(f"a disk cannot be fed as {format}")


def stored_size(source: DiskSource, format: UploadFormat) -> int:
    """The size of what `disk_feed` produces: exact for RAW and VHD, an upper bound for VMDK."""
    match format:
        case UploadFormat.VHD:
            return dynamic_size(source)
        case UploadFormat.RAW:
            return source.size
    return most_bytes(source)


def decoded(
    stream: Readable,
    format: UploadFormat,
    capacity: int,
    *,
    check: Callable[[], None],
    on_bytes: Callable[[int], None],
    at_end: Callable[[str, int], None],
    on_offset: Callable[[int], None] | None = None,
    on_data: OnData | None = None,
    name: str = "disk",
) -> PieceFeed:
    """A host's VMDK stream as RAW (``capacity`` bytes) or fixed VHD (whole sectors and a footer).

    ``check`` (before each read) and ``on_bytes`` (after it) are called in the thread that fills, ``at_end`` once with
    the SHA-256 and the size of what was received, before the last bytes are given. ``on_offset`` hears up to which
    byte of the disk it has come. The feed's own ``sha256`` and ``size`` are those of what it gave. Raises from `fill`
    as `ReceivedGrains` does; ``DiskFormatError`` INVALID for a disk too large for a VHD; ValueError for a format that
    needs no decoding.
    """
    if format not in {UploadFormat.RAW, UploadFormat.VHD}:
        raise ValueError(f"a stream is not decoded for {format}")
    if format is UploadFormat.VHD:
        whole_sectors(capacity)
    grains = ReceivedGrains(stream, capacity, check=check, on_bytes=on_bytes, at_end=at_end)

    def pieces() -> Iterator[Piece]:
        at = 0
        for offset, data in grains:
            yield from zeros(offset - at)
            yield data
            at = offset + len(data)
            if on_data is not None:
                on_data(offset, data)
            if on_offset is not None:
                on_offset(at)
        yield from zeros(capacity - at)
        if format is UploadFormat.VHD:
            yield fixed_footer(capacity, name)

    return PieceFeed(pieces(), grains.close)


def decoded_size(format: UploadFormat, capacity: int) -> int:
    """The size of what `decoded` produces."""
    return capacity if format is UploadFormat.RAW else whole_sectors(capacity) + SECTOR


def blocks(
    stream: Readable,
    capacity: int,
    put: Put,
    *,
    check: Callable[[], None],
    on_bytes: Callable[[int], None],
    at_end: Callable[[str, int], None],
    on_offset: Callable[[int], None] | None = None,
    on_data: OnData | None = None,
) -> None:
    """Give the data of a host's VMDK stream to ``put(byte of the disk, data)``, ascending, each grain once.

    ``put`` is called in the calling thread and may block; it must be done with the data when it returns. The other
    arguments and what is raised are those of `decoded`; when this returns, all was received, given out and proven.
    """
    with ReceivedGrains(stream, capacity, check=check, on_bytes=on_bytes, at_end=at_end) as grains:
        for offset, data in grains:
            put(offset, data)
            if on_data is not None:
                on_data(offset, data)
            if on_offset is not None:
                on_offset(offset + len(data))


def blocks_of(
    source: DiskSource,
    wants: Callable[[int], bool],
    put: Put,
    *,
    check: Callable[[], None] = lambda: None,
    on_offset: Callable[[int], None] | None = None,
    on_data: OnData | None = None,
) -> None:
    """Give the blocks of 512 KiB in which ``source`` may have data to ``put(byte of the disk, data)``, ascending.

    Blocks that ``wants(index)`` refuses are not read. Blocks are whole (zeros where the source has none), the last one
    as long as the disk's end makes it. ``check`` is called before each block and may raise. Raises ``DiskFormatError``
    (CORRUPT) for a source that ends early, and what ``source`` raises.
    """
    buffer = memoryview(bytearray(BLOCK))
    for first, last in runs_of(source, BLOCK):
        for index in range(first, last):
            check()
            at = index * BLOCK
            data = buffer[: min(BLOCK, source.size - at)]
            if wants(index):
                read_exactly(source, at, data)
                put(at, data)
                if on_data is not None:
                    on_data(at, data)
            if on_offset is not None:
                on_offset(at + len(data))
