"""Btrfs: the superblock, and whether there are subvolumes; its files are not read."""

from __future__ import annotations

import struct
import uuid

from vmie_tui.services.disks.guest.filesystems import FileSystem, Node
from vmie_tui.services.disks.guest.yal import DamagedError
from vmie_tui.services.disks.streams.source import ByteReader

_SUPER = 0x10000
_CHUNK_ITEM, _ROOT_ITEM = 228, 132
_FIRST_FREE, _LAST_FREE = 256, 2**64 - 256
_MOST_NODES, _MAX_NODE = 64, 65536
_ITEM = struct.Struct("<QBQII")
_POINTER = struct.Struct("<QBQQQ")


class Btrfs(FileSystem):
    """A Btrfs file system. ``subvolumes``: how many beside the top one; None when its trees cannot be followed."""

    def __init__(self, source: ByteReader) -> None:
        super().__init__("btrfs", self._no_files)
        self._source = source
        block = source.read_at(_SUPER, 4096)
        if len(block) < 4096:
            raise DamagedError("the Btrfs superblock is cut short")
        self.uuid = str(uuid.UUID(bytes=block[32:48]))
        total, used = struct.unpack_from("<QQ", block, 112)
        self.free = max(0, min(total, source.size) - used)
        self.label = block[299:555].split(b"\0", 1)[0].decode("utf-8", "replace")
        self.dirty = bool(struct.unpack_from("<Q", block, 96)[0])  # a log tree that waits for replay
        root, chunks = struct.unpack_from("<QQ", block, 80)
        (self._node,), (length,) = struct.unpack_from("<I", block, 148), struct.unpack_from("<I", block, 160)
        self._map: list[tuple[int, int, int]] = []  # logical, length, physical
        self._budget = _MOST_NODES
        self.subvolumes: int | None = None
        if 4096 <= self._node <= _MAX_NODE and length <= 2048:
            self._bootstrap(block[811 : 811 + length])
            self.subvolumes = self._count(root, chunks)

    def _no_files(self) -> Node:
        raise DamagedError("the files of Btrfs are not read")

    def _bootstrap(self, array: bytes) -> None:
        at = 0
        while at + 17 + 48 <= len(array):
            (logical,) = struct.unpack_from("<Q", array, at + 9)
            at += 17 + self._add_chunk(logical, array[at + 17 :])

    def _add_chunk(self, logical: int, item: bytes) -> int:
        """Note where a chunk lies (its first copy); the bytes of the item."""
        (length,), (stripes,) = struct.unpack_from("<Q", item), struct.unpack_from("<H", item, 44)
        if len(item) >= 80:
            self._map.append((logical, length, struct.unpack_from("<Q", item, 56)[0]))
        return 48 + 32 * max(1, int(stripes))

    def _count(self, root: int, chunks: int) -> int | None:
        for key, item in self._walk(chunks):
            if key[1] == _CHUNK_ITEM and len(item) >= 80:
                self._add_chunk(key[2], item)
        if self._budget <= 0:
            return None
        found = sum(
            key[1] == _ROOT_ITEM and _FIRST_FREE <= key[0] <= _LAST_FREE and len(item) > 0
            for key, item in self._walk(root)
        )
        return found if self._budget > 0 else None

    def _walk(self, logical: int) -> list[tuple[tuple[int, int, int], bytes]]:
        """All items of a tree; stops when the allowance of nodes is used up (``_budget`` is 0 then)."""
        found: list[tuple[tuple[int, int, int], bytes]] = []
        todo = [logical]
        while todo:
            at = todo.pop()
            physical = next((p + at - low for low, length, p in self._map if low <= at < low + length), None)
            self._budget -= 1
            node = b"" if physical is None or self._budget <= 0 else self._source.read_at(physical, self._node)
            if len(node) < self._node:
                self._budget = 0
                return found
            count, level = struct.unpack_from("<I", node, 96)[0], node[100]
            if level:
                count = min(count, (self._node - 101) // _POINTER.size)
                todo += [_POINTER.unpack_from(node, 101 + number * _POINTER.size)[3] for number in range(count)]
                continue
            for number in range(min(count, (self._node - 101) // _ITEM.size)):
                ident, kind, offset, start, size = _ITEM.unpack_from(node, 101 + number * _ITEM.size)
                found.append(((ident, kind, offset), node[101 + start : 101 + start + size]))
        return found
