"""The step that deploys an export into vCenter: its disks are streamed from S3, and nothing is stored here."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

from vmie_tui.jobs.exports.context import ExportContext
from vmie_tui.jobs.transfer.progress import DOWNLOAD_TO, EXPORT_TO, UploadProgress
from vmie_tui.model.errors import ErrorKind, ServiceError
from vmie_tui.model.export import DeployTarget
from vmie_tui.model.job import Stage
from vmie_tui.model.plan import ObjectSource
from vmie_tui.services.deploy_source import open_deployable
from vmie_tui.services.vsphere.config_spec import NewHardware
from vmie_tui.services.vsphere.deploy import (
    Deployed,
    default_folder,
    deploy,
    find_marked,
    hardware_of,
    look_at_target,
    remove,
)
from vmie_tui.services.vsphere.power import power_on

DEPLOYED_TO = 0.97  # share of the whole job
WINDOWS_GUEST = "windows2019srv_64Guest"


def _target(context: ExportContext) -> DeployTarget:
    assert context.plan.deploy is not None
    return context.plan.deploy


def mark_of(job_id: str) -> str:
    """The mark in a machine's notes that says which job made it."""
    return f"job-{job_id}"


def check_target(context: ExportContext) -> None:
    """Refuse now what would fail hours later: a name that is taken, a place that is gone. Raises ServiceError."""
    target = _target(context)
    context.say(f"looking where {target.name} is to go in vCenter")
    context.ask_vcenter(lambda: look_at_target(context.vsphere, target, mark_of(context.job_id)))


class _DeployReport:
    """Follows a deployment (`DeployControl`), each disk of the machine in a row of the job's."""

    def __init__(self, context: ExportContext, capacities: list[int]) -> None:
        self._control = context.control
        start = DOWNLOAD_TO if context.plan.downloads else EXPORT_TO
        self._progress = UploadProgress(context.store, context.job_id, between=(start, DEPLOYED_TO))
        self._keys = [disk.key for disk in context.disks()]
        if len(self._keys) != len(capacities):  # an OVA: one object holds all disks
            self._keys = self._keys[:1] * len(capacities)
        self._before = [
            sum(capacities[:number]) if len(set(self._keys)) == 1 else 0 for number in range(len(capacities))
        ]
        for key in set(self._keys):
            self._progress.add_disk(key, sum(c for k, c in zip(self._keys, capacities, strict=True) if k == key))
            self._progress.restart(key, None)

    def check(self) -> None:
        self._control.check()

    def on_stop(self, callback: Callable[[], None]) -> AbstractContextManager[None]:
        return self._control.on_stop(callback)

    def moved(self, number: int, nbytes: int) -> None:
        self._progress.received(self._keys[number], nbytes)

    def covered(self, number: int, offset: int) -> None:
        self._progress.covered(self._keys[number], self._before[number] + offset)

    def finished(self, number: int, size: int) -> None:
        if number + 1 == len(self._keys) or self._keys[number + 1] != self._keys[number]:
            self._progress.finish(self._keys[number], size)


def deploy_machine(context: ExportContext) -> dict[str, Any]:
    """Create the virtual machine, unless an earlier attempt finished it. Returns ``{"machine": moid}``."""
    target = _target(context)
    context.start_stage(Stage.DEPLOY)
    moid = context.ledger.machine_moid
    if not moid:
        context.remember(machine_asked=True)  # from here on there may be one to be removed
        context.say(f"sending {target.name} to vCenter")
        done = context.ask_vcenter(lambda: _deploy(context))
        moid = done.moid
        _note_deployed(context, done)
        context.remember(machine_moid=moid)
    if target.power_on:
        context.ask_vcenter(lambda: power_on(context.vsphere, moid, target.name))
        context.say(f"{target.name} is switched on", message=False)
    context.finish_stage(Stage.DEPLOY)
    return {"machine": moid}


def _deploy(context: ExportContext) -> Deployed:
    plan = context.plan
    keys = tuple(key for key, _ in context.objects_written)
    source = ObjectSource(plan.name, plan.bucket, keys, plan.format.value if not plan.container else "")
    with open_deployable(source, context.aws, plan.region) as found:
        report = _DeployReport(context, [disk.size for _, disk in found.disks])
        hardware = hardware_of(_target(context), found.ovf)
        if found.ovf is None:
            hardware = _as_in_aws(context, hardware)
        return deploy(
            context.vsphere, _target(context), found.disks, hardware, mark=mark_of(context.job_id), control=report
        )


def _as_in_aws(context: ExportContext, hardware: NewHardware) -> NewHardware:
    """Firmware and guest kind as they were in EC2: a disk alone says nothing about the hardware."""
    from dataclasses import replace

    ledger = context.ledger
    guest = hardware.guest_id
    if not _target(context).guest_id and ledger.windows:
        guest = WINDOWS_GUEST
    return replace(hardware, uefi=hardware.uefi or ledger.uefi, guest_id=guest)


def _note_deployed(context: ExportContext, done: Deployed) -> None:
    rows = context.disks()
    if len(rows) == len(done.disks):
        for row, sent in zip(rows, done.disks, strict=True):
            context.update_disk(row.key, verified=bool(sent.proven) or None)
    for disk in done.disks:
        proven = f"equal by the host's {disk.proven}" if disk.proven else "the host gave no checksum"
        context.say(f"{disk.name}: {disk.bytes:,} bytes sent, {proven}", message=False)
    if not done.noted:
        context.say(
            f"the notes of {done.name} still say that it is unfinished: the account may not write them",
            message=False,
            level="warning",
        )
    context.say(f"{done.name} is in vCenter as {done.moid}")


def remove_machine(context: ExportContext) -> None:
    """Remove the machine that this job made, complete or not; never another one, and never one that runs."""
    if not context.ledger.machine_asked:
        return
    target, vsphere = _target(context), context.vsphere
    folder = target.folder or default_folder(vsphere, target.resource_pool)
    try:
        found = find_marked(vsphere, target.name, folder, mark_of(context.job_id))
    except ServiceError as error:
        if error.kind is ErrorKind.CONFLICT:  # somebody else's
            return
        raise
    if found is not None:
        remove(vsphere, found[0], target)
        context.say(f"the machine {target.name} is removed", message=False)
