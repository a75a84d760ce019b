"""Hashes and decodes bytes in passing, in threads of their own beside the download and the upload."""

from __future__ import annotations

import itertools
import queue
import threading
from collections.abc import Callable
from typing import Protocol

CHUNK = 1 << 20
AHEAD = 2  # pieces that may wait for a consumer: bounds the memory to a few MiB per disk
RING = AHEAD + 2  # pieces in memory: those that wait, one that a consumer has in hand, one that is being filled


class Readable(Protocol):
    """Where the bytes come from: ``readinto`` blocks; 0 is the end."""

    def readinto(self, buffer: memoryview, /) -> int: ...


class Consumer:
    """A thread that takes pieces in their order; its first error is raised by `put` and `drain`."""

    def __init__(self, take: Callable[[memoryview], object], name: str) -> None:
        self._take = take
        self._queue: queue.Queue[memoryview | threading.Event | None] = queue.Queue(AHEAD)
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def put(self, piece: memoryview) -> None:
        """Queues a piece; waits while the queue is full. The piece of `RING` calls ago has been consumed."""
        self._queue.put(piece)
        if self._error is not None:
            raise self._error

    def drain(self) -> None:
        """Waits until everything queued has been consumed. Raises what the consumer raised."""
        reached = threading.Event()
        self._queue.put(reached)
        reached.wait()
        if self._error is not None:
            raise self._error

    def close(self) -> None:
        self._queue.put(None)
        self._thread.join()

    def _run(self) -> None:
        while (item := self._queue.get()) is not None:
            if isinstance(item, threading.Event):
                item.set()
            elif self._error is None:
                try:
                    self._take(item)
                except BaseException as error:  # noqa: BLE001 - raised again in the thread that feeds
                    self._error = error


class Tee:
    """Shows every piece that passes to several consumers, each in a thread of its own.

    They get a copy of each piece (a tenth of what hashing it costs), so the buffers it passes through stay the
    owner's alone. The copies go round in a ring of buffers: memory of that size taken anew is faulted in anew each
    time. Used from one thread.
    """

    def __init__(self, **takes: Callable[[memoryview], object]) -> None:
        """``takes``: name of the thread -> what takes the pieces."""
        self._consumers = [Consumer(take, name) for name, take in takes.items()]
        self._ring = itertools.cycle([memoryview(bytearray(CHUNK)) for _ in range(RING)])
        self._closed = False

    def put(self, data: memoryview) -> None:
        """Passes on the next piece, of at most `CHUNK` bytes. Raises what a consumer raised."""
        piece = next(self._ring)[: len(data)]
        piece[:] = data
        for consumer in self._consumers:
            consumer.put(piece)

    def drain(self) -> None:
        """Waits until all consumers are done. Raises what a consumer raised."""
        for consumer in self._consumers:
            consumer.drain()

    def close(self) -> None:
        if not self._closed:
            self._closed = True
            for consumer in self._consumers:
                consumer.close()
