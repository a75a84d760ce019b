"""The help page: every key of a screen, from its actions."""

from __future__ import annotations

from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.screen import ModalScreen
from textual.widgets import Static

from vmie_tui.model.verdict import MEANINGS, State, Verdict
from vmie_tui.screens.frame.actions import APP, KEY_NAMES, Action
from vmie_tui.screens.frame.base import style_sheet
from vmie_tui.widgets.line_view import LinePane
from vmie_tui.widgets.machines import STYLES
from vmie_tui.widgets.text import Line, fit, paragraph

MOVING = (
    ("↑ ↓ or k j", "Move", "One line up or down"),
    ("pgup pgdn", "Page", "A page up or down, also ^u ^d"),
    ("g G", "Ends", "First and last line, also home and end"),
    ("tab", "Focus", "The next pane, field or button"),
)


def help_lines(title: str, actions: tuple[Action, ...], cells: int, *, verdicts: bool = False) -> list[Line]:
    """A screen's keys, those of the app, the keys that move, and what the ``verdicts`` mean."""
    lines: list[Line] = []
    for heading, group in ((title, actions), ("Everywhere", APP)):
        lines += [((heading, "title"),)]
        for action in group:
            names = " ".join(KEY_NAMES.get(key, key) for key in action.keys.split(","))
            lines += _entry(names if not action.shown else action.shown, action.description, action.tooltip, cells)
        lines.append(())
    lines.append((("Moving", "title"),))
    for keys, name, text in MOVING:
        lines += _entry(keys, name, text, cells)
    if verdicts:
        lines += [(), (("Verdicts", "title"),)]
        for state in State:
            verdict = Verdict(state, 1)
            first: Line = ((f" {fit(verdict.text, 12)} ", STYLES[state]), ("", ""))
            lines += paragraph(MEANINGS[state], cells, "dim", first)
    return lines


def _entry(keys: str, name: str, text: str, cells: int) -> list[Line]:
    first: Line = ((f" {fit(keys, 11)}", "key"), (f"{fit(name, 16)} ", ""))
    return paragraph(text, cells, "dim", first)


class HelpScreen(ModalScreen[None]):
    CSS_PATH = style_sheet(__file__)
    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape,q,question_mark,f1", "dismiss(None)", "Close")]

    def __init__(self, title: str, actions: tuple[Action, ...], *, verdicts: bool = False) -> None:
        super().__init__()
        self._title, self._actions, self._verdicts = title, actions, verdicts

    def compose(self) -> ComposeResult:
        with Vertical(id="box"):
            yield LinePane(id="keys")
            yield Static("↑↓ scroll   esc closes", id="hint")

    def on_mount(self) -> None:
        self.query_one(LinePane).focus()

    def on_resize(self) -> None:
        self.call_after_refresh(self._show)

    def _show(self) -> None:
        pane = self.query_one(LinePane)
        pane.set_lines(help_lines(self._title, self._actions, pane.text_width(), verdicts=self._verdicts))
