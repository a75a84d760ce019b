"""Reading the simulated vCenter's inventory: views, pages, paths, permissions, and waiting for changes."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pyVmomi import vim, vmodl

from tests.kits.pyvmomi_client import PC, QUICK, finish, login, machine, read_all, view_spec
from vmie_tui.simulators.control import TlsFiles
from vmie_tui.simulators.fleet.tiny import tiny
from vmie_tui.simulators.vcenter.server import VCenterSimulator

ALL = len(tiny().machines)


@pytest.fixture(scope="module")
def shared(tls: TlsFiles, tmp_path_factory: pytest.TempPathFactory) -> Iterator[VCenterSimulator]:
    with VCenterSimulator(tiny(), tmp_path_factory.mktemp("vc"), tls=tls, **QUICK) as running:
        yield running


@pytest.fixture
def sim(tls: TlsFiles, tmp_path: Path) -> Iterator[VCenterSimulator]:
    with VCenterSimulator(tiny(), tmp_path, tls=tls, **QUICK) as running:
        yield running


def props(content: Any) -> dict[str, Any]:
    return {prop.name: prop.val for prop in content.propSet}


def test_pages_hold_every_object_once(shared: VCenterSimulator) -> None:
    si = login(shared)
    for page in (1, 3, 10, None):
        names = [props(one)["name"] for one in read_all(si, vim.VirtualMachine, "name", page=page)]
        assert len(names) == len(set(names)) == ALL


def test_the_server_may_make_pages_smaller(sim: VCenterSimulator) -> None:
    sim.options.page_limit = 4
    assert len(read_all(login(sim), vim.VirtualMachine, "name", page=500)) == ALL
    assert sim.stats["ContinueRetrievePropertiesEx"] == (ALL - 1) // 4


def test_a_token_is_good_once(shared: VCenterSimulator) -> None:
    si = login(shared)
    collector = si.content.propertyCollector
    spec = view_spec(si, vim.VirtualMachine, "name")
    first = collector.RetrievePropertiesEx([spec], PC.RetrieveOptions(maxObjects=4))
    collector.CancelRetrievePropertiesEx(first.token)
    with pytest.raises(vmodl.fault.InvalidArgument):
        collector.ContinueRetrievePropertiesEx(first.token)


def test_a_machine_is_told_as_specified(shared: VCenterSimulator) -> None:
    si = login(shared)
    paths = ("name", "config.firmware", "config.hardware.device", "guest.guestFullName", "guest.net", "runtime.host")
    told = {props(one)["name"]: props(one) for one in read_all(si, vim.VirtualMachine, *paths, "summary.config.numCpu")}
    database = told["db-01"]
    found = [one for one in database["config.hardware.device"] if isinstance(one, vim.vm.device.VirtualDisk)]
    assert [(one.key, one.capacityInBytes, one.deviceInfo.label) for one in found] == [
        (2000, 12 << 20, "Hard disk 1"),
        (2001, 5 << 20, "Hard disk 2"),
    ]
    assert database["runtime.host"].name == "esx-01.corp.example"
    assert "guest.net" not in database  # off: Tools say nothing of addresses
    assert told["app-01"]["guest.net"][0].ipAddress == ["10.0.0.11"]


def test_all_properties_can_be_asked_for(shared: VCenterSimulator) -> None:
    si = login(shared)
    for kind in (vim.VirtualMachine, vim.HostSystem, vim.Datastore, vim.ClusterComputeResource, vim.Folder):
        spec = view_spec(si, kind)
        spec.propSet[0].all = True
        for one in si.content.propertyCollector.RetrieveProperties([spec]):
            assert {"name", "parent", "overallStatus"} <= set(props(one))
            assert not one.missingSet


def test_a_device_can_be_asked_for_by_key(shared: VCenterSimulator) -> None:
    si = login(shared)
    found = read_all(si, vim.VirtualMachine, "name", "config.hardware.device[2001].capacityInBytes")
    sizes = {props(one)["name"]: props(one).get("config.hardware.device[2001].capacityInBytes") for one in found}
    assert (sizes["db-01"], sizes["web-01"]) == (5 << 20, None)


@pytest.mark.parametrize("path", ["nonsense", "config.nonsense", "config.hardware.device.key", "", "config..name"])
def test_a_path_the_class_does_not_have_is_refused(shared: VCenterSimulator, path: str) -> None:
    with pytest.raises(vmodl.query.InvalidProperty):
        read_all(login(shared), vim.VirtualMachine, path)


def test_folders_lead_from_the_root_to_the_machine(shared: VCenterSimulator) -> None:
    si = login(shared)
    walk = PC.TraversalSpec(name="down", type=vim.Folder, path="childEntity", skip=False)
    walk.selectSet = [PC.SelectionSpec(name="down"), PC.TraversalSpec(type=vim.Datacenter, path="vmFolder", skip=False)]
    walk.selectSet[1].selectSet = [PC.SelectionSpec(name="down")]
    start = PC.ObjectSpec(obj=si.content.rootFolder, skip=False, selectSet=[walk])
    spec = PC.FilterSpec(
        objectSet=[start], propSet=[PC.PropertySpec(type=vim.ManagedEntity, pathSet=["name", "parent"])]
    )
    found = {one.obj: props(one) for one in si.content.propertyCollector.RetrieveProperties([spec])}
    web = next(obj for obj, told in found.items() if told["name"] == "web-01")
    path, node = [], web
    while node is not None:
        path.append(found[node]["name"])
        node = found[node].get("parent")
    assert path[::-1] == ["Datacenters", "DC1", "vm", "Test", "Web", "web-01"]


@pytest.mark.parametrize("path", ["nonsense", "name", "config"])
def test_a_walk_along_what_leads_nowhere_is_refused(shared: VCenterSimulator, path: str) -> None:
    si = login(shared)
    walk = PC.TraversalSpec(type=vim.VirtualMachine, path=path)
    start = PC.ObjectSpec(obj=machine(si, "web-01"), selectSet=[walk])
    spec = PC.FilterSpec(objectSet=[start], propSet=[PC.PropertySpec(type=vim.ManagedEntity, pathSet=["name"])])
    with pytest.raises(vmodl.query.InvalidProperty):
        si.content.propertyCollector.RetrieveProperties([spec])


def test_machines_are_found_by_uuid_and_path(shared: VCenterSimulator) -> None:
    si = login(shared)
    index = si.content.searchIndex
    ident = shared.machine("web-01").instance_uuid
    assert index.FindByUuid(None, ident, True, True).name == "web-01"
    assert index.FindByUuid(None, ident, True, False) is None
    assert index.FindByInventoryPath("DC1/vm/Test/Web/web-01").name == "web-01"
    assert index.FindByInventoryPath("DC1/vm/Test/Web/nobody") is None


def test_what_may_not_be_read_is_missing_not_wrong(sim: VCenterSimulator) -> None:
    si = login(sim)
    sim.revoke("System.Read", "web-01")
    told = {props(one)["name"]: one for one in read_all(si, vim.VirtualMachine, "name", "config.uuid")}
    missing = told["web-01"].missingSet
    assert [(one.path, one.fault.privilegeId) for one in missing] == [("config.uuid", "System.Read")]
    assert not told["web-02"].missingSet
    sim.revoke("System.View", "web-01")
    assert len(read_all(si, vim.VirtualMachine, "name")) == ALL - 1
    sim.grant("System.View"), sim.grant("System.Read")
    assert not any(one.missingSet for one in read_all(si, vim.VirtualMachine, "name", "config.uuid"))


def test_a_privilege_is_needed_to_act_and_can_be_asked_for(sim: VCenterSimulator) -> None:
    si = login(sim)
    vm = machine(si, "web-01")
    sim.revoke("VApp.Export", sim.machine("web-01").parent.moid)  # the folder: holds for what lies in it
    with pytest.raises(vim.fault.NoPermission) as caught:
        vm.ExportVm()
    assert (caught.value.privilegeId, caught.value.object._moId) == ("VApp.Export", vm._moId)
    manager, session = si.content.authorizationManager, si.content.sessionManager.currentSession.key
    wanted = ["VApp.Export", "VirtualMachine.State.CreateSnapshot"]
    held = manager.HasPrivilegeOnEntities([vm, machine(si, "db-01")], session, wanted)
    assert [[one.isGranted for one in entity.privAvailability] for entity in held] == [[False, True], [True, True]]


# ---- waiting for changes


def changes(update: Any) -> dict[str, tuple[str, dict[str, Any]]]:
    found = {}
    for filtered in update.filterSet:
        for one in filtered.objectSet:
            found[one.obj._moId] = (one.kind, {change.name: change.val for change in one.changeSet})
    return found


def test_changes_come_as_they_happen(sim: VCenterSimulator) -> None:
    si = login(sim)
    collector = si.content.propertyCollector
    collector.CreateFilter(view_spec(si, vim.VirtualMachine, "name", "runtime.powerState"), True)
    first = collector.WaitForUpdatesEx("", PC.WaitOptions(maxWaitSeconds=5))
    assert len(changes(first)) == ALL
    assert collector.WaitForUpdatesEx(first.version, PC.WaitOptions(maxWaitSeconds=0)) is None
    vm = machine(si, "web-01")
    finish(vm.PowerOn())
    second = collector.WaitForUpdates(first.version)
    assert changes(second) == {vm._moId: ("modify", {"runtime.powerState": "poweredOn"})}
    lost = collector.WaitForUpdatesEx(first.version, PC.WaitOptions(maxWaitSeconds=0))
    assert changes(lost) == changes(second)  # an answer that got lost is given again
    sim.remove_machine("web-02")
    third = collector.WaitForUpdatesEx(second.version, PC.WaitOptions(maxWaitSeconds=5))
    assert [kind for kind, _ in changes(third).values()] == ["leave"]
    with pytest.raises(vmodl.query.InvalidCollectorVersion):
        collector.WaitForUpdatesEx("99", PC.WaitOptions(maxWaitSeconds=0))


def test_many_changes_come_in_pieces(sim: VCenterSimulator) -> None:
    si = login(sim)
    collector = si.content.propertyCollector.CreatePropertyCollector()
    filtered = collector.CreateFilter(view_spec(si, vim.VirtualMachine, "name"), True)
    version, seen, sizes = "", set[str](), []
    while True:
        update = collector.WaitForUpdatesEx(version, PC.WaitOptions(maxWaitSeconds=0, maxObjectUpdates=4))
        if update is None:
            break
        version = update.version
        sizes.append((len(changes(update)), bool(update.truncated)))
        seen |= set(changes(update))
    assert sizes == [(4, True), (4, True), (4, True), (ALL - 12, False)]
    assert len(seen) == ALL
    filtered.Destroy()
    collector.DestroyPropertyCollector()
    with pytest.raises(vmodl.fault.ManagedObjectNotFound):
        collector.WaitForUpdatesEx(version, None)


def test_a_wait_can_be_cancelled(sim: VCenterSimulator) -> None:
    si = login(sim)
    collector = si.content.propertyCollector
    collector.CreateFilter(view_spec(si, vim.VirtualMachine, "name"), True)
    version = collector.WaitForUpdatesEx("", None).version
    caught: list[Exception] = []

    def wait() -> None:
        try:
            collector.WaitForUpdatesEx(version, PC.WaitOptions(maxWaitSeconds=60))
        except vmodl.fault.RequestCanceled as fault:
            caught.append(fault)

    waiting = threading.Thread(target=wait)
    waiting.start()
    while waiting.is_alive():
        collector.CancelWaitForUpdates()
        waiting.join(0.05)
    assert len(caught) == 1
