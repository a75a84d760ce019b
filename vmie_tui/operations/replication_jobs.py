"""Replications as the store has them: created, read, steered and run. The work is the worker's alone."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import sqlalchemy as sa

from vmie_tui.clock import Clocks
from vmie_tui.jobs.engine.worker_process import ensure_worker
from vmie_tui.jobs.replication.end_run import DONE_ONCE
from vmie_tui.jobs.replication.start_run import start, waiting
from vmie_tui.jobs.store import schema
from vmie_tui.jobs.store.catalogues import Catalogues, vm_key
from vmie_tui.jobs.store.replication_records import ReplicationRecord, Wish, replication_record
from vmie_tui.jobs.store.replication_views import read_replications
from vmie_tui.jobs.store.replications import (
    Replications,
    add_replication,
    add_run,
    at_work,
    change,
    counted,
    find,
    give_up,
    of_vm,
    open_runs,
    replicated,
    runs_of,
    wants_worker,
)
from vmie_tui.jobs.store.store import Store
from vmie_tui.model import facts
from vmie_tui.model.errors import ErrorKind, ServiceError
from vmie_tui.model.finding import Finding
from vmie_tui.model.machine import Inventory, Machine
from vmie_tui.model.plan import TestLaunch
from vmie_tui.model.replication import (
    JOB_PREFIX,
    Catalogue,
    Replication,
    ReplicationState,
    ReplicationView,
    RunState,
    RunType,
    Sync,
    Verify,
    runnable_members,
    stamp,
)
from vmie_tui.model.rules.override import not_overridden
from vmie_tui.model.rules.replication import check_edit, check_replication, settled
from vmie_tui.model.rules.replication_schedule import DAY, age, latest_start, next_after, refuse_on_demand
from vmie_tui.services.read_only import Policy
from vmie_tui.settings import Settings

EXTEND_DAYS = 365  # ours: the most that one request may add


class ReplicationJobs:
    """Of every profile. Every method blocks: call it in a thread. Raises ServiceError.

    ``ident``: of a replication, or a prefix only it has.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._store = Store(settings.state_dir, settings.database_url)
        self._replications = Replications(self._store)
        self._catalogues = Catalogues(self._replications)
        self._clocks = Clocks(settings.state_dir)

    def close(self) -> None:
        """Let go of the database."""
        self._store.close()

    # ---- reading

    def now(self, profile: str) -> float:
        """What time it is for a profile's schedules."""
        return self._clocks.now(profile)

    def views(self, profile: str | None = None, *, deleted: bool = False) -> list[ReplicationView]:
        """All replications, newest first; those that were ``deleted`` only when asked for."""
        if not self._store.exists:
            return []
        with self._store.begin() as connection:
            return read_replications(connection, self.now, profile=profile, deleted=deleted)

    def view(self, ident: str) -> ReplicationView:
        """One replication."""
        ident = self._replications.resolve(ident)
        with self._store.begin() as connection:
            return read_replications(connection, self.now, replication_id=ident)[0]

    def find(self, wanted: str) -> ReplicationView:
        """The only one of this id, beginning of an id, or name of a VM. Raises ServiceError NOT_FOUND, INVALID.

        Of a VM that was replicated before, it is the one that still goes on.
        """
        if wanted.startswith(JOB_PREFIX):
            return self.view(wanted)
        named = [view for view in self.views() if view.name == wanted]
        live = [view for view in named if view.state.counts] or named
        if len(live) > 1:
            raise ServiceError(
                ErrorKind.INVALID,
                f"{len(live)} replications are of VMs with this name",
                subject=wanted,
                remedy=f"Give the id of one of them: {', '.join(view.id for view in live)}",
            )
        return live[0] if live else self.view(wanted)

    def find_all(self, wanted: Sequence[str]) -> list[ReplicationView]:
        """Each of ``wanted`` once, before anything is done to any."""
        return list({view.id: view for view in map(self.find, wanted)}.values())

    def group(self, profile: str, group: str) -> list[ReplicationView]:
        """Those that `start_group` would start, in its order. Raises ServiceError NOT_FOUND when there is none."""
        found = runnable_members(self.views(profile), group)
        if not found:
            raise _empty_group(group)
        return list(found)

    def findings(
        self, spec: Replication, machine: Machine, *, account: str = "", ident: str = ""
    ) -> tuple[Finding, ...]:
        """What there is to be said, worst first; ``ident``: the replication that ``spec`` is to be of, if there is one.

        ``account``: of AWS; without it the one that the profile's replications went to.
        """
        if not self._store.exists:
            return check_replication(spec, machine, now=self.now(spec.plan.profile))
        with self._store.begin() as connection:
            return self._findings(connection, spec, machine, account, ident)

    # ---- the catalogue

    def catalogue(self, profile: str) -> Catalogue:
        """The servers of the profile's vCenter, each with its replication."""
        return self._catalogues.read(profile, self._host(profile))

    @contextmanager
    def importing(self, profile: str) -> Iterator[None]:
        """While inside, the catalogue is said to be IMPORTING; it is what it was when nothing was imported."""
        self._catalogues.importing(profile, self._host(profile), self.now(profile))
        try:
            yield
        finally:
            self._catalogues.stop(profile)

    def import_catalogue(self, profile: str, inventory: Inventory) -> Catalogue:
        """Import, or re-import, the catalogue: servers known before keep their ids."""
        self._catalogues.fill(profile, self._host(profile), inventory, self.now(profile))
        return self.catalogue(profile)

    def clear_catalogue(self, profile: str) -> Catalogue:
        """Remove the list of servers; replications go on (F429)."""
        self._catalogues.clear(profile, self._host(profile), self.now(profile))
        return self.catalogue(profile)

    # ---- replications

    def create(self, spec: Replication, machine: Machine, *, account: str) -> str:
        """Record a replication and see that a worker runs; its id.

        Raises ServiceError CONFLICT when the VM is replicated already (``detail``: by which), REFUSED with the first
        blocker's words otherwise.
        """
        name = spec.plan.profile
        Policy(self._settings.profile(name).read_only).check_work("replicated", name)
        now = self.now(name)
        spec = replace(spec, plan=settled(spec.plan, machine), start=max(spec.start, now))
        vm = _vm(spec, machine)
        with self._replications.alone() as connection:
            if other := of_vm(connection, vm):
                raise ServiceError(
                    ErrorKind.CONFLICT,
                    f"it is replicated already, by {other}",
                    subject=machine.name,
                    remedy="Edit that replication, or delete it first",
                    code="ReplicationJobAlreadyExists",
                    detail=other,
                )
            _refuse(not_overridden(self._findings(connection, spec, machine, account, ""), spec.plan.override))
            ident = add_replication(connection, spec, vm, account, now)
        self._ensure_worker()
        return ident

    def edit(self, ident: str, spec: Replication, *, next_run: float | None = None) -> None:
        """Change what may be changed (F439). ``next_run``: when to run next; the interval counts from there then.

        Raises ServiceError REFUSED with the first blocker's words, INVALID for a time behind us or too far ahead.
        """
        with self._steer(ident, "changed") as (connection, record, now):
            if not (record.state.runnable or record.terminated):
                raise _wrong_state(record, "changed")
            ever = bool(record.kept) or any(run.state is RunState.COMPLETED for run in runs_of(connection, record.id))
            _refuse(not_overridden(check_edit(record.spec, spec, replicated=ever), spec.plan.override))
            if next_run is not None:
                spec = replace(spec, start=_checked_start(next_run, now))
            elif record.state is not ReplicationState.PENDING:
                spec = replace(spec, start=record.spec.start)
            elif spec.start != record.spec.start:
                spec = replace(spec, start=_checked_start(spec.start, now))
            goes_on = record.state.counts and not record.paused
            scheduled = goes_on and (record.next_run is not None or next_run is not None)
            at = _next_run(record, spec, now, given=next_run) if scheduled else None
            change(
                connection,
                record.id,
                spec=spec.to_json(),
                name=spec.plan.source.name,
                next_run=None if record.state is ReplicationState.PAUSED_ON_FAILURE else at,
            )
        self._ensure_worker()

    def pause(self, ident: str) -> None:
        """Schedule nothing until `resume`; a run at work goes on."""
        with self._steer(ident, "paused") as (connection, record, _):
            if not record.state.counts or record.paused:
                raise _wrong_state(record, "paused")
            change(connection, record.id, paused=True, next_run=None, message="paused by the user")

    def resume(self, ident: str) -> None:
        """Go on with one that was paused, by the user or by failures, at its next time; nothing is made up for."""
        with self._steer(ident, "resumed") as (connection, record, now):
            failed = record.state is ReplicationState.PAUSED_ON_FAILURE
            if not (failed or (record.paused and record.state.counts)):
                raise _wrong_state(record, "resumed")
            change(
                connection,
                record.id,
                paused=False,
                failures=0,
                state=(ReplicationState.ACTIVE if failed else record.state).value,
                next_run=_next_run(record, record.spec, now),
                message="",
            )
        self._ensure_worker()

    def extend(self, ident: str, days: int) -> None:
        """Give the VM more days than the documented number (F389); one whose days were over goes on."""
        if not 1 <= days <= EXTEND_DAYS:
            raise ServiceError(
                ErrorKind.INVALID, f"{days} days cannot be added", remedy=f"1 to {EXTEND_DAYS} days at a time"
            )
        with self._steer(ident, "extended") as (connection, record, now):
            if record.state in {ReplicationState.DELETING, ReplicationState.DELETED}:
                raise _wrong_state(record, "extended")
            machines = schema.replicated
            connection.execute(
                machines.update()
                .where(machines.c.vm == record.vm)
                .values(extended_days=machines.c.extended_days + days)
            )
            first, extended = replicated(connection, record.vm)
            if record.terminated and not age(first, extended, now).over:
                _check_room_for_vm(connection, record)
                change(connection, record.id, terminated=False, failures=0, **_reopened(connection, record, now))
        self._ensure_worker()

    def delete(self, ident: str) -> None:
        """Stop it for good. The worker cancels a run at work and cleans up; AMIs made are kept (F440)."""
        with self._steer(ident, "deleted") as (connection, record, _):
            if record.state is ReplicationState.DELETED:
                raise _wrong_state(record, "deleted")
            if record.state is not ReplicationState.DELETING:
                change(
                    connection,
                    record.id,
                    state=ReplicationState.DELETING.value,
                    next_run=None,
                    message="deleting: cleaning up, AMIs are kept",
                )
            give_up(connection, open_runs(connection, record.id), "the replication is deleted")
        self._ensure_worker()

    # ---- runs

    def run_now(
        self,
        ident: str,
        *,
        resync: Sync | None = None,
        verify: Verify | None = None,
        cutover: TestLaunch | None = None,
    ) -> str:
        """Start an on-demand run, which leaves the schedule as it is; its id (F445 to F447).

        ``cutover``: the final run; the machine is shut down, and this instance launched of the AMI. Raises ServiceError
        CONFLICT while a run is at work, REFUSED for more than two within 24 hours.
        """
        if resync not in {None, Sync.FULL, Sync.CHECKSUM}:
            raise ServiceError(ErrorKind.INVALID, f"{resync} cannot be asked for", remedy="A full or a checksum resync")
        with self._steer(ident, "run") as (connection, record, now):
            run_id = _record_run(connection, record, now, Wish(resync, verify, cutover), ())
            _start_runs(connection, {run_id: record}, {record.id: now})
        self._ensure_worker()
        return run_id

    def start_group(self, profile: str, group: str, *, cutover: TestLaunch | None = None) -> list[str]:
        """One on-demand run of each of the group's replications; their ids, those that start first in front.

        Those of a higher order wait until all before them are completed. Nothing is started when one cannot be.
        """
        Policy(self._settings.profile(profile).read_only).check_work("run", profile)
        now = self.now(profile)
        asked: dict[str, ReplicationRecord] = {}
        with self._replications.alone() as connection:
            table = schema.replications
            rows = connection.execute(sa.select(table).where(table.c.profile == profile).order_by(table.c.created))
            records = [replication_record(row) for row in rows.mappings()]
            members = [record for record in records if record.spec.group == group and record.state.runnable]
            if not members or not group:
                raise _empty_group(group)
            for order in sorted({record.spec.order for record in members}):
                before = tuple(asked)
                for record in (one for one in members if one.spec.order == order):
                    asked[_record_run(connection, record, now, Wish(cutover=cutover), before)] = record
            _start_runs(connection, asked, {record.id: now for record in members})
        self._ensure_worker()
        return list(asked)

    # ---- the worker

    def ensure_worker_for_schedules(self) -> bool:
        """Start a worker where a schedule needs one; False when nothing is scheduled, or all is read-only."""
        if self._settings.read_only or not self._store.exists:
            return False
        with self._store.begin() as connection:
            if not wants_worker(connection):
                return False
        self._ensure_worker()
        return True

    def ensure_worker_for_jobs(self) -> bool:
        """Start a worker where jobs are under way, as after a crash; False when none is, or all is read-only."""
        if self._settings.read_only or not self._store.exists:
            return False
        counts = self._store.counts()
        if not any(number for state, number in counts.items() if state.live):
            return False
        self._ensure_worker()
        return True

    def _ensure_worker(self) -> None:
        ensure_worker(self._settings)

    # ---- parts

    @contextmanager
    def _steer(self, ident: str, verb: str) -> Iterator[tuple[sa.Connection, ReplicationRecord, float]]:
        """A replication that may be changed, and the time, in a transaction beside which nobody changes any."""
        ident = self._replications.resolve(ident)
        with self._replications.alone() as connection:
            record = find(connection, ident)
            Policy(self._settings.only_reads(record.profile)).check_work(verb, ident)
            yield connection, record, self.now(record.profile)

    def _host(self, profile: str) -> str:
        vcenter = self._settings.profile(profile).vcenter
        return vcenter.host if vcenter else ""

    def _findings(
        self, connection: sa.Connection, spec: Replication, machine: Machine, account: str, ident: str
    ) -> tuple[Finding, ...]:
        name, table = spec.plan.profile, schema.replications
        now, vm = self.now(name), _vm(spec, machine)
        if not account:
            newest = sa.select(table.c.account).where(table.c.profile == name).order_by(table.c.created.desc()).limit(1)
            account = connection.execute(newest).scalar() or ""
        own = find(connection, self._replications.resolve(ident)) if ident else None
        first, extended = replicated(connection, vm)
        return check_replication(
            spec,
            machine,
            now=now,
            others=counted(connection, account) - (own is not None and own.state.counts),
            age=age(first, extended, now),
            existing="" if own is not None else of_vm(connection, vm),
            begun=own is not None and own.state is not ReplicationState.PENDING,
            at_work=own is not None and at_work(connection, own.id) is not None,
        )


def _vm(spec: Replication, machine: Machine) -> str:
    return vm_key(spec.plan.vm.vcenter, machine.instance_uuid or machine.moid)


# -- parts of the transactions: what may be asked of a replication, and what is said when it may not


def _refuse(blockers: tuple[Finding, ...]) -> None:
    """Raise the first."""
    if blockers:
        raise blockers[0].refusal(blockers[0].why)


def _empty_group(group: str) -> ServiceError:
    return ServiceError(
        ErrorKind.NOT_FOUND,
        "no replication is in this group",
        subject=group,
        remedy="See 'vmie-tui replicate list' for those there are; 'replicate edit --group' puts one into it",
    )


def _wrong_state(record: ReplicationRecord, verb: str) -> ServiceError:
    state = "paused" if record.paused and record.state.counts else record.state.value
    return ServiceError(ErrorKind.CONFLICT, f"a replication that is {state} cannot be {verb}", subject=record.id)


def _checked_start(at: float, now: float) -> float:
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


def _next_run(record: ReplicationRecord, spec: Replication, now: float, *, given: float | None = None) -> float | None:
    """When it runs next; a one-time migration that was not started yet runs at its start, or now."""
    if given is not None or record.state is ReplicationState.PENDING or spec.once:
        begun = record.state is not ReplicationState.PENDING and record.next_run is None
        return None if spec.once and begun and given is None else max(spec.start, now)
    return next_after(spec.start, spec.every_hours, now)


def _reopened(connection: sa.Connection, record: ReplicationRecord, now: float) -> dict[str, Any]:
    """Columns of one whose days were over, and have become more: it goes on, but for a one-time one that was done."""
    runs, spec = runs_of(connection, record.id), record.spec
    if spec.once and any(run.state is RunState.COMPLETED for run in runs):
        return {"state": ReplicationState.COMPLETED.value, "message": DONE_ONCE}
    pending = not any(run.job_id for run in runs)
    state = ReplicationState.PENDING if pending else ReplicationState.ACTIVE
    following = max(spec.start, now) if pending or spec.once else next_after(spec.start, spec.every_hours, now)
    paused = {"next_run": None, "message": "paused by the user"}
    return {"state": state.value, **(paused if record.paused else {"next_run": following, "message": ""})}


def _record_run(
    connection: sa.Connection, record: ReplicationRecord, now: float, wish: Wish, before: tuple[str, ...]
) -> str:
    """Record an on-demand run. Raises ServiceError with the rule's words."""
    if not record.state.runnable:
        raise _wrong_state(record, "run")
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
        _check_room_for_vm(connection, record)
    # The service knew no cutover: its last run is held up by one at work, and by no other limit than the VM's days.
    mine = [run for run in runs_of(connection, record.id) if run.type is RunType.ON_DEMAND and run.wish.cutover is None]
    asked = [] if wish.cutover is not None else [run.asked for run in mine]
    problem = refuse_on_demand(asked, now, at_work(connection, record.id))
    if problem is not None:
        raise ServiceError.of(replace(problem, subject=problem.subject or record.spec.plan.source.name))
    return add_run(connection, record.id, RunType.ON_DEMAND, now, now, wish=wish, after=before)


def _start_runs(connection: sa.Connection, asked: Mapping[str, ReplicationRecord], times: Mapping[str, float]) -> None:
    """Make the jobs of runs just asked for, where nothing is in the way; the others are the worker's to start."""
    for run in waiting(connection):
        record = asked.get(run.id)
        if record is not None:
            start(connection, record, run, times[record.id])


def _check_room_for_vm(connection: sa.Connection, record: ReplicationRecord) -> None:
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
