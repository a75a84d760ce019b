"""Identifies the content of a volume by its signatures, and opens it."""

from __future__ import annotations

import struct

from vmie_tui.services.disks.guest.btrfs import Btrfs
from vmie_tui.services.disks.guest.ext import Ext
from vmie_tui.services.disks.guest.fat import Fat
from vmie_tui.services.disks.guest.filesystems import FileSystem
from vmie_tui.services.disks.guest.ntfs import Ntfs
from vmie_tui.services.disks.guest.xfs import Xfs
from vmie_tui.services.disks.streams.source import ByteReader

_READERS = {"ext": Ext, "xfs": Xfs, "fat": Fat, "ntfs": Ntfs, "btrfs": Btrfs}
FILE_SYSTEMS = frozenset(_READERS)
_HEAD = 8192
# What else has no files for a look: containers whose inside is looked at by other means, and memory.
_LEADING = frozenset({"", "lvm", "swap"})
# Members of an array seen from outside look like what the array holds; these cannot be, or are found by other means.
_NEVER_IN_ARRAYS = frozenset({"luks", "bitlocker", "ntfs", "exfat", "refs", "bcache", "iso9660", "udf", "apfs"})
_SUSPENDED = (b"S1SUSPEND", b"S2SUSPEND", b"ULSUSPEND", b"LINHIB0001")
_SWAP = (b"SWAPSPACE2", b"SWAP-SPACE", *_SUSPENDED)

Signature = tuple[str, int, bytes]

# (kind, place, bytes), the first that fits counts. Containers stand before file systems: what they hold may shine
# through. Sources: libblkid of util-linux, and the headers of the formats in Linux.
_NEAR: tuple[Signature, ...] = (
    ("luks", 0, b"LUKS\xba\xbe"), ("luks", 0, b"SKUL\xba\xbe"), ("bitlocker", 3, b"-FVE-FS-"),
    ("bcache", 4096 + 24, bytes.fromhex("c68573f64e1a45ca8265f57f48ba6d81")),
    ("bcachefs", 4096 + 24, bytes.fromhex("c68573f66673909cf66aca90d918ca63")),
    ("stratis", 512 + 4, b"!Stra0tis\x86\xff\x02^\x41rh"), ("vdo", 0, b"dmvdo001"),
    ("bluestore", 0, b"bluestore block device"), ("dm-integrity", 0, b"integrt\0"), ("dm-verity", 0, b"verity\0\0"),
    ("lvm", 0, b"LABELONE"), ("lvm", 512, b"LABELONE"), ("lvm", 1024, b"LABELONE"), ("lvm", 1536, b"LABELONE"),
    ("lvm1", 0, b"HM\1\0"), ("lvm1", 0, b"HM\2\0"), ("lvm-snapshot", 0, b"SnAp"), ("asm", 32, b"ORCLDISK"),
    ("drbd", 0, b"$DRBDmgr=q"), ("drbd", 0, b"DRBDdlh*"), ("fwraid", 4096 + 544, b"\xf0\x16\x78\x5a"),
    ("fwraid", 4096 + 544, b"\xfd\x16\x78\x5a"), ("mpool", 0, b"mpoolDev"), ("xfs-log", 0, b"\xfe\xed\xba\xbe\0\0\0\1"),
    ("xfs", 0, b"XFSB"), ("exfs", 0, b"EXFS"), ("ntfs", 3, b"NTFS    "), ("refs", 3, b"ReFS\0"),
    ("exfat", 3, b"EXFAT   "), ("f2fs", 1024, b"\x10\x20\xf5\xf2"), ("erofs", 1024, b"\xe2\xe1\xf5\xe0"),
    ("squashfs", 0, b"hsqs"), ("squashfs", 0, b"sqsh"), ("squashfs", 0, b"qshs"), ("squashfs", 0, b"shsq"),
    ("cramfs", 0, b"\x45\x3d\xcd\x28"), ("cramfs", 0, b"\x28\xcd\x3d\x45"), ("romfs", 0, b"-rom1fs-"),
    ("hfsplus", 1024, b"H+\0\4"), ("hfsplus", 1024, b"HX\0\5"), ("apfs", 32, b"NXSB"),
    ("ext", 0x438, b"\x53\xef"), ("fat", 82, b"FAT32"), ("fat", 82, b"MSWIN"), ("fat", 54, b"FAT1"),
    ("fat", 54, b"FAT  "), ("fat", 54, b"MSDOS"),
    ("vxfs", 1024, b"\xf5\xfc\1\xa5"), ("vxfs", 0x2000, b"\xa5\1\xfc\xf5"), ("bfs", 0, b"\xce\xfa\xad\x1b"),
    ("befs", 32, b"BFS1"), ("befs", 32, b"1SFB"), ("befs", 512 + 32, b"BFS1"), ("befs", 512 + 32, b"1SFB"),
    ("sysv", 512 + 504, b"\x20\x7e\x18\xfd"), ("sysv", 512 + 504, b"\xfd\x18\x7e\x20"),
    ("sysv", 1024 + 1016, b"\x20\x7e\x18\xfd"), ("sysv", 1024 + 1016, b"\xfd\x18\x7e\x20"),
    ("xenix", 1024 + 1016, b"\x2b\x55\x44\0"), ("xenix", 2048, b"\x2b\x55\x44"), ("xenix", 2048, b"\x44\x55\x2b"),
    ("qnx4", 4, b"QNX4FS"), ("ubi", 0, b"UBI#"), ("ubifs", 0, b"\x31\x18\x10\6"), ("jffs2", 0, b"\x85\x19\3\x20"),
    ("nss", 4096, b"SPB5"), ("zonefs", 0, b"SFOZ"), ("ocfs", 0x2000, b"OracleCFS"), ("ocfs2", 1024, b"OCFSV2"),
    ("ocfs2", 2048, b"OCFSV2"), ("ocfs2", 4096, b"OCFSV2"), ("ocfs2", 8192, b"OCFSV2"),
    ("reiserfs", 0x2000 + 52, b"ReIsErFs"), ("reiserfs", 0x2000 + 20, b"ReIsErFs"),
    ("hpfs", 0x2000, b"\x49\xe8\x95\xf9"),
    ("ufs", 0x2000 + 0x55C, b"\x54\x19\1\0"), ("ufs", 0x2000 + 0x55C, b"\0\1\x19\x54"),
    ("ufs", 0x2000 + 0x55C, b"\x19\1\x54\x19"),
    *(("swap", page - 10, magic) for page in (4096, 8192) for magic in _SWAP),
)  # fmt: skip
_FAR: tuple[Signature, ...] = (
    ("jfs", 0x8000, b"JFS1"), ("iso9660", 0x8001, b"CD001"), ("iso9660", 0x8009, b"CDROM"),
    ("udf", 0x8001, b"BEA01"), ("udf", 0x8001, b"NSR02"), ("udf", 0x8001, b"NSR03"), ("udf", 0x8001, b"TEA01"),
    ("zfs", 0x4000, b"\1\1\0\0\0\0\0\0\0\0\0\1"), ("zfs", 0x4000, b"\1\0\0\0\0\0\0\0\0\0\0\1"),
    *(("swap", page - 10, magic) for page in (16384, 32768, 65536) for magic in _SWAP),
    ("btrfs", 0x10040, b"_BHRfS_M"), ("reiserfs", 0x10034, b"ReIsEr2Fs"), ("reiserfs", 0x10034, b"ReIsEr3Fs"),
    ("reiserfs", 0x10034, b"ReIsErFs"), ("reiser4", 0x10000, b"ReIsEr4"), ("gfs2", 0x10000, b"\1\x16\x19\x70"),
    ("ufs", 0x10000 + 0x55C, b"\x19\1\x54\x19"), ("ufs", 0x10000 + 0x55C, b"\x54\x19\1\0"),
    ("zfs", 0x20000, b"\x0c\xb1\xba\0\0\0\0\0"), ("zfs", 0x20000, b"\0\0\0\0\0\xba\xb1\x0c"),
    ("ufs", 0x40000 + 0x55C, b"\x19\1\x54\x19"), ("vmfs-member", 0x100000, b"\x0d\xd0\1\xc0"),
    ("vmfs", 0x200000, b"\x5e\xf1\xab\x2f"),
)  # fmt: skip
_MINIX = {0x137F, 0x138F, 0x2468, 0x2478, 0x7F13, 0x8F13, 0x6824, 0x7824}
_MD = (b"\xfc\x4e\x2b\xa9", b"\xa9\x2b\x4e\xfc")
_DRBD = {0x8374026B, 0x8374026C, 0x8374026D}


def identify(source: ByteReader, *, end: bool = True) -> str:
    """The kind of what is on a volume or a whole disk, as `model.guest.Volume` has it; "" for nothing known.

    ``end``: look at its end too.

    A superblock of software RAID at the end goes before what is at the start, unless that reaches over it: then the
    array is no more.
    """
    head = source.read_at(0, _HEAD).ljust(_HEAD, b"\0")
    if head[:4] in _MD or head[4096:4100] in _MD:  # metadata 1.1 and 1.2
        return "mdraid"
    kind = _match(source, _NEAR) or _weak(head) or _match(source, _FAR)
    if kind in _NEVER_IN_ARRAYS or not end:
        return kind
    if kind == "ext" and source.read_at(1024 + 96, 1)[0] & 0x8:
        return "ext-journal"  # the journal of another file system, on a device of its own
    at = _array_at_end(source)
    if at is not None and (not kind or extent(kind, source) <= at):
        return "mdraid"
    return kind or _at_end(source)


def _match(source: ByteReader, signatures: tuple[Signature, ...]) -> str:
    """The first that is there. The reader keeps its blocks, so that asking again and again costs nothing."""
    return next((kind for kind, at, magic in signatures if source.read_at(at, len(magic)) == magic), "")


def _weak(head: bytes) -> str:
    """File systems of old with magics of two bytes: only with other numbers that make sense."""
    (nilfs_revision,), nilfs_magic = struct.unpack_from("<I", head, 1024), head[1030:1032]
    if nilfs_magic == b"\x34\x34" and nilfs_revision == 2:
        return "nilfs2"
    (cluster,) = struct.unpack_from(">I", head, 1024 + 20)
    if head[1024:1026] == b"BD" and cluster and not cluster % 512:
        return "hfs"
    minix, state = struct.unpack_from("<HH", head, 1024 + 16)
    if (minix in _MINIX and (state in {1, 2, 0x100, 0x200})) or head[1048:1050] in {b"\x5a\x4d", b"\x4d\x5a"}:
        return "minix"
    return ""


def array_of_disk(source: ByteReader) -> bytes:
    """The id of the array that a whole disk says it belongs to, by the superblock at its end; b"" for none."""
    at = _array_at_end(source)
    block = source.read_at(at, 64) if at is not None else b""
    if len(block) < 64:
        return b""
    old = not any(block[4:8])  # metadata 0.90 has its id in four pieces
    return block[20:24] + block[52:64] if old else block[16:32]


def _array_at_end(source: ByteReader) -> int | None:
    """The place of a superblock of software RAID, metadata 0.90 or 1.0, near the end of a member."""
    last = (source.size & ~0xFFFF) - 0x10000
    if last > 0 and source.read_at(last, 4) in _MD:
        return last
    near = ((source.size // 512 - 16) & ~7) * 512
    return near if near > 0 and source.read_at(near, 4) in _MD else None


def _at_end(source: ByteReader) -> str:
    """What has its signature at the end only."""
    end = source.size // 512 * 512
    tail = source.read_at(end - 1024, 1024) if end > 8192 else b""
    if len(tail) == 1024:
        fwraid = tail[512:516] in {b"\xde\x11\xde\x11", b"\x11\xde\x11\xde"} or tail[512:518] == b"$XIDE$"
        highpoint = source.read_at(end - 11 * 512, 4) in {b"\xf3\x16\x78\x5a", b"\xfd\x16\x78\x5a"}
        promise = source.read_at(end - 63 * 512, 24) == b"Promise Technology, Inc."
        adaptec = tail[512:516] == b"\x37\xfc\x4d\x1e"
        if fwraid or highpoint or promise or adaptec or tail.startswith((b"Intel Raid ISM Cfg Sig.", b"NVIDIA")):
            return "fwraid"
        if struct.unpack(">I", source.read_at(source.size - 4096 + 60, 4))[0] in _DRBD:
            return "drbd"
    return ""


def extent(kind: str, source: ByteReader) -> int:
    """The bytes that a file system takes by its own account; 0 where that is not known."""
    if kind == "ext":
        block = source.read_at(1024, 1024)
        low, scale = struct.unpack_from("<I", block, 4)[0], struct.unpack_from("<I", block, 24)[0]
        wide = struct.unpack_from("<I", block, 96)[0] & 0x80
        high = struct.unpack_from("<I", block, 336)[0] if wide else 0
        return int(high << 32 | low) * (1024 << min(int(scale), 6))
    if kind == "xfs":
        size, blocks = struct.unpack_from(">IQ", source.read_at(0, 16), 4)
        return int(size) * int(blocks)
    if kind == "ntfs":
        boot = source.read_at(0, 512)
        return int(struct.unpack_from("<H", boot, 11)[0] * struct.unpack_from("<Q", boot, 40)[0])
    if kind == "fat":
        boot = source.read_at(0, 512)
        sectors = struct.unpack_from("<H", boot, 19)[0] or struct.unpack_from("<I", boot, 32)[0]
        return int(struct.unpack_from("<H", boot, 11)[0] * sectors)
    if kind == "btrfs":  # of this device: a file system may have several
        return int(struct.unpack("<Q", source.read_at(0x10000 + 201 + 8, 8))[0])
    return 0


def suspended(source: ByteReader) -> bool:
    """Whether swap space holds the memory of a hibernated Linux."""
    tux_on_ice = source.read_at(0, 8) == b"\xed\xc3\2\xe9\x98\x56\xe5\x0c"
    pages = (4096, 8192, 16384, 32768, 65536)
    return tux_on_ice or any(source.read_at(page - 10, 10).rstrip(b"\0") in _SUSPENDED for page in pages)


def unread(kind: str) -> bool:
    """Whether it is known what this is, but not how to look into it."""
    return kind not in FILE_SYSTEMS and kind not in _LEADING


def open_volume(kind: str, source: ByteReader) -> FileSystem:
    """Opens a file system of this kind. Raises ServiceError for one that cannot be read."""
    return _READERS[kind](source)
