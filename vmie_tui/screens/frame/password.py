"""Asks for the vCenter password or the code of an MFA device; what is typed stays in memory."""

from __future__ import annotations

from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.screen import ModalScreen
from textual.widgets import Input, Static

from vmie_tui.screens.frame.base import style_sheet
from vmie_tui.widgets.text import clean


class PasswordScreen(ModalScreen[str | None]):
    """Dismisses with what was typed, or None."""

    CSS_PATH = style_sheet(__file__)
    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "dismiss(None)", "Not now")]

    def __init__(self, host: str, user: str, reason: str = "", *, asked: str = "password") -> None:
        super().__init__()
        self._asked = asked
        self._host, self._user, self._reason = clean(host), clean(user), clean(reason)

    def compose(self) -> ComposeResult:
        with Vertical(id="box"):
            yield Static(f"Log in to {self._host}", id="title", markup=False)
            yield Static(self._reason, id="reason", markup=False)
            yield Static(f"{self._whose:<10}{self._user}", id="user", markup=False)
            yield Input(password=True, id="password", compact=True, placeholder=self._asked)
            yield Static("enter logs in   esc not now   It stays in memory.", id="hint", markup=False)

    @property
    def _whose(self) -> str:
        return "User" if self._asked == "password" else "Profile"

    def on_mount(self) -> None:
        self.query_one("#reason").display = bool(self._reason)
        field = self.query_one(Input)
        field.cursor_blink = False
        field.focus()

    @on(Input.Submitted)
    def _typed(self, event: Input.Submitted) -> None:
        if event.value:
            self.dismiss(event.value)
