"""Which machines to replicate: the inventory's table in a dialog, with a filter."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from textual import on, work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.screen import ModalScreen
from textual.widgets import Input, Static

from vmie_tui.model.errors import Problem
from vmie_tui.model.machine import Machine
from vmie_tui.screens.frame.base import style_sheet
from vmie_tui.screens.frame.filter import FilterInput
from vmie_tui.screens.frame.host import host_of
from vmie_tui.screens.inventory.reader import Reader, ReadFailed, RowsRead
from vmie_tui.widgets.machines import MachineRow, MachineTable, select
from vmie_tui.widgets.problem import problem_lines
from vmie_tui.widgets.table import LineTable
from vmie_tui.widgets.text import Line, paragraph


class PickScreen(ModalScreen[list[Machine] | None]):
    """Dismisses with the marked machines, or with the one under the cursor when none is marked."""

    CSS_PATH = style_sheet(__file__)
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("space", "mark", "Select"),
        Binding("slash", "filter", "Filter"),
        Binding("escape", "clear", "Close"),
        Binding("q", "dismiss(None)", "Close"),
    ]

    def __init__(self) -> None:
        super().__init__()
        self._rows: Sequence[MachineRow] = ()
        self._problem: Problem | None = None
        self._reading = True

    def compose(self) -> ComposeResult:
        with Vertical(id="box"):
            yield Static("Replicate which VMs?", id="title")
            yield FilterInput(id="filter", compact=True, placeholder="/ filters: words that must be there, !word not")
            yield MachineTable(id="machines")
            yield Static("space selects   / filters   enter goes on   esc closes", id="hint")

    def on_mount(self) -> None:
        self.table.focus()
        self._show()
        self._read()

    @property
    def table(self) -> MachineTable:
        return self.query_one(MachineTable)

    @work(thread=True, exclusive=True, group="inventory", exit_on_error=False)
    def _read(self) -> None:
        app = host_of(self)
        Reader(app.operations, self.post_message, app.preflights).read(cached_first=True)

    @on(RowsRead)
    def _rows_read(self, event: RowsRead) -> None:
        whole = event.taken_at is not None
        self._reading = not whole or event.cached
        if whole or len(event.rows) > len(self._rows):
            self._rows = event.rows
        self._show()

    @on(ReadFailed)
    def _read_failed(self, event: ReadFailed) -> None:
        self._problem, self._reading = event.problem, False
        self._show()

    @on(Input.Changed, "#filter")
    def _show(self) -> None:
        table, margin = self.table, ((" ", ""),)
        cells = max(20, (table.text_width() if table.size.width > 1 else self.app.size.width - 8) - 1)
        lines: list[Line] = [((" reading vCenter…", "dim"),)]
        if self._problem is not None:
            lines = problem_lines(self._problem, cells, margin=" ", retry="")
        elif not self._reading:
            why = "No VM matches: esc clears the filter." if self._rows else "vCenter shows no VM to this account."
            lines = paragraph(why, cells, "dim", margin)
        table.set_rows(select(self._rows, words=self.query_one(FilterInput).value))
        table.show_empty(lines)

    def action_mark(self) -> None:
        self.table.toggle_mark()
        self.table.action_cursor(1)

    def action_filter(self) -> None:
        self.query_one(FilterInput).focus()

    def action_leave_filter(self) -> None:
        self.table.focus()

    def action_clear(self) -> None:
        """The filter first, then the dialog."""
        words = self.query_one(FilterInput)
        if not words.value:
            self.dismiss(None)
            return
        words.value = ""
        self.table.focus()

    @on(LineTable.Chosen)
    def _chosen(self) -> None:
        table = self.table
        rows = [row for row in self._rows if row.machine.moid in table.marked]
        here = table.current
        self.dismiss([row.machine for row in rows or ([here] if here is not None else [])])
