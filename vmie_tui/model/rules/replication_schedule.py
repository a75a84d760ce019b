"""When a replication runs, and what keeps it from running: intervals, days, on-demand runs, retention (F388 to F447).

Times are seconds since the epoch, so a change to summer time neither adds nor drops a run.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import MAXYEAR, UTC, datetime
from itertools import count, takewhile
from typing import TypeVar

from vmie_tui.model import facts
from vmie_tui.model.errors import ErrorKind, Problem, ServiceError
from vmie_tui.model.replication import Replication, ReplicationView, Run, RunType, stamp, until

T = TypeVar("T")
HOUR, DAY = 3_600.0, 86_400.0
GRACE = 15 * 60.0  # ours: how late a scheduled run may start before it counts as missed
JUST_NOW = 60.0  # how far back a start may lie: the time it takes to type it
_UNITS = {"s": 1.0, "m": 60.0, "h": HOUR, "d": DAY}


# -- the schedule


def next_after(start: float, every_hours: int, after: float) -> float:
    """The first of ``start``, ``start`` + interval, ``start`` + 2 intervals... that is later than ``after``.

    Raises ValueError for an interval that is none: a one-time migration has no next time.
    """
    if every_hours < 1:
        raise ValueError(f"no interval: {every_hours} h")
    step = every_hours * HOUR
    number = max(0, math.floor((after - start) / step))
    while start + number * step <= after:
        number += 1
    return start + number * step


@dataclass(frozen=True, slots=True)
class Due:
    """What a look at the schedule comes to."""

    run: float | None  # due time of the run that starts now; None when none does
    missed: tuple[float, ...] = ()  # due times that nobody started
    next: float | None = None  # the due time to look for then; None after a one-time migration
    late: bool = False  # `run` lies further back than `GRACE`, which only a first or one-time run may


def due(spec: Replication, next_run: float, now: float, *, first: bool) -> Due:
    """What is to be done about ``next_run``: nothing while it is later than ``now``. ``first``: no run was started yet.

    Of a schedule that nobody looked at for long, the newest due time runs if it is not over `GRACE` ago, and those
    before it are missed. A first or one-time run is never missed: it starts late, and those after it are missed.
    """
    if next_run > now:
        return Due(None, next=next_run)
    if spec.once:
        return Due(next_run, late=now - next_run > GRACE)
    step = spec.every_hours * HOUR
    times = tuple(takewhile(lambda at: at <= now, (next_run + number * step for number in count())))
    following = next_after(next_run, spec.every_hours, now)
    if first:
        return Due(times[0], times[1:], following, now - times[0] > GRACE)
    if now - times[-1] <= GRACE:
        return Due(times[-1], times[:-1], following)
    return Due(None, times, following)


def missed_reason(at: float, now: float) -> str:
    """Why a run that was due at ``at`` never started."""
    return f"nothing was at work to start it when it was due ({until(at, now)})"


def skip_reason(active: Run) -> str:
    """Why a scheduled run that falls due while ``active`` is at work is left out (F447)."""
    kind = "an on-demand run" if active.type is RunType.ON_DEMAND else "the run before it"
    return f"skipped: {kind}, {active.id}, was still at work; the next one starts at its own time"


# -- the days of a VM


@dataclass(frozen=True, slots=True)
class Age:
    """How far a VM is in its days of replication."""

    day: int  # from 1; 0 before its first run
    days: int
    ends: float | None  # when they end
    over: bool

    def left(self, now: float) -> float | None:
        """Seconds that are left, 0 at least; None before the first run."""
        return None if self.ends is None else max(0.0, self.ends - now)


def age(first: float | None, extended_days: int, now: float) -> Age:
    """The VM's days since its ``first`` replication, whichever job it was by, and those the user asked for (F389)."""
    days = int(facts.limit("sms", "service_days_per_vm")["value"]) + extended_days
    if first is None:
        return Age(0, days, None, over=False)
    ends = first + days * DAY
    return Age(max(int((now - first) // DAY) + 1, 1), days, ends, now >= ends)


# -- runs that the user asks for


def refuse_on_demand(asked: Sequence[float], now: float, active: Run | None) -> Problem | None:
    """Why no run can be started now; ``asked``: when the job's on-demand runs were (F445, F446). None: it may start."""
    if active is not None:
        return Problem(
            ErrorKind.CONFLICT,
            f"run {active.id} is {'waiting for its turn' if not active.job_id else 'in progress'}",
            remedy="Wait until it is over, or cancel it",
            retry_safe=True,
            code="F446",
        )
    most = on_demand_most()
    recent = sorted(at for at in asked if now - DAY < at)
    if len(recent) < most:
        return None
    free = recent[len(recent) - most] + DAY
    return Problem(
        ErrorKind.REFUSED,
        f"{most} on-demand runs within 24 hours are the most, and {len(recent)} were started",
        remedy=f"The next is possible {until(free, now)}, at {stamp(free)}; scheduled runs go on",
        retry_safe=True,
        code="F445",
    )


def refuse_run(view: ReplicationView, *, cutover: bool = False) -> Problem | None:
    """Why no run beside the schedule may be started now; a ``cutover`` is held up by a run at work alone."""
    asked = [] if cutover else [run.scheduled for run in _on_demand(view)]
    return refuse_on_demand(asked, view.now, view.current)


def on_demand_left(view: ReplicationView) -> int:
    """How many on-demand runs may still be started within 24 hours."""
    return max(0, on_demand_most() - sum(view.now - DAY < run.scheduled for run in _on_demand(view)))


def on_demand_most() -> int:
    """On-demand runs within 24 hours (F445)."""
    return int(facts.limit("sms", "on_demand_runs_per_24h")["value"])


def _on_demand(view: ReplicationView) -> list[Run]:
    """A cutover's run is not limited, nor does it count."""
    return [run for run in view.runs if run.type is RunType.ON_DEMAND and not run.cutover]


def to_remove(images: Sequence[T], keep: int) -> tuple[T, ...]:
    """Of AMIs, the newest first, those beyond the ``keep`` newest; none when all are kept (0) (F436)."""
    return tuple(images[keep:]) if keep > 0 else ()


# -- when it starts


def latest_start(now: float) -> float:
    """The last moment that a replication may start at (F433)."""
    return now + int(facts.limit("sms", "schedule_ahead_max_days")["value"]) * DAY


def parse_start(text: str, now: float) -> float:
    """When the first run starts: ``now``, ``+2h``, Unix seconds, ISO 8601 in this machine's zone unless it names one.

    Never earlier than ``now``. Raises ServiceError (INVALID) for the past, more than 30 days ahead (F433), a time that
    the clocks leave out when summer time begins, and for anything else (F432).
    """
    words = text.strip()
    at = now if words.lower() == "now" else _moment(words, now)
    if at is None or not math.isfinite(at):
        raise _bad("is no time", words or "(empty)")
    if at < now - JUST_NOW:
        raise _bad(f"lies in the past ({stamp(at)})", words, f"It is {stamp(now)}. {_HOW}")
    if at > latest_start(now):
        days = facts.limit("sms", "schedule_ahead_max_days")["value"]
        raise _bad(
            f"is more than {days} days ahead ({stamp(at)})", words, f"{stamp(latest_start(now))} is the latest", "F433"
        )
    return max(at, now)


_HOW = "Type now, +2h, +30m, +1d, a time such as 2026-03-04T15:30 or 2026-03-04T15:30Z, or Unix seconds"


def _bad(what: str, subject: str, remedy: str = _HOW, fact: str = "F432") -> ServiceError:
    return ServiceError(ErrorKind.INVALID, what, subject=subject, remedy=remedy, code=fact)


def _moment(words: str, now: float) -> float | None:
    """Seconds since the epoch; None for what is no time."""
    if words.startswith("+"):
        number, unit = words[1:-1].strip(), words[-1:].lower()
        return now + float(number) * _UNITS[unit] if unit in _UNITS and _is_number(number) else None
    if _is_number(words) and len(words.partition(".")[0]) != len("20260304"):  # eight digits are a day of ISO 8601
        return float(words)
    try:
        return _seconds(datetime.fromisoformat(words), words)
    except (ValueError, OverflowError, OSError):
        return None


def _is_number(words: str) -> bool:
    return words.isascii() and words.replace(".", "", 1).isdigit()


def _seconds(at: datetime, words: str) -> float:
    if at.year == MAXYEAR and at.tzinfo is None:  # the zone cannot be asked for its last days, and does not matter
        at = at.replace(tzinfo=UTC)
    seconds = at.timestamp()
    if at.tzinfo is None and datetime.fromtimestamp(seconds) != at:
        raise _bad("does not exist here: the clocks are set forward over it", words)
    return seconds
