"""Small things every test folder uses."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def wait_until(condition: Callable[[], T], timeout: float = 20.0, what: str = "condition") -> T:
    """The first true value of ``condition``; fails with ``what`` when none came in ``timeout`` seconds."""
    start, pause = time.monotonic(), threading.Event()
    while True:
        value = condition()
        if value:
            return value
        waited = time.monotonic() - start
        if waited > timeout:
            raise AssertionError(f"not reached within {timeout:g} s: {what}")
        pause.wait(min(0.02 + waited / 20, 0.1))  # what takes long is looked at less often: looking costs too
