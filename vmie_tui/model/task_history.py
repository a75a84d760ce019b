"""Tasks as they were seen over time: what was observed when, how long each phase took, and how to look for some."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from vmie_tui.model.task import Task, TaskDisk, TaskKind

_PERCENT = re.compile(r"\d{1,3}\s?%$")  # conversion tasks say "Progress: 4%": one phase, not a hundred


class Outcome(StrEnum):
    """What became of a task, in one word; AWS itself has no word for failed (trap 33)."""

    ACTIVE = "active"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"


def outcome(task: Task) -> Outcome:
    if not task.terminal:
        return Outcome.ACTIVE
    if task.completed:
        return Outcome.COMPLETED
    return Outcome.FAILED if task.failed else Outcome.CANCELLED


def phase_of(task: Task) -> str:
    """What AWS is doing with it: its own message while the task is active, else the state."""
    if task.terminal:
        return task.state
    without = _PERCENT.sub("", task.reason.rstrip())
    return (task.reason if without == task.reason.rstrip() else _bare(without)) or task.state


def _bare(text: str) -> str:
    """Without the colon and the blanks in front of the percentage that was there."""
    end = len(text)
    while end and (text[end - 1] == ":" or text[end - 1].isspace()):
        end -= 1
    return text[:end]


@dataclass(frozen=True, slots=True)
class Change:
    """A reading that differed from the one before; times are aware."""

    at: datetime
    until: datetime  # when it was last seen unchanged
    state: str
    phase: str
    progress: int | None = None

    def to_json(self) -> dict[str, Any]:
        return {**asdict(self), "at": self.at.isoformat(), "until": self.until.isoformat()}


@dataclass(frozen=True, slots=True)
class TaskRecord:
    """A task, the profile that saw it, and everything that was seen of it."""

    profile: str
    task: Task
    first_seen: datetime
    last_seen: datetime
    changes: tuple[Change, ...] = ()
    forgotten: bool = False  # AWS no longer lists it (after about 7 days): what is known is all there will be

    @property
    def key(self) -> tuple[str, str, str]:
        return self.profile, self.task.region, self.task.id

    @property
    def reading(self) -> tuple[str, str, int | None]:
        """What AWS says of it; while this stays the same, there is nothing to tell anew."""
        return self.task.state, self.task.reason, self.task.progress

    @property
    def outcome(self) -> Outcome:
        return outcome(self.task)

    @property
    def live(self) -> bool:
        """Whether anything about it can still change."""
        return not self.task.terminal and not self.forgotten

    def to_json(self) -> dict[str, Any]:
        return {
            "profile": self.profile,
            "outcome": self.outcome.value,
            "forgotten": self.forgotten,
            "first_seen": self.first_seen.isoformat(),
            "last_seen": self.last_seen.isoformat(),
            "changes": [change.to_json() for change in self.changes],
            **task_to_json(self.task),
        }


@dataclass(frozen=True, slots=True)
class PhaseTime:
    """How long a phase took, or takes so far, and how long it usually does."""

    phase: str
    begun: datetime
    seconds: float
    over: bool
    usual: float | None = None  # seconds; None: not known yet
    samples: int = 0

    @property
    def slow(self) -> bool:
        """Twice the usual time and a minute longer, judged by at least three others."""
        return self.usual is not None and self.samples >= 3 and self.seconds > 2 * self.usual + 60

    def to_json(self) -> dict[str, Any]:
        return {**asdict(self), "begun": self.begun.isoformat(), "slow": self.slow}


def phases(
    record: TaskRecord, now: datetime, usual: Callable[[TaskKind, str], tuple[float | None, int]]
) -> tuple[PhaseTime, ...]:
    """The phases the task went through, in their order; the last one of a live task goes on until ``now``."""
    begun: list[tuple[str, datetime]] = []
    for change in record.changes:
        if not begun or begun[-1][0] != change.phase:
            begun.append((change.phase, change.at))
    found = []
    for index, (phase, start) in enumerate(begun):
        last = index + 1 == len(begun)
        if last and record.task.terminal:
            break  # an end takes no time
        end = now if last and record.live else record.last_seen if last else begun[index + 1][1]
        median, count = usual(record.task.kind, phase)
        found.append(PhaseTime(phase, start, (end - start).total_seconds(), not last, median, count))
    return tuple(found)


# -- JSON


def task_to_json(task: Task) -> dict[str, Any]:
    """Plain values; ``raw`` is what AWS said."""
    return {**asdict(task), "kind": task.kind.value}


def task_from_json(data: dict[str, Any]) -> Task:
    """Inverse of `task_to_json`; unknown keys of a newer version are left out."""
    known = {name: data[name] for name in Task.__slots__ if name in data}
    disks = tuple(TaskDisk(**disk) for disk in data.get("disks", ()))
    volumes = tuple(data.get("volume_ids", ()))
    return Task(**{**known, "kind": TaskKind(data["kind"]), "disks": disks, "volume_ids": volumes})


# -- looking for some


class SortBy(StrEnum):
    AGE = "age"  # what runs, then the newest first
    STATE = "state"
    KIND = "kind"
    REGION = "region"
    PROGRESS = "progress"
    ID = "id"


@dataclass(frozen=True, slots=True)
class TaskQuery:
    """Which tasks are wanted, and in which order; what is empty wants all."""

    kinds: frozenset[TaskKind] = frozenset()
    states: frozenset[str] = frozenset()  # outcomes, or AWS's own words
    regions: frozenset[str] = frozenset()
    max_age: timedelta | None = None  # since the task was last seen to change
    text: str = ""  # terms that must all be found; ``!`` before those that must not
    tags: tuple[str, ...] = ()  # ``key`` or ``key=value``
    sort: SortBy = SortBy.AGE
    reverse: bool = False

    def matches(self, record: TaskRecord, now: datetime) -> bool:
        task = record.task
        return (
            (not self.kinds or task.kind in self.kinds)
            and (not self.states or task.state in self.states or record.outcome.value in self.states)
            and (not self.regions or task.region in self.regions)
            and (self.max_age is None or now - _changed(record) <= self.max_age)
            and all(_tagged(task, wanted) for wanted in self.tags)
            and self._finds(record)
        )

    def _finds(self, record: TaskRecord) -> bool:
        terms = self.text.lower().split()
        words = _words(record) if terms else ""
        return all((term[1:] not in words) if term[0] == "!" and len(term) > 1 else term in words for term in terms)

    def apply(self, records: Iterable[TaskRecord], now: datetime) -> tuple[TaskRecord, ...]:
        found = [record for record in records if self.matches(record, now)]
        found.sort(key=lambda record: record.key)
        found.sort(key=_ORDERS[self.sort], reverse=self.reverse)
        return tuple(found)


def _changed(record: TaskRecord) -> datetime:
    return record.changes[-1].at if record.changes else record.first_seen


def _tagged(task: Task, wanted: str) -> bool:
    key, equals, value = wanted.partition("=")
    return key in task.tags and (not equals or task.tags[key] == value)


def _words(record: TaskRecord) -> str:
    task = record.task
    parts = [record.profile, task.region, task.id, task.kind.value, task.state, record.outcome.value]
    parts += [task.description, task.reason, task.image_id, task.instance_id, *task.volume_ids]
    parts += [text for disk in task.disks for text in (disk.bucket, disk.key, disk.snapshot_id, disk.format)]
    parts += [f"{key}={value}" for key, value in task.tags.items()]
    return "\n".join(parts).lower()


_STATES = {Outcome.ACTIVE: 0, Outcome.FAILED: 1, Outcome.CANCELLED: 2, Outcome.COMPLETED: 3}
_ORDERS: dict[SortBy, Callable[[TaskRecord], Any]] = {
    SortBy.AGE: lambda record: (not record.live, -record.first_seen.timestamp()),
    SortBy.STATE: lambda record: _STATES[record.outcome],
    SortBy.KIND: lambda record: record.task.kind.value,
    SortBy.REGION: lambda record: (record.task.region, record.profile),
    SortBy.PROGRESS: lambda record: -1 if record.task.progress is None else record.task.progress,
    SortBy.ID: lambda record: record.task.id,
}
