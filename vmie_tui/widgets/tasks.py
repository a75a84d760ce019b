"""The table of AWS tasks, and what happened to one of them in words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import ClassVar

from textual.binding import Binding, BindingType

from vmie_tui.model.explain import Explanation
from vmie_tui.model.formatting import duration, one_line, plural
from vmie_tui.model.task_history import Change, Outcome, PhaseTime, SortBy, TaskRecord
from vmie_tui.model.task_report import facts_of, phase_words, subject_of
from vmie_tui.widgets.explained import brief_explanation, full_explanation
from vmie_tui.widgets.machine_detail import heading, indented
from vmie_tui.widgets.table import Column, LineTable
from vmie_tui.widgets.text import Cell, Line, clean, fit, join, paragraph

OUTCOMES: dict[Outcome, tuple[str, str]] = {
    Outcome.ACTIVE: ("▶ active", "busy"),
    Outcome.COMPLETED: ("✔ completed", "ok"),
    Outcome.FAILED: ("✖ failed", "bad"),
    Outcome.CANCELLED: ("■ cancelled", "dim"),
}
SORTS = {
    "state": SortBy.STATE,
    "kind": SortBy.KIND,
    "id": SortBy.ID,
    "region": SortBy.REGION,
    "age": SortBy.AGE,
}
LABEL_CELLS, WIDE_LABEL = 10, 13


class TaskTable(LineTable[TaskRecord], inherit_bindings=False):
    """Tasks of all kinds. j is the raw JSON here, so only the arrows move."""

    BINDINGS: ClassVar[list[BindingType]] = [
        replace(binding, key="down") if isinstance(binding, Binding) and binding.key == "down,j" else binding
        for binding in LineTable.BINDINGS
    ]
    COLUMNS: ClassVar[tuple[Column, ...]] = (
        Column("state", "State", 12),
        Column("kind", "Kind", 15),
        Column("id", "Task", 14, grows=1),
        Column("region", "Region", 14),
        Column("profile", "Profile", 10, from_width=110),
        Column("age", "Seen", 6, "right"),
        Column("what", "What", 12, grows=1),
    )

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self.now: datetime | None = None  # what ages are counted to; they do not tick

    def key_of(self, row: TaskRecord) -> str:
        return "\n".join(row.key)

    def cell(self, row: TaskRecord, column: str) -> Cell:
        task = row.task
        cells: dict[str, Cell] = {
            "state": _state(row),
            "kind": (task.kind.value, ""),
            "id": (clean(task.id), ""),
            "region": (clean(task.region), ""),
            "profile": (clean(row.profile), "dim"),
            "age": (_age(row, self.now), "dim"),
            "what": _what(row),
        }
        return cells[column]


def _state(record: TaskRecord) -> Cell:
    """``▶ 42%``, ``■ deleting``, ``✖ failed``."""
    task = record.task
    if record.live and task.state in {"deleting", "cancelling"}:
        return f"■ {task.state}", "warn"
    words, style = OUTCOMES[record.outcome]
    percent = f" {task.progress}%" if record.live and task.progress is not None else ""
    return words + percent, style


def _age(record: TaskRecord, now: datetime | None) -> str:
    """How long it is known here: AWS itself tells no time of a task. ``3 h``, ``2 d``."""
    if now is None:
        return ""
    return " ".join(duration((now - record.first_seen).total_seconds()).split()[:2])


def _what(record: TaskRecord) -> Cell:
    """Why, of what runs or failed; what was made, of what is complete."""
    task = record.task
    words = task.reason if task.reason and record.outcome is not Outcome.COMPLETED else subject_of(task)
    return one_line(words), "bad" if record.outcome is Outcome.FAILED else "dim"


def task_lines(
    record: TaskRecord | None,
    phases: Sequence[PhaseTime],
    found: Explanation | None,
    cells: int,
    *,
    whole: bool = False,
) -> list[Line]:
    """What happened to a task: AWS's words, what they mean, what to do, its timeline; ``whole``: all that is known."""
    if record is None:
        return []
    lines = [heading(f"{record.task.kind.value} {record.task.id}", cells)]
    cells -= 1
    lines += _said(record, cells)
    if found is not None:
        lines += full_explanation(found, cells) if whole else brief_explanation(found, cells, "enter: in full")
        lines += [()] if whole else []
    lines += _timeline(record.changes, cells, whole=whole)
    for number, phase in enumerate(phases if whole else phases[-1:]):
        label = fit("" if number else "Phases" if whole else "In phase", LABEL_CELLS)
        lines += paragraph(phase_words(phase), cells, "warn" if phase.slow else "", ((label, "dim"),))
    if not whole:
        lines += _labelled("Object", join([_read_from(record), one_line(record.task.description)]), cells)
        lines += _labelled(
            "Result", subject_of(record.task) if record.outcome is Outcome.COMPLETED else "", cells, "ok"
        )
        lines += _labelled("Where", join([record.task.region, record.profile]), cells, "dim")
        return indented(lines)
    lines.append(())
    for name, value in facts_of(record):
        lines += _labelled(name, value, cells, label_cells=WIDE_LABEL)
    return indented(lines)


def _labelled(label: str, text: str, cells: int, style: str = "", label_cells: int = LABEL_CELLS) -> list[Line]:
    return paragraph(text, cells, style, ((fit(label, label_cells), "dim"),)) if text else []


def _said(record: TaskRecord, cells: int) -> list[Line]:
    task = record.task
    words, style = _state(record)
    gone = " · AWS has forgotten it: this is what was seen" if record.forgotten else ""
    state = f" ({task.state})" if task.state not in {*words.split(), record.outcome.value} else ""
    lines = paragraph(f"{words}{state}{gone}", cells, style, ((fit("State", LABEL_CELLS), "dim"),))
    return lines + _labelled(
        "AWS says", one_line(task.reason), cells, "bad" if record.outcome is Outcome.FAILED else ""
    )


def _read_from(record: TaskRecord) -> str:
    return next((f"s3://{disk.bucket}/{disk.key}" for disk in record.task.disks if disk.key), "")


def _timeline(changes: Sequence[Change], cells: int, *, whole: bool) -> list[Line]:
    """``10:02 active › 10:04 validating 12% › 10:09 deleted``; whole: a line each, with dates."""
    if whole:
        lines: list[Line] = []
        for number, change in enumerate(changes):
            percent = "" if change.progress is None else f"  {change.progress}%"
            phase = f"  {one_line(change.phase)}" if change.phase != change.state else ""
            text = f"{change.at.astimezone():%Y-%m-%d %H:%M:%S}  {change.state}{phase}{percent}"
            lines += paragraph(text, cells, "", ((fit("" if number else "Timeline", LABEL_CELLS), "dim"),))
        return lines
    told: list[str] = []
    before = ""
    for change in changes:
        phase = one_line(change.phase)
        short = change.state if change.state in {"deleted", "cancelled"} else phase
        if short != before:
            told.append(f"{change.at.astimezone():%H:%M} {short}")
        before = short
    return _labelled("Timeline", " › ".join(told), cells)


def count_words(found: int, every: int) -> str:
    """``12 of 41 tasks``."""
    return f"{found:,} of {plural(every, 'task')}" if found != every else plural(every, "task")


def change_line(record: TaskRecord, cells: int) -> list[Line]:
    """A reading in one line: when, state, how far, what AWS says."""
    task = record.task
    at = record.changes[-1].at if record.changes else record.last_seen
    words, style = OUTCOMES[record.outcome]
    percent = "" if task.progress is None else f"{task.progress}%"
    first: Line = ((f" {at.astimezone():%Y-%m-%d %H:%M:%S}  ", "dim"), (fit(words, 12), style), (fit(percent, 5), ""))
    return paragraph(one_line(task.reason or subject_of(task)), cells, "", first)
