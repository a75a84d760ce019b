"""The job's own vSphere snapshots: taken, found by their exact name, removed without their children."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from vmie_tui.model.errors import ErrorKind, ServiceError
from vmie_tui.services.pacing import Check, nothing
from vmie_tui.services.vsphere.property_collector import properties
from vmie_tui.services.vsphere.sdk import vim
from vmie_tui.services.vsphere.session import VSphere
from vmie_tui.services.vsphere.tasks import wait_task

# What vCenter answers when the guest would not be quiesced; a plain snapshot may still succeed (trap 30).
_QUIESCE_FAULTS = frozenset(
    {
        "ApplicationQuiesceFault",
        "FilesystemQuiesceFault",
        "MissingPowerOnConfiguration",
        "QuiesceDatastoreIOForHAFailed",
        "SnapshotFault",
        "ToolsUnavailable",
    }
)


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A snapshot in vCenter. ``quiesced`` is what vCenter says, whatever was asked for; ``created`` is aware."""

    moid: str
    name: str
    quiesced: bool
    created: datetime


def create_snapshot(
    vsphere: VSphere,
    moid: str,
    name: str,
    description: str,
    *,
    quiesce: bool,
    on_progress: Callable[[int], None] | None = None,
    check: Check = nothing,
) -> Snapshot:
    """Takes a snapshot without memory, or returns the one of this name that an earlier run left.

    When the guest cannot be quiesced a crash-consistent one is taken instead: see ``quiesced`` of the result.
    ``on_progress`` gets percentages; ``check`` may raise to stop waiting. Raises ServiceError.
    """
    existing = find_snapshot(vsphere, moid, name)
    if existing is not None:
        return existing
    machine = vsphere.object(vim.VirtualMachine, moid)
    doing = "taking a snapshot"

    def take(quiet: bool) -> None:
        task = vsphere.call(
            lambda: machine.CreateSnapshot_Task(name, description, False, quiet), subject=moid, doing=doing
        )
        wait_task(vsphere, task, subject=moid, doing=doing, on_progress=on_progress, check=check)

    try:
        take(quiesce)
    except ServiceError as error:
        if not quiesce or error.problem.code not in _QUIESCE_FAULTS:
            raise
        take(False)
    made = find_snapshot(vsphere, moid, name)
    if made is None:
        raise ServiceError(
            ErrorKind.CONFLICT,
            "the snapshot was taken but is gone again",
            subject=f"{name} of {moid}",
            remedy="See who removed it in the virtual machine's events, then try again",
            retry_safe=True,
        )
    return made


def find_snapshot(vsphere: VSphere, moid: str, name: str) -> Snapshot | None:
    """The machine's snapshot of exactly this name. Raises ServiceError, NOT_FOUND when the machine is gone."""
    return next((snapshot for snapshot in list_snapshots(vsphere, moid) if snapshot.name == name), None)


def list_snapshots(vsphere: VSphere, moid: str) -> tuple[Snapshot, ...]:
    """All snapshots of a machine, parents before their children. Raises ServiceError, NOT_FOUND when it is gone."""
    machine = vsphere.object(vim.VirtualMachine, moid)
    found = vsphere.call(
        lambda: properties(vsphere, machine, "snapshot"), subject=moid, doing="looking for the snapshot"
    ).get("snapshot")
    return tuple(
        Snapshot(tree.snapshot._moId, tree.name, bool(tree.quiesced), tree.createTime)
        for tree in _walk(found.rootSnapshotList if found else ())
    )


def _walk(trees: Any) -> Iterator[Any]:
    for tree in trees or ():
        yield tree
        yield from _walk(tree.childSnapshotList)


def remove_snapshot(vsphere: VSphere, snapshot_moid: str, *, check: Check = nothing) -> None:
    """Removes this snapshot and consolidates its disks; never its children. No error if it no longer exists."""
    snapshot = vsphere.object(vim.vm.Snapshot, snapshot_moid)
    doing = "removing the snapshot"
    try:
        task = vsphere.call(lambda: snapshot.RemoveSnapshot_Task(False, True), subject=snapshot_moid, doing=doing)
        wait_task(vsphere, task, subject=snapshot_moid, doing=doing, check=check)
    except ServiceError as error:
        if error.kind is not ErrorKind.NOT_FOUND:
            raise
