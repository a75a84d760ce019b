"""Waiting for an AWS task: polls on the wall clock, further apart while nothing changes, through short outages."""

from __future__ import annotations

import os
import time
from collections.abc import Callable

from vmie_tui.jobs.context import JobContext
from vmie_tui.model.errors import VmieError
from vmie_tui.model.task import Task

INTERVAL_VARIABLE = "VMIE_TASK_SECONDS"
NEAR, FAR = 5.0, 30.0  # seconds between looks: after a change, and at most
LOCAL_NEAR, LOCAL_FAR = 0.5, 1.0  # the same for a simulated AWS, whose clock runs fast
OUTAGE_SECONDS = 1800.0  # how long AWS may be out of reach before the job gives up


def intervals(*, simulated: bool) -> tuple[float, float]:
    """(shortest, longest) seconds between two looks; ``VMIE_TASK_SECONDS`` sets both."""
    wanted = os.environ.get(INTERVAL_VARIABLE, "")
    try:
        seconds = max(float(wanted), 0.05)
    except ValueError:
        return (LOCAL_NEAR, LOCAL_FAR) if simulated else (NEAR, FAR)
    return seconds, seconds


def watch_task(
    context: JobContext, read: Callable[[str], Task], task_id: str, show: Callable[[Task], None]
) -> Task:
    """The task in its final state; ``show`` gets each new reading. Raises VmieError, also for cancel and pause."""
    near, far = intervals(simulated=context.profile.aws.endpoint_url is not None)
    pause, seen, good = near, None, time.monotonic()
    while True:
        context.control.check()
        try:
            task = read(task_id)
        except VmieError as error:
            if not error.problem.retry_safe or time.monotonic() - good > OUTAGE_SECONDS:
                raise
            pause = min(pause * 2, FAR)
        else:
            good = time.monotonic()
            reading = (task.state, task.status_message, task.progress)
            if reading != seen:
                if seen is None or reading[:2] != seen[:2]:
                    context.say(f"{task_id}: {task.state} {task.status_message}".rstrip(), message=False)
                show(task)
                seen, pause = reading, near
            else:
                pause = min(pause * 1.3, far)
            if task.terminal:
                return task
        context.control.wait(pause)
