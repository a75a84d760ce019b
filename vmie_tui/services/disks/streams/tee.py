"""Look at bytes on their way: hashing and decoding run beside the network and the upload, in threads of their own."""

from __future__ import annotations

import hashlib
import itertools
import queue
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Protocol, Self

from vmie_tui.services.disks.formats.vmdk_stream import OnGrain, StreamDecoder

CHUNK = 1 << 20
AHEAD = 2  # pieces that may wait for a consumer: bounds the memory to a few MiB per disk
RING = AHEAD + 2  # pieces in memory: those that wait, one that a consumer has in hand, one that is being filled


class Readable(Protocol):
    """Where the bytes come from: ``readinto`` blocks; 0 is the end."""

    def readinto(self, buffer: memoryview, /) -> int: ...


class Feed(Protocol):
    """Bytes for an upload, pulled. A context manager: leaving it ends its threads.

    ``sha256`` (hex) and ``size`` are those of all bytes given; they hold once `fill` has returned 0.
    """

    sha256: str
    size: int

    def fill(self, view: memoryview) -> int:
        """Bytes written into ``view``, 0 at the end; blocks, raises what the source raises."""

    def close(self) -> None:
        """End the threads, whether all was read or not; from the thread that calls `fill`, as often as one likes."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None
    ) -> None: ...


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
        """Show the next piece, of `CHUNK` bytes at most. Raises what a consumer raised."""
        piece = next(self._ring)[: len(data)]
        piece[:] = data
        for consumer in self._consumers:
            consumer.put(piece)

    def drain(self) -> None:
        """Wait until all was taken. Raises what a consumer raised."""
        for consumer in self._consumers:
            consumer.drain()

    def close(self) -> None:
        if not self._closed:
            self._closed = True
            for consumer in self._consumers:
                consumer.close()


class DiskFeed:
    """Fills upload buffers from a disk's stream while its SHA-256 is taken and its VMDK structure is proven.

    ``check`` is called before each read and may raise, ``on_bytes`` after it. ``at_end`` is called once with the
    SHA-256 and the size of all bytes, before the end is reported: what it raises keeps the upload from being
    completed. In a consumer's thread ``on_offset`` hears up to which byte of the disk the stream has come, and
    ``on_data`` what it holds (byte of the disk, data, only good during the call).
    """

    def __init__(
        self,
        stream: Readable,
        *,
        check: Callable[[], None],
        on_bytes: Callable[[int], None],
        at_end: Callable[[str, int], None],
        on_offset: Callable[[int], None] | None = None,
        on_data: OnGrain | None = None,
    ) -> None:
        self.sha256, self.size = "", 0
        self._stream, self._check, self._on_bytes = stream, check, on_bytes
        self._at_end, self._on_offset, self._on_data = at_end, on_offset, on_data
        self._hash = hashlib.sha256()
        self._decoder = StreamDecoder(self._grain if on_offset or on_data else None, inflate=True)
        self._tee = Tee(sha256=self._hash.update, vmdk=self._decoder.feed)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        self._tee.close()

    def _grain(self, offset: int, data: memoryview) -> None:
        if self._on_data is not None:
            self._on_data(offset, data)
        if self._on_offset is not None:
            self._on_offset(offset + len(data))

    def fill(self, view: memoryview) -> int:
        """Bytes written into ``view``; 0 at the end, then everything is proven. Raises ServiceError."""
        if self.sha256:
            return 0
        self._check()
        count = self._stream.readinto(view[:CHUNK])
        if count == 0:
            self._tee.drain()
            self._decoder.finish()
            sha256 = self._hash.hexdigest()
            self._at_end(sha256, self.size)
            self.sha256 = sha256
            return 0
        self._tee.put(view[:count])
        self.size += count
        self._on_bytes(count)
        return count
