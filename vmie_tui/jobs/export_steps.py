"""The steps that bring an instance or image out of EC2. Each may be repeated at any time without harm."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from vmie_tui import __version__
from vmie_tui.jobs.export_context import ExportContext
from vmie_tui.jobs.progress import EXPORT_TO, UploadProgress, export_fraction
from vmie_tui.jobs.retry import again
from vmie_tui.jobs.tagging import TAG_JOB, TAG_VERSION
from vmie_tui.jobs.watch import watch_task
from vmie_tui.model.errors import ErrorKind, ServiceError
from vmie_tui.model.finding import Severity
from vmie_tui.model.job import DiskProgress, Stage, StageState
from vmie_tui.model.rules.exports import check_export
from vmie_tui.model.rules.override import not_overridden
from vmie_tui.model.task import Task

OBJECT = 1  # the key of the one object among the job's disks


def check(context: ExportContext) -> dict[str, Any]:
    """Everything the guides say would be refused, before AWS is asked. Raises ServiceError REFUSED."""
    from vmie_tui.services.aws.candidates import Candidates, with_bucket
    from vmie_tui.services.aws.grants import ExportBuckets
    from vmie_tui.services.aws.roles import check_role

    plan = context.plan
    context.store.stage(context.job_id, Stage.CHECK, StageState.RUNNING)
    context.say(f"checking {plan.source_id}, the bucket" + ("" if plan.is_instance else " and the role"))
    thing = again(lambda: Candidates(context.aws, plan.region).look(plan.source_id), context.control)
    bucket = again(
        lambda: ExportBuckets(context.aws, plan.region).look(plan.bucket, instance=plan.is_instance), context.control
    )
    for note in bucket.notes:
        context.say(f"bucket {plan.bucket}: {note}", message=False, level="warning")
    found = check_export(plan, with_bucket(thing, bucket.bucket))
    for words in plan.override:
        context.say(f"forced by the user: {words}", message=False, level="warning")
    blockers = not_overridden(found, plan.override)
    if blockers:
        raise ServiceError(
            ErrorKind.REFUSED,
            "; ".join(finding.headline for finding in blockers),
            subject=plan.source_id,
            remedy=blockers[0].remedy,
            code=blockers[0].fact,
            detail=blockers[0].prevents,
        )
    for finding in found:
        if finding.severity is Severity.WARNING:
            context.say(f"{finding.headline}. {finding.remedy}".rstrip(". "), message=False, level="warning")
    if not plan.is_instance:
        again(lambda: check_role(context.aws, plan.role_name, plan.bucket, exports=True), context.control)
    context.store.update(context.job_id, source=f"{thing.name or plan.source_id} ({plan.where})")
    context.store.stage(context.job_id, Stage.CHECK, StageState.DONE)
    return {"size": thing.size_gib}


def own_task(context: ExportContext) -> Task | None:
    """This job's export task; one whose answer a killed worker never saw goes by its tag."""
    record = context.record
    if record.task_id:
        return context.exports.task(record.task_id)
    if not record.ledger.get("asked"):
        return None
    return context.exports.started(context.plan.source_id, TAG_JOB, _attempt_tag(context))


def _attempt_tag(context: ExportContext) -> str:
    """Tells the exports of one job apart: after one that failed the next is another."""
    return f"{context.job_id}-{context.record.ledger.get('export_try', 1)}"


def start(context: ExportContext) -> dict[str, Any]:
    """Ask AWS for the export; asking twice gives the same task. Returns ``{"task": id}``."""
    plan, record = context.plan, context.record
    context.store.stage(context.job_id, Stage.EXPORT, StageState.RUNNING)
    if record.task_id:
        return {"task": record.task_id}
    tag = _attempt_tag(context)
    name = {"Name": plan.name} if plan.name else {}
    tags = {**name, TAG_JOB: tag, TAG_VERSION: __version__}

    def ask() -> Task:
        found = own_task(context)
        context.store.remember(context.job_id, asked=True)
        return found or context.exports.start(plan, client_token=f"vmie-{tag}", tags=tags)

    task = again(ask, context.control)
    context.store.update(context.job_id, task_id=task.id)
    context.say(f"AWS exports: {task.id}")
    return {"task": task.id}


def watch(context: ExportContext, task_id: str) -> dict[str, Any]:
    """Wait for the task's end, then find its object. Returns ``{"key": ...}``; ServiceError REMOTE when it failed."""
    plan = context.plan

    def show(task: Task) -> None:
        context.store.update(
            context.job_id,
            task_progress=task.progress,
            task_message=task.status_message or task.state,
            message=f"AWS: {task.state}" + (f", {task.status_message}" if task.status_message else ""),
            fraction=export_fraction(100 if task.completed else task.progress),
        )

    task = watch_task(context, context.exports.task, task_id, show)
    if not task.completed:
        tries = context.record.ledger.get("export_try", 1) + 1
        context.store.remember(context.job_id, export_try=tries, asked=None)
        context.store.update(context.job_id, task_id="")
        raise ServiceError(
            ErrorKind.REMOTE,
            f"AWS could not export {plan.source_id}" if task.failed else f"the export task is {task.state}",
            subject=task_id,
            remedy="Correct the cause, then resume the job: a new export is started",
            detail=task.reason,
        )
    found = again(lambda: context.exports.find_object(task, plan), context.control)
    context.store.remember(context.job_id, key=found.key)
    written = DiskProgress(OBJECT, found.key.rpartition("/")[2], found.size, s3_key=found.key)
    context.store.set_disks(context.job_id, [written])
    context.store.disk(context.job_id, OBJECT, total=found.size)
    context.store.update(context.job_id, target=found.url)
    context.store.stage(context.job_id, Stage.EXPORT, StageState.DONE)
    context.say(f"{found.url}, {found.size:,} bytes")
    return {"key": found.key}


class _Meter:
    """What a download asks and tells (`DownloadControl`)."""

    def __init__(self, context: ExportContext, size: int) -> None:
        self._control = context.control
        self._progress = UploadProgress(context.store, context.job_id, between=(EXPORT_TO, 0.95))
        self._progress.add_disk(OBJECT, size)
        self._progress.restart(OBJECT, size)

    def stop(self) -> None:
        self._control.check()

    def received(self, nbytes: int, *, skipped: bool) -> None:
        self._progress.received(OBJECT, nbytes)
        self._progress.part(OBJECT, nbytes, skipped=skipped)

    def finish(self, size: int) -> None:
        self._progress.finish(OBJECT, size)


def download(context: ExportContext) -> dict[str, Any]:
    """Bring the object to this machine, proven; a file that is there already from an earlier attempt is kept."""
    target = context.destination
    context.store.stage(context.job_id, Stage.DOWNLOAD, StageState.RUNNING)
    if context.record.ledger.get("file") == str(target) and target.exists():
        return {"file": str(target)}
    [record] = context.store.disks(context.job_id)
    context.say(f"downloading to {target}")
    context.store.disk(context.job_id, OBJECT, state=StageState.RUNNING.value)
    meter = _Meter(context, record.total)
    done = again(
        lambda: context.download.fetch(context.plan.bucket, context.key, target, control=meter), context.control
    )
    meter.finish(done.size)
    context.store.disk(context.job_id, OBJECT, state=StageState.DONE.value, checksum=done.checksum)
    context.store.remember(context.job_id, file=str(target))
    context.say(f"{done.size:,} bytes in {target}, equal to the object by its {done.proven}", message=False)
    return {"file": str(target)}


def convert(context: ExportContext, file: str) -> dict[str, Any]:
    """The downloaded file in the format the user wants, beside it; the download itself stays."""
    from vmie_tui.services.disks import convert as disks

    wanted = disks.Format(context.plan.convert_to)
    source = Path(file)
    destination = source.with_suffix(disks.extension(wanted))
    if destination == source:
        destination = source.with_name(f"{source.stem}-{wanted.value}{source.suffix}")
    if context.record.ledger.get("converted") == str(destination) and destination.exists():
        return {"file": str(destination)}
    context.say(f"converting to {destination}")
    request = disks.Request(source, destination, wanted, raw=context.plan.format == "RAW")
    done = disks.convert(request, lambda _done, _total: context.control.check())
    context.store.remember(context.job_id, converted=str(destination))
    context.say(f"{done.size:,} bytes in {destination}; the disk's sha256 is {done.disk_sha256}", message=False)
    return {"file": str(destination)}


def downloaded(context: ExportContext) -> dict[str, Any]:
    context.store.stage(context.job_id, Stage.DOWNLOAD, StageState.DONE)
    return {}


def finish(context: ExportContext) -> dict[str, Any]:
    """Delete the object in S3 when the user wants that and a proven copy is here."""
    context.store.stage(context.job_id, Stage.FINISH, StageState.RUNNING)
    if context.plan.clean_up and context.record.ledger.get("file"):
        again(lambda: context.objects.delete(context.plan.bucket, context.key), context.control)
        context.say("the object in S3 is deleted", message=False)
    context.store.stage(context.job_id, Stage.FINISH, StageState.DONE)
    ledger = context.record.ledger
    return {"where": ledger.get("converted") or ledger.get("file") or f"s3://{context.plan.bucket}/{context.key}"}
