"""ImportSnapshot: AWS makes an EBS snapshot of each disk's object; started, watched, cancelled."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

from vmie_tui.jobs.engine.import_context import ImportContext
from vmie_tui.jobs.engine.polling import watch_tasks
from vmie_tui.jobs.engine.tags import TAG_JOB, tags
from vmie_tui.jobs.imports.role_error import with_causes
from vmie_tui.jobs.imports.uploaded import FULL, bucket_of, format_of, refuse_missing_uploads, show_tasks, wait_for_slot
from vmie_tui.jobs.store.records import DiskRecord
from vmie_tui.model.errors import ErrorKind, ServiceError
from vmie_tui.model.job import Stage
from vmie_tui.model.task import Task, TaskKind
from vmie_tui.services.aws.ec2.job_resources import delete_snapshot
from vmie_tui.services.aws.vmie.import_tasks import ImportDisk, SnapshotRequest


def import_snapshots(context: ImportContext) -> dict[str, Any]:
    """Import every disk's snapshot: start each task once, and watch them all. Returns ``{"snapshots": [ids]}``.

    At the Region's limit of conversion tasks, those of this job that run are waited for first. Raises ServiceError
    REMOTE with AWS's words; the snapshots of the other disks are kept for a resume.
    """
    context.start_stage(Stage.IMPORT)
    if not all(disk.snapshot_id for disk in context.disks()):
        refuse_missing_uploads(context)
    while True:
        full = _ask(context)
        asked = [disk for disk in context.disks() if disk.ledger.import_task]
        if asked:
            _watch(context, asked)
        if not full:
            break
    context.update(task_id="")
    context.finish_stage(Stage.IMPORT)
    return {"snapshots": [disk.snapshot_id for disk in context.disks()]}


def _ask(context: ImportContext) -> bool:
    """Start the tasks that are missing; True when the Region takes no more of them now."""
    for disk in context.disks():
        if disk.snapshot_id or disk.ledger.import_task:
            continue
        first = not any(one.ledger.import_task for one in context.disks())
        try:
            task = context.retry(partial(_start, context, disk, wait=first))
        except _Full:
            return True  # the tasks of this job's other disks are waited for, then there is room
        except ServiceError as error:
            raise with_causes(context, error) from error
        context.remember_disk(disk.key, import_task=task.id)
        context.update(task_id=task.id)
        context.say(f"{disk.label}: AWS reads it, {task.id}")
    return False


class _Full(Exception):
    """The Region takes no more conversion tasks, and some of them are this job's."""


def _start(context: ImportContext, disk: DiskRecord, *, wait: bool) -> Task:
    plan = context.plan
    context.remember(task_asked=True)
    request = SnapshotRequest(
        disk=ImportDisk(bucket_of(context), disk.s3_key, format_of(context), disk.label),
        description=plan.description or f"{plan.source.name} {disk.label} imported by vmie-tui",
        encrypted=plan.encrypted,
        kms_key_id=plan.kms_key_id,
        role_name=plan.role_name,
        tags=tags(context),
        client_token=f"{context.ledger.client_token}-{disk.key}-{disk.ledger.import_try}",
    )
    start = partial(context.vm_import.import_snapshot, request)
    if wait:
        return wait_for_slot(context, start)
    try:
        return start()
    except ServiceError as error:
        if error.problem.code == FULL:
            raise _Full from error
        raise


def _watch(context: ImportContext, disks: list[DiskRecord]) -> None:
    tasks = {disk.ledger.import_task: disk for disk in disks}
    ended = watch_tasks(context, context.vm_import.task, list(tasks), lambda found: show_tasks(context, found))
    failed: list[tuple[DiskRecord, Task]] = []
    for task in ended:
        disk = tasks[task.id]
        context.remember_disk(disk.key, import_task="")
        if task.completed and task.disks and task.disks[0].snapshot_id:
            context.update_disk(disk.key, snapshot_id=task.disks[0].snapshot_id)
        else:
            tried = disk.ledger.import_try
            context.remember_disk(disk.key, import_try=tried + 1)
            failed.append((disk, task))
    if failed:
        context.remember(transferred=False)
        context.update(task_id="")
        disk, task = failed[0]
        raise ServiceError(
            ErrorKind.REMOTE,
            "AWS could not read the disk" if task.failed else f"the import task is {task.state}",
            subject=f"{disk.label}, {task.id}",
            remedy="Correct the cause, then resume the job: disks that did not change are not uploaded again",
            detail=task.reason,
        )


def cancel_snapshots(context: ImportContext) -> None:
    """Cancel the tasks that may still run, and delete the snapshots of those that ended."""
    for task in _own_tasks(context):
        if not task.terminal:
            context.vm_import.cancel(task.id)
        for disk in task.disks:
            if disk.snapshot_id:
                delete_snapshot(context.aws, context.plan.region, disk.snapshot_id)


def _own_tasks(context: ImportContext) -> Iterator[Task]:
    if context.ledger.task_asked:
        for task in context.vm_import.tasks((TaskKind.IMPORT_SNAPSHOT,)):
            if task.tags.get(TAG_JOB) == context.job_id:
                yield task
