"""Questions before something is destroyed, or forced: each names the object, and the safe answer is the easy one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Button, Input, Static

from vmie_tui.model.finding import Finding
from vmie_tui.model.formatting import plain
from vmie_tui.screens.frame.base import style_sheet
from vmie_tui.widgets.line_view import LinePane
from vmie_tui.widgets.machine_detail import finding_lines
from vmie_tui.widgets.text import clean


class ConfirmScreen(ModalScreen[bool]):
    """Dismisses with True only for the button that names the deed; there is no key that skips the question."""

    CSS_PATH = style_sheet(__file__)
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,q", "dismiss(False)", "No"),
        Binding("left,right", "app.focus_next", "Other button", show=False),
    ]

    def __init__(self, title: str, text: str, *, yes: str, no: str) -> None:
        super().__init__()
        self._title, self._text, self._yes, self._no = clean(title), plain(text), clean(yes), clean(no)

    def compose(self) -> ComposeResult:
        with Vertical(id="box"):
            yield Static(self._title, id="title", markup=False)
            yield Static(self._text, id="text", markup=False)
            with Horizontal(id="buttons"):
                yield Button(Content(self._no), id="no", compact=True)
                yield Button(Content(self._yes), id="yes", variant="error", compact=True)

    def on_mount(self) -> None:
        self.query_one("#no", Button).focus()

    @on(Button.Pressed)
    def _answered(self, event: Button.Pressed) -> None:
        self.dismiss(event.button.id == "yes")


class ForceScreen(ModalScreen[bool]):
    """Dismisses with True once the name was typed; esc is no."""

    CSS_PATH = style_sheet(__file__)
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "dismiss(False)", "Do not start"),
        Binding("up", "scroll(-1)", "Up", show=False),
        Binding("down", "scroll(1)", "Down", show=False),
    ]

    def __init__(self, name: str, blockers: Sequence[Finding], place: str = "", verb: str = "import") -> None:
        """``place``: "1 of 3" when there are several; ``verb``: what is done to it."""
        super().__init__()
        self._verb = verb
        self._called, self._blockers, self._place = name, tuple(blockers), place

    def compose(self) -> ComposeResult:
        place = f"  ({self._place})" if self._place else ""
        with Vertical(id="box"):
            yield Static(f"{clean(self._called)} is blocked{place}", id="title", markup=False)
            yield LinePane(id="blockers")
            yield Static(f"To {self._verb} it all the same, type its name:", id="ask", markup=False)
            yield Input(id="name", compact=True, placeholder="its name, as it is written above")
            yield Static("", id="wrong", markup=False)
            yield Static("enter forces   esc starts nothing   It is recorded in the job.", id="hint", markup=False)

    def on_mount(self) -> None:
        field = self.query_one(Input)
        field.cursor_blink = False
        field.focus()
        self.call_after_refresh(self._draw)

    def on_resize(self) -> None:
        self.call_after_refresh(self._draw)

    def _draw(self) -> None:
        pane = self.query_one("#blockers", LinePane)
        pane.set_lines([line for finding in self._blockers for line in finding_lines(finding, pane.text_width())])

    def action_scroll(self, direction: int) -> None:
        self.query_one("#blockers", LinePane).scroll_relative(y=direction, animate=False)

    @on(Input.Changed)
    def _changed(self) -> None:
        self.query_one("#wrong", Static).update("")

    @on(Input.Submitted)
    def _typed(self, event: Input.Submitted) -> None:
        if event.value == self._called:
            self.dismiss(True)
        else:
            self.query_one("#wrong", Static).update("That is not its name: nothing was started.")
