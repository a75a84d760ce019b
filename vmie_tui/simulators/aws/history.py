"""Past tasks of an account: started, completed, cancelled and failed.

They have no bytes: each is a line of time from which its view at this moment of the clock is made, so those that still
run go on, end, and are forgotten a week later like any other. They do not count against a Region's limit of tasks.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from vmie_tui.model.task import USER_CANCELLED, TaskKind
from vmie_tui.simulators.aws.export_tasks import PHASES as EXPORT_PHASES
from vmie_tui.simulators.aws.import_tasks import IMAGE_PHASES, SNAPSHOT_PHASES
from vmie_tui.simulators.aws.task_engine import CANCEL_SECONDS, KEPT_SECONDS, Phase
from vmie_tui.simulators.aws.task_lists import Listed, shown, tag_list
from vmie_tui.simulators.control import SimClock

EXPIRES_SECONDS = 7 * 86_400.0
CONVERSION_PHASES = (Phase("Pending", 15, 0, 0), Phase("Progress", 185, 0, 100))
PHASES: dict[TaskKind, Sequence[Phase]] = {
    TaskKind.IMPORT_IMAGE: IMAGE_PHASES,
    TaskKind.IMPORT_SNAPSHOT: SNAPSHOT_PHASES,
    TaskKind.EXPORT_INSTANCE: EXPORT_PHASES,
    TaskKind.EXPORT_IMAGE: EXPORT_PHASES,
    TaskKind.CONVERSION: CONVERSION_PHASES,
}
CANCELLED = {TaskKind.EXPORT_INSTANCE: "cancelled", TaskKind.CONVERSION: "cancelled"}  # of the others: deleted
CANCELLING = {TaskKind.EXPORT_INSTANCE: "cancelling", TaskKind.CONVERSION: "cancelling"}


@dataclass(frozen=True, slots=True)
class Moment:
    """Where a task is: its state, StatusMessage and progress in percent (None once it has ended)."""

    state: str
    message: str
    progress: int | None = None


@dataclass(slots=True)
class Past:
    """One task. ``seconds``: what it takes, or took until it failed; ``failure``: the StatusMessage it ends with.

    ``values`` are what its kind shows besides: Description, bucket, key, format, size, image, ...
    """

    kind: TaskKind
    id: str
    region: str
    created: float
    seconds: float
    failure: str = ""
    tags: dict[str, str] = field(default_factory=dict)
    values: dict[str, Any] = field(default_factory=dict)
    cancelled: float | None = None  # when somebody cancelled it

    @property
    def ends(self) -> float:
        return self.created + self.seconds if self.cancelled is None else self.cancelled + CANCEL_SECONDS

    def at(self, now: float) -> Moment:
        gone = CANCELLED.get(self.kind, "deleted")
        if now >= self.ends:
            if self.cancelled is not None:
                return Moment(gone, USER_CANCELLED)
            return Moment(gone, self.failure) if self.failure else Moment("completed", "")
        if self.cancelled is not None:
            return Moment(CANCELLING.get(self.kind, "deleting"), "")
        return self._running(max(0.0, now - self.created) / self.seconds)

    def _running(self, share: float) -> Moment:
        phases = PHASES[self.kind]
        at = share * sum(phase.seconds for phase in phases)
        for phase in phases:
            if at < phase.seconds:
                percent = int(phase.first + (phase.last - phase.first) * at / phase.seconds)
                return Moment("active", phase.message, percent)
            at -= phase.seconds
        return Moment("active", phases[-1].message, phases[-1].last)

    def view(self, now: float) -> dict[str, Any]:
        """As the describe call of its kind shows it."""
        return shown(_VIEWS[self.kind](self, self.at(now)) | {"Tags": tag_list(self.tags)})


class History:
    """The past tasks of one account, of every Region."""

    def __init__(self, clock: SimClock) -> None:
        self._clock, self._lock = clock, threading.Lock()
        self._tasks: dict[str, Past] = {}

    def add(self, tasks: Sequence[Past]) -> None:
        with self._lock:
            self._tasks.update((task.id, task) for task in sorted(tasks, key=lambda task: task.created))

    def every(self) -> list[Past]:
        """All of them, listed or not."""
        with self._lock:
            return list(self._tasks.values())

    def tasks(self, kind: TaskKind, region: str) -> list[Past]:
        """Those AWS still lists, oldest first."""
        now = self._clock.now()
        found = [task for task in self.every() if task.kind is kind and task.region == region]
        return [task for task in found if now - task.ends <= KEPT_SECONDS]

    def forgotten(self) -> list[Past]:
        """Those AWS no longer lists."""
        now = self._clock.now()
        return [task for task in self.every() if now - task.ends > KEPT_SECONDS]

    def listed(self, kind: TaskKind, region: str) -> list[Listed]:
        """For the describe call of the kind."""
        now = self._clock.now()

        def entry(task: Past) -> Listed:
            return Listed(task.id, task.at(now).state, lambda: task.tags, lambda: task.view(now))

        return [entry(task) for task in self.tasks(kind, region)]

    def find(self, ident: str, region: str, *kinds: TaskKind) -> Past | None:
        """Finds a task that is still listed by its id."""
        return next((task for kind in kinds for task in self.tasks(kind, region) if task.id == ident), None)

    def cancel(self, task: Past) -> tuple[str, str] | None:
        """(state before, state now); None when it is too late for that."""
        now = self._clock.now()
        before = task.at(now)
        final = before.progress is not None and task.kind in {TaskKind.EXPORT_IMAGE, TaskKind.EXPORT_INSTANCE}
        if before.state != "active" or (final and (before.progress or 0) > EXPORT_PHASES[-2].last):
            return None
        task.cancelled = now
        return before.state, task.at(now).state


# what each kind shows


def _place(task: Past) -> dict[str, Any] | None:
    bucket, key = task.values.get("bucket"), task.values.get("key")
    return {"S3Bucket": bucket, "S3Key": key} if bucket else None


def _progress(moment: Moment) -> str | None:
    return None if moment.progress is None else str(moment.progress)


def _import_image(task: Past, moment: Moment) -> dict[str, Any]:
    values, done = task.values, moment.state == "completed"
    detail = {
        "DeviceName": "/dev/sda1" if done else None,
        "DiskImageSize": float(values["size"]),
        "Format": values["format"],
        "SnapshotId": values["snapshot"] if done else None,
        "Status": "completed" if done else moment.state,
        "UserBucket": _place(task),
    }
    return {
        "ImportTaskId": task.id,
        "Architecture": "x86_64",
        "Description": values.get("description"),
        "Encrypted": False,
        "ImageId": values["image"] if done else None,
        "LicenseType": values.get("licence"),
        "Platform": values.get("platform"),
        "Progress": _progress(moment),
        "Status": moment.state,
        "StatusMessage": moment.message,
        "SnapshotDetails": [shown(detail)],
    }


def _import_snapshot(task: Past, moment: Moment) -> dict[str, Any]:
    values, done = task.values, moment.state == "completed"
    detail = {
        "Description": values.get("description"),
        "DiskImageSize": float(values["size"]),
        "Encrypted": False,
        "Format": values["format"],
        "Progress": _progress(moment),
        "SnapshotId": values["snapshot"] if done else None,
        "Status": moment.state,
        "StatusMessage": moment.message,
        "UserBucket": _place(task),
    }
    return {
        "ImportTaskId": task.id,
        "Description": values.get("description"),
        "SnapshotTaskDetail": shown(detail),
    }


def _export_instance(task: Past, moment: Moment) -> dict[str, Any]:
    values = task.values
    target = {"InstanceId": values["instance"], "TargetEnvironment": values["target"]}
    place = {
        "ContainerFormat": values.get("container"),
        "DiskImageFormat": values["format"],
        "S3Bucket": values["bucket"],
        "S3Key": values["key"],
    }
    return {
        "ExportTaskId": task.id,
        "Description": values.get("description"),
        "ExportToS3Task": shown(place),
        "InstanceExportDetails": target if moment.state != "active" else None,
        "State": moment.state,
        "StatusMessage": "" if moment.state == "active" else moment.message,
    }


def _export_image(task: Past, moment: Moment) -> dict[str, Any]:
    values = task.values
    return {
        "ExportImageTaskId": task.id,
        "Description": values.get("description"),
        "ImageId": values["image"] if moment.state == "completed" else None,
        "Progress": _progress(moment),
        "S3ExportLocation": {"S3Bucket": values["bucket"], "S3Prefix": values["prefix"]},
        "Status": moment.state,
        "StatusMessage": moment.message,
    }


def _conversion(task: Past, moment: Moment) -> dict[str, Any]:
    values, done = task.values, moment.state == "completed"
    percent = moment.progress if moment.progress is not None else 100 if done else 0
    message = f"Progress: {percent}%" if moment.message == "Progress" else moment.message
    volume = {
        "AvailabilityZone": f"{task.region}a",
        "BytesConverted": values["size"] * percent // 100,
        "Description": values.get("description"),
        "Image": {"Format": values["format"], "ImportManifestUrl": values["url"], "Size": values["size"]},
        "Volume": shown({"Id": values["volume"] if done else None, "Size": values["gib"]}),
    }
    found: dict[str, Any] = {
        "ConversionTaskId": task.id,
        "ExpirationTime": datetime.fromtimestamp(task.created + EXPIRES_SECONDS, UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "State": moment.state,
        "StatusMessage": message,
    }
    if not values.get("instance"):
        return found | {"ImportVolume": shown(volume)}
    instance = {
        "Description": values.get("description"),
        "InstanceId": values["instance"],
        "Platform": values.get("platform"),
        "Volumes": [shown({**volume, "Description": None, "Status": moment.state, "StatusMessage": message})],
    }
    return found | {"ImportInstance": shown(instance)}


_VIEWS = {
    TaskKind.IMPORT_IMAGE: _import_image,
    TaskKind.IMPORT_SNAPSHOT: _import_snapshot,
    TaskKind.EXPORT_INSTANCE: _export_instance,
    TaskKind.EXPORT_IMAGE: _export_image,
    TaskKind.CONVERSION: _conversion,
}
