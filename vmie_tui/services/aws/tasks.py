"""Import tasks as EC2 describes them, read into the one model type; tolerant of every way the guides print a number."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from typing import Any

from vmie_tui.model.task import Task, TaskDisk, TaskKind

Json = Mapping[str, Any]


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


def raw_of(data: Json) -> dict[str, Any]:
    """What AWS said, for the detail screen, without the envelope."""
    return {key: value for key, value in data.items() if key != "ResponseMetadata"}
