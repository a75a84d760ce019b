"""Back-off, token buckets and polls, on a clock that only they move."""

from __future__ import annotations

import itertools

import pytest

from vmie_tui.model.errors import Cancelled, ErrorKind, ServiceError
from vmie_tui.services import pacing
from vmie_tui.services.pacing import AdaptiveBucket, Backoff, Poll, TokenBucket, pause, until_found


class Clock:
    """`time` as `pacing` sees it: sleeping takes no time, and is written down."""

    def __init__(self) -> None:
        self.now, self.slept = 100.0, list[float]()

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(pacing, "time", clock)
    return clock


def test_waits_double_to_an_end_with_jitter_below_them() -> None:
    backoff = Backoff(tries=100, first=15.0, longest=600.0)
    for due in (15, 30, 60, 120, 240, 480, 600, 600):
        assert backoff.fail()
        waits = [backoff.seconds for _ in range(50)]
        assert due * pacing.LEAST_SHARE <= min(waits) < max(waits) <= due
    backoff.failures = 10_000  # of a poll that goes on for weeks
    assert backoff.seconds <= 600


def test_so_many_tries_in_a_row_are_allowed_and_progress_starts_anew() -> None:
    backoff = Backoff(tries=3)
    assert [backoff.fail(), backoff.fail(), backoff.fail()] == [True, True, False]
    backoff.reset()
    assert backoff.fail() and backoff.seconds <= pacing.FIRST_SECONDS


def test_a_bucket_lets_its_rate_through_and_makes_up_for_little() -> None:
    clock = Clock()
    bucket = TokenBucket(2.0, credit=4.5, clock=clock.monotonic)
    waits = [bucket.take() for _ in range(14)]
    assert waits[:10] == [0.0] * 10  # it begins full
    assert waits[10:] == pytest.approx([0.5, 1.0, 1.5, 2.0])
    clock.now += 3600
    assert [bucket.take() for _ in range(11)][-2:] == pytest.approx([0.0, 0.5])
    assert bucket.take(20) == pytest.approx(1.0) and bucket.take() == pytest.approx(11.0)


def test_requests_are_spaced_slowed_down_and_let_go_again() -> None:
    clock = Clock()
    bucket = AdaptiveBucket(100.0, clock=clock.monotonic)
    assert [round(bucket.take(), 3) for _ in range(4)] == [0.0, 0.01, 0.02, 0.03]
    clock.now += 10.0
    assert bucket.take() == 0.0
    for _ in range(64):  # as many threads hear it at once
        bucket.throttled()
    assert bucket.rate == 50.0
    for _ in range(20):
        clock.now += 1.0
        bucket.throttled()
    assert bucket.rate == bucket.SLOWEST
    seconds = 0.0
    while bucket.rate < 100.0:  # back to the most within a minute, at the rate it has
        seconds += 1.0 / bucket.rate
        bucket.went_well()
    assert 10.0 < seconds < 60.0
    assert bucket.rate == 100.0


def test_a_poll_looks_at_once_then_ever_less_often_and_a_last_time_at_the_end(clock: Clock) -> None:
    looks = [clock.now - 100.0 for _ in Poll(1.0, 3.0, growth=2.0, seconds=10.0)]
    assert looks == pytest.approx([0.0, 1.0, 3.0, 6.0, 9.0, 10.0])


def test_a_poll_without_time_looks_once(clock: Clock) -> None:
    assert len(list(Poll(1.0, seconds=0.0))) == 1 and not clock.slept


def test_a_poll_that_saw_a_change_looks_soon_again() -> None:
    waited: list[float] = []
    poll = Poll(1.0, 8.0, growth=2.0, wait=waited.append)
    for _ in range(3):
        assert poll.wait()
    poll.interval = 1.0
    for _ in range(5):
        assert poll.wait()
    assert waited == [1.0, 2.0, 4.0, 1.0, 2.0, 4.0, 8.0, 8.0]
    steady = list[float]()
    for _ in itertools.islice(Poll(5.0, wait=steady.append), 4):
        pass
    assert steady == [5.0] * 3


def test_who_waits_is_asked_every_half_second_whether_to_go_on(clock: Clock) -> None:
    asked: list[float] = []

    def check() -> None:
        asked.append(clock.now)
        if clock.now >= 102.0:
            raise Cancelled

    pause(1.2, check)
    assert asked == pytest.approx([100.0, 100.5, 101.0, 101.2])
    looks = 0
    with pytest.raises(Cancelled):
        for _ in Poll(60.0, check=check):
            looks += 1
    assert looks == 1 and clock.now == pytest.approx(102.2)


def test_what_was_just_made_may_not_be_found_yet(clock: Clock) -> None:
    gone = ServiceError(ErrorKind.NOT_FOUND, "the volume does not exist")
    answers: list[ServiceError | str] = [gone, gone, "vol-1"]

    def read() -> str:
        if isinstance(answer := answers.pop(0), ServiceError):
            raise answer
        return answer

    assert until_found(read) == "vol-1"
    answers[:] = [gone, ServiceError(ErrorKind.PERMISSION, "denied"), "vol-1"]
    with pytest.raises(ServiceError, match="denied"):
        until_found(read)
    before = clock.now
    answers[:] = [gone] * 100
    with pytest.raises(ServiceError, match="does not exist"):
        until_found(read)
    assert clock.now - before == pytest.approx(pacing.FOUND_SECONDS)
