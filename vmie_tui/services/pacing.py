"""Waits between tries of what failed."""

from __future__ import annotations

import random

TRIES = 6
FIRST_SECONDS, LONGEST_SECONDS = 0.5, 20.0


class Backoff:
    """Waits that double from `FIRST_SECONDS` to `LONGEST_SECONDS`, with jitter; `spent` after ``tries`` failures."""

    def __init__(self, tries: int = TRIES, first: float = FIRST_SECONDS) -> None:
        self._tries, self._first, self.failures = tries, first, 0

    def fail(self) -> bool:
        """Count a failure; True when there may be another try."""
        self.failures += 1
        return self.failures < self._tries

    def reset(self) -> None:
        """Progress was made: the count starts again."""
        self.failures = 0

    @property
    def seconds(self) -> float:
        longest = min(self._first * 2.0 ** max(self.failures - 1, 0), LONGEST_SECONDS)
        return float(longest * random.uniform(0.6, 1.0))  # noqa: S311 - jitter
