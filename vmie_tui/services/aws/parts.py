"""Sends the parts of one multipart upload on a few threads, tries again what may be tried again, stops when told to."""

from __future__ import annotations

import queue
import random
import threading
import time
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

from botocore.exceptions import BotoCoreError, ClientError

from vmie_tui.model.errors import ErrorKind, ServiceError, VmieError
from vmie_tui.services.aws.buffers import BufferBudget
from vmie_tui.services.aws.errors import transient, translate
from vmie_tui.services.aws.multipart import Upload, crc_text

PART_ATTEMPTS = 10
FIRST_WAIT, LONGEST_WAIT = 0.25, 20.0  # seconds between attempts, before jitter
DRAIN_SECONDS = 0.7  # a stopped upload lets parts that are nearly there arrive, so that they count at the next attempt
STOP_SECONDS = 0.7  # and then waits so long for its threads to break off; they end by themselves later
POLL_SECONDS = 0.25
PIECE = 1 << 18  # bytes handed to the socket at once; between two pieces a stop is seen


@dataclass(frozen=True, slots=True)
class OutgoingPart:
    """A part to send: the first ``length`` bytes of ``buffer``, which now belongs to the sender."""

    number: int
    buffer: bytearray
    length: int
    crc: int


@dataclass(frozen=True, slots=True)
class SentPart:
    number: int
    length: int
    etag: str


class _Halted(Exception):
    """Breaks off a request whose upload was stopped."""


class PartBody:
    """A part as botocore wants it, file-like, without a copy: slices of the buffer, read until told to halt."""

    def __init__(self, view: memoryview, halted: threading.Event) -> None:
        self._view, self._halted, self._at = view, halted, 0

    def read(self, size: int = -1) -> memoryview:
        if self._halted.is_set():
            raise _Halted
        step = len(self._view) - self._at if size < 0 else max(size, PIECE)
        piece = self._view[self._at : self._at + step]
        self._at += len(piece)
        return piece

    def seek(self, offset: int, whence: int = 0) -> int:
        self._at = offset + {0: 0, 1: self._at, 2: len(self._view)}[whence]
        return self._at

    def tell(self) -> int:
        return self._at


def backoff(attempt: int) -> float:
    """Seconds to wait after the ``attempt``-th failure (1 is the first): doubling, with full jitter above a floor."""
    longest = min(LONGEST_WAIT, FIRST_WAIT * 2.0 ** (attempt - 1))
    return longest * random.uniform(0.5, 1.0)  # noqa: S311 - spreads retries, guards nothing


class PartSender:
    """Up to ``parallel`` parts of ``upload`` under way at once. A context manager: leaving it with an error stops them.

    The owner calls `submit`, `collect` and `drain` from one thread. ``client`` must not retry by itself.
    """

    def __init__(self, client: Any, upload: Upload, budget: BufferBudget, parallel: int) -> None:
        self._client, self._upload, self._budget, self._parallel = client, upload, budget, parallel
        self._todo: queue.SimpleQueue[OutgoingPart | None] = queue.SimpleQueue()
        self._done: queue.SimpleQueue[SentPart | Exception] = queue.SimpleQueue()
        self._ending = threading.Event()  # no new attempts
        self._halted = threading.Event()  # break off
        self._threads: list[threading.Thread] = []
        self._under_way = 0

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

    def submit(self, part: OutgoingPart) -> None:
        """Start sending a part; the owner waits until not `full` before."""
        self._under_way += 1
        if self._under_way > len(self._threads):
            name = f"s3-part-{len(self._threads) + 1}"
            thread = threading.Thread(target=self._work, name=name, daemon=True)  # never holds up the process's exit
            thread.start()
            self._threads.append(thread)
        self._todo.put(part)

    def collect(self, *, wait: float = 0.0) -> list[SentPart]:
        """The parts finished since the last call; waits up to ``wait`` seconds for one. Raises the first failure."""
        finished: list[SentPart] = []
        while self._under_way:
            try:
                item = self._done.get(timeout=wait) if wait and not finished else self._done.get_nowait()
            except queue.Empty:
                break
            self._under_way -= 1
            if isinstance(item, Exception):
                raise item
            finished.append(item)
        return finished

    @property
    def idle(self) -> bool:
        return self._under_way == 0

    def _work(self) -> None:
        while (part := self._todo.get()) is not None:
            try:
                result: SentPart | Exception = self._send(part)
            except VmieError as error:
                result = error
            except Exception as error:  # noqa: BLE001 - anything else would leave the owner waiting for this part
                result = translate(error, f"upload part {part.number}", self._subject)
            finally:
                self._budget.release(part.buffer)
            self._done.put(result)

    @property
    def _subject(self) -> str:
        return f"s3://{self._upload.bucket}/{self._upload.key}"

    def _send(self, part: OutgoingPart) -> SentPart:
        doing, attempt = f"upload part {part.number}", 0
        with memoryview(part.buffer) as whole, whole[: part.length] as view:
            while not self._ending.is_set():
                try:
                    return self._put(part, view)
                except (BotoCoreError, ClientError, OSError) as error:
                    attempt += 1
                    if not self._ending.is_set() and (attempt >= PART_ATTEMPTS or not transient(error)):
                        raise translate(error, doing, self._subject) from error
                self._ending.wait(backoff(attempt))
        raise ServiceError(ErrorKind.CANCELLED, "the upload was stopped", subject=self._subject, retry_safe=True)

    def _put(self, part: OutgoingPart, view: memoryview) -> SentPart:
        checksum = crc_text(part.crc)
        answer = self._client.upload_part(
            Bucket=self._upload.bucket,
            Key=self._upload.key,
            UploadId=self._upload.upload_id,
            PartNumber=part.number,
            ContentLength=part.length,
            Body=PartBody(view, self._halted) if part.length else b"",
            ChecksumCRC64NVME=checksum,
        )
        stored = answer.get("ChecksumCRC64NVME", checksum)
        if stored != checksum:
            raise ServiceError(
                ErrorKind.CORRUPT,
                f"S3 stored part {part.number} with another checksum than it was sent with",
                subject=self._subject,
                remedy="Resume: the part is sent again",
                retry_safe=True,
                detail=f"{stored} instead of {checksum}",
            )
        return SentPart(part.number, part.length, str(answer["ETag"]))
