"""The vSphere snapshot that a running machine's disks are read from, and its removal."""

from __future__ import annotations

from typing import Any

from vmie_tui.jobs.engine.import_context import ImportContext
from vmie_tui.jobs.engine.ports import StepHooks
from vmie_tui.jobs.imports.inspect_guest import inspect_disks
from vmie_tui.jobs.transfer.export_lease import off_state
from vmie_tui.jobs.transfer.transfer import discard_uploads
from vmie_tui.model.job import Stage
from vmie_tui.model.machine import Machine, Power
from vmie_tui.services.vsphere.inventory import read_machine
from vmie_tui.services.vsphere.snapshot import Snapshot, create_snapshot, find_snapshot, list_snapshots
from vmie_tui.services.vsphere.snapshot import remove_snapshot as remove

SNAPSHOT_NOTE = "Made by vmie-tui to copy the machine's disks; removed when they are copied"


def take_snapshot(context: ImportContext, hooks: StepHooks) -> dict[str, Any]:
    """Take our snapshot of a running machine, and discard uploads of an older state.

    Returns ``{"snapshot": moid or None}``.
    """
    ledger = context.ledger
    hooks.before_snapshot()
    machine = context.ask_vcenter(lambda: read_machine(context.vsphere, ledger.moid))
    found: str | None
    if not hooks.needs_snapshot(machine):
        found, state = None, off_state((disk.key, disk.content_id) for disk in machine.disks)
        context.skip_stage(Stage.SNAPSHOT)
    else:
        context.start_stage(Stage.SNAPSHOT)
        made = _own_snapshot(context, machine)
        hooks.snapshot_taken(made, machine)
        found = state = made.moid
        context.finish_stage(Stage.SNAPSHOT)
    if ledger.source_state not in {"", state}:
        discard_uploads(context)
        context.say("the machine ran since the last attempt: every disk is read again", message=False, level="warning")
    context.remember(source_state=state, snapshot=found or "", snapshot_asked=False)
    if hooks.inspects_guest():
        inspect_disks(context, machine)
    return {"snapshot": found}


def _own_snapshot(context: ImportContext, machine: Machine) -> Snapshot:
    name, runs = snapshot_name(context.job_id), machine.power is not Power.OFF
    found = find_snapshot(context.vsphere, machine.moid, name)
    if found is None:
        context.say("making a snapshot of the machine")
        context.remember(snapshot_asked=True)  # a worker killed from here on leaves one to be removed
        quiesce = context.plan.quiesce and runs
        found = create_snapshot(context.vsphere, machine.moid, name, SNAPSHOT_NOTE, quiesce=quiesce)
        kind = "quiesced" if found.quiesced else "crash-consistent" if runs else "the machine is off"
        context.say(f"snapshot {name!r} made, {kind}", message=False)
        if quiesce and not found.quiesced:
            context.say("the guest could not be quiesced: the image is crash-consistent", level="warning")
    return found


def snapshot_name(job_id: str) -> str:
    return f"vmie-tui {job_id}"


def remove_snapshot(context: ImportContext) -> bool:
    """Remove the job's own vSphere snapshot; never its children. False when there was none."""
    ledger = context.ledger
    if not (ledger.snapshot or ledger.snapshot_asked):
        return False
    if remove_own_snapshots(context, ledger.moid):
        context.say("snapshot removed", message=False)
        context.remember(snapshot_asked=False)
    context.remember(snapshot="")
    return True


def remove_own_snapshots(context: ImportContext, moid: str) -> int:
    """Remove all snapshots with this job's name, which nobody else uses. Returns how many there were.

    There are two when a killed worker's request arrived after the next worker had looked for its snapshot.
    """
    name = snapshot_name(context.job_id)
    found = [snapshot for snapshot in list_snapshots(context.vsphere, moid) if snapshot.name == name]
    for snapshot in found:
        remove(context.vsphere, snapshot.moid)
    return len(found)
