"""Random access: what it refuses, how far it believes a file, and the uncompressed kind."""

from __future__ import annotations

import struct
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from tests.kits.disk_images import Sparse, content, find, front_layout, patched, stream_of
from vmie_tui.model.errors import ErrorKind
from vmie_tui.services.disks.errors import DiskFormatError
from vmie_tui.services.disks.formats.vmdk_layout import ENTRIES, GRAIN, SECTOR, SparseHeader, make_descriptor
from vmie_tui.services.disks.formats.vmdk_read import VmdkReader

DISK = Sparse(2 * ENTRIES * GRAIN + 5 * SECTOR, {0: content(1, 3 * GRAIN), 2 * ENTRIES * GRAIN: content(2, 5 * SECTOR)})
STREAM, FRONT = stream_of(DISK), front_layout(DISK)


class Image(Sparse):
    """An image file in memory that counts what is read of it."""

    def __init__(self, data: bytes) -> None:
        super().__init__(len(data))
        self.data, self.read = data, 0

    def read_at(self, offset: int, length: int) -> bytes:
        found = self.data[offset : offset + length]
        self.read += len(found)
        return found


def hosted(disk: Sparse, *, flags: int = 1, zeroed: tuple[int, ...] = ()) -> bytes:
    """An uncompressed monolithicSparse image; the grains ``zeroed`` are marked as zeros by entry 1."""
    header = SparseHeader(disk.size // SECTOR, flags, 1, directory=21, compression=0)
    table_at = 22
    header = replace(header, overhead=128)
    entries, body = [0] * (header.tables * ENTRIES), b""
    for offset, data in disk.grains().items():
        entries[offset // GRAIN] = 128 + len(body) // SECTOR
        body += data.ljust(GRAIN, b"\0")
    for grain in zeroed:
        entries[grain] = 1
    directory = struct.pack(f"<{header.tables}I", *(table_at + 4 * n for n in range(header.tables)))
    head = (header.pack() + make_descriptor(header.capacity, "x")).ljust(21 * SECTOR, b"\0")
    tables = struct.pack(f"<{len(entries)}I", *entries)
    return (head + directory.ljust(SECTOR, b"\0") + tables).ljust(128 * SECTOR, b"\0") + body


def test_uncompressed_sparse_disk() -> None:
    reader = VmdkReader(Image(hosted(DISK)))
    assert reader.read_at(0, DISK.size + 1) == DISK.read_at(0, DISK.size)
    assert list(reader.extents()) == [(0, 3 * GRAIN), (2 * ENTRIES * GRAIN, 5 * SECTOR)]


def test_zeroed_grains_read_as_zeros_only_where_the_flag_says_so() -> None:
    reader = VmdkReader(Image(hosted(DISK, flags=5, zeroed=(1,))))
    assert reader.read_at(GRAIN, GRAIN) == bytes(GRAIN)
    assert list(reader.extents())[:2] == [(0, GRAIN), (2 * GRAIN, GRAIN)]


def test_reads_from_many_threads_agree(tmp_path: Path) -> None:
    path = tmp_path / "disk.vmdk"
    path.write_bytes(STREAM)
    wrong: list[int] = []
    with VmdkReader(path) as reader:

        def check(start: int) -> None:
            for offset in range(start, 4 * GRAIN, 7919):
                if reader.read_at(offset, 3000) != DISK.read_at(offset, 3000):
                    wrong.append(offset)

        threads = [threading.Thread(target=check, args=(n * 991,)) for n in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert not wrong


def test_a_read_costs_little_more_than_its_grains() -> None:
    image = Image(STREAM)
    reader = VmdkReader(image)
    before = image.read
    reader.read_at(10, 100)
    reader.read_at(500, 100)
    assert image.read - before < 2048 + 2 * GRAIN
    assert before < 32 << 10


def test_entries_beyond_the_end_of_the_disk_are_not_data() -> None:
    beyond = 22 * SECTOR + 2 * 2048 + 16  # the fifth entry of the last table, which has one grain
    extents = list(VmdkReader(Image(patched(FRONT, beyond, "<II", 128, 129))).extents())
    assert extents == [(0, 3 * GRAIN), (2 * ENTRIES * GRAIN, 5 * SECTOR)]


def footer_field(at: int, form: str, value: int) -> bytes:
    return patched(STREAM, find(STREAM, "footer").offset + SECTOR + at, form, value)


REFUSED: dict[str, tuple[Callable[[], bytes], str, bool]] = {
    "no footer": (lambda: STREAM[:-SECTOR], "no footer at its end", True),
    "cut in the middle": (lambda: STREAM[: len(STREAM) // 2], "no footer at its end", True),
    "only the start": (lambda: STREAM[:SECTOR], "the footer", True),
    "footer of another disk": (lambda: footer_field(12, "<Q", 7), "footer contradicts", False),
    "footer that points at itself": (lambda: footer_field(56, "<Q", 2**64 - 1), "footer contradicts", False),
    "directory beyond the end": (lambda: footer_field(56, "<Q", 1 << 50), "grain directory", True),
    "directory nowhere": (lambda: footer_field(56, "<Q", 0), "names no grain directory", False),
    "front directory beyond the end": (lambda: FRONT[: 21 * SECTOR], "grain directory", True),
    "a capacity beyond the file": (lambda: patched(FRONT, 12, "<Q", 1 << 36), "its descriptor 67111424", False),
    "a capacity beyond the file, without a descriptor": (
        lambda: patched(FRONT.replace(FRONT[SECTOR : 21 * SECTOR], bytes(20 * SECTOR)), 12, "<Q", 1 << 36),
        "grain directory ends",
        True,
    ),
    "one extent of many": (lambda: patched(hosted(DISK), 28, "<QQ", 0, 0), "one extent of a VMDK", False),
    "one extent of many, with room for a descriptor": (
        lambda: hosted(DISK)[:SECTOR] + bytes(20 * SECTOR) + hosted(DISK)[21 * SECTOR :],
        "one extent of a VMDK",
        False,
    ),
    "a descriptor of two extents": (
        lambda: hosted(DISK).replace(b"\n# The Disk Data Base", b'RW 3 FLAT "b"\n'.ljust(21, b"#")),
        "names 2 extents",
        False,
    ),
    "a descriptor of another disk": (
        lambda: hosted(DISK).replace(b"RW 131077 ", b"RW 131078 "),
        "its descriptor 67111936",
        False,
    ),
    "a descriptor of 4 GiB": (lambda: patched(STREAM, 36, "<Q", 1 << 23), "descriptor of 4294967296", False),
    "a descriptor beyond the end": (lambda: patched(STREAM, 28, "<Q", 1 << 40), "the descriptor", True),
    "one table for two": (lambda: patched(FRONT, 21 * SECTOR, "<II", 22, 22), "same grain table", False),
    "cow": (lambda: hosted(DISK).replace(b"parentCID=ffffffff", b"parentCID=12345678"), "its parent 12345678", False),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused_at_once(name: str) -> None:
    make, words, retry_safe = REFUSED[name]
    with pytest.raises(DiskFormatError, match=words) as caught:
        VmdkReader(Image(make()))
    assert caught.value.problem.retry_safe == retry_safe


READS: dict[str, tuple[Callable[[], bytes], str]] = {
    "table beyond the end": (lambda: patched(FRONT, 21 * SECTOR, "<I", 1 << 30), "grain table 0"),
    "grain beyond the end": (lambda: patched(FRONT, 22 * SECTOR, "<I", 1 << 30), "grain 0"),
    "grain of another place": (lambda: patched(FRONT, 128 * SECTOR, "<Q", 128), "should be grain 0"),
    "grain of a huge length": (lambda: patched(FRONT, 128 * SECTOR + 8, "<I", 1 << 31), "should be grain 0"),
    "grain of no length": (lambda: patched(FRONT, 128 * SECTOR + 8, "<I", 0), "should be grain 0"),
    "grain damaged": (lambda: patched(FRONT, 128 * SECTOR + 300, "<Q", 77), "damaged"),
    "uncompressed grain cut off": (lambda: hosted(DISK)[: 129 * SECTOR], "lies behind the end"),
}


@pytest.mark.parametrize("name", READS)
def test_refused_when_read(name: str) -> None:
    make, words = READS[name]
    reader = VmdkReader(Image(make()))
    with pytest.raises(DiskFormatError, match=words) as caught:
        reader.read_at(0, GRAIN)
    assert caught.value.kind == ErrorKind.CORRUPT


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(DiskFormatError, match=r"gone\.vmdk") as caught:
        VmdkReader(tmp_path / "gone.vmdk")
    assert caught.value.kind == ErrorKind.LOCAL
