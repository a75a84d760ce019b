"""Waiting for AWS tasks: polls on the wall clock, further apart while nothing changes, through short outages."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence

from vmie_tui.jobs.engine.context import JobContext
from vmie_tui.model.errors import VmieError
from vmie_tui.model.task import Task
from vmie_tui.services.pacing import Backoff, Poll
from vmie_tui.services.task_history import remember

INTERVAL_VARIABLE, POLL_VARIABLE = "VMIE_TASK_SECONDS", "VMIE_QUEUE_SECONDS"
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


def watch_task(context: JobContext, read: Callable[[str], Task], task_id: str, show: Callable[[Task], None]) -> Task:
    """One task in its final state, as `watch_tasks`."""
    (task,) = watch_tasks(context, read, [task_id], lambda tasks: show(tasks[0]))
    return task


def watch_tasks(
    context: JobContext, read: Callable[[str], Task], task_ids: Sequence[str], show: Callable[[list[Task]], None]
) -> list[Task]:
    """The tasks in their final states; ``show`` gets each new reading of all of them.

    Raises VmieError, also for cancel and pause.
    """
    near, far = intervals(simulated=context.profile.aws.endpoint_url is not None)
    poll, good = Poll(near, far, growth=1.3, wait=context.control.wait), time.monotonic()
    outage = Backoff(first=near * 2, longest=FAR)
    seen: dict[str, Task] = {}
    while True:
        context.control.check()
        try:
            changed = False
            for task_id in task_ids:
                if task_id not in seen or not seen[task_id].terminal:
                    task = read(task_id)
                    remember(context.settings.state_dir, context.plan.profile, task)
                    changed |= _note(context, seen.get(task_id), task)
                    seen[task_id] = task
        except VmieError as error:
            if not error.problem.retry_safe or time.monotonic() - good > OUTAGE_SECONDS:
                raise
            outage.fail()
            poll.interval = outage.seconds
        else:
            good = time.monotonic()
            outage.reset()
            found = [seen[task_id] for task_id in task_ids]
            if changed:
                show(found)
                poll.interval = near
            if all(task.terminal for task in found):
                return found
        poll.wait()


def _note(context: JobContext, before: Task | None, task: Task) -> bool:
    """Whether the task says something new; a new state goes to the log."""
    words = (task.state, task.status_message)
    if before is None or words != (before.state, before.status_message):
        context.say(f"{task.id}: {task.state} {task.status_message}".rstrip(), message=False)
        return True
    return task.progress != before.progress
