"""Which Regions and which profiles the tasks are read of: marked with space in one list."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from textual import on, work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.message import Message
from textual.screen import ModalScreen
from textual.widgets import Static

from vmie_tui.model.errors import Problem, problem_of
from vmie_tui.operations.tasks import Scope, Tasks
from vmie_tui.screens.frame.base import style_sheet
from vmie_tui.widgets.table import Column, LineTable
from vmie_tui.widgets.text import Cell, clean

ALL = "all"
REGION, PROFILE = "Region", "profile"


@dataclass(frozen=True, slots=True)
class Place:
    kind: str
    name: str
    note: str = ""


class PlaceTable(LineTable[Place]):
    COLUMNS: ClassVar[tuple[Column, ...]] = (
        Column("mark", "", 1),
        Column("kind", "", 8),
        Column("name", "Name", 16, grows=1),
        Column("note", "", 20, grows=1),
    )

    def key_of(self, row: Place) -> str:
        return f"{row.kind} {row.name}"

    def cell(self, row: Place, column: str) -> Cell:
        marked = self.key_of(row) in self.marked
        cells: dict[str, Cell] = {
            "mark": ("◉" if marked else "○", "mark" if marked else "dim"),
            "kind": (row.kind, "dim"),
            "name": ("all enabled" if row.name == ALL else clean(row.name), "title" if marked else ""),
            "note": (clean(row.note), "dim"),
        }
        return cells[column]


class PlacesScreen(ModalScreen[Scope | None]):
    """Dismisses with what was marked, or None. ``own`` is the profile's Region."""

    CSS_PATH = style_sheet(__file__)
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,q", "dismiss(None)", "Close"),
        Binding("space", "mark", "Mark"),
        Binding("a", "all", "All"),
        Binding("enter", "accept", "Look there", priority=True),
    ]

    class RegionsRead(Message):
        def __init__(self, regions: tuple[str, ...], problem: Problem | None = None) -> None:
            super().__init__()
            self.regions, self.problem = regions, problem

    def __init__(self, tasks: Tasks, chosen: Scope, own: str) -> None:
        super().__init__()
        self._tasks, self._own = tasks, own
        self._chosen = chosen

    def compose(self) -> ComposeResult:
        with Vertical(id="box"):
            yield Static("Read the tasks of…", id="title")
            yield PlaceTable(id="places")
            yield Static("space marks   a all   enter looks there   esc closes", id="hint")

    def on_mount(self) -> None:
        table = self.query_one(PlaceTable)
        regions = self._chosen.regions or (self._own,)
        table.marked = {f"{REGION} {name}" for name in regions}
        table.marked |= {f"{PROFILE} {name}" for name in self._chosen.profiles}
        self._fill([name for name in regions if name != ALL], "reading which are enabled…")
        table.focus()
        self._read()

    def _fill(self, regions: Sequence[str], note: str = "") -> None:
        table = self.query_one(PlaceTable)
        names = tuple(dict.fromkeys((self._own, *sorted(regions))))
        own = {self._own: "of the profile"}
        profiles = self._tasks.profiles()
        rows = [Place(PROFILE, name, "" if number else "in use") for number, name in enumerate(profiles)]
        rows.append(Place(REGION, ALL, note))
        rows += [Place(REGION, name, own.get(name, "")) for name in names if name]
        table.set_rows(rows)

    @work(thread=True, exclusive=True, group="regions", exit_on_error=False)
    def _read(self) -> None:
        try:
            self.post_message(self.RegionsRead(self._tasks.enabled_regions()))
        except Exception as error:  # noqa: BLE001 - whatever a worker meets is shown in words
            self.post_message(self.RegionsRead((), problem_of(error)))

    @on(RegionsRead)
    def _regions_read(self, event: RegionsRead) -> None:
        if event.problem is not None:
            self._fill(self._chosen.regions, f"could not be read: {event.problem.what}")
        else:
            self._fill(event.regions, f"{len(event.regions)} Regions")

    def action_mark(self) -> None:
        """All enabled Regions, or some of them; at least one profile stays marked."""
        table = self.query_one(PlaceTable)
        row = table.current
        if row is None:
            return
        everything, regions = f"{REGION} {ALL}", {key for key in table.marked if key.startswith(REGION)}
        table.toggle_mark()
        if row.kind == REGION and table.key_of(row) in table.marked:
            table.marked -= (regions if row.name == ALL else {everything}) - {table.key_of(row)}
        table.repaint()
        table.action_cursor(1)

    def action_all(self) -> None:
        table = self.query_one(PlaceTable)
        table.marked = {table.key_of(row) for row in table.rows if row.kind == PROFILE or row.name == ALL}
        table.repaint()

    def action_accept(self) -> None:
        table = self.query_one(PlaceTable)
        rows = [row for row in table.rows if table.key_of(row) in table.marked]
        regions = tuple(row.name for row in rows if row.kind == REGION)
        profiles = tuple(row.name for row in rows if row.kind == PROFILE)
        if not profiles or not regions:
            what = "a profile" if not profiles else "a Region"
            self.notify(f"Mark {what} first: space.", severity="warning", markup=False)
            return
        self.dismiss(Scope(profiles, () if regions == (self._own,) and len(profiles) == 1 else regions))
