"""A handful of machines with disks of a few MiB: what tests build in a moment."""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path

from vmie_tui.simulators.fleet.content import fill, write_data
from vmie_tui.simulators.fleet.guests import index, restore, room
from vmie_tui.simulators.spec import ClusterSpec, DatacenterSpec, DatastoreSpec, DiskSpec, FleetSpec, NicSpec, VmSpec

MIB = 1 << 20
DATACENTER, CLUSTER, HOST, DATASTORE = "DC1", "Compute", "esx-01.corp.example", "vmfs-01"
HOST_2, DATASTORE_2, VSAN, NFS = "esx-02.corp.example", "vmfs-02", "vsan-01", "nfs-01"
ODD_CAPACITY = 7 * MIB + 3 * 512  # neither whole GiB nor whole MiB
LINUX, WINDOWS = "tiny-linux", "tiny-windows"  # packed guests of 7 MiB: no disk that holds one may be smaller

LINUX_GUEST = {
    "guest_id": "debian12_64Guest",
    "guest_name": "Debian GNU/Linux 12 (64-bit)",
    "tools_guest_name": "Debian GNU/Linux 12 (bookworm)",
}


def make_boot(path: Path, capacity: int, data: int, seed: str, guest: str = LINUX) -> None:
    """A disk with a small system in its first 7 MiB, and about ``data`` bytes of noise wherever there is room.

    Raises ValueError for a disk too small for the system.
    """
    free = restore(guest, path)
    end = path.stat().st_size
    if capacity < end:
        raise ValueError(f"{guest} needs {end} bytes, not {capacity}")
    os.truncate(path, capacity)
    fill(path, [*free, (end, capacity - end)], data, seed, kind="random")


def make_data(path: Path, capacity: int, data: int, seed: str) -> None:
    """A disk without a partition table: half log text, half random, the rest a hole."""
    with path.open("wb") as file:
        file.truncate(capacity)
        half = data // 2
        write_data(file.fileno(), 0, half, seed, "text")
        write_data(file.fileno(), half, data - half, seed)


def make_zeros(path: Path, capacity: int) -> None:
    """An all-zero disk: a file without a single allocated block."""
    with path.open("wb") as file:
        file.truncate(capacity)


def boot_disk(capacity: int, data: int, seed: str, guest: str = LINUX) -> DiskSpec:
    """A disk that `make_boot` writes."""
    make = partial(make_boot, capacity=capacity, data=data, seed=seed, guest=guest)
    return DiskSpec(capacity=capacity, make=make, room=partial(_boot_room, capacity, guest))


def _boot_room(capacity: int, guest: str) -> list[tuple[int, int]]:
    end = index()[guest].size
    return [*room(guest), (end, capacity - end)]


def _vm(name: str, *disks: DiskSpec, **more: object) -> VmSpec:
    values: dict[str, object] = {"folder": ("Test",), "cpus": 1, "memory_mib": 1024, **LINUX_GUEST, **more}
    store = str(values.pop("datastore", DATASTORE))
    return VmSpec(name, DATACENTER, CLUSTER, HOST, store, disks=disks, **values)  # type: ignore[arg-type]


def _running(name: str, address: str, *disks: DiskSpec, **more: object) -> VmSpec:
    """One that runs and has Tools: what a replication is made for."""
    more = {"power": "on", "folder": ("Test", "Running"), "nics": (NicSpec(addresses=(address,)),), **more}
    return _vm(name, *disks, **more)


def tiny() -> FleetSpec:
    """Machines in one datacenter; every disk between 1 and 64 MiB, its content the same in every run.

    Those to be replicated run: `repl-01` with two disks, `repl-02` with changed block tracking already on, and one each
    on vSAN and on NFS.
    """
    machines = (
        _vm("web-01", boot_disk(8 * MIB, 5 * MIB, "web-01"), folder=("Test", "Web")),
        _vm("web-02", boot_disk(8 * MIB, 4 * MIB, "web-02"), folder=("Test", "Web")),
        _vm(
            "db-01",
            boot_disk(12 * MIB, 6 * MIB, "db-01"),
            DiskSpec(5 * MIB, partial(make_data, capacity=5 * MIB, data=4 * MIB, seed="db-01 data")),
            folder=("Test", "Databases"),
        ),
        _vm("app-01", boot_disk(8 * MIB, 5 * MIB, "app-01"), power="on", nics=(NicSpec(addresses=("10.0.0.11",)),)),
        _vm(
            "win-01",
            boot_disk(8 * MIB, 3 * MIB, "win-01", WINDOWS),
            guest_id="windows2019srv_64Guest",
            guest_name="Microsoft Windows Server 2019 (64-bit)",
            tools_guest_name="Microsoft Windows Server 2019 (64-bit)",
        ),
        _vm(
            "empty-disk-01",
            boot_disk(8 * MIB, 3 * MIB, "empty-disk-01"),
            DiskSpec(6 * MIB, partial(make_zeros, capacity=6 * MIB)),
        ),
        _vm("odd-size-01", boot_disk(ODD_CAPACITY, 5 * MIB, "odd-size-01")),
        _vm("big-01", boot_disk(56 * MIB, 48 * MIB, "big-01")),
        _vm("rdm-01", boot_disk(8 * MIB, 3 * MIB, "rdm-01"), DiskSpec(capacity=64 * MIB, backing="rdm")),
        _vm(
            "i386-01",
            boot_disk(8 * MIB, 3 * MIB, "i386-01"),
            guest_id="centosGuest",
            guest_name="CentOS 4/5 (32-bit)",
            tools_guest_name="CentOS release 5.11 (Final)",
        ),
        _running(
            "repl-01",
            "10.0.0.21",
            boot_disk(8 * MIB, 3 * MIB, "repl-01"),
            DiskSpec(6 * MIB, partial(make_data, capacity=6 * MIB, data=2 * MIB, seed="repl-01 data")),
        ),
        _running("repl-02", "10.0.0.22", boot_disk(10 * MIB, 4 * MIB, "repl-02"), cbt=True),
        _running("vsan-01", "10.0.0.23", boot_disk(8 * MIB, 3 * MIB, "vsan-01"), datastore=VSAN),
        _running("nfs-01", "10.0.0.24", boot_disk(8 * MIB, 3 * MIB, "nfs-01"), datastore=NFS),
    )
    kinds = ((DATASTORE, "VMFS"), (DATASTORE_2, "VMFS"), (VSAN, "vsan"), (NFS, "NFS"))
    datastores = tuple(DatastoreSpec(name, kind, capacity=1 << 40, free=1 << 39) for name, kind in kinds)
    return FleetSpec((DatacenterSpec(DATACENTER, (ClusterSpec(CLUSTER, (HOST, HOST_2)),), datastores),), machines)
