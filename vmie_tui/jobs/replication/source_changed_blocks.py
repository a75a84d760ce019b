"""The source of a replication's run: what changed, read by ranges from the snapshot's disk files."""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from vmie_tui.jobs.replication.areas_to_copy import Areas, Delta
from vmie_tui.jobs.replication.context import ReplicationContext
from vmie_tui.jobs.replication.snapshot import refuse_moved_machine
from vmie_tui.jobs.store.records import DiskRecord
from vmie_tui.jobs.transfer.source import TRANSFERS, Put, Received
from vmie_tui.model.errors import Cancelled, ErrorKind, ServiceError
from vmie_tui.model.plan import UploadFormat
from vmie_tui.model.replication import Sync
from vmie_tui.services.disks.feeds.disk_feed import Feed
from vmie_tui.services.disks.streams.proof_samples import BLOCK, Sampler
from vmie_tui.services.transfer_control import DiskControl
from vmie_tui.services.vsphere.datastore.flat_file import LOCK_OWNER
from vmie_tui.services.vsphere.datastore.folder_reader import FolderReader

ZERO_DIGEST = hashlib.sha256(bytes(BLOCK)).digest()


class ChangedBlocksSource:
    """The machine's disks in one transfer phase. There is no lease to lose, so the source is its own attempt."""

    def __init__(self, context: ReplicationContext) -> None:
        self._context = context
        self._lock = threading.Lock()
        self._readers: set[FolderReader] = set()
        self._closed = False
        self._since: float | None = time.monotonic()
        TRANSFERS.enter()

    # TransferSource

    def begin(self) -> ChangedBlocksSource:
        return self

    def check(self) -> None:
        self._context.control.check()
        if self._closed:
            raise Cancelled("stopped with the machine's other disks")

    def close(self) -> None:
        self._closed = True
        with self._lock:
            readers = list(self._readers)
        for reader in readers:
            reader.close()

    def complete(self) -> None:
        """Everything was read: what the forecast calls copying ends here."""
        self._note_time()

    def forget(self) -> None:
        self._note_time()
        TRANSFERS.leave()

    def _note_time(self) -> None:
        """Add this attempt's seconds of copying to those before."""
        since, self._since = self._since, None
        if since is not None:
            context = self._context
            before = context.ledger.copy_seconds
            context.remember(copy_seconds=before + time.monotonic() - since)

    # Attempt

    def tell(self, share: float) -> None:
        """Nobody waits for it."""

    def lost(self) -> bool:
        return False

    def drop(self, reason: str) -> None:
        """Nothing is held that could be suspect."""

    def whole(self) -> None:
        """A machine is no archive."""

    def size_hint(self, disk: DiskRecord, wanted: UploadFormat) -> int:
        return disk.capacity

    def feed(self, disk: DiskRecord, wanted: UploadFormat, control: DiskControl, sampler: Sampler) -> Feed:
        what = "a replication writes blocks of EBS snapshots, and no files"
        raise ServiceError(ErrorKind.BUG, what, subject=disk.label)

    def blocks(self, disk: DiskRecord, target: Put, control: DiskControl, sampler: Sampler) -> None:
        context, delta = self._context, self._context.deltas[disk.key]
        # Blocks that were put when the machine was frozen as it is now are not read again.
        ledger = context.disk(disk.key).ledger
        same = ledger.begun_at == context.ledger.at_snapshot.moid
        areas = list(_missing(delta.areas, disk.capacity, target)) if same else delta.areas
        control.begin(sum(length for _, length in areas))
        if not areas:
            return
        try:
            with self._reader(disk) as reader:
                pieces: Iterator[tuple[int, bytes]] = reader.stream(areas)
                if delta.sync is Sync.CHECKSUM:
                    pieces = self._different(disk, delta, pieces)
                for offset, data in pieces:
                    control.check()
                    target.put(offset, memoryview(data))
                    control.moved(len(data))
        except ServiceError as error:
            if error.kind is not ErrorKind.CANCELLED:
                refuse_moved_machine(context)  # moved, or its snapshot removed: that is the cause then
            raise

    def _different(
        self, disk: DiskRecord, delta: Delta, pieces: Iterable[tuple[int, bytes]]
    ) -> Iterator[tuple[int, bytes]]:
        """The blocks whose SHA-256 is not that of the parent's, and those that an earlier attempt has put."""
        context = self._context
        parent = _Digests(context.content(disk.key).load())
        put = _Digests(context.block_journal(disk.key).load())
        for index, block in blocks_in(pieces):
            digest = hashlib.sha256(block.ljust(BLOCK, b"\0")).digest()
            if put.of(index) or digest != (parent.of(index) or ZERO_DIGEST):
                yield index * BLOCK, block

    @contextmanager
    def _reader(self, disk: DiskRecord) -> Iterator[FolderReader]:
        with open_disk_at_snapshot(self._context, disk) as reader:
            with self._lock:
                self._readers.add(reader)
            try:
                self.check()  # it may have been closed while the file was opened
                yield reader
            finally:
                with self._lock:
                    self._readers.discard(reader)

    def sample(self, disk: DiskRecord, sampler: Sampler) -> None:
        """What is put is sampled by its journal."""

    def found(self, key: int) -> Received:
        return Received()


def choose_reader(context: ReplicationContext) -> None:
    """See whether each disk can be read as a file; other errors are left to the transfer.

    Where even the machine's own host refuses, because of a lock, an export lease reads all disks: a full copy, with
    the reason in the log.
    """
    for disk in context.disks():
        try:
            with open_disk_at_snapshot(context, disk) as reader:
                if reader.at_host:
                    context.say(
                        f"{disk.label}: only the host {reader.at_host} can read its file, so it is asked itself"
                    )
        except ServiceError as error:
            if error.problem.code != LOCK_OWNER:
                return
            why = f"its disk's file cannot be read: {error.problem.what}. All is read by an export lease"
            context.say(f"{disk.label}: {why}", level="warning")
            context.remember(lease_reason=why)
            return


@contextmanager
def open_disk_at_snapshot(context: ReplicationContext, disk: DiskRecord) -> Iterator[FolderReader]:
    """Open a disk's file as this run's snapshot has it."""
    disk = context.disk(disk.key)
    frozen, host = disk.ledger.at_snapshot, context.ledger.at_snapshot.host
    machine = context.machine
    with FolderReader(
        context.vsphere,
        machine.datacenter_id or machine.datacenter,
        frozen.file,
        host=host,
        by_host=True,
        datastore=frozen.datastore,
        check=context.control.check,
    ) as reader:
        if reader.size != disk.capacity:
            raise ServiceError(
                ErrorKind.CORRUPT,
                f"the disk's file has {reader.size:,} bytes, the snapshot's disk {disk.capacity:,}",
                subject=disk.label,
                remedy="See in vCenter whether the disk was replaced or is being extended, then run again",
            )
        yield reader


def _missing(areas: Areas, capacity: int, target: Put) -> Iterator[tuple[int, int]]:
    """The parts of the areas that the writer still wants."""
    for offset, length in areas:
        start = offset
        for at in range(offset, offset + length, BLOCK):
            if not target.wants(at // BLOCK):
                if at > start:
                    yield start, at - start
                start = min(at + BLOCK, capacity)
        if offset + length > start:
            yield start, offset + length - start


def blocks_in(pieces: Iterable[tuple[int, bytes]]) -> Iterator[tuple[int, bytes]]:
    """(index, bytes) of the blocks in (offset, bytes) pieces of whole blocks; the last of the disk may be short."""
    for offset, data in pieces:
        for at in range(0, len(data), BLOCK):
            yield (offset + at) // BLOCK, data[at : at + BLOCK]


class _Digests:
    """(block index, digest) pairs that ascend, looked up by indexes that ascend too: only one is in memory."""

    def __init__(self, pairs: Iterator[tuple[int, bytes]]) -> None:
        self._pairs = pairs
        self._at, self._digest = next(pairs, (-1, b""))

    def of(self, index: int) -> bytes:
        """The digest, b"" when there is none."""
        while 0 <= self._at < index:
            self._at, self._digest = next(self._pairs, (-1, b""))
        return self._digest if self._at == index else b""
