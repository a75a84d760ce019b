"""The scheduler of replications: a look at the rows, by each profile's own clock, that the worker takes every second.

No cron and no timer: an interval such as 7 hours has no cron form, and a simulated clock jumps. Each step is one
transaction that reads its rows again, so that any number of workers, and a kill at any moment, start a due time once.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import sqlalchemy as sa

from vmie_tui import settings as settings_module
from vmie_tui.clock import Clocks
from vmie_tui.jobs.engine.context import AwsSessions
from vmie_tui.jobs.replication.end_run import ended, ends_to_note, note_end, reopen
from vmie_tui.jobs.replication.removal import Removal
from vmie_tui.jobs.replication.start_run import start, waiting
from vmie_tui.jobs.store import schema
from vmie_tui.jobs.store.replication_records import ReplicationRecord, RunRecord
from vmie_tui.jobs.store.replications import (
    Replications,
    add_missed,
    add_run,
    at_work,
    change,
    find,
    miss,
    replicated,
    wants_worker,
)
from vmie_tui.jobs.store.store import Store
from vmie_tui.model.errors import SettingsError, VmieError
from vmie_tui.model.replication import ReplicationState, Run, RunType
from vmie_tui.model.rules.replication_schedule import age, due, missed_reason, skip_reason
from vmie_tui.settings import Profile, Settings

_log = logging.getLogger("vmie_tui.schedule")


class Scheduler:
    """Starts runs that are due, notes their ends and removes what is deleted. For one thread."""

    def __init__(self, settings: Settings, store: Store, sessions: AwsSessions) -> None:
        self._settings, self._replications = settings, Replications(store)
        self._removal = Removal(self._replications, sessions, self._profile)
        self._clocks = Clocks(settings.state_dir)
        self._said: dict[str, str] = {}

    def tick(self) -> None:
        """One look; never raises for one replication what would keep the others from their runs.

        Raises ServiceError LOCAL when the store cannot be read.
        """
        begin = self._replications.store.begin
        with begin() as connection:
            ends = ends_to_note(connection)
        for run in ends:
            self._safely(run.replication_id, lambda run=run: self._note(run))  # type: ignore[misc]
        with begin() as connection:
            rows = _counting(connection)
        for row in rows:
            self._safely(row.id, lambda row=row: self._look_at_times(row))  # type: ignore[misc]
        with begin() as connection:
            waiters = waiting(connection)
        for run in waiters:
            self._safely(run.replication_id, lambda run=run: self._start(run))  # type: ignore[misc]
        for ident in self._deleting():
            self._safely(ident, lambda ident=ident: self._removal.look(ident))  # type: ignore[misc]

    def wants_worker(self) -> bool:
        """Whether anything will have to be done without the user."""
        with self._replications.store.begin() as connection:
            return wants_worker(connection)

    def _safely(self, ident: str, work: Callable[[], object]) -> None:
        try:
            work()
        except VmieError as error:
            text = str(error)
        except Exception as error:  # noqa: BLE001 - a row that cannot be read must not end the worker
            text = f"{type(error).__name__}: {error}"
        else:
            self._said.pop(ident, None)
            return
        if self._said.get(ident) != text:  # not once a second
            self._said[ident] = text
            _log.warning("%s: %s", ident, text, exc_info=True)

    # ---- steps, each a transaction

    def _look_at_times(self, row: Any) -> None:
        now = self._clocks.now(row.profile)
        if age(row.first, row.extended_days or 0, now).over:
            self._end_days(row.id, now)
        elif row.next_run is not None and row.next_run <= now:
            self._take(row.id, row.profile, now)

    def _note(self, run: RunRecord) -> None:
        with self._replications.alone() as connection:
            record = find(connection, run.replication_id)
            now = self._clocks.now(record.profile)
            if run.job is not None and ended(run.job):
                note_end(connection, record, run, now)
            else:
                reopen(connection, record, run)

    def _end_days(self, ident: str, now: float) -> None:
        """The days of the VM are over (F389): what was due before their end is missed, nothing runs any more."""
        with self._replications.alone() as connection:
            record = find(connection, ident)
            days = age(*replicated(connection, record.vm), now)
            if not days.over or days.ends is None or not record.state.counts:
                return
            if record.next_run is not None and record.next_run < days.ends:
                found = due(record.spec, record.next_run, days.ends, first=False)
                times = [*found.missed, *([found.run] if found.run is not None else [])]
                reasons = {at: missed_reason(at, now) for at in times if at < days.ends}
                add_missed(connection, ident, reasons, now)
            change(
                connection,
                ident,
                state=ReplicationState.COMPLETED.value,
                terminated=True,
                next_run=None,
                message=f"the {days.days} days of its VM are over; they can be extended",
            )

    def _take(self, ident: str, profile: str, now: float) -> None:
        """A time is due: move on to the next and record what becomes of this one, together."""
        refusal = self._refusal(profile)
        with self._replications.alone() as connection:
            record = find(connection, ident)
            seen = record.next_run
            if seen is None or seen > now or not record.state.counts:
                return
            found = due(record.spec, seen, now, first=record.state is ReplicationState.PENDING)
            if not _move_on(connection, ident, seen, found.next):
                return
            active = at_work(connection, ident)
            reasons = {at: _why(at, now, active) for at in found.missed}
            if found.run is not None and (refusal or active is not None):
                reasons[found.run] = refusal or (skip_reason(active) if active is not None else "")
            add_missed(connection, ident, reasons, now)
            if found.run is None or found.run in reasons:
                self._only_missed(connection, record, refusal)
                return
            add_run(connection, ident, RunType.AUTOMATIC, found.run, now)
            for run in waiting(connection):
                if run.replication_id == ident:
                    start(connection, record, run, now)

    @staticmethod
    def _only_missed(connection: sa.Connection, record: ReplicationRecord, refusal: str) -> None:
        """A one-time migration that could not be started has failed; others have their next time."""
        if not refusal:
            return
        change(connection, record.id, message=f"a run was missed: {refusal}")
        if record.spec.once:
            change(connection, record.id, state=ReplicationState.FAILED.value)

    def _start(self, run: RunRecord) -> None:
        """A run that waits: for its group, or for the leftovers of a failed one to be gone."""
        with self._replications.alone() as connection:
            record = find(connection, run.replication_id)
            now = self._clocks.now(record.profile)
            if record.state in {ReplicationState.DELETING, ReplicationState.DELETED}:
                miss(connection, run.id, "the replication is deleted")
            elif age(*replicated(connection, record.vm), now).over:
                miss(connection, run.id, "the days of its VM are over")
            elif refusal := self._refusal(record.profile):
                miss(connection, run.id, refusal)
            elif any(run.id == other.id for other in waiting(connection)):
                start(connection, record, run, now)

    # ---- what it knows of the world

    def _deleting(self) -> list[str]:
        table = schema.replications
        with self._replications.store.begin() as connection:
            query = sa.select(table.c.id).where(table.c.state == ReplicationState.DELETING.value)
            return list(connection.execute(query).scalars())

    def _profile(self, name: str) -> Profile:
        """The profile as it is configured now. Raises SettingsError when it is gone, or cannot be read."""
        base = self._settings
        return settings_module.load(name, state_dir=base.state_dir, config_file=base.config_file).profile(name)

    def _refusal(self, profile: str) -> str:
        """Why no run of a profile can be started; "" when it can."""
        try:
            return f"the profile {profile} is read-only" if self._profile(profile).read_only else ""
        except SettingsError as error:
            return str(error.problem)


def _counting(connection: sa.Connection) -> list[sa.Row[tuple[str, str, float | None, float | None, int | None]]]:
    """Replications that have a next time, or days that may end: cheap, for every second."""
    table, machines = schema.replications, schema.replicated
    states = [state.value for state in ReplicationState if state.counts]
    query = (
        sa.select(table.c.id, table.c.profile, table.c.next_run, machines.c.first, machines.c.extended_days)
        .select_from(table.outerjoin(machines, machines.c.vm == table.c.vm))
        .where(table.c.state.in_(states))
        .order_by(table.c.next_run)
    )
    return list(connection.execute(query))


def _move_on(connection: sa.Connection, ident: str, seen: float, following: float | None) -> bool:
    """Compare-and-set of the next time; False when somebody else was faster."""
    table = schema.replications
    changed = connection.execute(
        table.update().where(table.c.id == ident, table.c.next_run == seen).values(next_run=following)
    ).rowcount
    return changed == 1


def _why(at: float, now: float, active: Run | None) -> str:
    return skip_reason(active) if active is not None and active.scheduled <= at else missed_reason(at, now)
