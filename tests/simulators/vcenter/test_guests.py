"""Guests that write, what snapshots froze, and what happens to machines behind a replication's back."""

from __future__ import annotations

import http.client
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
from pyVmomi import vim, vmodl

from tests.kits.pyvmomi_client import QUICK, finish, get, login, machine, raw, tls_context
from tests.kits.waiting import wait_until
from vmie_tui.simulators.control import TOKEN_HEADER, TlsFiles
from vmie_tui.simulators.fleet.company import company
from vmie_tui.simulators.fleet.tiny import DATASTORE, DATASTORE_2, HOST, HOST_2, tiny
from vmie_tui.simulators.spec import FleetSpec
from vmie_tui.simulators.vcenter.server import VCenterSimulator

MIB, GRAIN = 1 << 20, 65536
VM, KEYS = "repl-01", (2000, 2001)
Areas = list[tuple[int, int]]


class Kit:
    """A simulator, a session, and its controls."""

    def __init__(self, sim: VCenterSimulator) -> None:
        self.sim, self.si = sim, login(sim)
        self.vm = machine(self.si, VM)

    def ask(self, method: str, path: str, expected: int = 200, **given: Any) -> Any:
        """One control request; GET's values go into the query."""
        connection = http.client.HTTPSConnection("localhost", self.sim.port, context=tls_context(self.sim), timeout=20)
        token = {TOKEN_HEADER: self.sim.gate.token}
        try:
            if method == "GET":
                connection.request(method, f"/_sim/{path}?{urlencode(given)}", headers=token)
            else:
                connection.request(method, f"/_sim/{path}", json.dumps(given), token)
            answer = connection.getresponse()
            body = json.loads(answer.read())
        finally:
            connection.close()
        assert answer.status == expected, body
        return body

    def trouble(self, kind: str, expected: int = 200, **given: Any) -> Any:
        return self.ask("POST", "trouble", expected, vm=VM, kind=kind, **given)

    def burst(self, **given: Any) -> list[dict[str, int]]:
        areas: list[dict[str, int]] = self.ask("POST", "write", vm=VM, **given)["areas"]
        return areas

    def track(self) -> None:
        finish(self.vm.Reconfigure(vim.vm.ConfigSpec(changeTrackingEnabled=True)))

    def snapshot(self, name: str) -> Any:
        return finish(self.vm.CreateSnapshot_Task(name, "", False, False))

    def content(self) -> dict[int, bytes]:
        return {key: raw(self.sim.disk_path(VM, key)) for key in KEYS}

    def witnessed(self, name: str) -> dict[int, bytes]:
        rows = self.ask("GET", "witness", vm=VM, snapshot=name)["disks"]
        return {row["key"]: raw(Path(row["path"])) for row in rows}

    def changed(self, snapshot: Any, key: int, since: str) -> Areas:
        answer = self.vm.QueryChangedDiskAreas(snapshot, key, 0, since)
        return [(area.start, area.length) for area in answer.changedArea]


@pytest.fixture
def kit(tls: TlsFiles, tmp_path: Path) -> Iterator[Kit]:
    with VCenterSimulator(tiny(), tmp_path, tls=tls, **QUICK) as sim:
        yield Kit(sim)


def backings(holder: Any) -> dict[int, Any]:
    devices = holder.config.hardware.device
    return {one.key: one.backing for one in devices if isinstance(one, vim.vm.device.VirtualDisk)}


def grains(areas: list[dict[str, int]], key: int) -> set[int]:
    return {
        grain
        for area in areas
        if area["key"] == key
        for grain in range(area["offset"] // GRAIN, -(-(area["offset"] + area["length"]) // GRAIN))
    }


# ---- guests that write


def test_a_burst_says_where_it_wrote_and_tracking_saw_just_that(kit: Kit) -> None:
    kit.track()
    first = kit.snapshot("1")
    before = kit.content()
    areas = kit.burst(bytes=300_000, extents=20, zeros=0.3, seed="one")
    after = kit.content()
    assert len(areas) == 20 and {area["key"] for area in areas} == set(KEYS)
    second = kit.snapshot("2")
    for key in KEYS:
        since = backings(first)[key].changeId
        told = {g for at, length in kit.changed(second, key, since) for g in range(at // GRAIN, (at + length) // GRAIN)}
        assert told == grains(areas, key)
        differ = {
            at // GRAIN
            for at in range(0, len(after[key]), 4096)
            if before[key][at : at + 4096] != after[key][at : at + 4096]
        }
        assert differ and differ <= told
    assert any(not any(after[a["key"]][a["offset"] : a["offset"] + a["length"]]) for a in areas), "some became zero"
    assert kit.burst(bytes=8192, extents=2, key=2001)[0]["key"] == 2001


def test_a_burst_breaks_no_file_system(kit: Kit) -> None:
    disk = kit.sim.disk(VM, 2000)
    assert disk.spec.room is not None
    room = disk.spec.room()
    for area in kit.burst(bytes=4 * MIB, extents=400, key=2000):
        assert any(at <= area["offset"] and area["offset"] + area["length"] <= at + size for at, size in room)
    grown = kit.trouble("grow", key=2001, bytes=20 * MIB)
    assert grown["disks"][1]["capacity"] == 20 * MIB
    assert any(area["offset"] >= 6 * MIB for area in kit.burst(bytes=MIB, extents=50, key=2001))


def test_a_writer_goes_on_while_the_machine_is_on_and_until_it_is_told(kit: Kit) -> None:
    def bursts() -> int:
        return next((row["bursts"] for row in kit.ask("GET", "writer")["writers"] if row["vm"] == VM), -1)

    kit.ask("POST", "writer", vm=VM, every=0.002, bytes=8192, extents=2)
    wait_until(lambda: bursts() >= 3, what="some bursts")
    finish(kit.vm.PowerOff())
    stopped, content = bursts(), kit.content()
    kit.ask("POST", "writer", vm="repl-02", every=0.002, bytes=4096)
    wait_until(lambda: kit.ask("GET", "writer")["writers"][1]["bursts"] >= 5, what="another's bursts")
    assert (bursts(), kit.content()) == (stopped, content)
    finish(kit.vm.PowerOn())
    wait_until(lambda: bursts() > stopped, what="more bursts")
    kit.ask("DELETE", "writer", vm=VM)
    content = kit.content()
    seen = kit.ask("GET", "writer")["writers"][0]["bursts"]
    wait_until(lambda: kit.ask("GET", "writer")["writers"][0]["bursts"] > seen + 3, what="the other goes on")
    assert kit.content() == content and bursts() == -1
    kit.ask("DELETE", "writer")
    assert kit.ask("GET", "writer")["writers"] == []
    kit.ask("POST", "writer", 400, vm=VM, every=0, bytes=1)
    kit.ask("POST", "write", 400, vm=VM, bytes=0)


def test_a_machine_that_is_gone_writes_no_more(kit: Kit) -> None:
    folder = kit.sim.disk_path(VM, 2000).parent
    kit.ask("POST", "writer", vm=VM, every=0.002, bytes=4096)
    wait_until(lambda: kit.ask("GET", "writer")["writers"][0]["bursts"] >= 1, what="a burst")
    kit.sim.remove_machine(VM)
    wait_until(lambda: kit.ask("GET", "writer")["writers"] == [], what="the writer's end")
    assert not list(folder.iterdir())


def test_a_guest_that_is_shut_down_writes_once_more(kit: Kit) -> None:
    kit.ask("POST", "writer", vm=VM, every=3600, bytes=4096)
    wait_until(lambda: kit.ask("GET", "writer")["writers"][0]["bursts"] == 1, what="the first burst")
    kit.vm.ShutdownGuest()
    wait_until(lambda: kit.vm.runtime.powerState == "poweredOff", what="the guest's way down")
    assert kit.ask("GET", "writer")["writers"][0]["bursts"] == 2


def test_a_machine_writes_by_the_hour(tls: TlsFiles, tmp_path: Path) -> None:
    hours = [0.0]
    with VCenterSimulator(tiny(), tmp_path, tls=tls, guests_clock=lambda: hours[0] * 3600, **QUICK) as sim:
        kit = Kit(sim)
        kit.track()
        quiet = kit.content()
        base = kit.snapshot("0")
        assert kit.content() == quiet, "the small fleet's machines write only when asked to"
        kit.ask("POST", "writer", vm=VM, per_hour=MIB)
        ids, moved = {key: backings(base)[key].changeId for key in KEYS}, []
        for number, later in enumerate((1, 3), 1):
            hours[0] += later
            node = kit.snapshot(str(number))
            frozen = raw_held(sim, node._moId)
            assert frozen != kit.content(), "it goes on after the freeze"
            moved.append(sum(length for key in KEYS for _, length in kit.changed(node, key, ids[key])))
            ids = {key: backings(node)[key].changeId for key in KEYS}
        assert MIB / 2 < moved[0] < moved[1] < 8 * MIB
        finish(kit.vm.PowerOff())
        content = kit.content()
        kit.snapshot("off")
        assert kit.content() == content


def raw_held(sim: VCenterSimulator, moid: str) -> dict[int, bytes]:
    node: Any = sim.center.registry.objects[moid]
    found = {}
    for key, held in node.held.items():
        with sim.disk(VM, key).content.held(held.generation) as path:
            found[key] = raw(path)
    return found


# ---- what was frozen


def test_the_witness_keeps_what_snapshots_froze(kit: Kit) -> None:
    kit.ask("POST", "witness", on=True, vm=VM)
    first = kit.content()
    node = kit.snapshot("first")
    kit.burst(bytes=MIB, extents=30)
    second = kit.content()
    finish(node.RemoveSnapshot_Task(removeChildren=False))
    kit.snapshot("second")
    kit.burst(bytes=MIB, extents=30)
    finish(kit.vm.RemoveAllSnapshots_Task())
    assert kit.ask("GET", "witness", vm=VM) == {"snapshots": ["first", "second"]}
    assert (kit.witnessed("first"), kit.witnessed("second"), kit.witnessed("last")) == (first, second, second)
    assert kit.witnessed(node._moId) == first
    kit.ask("GET", "witness", 400, vm=VM, snapshot="third")
    kit.ask("POST", "witness", on=False, vm=VM)
    kit.snapshot("third")
    assert len(kit.ask("GET", "witness", vm=VM)["snapshots"]) == 2
    path = Path(kit.ask("GET", "witness", vm=VM, snapshot="first")["disks"][0]["path"])
    kit.ask("DELETE", "witness", vm=VM)
    assert kit.ask("GET", "witness", vm=VM) == {"snapshots": []} and not path.exists()


def test_a_witness_of_all_leaves_nothing_behind(tls: TlsFiles, tmp_path: Path) -> None:
    with VCenterSimulator(tiny(), tmp_path, tls=tls, **QUICK) as sim:
        kit = Kit(sim)
        kit.ask("POST", "witness", on=True)
        finish(machine(kit.si, "repl-02").CreateSnapshot_Task("s", "", False, False))
        assert kit.ask("GET", "witness", vm="repl-02", snapshot="s")["disks"][0]["change_id"].endswith("/2")
        assert list(tmp_path.glob("witness/*/*.raw"))
    assert not (tmp_path / "witness").exists()


# ---- files of a machine with snapshots


def test_a_snapshot_freezes_a_file_and_the_machine_writes_to_another(kit: Kit) -> None:
    base, delta = f"[{DATASTORE}] {VM}/{VM}.vmdk", f"[{DATASTORE}] {VM}/{VM}-000001.vmdk"
    first = kit.snapshot("1")
    present = backings(kit.vm)[2000]
    assert (present.fileName, present.parent.fileName, present.parent.parent) == (delta, base, None)
    assert (backings(first)[2000].fileName, backings(first)[2000].parent) == (base, None)
    second = kit.snapshot("2")
    assert backings(second)[2000].fileName == delta
    assert backings(kit.vm)[2000].fileName.endswith("-000002.vmdk")
    layout = kit.vm.layoutEx
    files = {file.key: file.name for file in layout.file}
    chain = [files[unit.fileKey[0]] for unit in layout.disk[0].chain]
    assert chain == [base, delta, delta.replace("000001", "000002")]
    finish(first.RemoveSnapshot_Task(removeChildren=False))
    finish(second.RemoveSnapshot_Task(removeChildren=False))
    assert (backings(kit.vm)[2000].fileName, backings(kit.vm)[2000].parent) == (base, None)
    kit.snapshot("3")
    assert backings(kit.vm)[2000].fileName == delta


# ---- power


def test_a_guest_goes_down_by_itself_or_does_not(kit: Kit) -> None:
    kit.trouble("tools", state="toolsNotRunning")
    with pytest.raises(vim.fault.ToolsUnavailable):
        kit.vm.ShutdownGuest()
    kit.trouble("tools", state="toolsOk")
    kit.trouble("tools", 400, state="asleep")
    kit.trouble("hang")
    kit.vm.ShutdownGuest()
    other = machine(kit.si, "repl-02")
    other.ShutdownGuest()
    wait_until(lambda: other.runtime.powerState == "poweredOff", what="a guest's way down")
    assert kit.vm.runtime.powerState == "poweredOn"
    with pytest.raises(vim.fault.InvalidPowerState):
        other.ShutdownGuest()
    kit.trouble("unhang")
    kit.vm.ShutdownGuest()
    wait_until(lambda: kit.vm.runtime.powerState == "poweredOff", what="the guest's way down")


def test_power_needs_its_privileges(kit: Kit) -> None:
    kit.sim.revoke("VirtualMachine.Interact.PowerOff", VM)
    for call in (kit.vm.ShutdownGuest, kit.vm.PowerOff):
        with pytest.raises(vim.fault.NoPermission) as caught:
            call()
        assert caught.value.privilegeId == "VirtualMachine.Interact.PowerOff"
    kit.sim.grant("VirtualMachine.Interact.PowerOff")
    finish(kit.vm.PowerOff())
    kit.sim.revoke("VirtualMachine.Interact.PowerOn", VM)
    with pytest.raises(vim.fault.NoPermission):
        kit.vm.PowerOn()


# ---- trouble


def since(kit: Kit) -> dict[int, str]:
    """Change ids of a first cycle, its snapshot gone again."""
    kit.track()
    node = kit.snapshot("cycle 1")
    ids = {key: backing.changeId for key, backing in backings(node).items()}
    finish(node.RemoveSnapshot_Task(removeChildren=False))
    return ids


def epoch(change_id: str) -> str:
    return change_id.rpartition("/")[0]


def test_tracking_that_begins_anew_is_told(kit: Kit) -> None:
    ids = since(kit)
    kit.trouble("epoch")
    node = kit.snapshot("cycle 2")
    assert epoch(backings(node)[2000].changeId) != epoch(ids[2000])
    with pytest.raises(vmodl.fault.InvalidArgument):
        kit.changed(node, 2000, ids[2000])


def test_an_earlier_simulators_change_ids_are_not_known(tls: TlsFiles, tmp_path: Path) -> None:
    epochs = set()
    for _ in range(2):
        with VCenterSimulator(tiny(), tmp_path, tls=tls, **QUICK) as sim:
            epochs.add(epoch(since(Kit(sim))[2000]))
    assert len(epochs) == 2


def test_a_revert_takes_the_content_back(kit: Kit) -> None:
    ids = since(kit)
    then = kit.content()
    kit.trouble("snapshot", name="theirs")
    assert kit.vm.snapshot.rootSnapshotList[0].name == "theirs"
    kit.trouble("grow", 400)
    kit.burst(bytes=MIB, extents=9)
    kit.trouble("revert", remove=True)
    assert kit.content() == then
    assert (kit.vm.snapshot, kit.vm.runtime.powerState) == (None, "poweredOn")
    node = kit.snapshot("cycle 2")
    with pytest.raises(vmodl.fault.InvalidArgument):
        kit.changed(node, 2001, ids[2001])


def test_a_restored_backup_may_go_on_in_the_old_epoch(kit: Kit) -> None:
    kit.ask("POST", "witness", on=True, vm=VM)
    ids = since(kit)
    then = kit.content()
    kit.burst(bytes=MIB, extents=9)
    finish(kit.snapshot("cycle 2").RemoveSnapshot_Task(removeChildren=False))
    later = {key: f"{epoch(ids[key])}/{int(ids[key].rpartition('/')[2]) + 1}" for key in KEYS}
    kit.trouble("revert-same-epoch", snapshot="cycle 1")
    assert kit.content() == then
    areas = kit.burst(bytes=65536, extents=1, key=2000)
    node = kit.snapshot("cycle 3")
    assert {key: backing.changeId for key, backing in backings(node).items()} == later, "a number that was there before"
    assert {at // GRAIN for at, _ in kit.changed(node, 2000, ids[2000])} <= grains(areas, 2000)
    kit.trouble("revert", snapshot="cycle 2")
    assert epoch(backings(kit.snapshot("cycle 4"))[2000].changeId) != epoch(ids[2000])


def test_a_host_may_refuse_to_track(kit: Kit) -> None:
    assert kit.vm.capability.changeTrackingSupported
    kit.trouble("refuse-cbt")
    assert not kit.vm.capability.changeTrackingSupported
    with pytest.raises(vmodl.fault.NotSupported):
        kit.track()
    kit.trouble("allow-cbt")
    ids = since(kit)
    kit.trouble("refuse-cbt")
    node = kit.snapshot("cycle 2")
    with pytest.raises(vim.fault.FileFault):
        kit.changed(node, 2000, ids[2000])


def test_vmotion_moves_the_machine_and_nothing_else(kit: Kit) -> None:
    ids, file = since(kit), backings(kit.vm)[2000].fileName
    areas = kit.burst(bytes=65536, extents=1, key=2000)
    assert kit.trouble("migrate")["host"] == HOST_2
    assert (kit.vm.runtime.host.name, backings(kit.vm)[2000].fileName) == (HOST_2, file)
    assert kit.vm in kit.vm.runtime.host.vm
    assert kit.changed(kit.snapshot("cycle 2"), 2000, ids[2000])[0][0] // GRAIN in grains(areas, 2000)
    finish(kit.vm.PowerOff())
    assert kit.trouble("migrate")["host"] == HOST


def test_storage_vmotion_moves_the_files(kit: Kit) -> None:
    ids = since(kit)
    kit.trouble("snapshot", name="theirs")
    finish(kit.vm.PowerOff())
    then = kit.content()
    kit.trouble("relocate")
    present = backings(kit.vm)[2001]
    assert present.fileName == f"[{DATASTORE_2}] {VM}/{VM}_1-000001.vmdk"
    assert present.datastore.name == kit.vm.datastore[0].name == DATASTORE_2
    assert backings(kit.vm.snapshot.currentSnapshot)[2001].fileName == f"[{DATASTORE_2}] {VM}/{VM}_1.vmdk"
    cookie = {"Cookie": kit.si._stub.cookie}
    file = f"https://x/folder/{VM}/{VM}_1-flat.vmdk?dcPath=DC1&dsName="
    assert get(kit.sim, file + DATASTORE, **cookie)[0] == 404
    assert get(kit.sim, file + DATASTORE_2, **cookie)[2] == then[2001]
    with pytest.raises(vmodl.fault.InvalidArgument):
        kit.changed(kit.snapshot("cycle 2"), 2000, ids[2000])
    kit.trouble("relocate", 400, datastore="nowhere")


def test_somebodys_snapshots_come_and_go(kit: Kit) -> None:
    kit.trouble("snapshot", name="one")
    kit.snapshot("ours")
    kit.trouble("snapshot", name="two")
    kit.trouble("unsnapshot", name="two")
    kit.trouble("unsnapshot")
    assert [tree.name for tree in kit.vm.snapshot.rootSnapshotList] == ["ours"]
    kit.trouble("unsnapshot", 400)
    kit.trouble("power", state="poweredOff")
    assert kit.vm.runtime.powerState == "poweredOff"
    assert "there are epoch, grow" in kit.trouble("flood", 400)["error"]


# ---- the demo


def test_running_machines_of_the_demo_write_a_little(tls: TlsFiles, tmp_path: Path) -> None:
    fleet = company()
    assert all((machine.writes > 0) == (machine.power == "on") for machine in fleet.machines)
    assert not any(machine.writes for machine in tiny().machines)
    few = FleetSpec(fleet.datacenters, tuple(one for one in fleet.machines if one.name in ("app-01", "sap-router-01")))
    days = [0.0]
    with VCenterSimulator(few, tmp_path, tls=tls, guests_clock=lambda: days[0] * 86400, **QUICK) as sim:
        vm = machine(login(sim), "app-01")
        moved, last = [], ""
        for later in (0.0, 0.5, 30.0):
            days[0] += later
            node = finish(vm.CreateSnapshot_Task("cycle", "", False, False))
            if last:
                answer = vm.QueryChangedDiskAreas(node, 2000, 0, last)
                moved.append(sum(area.length for area in answer.changedArea))
            last = backings(node)[2000].changeId
            finish(node.RemoveSnapshot_Task(removeChildren=False))
        assert MIB < moved[0] < moved[1] <= 64 * MIB
