"""The steps that export an instance or image from EC2. Each can be repeated at any time without harm."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from vmie_tui import __version__
from vmie_tui.jobs.engine.polling import watch_task
from vmie_tui.jobs.engine.tags import TAG_JOB, TAG_VERSION
from vmie_tui.jobs.exports.context import ExportContext
from vmie_tui.jobs.exports.deploy import check_target
from vmie_tui.jobs.transfer.progress import DOWNLOAD_TO, EXPORT_TO, UploadProgress, export_fraction
from vmie_tui.model.errors import ErrorKind, ServiceError
from vmie_tui.model.finding import Severity
from vmie_tui.model.job import DiskProgress, Stage, StageState
from vmie_tui.model.rules.exports import check_export
from vmie_tui.model.rules.override import not_overridden
from vmie_tui.model.task import Task
from vmie_tui.services.aws.ec2.exportable import ExportableSources
from vmie_tui.services.aws.iam.roles import check_role
from vmie_tui.services.aws.s3.export_bucket import ExportBuckets
from vmie_tui.services.disks.convert import Format, Request, extension
from vmie_tui.services.disks.convert import convert as convert_disk
from vmie_tui.services.disks.streams.output import check_folder

OBJECT = 1  # the key of the first object among the job's disks


def check(context: ExportContext) -> dict[str, Any]:
    """Refuse everything that the guides say AWS would refuse, before it is asked. Raises ServiceError REFUSED."""
    plan = context.plan
    context.start_stage(Stage.CHECK)
    if plan.downloads:  # an export takes hours: a folder that cannot be written is told before it
        check_folder(Path(plan.download_to).expanduser())
    context.say(f"checking {plan.source_id}, the bucket" + ("" if plan.is_instance else " and the role"))
    thing = context.retry(lambda: ExportableSources(context.aws, plan.region).look(plan.source_id))
    bucket = context.retry(lambda: ExportBuckets(context.aws, plan.region).look(plan.bucket, instance=plan.is_instance))
    for note in bucket.notes:
        context.say(f"bucket {plan.bucket}: {note}", message=False, level="warning")
    found = check_export(plan, replace(thing, bucket=bucket.bucket))
    for words in plan.override:
        context.say(f"forced by the user: {words}", message=False, level="warning")
    blockers = not_overridden(found, plan.override)
    if blockers:
        raise ServiceError(
            ErrorKind.REFUSED,
            "; ".join([blockers[0].what, *(finding.headline for finding in blockers[1:])]),
            subject=blockers[0].subject,
            remedy=blockers[0].remedy,
            code=blockers[0].fact,
            detail=blockers[0].prevents,
        )
    for finding in found:
        if finding.severity is Severity.WARNING:
            context.say(f"{finding.headline}. {finding.remedy}".rstrip(". "), message=False, level="warning")
    if not plan.is_instance:
        context.retry(lambda: check_role(context.aws, plan.role_name, plan.bucket, exports=True))
    if plan.convert_to:
        _format(plan.convert_to)
    if plan.deploy is not None:
        check_target(context)
        context.remember(uefi=thing.boot_mode.startswith("uefi"), windows=thing.windows)
    context.update(source=f"{thing.name or plan.source_id} ({plan.where})")
    context.finish_stage(Stage.CHECK)
    return {"size": thing.size_gib}


def own_task(context: ExportContext) -> Task | None:
    """This job's export task; one that a killed worker asked for is found by its tag."""
    record = context.record
    if record.task_id:
        return context.exports.task(record.task_id)
    if not context.ledger.task_asked:
        return None
    return context.exports.started(context.plan.source_id, TAG_JOB, _attempt_tag(context))


def _attempt_tag(context: ExportContext) -> str:
    """The tag's value: tells the exports of one job apart, since a new one is started after a failure."""
    return f"{context.job_id}-{context.ledger.export_try}"


def start(context: ExportContext) -> dict[str, Any]:
    """Ask AWS for the export; asking twice gives the same task. Returns ``{"task": id}``."""
    plan, record = context.plan, context.record
    context.start_stage(Stage.EXPORT)
    if record.task_id:
        return {"task": record.task_id}
    tag = _attempt_tag(context)
    name = {"Name": plan.name} if plan.name else {}
    tags = {**name, TAG_JOB: tag, TAG_VERSION: __version__}

    def ask() -> Task:
        found = own_task(context)
        context.remember(task_asked=True)
        return found or context.exports.start(plan, client_token=f"vmie-{tag}", tags=tags)

    task = context.retry(ask)
    context.update(task_id=task.id)
    context.say(f"AWS exports: {task.id}")
    return {"task": task.id}


def watch(context: ExportContext, task_id: str) -> dict[str, Any]:
    """Wait for the task's end, then find its object. Returns ``{"key": ...}``; ServiceError REMOTE when it failed."""
    plan = context.plan

    def show(task: Task) -> None:
        context.update(
            task_progress=task.progress,
            task_message=task.status_message or task.state,
            message=f"AWS: {task.state}" + (f", {task.status_message}" if task.status_message else ""),
            fraction=export_fraction(100 if task.completed else task.progress),
        )

    task = watch_task(context, context.exports.task, task_id, show)
    if not task.completed:
        tries = context.ledger.export_try + 1
        context.remember(export_try=tries, task_asked=False)
        context.update(task_id="")
        raise ServiceError(
            ErrorKind.REMOTE,
            f"AWS could not export {plan.source_id}" if task.failed else f"the export task is {task.state}",
            subject=task_id,
            remedy="Correct the cause, then resume the job: a new export is started",
            detail=task.reason,
        )
    found = context.retry(lambda: context.exports.find_objects(task, plan))
    first = found[0]
    context.remember(objects=tuple((one.key, one.size) for one in found))
    disks = [
        DiskProgress(OBJECT + number, one.key.rpartition("/")[2], one.size, s3_key=one.key)
        for number, one in enumerate(found)
    ]
    context.set_disks(disks)
    for disk in disks:
        context.update_disk(disk.key, total=disk.capacity)
    context.update(target=first.url)
    context.finish_stage(Stage.EXPORT)
    size = sum(one.size for one in found)
    more = f" and {len(found) - 1} further disks" if len(found) > 1 else ""
    context.say(f"{first.url}{more}, {size:,} bytes")
    return {"key": first.key}


class _DownloadReport:
    """Follows the download of one object among all (`TransferControl`)."""

    def __init__(self, context: ExportContext, progress: UploadProgress, key: int, size: int) -> None:
        self._control, self._progress, self._key = context.control, progress, key
        progress.restart(key, size)

    def check(self) -> None:
        self._control.check()

    def moved(self, nbytes: int, *, skipped: bool = False) -> None:
        self._progress.received(self._key, nbytes)
        self._progress.part(self._key, nbytes, skipped=skipped)


def download(context: ExportContext) -> dict[str, Any]:
    """Download the objects and prove them; a file of an earlier attempt is kept."""
    context.start_stage(Stage.DOWNLOAD)
    between = (EXPORT_TO, DOWNLOAD_TO if context.plan.deploy is not None else 0.95)
    progress = UploadProgress(context.store, context.job_id, between=between)
    written = list(enumerate(context.objects_written, OBJECT))
    for number, (key, size) in written:
        there = _is_downloaded(context, key, size)
        progress.add_disk(number, size, total=size, finished=there)
    for number, (key, size) in written:
        if not _is_downloaded(context, key, size):
            _download_object(context, progress, number, key, size)
    return {"files": [str(context.destination(key)) for key, _ in context.objects_written]}


def _is_downloaded(context: ExportContext, key: str, size: int) -> bool:
    """Whether the object is here. A worker may be killed after the file got its name and before the job knew: a file
    that was not there when we began, and which appears only when it is whole and proven, is ours.
    """
    target, ledger = context.destination(key), context.ledger
    if not target.is_file():
        return False
    return str(target) in ledger.files or (str(target) in ledger.fetching and target.stat().st_size == size)


def _download_object(context: ExportContext, progress: UploadProgress, number: int, key: str, size: int) -> None:
    target = context.destination(key)
    context.say(f"downloading to {target}")
    context.update_disk(number, state=StageState.RUNNING.value)
    report = _DownloadReport(context, progress, number, size)
    if not target.exists():  # what is there before is the user's, and stays
        context.remember(fetching=(*context.ledger.fetching, str(target)))
    done = context.retry(lambda: context.download.fetch(context.plan.bucket, key, target, control=report))
    progress.finish(number, done.size)
    context.update_disk(number, state=StageState.DONE.value, checksum=done.checksum)
    context.remember(files=(*context.ledger.files, str(target)))
    context.say(f"{done.size:,} bytes in {target}, equal to the object by its {done.proven}", message=False)


def convert(context: ExportContext, files: list[str]) -> dict[str, Any]:
    """Convert the downloaded files to the format the user wants, beside the downloads, which stay."""
    return {"files": [_convert(context, Path(file)) for file in files]}


def _format(name: str) -> Format:
    try:
        return Format.VHD_DYNAMIC if name == "vhd" else Format(name)
    except ValueError:
        raise ServiceError(
            ErrorKind.INVALID,
            "nothing is converted to this format",
            subject=name,
            remedy=f"Choose one of {', '.join(Format)}",
        ) from None


def _convert(context: ExportContext, source: Path) -> str:
    wanted = _format(context.plan.convert_to)
    destination = source.with_suffix(extension(wanted))
    if destination == source:
        destination = source.with_name(f"{source.stem}-{wanted.value}{source.suffix}")
    known = context.ledger.conversions
    if destination.is_file() and str(destination) in known:
        return str(destination)
    if not destination.exists():  # it appears whole, perhaps just before the worker is killed: then it is ours
        context.remember(conversions=(*known, str(destination)))
    context.say(f"converting to {destination}")
    request = Request(source, destination, wanted, raw=context.plan.format == "RAW")
    done = convert_disk(request, lambda _done, _total: context.control.check())
    context.say(f"{done.size:,} bytes in {destination}; the disk's sha256 is {done.disk_sha256}", message=False)
    return str(destination)


def finish_download(context: ExportContext) -> dict[str, Any]:
    context.finish_stage(Stage.DOWNLOAD)
    return {}


def finish(context: ExportContext) -> dict[str, Any]:
    """Delete the object in S3 if the user wants that and a proven copy is here."""
    context.start_stage(Stage.FINISH)
    if context.plan.clean_up and context.plan.downloads:
        for key, _ in context.objects_written:
            context.retry(partial(context.remove_object, key))
        context.say("what was exported to S3 is deleted", message=False)
    context.finish_stage(Stage.FINISH)
    where = f"s3://{context.plan.bucket}/{context.key}"
    if context.plan.downloads:
        where = next(iter(context.ledger.conversions), str(context.destination(context.key)))
    machine = f", and the virtual machine {context.plan.deploy.name}" if context.plan.deploy is not None else ""
    return {"where": f"{where}{machine}"}
