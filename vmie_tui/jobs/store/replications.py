"""Replications and their runs in the store: what the run's steps, the scheduler and the clients read and write."""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import sqlalchemy as sa

from vmie_tui.jobs.store import schema
from vmie_tui.jobs.store.ledger import RunLedger
from vmie_tui.jobs.store.replication_records import (
    OVER,
    ReplicationRecord,
    RunRecord,
    Wish,
    replication_record,
    run_record,
    run_view,
    select_runs,
)
from vmie_tui.jobs.store.rows import one, readable
from vmie_tui.jobs.store.store import CANCEL, Store
from vmie_tui.known_secrets import hidden
from vmie_tui.model.errors import ErrorKind, ServiceError
from vmie_tui.model.replication import JOB_PREFIX, KeptDisk, Replication, ReplicationState, Run, RunFigures, RunType
from vmie_tui.model.rules.replication_schedule import GRACE
from vmie_tui.model.task import JobState

MISSED = "missed"  # in a run's `settled`: there is nothing to wait for


class Replications:
    """Reads and writes of replications, in the store's database. Safe to share between threads."""

    def __init__(self, store: Store) -> None:
        self.store = store

    @contextmanager
    def alone(self) -> Iterator[sa.Connection]:
        """A transaction beside which nobody else writes to the replications: what it reads stays true until its end."""
        table = schema.replications
        with self.store.begin() as connection:
            if connection.dialect.name == "postgresql":
                connection.execute(sa.text(f"LOCK TABLE {table.name} IN SHARE ROW EXCLUSIVE MODE"))
            else:  # SQLite has one writer, from its first write on
                connection.execute(table.update().where(sa.false()).values(message=""))
            yield connection

    # ---- for the steps of a run

    def record(self, replication_id: str) -> ReplicationRecord:
        """One replication. Raises ServiceError NOT_FOUND."""
        with self.store.begin() as connection:
            return find(connection, replication_id)

    def kept(self, replication_id: str) -> tuple[KeptDisk, ...]:
        """What the last completed run left of each disk."""
        return self.record(replication_id).kept

    def keep(self, replication_id: str, disks: Sequence[KeptDisk]) -> None:
        """The next run goes on from these."""
        self._set(replication_id, kept=[disk.to_json() for disk in disks])

    def forget_kept(self, replication_id: str) -> None:
        """The next run begins anew."""
        self._set(replication_id, kept=None)

    def begin(self, run_id: str, at: float) -> None:
        """A run has started at ``at``; the days of its VM count from the first of all (F389). Once for each run.

        They count from the time it was scheduled for, if that was just before: what a start takes adds no run.
        """
        runs, machines, table = schema.runs, schema.replicated, schema.replications
        with self.alone() as connection:
            connection.execute(runs.update().where(runs.c.id == run_id, runs.c.started.is_(None)).values(started=at))
            query = sa.select(table.c.vm, runs.c.scheduled).join(runs, runs.c.replication_id == table.c.id)
            vm, scheduled = connection.execute(query.where(runs.c.id == run_id)).one()
            first = scheduled if 0 <= at - scheduled <= GRACE else at
            new = (machines.c.vm == vm) & machines.c.first.is_(None)
            connection.execute(machines.update().where(new).values(first=first))

    def figures(self, run_id: str, figures: RunFigures) -> None:
        """What a run has moved."""
        self._set_run(run_id, figures=figures.to_json())

    def end(self, run_id: str, at: float) -> None:
        """When a run ended; a run for which nobody says so gets it from the scheduler."""
        self._set_run(run_id, completed=at)

    def images(self, replication_id: str) -> list[tuple[str, str]]:
        """(run id, AMI id) of the AMIs of runs that are over and are still there, newest first.

        Also of those that failed after their AMI was made: nobody else would remove it.
        """
        runs = schema.runs
        query = select_runs().where(runs.c.replication_id == replication_id, runs.c.image_gone.is_(False))
        with self.store.begin() as connection:
            found = readable("run", connection.execute(query).mappings(), run_view)
        return [(run.id, run.image_id) for run in found if run.state.over and run.image_id]

    def image_gone(self, run_id: str) -> None:
        """The retention has removed a run's AMI."""
        self._set_run(run_id, image_gone=True)

    def leftovers(self, replication_id: str, *, besides: str = "") -> tuple[str, ...]:
        """EBS snapshots that the last run which began, other than the job ``besides``, could not delete."""
        with self.store.begin() as connection:
            jobs = [run.job_id for run in runs_of(connection, replication_id) if run.job_id not in {"", besides}]
        found = (self.store.record(job_id).ledger_as(RunLedger).leftovers for job_id in jobs)
        return next((leftovers for leftovers in found if leftovers is not None), ())

    def wishes(self, replication_id: str) -> list[tuple[str, Wish]]:
        """(job id, what was asked for) of the runs that have a job, newest first."""
        with self.store.begin() as connection:
            return [(run.job_id, run.wish) for run in runs_of(connection, replication_id) if run.job_id]

    # ---- for everybody

    def resolve(self, prefix: str) -> str:
        """The full id of the only replication that starts with ``prefix``, with or without ``sms-job-``.

        Raises ServiceError NOT_FOUND or INVALID.
        """
        ident = self.store.only_id(schema.replications, prefix, (prefix, f"{JOB_PREFIX}{prefix}"), "replication")
        if ident is None:
            raise _unknown(prefix)
        return ident

    def _set(self, replication_id: str, **values: Any) -> None:
        with self.store.begin() as connection:
            change(connection, replication_id, **values)

    def _set_run(self, run_id: str, **values: Any) -> None:
        with self.store.begin() as connection:
            connection.execute(schema.runs.update().where(schema.runs.c.id == run_id).values(values))


# ---- parts of transactions


def find(connection: sa.Connection, replication_id: str) -> ReplicationRecord:
    """One replication. Raises ServiceError NOT_FOUND."""
    table = schema.replications
    row = connection.execute(sa.select(table).where(table.c.id == replication_id)).mappings().first()
    if row is None:
        raise _unknown(replication_id)
    return one("replication", row, replication_record)


def change(connection: sa.Connection, replication_id: str, **values: Any) -> None:
    """Set columns of a replication."""
    if "message" in values:
        values["message"] = hidden(values["message"])
    table = schema.replications
    connection.execute(table.update().where(table.c.id == replication_id).values(values))


def runs_of(connection: sa.Connection, replication_id: str) -> list[RunRecord]:
    """Runs that started or will, newest first: not those that were missed."""
    table = schema.runs
    query = select_runs().where(table.c.replication_id == replication_id, table.c.missed == "")
    return readable("run", connection.execute(query).mappings(), run_record)


def open_runs(connection: sa.Connection, replication_id: str) -> list[RunRecord]:
    """Runs that are not over for good, newest first: at work, about to start, or failed."""
    return readable("run", connection.execute(_open(replication_id)).mappings(), run_record)


def at_work(connection: sa.Connection, replication_id: str) -> Run | None:
    """The run that is not over."""
    found = readable("run", connection.execute(_open(replication_id)).mappings(), run_view)
    return next((run for run in found if not run.state.over), None)


def _open(replication_id: str) -> sa.Select[Any]:
    table = schema.runs
    open_ones = table.c.settled.in_(["", JobState.FAILED.value])  # a failed one's job may be resumed
    return select_runs().where(table.c.replication_id == replication_id, open_ones)


def add_run(
    connection: sa.Connection,
    replication_id: str,
    kind: RunType,
    scheduled: float,
    asked: float,
    *,
    wish: Wish | None = None,
    after: Sequence[str] = (),
) -> str:
    """Record a run that is to be started; its id, or "" when that time has its run already."""
    table = schema.runs
    same = (table.c.replication_id == replication_id) & (table.c.type == kind.value) & (table.c.scheduled == scheduled)
    if connection.execute(sa.select(table.c.id).where(same)).first() is not None:
        return ""
    row = _row(replication_id, kind, scheduled, asked, missed="", wish=wish or Wish(), after=after)
    connection.execute(table.insert().values(row))
    return str(row["id"])


def _row(
    replication_id: str,
    kind: RunType,
    scheduled: float,
    asked: float,
    *,
    missed: str,
    wish: Wish,
    after: Sequence[str],
) -> dict[str, Any]:
    return {
        "id": f"sms-run-{secrets.token_hex(4)}",
        "replication_id": replication_id,
        "type": kind.value,
        "scheduled": scheduled,
        "asked": asked,
        "after": list(after) or None,
        "missed": hidden(missed),
        "settled": MISSED if missed else "",
        "wish": wish.to_json(),
    }


def add_missed(connection: sa.Connection, replication_id: str, reasons: Mapping[float, str], now: float) -> None:
    """Record scheduled runs that never start, by their time; a time that has its run already is left out."""
    table, automatic = schema.runs, RunType.AUTOMATIC.value
    mine = (table.c.replication_id == replication_id) & (table.c.type == automatic)
    known = set(connection.execute(sa.select(table.c.scheduled).where(mine)).scalars()) if reasons else set()
    rows = [
        _row(replication_id, RunType.AUTOMATIC, at, now, missed=reason, wish=Wish(), after=())
        for at, reason in reasons.items()
        if at not in known
    ]
    if rows:
        connection.execute(table.insert(), rows)


def miss(connection: sa.Connection, run_id: str, reason: str) -> None:
    """A run that was to be started never will be."""
    table = schema.runs
    waits = (table.c.id == run_id) & (table.c.job_id == "") & (table.c.missed == "")
    connection.execute(table.update().where(waits).values(missed=hidden(reason), settled=MISSED))


def give_up(connection: sa.Connection, runs: Sequence[RunRecord], reason: str) -> bool:
    """Cancel the jobs of runs that are not over, and of those that failed; False while one still cleans up."""
    done = True
    for run in runs:
        if not run.job_id:
            miss(connection, run.id, reason)
        elif run.job is not None and not run.job.terminal:
            done = False
            if run.job is not JobState.CANCELLING:
                Store.enter(connection, run.job_id, JobState.CANCELLING, control=CANCEL, message=reason)
                Store.note(connection, run.job_id, reason)
    return done


def counted(connection: sa.Connection, account: str) -> int:
    """How many VMs an AWS account migrates at once (F388)."""
    table = schema.replications
    states = [state.value for state in ReplicationState if state.counts]
    query = sa.select(sa.func.count()).where(table.c.account == account, table.c.state.in_(states))
    return int(connection.execute(query).scalar_one())


def _unknown(ident: str) -> ServiceError:
    return ServiceError(
        ErrorKind.NOT_FOUND,
        "there is no such replication",
        subject=ident,
        remedy="See 'vmie-tui replicate list' for those there are",
    )


def add_replication(connection: sa.Connection, spec: Replication, vm: str, account: str, now: float) -> str:
    """Record a replication, PENDING; its id."""
    ident = f"{JOB_PREFIX}{secrets.token_hex(4)}"
    connection.execute(
        schema.replications.insert().values(
            id=ident,
            profile=spec.plan.profile,
            account=account,
            vm=vm,
            name=spec.plan.source.name,
            state=ReplicationState.PENDING.value,
            created=now,
            next_run=spec.start,
            message="",
            spec=spec.to_json(),
        )
    )
    machines = schema.replicated
    if connection.execute(sa.select(machines.c.vm).where(machines.c.vm == vm)).first() is None:
        connection.execute(machines.insert().values(vm=vm))
    return ident


def of_vm(connection: sa.Connection, vm: str, *, besides: str = "") -> str:
    """The replication that a VM has at present, "" for none: those that are over do not count."""
    table = schema.replications
    states = [state.value for state in ReplicationState if state.counts] + [ReplicationState.DELETING.value]
    query = sa.select(table.c.id).where(table.c.vm == vm, table.c.state.in_(states), table.c.id != besides)
    return str(connection.execute(query).scalar() or "")


def replicated(connection: sa.Connection, vm: str) -> tuple[float | None, int]:
    """(start of a VM's first replication ever, days that the user asked for besides)."""
    table = schema.replicated
    row = connection.execute(sa.select(table).where(table.c.vm == vm)).mappings().first()
    return (row["first"], int(row["extended_days"])) if row is not None else (None, 0)


def wants_worker(connection: sa.Connection) -> bool:
    """Whether something will have to be done without the user: a run is scheduled or waits, or one is to be removed."""
    table, runs = schema.replications, schema.runs
    ahead = sa.exists().where(table.c.next_run.is_not(None) | (table.c.state == ReplicationState.DELETING.value))
    open_runs = sa.exists().where(
        runs.c.settled == "",
        (runs.c.job_id == "")
        | runs.c.job_id.in_(
            sa.select(schema.jobs.c.id).where(schema.jobs.c.state.in_([state.value for state in OVER]))
        ),
    )
    return bool(connection.execute(sa.select(ahead | open_runs)).scalar())
