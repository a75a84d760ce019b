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
    """One entry of a partition table."""

    number: int
    offset: int  # bytes
    size: int  # bytes
    type: str  # two hex digits (MBR) or a GUID (GPT)
    active: bool = False
    uuid: str = ""  # udev's PARTUUID; of an MBR: the disk's signature and the number
    name: str = ""  # udev's PARTLABEL


@dataclass(frozen=True, slots=True)
class DiskFacts:
    """One disk."""

    number: int
    size: int
    table: str  # mbr, gpt, none (a file system from the first byte), or "" when nothing is valid
    partitions: tuple[Partition, ...] = ()
    problem: str = ""  # why there is no valid table
    backup: bool = False  # only the GPT's second copy is good
    dynamic: bool = False
    blank: bool = False  # its first 64 KiB are zeros
    boot_code: bool = False  # its first sector holds a program
    bios_boot: bool = False  # it has what a BIOS needs to start it
    sector: int = 512  # bytes of the sectors that the table counts in; 4096 with native sectors of that size


@dataclass(frozen=True, slots=True)
class Volume:
    """A partition, logical volume or whole disk with something on it."""

    name: str
    kind: str  # ext4, xfs, ntfs, lvm, luks, … or ""
    size: int  # bytes
    disk: int = 0
    uuid: str = ""
    label: str = ""
    dirty: bool | None = None  # not closed properly: what is missing may wait in its journal
    missing: tuple[str, ...] = ()  # physical volumes that no disk holds
    subvolumes: int | None = None
    beyond: int = 0  # bytes by which the file system is larger than the volume
    suspended: bool = False  # swap space that holds the memory of a hibernated Linux


@dataclass(frozen=True, slots=True)
class FstabLine:
    """One line of fstab."""

    number: int  # from 1
    text: str
    spec: str = ""  # without fstab's octal escapes
    mount: str = ""  # likewise
    type: str = ""
    problem: str = ""  # why the line is not valid
    options: str = ""


@dataclass(frozen=True, slots=True)
class Kernel:
    """An installed kernel and its initramfs."""

    version: str
    path: str
    ramdisk: Presence = Presence.UNKNOWN  # whether there is an initramfs
    ramdisk_path: str = ""
    format: str | None = None  # how it begins: gzip, cpio, zstd, …; "" for none known
    modules: Presence = Presence.UNKNOWN
    drivers: dict[str, Presence] = field(default_factory=dict)  # nvme, ena and xen-blkfront


@dataclass(frozen=True, slots=True)
class GrubConfig:
    volume: str
    path: str
    digest: str  # SHA-256 of the content, in hex


@dataclass(frozen=True, slots=True)
class BootEntries:
    """Entries of the Boot Loader Specification."""

    entries: tuple[str, ...]  # without ``.conf``
    saved: str | None  # grubenv's saved_entry; "" when empty


@dataclass(frozen=True, slots=True)
class NicConfig:
    file: str
    name: str
    static: bool


@dataclass(frozen=True, slots=True)
class LinuxFacts:
    """One Linux system."""

    volume: str
    os_id: str = ""  # as os-release says it
    os_version: str = ""  # as os-release says it
    os_name: str = ""
    release: Presence = Presence.UNKNOWN
    point_release: str = ""
    elf: str | None = None  # x86_64, i386, arm64, …
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
    """One Windows system; None: could not be read."""

    volume: str
    product: str = ""
    build: str = ""
    edition: str = ""
    installation: str = ""  # Server, Server Core, Nano Server or Client
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
    free: int | None = None  # bytes
    free_at_least: bool = False  # `free` is a lower bound
    hibernation: str | None = None  # hiberfil.sys: hibernated (fast startup too), resumed (fast startup in use), or ""

    @property
    def client(self) -> bool | None:
        """Whether it is a client system; None when unknown."""
        return self.installation.lower() == "client" if self.installation else None


@dataclass(frozen=True, slots=True)
class GuestFacts:
    """All that the disks of a machine show."""

    disks: tuple[DiskFacts, ...] = ()
    volumes: tuple[Volume, ...] = ()
    roots: tuple[str, ...] = ()  # volumes that hold a Linux system
    linux: LinuxFacts | None = None  # the one that is judged
    windows: WindowsFacts | None = None  # the first
    windows_roots: tuple[str, ...] = ()  # volumes that hold a Windows
    esp: bool = False  # whether there is an EFI system partition
    loader: Presence = Presence.UNKNOWN  # EFI/BOOT/BOOTX64.EFI on an EFI system partition
    grub_loader: Presence = Presence.UNKNOWN  # a GRUBX64.EFI on one
    grub: tuple[GrubConfig, ...] = ()
    not_inspected: tuple[NotInspected, ...] = ()

    def to_json(self) -> dict[str, Any]:
        return asdict(self)
