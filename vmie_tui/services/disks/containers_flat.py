"""A VMDK that is a text descriptor beside its extent files, on this machine."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from vmie_tui.model.errors import ErrorKind
from vmie_tui.services.disks.errors import DiskFormatError, corrupt, unsupported
from vmie_tui.services.disks.probe import DiskInfo
from vmie_tui.services.disks.ranges import BlockReader, Budget, Slice
from vmie_tui.services.disks.source import ByteReader, RawFile
from vmie_tui.services.disks.vmdk_layout import MAX_DESCRIPTOR, SECTOR
from vmie_tui.services.disks.vmdk_read import VmdkReader

_EXTENT = re.compile(r'^\s*(?:RW|RDONLY)\s+(\d{1,15})\s+(\w+)(?:\s+"([^"\r\n]*)")?(?:\s+(\d{1,15}))?', re.MULTILINE)
_MOST = 4096


@dataclass(frozen=True, slots=True)
class _Part:
    start: int  # byte of the disk
    size: int
    source: ByteReader | None  # None: zeros


class FlatDisk:
    """A `DiskSource` made of the extents of a descriptor, one after the other."""

    def __init__(self, parts: list[_Part]) -> None:
        self._parts = parts
        self._starts = [part.start for part in parts]
        self._size = parts[-1].start + parts[-1].size

    @property
    def size(self) -> int:
        return self._size

    def read_at(self, offset: int, length: int) -> bytes:
        """``length`` bytes from ``offset``, fewer only at the end of the disk."""
        out = bytearray(max(0, min(length, self._size - offset)))
        done = 0
        while done < len(out):
            part = self._parts[bisect_right(self._starts, offset + done) - 1]
            within = offset + done - part.start
            step = min(len(out) - done, part.size - within)
            if part.source is not None:
                data = part.source.read_at(within, step)
                out[done : done + len(data)] = data
            done += step
        return bytes(out)

    def extents(self) -> Iterator[tuple[int, int]]:
        """Of every extent that has a file, what may hold data."""
        for part in self._parts:
            if isinstance(part.source, RawFile | VmdkReader):
                for start, length in part.source.extents():
                    if start < part.size:
                        yield part.start + start, min(length, part.size - start)
            elif part.source is not None:
                yield part.start, part.size


def open_flat(
    reader: ByteReader, info: DiskInfo, folder: Path | None, budget: Budget | None, held: ExitStack
) -> FlatDisk:
    """The disk a descriptor describes; its files must lie in ``folder`` beside it.

    Without a ``budget`` they are read as they are, uncached: for whoever reads all of the disk.

    Raises ``DiskFormatError``: INVALID for snapshots' differences, raw device mappings, and extents elsewhere; CORRUPT
    for one without extents.
    """
    if info.parent:
        raise DiskFormatError(
            ErrorKind.INVALID,
            f"the VMDK holds only the difference to its parent {info.parent}",
            remedy="Consolidate the VM's snapshots, or clone the disk, and use the result",
        )
    text = reader.read_at(0, min(reader.size, MAX_DESCRIPTOR)).decode("utf-8", "replace")
    parts: list[_Part] = []
    at = 0
    for sectors, kind, name, start in _EXTENT.findall(text)[:_MOST]:
        size = int(sectors) * SECTOR
        source = None
        if kind != "ZERO":
            source = _extent(kind, name, int(start or 0) * SECTOR, size, folder=folder, budget=budget, held=held)
        if size:
            parts.append(_Part(at, size, source))
        at += size
    if not parts:
        raise corrupt("the VMDK descriptor names no extents")
    return FlatDisk(parts)


def _extent(
    kind: str, name: str, start: int, size: int, *, folder: Path | None, budget: Budget | None, held: ExitStack
) -> ByteReader:
    if kind not in {"FLAT", "VMFS", "SPARSE"}:
        raise unsupported(f"its extent {name} is of the kind {kind}")
    if folder is None or not name or name != Path(name).name or name in {".", ".."}:
        raise DiskFormatError(
            ErrorKind.INVALID,
            f"the VMDK is only a descriptor; its data is in {name or 'another file'}",
            remedy="Give the file with the data, or the descriptor in the same directory as it",
        )
    path = folder / name
    if not path.is_file():
        raise DiskFormatError(
            ErrorKind.NOT_FOUND,
            f"the VMDK's extent {name} is not beside its descriptor",
            remedy="Copy all files of the disk into one directory",
        )
    plain = held.enter_context(RawFile(path))
    file = plain if budget is None else BlockReader(plain, budget)
    if kind == "SPARSE":
        return VmdkReader(file)
    if start + size > file.size:
        raise corrupt(f"the extent {name} has {file.size} bytes, its descriptor says {start + size}")
    if file is plain and start == 0 and size == file.size:
        return plain  # which knows its holes
    return Slice(file, start, size)
