"""A profile's cap on uploads: counted, never timed."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import replace

import pytest

from tests.kits.aws_world import BUCKET, PART, REGION, Control, Source, content, store_for, world
from vmie_tui.services.aws.ebs.snapshot_reader import BLOCK
from vmie_tui.services.aws.ebs.snapshot_writer import MemoryJournal, SnapshotTarget, SnapshotWriter
from vmie_tui.services.aws.s3 import rate_cap, sender_pool
from vmie_tui.services.aws.s3.buffer_budget import BufferBudget
from vmie_tui.services.aws.s3.instance_parts import PartObjects, PartsRequest
from vmie_tui.services.aws.s3.objects import UploadRequest
from vmie_tui.services.aws.s3.rate_cap import BURST_SECONDS, RateCap, cap_of
from vmie_tui.services.aws.session import Aws
from vmie_tui.settings import AwsSettings
from vmie_tui.simulators.control import TlsFiles

RATE = 1_000_000


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


class Counting(RateCap):
    """Says how much was asked for, and that nothing has to wait."""

    def __init__(self) -> None:
        super().__init__(1 << 30)
        self.taken, self._count = 0, threading.Lock()

    def take(self, nbytes: int) -> float:
        with self._count:
            self.taken += nbytes
        return 0.0


@pytest.fixture
def capped(tls: TlsFiles, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Aws, Counting]]:
    with world(tls, tmp_path_factory.mktemp("aws")) as (simulator, aws):
        simulator.clock.speed = 200.0
        aws.settings = replace(aws.settings, max_rate=1 << 30)
        counting = Counting()
        rate_cap._caps[aws.settings] = counting
        yield aws, counting
        del rate_cap._caps[aws.settings]


def test_no_more_than_the_rate_is_let_through() -> None:
    clock = Clock()
    cap = RateCap(RATE, clock=clock)
    sent, started = 0, clock.now
    while sent < 20 * RATE:
        clock.now += cap.take(sender_pool.PIECE)
        sent += sender_pool.PIECE
        assert sent <= RATE * (clock.now - started + BURST_SECONDS) + sender_pool.PIECE
    assert clock.now - started == pytest.approx(20, rel=0.05)
    clock.now += 3600  # an hour of silence is not made up for
    waits = [cap.take(sender_pool.PIECE) for _ in range(4)]
    assert sum(wait == 0 for wait in waits) <= 1 + BURST_SECONDS * RATE / sender_pool.PIECE


def test_transfers_with_the_same_settings_share_a_cap() -> None:
    settings = AwsSettings(region=REGION, max_rate=RATE)
    assert cap_of(settings) is cap_of(replace(settings)) is not None
    assert cap_of(replace(settings, profile="other")) is not cap_of(settings)
    assert cap_of(AwsSettings()) is None
    assert RateCap(RATE).connections(64, sender_pool.PIECE) == RATE // sender_pool.PIECE
    assert RateCap(1).connections(64, sender_pool.PIECE) == 1


def test_every_byte_to_s3_and_ebs_is_counted_once(capped: tuple[Aws, Counting]) -> None:
    aws, counting = capped
    data = content(PART + 12_345)
    store_for(aws).upload(UploadRequest(BUCKET, "capped", len(data)), Source(data, 300_000), control=Control())
    assert counting.taken == len(data)

    counting.taken = 0
    blocks = content(3 * BLOCK)
    options = {"journal": MemoryJournal(), "control": Control(), "budget": BufferBudget(16 * BLOCK)}
    with SnapshotWriter(aws, REGION, SnapshotTarget(len(blocks)), **options) as writer:
        writer.put(0, memoryview(blocks))
        written = writer.complete()
    assert counting.taken == written.sent == len(blocks)


def test_every_byte_of_part_objects_is_counted(capped: tuple[Aws, Counting]) -> None:
    aws, counting = capped
    data = content(PART + 1)
    parts = PartObjects(aws, REGION, budget=BufferBudget(8 * PART))
    done = parts.upload(
        PartsRequest(BUCKET, "p/", "disk", "RAW", 1, len(data), part_size=PART), Source(data), control=Control()
    )
    manifest = int(aws.client("s3").head_object(Bucket=BUCKET, Key=done.manifest_key)["ContentLength"])
    assert counting.taken == len(data) + manifest


def test_a_stop_does_not_wait_for_its_turn() -> None:
    cap = RateCap(RATE, clock=Clock())
    cap.take(3600 * RATE)

    class StoppedWhileWaiting(threading.Event):
        waited = 0.0

        def wait(self, timeout: float | None = None) -> bool:
            self.waited = timeout or 0.0
            return True

    halted = StoppedWhileWaiting()
    with memoryview(bytes(10)) as view:
        body = sender_pool.HaltingBody(view, halted, cap)
        with pytest.raises(sender_pool._Halted):
            body.read(10)
    assert halted.waited > 3000
