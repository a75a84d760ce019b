"""Disk images for the tests: sparse content in memory, streams taken apart, and qemu-img's layout built by hand."""

from __future__ import annotations

import random
import shutil
import struct
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
from hypothesis import strategies as st

from vmie_tui.services.disks.formats.vmdk_layout import (
    ENTRIES,
    GRAIN,
    GRAIN_SECTORS,
    MARKER,
    SECTOR,
    SparseHeader,
    make_descriptor,
    sectors,
)
from vmie_tui.services.disks.formats.vmdk_stream import StreamDecoder
from vmie_tui.services.disks.formats.vmdk_write import encode

needs_qemu = pytest.mark.skipif(not shutil.which("qemu-img"), reason="qemu-img is not installed")


@dataclass
class Sparse:
    """A `DiskSource` of ``size`` bytes made of runs that do not overlap: offset -> data."""

    size: int
    runs: dict[int, bytes] = field(default_factory=dict)

    def read_at(self, offset: int, length: int) -> bytes:
        length = max(0, min(length, self.size - offset))
        out = bytearray(length)
        for start, data in self.runs.items():
            low, high = max(start, offset), min(start + len(data), offset + length)
            if low < high:
                out[low - offset : high - offset] = data[low - start : high - start]
        return bytes(out)

    def extents(self) -> Iterator[tuple[int, int]]:
        for start in sorted(self.runs):
            yield start, len(self.runs[start])

    def grains(self) -> dict[int, bytes]:
        """Offset -> data of every grain that is not zeros; the last one as short as the disk's end makes it."""
        starts = {at for run, data in self.runs.items() for at in range(run // GRAIN * GRAIN, run + len(data), GRAIN)}
        found = {at: self.read_at(at, GRAIN) for at in sorted(starts)}
        return {at: data for at, data in found.items() if any(data)}


def content(seed: int, length: int) -> bytes:
    """Data that compresses by about half."""
    rng = random.Random(seed)
    return (rng.randbytes(max(1, length // 2)) + b"vmie" * length)[:length]


@st.composite
def disks(draw: st.DrawFn, *, whole_sectors: bool = True) -> Sparse:
    """Disks up to 100 MiB (four grain tables), of odd sizes, with up to six runs of data or zeros."""
    size = draw(st.integers(1, 100 << 11)) * SECTOR
    size -= 0 if whole_sectors else draw(st.integers(0, SECTOR - 1))
    runs: dict[int, bytes] = {}
    at = 0
    for gap, length, seed in draw(
        st.lists(st.tuples(st.integers(0, 40 << 20), st.integers(1, 300_000), st.integers(0, 9)), max_size=6)
    ):
        start = at + gap
        end = min(start + length, size)
        if start >= end:
            break
        runs[start] = content(seed, end - start) if seed else bytes(end - start)
        at = end
    return Sparse(size, runs)


def stream_of(source: Sparse, **options: object) -> bytes:
    out = bytearray()
    encode(source, out.extend, **options)  # type: ignore[arg-type]
    return bytes(out)


def decoded(pieces: Iterable[bytes]) -> dict[int, bytes]:
    """Offset -> data of every grain in a stream."""
    found: dict[int, bytes] = {}
    decoder = StreamDecoder(lambda offset, data: found.__setitem__(offset, bytes(data)))
    for piece in pieces:
        decoder.feed(piece)
    decoder.finish()
    assert decoder.grains == len(found)
    assert decoder.data_bytes == sum(map(len, found.values()))
    return found


@dataclass(frozen=True)
class Record:
    """One piece of a stream: ``kind`` is header, grain, table, directory, footer or end."""

    kind: str
    offset: int
    length: int


def records(stream: bytes) -> list[Record]:
    """A footer-layout stream taken apart, without the decoder's help."""
    found, at = [Record("header", 0, GRAIN_SECTORS * SECTOR)], GRAIN_SECTORS * SECTOR
    while at < len(stream):
        value, size, kind = struct.unpack_from("<QII", stream, at)
        length = sectors(12 + size) if size else 1 + value
        name = "grain" if size else ("end", "table", "directory", "footer")[kind]
        found.append(Record(name, at, length * SECTOR))
        at += length * SECTOR
    return found


def find(stream: bytes, kind: str, number: int = 0) -> Record:
    return [record for record in records(stream) if record.kind == kind][number]


def patched(stream: bytes, offset: int, form: str, *values: object) -> bytes:
    """``stream`` with values of a struct format written at ``offset``."""
    out = bytearray(stream)
    struct.pack_into(form, out, offset, *values)
    return bytes(out)


def front_layout(source: Sparse, order: Iterable[int] | None = None) -> bytes:
    """``source`` as qemu-img writes it: directory and tables in front; grains in ``order`` (offsets)."""
    header = SparseHeader(sectors(source.size), directory=21)
    table_at = 21 + sectors(header.tables * 4)
    header = replace(header, overhead=-(-(table_at + header.tables * 4) // GRAIN_SECTORS) * GRAIN_SECTORS)
    entries = [0] * (header.tables * ENTRIES)
    grains, body = source.grains(), bytearray()
    for offset in order or sorted(grains):
        data = zlib.compress(grains[offset].ljust(GRAIN, b"\0"))
        entries[offset // GRAIN] = header.overhead + len(body) // SECTOR
        body += MARKER.pack(offset // SECTOR, len(data)) + data
        body += bytes(-len(body) % SECTOR)
    front = (header.pack() + make_descriptor(header.capacity, "disk.vmdk")).ljust(21 * SECTOR, b"\0")
    front += struct.pack(f"<{header.tables}I", *(table_at + 4 * n for n in range(header.tables)))
    front = front.ljust(table_at * SECTOR, b"\0") + struct.pack(f"<{len(entries)}I", *entries)
    return front.ljust(header.overhead * SECTOR, b"\0") + bytes(body)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())
