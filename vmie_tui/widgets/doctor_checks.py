"""The checklist of the Setup screen, one check in full, and what a fix would change, as lines."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar

from vmie_tui.model.doctor import Check, CheckState, Fix, Group
from vmie_tui.widgets.table import Column, LineTable
from vmie_tui.widgets.text import Cell, Line, clean, paragraph

STYLE = {CheckState.OK: "ok", CheckState.WARNING: "warn", CheckState.FAILED: "bad", CheckState.SKIPPED: "dim"}
WORD = {CheckState.OK: "ok", CheckState.WARNING: "warning", CheckState.FAILED: "failed", CheckState.SKIPPED: "skipped"}


@dataclass(frozen=True, slots=True)
class CheckRow:
    """A check, or the heading of its group."""

    group: Group
    check: Check | None = None


def rows_of(checks: Iterable[Check]) -> tuple[CheckRow, ...]:
    """The checks below the headings of their groups, which are in the order of `Group`."""
    made = tuple(checks)
    rows: list[CheckRow] = []
    for group in Group:
        inside = [CheckRow(group, check) for check in made if check.group is group]
        rows += [CheckRow(group), *inside] if inside else []
    return tuple(rows)


class CheckTable(LineTable[CheckRow]):
    """The cursor passes over the headings."""

    COLUMNS: ClassVar[tuple[Column, ...]] = (
        Column("glyph", "", 1, gap=2),
        Column("title", "Check", 27, grows=1),
        Column("reason", "What was seen", 30, grows=3),
        Column("fix", "", 3),
    )

    def key_of(self, row: CheckRow) -> str:
        return row.check.id if row.check is not None else f"group {row.group.value}"

    def merged(self, row: CheckRow) -> tuple[str, Cell] | None:
        return ("glyph", (row.group.label, "title")) if row.check is None else None

    def cell(self, row: CheckRow, column: str) -> Cell:
        check = row.check
        assert check is not None
        cells: dict[str, Cell] = {
            "glyph": (check.state.glyph, STYLE[check.state]),
            "title": (clean(check.title), ""),
            "reason": (clean(check.reason), STYLE[check.state] if check.state is not CheckState.OK else "dim"),
            "fix": ("fix" if check.fix is not None else "", "key"),
        }
        return cells[column]

    def move_to(self, index: int) -> None:
        """To that row; from a heading on in the direction of the move, where there is a check."""
        step = 1 if index >= self.cursor else -1
        for target in (*self._way(index, step), *self._way(index, -step)):
            if self.rows[target].check is not None:
                super().move_to(target)
                return

    def _way(self, index: int, step: int) -> range:
        start = max(0, min(index, len(self.rows) - 1))
        return range(start, len(self.rows) if step > 0 else -1, step) if self.rows else range(0)


def check_lines(check: Check, cells: int) -> list[Line]:
    """All that is known of one check."""
    head: Line = ((" ", ""), (f"{check.state.glyph} ", STYLE[check.state]))
    lines = paragraph(f"{check.title}: {WORD[check.state]}", cells, "title", head)
    rest: Line = (("   ", ""),)
    if check.reason:
        lines += paragraph(check.reason, cells, "", rest)
    if check.remedy and check.state is not CheckState.OK:
        lines += paragraph(f"Remedy: {check.remedy.rstrip('.')}.", cells, "info", rest)
    if check.fix is not None:
        lines += paragraph(f"f makes it: {check.fix.words}", cells, "mark", rest)
    return lines


def fix_lines(fix: Fix, cells: int) -> list[Line]:
    """The requests as they would be sent, each as a diff against what is there."""
    lines = paragraph(fix.words, cells)
    for number, change in enumerate(fix.changes, 1):
        lines.append(())
        count = f"{number} of {len(fix.changes)}: " if len(fix.changes) > 1 else ""
        lines += paragraph(f"{count}{change.operation} {change.target}", cells, "title")
        for text in change.diff:
            style = {"+": "ok", "-": "bad"}.get(text[:1], "dim")
            lines += text_lines(text, cells, style)
    return lines


def text_lines(text: str, cells: int, style: str = "") -> list[Line]:
    """Lines of text such as JSON, their indentation kept; what is too long goes on below."""
    lines: list[Line] = []
    for row in text.split("\n"):
        bare = row.lstrip(" ")
        indent = min(len(row) - len(bare), max(0, cells - 20))
        lines += paragraph(bare, cells, style, ((" " * indent, ""),))
    return lines
