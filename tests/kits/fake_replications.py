"""Replications that answer at once; everything asked is in ``asked``, but looking."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

from tests.kits.fake_images import INSTANCE
from vmie_tui.model.errors import ErrorKind, ServiceError
from vmie_tui.model.finding import Finding, Severity
from vmie_tui.model.machine import Machine
from vmie_tui.model.plan import ImportPlan, Route, TestLaunch, VmSource
from vmie_tui.model.replication import (
    Catalogue,
    CatalogueStatus,
    Replication,
    ReplicationState,
    ReplicationView,
    Run,
    RunFigures,
    RunState,
    RunType,
    Server,
    Sync,
    Verify,
)

NOW = datetime(2026, 3, 4, 10, 41, 7, tzinfo=UTC).timestamp()  # as `fake_backend.NOW`
HOUR, DAY = 3600.0, 86_400.0
MIB, GIB = 1 << 20, 1 << 30
RDM = Finding(Severity.BLOCKER, "is a raw device mapping", "Hard disk 2", remedy="Turn it into a virtual disk")
WARNED = Finding(Severity.WARNING, "VMware Tools does not run", "web-01")
NOTE = Finding(Severity.INFO, "vMotion may move it between runs", "web-01")


def spec_of(name: str, **fields: object) -> Replication:
    """Every 12 hours, the newest five AMIs kept. ``fields``: of the `Replication`."""
    source = VmSource("vcenter.corp", f"vm-{name}", name, f"uuid-{name}")
    plan = ImportPlan("prod", source, "eu-west-1", "", route=Route.IMAGE_DIRECT)
    base = Replication(plan, NOW - 11 * DAY, every_hours=12, keep=5)
    return replace(base, **fields)  # type: ignore[arg-type]


def run_of(number: int, state: RunState = RunState.COMPLETED, *, ago: float = 12 * HOUR, **fields: object) -> Run:
    """A scheduled run of that many seconds ago, by default one that moved 41 MiB of 200 GiB."""
    at = NOW - ago
    done = state is RunState.COMPLETED
    base = Run(
        f"sms-run-{number:08x}",
        "",
        RunType.AUTOMATIC,
        state,
        at,
        job_id="" if state is RunState.MISSED else f"job{number:04}",
        started=None if state is RunState.MISSED else at,
        completed=at + 52 if state.over and state is not RunState.MISSED else None,
        image_id=f"ami-{number:017x}" if done else "",
        figures=figures_of() if done else None,
    )
    return replace(base, **fields)  # type: ignore[arg-type]


def figures_of(**fields: object) -> RunFigures:
    base = RunFigures(Sync.CHANGED, "", 40 * MIB, 41 * MIB, 200 * GIB, 40.0, 12.0, True, 32, NOW - 12 * HOUR)
    return replace(base, **fields)  # type: ignore[arg-type]


def replica(number: int, name: str, *runs: Run, **fields: object) -> ReplicationView:
    """A replication on its twelfth day; ``fields`` of the `ReplicationView`."""
    ident = f"sms-job-{number:08x}"
    base = ReplicationView(
        ident,
        spec_of(name),
        ReplicationState.ACTIVE if runs else ReplicationState.PENDING,
        NOW - 11 * DAY,
        NOW,
        next_run=NOW + 3 * HOUR + 600,
        first=NOW - 11 * DAY,
        ends=NOW + 79 * DAY,
        days=90,
        runs=tuple(replace(run, replication_id=ident) for run in runs),
    )
    return replace(base, **fields)  # type: ignore[arg-type]


def some_replicas() -> list[ReplicationView]:
    """One replication of each kind that looks different."""
    running = run_of(
        20,
        RunState.ACTIVE,
        ago=300,
        fraction=0.61,
        rate=112e6,
        eta_seconds=170.0,
        figures=figures_of(changed=1228 * MIB, moved=749 * MIB, seconds=0.0, overhead=0.0),
    )
    first = figures_of(sync=Sync.FIRST, changed=9 * GIB, moved=9 * GIB, seconds=310.0)
    resync = figures_of(sync=Sync.FULL, reason="its disk 1 was enlarged", changed=9 * GIB, moved=9 * GIB, seconds=301.0)
    failed = run_of(30, RunState.FAILED, ago=HOUR, message="vCenter refuses changed block tracking: no privilege")
    missed = run_of(31, RunState.MISSED, ago=13 * HOUR, message="the worker was not running at its time")
    cut = run_of(40, ago=2 * HOUR, cutover=True, instance_id="i-0aa11bb22cc33dd44", type=RunType.ON_DEMAND)
    return [
        replica(
            1,
            "web-01",
            run_of(12),
            run_of(11, ago=24 * HOUR),
            run_of(10, ago=36 * HOUR, figures=first, type=RunType.ON_DEMAND),
            spec=spec_of("web-01", group="shop", order=1),
        ),
        replica(
            2,
            "db-01",
            running,
            run_of(19, ago=24 * HOUR, figures=resync),
            spec=spec_of("db-01", every_hours=24, group="shop"),
            next_run=NOW + 23 * HOUR + 55 * 60,
            first=NOW - 39.5 * DAY,
        ),
        replica(3, "win-file-01", failed, missed, state=ReplicationState.PAUSED_ON_FAILURE, next_run=None),
        replica(4, "ubuntu-build", cut, paused=True),
        replica(
            5,
            "サーバー東京-01",
            run_of(50, ago=91 * DAY),
            state=ReplicationState.COMPLETED,
            terminated=True,
            next_run=None,
            first=NOW - 92 * DAY,
            ends=NOW - 2 * DAY,
        ),
        replica(
            6,
            "[red]markup[/red]\x1b[31m",
            first=None,
            ends=None,
            spec=spec_of("[red]markup[/red]\x1b[31m", every_hours=0, keep=0, start=NOW + 2 * DAY),
            next_run=NOW + 2 * DAY,
        ),
    ]


def many_replicas(count: int) -> list[ReplicationView]:
    return [replica(i + 1, f"vm-{i:05}", run_of(2 * i + 2), run_of(2 * i + 1, ago=24 * HOUR)) for i in range(count)]


def catalogue_of(*names: str, **fields: object) -> Catalogue:
    """A catalogue with these servers."""
    servers = tuple(
        Server(f"s-{i:08x}", f"vm-{name}", f"uuid-{name}", name, f"/DC1/vm/Production/{name}", "vcenter.corp")
        for i, name in enumerate(names, start=1)
    )
    base = Catalogue(CatalogueStatus.AVAILABLE, NOW - 2 * HOUR, servers)
    return replace(base, **fields)  # type: ignore[arg-type]


class FakeReplicas:
    """``errors``: raised by the method of that name. What changes a replication changes its view."""

    def __init__(self, views: list[ReplicationView] | None = None) -> None:
        self.listed = [] if views is None else views
        self.time = NOW
        self.servers = Catalogue()
        self.found: tuple[Finding, ...] = ()
        self.found_of: dict[str, tuple[Finding, ...]] = {}  # by the machine's name
        self.errors: dict[str, ServiceError] = {}
        self.asked: list[tuple[object, ...]] = []
        self.looks = 0  # how often `views` was called

    def _ask(self, name: str, *arguments: object) -> None:
        self.asked.append((name, *arguments))
        self._fail(name)

    def _fail(self, name: str) -> None:
        if name in self.errors:
            raise self.errors[name]

    def _at(self, ident: str) -> int:
        found = next((i for i, view in enumerate(self.listed) if view.id == ident), None)
        if found is None:
            raise ServiceError(ErrorKind.NOT_FOUND, "there is no such replication", subject=ident)
        return found

    def _change(self, ident: str, **fields: object) -> None:
        at = self._at(ident)
        self.listed[at] = replace(self.listed[at], **fields)  # type: ignore[arg-type]

    def now(self) -> float:
        return self.time

    def views(self) -> list[ReplicationView]:
        self.looks += 1
        self._fail("views")
        return [replace(view, now=self.time) for view in self.listed]

    def catalogue(self) -> Catalogue:
        self._fail("catalogue")
        return self.servers

    def import_catalogue(self) -> Catalogue:
        self._ask("import_catalogue")
        self.servers = catalogue_of(*(view.name for view in self.listed), "idle-01", modified=self.time)
        return self.servers

    def clear_catalogue(self) -> Catalogue:
        self._ask("clear_catalogue")
        self.servers = Catalogue(CatalogueStatus.DELETED, self.time)
        return self.servers

    def findings(self, spec: Replication, machine: Machine, ident: str = "") -> tuple[Finding, ...]:
        self._fail("findings")
        return (*self.found, *self.found_of.get(machine.name, ()))

    def create(self, spec: Replication, machine: Machine) -> str:
        self._ask("create", spec, machine)
        made = replica(100 + len(self.listed), machine.name, spec=spec, first=None, ends=None, next_run=spec.start)
        self.listed.append(made)
        return made.id

    def edit(self, ident: str, spec: Replication, next_run: float | None) -> None:
        self._ask("edit", ident, spec, next_run)
        self._change(ident, spec=spec, next_run=next_run)

    def pause(self, ident: str) -> None:
        self._ask("pause", ident)
        self._change(ident, paused=True)

    def resume(self, ident: str) -> None:
        self._ask("resume", ident)
        self._change(ident, paused=False, state=ReplicationState.ACTIVE)

    def delete(self, ident: str) -> None:
        self._ask("delete", ident)
        self._change(ident, state=ReplicationState.DELETING, next_run=None)

    def extend(self, ident: str, days: int) -> None:
        self._ask("extend", ident, days)
        view = self.listed[self._at(ident)]
        self._change(ident, days=view.days + days, extended_days=view.extended_days + days, terminated=False)

    def run_now(self, ident: str, *, resync: Sync | None, verify: Verify | None, cutover: TestLaunch | None) -> str:
        self._ask("run_now", ident, resync, verify, cutover)
        view = self.listed[self._at(ident)]
        run = run_of(900, RunState.ACTIVE, ago=0, type=RunType.ON_DEMAND, cutover=cutover is not None)
        self._change(ident, runs=(replace(run, replication_id=ident), *view.runs))
        return run.id

    def start_group(self, group: str, cutover: TestLaunch | None) -> list[str]:
        self._ask("start_group", group, cutover)
        return [f"sms-run-{view.id[8:]}" for view in self.listed if view.spec.group == group]

    def roll_back(self, ident: str) -> tuple[str, ...]:
        self._ask("roll_back", ident)
        view = self.listed[self._at(ident)]
        return ("i-0aa11bb22cc33dd44 is stopped", f"{view.name} is powered on")

    def advance(self, seconds: float) -> float:
        self._ask("advance", seconds)
        self.time += seconds
        return self.time

    def ensure_worker(self) -> None:
        self._ask("ensure_worker")


def steady(number: int = 1, name: str = "web-01", *runs: Run, **fields: object) -> ReplicationView:
    """A replication with three runs, the newest 12 hours ago."""
    known = tuple(
        run_of(n, ago=ago * HOUR, figures=figures_of(frozen=NOW - ago * HOUR, seconds=40.0, overhead=12.0))
        for n, ago in ((12, 12), (11, 24), (10, 36))
    )
    return replica(number, name, *runs, *known, **fields)


def final(state: RunState = RunState.COMPLETED, **fields: object) -> Run:
    run = run_of(40, state, ago=HOUR, cutover=True, type=RunType.ON_DEMAND, instance_id=INSTANCE)
    return replace(run, **fields)  # type: ignore[arg-type]
