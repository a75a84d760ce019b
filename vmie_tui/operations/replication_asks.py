"""What a user may ask of a replication, and what is said when he may not: parts of the client's transactions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import sqlalchemy as sa

from vmie_tui.jobs.replication.end_run import DONE_ONCE
from vmie_tui.jobs.replication.start_run import start, waiting
from vmie_tui.jobs.store.replication_records import ReplicationRecord, Wish
from vmie_tui.jobs.store.replications import add_run, at_work, counted, of_vm, replicated, runs_of
from vmie_tui.model import facts
from vmie_tui.model.errors import ErrorKind, ServiceError
from vmie_tui.model.finding import Finding
from vmie_tui.model.replication import Replication, ReplicationState, RunState, RunType, stamp
from vmie_tui.model.rules.replication_schedule import DAY, age, latest_start, next_after, refuse_on_demand

RUNNABLE = frozenset(
    {
        ReplicationState.PENDING,
        ReplicationState.ACTIVE,
        ReplicationState.PAUSED_ON_FAILURE,
        ReplicationState.FAILED,
    }
)


def refuse(blockers: tuple[Finding, ...]) -> None:
    """Raise the first."""
    if blockers:
        raise blockers[0].refusal(blockers[0].why)


def wrong_state(record: ReplicationRecord, verb: str) -> ServiceError:
    state = "paused" if record.paused and record.state.counts else record.state.value
    return ServiceError(ErrorKind.CONFLICT, f"a replication that is {state} cannot be {verb}", subject=record.id)


def moment(at: float, now: float) -> float:
    """A next run's time that the user gave: now at the earliest. Raises ServiceError INVALID."""
    if now - DAY < at <= latest_start(now):
        return max(at, now)
    raise ServiceError(
        ErrorKind.INVALID,
        "the next run cannot be then",
        subject=stamp(at),
        remedy=f"Any time from now, {stamp(now)}, to {stamp(latest_start(now))}",
        code="F433",
    )


def next_time(record: ReplicationRecord, spec: Replication, now: float, *, given: float | None = None) -> float | None:
    """When it runs next; a one-time migration that was not started yet runs at its start, or now."""
    if given is not None or record.state is ReplicationState.PENDING or spec.once:
        begun = record.state is not ReplicationState.PENDING and record.next_run is None
        return None if spec.once and begun and given is None else max(spec.start, now)
    return next_after(spec.start, spec.every_hours, now)


def back(connection: sa.Connection, record: ReplicationRecord, now: float) -> dict[str, Any]:
    """Columns of one whose days were over, and have become more: it goes on, but for a one-time one that was done."""
    runs, spec = runs_of(connection, record.id), record.spec
    if spec.once and any(run.state is RunState.COMPLETED for run in runs):
        return {"state": ReplicationState.COMPLETED.value, "message": DONE_ONCE}
    pending = not any(run.job_id for run in runs)
    state = ReplicationState.PENDING if pending else ReplicationState.ACTIVE
    following = max(spec.start, now) if pending or spec.once else next_after(spec.start, spec.every_hours, now)
    paused = {"next_run": None, "message": "paused by the user"}
    return {"state": state.value, **(paused if record.paused else {"next_run": following, "message": ""})}


def ask(connection: sa.Connection, record: ReplicationRecord, now: float, wish: Wish, before: tuple[str, ...]) -> str:
    """Record an on-demand run. Raises ServiceError with the rule's words."""
    if record.state not in RUNNABLE:
        raise wrong_state(record, "run")
    first, extended = replicated(connection, record.vm)
    if age(first, extended, now).over:
        raise ServiceError(
            ErrorKind.REFUSED,
            "the days of its VM are over",
            subject=record.id,
            remedy="Ask for more days (replicate extend)",
            code="F389",
        )
    if not record.state.counts:
        alone_again(connection, record)
    # The service knew no cutover: its last run is held up by one at work, and by no other limit than the VM's days.
    mine = [run for run in runs_of(connection, record.id) if run.type is RunType.ON_DEMAND and run.wish.cutover is None]
    asked = [] if wish.cutover is not None else [run.asked for run in mine]
    problem = refuse_on_demand(asked, now, at_work(connection, record.id))
    if problem is not None:
        raise ServiceError.of(replace(problem, subject=problem.subject or record.spec.plan.source.name))
    return add_run(connection, record.id, RunType.ON_DEMAND, now, now, wish=wish, after=before)


def start_asked(connection: sa.Connection, asked: Mapping[str, ReplicationRecord], times: Mapping[str, float]) -> None:
    """Make the jobs of runs just asked for, where nothing is in the way; the others are the worker's to start."""
    for run in waiting(connection):
        record = asked.get(run.id)
        if record is not None:
            start(connection, record, run, times[record.id])


def alone_again(connection: sa.Connection, record: ReplicationRecord) -> None:
    """One that was over counts again: its VM must have no other, its account room (F388). CONFLICT or REFUSED."""
    if other := of_vm(connection, record.vm, besides=record.id):
        raise ServiceError(
            ErrorKind.CONFLICT,
            f"its VM is replicated by {other} now",
            subject=record.id,
            code="ReplicationJobAlreadyExists",
            detail=other,
        )
    most = int(facts.limit("sms", "concurrent_vm_migrations_per_account")["value"])
    if counted(connection, record.account) >= most:
        raise ServiceError(
            ErrorKind.REFUSED,
            f"{most} VMs are replicated already, the most at once",
            subject=record.id,
            remedy="Delete a replication that is done",
            code="F388",
        )
