"""Replications as the screens and commands show them, read from the store."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import sqlalchemy as sa

from vmie_tui.jobs.store import schema
from vmie_tui.jobs.store.replication_records import replication_record, run_view, select_runs
from vmie_tui.jobs.store.rows import readable
from vmie_tui.model.replication import ReplicationState, ReplicationView, Run
from vmie_tui.model.rules.replication_schedule import age


def read_replications(
    connection: sa.Connection,
    now: Callable[[str], float],
    *,
    profile: str | None = None,
    replication_id: str | None = None,
    deleted: bool = False,
) -> list[ReplicationView]:
    """Replications, newest first, with their runs; ``now`` says what time it is for a profile."""
    table, machines, runs = schema.replications, schema.replicated, schema.runs
    query = (
        sa.select(table, machines.c.first, machines.c.extended_days)
        .select_from(table.outerjoin(machines, machines.c.vm == table.c.vm))
        .order_by(table.c.created.desc(), table.c.id)
    )
    wanted = sa.select(table.c.id)
    if profile is not None:
        query, wanted = query.where(table.c.profile == profile), wanted.where(table.c.profile == profile)
    if replication_id is not None:
        query, wanted = query.where(table.c.id == replication_id), wanted.where(table.c.id == replication_id)
    elif not deleted:
        there = table.c.state != ReplicationState.DELETED.value
        query, wanted = query.where(there), wanted.where(there)
    history = select_runs().where(runs.c.replication_id.in_(wanted))
    found: dict[str, list[Run]] = {}
    for run in readable("run", connection.execute(history).mappings(), run_view):
        found.setdefault(run.replication_id, []).append(run)
    return readable(
        "replication",
        connection.execute(query).mappings(),
        lambda row: _view(row, now(str(row["profile"])), found.get(row["id"], [])),
    )


def _view(row: sa.RowMapping | Any, now: float, runs: list[Run]) -> ReplicationView:
    record = replication_record(row)
    days = age(row["first"], row["extended_days"] or 0, now)
    return ReplicationView(
        id=record.id,
        spec=record.spec,
        state=record.state,
        created=record.created,
        now=now,
        paused=record.paused,
        next_run=record.next_run,
        message=record.message,
        first=row["first"],
        ends=days.ends,
        extended_days=row["extended_days"] or 0,
        days=days.days,
        terminated=record.terminated,
        runs=tuple(runs),
    )
