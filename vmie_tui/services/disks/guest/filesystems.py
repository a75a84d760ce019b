"""Files of a guest: one shape for every file system."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from vmie_tui.services.disks.guest.yal import DamagedError
from vmie_tui.services.disks.streams.source import ByteReader

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


class NumberedNode(ABC):
    """What the nodes of file systems share whose directories list (name, inode number)."""

    @abstractmethod
    def _entries(self) -> Iterator[tuple[bytes, int]]: ...
    @abstractmethod
    def _numbered(self, number: int) -> Node: ...

    def child(self, name: str) -> Node | None:
        """The entry of this name in a directory."""
        wanted = name.encode("utf-8", "surrogateescape")
        for found, number in self._entries():
            if found == wanted:
                return self._numbered(number)
        return None

    def names(self) -> tuple[str, ...]:
        """The names in a directory, in its order."""
        found = []
        for name, _ in self._entries():
            found.append(name.decode("utf-8", "replace"))
            if len(found) > MAX_NAMES:
                raise DamagedError(f"a directory of more than {MAX_NAMES} entries")
        return tuple(found)


class FileSystem:
    """A file system that was opened. ``free`` in bytes, None when unknown; ``dirty``: its journal wants recovery."""

    def __init__(self, kind: str, root: Callable[[], Node]) -> None:
        self.kind = kind
        self._root = root
        self.uuid = self.label = ""
        self.free: int | None = None
        self.dirty: bool | None = None

    def root(self) -> Node:
        """The top directory."""
        return self._root()


@dataclass(frozen=True, slots=True)
class Run:
    """Blocks of a file that lie together."""

    first: int  # the first block of the file
    count: int  # blocks
    at: int | None  # byte of the volume; None where they are zeros


def read_runs(source: ByteReader, runs: Iterable[Run], block: int, offset: int, length: int) -> bytes:
    """``length`` bytes of a file made of ``runs`` in ascending order; what no run holds is zeros."""
    out = bytearray(length)
    for run in runs:
        low, high = max(offset, run.first * block), min(offset + length, (run.first + run.count) * block)
        if run.first * block >= offset + length:
            break
        if run.at is None or low >= high:
            continue
        data = source.read_at(run.at + low - run.first * block, high - low)
        if len(data) < high - low:
            raise DamagedError("a file lies outside of its file system")
        out[low - offset : high - offset] = data
    return bytes(out)
