"""How fast many Regions are asked: a budget for all, a smaller one for each, and back-off where one refuses."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable

REGION_RATE, REGION_BURST = 2.0, 10.0  # requests a second, and at once; EC2 allows a Region several times as many
TOTAL_RATE, TOTAL_BURST = 50.0, 100.0
FIRST_PAUSE, LONGEST_PAUSE = 15.0, 600.0  # seconds until a Region in trouble is asked again
WAIT_STEP = 0.2


class Bucket:
    """A token bucket. Every method may be called from any thread."""

    def __init__(self, rate: float, burst: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._rate, self._burst, self._clock = rate, burst, clock
        self._tokens, self._at = burst, clock()
        self._lock = threading.Lock()

    def take(self) -> float:
        """Take a token; how many seconds to wait before using it."""
        with self._lock:
            now = self._clock()
            self._tokens = min(self._burst, self._tokens + (now - self._at) * self._rate) - 1
            self._at = now
            return max(0.0, -self._tokens / self._rate)


class Pace:
    """The budget of one explorer: requests are counted, and wait for their turn."""

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock, self._lock = clock, threading.Lock()
        self._total = Bucket(TOTAL_RATE, TOTAL_BURST, clock)
        self._regions: dict[tuple[str, str], Bucket] = {}
        self.requests = 0

    def turn(self, place: tuple[str, str], stop: threading.Event) -> None:
        """Wait until a request to this account's Region may be sent; comes back at once when ``stop`` is set."""
        with self._lock:
            self.requests += 1
            bucket = self._regions.get(place)
            if bucket is None:
                bucket = self._regions[place] = Bucket(REGION_RATE, REGION_BURST, self._clock)
        seconds = max(self._total.take(), bucket.take())
        if seconds > 0:
            stop.wait(seconds)


def back_off(failures: int) -> float:
    """Seconds to leave a Region alone after so many failures in a row: doubling, with a fifth of chance in it."""
    pause = min(LONGEST_PAUSE, FIRST_PAUSE * 2.0 ** max(0, failures - 1))
    return pause * random.uniform(0.9, 1.1)  # noqa: S311 - spreads requests, guards nothing
