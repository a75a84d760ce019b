"""What a look into a machine's disks has found. None, or `Presence.UNKNOWN`, is for what could not be read."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any

# What is told from other things, but not looked into: the kinds of `Volume`, and their names.
TITLES = {
    "luks": "LUKS", "bitlocker": "BitLocker",
    "jfs": "JFS", "mdraid": "software RAID", "refs": "ReFS", "exfat": "exFAT", "reiserfs": "ReiserFS",
    "reiser4": "Reiser4", "zfs": "ZFS", "f2fs": "F2FS", "hfs": "HFS", "hfsplus": "HFS+", "apfs": "APFS", "ufs": "UFS",
    "ocfs": "OCFS", "ocfs2": "OCFS2", "gfs2": "GFS2", "vmfs": "VMFS", "vmfs-member": "VMFS", "iso9660": "ISO 9660",
    "udf": "UDF", "bcache": "bcache", "bcachefs": "bcachefs", "drbd": "DRBD", "stratis": "Stratis", "vdo": "VDO",
    "bluestore": "Ceph BlueStore", "dm-integrity": "dm-integrity", "dm-verity": "dm-verity", "lvm1": "LVM1",
    "lvm-snapshot": "an LVM snapshot", "asm": "Oracle ASM", "fwraid": "firmware RAID", "mpool": "mpool",
    "xfs-log": "an external XFS log", "ext-journal": "an external ext journal", "exfs": "EXFS", "erofs": "EROFS",
    "squashfs": "SquashFS", "cramfs": "cramfs", "romfs": "romfs", "vxfs": "VxFS", "bfs": "BFS", "befs": "BeFS",
    "sysv": "System V", "xenix": "Xenix", "qnx4": "QNX4", "ubi": "UBI", "ubifs": "UBIFS", "jffs2": "JFFS2",
    "nss": "Novell NSS", "zonefs": "zonefs", "hpfs": "HPFS", "minix": "Minix", "nilfs2": "NILFS2",
}  # fmt: skip
# Of these the file systems and pools that are none of those VM import is documented to read (F105): no system that it
# takes can be on them. The others are containers whose inside is not seen.
FOREIGN = frozenset({
    "exfat", "reiserfs", "reiser4", "zfs", "f2fs", "hfs", "hfsplus", "apfs", "ufs", "ocfs", "ocfs2", "gfs2", "vmfs",
    "vmfs-member", "iso9660", "udf", "bcachefs", "bluestore", "asm", "exfs", "erofs", "squashfs", "cramfs", "romfs",
    "vxfs", "bfs", "befs", "sysv", "xenix", "qnx4", "ubi", "ubifs", "jffs2", "nss", "zonefs", "hpfs", "minix", "nilfs2",
    "mpool", "xfs-log", "ext-journal",
})  # fmt: skip


class Presence(StrEnum):
    PRESENT = "present"
    MISSING = "missing"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class NotInspected:
    """Something that was not read, and why: it has neither passed nor failed."""

    what: str
    why: str
    disk: bool = False  # a whole disk, or all of them: nothing of it was read


@dataclass(frozen=True, slots=True)
class Partition:
    """``offset`` and ``size`` in bytes; ``type`` two hex digits (MBR) or a GUID (GPT).

    ``uuid`` and ``name`` are what udev calls PARTUUID (of an MBR: the disk's signature and the number) and PARTLABEL.
    """

    number: int
    offset: int
    size: int
    type: str
    active: bool = False
    uuid: str = ""
    name: str = ""


@dataclass(frozen=True, slots=True)
class DiskFacts:
    """One disk. ``table``: mbr, gpt, none (a file system from the first byte) or "" when there is nothing valid.

    ``problem``: why there is no valid table. ``backup``: only the GPT's second copy is good. ``blank``: its first 64
    KiB are zeros. ``boot_code``: its first sector holds a program; ``bios_boot``: it has what a BIOS needs to start it.
    ``sector``: bytes of the sectors that the table counts in; 4096 on a disk with native sectors of that size.
    """

    number: int
    size: int
    table: str
    partitions: tuple[Partition, ...] = ()
    problem: str = ""
    backup: bool = False
    dynamic: bool = False
    blank: bool = False
    boot_code: bool = False
    bios_boot: bool = False
    sector: int = 512


@dataclass(frozen=True, slots=True)
class Volume:
    """A partition, logical volume or whole disk with something on it; ``kind`` ext4, xfs, ntfs, lvm, luks, ... or "".

    ``size`` in bytes; ``beyond``: by how many bytes the file system is larger than that. ``dirty``: not closed
    properly, so what is missing may wait in its journal; None when unknown. ``missing``: the physical volumes that no
    disk holds. ``suspended``: swap space that holds the memory of a hibernated Linux.
    """

    name: str
    kind: str
    size: int
    disk: int = 0
    uuid: str = ""
    label: str = ""
    dirty: bool | None = None
    missing: tuple[str, ...] = ()
    subvolumes: int | None = None
    beyond: int = 0
    suspended: bool = False


@dataclass(frozen=True, slots=True)
class FstabLine:
    """``number`` counts from 1; ``spec`` and ``mount`` without fstab's octal escapes.

    ``problem`` says why the line is not valid.
    """

    number: int
    text: str
    spec: str = ""
    mount: str = ""
    type: str = ""
    problem: str = ""
    options: str = ""


@dataclass(frozen=True, slots=True)
class Kernel:
    """``ramdisk``: is there an initramfs, ``format`` how it begins (gzip, cpio, zstd, ...; "" for none known).

    ``drivers``: nvme, ena and xen-blkfront, each present, missing or unknown.
    """

    version: str
    path: str
    ramdisk: Presence = Presence.UNKNOWN
    ramdisk_path: str = ""
    format: str | None = None
    modules: Presence = Presence.UNKNOWN
    drivers: dict[str, Presence] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class GrubConfig:
    volume: str
    path: str
    digest: str  # SHA-256 of the content, in hex


@dataclass(frozen=True, slots=True)
class BootEntries:
    """Boot Loader Specification entries, without ``.conf``; ``saved`` is grubenv's saved_entry, "" when empty."""

    entries: tuple[str, ...]
    saved: str | None


@dataclass(frozen=True, slots=True)
class NicConfig:
    file: str
    name: str
    static: bool


@dataclass(frozen=True, slots=True)
class LinuxFacts:
    """One Linux system. ``os_id`` and ``os_version`` as os-release says them; ``elf``: x86_64, i386, arm64, ..."""

    volume: str
    os_id: str = ""
    os_version: str = ""
    os_name: str = ""
    release: Presence = Presence.UNKNOWN
    point_release: str = ""
    elf: str | None = None
    fstab: Presence = Presence.UNKNOWN
    fstab_lines: tuple[FstabLine, ...] = ()
    kernels: tuple[Kernel, ...] | None = None
    grub: tuple[GrubConfig, ...] = ()
    bls: BootEntries | None = None
    nics: tuple[NicConfig, ...] = ()
    dhcp: Presence = Presence.UNKNOWN
    sshd: Presence = Presence.UNKNOWN
    sshd_enabled: Presence = Presence.UNKNOWN
    vmware_tools: Presence = Presence.UNKNOWN
    free: int | None = None  # bytes


@dataclass(frozen=True, slots=True)
class WindowsFacts:
    """One Windows system. ``installation``: Server, Server Core, Nano Server or Client.

    ``free`` in bytes; with ``free_at_least`` it is a lower bound. None: could not be read. ``hibernation``: what
    hiberfil.sys says: hibernated (also by fast startup), resumed (fast startup is in use), or "" for neither.
    """

    volume: str
    product: str = ""
    build: str = ""
    edition: str = ""
    installation: str = ""
    computer: str = ""
    rdp_denied: bool | None = None
    hyper_v: bool | None = None
    pending_reboot: bool | None = None
    auto_logon: bool | None = None
    vmware_tools: bool | None = None
    paging: tuple[str, ...] | None = None
    static_addresses: tuple[str, ...] | None = None
    language: str | None = None
    dotnet: int | None = None
    sysprep: int | None = None
    free: int | None = None
    free_at_least: bool = False
    hibernation: str | None = None

    @property
    def client(self) -> bool | None:
        """Whether it is a client system; None when unknown."""
        return self.installation.lower() == "client" if self.installation else None


@dataclass(frozen=True, slots=True)
class GuestFacts:
    """All of it. ``roots``: volumes that hold a Linux system; ``linux`` is the one that is judged.

    ``windows_roots``: those that hold a Windows; ``windows`` is the first. ``loader``: EFI/BOOT/BOOTX64.EFI on an EFI
    system partition; ``esp``: is there such a partition; ``grub_loader``: is a GRUBX64.EFI on it.
    """

    disks: tuple[DiskFacts, ...] = ()
    volumes: tuple[Volume, ...] = ()
    roots: tuple[str, ...] = ()
    linux: LinuxFacts | None = None
    windows: WindowsFacts | None = None
    windows_roots: tuple[str, ...] = ()
    esp: bool = False
    loader: Presence = Presence.UNKNOWN
    grub_loader: Presence = Presence.UNKNOWN
    grub: tuple[GrubConfig, ...] = ()
    not_inspected: tuple[NotInspected, ...] = ()

    def to_json(self) -> dict[str, Any]:
        return asdict(self)
