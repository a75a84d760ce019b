"""What the user asked of a running job, and how a step hears of it: a look at memory, never at the database."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator, Mapping

from vmie_tui.jobs.store.store import CANCEL, PAUSE
from vmie_tui.model.errors import Cancelled, ErrorKind, VmieError


class Paused(VmieError):
    """The user asked for this work to stop for now; what was uploaded is kept."""


class JobControl:
    """The wish of the user for one job. Raises in whoever asks; wakes whoever waits; calls who cannot ask."""

    def __init__(self) -> None:
        self._wish = ""
        self._changed = threading.Event()
        self._lock = threading.Lock()
        self._callbacks: list[Callable[[], None]] = []

    @property
    def wish(self) -> str:
        """What the user asked for; "" for nothing."""
        return self._wish

    def set(self, wish: str) -> None:
        """Take a new wish; the callbacks run once, in a thread of their own."""
        with self._lock:
            if wish == self._wish:
                return
            self._wish = wish
            callbacks = list(self._callbacks) if wish else []
        if wish:
            self._changed.set()
        else:
            self._changed.clear()
        for callback in callbacks:
            threading.Thread(target=callback, name="on-stop", daemon=True).start()

    def check(self) -> None:
        """Raises Cancelled or Paused when the user asked for it."""
        if self._wish == CANCEL:
            raise Cancelled
        if self._wish == PAUSE:
            raise Paused(ErrorKind.CANCELLED, "paused by the user")

    def wait(self, seconds: float) -> None:
        """Sleep, but raise as `check` as soon as there is a wish."""
        self._changed.wait(seconds)
        self.check()

    @contextlib.contextmanager
    def on_stop(self, callback: Callable[[], None]) -> Iterator[None]:
        """While inside, ``callback`` is called when a wish arrives: for what blocks in a socket."""
        with self._lock:
            self._callbacks.append(callback)
        try:
            yield
        finally:
            with self._lock:
                self._callbacks.remove(callback)


class Controls:
    """One `JobControl` for each job at work in this process."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._controls: dict[str, JobControl] = {}
        self._working: dict[str, int] = {}

    def of(self, job_id: str) -> JobControl:
        with self._lock:
            return self._controls.setdefault(job_id, JobControl())

    def update(self, wishes: Mapping[str, str]) -> None:
        """Pass on the wishes read from the store; jobs that are not named have none."""
        with self._lock:
            controls = list(self._controls.items())
        for job_id, control in controls:
            control.set(wishes.get(job_id, ""))

    @contextlib.contextmanager
    def working(self, job_id: str) -> Iterator[JobControl]:
        """Mark a job as at work in this process."""
        with self._lock:
            self._working[job_id] = self._working.get(job_id, 0) + 1
        try:
            yield self.of(job_id)
        finally:
            with self._lock:
                self._working[job_id] -= 1
                if not self._working[job_id]:
                    del self._working[job_id]
                    self._controls.pop(job_id, None)

    def is_working(self, job_id: str) -> bool:
        with self._lock:
            return job_id in self._working
