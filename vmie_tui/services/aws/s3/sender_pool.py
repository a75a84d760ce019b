"""A pool of threads that send the pieces of one object, with retries and prompt cancellation."""

from __future__ import annotations

import queue
import threading
import time
from abc import ABC, abstractmethod
from types import TracebackType
from typing import Any, Generic, Protocol, Self, TypeVar

from vmie_tui.model.errors import ErrorKind, ServiceError, VmieError
from vmie_tui.services.aws.errors import boto_errors, transient, translate
from vmie_tui.services.aws.s3.buffer_budget import BufferBudget
from vmie_tui.services.aws.s3.rate_cap import RateCap
from vmie_tui.services.pacing import Backoff

ATTEMPTS = 10
FIRST_WAIT = 0.25  # seconds before the second attempt
DRAIN_SECONDS = 0.7  # a stopped transfer lets pieces that are nearly there arrive, so that they count at the next try
STOP_SECONDS = 0.7  # and then waits so long for its threads to break off; they end by themselves later
POLL_SECONDS = 0.25
PIECE = 1 << 18  # bytes handed to the socket at once; between two pieces a stop is seen


class Outgoing(Protocol):
    """Something to send: the first ``length`` bytes of ``buffer``, which belongs to the sender once submitted."""

    @property
    def buffer(self) -> bytearray: ...

    @property
    def length(self) -> int: ...


Item = TypeVar("Item", bound=Outgoing)
Done = TypeVar("Done")


class _Halted(Exception):
    """Aborts a request whose transfer was stopped."""


class HaltingBody:
    """Bytes as botocore wants them, file-like, without a copy: slices of the buffer, read until told to halt.

    With a ``cap`` each piece waits for its turn.
    """

    def __init__(self, view: memoryview, halted: threading.Event, cap: RateCap | None = None) -> None:
        self._view, self._halted, self._at, self._cap = view, halted, 0, cap

    def read(self, size: int = -1) -> memoryview:
        if self._halted.is_set():
            raise _Halted
        step = len(self._view) - self._at if size < 0 else max(size, PIECE)
        piece = self._view[self._at : self._at + step]
        self._at += len(piece)
        if (
            self._cap is not None
            and len(piece)
            and (wait := self._cap.take(len(piece))) > 0
            and self._halted.wait(wait)
        ):
            raise _Halted
        return piece

    def seek(self, offset: int, whence: int = 0) -> int:
        self._at = offset + {0: 0, 1: self._at, 2: len(self._view)}[whence]
        return self._at

    def tell(self) -> int:
        return self._at


class Sender(ABC, Generic[Item, Done]):
    """Up to ``parallel`` items of ``subject`` under way at once. Use as a context manager: an error stops them.

    The owner calls `submit`, `collect` and the properties from one thread. What `put` calls must not retry by itself.
    """

    def __init__(
        self, subject: str, budget: BufferBudget, parallel: int, *, thread_name: str, cap: RateCap | None = None
    ) -> None:
        self.subject, self._budget, self._thread_name, self._cap = subject, budget, thread_name, cap
        self._parallel = cap.connections(parallel, PIECE) if cap is not None else parallel
        self._todo: queue.SimpleQueue[Item | None] = queue.SimpleQueue()
        self._done: queue.SimpleQueue[Done | Exception] = queue.SimpleQueue()
        self._ending = threading.Event()  # no new attempts
        self._halted = threading.Event()  # break off
        self._threads: list[threading.Thread] = []
        self._under_way = 0
        self._failure: Exception | None = None

    @abstractmethod
    def put(self, item: Item, view: memoryview) -> Done:
        """Send one item, once; called on the sender's threads. ``view``: its bytes."""

    @abstractmethod
    def doing(self, item: Item) -> str:
        """The name of the operation in errors: "upload part 3"."""

    def worth_another(self, error: Exception, attempt: int) -> bool:
        """Whether to retry an item after its ``attempt``-th failure."""
        return attempt < ATTEMPTS and transient(error)

    def failure(self, error: Exception, item: Item) -> ServiceError:
        """The error for an item that was given up."""
        return translate(error, self.doing(item), self.subject)

    def stored_otherwise(self, what: str, again: str, detail: str = "") -> ServiceError:
        """The error for a checksum mismatch: the service stored other bytes; ``again`` is sent again on resume."""
        remedy = f"Resume: {again} is sent again"
        return ServiceError(
            ErrorKind.CORRUPT, what, subject=self.subject, remedy=remedy, retry_safe=True, detail=detail
        )

    def body(self, view: memoryview) -> Any:
        """The bytes as a request's body that a stop breaks off."""
        return HaltingBody(view, self._halted, self._cap) if len(view) else b""

    def pause(self, seconds: float) -> None:
        """Waits on a sender's thread; raises when the transfer ends in the meantime."""
        if self._ending.wait(seconds):
            raise self._stopped()

    def _stopped(self) -> ServiceError:
        return ServiceError(ErrorKind.CANCELLED, "the upload was stopped", subject=self.subject, retry_safe=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ending.set()
        for _ in self._threads:
            self._todo.put(None)
        if error is not None:
            self._join(DRAIN_SECONDS)
        self._halted.set()
        self._join(STOP_SECONDS)

    def _join(self, seconds: float) -> None:
        deadline = time.monotonic() + seconds
        for thread in self._threads:
            thread.join(max(0.0, deadline - time.monotonic()))

    @property
    def full(self) -> bool:
        return self._under_way >= self._parallel

    @property
    def idle(self) -> bool:
        return self._under_way == 0

    def submit(self, item: Item) -> None:
        """Starts sending an item; the owner waits until the sender is not `full` first."""
        self._under_way += 1
        if self._under_way > len(self._threads):
            name = f"{self._thread_name}-{len(self._threads) + 1}"
            thread = threading.Thread(target=self._work, name=name, daemon=True)  # never holds up the process's exit
            thread.start()
            self._threads.append(thread)
        self._todo.put(item)

    def collect(self, *, wait: float = 0.0) -> list[Done]:
        """The items finished since the last call; waits up to ``wait`` seconds for one. Raises the first failure."""
        if self._failure is None:
            finished = self._take(wait)
            if finished or self._failure is None:
                return finished  # a failure that came with them is raised by the next call
        raise self._failure

    def left(self) -> list[Done]:
        """After the end: the remaining finished items, regardless of other failures."""
        finished: list[Done] = []
        while more := self._take(0.0):
            finished += more
        return finished

    def _take(self, wait: float) -> list[Done]:
        finished: list[Done] = []
        while self._under_way:
            try:
                item = self._done.get(timeout=wait) if wait and not finished else self._done.get_nowait()
            except queue.Empty:
                break
            self._under_way -= 1
            if not isinstance(item, Exception):
                finished.append(item)
            elif self._failure is None:
                self._failure = item
                break
        return finished

    def _work(self) -> None:
        while (item := self._todo.get()) is not None:
            try:
                result: Done | Exception = self._send(item)
            except VmieError as error:
                result = error
            except Exception as error:  # noqa: BLE001 - anything else would leave the owner waiting for this item
                result = translate(error, self.doing(item), self.subject)
            finally:
                self._budget.release(item.buffer)
            self._done.put(result)

    def _send(self, item: Item) -> Done:
        backoff = Backoff(first=FIRST_WAIT)
        with memoryview(item.buffer) as whole, whole[: item.length] as view:
            while not self._ending.is_set():
                try:
                    return self.put(item, view)
                except boto_errors() as error:
                    backoff.fail()
                    if not self._ending.is_set() and not self.worth_another(error, backoff.failures):
                        raise self.failure(error, item) from error
                self._ending.wait(backoff.seconds)
        raise self._stopped()
