"""Waiting for jobs and saying what happens to them, in plain lines."""

from __future__ import annotations

import time
from collections.abc import Sequence

from vmie_tui.commands.common import job_line, say
from vmie_tui.exit_codes import EXIT_FAILED, EXIT_INTERRUPTED, EXIT_LOGIN, EXIT_OK, exit_code
from vmie_tui.model.errors import ErrorKind, ServiceError
from vmie_tui.model.job import JobView
from vmie_tui.model.task import JobState
from vmie_tui.operations.jobs import Jobs
from vmie_tui.services.pacing import Poll

LOOK_SECONDS = 0.3
WORKERS_IN_VAIN = 3
SAY_SECONDS = 2.0  # between two lines about the same stage of a job
STILL = frozenset({JobState.DONE, JobState.FAILED, JobState.CANCELLED, JobState.NEEDS_LOGIN, JobState.PAUSED})


def wait_for(client: Jobs, ids: Sequence[str]) -> list[JobView]:
    """The jobs once none of them moves any more without the user. Interrupting only ends the waiting.

    Raises ServiceError LOCAL when the worker does not start, or ends again and again before anything moves.
    """
    said: dict[str, tuple[object, str, float]] = {}
    before: list[JobView] = []
    in_vain, poll = 0, Poll(LOOK_SECONDS)
    while True:
        views = [client.job(job_id) for job_id in ids]
        for view in views:
            last_key, last_line, at = said.get(view.id, (None, "", 0.0))
            key, line, now = (view.state, view.stage, view.task_message), job_line(view), time.monotonic()
            if line != last_line and (key != last_key or now - at >= SAY_SECONDS):
                said[view.id] = (key, line, now)
                say(line)
        if all(view.state in STILL for view in views):
            return views
        if views != before:
            before, in_vain = views, 0
        in_vain += bool(client.ensure_worker())
        if in_vain > WORKERS_IN_VAIN:
            raise ServiceError(
                ErrorKind.LOCAL,
                f"{WORKERS_IN_VAIN} workers ended one after another before the job moved",
                subject=views[0].name,
                remedy="Run 'vmie-tui worker' to see why; the job goes on with the next one",
            )
        poll.wait()


def exit_code_of(views: Sequence[JobView]) -> int:
    """The exit code for jobs that ended: the worst of theirs."""
    codes = {EXIT_OK}
    for view in views:
        if view.state is JobState.NEEDS_LOGIN:
            codes.add(EXIT_LOGIN)
        elif view.state is JobState.CANCELLED:
            codes.add(EXIT_INTERRUPTED)
        elif view.state is JobState.FAILED:
            kind = view.problem.kind if view.problem else ErrorKind.REMOTE
            codes.add(exit_code(kind) if kind is ErrorKind.REFUSED else EXIT_FAILED)
        elif view.state is not JobState.DONE:
            codes.add(EXIT_FAILED)
    return EXIT_FAILED if EXIT_FAILED in codes else max(codes)
