"""Partition tables: MBR with logical partitions, GPT with its checksums, dynamic disks, and no table at all."""

from __future__ import annotations

import struct
import uuid
import zlib
from dataclasses import replace

from vmie_tui.model.guest import DiskFacts, Partition
from vmie_tui.services.disks.source import ByteReader

SECTOR = 512
_START = 64 << 10
ESP = "c12a7328-f81f-11d2-ba4b-00a0c93ec93b"
BIOS_BOOT = "21686148-6449-6e6f-744e-656564454649"
_LDM = {"5808c8aa-7e8f-42e0-85d2-e1e90434cfb3", "af9b60a0-1431-4f62-bc68-3311714a69ad"}
_EXTENDED, _PROTECTIVE, _MBR_LDM = {0x05, 0x0F, 0x85}, 0xEE, 0x42
_MOST_LOGICAL = 128
_MOST_ENTRIES, _MAX_ENTRY = 1024, 4096


def read_table(source: ByteReader, number: int, whole: str) -> DiskFacts:
    """What the first sectors say. ``whole``: the kind of file system that begins at byte 0, "" for none."""
    facts = DiskFacts(number, source.size, "")
    boot = source.read_at(0, SECTOR)
    if whole and whole not in {"fat", "ntfs"}:
        return _unpartitioned(facts)
    if len(boot) < SECTOR or boot[510:] != b"\x55\xaa":
        blank = not any(source.read_at(0, _START))
        return replace(facts, problem="its first sector has no boot signature (55AA)", blank=blank)
    if whole:  # FAT and NTFS boot sectors carry the signature too, where a table would be is their code
        return _unpartitioned(facts)
    facts = replace(facts, boot_code=any(boot[:440]))
    entries = [(boot[at], boot[at + 4], *struct.unpack_from("<II", boot, at + 8)) for at in range(446, 510, 16)]
    if any(entry[1] == _PROTECTIVE for entry in entries):
        return _gpt(source, facts)
    return _mbr(source, facts, entries)


def _unpartitioned(facts: DiskFacts) -> DiskFacts:
    return replace(facts, table="none", partitions=(Partition(0, 0, facts.size, ""),))


def _mbr(source: ByteReader, facts: DiskFacts, entries: list[tuple[int, int, int, int]]) -> DiskFacts:
    found: list[Partition] = []
    for number, (flag, kind, first, count) in enumerate(entries, 1):
        if kind in _EXTENDED:
            found += _logical(source, first)
        elif kind and count:
            found.append(_partition(number, f"{kind:02x}", first * SECTOR, count * SECTOR, active=flag == 0x80))
    found = [part for part in found if 0 < part.offset < source.size]
    if not found:
        return replace(facts, problem="its partition table is empty")
    dynamic = any(part.type == f"{_MBR_LDM:02x}" for part in found)
    return replace(facts, table="mbr", partitions=tuple(found), dynamic=dynamic, bios_boot=facts.boot_code)


def _partition(number: int, kind: str, offset: int, size: int, *, active: bool = False) -> Partition:
    return Partition(number, offset, size, kind, active)


def _logical(source: ByteReader, base: int) -> list[Partition]:
    """The chain of an extended partition: each link has one partition and the way to the next."""
    found: list[Partition] = []
    at, seen = base, set[int]()
    while at not in seen and len(seen) < _MOST_LOGICAL:
        seen.add(at)
        link = source.read_at(at * SECTOR, SECTOR)
        if len(link) < SECTOR or link[510:] != b"\x55\xaa":
            break
        kind, (first, count) = link[450], struct.unpack_from("<II", link, 454)
        if kind and count:
            found.append(_partition(5 + len(found), f"{kind:02x}", (at + first) * SECTOR, count * SECTOR))
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
                facts, partitions=tuple(entries), dynamic=bool(kinds & _LDM), bios_boot=boot, backup=at != size
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
            kind = str(uuid.UUID(bytes_le=entry[:16]))
            active = bool(flags & 4)
            found.append(_partition(number + 1, kind, begin * sector, (end - begin + 1) * sector, active=active))
    return found or "the GPT has no partitions"
