"""One instance or AMI on the whole screen: every finding on its export, with its source, and what is known of it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar

from textual import on, work
from textual.binding import BindingType
from textual.message import Message
from textual.widget import Widget

from vmie_tui.model.errors import Problem, problem_of
from vmie_tui.model.rules.exports import check_exportable
from vmie_tui.screens.exports.form import ExportFormScreen
from vmie_tui.screens.frame.actions import EXPORT_SOURCE, bindings
from vmie_tui.screens.frame.base import FrameScreen, style_sheet
from vmie_tui.widgets.exports import SourceRow, source_lines, verdict
from vmie_tui.widgets.line_view import LinePane, OneLine
from vmie_tui.widgets.problem import problem_lines
from vmie_tui.widgets.text import Line, clean


class ExportSourceScreen(FrameScreen):
    """Dismisses with True once an export was started from here."""

    MODE = "exports"
    ACTIONS = EXPORT_SOURCE
    BINDINGS: ClassVar[list[BindingType]] = [*bindings(EXPORT_SOURCE)]
    CSS_PATH = style_sheet(__file__)

    class Looked(Message):
        def __init__(self, row: SourceRow | None, problem: Problem | None = None) -> None:
            super().__init__()
            self.row, self.problem = row, problem

    def __init__(self, row: SourceRow, region: str) -> None:
        super().__init__()
        self._row, self._region = row, region
        self._busy = False
        self._problem: Problem | None = None

    def compose_body(self) -> Iterable[Widget]:
        yield OneLine(id="summary")
        yield LinePane(id="source")

    def on_mount(self) -> None:
        super().on_mount()
        self.query_one("#source", LinePane).focus()
        self.action_again()

    def action_again(self) -> None:
        self._busy, self._problem = True, None
        self._look()
        self._draw()

    @work(thread=True, exclusive=True, group="look", exit_on_error=False)
    def _look(self) -> None:
        try:
            thing = self.operations.exports.look(self._region, self._row.thing.id)
        except Exception as error:  # noqa: BLE001 - whatever a worker meets is shown in words
            self.post_message(self.Looked(None, problem_of(error)))
        else:
            self.post_message(self.Looked(SourceRow(thing, check_exportable(thing))))

    @on(Looked)
    def _looked(self, event: Looked) -> None:
        self._busy, self._problem = False, event.problem
        self._row = event.row or self._row
        self._draw()

    def _draw(self) -> None:
        pane = self.query_one("#source", LinePane)
        cells = pane.text_width()
        lines: list[Line] = problem_lines(self._problem, cells, margin=" ") if self._problem else []
        pane.set_lines([*lines, *source_lines(self._row, cells, whole=True)])
        words, style = verdict(self._row)
        busy = ("  looking at it…" if self._busy else "", "busy")
        self.query_one("#summary", OneLine).show((f" {clean(self._row.thing.id)}  ", "title"), (words, style), busy)

    def on_resize(self) -> None:
        self.call_after_refresh(self._draw)

    def action_export(self) -> None:
        if self.operations.profile.read_only:
            self.tell("This profile is read-only: nothing can be started from it.", error=True)
            return

        def closed(started: bool | None) -> None:
            if started:
                self.dismiss(True)

        self.app.push_screen(ExportFormScreen(self._row, self._region), closed)

    def action_back(self) -> None:
        self.dismiss(False)
