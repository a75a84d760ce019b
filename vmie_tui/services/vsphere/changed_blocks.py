"""Changed block tracking: enables it for a machine, and queries the changed areas of a disk (traps 25 to 28)."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from vmie_tui.model.errors import ErrorKind, ServiceError
from vmie_tui.services.pacing import Check, nothing
from vmie_tui.services.vsphere.inventory_paths import read_inventory_paths
from vmie_tui.services.vsphere.property_collector import properties
from vmie_tui.services.vsphere.sdk import vim
from vmie_tui.services.vsphere.session import VSphere
from vmie_tui.services.vsphere.snapshot import list_snapshots
from vmie_tui.services.vsphere.tasks import wait_task

ALLOCATED = "*"  # in place of a change id: everything that was ever written
MIN_HARDWARE = 7  # the first hardware version that can track changes
_NO_FILE = "the file with the tracked changes cannot be used: tracking was reset or switched off since the last run"
_WHY = {
    "FileFault": _NO_FILE,
    "FileNotFound": _NO_FILE,
    "CannotAccessFile": _NO_FILE,
    "InvalidArgument": "vCenter no longer knows the last run's change id: tracking began anew since",
    "NotSupported": "changes of this disk are not tracked",
}
# An argument refused for these says nothing about the tracking. A refused startOffset does: it is inside the disk, but
# vSphere 7 names it for a disk whose tracking is not active.
_OURS = ("deviceKey", "snapshot")


class TrackingLost(ServiceError):
    """vCenter cannot tell what changed: the disk has to be read in full. The problem says why."""


@dataclass(frozen=True, slots=True)
class SnapshotDisk:
    """A disk as a snapshot froze it.

    ``capacity`` in bytes; ``change_id`` of this moment, "" where changes are not tracked. ``file_name``: the file that
    the snapshot froze and the machine no longer writes to, ``[datastore] folder/name.vmdk``; ``datastore`` its name, ""
    when that is not known.
    """

    key: int
    uuid: str
    capacity: int
    change_id: str
    file_name: str
    datastore: str = ""


def snapshot_disks(vsphere: VSphere, snapshot_moid: str) -> tuple[SnapshotDisk, ...]:
    """The disks that a snapshot holds, in the order of the machine; independent ones are in none (trap 29).

    The machine's own devices name the differences written since; the snapshot's name the files below them. Raises
    ServiceError, NOT_FOUND when the snapshot is gone.
    """
    snapshot = vsphere.object(vim.vm.Snapshot, snapshot_moid)
    found = vsphere.call(
        lambda: properties(vsphere, snapshot, "config.hardware.device"),
        subject=snapshot_moid,
        doing="reading the snapshot's disks",
    )
    devices = found.get("config.hardware.device") or ()
    disks = (device for device in devices if isinstance(device, vim.vm.device.VirtualDisk))
    names = read_inventory_paths(vsphere).devices.datastores
    return tuple(_frozen(disk, names) for disk in disks if not _independent(disk))


def _independent(disk: Any) -> bool:
    return str(getattr(disk.backing, "diskMode", "") or "").startswith("independent")


def _frozen(disk: Any, names: Mapping[str, tuple[str, str]]) -> SnapshotDisk:
    backing = disk.backing
    store = getattr(backing, "datastore", None)
    return SnapshotDisk(
        key=int(disk.key),
        uuid=str(getattr(backing, "uuid", "") or ""),
        capacity=int(disk.capacityInBytes or disk.capacityInKB * 1024),
        change_id=str(getattr(backing, "changeId", "") or ""),
        file_name=str(getattr(backing, "fileName", "") or ""),
        datastore=names.get(store._moId, ("", ""))[0] if store is not None else "",
    )


def enable_tracking(vsphere: VSphere, moid: str, *, check: Check = nothing) -> None:
    """Enables changed block tracking from the next snapshot on; sends nothing if it is already enabled.

    Raises ServiceError: CONFLICT while the machine has snapshots (trap 27), REFUSED for hardware that cannot do it,
    PERMISSION naming the privilege.
    """
    machine = vsphere.object(vim.VirtualMachine, moid)
    doing = "switching change tracking on"
    found = vsphere.call(
        lambda: properties(vsphere, machine, "config.changeTrackingEnabled", "config.version"),
        subject=moid,
        doing=doing,
    )
    if found.get("config.changeTrackingEnabled"):
        return
    version = str(found.get("config.version") or "")
    number = version.rpartition("-")[2]
    if number.isdigit() and int(number) < MIN_HARDWARE:
        raise _unsupported(moid, f"its hardware is {version}")
    if names := [snapshot.name for snapshot in list_snapshots(vsphere, moid)]:
        raise ServiceError(
            ErrorKind.CONFLICT,
            f"change tracking cannot begin while the virtual machine has snapshots: {', '.join(names)}",
            subject=moid,
            remedy="Have them removed in vCenter, then try again",
            code="HasSnapshots",
        )
    try:
        task = vsphere.call(
            lambda: machine.ReconfigVM_Task(vim.vm.ConfigSpec(changeTrackingEnabled=True)), subject=moid, doing=doing
        )
        wait_task(vsphere, task, subject=moid, doing=doing, check=check)
    except ServiceError as error:
        if error.problem.code == "NotSupported":
            raise _unsupported(moid, error.problem.detail) from error
        raise


def disable_tracking(vsphere: VSphere, moid: str) -> None:
    """Disables changed block tracking; the change ids of earlier snapshots become invalid."""
    machine, doing = vsphere.object(vim.VirtualMachine, moid), "switching change tracking off"
    task = vsphere.call(
        lambda: machine.ReconfigVM_Task(vim.vm.ConfigSpec(changeTrackingEnabled=False)), subject=moid, doing=doing
    )
    wait_task(vsphere, task, subject=moid, doing=doing)


def _unsupported(moid: str, detail: str) -> ServiceError:
    return ServiceError(
        ErrorKind.REFUSED,
        "the virtual machine cannot track changes of its disks",
        subject=moid,
        remedy=f"Upgrade its hardware to version {MIN_HARDWARE} or later, or migrate it once, without increments",
        code="NotSupported",
        detail=detail,
    )


def changed_areas(  # noqa: PLR0917 - that of vCenter's method, and the disk's size
    vsphere: VSphere,
    moid: str,
    snapshot_moid: str,
    key: int,
    change_id: str,
    capacity: int,
    *,
    check: Check = nothing,
) -> list[tuple[int, int]]:
    """(offset, length) in bytes of what changed of a disk from ``change_id`` to the snapshot, ascending, joined.

    `ALLOCATED` as change id gives what was ever written; a datastore that does not know answers with the whole disk.
    One answer may cover only part of the disk, then the next is asked for (trap 26); ``check`` is called between two
    and may raise. Raises `TrackingLost` when vCenter cannot tell, other ServiceErrors as any call.
    """
    machine = vsphere.object(vim.VirtualMachine, moid)
    snapshot = vsphere.object(vim.vm.Snapshot, snapshot_moid)
    subject = f"disk {key} of {moid}"
    areas: list[tuple[int, int]] = []
    start = 0
    while start < capacity:
        ask = functools.partial(machine.QueryChangedDiskAreas, snapshot, key, start, change_id)
        try:
            answer = vsphere.call(ask, subject=subject, doing="asking what changed")
        except ServiceError as error:
            if (why := _lost(error, change_id)) is None:
                raise
            raise _tracking_lost(why, subject, error.problem.code, error.problem.detail) from error
        areas.extend((int(area.start), int(area.start) + int(area.length)) for area in answer.changedArea or ())
        reached = int(answer.startOffset) + int(answer.length)
        if reached <= start:
            raise _tracking_lost(
                "vCenter's list of changed areas ends before the disk does",
                subject,
                "NoProgress",
                f"asked from byte {start}, it ends at {reached} of {capacity}",
            )
        start = reached
        check()
    return joined(areas, capacity)


def joined(areas: Iterable[tuple[int, int]], capacity: int) -> list[tuple[int, int]]:
    """(start, end) pairs of any order as (offset, length), ascending, those that touch joined, none past the end."""
    found: list[tuple[int, int]] = []
    for first, past in sorted(areas):
        start, end = max(first, 0), min(past, capacity)
        if end <= start:
            continue
        if found and start <= found[-1][1]:
            found[-1] = (found[-1][0], max(found[-1][1], end))
        else:
            found.append((start, end))
    return [(start, end - start) for start, end in found]


def _tracking_lost(why: str, subject: str, code: str, detail: str) -> TrackingLost:
    return TrackingLost(
        ErrorKind.CONFLICT,
        why,
        subject=subject,
        remedy="The disk is read as a whole instead",
        code=code,
        detail=detail,
    )


def _lost(error: ServiceError, change_id: str) -> str | None:
    """Why an error means that the tracking cannot be used; None for one that says nothing about it."""
    code, detail = error.problem.code, error.problem.detail
    if code not in _WHY or (code == "InvalidArgument" and any(name in detail for name in _OURS)):
        return None
    if change_id == ALLOCATED:
        return "vCenter cannot tell what of the disk was ever written"
    if "startOffset" in detail:
        return "vCenter does not track the changes of this disk, or it is smaller than before"
    return _WHY[code]
