"""The structures of a sparse VMDK: header, markers, descriptor, and the limits within which a file is believed.

All numbers on disk are little-endian; offsets and capacities there are counted in sectors of 512 bytes.
"""

from __future__ import annotations

import codecs
import contextlib
import os
import re
import struct
from dataclasses import dataclass
from enum import IntEnum
from typing import Self

from vmie_tui.model.formatting import printable
from vmie_tui.services.disks.errors import corrupt, difference, one_of_many, unsupported

SECTOR = 512
GRAIN_SECTORS = 128
GRAIN = GRAIN_SECTORS * SECTOR
ENTRIES = 512  # grain table entries per table, in every producer known
TABLE_BYTES = ENTRIES * 4
TABLE_SECTORS = TABLE_BYTES // SECTOR
AT_END = 0xFFFFFFFFFFFFFFFF  # gdOffset of a stream: look in the footer
MAX_CAPACITY_SECTORS = (64 << 40) // SECTOR  # vSphere stops at 62 TB
MAX_DESCRIPTOR = 1 << 20
MAX_LINES = 1 << 16
MAX_EXTENTS = 1 << 15  # 62 TB in pieces of 2 GB
MAX_DIRECTORY = 8 << 20  # bytes: 64 TiB with 64 KiB grains
NO_PARENT = "ffffffff"

MAGIC = b"KDMV"
FLAG_NEWLINES, FLAG_ZERO_GRAINS, FLAG_COMPRESSED, FLAG_MARKERS = 0x1, 0x4, 0x10000, 0x20000
DEFLATE = 1

_TABLE = struct.Struct(f"<{ENTRIES}I")
_HEADER = struct.Struct("<4sIIQQQQIQQQB4sH")
MARKER = struct.Struct("<QI")  # sector or length, compressed bytes; grain data follows at once
MARKER_SIZE = MARKER.size
META_MARKER = struct.Struct("<QII")  # sectors that follow, 0, kind


class Mark(IntEnum):
    """What a metadata marker announces."""

    END = 0
    TABLE = 1
    DIRECTORY = 2
    FOOTER = 3


def sectors(nbytes: int) -> int:
    """Sectors that hold ``nbytes``."""
    return -(-nbytes // SECTOR)


@dataclass(frozen=True, slots=True)
class SparseHeader:
    """The 512 bytes at the start of a sparse extent, and again in its footer. Lengths in sectors."""

    capacity: int
    flags: int = FLAG_NEWLINES | FLAG_COMPRESSED | FLAG_MARKERS
    version: int = 3
    grain_sectors: int = GRAIN_SECTORS
    descriptor_offset: int = 1
    descriptor_sectors: int = 20
    entries: int = ENTRIES
    spare_directory: int = 0
    directory: int = AT_END
    overhead: int = GRAIN_SECTORS
    compression: int = DEFLATE

    @property
    def grain_bytes(self) -> int:
        return self.grain_sectors * SECTOR

    @property
    def capacity_bytes(self) -> int:
        return self.capacity * SECTOR

    @property
    def tables(self) -> int:
        """Grain tables that cover the capacity."""
        return -(-self.capacity // (self.grain_sectors * self.entries))

    @property
    def compressed(self) -> bool:
        return bool(self.flags & FLAG_COMPRESSED)

    @property
    def zero_entry(self) -> int:
        """The highest grain table entry that stands for zeros: with a flag, entry 1 is a grain of zeros."""
        return 1 if self.flags & FLAG_ZERO_GRAINS else 0

    def agrees_with(self, footer: SparseHeader) -> bool:
        """Whether a footer describes the same disk; writers differ in the fields that only the header needs."""
        return (footer.capacity, footer.grain_sectors, footer.entries, footer.compression, footer.compressed) == (
            self.capacity,
            self.grain_sectors,
            self.entries,
            self.compression,
            self.compressed,
        )

    def pack(self) -> bytes:
        return _HEADER.pack(
            MAGIC,
            self.version,
            self.flags,
            self.capacity,
            self.grain_sectors,
            self.descriptor_offset,
            self.descriptor_sectors,
            self.entries,
            self.spare_directory,
            self.directory,
            self.overhead,
            0,
            b"\n \r\n",
            self.compression,
        ).ljust(SECTOR, b"\0")

    @classmethod
    def unpack(cls, data: bytes | memoryview) -> Self:
        """The fields as they stand, unjudged; raises INVALID when the magic number is not there."""
        if len(data) < _HEADER.size or bytes(data[:4]) != MAGIC:
            raise unsupported("this is not a sparse VMDK: its first bytes are not KDMV")
        fields = _HEADER.unpack_from(data)
        _, version, flags, capacity, grain, desc_at, desc_len, entries, spare, directory, overhead, _, _, method = (
            fields
        )
        return cls(capacity, flags, version, grain, desc_at, desc_len, entries, spare, directory, overhead, method)

    def check(self) -> None:
        """Refuse numbers no real producer writes, before anything is allocated from them."""
        if not 1 <= self.version <= 3:
            raise unsupported(f"VMDK version {self.version} is not known")
        if not 0 < self.capacity <= MAX_CAPACITY_SECTORS:
            raise corrupt(f"the VMDK header says {self.capacity} sectors; 1 sector to 64 TiB is possible")
        if not 8 <= self.grain_sectors <= 2048 or self.grain_sectors & (self.grain_sectors - 1):
            raise corrupt(f"the VMDK header says a grain of {self.grain_sectors} sectors; 128 is usual")
        if self.entries != ENTRIES:
            raise corrupt(f"the VMDK header says {self.entries} entries in a grain table; {ENTRIES} is usual")
        if self.tables * 4 > MAX_DIRECTORY:
            raise corrupt(f"the VMDK's grain directory would take {self.tables * 4} bytes")

    def check_descriptor(self, found: Descriptor) -> None:
        """Refuse a descriptor of another disk than this header's, or of one that this file is only a part of.

        Raises ``DiskFormatError``: INVALID for a part of a disk or a difference to a parent; CORRUPT for another
        capacity than the header's.
        """
        if found.parent:
            raise difference(f"the VMDK holds only the difference to its parent {found.parent}")
        if len(found.extents) > 1:
            raise one_of_many(f"its descriptor names {len(found.extents)} extents")
        if found.extents and found.capacity != self.capacity_bytes:
            raise corrupt(
                f"the VMDK's header says {self.capacity_bytes} bytes of disk, its descriptor {found.capacity}"
            )

    def check_stream(self) -> None:
        """As `check`, and that it is the compressed, marked kind that VM import takes (E04 when not)."""
        if not self.compressed or self.compression != DEFLATE:
            method = self.compression if self.compressed else 0
            raise unsupported(f"the VMDK is not streamOptimized: compression algorithm {method}")
        if not self.flags & FLAG_MARKERS:
            raise unsupported("the VMDK is compressed but has no markers, so it is not streamOptimized")
        self.check()
        if self.overhead < 1:
            raise corrupt("the VMDK header says that grains start at the header")


def listed(table: bytes | memoryview, header: SparseHeader) -> dict[int, int]:
    """The entries of a grain table that point at a grain: slot -> sector, in slot order."""
    none = header.zero_entry
    return {slot: sector for slot, sector in enumerate(_TABLE.unpack(table)) if sector > none}


def meta_marker(kind: Mark, length: int) -> bytes:
    """One sector that announces ``length`` sectors of metadata."""
    return META_MARKER.pack(length, 0, kind).ljust(SECTOR, b"\0")


@dataclass(frozen=True, slots=True)
class Extent:
    """One extent line of a descriptor: a run of the disk, and the file its data is in."""

    access: str  # RW, RDONLY or NOACCESS
    sectors: int
    kind: str  # FLAT, SPARSE, ZERO, VMFS, VMFSSPARSE, SESPARSE, VMFSRDM, ...
    file: str = ""  # as the descriptor's encoding says; "" for none
    stored: str = ""  # the same bytes as this machine's file system decodes them
    start: int = 0  # sector of the file at which the data begins


@dataclass(frozen=True, slots=True)
class Descriptor:
    """What the text part of a VMDK tells."""

    create_type: str = ""
    parent: str | None = None
    extents: tuple[Extent, ...] = ()

    @property
    def capacity(self) -> int:
        """Bytes of all extents, those without access too: they are part of the disk in VMware's format."""
        return sum(extent.sectors for extent in self.extents) * SECTOR

    @property
    def files(self) -> tuple[str, ...]:
        return tuple(extent.file for extent in self.extents if extent.file)


_ACCESS = frozenset({b"RW", b"RDONLY", b"NOACCESS"})
_ENCODINGS = ("utf-8", "us-ascii", "windows-", "cp", "iso-8859-", "gb", "big5", "shift", "euc-", "koi8", "mac")


def parse_descriptor(data: bytes) -> Descriptor:
    """Read an embedded or separate descriptor, line by line; unknown lines are ignored.

    Raises ``DiskFormatError`` (CORRUPT) for an extent line that cannot be read, and for more lines, extents or sectors
    than any disk has.
    """
    lines = _eight_bit(data).split(b"\0", 1)[0].splitlines()
    if len(data) > MAX_DESCRIPTOR or len(lines) > MAX_LINES:
        raise corrupt(f"the VMDK's descriptor has more than {MAX_LINES} lines, or more than {MAX_DESCRIPTOR} bytes")
    fields: dict[bytes, bytes] = {}
    found: list[tuple[int, bytes]] = []
    parents: list[bytes] = []
    for number, line in enumerate(lines, 1):
        if line.split(None, 1)[:1] and line.split(None, 1)[0].upper() in _ACCESS:
            found.append((number, line))
            continue
        key, equals, value = line.partition(b"=")
        if equals:
            key, value = key.strip().lower(), _unquoted(value.strip())
            fields.setdefault(key, value)
            if key == b"parentcid":
                parents.append(value)
    if len(found) > MAX_EXTENTS:
        raise corrupt(f"the VMDK's descriptor names more than {MAX_EXTENTS} extents")
    encoding = fields.get(b"encoding", b"")
    extents = tuple(_extent(number, line, encoding) for number, line in found)
    if sum(extent.sectors for extent in extents) > MAX_CAPACITY_SECTORS:
        raise corrupt("the extents of the VMDK's descriptor add up to more than 64 TiB")
    hint = _decoded(fields.get(b"parentfilenamehint", b""), encoding)
    other = next((value for value in parents if value.lower() != NO_PARENT.encode()), b"")
    parent = printable(hint or _decoded(other, encoding)) or None
    return Descriptor(printable(_decoded(fields.get(b"createtype", b""), encoding)), parent, extents)


def is_descriptor(head: bytes) -> bool:
    """Whether a file that begins so is a VMDK's descriptor.

    It begins with its title; by hand or by other programs also with other comments, but always with its version then.
    """
    for line in _eight_bit(head).splitlines():
        words = b"".join(line.lower().split())
        if words.startswith(b"#diskdescriptorfile"):
            return True
        if words and not words.startswith(b"#"):
            return words.startswith(b"version=") and b"createtype" in _eight_bit(head).lower()
    return False


def _eight_bit(data: bytes) -> bytes:
    """A descriptor without its byte order mark; as UTF-8, if an editor has saved it as UTF-16."""
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return data.decode("utf-16", "replace").encode("utf-8", "replace")
    if data[1:2] == b"\0" or (data[:1] == b"\0" and data[1:2].strip(b"\0")):
        return data.decode("utf-16-le" if data[1:2] == b"\0" else "utf-16-be", "replace").encode("utf-8", "replace")
    return data.removeprefix(codecs.BOM_UTF8)


def _unquoted(value: bytes) -> bytes:
    return value[1:].partition(b'"')[0] if value.startswith(b'"') else value


def _extent(number: int, line: bytes, encoding: bytes) -> Extent:
    """``access sectors kind ["file" [start]]``; what may follow (a partition's id) is not needed."""
    access, *rest = line.split(None, 3)
    count, kind, place = (*rest, b"", b"", b"")[:3]
    file, start = b"", b""
    if place.startswith(b'"'):
        file, closed, after = place[1:].partition(b'"')
        start = (after.split(None, 1) or [b""])[0] if closed else b"?"
    elif place:
        start = b"?"
    if not (count.isdigit() and len(count) <= 15 and kind) or (start and not (start.isdigit() and len(start) <= 15)):
        raise corrupt(
            f"line {number} of the VMDK's descriptor cannot be read: {printable(_decoded(line[:80], encoding))}"
        )
    file = file.removeprefix(b"./").removeprefix(b".\\")
    return Extent(
        access.decode().upper(),
        int(count),
        kind.upper().decode("ascii", "replace"),
        _decoded(file, encoding),
        os.fsdecode(file),
        int(start or 0),
    )


def _decoded(value: bytes, encoding: bytes) -> str:
    """``value`` in the encoding a descriptor declares, as far as Python knows it; never raises."""
    name = encoding.decode("ascii", "replace").strip().lower().replace("_", "-")
    number = name.removeprefix("windows-")
    for codec in (name, f"cp{number}") if name.startswith(_ENCODINGS) else ():
        with contextlib.suppress(LookupError, ValueError):  # unknown here; or not what the bytes are
            return value.decode(codec)
    return value.decode("utf-8", "replace")


def make_descriptor(capacity: int, name: str) -> bytes:
    """The descriptor of a streamOptimized disk of ``capacity`` sectors kept in the file ``name``."""
    safe = re.sub(r'["\\/\x00-\x1f]', "_", name)[:200] or "disk.vmdk"
    return f"""# Disk DescriptorFile
version=1
CID=fffffffe
parentCID={NO_PARENT}
createType="streamOptimized"

# Extent description
RW {capacity} SPARSE "{safe}"

# The Disk Data Base
#DDB

ddb.virtualHWVersion = "4"
ddb.geometry.cylinders = "{max(1, min(65535, capacity // (255 * 63)))}"
ddb.geometry.heads = "255"
ddb.geometry.sectors = "63"
ddb.adapterType = "lsilogic"
""".encode()
