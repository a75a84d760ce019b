"""A job's problem explained in full."""

from __future__ import annotations

from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.screen import ModalScreen
from textual.widgets import Static

from vmie_tui.model.errors import Problem
from vmie_tui.screens.frame.base import style_sheet
from vmie_tui.widgets.explained import full_lines
from vmie_tui.widgets.line_view import LinePane
from vmie_tui.widgets.text import clean


class ExplainScreen(ModalScreen[None]):
    CSS_PATH = style_sheet(__file__)
    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape,q,e", "dismiss(None)", "Close")]

    def __init__(self, name: str, problem: Problem) -> None:
        super().__init__()
        self._name, self._problem = clean(name), problem

    def compose(self) -> ComposeResult:
        with Vertical(id="box"):
            yield Static(f"Why {self._name} failed", id="title", markup=False)
            yield LinePane(id="words")
            yield Static("↑↓ scroll   esc closes", id="hint")

    def on_mount(self) -> None:
        self.query_one(LinePane).focus()

    def on_resize(self) -> None:
        pane = self.query_one(LinePane)
        self.call_after_refresh(lambda: pane.set_lines(full_lines(self._problem, pane.text_width())))
