"""How a run becomes a job: its plan, and the transaction that starts it once no other run of its VM is active."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import fields
from datetime import UTC, datetime

import sqlalchemy as sa

from vmie_tui.jobs.store import schema
from vmie_tui.jobs.store.replication_records import ReplicationRecord, RunRecord, Wish, run_record, select_runs
from vmie_tui.jobs.store.replications import change, give_up, miss, open_runs
from vmie_tui.jobs.store.rows import one, readable
from vmie_tui.jobs.store.store import Store
from vmie_tui.model import naming
from vmie_tui.model.plan import ImportPlan
from vmie_tui.model.replication import ReplicationPlan, ReplicationState, RunState
from vmie_tui.model.task import JobState

NAME_CHARACTERS = 110  # of an AMI's 128: the run's id follows, since AWS registers no name twice


def plan_of(record: ReplicationRecord, run_id: str, wish: Wish, at: float) -> ReplicationPlan:
    """What the run's job is to do; ``at``: the moment that ``{date}`` and ``{time}`` in its AMI's name stand for."""
    spec, plan = record.spec, record.spec.plan
    places = naming.places(plan.source.name, datetime.fromtimestamp(at, UTC), profile=plan.profile, region=plan.region)
    name = naming.ami_name(plan.ami_name or naming.VM, places)
    values = {field.name: getattr(plan, field.name) for field in fields(ImportPlan)}
    values |= {
        "ami_name": f"{name[:NAME_CHARACTERS]} {run_id}",
        "description": naming.fill(plan.description, places),
        "test_launch": wish.cutover or plan.test_launch,
    }
    return ReplicationPlan(
        **values,
        replication=record.id,
        run=run_id,
        resync=wish.resync,
        verify=wish.verify or spec.verify,
        shut_down=wish.cutover is not None,
    )


def waiting(connection: sa.Connection) -> list[RunRecord]:
    """Recorded runs that have no job yet, oldest first."""
    table = schema.runs
    query = select_runs().where(table.c.job_id == "", table.c.settled == "")
    return readable("run", connection.execute(query).mappings(), run_record)[::-1]


def start(connection: sa.Connection, record: ReplicationRecord, run: RunRecord, at: float) -> str:
    """Make the run's job. Returns its id, or "" while other runs of the VM, or earlier ones of its group, are not over.

    A failed run makes room: its job is cancelled first, so that it cleans up. A run of the group that did not complete
    leaves this one missed. All in one transaction: no run has two jobs, and no job is without its run.
    """
    before = _before(connection, run.after)
    if stopped := [name for state, name in before if state.over and state is not RunState.COMPLETED]:
        miss(connection, run.id, f"not started: {stopped[0]}, which comes before it in its group, did not complete")
        return ""
    if any(not state.over for state, _ in before):
        return ""
    others = [other for other in open_runs(connection, record.id) if other.id != run.id and other.job_id]
    given_up = give_up(
        connection,
        [other for other in others if other.job is JobState.FAILED],
        f"given up: run {run.id} takes its place",
    )
    if not given_up or any(other.job is not None and not other.job.terminal for other in others):
        return ""
    table = schema.runs
    job_id = Store.add(connection, plan_of(record, run.id, run.wish, at))
    connection.execute(table.update().where(table.c.id == run.id).values(job_id=job_id))
    if record.state in {ReplicationState.PENDING, ReplicationState.FAILED}:  # its first, or a one-time one once more
        change(connection, record.id, state=ReplicationState.ACTIVE.value)
    return job_id


def _before(connection: sa.Connection, run_ids: Iterable[str]) -> list[tuple[RunState, str]]:
    """The states and machine names of runs."""
    ids = list(run_ids)
    if not ids:
        return []
    table = schema.runs
    rows = connection.execute(select_runs().where(table.c.id.in_(ids))).mappings()
    found = [one("run", row, run_record) for row in rows]  # a run of the group left out would not be waited for
    names = {
        row["id"]: row["name"]
        for row in connection.execute(
            sa.select(schema.replications.c.id, schema.replications.c.name).where(
                schema.replications.c.id.in_([run.replication_id for run in found])
            )
        ).mappings()
    }
    return [(run.state, str(names.get(run.replication_id, run.replication_id))) for run in found]
