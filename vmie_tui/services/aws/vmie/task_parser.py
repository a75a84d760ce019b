"""Parses tasks as EC2 describes them into the model's `Task`; accepts every number format the guides print."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote, urlsplit

from vmie_tui.model.errors import ErrorKind, ServiceError
from vmie_tui.model.rules.secrets import unsigned
from vmie_tui.model.task import Task, TaskDisk, TaskKind
from vmie_tui.services.aws.errors import aws_call
from vmie_tui.services.aws.parameters import tags_of

Json = Mapping[str, Any]
_PROGRESS = re.compile(r"Progress:\s*(\d+)\s*%")
_HOSTED = re.compile(r"\.s3[.-][a-z0-9]")  # behind a bucket's name in its own host name


def progress_of(value: Any) -> int | None:
    """A percentage from "62", 62, "62%" or nothing (trap 39)."""
    number = number_of(str(value).rstrip("% ")) if value is not None else None
    return None if number is None else max(0, min(100, int(number)))


def number_of(value: Any) -> float | None:
    """Bytes from 705638400.0, "0.0" or "3.115815424E9"; None for nothing or nonsense."""
    if value is None or value == "":
        return None
    with contextlib.suppress(TypeError, ValueError):
        return float(value)
    return None


def disk_of(data: Json) -> TaskDisk:
    """One entry of SnapshotDetails, or a SnapshotTaskDetail."""
    bucket = data.get("UserBucket") or {}
    return TaskDisk(
        format=str(data.get("Format") or ""),
        bucket=str(bucket.get("S3Bucket") or ""),
        key=str(bucket.get("S3Key") or ""),
        snapshot_id=str(data.get("SnapshotId") or ""),
        image_size=number_of(data.get("DiskImageSize")),
        status=str(data.get("Status") or ""),
        status_message=str(data.get("StatusMessage") or ""),
        progress=progress_of(data.get("Progress")),
    )


def _task(kind: TaskKind, id_name: str, data: Json, region: str, **values: Any) -> Task:
    told = {
        "state": str(data.get("State") or data.get("Status") or ""),
        "status_message": str(data.get("StatusMessage") or ""),
        "description": str(data.get("Description") or ""),
        **values,
    }
    return Task(kind, str(data.get(id_name) or ""), region=region, tags=tags_of(data), raw=raw_of(data), **told)


def image_task(data: Json, region: str) -> Task:
    """A task from ImportImage or DescribeImportImageTasks."""
    return _task(
        TaskKind.IMPORT_IMAGE,
        "ImportTaskId",
        data,
        region,
        progress=progress_of(data.get("Progress")),
        image_id=str(data.get("ImageId") or ""),
        disks=tuple(disk_of(disk) for disk in data.get("SnapshotDetails") or ()),
    )


def snapshot_task(data: Json, region: str) -> Task:
    """A task from ImportSnapshot or DescribeImportSnapshotTasks."""
    detail = data.get("SnapshotTaskDetail") or {}
    disk = disk_of(detail)
    return _task(
        TaskKind.IMPORT_SNAPSHOT,
        "ImportTaskId",
        data,
        region,
        state=disk.status,
        status_message=disk.status_message,
        progress=disk.progress,
        description=str(data.get("Description") or detail.get("Description") or ""),
        disks=(disk,),
    )


def conversion_task(data: Json, region: str) -> Task:
    """A task from ImportInstance, ImportVolume or DescribeConversionTasks.

    AWS gives no percentage of its own; it is told from the bytes converted, or from "Progress: 12%".
    """
    instance, volume = data.get("ImportInstance") or {}, data.get("ImportVolume") or {}
    entries = list(instance.get("Volumes") or ([volume] if volume else ()))
    disks = tuple(_conversion_disk(entry) for entry in entries)
    state, message = str(data.get("State") or ""), str(data.get("StatusMessage") or "")
    told = _PROGRESS.search(message)
    shares = [disk.progress for disk in disks if disk.progress is not None]
    return _task(
        TaskKind.CONVERSION,
        "ConversionTaskId",
        data,
        region,
        state=state,
        progress=None if state != "active" else progress_of(told[1]) if told else min(shares, default=None),
        description=str(instance.get("Description") or volume.get("Description") or ""),
        disks=disks,
        instance_id=str(instance.get("InstanceId") or ""),
        volume_ids=tuple(ident for entry in entries if (ident := str((entry.get("Volume") or {}).get("Id") or ""))),
    )


def _conversion_disk(data: Json) -> TaskDisk:
    """One volume of a conversion. Bucket and key are those of its manifest, as far as the URL tells."""
    image = data.get("Image") or {}
    bucket, key = place_of(str(image.get("ImportManifestUrl") or ""))
    size, done = number_of(image.get("Size")), number_of(data.get("BytesConverted"))
    return TaskDisk(
        format=str(image.get("Format") or ""),
        bucket=bucket,
        key=key,
        image_size=size,
        status=str(data.get("Status") or ""),
        status_message=str(data.get("StatusMessage") or ""),
        progress=progress_of(int(100 * done / size)) if size and done is not None else None,
    )


def export_instance_task(data: Json, region: str) -> Task:
    """A task from CreateInstanceExportTask or DescribeExportTasks; AWS gives no percentage, and names the whole key."""
    place, details = data.get("ExportToS3Task") or {}, data.get("InstanceExportDetails") or {}
    form = str(place.get("ContainerFormat") or place.get("DiskImageFormat") or "")
    return _task(
        TaskKind.EXPORT_INSTANCE,
        "ExportTaskId",
        data,
        region,
        disks=(TaskDisk(form.upper(), str(place.get("S3Bucket") or ""), str(place.get("S3Key") or "")),),
        instance_id=str(details.get("InstanceId") or ""),
    )


def export_image_task(data: Json, region: str) -> Task:
    """A task from ExportImage or DescribeExportImageTasks. Only ExportImage names the format, so that the key lacks
    its extension in the others.
    """
    place = data.get("S3ExportLocation") or {}
    ident, form = str(data.get("ExportImageTaskId") or ""), str(data.get("DiskImageFormat") or "")
    key = f"{place.get('S3Prefix') or ''}{ident}{f'.{form.lower()}' if form else ''}"
    return _task(
        TaskKind.EXPORT_IMAGE,
        "ExportImageTaskId",
        data,
        region,
        progress=progress_of(data.get("Progress")),
        image_id=str(data.get("ImageId") or ""),
        disks=(TaskDisk(form.upper(), str(place.get("S3Bucket") or ""), key),),
    )


def place_of(url: str) -> tuple[str, str]:
    """(bucket, key) of an S3 URL, of either style; ("", "") when it is none."""
    parts = urlsplit(url)
    path = unquote(parts.path.lstrip("/"))
    host = parts.hostname or ""
    starts = [found.start() for found in _HOSTED.finditer(host)]
    if starts and starts[-1]:
        return host[: starts[-1]], path
    bucket, _, key = path.partition("/")
    return (bucket, key) if key else ("", "")


def raw_of(data: Json) -> dict[str, Any]:
    """AWS's response for the detail screen and the history, without metadata and without signatures in URLs."""
    return {key: unsigned(value) for key, value in data.items() if key != "ResponseMetadata"}


@dataclass(frozen=True, slots=True)
class TaskApi:
    """How EC2 lists the tasks of a kind: the client's ``operation``, the response ``member``, the ``ids`` parameter.

    ``paged`` operations take MaxResults, NextToken and the filter ``task-state`` (X09); the others answer at once.
    """

    operation: str
    member: str
    ids: str
    paged: bool
    parse: Callable[[Json, str], Task]


TASK_APIS = {
    TaskKind.IMPORT_IMAGE: TaskApi(
        "describe_import_image_tasks", "ImportImageTasks", "ImportTaskIds", True, image_task
    ),
    TaskKind.IMPORT_SNAPSHOT: TaskApi(
        "describe_import_snapshot_tasks", "ImportSnapshotTasks", "ImportTaskIds", True, snapshot_task
    ),
    TaskKind.EXPORT_INSTANCE: TaskApi(
        "describe_export_tasks", "ExportTasks", "ExportTaskIds", False, export_instance_task
    ),
    TaskKind.EXPORT_IMAGE: TaskApi(
        "describe_export_image_tasks", "ExportImageTasks", "ExportImageTaskIds", True, export_image_task
    ),
    TaskKind.CONVERSION: TaskApi(
        "describe_conversion_tasks", "ConversionTasks", "ConversionTaskIds", False, conversion_task
    ),
}
_PREFIXES = (
    ("import-ami-", TaskKind.IMPORT_IMAGE),
    ("import-snap-", TaskKind.IMPORT_SNAPSHOT),
    ("export-ami-", TaskKind.EXPORT_IMAGE),
    ("export-i-", TaskKind.EXPORT_INSTANCE),
    ("import-i-", TaskKind.CONVERSION),
    ("import-vol-", TaskKind.CONVERSION),
)


def task_kind(task_id: str) -> TaskKind:
    """The kind of task an id belongs to; ServiceError INVALID for any other id."""
    for prefix, kind in _PREFIXES:
        if task_id.startswith(prefix):
            return kind
    raise ServiceError(
        ErrorKind.INVALID,
        "this is not the id of a task",
        subject=task_id,
        remedy=f"Ids begin with {', '.join(prefix for prefix, _ in _PREFIXES)}",
    )


def forgotten(task_id: str) -> ServiceError:
    """The error for a task that AWS does not know, or no longer knows (after about 7 days, trap 33)."""
    return ServiceError(
        ErrorKind.NOT_FOUND,
        "AWS knows no such task",
        subject=task_id,
        remedy="Check the id and the Region; AWS forgets tasks after about 7 days",
    )


def is_unknown(error: ServiceError) -> bool:
    """Whether AWS knows no task of this id; it reports a forgotten import's id as malformed."""
    return error.kind is ErrorKind.NOT_FOUND or error.problem.code.startswith("InvalidConversionTaskId")


def read_pages(client: Any, kind: TaskKind, region: str, **arguments: Any) -> Iterator[list[Task]]:
    """The tasks of a kind as EC2 pages them. Raises what botocore raises: callers say what they were doing."""
    api = TASK_APIS[kind]
    while True:
        answer = getattr(client, api.operation)(**arguments)
        yield [api.parse(item, region) for item in answer.get(api.member) or ()]
        token = answer.get("NextToken")
        if not token:
            return
        arguments = {**arguments, "NextToken": token}


def live_tasks(client: Any, kind: TaskKind, region: str) -> list[Task]:
    """The unfinished tasks of a kind, with as few requests as possible. Raises ServiceError."""
    wanted = {"Filters": [{"Name": "task-state", "Values": ["active"]}]} if TASK_APIS[kind].paged else {}
    with aws_call(f"look at the tasks ({kind.value})", region):
        pages = [*read_pages(client, kind, region, **wanted)]
    return [task for page in pages for task in page if not task.terminal]


def count_live(client: Any, region: str, kinds: Sequence[TaskKind]) -> tuple[int | None, tuple[TaskKind, ...]]:
    """(how many tasks of these kinds run in the Region, the kinds this profile may not list); None when it may none."""
    live, unread = 0, []
    for kind in kinds:
        try:
            live += len(live_tasks(client, kind, region))
        except ServiceError as error:
            if error.kind is not ErrorKind.PERMISSION:
                raise
            unread.append(kind)
    return (None if len(unread) == len(kinds) else live), tuple(unread)
