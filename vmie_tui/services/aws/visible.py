"""EC2 shows what was just made only after a while, and not everywhere at once."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

from vmie_tui.model.errors import ErrorKind, ServiceError
from vmie_tui.services.aws.vmimport import pause

T = TypeVar("T")
SECONDS = 60.0
FIRST_LOOK, LONGEST_LOOK = 0.25, 5.0


def once_visible(read: Callable[[], T], stop: Callable[[], None] = lambda: None, seconds: float = SECONDS) -> T:
    """What ``read`` gives of something just made; NOT_FOUND is believed only after ``seconds``."""
    deadline, look = time.monotonic() + seconds, FIRST_LOOK
    while True:
        stop()
        try:
            return read()
        except ServiceError as error:
            if error.kind is not ErrorKind.NOT_FOUND or time.monotonic() >= deadline:
                raise
        pause(look, stop)
        look = min(LONGEST_LOOK, look * 2)
