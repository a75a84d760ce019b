"""AWS tasks and our jobs: their states and the only changes of state there are."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any


class TaskKind(StrEnum):
    """The five kinds of task EC2 keeps."""

    IMPORT_IMAGE = "import image"
    IMPORT_SNAPSHOT = "import snapshot"
    EXPORT_INSTANCE = "export instance"
    EXPORT_IMAGE = "export image"
    CONVERSION = "conversion"


USER_CANCELLED = "User initiated cancelation"


@dataclass(frozen=True, slots=True)
class TaskDisk:
    """One disk of a task."""

    format: str = ""
    bucket: str = ""
    key: str = ""
    snapshot_id: str = ""
    image_size: float | None = None  # bytes, as AWS counted them (trap 39)
    status: str = ""
    status_message: str = ""
    progress: int | None = None


@dataclass(frozen=True, slots=True)
class Task:
    """Any task of VM Import/Export in one shape."""

    kind: TaskKind
    id: str
    state: str  # AWS's own word (``tasks.toml``)
    status_message: str = ""
    progress: int | None = None  # 0 to 100; None when AWS says nothing, as of a task that is complete
    description: str = ""
    region: str = ""
    image_id: str = ""
    disks: tuple[TaskDisk, ...] = ()
    tags: dict[str, str] = field(default_factory=dict)
    raw: dict[str, Any] = field(default_factory=dict)
    instance_id: str = ""  # what a conversion makes
    volume_ids: tuple[str, ...] = ()

    @property
    def terminal(self) -> bool:
        return self.state in {"completed", "deleted", "cancelled"}

    @property
    def completed(self) -> bool:
        return self.state == "completed"

    @property
    def failed(self) -> bool:
        """Ended without success and not by a user: AWS has no such state, failures end as deleted (trap 33)."""
        return self.terminal and not self.completed and bool(self.reason) and USER_CANCELLED not in self.reason

    @property
    def reason(self) -> str:
        """AWS's words for the state: the task's message, else the first disk's."""
        return self.status_message or next((d.status_message for d in self.disks if d.status_message), "")


class JobState(StrEnum):
    QUEUED = "queued"
    RUNNING = "running"
    PAUSED = "paused"
    NEEDS_LOGIN = "needs login"
    CANCELLING = "cancelling"
    CANCELLED = "cancelled"
    FAILED = "failed"
    DONE = "done"

    @property
    def terminal(self) -> bool:
        return not JOB_TRANSITIONS[self]

    @property
    def live(self) -> bool:
        """Something is, or will be, happening without the user."""
        return self in {JobState.QUEUED, JobState.RUNNING, JobState.CANCELLING}


_S = JobState
JOB_TRANSITIONS: dict[JobState, frozenset[JobState]] = {
    _S.QUEUED: frozenset({_S.RUNNING, _S.PAUSED, _S.CANCELLING, _S.CANCELLED, _S.FAILED}),
    _S.RUNNING: frozenset({_S.QUEUED, _S.PAUSED, _S.NEEDS_LOGIN, _S.CANCELLING, _S.CANCELLED, _S.FAILED, _S.DONE}),
    _S.PAUSED: frozenset({_S.QUEUED, _S.RUNNING, _S.CANCELLING, _S.CANCELLED}),
    _S.NEEDS_LOGIN: frozenset({_S.QUEUED, _S.RUNNING, _S.CANCELLING, _S.CANCELLED}),
    _S.CANCELLING: frozenset({_S.CANCELLED, _S.FAILED, _S.DONE}),
    _S.FAILED: frozenset({_S.QUEUED, _S.CANCELLING}),  # the user retries, or gives it up: then S3 is cleaned too
    _S.CANCELLED: frozenset(),
    _S.DONE: frozenset(),
}


def may_become(old: JobState, new: JobState) -> bool:
    """Whether a job in state ``old`` may be put into state ``new``; staying put is always allowed."""
    return old is new or new in JOB_TRANSITIONS[old]
