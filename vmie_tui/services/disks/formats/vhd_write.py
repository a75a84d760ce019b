"""Writes VHD, fixed and dynamic, after Microsoft's format specification 1.0. Numbers on disk are big-endian."""

from __future__ import annotations

import struct
import sys
import time
import uuid
from array import array
from collections.abc import Iterator

from vmie_tui.model.errors import ErrorKind
from vmie_tui.services.disks.errors import DiskFormatError
from vmie_tui.services.disks.streams.output import Output
from vmie_tui.services.disks.streams.pieces import Content, OnData, runs, runs_of, zeros
from vmie_tui.services.disks.streams.source import DiskSource

SECTOR = 512
BLOCK = 2 << 20
BITMAP = BLOCK // SECTOR // 8  # one bit for each sector of a block
MAX_SIZE = 2040 << 30
FIXED, DYNAMIC = 2, 3
_UNUSED = 0xFFFFFFFF
_NO_OFFSET = 0xFFFFFFFFFFFFFFFF
_HEADER_AT, _TABLE_AT = SECTOR, SECTOR + 1024
_EPOCH = 946_684_800  # 2000-01-01, from which a VHD counts its seconds
_FOOTER = struct.Struct(">8sIIQI4sI4sQQHBBII16sB")
_HEADER = struct.Struct(">8sQQIIII")
# qemu, and what is built on it, cuts a disk down to its CHS geometry unless its creator is one it trusts with the exact
# size; Hyper-V's name is the one that all readers know.
_CREATOR, _CREATOR_VERSION, _CREATOR_OS = b"win ", 0x000A0000, b"Wi2k"


def whole_sectors(size: int) -> int:
    """The disk's size in a VHD: whole sectors. ``DiskFormatError`` (INVALID) for one that is empty or too large."""
    if not 0 < size <= MAX_SIZE:
        raise DiskFormatError(
            ErrorKind.INVALID,
            "the disk is empty" if size <= 0 else "a VHD holds 2,040 GiB at most, the disk is larger",
            remedy="Check the source: it has no bytes" if size <= 0 else "Convert it to RAW or VMDK",
        )
    return -(-size // SECTOR) * SECTOR


def geometry(size: int) -> tuple[int, int, int]:
    """(cylinders, heads, sectors per track) by the specification's appendix; up to 127 GiB are expressible."""
    total = min(size // SECTOR, 65535 * 16 * 255)
    if total >= 65535 * 16 * 63:
        track, heads = 255, 16
        both = total // track
    else:
        track = 17
        both = total // track
        heads = max(4, (both + 1023) // 1024)
        if both >= heads * 1024 or heads > 16:
            track, heads = 31, 16
            both = total // track
        if both >= heads * 1024:
            track, heads = 63, 16
            both = total // track
    return both // heads, heads, track


def make_footer(size: int, kind: int, ident: uuid.UUID, *, made: float | None = None) -> bytes:
    """The 512 bytes at the end of every VHD, and at the start of a dynamic one. ``size``: bytes, whole sectors.

    ``made``: seconds since 1970, None for now.
    """
    seconds = max(0, int(time.time() if made is None else made) - _EPOCH)
    cylinders, heads, track = geometry(size)

    def packed(checksum: int) -> bytes:
        return _FOOTER.pack(
            b"conectix",
            2,  # features: the reserved bit that is always set
            0x10000,
            _HEADER_AT if kind == DYNAMIC else _NO_OFFSET,
            seconds,
            _CREATOR,
            _CREATOR_VERSION,
            _CREATOR_OS,
            size,
            size,
            cylinders,
            heads,
            track,
            kind,
            checksum,
            ident.bytes,
            0,
        ).ljust(SECTOR, b"\0")

    return packed(~sum(packed(0)) & 0xFFFFFFFF)


def _dynamic_header(blocks: int) -> bytes:
    def packed(checksum: int) -> bytes:
        return _HEADER.pack(b"cxsparse", _NO_OFFSET, _TABLE_AT, 0x10000, blocks, BLOCK, checksum).ljust(1024, b"\0")

    return packed(~sum(packed(0)) & 0xFFFFFFFF)


def write_vhd_fixed(source: DiskSource, out: Output, content: Content) -> None:
    """The disk as it is, in whole sectors, and the footer behind it."""
    size = whole_sectors(source.size)
    for offset, data in runs(source, content):
        out.write_at(offset, data)
    out.write_at(size, make_footer(size, FIXED, uuid.uuid4()))


def write_vhd_dynamic(source: DiskSource, out: Output, content: Content) -> None:
    """The blocks of 2 MiB that hold data, in the order of the disk, behind a table of them."""
    size = whole_sectors(source.size)
    table = array("I", [_UNUSED]) * -(-size // BLOCK)
    position = -(-(_TABLE_AT + 4 * len(table)) // SECTOR) * SECTOR
    for offset, data in runs(source, content):
        number, within = divmod(offset, BLOCK)  # a run stays in its MiB, so in one block
        if table[number] == _UNUSED:
            table[number] = position // SECTOR
            out.write_at(position, b"\xff" * BITMAP)
            position += BITMAP + BLOCK
        out.write_at(table[number] * SECTOR + BITMAP + within, data)
    footer = make_footer(size, DYNAMIC, uuid.uuid4())
    out.write_at(0, footer + _dynamic_front(table))
    out.write_at(position, footer)


def _dynamic_front(table: array[int]) -> bytes:
    """Header and table of a dynamic VHD; ``table`` is used up."""
    header = _dynamic_header(len(table))
    if sys.byteorder == "little":
        table.byteswap()
    return header + table.tobytes() + b"\xff" * (-4 * len(table) % SECTOR)


def _ident(size: int, name: str) -> uuid.UUID:
    """The same for the same disk, so that an upload that goes on meets the bytes it has sent."""
    return uuid.uuid5(uuid.NAMESPACE_OID, f"{size} {name}")


def fixed_footer(size: int, name: str) -> bytes:
    """What makes a fixed VHD of a disk's bytes: zeros up to whole sectors, and the footer, always the same."""
    whole = whole_sectors(size)
    return bytes(whole - size) + make_footer(whole, FIXED, _ident(whole, name), made=_EPOCH)


def dynamic_size(source: DiskSource) -> int:
    """Bytes of the VHD that `dynamic_pieces` makes."""
    whole_sectors(source.size)
    _, position = _table_of(source)
    return position + SECTOR


def _table_of(source: DiskSource) -> tuple[array[int], int]:
    """The table of a VHD with a block for whatever lies within the extents, and the byte behind its last block."""
    table = array("I", [_UNUSED]) * -(-source.size // BLOCK)
    position = -(-(_TABLE_AT + 4 * len(table)) // SECTOR) * SECTOR
    for first, last in runs_of(source, BLOCK):
        for number in range(first, last):
            table[number] = position // SECTOR
            position += BITMAP + BLOCK
    return table, position


def dynamic_pieces(source: DiskSource, name: str, on_data: OnData | None = None) -> Iterator[bytes | memoryview]:
    """A dynamic VHD front to back, the same bytes for the same disk: blocks for all that lies within the extents.

    A piece is only good until the next one is asked for. Raises ``DiskFormatError`` (CORRUPT) when the extents
    change meanwhile.
    """
    size = whole_sectors(source.size)
    table, _ = _table_of(source)
    used = [number for number, sector in enumerate(table) if sector != _UNUSED]
    footer = make_footer(size, DYNAMIC, _ident(size, name), made=_EPOCH)
    yield footer + _dynamic_front(table)
    data = runs(source, Content(wanted=False))
    run = next(data, None)
    for number in used:
        yield b"\xff" * BITMAP
        at, end = number * BLOCK, (number + 1) * BLOCK
        while run is not None and at <= run[0] < end:
            if on_data is not None:
                on_data(*run)
            yield from zeros(run[0] - at)
            yield run[1]
            at = run[0] + len(run[1])
            run = next(data, None)
        yield from zeros(end - at)
    if run is not None:
        raise DiskFormatError(
            ErrorKind.CORRUPT,
            f"the disk changed while it was read: data at byte {run[0]} where was none",
            remedy="Check that nothing changes the disk while it is read",
            retry_safe=True,
        )
    yield footer
