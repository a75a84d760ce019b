"""Files of a guest: one shape for every file system, and which one is on a volume."""

from __future__ import annotations

import struct
import uuid
from collections.abc import Callable
from enum import StrEnum
from typing import Any, Protocol

from vmie_tui.services.disks.guest.yal import DamagedError, FileObject, opened
from vmie_tui.services.disks.source import ByteReader

MAX_FILE = 2 << 20
MAX_NAMES = 20_000


class Kind(StrEnum):
    FILE = "file"
    FOLDER = "folder"
    LINK = "link"
    OTHER = "other"


class Node(Protocol):
    """An entry of a file system. Every method raises ServiceError for what cannot be read."""

    @property
    def kind(self) -> Kind: ...
    @property
    def size(self) -> int: ...
    def target(self) -> str: ...
    def child(self, name: str) -> Node | None: ...
    def names(self) -> tuple[str, ...]: ...
    def read(self, offset: int, length: int) -> bytes: ...


class FileSystem:
    """A file system that was opened. ``free`` in bytes, None when unknown; ``dirty``: its journal wants recovery."""

    def __init__(self, kind: str, root: Callable[[], Node]) -> None:
        self.kind = kind
        self._root = root
        self.uuid = self.label = ""
        self.free: int | None = None
        self.dirty: bool | None = None
        self.keep: Any = None  # what must live as long as the nodes

    def root(self) -> Node:
        return self._root()


class YalNode:
    """A libyal file entry with POSIX modes (XFS). ``path`` leads to it from the top of its file system."""

    def __init__(self, volume: Any, path: str, entry: Any, file: FileObject) -> None:
        self._volume, self._path, self._entry, self._file = volume, path, entry, file

    @property
    def kind(self) -> Kind:
        with self._file.guard("a file's mode"):
            mode = int(self._entry.file_mode) & 0xF000
        return {0x8000: Kind.FILE, 0x4000: Kind.FOLDER, 0xA000: Kind.LINK}.get(mode, Kind.OTHER)

    @property
    def size(self) -> int:
        with self._file.guard("a file's size"):
            return int(self._entry.size)
        raise AssertionError

    def target(self) -> str:
        with self._file.guard("a symbolic link"):
            return str(self._entry.symbolic_link_target or "")
        raise AssertionError

    def child(self, name: str) -> YalNode | None:
        path = f"{self._path}/{name}"
        with self._file.guard(f"the entry {name}"):
            found = self._volume.get_file_entry_by_path(path)
        return None if found is None else YalNode(self._volume, path, found, self._file)

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


def open_xfs(source: ByteReader) -> FileSystem:
    """XFS, version 4 and 5."""
    import pyfsxfs

    from vmie_tui.services.disks.guest.xfs_log import log_is_clean

    block = source.read_at(0, 512)
    file = FileObject(source)
    volume = opened(pyfsxfs.volume, file, "the XFS file system")
    found = FileSystem("xfs", lambda: YalNode(volume, "", _root(volume, file), file))
    found.keep = volume
    found.uuid, found.label = str(uuid.UUID(bytes=block[32:48])), _text(block[108:120])
    (size,), (free,) = struct.unpack_from(">I", block, 4), struct.unpack_from(">Q", block, 144)
    found.free = min(free * size, source.size)
    clean = log_is_clean(source, block)
    found.dirty = None if clean is None else not clean
    return found


def _root(volume: Any, file: FileObject) -> Any:
    with file.guard("the root directory"):
        return volume.get_root_directory()
    raise AssertionError


def _text(data: bytes) -> str:
    return data.split(b"\0", 1)[0].decode("utf-8", "replace")
