"""When a replication runs: every due time is run or missed once, days, on-demand runs, what a user may type."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vmie_tui.model import facts
from vmie_tui.model.errors import ErrorKind, ServiceError
from vmie_tui.model.plan import ImportPlan, VmSource
from vmie_tui.model.replication import Replication, Run, RunState, RunType
from vmie_tui.model.rules.replication_schedule import (
    DAY,
    GRACE,
    HOUR,
    Due,
    age,
    due,
    latest_start,
    missed_reason,
    next_after,
    parse_start,
    refuse_on_demand,
    skip_reason,
    to_remove,
)

NOW = datetime(2026, 9, 21, 14, 13, 20, tzinfo=UTC).timestamp()
PLAN = ImportPlan("p", VmSource("vc", "vm-1", "app-01"), "eu-west-1", "")
moments = st.floats(0, 4e9, allow_nan=False)
hours = st.integers(1, 24)


def job(every: int = 12) -> Replication:
    return Replication(PLAN, NOW, every)


@pytest.fixture
def berlin(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A machine whose clocks are set forward on 2026-03-29 at 2:00, and back on 2026-10-25 at 3:00."""
    monkeypatch.setenv("TZ", "CET-1CEST,M3.5.0,M10.5.0/3")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


# -- the schedule


@given(moments, hours, moments)
def test_the_next_time_is_the_first_of_the_grid_that_is_later(start: float, every: int, after: float) -> None:
    step = every * HOUR
    found = next_after(start, every, after)
    number = round((found - start) / step)
    assert found > after and found >= start and math.isclose(found, start + number * step, abs_tol=1e-3)
    assert found == start or found - step <= after + 1e-3


@pytest.mark.parametrize("every", [0, -1])
def test_a_one_time_migration_has_no_next_time(every: int) -> None:
    with pytest.raises(ValueError, match="no interval"):
        next_after(NOW, every, NOW)


@given(moments, hours, st.lists(st.floats(0.1, 9 * DAY), min_size=1, max_size=12), st.booleans())
def test_every_due_time_is_run_or_missed_exactly_once(
    start: float, every: int, pauses: list[float], first: bool
) -> None:
    """Whoever looks at the schedule, at whatever moments: nothing is lost, and nothing comes twice."""
    spec, next_run, now, handled, runs = job(every), start, start - 5.0, [], []
    for pause in pauses:
        now += pause
        found = due(spec, next_run, now, first=first and not runs)
        handled += found.missed
        if found.run is not None:
            handled.append(found.run)
            runs.append((found.run, now, found.late))
        assert found.next is not None and found.next > now
        next_run = found.next
    expected = [] if now < start else [start + number * every * HOUR for number in range(len(handled))]
    assert sorted(handled) == pytest.approx(expected, abs=1e-3)
    assert next_run == pytest.approx(start + len(handled) * every * HOUR, abs=1e-3)
    for number, (at, started, late) in enumerate(runs):
        assert started >= at and late == (started - at > GRACE)
        assert not late or (first and number == 0), "only the first may start late"


@given(moments, hours, st.floats(0, 90 * DAY))
def test_the_newest_due_time_runs_unless_it_is_long_past(start: float, every: int, passed: float) -> None:
    now = start + passed
    found = due(job(every), start, now, first=False)
    newest = max((*found.missed, *(() if found.run is None else (found.run,))))
    assert newest <= now < newest + every * HOUR + 1e-3
    assert (found.run is not None) == (now - newest <= GRACE)
    assert list(found.missed) == sorted(found.missed) and (found.run is None or newest == found.run)


@pytest.mark.parametrize(("late", "starts"), [(GRACE, True), (GRACE + 1, False)])
def test_the_grace_is_over_when_it_is_passed(late: float, starts: bool) -> None:
    found = due(job(12), 1000.0, 1000.0 + late, first=False)
    assert (found.run, found.missed) == ((1000.0, ()) if starts else (None, (1000.0,)))


@given(moments, hours, st.floats(0, 90 * DAY))
def test_a_first_run_is_never_missed(start: float, every: int, passed: float) -> None:
    found = due(job(every), start, start + passed, first=True)
    assert found.run == start and start not in found.missed and found.late == (start + passed - start > GRACE)
    once = due(job(0), start, start + passed, first=True)
    assert once == Due(start, (), None, found.late)


def test_nothing_is_due_before_its_time() -> None:
    assert due(job(), NOW, NOW - 0.5, first=True) == Due(None, next=NOW)
    assert due(job(0), NOW, NOW - 0.5, first=True) == Due(None, next=NOW)


def test_a_12_hour_job_for_90_days_has_180_runs() -> None:
    at, runs = NOW, []
    while at < NOW + 90 * DAY:
        found = due(job(), at, at + 1, first=not runs)
        assert found.run is not None and found.next is not None and not found.missed
        runs.append(found.run)
        at = found.next
    assert len(runs) == 180 and runs[-1] == NOW + 179 * 12 * HOUR


def test_a_changed_time_of_the_next_run_moves_those_after_it() -> None:
    moved = NOW + 5 * HOUR + 30 * 60
    assert due(job(), moved, moved + 60, first=False).next == moved + 12 * HOUR


@pytest.mark.usefixtures("berlin")
def test_summer_time_neither_adds_nor_drops_a_run() -> None:
    """Every 7 hours has no form in wall clock times: the runs move through the day, and by an hour at the change."""
    at = parse_start("2026-03-28T15:30", datetime(2026, 3, 20, tzinfo=UTC).timestamp())
    times = [at]
    for _ in range(5):
        found = due(job(7), times[-1], times[-1], first=False)
        assert found.next is not None
        times.append(found.next)
    assert {later - earlier for earlier, later in pairwise(times)} == {7 * HOUR}
    local = [f"{datetime.fromtimestamp(at, UTC).astimezone():%d %H:%M}" for at in times]
    assert local == ["28 15:30", "28 22:30", "29 06:30", "29 13:30", "29 20:30", "30 03:30"]


def test_words_of_runs_that_did_not_start() -> None:
    assert missed_reason(NOW - 3 * HOUR, NOW) == "nothing was at work to start it when it was due (3 h ago)"
    active = Run("sms-run-1", "sms-job-1", RunType.ON_DEMAND, RunState.ACTIVE, NOW, job_id="j")
    assert skip_reason(active).startswith("skipped: an on-demand run, sms-run-1,")
    assert "the run before it" in skip_reason(Run("r", "j", RunType.AUTOMATIC, RunState.ACTIVE, NOW))


# -- days


@given(moments, st.integers(0, 400), st.floats(0, 600 * DAY))
def test_the_days_of_a_vm(first: float, extended: int, passed: float) -> None:
    found = age(first, extended, first + passed)
    assert found.days == 90 + extended and found.ends == first + found.days * DAY
    assert found.over == (first + passed >= found.ends)
    assert found.day >= 1 and (found.over == (found.day > found.days) or abs(passed - found.days * DAY) < 1)
    left = found.left(first + passed)
    assert left is not None and (left > 0) == (not found.over)


def test_the_days_begin_with_the_first_run() -> None:
    found = age(None, 0, NOW)
    assert (found.day, found.days, found.ends, found.over, found.left(NOW)) == (0, 90, None, False, None)
    assert age(NOW, 0, NOW).day == 1 and age(NOW, 0, NOW + DAY).day == 2
    assert age(NOW, 0, NOW + 90 * DAY).over and not age(NOW, 0, NOW + 90 * DAY - 1).over
    assert not age(NOW, 1, NOW + 90 * DAY).over, "the extension was asked for"


# -- on demand


def test_two_runs_on_demand_in_any_24_hours() -> None:
    assert refuse_on_demand([], NOW, None) is None
    assert refuse_on_demand([NOW - HOUR], NOW, None) is None
    refused = refuse_on_demand([NOW - HOUR, NOW - 23 * HOUR], NOW, None)
    assert refused is not None and refused.kind is ErrorKind.REFUSED and refused.code == "F445"
    assert "in 1 h" in refused.remedy, "the older of the two is a day old then"
    assert refuse_on_demand([NOW - HOUR, NOW - DAY], NOW, None) is None, "the window slides"


@given(st.lists(st.floats(0, 3 * DAY), max_size=30))
def test_no_window_of_24_hours_ever_has_three(pauses: list[float]) -> None:
    """A user who asks at any moments is let in twice a day, and at the moment the refusal named."""
    now, started = NOW, []
    for pause in pauses:
        now += pause
        refused = refuse_on_demand(started, now, None)
        if refused is None:
            started.append(now)
        else:
            assert len([at for at in started if now - DAY < at]) == 2
            assert refuse_on_demand(started, started[-2] + DAY, None) is None
    for at in started:
        assert len([other for other in started if at - DAY < other <= at]) <= 2


@pytest.mark.parametrize(("job_id", "words"), [("j", "is in progress"), ("", "is waiting for its turn")])
def test_no_run_beside_another(job_id: str, words: str) -> None:
    active = Run("sms-run-1", "sms-job-1", RunType.AUTOMATIC, RunState.ACTIVE, NOW, job_id=job_id)
    refused = refuse_on_demand([], NOW, active)
    assert refused is not None and refused.kind is ErrorKind.CONFLICT and refused.code == "F446"
    assert words in refused.what and refused.retry_safe


# -- retention


@given(st.lists(st.integers(), unique=True), st.integers(-3, 40))
def test_the_newest_stay(images: list[int], keep: int) -> None:
    removed = to_remove(images, keep)
    assert tuple(images[: len(images) - len(removed)]) + removed == tuple(images)
    assert len(removed) == (max(0, len(images) - keep) if keep > 0 else 0)


# -- what is typed


@pytest.mark.parametrize(
    ("text", "ahead"),
    [
        ("now", 0.0),
        (" NOW ", 0.0),
        ("+2h", 2 * HOUR),
        ("+ 30m", 1800.0),
        ("+90s", 90.0),
        ("+1.5d", 1.5 * DAY),
        ("+30d", 30 * DAY),
        (f"{NOW + 100:.0f}", 100.0),
        (f"{NOW + 100.5}", 100.5),
        ("2026-09-21T15:30Z", 4600.0),
        ("2026-09-21T17:30:00+02:00", 4600.0),
        ("2026-09-21T16:13:20+02:00", 0.0),
        ("2026-09-21T14:13Z", 0.0),  # the minute that is now
    ],
)
def test_a_start_as_it_is_typed(text: str, ahead: float) -> None:
    assert parse_start(text, NOW) - NOW == pytest.approx(ahead, abs=1e-3)


@pytest.mark.usefixtures("berlin")
def test_a_time_without_a_zone_is_of_this_machine() -> None:
    assert parse_start("2026-09-21T17:30", NOW) - NOW == 4600
    assert parse_start("2026-09-21 17:30", NOW) - NOW == 4600
    midnight = datetime(2026, 10, 1, tzinfo=UTC).timestamp() - 2 * HOUR
    assert parse_start("2026-10-01", NOW) == parse_start("20261001", NOW) == midnight


@pytest.mark.usefixtures("berlin")
def test_an_hour_that_the_clocks_leave_out_is_refused() -> None:
    now = datetime(2026, 3, 20, tzinfo=UTC).timestamp()
    with pytest.raises(ServiceError, match="does not exist here") as caught:
        parse_start("2026-03-29T02:30", now)
    assert caught.value.kind is ErrorKind.INVALID
    assert parse_start("2026-03-29T03:30", now) == datetime(2026, 3, 29, 1, 30, tzinfo=UTC).timestamp()
    twice = datetime(2026, 10, 20, tzinfo=UTC).timestamp()
    first = datetime(2026, 10, 25, 0, 30, tzinfo=UTC).timestamp()
    assert parse_start("2026-10-25T02:30", twice) == first, "an hour that comes twice: the first of them"


@pytest.mark.parametrize(
    "text",
    ["", "soon", "+", "+h", "+2", "+2y", "-5h", "2h", "nan", "inf", "+infd", "1e9", "0001-01-01", "2026-13-01", "٣٤٥"],
)
def test_what_is_no_time_is_answered_with_what_to_type(text: str) -> None:
    with pytest.raises(ServiceError, match="is no time") as caught:
        parse_start(text, NOW)
    assert caught.value.kind is ErrorKind.INVALID and "Type now, +2h" in caught.value.problem.remedy


def test_the_past_and_what_is_too_far_ahead_are_refused() -> None:
    for text in (f"{NOW - 61:.0f}", "2026-09-21T14:11Z", "0", "2020-01-01"):
        with pytest.raises(ServiceError, match="lies in the past"):
            parse_start(text, NOW)
    most = facts.limit("sms", "schedule_ahead_max_days")["value"]
    assert latest_start(NOW) == NOW + most * DAY
    for text in (
        f"{NOW + most * DAY + 1:.0f}",
        "+31d",
        "9999-12-31",
        "9999-12-31T23:59:59",
        "9999-12-31T23:59Z",
        "1790000000000",
        "+99999999999999999999d",
    ):
        with pytest.raises(ServiceError, match=f"more than {most} days ahead") as caught:
            parse_start(text, NOW)
        assert caught.value.problem.code == "F433" and "is the latest" in caught.value.problem.remedy


@given(st.text(max_size=30))
def test_whatever_is_typed_is_a_start_or_a_refusal(text: str) -> None:
    try:
        at = parse_start(text, NOW)
    except ServiceError as error:
        assert error.kind is ErrorKind.INVALID and error.problem.remedy
    else:
        assert NOW <= at <= latest_start(NOW)


@given(st.floats(0, 30 * DAY - 1), st.integers(-12, 14))
def test_iso_times_of_every_zone_are_read_back(ahead: float, offset: int) -> None:
    at = datetime.fromtimestamp(NOW + ahead, UTC)
    text = (at + timedelta(hours=offset)).replace(tzinfo=None).isoformat() + f"{offset:+03}:00"
    assert parse_start(text, NOW) == pytest.approx(NOW + ahead, abs=1e-3)
