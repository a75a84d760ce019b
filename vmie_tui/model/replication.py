"""Replication of running machines: what the user decides, what is recorded of it, and the words of Server Migration
Service for it (F386 to F449). Times are seconds since the epoch; a job's clock may be a simulated one.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from vmie_tui.model.formatting import duration, minutes, one_line, size
from vmie_tui.model.plan import ImportPlan

TAG_REPLICATION, TAG_RUN = "vmie-tui:replication", "vmie-tui:run"  # on all that a run makes, beside the import's tags
JOB_PREFIX = "sms-job-"  # of the ids of replications, as the service had them


class ReplicationState(StrEnum):
    """States of a replication job, as the service named them. A pause by the user is no state: see `paused`."""

    PENDING = "PENDING"  # its first run is still to come
    ACTIVE = "ACTIVE"
    FAILED = "FAILED"  # a one-time migration that failed
    PAUSED_ON_FAILURE = "PAUSED_ON_FAILURE"  # several runs failed one after another: the user must look
    COMPLETED = "COMPLETED"  # a one-time migration that is done, or the VM's days are over
    DELETING = "DELETING"
    DELETED = "DELETED"

    @property
    def counts(self) -> bool:
        """Whether it is one of the VMs that an account migrates at once (F388)."""
        return self in {ReplicationState.PENDING, ReplicationState.ACTIVE, ReplicationState.PAUSED_ON_FAILURE}

    @property
    def runnable(self) -> bool:
        """Whether a run beside the schedule can be asked for."""
        return self.counts or self is ReplicationState.FAILED


class RunState(StrEnum):
    """States of a replication run (F444)."""

    PENDING = "PENDING"
    MISSED = "MISSED"  # never started: see the run's message
    ACTIVE = "ACTIVE"
    FAILED = "FAILED"
    COMPLETED = "COMPLETED"
    DELETING = "DELETING"
    DELETED = "DELETED"

    @property
    def over(self) -> bool:
        return self not in {RunState.PENDING, RunState.ACTIVE, RunState.DELETING}


class RunType(StrEnum):
    AUTOMATIC = "AUTOMATIC"
    ON_DEMAND = "ON_DEMAND"


class CatalogueStatus(StrEnum):
    """States of the server catalogue (F428). NOT_IMPORTED, DELETED and EXPIRED all mean that it holds no servers."""

    NOT_IMPORTED = "NOT_IMPORTED"
    IMPORTING = "IMPORTING"
    AVAILABLE = "AVAILABLE"
    DELETED = "DELETED"
    EXPIRED = "EXPIRED"  # it is of another vCenter than the profile's


class Sync(StrEnum):
    """How a run finds out what to move of a disk."""

    FIRST = "first copy"  # all allocated areas, into a snapshot without a parent
    CHANGED = "changed blocks"  # what changed block tracking names, on the last run's snapshot
    FULL = "full resync"  # as the first copy, because the tracking cannot be trusted
    CHECKSUM = "checksum resync"  # all is read, only blocks whose SHA-256 differs are written


class Verify(StrEnum):
    """What is read back after the copy, and compared with the frozen machine."""

    NONE = "none"
    SAMPLE = "sample"
    ALL = "all"


@dataclass(frozen=True, slots=True)
class ReplicationPlan(ImportPlan):
    """One run: an import of the machine as it is now, on top of what the last run left in AWS."""

    replication: str = ""
    run: str = ""
    resync: Sync | None = None  # `Sync.FULL` or `Sync.CHECKSUM` where the user asked for one
    verify: Verify = Verify.SAMPLE
    shut_down: bool = False  # a cutover's final run: shut the guest down; `test_launch` takes its place

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> ReplicationPlan:
        """Inverse of `to_json`; raises KeyError, TypeError or ValueError for what is no plan."""
        resync = data.get("resync")
        return super(ReplicationPlan, cls).from_json(  # type: ignore[return-value]
            {**data, "resync": Sync(resync) if resync else None, "verify": Verify(data["verify"])}
        )


@dataclass(frozen=True, slots=True)
class Replication:
    """What the user decides for a replication job."""

    plan: ImportPlan  # its route is image-direct (AWS converts), or unmodified through EBS
    start: float  # of the first run
    every_hours: int = 0  # 0: a one-time migration
    keep: int = 0  # newest AMIs that stay; 0: all
    verify: Verify = Verify.SAMPLE
    group: str = ""  # servers that are started together
    order: int = 0  # within the group: lower ones first

    @property
    def once(self) -> bool:
        return self.every_hours == 0

    def to_json(self) -> dict[str, Any]:
        return {**asdict(self), "plan": self.plan.to_json()}

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Replication:
        """Inverse of `to_json`; raises KeyError, TypeError or ValueError for what is none."""
        return cls(**{**data, "plan": ImportPlan.from_json(data["plan"]), "verify": Verify(data["verify"])})


@dataclass(frozen=True, slots=True)
class KeptDisk:
    """What a completed run left of one disk, for the next run to go on from."""

    key: int
    uuid: str
    capacity: int
    change_id: str  # of the vSphere snapshot copied; "" where changes were not tracked (trap 25)
    snapshot_id: str  # the EBS snapshot with that content, the next one's parent
    encrypted: bool = False

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True, slots=True)
class RunFigures:
    """What a run moved."""

    sync: Sync = Sync.FIRST  # of the disk with most to move
    reason: str = ""  # why it was no `Sync.CHANGED`
    changed: int = 0  # bytes that vCenter names as changed, or allocated
    moved: int = 0  # bytes put into EBS, in whole 512 KiB blocks
    total: int = 0  # capacity of the disks
    seconds: float = 0.0  # of copying alone
    overhead: float = 0.0  # seconds of the rest: snapshots, AMI
    quiesced: bool | None = None
    verified: int = 0  # blocks read back and found equal
    frozen: float = 0.0  # when the machine's snapshot was made

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> RunFigures:
        return cls(**{**data, "sync": Sync(data["sync"])})


@dataclass(frozen=True, slots=True)
class Run:
    """One replication run."""

    id: str
    replication_id: str
    type: RunType
    state: RunState
    scheduled: float  # when it was due
    message: str = ""
    job_id: str = ""  # of the job that carries it out; "" when missed or still waiting
    started: float | None = None
    completed: float | None = None
    image_id: str = ""
    image_gone: bool = False  # by the retention: the AMI was deregistered
    fraction: float | None = None  # 0 to 1 of a run at work
    rate: float = 0.0
    eta_seconds: float | None = None
    cutover: bool = False
    instance_id: str = ""  # what a cutover launched
    figures: RunFigures | None = None

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True, slots=True)
class ReplicationView:
    """A replication job at one moment."""

    id: str
    spec: Replication
    state: ReplicationState
    created: float
    now: float
    paused: bool = False
    next_run: float | None = None  # None: nothing is scheduled
    message: str = ""
    first: float | None = None  # start of the VM's first replication ever, by whichever job
    ends: float | None = None  # of its days (F389)
    extended_days: int = 0  # after the documented number
    days: int = 0  # the documented number and those the user asked for
    terminated: bool = False  # replicationJobTerminated: the VM's days were over
    runs: tuple[Run, ...] = ()  # newest first

    @property
    def name(self) -> str:
        return self.spec.plan.source.name

    @property
    def day(self) -> int:
        """Which of its days it is, from 1; 0 before the first run."""
        return 0 if self.first is None else max(int((self.now - self.first) // 86_400) + 1, 1)

    @property
    def current(self) -> Run | None:
        """The run that is at work or waits for its turn."""
        return next((run for run in self.runs if not run.state.over), None)

    @property
    def last(self) -> Run | None:
        """The newest run that is over."""
        return next((run for run in self.runs if run.state.over), None)

    @property
    def cut_over(self) -> Run | None:
        """The newest cutover that is over, whatever came of it: the machine may have been shut down for it."""
        over = (run for run in self.runs if run.cutover and run.state.over and run.state is not RunState.MISSED)
        return next(over, None)

    @property
    def images(self) -> tuple[str, ...]:
        """AMIs that are kept, newest first."""
        return tuple(run.image_id for run in self.runs if run.image_id and not run.image_gone)

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values, with what is derived from them."""
        return {
            **asdict(self),
            "spec": self.spec.to_json(),
            "name": self.name,
            "day": self.day,
            "images": list(self.images),
        }


@dataclass(frozen=True, slots=True)
class Server:
    """An entry of the catalogue (F427)."""

    server_id: str
    moid: str
    instance_uuid: str
    name: str
    path: str
    manager: str  # the vCenter's name
    replication_id: str = ""
    terminated: bool = False
    server_type: str = "VIRTUAL_MACHINE"
    manager_type: str = "vSphere"

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Catalogue:
    """The servers of a profile's vCenter."""

    status: CatalogueStatus = CatalogueStatus.NOT_IMPORTED
    modified: float | None = None  # None: never imported
    servers: tuple[Server, ...] = field(default=())

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


# -- in words, the same in the command line and on the screens; nothing of it is taken as markup

NOTHING = "–"


def members_of(views: Iterable[ReplicationView], group: str) -> tuple[ReplicationView, ...]:
    """All of a group in the order they are started in; none for no group."""
    found = [view for view in views if group and view.spec.group == group]
    return tuple(sorted(found, key=lambda view: (view.spec.order, view.name.casefold())))


def runnable_members(views: Iterable[ReplicationView], group: str) -> tuple[ReplicationView, ...]:
    """Those of the group that are started with it."""
    return tuple(view for view in members_of(views, group) if view.state.runnable)


def stamp(at: float) -> str:
    """A moment in the user's zone, with its offset: ``2026-11-21 18:10 +0100``; a dash for what is beyond a date."""
    try:
        return f"{datetime.fromtimestamp(at, UTC).astimezone():%Y-%m-%d %H:%M %z}"
    except (OverflowError, OSError, ValueError):
        return NOTHING


def until(at: float, now: float) -> str:
    """``in 3 h 10 min``, ``now``, ``20 min ago``."""
    if abs(at - now) < 1:
        return "now"
    return f"in {duration(at - now)}" if at > now else f"{duration(now - at)} ago"


def every_words(spec: Replication) -> str:
    """``12 h`` or ``once``."""
    return "once" if spec.once else f"{spec.every_hours} h"


def state_words(view: ReplicationView) -> str:
    """The job's state in the service's word, and what the user or the days made of it."""
    parts = [view.state.value.lower().replace("_", " ")]
    if view.terminated:
        parts.append("days over")
    if view.paused and view.state in {ReplicationState.PENDING, ReplicationState.ACTIVE}:
        parts.append("paused")
    return ", ".join(parts)


def next_words(view: ReplicationView) -> str:
    """When its next run starts: ``in 3 h 10 min``, ``due``; a dash when nothing is scheduled, or it is paused."""
    if view.next_run is None or view.paused or not view.state.counts:
        return NOTHING
    return until(view.next_run, view.now) if view.next_run > view.now else "due"


def moved_words(run: Run) -> str:
    """What a run moved: ``41 MiB in 0:52``; "" before it is known."""
    figures = run.figures
    if figures is None:
        return ""
    took = figures.seconds + figures.overhead
    return f"{size(figures.moved)} in {minutes(took)}" if took >= 1 else size(figures.moved)


def changed_words(run: Run) -> str:
    """``changed 1.2 GiB of 200 GiB``, and how it was found out where that was not by the tracking."""
    figures = run.figures
    if figures is None or not figures.total:
        return ""
    return f"changed {size(figures.changed)} of {size(figures.total)}"


def type_words(run: Run) -> str:
    """``automatic``, ``on demand``, ``cutover``."""
    return "cutover" if run.cutover else run.type.value.lower().replace("_", " ")


def outcome_words(run: Run) -> str:
    """How a run stands, in a few words: what it moved, how far it is, why it did not start."""
    if run.state is RunState.COMPLETED:
        return moved_words(run) or "completed"
    if run.state is RunState.ACTIVE:
        parts = (run.state.value.lower(), "" if run.fraction is None else f"{int(run.fraction * 100)}%")
        return " ".join(part for part in parts if part)
    return run.state.value.lower()


def last_words(view: ReplicationView) -> str:
    """The run at work, or else the last one that is over; a dash before the first."""
    run = view.current or view.last
    return outcome_words(run) if run is not None else NOTHING


def kept_words(view: ReplicationView) -> str:
    """``3 of 5`` AMIs; without a limit their number alone."""
    there = len(view.images)
    return f"{there} of {view.spec.keep}" if view.spec.keep else str(there)


def day_words(view: ReplicationView) -> str:
    """``12/90``; a dash before the VM's first run, for its days begin with it."""
    return NOTHING if view.first is None else f"{view.day}/{view.days}"


def message_of(run: Run) -> str:
    """What the run says, on one line."""
    return one_line(run.message)
