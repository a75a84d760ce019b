"""Recognises disk image formats by their headers alone."""

from __future__ import annotations

import struct
import uuid
from collections.abc import Callable
from dataclasses import dataclass

from vmie_tui.services.disks.errors import corrupt, truncated
from vmie_tui.services.disks.formats.ova import OvaMember, ReadAt, is_tar, list_members
from vmie_tui.services.disks.formats.unsupported_files import check_raw, foreign
from vmie_tui.services.disks.formats.vhd_read import MAGIC as VHD
from vmie_tui.services.disks.formats.vhd_read import footer_sum, read_footer
from vmie_tui.services.disks.formats.vmdk_layout import (
    FLAG_MARKERS,
    MAGIC,
    MAX_DESCRIPTOR,
    SECTOR,
    SparseHeader,
    is_descriptor,
    parse_descriptor,
)

_KINDS = {2: "fixed", 3: "dynamic", 4: "differencing"}
_VHDX_METADATA = uuid.UUID("8b7ca206-4790-4b9a-b8fe-575f050f886e").bytes_le
_VHDX_PARAMETERS = uuid.UUID("caa16737-fa36-4d43-b3b6-33f0aa44e76b").bytes_le
_VHDX_SIZE = uuid.UUID("2fa54224-cd1b-4876-b211-5dbed83bf4b8").bytes_le
_VHDX_REGIONS, _VHDX_TABLE = 192 << 10, 64 << 10


@dataclass(frozen=True, slots=True)
class DiskInfo:
    """What an image's header tells."""

    format: str  # vmdk-stream, vmdk-sparse, vmdk-descriptor, vhd, vhdx, qcow2, vdi, ova or raw
    capacity: int | None = None  # bytes of the disk; None where the header does not say (OVA)
    create_type: str = ""  # of a VMDK as its descriptor says; else fixed, dynamic, differencing
    compressed: bool = False
    parent: str | None = None  # name or id of the image that this one is only the difference to
    files: tuple[str, ...] = ()  # the extent files of a VMDK descriptor
    members: tuple[OvaMember, ...] = ()  # the files of an OVA

    @property
    def ovf_first(self) -> bool:
        """Whether an OVA starts with its descriptor, as the standard requires."""
        return bool(self.members) and self.members[0].name.lower().endswith(".ovf")


def probe(read_at: ReadAt, size: int, name: str = "") -> DiskInfo:
    """Recognise an image of ``size`` bytes; a few KiB are read, for an OVA one block for each member.

    ``name``: of the file, archive member or object, which must not promise another format than a RAW disk's bytes are.
    Raises ``DiskFormatError``: CORRUPT when the kind is clear and its header is damaged; INVALID for what is known
    to be something else than a disk image that is read here (`foreign.check_raw`).
    """
    head = read_at(0, min(size, 2 * SECTOR))
    if len(head) >= SECTOR:
        for offset, magic, parse in _MAGICS:
            if head[offset : offset + len(magic)] == magic:
                return parse(head, read_at, size)
        if is_tar(head[:SECTOR]):
            return DiskInfo("ova", members=list_members(read_at, size))
        footer, _ = read_footer(read_at, size)
        if footer:
            return _vhd(footer, read_at)
    if is_descriptor(head):
        found = parse_descriptor(read_at(0, min(size, MAX_DESCRIPTOR)))
        return DiskInfo("vmdk-descriptor", found.capacity, found.create_type, False, found.parent, found.files)
    if head.startswith(VHD):
        raise truncated("the VHD has no footer at its end: it was not received whole")
    if size % SECTOR and read_at(size - size % SECTOR, len(VHD)) == VHD:
        raise truncated("the VHD's footer is cut off: it was not received whole")
    if head:
        check_raw(read_at, size, name)
    return DiskInfo("raw", size)


def _vmdk(head: bytes, read_at: ReadAt, size: int) -> DiskInfo:
    header = SparseHeader.unpack(head)
    header.check()
    start, length = header.descriptor_offset * SECTOR, header.descriptor_sectors * SECTOR
    text = read_at(start, min(length, MAX_DESCRIPTOR)) if 0 < start < size else b""
    found = parse_descriptor(text)
    stream = header.compressed and bool(header.flags & FLAG_MARKERS)
    return DiskInfo(
        "vmdk-stream" if stream else "vmdk-sparse",
        header.capacity_bytes,
        found.create_type,
        header.compressed,
        found.parent,
    )


def _vhd(footer: bytes, read_at: ReadAt) -> DiskInfo:
    data_at, capacity, kind = (
        struct.unpack_from(">Q", footer, 16)[0],
        struct.unpack_from(">Q", footer, 48)[0],
        struct.unpack_from(">I", footer, 60)[0],
    )
    if not footer_sum(footer):
        raise corrupt("the VHD's footer is damaged: its checksum is wrong")
    parent = None
    if kind == 4:
        parent = read_at(data_at + 64, 512).decode("utf-16-be", "replace").strip("\0") or "unknown"
    return DiskInfo("vhd", capacity, _KINDS.get(kind, ""), parent=parent)


def _vhdx(_head: bytes, read_at: ReadAt, size: int) -> DiskInfo:
    regions = _guid_table(read_at, _VHDX_REGIONS, b"regi", count_at=8, first=16, size=size)
    if _VHDX_METADATA not in regions:
        raise corrupt("the VHDX has no metadata region")
    (base,) = struct.unpack_from("<Q", regions[_VHDX_METADATA], 16)
    items = _guid_table(read_at, base, b"metadata", count_at=10, first=32, size=size)

    def item(ident: bytes, length: int) -> bytes:
        offset = struct.unpack_from("<I", items.get(ident, bytes(32)), 16)[0]
        data = read_at(base + offset, length) if offset and base + offset + length <= size else b""
        if len(data) < length:
            raise corrupt("the VHDX's metadata is incomplete")
        return data

    flags = struct.unpack("<II", item(_VHDX_PARAMETERS, 8))[1]
    (capacity,) = struct.unpack("<Q", item(_VHDX_SIZE, 8))
    kind = "differencing" if flags & 2 else "fixed" if flags & 1 else "dynamic"
    return DiskInfo("vhdx", capacity, kind, parent="unknown" if flags & 2 else None)


def _guid_table(read_at: ReadAt, at: int, magic: bytes, *, count_at: int, first: int, size: int) -> dict[bytes, bytes]:
    """A VHDX table: GUID -> its 32-byte entry."""
    table = read_at(at, _VHDX_TABLE) if at + _VHDX_TABLE <= size else b""
    if len(table) < _VHDX_TABLE or not table.startswith(magic):
        raise corrupt("the VHDX's tables are damaged, or it was not received whole")
    (count,) = struct.unpack_from("<H", table, count_at)
    entries = [table[where : where + 32] for where in range(first, min(first + 32 * count, _VHDX_TABLE - 31), 32)]
    return {entry[:16]: entry for entry in entries}


def _qcow2(head: bytes, read_at: ReadAt, size: int) -> DiskInfo:
    version, backing, length = struct.unpack_from(">IQI", head, 4)
    if version not in {2, 3}:
        raise foreign(f"is a QCOW image of version {version}; 2 and 3 are known")
    (capacity,) = struct.unpack_from(">Q", head, 24)
    parent = None
    if backing:
        name = read_at(backing, min(length, 1023)) if backing < size else b""
        parent = name.decode("utf-8", "replace") or "unknown"
    return DiskInfo("qcow2", capacity, parent=parent)


def _vdi(head: bytes, _read_at: ReadAt, _size: int) -> DiskInfo:
    (kind,), (capacity,) = struct.unpack_from("<I", head, 76), struct.unpack_from("<Q", head, 0x170)
    parent = uuid.UUID(bytes_le=head[0x1A8:0x1B8])
    names = {1: "dynamic", 2: "fixed", 4: "differencing"}
    return DiskInfo("vdi", capacity, names.get(kind, ""), parent=str(parent) if kind == 4 else None)


def _esx_delta(head: bytes, _read_at: ReadAt, _size: int) -> DiskInfo:
    """The sparse disks of VMFS, told apart by their magic; both describe themselves in a separate descriptor."""
    if head.startswith(b"COWD"):
        return DiskInfo("vmdk-sparse", struct.unpack_from("<I", head, 12)[0] * SECTOR, "vmfsSparse")
    return DiskInfo("vmdk-sparse", struct.unpack_from("<Q", head, 16)[0] * SECTOR, "seSparse")


_MAGICS: tuple[tuple[int, bytes, Callable[[bytes, ReadAt, int], DiskInfo]], ...] = (
    (0, MAGIC, _vmdk),
    (0, b"COWD", _esx_delta),
    (0, struct.pack("<Q", 0xCAFEBABE), _esx_delta),
    (0, b"vhdxfile", _vhdx),
    (0, b"QFI\xfb", _qcow2),
    (64, b"\x7f\x10\xda\xbe", _vdi),
)
