"""Power, snapshots, change tracking and datastore files of the simulated vCenter."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pyVmomi import vim, vmodl

from tests.kits.pyvmomi_client import QUICK, finish, get, login, machine, raw
from tests.kits.waiting import wait_until
from vmie_tui.simulators.control import Fault, TlsFiles
from vmie_tui.simulators.spec import ClusterSpec, DatacenterSpec, DatastoreSpec, DiskSpec, FleetSpec, VmSpec
from vmie_tui.simulators.vcenter.server import VCenterSimulator

MIB = 1 << 20


def pattern(path: Path) -> None:
    """One MiB of ones at 2 MiB."""
    with path.open("wb") as file:
        file.seek(2 * MIB)
        file.write(b"\1" * MIB)


def fleet() -> FleetSpec:
    place = {"datacenter": "DC1", "cluster": "C1", "host": "esx-01.corp"}
    disk = DiskSpec(8 * MIB, make=pattern)
    machines = (
        VmSpec("off", **place, datastore="vmfs", disks=(disk, DiskSpec(4 * MIB, mode="independent_persistent"))),
        VmSpec("on", **place, datastore="vmfs", power="on", disks=(disk,), cbt=True),
        VmSpec("deaf", **place, datastore="vmfs", power="on", tools="toolsNotRunning", disks=(disk,)),
        VmSpec("old", **place, datastore="vmfs", snapshots=2, disks=(disk,)),
        VmSpec("nfs", **place, datastore="nfs", cbt=True, disks=(disk,)),
        VmSpec("vsan", **place, datastore="vsan", disks=(disk,)),
        VmSpec("shared", **place, datastore="vmfs", disks=(DiskSpec(8 * MIB, sharing="sharingMultiWriter"),)),
    )
    stores = (DatastoreSpec("vmfs"), DatastoreSpec("nfs", "NFS"), DatastoreSpec("vsan", "vsan"))
    return FleetSpec((DatacenterSpec("DC1", (ClusterSpec("C1", ("esx-01.corp",)),), stores),), machines)


@pytest.fixture
def sim(tls: TlsFiles, tmp_path: Path) -> Iterator[VCenterSimulator]:
    with VCenterSimulator(fleet(), tmp_path, tls=tls, **QUICK) as running:
        yield running


@pytest.fixture
def si(sim: VCenterSimulator) -> Any:
    return login(sim)


def test_power(sim: VCenterSimulator, si: Any) -> None:
    vm = machine(si, "off")
    finish(vm.PowerOn())
    with pytest.raises(vim.fault.InvalidPowerState):
        finish(vm.PowerOn())
    finish(vm.Suspend())
    assert vm.runtime.powerState == "suspended"
    finish(vm.PowerOff())
    running, deaf = machine(si, "on"), machine(si, "deaf")
    running.ShutdownGuest()
    wait_until(lambda: running.runtime.powerState == "poweredOff", what="the guest's way down")
    with pytest.raises(vim.fault.ToolsUnavailable):
        deaf.ShutdownGuest()


def test_tasks_go_from_queued_to_their_end(sim: VCenterSimulator, si: Any) -> None:
    sim.options.task_seconds = 50
    task = machine(si, "off").PowerOn()
    wait_until(lambda: task.info.state == "running", what="the start")
    sim.clock.advance(30)
    wait_until(lambda: task.info.progress == 50, what="the middle")
    sim.clock.advance(30)
    wait_until(lambda: task.info.state == "success", what="the end")
    assert task.info.completeTime >= task.info.startTime >= task.info.queueTime
    sim.faults.add(
        Fault("PowerOffVM_Task", action="task-error", code="InsufficientResourcesFault", message="none left")
    )
    with pytest.raises(vim.fault.InsufficientResourcesFault, match="none left"):
        task = machine(si, "off").PowerOff()
        wait_until(lambda: task.info.state == "running", what="the start")
        sim.clock.advance(60)
        finish(task)


def test_machines_are_renamed_and_destroyed(sim: VCenterSimulator, si: Any) -> None:
    vm = machine(si, "off")
    finish(vm.Rename("renamed"))
    assert machine(si, "renamed")._moId == vm._moId
    folder = sim.disk_path("renamed", 2000).parent
    with pytest.raises(vim.fault.InvalidPowerState):
        finish(machine(si, "on").Destroy())
    finish(vm.Destroy())
    with pytest.raises(vmodl.fault.ManagedObjectNotFound):
        _ = vm.name
    assert not list(folder.iterdir())
    assert vm not in si.content.rootFolder.childEntity[0].vmFolder.childEntity


def test_snapshots_make_a_tree(sim: VCenterSimulator, si: Any) -> None:
    vm = machine(si, "old")
    third = finish(vm.CreateSnapshot_Task("third", "mine", False, False))
    root = vm.snapshot.rootSnapshotList[0]
    assert [root.name, root.childSnapshotList[0].name] == ["before patch 1", "before patch 2"]
    assert root.childSnapshotList[0].childSnapshotList[0].snapshot == third == vm.snapshot.currentSnapshot
    finish(root.childSnapshotList[0].snapshot.RemoveSnapshot_Task(removeChildren=False))
    assert vm.snapshot.rootSnapshotList[0].childSnapshotList[0].snapshot == third
    finish(vm.RemoveAllSnapshots_Task())
    assert vm.snapshot is None
    with pytest.raises(vmodl.fault.ManagedObjectNotFound):
        _ = third.config


def test_a_revert_brings_the_content_back(sim: VCenterSimulator, si: Any) -> None:
    vm = machine(si, "on")
    before = raw(sim.disk_path("on", 2000))
    first = finish(vm.CreateSnapshot_Task("1", "", False, False))
    sim.write_disk("on", 2000, 0, b"later")
    since = change_ids(first)[2000]
    second = finish(vm.CreateSnapshot_Task("2", "", False, False))
    finish(first.RevertToSnapshot_Task())
    assert raw(sim.disk_path("on", 2000)) == before
    assert vm.snapshot.currentSnapshot == first
    assert vm.runtime.powerState == "poweredOff"
    third = finish(vm.CreateSnapshot_Task("3", "", False, False))
    with pytest.raises(vmodl.fault.InvalidArgument):
        vm.QueryChangedDiskAreas(third, 2000, 0, since)
    finish(second.RevertToSnapshot_Task())
    assert raw(sim.disk_path("on", 2000))[:5] == b"later"


def test_quiescing_falls_back_where_tools_do_not_run(sim: VCenterSimulator, si: Any) -> None:
    for name, expected in (("on", True), ("deaf", False)):
        vm = machine(si, name)
        finish(vm.CreateSnapshot_Task("s", "", False, True))
        assert vm.snapshot.rootSnapshotList[0].quiesced is expected


def test_some_snapshots_are_refused(sim: VCenterSimulator, si: Any) -> None:
    with pytest.raises(vim.fault.SnapshotIncompatibleDeviceInVm):
        finish(machine(si, "shared").CreateSnapshot_Task("s", "", False, False))
    with pytest.raises(vim.fault.InvalidName):
        machine(si, "off").CreateSnapshot_Task("x" * 81, "", False, False)
    sim.revoke("VirtualMachine.State.CreateSnapshot")
    with pytest.raises(vim.fault.NoPermission):
        machine(si, "off").CreateSnapshot_Task("s", "", False, False)


# ---- changed blocks


def change_ids(snapshot: Any) -> dict[int, str | None]:
    found = [one for one in snapshot.config.hardware.device if isinstance(one, vim.vm.device.VirtualDisk)]
    return {disk.key: disk.backing.changeId for disk in found}


def test_tracking_starts_at_the_next_snapshot(sim: VCenterSimulator, si: Any) -> None:
    vm = machine(si, "off")
    finish(vm.Reconfigure(vim.vm.ConfigSpec(changeTrackingEnabled=True)))
    assert vm.config.changeTrackingEnabled
    with pytest.raises(vim.fault.FileFault):
        vm.QueryChangedDiskAreas(None, 2000, 0, "*")
    ids = change_ids(finish(vm.CreateSnapshot_Task("s", "", False, False)))
    assert ids[2000] is not None and ids[2001] is None  # the independent disk is left out
    with pytest.raises(vim.fault.InvalidState):
        finish(vm.Reconfigure(vim.vm.ConfigSpec(changeTrackingEnabled=False)))
    with pytest.raises(vmodl.fault.NotSupported):
        vm.Reconfigure(vim.vm.ConfigSpec(memoryMB=1))


def areas(info: Any) -> list[tuple[int, int]]:
    return [(area.start, area.length) for area in info.changedArea]


def test_changes_between_two_snapshots(sim: VCenterSimulator, si: Any) -> None:
    vm = machine(si, "on")
    first = finish(vm.CreateSnapshot_Task("1", "", False, False))
    assert areas(vm.QueryChangedDiskAreas(first, 2000, 0, "*")) == [(2 * MIB, MIB)]
    sim.write_disk("on", 2000, 5 * MIB + 10, b"abc")
    sim.write_disk("on", 2000, 7 * MIB - 1, b"de")
    second = finish(vm.CreateSnapshot_Task("2", "", False, False))
    sim.write_disk("on", 2000, 0, b"after the second")
    since = change_ids(first)[2000]
    expected = [(5 * MIB, 65536), (7 * MIB - 65536, 131072)]
    assert areas(vm.QueryChangedDiskAreas(second, 2000, 0, since)) == expected
    sim.options.changed_limit = 1
    part = vm.QueryChangedDiskAreas(second, 2000, 0, since)
    rest = vm.QueryChangedDiskAreas(second, 2000, part.startOffset + part.length, since)
    assert areas(part) + areas(rest) == expected
    assert rest.startOffset + rest.length == 8 * MIB
    sim.reset_change_tracking("on")
    with pytest.raises(vmodl.fault.InvalidArgument) as caught:
        vm.QueryChangedDiskAreas(second, 2000, 0, since)
    assert caught.value.invalidProperty == "changeId"


def test_a_grown_disk_is_told_and_reads_on(sim: VCenterSimulator, si: Any) -> None:
    vm = machine(si, "off")
    sim.grow_disk("off", 2000, 10 * MIB)
    disk = next(one for one in vm.config.hardware.device if one.key == 2000)
    assert disk.capacityInBytes == 10 * MIB
    assert len(raw(sim.disk_path("off", 2000))) == 10 * MIB
    finish(vm.CreateSnapshot_Task("s", "", False, False))
    with pytest.raises(ValueError, match="cannot become"):
        sim.grow_disk("off", 2000, 12 * MIB)


def test_wrong_questions_about_changes(sim: VCenterSimulator, si: Any) -> None:
    vm = machine(si, "on")
    snapshot = finish(vm.CreateSnapshot_Task("1", "", False, False))
    for key, start, change_id, bad in (
        (1234, 0, "*", "deviceKey"),
        (2000, 9 * MIB, "*", "startOffset"),
        (2000, 0, "52 00/1", "changeId"),
    ):
        with pytest.raises(vmodl.fault.InvalidArgument) as caught:
            vm.QueryChangedDiskAreas(snapshot, key, start, change_id)
        assert caught.value.invalidProperty == bad
    with pytest.raises(vim.fault.InvalidPowerState):
        vm.QueryChangedDiskAreas(None, 2000, 0, "*")
    other = machine(si, "nfs")
    assert areas(other.QueryChangedDiskAreas(None, 2000, 0, "*")) == [(0, 8 * MIB)]


# ---- datastore files


def url(name: str, file: str, store: str = "vmfs") -> str:
    return f"https://x/folder/{name}/{file}?dcPath=DC1&dsName={store}"


def test_files_are_read_in_ranges_with_the_cookie(sim: VCenterSimulator, si: Any) -> None:
    cookie = {"Cookie": si._stub.cookie}
    flat = url("off", "off-flat.vmdk")
    assert get(sim, flat)[0] == 401
    content = raw(sim.disk_path("off", 2000))
    assert get(sim, flat, **cookie)[2] == content
    status, headers, body = get(sim, flat, Range=f"bytes={2 * MIB - 2}-{2 * MIB + 1}", **cookie)
    assert (status, body, headers["Content-Range"]) == (
        206,
        b"\0\0\1\1",
        f"bytes {2 * MIB - 2}-{2 * MIB + 1}/{8 * MIB}",
    )
    assert get(sim, flat, Range="bytes=-5", **cookie)[2] == content[-5:]
    status, headers, _ = get(sim, flat, Range=f"bytes={8 * MIB}-", **cookie)
    assert (status, headers["Content-Range"]) == (416, f"bytes */{8 * MIB}")
    status, headers, body = get(sim, flat, method="HEAD", **cookie)
    assert (status, headers["Content-Length"], body) == (200, str(8 * MIB), b"")
    assert f'RW {8 * MIB // 512} VMFS "off-flat.vmdk"' in get(sim, url("off", "off.vmdk"), **cookie)[2].decode()
    for missing in (url("off", "nothing.vmdk"), url("off", "off.vmdk", "nfs"), url("vsan", "vsan-flat.vmdk", "vsan")):
        assert get(sim, missing, **cookie)[0] == 404


def test_a_snapshot_freezes_the_file(sim: VCenterSimulator, si: Any) -> None:
    cookie = {"Cookie": si._stub.cookie}
    flat = url("on", "on-flat.vmdk")
    assert get(sim, flat, **cookie)[0] == 500  # a running machine holds its disk
    before = raw(sim.disk_path("on", 2000))
    vm = machine(si, "on")
    finish(vm.CreateSnapshot_Task("1", "", False, False))
    sim.write_disk("on", 2000, 0, b"new")
    finish(vm.CreateSnapshot_Task("2", "", False, False))
    sim.write_disk("on", 2000, 0, b"newer")
    assert get(sim, flat, **cookie)[2] == before
    assert raw(sim.disk_path("on", 2000))[:5] == b"newer"


def test_content_survives_a_restart_and_snapshots_do_not(tls: TlsFiles, tmp_path: Path) -> None:
    def run(expected: bytes, written: bytes) -> None:
        with VCenterSimulator(fleet(), tmp_path, tls=tls, **QUICK) as sim:
            assert raw(sim.disk_path("off", 2000))[: len(expected)] == expected
            vm = machine(login(sim), "off")
            assert vm.snapshot is None
            finish(vm.CreateSnapshot_Task("s", "", False, False))
            sim.write_disk("off", 2000, 0, written)

    run(b"\0", b"first")
    run(b"first", b"second")
    run(b"second", b"third")
