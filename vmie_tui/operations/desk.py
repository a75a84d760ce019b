"""What the tasks screen does with AWS: one protocol, and its real implementation over the explorer and the history.

Every method blocks: call it in a thread worker. Raises ServiceError.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Protocol

from vmie_tui.model.task_history import PhaseTime, TaskRecord, phases
from vmie_tui.private_files import private_dir, safe_name

if TYPE_CHECKING:
    from vmie_tui.model.errors import Problem
    from vmie_tui.model.explain import Explanation
    from vmie_tui.operations.connections import Connections
    from vmie_tui.services.aws.session import Aws
    from vmie_tui.services.aws.vmie.explorer import OnPage, RegionTrouble
    from vmie_tui.services.task_history import History


@dataclass(frozen=True, slots=True)
class Places:
    """Where to look: Regions (empty: each profile's own; ``("all",)``: every enabled one) of some profiles."""

    profiles: tuple[str, ...]
    regions: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Study:
    """What is known of a task beyond the task: its phases against their usual times, and what its message means."""

    key: tuple[str, str, str]
    phases: tuple[PhaseTime, ...] = ()
    explanation: Explanation | None = None


class Explores(Protocol):
    """`services.aws.explorer.Explorer`, as far as a screen needs it."""

    @property
    def requests(self) -> int: ...
    @property
    def places(self) -> tuple[tuple[str, str], ...]: ...
    def records(self) -> tuple[TaskRecord, ...]: ...
    def troubles(self) -> tuple[RegionTrouble, ...]: ...
    def remembered(self) -> tuple[TaskRecord, ...]: ...
    def load(self, on_page: OnPage) -> None: ...
    def refresh(self, on_page: OnPage) -> None: ...
    def due(self) -> float: ...
    def stop(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Exploring:
    """An explorer at work, and the profiles that could not be opened with the reason."""

    explorer: Explores
    failed: tuple[tuple[str, Problem], ...] = ()


class Desk(Protocol):
    def profiles(self) -> tuple[str, ...]: ...
    def enabled_regions(self) -> tuple[str, ...]: ...
    def exploring(self, places: Places) -> AbstractContextManager[Exploring]: ...
    def study(self, record: TaskRecord, now: datetime) -> Study: ...
    def look(self, record: TaskRecord) -> TaskRecord: ...
    def why_not_cancel(self, record: TaskRecord) -> str: ...
    def cancel(self, record: TaskRecord) -> None: ...
    def bundle(self, record: TaskRecord, now: datetime) -> str: ...


class LiveDesk:
    """Sessions of other profiles than the app's are opened when they are needed, each once."""

    def __init__(self, connections: Connections) -> None:
        self._settings, self._own, self._session = connections.settings, connections.profile.name, connections.aws
        self._lock = threading.Lock()
        self._opened: dict[str, Aws] = {}
        self._kept: History | None = None

    def profiles(self) -> tuple[str, ...]:
        """Those of the configuration, the app's own first."""
        return (self._own, *(name for name in self._settings.profiles() if name != self._own))

    def enabled_regions(self) -> tuple[str, ...]:
        from vmie_tui.services.aws.vmie.explorer import enabled_regions

        return enabled_regions(self._session())

    @contextmanager
    def exploring(self, places: Places) -> Iterator[Exploring]:
        from vmie_tui.operations.tasks import open_accounts
        from vmie_tui.services.aws.vmie.explorer import Explorer

        history = self._history()
        profiles = [self._settings.profile(name) for name in places.profiles]
        with open_accounts(profiles, places.regions) as opened:
            explorer = Explorer(opened.watched, history=history)
            try:
                yield Exploring(explorer, opened.failed)
            finally:
                explorer.stop()

    def study(self, record: TaskRecord, now: datetime) -> Study:
        from vmie_tui.model.task_report import explanation_of

        return Study(record.key, phases(record, now, self._history().usual), explanation_of(record))

    def look(self, record: TaskRecord) -> TaskRecord:
        """The task as AWS shows it now; as it was last seen when AWS has forgotten it."""
        from vmie_tui.operations.tasks import Opened, find_task
        from vmie_tui.services.aws.vmie.explorer import WatchedAccount

        watched = WatchedAccount(record.profile, self._aws(record.profile), (record.task.region,))
        return find_task(Opened((watched,)), self._history(), record.task.id)

    def why_not_cancel(self, record: TaskRecord) -> str:
        """Why there is no use in asking AWS: the profile is read-only, or the task is over."""
        from vmie_tui.operations.tasks import why_not_cancel

        if self._settings.profile(record.profile).read_only:
            return f"the profile {record.profile} is read-only"
        return why_not_cancel(record)

    def cancel(self, record: TaskRecord) -> None:
        from vmie_tui.operations.tasks import cancel_task

        cancel_task(self._aws(record.profile), record.task, "cancelled with vmie-tui")

    def bundle(self, record: TaskRecord, now: datetime) -> str:
        """Pack what is known of the task into a zip without secrets; its path."""
        from vmie_tui.operations.bundle import known_secrets, settings_summary, tail, task_files, versions, write_bundle

        settings = self._settings
        files = {
            "versions.json": {**versions(), "made": now.isoformat()},
            "settings.json": settings_summary(settings),
            **task_files(record, self._history(), now),
        }
        worker = tail(settings.log_dir / "worker.log")
        if worker:
            files["worker.log"] = worker
        path = private_dir(settings.state_dir / "copied") / safe_name(f"vmie-{record.task.id}-{now:%Y%m%dT%H%M%S}.zip")
        write_bundle(path, files, known_secrets(settings), force=True)
        return str(path)

    def _history(self) -> History:
        with self._lock:
            if self._kept is None:
                from vmie_tui.services.task_history import History

                self._kept = History(self._settings.state_dir)
                self._kept.prune()
            return self._kept

    def _aws(self, profile: str) -> Aws:
        if profile == self._own:
            return self._session()
        with self._lock:
            if profile not in self._opened:
                from vmie_tui.services.aws.session import open_session

                chosen = self._settings.profile(profile)
                self._opened[profile] = open_session(chosen.aws, read_only=chosen.read_only)
            return self._opened[profile]
