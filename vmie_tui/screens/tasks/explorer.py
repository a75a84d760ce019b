"""Reads tasks for the tasks screen, in a thread: at once what is remembered, then AWS, then by a steady cadence."""

from __future__ import annotations

import threading
from collections.abc import Callable

from textual.message import Message

from vmie_tui.model.errors import Problem, problem_of
from vmie_tui.model.task_history import TaskRecord
from vmie_tui.operations.tasks import Explores, Scope, Tasks

SHOW_SECONDS = 0.25  # at most so often is a growing list shown again
LEAST_SECONDS = 1.0  # between two looks


class TasksSeen(Message):
    """All tasks known to ``source``. ``reading``: more are to come at once.

    ``troubles``: what could not be read, in words, and the seconds until it is asked again, 0 when it is not.
    """

    def __init__(
        self,
        source: Following,
        records: tuple[TaskRecord, ...],
        *,
        places: tuple[tuple[str, str], ...],
        requests: int,
        reading: bool,
        troubles: tuple[tuple[str, float], ...] = (),
    ) -> None:
        super().__init__()
        self.source, self.records, self.places, self.requests = source, records, places, requests
        self.reading, self.troubles = reading, troubles

    def can_replace(self, message: Message) -> bool:
        return isinstance(message, TasksSeen)

    def same_as(self, other: TasksSeen) -> bool:
        """Whether both say the same but for the tasks and the requests it took."""
        return (self.places, self.reading, self.troubles) == (other.places, other.reading, other.troubles)


class TasksUnread(Message):
    """Nothing can be read at all."""

    def __init__(self, source: Following, problem: Problem) -> None:
        super().__init__()
        self.source, self.problem = source, problem


class Following:
    """Reads until it is stopped; ``shown`` says whether anybody looks. `follow` blocks: run it in a thread."""

    def __init__(
        self, tasks: Tasks, places: Scope, post: Callable[[Message], object], shown: Callable[[], bool]
    ) -> None:
        self._tasks, self._places, self._post, self._shown = tasks, places, post, shown
        self._wake, self._stopped = threading.Event(), threading.Event()
        self._explorer: Explores | None = None
        self._failed: tuple[tuple[str, float], ...] = ()

    def stop(self) -> None:
        """End within a moment, what is under way included."""
        self._stopped.set()
        self._wake.set()
        if self._explorer is not None:
            self._explorer.stop()

    def wake(self) -> None:
        """Look whether something is due: the screen is shown again."""
        self._wake.set()

    def follow(self) -> None:
        try:
            with self._tasks.exploring(self._places) as opened:
                explorer = self._explorer = opened.explorer
                self._failed = tuple((f"{name}: {problem}", 0.0) for name, problem in opened.failed)
                if self._stopped.is_set():
                    explorer.stop()
                self._run(explorer)
        except Exception as error:  # noqa: BLE001 - whatever a worker meets is shown in words
            if not self._stopped.is_set():
                self._post(TasksUnread(self, problem_of(error)))

    def _run(self, explorer: Explores) -> None:
        from time import monotonic

        shown_at = 0.0

        def page(_: object) -> None:
            nonlocal shown_at
            if monotonic() - shown_at >= SHOW_SECONDS:
                self._show(explorer, reading=True)
                shown_at = monotonic()

        explorer.remembered()
        self._show(explorer, reading=True)
        explorer.load(page)
        while not self._stopped.is_set():
            self._show(explorer, reading=False)
            self._wake.wait(max(LEAST_SECONDS, explorer.due()) if self._shown() else None)
            self._wake.clear()
            if self._stopped.is_set():
                return
            if self._shown() and explorer.due() <= 0:
                explorer.refresh(page)

    def _show(self, explorer: Explores, *, reading: bool) -> None:
        troubles = tuple((trouble.words, trouble.retry) for trouble in explorer.troubles())
        if self._stopped.is_set():
            return
        self._post(
            TasksSeen(
                self,
                explorer.records(),
                places=explorer.places,
                requests=explorer.requests,
                reading=reading,
                troubles=(*self._failed, *troubles),
            )
        )
