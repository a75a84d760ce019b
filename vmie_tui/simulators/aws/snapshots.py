"""EBS snapshots on disk: one sparse file each, a map of the blocks it holds, chained to its parent.

Shared by EBS direct, which writes single blocks, and by VM import, which writes whole disks. Below the root every
snapshot has a folder with ``snapshot.json``, ``data`` (sparse, the volume's size), ``map`` (one byte per block: 1 where
this snapshot holds the block itself) and ``digests`` (32 bytes per block, for blocks put one by one).
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import secrets
import shutil
import threading
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

BLOCK = 524_288
GIB = 1 << 30


@dataclass(frozen=True, slots=True)
class SnapshotInfo:
    """What is known of a snapshot. ``size_gib``: of its volume. ``state``: pending | completed | error | deleted.

    ``ready_at``: the simulator's time at which a pending one becomes completed; None while it is being written.
    """

    id: str
    region: str
    size_gib: int
    started: float
    touched: float
    state: str = "pending"
    description: str = ""
    parent: str = ""
    encrypted: bool = False
    kms_key: str = ""
    token: str = ""
    tags: dict[str, str] = field(default_factory=dict)
    ready_at: float | None = None
    timeout: float | None = None  # seconds without a write after which a pending one fails
    origin: str = "import"  # import | direct | volume (an imported volume's content, no snapshot of EC2)

    @property
    def blocks(self) -> int:
        return self.size_gib * GIB // BLOCK


def new_id(prefix: str) -> str:
    """An id as AWS makes them: 17 hexadecimal digits behind the prefix."""
    return f"{prefix}-{secrets.token_hex(9)[:17]}"


class SnapshotStore:
    """All snapshots of an account, of every Region, below ``root``.

    ``now`` is the simulator's clock, by which a pending snapshot completes; ``date`` the date shown to callers.
    """

    def __init__(self, root: Path, now: Callable[[], float], date: Callable[[], float]) -> None:
        self.root = root
        root.mkdir(parents=True, exist_ok=True)
        self._now, self._date = now, date
        self._lock = threading.RLock()
        self._known: dict[str, SnapshotInfo] = {}
        for path in sorted(root.glob("snap-*/snapshot.json")):
            info = SnapshotInfo(**json.loads(path.read_text()))
            self._known[info.id] = info

    # what there is

    def get(self, ident: str) -> SnapshotInfo | None:
        """The snapshot as it is now (the clock may have completed it); None when unknown or deleted."""
        with self._lock:
            info = self._known.get(ident)
            if info is None or info.state == "deleted":
                return None
            return self._aged(info)

    def _aged(self, info: SnapshotInfo) -> SnapshotInfo:
        if info.state != "pending":
            return info
        now = self._now()
        if info.ready_at is not None and now >= info.ready_at:
            return self._save(replace(info, state="completed"))
        if info.timeout is not None and info.ready_at is None and now - info.touched > info.timeout:
            return self._save(replace(info, state="error"))
        return info

    def all(self) -> list[SnapshotInfo]:
        with self._lock:
            return [self._aged(info) for info in self._known.values() if info.state != "deleted"]

    def _save(self, info: SnapshotInfo) -> SnapshotInfo:
        path = self.root / info.id / "snapshot.json"
        temporary = path.with_suffix(f".{threading.get_ident()}")
        temporary.write_text(json.dumps(asdict(info)))
        temporary.replace(path)
        self._known[info.id] = info
        return info

    def change(self, ident: str, **fields: Any) -> SnapshotInfo:
        with self._lock:
            return self._save(replace(self._known[ident], **fields))

    # life

    def create(self, **fields: Any) -> SnapshotInfo:
        """A new pending snapshot without a block of its own; ``fields`` as in `SnapshotInfo`."""
        info = SnapshotInfo(new_id("snap"), started=self._date(), touched=self._now(), **fields)
        folder = self.root / info.id
        folder.mkdir()
        for name, size in (("data", info.size_gib * GIB), ("map", info.blocks), ("digests", info.blocks * 32)):
            with (folder / name).open("wb") as file:
                file.truncate(size)
        with self._lock:
            return self._save(info)

    def delete(self, ident: str) -> None:
        """Deletes a snapshot; its blocks stay while a child needs them."""
        with self._lock:
            if ident in self._known:
                self.change(ident, state="deleted")
            needed = {name for info in self._known.values() if info.state != "deleted" for name in self._chain(info.id)}
            for name in [name for name in self._known if name not in needed]:
                del self._known[name]
                shutil.rmtree(self.root / name, ignore_errors=True)

    def _chain(self, ident: str) -> Iterator[str]:
        """The snapshot and its ancestors, newest first."""
        while ident in self._known:
            yield ident
            ident = self._known[ident].parent

    def origin(self, ident: str) -> str:
        """The first of the snapshot's line; those of one line have the same."""
        return list(self._chain(ident))[-1]

    # content

    def put_block(self, ident: str, index: int, data: bytes | memoryview, digest: bytes) -> None:
        """Store one block of exactly 524,288 bytes; ``digest`` is its raw SHA-256."""
        folder = self.root / ident
        _write(folder / "data", index * BLOCK, data)
        _write(folder / "digests", index * 32, digest)
        _write(folder / "map", index, b"\1")
        with self._lock:
            self._known[ident] = replace(self._known[ident], touched=self._now())

    def own_blocks(self, ident: str) -> list[int]:
        """Indexes of the blocks this snapshot holds itself, ascending."""
        path = self.root / ident / "map"
        found: list[int] = []
        for start, stop in _extents(path):
            with path.open("rb") as file:
                file.seek(start)
                mapped = file.read(stop - start)
            found += [start + at for at, byte in enumerate(mapped) if byte]
        return found

    def blocks(self, ident: str) -> dict[int, str]:
        """Block index -> the snapshot of the chain that holds it, ascending by index."""
        found: dict[int, str] = {}
        for holder in self._chain(ident):
            for index in self.own_blocks(holder):
                found.setdefault(index, holder)
        return dict(sorted(found.items()))

    def read_block(self, ident: str, index: int) -> bytes | None:
        """The block's content, from an ancestor when it was inherited; None when no one holds it."""
        for holder in self._chain(ident):
            folder = self.root / holder
            if _read(folder / "map", index, 1) == b"\1":
                return _read(folder / "data", index * BLOCK, BLOCK)
        return None

    def linear_digest(self, ident: str) -> bytes:
        """SHA-256 over the raw digests of the blocks that were put, in index order."""
        digest, path = hashlib.sha256(), self.root / ident / "digests"
        for index in self.own_blocks(ident):
            digest.update(_read(path, index * 32, 32))
        return digest.digest()

    def data_path(self, ident: str) -> Path:
        """The sparse file of a snapshot without a parent: for writing an imported disk, and for proofs."""
        return self.root / ident / "data"

    def map_data(self, ident: str) -> None:
        """Marks every block with data, after a whole disk was written to the file."""
        marks = self.root / ident / "map"
        for start, stop in _extents(self.data_path(ident)):
            first, last = start // BLOCK, (stop - 1) // BLOCK
            _write(marks, first, b"\1" * (last - first + 1))


def _write(path: Path, offset: int, data: bytes | memoryview) -> None:
    descriptor = os.open(path, os.O_WRONLY)
    try:
        os.pwrite(descriptor, data, offset)
    finally:
        os.close(descriptor)


def _read(path: Path, offset: int, length: int) -> bytes:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        return os.pread(descriptor, length, offset)
    finally:
        os.close(descriptor)


def _extents(path: Path) -> Iterator[tuple[int, int]]:
    """(start, stop) of the areas of a sparse file that hold data."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        at = 0
        with contextlib.suppress(OSError):  # ENXIO: no data behind `at`
            while True:
                at = os.lseek(descriptor, at, os.SEEK_DATA)
                stop = os.lseek(descriptor, at, os.SEEK_HOLE)
                yield at, stop
                at = stop
    finally:
        os.close(descriptor)
