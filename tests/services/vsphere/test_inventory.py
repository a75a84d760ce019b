"""Machines read from the simulated vCenter: every field, page by page, with rights missing."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import unquote

import pytest

from tests.kits.vcenter_session import log_in, named
from vmie_tui.model.errors import Cancelled, ErrorKind, ServiceError
from vmie_tui.model.machine import Backing, Firmware, Machine, OsFamily, Power
from vmie_tui.model.plan import VmSource
from vmie_tui.services.vsphere.inventory import find_machine, read_inventory, read_machine
from vmie_tui.services.vsphere.session import VSphere
from vmie_tui.simulators.control import Fault, TlsFiles
from vmie_tui.simulators.fleet.company import company
from vmie_tui.simulators.fleet.tiny import CLUSTER, DATACENTER, HOST, tiny
from vmie_tui.simulators.vcenter.server import VCenterSimulator

FIELDS = (
    *("guest_id", "guest_name", "tools_guest_name", "secure_boot", "cpus", "memory_mib", "cdrom_connected"),
    *("snapshots", "consolidation_needed", "cbt", "vtpm", "encrypted", "passthrough", "annotation"),
)
ALL = len(tiny().machines)
SCSI = {"pvscsi": "scsi", "lsi": "scsi"}


def test_reads_the_whole_fleet(vsphere: VSphere) -> None:
    inventory = read_inventory(vsphere)
    wanted = {machine.name: machine for machine in tiny().machines}
    assert {machine.name for machine in inventory.machines} == set(wanted)
    assert inventory.unreadable == 0
    assert inventory.taken_at.tzinfo is not None
    for machine in inventory.machines:
        spec = wanted[machine.name]
        assert (machine.datacenter, machine.cluster, machine.host) == (DATACENTER, CLUSTER, HOST)
        assert machine.folder == spec.folder
        assert machine.power == Power(spec.power)
        assert (machine.guest_id, machine.cpus, machine.memory_mib) == (spec.guest_id, spec.cpus, spec.memory_mib)
        assert [disk.capacity for disk in machine.disks] == [disk.capacity for disk in spec.disks]
        assert len(machine.nics) == len(spec.nics)
        assert {disk.datastore for disk in machine.disks} == {spec.datastore}
        assert machine.instance_uuid


def test_details_of_machines(vsphere: VSphere) -> None:
    database = named(vsphere, "db-01")
    assert database.path == "DC1/Test/Databases/db-01"
    assert [disk.controller for disk in database.disks] == ["scsi0:0", "scsi0:1"]
    assert [disk.key for disk in database.disks] == [2000, 2001]
    assert {disk.datastore_type for disk in database.disks} == {"VMFS"}
    assert database.firmware is Firmware.BIOS
    assert named(vsphere, "rdm-01").disks[1].backing is Backing.RDM
    assert named(vsphere, "win-01").os_family is OsFamily.WINDOWS_SERVER
    (nic,) = named(vsphere, "app-01").nics
    assert nic.addresses == ("10.0.0.11",)
    assert nic.connected
    assert nic.network == "VM Network"


def test_pages_arrive_as_they_are_read(vcenter: VCenterSimulator, vsphere: VSphere) -> None:
    pages: list[tuple[int, int]] = []
    inventory = read_inventory(vsphere, page_size=4, on_page=lambda page, total: pages.append((len(page), total)))
    assert pages == [(4, ALL), (4, ALL), (4, ALL), (ALL - 12, ALL)]
    assert len({machine.moid for machine in inventory.machines}) == ALL
    counts = vcenter.stats.snapshot()
    assert sum(n for name, n in counts.items() if name.endswith("ContinueRetrievePropertiesEx")) >= 2


def test_stops_between_pages_and_tells_vcenter(vcenter: VCenterSimulator, vsphere: VSphere) -> None:
    seen: list[Machine] = []
    with pytest.raises(Cancelled):
        read_inventory(
            vsphere, page_size=2, on_page=lambda page, _: seen.extend(page), cancelled=lambda: len(seen) >= 4
        )
    assert len(seen) == 4
    counts = vcenter.stats.snapshot()
    assert sum(n for name, n in counts.items() if name.endswith("CancelRetrievePropertiesEx")) == 1


def test_a_folder_made_meanwhile_is_known(vcenter: VCenterSimulator, vsphere: VSphere) -> None:
    machine = named(vsphere, "db-01")
    vsphere.places.kinds.pop(vcenter.machine("db-01").parent.moid)
    assert read_machine(vsphere, machine.moid).path == machine.path


def test_a_machine_that_may_not_be_seen_is_counted_not_guessed(vcenter: VCenterSimulator, vsphere: VSphere) -> None:
    hidden = named(vsphere, "web-01")
    vcenter.revoke("System.Read", "web-01")
    try:
        inventory = read_inventory(vsphere)
        with pytest.raises(ServiceError, match=hidden.moid) as caught:
            read_machine(vsphere, hidden.moid)
    finally:
        vcenter.grant("System.Read", "web-01")
    assert caught.value.kind is ErrorKind.PERMISSION
    assert "web-01" not in {machine.name for machine in inventory.machines}
    assert inventory.unreadable == 1
    assert len(inventory.machines) == ALL - 1


def test_not_authenticated_hidden_in_a_reply_is_an_ended_session(vcenter: VCenterSimulator, vsphere: VSphere) -> None:
    read_inventory(vsphere)
    vcenter.faults.add(Fault("RetrievePropertiesEx", "missing", match="web-02", times=None, code="NotAuthenticated"))
    with pytest.raises(ServiceError) as caught:
        read_inventory(vsphere)
    assert caught.value.kind is ErrorKind.LOGIN


def test_one_machine_equals_the_one_in_the_list(vsphere: VSphere) -> None:
    for machine in read_inventory(vsphere).machines:
        assert read_machine(vsphere, machine.moid) == machine


def test_a_connection_reset_in_the_middle_is_a_network_error(vcenter: VCenterSimulator, vsphere: VSphere) -> None:
    read_inventory(vsphere)
    vcenter.faults.add(Fault("ContinueRetrievePropertiesEx", "reset", times=None))
    with pytest.raises(ServiceError) as caught:
        read_inventory(vsphere, page_size=2)
    assert (caught.value.kind, caught.value.problem.retry_safe) == (ErrorKind.NETWORK, True)


def test_finds_by_moid_then_by_uuid_and_says_when_it_vanished(vcenter: VCenterSimulator, vsphere: VSphere) -> None:
    wanted, other = named(vsphere, "i386-01"), named(vsphere, "web-02")
    for moid in (wanted.moid, "vm-1", other.moid):
        assert find_machine(vsphere, VmSource("vc", moid, wanted.name, wanted.instance_uuid)) == wanted
    vcenter.remove_machine("i386-01")
    with pytest.raises(ServiceError, match=rf"i386-01 \({wanted.moid}\): .* no longer in vCenter") as caught:
        find_machine(vsphere, VmSource("vc", wanted.moid, "i386-01", wanted.instance_uuid))
    assert caught.value.kind is ErrorKind.NOT_FOUND
    with pytest.raises(ServiceError, match=wanted.moid):
        read_machine(vsphere, wanted.moid)


def test_every_field_of_a_company(tmp_path: Path, tls: TlsFiles) -> None:
    fleet = company()
    with VCenterSimulator(fleet, tmp_path, tls=tls) as vcenter, log_in(vcenter) as vsphere:
        machines = {(one.datacenter, one.folder, one.name): one for one in read_inventory(vsphere).machines}
    assert len(machines) == len(fleet.machines)
    types = {(dc.name, store.name): store.type for dc in fleet.datacenters for store in dc.datastores}
    for spec in fleet.machines:
        machine = machines[spec.datacenter, spec.folder, unquote(spec.name)]
        for name in ("cluster", "host", "connection"):
            assert getattr(machine, name) == getattr(spec, name), (spec.name, name)
        if spec.connection != "connected":
            continue  # vCenter does not know such a machine's configuration
        for name in FIELDS:
            assert getattr(machine, name) == getattr(spec, name), (spec.name, name)
        assert machine.firmware.value == {"efi": "uefi"}.get(spec.firmware, spec.firmware)
        assert (machine.power.value, machine.tools_status) == (spec.power, spec.tools)
        for disk, wanted in zip(machine.disks, spec.disks, strict=True):
            assert (disk.capacity, disk.backing.value, disk.mode) == (wanted.capacity, wanted.backing, wanted.mode)
            assert disk.encrypted == wanted.encrypted
            assert disk.sharing in (wanted.sharing, "")
            assert disk.datastore_type == types[spec.datacenter, disk.datastore]
            assert disk.controller.startswith(SCSI.get(wanted.controller, wanted.controller))
            assert disk.thin == (wanted.thin if wanted.backing == "flat" else None)
        for nic, card in zip(machine.nics, spec.nics, strict=True):
            assert (nic.network, nic.connected, nic.addresses) == (card.network, card.connected, card.addresses)
            assert nic.dhcp in ((card.dhcp,) if card.addresses else (card.dhcp, None))
