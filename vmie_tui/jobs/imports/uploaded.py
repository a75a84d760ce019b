"""The upload of a job in AWS: where it is, in which format, and whether it is still there."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

from vmie_tui.jobs.engine.import_context import ImportContext
from vmie_tui.jobs.engine.polling import intervals
from vmie_tui.jobs.transfer.progress import import_fraction
from vmie_tui.jobs.transfer.target_s3 import target_of
from vmie_tui.model.errors import ErrorKind, ServiceError
from vmie_tui.model.plan import ObjectSource
from vmie_tui.model.rules.routes import image_format
from vmie_tui.model.task import Task
from vmie_tui.services.pacing import Poll

T = TypeVar("T")
FULL = "ResourceCountLimitExceeded"  # as many conversion tasks as the Region allows at once


def bucket_of(context: ImportContext) -> str:
    """The bucket of the disks' objects: the job's own, or the one that the source was in from the start."""
    source = context.plan.source
    uses = isinstance(source, ObjectSource) and not context.plan.moves_bytes
    return source.bucket if uses and isinstance(source, ObjectSource) else context.plan.bucket


def format_of(context: ImportContext) -> str:
    """The format of those objects, as ImportImage names it."""
    plan = context.plan
    if not isinstance(plan.source, ObjectSource) or plan.moves_bytes:
        return plan.upload_format.value
    return plan.source.format or image_format(context.machine.disks[0].image)


def wait_for_slot(context: ImportContext, start: Callable[[], T]) -> T:
    """Start a conversion task, waiting while the Region's limit of them is reached."""
    near, _ = intervals(simulated=context.profile.aws.endpoint_url is not None)
    poll = Poll(near, wait=context.control.wait)
    while True:
        try:
            return start()
        except ServiceError as error:
            if error.problem.code != FULL:
                raise
        context.say("the Region's limit of conversion tasks is reached: waiting for a free one")
        poll.wait()


def refuse_missing_uploads(context: ImportContext) -> None:
    """Raises ServiceError CONFLICT when part of the upload is gone; a resume uploads it again."""
    if not context.plan.moves_bytes:
        return
    target = target_of(context)
    for disk in context.disks():
        if not context.retry(lambda disk=disk: target.there(disk)):  # type: ignore[misc]
            context.remember(transferred=False)
            raise ServiceError(
                ErrorKind.CONFLICT,
                "what was uploaded of this disk is not in AWS any more, or too old for AWS to read",
                subject=disk.label,
                remedy="Resume the job: what is missing is uploaded again",
            )


def show_tasks(context: ImportContext, tasks: Sequence[Task]) -> None:
    """Record how far AWS is; of several tasks, the one that is furthest behind."""
    last = min(tasks, key=lambda task: 101 if task.completed else task.progress or 0)
    said = f", {last.status_message}" if last.status_message else ""
    share = sum(100 if task.completed else task.progress or 0 for task in tasks) // len(tasks)
    context.update(
        task_progress=last.progress if len(tasks) == 1 else share,
        task_message=last.status_message or last.state,
        message=f"AWS: {last.state}{said}",
        fraction=import_fraction(share),
    )
