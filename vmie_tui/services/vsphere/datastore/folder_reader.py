"""Reads a disk frozen by a snapshot fast: over several connections, in order, with read-ahead."""

from __future__ import annotations

import threading
from collections import Counter, deque
from collections.abc import Generator, Iterable, Iterator
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager

from vmie_tui.close_on_exit import Closing
from vmie_tui.model.errors import ErrorKind, ServiceError
from vmie_tui.services.pacing import Backoff, Check, nothing
from vmie_tui.services.vsphere.datastore.flat_file import FlatConnection, FlatFile
from vmie_tui.services.vsphere.session import VSphere

PIECE = 2 << 20  # bytes of one request; whole EBS blocks
PARALLEL = 4
PER_HOST = 8  # requests under way to one ESXi host, of all disks at once: its copy service has little memory (trap 10)
PER_VCENTER = 32  # all data of /folder passes through vCenter
TRIES, FIRST_WAIT = 6, 0.25
POLL_SECONDS = 0.25  # how often somebody who waits asks whether to stop
_FIRST = 512
_OTHERWISE = "Migrate the machine once, without increments: then it is exported instead"


class Slots:
    """Limits the concurrent requests of the whole process at each place."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._used: Counter[str] = Counter()
        self._waiting = 0

    @property
    def waiting(self) -> int:
        """The number of threads waiting for a slot."""
        with self._changed:
            return self._waiting

    @contextmanager
    def one(self, limits: dict[str, int], check: Check) -> Iterator[None]:
        """Holds a slot at all of these places; waits for one, calling ``check`` meanwhile, which may raise."""
        with self._changed:
            self._waiting += 1
            try:
                while any(self._used[place] >= most for place, most in limits.items()):
                    self._changed.wait(POLL_SECONDS)
                    check()
            finally:
                self._waiting -= 1
            self._used.update(limits.keys())
        try:
            yield
        finally:
            with self._changed:
                self._used.subtract(limits.keys())
                self._changed.notify_all()


SLOTS = Slots()


class FolderReader(Closing):
    """A `ByteReader` over the flat file of a frozen disk, and its areas in order; a context manager.

    ``file_name`` is the snapshot's (`SnapshotDisk`), ``datacenter`` and ``host`` are those of the machine; with
    ``by_host`` the host may be asked itself for a file that vCenter finds locked. At most
    ``parallel`` + 1 pieces are in memory. ``check`` is asked between pieces, in the thread that reads, and may raise.
    What may pass (a busy host, a broken connection) is tried again with back-off; the rest raises ServiceError as
    `FlatConnection.get` does. `close` may be called from any thread: reads then fail with kind CANCELLED.
    """

    def __init__(
        self,
        vsphere: VSphere,
        datacenter: str,
        file_name: str,
        *,
        host: str,
        datastore: str = "",
        by_host: bool = False,
        parallel: int = PARALLEL,
        check: Check = nothing,
    ) -> None:
        self._file = FlatFile(
            vsphere,
            datacenter,
            file_name,
            otherwise=_OTHERWISE,
            datastore=datastore,
            host=host if by_host else "",
        )
        self._parallel, self._check = parallel, check
        center = f"{vsphere.settings.host}:{vsphere.settings.port}"
        self._limits = {center: PER_VCENTER, **({f"{host} at {center}": PER_HOST} if host else {})}
        self._closed = threading.Event()
        self._lock = threading.Lock()
        self._idle: list[FlatConnection] = []
        self._busy: list[FlatConnection] = []
        self._requests = self._retries = 0
        self._pool = ThreadPoolExecutor(parallel, thread_name_prefix="folder")
        try:
            self._wait(self._pool.submit(self._fetch, 0, _FIRST))
        except BaseException:
            self.close()
            raise

    @property
    def size(self) -> int:
        """Bytes."""
        return self._file.size

    @property
    def file(self) -> FlatFile:
        """What the first answer told of the file, and how it is asked for."""
        return self._file

    @property
    def at_host(self) -> str:
        """The host that serves the file itself, "" when vCenter does."""
        return self._file.host if self._file.at_host else ""

    @property
    def requests(self) -> int:
        """How many were sent."""
        with self._lock:
            return self._requests

    @property
    def retries(self) -> int:
        """The number of retried pieces."""
        with self._lock:
            return self._retries

    def read_at(self, offset: int, length: int) -> bytes:
        """``length`` bytes from ``offset``, fewer only at the end."""
        end = min(offset + length, self.size)
        return b"".join(data for _, data in self.stream([(offset, end - offset)])) if offset < end else b""

    def stream(self, areas: Iterable[tuple[int, int]]) -> Generator[tuple[int, bytes], None, None]:
        """(offset, bytes) of these (offset, length) areas in their order, in pieces of at most `PIECE` bytes.

        Raises ServiceError CORRUPT for an area past the end of the file.
        """
        wanted = self._pieces(areas)
        ahead: deque[tuple[int, Future[bytes]]] = deque()

        def ask() -> None:
            while len(ahead) < self._parallel and (piece := next(wanted, None)) is not None:
                ahead.append((piece[0], self._submit(*piece)))

        try:
            ask()
            while ahead:
                at, data = ahead[0][0], self._wait(ahead[0][1])
                ahead.popleft()
                ask()
                yield at, data
                del data  # or one piece more than promised stays in memory until the next is there
        finally:
            for _, future in ahead:
                future.cancel()

    def _pieces(self, areas: Iterable[tuple[int, int]]) -> Iterator[tuple[int, int]]:
        for offset, length in areas:
            if offset < 0 or offset + length > self.size:
                raise ServiceError(
                    ErrorKind.CORRUPT,
                    "the disk's file ends before an area that should be read",
                    subject=self._file.name,
                    remedy="The disk may have been replaced: start again with a full copy",
                    detail=f"{length} bytes from {offset}, of {self.size}",
                )
            for at in range(offset, offset + length, PIECE):
                yield at, min(PIECE, offset + length - at)

    # ---- in the pool's threads

    def _fetch(self, offset: int, length: int) -> bytes:
        backoff = Backoff(TRIES, FIRST_WAIT)
        while True:
            try:
                with SLOTS.one(self._limits, self._check_open), self._connection() as connection:
                    return connection.get(offset, offset + length)
            except ServiceError as error:
                self._check_open()
                if not error.problem.retry_safe or not backoff.fail():
                    raise
            with self._lock:
                self._retries += 1
            self._closed.wait(backoff.seconds)
            self._check_open()

    @contextmanager
    def _connection(self) -> Iterator[FlatConnection]:
        """One that nobody else uses now."""
        with self._lock:
            self._check_open()
            connection = self._idle.pop() if self._idle else FlatConnection(self._file)
            self._busy.append(connection)
            before = connection.requests
        try:
            yield connection
        finally:
            with self._lock:
                self._requests += connection.requests - before
                self._busy.remove(connection)
                if not self._closed.is_set():
                    self._idle.append(connection)
            if self._closed.is_set():
                connection.close()

    # ---- in the reader's thread

    def _submit(self, offset: int, length: int) -> Future[bytes]:
        self._check_open()
        try:
            return self._pool.submit(self._fetch, offset, length)
        except RuntimeError as error:  # the pool was shut down by `close` in between
            raise self._gone() from error

    def _wait(self, future: Future[bytes]) -> bytes:
        while True:
            self._check()
            wait([future], POLL_SECONDS)
            if future.done():  # also when `close` took it out of the queue, which `wait` does not see
                try:
                    return future.result()
                except CancelledError as error:
                    raise self._gone() from error

    def _check_open(self) -> None:
        if self._closed.is_set():
            raise self._gone()

    def _gone(self) -> ServiceError:
        return ServiceError(ErrorKind.CANCELLED, "reading the disk was stopped", subject=self._file.name)

    def close(self) -> None:
        """Aborts the current requests; does not wait for a connection that is still being opened."""
        with self._lock:
            self._closed.set()
            idle, self._idle = self._idle, []
            for connection in self._busy:
                connection.interrupt()
        for connection in idle:
            connection.close()
        self._pool.shutdown(wait=False, cancel_futures=True)
