"""VHDX, fixed and dynamic, by random access. Numbers on disk are little-endian, checksums CRC-32C."""

from __future__ import annotations

import struct
import uuid
from collections.abc import Iterator, Set
from functools import cache

from vmie_tui.model.errors import ErrorKind
from vmie_tui.services.disks.errors import DiskFormatError, corrupt, truncated
from vmie_tui.services.disks.formats.places import CHECKED_AT_ONCE, Places, read_blocks
from vmie_tui.services.disks.streams.source import ByteReader, read_fields

_HEADERS, _TABLES, _TABLE_SIZE = (0x10000, 0x20000), (0x30000, 0x40000), 0x10000
_MIB = 1 << 20
_IN_FILE, _RESERVED, _PARTLY_IN_FILE = 6, 4, 7
_ENTRIES_AT_ONCE = CHECKED_AT_ONCE // 8
_MAX_SIZE = 64 << 40


def _guid(text: str) -> bytes:
    return uuid.UUID(text).bytes_le


_BAT = _guid("2dc27766-f623-4200-9d64-115e9bfd4a08")
_METADATA = _guid("8b7ca206-4790-4b9a-b8fe-575f050f886e")
_PARAMETERS = _guid("caa16737-fa36-4d43-b3b6-33f0aa44e76b")
_DISK_SIZE = _guid("2fa54224-cd1b-4876-b211-5dbed83bf4b8")
_SECTOR_SIZE = _guid("8141bf1d-a96f-4709-ba47-f233a8faab5f")
_PHYSICAL_SECTOR_SIZE = _guid("cda348c7-445d-4471-9cc9-e9885251c556")
_PAGE_83 = _guid("beca12ab-b2e6-4523-93ef-c309e000c746")
_PARENT = _guid("a8d35f2d-b30b-454d-abf7-d3d84834ab0c")
_ITEMS = frozenset({_PARAMETERS, _DISK_SIZE, _SECTOR_SIZE, _PHYSICAL_SECTOR_SIZE, _PAGE_83, _PARENT})


@cache
def _crc_table() -> tuple[int, ...]:
    table = []
    for number in range(256):
        value = number
        for _ in range(8):
            value = value >> 1 ^ (0x82F63B78 if value & 1 else 0)
        table.append(value)
    return tuple(table)


def crc32c(data: bytes) -> int:
    """The Castagnoli checksum."""
    table, value = _crc_table(), 0xFFFFFFFF
    for byte in data:
        value = table[(value ^ byte) & 0xFF] ^ value >> 8
    return value ^ 0xFFFFFFFF


def _valid(block: bytes, magic: bytes) -> bool:
    if len(block) < 8 or not block.startswith(magic):
        return False
    (written,) = struct.unpack_from("<I", block, 4)
    return crc32c(block[:4] + bytes(4) + block[8:]) == int(written)


def _check_known(entry: bytes, known: Set[bytes], required: bool) -> None:
    """A reader must refuse what it does not know and the writer calls required."""
    if required and entry[:16] not in known:
        raise DiskFormatError(
            ErrorKind.INVALID,
            f"the VHDX needs a feature that is not known ({uuid.UUID(bytes_le=entry[:16])})",
            remedy="Convert it to a VHDX of version 1 with Hyper-V (Convert-VHD), or to RAW with qemu-img",
        )


class VhdxReader:
    """A `DiskSource` over a VHDX.

    ``sector``: bytes of its logical sectors, 512 or 4096, in which a guest's partition table counts.
    Raises ``DiskFormatError``: INVALID for one that needs its parent, whose log holds changes not yet in place, or with
    features that are not known; CORRUPT for damaged headers or tables, for tables and blocks behind its end, and two
    blocks in one place. Blocks that are not in the file are zeros.
    """

    def __init__(self, image: ByteReader) -> None:
        self._image = image
        self._check_header()
        regions = self._regions()
        if _BAT not in regions or _METADATA not in regions:
            raise corrupt("the VHDX lacks its block table or its metadata")
        self._bat_at, self._bat_size = regions[_BAT]
        self._regions_at = (0, _MIB), regions[_BAT], regions[_METADATA]
        self._read_metadata(*regions[_METADATA])
        entries = self._blocks + (self._blocks - 1) // self._ratio
        needed = 8 * entries
        if needed > self._bat_size:
            raise corrupt("the VHDX's block table does not cover its disk")
        if self._bat_at + needed > image.size:
            raise truncated(f"the VHDX's block table lies behind the end of the image, which has {image.size} bytes")
        self._entries = entries
        for _ in self._used(min(entries, _ENTRIES_AT_ONCE)):
            pass

    def _check_header(self) -> None:
        found = [block for at in _HEADERS if _valid(block := self._image.read_at(at, 4096), b"head")]
        if not found:
            raise corrupt("both headers of the VHDX are damaged, or it was not received whole")
        newest = max(found, key=lambda block: int(struct.unpack_from("<Q", block, 8)[0]))
        if any(newest[48:64]):
            raise DiskFormatError(
                ErrorKind.INVALID,
                "the VHDX was not closed properly: changes wait in its log",
                remedy="Start and shut down the VM, or mount and dismount the disk in Hyper-V, then copy it again",
            )

    def _regions(self) -> dict[bytes, tuple[int, int]]:
        for at in _TABLES:
            table = self._image.read_at(at, _TABLE_SIZE)
            if len(table) == _TABLE_SIZE and _valid(table, b"regi"):
                count = min(struct.unpack_from("<I", table, 8)[0], 2047)
                entries = [table[16 + 32 * number :][:32] for number in range(count)]
                for entry in entries:
                    _check_known(entry, {_BAT, _METADATA}, bool(entry[28] & 1))
                return {entry[:16]: struct.unpack_from("<QI", entry, 16) for entry in entries}
        raise corrupt("both region tables of the VHDX are damaged, or it was not received whole")

    def _read_metadata(self, base: int, length: int) -> None:
        table = self._image.read_at(base, _TABLE_SIZE)
        if len(table) < _TABLE_SIZE or not table.startswith(b"metadata"):
            raise corrupt("the VHDX's metadata is damaged, or it was not received whole")
        count = min(struct.unpack_from("<H", table, 10)[0], 2047)
        entries = [table[32 + 32 * number :][:32] for number in range(count)]
        for entry in entries:
            _check_known(entry, _ITEMS, bool(entry[24] & 4))
        places = {entry[:16]: struct.unpack_from("<II", entry, 16) for entry in entries}

        def item(ident: bytes, form: str) -> tuple[int, ...]:
            offset, size = places.get(ident, (0, 0))
            wanted = struct.calcsize(form)
            data = self._image.read_at(base + offset, wanted) if size >= wanted and offset < length else b""
            if len(data) < wanted:
                raise corrupt("the VHDX's metadata is incomplete")
            return struct.unpack(form, data)

        self._block, flags = item(_PARAMETERS, "<II")
        (self._size,) = item(_DISK_SIZE, "<Q")
        (self.sector,) = item(_SECTOR_SIZE, "<I")
        if flags & 2:
            raise DiskFormatError(
                ErrorKind.INVALID,
                "the VHDX holds only the difference to its parent",
                remedy="Merge it with its parent (Hyper-V: Edit Disk, Merge) and use the result",
            )
        if not _MIB <= self._block <= 256 * _MIB or self._block & (self._block - 1) or self.sector not in {512, 4096}:
            raise corrupt(f"the VHDX says blocks of {self._block} bytes and sectors of {self.sector}")
        if not 0 < self._size <= _MAX_SIZE:
            raise corrupt(f"the VHDX says a disk of {self._size} bytes")
        self._ratio = (self.sector << 23) // self._block

    @property
    def size(self) -> int:
        return self._size

    @property
    def _blocks(self) -> int:
        return -(-self._size // self._block)

    def _place(self, block: int) -> int | None:
        """Where a block begins in the file; None when it is zeros."""
        at = self._bat_at + 8 * (block + block // self._ratio)
        (entry,) = read_fields(self._image, "<Q", at, "the VHDX's block table")
        return self._place_of(block, entry)

    @staticmethod
    def _place_of(block: int, entry: int) -> int | None:
        state = entry & 7
        if state in {_RESERVED, _PARTLY_IN_FILE}:
            raise corrupt(f"block {block} of the VHDX is in state {state}, which only a disk with a parent can have")
        return entry >> 20 << 20 if state == _IN_FILE else None

    def read_at(self, offset: int, length: int) -> bytes:
        """``length`` bytes from byte ``offset`` of the disk, fewer only at its end."""
        length = max(0, min(length, self._size - offset))
        return read_blocks(self._image, self._block, self._place, (offset, length), "VHDX")

    def extents(self) -> Iterator[tuple[int, int]]:
        """The blocks that are in the file, each held against its end, its tables and the other blocks."""
        yield from self._used(self._entries)

    def _used(self, total: int) -> Iterator[tuple[int, int]]:
        """`extents`, as far as the first ``total`` entries of the table go."""
        places = Places(self._image.size, self._block, "VHDX")
        block = 0
        for first in range(0, total, _ENTRIES_AT_ONCE):
            count = min(_ENTRIES_AT_ONCE, total - first)
            entries = read_fields(self._image, f"<{count}Q", self._bat_at + 8 * first, "the VHDX's block table")
            for number, entry in enumerate(entries, first):
                if number % (self._ratio + 1) == self._ratio:  # the sectors of a disk with a parent
                    continue
                place = self._place_of(block, entry)
                if place is not None:
                    at = block * self._block
                    length = min(self._block, self._size - at)
                    if any(start < place + length and place < start + size for start, size in self._regions_at):
                        raise corrupt(f"block {block} of the VHDX lies where its tables are")
                    places.take(block, place, length)
                    yield at, length
                block += 1
