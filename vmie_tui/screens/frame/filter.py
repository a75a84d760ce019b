"""Filtering and sorting a table: a line that filters while one types, and keys that change the order."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Any, ClassVar

from textual import on
from textual.binding import Binding, BindingType
from textual.containers import Horizontal
from textual.widget import Widget
from textual.widgets import Input

from vmie_tui.screens.frame.base import FrameScreen
from vmie_tui.widgets.line_view import OneLine
from vmie_tui.widgets.table import LineTable


class FilterInput(Input):
    """Filters while typing; esc clears it, enter and down keep it and go to the table."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "screen.clear", "Clear filter"),
        Binding("down,enter", "screen.leave_filter", "To the table"),
    ]

    def on_mount(self) -> None:
        self.cursor_blink = False


class Filtering(FrameScreen):
    """A screen whose ``table`` can be filtered; `filtered` shows the rows that match."""

    def __init__(self) -> None:
        super().__init__()
        self._words = ""

    @property
    def table(self) -> LineTable[Any]:
        """The one in view."""
        raise NotImplementedError

    def filtered(self) -> None:
        """The filter has changed: show the rows that match it."""
        raise NotImplementedError

    def filter_line(
        self, placeholder: str = "words that must be there, !word must not", *, found: bool = True
    ) -> Iterable[Widget]:
        """``found``: with room behind it for the number of rows found."""
        with Horizontal(id="editing"):
            yield OneLine([((" filter: ", "dim"),)], id="prompt")
            yield FilterInput(id="filter", compact=True, placeholder=placeholder)
            if found:
                yield OneLine(id="found")

    @on(Input.Changed, "#filter")
    def _filter_changed(self, event: Input.Changed) -> None:
        self._words = event.value
        self.filtered()

    def action_filter(self) -> None:
        self.add_class("-editing")
        self.set_focus(self.query_one(FilterInput))

    def action_leave_filter(self) -> None:
        self.remove_class("-editing")
        self.set_focus(self.table)

    def give_up_filter(self) -> bool:
        """Clear the filter; the caller shows the rows. False when there was none."""
        if not self._words and not self.has_class("-editing"):
            return False
        editor = self.query_one(FilterInput)
        with editor.prevent(Input.Changed):  # the list is made once, by the caller
            editor.value = ""
        self._words = ""
        self.action_leave_filter()
        return True


class Sorting(Filtering):
    """A screen whose ``table`` can be sorted by a column too; `_apply` follows ``table.sorted_by``."""

    SORTS: ClassVar[Collection[str]] = ()  # keys of the columns it may go by
    LARGEST_FIRST: ClassVar[Collection[str]] = ()

    def _apply(self) -> None:
        """Filter and sort again; the cursor stays on its row."""
        raise NotImplementedError

    @on(LineTable.HeaderClicked)
    def _header_clicked(self, event: LineTable.HeaderClicked) -> None:
        by, reverse = self.table.sorted_by
        if event.column in self.SORTS:
            self.sort_by(event.column, reverse=not reverse and event.column == by)

    def action_sort(self) -> None:
        """Sort by the next visible column."""
        shown = [column.key for column, _ in self.table.columns() if column.key in self.SORTS]
        by = self.table.sorted_by[0]
        column = shown[(shown.index(by) + 1) % len(shown)] if by in shown else shown[0]
        self.sort_by(column, reverse=column in self.LARGEST_FIRST)

    def action_reverse(self) -> None:
        by, reverse = self.table.sorted_by
        self.sort_by(by, reverse=not reverse)

    def sort_by(self, column: str, *, reverse: bool) -> None:
        """The cursor stays on its row, or at the top when it was there."""
        at_top = self.table.cursor == 0
        self.table.sorted_by = (column, reverse)
        self._apply()
        if at_top:
            self.table.move_to(0)
        self.table.repaint()
