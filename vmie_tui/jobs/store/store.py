"""The progress store: what the worker writes and every screen and command reads. No workflow engine in here."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any, ParamSpec

import sqlalchemy as sa

from vmie_tui.jobs.store import schema, views
from vmie_tui.jobs.store.database import Database
from vmie_tui.jobs.store.kinds import JobPlan, kind_of
from vmie_tui.jobs.store.ledger import DiskLedger, JobLedger
from vmie_tui.jobs.store.records import DiskRecord, JobRecord, disk_record, job_record
from vmie_tui.jobs.store.rows import UNREADABLE, one, readable, typed
from vmie_tui.known_secrets import hidden
from vmie_tui.model.errors import ErrorKind, ServiceError
from vmie_tui.model.job import DiskProgress, JobView, LogLine, Stage, StageState
from vmie_tui.model.task import JobState, may_become

P = ParamSpec("P")
CANCEL, PAUSE = "cancel", "pause"
WAITING, NO_WORKER = "waiting for the worker", "no worker: "  # messages of jobs that nobody has taken up
SKEW_SECONDS = 60.0  # by which the clocks of hosts that share a database may differ
DISK_FIELDS = frozenset(schema.disks.c.keys()) - {"job_id", "key", "ordinal"}
JOB_FIELDS = frozenset(schema.jobs.c.keys()) - {"id", "state", "created", "updated"}


class Store(Database):
    """Reads and writes of jobs. Safe to share between threads."""

    # ---- jobs

    def create(self, plan: JobPlan, ledger: JobLedger | None = None) -> str:
        """Record a new job, QUEUED, with the stages of its kind; returns its id. ``ledger``: what it must know."""
        with self.begin() as connection:
            return self.add(connection, plan, ledger)

    @staticmethod
    def add(connection: sa.Connection, plan: JobPlan, ledger: JobLedger | None = None) -> str:
        """The same as `create`, as part of a transaction of the caller's."""
        job_id, now, kind = secrets.token_hex(5), time.time(), kind_of(plan)
        row = {
            "id": job_id,
            "kind": kind.name,
            "name": kind.title(plan),
            "profile": plan.profile,
            "state": JobState.QUEUED.value,
            "created": now,
            "updated": now,
            "message": WAITING,
            "source": kind.source(plan),
            "target": kind.target(plan),
            "plan": plan.to_json(),
            "ledger": replace(ledger or kind.ledger(), client_token=secrets.token_hex(16)).to_json(),
        }
        pending = [
            {"job_id": job_id, "stage": stage.value, "ordinal": number, "state": StageState.PENDING.value}
            for number, stage in enumerate(kind.stages(plan))
        ]
        connection.execute(schema.jobs.insert().values(row))
        connection.execute(schema.stages.insert(), pending)
        _log(connection, job_id, "job created", "info")
        return job_id

    def become(self, job_id: str, state: JobState, **values: Any) -> bool:
        """Change a job's state where the transition table allows it; False when it does not (or the job is gone)."""
        with self.begin() as connection:
            return self.enter(connection, job_id, state, **values)

    @staticmethod
    def enter(connection: sa.Connection, job_id: str, state: JobState, **values: Any) -> bool:
        """The same as `become`, as part of a transaction of the caller's."""
        allowed = [old.value for old in JobState if may_become(old, state)]
        changed = connection.execute(
            schema.jobs.update()
            .where(schema.jobs.c.id == job_id, schema.jobs.c.state.in_(allowed))
            .values(state=state.value, updated=time.time(), **_checked(values))
        ).rowcount
        return changed == 1

    def update(self, job_id: str, **values: Any) -> None:
        """Set columns of a job other than its state."""
        with self.begin() as connection:
            connection.execute(
                schema.jobs.update().where(schema.jobs.c.id == job_id).values(updated=time.time(), **_checked(values))
            )

    def remember(self, job_id: str, ledger: Callable[P, JobLedger], *args: P.args, **fields: P.kwargs) -> None:
        """Write fields of a job's ledger, which is of the class ``ledger``; all else in it stays as it is."""
        self._merge(schema.jobs.c.ledger, schema.jobs.c.id == job_id, ledger(*args, **fields).changes(fields))

    def remember_disk(
        self, job_id: str, key: int, ledger: Callable[P, DiskLedger], *args: P.args, **fields: P.kwargs
    ) -> None:
        """The same for the ledger of one disk."""
        which = (schema.disks.c.job_id == job_id) & (schema.disks.c.key == key)
        self._merge(schema.disks.c.ledger, which, ledger(*args, **fields).changes(fields))

    def result(self, job_id: str, label: str, value: str) -> None:
        """Something the job made, for the screens: "test instance", "AMI in us-east-1", ..."""
        self._merge(schema.jobs.c.results, schema.jobs.c.id == job_id, {label: value})

    def _merge(self, column: sa.Column[Any], which: sa.ColumnElement[bool], changes: Mapping[str, Any]) -> None:
        """Change keys of a JSON object; None takes one out."""
        with self.begin() as connection:
            update = column.table.update().where(which)
            connection.execute(update.values({column: column}))  # from its first write on nobody else writes the row
            found = connection.execute(sa.select(column).where(which)).scalar_one()
            merged = {**(found or {}), **changes}
            kept = {key: value for key, value in merged.items() if value is not None}
            connection.execute(update.values({column: kept}))

    def requeue(self, job_id: str) -> bool:
        """A new attempt for a job that was paused, waits for a login or failed."""
        waiting = [JobState.PAUSED.value, JobState.NEEDS_LOGIN.value, JobState.FAILED.value]
        with self.begin() as connection:
            changed = connection.execute(
                schema.jobs.update()
                .where(schema.jobs.c.id == job_id, schema.jobs.c.state.in_(waiting))
                .values(
                    state=JobState.QUEUED.value,
                    control="",
                    attempt=schema.jobs.c.attempt + 1,
                    problem=None,
                    message=WAITING,
                    deaths=None,
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

    # ---- jobs at work in a worker, see `crashed_jobs`

    def mark(self, job_id: str, executor: str) -> None:
        """A worker has the job at work: found by the next one if this one dies."""
        with self.begin() as connection:
            connection.execute(schema.jobs.update().where(schema.jobs.c.id == job_id).values(at_work=executor))

    def unmark(self, job_id: str) -> None:
        """A phase of the job is over, and the worker alive."""
        with self.begin() as connection:
            connection.execute(schema.jobs.update().where(schema.jobs.c.id == job_id).values(at_work=None, deaths=None))

    def unmark_all(self, executor: str) -> None:
        """The worker ends in order: it died of no job."""
        with self.begin() as connection:
            connection.execute(schema.jobs.update().where(schema.jobs.c.at_work == executor).values(at_work=None))

    def forget_deaths(self, job_id: str) -> None:
        with self.begin() as connection:
            connection.execute(schema.jobs.update().where(schema.jobs.c.id == job_id).values(deaths=None))

    def count_deaths(self, executor: str) -> dict[str, int]:
        """At a worker's start: the jobs its dead predecessor had at work, and how many workers died so by now.

        The count begins anew for a job that got further than it was at the death before: what kills a worker does so
        at the same place each time.
        """
        table, counted = schema.jobs, {}
        wanted = sa.select(table.c.id, table.c.deaths, table.c.reached, table.c.ledger).where(
            table.c.at_work == executor
        )
        with self.begin() as connection:
            for row in connection.execute(wanted).all():
                reached = _reached(connection, row.id, row.ledger)
                further = row.reached is not None and reached > row.reached
                counted[row.id] = 1 if further else (row.deaths or 0) + 1
                values = {"deaths": counted[row.id], "reached": max(reached, row.reached or 0), "at_work": None}
                connection.execute(table.update().where(table.c.id == row.id).values(**values))
        return counted

    def say_waiting(self, why: str = "") -> None:
        """What the jobs that nobody has taken up say: that they wait for the worker, or ``why`` there is none."""
        table = schema.jobs
        untaken = (table.c.message == WAITING) | table.c.message.startswith(NO_WORKER)
        with self.begin() as connection:
            connection.execute(
                table.update()
                .where(table.c.state == JobState.QUEUED.value, untaken)
                .values(message=f"{NO_WORKER}{why}" if why else WAITING, updated=time.time())
            )

    def record(self, job_id: str) -> JobRecord:
        """One job for the worker. Raises ServiceError NOT_FOUND."""
        with self.begin() as connection:
            row = connection.execute(sa.select(schema.jobs).where(schema.jobs.c.id == job_id)).mappings().first()
        if row is None:
            raise _no_job(job_id)
        return one("job", row, job_record)

    def unfinished(self) -> list[JobRecord]:
        """Every job that is in no final state, oldest first.

        One that cannot be read is left out, and said once: a newer version's, while a worker of this one is at work for
        its schedules. It must not keep the others from theirs.
        """
        final = [state.value for state in JobState if state.terminal] + [JobState.FAILED.value]
        query = sa.select(schema.jobs).where(schema.jobs.c.state.not_in(final)).order_by(schema.jobs.c.created)
        with self.begin() as connection:
            rows = list(connection.execute(query).mappings())
        return readable("job", rows, job_record)

    def resolve(self, prefix: str) -> str:
        """The full id of the only job that starts with ``prefix``. Raises ServiceError NOT_FOUND or INVALID."""
        ident = self.only_id(schema.jobs, prefix, (prefix,), "job")
        if ident is None:
            raise _no_job(prefix)
        return ident

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
        with self.begin() as connection:
            connection.execute(
                table.update().where(table.c.job_id == job_id, table.c.stage == stage.value).values(values)
            )
            connection.execute(schema.jobs.update().where(schema.jobs.c.id == job_id).values(updated=now))

    def close_stages(self, job_id: str, state: StageState) -> None:
        """Put the stages and disks that are at work into ``state``: the attempt is over."""
        running = StageState.RUNNING.value
        with self.begin() as connection:
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
        """Record the disks to move; those known already keep what they have, but for their size."""
        with self.begin() as connection:
            known = set(
                connection.execute(sa.select(schema.disks.c.key).where(schema.disks.c.job_id == job_id)).scalars()
            )
            for number, disk in enumerate(disks):
                if disk.key in known:
                    mine = (schema.disks.c.job_id == job_id) & (schema.disks.c.key == disk.key)
                    connection.execute(schema.disks.update().where(mine).values(capacity=disk.capacity))
                else:
                    connection.execute(
                        schema.disks.insert().values(
                            job_id=job_id,
                            key=disk.key,
                            ordinal=number,
                            label=disk.label,
                            capacity=disk.capacity,
                            s3_key=disk.s3_key,
                            snapshot_id=disk.snapshot_id,
                        )
                    )

    def disk(self, job_id: str, key: int, **values: Any) -> None:
        """Set columns of one disk."""
        unknown = set(values) - DISK_FIELDS
        if unknown:
            raise KeyError(sorted(unknown)[0])
        with self.begin() as connection:
            connection.execute(
                schema.disks.update().where(schema.disks.c.job_id == job_id, schema.disks.c.key == key).values(values)
            )

    def disks(self, job_id: str) -> list[DiskRecord]:
        query = sa.select(schema.disks).where(schema.disks.c.job_id == job_id).order_by(schema.disks.c.ordinal)
        with self.begin() as connection:
            return [one("disk", row, disk_record) for row in connection.execute(query).mappings()]

    def disk_now(self, job_id: str, key: int) -> DiskRecord:
        """One disk that was recorded, as it is now."""
        query = sa.select(schema.disks).where(schema.disks.c.job_id == job_id, schema.disks.c.key == key)
        with self.begin() as connection:
            return one("disk", connection.execute(query).mappings().one(), disk_record)

    def log(self, job_id: str, text: str, level: str = "info") -> None:
        with self.begin() as connection:
            _log(connection, job_id, hidden(text), level)

    @staticmethod
    def note(connection: sa.Connection, job_id: str, text: str, level: str = "info") -> None:
        """The same as `log`, as part of a transaction of the caller's."""
        _log(connection, job_id, hidden(text), level)

    def lines(self, job_id: str, tail: int) -> list[LogLine]:
        """The last ``tail`` lines of a job's log, oldest first."""
        with self.begin() as connection:
            return views.read_lines(connection, job_id, tail)

    # ---- views

    def views(self, *, profile: str | None = None, job_id: str | None = None) -> list[JobView]:
        """Jobs as the screens show them, newest first; nothing when nothing was ever stored."""
        if not self.exists:
            return []
        with self.begin() as connection:
            given = ((schema.jobs.c.profile, profile), (schema.jobs.c.id, job_id))
            return views.read_views(connection, *(column == value for column, value in given if value is not None))

    def changed_views(self, known: Collection[JobView]) -> list[JobView]:
        """Those of all jobs that may be other than they were ``known`` to be, newest first."""
        if not self.exists:
            return []
        latest = max((view.updated.timestamp() for view in known), default=0.0)
        at_work = [view.id for view in known if not view.state.terminal]
        with self.begin() as connection:
            return views.read_views(connection, views.changed_since(latest - SKEW_SECONDS, at_work))

    # ---- workers

    def beat(self, executor: str, pid: int, started: float) -> None:
        """Say that a worker is alive."""
        values = {"pid": pid, "started": started, "heartbeat": time.time()}
        with self.begin() as connection:
            if not connection.execute(
                schema.workers.update().where(schema.workers.c.executor == executor).values(values)
            ).rowcount:
                connection.execute(schema.workers.insert().values(executor=executor, **values))

    def counts(self) -> dict[JobState, int]:
        """How many jobs are in each state."""
        query = sa.select(schema.jobs.c.state, sa.func.count()).group_by(schema.jobs.c.state)
        with self.begin() as connection:
            known = {state.value for state in JobState}
            return {JobState(state): number for state, number in connection.execute(query) if state in known}

    def heartbeat(self, executor: str) -> tuple[int, float, float] | None:
        """(pid, started, last heartbeat) of a worker, seconds since the epoch."""
        query = sa.select(schema.workers).where(schema.workers.c.executor == executor)
        with self.begin() as connection:
            row = connection.execute(query).mappings().first()
        try:
            if row is not None:
                typed(schema.workers, row)
        except UNREADABLE:
            return None
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


def _reached(connection: sa.Connection, job_id: str, ledger: Any) -> int:
    """How far a job is, as a number that grows with it: bytes moved, blocks confirmed, stages done, things known."""
    disks = connection.execute(
        sa.select(schema.disks.c.done, schema.disks.c.ledger).where(schema.disks.c.job_id == job_id)
    ).all()
    blocks = connection.scalar(
        sa.select(sa.func.count()).select_from(schema.blocks).where(schema.blocks.c.job_id == job_id)
    )
    stages = connection.scalar(
        sa.select(sa.func.count())
        .select_from(schema.stages)
        .where(schema.stages.c.job_id == job_id, schema.stages.c.state == StageState.DONE.value)
    )
    known = sum(len(each) for each in (ledger, *(disk.ledger for disk in disks)) if isinstance(each, dict))
    return int(sum(disk.done for disk in disks)) + int(blocks or 0) + int(stages or 0) + known


def _log(connection: sa.Connection, job_id: str, text: str, level: str) -> None:
    connection.execute(schema.log.insert().values(job_id=job_id, at=time.time(), level=level, text=text))
