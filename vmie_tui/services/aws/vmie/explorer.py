"""Every VM Import/Export task: all five kinds, across many Regions and profiles in parallel.

Polite: few Regions at once, a budget of requests, and a Region that denies, throttles or does not answer is named,
left alone for a while, and stops no other. A refresh asks only for what can still change.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from vmie_tui.model import facts
from vmie_tui.model.errors import ErrorKind, Problem, ServiceError
from vmie_tui.model.task import Task, TaskKind
from vmie_tui.model.task_history import TaskRecord
from vmie_tui.services.aws.errors import aws_call
from vmie_tui.services.aws.session import EXPLORE, Aws
from vmie_tui.services.aws.vmie.task_parser import TASK_APIS, TaskApi, is_unknown
from vmie_tui.services.pacing import Backoff, TokenBucket
from vmie_tui.services.task_history import History

PARALLEL = 6  # Regions asked at the same time
PAGE = 100  # tasks of one request
IDS = 50  # tasks asked for by name in one request
LIVE_SECONDS = 15.0  # between two looks at what runs
NEW_SECONDS = 90.0  # between two looks for tasks that began since
THROTTLED_TRIES = 3  # of one request, before the Region is left alone
THROTTLED_PAUSE = 0.5
REGION_RATE, REGION_BURST = 2.0, 10  # requests a second, and at once; EC2 allows a Region several times as many
TOTAL_RATE, TOTAL_BURST = 50.0, 100
FIRST_PAUSE, LONGEST_PAUSE = 15.0, 600.0  # seconds until a Region in trouble is asked again
_ACTIVE = {"Filters": [{"Name": "task-state", "Values": ["active"]}]}
OnPage = Callable[["Page"], None]


@dataclass(frozen=True, slots=True)
class WatchedAccount:
    """An account to look at, through a session that may be read-only; ``regions`` of it."""

    profile: str
    aws: Aws
    regions: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Page:
    """Some tasks of one kind and Region, as they came; ``last`` of this read. Empty when there are none."""

    profile: str
    region: str
    kind: TaskKind
    records: tuple[TaskRecord, ...]
    last: bool = True


@dataclass(frozen=True, slots=True)
class RegionTrouble:
    """A Region that could not be read: tasks of ``kinds`` are missing or stale; ``retry``: seconds to the next try."""

    profile: str
    region: str
    kinds: tuple[TaskKind, ...]
    problem: Problem
    since: datetime
    retry: float = 0.0

    @property
    def words(self) -> str:
        """``eu-west-1 denies: …`` in one line."""
        verb = _VERBS.get(self.problem.kind, "fails")
        detail = self.problem.detail or self.problem.what
        if self.problem.kind is ErrorKind.INVALID:  # of the settings: only the user can mend it
            detail = str(self.problem)
        return f"{self.region} ({self.profile}) {verb}: {detail}"


_VERBS = {
    ErrorKind.PERMISSION: "denies access",
    ErrorKind.THROTTLED: "throttles",
    ErrorKind.NETWORK: "does not answer",
    ErrorKind.LOGIN: "wants a login",
}


@dataclass(slots=True)
class _Cell:
    """One Region of one account and its refresh schedule, in clock times. Used by one thread at a time."""

    watched: WatchedAccount
    region: str
    whole: set[TaskKind] = field(default_factory=set)  # kinds that have been read completely
    live_at: float = 0.0
    new_at: float = 0.0
    blocked_until: float = 0.0
    backoff: Backoff = field(default_factory=lambda: Backoff(first=FIRST_PAUSE, longest=LONGEST_PAUSE))
    troubles: dict[TaskKind, tuple[Problem, datetime]] = field(default_factory=dict)

    @property
    def place(self) -> tuple[str, str]:
        return self.watched.profile, self.region


class RequestBudget:
    """Counts and rate-limits the requests of one explorer."""

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock, self._lock = clock, threading.Lock()
        self._total = TokenBucket(TOTAL_RATE, credit=(TOTAL_BURST - 1) / TOTAL_RATE, clock=clock)
        self._regions: dict[tuple[str, str], TokenBucket] = {}
        self.requests = 0

    def turn(self, place: tuple[str, str], stop: threading.Event) -> None:
        """Waits until a request to this account and Region may be sent; returns at once when ``stop`` is set."""
        with self._lock:
            self.requests += 1
            if place not in self._regions:
                credit = (REGION_BURST - 1) / REGION_RATE
                self._regions[place] = TokenBucket(REGION_RATE, credit=credit, clock=self._clock)
            bucket = self._regions[place]
        seconds = max(self._total.take(), bucket.take())
        if seconds > 0:
            stop.wait(seconds)


class Explorer:
    """The tasks of some accounts. `load` once, then `refresh` as often as `due` says. One caller at a time for these
    two; everything else may be called from any thread. ``history`` keeps what is seen; it is not closed here.
    """

    def __init__(
        self,
        watched: Sequence[WatchedAccount],
        *,
        history: History,
        kinds: Iterable[TaskKind] = tuple(TaskKind),
        parallel: int = PARALLEL,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._history, self._kinds, self._parallel, self._clock = history, tuple(kinds), parallel, clock
        self._budget, self._lock, self._stop = RequestBudget(clock=clock), threading.Lock(), threading.Event()
        regions = [region for each in watched for region in each.regions]
        self._cells = [
            _Cell(each, region) for region in dict.fromkeys(regions) for each in watched if region in each.regions
        ]
        self._records: dict[tuple[str, str, str], TaskRecord] = {}
        self._running: dict[tuple[str, str], dict[str, TaskKind]] = {}  # what can still change, by place

    @property
    def requests(self) -> int:
        """The number of requests sent to AWS so far."""
        return self._budget.requests

    @property
    def places(self) -> tuple[tuple[str, str], ...]:
        """(profile, Region) of everything that is watched."""
        return tuple(cell.place for cell in self._cells)

    def records(self) -> tuple[TaskRecord, ...]:
        """Every known task, including those of the history, unordered."""
        with self._lock:
            return tuple(self._records.values())

    def troubles(self) -> tuple[RegionTrouble, ...]:
        """The Regions that could not be read at the last attempt."""
        now, found = self._clock(), []
        with self._lock:
            for cell in self._cells:
                groups: dict[tuple[ErrorKind, str], list[TaskKind]] = {}
                for kind, (problem, _) in cell.troubles.items():
                    groups.setdefault((problem.kind, problem.code), []).append(kind)
                for kinds in groups.values():
                    problem, since = cell.troubles[kinds[0]]
                    retry = max(0.0, cell.blocked_until - now)
                    found.append(RegionTrouble(cell.watched.profile, cell.region, tuple(kinds), problem, since, retry))
        return tuple(found)

    def remembered(self) -> tuple[TaskRecord, ...]:
        """The history's tasks of these accounts and Regions, shown until AWS has answered."""
        places = set(self.places)
        found = [
            record
            for record in self._history.records({profile for profile, _ in places})
            if (record.profile, record.task.region) in places and record.task.kind in self._kinds
        ]
        with self._lock:
            found = [record for record in found if record.key not in self._records]
        self._keep(found)
        return tuple(found)

    def load(self, on_page: OnPage = lambda _: None) -> None:
        """Reads everything once; pages are delivered one at a time, from other threads."""
        self._run([cell for cell in self._cells if cell.blocked_until <= self._clock()], on_page)

    def refresh(self, on_page: OnPage = lambda _: None) -> None:
        """Requests whatever may have changed and is due, if anything."""
        now = self._clock()
        self._run([cell for cell in self._cells if self._due(cell) <= now], on_page)

    def due(self) -> float:
        """Seconds until `refresh` is due."""
        now = self._clock()
        return max(0.0, min((self._due(cell) for cell in self._cells), default=now + NEW_SECONDS) - now)

    def stop(self) -> None:
        """Aborts the current requests promptly, and all later ones."""
        self._stop.set()

    def _due(self, cell: _Cell) -> float:
        if cell.blocked_until:
            return cell.blocked_until
        return min(cell.new_at, cell.live_at) if self._live(cell) else cell.new_at

    def _live(self, cell: _Cell) -> dict[TaskKind, list[str]]:
        """Ids of the cell's tasks that can still change, by kind."""
        found: dict[TaskKind, list[str]] = {}
        with self._lock:
            for ident, kind in self._running.get(cell.place, {}).items():
                found.setdefault(kind, []).append(ident)
        return found

    # -- reading

    def _run(self, cells: Sequence[_Cell], on_page: OnPage) -> None:
        if not cells or self._stop.is_set():
            return
        told = threading.Lock()

        def give(page: Page) -> None:
            with told:
                if not self._stop.is_set():
                    on_page(page)

        with ThreadPoolExecutor(min(self._parallel, len(cells)), "explorer") as pool:
            for done in [pool.submit(self._read, cell, give) for cell in cells]:
                done.result()

    def _read(self, cell: _Cell, give: OnPage) -> None:
        """Reads everything due in one Region. Errors are recorded, never raised."""
        if self._stop.is_set():
            return
        now, live = self._clock(), self._live(cell)
        look_for_new = cell.new_at <= now or bool(cell.troubles)
        for kind in self._kinds:
            try:
                if kind not in cell.whole:
                    self._whole(cell, kind, give)
                elif look_for_new and not (TASK_APIS[kind].paged or live.get(kind)):
                    self._whole(cell, kind, give)  # these calls take no filter
                else:
                    self._partly(cell, kind, live.get(kind, []), look_for_new, give)
            except ServiceError as error:
                alone = error.kind in {ErrorKind.PERMISSION, ErrorKind.INVALID}
                left = (kind,) if alone else self._kinds[self._kinds.index(kind) :]
                with self._lock:
                    for each in left:
                        since = cell.troubles.get(each, (None, datetime.now(UTC)))[1]
                        cell.troubles[each] = (error.problem, since)
                if not alone:
                    break  # what the whole Region does, the next call would meet too
            else:
                with self._lock:
                    cell.troubles.pop(kind, None)
            if self._stop.is_set():
                return
        self._plan(cell, look_for_new=look_for_new)

    def _plan(self, cell: _Cell, *, look_for_new: bool) -> None:
        now = self._clock()
        with self._lock:
            cell.live_at = now + LIVE_SECONDS
            if look_for_new:
                cell.new_at = now + NEW_SECONDS
            if cell.troubles:
                cell.backoff.fail()
                cell.blocked_until = now + cell.backoff.seconds
            else:
                cell.backoff.reset()
                cell.blocked_until = 0.0

    def _whole(self, cell: _Cell, kind: TaskKind, give: OnPage) -> None:
        """The full list of a kind; AWS has forgotten whatever is missing from it."""
        api, listed = TASK_APIS[kind], []
        arguments: dict[str, Any] = {"MaxResults": PAGE} if api.paged else {}
        while True:
            tasks, token = self._page(cell, api, arguments)
            listed += [task.id for task in tasks]
            self._show(cell, kind, tasks, give, last=not token)
            if not token:
                break
            arguments = {**arguments, "NextToken": token}
        gone = self._history.forget(cell.watched.profile, cell.region, kind, listed)
        self._keep(gone)
        if gone:
            give(Page(cell.watched.profile, cell.region, kind, gone))
        cell.whole.add(kind)

    def _partly(self, cell: _Cell, kind: TaskKind, ids: list[str], look_for_new: bool, give: OnPage) -> None:
        """What runs, by name; and when it is time, whatever runs."""
        api = TASK_APIS[kind]
        try:
            for start in range(0, len(ids), IDS):
                tasks, _ = self._page(cell, api, {api.ids: ids[start : start + IDS]})
                self._show(cell, kind, tasks, give)
        except ServiceError as error:
            if not is_unknown(error):
                raise
            self._whole(cell, kind, give)  # one of them is no longer known: find out which
            return
        if look_for_new and api.paged:
            arguments: dict[str, Any] = {**_ACTIVE, "MaxResults": PAGE}
            while True:
                tasks, token = self._page(cell, api, arguments)
                self._show(cell, kind, [task for task in tasks if task.id not in ids], give)
                if not token:
                    break
                arguments = {**arguments, "NextToken": token}
        elif look_for_new:
            self._whole(cell, kind, give)

    def _page(self, cell: _Cell, api: TaskApi, arguments: dict[str, Any]) -> tuple[list[Task], str]:
        """One request, retried when the Region throttles: (tasks, token of the next page)."""
        backoff = Backoff(THROTTLED_TRIES, THROTTLED_PAUSE)
        while True:
            self._budget.turn(cell.place, self._stop)
            try:
                with aws_call("read the tasks", cell.region):
                    client = cell.watched.aws.client(EXPLORE, cell.region)
                    answer = getattr(client, api.operation)(**arguments)
            except ServiceError as error:
                if error.kind is not ErrorKind.THROTTLED or self._stop.is_set() or not backoff.fail():
                    raise
                self._stop.wait(backoff.seconds)
            else:
                tasks = [api.parse(item, cell.region) for item in answer.get(api.member) or ()]
                return tasks, str(answer.get("NextToken") or "")

    def _show(self, cell: _Cell, kind: TaskKind, tasks: list[Task], give: OnPage, *, last: bool = True) -> None:
        records = self._history.record(cell.watched.profile, tasks)
        self._keep(records)
        give(Page(cell.watched.profile, cell.region, kind, records, last))

    def _keep(self, records: Iterable[TaskRecord]) -> None:
        with self._lock:
            for record in records:
                self._records[record.key] = record
                running = self._running.setdefault((record.profile, record.task.region), {})
                if record.live:
                    running[record.task.id] = record.task.kind
                else:
                    running.pop(record.task.id, None)


def enabled_regions(aws: Aws) -> tuple[str, ...]:
    """The Regions that are enabled in the account; where they may not be listed, those that are by default."""
    try:
        with aws_call("list the Regions"):
            answer = aws.client(EXPLORE).describe_regions()
    except ServiceError as error:
        if error.kind is not ErrorKind.PERMISSION:
            raise
        return tuple(sorted({aws.region, *facts.load("regions")["defaults"]["enabled"]}))
    return tuple(sorted(str(item["RegionName"]) for item in answer["Regions"]))
