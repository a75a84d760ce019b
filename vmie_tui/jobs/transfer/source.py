"""Where a job's bytes come from. A `TransferSource` serves one transfer phase; each attempt starts with `begin`."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from vmie_tui.close_on_exit import Closing
from vmie_tui.jobs.engine.worker_process import give_memory_back
from vmie_tui.jobs.store.records import DiskRecord
from vmie_tui.model.plan import UploadFormat
from vmie_tui.services.aws.s3.buffer_budget import SHARED
from vmie_tui.services.disks.feeds.disk_feed import Feed
from vmie_tui.services.disks.streams.proof_samples import Sampler
from vmie_tui.services.disks.streams.source import ByteReader
from vmie_tui.services.transfer_control import DiskControl

ROOM = 1 << 20  # a stream of incompressible data is a little larger than the disk


@dataclass(frozen=True, slots=True)
class Received:
    """What an attempt found out about a disk while it was read. ``sha256``: of the bytes that came, in hex.

    ``host_sha256``: what the host says they should be, "" when it says nothing.
    """

    sha256: str = ""
    host_sha256: str = ""


class Put(Protocol):
    """What takes the blocks of a disk: a `SnapshotWriter`."""

    def wants(self, index: int) -> bool: ...
    def put(self, offset: int, data: memoryview) -> None: ...


class Attempt(Protocol):
    """The source as one attempt sees it."""

    def check(self) -> None:
        """Raises when this attempt cannot go on: the user's wish, a lease that was lost."""

    def tell(self, share: float) -> None:
        """0..1 of the bytes are there."""

    def lost(self) -> bool:
        """Whether it failed because it lost what it reads from; another attempt may succeed."""

    def drop(self, reason: str) -> None:
        """Give up what it reads from: it is lost or suspect."""

    def whole(self) -> ByteReader | None:
        """The OVA that the source is, to be sent as it is."""

    def size_hint(self, disk: DiskRecord, wanted: UploadFormat) -> int:
        """Bytes of the object, rather too many."""

    def feed(self, disk: DiskRecord, wanted: UploadFormat, control: DiskControl, sampler: Sampler) -> Feed:
        """The disk's bytes in a format."""

    def blocks(self, disk: DiskRecord, target: Put, control: DiskControl, sampler: Sampler) -> None:
        """The disk's content into ``target``, ascending."""

    def sample(self, disk: DiskRecord, sampler: Sampler) -> None:
        """Samples of a disk whose bytes do not pass by."""

    def found(self, key: int) -> Received:
        """What is known of a disk once all of it was read."""


class TransferSource(Protocol):
    """The source of one transfer phase. Safe to share between the threads that move its disks."""

    def begin(self) -> Attempt: ...
    def check(self) -> None: ...
    def close(self) -> None:
        """Stop now and for good: whatever is being read breaks."""

    def complete(self) -> None:
        """All was read."""

    def forget(self) -> None:
        """The transfer phase is over."""


class ClosingFeed(Closing):
    """A feed, and what must be closed with it."""

    def __init__(self, inner: Feed, close: Callable[[], None]) -> None:
        self._inner, self._close = inner, close

    @property
    def sha256(self) -> str:
        return self._inner.sha256

    @sha256.setter
    def sha256(self, value: str) -> None:
        self._inner.sha256 = value

    @property
    def size(self) -> int:
        return self._inner.size

    @size.setter
    def size(self, value: int) -> None:
        self._inner.size = value

    def fill(self, view: memoryview) -> int:
        return self._inner.fill(view)

    def close(self) -> None:
        self._inner.close()
        self._close()


class Idle:
    """Part buffers go back to the system when the last transfer phase of the process ends."""

    def __init__(self) -> None:
        self._lock, self._active = threading.Lock(), 0

    def enter(self) -> None:
        with self._lock:
            self._active += 1

    def leave(self) -> None:
        with self._lock:
            self._active -= 1
            last = not self._active
        if last:
            SHARED.trim()
            give_memory_back()


TRANSFERS = Idle()
