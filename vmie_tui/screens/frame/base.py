"""What every screen of a mode shares: title bar, status line, body, key hints."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import ClassVar

from textual.app import ComposeResult
from textual.screen import Screen
from textual.widget import Widget

from vmie_tui.model.formatting import plain
from vmie_tui.operations.operations import Operations
from vmie_tui.screens.frame.actions import APP, Action, hints
from vmie_tui.screens.frame.host import Host, host_of
from vmie_tui.widgets.frame import HintBar, StatusLine, TitleBar

MODES = (
    ("1", "inventory", "Inventory"),
    ("2", "jobs", "Jobs"),
    ("3", "tasks", "Tasks"),
    ("4", "exports", "Exports"),
    ("5", "replication", "Replication"),
    ("6", "setup", "Setup"),
)
WIDE = 120
MOST_TOLD = 600  # characters of a toast


class FrameScreen(Screen[bool]):
    """A screen with title bar, status line and key hints. Subclasses set ``MODE``, ``ACTIONS`` and ``BINDINGS``."""

    MODE: ClassVar[str] = ""
    HELP_TITLE: ClassVar[str] = ""  # of its help page; by the name of the class when empty
    ACTIONS: ClassVar[tuple[Action, ...]] = ()
    HORIZONTAL_BREAKPOINTS = [(0, "-narrow"), (WIDE, "-wide")]  # noqa: RUF012 - Textual's own declaration

    @property
    def host(self) -> Host:
        return host_of(self)

    @property
    def operations(self) -> Operations:
        return self.host.operations

    def compose(self) -> ComposeResult:
        profile = self.operations.profile
        badge = "READ-ONLY" if profile.read_only else "DEMO" if profile.demo else ""
        yield TitleBar(MODES, self.MODE, "" if profile.demo else profile.name, badge)
        yield StatusLine()
        yield from self.compose_body()
        yield HintBar()

    def compose_body(self) -> Iterable[Widget]:
        raise NotImplementedError

    def on_mount(self) -> None:
        self.show_hints()

    def offered(self) -> tuple[Action, ...]:
        """The actions that the footer and the palette offer; the keys of all others say why they cannot be done now."""
        return self.ACTIONS

    def show_hints(self, extra: tuple[tuple[str, str], ...] = ()) -> None:
        """Fill the footer: ``extra`` first, then the hints of this screen's actions and of the app's."""
        shown = (*extra, *hints(self.offered()), *hints(APP))
        self.query_one(HintBar).set_hints(fitting(shown))

    def action_back(self) -> None:
        """From a page to the one below it; not of a mode's own screen, whose `ACTIONS` have no such key."""
        self.app.pop_screen()

    def vcenter_login(self) -> None:
        """The vCenter password was typed: a screen that waits for it reads again."""

    def tell(self, text: str, *, error: bool = False) -> None:
        """Show a toast: no markup, no control characters, and short enough not to cover the screen."""
        shown = plain(text) if len(text) <= MOST_TOLD else f"{plain(text[:MOST_TOLD])}…"
        self.notify(shown, severity="error" if error else "information", markup=False, timeout=8 if error else 4)


def fitting(shown: tuple[tuple[str, str], ...], most: int = 7, cells: int = 80) -> tuple[tuple[str, str], ...]:
    """The first hints that fit into 80 columns; help always is the last of them."""
    helping = tuple(hint for hint in shown if hint[1] == "help")
    kept: list[tuple[str, str]] = []
    used = sum(len(key) + len(word) + 3 for key, word in helping)
    for key, word in shown:
        used += len(key) + len(word) + 3
        if (key, word) not in helping and len(kept) < most - len(helping) and used <= cells:
            kept.append((key, word))
    return (*kept, *helping)


def style_sheet(module_file: str) -> str:
    """The ``.tcss`` beside a screen's module."""
    return str(Path(module_file).with_suffix(".tcss"))
