"""Paces requests: back-off between retries, token buckets, and polls with growing intervals."""

from __future__ import annotations

import math
import random
import threading
import time
from collections.abc import Callable, Iterator
from typing import TypeVar

from vmie_tui.model.errors import ErrorKind, ServiceError

T = TypeVar("T")
Check = Callable[[], None]  # called often; raises when the work is to end now

TRIES = 6
FIRST_SECONDS, LONGEST_SECONDS = 0.5, 20.0
LEAST_SHARE = 0.6  # jitter: a wait is between this share and all of what is due
CHECK_SECONDS = 0.5  # how often ``check`` is called in a wait
FOUND_SECONDS = 60.0  # how long EC2 may not know what it has just made


def nothing() -> None:
    """A `Check` for work that is never cancelled."""


def pause(seconds: float, check: Check = nothing) -> None:
    """Wait; ``check`` is called often enough that a cancel takes effect at once."""
    ends = time.monotonic() + seconds
    while (left := ends - time.monotonic()) > 0:
        check()
        time.sleep(min(CHECK_SECONDS, left))
    check()


class Backoff:
    """Waits between tries, which double from ``first`` to ``longest`` seconds, with jitter; ``tries`` in a row."""

    def __init__(self, tries: float = TRIES, first: float = FIRST_SECONDS, longest: float = LONGEST_SECONDS) -> None:
        self._tries, self._first, self._longest = tries, first, longest
        self.failures = 0

    def fail(self) -> bool:
        """Counts a failure; True if another try is allowed."""
        self.failures += 1
        return self.failures < self._tries

    def reset(self) -> None:
        """Progress was made: the count starts again."""
        self.failures = 0

    @property
    def seconds(self) -> float:
        """How long to wait before the next try."""
        due = min(self._first * 2.0 ** min(max(self.failures - 1, 0), 64), self._longest)
        return due * random.uniform(LEAST_SHARE, 1.0)  # noqa: S311 - jitter


class TokenBucket:
    """At most ``rate`` a second, for any number of threads; ``credit``: seconds of silence that may be made up for."""

    def __init__(self, rate: float, *, credit: float = 0.0, clock: Callable[[], float] = time.monotonic) -> None:
        self.rate, self._credit, self._clock = rate, credit, clock
        self._lock = threading.Lock()
        self._free_at = clock() - credit  # when everything taken so far has gone out at this rate

    def take(self, count: float = 1) -> float:
        """Take so many tokens; how many seconds to wait before using them."""
        with self._lock:
            now = self._clock()
            start = max(self._free_at, now - self._credit)
            self._free_at = start + count / self.rate
            return max(0.0, start - now)


class AdaptiveBucket(TokenBucket):
    """At most ``most`` a second; half of what it is after throttling, then slowly more again."""

    SLOWEST = 4.0  # a second, below which throttling does not push us
    EASE_SECONDS = 1.0  # throttled answers within this time are one sign, not many

    def __init__(self, most: float, *, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__(most, clock=clock)
        self._most = most
        self._eased = -math.inf

    def throttled(self) -> None:
        with self._lock:
            now = self._clock()
            if now - self._eased >= self.EASE_SECONDS:
                self._eased = now
                self.rate = max(self.SLOWEST, self.rate / 2)

    def went_well(self) -> None:
        with self._lock:
            self.rate = min(self._most, self.rate + self._most / (20 * self.rate))  # about 5 % of the most in a second


class Poll:
    """Looks at something until it is as wanted: ``for _ in Poll(…)`` looks at once, then again and again.

    The pauses grow from ``first`` to ``longest`` seconds (or stay as they are); the loop runs out when ``seconds`` are
    over, after a last look. Without an end, ``while True`` with a `wait` does as well. ``check`` is called between two
    looks and may raise; ``wait`` waits in place of `pause`, and then is to do so itself.
    """

    def __init__(
        self,
        first: float,
        longest: float | None = None,
        *,
        growth: float = 1.5,
        seconds: float = math.inf,
        check: Check = nothing,
        wait: Callable[[float], object] | None = None,
    ) -> None:
        self.interval = first  # until the next look; may be set
        self._longest, self._growth = first if longest is None else longest, growth
        self._ends = time.monotonic() + seconds
        self._wait = wait or (lambda seconds: pause(seconds, check))

    def wait(self) -> bool:
        """Wait for the next look; False, at once, when the time is over."""
        left = self._ends - time.monotonic()
        if left <= 0:
            return False
        self._wait(min(self.interval, left))
        self.interval = min(self.interval * self._growth, self._longest)
        return True

    def __iter__(self) -> Iterator[None]:
        yield
        while self.wait():
            yield


def until_found(read: Callable[[], T], poll: Poll | None = None) -> T:
    """What ``read`` gives of something just made: NOT_FOUND is believed only at the end of the poll."""
    poll = poll or Poll(0.25, 5.0, growth=2.0, seconds=FOUND_SECONDS)
    while True:
        try:
            return read()
        except ServiceError as error:
            if error.kind is not ErrorKind.NOT_FOUND or not poll.wait():
                raise
