"""XFS, versions 4 and 5, read block by block.

Not by libfsxfs: that reads the headers of every allocation group when it opens a file system, and one that was grown
from a template has hundreds.
"""

from __future__ import annotations

import struct
import uuid
from collections.abc import Iterator

from vmie_tui.services.disks.guest.filesystems import MAX_FILE, FileSystem, Kind, NumberedNode, Run, read_runs
from vmie_tui.services.disks.guest.xfs_log import log_is_clean
from vmie_tui.services.disks.guest.yal import DamagedError, parsing
from vmie_tui.services.disks.streams.source import ByteReader

_KINDS = {0x8000: Kind.FILE, 0x4000: Kind.FOLDER, 0xA000: Kind.LINK}
_KNOWN, _FTYPE = 0x1FF, 0x1  # incompatible features of version 5
_FTYPE_V4, _NREXT64, _REALTIME = 0x200, 0x10, 0x1
_LOCAL, _EXTENTS, _BTREE = 1, 2, 3
_LEAVES = 32 << 30  # bytes: where a directory's data ends and its index begins
_MAX_FOLDER, _MAX_EXTENTS, _MAX_LEVEL = 4 << 20, 100_000, 8
_SYMLINK_HEADER = 56
_BLOCK_KIND, _DATA_KIND = {b"XD2B", b"XDB3"}, {b"XD2D", b"XDD3"}


class Xfs(FileSystem):
    """An XFS file system. Raises `DamagedError` for one that contradicts itself or has features that are not known."""

    def __init__(self, source: ByteReader) -> None:
        super().__init__("xfs", lambda: self.node(self._root_inode))
        block = source.read_at(0, 512)
        if len(block) < 512:
            raise DamagedError("the XFS superblock is cut short")
        self.source = source
        (self.block,), (self._root_inode,) = struct.unpack_from(">I", block, 4), struct.unpack_from(">Q", block, 56)
        (self._group_blocks,), (version,) = struct.unpack_from(">I", block, 84), struct.unpack_from(">H", block, 100)
        (self.inode_size,) = struct.unpack_from(">H", block, 104)
        self._per_block_bits, self._group_bits = block[123], block[124]
        self.folder_block = self.block << min(block[192], 8)
        self.uuid = str(uuid.UUID(bytes=block[32:48]))
        self.label = block[108:120].split(b"\0", 1)[0].decode("utf-8", "replace")
        self.modern = version & 0xF == 5
        features = struct.unpack_from(">I", block, 216 if self.modern else 200)[0]
        if self.modern and features & ~_KNOWN:
            raise DamagedError(f"its XFS features {features & ~_KNOWN:#x} are not known")
        self.typed = bool(features & (_FTYPE if self.modern else _FTYPE_V4))
        sound = (
            512 <= self.block <= 65536
            and 256 <= self.inode_size <= min(self.block, 2048)
            and self.folder_block <= 65536
        )
        if not sound or not 0 < self._group_bits < 32 or self._per_block_bits > 8 or not self._group_blocks:
            raise DamagedError("the XFS superblock makes no sense")
        self.free = min(struct.unpack_from(">Q", block, 144)[0] * self.block, source.size)
        clean = log_is_clean(source, block)
        self.dirty = None if clean is None else not clean

    def place(self, block: int) -> int:
        """The byte at which a file system block begins: its number has the allocation group in the upper bits."""
        group, within = block >> self._group_bits, block & ((1 << self._group_bits) - 1)
        return int((group * self._group_blocks + within) * self.block)

    def node(self, number: int) -> XfsNode:
        """The file of this inode number."""
        with parsing("an XFS inode"):
            at = self.place(number >> self._per_block_bits)
            at += (number & ((1 << self._per_block_bits) - 1)) * self.inode_size
            inode = self.source.read_at(at, self.inode_size)
            if inode[:2] != b"IN" or len(inode) < self.inode_size:
                raise DamagedError(f"the inode {number} is not where it should be")
            return XfsNode(self, inode)
        raise AssertionError


class XfsNode(NumberedNode):
    """A file, directory or link of an XFS file system."""

    def __init__(self, system: Xfs, inode: bytes) -> None:
        self._system = system
        (mode,), version, self._format = struct.unpack_from(">H", inode, 2), inode[4], inode[5]
        self.kind = _KINDS.get(mode & 0xF000, Kind.OTHER)
        (self.size,) = struct.unpack_from(">Q", inode, 56)
        core = 176 if version >= 3 else 100
        wide = version >= 3 and struct.unpack_from(">Q", inode, 120)[0] & _NREXT64
        self._count = int(struct.unpack_from(">Q", inode, 24)[0] if wide else struct.unpack_from(">I", inode, 76)[0])
        end = core + inode[82] * 8 if inode[82] else len(inode)
        self._fork = inode[core:end]
        self._realtime = bool(struct.unpack_from(">H", inode, 90)[0] & _REALTIME)

    def target(self) -> str:
        """Where a symbolic link leads."""
        if self._format == _LOCAL:
            return self._fork[: self.size].decode("utf-8", "replace")
        with parsing("an XFS link"):
            length, step = min(self.size, 4096), self._system.block
            raw = self._mapped(0, (-(-length // step) + 1) * step)
            blocks = [raw[at : at + step] for at in range(0, len(raw), step)]
            # Version 5 puts a header before each block, but mkfs.xfs does not.
            raw = b"".join(block[_SYMLINK_HEADER * block.startswith(b"XSLM") :] for block in blocks)
            return raw[:length].decode("utf-8", "replace")
        raise AssertionError

    def _numbered(self, number: int) -> XfsNode:
        return self._system.node(number)

    def read(self, offset: int, length: int) -> bytes:
        """Some of the content, fewer bytes only at the end."""
        length = max(0, min(length, self.size - offset, MAX_FILE))
        if not length:
            return b""
        if self._realtime:
            raise DamagedError("the file is in the realtime section")
        with parsing("an XFS file"):
            return self._mapped(offset, length)
        raise AssertionError

    def _mapped(self, offset: int, length: int) -> bytes:
        return read_runs(self._system.source, self._runs(), self._system.block, offset, length)

    # ---- which blocks

    def _runs(self) -> Iterator[Run]:
        if self._format == _EXTENTS:
            yield from self._extents(self._fork, self._count)
        elif self._format == _BTREE:
            level, count = struct.unpack_from(">HH", self._fork)
            room = (len(self._fork) - 4) // 16
            yield from self._below(self._fork[4 + 8 * room :], count, level)
        else:
            raise DamagedError(f"a file is kept in the format {self._format}")

    def _below(self, pointers: bytes, count: int, level: int) -> Iterator[Run]:
        if level > _MAX_LEVEL or count * 8 > len(pointers):
            raise DamagedError("the extents of a file are damaged")
        head = 72 if self._system.modern else 24
        for number in range(count):
            place = self._system.place(struct.unpack_from(">Q", pointers, 8 * number)[0])
            block = self._system.source.read_at(place, self._system.block)
            below, records = struct.unpack_from(">HH", block, 4)
            if block[:4] not in {b"BMAP", b"BMA3"} or below != level - 1:
                raise DamagedError("the extents of a file are damaged")
            if below:
                room = (self._system.block - head) // 16
                yield from self._below(block[head + 8 * room :], records, below)
            else:
                yield from self._extents(block[head:], records)

    def _extents(self, table: bytes, count: int) -> Iterator[Run]:
        if count > _MAX_EXTENTS or 16 * count > len(table):
            raise DamagedError("the extents of a file are damaged")
        for number in range(count):
            high, low = struct.unpack_from(">QQ", table, 16 * number)
            unwritten = bool(high >> 63)
            block = (high & 0x1FF) << 43 | low >> 21
            place = None if unwritten else self._system.place(block)
            yield Run(high >> 9 & ((1 << 54) - 1), low & 0x1FFFFF, place)

    # ---- directories

    def _entries(self) -> Iterator[tuple[bytes, int]]:
        """(name, inode number) of a directory."""
        if self.kind is not Kind.FOLDER:
            return
        with parsing("an XFS directory"):
            yield from self._short() if self._format == _LOCAL else self._long()

    def _short(self) -> Iterator[tuple[bytes, int]]:
        """A small directory, kept in its inode."""
        fork = self._fork[: self.size]
        count, large = fork[0] or fork[1], bool(fork[1])
        width, at = (8, 10) if large else (4, 6)
        for _ in range(count):
            length = fork[at]
            name = fork[at + 3 : at + 3 + length]
            at += 3 + length + self._system.typed
            yield name, int.from_bytes(fork[at : at + width], "big")
            at += width

    def _long(self) -> Iterator[tuple[bytes, int]]:
        step, total = self._system.folder_block, 0
        per = step // self._system.block
        for run in self._runs():
            if run.at is None or run.first * self._system.block >= _LEAVES:
                continue
            total += run.count * self._system.block
            if total > _MAX_FOLDER:
                raise DamagedError(f"a directory of more than {_MAX_FOLDER} bytes")
            # With blocks smaller than a directory's own, several runs may make one directory block.
            for first in range(run.first - run.first % per, run.first + run.count, per):
                if first >= run.first:
                    yield from self._scan(self._mapped(first * self._system.block, step))

    def _scan(self, block: bytes) -> Iterator[tuple[bytes, int]]:
        if block[:4] not in _BLOCK_KIND | _DATA_KIND:
            raise DamagedError("a directory block is damaged")
        at, end = 64 if self._system.modern else 16, len(block)
        if block[:4] in _BLOCK_KIND:
            end -= 8 + 8 * struct.unpack_from(">I", block, len(block) - 8)[0]
        while at + 12 <= end:
            if block[at : at + 2] == b"\xff\xff":
                step = struct.unpack_from(">H", block, at + 2)[0]
                if step < 8:
                    raise DamagedError("a directory entry is damaged")
                at += step
                continue
            (number,), length = struct.unpack_from(">Q", block, at), block[at + 8]
            name = block[at + 9 : at + 9 + length]
            if name not in {b".", b".."}:
                yield name, number
            at += -(-(11 + length + self._system.typed) // 8) * 8
