"""A page of text over the screen below, with a question at its end where one is to be answered."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import ClassVar

from textual import on, work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.screen import ModalScreen
from textual.widgets import Button, Static

from vmie_tui.screens.frame.base import style_sheet
from vmie_tui.widgets.line_view import LinePane
from vmie_tui.widgets.text import Line, clean


class PageScreen(ModalScreen[bool]):
    """Dismisses with True only for the button that names the deed; the safe answer has the focus.

    ``draw`` makes the lines for a width in cells. ``copy`` is called in a thread when y is pressed.
    """

    CSS_PATH = style_sheet(__file__)
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,q", "dismiss(False)", "Close"),
        Binding("y", "copy", "Copy"),
        Binding("left,right", "app.focus_next", "Other button", show=False),
        Binding("up,k", "scroll(-1)", "Up", show=False),
        Binding("down,j", "scroll(1)", "Down", show=False),
        Binding("pageup", "scroll(-10)", "Page up", show=False),
        Binding("pagedown", "scroll(10)", "Page down", show=False),
    ]

    def __init__(
        self,
        title: str,
        draw: Callable[[int], Sequence[Line]],
        *,
        yes: str = "",
        no: str = "Cancel",
        copy: Callable[[], None] | None = None,
    ) -> None:
        super().__init__()
        self._title, self._draw, self._yes, self._no, self._copy = clean(title), draw, yes, no, copy

    def compose(self) -> ComposeResult:
        with Vertical(id="box"):
            yield Static(self._title, id="title", markup=False)
            yield LinePane(id="text")
            if self._yes:
                with Horizontal(id="buttons"):
                    yield Button(self._no, id="no", compact=True)
                    yield Button(self._yes, id="yes", compact=True)
            else:
                hint = "↑↓ scroll   y copies   esc closes" if self._copy else "↑↓ scroll   esc closes"
                yield Static(hint, id="hint", markup=False)

    def on_mount(self) -> None:
        pane = self.query_one("#text", LinePane)
        if self._yes:
            pane.can_focus = False
            self.query_one("#no", Button).focus()
        else:
            pane.focus()
        self.call_after_refresh(self._show)

    def on_resize(self) -> None:
        self.call_after_refresh(self._show)

    def _show(self) -> None:
        pane = self.query_one("#text", LinePane)
        pane.set_lines(self._draw(max(20, pane.text_width())))

    def action_scroll(self, lines: int) -> None:
        self.query_one("#text", LinePane).scroll_relative(y=lines, animate=False)

    @work(thread=True, exclusive=True, group="copy", exit_on_error=False)
    def action_copy(self) -> None:
        if self._copy is not None:
            self._copy()

    @on(Button.Pressed)
    def _answered(self, event: Button.Pressed) -> None:
        self.dismiss(event.button.id == "yes")
