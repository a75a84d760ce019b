"""The legacy instance route: ImportInstance or ImportVolume of part objects; started, watched, cancelled."""

from __future__ import annotations

from typing import Any

from vmie_tui.jobs.engine.import_context import ImportContext
from vmie_tui.jobs.engine.polling import watch_tasks
from vmie_tui.jobs.imports.uploaded import refuse_missing_uploads, show_tasks, wait_for_slot
from vmie_tui.model.errors import ErrorKind, ServiceError
from vmie_tui.model.job import Stage
from vmie_tui.model.plan import LegacyInstance
from vmie_tui.model.rules.legacy import platform_of
from vmie_tui.model.task import Task
from vmie_tui.services.aws.s3.instance_parts import PartObjects
from vmie_tui.services.aws.vmie.conversion_tasks import ConversionTasks, DiskImage, InstanceRequest, VolumeRequest


def start_conversion(context: ImportContext) -> dict[str, Any]:
    """Start the conversion. The call has no client token, so a task that was asked for before is looked for first."""
    context.start_stage(Stage.IMPORT)
    if context.record.task_id:  # also once it is over: what it made is in the ledger
        return {"task": context.record.task_id}
    refuse_missing_uploads(context)
    (disk,) = context.disks()
    found: Task | None = None
    if context.ledger.task_asked:
        found = context.retry(lambda: _find(context))
    context.remember(task_asked=True)
    # Not tried again by itself: an answer that was lost may have started one, which only `_find` sees.
    task = found or wait_for_slot(context, lambda: _start(context))
    context.update(task_id=task.id)
    context.say(f"{disk.label}: AWS converts, {task.id}")
    return {"task": task.id}


def _find(context: ImportContext) -> Task | None:
    (disk,) = context.disks()
    return ConversionTasks(context.aws, context.plan.region).find(context.plan.bucket, disk.ledger.manifest_key)


def _start(context: ImportContext) -> Task:
    plan, legacy = context.plan, context.plan.legacy or LegacyInstance()
    (disk,) = context.disks()
    url = PartObjects(context.aws, plan.region).manifest_url(plan.bucket, disk.ledger.manifest_key)
    image = DiskImage(url, disk.ledger.image_bytes, plan.upload_format.value, disk.ledger.volume_gib)
    description = plan.description or f"{plan.source.name} imported by vmie-tui"
    api = ConversionTasks(context.aws, plan.region)
    if legacy.volume_only:
        return api.import_volume(VolumeRequest(image, legacy.availability_zone, description))
    return api.import_instance(
        InstanceRequest(
            image,
            plan.platform or platform_of(context.machine),
            legacy.instance_type,
            legacy.availability_zone,
            legacy.subnet_id,
            plan.architecture,
            description,
        )
    )


def watch_conversion(context: ImportContext) -> dict[str, Any]:
    """Wait for the task's end. Returns ``{"made": [instance and volumes]}``; raises ServiceError REMOTE."""
    if context.ledger.to_tag:
        return {"made": list(context.ledger.to_tag)}
    api, task_id = ConversionTasks(context.aws, context.plan.region), context.record.task_id
    (task,) = watch_tasks(context, api.task, [task_id], lambda found: show_tasks(context, found))
    if not task.completed:
        context.remember(transferred=False, task_asked=False)
        context.update(task_id="")
        raise ServiceError(
            ErrorKind.REMOTE,
            "AWS could not import the machine" if task.failed else f"the conversion task is {task.state}",
            subject=task_id,
            remedy="Correct the cause, then resume the job: the parts are kept",
            detail=task.reason,
        )
    (disk,) = context.disks()
    for volume_id in task.volume_ids:
        context.add_result(f"volume of {disk.label}", volume_id)
    if task.instance_id:
        context.add_result("instance", task.instance_id)
    context.finish_stage(Stage.IMPORT)
    made = tuple(ident for ident in (task.instance_id, *task.volume_ids) if ident)
    context.remember(to_tag=made)
    return {"made": list(made)}


def cancel_conversion(context: ImportContext) -> None:
    """Cancel the task, which removes its instance or volume; one whose id is not known is found by its manifest."""
    if not context.ledger.task_asked:
        return
    (disk,) = context.disks()
    found = _find(context) if disk.ledger.manifest_key else None
    if found is not None and not found.completed:
        ConversionTasks(context.aws, context.plan.region).cancel(found.id)
