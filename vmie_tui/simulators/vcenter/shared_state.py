"""The shared state of the simulated vCenter: objects, clock, options, faults, and scheduled calls."""

from __future__ import annotations

import heapq
import itertools
import logging
import threading
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from vmie_tui.simulators.control import Faults, SimClock, Stats
from vmie_tui.simulators.vcenter.privileges import Privileges
from vmie_tui.simulators.vcenter.registry import Registry
from vmie_tui.simulators.vcenter.values import moment

log = logging.getLogger(__name__)

TICK, LAZY_TICK = 0.02, 0.2  # seconds of wall time between looks at a clock that may have been moved
SOON = 30.0  # seconds on the clock


@dataclass(slots=True)
class Options:
    """What can be set from outside, by the constructor or ``POST /_sim/options``. Seconds are the clock's."""

    nfc_rate: int | None = None  # bytes per second of each data stream; wall time
    nfc_host: str = "localhost"  # the host in device URLs; "*" as ESXi writes it
    nfc_content_length: bool = False  # announce the length of a data stream
    nfc_threads: int = 1  # compressors of one data stream
    nfc_prepared: bool = False  # compress a disk once, then send the kept file: a source that costs little CPU
    nfc_no_chunks: bool = False  # answer 500 to a disk that is sent in chunks
    nfc_file_size: bool = False  # fill in deviceUrl.fileSize
    folder_dates: bool = True  # /folder tells Last-Modified
    lease_seconds: float = 0.3  # until a lease is ready
    lease_timeout: int = 300
    task_seconds: float = 0.2  # a task's running time
    shutdown_seconds: float = 5.0  # a guest's way down
    idle_seconds: float = 1800.0  # a session's life without a call
    max_sessions: int = 2000
    page_limit: int = 0  # most objects in one RetrievePropertiesEx answer; 0: as the client asks
    changed_limit: int = 2000  # most extents in one QueryChangedDiskAreas answer


class Later:
    """Calls functions when the simulated clock reaches their time, one after another on one thread."""

    def __init__(self, clock: SimClock) -> None:
        self._clock = clock
        self._wake = threading.Condition()
        self._heap: list[tuple[float, int, Callable[[], None]]] = []
        self._order = itertools.count()
        self._stopped = False
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        self._stopped = False
        self._thread = threading.Thread(target=self._run, name="vcenter-later", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        with self._wake:
            self._stopped = True
            self._heap.clear()
            self._wake.notify_all()
        if self._thread is not None:
            self._thread.join()

    def after(self, seconds: float, call: Callable[[], None]) -> None:
        with self._wake:
            heapq.heappush(self._heap, (self._clock.now() + seconds, next(self._order), call))
            self._wake.notify_all()

    def _run(self) -> None:
        while True:
            with self._wake:
                while not self._stopped and (not self._heap or self._heap[0][0] > self._clock.now()):
                    self._wake.wait(self._nap())
                if self._stopped:
                    return
                call = heapq.heappop(self._heap)[2]
            try:
                call()
            except Exception:
                log.exception("something due in the simulated vCenter failed")

    def _nap(self) -> float | None:
        """How long to sleep; the clock tells nobody when it is moved, so it is looked at again and again."""
        if not self._heap:
            return None
        left = self._heap[0][0] - self._clock.now()
        return TICK if left < SOON * max(1.0, self._clock.speed) else LAZY_TICK


@dataclass(slots=True)
class Center:
    """One simulated vCenter's state."""

    root: Path
    clock: SimClock
    user: str
    password: str
    options: Options = field(default_factory=Options)
    faults: Faults = field(default_factory=Faults)
    stats: Stats = field(default_factory=Stats)
    registry: Registry = field(default_factory=Registry)
    privileges: Privileges = field(default_factory=Privileges)
    later: Later = field(init=False)
    instance_uuid: str = ""
    life: str = field(default_factory=lambda: uuid.uuid4().hex)
    thumbprint: str = ""  # SHA-1 of the certificate that data URLs lead to, colon hex
    nfc_port: int = 0

    def __post_init__(self) -> None:
        self.later = Later(self.clock)

    def now(self) -> datetime:
        return moment(self.clock.now())
