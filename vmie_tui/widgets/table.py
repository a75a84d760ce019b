"""A table drawn line by line: a cursor, marks, sortable columns, a fixed header. 20,000 rows cost no more than 20."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Generic, TypeVar

from textual import events
from textual.binding import Binding, BindingType
from textual.geometry import Size
from textual.message import Message

from vmie_tui.widgets.line_view import LineView
from vmie_tui.widgets.text import Cell, Line, fit

Row = TypeVar("Row")
HEADER = 1


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a `LineTable`."""

    key: str
    title: str
    cells: int  # its width, the least when it ``grows``
    align: str = "left"
    grows: int = 0  # its share of what width is left
    from_width: int = 0  # left out of a narrower table
    gap: int = 1  # blanks before it


class LineTable(LineView, Generic[Row]):
    """Rows of any kind; subclasses name the columns and give each cell.

    The cursor follows its row's key through sorting, filtering and refresh.
    """

    COLUMNS: ClassVar[tuple[Column, ...]] = ()
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up,k", "cursor(-1)", "Up", show=False),
        Binding("down,j", "cursor(1)", "Down", show=False),
        Binding("pageup,ctrl+u", "page(-1)", "Page up", show=False),
        Binding("pagedown,ctrl+d", "page(1)", "Page down", show=False),
        Binding("home,g", "to(0)", "First", show=False),
        Binding("end,G", "to(-1)", "Last", show=False),
        Binding("enter", "choose", "Open", show=False),
    ]

    class Moved(Message):
        """The cursor is on another row, or on a row that changed."""

        def __init__(self, table: LineTable[Any]) -> None:
            super().__init__()
            self.table = table

        @property
        def control(self) -> LineTable[Any]:
            return self.table

        def can_replace(self, message: Message) -> bool:
            return isinstance(message, LineTable.Moved) and message.table is self.table

    class Chosen(Moved):
        """Enter, or a click on the row under the cursor."""

        def can_replace(self, message: Message) -> bool:
            return False

    class HeaderClicked(Message):
        def __init__(self, column: str) -> None:
            super().__init__()
            self.column = column

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._rows: Sequence[Row] = ()
        self._cursor = 0
        self._columns: tuple[tuple[Column, int], ...] = ()
        self._columns_for = -1
        self.marked: set[str] = set()
        self.sorted_by: tuple[str, bool] = ("", False)
        self.empty: tuple[Line, ...] = ()
        self._hidden: frozenset[str] = frozenset()

    def hide(self, columns: Collection[str]) -> None:
        """Leave these columns out, by their keys, until other ones are named."""
        if self._hidden != frozenset(columns):
            self._hidden, self._columns_for = frozenset(columns), -1
            self.refresh()

    def key_of(self, row: Row) -> str:
        raise NotImplementedError

    def cell(self, row: Row, column: str) -> Cell:
        """Text (already clean) and style of one cell."""
        raise NotImplementedError

    def merged(self, row: Row) -> tuple[str, Cell] | None:
        """A column from which on the row shows one text instead of its cells."""
        return None

    @property
    def rows(self) -> Sequence[Row]:
        return self._rows

    @property
    def cursor(self) -> int:
        return self._cursor

    @property
    def current(self) -> Row | None:
        return self._rows[self._cursor] if self._rows else None

    def set_rows(self, rows: Sequence[Row]) -> None:
        """Show other rows: the cursor stays on its row, and lines that look the same are not painted again."""
        old, cursor_key = self._rows, self.key_of(self._rows[self._cursor]) if self._rows else None
        before = self._visible_lines()
        self._rows = rows
        position = self._cursor
        if cursor_key is not None and not (position < len(rows) and self.key_of(rows[position]) == cursor_key):
            position = next((i for i, row in enumerate(rows) if self.key_of(row) == cursor_key), position)
        moved = position != self._cursor or len(old) != len(rows)
        self._cursor = max(0, min(position, len(rows) - 1))
        if len(old) != len(rows):
            self.update_size()
        if moved:
            self._keep_in_sight()
            self.refresh()
        else:
            for row, (was, now) in enumerate(zip(before, self._visible_lines(), strict=True)):
                self.refresh_changed(row, was, now)
        self.post_message(self.Moved(self))

    def show_empty(self, lines: Sequence[Line]) -> None:
        """Say this, below a blank line, where there is no row."""
        self.empty = ((), *lines)
        if not self._rows:
            self.update_size()
            self.refresh()

    def _visible_lines(self) -> list[Line]:
        return [self._line_at(self.to_document(row)) for row in range(self.size.height)]

    def _line_at(self, number: int) -> Line:
        return self.draw(number)[0] if 0 <= number < self.line_count() else ()

    def repaint(self) -> None:
        """Draw all again, as after a change of marks or of the sorted column."""
        self.refresh()

    # -- drawing

    def line_count(self) -> int:
        return HEADER + (len(self._rows) or len(self.empty))

    def update_size(self) -> None:
        self.virtual_size = Size(max(1, self.text_width()), self.line_count())

    def to_document(self, y: int) -> int:
        return 0 if y < HEADER else y + self.scroll_offset.y

    def columns(self) -> tuple[tuple[Column, int], ...]:
        """The columns shown at this width, each with its cells."""
        cells = self.text_width()
        if cells != self._columns_for:
            wanted = [column for column in self.COLUMNS if column.key not in self._hidden]
            shown = [column for column in wanted if cells >= column.from_width]
            spare = max(0, cells - sum(column.gap + column.cells for column in shown))
            weight = sum(column.grows for column in shown) or 1
            self._columns = tuple((column, column.cells + spare * column.grows // weight) for column in shown)
            self._columns_for = cells
        return self._columns

    def draw(self, y: int) -> tuple[Line, str]:
        if y < HEADER:
            return self._header(), ""
        if not self._rows:
            return self.empty[y - HEADER], ""
        row = self._rows[y - HEADER]
        here = "" if y - HEADER != self._cursor else "cursor" if self.has_focus else "here"
        merged = self.merged(row)
        parts: list[Cell] = []
        used = 0
        for column, cells in self.columns():
            parts.append((" " * column.gap, ""))
            used += column.gap
            if merged and merged[0] == column.key:
                text, style = merged[1]
                parts.append((fit(text, max(1, self.text_width() - used)), style))
                break
            text, style = self.cell(row, column.key)
            parts.append((fit(text, cells, column.align), style))
            used += cells
        return tuple(parts), here

    def _header(self) -> Line:
        by, reverse = self.sorted_by
        parts: list[Cell] = []
        for column, cells in self.columns():
            arrow = ("▼" if reverse else "▲") if column.key == by else ""
            if column.align == "right":
                title = fit(arrow + column.title, cells + column.gap, "right")
                parts.append((title, "key" if arrow else "head"))
            else:
                parts.append((" " * column.gap, ""))
                parts.append((fit(column.title + arrow, cells), "key" if arrow else "head"))
        return tuple(parts)

    # -- moving

    def action_cursor(self, step: int) -> None:
        self.move_to(self._cursor + step)

    def action_page(self, direction: int) -> None:
        self.move_to(self._cursor + direction * max(1, self.size.height - HEADER - 1))

    def action_to(self, index: int) -> None:
        self.move_to(index if index >= 0 else len(self._rows) + index)

    def action_choose(self) -> None:
        if self._rows:
            self.post_message(self.Chosen(self))

    def move_to(self, index: int) -> None:
        target = max(0, min(index, len(self._rows) - 1))
        if target == self._cursor:
            return
        old, self._cursor = self._cursor, target
        self.refresh_line(old + HEADER)
        self.refresh_line(target + HEADER)
        self._keep_in_sight()
        self.post_message(self.Moved(self))

    def _keep_in_sight(self) -> None:
        """Scroll so that the cursor's row is below the header and above the bottom."""
        room = max(1, self.size.height - HEADER)
        top = self.scroll_offset.y
        if self._cursor < top:
            self.scroll_to(y=self._cursor, animate=False, force=True)
        elif self._cursor >= top + room:
            self.scroll_to(y=self._cursor - room + 1, animate=False, force=True)

    def on_resize(self) -> None:
        self._columns_for = -1
        super().on_resize()
        self.call_after_refresh(self._keep_in_sight)

    def watch_has_focus(self, focused: bool) -> None:
        super().watch_has_focus(focused)
        self.refresh_line(self._cursor + HEADER)

    def on_click(self, event: events.Click) -> None:
        if event.y < HEADER:
            left = 0
            for column, cells in self.columns():
                left += column.gap + cells
                if event.x < left:
                    self.post_message(self.HeaderClicked(column.key))
                    return
            return
        index = self.to_document(event.y) - HEADER
        if 0 <= index < len(self._rows):
            if index == self._cursor:
                self.action_choose()
            self.move_to(index)

    # -- marks

    def toggle_mark(self) -> None:
        """Mark or unmark the row under the cursor."""
        row = self.current
        if row is not None:
            self.marked ^= {self.key_of(row)}
            self.refresh_line(self._cursor + HEADER)

    def keep_marks(self, keys: Collection[str]) -> None:
        """Forget marks of rows that are no more."""
        self.marked &= set(keys)
