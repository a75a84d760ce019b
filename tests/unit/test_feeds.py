"""Feeds: every byte stream an upload needs gives the disk it was made of, whatever its size and holes."""

from __future__ import annotations

import hashlib
import random
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.helpers import wait_until
from tests.unit.disks_images import Sparse, content, disks, front_layout, stream_of
from tests.unit.test_containers import Memory, plenty
from vmie_tui.model.errors import Cancelled, ErrorKind, ServiceError
from vmie_tui.model.plan import UploadFormat
from vmie_tui.services.disks import feeds
from vmie_tui.services.disks.containers import open_disk
from vmie_tui.services.disks.received import ReceivedGrains
from vmie_tui.services.disks.sample import BLOCK, Sampler
from vmie_tui.services.disks.source import sha256_of

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
