"""Small writers of disk image formats, for tests: what this program only reads."""

from __future__ import annotations

import io
import struct
import tarfile
import uuid
from collections.abc import Iterator

from vmie_tui.services.disks.formats.vhdx_read import crc32c
from vmie_tui.services.disks.formats.vmdk_layout import ENTRIES, GRAIN, SECTOR, SparseHeader, make_descriptor, sectors
from vmie_tui.services.disks.formats.vmdk_write import encode
from vmie_tui.services.disks.streams.ranges import Budget
from vmie_tui.services.disks.streams.source import DiskSource

VHD_BLOCK, VHDX_BLOCK, MIB = 2 << 20, 1 << 20, 1 << 20


def used(disk: DiskSource, step: int) -> Iterator[tuple[int, bytes]]:
    """(number, content) of the blocks that hold more than zeros."""
    seen = -1
    for start, length in disk.extents():
        for number in range(max(start // step, seen + 1), -(-(start + length) // step)):
            seen = number
            data = disk.read_at(number * step, step)
            if any(data):
                yield number, data.ljust(step, b"\0")


def vmdk_stream(disk: DiskSource) -> bytes:
    out = bytearray()
    encode(disk, out.extend)
    return bytes(out)


def vmdk_sparse(disk: DiskSource) -> bytes:
    """monolithicSparse: uncompressed grains behind directory and tables."""
    capacity = sectors(disk.size)
    header = SparseHeader(capacity, flags=3, version=1, directory=21, compression=0)
    tables_at = 21 + sectors(header.tables * 4)
    first = -(-(tables_at + header.tables * 4) // 128) * 128
    entries, body = [0] * (header.tables * ENTRIES), bytearray()
    for number, data in used(disk, GRAIN):
        entries[number] = first + len(body) // SECTOR
        body += data
    text = make_descriptor(capacity, "disk.vmdk").replace(b"streamOptimized", b"monolithicSparse")
    front = header.pack() + text.ljust(20 * SECTOR, b"\0")
    front += struct.pack(f"<{header.tables}I", *(tables_at + 4 * number for number in range(header.tables)))
    front = front.ljust(tables_at * SECTOR, b"\0") + struct.pack(f"<{len(entries)}I", *entries)
    return front.ljust(first * SECTOR, b"\0") + bytes(body)


def vhd_footer(size: int, kind: int, header_at: int = 0xFFFFFFFFFFFFFFFF) -> bytes:
    footer = bytearray(512)
    struct.pack_into(">8sIIQI4sI4sQQIII", footer, 0, b"conectix", 2, 0x10000, header_at, 0, b"test", 0x10000, b"Wi2k",
                     size, size, 0, kind, 0)  # fmt: skip
    footer[68:84] = uuid.uuid5(uuid.NAMESPACE_DNS, "disk").bytes
    struct.pack_into(">I", footer, 64, ~sum(footer) & 0xFFFFFFFF)
    return bytes(footer)


def vhd_fixed(disk: DiskSource) -> bytes:
    return disk.read_at(0, disk.size) + vhd_footer(disk.size, 2)


def vhd_dynamic(disk: DiskSource, kind: int = 3) -> bytes:
    footer, blocks = vhd_footer(disk.size, kind, 512), -(-disk.size // VHD_BLOCK)
    header = bytearray(1024)
    struct.pack_into(">8sQQIII", header, 0, b"cxsparse", 0xFFFFFFFFFFFFFFFF, 1536, 0x10000, blocks, VHD_BLOCK)
    struct.pack_into(">I", header, 36, ~sum(header) & 0xFFFFFFFF)
    start = -(-(1536 + 4 * blocks) // 512) * 512
    table, body = [0xFFFFFFFF] * blocks, bytearray()
    for number, data in used(disk, VHD_BLOCK):
        table[number] = (start + len(body)) // 512
        body += b"\xff" * 512 + data
    front = footer + bytes(header) + struct.pack(f">{blocks}I", *table)
    return front.ljust(start, b"\xff") + bytes(body) + footer


def _guid(text: str) -> bytes:
    return uuid.UUID(text).bytes_le


def _summed(block: bytes) -> bytes:
    return block[:4] + struct.pack("<I", crc32c(block)) + block[8:]


def vhdx(disk: DiskSource, *, flags: int = 0, log: bytes = bytes(16)) -> bytes:
    """A dynamic VHDX with blocks of 1 MiB. ``flags`` 2: has a parent; ``log``: the id of a log to replay."""
    blocks, ratio = -(-disk.size // VHDX_BLOCK), (512 << 23) // VHDX_BLOCK
    entries = [0] * (blocks + (blocks - 1) // ratio)
    bat_size = -(-8 * len(entries) // MIB) * MIB
    first, body = 3 * MIB + bat_size, bytearray()
    for number, data in used(disk, VHDX_BLOCK):
        entries[number + number // ratio] = (first + len(body)) | 6
        body += data
    header = b"head" + bytes(4) + struct.pack("<Q", 1) + bytes(32) + log + struct.pack("<HHIQ", 0, 1, MIB, MIB)
    header = _summed(header.ljust(4096, b"\0")).ljust(64 << 10, b"\0")
    regions = b"regi" + bytes(4) + struct.pack("<II", 2, 0)
    regions += _guid("2dc27766-f623-4200-9d64-115e9bfd4a08") + struct.pack("<QII", 3 * MIB, bat_size, 1)
    regions += _guid("8b7ca206-4790-4b9a-b8fe-575f050f886e") + struct.pack("<QII", 2 * MIB, MIB, 1)
    regions = _summed(regions.ljust(64 << 10, b"\0"))
    items = [
        ("caa16737-fa36-4d43-b3b6-33f0aa44e76b", struct.pack("<II", VHDX_BLOCK, flags), 4),
        ("2fa54224-cd1b-4876-b211-5dbed83bf4b8", struct.pack("<Q", disk.size), 6),
        ("8141bf1d-a96f-4709-ba47-f233a8faab5f", struct.pack("<I", 512), 6),
        ("cda348c7-445d-4471-9cc9-e9885251c556", struct.pack("<I", 512), 6),
        ("beca12ab-b2e6-4523-93ef-c309e000c746", bytes(16), 6),
    ]
    table, data = b"metadata" + struct.pack("<HH20x", 0, len(items)), b""
    for ident, value, kind in items:
        table += _guid(ident) + struct.pack("<IIII", (64 << 10) + len(data), len(value), kind, 0)
        data += value
    metadata = (table.ljust(64 << 10, b"\0") + data).ljust(MIB, b"\0")
    front = b"vhdxfile".ljust(64 << 10, b"\0") + header * 2 + regions * 2
    bat = struct.pack(f"<{len(entries)}Q", *entries).ljust(bat_size, b"\0")
    return front.ljust(2 * MIB, b"\0") + metadata + bat + bytes(body)


def ova(members: dict[str, bytes]) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return out.getvalue()


class Memory:
    """A `DiskSource` over bytes."""

    def __init__(self, data: bytes) -> None:
        self.data = data

    @property
    def size(self) -> int:
        return len(self.data)

    def read_at(self, offset: int, length: int) -> bytes:
        return self.data[offset : offset + length] if offset >= 0 else b""

    def extents(self) -> Iterator[tuple[int, int]]:
        yield 0, len(self.data)


def plenty() -> Budget:
    return Budget(requests=10_000, bytes=1 << 30)
