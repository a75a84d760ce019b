"""Writes a disk to an EBS snapshot block by block (EBS direct APIs): in bounded memory, resumable."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

from vmie_tui.model.errors import ErrorKind, ServiceError
from vmie_tui.services.aws.ebs.block_ledger import BlockLedger, Journal, MemoryJournal
from vmie_tui.services.aws.ebs.block_sender import (
    APPEARS_SECONDS,
    BlockSender,
    OutgoingBlock,
    SentBlock,
    SnapshotLost,
    account_bucket,
    digest_text,
    give_up,
)
from vmie_tui.services.aws.ebs.snapshot_reader import BLOCK
from vmie_tui.services.aws.ebs.start_snapshot import SnapshotTarget, persist, start, state_of
from vmie_tui.services.aws.errors import boto_errors
from vmie_tui.services.aws.s3 import buffer_budget
from vmie_tui.services.aws.s3.buffer_budget import BudgetShare, BufferBudget
from vmie_tui.services.aws.s3.rate_cap import cap_of
from vmie_tui.services.aws.s3.sender_pool import POLL_SECONDS
from vmie_tui.services.aws.session import BLOCKS, Aws
from vmie_tui.services.pacing import Poll
from vmie_tui.services.transfer_control import TransferControl

__all__ = ["Journal", "MemoryJournal", "SnapshotLost", "SnapshotTarget", "SnapshotWriter", "WrittenSnapshot"]

PARALLEL = 64
# of all writers in the process: the 1,000 puts a second an account may have, at 96 ms each; more costs only memory
IN_FLIGHT = BudgetShare(buffer_budget.SHARED, 96 * BLOCK)
JOURNAL_BLOCKS = 32  # 16 MiB: what a kill may cost at most
JOURNAL_SECONDS = 0.5
FIRST_LOOK, LONGEST_LOOK = 0.25, 10.0  # seconds between two looks at a snapshot that completes
ZEROS = bytes(BLOCK)
ZERO_DIGEST = hashlib.sha256(ZEROS).digest()


@dataclass(frozen=True, slots=True)
class WrittenSnapshot:
    """A completed snapshot. ``sent`` and ``skipped`` are bytes of the disk put now, and found put by earlier attempts;
    ``checksum`` the linear SHA-256 of its ``blocks`` own blocks, in base64."""

    snapshot_id: str
    size_gib: int
    blocks: int
    sent: int
    skipped: int
    checksum: str


class SnapshotWriter:
    """Writes one snapshot. A context manager: entering starts the snapshot, or goes on with ``snapshot_id``.

    Leaving it with an error stops the requests under way and keeps the snapshot: a later writer with the same
    ``snapshot_id`` and journal goes on. All methods are for one thread. Raises `SnapshotLost` where AWS has dropped the
    snapshot; ServiceError REFUSED for a quota, CONFLICT, INVALID or PERMISSION for what AWS says no to.
    """

    def __init__(
        self,
        aws: Aws,
        region: str | None,
        target: SnapshotTarget,
        *,
        journal: Journal,
        snapshot_id: str = "",
        control: TransferControl,
        budget: BufferBudget | None = None,
        parallel: int = PARALLEL,
    ) -> None:
        self._aws, self._region, self._target = aws, region or aws.region, target
        self.snapshot_id = snapshot_id
        self._journal, self._control = journal, control
        self._budget, self._parallel = budget or IN_FLIGHT, parallel
        self._ledger: BlockLedger
        self._sender: BlockSender
        self._over = False  # completed already: nothing is put any more
        self._buffer: bytearray | None = None
        self._index = 0  # the block being filled, or the next one
        self._filled = 0  # bytes of it
        self._under_way: dict[int, None] = {}  # in ascending order
        self._unwritten: list[tuple[int, bytes]] = []  # put, but not in the journal yet
        self._written_at = 0.0
        self._shown_by = 0.0  # until then EC2 may not know the snapshot yet
        self._sent = self._skipped = 0

    # life

    def __enter__(self) -> Self:
        self._ledger = BlockLedger(self._journal)
        client = self._aws.client(BLOCKS, self._region)
        going_on = bool(self.snapshot_id)
        if going_on:
            self._over = self._go_on()
        elif len(self._ledger):
            raise ServiceError(ErrorKind.BUG, "the journal tells of blocks, but not of which snapshot")
        else:
            self.snapshot_id = start(self._aws, self._region, self._target, self._control.check)
            self._shown_by = time.monotonic() + APPEARS_SECONDS
        self._sender = BlockSender(
            client,
            self.snapshot_id,
            self._budget,
            self._parallel,
            account=account_bucket(self._aws, self._region),
            new=not going_on,
            cap=cap_of(self._aws.settings),
        )
        self._sender.__enter__()
        return self

    def _go_on(self) -> bool:
        """Whether an earlier attempt's snapshot is already completed; `SnapshotLost` when it cannot be resumed."""
        state, size_gib = state_of(self._aws, self._region, self.snapshot_id)
        if state not in {"pending", "completed"}:
            raise give_up(self.snapshot_id, f"the snapshot of the earlier attempt is gone ({state or 'unknown'})")
        if size_gib != self._target.size_gib:
            raise give_up(self.snapshot_id, f"the snapshot has {size_gib} GiB, the disk needs {self._target.size_gib}")
        return state == "completed"

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self._sender.__exit__(kind, error, trace)
            for block in self._sender.left():
                self._note(block)
            self._write_journal()
        finally:
            self._return_buffer()
            self._budget.trim()

    # content

    @property
    def blocks(self) -> int:
        """Blocks the disk has, data or not; the last one may be short."""
        return -(-self._target.size // BLOCK)

    def wants(self, index: int) -> bool:
        """False when an earlier attempt has put this block, so that an unchanged source need not read it again.

        Ask in ascending order, at or behind what was put last. A block that is neither asked for nor put is one the
        disk does not have.
        """
        if self._over:
            return False
        digest = self._ledger.journaled(index)
        if digest is None or index < self._index:
            return True
        if not self._ledger.is_settled(index):
            self._keep(index, digest)
        return False

    def put(self, offset: int, data: memoryview) -> None:
        """Puts the bytes of the disk at ``offset``; ascending, of any size. The buffer may be reused on return.

        Without a parent, whatever is not put reads as zeros. Raises whatever stopped the transfer.
        """
        self._check(offset, len(data))
        self._poll()
        done = 0
        while done < len(data) and not self._over:
            index, skip = divmod(offset + done, BLOCK)
            if index != self._index:
                self._finish()
                self._pass_to(index)
            if skip < self._filled:
                raise ServiceError(ErrorKind.BUG, "the disk's bytes do not ascend", subject=self.snapshot_id)
            step = min(BLOCK - skip, len(data) - done)
            self._fill(skip, data[done : done + step])
            done += step
            if self._filled == BLOCK:
                self._finish()

    def complete(self, *, asking: Callable[[], None] = lambda: None) -> WrittenSnapshot:
        """Sends what is left, completes the snapshot, and waits until EC2 reports it as completed.

        ``asking`` is called just before CompleteSnapshot: from then on it may be completed even if this process dies.
        """
        if not self._over:
            self._finish()
            self._pass_to(self.blocks)
            while not self._sender.idle:
                self._poll(POLL_SECONDS)
            self._write_journal()
            self._ledger.fold(self.blocks)
            asking()
            self._ask_to_complete()
            self._wait()
        else:
            for index in list(self._ledger.journaled_between(0, self.blocks)):
                self._keep(index, self._ledger.journaled(index) or b"")
            self._ledger.fold(self.blocks)
        return WrittenSnapshot(
            self.snapshot_id,
            self._target.size_gib,
            self._ledger.count,
            self._sent,
            self._skipped,
            digest_text(self._ledger.checksum),
        )

    def abandon(self) -> None:
        """Deletes the snapshot if possible, silently ignoring failure. Never raises ServiceError."""
        if self.snapshot_id:
            try:
                self._aws.client("ec2", self._region).delete_snapshot(SnapshotId=self.snapshot_id)
            except boto_errors(ServiceError):
                return  # AWS drops a pending snapshot by itself after a while

    # one block

    def _check(self, offset: int, length: int) -> None:
        if offset < 0 or offset + length > self._target.size or offset < self._index * BLOCK + self._filled:
            where = f"{length} bytes at {offset} of {self._target.size}, after block {self._index}"
            raise ServiceError(
                ErrorKind.BUG, "the disk's bytes do not ascend, or lie outside", subject=self.snapshot_id, detail=where
            )

    def _need_whole(self, held: bool) -> None:
        """With a parent a block that is put in parts would lose the rest of what the parent holds."""
        if self._target.parent and not held:
            what = "with a parent snapshot blocks must be put whole (trap 20)"
            raise ServiceError(ErrorKind.BUG, what, subject=self.snapshot_id, detail=f"block {self._index}")

    def _fill(self, skip: int, piece: memoryview) -> None:
        self._need_whole(skip == self._filled)
        if self._buffer is None:
            self._buffer = self._budget.acquire(BLOCK, self._poll)
        with memoryview(self._buffer) as view:
            if skip > self._filled:
                view[self._filled : skip] = ZEROS[self._filled : skip]
            view[skip : skip + len(piece)] = piece
        self._filled = skip + len(piece)

    def _finish(self) -> None:
        """Ends the block being filled: sends it unless the snapshot already has it or it is all zeros."""
        if not self._filled or self._buffer is None:
            return
        self._need_whole(self._filled == self._length(self._index))
        with memoryview(self._buffer) as view:
            view[self._filled :] = ZEROS[self._filled :]
        self._settle()
        self._filled, self._index = 0, self._index + 1

    def _settle(self) -> None:
        buffer, index = self._buffer, self._index
        if buffer is None:
            return
        digest, known = b"", self._ledger.journaled(index)
        if known is not None:
            digest = hashlib.sha256(buffer).digest()
            if digest == known:
                if not self._ledger.is_settled(index):
                    self._keep(index, digest)
                return
        elif not self._target.parent and buffer == ZEROS:
            return  # trap 19
        self._buffer = None
        self._submit(OutgoingBlock(index, buffer, digest))

    def _submit(self, block: OutgoingBlock) -> None:
        try:
            while self._sender.full:
                self._poll(POLL_SECONDS)
        except BaseException:
            self._budget.release(block.buffer)
            raise
        self._under_way[block.index] = None
        self._sender.submit(block)
        self._poll()

    def _pass_to(self, index: int) -> None:
        """Go on to this block; what an earlier attempt put in between and the disk no longer has becomes zeros."""
        for stale in list(self._ledger.journaled_between(self._index, index)):
            if self._target.parent:
                raise give_up(self.snapshot_id, f"block {stale} was changed by an earlier attempt and is not now")
            if self._ledger.journaled(stale) == ZERO_DIGEST:
                self._keep(stale, ZERO_DIGEST)
                continue
            buffer = self._buffer or self._budget.acquire(BLOCK, self._poll)
            self._buffer = None
            with memoryview(buffer) as view:
                view[:] = ZEROS
            self._submit(OutgoingBlock(stale, buffer, ZERO_DIGEST))
        self._index = max(self._index, index)

    def _return_buffer(self) -> None:
        if self._buffer is not None:
            self._budget.release(self._buffer)
            self._buffer = None

    # book-keeping

    def _length(self, index: int) -> int:
        return min(BLOCK, self._target.size - index * BLOCK)

    def _keep(self, index: int, digest: bytes) -> None:
        self._ledger.settle(index, digest)
        self._skipped += self._length(index)
        self._control.moved(self._length(index), skipped=True)

    def _note(self, block: SentBlock) -> None:
        self._under_way.pop(block.index, None)
        self._ledger.settle(block.index, block.digest)
        self._unwritten.append((block.index, block.digest))
        self._sent += self._length(block.index)

    def _poll(self, wait: float = 0.0) -> None:
        for block in self._sender.collect(wait=wait):
            self._note(block)
            self._control.moved(self._length(block.index))
        due = self._unwritten and time.monotonic() - self._written_at >= JOURNAL_SECONDS
        if due or len(self._unwritten) >= JOURNAL_BLOCKS:
            self._write_journal()
            self._ledger.fold(min(next(iter(self._under_way), self._index), self._index))
        self._control.check()

    def _write_journal(self) -> None:
        if self._unwritten:
            self._journal.append(self._unwritten)
            self._unwritten = []
        self._written_at = time.monotonic()

    # the end

    def _ask_to_complete(self) -> None:
        arguments: dict[str, Any] = {"SnapshotId": self.snapshot_id, "ChangedBlocksCount": self._ledger.count}
        if self._ledger.count:
            arguments |= {
                "Checksum": digest_text(self._ledger.checksum),
                "ChecksumAlgorithm": "SHA256",
                "ChecksumAggregationMethod": "LINEAR",
            }
        call = self._aws.client(BLOCKS, self._region).complete_snapshot
        try:
            persist(call, arguments, "complete the snapshot", self.snapshot_id, self._control.check)
        except ServiceError as error:
            told = error.problem
            if told.code not in {"ValidationException", "ResourceNotFoundException"}:
                raise
            # an earlier attempt may have asked for it already; else AWS holds other blocks than the journal tells of
            if state_of(self._aws, self._region, self.snapshot_id)[0] != "completed":
                what = "AWS refuses to complete the snapshot"
                raise give_up(self.snapshot_id, what, told.code, told.detail) from error

    def _wait(self) -> None:
        poll = Poll(FIRST_LOOK, LONGEST_LOOK, check=self._control.check)
        while True:
            state, _ = state_of(self._aws, self._region, self.snapshot_id)
            if state == "completed":
                return
            unseen = not state and time.monotonic() < self._shown_by
            if state != "pending" and not unseen:
                raise give_up(self.snapshot_id, f"the snapshot ended as {state or 'unknown'} instead of completed")
            poll.wait()
