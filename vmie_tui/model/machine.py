"""A virtual machine as vCenter describes it, reduced to what VM import cares about."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any


class Power(StrEnum):
    ON = "on"
    OFF = "off"
    SUSPENDED = "suspended"


class Firmware(StrEnum):
    BIOS = "bios"
    UEFI = "uefi"


class OsFamily(StrEnum):
    LINUX = "linux"
    WINDOWS_SERVER = "windows-server"
    WINDOWS_CLIENT = "windows-client"
    OTHER = "other"


class Backing(StrEnum):
    """What a virtual disk is made of on the datastore."""

    FLAT = "flat"
    SESPARSE = "sesparse"
    RDM = "rdm"
    OTHER = "other"


@dataclass(frozen=True, slots=True)
class Disk:
    """One virtual disk."""

    key: int
    label: str
    capacity: int  # bytes
    controller: str = ""  # ``scsi0:0``
    backing: Backing = Backing.FLAT
    thin: bool | None = None
    mode: str = "persistent"
    sharing: str = ""
    datastore: str = ""
    datastore_type: str = ""
    file_name: str = ""
    uuid: str = ""
    content_id: str = ""  # another one once the disk was written to; empty when vCenter does not say
    encrypted: bool = False
    image: str = ""  # the image that holds it, outside vCenter: ``vmdk-stream``, ``vhd dynamic``, ``raw``

    @property
    def independent(self) -> bool:
        """Left out of snapshots (trap 29)."""
        return self.mode.startswith("independent")


@dataclass(frozen=True, slots=True)
class Nic:
    label: str
    mac: str = ""
    network: str = ""
    connected: bool = True
    addresses: tuple[str, ...] = ()
    dhcp: bool | None = None


@dataclass(frozen=True, slots=True)
class GuestDisk:
    """A file system the guest mounts, as VMware Tools reports it."""

    path: str  # "/", "/var", "C:\\"
    capacity: int  # bytes
    free: int  # bytes


@dataclass(frozen=True, slots=True)
class Machine:
    """One virtual machine."""

    moid: str
    name: str
    instance_uuid: str = ""
    datacenter: str = ""  # its name, behind those of its folders where another datacenter has the same
    folder: tuple[str, ...] = ()  # names below the datacenter's VM folder
    cluster: str = ""
    host: str = ""
    power: Power = Power.OFF
    connection: str = "connected"
    guest_id: str = ""
    guest_name: str = ""  # as configured
    tools_guest_name: str = ""  # as VMware Tools reported it, with the version
    tools_status: str = ""
    hostname: str = ""
    firmware: Firmware = Firmware.BIOS
    secure_boot: bool = False
    cpus: int = 1
    memory_mib: int = 1024
    disks: tuple[Disk, ...] = ()
    nics: tuple[Nic, ...] = ()
    cdrom_connected: bool = False
    snapshots: int = 0
    consolidation_needed: bool = False
    cbt: bool = False
    vtpm: bool = False
    encrypted: bool = False
    passthrough: bool = False
    annotation: str = ""
    guest_disks: tuple[GuestDisk, ...] = ()  # empty when VMware Tools does not run
    datacenter_id: str = ""

    @property
    def key(self) -> str:
        """What is known of it is kept by this: vCenter may give its moid to another machine."""
        return self.instance_uuid or self.moid

    @property
    def size(self) -> int:
        """Bytes of all disks together."""
        return sum(disk.capacity for disk in self.disks)

    @property
    def os_name(self) -> str:
        """The guest's name: from VMware Tools when it said, else as configured."""
        return self.tools_guest_name or self.guest_name

    @property
    def os_family(self) -> OsFamily:
        gid = self.guest_id.lower()
        if gid.startswith("win"):
            name = self.os_name.lower()
            server = "srv" in gid or "server" in gid or "net" in gid or "server" in name
            return OsFamily.WINDOWS_SERVER if server else OsFamily.WINDOWS_CLIENT
        linux = ("linux", "ubuntu", "debian", "centos", "rhel", "sles", "suse", "fedora", "oracle", "rocky", "alma")
        return OsFamily.LINUX if any(word in gid for word in (*linux, "amazon", "coreos")) else OsFamily.OTHER

    @property
    def path(self) -> str:
        return "/".join(part for part in (self.datacenter, *self.folder, self.name) if part)

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Machine:
        """Inverse of `to_json`; raises KeyError, TypeError or ValueError for what is no machine."""
        disks = tuple(Disk(**{**d, "backing": Backing(d["backing"])}) for d in data["disks"])
        nics = tuple(Nic(**{**n, "addresses": tuple(n["addresses"])}) for n in data["nics"])
        rest = {
            "disks": disks,
            "nics": nics,
            "guest_disks": tuple(GuestDisk(**item) for item in data.get("guest_disks", ())),
            "folder": tuple(data["folder"]),
            "power": Power(data["power"]),
            "firmware": Firmware(data["firmware"]),
        }
        return cls(**{**data, **rest})


@dataclass(frozen=True, slots=True)
class VCenterInfo:
    host: str
    full_name: str = ""
    version: str = ""
    instance_uuid: str = ""
    user: str = ""


@dataclass(frozen=True, slots=True)
class Inventory:
    """All virtual machines that one account may see, at one moment."""

    vcenter: VCenterInfo
    taken_at: datetime  # aware, UTC
    machines: tuple[Machine, ...] = field(default=())
    unreadable: int = 0  # objects vCenter listed but would not show (missingSet, trap 8)
