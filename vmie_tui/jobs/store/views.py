"""Jobs as the screens show them, read from the store."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import UTC, datetime

import sqlalchemy as sa

from vmie_tui.jobs.store import schema
from vmie_tui.jobs.store.kinds import KINDS
from vmie_tui.jobs.store.rows import one, readable, typed
from vmie_tui.model.errors import Problem, ServiceError
from vmie_tui.model.job import DiskProgress, JobView, LogLine, Stage, StageState, StageView
from vmie_tui.model.task import JobState

_SHOWN = 100  # characters of what cannot be read
Wanted = sa.ColumnElement[bool]


def read_views(connection: sa.Connection, *wanted: Wanted) -> list[JobView]:
    """Jobs of which all of ``wanted`` is true, newest first, with their stages and disks."""
    query = sa.select(schema.jobs).where(*wanted).order_by(schema.jobs.c.created.desc(), schema.jobs.c.id)
    rows = list(connection.execute(query).mappings())
    stages, disks = (_by_job(connection, table, wanted) for table in (schema.stages, schema.disks))
    return [_readable_view(row, stages.get(row["id"], []), disks.get(row["id"], [])) for row in rows]


def changed_since(updated: float, at_work: Collection[str]) -> Wanted:
    """Jobs that were touched since then, those that are not over, and those of ``at_work``, which were not."""
    jobs, over = schema.jobs.c, [state.value for state in JobState if state.terminal or state is JobState.FAILED]
    return sa.or_(jobs.updated >= updated, jobs.state.not_in(over), jobs.id.in_(at_work))


def read_lines(connection: sa.Connection, job_id: str, tail: int) -> list[LogLine]:
    """The last ``tail`` lines of a job's log, oldest first."""
    query = sa.select(schema.log).where(schema.log.c.job_id == job_id).order_by(schema.log.c.id.desc()).limit(tail)
    rows = list(connection.execute(query).mappings())
    return readable("line", reversed(rows), _line)


def _by_job(connection: sa.Connection, table: sa.Table, wanted: Sequence[Wanted]) -> dict[str, list[sa.RowMapping]]:
    query = sa.select(table).order_by(table.c.ordinal)
    if wanted:
        query = query.where(table.c.job_id.in_(sa.select(schema.jobs.c.id).where(*wanted)))
    grouped: dict[str, list[sa.RowMapping]] = {}
    for row in connection.execute(query).mappings():
        grouped.setdefault(row["job_id"], []).append(row)
    return grouped


def _line(row: sa.RowMapping) -> LogLine:
    typed(schema.log, row)
    return LogLine(_moment(row["at"]), row["text"], row["level"])


def _moment(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


def _readable_view(row: sa.RowMapping, stages: Sequence[sa.RowMapping], disks: Sequence[sa.RowMapping]) -> JobView:
    """A job that cannot be read is shown as one that failed for that: it must not hide the others, nor itself."""
    try:
        return one("job", row, lambda row: _view(row, stages, disks))
    except ServiceError as error:
        ident, name = (str(row[column])[:_SHOWN] for column in ("id", "name"))
        never = datetime.fromtimestamp(0, UTC)
        kind = row["kind"] if row["kind"] in KINDS else "unknown"
        profile = str(row["profile"])[:_SHOWN]
        return JobView(ident, kind, name, profile, JobState.FAILED, never, never, problem=error.problem)


def _view(row: sa.RowMapping, stages: Sequence[sa.RowMapping], disks: Sequence[sa.RowMapping]) -> JobView:
    for table, found in ((schema.jobs, [row]), (schema.stages, stages), (schema.disks, disks)):
        for each in found:
            typed(table, each)
    names = DiskProgress.__dataclass_fields__
    return JobView(
        id=row["id"],
        kind=row["kind"],
        name=row["name"],
        profile=row["profile"],
        state=JobState(row["state"]),
        created=_moment(row["created"]),
        updated=_moment(row["updated"]),
        stages=tuple(
            StageView(
                Stage(stage["stage"]),
                StageState(stage["state"]),
                _moment(stage["started"]) if stage["started"] else None,
                _moment(stage["ended"]) if stage["ended"] else None,
            )
            for stage in stages
        ),
        disks=tuple(
            DiskProgress(**{**{name: disk[name] for name in names}, "state": StageState(disk["state"])})
            for disk in disks
        ),
        message=row["message"],
        fraction=row["fraction"],
        rate=row["rate"],
        eta_seconds=row["eta"],
        task_id=row["task_id"],
        task_progress=row["task_progress"],
        task_message=row["task_message"],
        image_id=row["image_id"],
        problem=Problem.from_json(row["problem"]) if row["problem"] else None,
        source=row["source"],
        target=row["target"],
        results=dict(row["results"] or {}),
    )
