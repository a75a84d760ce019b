"""Reads a few blocks of a large image: cached, counted, and within a budget."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from dataclasses import dataclass, field

from vmie_tui.model.errors import ErrorKind, ServiceError
from vmie_tui.services.disks.errors import DiskFormatError, truncated
from vmie_tui.services.disks.streams.source import ByteReader

BLOCK = 64 << 10
MAX_REQUESTS = 64
MAX_BYTES = 4 << 20
MAX_SECONDS = 90.0
_KEPT = 128  # blocks: 8 MiB, more than the usual budget can fetch


class BudgetExceededError(DiskFormatError):
    """The budget is spent (kind REFUSED): the rest of an inspection counts as not inspected."""


@dataclass(slots=True)
class Budget:
    """The read budget of one image's inspection, and what has been spent."""

    requests: int = MAX_REQUESTS
    bytes: int = MAX_BYTES
    seconds: float = MAX_SECONDS  # from the first read on
    used_requests: int = 0
    used_bytes: int = 0
    _ends: float = field(default=0.0, repr=False)

    def check_time(self) -> None:
        """Raises when the time is up."""
        now = time.monotonic()
        self._ends = self._ends or now + self.seconds
        if now > self._ends:
            raise _exceeded(f"{self.seconds:.0f} seconds")

    def spend(self, length: int) -> None:
        """Count one request of ``length`` bytes; raise instead when it does not fit."""
        if self.used_requests >= self.requests:
            raise _exceeded(f"{self.requests} requests")
        if self.used_bytes + length > self.bytes:
            raise _exceeded(f"{self.bytes >> 10} KiB")
        self.used_requests += 1
        self.used_bytes += length


def _exceeded(limit: str) -> BudgetExceededError:
    return BudgetExceededError(ErrorKind.REFUSED, f"reading on would exceed the limit of {limit}")


class BlockReader:
    """A `ByteReader` over another one that is slow to ask: whole blocks, neighbours in one request, the last ones kept.

    Raises `BudgetExceededError`, and ``DiskFormatError`` (CORRUPT, ``retry_safe``) when the source gives less than its
    size promises. After a failure of the source all reads that are not cached fail like it. Safe to use from several
    threads; requests are made one after the other.
    """

    def __init__(self, source: ByteReader, budget: Budget | None = None, *, block: int = BLOCK) -> None:
        self._source, self.budget, self._block = source, budget or Budget(), block
        self._size = source.size
        self._blocks: OrderedDict[int, bytes] = OrderedDict()
        self._lock = threading.Lock()
        self._failure: ServiceError | None = None

    @property
    def size(self) -> int:
        return self._size

    def read_at(self, offset: int, length: int) -> bytes:
        """``length`` bytes from ``offset``, fewer only at the end."""
        self.budget.check_time()
        length = max(0, min(length, self._size - offset))
        if not length or offset < 0:
            return b""
        first, last = offset // self._block, (offset + length - 1) // self._block
        with self._lock:
            if last - first + 1 > _KEPT:
                raise _exceeded(f"{_KEPT * self._block >> 10} KiB in one piece")
            self._fetch([number for number in range(first, last + 1) if number not in self._blocks])
            pieces = [self._blocks[number] for number in range(first, last + 1)]
            for number in range(first, last + 1):
                self._blocks.move_to_end(number)
            while len(self._blocks) > _KEPT:
                self._blocks.popitem(last=False)
        skip = offset - first * self._block
        data = pieces[0] if len(pieces) == 1 else b"".join(pieces)
        return data[skip : skip + length]

    def _fetch(self, missing: list[int]) -> None:
        start = 0
        for index in range(1, len(missing) + 1):
            if index < len(missing) and missing[index] == missing[index - 1] + 1:
                continue
            at = missing[start] * self._block
            length = min((index - start) * self._block, self._size - at)
            data = self._read(at, length)
            for step, number in enumerate(missing[start:index]):
                self._blocks[number] = data[step * self._block : (step + 1) * self._block]
            start = index

    def _read(self, at: int, length: int) -> bytes:
        """Makes one request. None follow a failure: a dead network would otherwise be tried for every file."""
        if self._failure is not None:
            raise self._failure
        self.budget.spend(length)
        try:
            data = self._source.read_at(at, length)
            if len(data) != length:
                raise truncated(f"{len(data)} bytes of {length} could be read at byte {at}", received=True)
        except ServiceError as error:
            self._failure = error
            raise
        return data


class Metered:
    """A reader that ends, whoever asks, with what looks into so many disks may cost. Raises `BudgetExceededError`."""

    def __init__(self, source: ByteReader, disks: int = 1) -> None:
        self._source, self._size = source, source.size
        self.budget = Budget(MAX_REQUESTS * disks, MAX_BYTES * disks, MAX_SECONDS * disks)

    @property
    def size(self) -> int:
        return self._size

    def read_at(self, offset: int, length: int) -> bytes:
        """``length`` bytes from ``offset``, fewer only at the end."""
        length = max(0, min(length, self._size - offset))
        self.budget.check_time()
        self.budget.spend(length)
        return self._source.read_at(offset, length)


class Slice:
    """Part of another reader, read like a whole: a member of an archive, a partition of a disk."""

    def __init__(self, source: ByteReader, offset: int, size: int) -> None:
        self._source, self.offset = source, offset
        self._size = max(0, min(size, source.size - offset))

    @property
    def size(self) -> int:
        return self._size

    def read_at(self, offset: int, length: int) -> bytes:
        """``length`` bytes from ``offset``, fewer only at the end."""
        length = max(0, min(length, self._size - offset))
        return self._source.read_at(self.offset + offset, length) if length and offset >= 0 else b""
