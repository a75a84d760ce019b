"""Conversion by AWS: ImportImage of objects in S3, an OVA or EBS snapshots; started, watched, cancelled."""

from __future__ import annotations

from functools import partial
from typing import Any

from vmie_tui.jobs.engine.import_context import ImportContext
from vmie_tui.jobs.engine.polling import watch_tasks
from vmie_tui.jobs.engine.tags import TAG_JOB, tags
from vmie_tui.jobs.imports.fallback_unmodified import where_upload_is
from vmie_tui.jobs.imports.role_error import with_causes
from vmie_tui.jobs.imports.uploaded import bucket_of, format_of, refuse_missing_uploads, show_tasks, wait_for_slot
from vmie_tui.model.errors import ErrorKind, ServiceError
from vmie_tui.model.job import Stage
from vmie_tui.model.plan import Route
from vmie_tui.model.task import Task, TaskKind
from vmie_tui.services.aws.vmie.import_tasks import ImageRequest, ImportDisk

FALL_BACK = "or fall back to an unmodified import of what is in AWS (vmie-tui fallback {id}): no new upload"


def start_image(context: ImportContext) -> dict[str, Any]:
    """Start the conversion; asking twice gives the same task. Returns ``{"task": id}``."""
    plan, record, ledger = context.plan, context.record, context.ledger
    context.start_stage(Stage.IMPORT)
    if record.task_id or record.image_id:
        return {"task": record.task_id}
    refuse_missing_uploads(context)
    request = ImageRequest(
        disks=tuple(_containers(context)),
        description=plan.description or f"{plan.source.name} imported by vmie-tui",
        license_type=plan.license_type.value if plan.license_type else None,
        usage_operation=plan.usage_operation,
        boot_mode=plan.boot_mode.value if plan.boot_mode else None,
        platform=plan.platform,
        encrypted=plan.encrypted,
        kms_key_id=plan.kms_key_id,
        role_name=plan.role_name,
        tags=tags(context),
        client_token=f"{ledger.client_token}-{ledger.import_try}",
    )
    context.remember(task_asked=True)
    try:
        task = context.retry(partial(wait_for_slot, context, partial(context.vm_import.import_image, request)))
    except ServiceError as error:
        raise with_causes(context, error) from error
    context.update(task_id=task.id)
    context.say(f"AWS converts: {task.id}")
    return {"task": task.id}


def _containers(context: ImportContext) -> list[ImportDisk]:
    disks = context.disks()
    if context.plan.route is Route.IMAGE_DIRECT:
        snapshots = [disk.ledger.uploaded_snapshot or disk.snapshot_id for disk in disks]
        return [
            ImportDisk(description=disk.label, snapshot_id=made) for disk, made in zip(disks, snapshots, strict=True)
        ]
    bucket = bucket_of(context)
    if format_of(context) == "OVA":
        return [ImportDisk(bucket, disks[0].s3_key, "OVA", context.plan.source.name)]
    return [ImportDisk(bucket, disk.s3_key, format_of(context), disk.label) for disk in disks]


def watch_image(context: ImportContext) -> dict[str, Any]:
    """Wait for the task's end. Returns ``{"image": id}``; raises ServiceError REMOTE when AWS refused the machine."""
    task_id, image_id = context.record.task_id, context.record.image_id
    if image_id:
        return {"image": image_id}
    (task,) = watch_tasks(context, context.vm_import.task, [task_id], lambda found: show_tasks(context, found))
    if not task.completed:
        context.remember(import_try=context.ledger.import_try + 1, transferred=False)
        context.update(task_id="")
        raise ServiceError(
            ErrorKind.REMOTE,
            "AWS could not import the machine" if task.failed else f"the import task is {task.state}",
            subject=task_id,
            remedy=_remedy(context),
            detail=task.reason,
        )
    for disk, made in zip(context.disks(), task.disks, strict=False):
        context.update_disk(disk.key, snapshot_id=made.snapshot_id)
    context.update(image_id=task.image_id)
    context.finish_stage(Stage.IMPORT)
    return {"image": task.image_id}


def _remedy(context: ImportContext) -> str:
    """What to do when AWS refused to convert the machine."""
    remedy = "Correct the cause, then resume the job: disks of a VM that was off and did not change are kept"
    try:
        where_upload_is(context.record, context.disks())
    except ServiceError:
        return remedy
    return f"{remedy}; {FALL_BACK.format(id=context.job_id)}"


def cancel_image(context: ImportContext) -> None:
    """Cancel the task if it may still run; one that a killed worker asked for is found by its tag."""
    task_id = _going_on(context)
    if task_id:
        context.vm_import.cancel(task_id)


def _going_on(context: ImportContext) -> str:
    record = context.record
    if record.image_id or record.task_id or not context.ledger.task_asked:
        return "" if record.image_id else record.task_id
    tasks: list[Task] = list(context.vm_import.tasks((TaskKind.IMPORT_IMAGE,)))
    return next((task.id for task in tasks if task.tags.get(TAG_JOB) == context.job_id and not task.terminal), "")
