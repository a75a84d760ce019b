"""A stream that is cut, damaged or of another kind never passes for a whole disk."""

from __future__ import annotations

import re
import struct
import zlib
from collections.abc import Callable

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.kits.disk_images import Sparse, content, decoded, find, front_layout, patched, records, stream_of
from vmie_tui.model import facts
from vmie_tui.model.errors import ErrorKind
from vmie_tui.services.disks.errors import DiskFormatError
from vmie_tui.services.disks.formats import vmdk_tables
from vmie_tui.services.disks.formats.vmdk_layout import ENTRIES, GRAIN, SECTOR
from vmie_tui.services.disks.formats.vmdk_stream import StreamDecoder

DISK = Sparse(
    ENTRIES * GRAIN + 3 * GRAIN + 7 * SECTOR,
    {GRAIN: content(1, 2 * GRAIN), ENTRIES * GRAIN: content(2, 3 * GRAIN + 7 * SECTOR)},
)
STREAM = stream_of(DISK)
FRONT = front_layout(DISK)


def refused(stream: bytes, words: str, kind: ErrorKind = ErrorKind.CORRUPT) -> DiskFormatError:
    """The decoder says no, whether the stream comes whole or in pieces."""
    for size in (len(stream), 700):
        with pytest.raises(DiskFormatError, match=re.escape(words)) as caught:
            decoded(stream[at : at + size] for at in range(0, len(stream), size))
        assert caught.value.kind == kind
        assert caught.value.problem.remedy
    return caught.value


def cuts(stream: bytes) -> list[int]:
    """Before, just into, in the middle of and just before the end of every record."""
    places = {0, 1, SECTOR}
    for record in records(stream):
        end = record.offset + record.length
        places |= {record.offset, record.offset + 11, record.offset + record.length // 2, end - SECTOR, end - 1}
    return sorted(place for place in places if place < len(stream))


@pytest.mark.parametrize("length", cuts(STREAM))
def test_truncation_is_refused_at_every_boundary(length: int) -> None:
    for inflate in (True, False):
        decoder = StreamDecoder(inflate=inflate)
        decoder.feed(STREAM[:length])
        with pytest.raises(DiskFormatError, match=f"stops after {length} bytes.*closed the stream early") as caught:
            decoder.finish()
        assert caught.value.kind == ErrorKind.CORRUPT
        assert caught.value.problem.retry_safe
        assert not decoder.complete


@pytest.mark.parametrize(
    "length",
    [100, 21 * SECTOR, 22 * SECTOR + 7, 30 * SECTOR, 40 * SECTOR] + [len(FRONT) - n for n in (1, SECTOR, 80 * SECTOR)],
)
def test_truncation_of_the_front_layout_is_refused(length: int) -> None:
    error = refused(FRONT[:length], "closed the stream early")
    assert error.problem.retry_safe


def test_a_whole_grain_missing_at_the_end_of_the_front_layout_is_refused() -> None:
    last = FRONT.rindex(struct.pack("<Q", (ENTRIES + 3) * 128))
    refused(FRONT[:last], "grains missing: 1")


def at(kind: str, number: int = 0) -> int:
    return find(STREAM, kind, number).offset


def bad_grain(data: bytes) -> bytes:
    """The first grain's compressed data replaced, in the sectors it has."""
    record = find(STREAM, "grain")
    return patched(STREAM, record.offset + 8, f"<I{record.length - 12}s", len(data), data)


DAMAGE: dict[str, tuple[Callable[[], bytes], str]] = {
    "grain beyond the disk": (lambda: patched(STREAM, at("grain"), "<Q", DISK.size // SECTOR), "is for sector"),
    "grain far beyond": (lambda: patched(STREAM, at("grain"), "<Q", 1 << 63), "is for sector"),
    "grain not aligned": (lambda: patched(STREAM, at("grain"), "<Q", 129), "is for sector 129"),
    "grain twice": (lambda: patched(STREAM, at("grain", 1), "<Q", 128), "grain 1 comes twice"),
    "grain moved": (lambda: patched(STREAM, at("grain"), "<Q", 5 * 128), "does not list the grains"),
    "grain behind its table": (lambda: patched(STREAM, at("grain", 2), "<Q", 5 * 128), "behind its grain table"),
    "grain of a huge length": (lambda: patched(STREAM, at("grain") + 8, "<I", 0xFFFFFFF0), "announces"),
    "grain shortened": (lambda: patched(STREAM, at("grain") + 8, "<I", 20), "is damaged"),
    "grain data flipped": (lambda: patched(STREAM, at("grain") + 400, "<Q", 0x1234567890), "is damaged"),
    "grain inflates to less": (lambda: bad_grain(zlib.compress(bytes(GRAIN - 1))), "it holds 65535 bytes of 65536"),
    "grain inflates to more": (lambda: bad_grain(zlib.compress(bytes(GRAIN + 1))), "too long"),
    "grain is a bomb": (lambda: bad_grain(zlib.compress(bytes(30 << 20), 9)), "too long"),
    "last grain too short": (
        lambda: patched(STREAM, at("grain", 5) + 8, "<I512s", 100, zlib.compress(bytes(6 * SECTOR))),
        "is damaged",
    ),
    "unknown marker": (lambda: patched(STREAM, at("table"), "<QII", 4, 0, 9), "unknown marker of kind 9"),
    "table of another length": (lambda: patched(STREAM, at("table"), "<QII", 5, 0, 1), "announces 5 sectors"),
    "table of a huge length": (lambda: patched(STREAM, at("table"), "<QII", 1 << 60, 0, 1), "announces"),
    "table entry wrong": (lambda: patched(STREAM, at("table") + SECTOR + 4, "<I", 129), "does not list"),
    "table entry missing": (lambda: patched(STREAM, at("table") + SECTOR + 8, "<I", 0), "does not list"),
    "table entry too many": (lambda: patched(STREAM, at("table") + SECTOR + 40, "<I", 128), "does not list"),
    "table empty": (lambda: patched(STREAM, at("table") + SECTOR, "<2048s", b""), "grains in no grain table: 2"),
    "directory of a huge length": (lambda: patched(STREAM, at("directory"), "<Q", 1 << 40), "announces"),
    "directory entry wrong": (lambda: patched(STREAM, at("directory") + SECTOR, "<I", 9), "names sector 9 for table 0"),
    "directory entry missing": (lambda: patched(STREAM, at("directory") + SECTOR, "<I", 0), "names sector 0"),
    "directory twice": (
        lambda: STREAM[: at("footer")] + STREAM[at("directory") : at("footer")] + STREAM[at("footer") :],
        "where none belongs",
    ),
    "footer before the directory": (lambda: STREAM[: at("directory")] + STREAM[at("footer") :], "where none belongs"),
    "footer missing": (lambda: STREAM[: at("footer")] + STREAM[at("end") :], "too early, no footer"),
    "footer without its magic": (lambda: patched(STREAM, at("footer") + SECTOR, "<I", 0), "footer is damaged"),
    "footer of another capacity": (lambda: patched(STREAM, at("footer") + SECTOR + 12, "<Q", 7), "contradicts"),
    "footer names another directory": (lambda: patched(STREAM, at("footer") + SECTOR + 56, "<Q", 7), "does not point"),
    "end in the middle": (lambda: patched(STREAM, at("grain", 1), "<QII", 0, 0, 0), "end-of-stream marker comes too"),
    "end before the footer": (lambda: STREAM[: at("directory")] + bytes(SECTOR), "too early, no grain directory"),
    "data behind the end": (lambda: STREAM + bytes(5000) + b"x", "behind the end-of-stream marker"),
    "header: no sector": (lambda: patched(STREAM, 12, "<Q", 0), "0 sectors"),
    "header: too many sectors": (lambda: patched(STREAM, 12, "<Q", (1 << 63) + 5), "sectors; 1 sector to 64 TiB"),
    "header: another capacity": (lambda: patched(STREAM, 12, "<Q", 1 << 22), "footer contradicts"),
    "header: odd grain": (lambda: patched(STREAM, 20, "<Q", 100), "grain of 100 sectors"),
    "header: huge grain": (lambda: patched(STREAM, 20, "<Q", 1 << 40), "grain of"),
    "header: no grain": (lambda: patched(STREAM, 20, "<Q", 0), "grain of 0 sectors"),
    "header: entries": (lambda: patched(STREAM, 44, "<I", 0xFFFFFFFF), "entries in a grain table"),
    "header: directory too large": (lambda: patched(STREAM, 12, "<QQ", 1 << 37, 8), "grain directory would take"),
    "header: no overhead": (lambda: patched(STREAM, 64, "<Q", 0), "grains start at the header"),
    "front: directory behind the overhead": (lambda: patched(FRONT, 56, "<Q", 127), "do not fit"),
    "front: no directory": (lambda: patched(FRONT, 56, "<Q", 0), "do not fit"),
    "front: directory entry": (lambda: patched(FRONT, 21 * SECTOR, "<I", 1 << 30), "names sector 1073741824"),
    "front: table entry elsewhere": (lambda: patched(FRONT, 22 * SECTOR + 4, "<I", 1 << 30), "name other places"),
    "front: table entry missing": (lambda: patched(FRONT, 22 * SECTOR + 4, "<I", 0), "name other places"),
    "front: grain not listed": (
        lambda: FRONT + patched(STREAM[at("grain") : at("grain", 1)], 0, "<Q", 0),
        "grain 0 is in no grain table",
    ),
    "front: one listed and not there": (lambda: patched(FRONT, 22 * SECTOR, "<I", 128), "grains missing: 1"),
    "front: the start of one more record": (lambda: FRONT + b"x" * 100, "closed the stream early"),
    "front: no grains, cut before them": (lambda: front_layout(Sparse(1 << 20))[:-SECTOR], "closed the stream early"),
    "header names another directory": (lambda: patched(STREAM, 56, "<Q", 5000), "the header names another place"),
    "front: grain twice": (lambda: FRONT + FRONT[128 * SECTOR :], "comes twice"),
    "front: a table marker": (lambda: FRONT + STREAM[at("table") : at("table") + 5 * SECTOR], "unknown marker"),
}


@pytest.mark.parametrize("name", DAMAGE)
def test_damage_is_refused(name: str) -> None:
    make, words = DAMAGE[name]
    refused(make(), words)


def test_damaged_grain_has_the_documented_text() -> None:
    error = refused(bad_grain(b"no deflate data"), "compressed data is damaged")
    assert error.problem.detail == facts.error("E10")["message"]
    assert not error.problem.retry_safe


@pytest.mark.parametrize(
    ("stream", "words"),
    [
        (bytes(2048), "first bytes are not KDMV"),
        (patched(STREAM, 4, "<I", 9), "version 9"),
        (patched(STREAM, 8, "<I", 1), "compression algorithm 0"),
        (patched(STREAM, 77, "<H", 0), "compression algorithm 0"),
        (patched(STREAM, 77, "<H", 2), "compression algorithm 2"),
        (patched(STREAM, 8, "<I", 0x10001), "no markers"),
    ],
)
def test_other_kinds_are_refused_with_the_documented_text(stream: bytes, words: str) -> None:
    error = refused(stream, words, ErrorKind.INVALID)
    assert error.problem.detail == facts.error("E04")["message"]
    assert error.problem.code == facts.error("E04")["code"]


def test_a_grain_behind_the_directory_is_refused() -> None:
    stream = stream_of(Sparse(DISK.size, {GRAIN: DISK.runs[GRAIN]}))
    late = patched(STREAM[at("grain") : at("grain", 1)], 0, "<Q", ENTRIES * 128)
    footer = find(stream, "footer").offset
    refused(stream[:footer] + late + stream[footer:], "behind the grain directory")


def test_grains_that_wait_too_long_for_their_table_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vmdk_tables, "_MAX_PENDING", 3)
    refused(STREAM, "3 grains came without a grain table")


def test_a_header_may_name_the_directory_at_the_end() -> None:
    assert decoded([patched(STREAM, 56, "<Q", at("directory") // SECTOR + 1)]) == DISK.grains()


def test_zero_padding_behind_the_end_is_tolerated() -> None:
    assert decoded([STREAM, bytes(100), bytes(200_000)]) == DISK.grains()


def test_an_empty_table_of_a_region_without_data_is_tolerated() -> None:
    empty = Sparse(DISK.size, {ENTRIES * GRAIN: DISK.runs[ENTRIES * GRAIN]})
    stream = stream_of(empty)
    table = find(stream, "table")
    blank = stream[table.offset : table.offset + SECTOR] + bytes(2048)
    moved = stream[: table.offset + table.length] + blank + stream[table.offset + table.length :]
    directory = find(moved, "directory").offset + SECTOR
    moved = patched(moved, directory, "<I", table.offset // SECTOR + 5 + 1)
    moved = patched(moved, find(moved, "footer").offset + SECTOR + 56, "<Q", directory // SECTOR)
    assert decoded([moved]) == empty.grains()


@pytest.mark.parametrize("flip", [1, 2, 8, 0x87])
def test_a_capacity_other_than_the_descriptor_s_is_refused(flip: int) -> None:
    refused(patched(FRONT, 12, "B", FRONT[12] ^ flip), "bytes of disk, its descriptor")


def test_header_and_footer_of_another_capacity_than_the_descriptor_s() -> None:
    stream = patched(STREAM, 12, "B", STREAM[12] ^ 8)
    stream = patched(stream, find(stream, "footer").offset + SECTOR + 12, "B", STREAM[12] ^ 8)
    refused(stream, "bytes of disk, its descriptor")


def test_a_last_grain_with_data_behind_the_end_is_refused() -> None:
    text = front_layout(DISK)[SECTOR : 21 * SECTOR]
    refused(
        patched(FRONT, 12, "<Q", DISK.size // SECTOR - 1).replace(text, bytes(len(text))), "behind the end of the disk"
    )


def test_a_stream_that_is_a_difference_is_refused() -> None:
    for stream in (STREAM, FRONT):
        refused(stream.replace(b"parentCID=ffffffff", b"parentCID=12345678"), "its parent 12345678", ErrorKind.INVALID)


@settings(max_examples=50, deadline=None)
@given(st.integers(0, len(STREAM) - 1), st.integers(1, 255), st.booleans())
@example(place=12, flip=1, front=True)
@example(place=12, flip=0x87, front=True)
def test_one_flipped_byte_never_changes_the_disk(place: int, flip: int, front: bool) -> None:
    """It is refused, or it lay where nothing depends on it."""
    stream = FRONT if front else STREAM
    place %= len(stream)
    damaged = patched(stream, place, "B", stream[place] ^ flip)
    try:
        found = decoded([damaged])
    except DiskFormatError:
        return
    assert found == DISK.grains()
