"""What is encoded comes back, whatever the disk, the mode and the pieces; and nothing that is zeros is written."""

from __future__ import annotations

import random
import threading
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.kits.disk_images import Sparse, content, decoded, disks, front_layout, records, stream_of
from vmie_tui.services.disks.errors import DiskFormatError
from vmie_tui.services.disks.formats import vmdk_write
from vmie_tui.services.disks.formats.probe import probe
from vmie_tui.services.disks.formats.vmdk_layout import ENTRIES, GRAIN, SECTOR, SparseHeader
from vmie_tui.services.disks.formats.vmdk_read import VmdkReader
from vmie_tui.services.disks.formats.vmdk_stream import StreamDecoder
from vmie_tui.services.disks.formats.vmdk_write import Encoded, encode
from vmie_tui.services.disks.streams.source import sha256_of

PIECES = st.lists(st.sampled_from([1, 11, 511, 512, 513, 4096, 65536, 1 << 20]), min_size=1, max_size=8)


class InMemory(Sparse):
    """The bytes of an image file."""

    def __init__(self, data: bytes) -> None:
        super().__init__(len(data), {0: data})


def cut(stream: bytes, sizes: list[int]) -> list[bytes]:
    pieces, at, turn = [], 0, 0
    while at < len(stream):
        pieces.append(stream[at : at + sizes[turn % len(sizes)]])
        at += len(pieces[-1])
        turn += 1
        if turn > 3000:  # enough small pieces: give the rest at once
            sizes = [len(stream)]
    return pieces


@settings(max_examples=50, deadline=None)
@given(disks(whole_sectors=False), st.sampled_from(["fast", "small"]), st.integers(1, 4), PIECES)
def test_round_trip(disk: Sparse, mode: str, threads: int, sizes: list[int]) -> None:
    stream = stream_of(disk, mode=mode, threads=threads)
    found = decoded(cut(stream, sizes))
    expected = disk.grains()
    assert found.keys() == expected.keys()
    for offset, data in expected.items():  # a disk that ends within a sector is padded to it
        assert found[offset].rstrip(b"\0") == data.rstrip(b"\0")
        assert len(found[offset]) == min(GRAIN, -(-disk.size // SECTOR) * SECTOR - offset)


@settings(max_examples=30, deadline=None)
@given(disks(), st.randoms(use_true_random=False), PIECES)
def test_front_layout_in_any_order(disk: Sparse, rng: random.Random, sizes: list[int]) -> None:
    order = list(disk.grains())
    rng.shuffle(order)
    stream = front_layout(disk, order)
    assert decoded(cut(stream, sizes)) == disk.grains()
    assert decoded([stream, bytes(700)]) == disk.grains()


@settings(max_examples=30, deadline=None)
@given(disks(), st.booleans(), st.lists(st.tuples(st.floats(0, 1), st.integers(0, 200_000)), max_size=6))
def test_reader_reads_what_was_encoded(disk: Sparse, front: bool, reads: list[tuple[float, int]]) -> None:
    reader = VmdkReader(InMemory(front_layout(disk) if front else stream_of(disk)))
    assert reader.size == disk.size
    for where, length in reads:
        offset = int(where * disk.size)
        assert reader.read_at(offset, length) == disk.read_at(offset, length)
    held = [at for start, length in reader.extents() for at in range(start, start + length, GRAIN)]
    assert held == list(disk.grains())
    assert sha256_of(reader) == sha256_of(disk)


def test_layout_is_that_of_an_esx_host() -> None:
    disk = Sparse(3 * ENTRIES * GRAIN + 5 * SECTOR, {0: content(1, GRAIN), 2 * ENTRIES * GRAIN: content(2, 2 * GRAIN)})
    stream = stream_of(disk, name='evil"\n/name.vmdk')
    kinds = [record.kind for record in records(stream)]
    assert kinds == ["header", "grain", "table", "grain", "grain", "table", "directory", "footer", "end"]
    assert SparseHeader.unpack(stream[:SECTOR]).directory == 0xFFFFFFFFFFFFFFFF
    assert SparseHeader.unpack(stream[-2 * SECTOR :][:SECTOR]).directory * SECTOR < len(stream)
    assert b'RW 196613 SPARSE "evil___name.vmdk"\n' in stream[:65536]
    info = probe(InMemory(stream).read_at, len(stream))
    assert (info.format, info.create_type, info.capacity) == ("vmdk-stream", "streamOptimized", disk.size)


def test_zeros_are_not_written() -> None:
    disk = Sparse(8 << 20, {0: bytes(8 << 20)})
    out = bytearray()
    assert encode(disk, out.extend) == Encoded(len(out), 0)
    assert decoded([bytes(out)]) == {}


def test_many_small_extents_in_one_grain_give_it_once() -> None:
    disk = Sparse(4 << 20, dict.fromkeys(range(GRAIN - 300, 6 * GRAIN, 5000), b"x" * 100))
    assert decoded([stream_of(disk)]) == disk.grains()


def test_extents_that_overlap_give_each_grain_once() -> None:
    class Overlapping(Sparse):
        def extents(self) -> Iterator[tuple[int, int]]:
            yield from [(0, 3 << 20), (0, GRAIN), (1 << 20, 4 << 20), (5 << 20, 0)]

    disk = Overlapping(6 << 20, {0: content(6, 5 << 20)})
    assert decoded([stream_of(disk)]) == disk.grains()


def test_a_used_buffer_leaves_no_trace_in_the_last_sector() -> None:
    disk = Sparse((40 << 20) + 100, {0: b"\xff" * ((40 << 20) + 100)})
    assert decoded([stream_of(disk, threads=1)])[40 << 20] == b"\xff" * 100 + bytes(412)


def test_more_than_a_vmdk_can_address_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vmdk_write, "_MAX_SECTOR", 1000)
    with pytest.raises(DiskFormatError, match="2 TiB"):
        stream_of(Sparse(4 << 20, {0: content(7, 4 << 20)}))


def test_small_is_smaller() -> None:
    disk = Sparse(1 << 20, {0: b"".join(b"line %d of a log\n" % n for n in range(50_000))[: 1 << 20]})
    assert len(stream_of(disk, mode="small")) < len(stream_of(disk, mode="fast"))


def test_random_data_grows_by_little() -> None:
    disk = Sparse(2 << 20, {0: random.Random(0).randbytes(2 << 20)})
    for mode in ("fast", "small"):
        stream = stream_of(disk, mode=mode)
        assert len(stream) < disk.size * 1.02 + 70_000
        assert decoded([stream]) == disk.grains()


def test_structure_only_counts_without_inflating() -> None:
    disk = Sparse(1 << 20, {0: content(3, 3 * GRAIN)})
    decoder = StreamDecoder(lambda *_: pytest.fail("called"), inflate=False)
    decoder.feed(stream_of(disk))
    decoder.finish()
    assert (decoder.capacity, decoder.grains, decoder.data_bytes) == (disk.size, 3, 3 * GRAIN)


def test_errors_of_both_ends_pass_through_and_end_the_threads() -> None:
    disk = Sparse(64 << 20, {0: content(4, 20 << 20)})

    def full(_: object) -> None:
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        encode(disk, full)

    class Shrunk(Sparse):
        def read_at(self, offset: int, length: int) -> bytes:
            return super().read_at(offset, length) if offset < 10 << 20 else b""

    with pytest.raises(DiskFormatError, match="the disk ended at byte 10485760"):
        encode(Shrunk(disk.size, disk.runs), lambda _: None)
    with pytest.raises(DiskFormatError, match="empty"):
        encode(Sparse(0), full)
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("vmdk-encode")]
