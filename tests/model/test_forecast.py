"""What the runs of a replication foretell: rates, the next delta, a cutover's downtime, and whether it converges."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from vmie_tui.model.forecast import BLOCK, BOOT_SECONDS, RECENT, Forecast, forecast
from vmie_tui.model.plan import ImportPlan, VmSource
from vmie_tui.model.replication import (
    Replication,
    ReplicationState,
    ReplicationView,
    Run,
    RunFigures,
    RunState,
    RunType,
    Sync,
    Verify,
)

HOUR, GIB = 3_600.0, 1 << 30
START = 1_790_000_000.0
SPEC = Replication(ImportPlan("p", VmSource("vc", "vm-1", "app-01"), "eu-west-1", ""), START, 12)
FIRST = RunFigures(
    Sync.FIRST, changed=40 * GIB, moved=40 * GIB, total=100 * GIB, seconds=400, overhead=900, frozen=START
)


def delta(hours: float, **change: Any) -> RunFigures:
    """A run of changed blocks, ``hours`` after the first: 3.6 GiB changed, of which 7.2 GiB of blocks are moved."""
    figures = RunFigures(
        Sync.CHANGED,
        changed=round(3.6 * GIB),
        moved=round(7.2 * GIB),
        total=100 * GIB,
        seconds=72,
        overhead=600,
        frozen=START + hours * HOUR,
    )
    return replace(figures, **change)


def view(*oldest_first: RunFigures, after: float = HOUR, spec: Replication = SPEC, **change: Any) -> ReplicationView:
    """A replication with these completed runs, ``after`` seconds after the last one froze the machine."""
    runs = tuple(
        Run(f"r{number}", "j", RunType.AUTOMATIC, RunState.COMPLETED, figures.frozen, figures=figures)
        for number, figures in enumerate(oldest_first)
    )
    now = max((figures.frozen for figures in oldest_first), default=START) + after
    return ReplicationView("j", spec, ReplicationState.ACTIVE, START, now, runs=runs[::-1], **change)


def words(found: Forecast) -> str:
    return "\n".join(found.words)


def test_before_the_first_run_nothing_is_known() -> None:
    found = forecast(view())
    assert found == Forecast(words=found.words) and "No run is complete yet" in words(found)


def test_runs_that_failed_or_are_at_work_do_not_count() -> None:
    shown = view(FIRST)
    shown = replace(
        shown,
        runs=tuple(replace(shown.runs[0], state=state) for state in RunState if state is not RunState.COMPLETED),
    )
    assert "No run is complete yet" in words(forecast(shown))
    assert "No run is complete yet" in words(forecast(replace(shown, runs=(replace(shown.runs[0], figures=None),))))


def test_after_the_first_run_only_the_copying_is_known() -> None:
    found = forecast(view(FIRST))
    assert found.throughput == pytest.approx(40 * GIB / 400) and found.overhead_seconds == 900
    assert (found.rate, found.delta_bytes, found.delta_seconds, found.downtime_seconds) == (None, None, None, None)
    assert found.converges is None and found.interval_hint == "" and "Too few runs" in words(found)


def test_from_the_second_run_on_a_cutover_is_foretold() -> None:
    """An hour brings 7.2 GiB of blocks in the hour before; half an hour after the last run, half of that is to move."""
    found = forecast(view(FIRST, delta(1), after=HOUR / 2))
    assert found.rate == pytest.approx(3.6 * GIB / HOUR, rel=1e-6), "what changed, not what was moved"
    assert found.throughput == pytest.approx(47.2 * GIB / 472, rel=1e-6)
    assert found.delta_bytes == pytest.approx(3.6 * GIB, rel=1e-6), "in whole blocks, twice what changed"
    assert found.delta_seconds == pytest.approx(36, rel=1e-3)
    assert found.overhead_seconds == 600, "that of a delta, not of the first copy"
    assert found.downtime_seconds == pytest.approx(36 + 600 + BOOT_SECONDS, rel=1e-3)
    assert found.converges is True
    said = words(found)
    for part in ("on average (1 run)", "13 min", "36 s of copying", "10 min for snapshots", "3 min assumed"):
        assert part in said, part


def test_rates_are_over_the_time_between_frozen_moments() -> None:
    """Runs that failed or were missed between two others make the time longer, not the rate higher."""
    steady = forecast(view(FIRST, delta(1), delta(2), delta(3)))
    gap = forecast(view(FIRST, delta(1), delta(4, changed=round(10.8 * GIB), moved=round(21.6 * GIB))))
    assert steady.rate == pytest.approx(gap.rate or 0, rel=1e-6)
    assert "(3 runs)" in words(steady)


def test_the_order_in_which_runs_are_listed_does_not_matter() -> None:
    shown = view(FIRST, delta(1), delta(3, moved=GIB), delta(4))
    assert forecast(shown) == forecast(replace(shown, runs=shown.runs[::-1]))


def test_a_full_resync_says_nothing_of_what_changes_but_counts_as_a_copy() -> None:
    resync = delta(2, sync=Sync.FULL, changed=40 * GIB, moved=40 * GIB, seconds=400)
    found = forecast(view(FIRST, delta(1), resync, delta(3)))
    assert found.rate == pytest.approx(3.6 * GIB / HOUR, rel=1e-6)
    assert found.throughput == pytest.approx((80 + 14.4) * GIB / 944, rel=1e-6)


def test_a_checksum_resync_says_what_differed_and_nothing_of_the_speed() -> None:
    """It reads all, and moves what differs: `changed` is what it compared, and its seconds are of reading."""
    checked = delta(2, sync=Sync.CHECKSUM, changed=100 * GIB, seconds=5000)
    found, plain = forecast(view(FIRST, delta(1), checked)), forecast(view(FIRST, delta(1)))
    assert found.rate == pytest.approx((3.6 + 7.2) * GIB / (2 * HOUR), rel=1e-6)
    assert found.throughput == plain.throughput


def test_old_runs_are_forgotten() -> None:
    busy = [delta(hour, changed=50 * GIB, moved=50 * GIB, overhead=5000) for hour in range(1, 20)]
    calm = [delta(20 + hour) for hour in range(RECENT + 1)]
    found = forecast(view(FIRST, *busy, *calm))
    assert found.rate == pytest.approx(3.6 * GIB / HOUR, rel=1e-6) and found.overhead_seconds == 600


@pytest.mark.parametrize(("share", "converges"), [(0.99, True), (1.0, False), (1.01, False), (50.0, False)])
def test_it_converges_when_copying_is_faster_than_changing(share: float, converges: bool) -> None:
    moved = 100 * GIB
    seconds = HOUR * share
    full = replace(FIRST, moved=moved, seconds=seconds, total=4000 * GIB)
    found = forecast(view(full, delta(1, changed=moved, moved=moved, seconds=seconds, total=4000 * GIB)))
    assert found.converges is converges
    assert ("will not converge" in words(found)) is not converges
    if not converges:
        assert "stop what writes" in words(found) and "less." not in words(found)
        assert found.interval_hint == "no interval up to 24 h is long enough for its runs"
        assert found.downtime_seconds is not None, "the machine is off then, and writes no more"


def test_a_guest_that_writes_nothing() -> None:
    found = forecast(view(FIRST, delta(1, changed=0, moved=0, seconds=0)))
    assert (found.rate, found.delta_bytes, found.delta_seconds, found.converges) == (0, 0, 0, True)
    assert found.downtime_seconds == 600 + BOOT_SECONDS


def test_disks_without_content_have_shown_no_speed() -> None:
    empty = replace(FIRST, changed=0, moved=0, seconds=0)
    found = forecast(view(empty, delta(1, changed=0, moved=0, seconds=0)))
    assert found.throughput is None and found.delta_seconds == 0 and found.converges is True
    busy = forecast(view(empty, delta(1, sync=Sync.CHECKSUM)))
    assert busy.throughput is None and busy.delta_seconds is None and busy.converges is None
    assert "how fast a copy is is not known" in words(busy)


def test_a_delta_is_never_more_than_the_disks() -> None:
    found = forecast(view(FIRST, delta(1), after=90 * 24 * HOUR))
    assert found.delta_bytes == 100 * GIB


@pytest.mark.parametrize(
    ("every", "overhead", "seconds", "hint"),
    [
        (12, 600, 72, "every 1 h is the shortest interval its runs fit into"),
        (1, 600, 72, "every 1 h is the shortest interval its runs fit into"),
        (1, 4 * HOUR, 72, "a run does not fit into 1 h: every 5 h is the least"),
        (12, 4 * HOUR, 72, "every 5 h is the shortest interval its runs fit into"),
        (24, 30 * HOUR, 72, "no interval up to 24 h is long enough for its runs"),
    ],
)
def test_the_interval_that_runs_fit_into(every: int, overhead: float, seconds: float, hint: str) -> None:
    slow = replace(FIRST, seconds=400 * seconds / 72)
    shown = view(slow, delta(1, overhead=overhead, seconds=seconds), spec=replace(SPEC, every_hours=every))
    assert forecast(shown).interval_hint == hint


def test_a_one_time_migration_has_no_interval() -> None:
    assert forecast(view(FIRST, delta(1), spec=replace(SPEC, every_hours=0))).interval_hint == ""


# -- runs that were read back


def test_runs_read_back_in_full_do_not_make_the_forecast_longer() -> None:
    """Reading all back takes an hour beside the copy: a cutover with a sample does not wait for it."""
    read = delta(2, overhead=600 + HOUR, verified=200_000)
    assert forecast(view(FIRST, delta(1), read)).overhead_seconds == 600
    everything = forecast(view(replace(FIRST, verified=81_920), read))
    assert everything.overhead_seconds == 600 + HOUR and "with a sample it is less" in words(everything)


def test_a_sample_is_no_full_reading() -> None:
    sampled = delta(1, verified=64)
    found = forecast(view(replace(FIRST, verified=64), sampled))
    assert found.overhead_seconds == 600 and "read back in full" not in words(found)
    many = forecast(view(replace(FIRST, verified=672), delta(1, moved=600 * BLOCK, verified=672)))
    assert "read back in full" not in words(many), "32 blocks of each of 21 disks"
    tiny = forecast(view(replace(FIRST, verified=64), delta(1, moved=10 * BLOCK, verified=10)))
    assert "read back in full" not in words(tiny), "a sample of few blocks is all of them, and takes no time"


def test_a_job_that_verifies_all_is_told_so() -> None:
    said = words(forecast(view(FIRST, delta(1), spec=replace(SPEC, verify=Verify.ALL))))
    assert "choose a sample for the cutover's run" in said


def test_a_run_just_before_a_cutover_makes_it_shorter() -> None:
    assert "A run just before it makes that" in words(forecast(view(FIRST, delta(1), after=100 * HOUR)))
    assert "A run just before it" not in words(forecast(view(FIRST, delta(1), after=60)))


figures = st.builds(
    RunFigures,
    sync=st.sampled_from(Sync),
    changed=st.integers(0, 1 << 44),
    moved=st.integers(0, 1 << 44),
    total=st.integers(0, 1 << 44),
    seconds=st.floats(0, 1e7),
    overhead=st.floats(0, 1e7),
    verified=st.integers(0, 1 << 24),
    frozen=st.floats(0, 4e9),
)


@example([RunFigures(moved=4, seconds=5e-324)], 0.0, 0)
@example([RunFigures(frozen=5e-324), RunFigures(Sync.CHANGED, changed=4, moved=4, frozen=1e-323)], 0.0, 0)
@given(st.lists(figures, max_size=14), st.floats(-1e5, 1e8), st.integers(0, 24))
def test_whatever_was_recorded_gives_figures_that_make_sense(runs: list[RunFigures], after: float, every: int) -> None:
    shown = view(*runs, after=after, spec=replace(SPEC, every_hours=every))
    found = forecast(shown)
    numbers = [found.rate, found.throughput, found.overhead_seconds, found.delta_seconds, found.downtime_seconds]
    assert all(number is None or (number >= 0 and math.isfinite(number)) for number in numbers)
    assert found.words and all(line.endswith(".") for line in found.words)
    assert found.delta_bytes is None or found.rate is not None
    if found.downtime_seconds is not None:
        assert found.downtime_seconds >= (found.delta_seconds or 0) + BOOT_SECONDS
    assert found.to_json()["converges"] is found.converges
    assert forecast(replace(shown, now=shown.now + 10)).rate == found.rate
