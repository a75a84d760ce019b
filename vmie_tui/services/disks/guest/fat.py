"""FAT12, FAT16 and FAT32, read cluster by cluster. Not by libfsfat: that reads the whole table of a file system."""

from __future__ import annotations

import struct
from collections.abc import Iterator

from vmie_tui.services.disks.guest.filesystems import MAX_FILE, FileSystem, Kind
from vmie_tui.services.disks.guest.yal import DamagedError, parsing
from vmie_tui.services.disks.streams.source import ByteReader

_LONG, _VOLUME, _FOLDER = 0x0F, 0x08, 0x10
_DELETED = 0xE5
_MOST_CLUSTERS = 4096  # of one directory or file
_ENTRY = 32


class Fat(FileSystem):
    """A FAT file system. Raises `DamagedError` for one that contradicts itself."""

    def __init__(self, source: ByteReader) -> None:
        super().__init__("fat", self._top)
        boot = source.read_at(0, 512)
        if len(boot) < 512:
            raise DamagedError("the FAT boot sector is cut short")
        self._source = source
        (sector,), per = struct.unpack_from("<H", boot, 11), boot[13]
        (reserved,), tables = struct.unpack_from("<H", boot, 14), boot[16]
        (roots, small), (old_length,) = struct.unpack_from("<HH", boot, 17), struct.unpack_from("<H", boot, 22)
        (large,), (length,) = struct.unpack_from("<I", boot, 32), struct.unpack_from("<I", boot, 36)
        if sector not in {512, 1024, 2048, 4096} or not per or per & (per - 1) or not reserved or not tables:
            raise DamagedError("the FAT boot sector makes no sense")
        self.wide, length = not old_length, old_length or length
        self.cluster = sector * per
        self._table_at = reserved * sector
        self._root_at = (reserved + tables * length) * sector
        self._root_size = -(-roots * _ENTRY // sector) * sector
        self._data_at = self._root_at + self._root_size
        self._clusters = max(0, (small or large) * sector - self._data_at) // self.cluster
        self._bits = 32 if self.wide else 12 if self._clusters < 4085 else 16
        self._root_cluster = struct.unpack_from("<I", boot, 44)[0] if self.wide else 0
        (serial,) = struct.unpack_from("<I", boot, 67 if self.wide else 39)
        self.uuid = f"{serial >> 16:04X}-{serial & 0xFFFF:04X}"
        self.label = self._label(boot)

    def _label(self, boot: bytes) -> str:
        """The one in the root directory counts, as for Windows; else the copy in the boot sector."""
        data = next(self.clusters_from(self._root_cluster), b"")
        for at in range(0, len(data) - _ENTRY + 1, _ENTRY):
            flags = data[at + 11]
            if not data[at]:
                break
            if data[at] != _DELETED and flags & _VOLUME and flags & _LONG != _LONG:
                return (b"\xe5" * (data[at] == 5) + data[at + (data[at] == 5) : at + 11]).decode("cp437").rstrip()
        start = 71 if self.wide else 43
        label = boot[start : start + 11].decode("cp437").rstrip(" \0")
        return "" if label == "NO NAME" else label

    def _top(self) -> FatNode:
        return FatNode(self, Kind.FOLDER, self._root_cluster, 0)

    def chain(self, first: int) -> Iterator[int]:
        """The clusters of a file, from ``first`` on."""
        at, seen = first, 0
        while 2 <= at < self._clusters + 2:
            if seen >= _MOST_CLUSTERS:
                raise DamagedError("a FAT directory or file is too long, or its clusters form a ring")
            seen += 1
            yield at
            at = self._next(at)

    def _next(self, cluster: int) -> int:
        at = self._table_at + cluster * self._bits // 8
        (value,) = struct.unpack("<I", self._source.read_at(at, 4 if self._bits == 32 else 2).ljust(4, b"\0"))
        if self._bits == 12:
            return int(value >> 4 if cluster & 1 else value & 0xFFF)
        return int(value & 0x0FFFFFFF)

    def clusters_from(self, first: int) -> Iterator[bytes]:
        """The content of a chain, cluster by cluster; of the old fixed root directory in one piece."""
        if not first:
            yield self._source.read_at(self._root_at, self._root_size)
        for cluster in self.chain(first):
            yield self._source.read_at(self._data_at + (cluster - 2) * self.cluster, self.cluster)


class FatNode:
    """A file or directory; names without regard to case."""

    def __init__(self, system: Fat, kind: Kind, first: int, size: int) -> None:
        self._system, self.kind, self._first, self.size = system, kind, first, size

    def target(self) -> str:
        """FAT has no links."""
        return ""

    def child(self, name: str) -> FatNode | None:
        """The entry of this name in a directory."""
        wanted = name.casefold()
        return next((node for names, node in self._entries() if wanted in {each.casefold() for each in names}), None)

    def names(self) -> tuple[str, ...]:
        """The names in a directory, long ones where there are."""
        return tuple(names[0] for names, _ in self._entries())

    def read(self, offset: int, length: int) -> bytes:
        """Some of the content, fewer bytes only at the end."""
        length = max(0, min(length, self.size - offset, MAX_FILE))
        skip, within = divmod(offset, self._system.cluster)
        out = bytearray()
        with parsing("a FAT file"):
            for number, data in enumerate(self._system.clusters_from(self._first) if self._first else ()):
                if number >= skip:
                    out += data
                if len(out) >= within + length:
                    break
        return bytes(out[within : within + length])

    def _entries(self) -> Iterator[tuple[tuple[str, ...], FatNode]]:
        """(the long name if any and the short one, what it is) of a directory."""
        with parsing("a FAT directory"):
            long = ""
            for data in self._system.clusters_from(self._first):
                for at in range(0, len(data) - _ENTRY + 1, _ENTRY):
                    entry = data[at : at + _ENTRY]
                    flags = entry[11]
                    if not entry[0]:
                        return
                    if entry[0] == _DELETED:
                        long = ""
                    elif flags & _LONG == _LONG:
                        part = (entry[1:11] + entry[14:26] + entry[28:32]).decode("utf-16-le", "replace")
                        long = part.split("\0", 1)[0] + long
                    elif flags & _VOLUME or entry[0] == ord("."):
                        long = ""
                    else:
                        yield (long, _short(entry)) if long else (_short(entry),), self._node(entry)
                        long = ""

    def _node(self, entry: bytes) -> FatNode:
        high, low = struct.unpack_from("<H", entry, 20)[0], struct.unpack_from("<H", entry, 26)[0]
        kind = Kind.FOLDER if entry[11] & _FOLDER else Kind.FILE
        first = low | (high << 16 if self._system.wide else 0)
        return FatNode(self._system, kind, first, struct.unpack_from("<I", entry, 28)[0])


def _short(entry: bytes) -> str:
    base, end = entry[:8].decode("cp437").rstrip(), entry[8:11].decode("cp437").rstrip()
    base = base.lower() if entry[12] & 0x08 else base  # how Windows keeps a name that is all in small letters
    end = end.lower() if entry[12] & 0x10 else end
    return f"{base}.{end}" if end else base
