"""The digests of a snapshot's blocks: those an earlier attempt has put, and the linear checksum (trap 24)."""

from __future__ import annotations

import hashlib
from array import array
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping, Sequence
from heapq import heappop, heappush
from typing import Protocol

DIGEST = 32  # bytes of a SHA-256


class Journal(Protocol):
    """The blocks that earlier attempts put into one pending snapshot; AWS cannot list them (trap 22)."""

    def load(self) -> Mapping[int, bytes] | Iterable[tuple[int, bytes]]:
        """Block index -> SHA-256 (32 bytes), or pairs of them. Pairs need less memory: nothing of them is kept."""

    def append(self, blocks: Sequence[tuple[int, bytes]]) -> None:
        """These blocks are in the snapshot now; a later entry for an index replaces the earlier one.

        Called in the thread that drives the writer, for up to 16 MiB of blocks at once.
        """


class MemoryJournal:
    """A journal that lasts as long as this process."""

    def __init__(self, blocks: Mapping[int, bytes] | None = None) -> None:
        self.blocks = dict(blocks or {})
        self.batches: list[int] = []

    def load(self) -> dict[int, bytes]:
        return dict(self.blocks)

    def append(self, blocks: Sequence[tuple[int, bytes]]) -> None:
        self.blocks.update(blocks)
        self.batches.append(len(blocks))


class BlockLedger:
    """What was journaled, and the linear checksum: SHA-256 over the blocks' raw digests in the order of their index.

    Digests are folded into it as soon as nothing below them can change, so a first run keeps only those under way. A
    resumed one holds 40 bytes for each block of the journal (80 MiB for a full TiB).
    """

    def __init__(self, journal: Journal) -> None:
        loaded = journal.load()
        pairs = loaded.items() if isinstance(loaded, Mapping) else loaded
        self._indexes, self._digests = _packed(pairs)
        self._settled: dict[int, bytes] = {}
        self._ascending: list[int] = []  # its indexes, as a heap
        self._whole = hashlib.sha256()
        self.count = 0  # blocks folded so far

    def __len__(self) -> int:
        return len(self._indexes)

    def journaled(self, index: int) -> bytes | None:
        """The digest an earlier attempt put under this index."""
        at = bisect_left(self._indexes, index)
        if at == len(self._indexes) or self._indexes[at] != index:
            return None
        return bytes(self._digests[at * DIGEST : (at + 1) * DIGEST])

    def journaled_between(self, first: int, stop: int) -> Iterator[int]:
        """Journaled indexes in ``[first, stop)`` that this run has not settled."""
        for at in range(bisect_left(self._indexes, first), bisect_left(self._indexes, stop)):
            if self._indexes[at] not in self._settled:
                yield self._indexes[at]

    def settle(self, index: int, digest: bytes) -> None:
        """The snapshot holds this block with this digest."""
        if index not in self._settled:
            heappush(self._ascending, index)
        self._settled[index] = digest

    def is_settled(self, index: int) -> bool:
        return index in self._settled

    def fold(self, below: int) -> None:
        """Add all settled blocks below this index to the checksum; none of them may change afterwards."""
        while self._ascending and self._ascending[0] < below:
            self._whole.update(self._settled.pop(heappop(self._ascending)))
            self.count += 1

    @property
    def checksum(self) -> bytes:
        """Of what was folded."""
        return self._whole.digest()


def _packed(pairs: Iterable[tuple[int, bytes]]) -> tuple[array[int], bytearray]:
    """(indexes ascending, their digests one behind the other); of several entries for an index the last counts."""
    indexes, digests, ascending = array("Q"), bytearray(), True
    for index, digest in pairs:
        if len(digest) != DIGEST:
            raise ValueError(f"a digest of {len(digest)} bytes for block {index}")
        ascending = ascending and (not indexes or index > indexes[-1])
        indexes.append(index)
        digests += digest
    if not ascending:
        latest = {index: at for at, index in enumerate(indexes)}
        order = sorted(latest)
        digests = bytearray().join(digests[latest[i] * DIGEST : (latest[i] + 1) * DIGEST] for i in order)
        indexes = array("Q", order)
    return indexes, digests
