"""ext2, ext3 and ext4, read block by block.

Not by libfsext: that reads every group of a file system when it opens it (2 TiB: 16,384 reads), and refuses or misreads
features of today's ext4 (fast_commit, large_dir, inline_data).
"""

from __future__ import annotations

import struct
import uuid
from collections.abc import Iterator

from vmie_tui.services.disks.guest.filesystems import MAX_FILE, FileSystem, Kind, NumberedNode, Run, read_runs
from vmie_tui.services.disks.guest.yal import DamagedError, parsing
from vmie_tui.services.disks.streams.source import ByteReader

_SUPER = 1024
_ROOT = 2
_JOURNAL, _SPARSE2 = 0x4, 0x200  # compatible features
_SPARSE = 0x1  # feature that reading may ignore
_RECOVERY, _META_BG, _EXTENTS, _64BIT, _FLEX = 0x4, 0x10, 0x40, 0x80, 0x200
_KNOWN = 0x2 | 0x4 | 0x10 | 0x40 | 0x80 | 0x100 | 0x200 | 0x400 | 0x1000 | 0x2000 | 0x4000 | 0x8000 | 0x10000 | 0x20000
_EXT4_ONLY = 0x78  # huge files, group checksums, many links, large inodes
_BY_EXTENTS, _INLINE, _ENCRYPTED = 0x80000, 0x10000000, 0x800
_KINDS = {0x8000: Kind.FILE, 0x4000: Kind.FOLDER, 0xA000: Kind.LINK}
_MAX_DEPTH, _UNWRITTEN = 5, 0x8000
_MAX_FOLDER, _STEP = 4 << 20, 256 << 10
_FAST_LINK = 60


class Ext(FileSystem):
    """An ext file system. Raises `DamagedError` for one that contradicts itself or has features that are not known."""

    def __init__(self, source: ByteReader) -> None:
        block = source.read_at(_SUPER, 1024)
        if len(block) < 1024:
            raise DamagedError("the ext superblock is cut short")
        compat, incompat, readonly = struct.unpack_from("<3I", block, 92)
        if incompat & ~_KNOWN:
            raise DamagedError(f"its ext4 features {incompat & ~_KNOWN:#x} are not known")
        kind = "ext4" if incompat & (_EXTENTS | _64BIT | _FLEX) or readonly & _EXT4_ONLY else ""
        super().__init__(kind or ("ext3" if compat & _JOURNAL else "ext2"), self._top)
        self.source = source
        self.uuid = str(uuid.UUID(bytes=block[104:120]))
        self.label = block[120:136].split(b"\0", 1)[0].decode("utf-8", "replace")
        (scale,) = struct.unpack_from("<I", block, 24)
        if scale > 6:
            raise DamagedError(f"ext blocks of 2^{10 + scale} bytes")
        self.block = 1024 << scale
        (self._inodes,), (self._first,) = struct.unpack_from("<I", block), struct.unpack_from("<I", block, 20)
        (self._group_blocks,), (self._group_inodes,) = (
            struct.unpack_from("<I", block, 32),
            struct.unpack_from("<I", block, 40),
        )
        (revision,), (width,) = struct.unpack_from("<I", block, 76), struct.unpack_from("<H", block, 88)
        self.inode_size = width if revision else 128
        (described,) = struct.unpack_from("<H", block, 254)
        self._described = described if incompat & _64BIT else 32
        self._meta_from = struct.unpack_from("<I", block, 260)[0] if incompat & _META_BG else None
        self._sparse = bool(readonly & _SPARSE)
        self._backups = struct.unpack_from("<2I", block, 588) if compat & _SPARSE2 else None
        if not (128 <= self.inode_size <= self.block and self._group_inodes and self._group_blocks):
            raise DamagedError("the ext superblock makes no sense")
        if not 32 <= self._described <= 1024:
            raise DamagedError(f"ext group descriptors of {self._described} bytes")
        self._count_free(block, incompat)
        clean = struct.unpack_from("<H", block, 58)[0] & 1
        self.dirty = bool(incompat & _RECOVERY) or not (compat & _JOURNAL or clean)

    def _count_free(self, block: bytes, incompat: int) -> None:
        (low,) = struct.unpack_from("<I", block, 12)
        high = struct.unpack_from("<I", block, 344)[0] if incompat & _64BIT else 0
        self.free = min((high << 32 | low) * self.block, self.source.size)

    def _top(self) -> ExtNode:
        return self.node(_ROOT)

    def node(self, number: int) -> ExtNode:
        """The file of this inode number."""
        if not 0 < number <= self._inodes:
            raise DamagedError(f"the inode {number} does not exist")
        group, index = divmod(number - 1, self._group_inodes)
        with parsing("an ext inode"):
            at = self._inode_table(group) * self.block + index * self.inode_size
            inode = self.source.read_at(at, self.inode_size)
            if len(inode) < 128:
                raise DamagedError(f"the inode {number} lies outside")
            return ExtNode(self, inode)
        raise AssertionError

    def _inode_table(self, group: int) -> int:
        """The block at which a group's inodes begin."""
        per_block = self.block // self._described
        number, index = divmod(group, per_block)
        # The superblock is in block 1 of blocks of 1 KiB, also where the first group begins at block 0 (bigalloc).
        adjust = int(self.block == 1024 and self._first == 0)
        place = self._first + 1 + adjust + number
        if self._meta_from is not None and number >= self._meta_from:
            first = number * per_block
            place = self._first + first * self._group_blocks + self._has_super(first) + (adjust if not number else 0)
        at = place * self.block + index * self._described
        entry = self.source.read_at(at, self._described)
        high = struct.unpack_from("<I", entry, 40)[0] if self._described >= 64 else 0
        return int(high << 32 | struct.unpack_from("<I", entry, 8)[0])

    def _has_super(self, group: int) -> bool:
        """Whether a copy of the superblock comes before a group's descriptors."""
        if self._backups is not None:
            return group == 0 or group in self._backups
        if not self._sparse or group <= 1:
            return True
        return any(_is_power(group, base) for base in (3, 5, 7))


def _is_power(number: int, base: int) -> bool:
    while number > 1 and not number % base:
        number //= base
    return number == 1


class ExtNode(NumberedNode):
    """A file, directory or link of an ext file system."""

    def __init__(self, system: Ext, inode: bytes) -> None:
        self._system, self._inode = system, inode
        mode, low = struct.unpack_from("<H", inode)[0], struct.unpack_from("<I", inode, 4)[0]
        self.kind = _KINDS.get(mode & 0xF000, Kind.OTHER)
        self.size = int(struct.unpack_from("<I", inode, 108)[0]) << 32 | int(low)
        (self._flags,) = struct.unpack_from("<I", inode, 32)
        self._map = inode[40:100]

    def target(self) -> str:
        """Where a symbolic link leads."""
        if self.size < _FAST_LINK and not self._flags & (_BY_EXTENTS | _INLINE):
            return self._map[: self.size].decode("utf-8", "replace")
        return self.read(0, min(self.size, 4096)).decode("utf-8", "replace")

    def _numbered(self, number: int) -> ExtNode:
        return self._system.node(number)

    def read(self, offset: int, length: int) -> bytes:
        """Some of the content, fewer bytes only at the end."""
        if self._flags & _ENCRYPTED:
            raise DamagedError("the file is encrypted by its file system")
        length = max(0, min(length, self.size - offset, MAX_FILE))
        if not length:
            return b""
        with parsing("an ext file"):
            if self._flags & _INLINE:
                return b"".join(self._inline())[offset : offset + length]
            return self._mapped(offset, length)
        raise AssertionError

    def _mapped(self, offset: int, length: int) -> bytes:
        step = self._system.block
        runs = self._runs(offset // step, (offset + length - 1) // step)
        return read_runs(self._system.source, runs, step, offset, length)

    # ---- which blocks

    def _runs(self, first: int, last: int) -> Iterator[Run]:
        if self._flags & _BY_EXTENTS:
            yield from self._extents(self._map, first, last, _MAX_DEPTH)
            return
        step = self._system.block
        first_of, count, at = first, 0, None
        for number in range(first, last + 1):
            place = self._indirect(number)
            if count and at is not None and place is not None and place * step == at + count * step:
                count += 1
                continue
            if count:
                yield Run(first_of, count, at)
            first_of, count, at = number, 1, None if place is None else place * step
        if count:
            yield Run(first_of, count, at)

    def _extents(self, node: bytes, first: int, last: int, depth: int) -> Iterator[Run]:
        magic, count, _, level = struct.unpack_from("<4H", node)
        if magic != 0xF30A or level >= depth or 12 + 12 * count > len(node):
            raise DamagedError("the extents of a file are damaged")
        entries = [struct.unpack_from("<IIHH" if level else "<IHHI", node, 12 + 12 * number) for number in range(count)]
        for number, entry in enumerate(entries):
            following = entries[number + 1][0] if number + 1 < count else last + 1
            if entry[0] > last or (level and following <= first):
                continue
            if level:
                place = entry[2] << 32 | entry[1]
                block = self._system.source.read_at(place * self._system.block, self._system.block)
                yield from self._extents(block, first, last, level)
                continue
            start, length, high, low = entry
            unwritten = length > _UNWRITTEN
            length -= _UNWRITTEN if unwritten else 0
            if start + length > first:
                yield Run(start, length, None if unwritten else (high << 32 | low) * self._system.block)

    def _indirect(self, number: int) -> int | None:
        """The place of one block in the old way; None for a hole."""
        per = self._system.block // 4
        if number < 12:
            return self._pointer(self._map, number)
        number -= 12
        for depth in (1, 2, 3):
            if number < per**depth:
                place = self._pointer(self._map, 11 + depth)
                for level in range(depth - 1, -1, -1):
                    if place is None:
                        return None
                    index, number = divmod(number, per**level)
                    at = place * self._system.block + 4 * index
                    place = self._pointer(self._system.source.read_at(at, 4), 0)
                return place
            number -= per**depth
        raise DamagedError("a file is too long for its block map")

    @staticmethod
    def _pointer(table: bytes, index: int) -> int | None:
        return struct.unpack_from("<I", table, 4 * index)[0] or None

    # ---- inline data and directories

    def _inline(self) -> tuple[bytes, bytes]:
        """The two parts of data kept in the inode: in the block map, and in the attribute ``system.data``."""
        if self.size <= len(self._map):
            return self._map[: self.size], b""
        start = 128 + struct.unpack_from("<H", self._inode, 128)[0]
        if struct.unpack_from("<I", self._inode, start)[0] != 0xEA020000:
            raise DamagedError("the inline data of a file is missing")
        at = start = start + 4
        while at + 16 <= len(self._inode) and any(self._inode[at : at + 4]):
            length, index, offset, _, size = struct.unpack_from("<BBHII", self._inode, at)
            if index == 7 and self._inode[at + 16 : at + 16 + length] == b"data":
                return self._map, self._inode[start + offset : start + offset + min(size, self.size - len(self._map))]
            at += 16 + (length + 3 & ~3)
        raise DamagedError("the inline data of a file is missing")

    def _entries(self) -> Iterator[tuple[bytes, int]]:
        """(name, inode number) of a directory; also of an indexed one, whose index looks like an empty entry."""
        if self.kind is not Kind.FOLDER:
            return
        if self._flags & _ENCRYPTED:
            raise DamagedError("the directory is encrypted by its file system")
        if self.size > _MAX_FOLDER:
            raise DamagedError(f"a directory of {self.size} bytes")
        with parsing("an ext directory"):
            if self._flags & _INLINE:
                first, second = self._inline()
                yield from _scan(first[4:])
                yield from _scan(second)
                return
            for offset in range(0, self.size, _STEP):
                yield from _scan(self._mapped(offset, min(_STEP, self.size - offset)))


def _scan(data: bytes) -> Iterator[tuple[bytes, int]]:
    at = 0
    while at + 8 <= len(data):
        number, step, length = struct.unpack_from("<IHB", data, at)
        if step < 8:
            if not number and not step:
                return  # the unused rest of inline data
            raise DamagedError("a directory entry is damaged")
        name = data[at + 8 : at + 8 + length]
        if number and name not in {b".", b".."}:
            yield name, number
        at += step
