"""The demo's and the tests' fleets: whole, believable, and with every kind of trouble."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from vmie_tui.simulators.fleet import guests
from vmie_tui.simulators.fleet.company import company
from vmie_tui.simulators.fleet.tiny import LINUX, MIB, ODD_CAPACITY, WINDOWS, make_boot, tiny
from vmie_tui.simulators.spec import FleetSpec, VmSpec

GIB, TIB = 1 << 30, 1 << 40


@pytest.fixture(params=["company", "tiny", "scaled"])
def fleet(request: pytest.FixtureRequest) -> FleetSpec:
    return {"company": company(), "tiny": tiny(), "scaled": company(scale=3000)}[request.param]


def test_everything_referenced_exists(fleet: FleetSpec) -> None:
    datacenters = {datacenter.name: datacenter for datacenter in fleet.datacenters}
    hosts = [host for dc in fleet.datacenters for cluster in dc.clusters for host in cluster.hosts]
    assert len(hosts) == len(set(hosts))
    for machine in fleet.machines:
        datacenter = datacenters[machine.datacenter]
        cluster = next(cluster for cluster in datacenter.clusters if cluster.name == machine.cluster)
        assert machine.host in cluster.hosts
        stores = {store.name for store in datacenter.datastores}
        assert {machine.datastore, *(disk.datastore or machine.datastore for disk in machine.disks)} <= stores
        assert {nic.network for nic in machine.nics} <= set(datacenter.networks)


def test_names_and_values_are_ones_vcenter_could_have(fleet: FleetSpec) -> None:
    places = Counter((machine.datacenter, machine.folder, machine.name) for machine in fleet.machines)
    assert max(places.values()) == 1
    assert max(Counter(machine.name for machine in fleet.machines).values()) == 1, "tests look machines up by name"
    for machine in fleet.machines:
        assert 0 < len(machine.name) <= 80
        assert "/" not in "".join((machine.name, *machine.folder))
        assert machine.power in {"on", "off", "suspended"}
        assert machine.firmware in {"bios", "efi"}
        assert machine.tools in {"toolsOk", "toolsOld", "toolsNotRunning", "toolsNotInstalled"}
        assert all(disk.capacity > 0 and disk.capacity % 512 == 0 for disk in machine.disks)
        assert machine.power == "on" or not any(nic.addresses for nic in machine.nics)


def test_the_company_is_a_real_estate() -> None:
    fleet = company()
    assert 220 <= len(fleet.machines) <= 400
    assert len(fleet.datacenters) == 3
    assert sum(len(cluster.hosts) for dc in fleet.datacenters for cluster in dc.clusters) == 12
    assert {store.type for dc in fleet.datacenters for store in dc.datastores} == {"VMFS", "NFS", "vsan", "VVOL"}
    assert {machine.power for machine in fleet.machines} == {"on", "off", "suspended"}
    assert len({machine.guest_name for machine in fleet.machines}) >= 30
    assert max(len(machine.folder) for machine in fleet.machines) >= 3
    sizes = [sum(disk.capacity for disk in machine.disks) for machine in fleet.machines]
    assert any(size >= 10 * TIB for size in sizes)
    assert sum(1 for machine in fleet.machines if len(machine.disks) > 1) >= 50
    assert company() == company()


def test_the_heroes_carry_data() -> None:
    machines = {machine.name: machine for machine in company().machines}
    assert [name for name in machines if "web-0" in name] == ["web-01", "web-02"], "the filter that the demo types"
    real = [machine for machine in machines.values() if machine.disks and machine.disks[0].make]
    assert len(real) >= 12
    assert machines["app-01"].power == "on"
    assert len(machines["db-01"].disks) == 2
    assert all(disk.make for disk in machines["db-01"].disks)
    assert machines["win-fs01"].guest_id.startswith("windows")
    assert any(disk.capacity % MIB for machine in real for disk in machine.disks), "a size that is no whole MiB"


def test_machines_that_run_can_be_replicated() -> None:
    """In one of the demo's fleets: with one disk and with two, Windows too; once only where /folder has no files."""
    running = [vm for vm in company().machines if vm.power == "on" and vm.disks and all(disk.make for disk in vm.disks)]
    stores = {store.name: store.type for site in company().datacenters for store in site.datastores}
    assert {len(vm.disks) for vm in running} >= {1, 2}
    assert any(vm.guest_id.startswith("windows") for vm in running)
    assert {stores[vm.datastore] for vm in running} >= {"VMFS", "vsan"}
    assert {stores[vm.datastore] for vm in company().machines if vm.power == "on"} >= {"NFS", "VVOL"}
    assert all(vm.writes for vm in running)
    assert any(vm.tools == "toolsOk" and len(vm.disks) > 1 for vm in running), "a snapshot of it can be quiesced"
    assert all(disk.room is not None and disk.room() for vm in running for disk in vm.disks)


def test_a_machine_boots_the_way_its_disk_does() -> None:
    checked = 0
    for machine in company().machines:
        make = machine.disks[0].make if machine.disks else None
        if isinstance(make, partial) and make.func is guests.make:
            boot = guests.index()[make.keywords["name"]].boot
            assert machine.firmware == {"uefi": "efi", "bios": "bios"}[boot], machine.name
            checked += 1
    assert checked >= 25


def test_every_packed_guest_is_in_a_fleet() -> None:
    used = {
        make.keywords["name"]
        for machine in company().machines
        for disk in machine.disks
        if isinstance(make := disk.make, partial) and make.func is guests.make
    }
    assert used | {LINUX, WINDOWS} == set(guests.index())


TROUBLE: dict[str, Callable[[VmSpec], bool]] = {
    "raw device mapping": lambda m: any(d.backing == "rdm" for d in m.disks),
    "SEsparse": lambda m: any(d.backing == "sesparse" for d in m.disks),
    "more than 21 disks": lambda m: len(m.disks) > 21,
    "no disk": lambda m: not m.disks,
    "encrypted machine": lambda m: m.encrypted,
    "encrypted disk": lambda m: any(d.encrypted for d in m.disks) and not m.encrypted,
    "ARM": lambda m: m.guest_id.startswith("arm"),
    "32-bit Linux": lambda m: m.guest_id in {"centosGuest", "rhel6Guest"},
    "old Windows": lambda m: m.guest_id.startswith("winNet"),
    "deprecated system": lambda m: m.guest_id in {"rhel5_64Guest", "centos6_64Guest", "windows7_64Guest"},
    "outside the matrix": lambda m: m.guest_id in {"freebsd13_64Guest", "solaris11_64Guest"},
    "unknown system": lambda m: m.guest_id == "other5xLinux64Guest" and not m.tools_guest_name,
    "over 8 TiB": lambda m: any(8 * TIB < d.capacity <= 16 * TIB for d in m.disks),
    "over 16 TiB": lambda m: any(d.capacity > 16 * TIB for d in m.disks),
    "independent while on": lambda m: m.power == "on" and any(d.mode.startswith("independent") for d in m.disks),
    "snapshots": lambda m: m.snapshots > 1,
    "consolidation": lambda m: m.consolidation_needed,
    "CD-ROM": lambda m: m.cdrom_connected,
    "several NICs": lambda m: len(m.nics) > 1,
    "disconnected NIC of one that runs": lambda m: m.power == "on" and any(not n.connected for n in m.nics),
    "vTPM": lambda m: m.vtpm,
    "secure boot": lambda m: m.secure_boot,
    "passthrough": lambda m: m.passthrough,
    "multi-writer": lambda m: any(d.sharing == "sharingMultiWriter" for d in m.disks),
    "Tools missing": lambda m: m.tools == "toolsNotInstalled",
    "Tools not running": lambda m: m.power == "on" and m.tools == "toolsNotRunning",
    "Tools old": lambda m: m.tools == "toolsOld",
    "static address": lambda m: any(n.dhcp is False for n in m.nics),
    "vVol": lambda m: m.datastore == "dub-vvol",
    "vSAN": lambda m: m.datastore.endswith("vsan"),
    "inaccessible": lambda m: m.connection == "inaccessible",
    "orphaned": lambda m: m.connection == "orphaned",
    "disconnected": lambda m: m.connection == "disconnected",
    "name beyond ASCII": lambda m: not m.name.isascii(),
    "longest name": lambda m: len(m.name) == 80,
    "name with an escape": lambda m: "%2f" in m.name,
    "suspended": lambda m: m.power == "suspended",
    "changed blocks tracked": lambda m: m.cbt,
    "UEFI": lambda m: m.firmware == "efi",
    "NVMe": lambda m: any(d.controller == "nvme" for d in m.disks),
}


@pytest.mark.parametrize("kind", TROUBLE)
def test_every_kind_of_trouble_is_there(kind: str) -> None:
    assert any(TROUBLE[kind](machine) for machine in company().machines)


def test_scale_pads_and_never_cuts() -> None:
    named = company().machines
    scaled = company(scale=20_000).machines
    assert len(scaled) == 20_000
    assert scaled[: len(named)] == named
    assert len(company(scale=5).machines) == len(named)
    folders = Counter((machine.datacenter, machine.folder) for machine in scaled)
    assert max(folders.values()) <= 250


def test_tiny_disks_are_made_as_promised(tmp_path: Path) -> None:
    fleet = tiny()
    assert {"web-01", "db-01", "app-01", "win-01", "empty-disk-01", "odd-size-01", "big-01", "rdm-01", "i386-01"} <= {
        machine.name for machine in fleet.machines
    }
    for machine in fleet.machines:
        for number, disk in enumerate(machine.disks):
            if disk.make is None:
                continue
            path = tmp_path / f"{machine.name}-{number}"
            disk.make(path)
            assert path.stat().st_size == disk.capacity
            if machine.name == "empty-disk-01" and number == 1:
                assert path.stat().st_blocks == 0
            elif number == 0:
                assert path.read_bytes()[510:512] == b"\x55\xaa"
    assert ODD_CAPACITY % MIB and ODD_CAPACITY % 512 == 0
    assert (tmp_path / "big-01-0").stat().st_blocks * 512 > 48 * MIB


def test_a_disk_too_small_for_its_system_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="tiny-linux needs"):
        make_boot(tmp_path / "disk", 5 * MIB, MIB, "seed")


def test_the_same_tiny_disk_comes_out_every_time(tmp_path: Path) -> None:
    contents = []
    for name in ("first", "second"):
        disk = tiny().machines[0].disks[0]
        assert disk.make is not None
        disk.make(tmp_path / name)
        contents.append((tmp_path / name).read_bytes())
    assert contents[0] == contents[1]
