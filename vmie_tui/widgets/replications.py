"""The table of replications: state, next and last run, AMIs kept, day of its days."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from vmie_tui.model.formatting import plural
from vmie_tui.model.job import JobView
from vmie_tui.model.replication import (
    Catalogue,
    CatalogueStatus,
    ReplicationState,
    ReplicationView,
    Run,
    RunFigures,
    RunState,
    Sync,
    day_words,
    every_words,
    kept_words,
    message_of,
    next_words,
    outcome_words,
    state_words,
)
from vmie_tui.model.task import JobState
from vmie_tui.widgets.jobs import STATES
from vmie_tui.widgets.table import Column, LineTable
from vmie_tui.widgets.text import Cell, clean, has_words, join, percent, size

SYNCS = {Sync.FIRST: "first", Sync.CHANGED: "delta", Sync.FULL: "resync", Sync.CHECKSUM: "checksum"}
RUNS: dict[RunState, tuple[str, str]] = {
    RunState.PENDING: ("○", "dim"),
    RunState.MISSED: ("▲", "warn"),
    RunState.ACTIVE: ("▶", "busy"),
    RunState.FAILED: ("✖", "bad"),
    RunState.COMPLETED: ("✔", "ok"),
    RunState.DELETING: ("■", "warn"),
    RunState.DELETED: ("■", "dim"),
}
STATE_GLYPHS: dict[ReplicationState, tuple[str, str]] = {
    ReplicationState.FAILED: ("✖", "bad"),
    ReplicationState.PAUSED_ON_FAILURE: ("✖", "bad"),
    ReplicationState.COMPLETED: ("✔", "ok"),
    ReplicationState.DELETING: ("■", "warn"),
    ReplicationState.DELETED: ("■", "dim"),
}
LONG = 3  # digits and point of a size beside which the percentage has room
NEAR_DAYS = 14  # ours: so many days before its last one, an extension is offered
STOPPED = frozenset({JobState.PAUSED, JobState.NEEDS_LOGIN})


@dataclass(frozen=True, slots=True)
class ReplicaRow:
    """A replication, its run at work where there is one, and that run's job. See `replica_rows`."""

    view: ReplicationView
    current: Run | None = None  # not asked of the view each time: it looks through all of its runs
    job: JobView | None = None

    @property
    def words(self) -> str:
        """What a filter looks in."""
        view = self.view
        run = row_run(self)
        parts = [view.id, view.name, view.spec.group, every_words(view.spec), state_words(view), next_cell(self)[0]]
        parts += [view.message, run.message if run else "", run.state.value if run else "", *view.images]
        return "\n".join(parts).lower()


def replica_rows(views: Iterable[ReplicationView], jobs: Iterable[JobView]) -> list[ReplicaRow]:
    """Each replication beside the job of its run at work."""
    current = [(view, view.current) for view in views]
    at_work = {run.job_id for _, run in current if run is not None}
    known = {job.id: job for job in jobs if job.id in at_work}
    return [ReplicaRow(view, run, known.get(run.job_id) if run is not None else None) for view, run in current]


def row_run(row: ReplicaRow) -> Run | None:
    """The run at work, or the last one."""
    return row.current or row.view.last


def state_glyph(row: ReplicaRow) -> Cell:
    view = row.view
    ended = STATE_GLYPHS.get(view.state)
    going = view.state not in {ReplicationState.DELETING, ReplicationState.DELETED}
    if going and row.current is not None and row.current.state is not RunState.PENDING:
        return run_glyph(row.current, row.job)
    if view.terminated:
        return "▲", "warn"
    if ended is None and view.paused:
        return "‖", "warn"
    return ended or (RUNS[view.last.state] if view.last is not None else ("○", "dim"))


def run_glyph(run: Run, job: JobView | None) -> Cell:
    """That of the run; of its job, where it stands still and waits for the user."""
    if run.state is RunState.ACTIVE and job is not None and job.state in STOPPED:
        words, style = STATES[job.state]
        return words[0], style
    return RUNS[run.state]


def next_cell(row: ReplicaRow) -> Cell:
    """When the next run is, or why there is none."""
    view = row.view
    words = {
        ReplicationState.DELETING: ("deleting", "warn"),
        ReplicationState.DELETED: ("deleted", "dim"),
        ReplicationState.FAILED: ("failed", "bad"),
        ReplicationState.PAUSED_ON_FAILURE: ("paused: failed", "bad"),
        ReplicationState.COMPLETED: ("days over", "warn") if view.terminated else ("completed", "ok"),
    }
    if view.state in words:
        return words[view.state]
    return ("paused", "warn") if view.paused else (next_words(view), "")


def last_cell(row: ReplicaRow) -> Cell:
    """``✔ 41 MiB in 0:52``, ``▶ delta 1.2 GiB 61%``, ``✖`` with the reason."""
    run = row_run(row)
    if run is None:
        return "no run yet", "dim"
    glyph, style = run_glyph(run, row.job)
    return f"{glyph} {run_words(run, row.job)}", "" if run.state is RunState.COMPLETED else style


def run_words(run: Run, job: JobView | None) -> str:
    """How a run stands, without its glyph; what did not go well says why."""
    if run.state is RunState.ACTIVE:
        if job is not None and job.state in STOPPED:
            return STATES[job.state][0].partition(" ")[2]
        return join([_moves(run.figures), percent(run.fraction)], " ")
    if run.state is RunState.COMPLETED:
        return outcome_words(run)
    if run.state is RunState.PENDING:
        return message_of(run) or "waits for its turn"
    words = {RunState.DELETING: "cancelling", RunState.DELETED: "cancelled"}.get(run.state, run.state.value.lower())
    return join([words, message_of(run)], ": ")


def _moves(figures: RunFigures | None) -> str:
    """``delta 1.2 GiB``, ``first 25 MiB``: short, so that the percentage behind it is not cut off at 80 cells."""
    if figures is None:
        return "running"
    words = SYNCS[figures.sync]
    if figures.sync in {Sync.FULL, Sync.CHECKSUM}:
        return words
    number, _, unit = size(figures.changed).partition(" ")
    return f"{words} {number.partition('.')[0] if len(number) > LONG else number} {unit}"


class ReplicaTable(LineTable[ReplicaRow]):
    COLUMNS: ClassVar[tuple[Column, ...]] = (
        Column("mark", "", 1),
        Column("state", "", 1),
        Column("server", "Server", 12, grows=2),
        Column("words", "State", 17, from_width=125),
        Column("group", "Group", 6, grows=1),
        Column("every", "Every", 5),
        Column("next", "Next run", 14),
        Column("last", "Last run", 19, grows=2),
        Column("kept", "AMIs", 6),
        Column("day", "Day", 6),
        Column("id", "Id", 16, from_width=110),
    )

    def key_of(self, row: ReplicaRow) -> str:
        return row.view.id

    def cell(self, row: ReplicaRow, column: str) -> Cell:
        view = row.view
        return (
            self.CELLS[column](row) if column != "mark" else ("◉", "mark") if view.id in self.marked else ("○", "dim")
        )

    CELLS: ClassVar[dict[str, Callable[[ReplicaRow], Cell]]] = {
        "state": state_glyph,
        "server": lambda row: (clean(row.view.name), ""),
        "words": lambda row: (state_words(row.view), "dim"),
        "group": lambda row: (clean(row.view.spec.group), ""),
        "every": lambda row: (every_words(row.view.spec), ""),
        "next": next_cell,
        "last": last_cell,
        "kept": lambda row: (kept_words(row.view), ""),
        "day": lambda row: (day_words(row.view), "warn" if nearly_over(row.view) else ""),
        "id": lambda row: (row.view.id, "dim"),
    }


def nearly_over(view: ReplicationView) -> bool:
    """Whether its days are over or soon will be, so that an extension is worth a thought."""
    return view.terminated or (view.ends is not None and view.ends - view.now < NEAR_DAYS * 86_400)


_LATE = float("inf")
SORT_KEYS: dict[str, Callable[[ReplicaRow], Any]] = {
    "server": lambda row: row.view.name.casefold(),
    "group": lambda row: (row.view.spec.group.casefold(), row.view.spec.order),
    "every": lambda row: row.view.spec.every_hours,
    "next": lambda row: _LATE if row.view.next_run is None or row.view.paused else row.view.next_run,
    "last": lambda row: row.view.runs[0].scheduled if row.view.runs else 0.0,
    "kept": lambda row: len(row.view.images),
    "day": lambda row: row.view.day,
}


def select(rows: Sequence[ReplicaRow], *, words: str, sort: str, reverse: bool) -> tuple[ReplicaRow, ...]:
    """Those with every word and none after ``!``, sorted; by server within equals."""
    found = [row for row in rows if has_words(row.words, words)] if words.strip() else rows
    ordered = sorted(found, key=SORT_KEYS["server"])
    return tuple(sorted(ordered, key=SORT_KEYS[sort], reverse=reverse))


def counts(rows: Sequence[ReplicaRow]) -> str:
    """``1 running · 2 paused · 6 replications``."""
    running = sum(1 for row in rows if row.current is not None)
    paused = sum(1 for row in rows if row.view.paused or row.view.state is ReplicationState.PAUSED_ON_FAILURE)
    ended = sum(1 for row in rows if not row.view.state.counts)
    parts = ((running, "running"), (paused, "paused"), (ended, "ended"))
    return join([plural(len(rows), "replication"), *(f"{count} {word}" for count, word in parts if count)])


def catalogue_words(catalogue: Catalogue) -> str:
    """``catalogue available, 12 servers``."""
    status = catalogue.status.value.lower().replace("_", " ")
    count = f", {plural(len(catalogue.servers), 'server')}" if catalogue.status is CatalogueStatus.AVAILABLE else ""
    return f"catalogue {status}{count}"
