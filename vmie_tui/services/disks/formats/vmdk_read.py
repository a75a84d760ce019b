"""Random access to the content of a sparse VMDK in one file: streamOptimized (both layouts) and monolithicSparse."""

from __future__ import annotations

import os
import struct
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Generic, TypeVar

from vmie_tui.close_on_exit import Closing
from vmie_tui.services.disks.errors import corrupt, difference, one_of_many, truncated
from vmie_tui.services.disks.formats.places import Places
from vmie_tui.services.disks.formats.vmdk_layout import (
    AT_END,
    ENTRIES,
    MARKER,
    MARKER_SIZE,
    MAX_DESCRIPTOR,
    META_MARKER,
    SECTOR,
    TABLE_BYTES,
    TABLE_SECTORS,
    Descriptor,
    Mark,
    SparseHeader,
    listed,
    parse_descriptor,
)
from vmie_tui.services.disks.formats.vmdk_tables import inflate
from vmie_tui.services.disks.streams.source import ByteReader, RawFile, read_into

V = TypeVar("V")

_TABLES_KEPT = 512  # 1 MiB: the tables of 16 GiB of disk
_TABLES_CHECKED = 32  # when an image is opened: 64 KiB of tables
_GRAINS_KEPT = 16  # 1 MiB with the usual grain


class _Lru(Generic[V]):
    """The last ``room`` values asked for; several threads may make the same value at once, which harms nothing."""

    def __init__(self, room: int) -> None:
        self._room = room
        self._kept: OrderedDict[int, V] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, key: int, make: Callable[[int], V]) -> V:
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
                return self._kept[key]
        value = make(key)
        with self._lock:
            self._kept[key] = value
            if len(self._kept) > self._room:
                self._kept.popitem(last=False)
        return value


class VmdkReader(Closing):
    """A `DiskSource` over a sparse VMDK: ``image`` is a path, or any object with ``size`` and ``read_at``.

    ``piece``: it is one extent that a descriptor elsewhere names, and needs none of its own. Safe to read from several
    threads. Raises ``DiskFormatError``: INVALID for another kind of VMDK, one extent given as the whole, or one that
    needs its parent; CORRUPT (``retry_safe``) for a file cut short, CORRUPT for one that contradicts itself.
    """

    def __init__(self, image: ByteReader | str | os.PathLike[str], *, piece: bool = False) -> None:
        self._piece = piece
        self._own: RawFile | None = None
        if isinstance(image, (str, os.PathLike)):
            image = self._own = RawFile(image)
        self._image: ByteReader = image
        self._tables: _Lru[bytes] = _Lru(_TABLES_KEPT)
        self._grains: _Lru[memoryview] = _Lru(_GRAINS_KEPT)
        try:
            self.header = self._open()
            self.descriptor = self._describe()
            self._directory = self._read_directory()
        except BaseException:
            self.close()
            raise

    @property
    def size(self) -> int:
        return self.header.capacity_bytes

    def close(self) -> None:
        if self._own:
            self._own.close()

    def _exactly(self, offset: int, length: int, what: str) -> bytes:
        if offset + length > self._image.size:
            raise truncated(f"the VMDK has {self._image.size} bytes, but {what} ends at {offset + length}")
        data = self._image.read_at(offset, length)
        if len(data) != length:
            raise truncated(f"{what} cannot be read: {len(data)} bytes of {length}")
        return data

    def _open(self) -> SparseHeader:
        header = SparseHeader.unpack(self._image.read_at(0, SECTOR))
        if header.compressed:
            header.check_stream()
        else:
            header.check()
        if header.directory != AT_END:
            return header
        end = self._exactly(max(0, self._image.size - 3 * SECTOR), 3 * SECTOR, "the footer")
        expected = (1, 0, Mark.FOOTER)
        if META_MARKER.unpack_from(end) != expected or end[2 * SECTOR : 2 * SECTOR + 16] != bytes(16):
            raise truncated("the VMDK has no footer at its end: it was not finished, or not received whole")
        footer = SparseHeader.unpack(end[SECTOR : 2 * SECTOR])
        if not header.agrees_with(footer) or footer.directory == AT_END:
            raise corrupt("the footer contradicts the header")
        return replace(header, directory=footer.directory)

    def _describe(self) -> Descriptor:
        header = self.header
        offset, length = header.descriptor_offset * SECTOR, header.descriptor_sectors * SECTOR
        if length > MAX_DESCRIPTOR:
            raise corrupt(f"the VMDK header says a descriptor of {length} bytes")
        text = self._exactly(offset, length, "the descriptor") if offset else b""
        plain = not header.compressed  # only such disks are split; qemu-img leaves room for a descriptor in each extent
        if not self._piece and (not offset or (plain and not any(text))):
            raise one_of_many("it has no descriptor of its own")
        descriptor = parse_descriptor(text)
        if not self._piece:
            header.check_descriptor(descriptor)
        elif descriptor.parent:
            raise difference(f"the VMDK holds only the difference to its parent {descriptor.parent}")
        return descriptor

    def _read_directory(self) -> bytes:
        header = self.header
        if header.directory < 1:
            raise corrupt("the VMDK header names no grain directory")
        data = self._exactly(header.directory * SECTOR, header.tables * 4, "the grain directory")
        seen, shared = set[int](), set[int]()
        for (entry,) in struct.iter_unpack("<I", data):
            if entry:
                (shared if entry in seen else seen).add(entry)
        for sector in shared:  # harmless where it is empty; else a small file could pretend terabytes of data
            if listed(self._exactly(sector * SECTOR, TABLE_BYTES, "a grain table"), header):
                raise corrupt("two entries of the grain directory name the same grain table")
        return data

    def check_tables(self) -> None:
        """Hold the first grain tables against the file, where one request or two gives them.

        Raises ``DiskFormatError`` (CORRUPT) as reading all of the disk would.
        """
        first = [entry for (entry,) in struct.iter_unpack("<I", self._directory[: 4 * _TABLES_CHECKED]) if entry]
        if not self.header.compressed and first and max(first) - min(first) <= 2 * _TABLES_CHECKED * TABLE_SECTORS:
            for _ in self._used(_TABLES_CHECKED):
                pass

    def _load_table(self, number: int) -> bytes:
        (sector,) = struct.unpack_from("<I", self._directory, number * 4)
        if not sector:
            return bytes(TABLE_BYTES)
        return self._exactly(sector * SECTOR, TABLE_BYTES, f"grain table {number}")

    def _sector_of(self, grain: int) -> int:
        """Where a grain lies in the file; 0 when it reads as zeros."""
        number, slot = divmod(grain, ENTRIES)
        (sector,) = struct.unpack_from("<I", self._tables.get(number, self._load_table), slot * 4)
        return 0 if sector <= self.header.zero_entry else int(sector)

    def _load_grain(self, grain: int) -> memoryview:
        header, sector = self.header, self._sector_of(grain)
        lba, size = MARKER.unpack(self._exactly(sector * SECTOR, MARKER_SIZE, f"grain {grain}"))
        if lba != grain * header.grain_sectors or not 0 < size <= 2 * header.grain_bytes:
            raise corrupt(f"at sector {sector} should be grain {grain}, but its marker says otherwise")
        data = self._exactly(sector * SECTOR + MARKER_SIZE, size, f"grain {grain}")
        return inflate(data, header.grain_bytes, min(header.grain_bytes, self.size - lba * SECTOR), lba)

    def read_into(self, offset: int, view: memoryview) -> int:
        """Fill ``view`` from byte ``offset`` of the disk; the bytes written, fewer only at its end."""
        wanted = max(0, min(len(view), self.size - offset))
        done, step = 0, self.header.grain_bytes
        while done < wanted:
            grain, within = divmod(offset + done, step)
            end = min(wanted, done + step - within)
            self._fill(grain, within, view[done:end])
            done = end
        return wanted

    def _fill(self, grain: int, within: int, view: memoryview) -> None:
        sector = self._sector_of(grain)
        if not sector:
            view[:] = bytes(len(view))
        elif self.header.compressed:
            view[:] = self._grains.get(grain, self._load_grain)[within : within + len(view)]
        elif read_into(self._image, sector * SECTOR + within, view) < len(view):
            raise truncated(f"grain {grain} lies behind the end of the VMDK, which has {self._image.size} bytes")

    def read_at(self, offset: int, length: int) -> bytes:
        """``length`` bytes from byte ``offset`` of the disk; fewer only at its end."""
        buffer = bytearray(max(0, min(length, self.size - offset)))
        self.read_into(offset, memoryview(buffer))
        return bytes(buffer)

    def extents(self) -> Iterator[tuple[int, int]]:
        """The runs of grains that are in the file, in bytes of the disk; of plain ones each in a place of its own."""
        return self._used(self.header.tables)

    def _used(self, tables: int) -> Iterator[tuple[int, int]]:
        """`extents`, as far as the first ``tables`` go."""
        step, start, stop = self.header.grain_bytes, 0, 0
        places = None if self.header.compressed else Places(self._image.size, step, "VMDK")
        for number, (entry,) in enumerate(struct.iter_unpack("<I", self._directory[: 4 * tables])):
            if not entry:
                continue
            for slot, sector in listed(self._tables.get(number, self._load_table), self.header).items():
                at = (number * ENTRIES + slot) * step
                if at >= self.size:
                    break
                if places:
                    places.take(number * ENTRIES + slot, sector * SECTOR, min(step, self.size - at))
                if at != stop:
                    if start < stop:
                        yield start, stop - start
                    start = at
                stop = at + step
        if start < stop:
            yield start, min(stop, self.size) - start
