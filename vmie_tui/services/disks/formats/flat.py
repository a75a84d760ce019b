"""A VMDK that is a text descriptor beside its extent files, on this machine."""

from __future__ import annotations

import os
from bisect import bisect_right
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path, PureWindowsPath

from vmie_tui.model.errors import ErrorKind
from vmie_tui.model.formatting import printable
from vmie_tui.services.disks.errors import DiskFormatError, corrupt, difference, unsupported
from vmie_tui.services.disks.formats.probe import DiskInfo
from vmie_tui.services.disks.formats.vmdk_layout import MAX_DESCRIPTOR, SECTOR, Extent, parse_descriptor
from vmie_tui.services.disks.formats.vmdk_read import VmdkReader
from vmie_tui.services.disks.streams.ranges import BlockReader, Budget, Slice
from vmie_tui.services.disks.streams.source import ByteReader, RawFile

_DIFFERENCES = frozenset({"VMFSSPARSE", "SESPARSE"})
_MAPPINGS = frozenset({"VMFSRDM", "VMFSRAW"})


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
    """Opens the disk of a descriptor; its files must lie in ``folder`` beside it.

    Without a ``budget`` they are read as they are, uncached: for whoever reads all of the disk. An extent without
    access and without a file reads as zeros.

    Raises ``DiskFormatError``: INVALID for snapshots' differences, raw device mappings, and extents elsewhere or behind
    a link; NOT_FOUND for a missing extent; CORRUPT for a descriptor without extents and for extents that are shorter
    than it says, or overlap.
    """
    if info.parent:
        raise difference(f"the VMDK holds only the difference to its parent {info.parent}")
    found = parse_descriptor(reader.read_at(0, min(reader.size, MAX_DESCRIPTOR + 1)))
    files = _Files(folder, budget, held)
    parts: list[_Part] = []
    at = 0
    for extent in found.extents:
        size = extent.sectors * SECTOR
        source = None if extent.kind == "ZERO" else files.open(extent)
        if size:
            parts.append(_Part(at, size, source))
        at += size
    if not parts:
        raise corrupt("the VMDK descriptor names no extents")
    return FlatDisk(parts)


class _Files:
    """The extent files of one descriptor, each opened once."""

    def __init__(self, folder: Path | None, budget: Budget | None, held: ExitStack) -> None:
        self._folder, self._budget, self._held = folder, budget, held
        self._open: dict[str, RawFile] = {}
        self._used: dict[str, list[tuple[int, int]]] = {}  # file -> (start, end) that extents take, ascending

    def open(self, extent: Extent) -> ByteReader:
        """The data of one extent, of exactly its size. Raises as `open_flat`."""
        name, size, start = printable(extent.file), extent.sectors * SECTOR, extent.start * SECTOR
        if extent.kind in _DIFFERENCES:
            raise difference(f"the VMDK's extent {name} is a snapshot's difference ({extent.kind})")
        if extent.kind in _MAPPINGS:
            raise DiskFormatError(
                ErrorKind.INVALID,
                f"the VMDK is a raw device mapping ({extent.kind}); its data is on a LUN of the storage",
                remedy="Clone the disk to a virtual disk in vCenter, or export the VM from there",
            )
        if extent.kind not in {"FLAT", "VMFS", "SPARSE"}:
            raise unsupported(f"the VMDK's extent {name} is of the kind {extent.kind}")
        if extent.access == "NOACCESS":
            raise DiskFormatError(
                ErrorKind.INVALID,
                f"the VMDK's descriptor forbids the access to its extent {name}",
                remedy="Clone the disk with VMware's tools and use the result",
            )
        plain = self._file(extent)
        file = plain if self._budget is None else BlockReader(plain, self._budget)
        if extent.kind == "SPARSE":
            self._claim(extent, 0, plain.size)
            piece = VmdkReader(file, piece=True)
            if piece.size != size:
                raise corrupt(f"the extent {name} holds {piece.size} bytes of disk, its descriptor says {size}")
            return piece
        if start + size > file.size:
            raise corrupt(f"the extent {name} has {file.size} bytes, its descriptor says {start + size}")
        self._claim(extent, start, start + size)
        if file is plain and start == 0 and size == file.size:
            return plain  # which knows its holes
        return Slice(file, start, size)

    def _file(self, extent: Extent) -> RawFile:
        name = extent.file
        # In Shift JIS a backslash may be half of a letter: the stored bytes are held against this system's rules only.
        if self._folder is None or not name or _elsewhere(name) or _leads_out(extent.stored):
            raise DiskFormatError(
                ErrorKind.INVALID,
                f"the VMDK is only a descriptor; its data is in {printable(name) or 'another file'}",
                remedy="Give the file with the data, or the descriptor in the same directory as it",
            )
        for each in (name, extent.stored):  # copied from a machine of another encoding, a name may keep its bytes
            path = self._folder / each
            if each in self._open:
                return self._open[each]
            if os.path.lexists(path):
                self._open[each] = self._held.enter_context(RawFile(path, beside=True))
                return self._open[each]
        raise DiskFormatError(
            ErrorKind.NOT_FOUND,
            f"the VMDK's extent {printable(name)} is not beside its descriptor",
            remedy="Copy all files of the disk into one directory",
        )

    def _claim(self, extent: Extent, start: int, end: int) -> None:
        """Refuses extents that share data: a small file could otherwise pose as a disk of many terabytes."""
        used = self._used.setdefault(extent.stored, [])
        if start < end:
            place = bisect_right(used, (start, end))
            if (place and used[place - 1][1] > start) or (place < len(used) and used[place][0] < end):
                raise corrupt(f"two extents of the VMDK's descriptor overlap in {printable(extent.file)}")
            used.insert(place, (start, end))


def _elsewhere(name: str) -> bool:
    """Whether a name is more than a name: a path of this system or of Windows, a device, a link upwards."""
    return _leads_out(name) or name != PureWindowsPath(name).name


def _leads_out(name: str) -> bool:
    return name != Path(name).name or name in {".", ".."}
