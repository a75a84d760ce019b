"""Waiting for vCenter tasks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from vmie_tui.model.errors import ErrorKind, ServiceError
from vmie_tui.services.pacing import Check, Poll, nothing
from vmie_tui.services.vsphere.errors import from_fault
from vmie_tui.services.vsphere.property_collector import properties
from vmie_tui.services.vsphere.session import VSphere

_PATHS = ("info.state", "info.progress", "info.error", "info.result")
FIRST_PAUSE, LONGEST_PAUSE = 0.05, 1.0  # seconds between two looks at a task


def wait_task(
    vsphere: VSphere,
    task: Any,
    *,
    subject: str,
    doing: str,
    on_progress: Callable[[int], None] | None = None,
    check: Check = nothing,
) -> Any:
    """The task's result once it succeeded; ``on_progress`` gets percentages as they change.

    ``check`` is called between two looks and may raise to stop waiting: the task goes on in vCenter. Raises
    ServiceError with the task's own fault when it failed.
    """
    poll, shown = Poll(FIRST_PAUSE, LONGEST_PAUSE, check=check), -1
    while True:
        info = vsphere.call(lambda: properties(vsphere, task, *_PATHS), subject=subject, doing=doing)
        state = info.get("info.state")
        if state == "success":
            return info.get("info.result")
        if state == "error":
            if info.get("info.error") is None:
                raise ServiceError(ErrorKind.REMOTE, f"{doing} failed without a reason given", subject=subject)
            raise from_fault(info["info.error"], subject=subject, doing=doing)
        progress = info.get("info.progress")
        if on_progress and progress is not None and progress != shown:
            shown = int(progress)
            on_progress(shown)
        poll.wait()
