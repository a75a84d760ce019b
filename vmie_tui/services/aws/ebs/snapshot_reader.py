"""Reads an EBS snapshot block by block (EBS direct APIs) as a disk, to verify what was written."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator

from vmie_tui.close_on_exit import Closing
from vmie_tui.model.errors import ErrorKind, ServiceError
from vmie_tui.model.facts import GIB
from vmie_tui.services.aws.errors import aws_call
from vmie_tui.services.aws.session import Aws
from vmie_tui.services.disks.streams.read_ahead import PiecesAhead

BLOCK = 512 << 10
PARALLEL = 4
ATTEMPTS = 3  # of a block whose bytes broke off or arrived damaged: botocore repeats requests, not half-read answers
KEPT = 16  # blocks in memory: those being read ahead and those just read


class SnapshotReader(Closing):
    """A disk over ListSnapshotBlocks and GetSnapshotBlock; each block's SHA-256 is checked. Use as a context manager.

    ``size``: bytes of the disk, when it is less than the snapshot's whole GiB (trap 13). Blocks the snapshot does not
    have are zeros. Raises ServiceError INVALID for a snapshot that is not completed, NOT_FOUND, CORRUPT.
    """

    def __init__(self, aws: Aws, region: str | None, snapshot_id: str, size: int | None = None) -> None:
        self.snapshot_id = snapshot_id
        self._client = aws.client("ebs", region)
        self._tokens: dict[int, str] = {}
        self.block_size, self.capacity = BLOCK, 0
        with aws_call("list the blocks of the snapshot", snapshot_id):
            self._list()
        self._size = self.capacity if size is None else min(size, self.capacity)
        self._order = sorted(self._tokens)
        self._next = dict(zip(self._order, self._order[1:], strict=False))
        self._blocks = PiecesAhead(self._fetch, parallel=PARALLEL, kept=KEPT, name="ebs-read")

    def _list(self) -> None:
        following: dict[str, str] = {}
        while True:
            page = self._client.list_snapshot_blocks(SnapshotId=self.snapshot_id, **following)
            self.block_size = int(page.get("BlockSize") or BLOCK)
            self.capacity = int(page.get("VolumeSize") or 0) * GIB
            self._tokens.update((block["BlockIndex"], block["BlockToken"]) for block in page.get("Blocks", ()))
            if not page.get("NextToken"):
                return
            following = {"NextToken": page["NextToken"]}

    @property
    def size(self) -> int:
        return self._size

    def close(self) -> None:
        self._blocks.close()

    def extents(self) -> Iterator[tuple[int, int]]:
        """Runs of blocks the snapshot has, within ``size``."""
        start = end = -1
        for index in self._order:
            at = index * self.block_size
            if at >= self._size:
                break
            if at != end:
                if end > start:
                    yield start, end - start
                start = at
            end = min(at + self.block_size, self._size)
        if end > start:
            yield start, end - start

    def read_at(self, offset: int, length: int) -> bytes:
        """``length`` bytes from ``offset``, fewer only at the end of the disk."""
        end = min(offset + length, self._size)
        pieces: list[bytes | memoryview] = []
        while offset < end:
            index, skip = divmod(offset, self.block_size)
            step = min(self.block_size - skip, end - offset)
            data = self._block(index)
            pieces.append(bytes(step) if data is None else memoryview(data)[skip : skip + step])
            offset += step
        return b"".join(pieces)

    def _block(self, index: int) -> bytes | None:
        if index not in self._tokens:
            return None
        return self._blocks.get(index, self._following(index))

    def _following(self, index: int) -> Iterator[int]:
        """The next blocks that the snapshot has, within ``size``."""
        for _ in range(PARALLEL):
            index = self._next.get(index, -1)
            if index < 0 or index * self.block_size >= self._size:
                return
            yield index

    def _fetch(self, index: int) -> bytes:
        for _ in range(ATTEMPTS - 1):
            try:
                return self._fetch_once(index)
            except ServiceError as error:
                if error.kind not in {ErrorKind.CORRUPT, ErrorKind.NETWORK}:
                    raise
        return self._fetch_once(index)

    def _fetch_once(self, index: int) -> bytes:
        subject = f"{self.snapshot_id} block {index}"
        with aws_call("read the block", subject):
            answer = self._client.get_snapshot_block(
                SnapshotId=self.snapshot_id, BlockIndex=index, BlockToken=self._tokens[index]
            )
            data: bytes = answer["BlockData"].read()
        digest = base64.b64encode(hashlib.sha256(data).digest()).decode("ascii")
        if len(data) != self.block_size or answer.get("Checksum") != digest:
            raise ServiceError(
                ErrorKind.CORRUPT,
                "the block arrived damaged",
                subject=subject,
                remedy="Read it again",
                retry_safe=True,
                detail=f"{len(data)} bytes, SHA-256 {digest}",
            )
        return data
