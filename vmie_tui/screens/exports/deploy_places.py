"""Where in vCenter an export is to be put: its name and place, chosen from what vCenter has, read in a thread."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from textual import on, work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical, VerticalScroll
from textual.message import Message
from textual.screen import ModalScreen
from textual.widgets import Button, Input, Static
from textual.worker import get_current_worker

from vmie_tui.model.deploy_places import DeployChoice, DeployNames, DeployPlace, DeployPlaces, choose_place
from vmie_tui.model.errors import Problem, ServiceError, problem_of
from vmie_tui.model.form_option import Option
from vmie_tui.model.formatting import size
from vmie_tui.screens.frame.host import host_of
from vmie_tui.widgets.choice import ChoiceList, Field
from vmie_tui.widgets.line_view import LinePane
from vmie_tui.widgets.problem import problem_lines
from vmie_tui.widgets.text import Line, clean, paragraph

LABEL_CELLS = 11
NOWHERE = Option("", "")


class DeployScreen(ModalScreen[DeployChoice | str | None]):
    """Dismisses with the choice, "" for not into vCenter, None when nothing is to change."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "dismiss(None)", "As it was"),
        Binding("ctrl+r,f2", "look", "Look again"),
    ]

    class Read(Message):
        def __init__(self, places: DeployPlaces | None, problem: Problem | None = None) -> None:
            super().__init__()
            self.places, self.problem = places, problem

    def __init__(self, name: str, chosen: DeployChoice | None) -> None:
        """``name``: what the machine is called until something else is typed."""
        super().__init__()
        target = chosen.target if chosen is not None else None
        self._called = target.name if target is not None else name
        self._wanted = {
            "pool": target.resource_pool if target else "",
            "datastore": target.datastore if target else "",
            "folder": target.folder if target else "",
            "network": target.network if target else "",
        }
        self._places: DeployPlaces | None = None
        self._problem: Problem | None = None

    def compose(self) -> ComposeResult:
        with Vertical(id="box"):
            yield Static("Into vCenter, once it is exported", id="title", markup=False)
            yield Field("Name", self._called, id="deploy_name", placeholder="of the new virtual machine")
            with VerticalScroll(id="places", can_focus=False):
                for key in self._wanted:
                    yield ChoiceList(key.capitalize(), [NOWHERE], "", brief=True, label_cells=LABEL_CELLS, id=key)
            yield LinePane(id="said")
            with Horizontal(id="buttons"):
                yield Button("Not into vCenter", id="no", compact=True)
                yield Button("Put it there", id="yes", compact=True)

    def on_mount(self) -> None:
        self.query_one("#said", LinePane).can_focus = False
        self.query_one("#deploy_name", Input).focus()
        self.action_look()

    def on_resize(self) -> None:
        self.call_after_refresh(self._draw)

    # -- what vCenter has

    def action_look(self) -> None:
        self._places, self._problem = None, None
        self._read()
        self.call_after_refresh(self._draw)

    @work(thread=True, exclusive=True, group="look", exit_on_error=False)
    def _read(self) -> None:
        try:
            places = host_of(self).operations.vcenter.deploy_places()
        except Exception as error:  # noqa: BLE001 - whatever a worker meets is shown in words
            message = self.Read(None, problem_of(error))
        else:
            message = self.Read(places)
        if not get_current_worker().is_cancelled:
            self.post_message(message)

    @on(Read)
    def _was_read(self, event: Read) -> None:
        self._places, self._problem = event.places, event.problem
        if event.places is not None:
            self._offer("pool", event.places.pools)
            self._offer_within_pool()
        self._draw()

    def _offer(self, key: str, places: Sequence[DeployPlace], none: str = "") -> None:
        """The places of a list, what was chosen before still chosen; ``none``: the word for none of them."""
        options = [Option("", none)] if none else []
        options += [
            Option(one.moid, clean(one.path), f"{size(one.free)} free" if one.free is not None else "", one.why_not)
            for one in places
        ]
        possible = [option.value for option in options if not option.refused]
        if self._wanted[key] not in possible:
            self._wanted[key] = possible[0] if possible else ""
        choices = self.query_one(f"#{key}", ChoiceList)
        choices.set_options(options or [Option("", "there is none", refused="there is none")], self._wanted[key])

    def _offer_within_pool(self) -> None:
        """What can be used from the pool."""
        places, pool = self._places, self._pool()
        if places is None or pool is None:
            return
        self._offer("datastore", [one for one in places.datastores if one.near & pool.near])
        folders = [one for one in places.folders if one.datacenter == pool.datacenter]
        own = min((one.path for one in folders if pool.path.startswith(f"{one.path}/")), key=len, default="")
        self._offer("folder", [one for one in folders if one.path != own], f"{own or 'the datacenter'} itself")
        self._offer("network", [one for one in places.networks if one.near & pool.near], "none: no network card")

    def _pool(self) -> DeployPlace | None:
        pools = self._places.pools if self._places is not None else ()
        return next((one for one in pools if one.moid == self._wanted["pool"]), None)

    # -- answers

    @on(ChoiceList.Picked)
    def _picked(self, event: ChoiceList.Picked) -> None:
        self._wanted[event.choice.id or ""] = event.value
        if event.choice.id == "pool":
            self._offer_within_pool()
        self._draw()

    @on(Input.Changed, "#deploy_name")
    def _typed(self, event: Input.Changed) -> None:
        self._called = event.value.strip()
        self._draw()

    @on(Input.Submitted)
    def _entered(self) -> None:
        self.focus_next()

    def _choice(self) -> DeployChoice:
        """Raises ServiceError for a place that cannot be used."""
        assert self._places is not None
        return choose_place(self._places, self._called, DeployNames(**self._wanted))

    def _draw(self) -> None:
        pane = self.query_one("#said", LinePane)
        cells = max(20, pane.text_width())
        lines: list[Line] = []
        ready = False
        if self._problem is not None:
            lines = problem_lines(self._problem, cells, retry="^r looks again.")
        elif self._places is None:
            lines = paragraph("Reading where machines can be put…", cells, "busy")
        elif not self._called:
            lines = paragraph("Give it a name.", cells, "", (("✖ ", "bad"),))
        else:
            try:
                lines, ready = paragraph(f"{clean(self._choice().where)}.", cells, "dim"), True
            except ServiceError as error:
                lines = problem_lines(error.problem, cells, retry="")
        pane.set_lines(lines)
        self.query_one("#yes", Button).disabled = not ready

    @on(Button.Pressed, "#yes")
    def _taken(self) -> None:
        self.dismiss(self._choice())

    @on(Button.Pressed, "#no")
    def _not(self) -> None:
        self.dismiss("")
