"""What the runs so far say about the next one: how much it will move, how long a cutover keeps the machine off, and
whether the runs keep pace with what the guest writes."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import pairwise
from statistics import median
from typing import Any

from vmie_tui.model import facts
from vmie_tui.model.formatting import duration, size
from vmie_tui.model.formatting import rate as rate_words
from vmie_tui.model.replication import ReplicationView, RunFigures, RunState, Sync, Verify

RECENT = 8  # runs that count: what the guest does changes in the course of months
BOOT_SECONDS = 180.0  # ours, for what nobody has measured: the shutdown of the guest, and the first boot on EC2
BLOCK = 512 << 10  # EBS snapshots are read back by blocks
_MANY = 1024  # blocks read back that are more than a sample of each disk, of however many
_TICK = 0.001  # seconds: less is no time that was measured
_HOUR = 3_600.0
_DELTAS = frozenset({Sync.CHANGED, Sync.CHECKSUM})


@dataclass(frozen=True, slots=True)
class Forecast:
    """What replication will cost; rates in bytes a second, None where no run has shown them yet."""

    rate: float | None = None  # what the guest changes
    throughput: float | None = None  # what a run copies
    overhead_seconds: float | None = None  # of a run, beside the copy
    delta_bytes: int | None = None  # of a run that froze the machine now
    delta_seconds: float | None = None  # of that run
    downtime_seconds: float | None = None  # of a cutover begun now, from shutdown to first boot
    converges: bool | None = None  # copying is faster than changing
    interval_hint: str = ""  # the shortest interval that a run fits into
    words: tuple[str, ...] = ()  # all of it, and what is assumed

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True, slots=True)
class _Seen:
    """What completed runs have shown."""

    last: RunFigures | None
    deltas: int
    rate: float | None  # bytes to move a second of the guest's time, in whole blocks
    changed: float | None
    throughput: float | None
    overhead: float | None
    overhead_read_back: bool


def forecast(view: ReplicationView) -> Forecast:
    """What the completed runs of a replication say about the next one, and about a cutover now."""
    seen = _see([run.figures for run in view.runs if run.state is RunState.COMPLETED and run.figures is not None])
    if seen.last is None:
        return Forecast(words=("No run is complete yet: nothing can be said about a cutover.",))
    elapsed = max(0.0, view.now - seen.last.frozen)
    delta = None if seen.rate is None else min(seen.last.total, round(seen.rate * elapsed))
    seconds = None
    if delta is not None and (seen.throughput or not delta):
        seconds = delta / seen.throughput if seen.throughput else 0.0
    downtime = None if seconds is None or seen.overhead is None else seconds + seen.overhead + BOOT_SECONDS
    converges = None
    if seen.rate is not None and (seen.throughput or not seen.rate):
        converges = not seen.rate or seen.rate < (seen.throughput or 0.0)
    result = Forecast(
        seen.changed,
        seen.throughput,
        seen.overhead,
        delta,
        seconds,
        downtime,
        converges,
        _interval_hint(view, seen, converges),
    )
    return replace(result, words=tuple(_words(view, seen, result, elapsed)))


def _see(newest_first: Sequence[RunFigures]) -> _Seen:
    """What the newest runs have shown, each delta over the time since the run before it froze the machine."""
    recent = sorted(newest_first, key=lambda figures: figures.frozen)[-RECENT - 1 :]
    pairs = [
        (after, after.frozen - before.frozen)
        for before, after in pairwise(recent)
        if after.sync in _DELTAS and before.frozen > 0 and after.frozen - before.frozen >= _TICK
    ]
    span = sum(time for _, time in pairs)
    read = [figures for figures in recent if _all_read_back(figures)]
    plain = [figures for figures in recent if figures not in read] or recent
    deltas = [figures for figures in plain if figures.sync in _DELTAS] or plain
    return _Seen(
        recent[-1] if recent else None,
        len(pairs),
        sum(figures.moved for figures, _ in pairs) / span if span else None,
        sum(_changed(figures) for figures, _ in pairs) / span if span else None,
        _throughput(recent),
        median(figures.overhead for figures in deltas) if deltas else None,
        bool(read) and plain == recent,
    )


def _changed(figures: RunFigures) -> int:
    """A checksum resync compares all that is allocated: what it found to differ is what it moved."""
    return figures.moved if figures.sync is Sync.CHECKSUM else figures.changed


def _throughput(runs: Sequence[RunFigures]) -> float | None:
    """Bytes a second of the copies alone; checksum resyncs read far more than they move, and do not count."""
    copies = [
        figures for figures in runs if figures.sync is not Sync.CHECKSUM and figures.moved and figures.seconds >= _TICK
    ]
    return sum(f.moved for f in copies) / sum(f.seconds for f in copies) if copies else None


def _all_read_back(figures: RunFigures) -> bool:
    """Whether the run was verified in full, which takes its time beside the copy."""
    return figures.verified > _MANY and figures.verified * BLOCK >= min(figures.moved, figures.total // 2)


# -- in words


def _interval_hint(view: ReplicationView, seen: _Seen, converges: bool | None) -> str:
    """The shortest whole hours that a run with what changes in them fits into."""
    if view.spec.once or converges is None or seen.overhead is None:
        return ""
    limits = facts.load("replication")["sms"]["replication_job"]["frequency"]
    share = seen.rate / seen.throughput if seen.rate and seen.throughput else 0.0
    hours = max(int(limits["min_hours"]), math.ceil(seen.overhead / (1 - share) / _HOUR)) if share < 1 else math.inf
    if hours > limits["max_hours"]:
        return f"no interval up to {limits['max_hours']} h is long enough for its runs"
    if view.spec.every_hours < hours:
        return f"a run does not fit into {view.spec.every_hours} h: every {hours:.0f} h is the least"
    return f"every {hours:.0f} h is the shortest interval its runs fit into"


def _words(view: ReplicationView, seen: _Seen, found: Forecast, elapsed: float) -> Iterator[str]:
    if found.rate is None:
        yield "Too few runs: how fast the guest changes is known after the second one."
    else:
        runs = "1 run" if seen.deltas == 1 else f"{seen.deltas} runs"
        much = rate_words(found.rate) if found.rate >= 1 else "next to nothing"
        yield f"The guest changed {much} on average ({runs})."
    if found.throughput is None:
        yield "No run has moved anything yet: how fast a copy is is not known."
    else:
        yield f"Copies went at {rate_words(found.throughput)}."
    if found.converges is False:
        yield (
            f"It will not converge: {rate_words(seen.rate or 0)} change, {rate_words(found.throughput or 0)} are "
            "copied. Cut over when the guest writes less, stop what writes, or give it a faster way: another host or "
            "datastore, fewer jobs at once, a machine nearer to both ends."
        )
    if found.delta_bytes is not None and found.delta_seconds is not None:
        yield (
            f"Now {size(found.delta_bytes)} would be moved, in {duration(found.delta_seconds)}: "
            f"what changed in the {duration(elapsed)} since the last run froze the machine."
        )
    if found.downtime_seconds is not None:
        yield from _downtime(view, seen, found, elapsed)


def _downtime(view: ReplicationView, seen: _Seen, found: Forecast, elapsed: float) -> Iterator[str]:
    overhead, seconds = found.overhead_seconds or 0.0, found.delta_seconds or 0.0
    downtime = found.downtime_seconds or 0.0
    yield (
        f"A cutover now keeps the machine off for about {duration(downtime)}: {duration(seconds)} of copying, "
        f"{duration(overhead)} for snapshots and the AMI as in the runs so far, and "
        f"{duration(BOOT_SECONDS)} assumed for the shutdown and the first boot."
    )
    if seen.overhead_read_back:
        yield "Every run so far was read back in full: with a sample it is less."
    elif view.spec.verify is Verify.ALL:
        yield "Reading everything back comes on top: choose a sample for the cutover's run."
    shorter = seconds * min(1.0, (seconds + overhead) / elapsed) if elapsed else seconds
    if found.converges and seconds - shorter >= max(60.0, 0.1 * downtime):
        yield f"A run just before it makes that {duration(seconds - shorter)} less."
