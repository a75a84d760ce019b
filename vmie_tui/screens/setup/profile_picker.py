"""The profiles of the configuration, to choose the one to go on with."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.screen import ModalScreen
from textual.widgets import Static

from vmie_tui.operations.profile import ProfileInfo
from vmie_tui.screens.frame.base import style_sheet
from vmie_tui.widgets.table import Column, LineTable
from vmie_tui.widgets.text import Cell, clean, join


class ProfileTable(LineTable[ProfileInfo]):
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
