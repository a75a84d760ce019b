"""Jobs that were at work when a worker died: counted, tried one at a time, and set aside when it happens again.

A job is marked in the database while a phase of it is at work in a worker, and the mark is taken away when the phase
ends or the worker is told to end. A mark that the next worker finds is a death the job may have caused, unless it got
further than at the death before.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from vmie_tui.jobs.store.store import Store
from vmie_tui.model.errors import ErrorKind, Problem

MOST_DEATHS = 3
TRIED_ALONE = MOST_DEATHS - 1  # deaths after which a job is taken up without others of its kind
ALONE_SECONDS = 60.0  # for so long; who kills a worker does it soon
HEALTHY_SECONDS = 600.0  # what has been at work for so long did not kill the workers before


def set_aside(log_dir: Path) -> Problem:
    """Why a job that was at work in too many workers that died has failed."""
    return Problem(
        ErrorKind.LOCAL,
        f"set aside: {MOST_DEATHS} workers died, one after another, while it was at work",
        remedy=f"See the end of engine.log and worker.log in {log_dir}; resume the job once the cause is mended",
        retry_safe=True,
    )


@dataclass(slots=True)
class _AtWork:
    since: float
    alone: bool
    phases: int = 1
    healthy: bool = False


@dataclass(slots=True)
class CrashedJobs:
    """The marks of one worker. Safe to share between threads."""

    store: Store
    executor: str
    clock: Callable[[], float] = time.monotonic
    _at_work: dict[str, _AtWork] = field(default_factory=dict)
    _changed: threading.Condition = field(default_factory=threading.Condition)

    def begin(self, job_id: str, deaths: int, wanted: Callable[[], bool] = lambda: True) -> None:
        """Mark a job as at work. One that saw workers die waits for its turn first, as long as it is ``wanted``."""
        alone = deaths >= TRIED_ALONE
        with self._changed:
            while alone and wanted() and any(one.alone for key, one in self._at_work.items() if key != job_id):
                self._changed.wait(0.2)
            known = self._at_work.get(job_id)
            if known is not None:
                known.phases += 1
                return
            self._at_work[job_id] = _AtWork(self.clock(), alone)
        self.store.mark(job_id, self.executor)

    def end(self, job_id: str) -> None:
        """A phase ended, however: this job did not kill the worker in it."""
        with self._changed:
            known = self._at_work[job_id]
            known.phases -= 1
            if known.phases:
                return
            del self._at_work[job_id]
            self._changed.notify_all()
        self.store.unmark(job_id)

    def look(self) -> None:
        """From time to time: let the next one be tried, and forget the deaths of those that have worked for long."""
        now, healthy = self.clock(), []
        with self._changed:
            for job_id, one in self._at_work.items():
                if one.alone and now - one.since > ALONE_SECONDS:
                    one.alone = False
                    self._changed.notify_all()
                if not one.healthy and now - one.since > HEALTHY_SECONDS:
                    one.healthy = True
                    healthy.append(job_id)
        for job_id in healthy:
            self.store.forget_deaths(job_id)
