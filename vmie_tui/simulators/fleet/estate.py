"""Where the demo company's machines live: datacenters, clusters, hosts, datastores, networks."""

from __future__ import annotations

import re
import unicodedata
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from vmie_tui.simulators.fleet.catalog import OS
from vmie_tui.simulators.fleet.guests import BASE, PLAIN, filled, index
from vmie_tui.simulators.fleet.own_disk import Identity
from vmie_tui.simulators.spec import ClusterSpec, DatacenterSpec, DatastoreSpec, DiskSpec, NicSpec, VmSpec

_LEAST_DATA, _STEP = 1 << 20, 1 << 16  # bytes of deleted files on a disk, and by how much they differ
GIB = 1 << 30
TIB = 1 << 40

FRANKFURT, DUBLIN, LAB = "DC1 Frankfurt", "DC2 Dublin", "Lab"


def _hosts(*numbers: int, kind: str = "esx") -> tuple[str, ...]:
    return tuple(f"{kind}-{number:02}.corp.example" for number in numbers)


DATACENTERS: tuple[DatacenterSpec, ...] = (
    DatacenterSpec(
        FRANKFURT,
        (ClusterSpec("FRA-Prod", _hosts(1, 2, 3, 4)), ClusterSpec("FRA-Data", _hosts(5, 6))),
        (
            DatastoreSpec("fra-vmfs-ssd-01", capacity=64 * TIB, free=21 * TIB),
            DatastoreSpec("fra-vmfs-ssd-02", capacity=64 * TIB, free=9 * TIB),
            DatastoreSpec("fra-vmfs-sas-01", capacity=120 * TIB, free=44 * TIB),
            DatastoreSpec("fra-nfs-archive", type="NFS", capacity=200 * TIB, free=61 * TIB),
            DatastoreSpec("fra-vsan", type="vsan", capacity=96 * TIB, free=30 * TIB),
        ),
        ("VM Network", "fra-prod-web", "fra-prod-app", "fra-prod-db", "fra-mgmt", "fra-backup", "fra-staging"),
    ),
    DatacenterSpec(
        DUBLIN,
        (ClusterSpec("DUB-Prod", _hosts(11, 12, 13)), ClusterSpec("DUB-DMZ", _hosts(14))),
        (
            DatastoreSpec("dub-vmfs-01", capacity=48 * TIB, free=17 * TIB),
            DatastoreSpec("dub-vmfs-02", capacity=48 * TIB, free=6 * TIB),
            DatastoreSpec("dub-vsan", type="vsan", capacity=72 * TIB, free=25 * TIB),
            DatastoreSpec("dub-vvol", type="VVOL", capacity=40 * TIB, free=12 * TIB),
        ),
        ("VM Network", "dub-prod", "dub-dmz", "dub-office"),
    ),
    DatacenterSpec(
        LAB,
        (ClusterSpec("Lab", _hosts(1, 2, kind="esx-lab")),),
        (
            DatastoreSpec("lab-vmfs", capacity=16 * TIB, free=3 * TIB),
            DatastoreSpec("lab-nfs", type="NFS", capacity=24 * TIB, free=8 * TIB),
        ),
        ("VM Network", "lab-net"),
    ),
)


@dataclass(frozen=True, slots=True)
class Place:
    """A cluster, the datastores its machines use in turn, and their network with the first two octets of its range."""

    datacenter: str
    cluster: str
    datastores: tuple[str, ...]
    network: str
    subnet: str


PLACES: dict[str, Place] = {
    "fra-web": Place(FRANKFURT, "FRA-Prod", ("fra-vmfs-ssd-01", "fra-vmfs-ssd-02"), "fra-prod-web", "10.11"),
    "fra-app": Place(FRANKFURT, "FRA-Prod", ("fra-vmfs-ssd-02", "fra-vmfs-sas-01"), "fra-prod-app", "10.12"),
    "fra-db": Place(FRANKFURT, "FRA-Data", ("fra-vmfs-ssd-01", "fra-vmfs-sas-01"), "fra-prod-db", "10.13"),
    "fra-vsan": Place(FRANKFURT, "FRA-Data", ("fra-vsan",), "fra-prod-db", "10.14"),
    "fra-infra": Place(FRANKFURT, "FRA-Prod", ("fra-vmfs-sas-01",), "fra-mgmt", "10.10"),
    "fra-staging": Place(FRANKFURT, "FRA-Prod", ("fra-vmfs-sas-01", "fra-nfs-archive"), "fra-staging", "10.19"),
    "fra-archive": Place(FRANKFURT, "FRA-Data", ("fra-nfs-archive",), "VM Network", "10.18"),
    "dub": Place(DUBLIN, "DUB-Prod", ("dub-vmfs-01", "dub-vmfs-02"), "dub-prod", "10.21"),
    "dub-vsan": Place(DUBLIN, "DUB-Prod", ("dub-vsan",), "dub-prod", "10.22"),
    "dub-vvol": Place(DUBLIN, "DUB-Prod", ("dub-vvol",), "dub-prod", "10.23"),
    "dub-dmz": Place(DUBLIN, "DUB-DMZ", ("dub-vmfs-02",), "dub-dmz", "10.24"),
    "dub-office": Place(DUBLIN, "DUB-Prod", ("dub-vmfs-02",), "dub-office", "10.25"),
    "lab": Place(LAB, "Lab", ("lab-vmfs", "lab-nfs"), "lab-net", "10.90"),
}

_HOSTS = {cluster.name: cluster.hosts for datacenter in DATACENTERS for cluster in datacenter.clusters}


def disks(*sizes_gib: float) -> tuple[DiskSpec, ...]:
    """Disks of so many GiB each, which `vm` gives what belongs on them."""
    return tuple(DiskSpec(capacity=int(size * GIB) // 512 * 512) for size in sizes_gib)


def address(place: Place, name: str) -> str:
    """An IPv4 address of the place's network that belongs to ``name``."""
    number = zlib.crc32(name.encode())
    return f"{place.subnet}.{number % 16}.{number // 16 % 250 + 4}"


def _with_content(
    name: str, os: str, machine_disks: Sequence[DiskSpec], *, by_hand: str, tools: bool
) -> Iterator[DiskSpec]:
    """The disks, each without content made from a template: the first holds the system, any other data.

    ``by_hand``: the address that is set in the guest, "" for DHCP; ``tools``: VMware Tools are installed in it.
    """
    number = zlib.crc32(name.encode())
    system = f"{BASE}{os}{PLAIN}"
    if tools or system not in index():
        system = f"{BASE}{os}"
    for place, spec in enumerate(machine_disks):
        if spec.make is not None:
            yield spec
        elif place == 0:
            identity = Identity(_hostname(name), f"{by_hand}/20" if by_hand else "")
            yield filled(spec, system, _LEAST_DATA * 3 + number % 64 * _STEP, name, identity)
        else:
            template = "data-ntfs" if OS[os].windows else f"{BASE}data-ext4"
            yield filled(spec, template, _LEAST_DATA + (number >> place) % 32 * _STEP, f"{name} {place}")


def _hostname(name: str) -> str:
    """What the guest calls itself: the machine's name as far as DNS allows it."""
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode().lower()
    return re.sub(r"[^a-z0-9]+", "-", plain).strip("-")[:63].rstrip("-") or f"vm-{zlib.crc32(name.encode()):08x}"


def vm(
    name: str,
    place: str,
    folder: str,
    os: str,
    machine_disks: Sequence[DiskSpec],
    *,
    power: str = "on",
    dhcp: bool | None = True,
    tools: str | None = None,
    **more: Any,
) -> VmSpec:
    """A machine somewhere in ``place``, in the ``folder`` written with slashes, with what follows from its guest OS.

    VMware Tools (``tools`` None) runs when the machine does, and the address it reports is seen only then; a machine
    that runs writes something. ``more`` overrides any field of `VmSpec`.
    """
    where, guest = PLACES[place], OS[os]
    number = zlib.crc32(name.encode())
    hosts = _HOSTS[where.cluster]
    state = tools or ("toolsOk" if power == "on" else "toolsNotRunning")
    seen = (address(where, name),) if power == "on" and state in {"toolsOk", "toolsOld"} else ()
    fields: dict[str, Any] = {
        "folder": tuple(folder.split("/")),
        "power": power,
        "guest_id": guest.guest_id,
        "guest_name": guest.name,
        "tools_guest_name": "" if state == "toolsNotInstalled" else guest.tools_name,
        "tools": state,
        "firmware": guest.firmware,
        "writes": (1 + number // 13 % 4) << 19 if power == "on" else 0,
        "nics": (NicSpec(network=where.network, connected=power == "on", addresses=seen, dhcp=dhcp),),
        **more,
    }
    card = next(iter(fields["nics"]), None)
    by_hand = (card.addresses or (address(where, name),))[0] if card and card.dhcp is False else ""
    has_tools = state != "toolsNotInstalled"
    fields["disks"] = tuple(_with_content(name, os, machine_disks, by_hand=by_hand, tools=has_tools))
    return VmSpec(
        name,
        where.datacenter,
        where.cluster,
        hosts[number % len(hosts)],
        where.datastores[number // 7 % len(where.datastores)],
        **fields,
    )
