"""EC2 shows what was just made only after a while, and takes its time to finish it: looking again, ever less often."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

from vmie_tui.model.errors import ErrorKind, ServiceError
from vmie_tui.services.aws.vmie.import_tasks import pause

T = TypeVar("T")
SECONDS = 60.0
FIRST_LOOK, LONGEST_LOOK = 0.25, 5.0


class Pace:
    """The time between two looks at something: ``first`` seconds, then ``growth`` times as long, ``longest`` at most.

    ``waited``: seconds until now.
    """

    def __init__(
        self,
        check: Callable[[], None],
        *,
        first: float = FIRST_LOOK,
        longest: float = LONGEST_LOOK,
        growth: float = 1.5,
    ) -> None:
        self.waited = 0.0
        self._stop, self._next, self._longest, self._growth = check, first, longest, growth

    def wait(self) -> None:
        """Until the next look; raises what ``check`` raises."""
        pause(self._next, self._stop)
        self.waited += self._next
        self._next = min(self._longest, self._next * self._growth)


def once_visible(read: Callable[[], T], check: Callable[[], None] = lambda: None, seconds: float = SECONDS) -> T:
    """What ``read`` gives of something just made; NOT_FOUND is believed only after ``seconds``."""
    deadline, pace = time.monotonic() + seconds, Pace(check, growth=2.0)
    while True:
        check()
        try:
            return read()
        except ServiceError as error:
            if error.kind is not ErrorKind.NOT_FOUND or time.monotonic() >= deadline:
                raise
        pace.wait()
