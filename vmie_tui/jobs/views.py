"""Jobs as the screens show them, read from the store."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa

from vmie_tui.jobs import schema
from vmie_tui.model.errors import Problem
from vmie_tui.model.job import DiskProgress, JobView, LogLine, Stage, StageState, StageView
from vmie_tui.model.task import JobState


def read_views(connection: sa.Connection, *, profile: str | None, job_id: str | None) -> list[JobView]:
    """Jobs, newest first, with their stages and disks."""
    query = sa.select(schema.jobs).order_by(schema.jobs.c.created.desc(), schema.jobs.c.id)
    parts: list[sa.Select[Any]] = [sa.select(schema.stages), sa.select(schema.disks)]
    if profile is not None:
        query = query.where(schema.jobs.c.profile == profile)
    if job_id is not None:
        query = query.where(schema.jobs.c.id == job_id)
        parts = [parts[0].where(schema.stages.c.job_id == job_id), parts[1].where(schema.disks.c.job_id == job_id)]
    rows = list(connection.execute(query).mappings())
    stages = _by_job(connection.execute(parts[0].order_by(schema.stages.c.ordinal)).mappings())
    disks = _by_job(connection.execute(parts[1].order_by(schema.disks.c.ordinal)).mappings())
    return [_view(row, stages.get(row["id"], []), disks.get(row["id"], [])) for row in rows]


def read_lines(connection: sa.Connection, job_id: str, tail: int) -> list[LogLine]:
    """The last ``tail`` lines of a job's log, oldest first."""
    query = sa.select(schema.log).where(schema.log.c.job_id == job_id).order_by(schema.log.c.id.desc()).limit(tail)
    rows = list(connection.execute(query).mappings())
    return [LogLine(_moment(row["at"]), row["text"], row["level"]) for row in reversed(rows)]


def _by_job(rows: Any) -> dict[str, list[sa.RowMapping]]:
    grouped: dict[str, list[sa.RowMapping]] = {}
    for row in rows:
        grouped.setdefault(row["job_id"], []).append(row)
    return grouped


def _moment(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


def _view(row: sa.RowMapping, stages: Sequence[sa.RowMapping], disks: Sequence[sa.RowMapping]) -> JobView:
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
