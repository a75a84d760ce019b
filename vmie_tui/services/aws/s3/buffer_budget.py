"""Upload memory: one budget in bytes for all transfers of the process, and a pool of reusable buffers."""

from __future__ import annotations

import threading
from collections import deque

from vmie_tui.services.pacing import Check, nothing

MIB = 1 << 20
DEFAULT_BUDGET = 96 * MIB  # a worker needs about 120 MiB for its libraries, and 256 in all are promised
POLL_SECONDS = 0.25  # how often somebody who waits for memory is asked whether to stop


class BufferBudget:
    """Lends buffers while their sum stays within ``limit`` bytes.

    Who asked first is served first, so a large request is not starved by small ones. A request above the limit is
    served when nothing else is lent. Nobody who waits here holds the lock, and a lent buffer is given back without
    asking for another one, so there is no deadlock as long as borrowers do not wait for each other.

    Who must keep bytes until something else is done, and needs more buffers to get it done, says so with `hold`. Held
    bytes count, but when nothing else is lent the next request is served whatever is held: those who hold can go on,
    with one buffer above the limit at worst.

    Returned buffers are kept for the next borrower within the same limit: glibc gives large blocks back to the system
    each time, and faulting 16 MiB in again costs more than the upload's CRC.
    """

    def __init__(self, limit: int = DEFAULT_BUDGET) -> None:
        self.limit = limit
        self._changed = threading.Condition()
        self._queue: deque[object] = deque()
        self._idle: list[bytearray] = []
        self._lent = 0
        self._held: dict[int, bytearray] = {}  # id -> buffer, of those lent
        self._peak = 0

    @property
    def lent(self) -> int:
        """Bytes lent now."""
        with self._changed:
            return self._lent

    @property
    def waiting(self) -> int:
        """How many borrowers wait."""
        with self._changed:
            return len(self._queue)

    @property
    def peak(self) -> int:
        """The most bytes ever lent at once."""
        with self._changed:
            return self._peak

    def acquire(self, size: int, check: Check = nothing) -> bytearray:
        """A buffer of exactly ``size`` bytes, content undefined. Waits; ``check`` is called meanwhile and may raise."""
        ticket = object()
        with self._changed:
            self._queue.append(ticket)
        try:
            while True:
                check()
                with self._changed:
                    if self._queue[0] is ticket and self._fits(size):
                        return self._lend(size)
                    self._changed.wait(POLL_SECONDS)
        finally:
            with self._changed:
                self._queue.remove(ticket)
                self._changed.notify_all()

    def release(self, buffer: bytearray) -> None:
        """Returns a buffer; the borrower must not touch it again."""
        with self._changed:
            self._held.pop(id(buffer), None)
            self._lent -= len(buffer)
            self._idle.append(buffer)
            self._trim(0)
            self._changed.notify_all()

    def hold(self, buffer: bytearray, length: int) -> bytearray:
        """Keep the first ``length`` bytes of a lent buffer for long, in the buffer returned; never waits.

        It is given back by `release`, or counts as the others again after `unhold`.
        """
        kept = buffer if len(buffer) == length else bytearray(memoryview(buffer)[:length])
        with self._changed:
            self._held[id(kept)] = kept
            if kept is not buffer:
                self._lent += length
        if kept is not buffer:
            self.release(buffer)
        return kept

    def unhold(self, buffer: bytearray) -> None:
        """Counts a held buffer as an ordinary one again."""
        with self._changed:
            del self._held[id(buffer)]

    def trim(self) -> None:
        """Frees the idle buffers when nothing is lent: the last transfer has ended."""
        with self._changed:
            if not self._lent:
                self._idle.clear()

    def _fits(self, size: int) -> bool:
        return self._lent == sum(map(len, self._held.values())) or self._lent + size <= self.limit

    def _lend(self, size: int) -> bytearray:
        index = next((i for i, idle in enumerate(self._idle) if len(idle) == size), None)
        buffer = self._idle.pop(index) if index is not None else None
        if buffer is None:
            self._trim(size)
            buffer = bytearray(size)
        self._lent += size
        self._peak = max(self._peak, self._lent)
        return buffer

    def _trim(self, coming: int) -> None:
        """Frees the oldest idle buffers until lent, idle and ``coming`` bytes fit the limit."""
        while self._idle and self._lent + coming + sum(map(len, self._idle)) > self.limit:
            self._idle.pop(0)


class BudgetShare(BufferBudget):
    """At most ``limit`` bytes of another budget: who has many small buffers leaves room for the others, and for what a
    connection needs besides its buffer."""

    def __init__(self, whole: BufferBudget, limit: int) -> None:
        super().__init__(limit)
        self._whole = whole

    def acquire(self, size: int, check: Check = nothing) -> bytearray:
        while not self._take(size):
            check()
        try:
            return self._whole.acquire(size, check)
        except BaseException:
            self._give_back(size)
            raise

    def _take(self, size: int) -> bool:
        with self._changed:
            if not self._fits(size):
                self._changed.wait(POLL_SECONDS)
                return False
            self._lent += size
            self._peak = max(self._peak, self._lent)
            return True

    def release(self, buffer: bytearray) -> None:
        size = len(buffer)
        self._whole.release(buffer)
        self._give_back(size)

    def _give_back(self, size: int) -> None:
        with self._changed:
            self._lent -= size
            self._changed.notify()

    def trim(self) -> None:
        self._whole.trim()


SHARED = BufferBudget()
