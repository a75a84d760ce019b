"""The simulated vCenter's smaller managers, by pyVmomi: lists, history, datastore browser, OVF, rights, pools."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from pyVmomi import vim

from tests.kits.pyvmomi_client import PC, QUICK, finish, login, machine
from vmie_tui.simulators.control import TlsFiles
from vmie_tui.simulators.fleet.tiny import tiny
from vmie_tui.simulators.vcenter.ovf import describe_machine, read_system
from vmie_tui.simulators.vcenter.server import VCenterSimulator

Filter = vim.event.EventFilterSpec
MADE = "VirtualMachine.CreateSnapshot"


@pytest.fixture(scope="module")
def sim(tls: TlsFiles, tmp_path_factory: pytest.TempPathFactory) -> Iterator[VCenterSimulator]:
    with VCenterSimulator(tiny(), tmp_path_factory.mktemp("sim"), tls=tls, **QUICK) as sim:
        yield sim


@pytest.fixture(scope="module")
def si(sim: VCenterSimulator) -> Any:
    return login(sim)


def names_in(si: Any, view: Any) -> list[str]:
    walk = PC.TraversalSpec(type=vim.view.ListView, path="view", skip=False)
    start = PC.ObjectSpec(obj=view, skip=True, selectSet=[walk])
    spec = PC.FilterSpec(objectSet=[start], propSet=[PC.PropertySpec(type=vim.VirtualMachine, pathSet=["name"])])
    return [one.propSet[0].val for one in si.content.propertyCollector.RetrieveContents([spec])]


def test_a_list_view_holds_what_its_client_puts_there(si: Any) -> None:
    web, other = machine(si, "web-01"), machine(si, "web-02")
    view = si.content.viewManager.CreateListView([web])
    assert names_in(si, view) == ["web-01"]
    gone = vim.VirtualMachine("vm-9999")
    assert [ref._moId for ref in view.ModifyListView([other, gone], [web])] == ["vm-9999"]
    assert names_in(si, view) == ["web-02"]
    view.ResetListView([web, other])
    assert sorted(names_in(si, view)) == ["web-01", "web-02"]
    copy = si.content.viewManager.CreateListViewFromView(view)
    assert len(copy.view) == 2
    view.DestroyView()


def test_events_and_tasks_are_paged(si: Any) -> None:
    web = machine(si, "web-02")
    for number in range(4):
        finish(web.CreateSnapshot_Task(f"s{number}", "", False, False))
    about = Filter.ByEntity(entity=web, recursion="self")
    events = si.content.eventManager.CreateCollectorForEvents(Filter(entity=about))
    events.SetCollectorPageSize(2)
    assert [event.info.descriptionId for event in events.latestPage] == [MADE] * 2
    assert events.latestPage[0].key > events.latestPage[1].key
    events.RewindCollector()
    seen = [*events.ReadNextEvents(3), *events.ReadNextEvents(100)]
    assert len(seen) == 4 and [event.key for event in seen] == sorted(event.key for event in seen)
    assert all(event.vm.vm == web and event.userName == "administrator@vsphere.local" for event in seen)
    assert [event.key for event in events.ReadPreviousEvents(2)] == [seen[3].key, seen[2].key]
    events.DestroyCollector()
    wanted = vim.TaskFilterSpec(entity=vim.TaskFilterSpec.ByEntity(entity=web, recursion="self"), state=["success"])
    tasks = si.content.taskManager.CreateCollectorForTasks(wanted)
    tasks.RewindCollector()
    assert [info.descriptionId for info in tasks.ReadNextTasks(10)] == [MADE] * 4
    finish(web.RemoveAllSnapshots_Task())


def test_events_are_filtered(si: Any, sim: VCenterSimulator) -> None:
    manager = si.content.eventManager
    web = machine(si, "web-01")
    manager.LogUserEvent(web, "by hand")
    (mine,) = manager.QueryEvents(Filter(eventTypeId=["GeneralUserEvent"]))
    assert (mine.message, mine.vm.name) == ("by hand", "web-01")
    folder = web.parent
    by_folder = manager.QueryEvents(Filter(entity=Filter.ByEntity(entity=folder, recursion="all")))
    assert mine.key in {event.key for event in by_folder}
    other = Filter.ByEntity(entity=machine(si, "app-01"), recursion="all")
    assert mine.key not in {event.key for event in manager.QueryEvents(Filter(entity=other))}
    assert manager.QueryEvents(Filter(userName=Filter.ByUsername(systemUser=False, userList=["nobody"]))) == []
    kinds = {type(event).__name__ for event in manager.QueryEvents(Filter(eventTypeId=["UserLoginSessionEvent"]))}
    assert kinds == {"vim.event.UserLoginSessionEvent"}


def _search(si: Any, path: str, *, below: bool = False, **spec: Any) -> Any:
    store = next(one for one in machine(si, "web-01").datastore if one.name == "vmfs-01")
    search = store.browser.SearchDatastoreSubFolders_Task if below else store.browser.SearchDatastore_Task
    return finish(search(path, vim.host.DatastoreBrowser.SearchSpec(**spec)))


def test_the_datastore_browser_lists_files(si: Any, sim: VCenterSimulator) -> None:
    found = _search(si, "[vmfs-01] web-01")
    assert found.folderPath == "[vmfs-01] web-01/"
    assert {one.path for one in found.file} == {"web-01.vmx", "web-01.nvram", "web-01.vmdk", "web-01-flat.vmdk"}
    flags = vim.host.DatastoreBrowser.FileInfo.Details(fileType=True, fileSize=True, modification=True, fileOwner=True)
    (one,) = _search(si, "[vmfs-01] web-01", matchPattern=["*.vmx"], details=flags).file
    assert isinstance(one, vim.host.DatastoreBrowser.VmConfigInfo) and one.fileSize and one.owner == "root"
    everything = _search(si, "[vmfs-01]", below=True)
    assert {"[vmfs-01]", "[vmfs-01] web-01/"} <= {each.folderPath for each in everything}
    with pytest.raises(vim.fault.FileNotFound):
        _search(si, "[vmfs-01] nobody")
    with pytest.raises(vim.fault.InvalidDatastore):
        _search(si, "[other] web-01")
    sim.revoke("Datastore.Browse")
    try:
        with pytest.raises(vim.fault.NoPermission):
            _search(si, "[vmfs-01] web-01")
    finally:
        sim.grant("Datastore.Browse")


def test_a_descriptor_written_is_read_again(si: Any, sim: VCenterSimulator) -> None:
    one = sim.machine("empty-disk-01")
    keys = [f"/{one.moid}/ParaVirtualSCSIController0:{unit}" for unit in range(2)]
    files = [
        vim.OvfManager.OvfFile(deviceId=key, path=f"<disk> & {number}.vmdk", size=100 + number)
        for number, key in enumerate(keys)
    ]
    params = vim.OvfManager.CreateDescriptorParams(ovfFiles=files, name='a "b" <c>')
    manager = si.content.ovfManager
    made = manager.CreateDescriptor(machine(si, "empty-disk-01"), params)
    system = read_system(made.ovfDescriptor)
    assert (system.name, system.guest, system.cpus, system.memory) == ('a "b" <c>', "debian12_64Guest", 1, 1024)
    assert [(disk.path, disk.size, disk.capacity) for disk in system.disks] == [
        (f"<disk> & {number}.vmdk", 100 + number, disk.capacity) for number, disk in enumerate(one.disks)
    ]
    told = manager.ParseDescriptor(
        made.ovfDescriptor, vim.OvfManager.ParseDescriptorParams(locale="", deploymentOption="")
    )
    assert (told.defaultEntityName, [net.name for net in told.network]) == ('a "b" <c>', ["VM Network"])
    pool = machine(si, "web-01").resourcePool
    params = vim.OvfManager.CreateImportSpecParams(locale="", deploymentOption="", entityName="back")
    spec = manager.CreateImportSpec(made.ovfDescriptor, pool, machine(si, "web-01").datastore[0], params)
    assert [item.deviceId for item in spec.fileItem] == [
        f"/back/ParaVirtualSCSIController0:{unit}" for unit in range(2)
    ]
    lease = pool.ImportVApp(spec.importSpec, None, None)
    assert len(sim.machine("back").disks) == 2
    lease.HttpNfcLeaseAbort(None)
    broken = manager.CreateImportSpec("<Envelope", pool, machine(si, "web-01").datastore[0], params)
    assert isinstance(broken.error[0], vim.fault.OvfXmlFormat)
    half = describe_machine(one, "half", files[:1])
    assert len(read_system(half).disks) == 1


def test_rights_pools_sessions_and_extra_settings(si: Any, sim: VCenterSimulator) -> None:
    manager = si.content.authorizationManager
    root, web = si.content.rootFolder, machine(si, "web-01")
    assert {role.name for role in manager.roleList} == {"Admin", "ReadOnly", "NoAccess"}
    (own,) = manager.RetrieveEntityPermissions(web, True)
    assert (own.entity, own.principal, own.roleId) == (root, sim.user, -1)
    assert manager.RetrieveEntityPermissions(web, False) == []
    assert len(manager.RetrieveAllPermissions()) == len(manager.RetrieveRolePermissions(-1)) == 1
    with pytest.raises(vim.fault.NotFound):
        manager.RetrieveRolePermissions(77)
    pool = web.resourcePool
    assert pool.runtime.cpu.maxUsage > 0 and pool.config.memoryAllocation.shares.level == "normal"
    sessions = si.content.sessionManager
    spec = PC.FilterSpec(
        objectSet=[PC.ObjectSpec(obj=sessions)],
        propSet=[PC.PropertySpec(type=vim.SessionManager, pathSet=["currentSession"])],
    )
    (read,) = si.content.propertyCollector.RetrieveContents([spec])
    assert read.propSet[0].val.key == sessions.currentSession.key
    option = vim.option.OptionValue
    finish(
        web.ReconfigVM_Task(vim.vm.ConfigSpec(extraConfig=[option(key="a.b", value="c"), option(key="d", value="1")]))
    )
    finish(web.ReconfigVM_Task(vim.vm.ConfigSpec(extraConfig=[option(key="d", value="")])))
    assert [(one.key, one.value) for one in web.config.extraConfig] == [("a.b", "c")]
    assert si.content.licenseManager.licenses[0].editionKey == "eval"
    assert si.content.diagnosticManager.QueryDescriptions(None) == []
