"""A virtual data centre in plain values: what the simulated vCenter builds its objects from."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True, slots=True)
class DiskSpec:
    """One disk. ``capacity`` bytes. ``make`` writes the raw content to a sparse file when first needed.

    Without ``make`` the disk reads as zeros. ``backing``: flat | sesparse | rdm. ``controller``: pvscsi | lsi |
    sata | ide | nvme. ``room``: the byte ranges a guest at work may write to without breaking what is on the disk;
    without it, all of the disk.
    """

    capacity: int
    make: Callable[[Path], None] | None = None
    backing: str = "flat"
    thin: bool = True
    mode: str = "persistent"
    sharing: str = "sharingNone"
    controller: str = "pvscsi"
    datastore: str = ""  # the VM's datastore when empty
    encrypted: bool = False
    room: Callable[[], Sequence[tuple[int, int]]] | None = None  # (offset, length)


@dataclass(frozen=True, slots=True)
class NicSpec:
    network: str = "VM Network"
    connected: bool = True
    addresses: tuple[str, ...] = ()
    dhcp: bool | None = True


@dataclass(frozen=True, slots=True)
class VmSpec:
    """One virtual machine; ``folder`` is the path below the datacenter's VM folder, ``power``: on | off | suspended.

    ``datacenter``: its name, behind those of the folders it lies in: ``EU/DC1``.

    ``writes``: bytes an hour that its guest writes while it runs; they are made up when somebody takes a snapshot.
    """

    name: str
    datacenter: str
    cluster: str
    host: str
    datastore: str
    folder: tuple[str, ...] = ()
    power: str = "off"
    guest_id: str = "ubuntu64Guest"
    guest_name: str = "Ubuntu Linux (64-bit)"
    tools_guest_name: str = ""
    tools: str = "toolsOk"  # toolsOk | toolsOld | toolsNotRunning | toolsNotInstalled
    firmware: str = "bios"
    secure_boot: bool = False
    cpus: int = 2
    memory_mib: int = 4096
    disks: tuple[DiskSpec, ...] = ()
    nics: tuple[NicSpec, ...] = (NicSpec(),)
    cdrom_connected: bool = False
    snapshots: int = 0
    consolidation_needed: bool = False
    cbt: bool = False
    vtpm: bool = False
    encrypted: bool = False
    passthrough: bool = False
    connection: str = "connected"
    annotation: str = ""
    hardware: str = "vmx-19"
    writes: int = 0


@dataclass(frozen=True, slots=True)
class DatastoreSpec:
    name: str
    type: str = "VMFS"  # VMFS | NFS | vsan | VVOL
    capacity: int = 8 << 40
    free: int = 3 << 40


@dataclass(frozen=True, slots=True)
class ClusterSpec:
    name: str
    hosts: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class DatacenterSpec:
    """``folder``: the path of folders it lies in; machines name it by `path`."""

    name: str
    clusters: tuple[ClusterSpec, ...]
    datastores: tuple[DatastoreSpec, ...]
    networks: tuple[str, ...] = ("VM Network",)
    folder: tuple[str, ...] = ()

    @property
    def path(self) -> str:
        return "/".join((*self.folder, self.name))


@dataclass(frozen=True, slots=True)
class FleetSpec:
    """A whole vCenter."""

    datacenters: tuple[DatacenterSpec, ...]
    machines: tuple[VmSpec, ...] = field(default=())
