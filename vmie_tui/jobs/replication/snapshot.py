"""The vSphere snapshot of a replication's run: preparation, what is noted of it, and whether it still holds."""

from __future__ import annotations

from typing import Any

from vmie_tui.jobs.imports.snapshot import snapshot_name
from vmie_tui.jobs.replication import cutover
from vmie_tui.jobs.replication.context import ReplicationContext
from vmie_tui.jobs.store.ledger import DiskAtSnapshot, MachineAtSnapshot, RunLedger
from vmie_tui.model.errors import ErrorKind, ServiceError
from vmie_tui.model.machine import Machine, Power
from vmie_tui.services.vsphere.changed_blocks import enable_tracking, snapshot_disks
from vmie_tui.services.vsphere.inventory import read_machine
from vmie_tui.services.vsphere.snapshot import find_snapshot, list_snapshots, remove_snapshot

# Change tracking that cannot be had for these reasons is done without; any other error stops the run.
_DO_WITHOUT = frozenset({ErrorKind.PERMISSION, ErrorKind.CONFLICT, ErrorKind.REFUSED})


def remove_stale_snapshots(context: ReplicationContext, machine: Machine) -> tuple[Machine, bool]:
    """Remove the snapshots that earlier runs left. Returns the machine, and whether its snapshot is this run's own.

    Logs when it runs on another host than at the last run, which is allowed (F422).
    """
    earlier = context.earlier_jobs()
    if earlier:
        before = context.store.record(earlier[0]).ledger_as(RunLedger).machine.host or machine.host
        if before != machine.host:
            context.say(f"the machine was on {before} at the last run, and is on {machine.host} now", message=False)
    if not machine.snapshots:
        return machine, False

    def look() -> tuple[Machine, bool]:
        found = list_snapshots(context.vsphere, machine.moid)
        left = [one for one in found if one.name in {snapshot_name(job_id) for job_id in earlier}]
        for one in left:
            context.say(f"removing the snapshot {one.name!r}, which an earlier run could not remove")
            remove_snapshot(context.vsphere, one.moid, check=context.control.check)
        ours = [one.name for one in found if one not in left] == [snapshot_name(context.job_id)]
        if not left:
            return machine, ours
        return read_machine(context.vsphere, machine.moid, name=machine.name), ours

    return context.ask_vcenter(look)


def prepare_machine(context: ReplicationContext) -> None:
    """Shut the guest down for a cutover, and enable changed block tracking: both must precede our snapshot."""
    moid = context.ledger.moid
    there = context.ask_vcenter(lambda: find_snapshot(context.vsphere, moid, snapshot_name(context.job_id)))
    if there is not None:  # a killed worker has made it, or a failed attempt could not remove it
        if not (context.plan.shut_down and cutover.ran_again(context)):
            return
        context.say("the machine ran since the last attempt: its snapshot is made anew", message=False)
        remove_snapshot(context.vsphere, there.moid, check=context.control.check)
    if context.plan.shut_down:
        cutover.shut_down(context)
    if not context.reads_by_lease:
        _track(context, moid)


def _track(context: ReplicationContext, moid: str) -> None:
    try:
        context.ask_vcenter(lambda: enable_tracking(context.vsphere, moid, check=context.control.check))
    except ServiceError as error:
        if error.kind not in _DO_WITHOUT:
            raise
        context.say(f"changed blocks cannot be tracked: {error}", message=False, level="warning")


def note_snapshot(context: ReplicationContext, snapshot: Any, machine: Machine) -> None:
    """Note each disk as the snapshot has it, for this and later attempts: change ids are of this moment (trap 25)."""
    first = list_snapshots(context.vsphere, machine.moid)[0]
    if first.moid != snapshot.moid:
        raise ServiceError(
            ErrorKind.CONFLICT,
            f"somebody made the snapshot {first.name!r} before ours",
            subject=machine.name,
            remedy="Have it removed: its disk's file does not hold what was written since. Then run again",
            code="trap 27",
        )
    frozen = {disk.key: disk for disk in snapshot_disks(context.vsphere, snapshot.moid)}
    known = context.disks()
    if new := frozen.keys() - {disk.key for disk in known}:
        raise ServiceError(
            ErrorKind.CONFLICT,
            "the machine got another disk since it was checked",
            subject=", ".join(frozen[key].file_name for key in sorted(new)),
            remedy="Run again: the run takes it along then",
        )
    for disk in known:
        seen = frozen.get(disk.key)
        if seen is None:
            raise ServiceError(
                ErrorKind.CONFLICT,
                "the snapshot does not hold this disk",
                subject=disk.label,
                remedy="Independent and raw disks are left out of snapshots: run again once that is changed",
                code="trap 29",
            )
        at_snapshot = DiskAtSnapshot(
            uuid=seen.uuid,
            capacity=seen.capacity,
            change_id=seen.change_id,
            file=seen.file_name,
            datastore=seen.datastore,
        )
        context.remember_disk(disk.key, at_snapshot=at_snapshot)
        if seen.capacity != disk.capacity:  # it grew since the check
            context.update_disk(disk.key, capacity=seen.capacity)
    if context.ledger.at_snapshot.moid != snapshot.moid:
        quiesced = snapshot.quiesced if machine.power is not Power.OFF else None
        context.remember(
            at_snapshot=MachineAtSnapshot(
                moid=snapshot.moid,
                at=context.clock.now(),
                quiesced=quiesced,
                host=machine.host,
            ),
        )


def refuse_moved_machine(context: ReplicationContext) -> None:
    """Raises ServiceError CONFLICT when the machine was moved, or our snapshot removed, since it was taken (F423)."""

    def look() -> None:
        why = _what_changed(context)
        if why:
            raise ServiceError(
                ErrorKind.CONFLICT,
                why,
                subject=context.plan.source.name,
                remedy="It must stay where it is while a run copies it: run again, which begins anew",
                code="F423",
            )

    context.ask_vcenter(look)


def _what_changed(context: ReplicationContext) -> str:
    ledger = context.ledger
    found = find_snapshot(context.vsphere, ledger.moid, snapshot_name(context.job_id))
    if found is None or found.moid != ledger.at_snapshot.moid:
        return "the run's snapshot was removed while its disks were copied"
    host = read_machine(context.vsphere, ledger.moid).host
    if host != ledger.at_snapshot.host:
        return f"the machine was moved from {ledger.at_snapshot.host} to {host} while it was copied"
    files = {disk.key: disk.file_name for disk in snapshot_disks(context.vsphere, found.moid)}
    for disk in context.disks():
        before = disk.ledger.at_snapshot.file
        if files.get(disk.key) != before:
            return f"{disk.label} was moved from {before} to {files.get(disk.key, 'nowhere')} while it was copied"
    return ""
