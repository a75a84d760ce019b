"""Import tasks as EC2 describes them, read into the one model type; tolerant of every way the guides print a number."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import unquote, urlsplit

from vmie_tui.model.task import Task, TaskDisk, TaskKind

Json = Mapping[str, Any]
_PROGRESS = re.compile(r"Progress:\s*(\d+)\s*%")
_HOSTED = re.compile(r"(.+)\.s3[.-][a-z0-9.-]+$")  # a bucket's own host name


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


def tags_of(data: Json) -> dict[str, str]:
    return {str(tag["Key"]): str(tag.get("Value", "")) for tag in data.get("Tags") or ()}


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


def image_task(data: Json, region: str) -> Task:
    """A task from ImportImage or DescribeImportImageTasks."""
    return Task(
        TaskKind.IMPORT_IMAGE,
        str(data.get("ImportTaskId") or ""),
        str(data.get("Status") or ""),
        status_message=str(data.get("StatusMessage") or ""),
        progress=progress_of(data.get("Progress")),
        description=str(data.get("Description") or ""),
        region=region,
        image_id=str(data.get("ImageId") or ""),
        disks=tuple(disk_of(disk) for disk in data.get("SnapshotDetails") or ()),
        tags=tags_of(data),
        raw=raw_of(data),
    )


def snapshot_task(data: Json, region: str) -> Task:
    """A task from ImportSnapshot or DescribeImportSnapshotTasks."""
    detail = data.get("SnapshotTaskDetail") or {}
    disk = disk_of(detail)
    return Task(
        TaskKind.IMPORT_SNAPSHOT,
        str(data.get("ImportTaskId") or ""),
        disk.status,
        status_message=disk.status_message,
        progress=disk.progress,
        description=str(data.get("Description") or detail.get("Description") or ""),
        region=region,
        disks=(disk,),
        tags=tags_of(data),
        raw=raw_of(data),
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
    return Task(
        TaskKind.CONVERSION,
        str(data.get("ConversionTaskId") or ""),
        state,
        status_message=message,
        progress=None if state != "active" else progress_of(told[1]) if told else min(shares, default=None),
        description=str(instance.get("Description") or volume.get("Description") or ""),
        region=region,
        disks=disks,
        tags=tags_of(data),
        raw=raw_of(data),
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


def place_of(url: str) -> tuple[str, str]:
    """(bucket, key) of an S3 URL, of either style; ("", "") when it is none."""
    parts = urlsplit(url)
    path = unquote(parts.path.lstrip("/"))
    hosted = _HOSTED.match(parts.hostname or "")
    if hosted:
        return hosted[1], path
    bucket, _, key = path.partition("/")
    return (bucket, key) if key else ("", "")


def raw_of(data: Json) -> dict[str, Any]:
    """What AWS said, for the detail screen, without the envelope."""
    return {key: value for key, value in data.items() if key != "ResponseMetadata"}
