"""The structures of a sparse VMDK: header, markers, descriptor, and the limits within which a file is believed.

All numbers on disk are little-endian; offsets and capacities there are counted in sectors of 512 bytes.
"""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass
from enum import IntEnum
from typing import Self

from vmie_tui.services.disks.errors import corrupt, unsupported

SECTOR = 512
GRAIN_SECTORS = 128
GRAIN = GRAIN_SECTORS * SECTOR
ENTRIES = 512  # grain table entries per table, in every producer known
TABLE_BYTES = ENTRIES * 4
TABLE_SECTORS = TABLE_BYTES // SECTOR
AT_END = 0xFFFFFFFFFFFFFFFF  # gdOffset of a stream: look in the footer
MAX_CAPACITY_SECTORS = (64 << 40) // SECTOR  # vSphere stops at 62 TB
MAX_DESCRIPTOR = 1 << 20
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
class Descriptor:
    """What the text part of a VMDK tells. ``capacity`` is the sum of its extents in bytes."""

    create_type: str
    parent: str | None
    capacity: int
    files: tuple[str, ...]


_FIELD = re.compile(r'^\s*(createType|parentCID|parentFileNameHint)\s*=\s*"?([^"\r\n]*?)"?\s*$', re.MULTILINE)
_EXTENT = re.compile(r'^\s*(?:RW|RDONLY|NOACCESS)\s+(\d{1,15})\s+\w+(?:\s+"([^"\r\n]*)")?', re.MULTILINE)


def parse_descriptor(data: bytes) -> Descriptor:
    """Read an embedded or separate descriptor; unknown lines are ignored."""
    text = data.split(b"\0", 1)[0].decode("utf-8", "replace")
    found = dict(_FIELD.findall(text))
    linked = found.get("parentCID", NO_PARENT).lower() != NO_PARENT
    extents = _EXTENT.findall(text)
    return Descriptor(
        found.get("createType", ""),
        (found.get("parentFileNameHint") or found["parentCID"]) if linked else None,
        sum(int(length) for length, _ in extents) * SECTOR,
        tuple(name for _, name in extents if name),
    )


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
