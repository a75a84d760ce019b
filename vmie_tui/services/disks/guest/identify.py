"""What is on a volume, by its first bytes, and how to open it."""

from __future__ import annotations

import struct

from vmie_tui.services.disks.guest.btrfs import Btrfs
from vmie_tui.services.disks.guest.ext import Ext
from vmie_tui.services.disks.guest.fat import Fat
from vmie_tui.services.disks.guest.filesystems import FileSystem
from vmie_tui.services.disks.guest.ntfs import Ntfs
from vmie_tui.services.disks.guest.xfs import Xfs
from vmie_tui.services.disks.source import ByteReader

_MDRAID = struct.pack("<I", 0xA92B4EFC)
_READERS = {"ext": Ext, "xfs": Xfs, "fat": Fat, "ntfs": Ntfs, "btrfs": Btrfs}
FILE_SYSTEMS = frozenset(_READERS)
NOT_READ = frozenset({"luks", "bitlocker", "mdraid", "jfs", "refs"})
_MAGICS = (
    ("luks", 0, b"LUKS\xba\xbe"), ("luks", 0, b"SKUL\xba\xbe"), ("bitlocker", 3, b"-FVE-FS-"),
    ("lvm", 0, b"LABELONE"), ("lvm", 512, b"LABELONE"), ("lvm", 1024, b"LABELONE"), ("lvm", 1536, b"LABELONE"),
    ("mdraid", 0, _MDRAID), ("xfs", 0, b"XFSB"), ("ntfs", 3, b"NTFS    "), ("refs", 3, b"ReFS\0"),
    ("ext", 0x438, b"\x53\xef"), ("fat", 82, b"FAT32"), ("fat", 54, b"FAT1"), ("swap", 4086, b"SWAPSPACE2"),
    ("swap", 4086, b"SWAP-SPACE"),
)  # fmt: skip


def identify(source: ByteReader) -> str:
    """ext, xfs, fat, ntfs, btrfs, lvm, luks, bitlocker, mdraid, jfs, refs, swap, or "" for nothing known."""
    head = source.read_at(0, 4096)
    if len(head) < 4096:
        return ""
    if source.read_at(4096, 4) == _MDRAID:
        return "mdraid"
    for name, at, magic in _MAGICS:
        if head[at : at + len(magic)] == magic:
            return name
    return _farther(source)


def _farther(source: ByteReader) -> str:
    if source.read_at(0x10040, 8) == b"_BHRfS_M":
        return "btrfs"
    if source.read_at(0x8000, 4) == b"JFS1":
        return "jfs"
    last = (source.size & ~0xFFFF) - 0x10000  # mdraid 0.90 and 1.0 sit at the end
    if last > 0 and source.read_at(last, 4) == _MDRAID:
        return "mdraid"
    near_end = ((source.size // 512 - 16) & ~7) * 512
    return "mdraid" if near_end > 0 and source.read_at(near_end, 4) == _MDRAID else ""


def open_volume(kind: str, source: ByteReader) -> FileSystem:
    """The file system of this kind. Raises ServiceError for one that cannot be read."""
    return _READERS[kind](source)
