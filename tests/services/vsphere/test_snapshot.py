"""Snapshots of our own against the simulated vCenter."""

from __future__ import annotations

import pytest

from tests.kits.vcenter_session import named
from vmie_tui.model.errors import ErrorKind, ServiceError
from vmie_tui.services.vsphere.inventory import read_machine
from vmie_tui.services.vsphere.session import VSphere
from vmie_tui.services.vsphere.snapshot import create_snapshot, find_snapshot, remove_snapshot
from vmie_tui.simulators.control import Fault
from vmie_tui.simulators.vcenter.server import VCenterSimulator


def calls(vcenter: VCenterSimulator, method: str) -> int:
    return sum(count for name, count in vcenter.stats.snapshot().items() if name.rpartition(":")[2] == method)


def test_taken_once_found_again_and_removed_alone(vcenter: VCenterSimulator, vsphere: VSphere) -> None:
    moid = named(vsphere, "app-01").moid
    theirs = create_snapshot(vsphere, moid, "before the update", "by an admin", quiesce=False)
    percentages: list[int] = []
    ours = create_snapshot(vsphere, moid, "vmie job 7", "vmie-tui", quiesce=True, on_progress=percentages.append)
    assert ours.quiesced
    assert ours.created.tzinfo is not None
    child = create_snapshot(vsphere, moid, "after", "by an admin", quiesce=False)
    assert create_snapshot(vsphere, moid, "vmie job 7", "again", quiesce=True) == ours
    assert calls(vcenter, "CreateSnapshot_Task") == 3
    assert read_machine(vsphere, moid).snapshots == 3
    remove_snapshot(vsphere, ours.moid)
    assert find_snapshot(vsphere, moid, "vmie job 7") is None
    assert find_snapshot(vsphere, moid, "after") == child
    assert find_snapshot(vsphere, moid, "before the update") == theirs
    remove_snapshot(vsphere, ours.moid)  # again, as a job that was killed would
    for other in (child, theirs):
        remove_snapshot(vsphere, other.moid)
    assert read_machine(vsphere, moid).snapshots == 0


@pytest.mark.parametrize("code", ["ApplicationQuiesceFault", "ToolsUnavailable"])
def test_a_guest_that_will_not_quiesce_gets_a_plain_one(vcenter: VCenterSimulator, vsphere: VSphere, code: str) -> None:
    moid = named(vsphere, "app-01").moid
    vcenter.faults.add(Fault("CreateSnapshot_Task", "task-error", code=code, message="VSS says no."))
    snapshot = create_snapshot(vsphere, moid, f"vmie {code}", "", quiesce=True)
    assert not snapshot.quiesced
    remove_snapshot(vsphere, snapshot.moid)


def test_a_failed_task_tells_its_fault(vcenter: VCenterSimulator, vsphere: VSphere) -> None:
    moid = named(vsphere, "app-01").moid
    vcenter.faults.add(Fault("CreateSnapshot_Task", "task-error", code="NoDiskSpace", message="No space on vmfs-01."))
    with pytest.raises(ServiceError, match=r"taking a snapshot failed: the datastore is full .*No space on vmfs-01"):
        create_snapshot(vsphere, moid, "vmie full", "", quiesce=True)
    assert calls(vcenter, "CreateSnapshot_Task") == 1  # not a matter of quiescing


def test_a_missing_privilege_is_named(vcenter: VCenterSimulator, vsphere: VSphere) -> None:
    moid = named(vsphere, "app-01").moid
    vcenter.revoke("VirtualMachine.State.CreateSnapshot")
    try:
        with pytest.raises(ServiceError, match=r"VirtualMachine\.State\.CreateSnapshot") as caught:
            create_snapshot(vsphere, moid, "vmie", "", quiesce=True)
    finally:
        vcenter.grant("VirtualMachine.State.CreateSnapshot")
    assert caught.value.kind is ErrorKind.PERMISSION


def test_waiting_can_be_given_up(vcenter: VCenterSimulator, vsphere: VSphere) -> None:
    moid = named(vsphere, "app-01").moid

    def stop() -> None:
        raise InterruptedError

    with pytest.raises(InterruptedError):
        create_snapshot(vsphere, moid, "vmie left", "", quiesce=False, check=stop)
    left = create_snapshot(vsphere, moid, "vmie left 2", "", quiesce=False)  # behind the first in vCenter's queue
    for snapshot in (left, find_snapshot(vsphere, moid, "vmie left")):
        assert snapshot is not None
        remove_snapshot(vsphere, snapshot.moid)
