"""Pieces of something slow, such as an object in S3 or an EBS snapshot: fetched in threads, ahead of being wanted."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor


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
