"""Another profile while the app stands: a list to choose from, and every screen made anew for the one chosen."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

from textual import on, work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.message import Message
from textual.screen import ModalScreen, Screen
from textual.widgets import Static

from vmie_tui.model.errors import Problem, problem_of
from vmie_tui.screens import modes
from vmie_tui.screens.frame.base import style_sheet
from vmie_tui.screens.frame.theme import ThemedApp
from vmie_tui.widgets.table import Column, LineTable
from vmie_tui.widgets.text import Cell, clean, join

if TYPE_CHECKING:
    from vmie_tui.operations.backend import Backend, ProfileInfo

PASSING = "passing"  # the mode while the others are made anew


class ProfileTable(LineTable["ProfileInfo"]):
    COLUMNS: ClassVar[tuple[Column, ...]] = (
        Column("mark", "", 1),
        Column("name", "Profile", 12, grows=1),
        Column("vcenter", "vCenter", 18, grows=2),
        Column("aws", "AWS", 18, grows=1),
        Column("badge", "", 9),
    )

    def key_of(self, row: ProfileInfo) -> str:
        return row.name

    def cell(self, row: ProfileInfo, column: str) -> Cell:
        used = row.name in self.marked
        cells: dict[str, Cell] = {
            "mark": ("●" if used else " ", "mark"),
            "name": (clean(row.name), "title" if used else ""),
            "vcenter": (clean(row.vcenter) or "none", "" if row.vcenter else "dim"),
            "aws": (clean(join([row.aws_profile, row.region], " ")) or "as the AWS files say", "dim"),
            "badge": ("READ-ONLY" if row.read_only else "DEMO" if row.demo else "", "warn"),
        }
        return cells[column]


class ProfileScreen(ModalScreen[str | None]):
    """Dismisses with the name of the profile to go on with, or None."""

    CSS_PATH = style_sheet(__file__)
    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape,q,P", "dismiss(None)", "Close")]

    def __init__(self, profiles: Sequence[ProfileInfo], used: str) -> None:
        super().__init__()
        self._profiles, self._used = tuple(profiles), used

    def compose(self) -> ComposeResult:
        with Vertical(id="box"):
            yield Static("Go on with the profile…", id="title")
            yield ProfileTable(id="profiles")
            yield Static("enter takes it   esc stays   Jobs go on, whatever their profile.", id="hint")

    def on_mount(self) -> None:
        table = self.query_one(ProfileTable)
        table.marked = {self._used}
        table.set_rows(self._profiles)
        table.move_to(next((i for i, one in enumerate(self._profiles) if one.name == self._used), 0))
        table.focus()

    @on(LineTable.Chosen)
    def _chosen(self) -> None:
        row = self.query_one(ProfileTable).current
        self.dismiss(row.name if row is not None and row.name != self._used else None)


class Switching(ThemedApp):
    """An app whose profile can be changed; subclasses say what they know of the old one in `forget_profile`."""

    backend: Backend

    class Switched(Message):
        def __init__(self, name: str, problem: Problem | None = None) -> None:
            super().__init__()
            self.name, self.problem = name, problem

    def forget_profile(self) -> None:
        """Called when the backend is the new profile's and no screen of the old one is left."""
        raise NotImplementedError

    def action_profiles(self) -> None:
        profiles = self.backend.profiles()
        if len(profiles) < 2:
            name = self.backend.profile.config_file
            self._say(f"There is one profile only; {name} may have more, as [profiles.NAME.aws].")
        elif any(len(stack) > 1 for stack in self._screen_stacks.values()):
            self._say("A page is open that belongs to this profile: close it first (esc).")
        else:
            self.push_screen(ProfileScreen(profiles, self.backend.profile.name), self._picked)

    def _say(self, text: str, *, error: bool = False) -> None:
        self.notify(text, severity="error" if error else "information", markup=False)

    def _picked(self, name: str | None) -> None:
        if name is not None:
            self._switch(name)

    @work(thread=True, exclusive=True, group="switch", exit_on_error=False)
    def _switch(self, name: str) -> None:
        try:
            self.backend.switch(name)
        except Exception as error:  # noqa: BLE001 - whatever a worker meets is shown in words
            self.post_message(self.Switched(name, problem_of(error)))
        else:
            self.post_message(self.Switched(name))

    @on(Switched)
    async def _switched(self, event: Switched) -> None:
        """All screens are made anew: what the old ones show, and read at this moment, is of the other profile."""
        if event.problem is not None:
            self._say(f"{event.name}: {event.problem.what}", error=True)
            return
        mode = self.current_mode
        self.add_mode(PASSING, Screen)
        await self.switch_mode(PASSING)
        for name, make in modes.MODES.items():
            await self.remove_mode(name)
            self.add_mode(name, make)
        self.forget_profile()
        await self.switch_mode(mode)
        await self.remove_mode(PASSING)
        self._say(f"Profile {event.name}")
