"""Samples a disk's content at random while it is transferred, for a later comparison with what AWS holds."""

from __future__ import annotations

import hashlib

BLOCK = 512 << 10  # the block of EBS snapshots
MOST = 64
_ZERO_BLOCK = bytes(BLOCK)


class Sampler:
    """Up to ``most`` blocks of 512 KiB with data, chosen by ``seed``: index -> SHA-256 of the block.

    Every block has a lot, drawn from the seed and its index; those with the lowest lots are kept. So the choice
    depends on the disk alone, not on the order or the number of attempts, and every block with data has the same
    chance. ``capacity``: bytes of the disk; its last block counts as filled up with zeros. Used from one thread.
    """

    def __init__(self, seed: int, capacity: int, *, most: int = MOST) -> None:
        self._key = seed.to_bytes(16, "big", signed=True)
        self._capacity, self._most = capacity, most
        self._kept: dict[int, str] = {}
        self._lots: dict[int, bytes] = {}
        self._worst = -1  # the index with the highest lot, once there are `most`
        self._block = bytearray(BLOCK)
        self._index = -1  # the block that is being put together
        self._last = -1  # the highest block met
        self._wanted = False

    def _lot(self, index: int) -> bytes:
        return hashlib.blake2b(index.to_bytes(8, "big"), digest_size=8, key=self._key).digest()

    def take(self, offset: int, data: memoryview) -> None:
        """Data at byte ``offset`` of the disk passes by; what never passes is zeros.

        Usually ascending. A block that comes in parts with others in between is not used.
        """
        at, end = 0, min(len(data), self._capacity - offset)
        while at < end:
            index, within = divmod(offset + at, BLOCK)
            step = min(end - at, BLOCK - within)
            if index != self._index:
                self._turn(index)
            if self._wanted:
                self._block[within : within + step] = data[at : at + step]
            at += step

    def note(self, index: int, sha256: str) -> None:
        """Adds a block whose SHA-256 is already known because an earlier attempt has sent it."""
        if self._may_keep(index):
            self._keep(index, sha256)

    @property
    def samples(self) -> dict[int, str]:
        """Index -> SHA-256 (hex) of the blocks chosen among all that has passed."""
        self._turn(-1)
        return dict(sorted(self._kept.items()))

    def _turn(self, index: int) -> None:
        """Finishes the current block and begins ``index`` (-1: none)."""
        if self._wanted and self._block != _ZERO_BLOCK:
            self._keep(self._index, hashlib.sha256(self._block).hexdigest())
        self._wanted = False
        if index >= 0:
            if index <= self._last:
                self._forget(index)  # it was finished without this data
            else:
                self._wanted = self._may_keep(index)
            self._last = max(self._last, index)
            if self._wanted:
                self._block[:] = _ZERO_BLOCK
        self._index = index

    def _may_keep(self, index: int) -> bool:
        return len(self._kept) < self._most or self._lot(index) < self._lots[self._worst]

    def _keep(self, index: int, sha256: str) -> None:
        self._kept[index] = sha256
        self._lots[index] = self._lot(index)
        if len(self._kept) > self._most:
            self._forget(self._worst)
        self._worst = max(self._lots, key=self._lots.__getitem__)

    def _forget(self, index: int) -> None:
        if self._kept.pop(index, None) is not None:
            del self._lots[index]
            self._worst = max(self._lots, key=self._lots.__getitem__, default=-1)
