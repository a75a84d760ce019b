"""NTFS through libfsntfs; its dirty flag and free space from its own metadata files."""

from __future__ import annotations

import struct
from typing import Any

from vmie_tui.model.errors import ServiceError
from vmie_tui.services.disks.guest.filesystems import MAX_FILE, MAX_NAMES, FileSystem, Kind
from vmie_tui.services.disks.guest.yal import DamagedError, FileObject, opened
from vmie_tui.services.disks.streams.source import ByteReader

_BITMAP, _VOLUME = 6, 3
_STEP = 64 << 10
_FOLDER, _REPARSE = 0x10000000, 0x400
_VOLUME_NAME, _VOLUME_INFORMATION, _END = 0x60, 0x70, 0xFFFFFFFF


class NtfsNode:
    """A file or directory; names without regard to case. Junctions and symbolic links count as links."""

    def __init__(self, volume: Any, path: str, entry: Any, file: FileObject) -> None:
        self._volume, self._path, self._entry, self._file = volume, path, entry, file

    @property
    def kind(self) -> Kind:
        with self._file.guard("a file's flags"):
            if int(self._entry.file_attribute_flags or 0) & _REPARSE:
                return Kind.LINK
            return Kind.FOLDER if self._entry.has_directory_entries_index() else Kind.FILE
        raise AssertionError

    @property
    def size(self) -> int:
        with self._file.guard("a file's size"):
            return int(self._entry.size or 0)
        raise AssertionError

    def target(self) -> str:
        return ""

    def child(self, name: str) -> NtfsNode | None:
        path = f"{self._path}\\{name}"
        with self._file.guard(f"the entry {name}"):
            found = self._volume.get_file_entry_by_path(path)
        return None if found is None else NtfsNode(self._volume, path, found, self._file)

    def names(self) -> tuple[str, ...]:
        with self._file.guard("a directory"):
            count = int(self._entry.number_of_sub_file_entries)
            if count > MAX_NAMES:
                raise DamagedError(f"a directory of {count} entries")
            return tuple(str(self._entry.get_sub_file_entry(number).name) for number in range(count))
        raise AssertionError

    def read(self, offset: int, length: int) -> bytes:
        length = max(0, min(length, self.size - offset, MAX_FILE))
        if not length:
            return b""
        with self._file.guard("a file's content"):
            self._entry.seek_offset(offset, 0)
            return bytes(self._entry.read_buffer(length))
        raise AssertionError


class Ntfs(FileSystem):
    """An NTFS volume."""

    def __init__(self, source: ByteReader) -> None:
        import pyfsntfs

        self._file = FileObject(source)
        self.volume = opened(pyfsntfs.volume, self._file, "the NTFS file system")
        super().__init__("ntfs", self._top)
        boot = source.read_at(0, 512)
        self.uuid = f"{struct.unpack_from('<Q', boot, 72)[0]:016X}"
        self._cluster = _cluster(boot)
        self._clusters = min(struct.unpack_from("<Q", boot, 40)[0] * 512, source.size) // self._cluster
        self.label, self.dirty = _volume(source, boot, self._cluster)

    def _top(self) -> NtfsNode:
        with self._file.guard("the root directory"):
            return NtfsNode(self.volume, "", self.volume.get_root_directory(), self._file)
        raise AssertionError

    def free_until(self, enough: int) -> tuple[int | None, bool]:
        """(bytes free, whether counting stopped at ``enough``); None when the bitmap cannot be read."""
        found = at = 0
        wanted = -(-self._clusters // 8)
        try:
            with self._file.guard("the cluster bitmap"):
                bitmap = self.volume.get_file_entry(_BITMAP)
                while at < wanted:
                    bitmap.seek_offset(at, 0)
                    data = bytes(bitmap.read_buffer(min(_STEP, wanted - at)))
                    if not data:
                        return None, False
                    valid = min(len(data) * 8, self._clusters - at * 8)
                    used = int.from_bytes(data, "little") & ((1 << valid) - 1)
                    found += valid - used.bit_count()
                    at += len(data)
                    if found * self._cluster >= enough:
                        return found * self._cluster, at < wanted
        except ServiceError:
            return None, False
        return found * self._cluster, False


def _cluster(boot: bytes) -> int:
    """Bytes of a cluster; DamagedError for what none can have."""
    sector, per = struct.unpack_from("<H", boot, 11)[0], boot[13]
    sectors = per if per < 0x80 else 1 << (256 - per)
    size = sector * sectors
    if sector not in {512, 1024, 2048, 4096} or not 512 <= size <= 2 << 20 or size & (size - 1):
        raise DamagedError(f"NTFS clusters of {size} bytes")
    return int(size)


def _volume(source: ByteReader, boot: bytes, cluster: int) -> tuple[str, bool | None]:
    """(label, dirty flag) of $Volume, read from its record; the flag is None when the record makes no sense."""
    start, width = struct.unpack_from("<Q", boot, 48)[0] * cluster, struct.unpack_from("<b", boot, 64)[0]
    size = width * cluster if width > 0 else 1 << -width
    if not 512 <= size <= 4096:
        return "", None
    record = source.read_at(start + _VOLUME * size, size)
    if len(record) < size or record[:4] != b"FILE":
        return "", None
    label, at = "", struct.unpack_from("<H", record, 20)[0]
    while at + 24 <= size:
        kind, length = struct.unpack_from("<II", record, at)
        if kind == _END or length < 24:
            break
        if kind in {_VOLUME_NAME, _VOLUME_INFORMATION} and not record[at + 8]:
            long, offset = struct.unpack_from("<IH", record, at + 16)
            value = record[at + offset : at + offset + min(long, length)]
            if kind == _VOLUME_NAME:
                label = value.decode("utf-16-le", "replace")
            else:
                return label, bool(struct.unpack_from("<H", value, 10)[0] & 1) if len(value) >= 12 else None
        at += length
    return label, None
