"""A vCenter as some have it: datacenters of one name in folders, datastores and machines with names that need care."""

from __future__ import annotations

from vmie_tui.simulators.fleet.tiny import LINUX_GUEST, MIB, boot_disk
from vmie_tui.simulators.spec import ClusterSpec, DatacenterSpec, DatastoreSpec, FleetSpec, VmSpec

SITES = (("EU", "DC1"), ("US", "DC1"))
STORES = ("ssd+nvme 50%", "fra [ssd] 01", "ß/日本 (1)&#")


def _site(folder: str, name: str) -> DatacenterSpec:
    hosts = tuple(f"esx-{number}.{folder.lower()}.example" for number in (1, 2))
    stores = tuple(DatastoreSpec(store, capacity=1 << 40, free=1 << 39) for store in STORES)
    return DatacenterSpec(name, (ClusterSpec("Compute", hosts),), stores, folder=(folder,))


def _machine(
    name: str, site: tuple[str, str], store: str, *, folder: tuple[str, ...] = (), power: str = "on"
) -> VmSpec:
    path = "/".join(site)
    return VmSpec(
        name,
        path,
        "Compute",
        f"esx-1.{site[0].lower()}.example",
        store,
        folder=folder,
        power=power,
        disks=(boot_disk(8 * MIB, 2 * MIB, f"{path} {name} {store} {folder}"),),
        guest_id=LINUX_GUEST["guest_id"],
        guest_name=LINUX_GUEST["guest_name"],
        tools_guest_name=LINUX_GUEST["tools_guest_name"],
    )


def odd() -> FleetSpec:
    """The fleet; machines of one name have other disks in each datacenter."""
    machines = [
        *(_machine("pay-01", site, STORES[0]) for site in SITES),
        *(_machine(f"off {number}+1", SITES[0], store, power="off") for number, store in enumerate(STORES)),
        _machine("db.vmdk", SITES[1], STORES[1], power="off"),
        *(_machine("twin", SITES[1], STORES[0], folder=("Same",), power="off") for _ in range(2)),
    ]
    return FleetSpec(tuple(_site(*site) for site in SITES), tuple(machines))
