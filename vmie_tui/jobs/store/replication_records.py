"""Rows of the replication tables as values."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

import sqlalchemy as sa

from vmie_tui.jobs.store import schema
from vmie_tui.jobs.store.ledger import RunLedger
from vmie_tui.jobs.store.rows import typed
from vmie_tui.model.plan import TestLaunch
from vmie_tui.model.replication import (
    KeptDisk,
    Replication,
    ReplicationState,
    Run,
    RunFigures,
    RunState,
    RunType,
    Sync,
    Verify,
)
from vmie_tui.model.task import JobState

OVER = frozenset({JobState.DONE, JobState.FAILED, JobState.CANCELLED})  # nothing moves before the user says so
_BY_JOB = {
    JobState.QUEUED: RunState.PENDING,
    JobState.RUNNING: RunState.ACTIVE,
    JobState.PAUSED: RunState.ACTIVE,
    JobState.NEEDS_LOGIN: RunState.ACTIVE,
    JobState.FAILED: RunState.FAILED,
    JobState.DONE: RunState.COMPLETED,
    JobState.CANCELLING: RunState.DELETING,
    JobState.CANCELLED: RunState.DELETED,
}


@dataclass(frozen=True, slots=True)
class Wish:
    """What a run was asked to do besides its replication's own settings."""

    resync: Sync | None = None
    verify: Verify | None = None
    cutover: TestLaunch | None = None

    def to_json(self) -> dict[str, Any]:
        return {key: value for key, value in asdict(self).items() if value is not None}

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Wish:
        resync, verify, cutover = data.get("resync"), data.get("verify"), data.get("cutover")
        return cls(
            Sync(resync) if resync else None,
            Verify(verify) if verify else None,
            TestLaunch(**cutover) if cutover is not None else None,
        )


@dataclass(frozen=True, slots=True)
class ReplicationRecord:
    """A replication as the worker needs it. ``vm``: vCenter and instance UUID; ``failures``: in a row."""

    id: str
    profile: str
    account: str
    vm: str
    state: ReplicationState
    paused: bool
    terminated: bool
    created: float
    next_run: float | None
    failures: int
    message: str
    spec: Replication
    kept: tuple[KeptDisk, ...] = ()


@dataclass(frozen=True, slots=True)
class RunRecord:
    """A run with the state of its job; ``job`` None when there is none (yet). ``settled``: how it ended, once noted."""

    id: str
    replication_id: str
    type: RunType
    scheduled: float
    asked: float
    job_id: str
    job: JobState | None
    after: tuple[str, ...]
    missed: str
    settled: str
    wish: Wish = field(default_factory=Wish)

    @property
    def state(self) -> RunState:
        return run_state(self.missed, self.job_id, self.job, self.settled)


def run_state(missed: str, job_id: str, job: JobState | None, settled: str) -> RunState:
    """A run's state in the words of the service (F444). One that failed stays so when its leftovers are removed."""
    if missed:
        return RunState.MISSED
    if not job_id:
        return RunState.PENDING
    if job is None:
        return RunState.DELETED
    if settled == JobState.FAILED and job in {JobState.CANCELLING, JobState.CANCELLED}:
        return RunState.FAILED
    return _BY_JOB[job]


def replication_record(row: sa.RowMapping) -> ReplicationRecord:
    """Raises one of `rows.UNREADABLE` for a row that this version did not write."""
    typed(schema.replications, row)
    return ReplicationRecord(
        row["id"],
        row["profile"],
        row["account"],
        row["vm"],
        ReplicationState(row["state"]),
        bool(row["paused"]),
        bool(row["terminated"]),
        row["created"],
        row["next_run"],
        row["failures"],
        row["message"],
        Replication.from_json(row["spec"]),
        tuple(KeptDisk(**disk) for disk in row["kept"] or ()),
    )


# Columns of a run and of its job, by the names that `run_record` and `run_view` read.
RUN_COLUMNS = (
    schema.runs,
    schema.jobs.c.state.label("job_state"),
    schema.jobs.c.message.label("job_message"),
    schema.jobs.c.fraction.label("job_fraction"),
    schema.jobs.c.rate.label("job_rate"),
    schema.jobs.c.eta.label("job_eta"),
    schema.jobs.c.image_id.label("job_image"),
    # of what the user asked for alone: a cutover is among them, and ledgers are long
    sa.case((schema.runs.c.type == RunType.ON_DEMAND.value, schema.jobs.c.ledger)).label("job_ledger"),
)


def select_runs() -> sa.Select[Any]:
    """Runs with what is known of their jobs, newest first."""
    runs = schema.runs
    return (
        sa.select(*RUN_COLUMNS)
        .select_from(runs.outerjoin(schema.jobs, schema.jobs.c.id == runs.c.job_id))
        .order_by(runs.c.asked.desc(), runs.c.scheduled.desc(), runs.c.id)
    )


def run_record(row: sa.RowMapping) -> RunRecord:
    """Raises one of `rows.UNREADABLE`, as `replication_record`."""
    typed(schema.runs, row)
    return RunRecord(
        row["id"],
        row["replication_id"],
        RunType(row["type"]),
        row["scheduled"],
        row["asked"],
        row["job_id"],
        JobState(row["job_state"]) if row["job_state"] else None,
        tuple(row["after"] or ()),
        row["missed"],
        row["settled"],
        Wish.from_json(row["wish"]),
    )


def run_view(row: sa.RowMapping) -> Run:
    """A run as the screens show it. Raises one of `rows.UNREADABLE`, as `replication_record`."""
    typed(schema.runs, row)
    job = JobState(row["job_state"]) if row["job_state"] else None
    state = run_state(row["missed"], row["job_id"], job, row["settled"])
    at_work = state is RunState.ACTIVE
    cutover = row["wish"].get("cutover") is not None
    return Run(
        id=row["id"],
        replication_id=row["replication_id"],
        type=RunType(row["type"]),
        state=state,
        scheduled=row["scheduled"],
        message=row["missed"] or row["job_message"] or _waiting(row),
        job_id=row["job_id"],
        started=row["started"],
        completed=row["completed"],
        image_id=row["job_image"] or "",
        image_gone=bool(row["image_gone"]),
        fraction=row["job_fraction"] if at_work else None,
        rate=(row["job_rate"] or 0.0) if at_work else 0.0,
        eta_seconds=row["job_eta"] if at_work else None,
        cutover=cutover,
        instance_id=RunLedger.from_json(row["job_ledger"] or {}).instance if cutover else "",
        figures=RunFigures.from_json(row["figures"]) if row["figures"] else None,
    )


def _waiting(row: sa.RowMapping) -> str:
    if row["job_id"]:
        return ""
    return "waits for the servers of its group that come before" if row["after"] else "about to start"
