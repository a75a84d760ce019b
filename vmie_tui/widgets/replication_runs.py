"""The runs of a replication as a table, and one of them in words with what is known of its replication."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import ClassVar

from vmie_tui.model.formatting import minutes, one_line, plural
from vmie_tui.model.job import JobView
from vmie_tui.model.replication import (
    ReplicationState,
    ReplicationView,
    Run,
    RunState,
    Sync,
    changed_words,
    day_words,
    every_words,
    message_of,
    moved_words,
    next_words,
    stamp,
    state_words,
    type_words,
    until,
)
from vmie_tui.widgets.machine_detail import heading, indented
from vmie_tui.widgets.problem import problem_lines
from vmie_tui.widgets.replications import SYNCS, nearly_over, run_glyph, run_words
from vmie_tui.widgets.table import Column, LineTable
from vmie_tui.widgets.text import Cell, Line, fit, join, paragraph, percent, rate, remaining, size

LABEL_CELLS = 10


@dataclass(frozen=True, slots=True)
class RunRow:
    """A run, and the job that carries it out as far as it is known here."""

    run: Run
    job: JobView | None = None


class RunTable(LineTable[RunRow]):
    """Newest first. What did not come to an end says why in place of what it moved."""

    COLUMNS: ClassVar[tuple[Column, ...]] = (
        Column("state", "", 1),
        Column("time", "Time", 12),
        Column("type", "Type", 9),
        Column("sync", "How", 8),
        Column("moved", "Changed", 18),
        Column("took", "Took", 6, "right"),
        Column("image", "AMI", 18, grows=1),
    )

    def key_of(self, row: RunRow) -> str:
        return row.run.id

    def cell(self, row: RunRow, column: str) -> Cell:
        run, figures = row.run, row.run.figures
        cells: dict[str, Cell] = {
            "state": run_glyph(run, row.job),
            "time": (short_time(run.scheduled if run.started is None else run.started), ""),
            "type": (type_words(run), ""),
            "sync": (SYNCS[figures.sync] if figures else "", ""),
            "moved": (f"{size(figures.changed)} of {size(figures.total)}" if figures else "", ""),
            "took": (took(run), ""),
            "image": (f"{run.image_id} removed" if run.image_gone else run.image_id, "dim" if run.image_gone else "ok"),
        }
        return cells[column]

    def merged(self, row: RunRow) -> tuple[str, Cell] | None:
        run = row.run
        if run.state is RunState.COMPLETED:
            return None
        style = run_glyph(run, row.job)[1]
        if run.state is not RunState.ACTIVE:
            return "sync", (run_words(run, row.job), style)
        return "sync", (join([active_words(run, row.job), message_of(run)], "  "), style)


def active_words(run: Run, job: JobView | None) -> str:
    """``delta 1.2 GiB of 200 GiB  61%  112 MiB/s  ~3 min``."""
    figures = run.figures
    if figures is None or run.fraction is None:
        return run_words(run, job)
    moves = f"{SYNCS[figures.sync]} {size(figures.changed)} of {size(figures.total)}"
    left = remaining(run.eta_seconds) if run.eta_seconds is not None else ""
    return join([moves, percent(run.fraction), rate(run.rate) if run.rate >= 1 else "", left], "  ")


def short_time(at: float) -> str:
    """``04 Mar 10:41`` in the user's zone."""
    try:
        return f"{datetime.fromtimestamp(at, UTC).astimezone():%d %b %H:%M}"
    except (OverflowError, OSError, ValueError):
        return ""


def took(run: Run) -> str:
    """From its start to its end."""
    return minutes(run.completed - run.started) if run.completed and run.started is not None else ""


def run_rows(view: ReplicationView, jobs: Sequence[JobView]) -> tuple[RunRow, ...]:
    own = {run.job_id for run in view.runs}
    by_id = {job.id: job for job in jobs if job.id in own}
    return tuple(RunRow(run, by_id.get(run.job_id)) for run in view.runs)


def replication_lines(
    view: ReplicationView | None, row: RunRow | None, forecast: Sequence[str], cells: int
) -> list[Line]:
    """The run in view and why it went as it did, then what is to come, then what was decided."""
    if view is None:
        return []
    lines = [heading(f"run {row.run.id}" if row is not None else view.name, cells)]
    cells -= 1
    if view.message:
        style = "bad" if view.state in {ReplicationState.FAILED, ReplicationState.PAUSED_ON_FAILURE} else "warn"
        lines += _labelled("Note", one_line(view.message), cells, style)
    lines += _trouble(row, cells) if row is not None else []
    lines += _labelled("Next run", next_line(view), cells)
    lines += _run(row.run, cells) if row is not None else []
    for number, words in enumerate(forecast):
        lines += _labelled("" if number else "Forecast", words, cells)
    lines += _labelled("Days", days_line(view), cells, "warn" if nearly_over(view) else "")
    return indented(lines + _decided(view, cells))


def _trouble(row: RunRow, cells: int) -> list[Line]:
    """Why it did not come to its end, before all else."""
    run, job = row.run, row.job
    if job is not None and job.problem is not None and run.state is not RunState.COMPLETED:
        return problem_lines(job.problem, cells, retry="enter shows its job, where r tries it again.")
    if not run.message or run.state is RunState.COMPLETED:
        return []
    glyph, style = run_glyph(run, job)
    words = message_of(run) if run.state is RunState.ACTIVE else run_words(run, job)
    return paragraph(words, cells, style, ((f"{glyph} ", style),))


def _run(run: Run, cells: int) -> list[Line]:
    """What it copied, when the machine was frozen for it, what it made."""
    lines: list[Line] = []
    figures = run.figures
    when = join([type_words(run), f"due {stamp(run.scheduled)}", f"job {run.job_id}" if run.job_id else ""])
    if figures is not None:
        why = one_line(figures.reason) if figures.sync is not Sync.FIRST else ""
        kind = f"{figures.sync.value}, since {why}" if why else figures.sync.value
        moved = f"moved {moved_words(run)}" if moved_words(run) else ""
        lines += _labelled("Copied", join([kind, changed_words(run), moved]), cells)
        quiet = {True: "quiesced", False: "not quiesced", None: ""}[figures.quiesced]
        frozen = stamp(figures.frozen) if figures.frozen else ""
        checked = f"{plural(figures.verified, 'block')} read back, all equal" if figures.verified else ""
        lines += _labelled("Frozen", join([frozen, quiet, checked or "nothing read back"]), cells)
    if run.image_id:
        gone = "deregistered: newer ones are kept" if run.image_gone else ""
        lines += _labelled("AMI", join([run.image_id, gone]), cells, "dim" if run.image_gone else "ok")
    lines += _labelled("Instance", run.instance_id, cells)
    if run.state is RunState.COMPLETED and (not run.image_id or run.image_id not in run.message):
        lines += _labelled("Note", message_of(run), cells)
    return lines + _labelled("Run", when, cells, "dim")


def next_line(view: ReplicationView) -> str:
    """When, absolute and from now, and how often; or why there is none."""
    on = "p goes on with the schedule"
    stopped = view.paused or view.state is ReplicationState.PAUSED_ON_FAILURE
    if view.next_run is None or not view.state.counts:
        return join([f"none: {state_words(view)}", on if stopped and view.state.counts else ""])
    often = "one time" if view.spec.once else f"every {every_words(view.spec)}"
    if stopped:
        return join([f"paused; {stamp(view.next_run)} would be the next", often, on])
    return join([stamp(view.next_run), next_words(view), often])


def days_line(view: ReplicationView) -> str:
    """``day 12/90 · over 2026-05-22 10:41 +0000, in 79 d``."""
    if view.first is None or view.ends is None:
        return f"{view.days} from the first run on" if view.days else ""
    extended = f"{view.extended_days} of them asked for" if view.extended_days else ""
    over = "over since" if view.ends <= view.now else "over on"
    more = "x extends them" if nearly_over(view) else ""
    ends = f"{over} {stamp(view.ends)}, {until(view.ends, view.now)}"
    return join([f"day {day_words(view)}", extended, ends, more])


def _decided(view: ReplicationView, cells: int) -> list[Line]:
    spec, plan = view.spec, view.spec.plan
    keeps = f"keeps the newest {plural(spec.keep, 'AMI')}" if spec.keep else "keeps all AMIs"
    licence = f"licence {plan.license_type.value}" if plan.license_type else "licence as AWS finds"
    reads = f"reads back: {spec.verify.value}"
    lock = "encrypted" if plan.encrypted else ""
    group = f"group {one_line(spec.group)}, place {spec.order}" if spec.group else ""
    words = join([plan.region, plan.route.value, licence, keeps, reads, lock, group])
    return _labelled("Decided", words, cells, "dim") + _labelled("Id", view.id, cells, "dim")


def _labelled(label: str, text: str, cells: int, style: str = "") -> list[Line]:
    return paragraph(text, cells, style, ((fit(label, LABEL_CELLS), "dim"),)) if text else []
