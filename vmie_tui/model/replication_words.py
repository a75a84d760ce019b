"""A replication in words, the same in the command line and on the screens. Nothing in it is taken as markup."""

from __future__ import annotations

from datetime import UTC, datetime

from vmie_tui.model.formatting import minutes, size
from vmie_tui.model.replication import Replication, ReplicationState, ReplicationView, Run, RunState
from vmie_tui.model.task_report import duration, one_line

NOTHING = "–"


def stamp(at: float) -> str:
    """A moment in the user's zone, with its offset: ``2026-11-21 18:10 +0100``; a dash for what is beyond a date."""
    try:
        return f"{datetime.fromtimestamp(at, UTC).astimezone():%Y-%m-%d %H:%M %z}"
    except (OverflowError, OSError, ValueError):
        return NOTHING


def until(at: float, now: float) -> str:
    """``in 3 h 10 min``, ``now``, ``20 min ago``."""
    if abs(at - now) < 1:
        return "now"
    return f"in {duration(at - now)}" if at > now else f"{duration(now - at)} ago"


def every_words(spec: Replication) -> str:
    """``12 h`` or ``once``."""
    return "once" if spec.once else f"{spec.every_hours} h"


def state_words(view: ReplicationView) -> str:
    """The job's state in the service's word, and what the user or the days made of it."""
    parts = [view.state.value.lower().replace("_", " ")]
    if view.terminated:
        parts.append("days over")
    if view.paused and view.state in {ReplicationState.PENDING, ReplicationState.ACTIVE}:
        parts.append("paused")
    return ", ".join(parts)


def next_words(view: ReplicationView) -> str:
    """When its next run starts: ``in 3 h 10 min``, ``due``; a dash when nothing is scheduled, or it is paused."""
    if view.next_run is None or view.paused or not view.state.counts:
        return NOTHING
    return until(view.next_run, view.now) if view.next_run > view.now else "due"


def moved_words(run: Run) -> str:
    """What a run moved: ``41 MiB in 0:52``; "" before it is known."""
    figures = run.figures
    if figures is None:
        return ""
    took = figures.seconds + figures.overhead
    return f"{size(figures.moved)} in {minutes(took)}" if took >= 1 else size(figures.moved)


def changed_words(run: Run) -> str:
    """``changed 1.2 GiB of 200 GiB``, and how it was found out where that was not by the tracking."""
    figures = run.figures
    if figures is None or not figures.total:
        return ""
    return f"changed {size(figures.changed)} of {size(figures.total)}"


def type_words(run: Run) -> str:
    """``automatic``, ``on demand``, ``cutover``."""
    return "cutover" if run.cutover else run.type.value.lower().replace("_", " ")


def outcome_words(run: Run) -> str:
    """How a run stands, in a few words: what it moved, how far it is, why it did not start."""
    if run.state is RunState.COMPLETED:
        return moved_words(run) or "completed"
    if run.state is RunState.ACTIVE:
        parts = (run.state.value.lower(), "" if run.fraction is None else f"{int(run.fraction * 100)}%")
        return " ".join(part for part in parts if part)
    return run.state.value.lower()


def last_words(view: ReplicationView) -> str:
    """The run at work, or else the last one that is over; a dash before the first."""
    run = view.current or view.last
    return outcome_words(run) if run is not None else NOTHING


def kept_words(view: ReplicationView) -> str:
    """``3 of 5`` AMIs; without a limit their number alone."""
    there = len(view.images)
    return f"{there} of {view.spec.keep}" if view.spec.keep else str(there)


def day_words(view: ReplicationView) -> str:
    """``12/90``; a dash before the VM's first run, for its days begin with it."""
    return NOTHING if view.first is None else f"{view.day}/{view.days}"


def message_of(run: Run) -> str:
    """What the run says, on one line."""
    return one_line(run.message)
