"""The bytes of one virtual disk: a sparse raw file, with older contents kept while snapshots need them."""

from __future__ import annotations

import errno
import os
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from vmie_tui.simulators.fleet.content import LARGEST
from vmie_tui.simulators.spec import DiskSpec


def data_extents(path: Path, size: int) -> Iterator[tuple[int, int]]:
    """(offset, length) of what a sparse file may hold, ascending."""
    with path.open("rb") as file:
        position = 0
        while position < size:
            try:
                start = os.lseek(file.fileno(), position, os.SEEK_DATA)
            except OSError as error:
                if error.errno == errno.ENXIO:  # only a hole is left
                    return
                raise
            position = min(os.lseek(file.fileno(), start, os.SEEK_HOLE), size)
            if start < size:
                yield start, position - start


def sparse_copy(source: Path, target: Path) -> None:
    """Copy a file with its holes; shares the blocks where the file system can."""
    size = source.stat().st_size
    with source.open("rb") as reader, target.open("wb") as writer:
        writer.truncate(size)
        for offset, length in data_extents(source, size):
            done = 0
            while done < length:
                moved = os.copy_file_range(
                    reader.fileno(), writer.fileno(), length - done, offset + done, offset + done
                )
                if moved == 0:
                    break
                done += moved


class DiskContent:
    """One disk's raw file, made when first asked for, and the generations of it that snapshots hold.

    A write while a snapshot holds the present content moves that file aside and goes to a copy, so whoever is
    reading the old one goes on reading the frozen bytes. Of a disk above `LARGEST` the file holds the beginning only.
    """

    def __init__(self, folder: Path, key: int, spec: DiskSpec) -> None:
        self._live = folder / f"{key}.raw"
        self._spec = spec
        self._lock = threading.RLock()
        self._holds: Counter[int] = Counter()
        self._checked = False
        self.generation = 0
        self.capacity = spec.capacity

    @property
    def _stored(self) -> int:
        return min(self.capacity, LARGEST)

    def path(self) -> Path:
        """The present content's file; raises ValueError when the maker wrote more than the capacity."""
        with self._lock:
            if not self._checked:  # snapshots do not outlive the simulator, the present content does
                for stale in self._live.parent.glob(f"{self._live.stem}.g*.raw"):
                    stale.unlink()
                self._checked = True
            if not self._live.exists() or self._live.stat().st_size != self._stored:
                self._make()
        return self._live

    def _make(self) -> None:
        self._live.parent.mkdir(parents=True, exist_ok=True)
        fresh = self._live.with_suffix(".new")
        fresh.unlink(missing_ok=True)
        if self._spec.make is not None:
            self._spec.make(fresh)
        fresh.touch()
        if fresh.stat().st_size > self.capacity:
            raise ValueError(f"{self._live.name}: {fresh.stat().st_size} bytes in a disk of {self.capacity}")
        os.truncate(fresh, self._stored)
        fresh.replace(self._live)

    def _frozen(self, generation: int) -> Path:
        return self._live.with_name(f"{self._live.stem}.g{generation}.raw")

    def freeze(self) -> int:
        """Hold the present content; `held` gives it until `release`."""
        with self._lock:
            self._holds[self.generation] += 1
            return self.generation

    def hold(self, generation: int) -> int:
        """Hold a content once more that somebody holds already."""
        with self._lock:
            self._holds[generation] += 1
        return generation

    def release(self, generation: int) -> None:
        with self._lock:
            self._holds[generation] -= 1
            if self._holds[generation] <= 0:
                del self._holds[generation]
                if generation != self.generation:
                    self._frozen(generation).unlink(missing_ok=True)

    @contextmanager
    def held(self, generation: int) -> Iterator[Path]:
        """The file with a held content, for opening: what was opened stays what it was."""
        with self._lock:
            yield self.path() if generation == self.generation else self._frozen(generation)

    def write(self, offset: int, data: bytes) -> None:
        """Change the present content; raises ValueError outside the disk."""
        if offset < 0 or offset + len(data) > self.capacity:
            raise ValueError(f"{len(data)} bytes at {offset} do not fit a disk of {self.capacity}")
        with self._lock:
            path = self.path()
            if self._holds[self.generation]:
                self.become(path)
            with path.open("r+b") as file:
                file.seek(offset)
                file.write(data)

    def adopt(self, path: Path) -> None:
        """Make a file of the disk's capacity the present content; raises ValueError while snapshots hold the disk."""
        with self._lock:
            if self._holds.total():
                raise ValueError("somebody holds the disk's content")
            path.replace(self._live)

    def grow(self, capacity: int) -> None:
        """Add zeros at the end; raises ValueError when that is no growth or a snapshot holds the disk."""
        with self._lock:
            if capacity <= self.capacity or self._holds.total():
                raise ValueError(f"a disk of {self.capacity} bytes cannot become {capacity} now")
            os.truncate(self.path(), min(capacity, LARGEST))
            self.capacity = capacity

    def revert(self, generation: int) -> None:
        """Make a held content the present one again."""
        with self._lock:
            if generation != self.generation:
                self.become(self._frozen(generation))

    def become(self, source: Path) -> None:
        """Make a copy of a file of the disk's capacity the present content; raises ValueError for another size."""
        with self._lock:
            path, fresh = self.path(), self._live.with_suffix(".new")
            if source.stat().st_size != self._stored:
                raise ValueError(f"{source.stat().st_size} bytes cannot become a disk of {self.capacity}")
            sparse_copy(source, fresh)
            if self._holds[self.generation]:
                os.link(path, self._frozen(self.generation))
            fresh.replace(path)
            self.generation += 1

    def delete(self) -> None:
        with self._lock:
            for path in self._live.parent.glob(f"{self._live.stem}.*"):
                path.unlink()
