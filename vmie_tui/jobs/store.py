"""The progress store: what the worker writes and every screen and command reads. No workflow engine in here."""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.exc import OperationalError

from vmie_tui.jobs import schema
from vmie_tui.model.errors import ErrorKind, Problem, ServiceError
from vmie_tui.model.job import DiskProgress, JobView, LogLine, Stage, StageState, StageView, import_stages
from vmie_tui.model.plan import ImportPlan
from vmie_tui.model.task import JobState, may_become

KIND_IMPORT = "import"
CANCEL, PAUSE = "cancel", "pause"
DISK_FIELDS = frozenset(schema.disks.c.keys()) - {"job_id", "key", "ordinal"}
JOB_FIELDS = frozenset(schema.jobs.c.keys()) - {"id", "state", "created", "updated"}


@dataclass(frozen=True, slots=True)
class JobRecord:
    """A job as the worker needs it; ``ledger`` holds what a later attempt must know."""

    id: str
    state: JobState
    control: str
    attempt: int
    dispatched: int
    plan: ImportPlan
    ledger: dict[str, Any]
    task_id: str
    image_id: str


@dataclass(frozen=True, slots=True)
class DiskRecord:
    """One disk's transfer as it was last recorded; ``total`` is the object's size once ``done``."""

    key: int
    label: str
    capacity: int
    total: int
    state: StageState
    s3_key: str
    sha256: str
    checksum: str


class Store:
    """Reads and writes of one database. Safe to share between threads."""

    def __init__(self, state_dir: Path, url: str | None = None) -> None:
        self._url = schema.database_url(state_dir, url)
        self._file = None if url else state_dir / schema.DATABASE_FILE
        self._engine: sa.Engine | None = None
        self._lock, self._ledger = threading.Lock(), threading.Lock()

    @property
    def url(self) -> str:
        return self._url

    @property
    def exists(self) -> bool:
        """Whether anything was ever stored: reading must not make a database."""
        return self._file is None or self._file.exists()

    @property
    def engine(self) -> sa.Engine:
        with self._lock:
            if self._engine is None:
                self._engine = self._open()
            return self._engine

    def _open(self) -> sa.Engine:
        engine = schema.make_engine(self._url)
        try:
            with engine.begin() as connection:
                schema.create(connection)
        except OperationalError as error:
            raise schema.local_problem(error, self._file or "database") from error
        return engine

    def close(self) -> None:
        if self._engine is not None:
            self._engine.dispose()
            self._engine = None

    @contextmanager
    def _begin(self) -> Iterator[sa.Connection]:
        try:
            with self.engine.begin() as connection:
                yield connection
        except OperationalError as error:
            raise schema.local_problem(error, self._file or "database") from error

    # ---- jobs

    def create(self, plan: ImportPlan) -> str:
        """Record a new job, QUEUED, with the stages of its kind; returns its id."""
        job_id, now = secrets.token_hex(5), time.time()
        row = {
            "id": job_id,
            "kind": KIND_IMPORT,
            "name": plan.source.name,
            "profile": plan.profile,
            "state": JobState.QUEUED.value,
            "created": now,
            "updated": now,
            "message": "waiting for the worker",
            "source": plan.source.where,
            "target": f"s3://{plan.bucket}/{plan.prefix} in {plan.region}",
            "plan": plan.to_json(),
            "ledger": {"client_token": secrets.token_hex(16)},
        }
        pending = [
            {"job_id": job_id, "stage": stage.value, "ordinal": number, "state": StageState.PENDING.value}
            for number, stage in enumerate(import_stages(plan))
        ]
        with self._begin() as connection:
            connection.execute(schema.jobs.insert().values(row))
            connection.execute(schema.stages.insert(), pending)
            _log(connection, job_id, "job created", "info")
        return job_id

    def become(self, job_id: str, state: JobState, **values: Any) -> bool:
        """Change a job's state where the transition table allows it; False when it does not (or the job is gone)."""
        allowed = [old.value for old in JobState if may_become(old, state)]
        with self._begin() as connection:
            changed = connection.execute(
                schema.jobs.update()
                .where(schema.jobs.c.id == job_id, schema.jobs.c.state.in_(allowed))
                .values(state=state.value, updated=time.time(), **_checked(values))
            ).rowcount
        return changed == 1

    def update(self, job_id: str, **values: Any) -> None:
        """Set columns of a job other than its state."""
        with self._begin() as connection:
            connection.execute(
                schema.jobs.update().where(schema.jobs.c.id == job_id).values(updated=time.time(), **_checked(values))
            )

    def remember(self, job_id: str, **facts: Any) -> None:
        """Put facts into the job's ledger; None takes one out."""
        with self._ledger, self._begin() as connection:  # SQLite would let another thread write between the two
            ledger = dict(
                connection.execute(
                    sa.select(schema.jobs.c.ledger).where(schema.jobs.c.id == job_id).with_for_update()
                ).scalar_one()
            )
            ledger.update(facts)
            kept = {key: value for key, value in ledger.items() if value is not None}
            connection.execute(schema.jobs.update().where(schema.jobs.c.id == job_id).values(ledger=kept))

    def requeue(self, job_id: str) -> bool:
        """A new attempt for a job that was paused, waits for a login or failed."""
        waiting = [JobState.PAUSED.value, JobState.NEEDS_LOGIN.value, JobState.FAILED.value]
        with self._begin() as connection:
            changed = connection.execute(
                schema.jobs.update()
                .where(schema.jobs.c.id == job_id, schema.jobs.c.state.in_(waiting))
                .values(
                    state=JobState.QUEUED.value,
                    control="",
                    attempt=schema.jobs.c.attempt + 1,
                    problem=None,
                    message="waiting for the worker",
                    updated=time.time(),
                )
            ).rowcount
            if changed:
                open_again = [StageState.FAILED.value, StageState.RUNNING.value]
                for table in (schema.stages, schema.disks):
                    connection.execute(
                        table.update()
                        .where(table.c.job_id == job_id, table.c.state.in_(open_again))
                        .values(state=StageState.PENDING.value)
                    )
                _log(connection, job_id, "resumed by the user", "info")
        return changed == 1

    def record(self, job_id: str) -> JobRecord:
        """One job for the worker. Raises ServiceError NOT_FOUND."""
        with self._begin() as connection:
            row = connection.execute(sa.select(schema.jobs).where(schema.jobs.c.id == job_id)).mappings().first()
        if row is None:
            raise _no_job(job_id)
        return _record(row)

    def unfinished(self) -> list[JobRecord]:
        """Every job that is in no final state, oldest first."""
        final = [state.value for state in JobState if state.terminal] + [JobState.FAILED.value]
        query = sa.select(schema.jobs).where(schema.jobs.c.state.not_in(final)).order_by(schema.jobs.c.created)
        with self._begin() as connection:
            return [_record(row) for row in connection.execute(query).mappings()]

    def resolve(self, prefix: str) -> str:
        """The full id of the only job that starts with ``prefix``. Raises ServiceError NOT_FOUND or INVALID."""
        found: list[str] = []
        if self.exists and prefix:
            query = sa.select(schema.jobs.c.id).where(schema.jobs.c.id.startswith(prefix, autoescape=True)).limit(5)
            with self._begin() as connection:
                found = list(connection.execute(query).scalars())
        if len(found) > 1 and prefix not in found:
            raise ServiceError(
                ErrorKind.INVALID, "more than one job starts like this", subject=prefix, detail=", ".join(found)
            )
        if not found:
            raise _no_job(prefix)
        return prefix if prefix in found else found[0]

    # ---- stages, disks, log

    def stage(self, job_id: str, stage: Stage, state: StageState) -> None:
        """Enter a stage's state. A stage that was broken off keeps its start; one that had ended begins anew."""
        now, table = time.time(), schema.stages
        values: dict[str, Any] = {"state": state.value}
        if state is StageState.RUNNING:
            kept = sa.case((table.c.ended.is_(None), sa.func.coalesce(table.c.started, now)), else_=now)
            values |= {"started": kept, "ended": None}
        elif state is not StageState.PENDING:
            values |= {"ended": now}
        with self._begin() as connection:
            connection.execute(
                table.update().where(table.c.job_id == job_id, table.c.stage == stage.value).values(values)
            )
            connection.execute(schema.jobs.update().where(schema.jobs.c.id == job_id).values(updated=now))

    def close_stages(self, job_id: str, state: StageState) -> None:
        """Put the stages and disks that are at work into ``state``: the attempt is over."""
        running = StageState.RUNNING.value
        with self._begin() as connection:
            for table in (schema.stages, schema.disks):
                values: dict[str, Any] = {"state": state.value}
                if table is schema.stages and state is not StageState.PENDING:
                    values["ended"] = time.time()
                if table is schema.disks:
                    values["rate"] = 0.0
                connection.execute(
                    table.update().where(table.c.job_id == job_id, table.c.state == running).values(values)
                )

    def set_disks(self, job_id: str, disks: Sequence[DiskProgress]) -> None:
        """Record the disks to move; those known already keep what they have."""
        with self._begin() as connection:
            known = set(
                connection.execute(sa.select(schema.disks.c.key).where(schema.disks.c.job_id == job_id)).scalars()
            )
            for number, disk in enumerate(disks):
                if disk.key not in known:
                    connection.execute(
                        schema.disks.insert().values(
                            job_id=job_id,
                            key=disk.key,
                            ordinal=number,
                            label=disk.label,
                            capacity=disk.capacity,
                            s3_key=disk.s3_key,
                        )
                    )

    def disk(self, job_id: str, key: int, **values: Any) -> None:
        """Set columns of one disk."""
        unknown = set(values) - DISK_FIELDS
        if unknown:
            raise KeyError(sorted(unknown)[0])
        with self._begin() as connection:
            connection.execute(
                schema.disks.update().where(schema.disks.c.job_id == job_id, schema.disks.c.key == key).values(values)
            )

    def disks(self, job_id: str) -> list[DiskRecord]:
        query = sa.select(schema.disks).where(schema.disks.c.job_id == job_id).order_by(schema.disks.c.ordinal)
        with self._begin() as connection:
            return [
                DiskRecord(
                    row["key"],
                    row["label"],
                    row["capacity"],
                    row["total"],
                    StageState(row["state"]),
                    row["s3_key"],
                    row["sha256"],
                    row["checksum"],
                )
                for row in connection.execute(query).mappings()
            ]

    def log(self, job_id: str, text: str, level: str = "info") -> None:
        with self._begin() as connection:
            _log(connection, job_id, text, level)

    def lines(self, job_id: str, tail: int) -> list[LogLine]:
        """The last ``tail`` lines of a job's log, oldest first."""
        query = sa.select(schema.log).where(schema.log.c.job_id == job_id).order_by(schema.log.c.id.desc()).limit(tail)
        with self._begin() as connection:
            rows = list(connection.execute(query).mappings())
        return [LogLine(_moment(row["at"]), row["text"], row["level"]) for row in reversed(rows)]

    # ---- views

    def views(self, *, profile: str | None = None, job_id: str | None = None) -> list[JobView]:
        """Jobs as the screens show them, newest first; nothing when nothing was ever stored."""
        if not self.exists:
            return []
        query = sa.select(schema.jobs).order_by(schema.jobs.c.created.desc(), schema.jobs.c.id)
        parts: list[sa.Select[Any]] = [sa.select(schema.stages), sa.select(schema.disks)]
        if profile is not None:
            query = query.where(schema.jobs.c.profile == profile)
        if job_id is not None:
            query = query.where(schema.jobs.c.id == job_id)
            parts = [parts[0].where(schema.stages.c.job_id == job_id), parts[1].where(schema.disks.c.job_id == job_id)]
        with self._begin() as connection:
            rows = list(connection.execute(query).mappings())
            stage_rows = _by_job(connection.execute(parts[0].order_by(schema.stages.c.ordinal)).mappings())
            disk_rows = _by_job(connection.execute(parts[1].order_by(schema.disks.c.ordinal)).mappings())
        return [_view(row, stage_rows.get(row["id"], []), disk_rows.get(row["id"], [])) for row in rows]

    # ---- workers

    def beat(self, executor: str, pid: int, started: float) -> None:
        """Say that a worker is alive."""
        values = {"pid": pid, "started": started, "heartbeat": time.time()}
        with self._begin() as connection:
            if not connection.execute(
                schema.workers.update().where(schema.workers.c.executor == executor).values(values)
            ).rowcount:
                connection.execute(schema.workers.insert().values(executor=executor, **values))

    def counts(self) -> dict[JobState, int]:
        """How many jobs are in each state."""
        query = sa.select(schema.jobs.c.state, sa.func.count()).group_by(schema.jobs.c.state)
        with self._begin() as connection:
            return {JobState(state): number for state, number in connection.execute(query)}

    def heartbeat(self, executor: str) -> tuple[int, float, float] | None:
        """(pid, started, last heartbeat) of a worker, seconds since the epoch."""
        query = sa.select(schema.workers).where(schema.workers.c.executor == executor)
        with self._begin() as connection:
            row = connection.execute(query).mappings().first()
        return (row["pid"], row["started"], row["heartbeat"]) if row else None


def _no_job(job_id: str) -> ServiceError:
    return ServiceError(
        ErrorKind.NOT_FOUND, "there is no such job", subject=job_id, remedy="See 'vmie-tui jobs' for those there are"
    )


def _checked(values: Mapping[str, Any]) -> dict[str, Any]:
    unknown = set(values) - JOB_FIELDS
    if unknown:
        raise KeyError(sorted(unknown)[0])
    return dict(values)


def _log(connection: sa.Connection, job_id: str, text: str, level: str) -> None:
    connection.execute(schema.log.insert().values(job_id=job_id, at=time.time(), level=level, text=text))


def _moment(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


def _record(row: sa.RowMapping) -> JobRecord:
    return JobRecord(
        row["id"],
        JobState(row["state"]),
        row["control"],
        row["attempt"],
        row["dispatched"],
        ImportPlan.from_json(row["plan"]),
        dict(row["ledger"]),
        row["task_id"],
        row["image_id"],
    )


def _by_job(rows: Any) -> dict[str, list[sa.RowMapping]]:
    grouped: dict[str, list[sa.RowMapping]] = {}
    for row in rows:
        grouped.setdefault(row["job_id"], []).append(row)
    return grouped


def _view(row: sa.RowMapping, stages: list[sa.RowMapping], disks: list[sa.RowMapping]) -> JobView:
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
    )
