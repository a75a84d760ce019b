"""Reads a slow source, such as an object in S3 or an EBS snapshot, in pieces, in threads, and ahead of its reader."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor

from vmie_tui.close_on_exit import Closing
from vmie_tui.services.disks.errors import truncated
from vmie_tui.services.disks.streams.source import ByteReader

PIECE = 1 << 20
AHEAD = 6  # pieces asked for at once
KEPT = 8  # pieces in memory: 8 MiB, for four disks at once must fit into the worker's bound


class PiecesAhead:
    """Gives pieces by their number, fetching each once while it is kept. Any thread may ask.

    ``fetch`` is called in one of ``parallel`` threads; what it raises is raised by `get`, and it is called anew when
    the piece is asked for again. ``kept``: pieces in memory, those being fetched and those last asked for.
    """

    def __init__(self, fetch: Callable[[int], bytes], *, parallel: int, kept: int, name: str) -> None:
        self._fetch, self._most = fetch, kept
        self._kept: OrderedDict[int, Future[bytes]] = OrderedDict()
        self._lock = threading.Lock()
        self._pool = ThreadPoolExecutor(parallel, thread_name_prefix=name)

    def get(self, number: int, ahead: Iterable[int] = ()) -> bytes:
        """A piece; those of ``ahead`` are fetched too, and not waited for."""
        with self._lock:
            wanted = self._ask(number)
            for following in ahead:
                self._ask(following)
            while len(self._kept) > self._most:
                self._kept.popitem(last=False)
        return wanted.result()

    def _ask(self, number: int) -> Future[bytes]:
        found = self._kept.get(number)
        if found is None or (found.done() and found.exception() is not None):
            found = self._kept[number] = self._pool.submit(self._fetch, number)
        self._kept.move_to_end(number)
        return found

    def close(self) -> None:
        self._pool.shutdown(wait=True, cancel_futures=True)


class ReadAhead(Closing):
    """A `ByteReader` over another one; use as a context manager. Any thread may read.

    Raises what the source raises, and ``DiskFormatError`` (CORRUPT) when it gives less than its size promises.
    """

    def __init__(self, source: ByteReader, *, piece: int = PIECE) -> None:
        self._source, self._piece, self._size = source, piece, source.size
        self._pieces = PiecesAhead(self._fetch, parallel=AHEAD, kept=KEPT, name="read-ahead")
        self._last = -2

    @property
    def size(self) -> int:
        return self._size

    def read_at(self, offset: int, length: int) -> bytes:
        """``length`` bytes from ``offset``, fewer only at the end."""
        end = min(offset + length, self._size)
        found = []
        while offset < end:
            number, skip = divmod(offset, self._piece)
            step = min(self._piece - skip, end - offset)
            found.append(memoryview(self._get(number))[skip : skip + step])
            offset += step
        return b"".join(found)

    def _get(self, number: int) -> bytes:
        going_on = number in {self._last, self._last + 1}  # where it was: more will be wanted
        self._last = number
        past = -(-self._size // self._piece)
        return self._pieces.get(number, range(number + 1, min(number + AHEAD, past)) if going_on else ())

    def _fetch(self, number: int) -> bytes:
        at = number * self._piece
        wanted = min(self._piece, self._size - at)
        data = self._source.read_at(at, wanted)
        if len(data) != wanted:
            raise truncated(f"{len(data)} bytes of {wanted} could be read at byte {at}", received=True)
        return data

    def close(self) -> None:
        self._pieces.close()
