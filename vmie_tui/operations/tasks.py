"""Tasks of VM import and export: read of several accounts and Regions at once, found by id, followed and cancelled."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Protocol

from vmie_tui.model.errors import ErrorKind, Problem, ServiceError
from vmie_tui.model.explain import Explanation
from vmie_tui.model.task import Task, TaskKind
from vmie_tui.model.task_history import PhaseTime, TaskQuery, TaskRecord, phases
from vmie_tui.model.task_report import explanation_of
from vmie_tui.operations.bundle import known_secrets, support_files, task_files, write_bundle
from vmie_tui.operations.connections import Connections
from vmie_tui.private_files import private_dir, safe_name
from vmie_tui.services.aws.errors import aws_call
from vmie_tui.services.aws.session import EXPLORE, Aws, open_session
from vmie_tui.services.aws.vmie.conversion_tasks import ConversionTasks
from vmie_tui.services.aws.vmie.explorer import Explorer, OnPage, RegionTrouble, WatchedAccount, enabled_regions
from vmie_tui.services.aws.vmie.export_tasks import ExportTasks
from vmie_tui.services.aws.vmie.import_tasks import ImportTasks
from vmie_tui.services.aws.vmie.task_parser import TASK_APIS, forgotten, is_unknown, read_pages, task_kind
from vmie_tui.services.read_only import Policy
from vmie_tui.services.task_history import History
from vmie_tui.settings import Profile

ALL_REGIONS = "all"
LOOK_SECONDS = 5.0  # between two looks at one task that is followed
REASON = "cancelled with vmie-tui"


@dataclass(frozen=True, slots=True)
class Scope:
    """Where to look for tasks."""

    profiles: tuple[str, ...]
    regions: tuple[str, ...] = ()  # ("all",): every enabled one; none: each profile's own


@dataclass(frozen=True, slots=True)
class Study:
    """What is known of a task beyond the task."""

    key: tuple[str, str, str]
    phases: tuple[PhaseTime, ...] = ()  # against their usual times
    explanation: Explanation | None = None  # of its message


class Explores(Protocol):
    """`services.aws.vmie.explorer.Explorer`, as far as a screen needs it."""

    @property
    def requests(self) -> int: ...
    @property
    def places(self) -> tuple[tuple[str, str], ...]: ...
    def records(self) -> tuple[TaskRecord, ...]: ...
    def troubles(self) -> tuple[RegionTrouble, ...]: ...
    def remembered(self) -> tuple[TaskRecord, ...]: ...
    def load(self, on_page: OnPage = ...) -> None: ...
    def refresh(self, on_page: OnPage = ...) -> None: ...
    def due(self) -> float: ...
    def stop(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Exploring:
    """An explorer at work, and the profiles that could not be opened with the reason."""

    explorer: Explores
    failed: tuple[tuple[str, Problem], ...] = ()


class Tasks:
    """Of the profile in use, and of the configuration's others when they are asked for.

    Every method blocks: call it in a thread. Raises ServiceError.
    """

    def __init__(self, connections: Connections) -> None:
        self._settings, self._own, self._session = connections.settings, connections.profile.name, connections.aws
        self._lock = threading.Lock()
        self._opened: dict[str, Aws] = {}  # of other profiles
        self._kept: History | None = None

    def close(self) -> None:
        with self._lock:
            opened, self._opened = self._opened, {}
            history, self._kept = self._kept, None
        for aws in opened.values():
            aws.close()
        if history is not None:
            history.close()

    def profiles(self) -> tuple[str, ...]:
        """Those of the configuration, the one in use first."""
        return (self._own, *(name for name in self._settings.profiles() if name != self._own))

    def enabled_regions(self) -> tuple[str, ...]:
        return enabled_regions(self._session())

    # -- many of them

    @contextmanager
    def exploring(self, scope: Scope, kinds: Collection[TaskKind] = tuple(TaskKind)) -> Iterator[Exploring]:
        with open_accounts(self._profiles_of(scope), scope.regions) as opened:
            explorer = Explorer(opened.watched, history=self.history, kinds=tuple(kinds))
            try:
                yield Exploring(explorer, opened.failed)
            finally:
                explorer.stop()

    def seen_before(self, scope: Scope, query: TaskQuery, now: datetime) -> tuple[TaskRecord, ...]:
        """What the history has, without asking AWS."""
        query = replace(query, regions=frozenset(scope.regions) - {ALL_REGIONS})
        return tuple(query.apply(self.history.records(set(scope.profiles)), now))

    # -- one of them

    @contextmanager
    def finding(self, task_id: str, scope: Scope) -> Iterator[Callable[[], TaskRecord]]:
        """Within it each call looks for the task anew: where it was seen, or in the Regions of ``scope``."""
        seen = tuple(record.task.region for record in self.history.find(task_id))
        with open_accounts(self._profiles_of(scope), scope.regions or seen) as opened:
            if opened.failed and not opened.watched and not seen:
                raise ServiceError.of(opened.failed[0][1])
            yield lambda: find_task(opened, self.history, task_id)

    def last_seen(self, task_id: str) -> TaskRecord | None:
        """The task as the history has it, without asking AWS."""
        return next(iter(self.history.find(task_id)), None)

    def look(self, record: TaskRecord) -> TaskRecord:
        """The task as AWS shows it now; as it was last seen when AWS has forgotten it."""
        watched = WatchedAccount(record.profile, self._aws(record.profile), (record.task.region,))
        return find_task(Accounts((watched,)), self.history, record.task.id)

    def study(self, record: TaskRecord, now: datetime) -> Study:
        return Study(record.key, phases(record, now, self.history.usual), explanation_of(record))

    def why_not_cancel(self, record: TaskRecord) -> str:
        """Why there is no use in asking AWS: the profile is read-only, or the task is over. "" when there is."""
        if self._settings.profile(record.profile).read_only:
            return f"the profile {record.profile} is read-only"
        return why_not_cancel(record)

    def check_cancel(self, record: TaskRecord) -> None:
        """Raise ServiceError REFUSED for a read-only profile, CONFLICT for a task that is over."""
        Policy(self._settings.profile(record.profile).read_only).check_work("cancelled", record.task.id)
        if why := why_not_cancel(record):
            raise ServiceError(ErrorKind.CONFLICT, f"cannot be cancelled: {why}", subject=record.task.id)

    def cancel(self, record: TaskRecord) -> None:
        """Have AWS stop the task, which removes what it has made so far. Raises as `check_cancel`, and AWS's errors."""
        self.check_cancel(record)
        cancel_task(self._aws(record.profile), record.task, REASON)

    def bundle(self, record: TaskRecord, now: datetime) -> str:
        """Pack what is known of the task into a zip without secrets; its path."""
        settings = self._settings
        path = private_dir(settings.state_dir / "copied") / safe_name(f"vmie-{record.task.id}-{now:%Y%m%dT%H%M%S}.zip")
        files = {**support_files(settings, now), **task_files(record, self.history, now)}
        write_bundle(path, files, known_secrets(settings), force=True)
        return str(path)

    # -- what they are asked by

    @property
    def history(self) -> History:
        """What was seen from this machine; opened, and rid of what is too old, when it is first asked for."""
        with self._lock:
            if self._kept is None:
                self._kept = History(self._settings.state_dir)
                self._kept.prune()
            return self._kept

    def _profiles_of(self, scope: Scope) -> list[Profile]:
        return [self._settings.profile(name) for name in scope.profiles]

    def _aws(self, profile: str) -> Aws:
        if profile == self._own:
            return self._session()
        with self._lock:
            if profile not in self._opened:
                chosen = self._settings.profile(profile)
                self._opened[profile] = open_session(chosen.aws, read_only=chosen.read_only)
            return self._opened[profile]


@dataclass(frozen=True, slots=True)
class Accounts:
    """The accounts that could be opened, and for the others why not: (profile, problem)."""

    watched: tuple[WatchedAccount, ...]
    failed: tuple[tuple[str, Problem], ...] = ()


@contextmanager
def open_accounts(profiles: Sequence[Profile], regions: Sequence[str] = ()) -> Iterator[Accounts]:
    """The accounts of these profiles, for reading alone; ``regions`` of each, ``("all",)`` for every enabled one, none
    for the profile's own. A profile that cannot sign in does not stop the others.
    """
    opened: list[WatchedAccount] = []
    failed: list[tuple[str, Problem]] = []
    try:
        for profile in profiles:
            aws: Aws | None = None
            try:
                aws = open_session(profile.aws, read_only=True)
                every = enabled_regions(aws) if ALL_REGIONS in regions else tuple(regions) or (aws.region,)
            except ServiceError as error:
                failed.append((profile.name, error.problem))
                if aws is not None:
                    aws.close()
            else:
                opened.append(WatchedAccount(profile.name, aws, every))
        yield Accounts(tuple(opened), tuple(failed))
    finally:
        for each in opened:
            each.aws.close()


def find_task(opened: Accounts, history: History, task_id: str) -> TaskRecord:
    """The task by its id, asked of AWS now: first where the history saw it, then in every Region that was opened.

    When AWS no longer knows it, what the history has. Raises ServiceError NOT_FOUND, INVALID for what is no id, and
    the first other trouble when nobody knew the task and somebody could not be asked.
    """
    kind, known = task_kind(task_id), history.find(task_id)
    trouble: ServiceError | None = None
    asked: set[tuple[str, str]] = set()
    places = [(record.profile, record.task.region) for record in known]
    places += [(each.profile, region) for each in opened.watched for region in each.regions]
    accounts = {each.profile: each.aws for each in opened.watched}
    for profile, region in places:
        if (profile, region) in asked or profile not in accounts:
            continue
        asked.add((profile, region))
        try:
            task = read_task(accounts[profile], region, kind, task_id)
        except ServiceError as error:
            if not is_unknown(error):
                trouble = trouble or error
            continue
        [record] = history.record(profile, [task])
        return record
    if known:
        return known[0]
    if trouble is None and opened.failed:
        trouble = ServiceError.of(opened.failed[0][1])
    raise trouble or forgotten(task_id)


def read_task(aws: Aws, region: str, kind: TaskKind, task_id: str) -> Task:
    """One task as it is now. Raises ServiceError NOT_FOUND."""

    with aws_call(f"read the task in {region}", task_id):
        for page in read_pages(aws.client(EXPLORE, region), kind, region, **{TASK_APIS[kind].ids: [task_id]}):
            for task in page:
                return task
    raise forgotten(task_id)


def why_not_cancel(record: TaskRecord) -> str:
    """Why the task can certainly not be cancelled; "" when AWS is to be asked, which may still say no."""
    if record.forgotten:
        return "AWS no longer knows it"
    if record.task.terminal:
        return f"it is over: {record.outcome.value}"
    if record.task.state in {"deleting", "cancelling"}:
        return "it is being cancelled already"
    return ""


def cancel_task(aws: Aws, task: Task, reason: str = "") -> None:
    """Cancel a task of any kind; ``reason`` where the call takes one. Raises ServiceError in AWS's own words."""
    if task.kind in {TaskKind.EXPORT_IMAGE, TaskKind.EXPORT_INSTANCE}:
        ExportTasks(aws, task.region).cancel(task.id)
    elif task.kind is TaskKind.CONVERSION:
        ConversionTasks(aws, task.region).cancel(task.id, reason)
    else:
        ImportTasks(aws, task.region).cancel(task.id, reason)
