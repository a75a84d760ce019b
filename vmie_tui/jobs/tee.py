"""Look at bytes on their way: hashing and decoding run beside the network, on the uploader's own buffer (no copy)."""

from __future__ import annotations

import hashlib
import queue
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Protocol, Self

from vmie_tui.services.disks.vmdk import StreamDecoder

CHUNK = 1 << 20


class Readable(Protocol):
    """Where the bytes come from: ``readinto`` blocks; 0 is the end."""

    def readinto(self, view: memoryview, /) -> int: ...


class Consumer:
    """A thread that takes pieces in their order; its first error is raised by `drain`."""

    def __init__(self, take: Callable[[memoryview], object], name: str) -> None:
        self._take = take
        self._queue: queue.SimpleQueue[memoryview | threading.Event | None] = queue.SimpleQueue()
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def put(self, piece: memoryview) -> None:
        self._queue.put(piece)

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
                except BaseException as error:  # noqa: BLE001 - raised again in the thread that drains
                    self._error = error


class DiskFeed:
    """Fills upload buffers from a disk's stream while its SHA-256 is taken and its VMDK structure is proven.

    ``check`` is called before each read and may raise. ``at_end`` is called once with the SHA-256 and the size of
    all bytes, before the end is reported: what it raises keeps the upload from being completed.
    """

    def __init__(
        self,
        stream: Readable,
        *,
        check: Callable[[], None],
        at_end: Callable[[str, int], None],
        on_offset: Callable[[int], None] | None = None,
    ) -> None:
        self._stream, self._check, self._at_end = stream, check, at_end
        self._hash = hashlib.sha256()
        self._decoder = StreamDecoder(self._grain if on_offset else None, inflate=True)
        self._on_offset = on_offset
        self._consumers = (Consumer(self._hash.update, "sha256"), Consumer(self._decoder.feed, "vmdk"))
        self._size = 0
        self._ended = self._proven = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        for consumer in self._consumers:
            consumer.close()

    @property
    def decoder(self) -> StreamDecoder:
        return self._decoder

    def _grain(self, offset: int, data: memoryview) -> None:
        if self._on_offset is not None:
            self._on_offset(offset + len(data))

    def fill(self, view: memoryview) -> int:
        """Bytes written into ``view``, which is free again on return; 0 at the end. Raises ServiceError."""
        filled = 0
        while filled < len(view) and not self._ended:
            self._check()
            piece = view[filled : filled + CHUNK]
            count = self._stream.readinto(piece)
            if count == 0:
                self._ended = True
                break
            for consumer in self._consumers:
                consumer.put(piece[:count])
            filled += count
        for consumer in self._consumers:
            consumer.drain()
        self._size += filled
        if self._ended and not self._proven:
            self._decoder.finish()
            self._at_end(self._hash.hexdigest(), self._size)
            self._proven = True
        return filled
