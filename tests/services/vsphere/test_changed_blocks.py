"""Changed block tracking against the simulated vCenter: switched on, asked, and found to be lost."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.kits.vcenter_session import log_in, named
from vmie_tui.model.errors import ErrorKind, ServiceError
from vmie_tui.services.vsphere.changed_blocks import (
    ALLOCATED,
    SnapshotDisk,
    TrackingLost,
    changed_areas,
    enable_tracking,
    joined,
    snapshot_disks,
)
from vmie_tui.services.vsphere.inventory import read_machine
from vmie_tui.services.vsphere.session import VSphere
from vmie_tui.services.vsphere.snapshot import Snapshot, create_snapshot, list_snapshots, remove_snapshot
from vmie_tui.simulators.control import Fault
from vmie_tui.simulators.vcenter.server import VCenterSimulator

GRAIN = 64 << 10
TRACKED = "repl-02"  # runs, change tracking is on


@pytest.fixture
def vsphere(vcenter: VCenterSimulator) -> Iterator[VSphere]:
    """A session that finds no snapshots, and TRACKED with tracking on."""
    vcenter.faults.clear()
    vcenter.stats.reset()
    with log_in(vcenter) as session:
        yield session
        vcenter.faults.clear()
        vcenter.options.changed_limit = 2000
        for name in (TRACKED, "repl-01", "app-01", "nfs-01"):
            for snapshot in list_snapshots(session, named(session, name).moid):
                remove_snapshot(session, snapshot.moid)


class Cycles:
    """A machine that is frozen again and again, as a replication does it."""

    def __init__(self, vcenter: VCenterSimulator, vsphere: VSphere, name: str = TRACKED) -> None:
        self.vcenter, self.vsphere, self.name = vcenter, vsphere, name
        self.moid = named(vsphere, name).moid
        self.snapshot = self._freeze()

    def _freeze(self) -> Snapshot:
        number = len(list_snapshots(self.vsphere, self.moid))
        return create_snapshot(self.vsphere, self.moid, f"vmie {number}", "", quiesce=False)

    @property
    def disks(self) -> tuple[SnapshotDisk, ...]:
        return snapshot_disks(self.vsphere, self.snapshot.moid)

    def again(self) -> None:
        """The next cycle: the old snapshot goes, a new one comes."""
        remove_snapshot(self.vsphere, self.snapshot.moid)
        self.snapshot = self._freeze()

    def write(self, offset: int, content: bytes) -> None:
        self.vcenter.write_disk(self.name, self.disks[0].key, offset, content)

    def areas(self, change_id: str, disk: SnapshotDisk | None = None, **more: Any) -> list[tuple[int, int]]:
        asked = disk or self.disks[0]
        return changed_areas(self.vsphere, self.moid, self.snapshot.moid, asked.key, change_id, asked.capacity, **more)


def calls(vcenter: VCenterSimulator, method: str) -> int:
    return sum(count for name, count in vcenter.stats.snapshot().items() if name.rpartition(":")[2] == method)


# -- a snapshot's disks


def test_a_snapshots_disks_name_the_files_it_froze(vcenter: VCenterSimulator, vsphere: VSphere) -> None:
    before = named(vsphere, "repl-01")
    snapshot = create_snapshot(vsphere, before.moid, "vmie", "", quiesce=False)
    disks = snapshot_disks(vsphere, snapshot.moid)
    told = [(disk.key, disk.uuid, disk.capacity, disk.file_name) for disk in disks]
    assert told == [(disk.key, disk.uuid, disk.capacity, disk.file_name) for disk in before.disks]
    assert len(disks) == 2
    assert {disk.change_id for disk in disks} == {""}  # nobody tracks its changes
    writing = {disk.file_name for disk in read_machine(vsphere, before.moid).disks}
    assert not writing & {disk.file_name for disk in disks}, "what the machine writes to is not what is frozen"


def test_an_independent_disk_is_in_no_snapshot(vcenter: VCenterSimulator, vsphere: VSphere) -> None:
    machine = vcenter.machine("repl-01")
    kept = machine.disks[1].spec
    machine.disks[1].spec = type(kept)(**{**_fields(kept), "mode": "independent_persistent"})
    try:
        cycles = Cycles(vcenter, vsphere, "repl-01")
        assert [disk.key for disk in cycles.disks] == [machine.disks[0].key]
    finally:
        machine.disks[1].spec = kept


def _fields(spec: Any) -> dict[str, Any]:
    return {name: getattr(spec, name) for name in spec.__dataclass_fields__}


def test_each_disk_has_a_change_id_of_the_snapshots_moment(vcenter: VCenterSimulator, vsphere: VSphere) -> None:
    cycles = Cycles(vcenter, vsphere)
    first = cycles.disks[0].change_id
    cycles.again()
    second = cycles.disks[0].change_id
    assert first.partition("/")[0] == second.partition("/")[0] != ""
    assert int(second.partition("/")[2]) > int(first.partition("/")[2])


def test_a_snapshot_that_is_gone_has_no_disks(vcenter: VCenterSimulator, vsphere: VSphere) -> None:
    cycles = Cycles(vcenter, vsphere)
    remove_snapshot(vsphere, cycles.snapshot.moid)
    with pytest.raises(ServiceError) as caught:
        _ = cycles.disks
    assert caught.value.kind is ErrorKind.NOT_FOUND


# -- what changed


def test_exactly_what_the_guest_wrote_is_named(vcenter: VCenterSimulator, vsphere: VSphere) -> None:
    cycles = Cycles(vcenter, vsphere)
    last = cycles.disks[0]
    cycles.write(5 * GRAIN + 100, b"x" * 10)
    cycles.write(40 * GRAIN, b"y" * 3 * GRAIN)
    cycles.write(last.capacity - 1, b"z")
    assert cycles.areas(last.change_id) == [], "what came after the snapshot is not in it"
    cycles.again()
    wanted = [(5 * GRAIN, GRAIN), (40 * GRAIN, 3 * GRAIN), (last.capacity - GRAIN, GRAIN)]
    assert cycles.areas(last.change_id) == wanted
    assert calls(vcenter, "QueryChangedDiskAreas") == 2
    now = cycles.disks[0]
    cycles.again()
    assert cycles.areas(now.change_id) == []
    assert cycles.areas(last.change_id) == wanted, "from an older id, all since"


def test_answers_that_cover_a_part_are_asked_on(vcenter: VCenterSimulator, vsphere: VSphere) -> None:
    """Trap 26: the loop goes from where the answer ends, not from where its last area does."""
    cycles = Cycles(vcenter, vsphere)
    last = cycles.disks[0]
    wanted = [(number * 3 * GRAIN, GRAIN) for number in range(23)]
    for offset, length in wanted:
        cycles.write(offset, b"w" * length)
    cycles.again()
    whole = cycles.areas(last.change_id)
    assert whole == wanted
    vcenter.options.changed_limit = 4
    vcenter.stats.reset()
    waited: list[int] = []
    assert cycles.areas(last.change_id, check=lambda: waited.append(1)) == wanted
    assert calls(vcenter, "QueryChangedDiskAreas") == len(waited) == 6


def test_asking_can_be_given_up_between_two_answers(vcenter: VCenterSimulator, vsphere: VSphere) -> None:
    cycles = Cycles(vcenter, vsphere)
    last = cycles.disks[0]
    for number in range(8):
        cycles.write(number * 2 * GRAIN, b"w")
    cycles.again()
    vcenter.options.changed_limit = 1
    vcenter.stats.reset()

    def stop() -> None:
        raise InterruptedError

    with pytest.raises(InterruptedError):
        cycles.areas(last.change_id, check=stop)
    assert calls(vcenter, "QueryChangedDiskAreas") == 1


def test_what_was_ever_written(vcenter: VCenterSimulator, vsphere: VSphere) -> None:
    cycles = Cycles(vcenter, vsphere)
    disk = cycles.disks[0]
    content = vcenter.disk_path(TRACKED, disk.key).read_bytes()
    areas = cycles.areas(ALLOCATED)
    assert 0 < sum(length for _, length in areas) < disk.capacity
    outside, at = bytearray(), 0
    for offset, length in [*areas, (disk.capacity, 0)]:
        outside += content[at:offset]
        at = offset + length
    assert not any(outside)


def test_nfs_does_not_know_what_was_written(vcenter: VCenterSimulator, vsphere: VSphere) -> None:
    enable_tracking(vsphere, named(vsphere, "nfs-01").moid)
    cycles = Cycles(vcenter, vsphere, "nfs-01")
    assert cycles.areas(ALLOCATED) == [(0, cycles.disks[0].capacity)]


# -- lost tracking


def _reset(cycles: Cycles) -> str:
    last = cycles.disks[0].change_id
    cycles.vcenter.reset_change_tracking(cycles.name)
    cycles.again()
    return last


def _ahead(cycles: Cycles) -> str:
    """A snapshot before our last one was gone back to, or a copy of the machine restored."""
    epoch, _, number = cycles.disks[0].change_id.partition("/")
    return f"{epoch}/{int(number) + 5}"


def _other_disk(cycles: Cycles) -> str:
    return "52 de ad be ef 2c 4c 3d-87 4a c3 4e 85 f2 ea 95/3"


def _fault(code: str, words: str = "Error caused by file x-ctk.vmdk") -> Callable[[Cycles], str]:
    def change(cycles: Cycles) -> str:
        cycles.vcenter.faults.add(Fault("QueryChangedDiskAreas", code=code, message=words))
        return cycles.disks[0].change_id

    return change


@pytest.mark.parametrize(
    ("how", "words"),
    [
        (_reset, "no longer knows the last run's change id"),
        (_ahead, "no longer knows the last run's change id"),
        (_other_disk, "no longer knows the last run's change id"),
        (lambda cycles: "", "no longer knows the last run's change id"),
        (_fault("FileFault"), "tracking was reset or switched off since the last run"),
        (_fault("NotSupported"), "changes of this disk are not tracked"),
        (_fault("InvalidArgument"), "no longer knows the last run's change id"),
        (
            _fault("InvalidArgument", "A specified parameter was not correct: startOffset"),
            "does not track the changes of this disk",
        ),
    ],
    ids=["reset", "ahead", "other", "empty", "file-fault", "not-supported", "argument", "offset"],
)
def test_lost_tracking_says_why(
    vcenter: VCenterSimulator, vsphere: VSphere, how: Callable[[Cycles], str], words: str
) -> None:
    cycles = Cycles(vcenter, vsphere)
    change_id = how(cycles)
    with pytest.raises(TrackingLost) as caught:
        cycles.areas(change_id)
    problem = caught.value.problem
    assert words in problem.what and "read as a whole" in problem.remedy and cycles.moid in problem.subject
    assert problem.detail, "vCenter's own words are kept"


def test_a_machine_whose_changes_nobody_tracks(vcenter: VCenterSimulator, vsphere: VSphere) -> None:
    cycles = Cycles(vcenter, vsphere, "repl-01")
    with pytest.raises(TrackingLost, match="cannot tell what of the disk was ever written"):
        cycles.areas(ALLOCATED)


@pytest.mark.parametrize("length", [0, -65536])
def test_an_answer_that_does_not_go_on_is_no_endless_loop(
    vcenter: VCenterSimulator, vsphere: VSphere, monkeypatch: pytest.MonkeyPatch, length: int
) -> None:
    cycles = Cycles(vcenter, vsphere)
    answer = vcenter.changed._answer

    def stuck(disk: Any, extents: Any, start: int) -> Any:
        found = answer(disk, extents, start)
        found.__dict__["length"] = length
        return found

    monkeypatch.setattr(vcenter.changed, "_answer", stuck)
    vcenter.stats.reset()
    with pytest.raises(TrackingLost, match="ends before the disk does"):
        cycles.areas(cycles.disks[0].change_id)
    assert calls(vcenter, "QueryChangedDiskAreas") == 1


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        ("NoPermission", ErrorKind.PERMISSION),
        ("ManagedObjectNotFound", ErrorKind.NOT_FOUND),
        ("HostNotConnected", ErrorKind.REMOTE),
        ("FileLocked", ErrorKind.CONFLICT),
    ],
)
def test_other_trouble_is_not_taken_for_lost_tracking(
    vcenter: VCenterSimulator, vsphere: VSphere, code: str, kind: ErrorKind
) -> None:
    cycles = Cycles(vcenter, vsphere)
    vcenter.faults.add(Fault("QueryChangedDiskAreas", code=code, message="no"))
    with pytest.raises(ServiceError) as caught:
        cycles.areas(cycles.disks[0].change_id)
    assert caught.value.kind is kind and not isinstance(caught.value, TrackingLost)


def test_a_disk_that_is_not_there_is_an_error_of_ours(vcenter: VCenterSimulator, vsphere: VSphere) -> None:
    cycles = Cycles(vcenter, vsphere)
    with pytest.raises(ServiceError, match="deviceKey") as caught:
        changed_areas(vsphere, cycles.moid, cycles.snapshot.moid, 2999, cycles.disks[0].change_id, 1 << 20)
    assert caught.value.kind is ErrorKind.INVALID and not isinstance(caught.value, TrackingLost)


def test_an_expired_session_is_renewed_in_between(vcenter: VCenterSimulator, vsphere: VSphere) -> None:
    cycles = Cycles(vcenter, vsphere)
    last = cycles.disks[0]
    cycles.write(0, b"x")
    cycles.again()
    vcenter.expire_sessions()
    assert cycles.areas(last.change_id, last) == [(0, GRAIN)]


# -- joining areas


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(-5, 60), st.integers(-5, 60)), max_size=12), st.integers(0, 50))
def test_areas_are_joined_sorted_and_inside_the_disk(pairs: list[tuple[int, int]], capacity: int) -> None:
    found = joined(pairs, capacity)
    wanted = {byte for start, end in pairs for byte in range(max(start, 0), min(end, capacity))}
    assert {byte for offset, length in found for byte in range(offset, offset + length)} == wanted
    ends = [offset + length for offset, length in found]
    assert all(length > 0 for _, length in found)
    assert all(end < following for end, (following, _) in zip(ends, found[1:], strict=False)), (
        "those that touch are one"
    )


# -- switching tracking on


def test_tracking_is_switched_on_once(vcenter: VCenterSimulator, vsphere: VSphere) -> None:
    moid = named(vsphere, "app-01").moid
    enable_tracking(vsphere, moid)
    enable_tracking(vsphere, moid)
    assert calls(vcenter, "ReconfigVM_Task") == 1
    cycles = Cycles(vcenter, vsphere, "app-01")
    assert cycles.disks[0].change_id
    cycles.again()
    assert cycles.areas(cycles.disks[0].change_id) == []


def test_not_while_there_are_snapshots(vcenter: VCenterSimulator, vsphere: VSphere) -> None:
    moid = named(vsphere, "repl-01").moid
    create_snapshot(vsphere, moid, "before the update", "", quiesce=False)
    with pytest.raises(ServiceError, match="while the virtual machine has snapshots: before the update") as caught:
        enable_tracking(vsphere, moid)
    assert caught.value.kind is ErrorKind.CONFLICT and calls(vcenter, "ReconfigVM_Task") == 0


def test_the_missing_privilege_is_named(vcenter: VCenterSimulator, vsphere: VSphere) -> None:
    vcenter.revoke("VirtualMachine.Config.ChangeTracking")
    try:
        with pytest.raises(ServiceError, match=r"VirtualMachine\.Config\.ChangeTracking") as caught:
            enable_tracking(vsphere, named(vsphere, "repl-01").moid)
    finally:
        vcenter.grant("VirtualMachine.Config.ChangeTracking")
    assert caught.value.kind is ErrorKind.PERMISSION


def test_hardware_that_cannot_track(vcenter: VCenterSimulator, vsphere: VSphere) -> None:
    machine = vcenter.machine("repl-01")
    moid, kept = machine.moid, machine.spec
    machine.spec = type(kept)(**{**_fields(kept), "hardware": "vmx-04"})
    try:
        with pytest.raises(ServiceError, match="vmx-04") as caught:
            enable_tracking(vsphere, moid)
        assert caught.value.kind is ErrorKind.REFUSED and calls(vcenter, "ReconfigVM_Task") == 0
    finally:
        machine.spec = kept
    machine.trackable = False  # new enough, but the host says no
    try:
        with pytest.raises(ServiceError, match="cannot track changes") as caught:
            enable_tracking(vsphere, moid)
        assert caught.value.kind is ErrorKind.REFUSED
    finally:
        machine.trackable = True


def test_a_task_that_fails_and_one_that_is_not_waited_for(vcenter: VCenterSimulator, vsphere: VSphere) -> None:
    moid = named(vsphere, "repl-01").moid
    vcenter.faults.add(Fault("ReconfigVM_Task", "task-error", code="ConcurrentAccess", message="busy"))
    with pytest.raises(ServiceError) as caught:
        enable_tracking(vsphere, moid)
    assert caught.value.kind is ErrorKind.CONFLICT and caught.value.problem.retry_safe

    def stop() -> None:
        raise InterruptedError

    vcenter.options.task_seconds = 5.0
    try:
        with pytest.raises(InterruptedError):
            enable_tracking(vsphere, moid, check=stop)
    finally:
        vcenter.clock.advance(10)
        vcenter.options.task_seconds = 0.02
