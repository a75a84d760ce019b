"""When to try again: bounded, with back-off, only for errors that say a retry is safe."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from vmie_tui.jobs.engine.control import JobControl
from vmie_tui.model.errors import VmieError
from vmie_tui.services.pacing import TRIES, Backoff

T = TypeVar("T")


def again(
    work: Callable[[], T], control: JobControl, *, tries: int = TRIES, before: Callable[[VmieError], None] | None = None
) -> T:
    """Do ``work``, again while it raises an error that is safe to retry; ``before`` each retry hears the error."""
    backoff = Backoff(tries)
    while True:
        control.check()
        try:
            return work()
        except VmieError as error:
            if not error.problem.retry_safe or not backoff.fail():
                raise
            if before is not None:
                before(error)
        control.wait(backoff.seconds)
