"""Feeds: every byte stream an upload needs gives the disk it was made of, whatever its size and holes."""

from __future__ import annotations

import hashlib
import random
import threading
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.kits.disk_containers import Memory, plenty
from tests.kits.disk_images import Sparse, content, disks, front_layout, stream_of
from tests.kits.waiting import wait_until
from vmie_tui.model.errors import Cancelled, ErrorKind, ServiceError
from vmie_tui.model.plan import UploadFormat
from vmie_tui.services.disks.feeds import disk_feed as feeds
from vmie_tui.services.disks.feeds.grain_stream import ReceivedGrains
from vmie_tui.services.disks.formats.open_disk import open_disk
from vmie_tui.services.disks.streams.proof_samples import BLOCK, Sampler
from vmie_tui.services.disks.streams.source import sha256_of

MIB = 1 << 20
FORMATS = [UploadFormat.VMDK, UploadFormat.RAW, UploadFormat.VHD]
slow = settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.too_slow])


class Wire:
    """A host's stream in memory: pieces of any size, and what was asked of it."""

    def __init__(self, data: bytes, step: int = 1 << 20) -> None:
        self.data, self.step, self.at = data, step, 0

    def readinto(self, buffer: memoryview, /) -> int:
        piece = self.data[self.at : self.at + min(self.step, len(buffer))]
        buffer[: len(piece)] = piece
        self.at += len(piece)
        return len(piece)


class Ends:
    """The hooks of a stream: what was proven at its end, and how many bytes were announced."""

    def __init__(self) -> None:
        self.proven: list[tuple[str, int]] = []
        self.bytes = self.checks = 0

    def hooks(self) -> dict[str, Any]:
        return {
            "check": lambda: setattr(self, "checks", self.checks + 1),
            "on_bytes": lambda count: setattr(self, "bytes", self.bytes + count),
            "at_end": lambda sha256, size: self.proven.append((sha256, size)),
        }


def drained(feed: feeds.Feed, step: int = 300_000) -> bytes:
    """All a feed gives, in views of ``step`` bytes; its threads are ended."""
    out, view = bytearray(), memoryview(bytearray(step))
    with feed:
        while got := feed.fill(view):
            out += view[:got]
        assert feed.fill(view) == 0
    assert (feed.size, feed.sha256) == (len(out), hashlib.sha256(out).hexdigest())
    return bytes(out)


def same(data: bytes, source: Sparse, padded: int) -> None:
    """``data`` opens as a disk with the content of ``source``, filled up to a multiple of ``padded``."""
    disk = open_disk(Memory(data), plenty(), name="disk")
    assert disk.size == -(-source.size // padded) * padded
    assert sha256_of(disk) == sha256_of(Sparse(disk.size, source.runs))


@slow
@given(disks(whole_sectors=False), st.sampled_from(FORMATS), st.integers(1000, 2 << 20))
def test_a_disk_comes_back_from_its_feed(source: Sparse, format: UploadFormat, step: int) -> None:
    if format is UploadFormat.RAW:
        data = drained(feeds.disk_feed(source, format), step)
        assert hashlib.sha256(data).hexdigest() == sha256_of(source)
        assert len(data) == source.size == feeds.stored_size(source, format)
        return
    data = drained(feeds.disk_feed(source, format), step)
    same(data, source, 512)
    size = feeds.stored_size(source, format)
    assert len(data) == size if format is UploadFormat.VHD else len(data) <= size


@slow
@given(disks(whole_sectors=False), st.sampled_from([UploadFormat.RAW, UploadFormat.VHD]), st.integers(700, 3 << 20))
def test_a_hosts_stream_is_decoded_on_the_way(source: Sparse, format: UploadFormat, step: int) -> None:
    stream, ends = stream_of(source), Ends()
    capacity = -(-source.size // 512) * 512
    data = drained(feeds.decoded(Wire(stream, step), format, capacity, **ends.hooks()), step)
    assert ends.proven == [(hashlib.sha256(stream).hexdigest(), len(stream))]
    assert ends.bytes == len(stream)
    assert len(data) == feeds.decoded_size(format, capacity)
    if format is UploadFormat.RAW:
        assert hashlib.sha256(data).hexdigest() == sha256_of(Sparse(capacity, source.runs))
    else:
        same(data, source, 512)


@slow
@given(disks(), st.integers(700, 3 << 20), st.booleans())
def test_blocks_of_a_hosts_stream_arrive_once_in_order(source: Sparse, step: int, front: bool) -> None:
    stream = front_layout(source) if front else stream_of(source)
    ends, found = Ends(), dict[int, bytes]()

    def put(offset: int, data: memoryview) -> None:
        assert offset not in found
        assert not found or offset > max(found)
        found[offset] = bytes(data)

    feeds.blocks(Wire(stream, step), source.size, put, **ends.hooks())
    assert found == source.grains()
    assert ends.proven == [(hashlib.sha256(stream).hexdigest(), len(stream))]


@slow
@given(disks(whole_sectors=False), st.integers(0, 3))
def test_blocks_of_a_disk_are_whole_and_only_those_wanted(source: Sparse, skip: int) -> None:
    found: dict[int, bytes] = {}
    feeds.blocks_of(source, lambda index: index % 4 != skip, lambda at, data: found.__setitem__(at, bytes(data)))
    assert list(found) == sorted(found)
    assert all(at % BLOCK == 0 and at // BLOCK % 4 != skip for at in found)
    for at, data in found.items():
        assert data == source.read_at(at, BLOCK)
    for at in source.grains():
        assert at // BLOCK % 4 == skip or at // BLOCK * BLOCK in found


@pytest.mark.parametrize("format", FORMATS)
def test_the_same_disk_gives_the_same_bytes(format: UploadFormat) -> None:
    disk = Sparse(9 * MIB + 700, {4096: content(1, 3 * MIB), 8 * MIB: content(2, 70_000)})
    first = drained(feeds.disk_feed(disk, format, name="a"))
    assert first == drained(feeds.disk_feed(disk, format, name="a"), 123_457)
    assert first.endswith(drained(feeds.disk_feed(disk, format, name="a"))[-MIB:])


def threads() -> set[threading.Thread]:
    return {thread for thread in threading.enumerate() if not thread.name.startswith(("pytest", "MainThread"))}


@cache
def sources() -> dict[str, Callable[[], feeds.Feed]]:
    disk = Sparse(64 * MIB, {0: random.Random(1).randbytes(24 * MIB)})
    hooks: dict[str, Any] = Ends().hooks()
    feed = {f"disk {format}": lambda format=format: feeds.disk_feed(disk, format) for format in FORMATS}
    stream = stream_of(disk)
    feed["decoded"] = lambda: feeds.decoded(Wire(stream), UploadFormat.RAW, disk.size, **hooks)
    feed["passed on"] = lambda: feeds.DiskFeed(Wire(stream), **hooks)
    return feed


@pytest.mark.parametrize("which", ["disk VMDK", "disk RAW", "disk VHD", "decoded", "passed on"])
@pytest.mark.parametrize("fills", [0, 1, 20])
def test_closing_ends_the_threads_wherever_it_is(which: str, fills: int) -> None:
    before = threads()
    feed, view = sources()[which](), memoryview(bytearray(MIB))
    for _ in range(fills):
        assert feed.fill(view) > 0
    feed.close()
    feed.close()
    wait_until(lambda: threads() <= before, what="all threads ended")


class Broken(Wire):
    def readinto(self, buffer: memoryview, /) -> int:
        if self.at >= 2 * MIB:
            raise ServiceError(ErrorKind.NETWORK, "connection reset", subject="host")
        return super().readinto(buffer)


DENSE = Sparse(8 * MIB, {0: random.Random(4).randbytes(8 * MIB)})


@pytest.mark.parametrize("route", ["decoded", "blocks", "passed on"])
@pytest.mark.parametrize(
    ("fault", "words"),
    [
        (lambda data, ends: (Broken(data), {}), "connection reset"),
        (lambda data, ends: (Wire(data[: len(data) // 2]), {}), "stops after"),
        (lambda data, ends: (Wire(data[:MIB] + b"\xff" * 999 + data[MIB + 999 :]), {}), "damaged|marker|grain"),
        (lambda data, ends: (Wire(data), {"check": ends.stop}), "stopped by the user"),
        (lambda data, ends: (Wire(data), {"at_end": ends.refuse}), "SHA-256 differs"),
    ],
    ids=["reset", "short", "damaged", "stopped", "manifest"],
)  # fmt: skip
def test_what_goes_wrong_comes_out_and_ends_the_threads(
    route: str, fault: Callable[[bytes, Stops], tuple[Wire, dict[str, Any]]], words: str
) -> None:
    before, ends = threads(), Stops()
    wire, hooks = fault(stream_of(DENSE), ends)
    hooks = {**ends.hooks(), **hooks}
    with pytest.raises((ServiceError, Cancelled), match=words):
        if route == "blocks":
            feeds.blocks(wire, DENSE.size, lambda at, data: None, **hooks)
        elif route == "decoded":
            drained(feeds.decoded(wire, UploadFormat.RAW, DENSE.size, **hooks))
        else:
            drained(feeds.DiskFeed(wire, **hooks))
    assert ends.proven == []
    wait_until(lambda: threads() <= before, what="all threads ended")


class Stops(Ends):
    def stop(self) -> None:
        self.checks += 1
        if self.checks > 3:
            raise Cancelled("stopped by the user")

    def refuse(self, sha256: str, size: int) -> None:
        raise ServiceError(ErrorKind.CORRUPT, "its SHA-256 differs", subject="disk")


def test_a_stream_out_of_order_or_of_another_disk_is_refused() -> None:
    disk = Sparse(2 * MIB, {0: content(1, 300_000)})
    backwards = front_layout(disk, sorted(disk.grains(), reverse=True))
    with pytest.raises(ServiceError, match="goes back") as caught:
        drained(feeds.decoded(Wire(backwards), UploadFormat.RAW, disk.size, **Ends().hooks()))
    assert caught.value.kind is ErrorKind.INVALID
    with pytest.raises(ServiceError, match="were announced"):
        drained(feeds.decoded(Wire(stream_of(disk)), UploadFormat.RAW, 3 * MIB, **Ends().hooks()))
    with pytest.raises(ValueError, match="OVA"):
        feeds.disk_feed(disk, UploadFormat.OVA)
    with pytest.raises(ValueError, match="VMDK"):
        feeds.decoded(Wire(b""), UploadFormat.VMDK, 512, **Ends().hooks())


def test_a_stream_of_little_that_becomes_much_waits_for_who_takes_it() -> None:
    """64 MiB of one byte fit into a piece or two of the stream: they are decoded as they are taken."""
    disk = Sparse(64 * MIB, {0: b"v" * (64 * MIB)})
    stream = stream_of(disk)
    assert len(stream) < 2 * MIB
    count = most = 0
    with ReceivedGrains(Wire(stream), disk.size, **Ends().hooks()) as grains:
        for _ in grains:
            count += 1
            most = max(most, grains._waiting)
    assert count == 1024
    assert 0 < most <= (4 << 20) + 65536


def test_data_that_appears_while_a_vhd_is_made_is_not_lost_silently() -> None:
    class Growing(Sparse):
        def extents(self) -> Iterator[tuple[int, int]]:
            yield from super().extents()
            self.runs.setdefault(6 * MIB, content(3, 5000))

    with pytest.raises(ServiceError, match="changed while it was read"):
        drained(feeds.disk_feed(Growing(9 * MIB, {0: content(1, 5000)}), UploadFormat.VHD))


@slow
@given(disks(whole_sectors=False), st.integers(-5, 1 << 60), st.integers(1, 9))
def test_samples_are_blocks_of_the_disk_whatever_takes_them(source: Sparse, seed: int, most: int) -> None:
    size = -(-source.size // 512) * 512
    filled = {at // BLOCK for at in source.grains()}
    whole = {
        index: hashlib.sha256(source.read_at(index * BLOCK, BLOCK).ljust(BLOCK, b"\0")).hexdigest() for index in filled
    }
    stream = stream_of(source)
    found = []
    for route in range(5):
        sampler = Sampler(seed, size, most=most)
        hooks: dict[str, Any] = {**Ends().hooks(), "on_data": sampler.take}
        match route:
            case 0:
                drained(feeds.DiskFeed(Wire(stream), **hooks))
            case 1:
                drained(feeds.decoded(Wire(stream, 99_999), UploadFormat.RAW, size, **hooks))
            case 2:
                drained(feeds.disk_feed(source, UploadFormat.VMDK, on_data=sampler.take))
            case 3:
                feeds.blocks_of(source, lambda index: True, lambda at, data: None, on_data=sampler.take)
            case _:
                for index, sha256 in whole.items():
                    sampler.note(index, sha256)
        found.append(sampler.samples)
    assert all(samples == found[0] for samples in found)
    assert len(found[0]) == min(most, len(whole))
    assert found[0].items() <= whole.items()


def test_samples_of_different_seeds_differ_and_cover_the_disk() -> None:
    data = random.Random(1).randbytes(BLOCK)
    chosen = []
    for seed in range(4):
        sampler = Sampler(seed, 200 * BLOCK)
        for index in range(200):
            sampler.take(index * BLOCK, memoryview(data))
        chosen.append(set(sampler.samples))
    assert all(len(each) == 64 for each in chosen)
    assert len(set.union(*chosen)) > 130
    late = Sampler(1, 10 * BLOCK)
    for index in (3, 4, 3):  # the third comes in two parts with another block in between
        late.take(index * BLOCK, memoryview(data)[:100])
    assert set(late.samples) == {4}
