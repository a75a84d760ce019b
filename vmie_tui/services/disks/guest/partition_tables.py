"""Partition tables: MBR with logical partitions, GPT with its checksums, dynamic disks, and no table at all."""

from __future__ import annotations

import struct
import uuid
import zlib
from dataclasses import replace

from vmie_tui.model.guest import DiskFacts, Partition
from vmie_tui.services.disks.streams.source import ByteReader

SECTOR = 512
_START = 64 << 10
ESP = "c12a7328-f81f-11d2-ba4b-00a0c93ec93b"
BIOS_BOOT = "21686148-6449-6e6f-744e-656564454649"
_LDM = {"5808c8aa-7e8f-42e0-85d2-e1e90434cfb3", "af9b60a0-1431-4f62-bc68-3311714a69ad"}
_EXTENDED, _PROTECTIVE, _MBR_LDM = {0x05, 0x0F, 0x85}, 0xEE, 0x42
_MOST_LOGICAL = 128
_MOST_ENTRIES, _MAX_ENTRY = 1024, 4096
_HYBRID = 64  # sectors: up to here the first partition of a CD image that can also be started from a USB stick begins
_CDS = {"iso9660", "udf"}

_LABELS = (
    (508, b"\xda\xbe", "a Sun disk label"), (0, b"\x0b\xe5\xa9\x41", "an SGI disk label"),
    (0, b"ER\2\0", "an Apple partition map"), (0, b"RDSK", "an Amiga disk label"),
)  # fmt: skip

_Entry = tuple[int, int, int, int]  # flag, type, first sector, sectors


def read_table(source: ByteReader, number: int, whole: str, *, sector: int = SECTOR) -> DiskFacts:
    """What the first sectors say. ``whole``: what seems to begin at byte 0 (see `identify`), "" for nothing.

    A valid partition table goes before ``whole``: what was on the disk before it was partitioned leaves its signature
    in the gap behind the table. ``sector``: bytes in which an MBR counts.
    """
    facts = DiskFacts(number, source.size, "")
    boot = source.read_at(0, SECTOR)
    signed = len(boot) == SECTOR and boot[510:] == b"\x55\xaa"
    if not signed:
        if whole:
            return _unpartitioned(facts)
        label = next((name for at, magic, name in _LABELS if boot[at : at + len(magic)] == magic), "")
        why = f"it has {label}, of a system that VM import does not take" if label else ""
        blank = not any(source.read_at(0, _START))
        return replace(facts, problem=why or "its first sector has no boot signature (55AA)", blank=blank)
    entries = [(boot[at], boot[at + 4], *struct.unpack_from("<II", boot, at + 8)) for at in range(446, 510, 16)]
    used = [entry for entry in entries if any(entry)]
    if whole and not _credible(used, source.size):  # FAT and NTFS are signed too, with code in the place of a table
        return _unpartitioned(facts)
    facts = replace(facts, boot_code=any(boot[:440]))
    if any(entry[1] == _PROTECTIVE for entry in entries):
        found = _gpt(source, facts)
    else:
        found = _mbr(source, facts, entries, f"{struct.unpack_from('<I', boot, 440)[0]:08x}", sector)
    first = min([*(entry[2] for entry in used), *(part.offset // SECTOR for part in found.partitions)], default=0)
    if whole and (not found.partitions or (whole in _CDS and first <= _HYBRID)):
        return _unpartitioned(replace(facts, boot_code=False))
    return found


def _credible(entries: list[_Entry], size: int) -> bool:
    """Whether these are entries of a partition table: flags as there are, inside the disk, no two in one place."""
    taken: list[tuple[int, int]] = []
    for flag, kind, first, count in entries:
        if flag not in {0, 0x80} or not kind or not count or first * SECTOR >= max(size, SECTOR):
            return False
        if any(first < end and start < first + count for start, end in taken) and kind != _PROTECTIVE:
            return False
        taken.append((first, first + count))
    return bool(entries)


def _unpartitioned(facts: DiskFacts) -> DiskFacts:
    return replace(facts, table="none", partitions=(Partition(0, 0, facts.size, ""),))


def _mbr(source: ByteReader, facts: DiskFacts, entries: list[_Entry], signature: str, sector: int) -> DiskFacts:
    found: list[Partition] = []
    for number, (flag, kind, first, count) in enumerate(entries, 1):
        if kind in _EXTENDED:
            found += _logical(source, first, sector)
        elif kind and count:
            found.append(Partition(number, first * sector, count * sector, f"{kind:02x}", flag == 0x80))
    found = [
        replace(part, uuid=f"{signature}-{part.number:02x}" if signature.strip("0") else "")
        for part in found
        if 0 < part.offset < source.size
    ]
    if not found:
        return replace(facts, problem="its partition table is empty")
    dynamic = any(part.type == f"{_MBR_LDM:02x}" for part in found)
    return replace(
        facts, table="mbr", partitions=tuple(found), dynamic=dynamic, bios_boot=facts.boot_code, sector=sector
    )


def _logical(source: ByteReader, base: int, sector: int) -> list[Partition]:
    """The chain of an extended partition: each link has one partition and the way to the next."""
    found: list[Partition] = []
    at, seen = base, set[int]()
    while at not in seen and len(seen) < _MOST_LOGICAL:
        seen.add(at)
        link = source.read_at(at * sector, SECTOR)
        if len(link) < SECTOR or link[510:] != b"\x55\xaa":
            break
        kind, (first, count) = link[450], struct.unpack_from("<II", link, 454)
        if kind and count:
            found.append(Partition(5 + len(found), (at + first) * sector, count * sector, f"{kind:02x}"))
        following, (step,) = link[466], struct.unpack_from("<I", link, 470)
        if following not in _EXTENDED or not step:
            break
        at = base + step
    return found


def _gpt(source: ByteReader, facts: DiskFacts) -> DiskFacts:
    """The first copy that is whole, else the second one at the end of the disk."""
    facts, why = replace(facts, table="gpt"), ""
    for size in (SECTOR, 4096):
        for at in (size, source.size - size):
            header = source.read_at(at, size) if at > 0 else b""
            if header[:8] != b"EFI PART":
                continue
            entries = _gpt_entries(source, header, size)
            if isinstance(entries, str):
                why = why or entries
                continue
            kinds = {part.type for part in entries}
            boot = facts.boot_code and BIOS_BOOT in kinds
            return replace(
                facts,
                partitions=tuple(entries),
                dynamic=bool(kinds & _LDM),
                bios_boot=boot,
                backup=at != size,
                sector=size,
            )
    return replace(facts, table="", problem=why or "it says GPT, but neither copy of that table is there")


def _gpt_entries(source: ByteReader, header: bytes, sector: int) -> list[Partition] | str:
    """The partitions, or why this copy is not valid."""
    (length,), (written,) = struct.unpack_from("<I", header, 12), struct.unpack_from("<I", header, 16)
    if not 92 <= length <= len(header):
        return "the GPT header is damaged"
    if zlib.crc32(header[:16] + bytes(4) + header[20:length]) != written:
        return "the checksum of the GPT header is wrong"
    first, count, width, checksum = struct.unpack_from("<QIII", header, 72)
    if not 0 < count <= _MOST_ENTRIES or not 128 <= width <= _MAX_ENTRY or width % 8 or count * width > 1 << 20:
        return "the GPT header describes an impossible table"
    table = source.read_at(first * sector, count * width)
    if len(table) < count * width or zlib.crc32(table) != checksum:
        return "the checksum of the GPT's partitions is wrong"
    found = []
    for number in range(count):
        entry = table[number * width : (number + 1) * width]
        if not any(entry[:16]):
            continue
        begin, end, flags = struct.unpack_from("<QQQ", entry, 32)
        if 0 < begin <= end and begin * sector < source.size:
            kind, ident = (str(uuid.UUID(bytes_le=entry[at : at + 16])) for at in (0, 16))
            name = entry[56:128].decode("utf-16-le", "replace").split("\0", 1)[0]
            place, length = begin * sector, (end - begin + 1) * sector
            found.append(Partition(number + 1, place, length, kind, bool(flags & 4), ident, name))
    return found or "the GPT has no partitions"
