"""What AWS said of a task, as it is."""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar

from textual.binding import BindingType
from textual.widget import Widget

from vmie_tui.screens.frame.actions import RAW, bindings
from vmie_tui.screens.frame.base import style_sheet
from vmie_tui.screens.frame.clipboard import Copying
from vmie_tui.widgets.line_view import ArrowPane, LinePane, OneLine
from vmie_tui.widgets.text import clean, wrap


class RawScreen(Copying):
    MODE = "tasks"
    ACTIONS = RAW
    BINDINGS: ClassVar[list[BindingType]] = [*bindings(RAW)]
    CSS_PATH = style_sheet(__file__)

    def __init__(self, task_id: str, raw: str) -> None:
        super().__init__()
        self._task_id, self._raw = task_id, raw

    def compose_body(self) -> Iterable[Widget]:
        yield OneLine(id="summary")
        yield ArrowPane(id="raw")

    def on_mount(self) -> None:
        super().on_mount()
        self.query_one("#summary", OneLine).show(
            (f" {clean(self._task_id)}", "title"), ("  as AWS describes it", "dim")
        )
        self.query_one("#raw", LinePane).focus()

    def on_resize(self) -> None:
        self.call_after_refresh(self._draw)

    def _draw(self) -> None:
        pane = self.query_one("#raw", LinePane)
        cells = max(20, pane.text_width() - 1)
        pane.set_lines([((f" {piece}", ""),) for line in self._raw.split("\n") for piece in _pieces(line, cells)])

    def action_copy(self) -> None:
        self.copy(f"{self._task_id}.json", self._raw + "\n")


def _pieces(line: str, cells: int) -> list[str]:
    """A line that is too long goes on below, moved in as far as it was."""
    text = clean(line)
    margin = " " * min(len(text) - len(text.lstrip(" ")), cells // 2)
    return [margin + piece for piece in wrap(text.lstrip(" "), cells - len(margin))]
