"""What time it is for schedules: the wall clock, or with the simulators one that can be set forward and run fast."""

from __future__ import annotations

import json
import time
from pathlib import Path

from vmie_tui.private_files import write_private
from vmie_tui.settings import DEMO, Profile

CLOCK_FILE = "clock.json"


class Clock:
    """Seconds since the epoch. ``path``: a file that says how a simulated clock differs from the wall's, or None.

    Every process that uses the same file has the same time; a file that is missing or broken changes nothing.
    """

    def __init__(self, path: Path | None = None) -> None:
        self._path = path
        self._seen: tuple[int, int] | None = None
        self._base, self._real = 0.0, 0.0

    @property
    def simulated(self) -> bool:
        return self._path is not None

    def now(self) -> float:
        self._read()
        return self._base + time.time() - self._real

    def advance(self, seconds: float) -> float:
        """Set the simulated clock forward; what it says then. Raises ValueError for the wall clock, or backwards."""
        if self._path is None or seconds < 0:
            raise ValueError("only a simulated clock can be set, and only forward")
        now = self.now() + seconds
        fresh = self._path.with_suffix(".new")
        write_private(fresh, json.dumps({"base": now, "real": time.time()}).encode()).replace(self._path)
        return now

    def _read(self) -> None:
        if self._path is None:
            return
        try:
            found = self._path.stat()
            mark = (found.st_mtime_ns, found.st_ino)
            if mark != self._seen:
                state = json.loads(self._path.read_bytes())
                self._base, self._real = float(state["base"]), float(state["real"])
                self._seen = mark
        except (OSError, ValueError, KeyError, TypeError):
            return


def clock_of(state_dir: Path, profile: Profile) -> Clock:
    """The clock that a profile's schedules follow."""
    return Clock(state_dir / DEMO / CLOCK_FILE if profile.demo else None)


class Clocks:
    """The clocks of a state folder's profiles, by their names; a profile need not be configured any more."""

    def __init__(self, state_dir: Path) -> None:
        self._state_dir = state_dir
        self._clocks: dict[str, Clock] = {}

    def now(self, profile: str) -> float:
        if profile not in self._clocks:
            self._clocks[profile] = clock_of(self._state_dir, Profile(profile))
        return self._clocks[profile].now()
