"""What the end of a run means for its replication: paused after failures, completed, or cut over."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from vmie_tui.jobs.store import schema
from vmie_tui.jobs.store.replication_records import OVER, ReplicationRecord, RunRecord, run_record, select_runs
from vmie_tui.jobs.store.replications import change
from vmie_tui.jobs.store.rows import readable
from vmie_tui.model.replication import ReplicationState
from vmie_tui.model.rules.replication_schedule import next_after
from vmie_tui.model.task import JobState

FAILURES = 3  # ours: so many runs that fail one after another, and the user must look
DONE_ONCE = "the one-time migration is done"
GOES_ON = frozenset({JobState.QUEUED, JobState.RUNNING, JobState.PAUSED, JobState.NEEDS_LOGIN})


def ended(job: JobState) -> bool:
    """Whether a run whose job is in this state is over, unless the user resumes it."""
    return job in OVER


def ends_to_note(connection: sa.Connection) -> list[RunRecord]:
    """Runs whose end is not noted yet, and failed runs whose jobs the user resumed; oldest first."""
    runs, jobs = schema.runs, schema.jobs
    over = [state.value for state in OVER]
    again = [state.value for state in GOES_ON] + [JobState.DONE.value]
    query = select_runs().where(
        sa.or_(
            sa.and_(runs.c.settled == "", jobs.c.state.in_(over)),
            sa.and_(runs.c.settled == JobState.FAILED.value, jobs.c.state.in_(again)),
        )
    )
    return readable("run", connection.execute(query).mappings(), run_record)[::-1]


def note_end(connection: sa.Connection, record: ReplicationRecord, run: RunRecord, now: float) -> None:
    """Note how a run ended, once, and what follows from it."""
    job = run.job
    if job is None or not _settle(connection, run, job.value, completed=sa.func.coalesce(schema.runs.c.completed, now)):
        return
    values = _consequence(record, run, job, now)
    if values:
        change(connection, record.id, **values)


def reopen(connection: sa.Connection, record: ReplicationRecord, run: RunRecord) -> None:
    """The user resumed a failed run's job: its failure does not count until it ends again."""
    if not _settle(connection, run, "", completed=None):
        return
    values: dict[str, Any] = {"failures": max(record.failures - 1, 0)}
    if record.state is ReplicationState.FAILED:
        values |= {"state": ReplicationState.ACTIVE.value, "message": ""}
    change(connection, record.id, **values)


def _settle(connection: sa.Connection, run: RunRecord, how: str, **values: Any) -> bool:
    table = schema.runs
    mine = (table.c.id == run.id) & (table.c.settled == run.settled)
    return connection.execute(table.update().where(mine).values(settled=how, **values)).rowcount == 1


def _consequence(record: ReplicationRecord, run: RunRecord, job: JobState, now: float) -> dict[str, Any]:
    """The columns of the replication that change."""
    states = ReplicationState
    if record.state in {states.DELETING, states.DELETED} or record.terminated:
        return {}
    last = record.spec.once and record.next_run is None  # an on-demand run before its time leaves it as it was
    if job is JobState.DONE:
        return {"failures": 0, **_done(record, run, now, last=last)}
    if job is JobState.CANCELLED:
        return {"state": states.FAILED.value, "message": "its run was cancelled"} if last else {}
    failures = record.failures + 1
    if last:
        return {"failures": failures, "state": states.FAILED.value, "message": f"run {run.id} failed"}
    if failures < FAILURES or record.state is states.PAUSED_ON_FAILURE:
        return {"failures": failures}
    return {
        "failures": failures,
        "state": states.PAUSED_ON_FAILURE.value,
        "next_run": None,
        "message": f"paused: {failures} runs failed one after another, the last is {run.id}; look at it, then resume",
    }


def _done(record: ReplicationRecord, run: RunRecord, now: float, *, last: bool) -> dict[str, Any]:
    if last:
        return {"state": ReplicationState.COMPLETED.value, "message": DONE_ONCE}
    if run.wish.cutover is not None:
        state = ReplicationState.ACTIVE.value
        return {"state": state, "paused": True, "next_run": None, "message": f"paused: cut over by run {run.id}"}
    if record.state is ReplicationState.PAUSED_ON_FAILURE:
        following = None if record.paused else next_after(record.spec.start, record.spec.every_hours, now)
        return {"state": ReplicationState.ACTIVE.value, "next_run": following, "message": ""}
    return {} if record.paused else {"message": ""}
