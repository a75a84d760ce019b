"""The guest's file systems: read with the inventory, kept in the cache, judged by the rules."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from tests.kits.fleet_machines import company_machines
from tests.kits.vcenter_session import log_in, named
from vmie_tui.model.finding import Severity
from vmie_tui.model.machine import GuestDisk, Inventory, Machine, VCenterInfo
from vmie_tui.model.rules.machine import check_machine
from vmie_tui.services.vsphere.cache import load_cached, save_cached
from vmie_tui.services.vsphere.inventory import read_inventory
from vmie_tui.services.vsphere.session import VSphere
from vmie_tui.settings import VCenterSettings
from vmie_tui.simulators.control import TlsFiles
from vmie_tui.simulators.fleet.company import company
from vmie_tui.simulators.vcenter.server import VCenterSimulator


def test_what_tools_report_of_file_systems_is_read(vsphere: VSphere) -> None:
    running = named(vsphere, "app-01")
    (disk,) = running.guest_disks
    assert (disk.path, disk.capacity) == ("/", running.disks[0].capacity)
    assert disk.free == disk.capacity * 2 // 5
    assert named(vsphere, "web-01").guest_disks == ()


def test_they_come_back_from_the_cache_and_from_json(tmp_path: Path) -> None:
    machine = Machine("vm-1", "a", guest_disks=(GuestDisk("/", 10, 4), GuestDisk("/var", 20, 3)))
    settings = VCenterSettings("vcenter.corp", "ops@vsphere.local")
    inventory = Inventory(VCenterInfo("vcenter.corp"), datetime(2026, 11, 21, tzinfo=UTC), (machine,))
    save_cached(tmp_path, settings, inventory)
    assert load_cached(tmp_path, settings) == inventory
    assert Machine.from_json(machine.to_json()) == machine
    older = machine.to_json()
    del older["guest_disks"]
    assert Machine.from_json(older).guest_disks == ()


def test_the_company_as_vcenter_tells_it_gets_the_verdicts_of_its_specifications(tls: TlsFiles, tmp_path: Path) -> None:
    with VCenterSimulator(company(), tmp_path, tls=tls) as vcenter, log_in(vcenter) as vsphere:
        machines = read_inventory(vsphere).machines
    known = company_machines()
    assert len(machines) == len(known)
    for machine in machines:
        spec = known[machine.name] if machine.name in known else known[machine.name.replace("/", "%2f")]
        told, expected = (
            sorted(finding.what for finding in check_machine(item) if finding.severity is not Severity.INFO)
            for item in (machine, spec)
        )
        assert told == expected or machine.connection != "connected", machine.name
