"""A guess at the operating system on a decoded disk: partition tables, and the first bytes of file systems."""

from __future__ import annotations

import struct
import uuid
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, Literal

SECTOR = 512
Guess = Literal["Linux", "Windows", ""]
LINUX_TYPES = {0x83, 0x8E, 0x82, 0xFD}
WINDOWS_TYPES = {0x07, 0x17, 0x27, 0x42}
GPT_LINUX = {
    uuid.UUID("0fc63daf-8483-4772-8e79-3d69d8477de4"),
    uuid.UUID("e6d6d379-f507-44c2-a23c-238f2a3df928"),
    uuid.UUID("4f68bce3-e8cd-4db1-96e7-fbcaf984b709"),
}
GPT_WINDOWS = {uuid.UUID("e3c9e316-0b5c-4db8-817d-f92df00215ae"), uuid.UUID("de94bba4-06d1-4d40-a16a-bfd50179d6ac")}
# (offset in the partition, bytes, system)
SIGNATURES: tuple[tuple[int, bytes, Guess], ...] = (
    (1080, b"\x53\xef", "Linux"),  # ext2, ext3, ext4
    (0, b"XFSB", "Linux"),
    (0x10040, b"_BHRfS_M", "Linux"),
    (512, b"LABELONE", "Linux"),  # LVM
    (0, b"LUKS\xba\xbe", "Linux"),
    (3, b"NTFS    ", "Windows"),
)


def guess(paths: list[Path]) -> Guess:
    """The system found on the disks, in their order; "" when nothing is recognised."""
    for path in paths:
        with path.open("rb") as file:
            found = _disk(file)
        if found:
            return found
    return ""


def _disk(file: BinaryIO) -> Guess:
    typed: Guess = ""
    for start, kind in _partitions(file):
        for offset, magic, system in SIGNATURES:
            file.seek(start + offset)
            if file.read(len(magic)) == magic:
                return system
        typed = typed or kind
    return typed


def _partitions(file: BinaryIO) -> Iterator[tuple[int, Guess]]:
    """(start in bytes, system its type stands for) of every partition."""
    file.seek(0)
    boot = file.read(2 * SECTOR)
    if boot[510:512] != b"\x55\xaa":
        return
    if boot[SECTOR : SECTOR + 8] == b"EFI PART":
        yield from _gpt(file, boot)
        return
    for number in range(4):
        kind, first = struct.unpack_from("<4xB3xI", boot, 446 + 16 * number)
        if kind and first:
            yield first * SECTOR, "Linux" if kind in LINUX_TYPES else "Windows" if kind in WINDOWS_TYPES else ""


def _gpt(file: BinaryIO, boot: bytes) -> Iterator[tuple[int, Guess]]:
    header = boot[SECTOR:]
    length, checksum = struct.unpack_from("<II", header, 12)
    first, count, size, table_checksum = struct.unpack_from("<QIII", header, 72)
    if not 92 <= length <= SECTOR or zlib.crc32(header[:16] + bytes(4) + header[20:length]) != checksum:
        return  # a damaged table is as good as none
    if size < 128 or count > 1024:
        return
    file.seek(first * SECTOR)
    table = file.read(count * size)
    if zlib.crc32(table) != table_checksum:
        return
    for at in range(0, len(table) - size + 1, size):
        kind, start = uuid.UUID(bytes_le=table[at : at + 16]), struct.unpack_from("<Q", table, at + 32)[0]
        if kind.int:
            yield start * SECTOR, "Linux" if kind in GPT_LINUX else "Windows" if kind in GPT_WINDOWS else ""
