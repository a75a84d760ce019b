"""Look at bytes on their way: hashing and decoding run beside the network and the upload, in threads of their own."""

from __future__ import annotations

import hashlib
import itertools
import queue
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Protocol, Self

from vmie_tui.services.disks.vmdk import StreamDecoder

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
        """Hand over a piece; waits while too many are waiting. The piece of `RING` calls ago is done with."""
        self._queue.put(piece)
        if self._error is not None:
            raise self._error

    def drain(self) -> None:
        """Wait until everything put so far was taken. Raises what the consumer raised."""
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


class DiskFeed:
    """Fills upload buffers from a disk's stream while its SHA-256 is taken and its VMDK structure is proven.

    The consumers get a copy of each piece (a tenth of what hashing it costs), so the uploader owns its buffers alone.
    The copies go round in a ring of buffers: memory of that size taken anew is faulted in anew each time.
    ``check`` is called before each read and may raise, ``on_bytes`` after it. ``at_end`` is called once with the
    SHA-256 and the size of all bytes, before the end is reported: what it raises keeps the upload from being
    completed. ``on_offset`` hears, in a consumer's thread, up to which byte of the disk the stream has come.
    """

    def __init__(
        self,
        stream: Readable,
        *,
        check: Callable[[], None],
        on_bytes: Callable[[int], None],
        at_end: Callable[[str, int], None],
        on_offset: Callable[[int], None] | None = None,
    ) -> None:
        self._stream, self._check, self._on_bytes = stream, check, on_bytes
        self._at_end, self._on_offset = at_end, on_offset
        self._hash = hashlib.sha256()
        self._decoder = StreamDecoder(self._grain if on_offset else None, inflate=True)
        self._consumers = (Consumer(self._hash.update, "sha256"), Consumer(self._decoder.feed, "vmdk"))
        self._ring = itertools.cycle([memoryview(bytearray(CHUNK)) for _ in range(RING)])
        self._size = 0
        self._proven = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        for consumer in self._consumers:
            consumer.close()

    def _grain(self, offset: int, data: memoryview) -> None:
        if self._on_offset is not None:
            self._on_offset(offset + len(data))

    def fill(self, view: memoryview) -> int:
        """Bytes written into ``view``; 0 at the end, then everything is proven. Raises ServiceError."""
        if self._proven:
            return 0
        self._check()
        count = self._stream.readinto(view[:CHUNK])
        if count == 0:
            for consumer in self._consumers:
                consumer.drain()
            self._decoder.finish()
            self._at_end(self._hash.hexdigest(), self._size)
            self._proven = True
            return 0
        piece = next(self._ring)[:count]
        piece[:] = view[:count]
        for consumer in self._consumers:
            consumer.put(piece)
        self._size += count
        self._on_bytes(count)
        return count
