"""What a look into a machine's disks has found. None, or `Presence.UNKNOWN`, is for what could not be read."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any


class Presence(StrEnum):
    PRESENT = "present"
    MISSING = "missing"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class NotInspected:
    """Something that was not read, and why: it has neither passed nor failed."""

    what: str
    why: str


@dataclass(frozen=True, slots=True)
class Partition:
    """``offset`` and ``size`` in bytes; ``type`` two hex digits (MBR) or a GUID (GPT)."""

    number: int
    offset: int
    size: int
    type: str
    active: bool = False


@dataclass(frozen=True, slots=True)
class DiskFacts:
    """One disk. ``table``: mbr, gpt, none (a file system from the first byte) or "" when there is nothing valid.

    ``problem``: why there is no valid table. ``backup``: only the GPT's second copy is good. ``blank``: its first 64
    KiB are zeros. ``boot_code``: its first sector holds a program; ``bios_boot``: it has what a BIOS needs to start it.
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


@dataclass(frozen=True, slots=True)
class Volume:
    """A partition, logical volume or whole disk with something on it; ``kind`` ext4, xfs, ntfs, lvm, luks, ... or "".

    ``size`` in bytes. ``dirty``: not closed properly, so what is missing may wait in its journal; None when unknown.
    ``missing``: the physical volumes that no disk holds.
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


@dataclass(frozen=True, slots=True)
class FstabLine:
    """``number`` counts from 1; ``problem`` says why the line is not valid."""

    number: int
    text: str
    spec: str = ""
    mount: str = ""
    type: str = ""
    problem: str = ""


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

    ``free`` in bytes; with ``free_at_least`` it is a lower bound. None: could not be read.
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

    @property
    def client(self) -> bool | None:
        """Whether it is a client system; None when unknown."""
        return self.installation.lower() == "client" if self.installation else None


@dataclass(frozen=True, slots=True)
class GuestFacts:
    """All of it. ``roots``: volumes that hold a Linux system; ``linux`` is the one that is judged.

    ``loader``: EFI/BOOT/BOOTX64.EFI on an EFI system partition; ``esp``: is there such a partition.
    """

    disks: tuple[DiskFacts, ...] = ()
    volumes: tuple[Volume, ...] = ()
    roots: tuple[str, ...] = ()
    linux: LinuxFacts | None = None
    windows: WindowsFacts | None = None
    esp: bool = False
    loader: Presence = Presence.UNKNOWN
    grub: tuple[GrubConfig, ...] = ()
    not_inspected: tuple[NotInspected, ...] = ()

    def to_json(self) -> dict[str, Any]:
        return asdict(self)
