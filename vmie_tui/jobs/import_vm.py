"""The steps that turn a virtual machine into an AMI. Each may be repeated at any time without harm."""

from __future__ import annotations

import re
from functools import partial
from typing import Any

from vmie_tui import __version__
from vmie_tui.jobs.import_context import ImportContext
from vmie_tui.jobs.look_inside import look_inside
from vmie_tui.jobs.progress import UPLOAD_TO, UploadProgress, import_fraction
from vmie_tui.jobs.retry import again
from vmie_tui.jobs.role_trouble import with_causes
from vmie_tui.jobs.routes import refuse_unready
from vmie_tui.jobs.transfer import LeaseHolder, already_there, move_disk, off_moment
from vmie_tui.jobs.watch import watch_task
from vmie_tui.model.errors import ErrorKind, ServiceError
from vmie_tui.model.finding import Finding
from vmie_tui.model.job import DiskProgress, Stage, StageState
from vmie_tui.model.machine import Machine, Power
from vmie_tui.model.rules import check_plan
from vmie_tui.model.rules.override import impossible, not_overridden
from vmie_tui.model.task import Task, TaskKind

SNAPSHOT_NOTE = "Made by vmie-tui to export a running machine; removed when the export ends"
TAG_SOURCE, TAG_JOB, TAG_VERSION = "vmie-tui:source-vm", "vmie-tui:job", "vmie-tui:version"


def check(context: ImportContext) -> dict[str, Any]:
    """Everything that can be refused before a byte moves; records the disks. Returns the ESXi host to pace by."""
    plan = context.plan
    context.store.stage(context.job_id, Stage.CHECK, StageState.RUNNING)
    context.say("checking the machine, the role and the bucket")
    refuse_unready(plan)
    if context.profile.read_only:
        raise ServiceError(ErrorKind.REFUSED, "this profile is read-only", subject=plan.profile)
    machine = again(lambda: _machine(context), context.control, before=lambda _: context.reconnect())
    _refuse_blockers(context, check_plan(plan, machine), machine)
    _exportable(machine)
    again(lambda: _check_aws(context), context.control)
    prefix = f"{plan.prefix}{_safe(machine.name)}-{context.job_id}"
    context.store.set_disks(
        context.job_id,
        [
            DiskProgress(disk.key, disk.label, disk.capacity, s3_key=f"{prefix}/disk-{number}.vmdk")
            for number, disk in enumerate(machine.disks, 1)
        ],
    )
    context.store.remember(context.job_id, host=machine.host, moid=machine.moid, path=machine.path)
    context.store.update(context.job_id, source=machine.path)
    context.store.stage(context.job_id, Stage.CHECK, StageState.DONE)
    context.say(f"{machine.path} on {machine.host}: {len(machine.disks)} disk(s), power {machine.power.value}")
    return {"host": machine.host or "unknown"}


def _machine(context: ImportContext) -> Machine:
    from vmie_tui.services.vsphere.inventory import find_machine

    return find_machine(context.vsphere, context.plan.vm)


def _check_aws(context: ImportContext) -> None:
    from vmie_tui.services.aws.roles import check_role

    context.objects.check_bucket(context.plan.bucket)
    check_role(context.aws, context.plan.role_name, context.plan.bucket)


def _refuse_blockers(context: ImportContext, findings: tuple[Finding, ...], machine: Machine) -> None:
    """Blockers stop the job, but for those the user has seen and overridden, which are written down in its log."""
    for words in context.plan.override:
        context.say(f"forced by the user: {words}", message=False, level="warning")
    blockers = not_overridden(findings, context.plan.override)
    if blockers:
        first = blockers[0]
        raise ServiceError(
            ErrorKind.REFUSED,
            "; ".join(finding.headline for finding in blockers),
            subject=machine.name,
            remedy=first.remedy,
            code=first.fact,
        )


def _exportable(machine: Machine) -> None:
    why = impossible(machine)
    if why is not None:
        raise ServiceError(ErrorKind.CONFLICT, why.what, subject=machine.name, remedy=why.remedy)


def snapshot(context: ImportContext) -> dict[str, Any]:
    """Freeze a running machine. Returns ``{"snapshot": moid or None}`` and forgets disks of another moment."""
    from vmie_tui.services.vsphere.inventory import read_machine

    ledger = context.record.ledger
    machine = again(
        lambda: read_machine(context.vsphere, ledger["moid"]), context.control, before=lambda _: context.reconnect()
    )
    if machine.power is Power.OFF:
        found, moment = None, off_moment((disk.key, disk.content_id) for disk in machine.disks)
        context.store.stage(context.job_id, Stage.SNAPSHOT, StageState.SKIPPED)
    else:
        context.store.stage(context.job_id, Stage.SNAPSHOT, StageState.RUNNING)
        found = moment = _own_snapshot(context, machine.moid)
        context.store.stage(context.job_id, Stage.SNAPSHOT, StageState.DONE)
    if ledger.get("moment") not in {None, moment}:
        for disk in context.store.disks(context.job_id):
            if disk.state is StageState.DONE:
                context.store.disk(context.job_id, disk.key, state=StageState.PENDING.value)
        context.say("the machine ran since the last attempt: every disk is read again", message=False, level="warning")
    context.store.remember(context.job_id, moment=moment, snapshot=found, taking=None)
    look_inside(context, machine)
    return {"snapshot": found}


def _own_snapshot(context: ImportContext, moid: str) -> str:
    from vmie_tui.services.vsphere.snapshot import create_snapshot, find_snapshot

    name = snapshot_name(context.job_id)
    found = find_snapshot(context.vsphere, moid, name)
    if found is None:
        context.say("making a snapshot of the running machine")
        context.store.remember(context.job_id, taking=True)  # a worker killed from here on leaves one to be removed
        found = create_snapshot(context.vsphere, moid, name, SNAPSHOT_NOTE, quiesce=context.plan.quiesce)
        kind = "quiesced" if found.quiesced else "crash-consistent"
        context.say(f"snapshot {name!r} made, {kind}", message=False)
        if context.plan.quiesce and not found.quiesced:
            context.say("the guest could not be quiesced: the image is crash-consistent", level="warning")
    return found.moid


def snapshot_name(job_id: str) -> str:
    return f"vmie-tui {job_id}"


def remove_snapshot(context: ImportContext) -> bool:
    """Remove this job's own snapshot, never its children; False when there was none."""
    from vmie_tui.services.vsphere.snapshot import find_snapshot
    from vmie_tui.services.vsphere.snapshot import remove_snapshot as remove

    ledger = context.record.ledger
    if not (ledger.get("snapshot") or ledger.get("taking")) or not ledger.get("moid"):
        return False
    found = find_snapshot(context.vsphere, ledger["moid"], snapshot_name(context.job_id))
    if found is not None and found.moid == ledger.get("snapshot", found.moid):
        remove(context.vsphere, found.moid)
        context.say("snapshot removed", message=False)
        context.store.remember(context.job_id, taking=None)
    context.store.remember(context.job_id, snapshot=None)
    return True


class Upload:
    """The transfer of a machine's disks within one phase: `prepare`, then `move` for each disk, then `close`."""

    def __init__(self, context: ImportContext, snapshot_moid: str | None) -> None:
        self.context = context
        self.progress = UploadProgress(context.store, context.job_id)
        self.holder = LeaseHolder(context, context.record.ledger["moid"], snapshot_moid)
        self._there: set[int] = set()

    def prepare(self) -> list[int]:
        """The keys of all disks, in their order; those found in S3 as recorded count as done."""
        context = self.context
        context.store.stage(context.job_id, Stage.UPLOAD, StageState.RUNNING)
        disks = context.store.disks(context.job_id)
        for disk in disks:
            there = again(partial(already_there, context, disk), context.control)
            if there:
                self._there.add(disk.key)
            if not there and disk.state is StageState.DONE:
                context.store.disk(context.job_id, disk.key, state=StageState.PENDING.value)
            self.progress.add_disk(disk.key, disk.capacity, total=disk.total if there else 0, finished=there)
        context.say(f"uploading {len(disks)} disk(s) to s3://{context.plan.bucket}")
        return [disk.key for disk in disks]

    def move(self, key: int) -> dict[str, Any]:
        """Bring one disk to S3, unless it is there. Raises VmieError."""
        disk = next(disk for disk in self.context.store.disks(self.context.job_id) if disk.key == key)
        if key in self._there:
            return {"size": disk.total}
        return move_disk(self.context, self.holder, self.progress, disk)

    def close(self) -> None:
        """All disks are there: give the lease back."""
        self.holder.complete()
        context = self.context
        context.store.stage(context.job_id, Stage.UPLOAD, StageState.DONE)
        context.store.update(context.job_id, rate=0.0, eta=None, fraction=UPLOAD_TO)


def start_import(context: ImportContext) -> dict[str, Any]:
    """Ask AWS for the conversion; asking twice gives the same task. Returns ``{"task": id}``."""
    from vmie_tui.services.aws.vmimport import ImageRequest

    plan, record = context.plan, context.record
    context.store.stage(context.job_id, Stage.IMPORT, StageState.RUNNING)
    if record.task_id:
        return {"task": record.task_id}
    disks = context.store.disks(context.job_id)
    request = ImageRequest(
        disks=tuple((plan.bucket, disk.s3_key, plan.upload_format.value, disk.label) for disk in disks),
        description=plan.description or f"{plan.source.name} imported by vmie-tui",
        license_type=plan.license_type.value if plan.license_type else None,
        usage_operation=plan.usage_operation,
        boot_mode=plan.boot_mode.value if plan.boot_mode else None,
        platform=plan.platform,
        encrypted=plan.encrypted,
        kms_key_id=plan.kms_key_id,
        role_name=plan.role_name,
        tags=tags(context),
        client_token=f"{record.ledger['client_token']}-{record.ledger.get('import_try', 1)}",
    )
    context.store.remember(context.job_id, asked=True)
    try:
        task = again(lambda: context.vm_import.import_image(request), context.control)
    except ServiceError as error:
        raise with_causes(context, error) from error
    context.store.update(context.job_id, task_id=task.id)
    context.say(f"AWS converts: {task.id}")
    return {"task": task.id}


def task_to_cancel(context: ImportContext) -> str:
    """The id of this job's import task that may still go on, else ""; one a killed worker never saw goes by its tag."""
    record = context.record
    if record.image_id or record.task_id or not record.ledger.get("asked"):
        return "" if record.image_id else record.task_id
    tasks = context.vm_import.tasks((TaskKind.IMPORT_IMAGE,))
    return next((task.id for task in tasks if task.tags.get(TAG_JOB) == context.job_id and not task.terminal), "")


def watch(context: ImportContext, task_id: str) -> dict[str, Any]:
    """Wait for the task's end. Returns ``{"image": id, "snapshots": [...]}``; raises ServiceError REMOTE on failure."""

    def show(task: Task) -> None:
        context.store.update(
            context.job_id,
            task_progress=task.progress,
            task_message=task.status_message or task.state,
            message=f"AWS: {task.state}" + (f", {task.status_message}" if task.status_message else ""),
            fraction=import_fraction(100 if task.completed else task.progress),
        )

    task = watch_task(context, context.vm_import.task, task_id, show)
    if not task.completed:
        context.store.remember(context.job_id, import_try=context.record.ledger.get("import_try", 1) + 1)
        context.store.update(context.job_id, task_id="")
        raise ServiceError(
            ErrorKind.REMOTE,
            "AWS could not import the machine" if task.failed else f"the import task is {task.state}",
            subject=task_id,
            remedy="Correct the cause, then resume the job: disks of a VM that was off and did not change are kept",
            detail=task.reason,
        )
    snapshots = [disk.snapshot_id for disk in task.disks]
    for disk, snapshot_id in zip(context.store.disks(context.job_id), snapshots, strict=False):
        context.store.disk(context.job_id, disk.key, snapshot_id=snapshot_id)
    context.store.update(context.job_id, image_id=task.image_id)
    context.store.stage(context.job_id, Stage.IMPORT, StageState.DONE)
    return {"image": task.image_id, "snapshots": snapshots}


def finish(context: ImportContext, image_id: str, snapshots: list[str]) -> dict[str, Any]:
    """Name the AMI and its snapshots by tags."""
    from vmie_tui.services.aws.images import tag

    context.store.stage(context.job_id, Stage.FINISH, StageState.RUNNING)
    context.say("tagging the AMI and its snapshots")
    ids = [image_id, *(snapshot_id for snapshot_id in snapshots if snapshot_id)]
    again(lambda: tag(context.aws, context.plan.region, ids, tags(context)), context.control)
    context.store.stage(context.job_id, Stage.FINISH, StageState.DONE)
    return {}


def tags(context: ImportContext) -> dict[str, str]:
    """The user's tags and ours: where the image comes from."""
    plan = context.plan
    name = plan.ami_name or plan.source.name
    path = str(context.record.ledger.get("path", plan.source.name))[-256:]
    return {"Name": name[:256], **plan.tags, TAG_SOURCE: path, TAG_JOB: context.job_id, TAG_VERSION: __version__}


def _safe(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9._-]+", "-", name)[:80].strip("-") or "vm"
