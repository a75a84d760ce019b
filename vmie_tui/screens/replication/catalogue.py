"""The server catalogue: what is known of the machines that can be replicated, and by which job each one is."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import ClassVar

from textual import on, work
from textual.binding import BindingType
from textual.message import Message
from textual.widget import Widget

from vmie_tui.model.errors import Problem, problem_of
from vmie_tui.model.formatting import plural
from vmie_tui.model.machine import Machine
from vmie_tui.model.replication import Catalogue, CatalogueStatus, Server
from vmie_tui.screens.frame.actions import CATALOGUE, bindings
from vmie_tui.screens.frame.base import style_sheet
from vmie_tui.screens.frame.clipboard import Copying
from vmie_tui.screens.frame.confirm import ConfirmScreen
from vmie_tui.screens.frame.filter import Filtering
from vmie_tui.screens.replication.form import ReplicationForm
from vmie_tui.widgets.line_view import OneLine
from vmie_tui.widgets.problem import problem_lines
from vmie_tui.widgets.servers import EMPTY, ServerTable, as_text, select, status_cells
from vmie_tui.widgets.table import LineTable
from vmie_tui.widgets.text import Cell, Line, clean, fit, line_width, paragraph


class CatalogueScreen(Filtering, Copying):
    """Dismisses with True once something was replicated from it."""

    MODE = "replication"
    ACTIONS = CATALOGUE
    BINDINGS: ClassVar[list[BindingType]] = [*bindings(CATALOGUE)]
    CSS_PATH = style_sheet(__file__)

    class Read(Message):
        """``catalogue`` None: what is shown stays."""

        def __init__(self, catalogue: Catalogue | None, now: float, problem: Problem | None = None) -> None:
            super().__init__()
            self.catalogue, self.now, self.problem = catalogue, now, problem

    class Found(Message):
        """Machines of servers; ``missing``: names of those that the inventory read last does not have."""

        def __init__(self, machines: tuple[Machine, ...], missing: tuple[str, ...], problem: Problem | None) -> None:
            super().__init__()
            self.machines, self.missing, self.problem = machines, missing, problem

    def __init__(self) -> None:
        super().__init__()
        self._catalogue = Catalogue()
        self._now = 0.0
        self._busy = "reading"
        self._problem: Problem | None = None
        self._started = False

    def compose_body(self) -> Iterable[Widget]:
        yield OneLine(id="summary")
        yield from self.filter_line(found=False)
        yield ServerTable(id="servers")

    def on_mount(self) -> None:
        super().on_mount()
        self.table.focus()
        self.action_again()

    @property
    def table(self) -> ServerTable:
        return self.query_one(ServerTable)

    # -- the catalogue, in a thread

    def action_again(self) -> None:
        self._do("reading", self.operations.replications.catalogue)

    def action_import_catalogue(self) -> None:
        if self._may("imported"):
            self._do("importing: reading vCenter", self.operations.replications.import_catalogue)

    def action_clear_catalogue(self) -> None:
        if not self._may("cleared"):
            return
        if self._catalogue.status is not CatalogueStatus.AVAILABLE:
            self.tell(EMPTY[self._catalogue.status])
            return

        def answered(yes: bool | None) -> None:
            if yes:
                self._do("clearing", self.operations.replications.clear_catalogue)

        count = plural(len(self._catalogue.servers), "server")
        text = f"The list of {count} is forgotten. Replications and their AMIs stay, and go on; i reads the list again."
        self.app.push_screen(ConfirmScreen("Clear the catalogue?", text, yes="Clear it", no="Keep it"), answered)

    def _may(self, verb: str) -> bool:
        if self.operations.profile.read_only:
            self.tell(f"This profile is read-only: the catalogue cannot be {verb} from it.", error=True)
            return False
        return True

    def _do(self, words: str, call: Callable[[], Catalogue]) -> None:
        self._busy, self._problem = words, None
        self._show()
        self._call(call)

    @work(thread=True, exclusive=True, group="catalogue", exit_on_error=False)
    def _call(self, call: Callable[[], Catalogue]) -> None:
        try:
            read = self.Read(call(), self.operations.replications.now())
        except Exception as error:  # noqa: BLE001 - whatever a worker meets is shown in words
            read = self.Read(None, self._now, problem_of(error))
        self.post_message(read)

    @on(Read)
    def _was_read(self, event: Read) -> None:
        self._busy, self._problem, self._now = "", event.problem, event.now
        if event.catalogue is not None:
            self._catalogue = event.catalogue
            self.table.keep_marks({server.server_id for server in event.catalogue.servers})
        self._show()

    # -- what is shown

    def _show(self) -> None:
        self.table.set_rows(select(self._catalogue.servers, self._words))
        self._show_empty()
        left: list[Cell] = [(" Server catalogue  ", "title"), *status_cells(self._catalogue, self._now)]
        if self._busy == "reading" and not self._now:
            left = left[:1]
        right: list[Cell] = [(f"filter: {clean(self._words)}  ", "mark")] if self._words else []
        right += [(f"{len(self.table.marked):,} selected  ", "mark")] if self.table.marked else []
        right += [(f"{self._problem.what}  ", "bad")] if self._problem is not None else []
        right += [(f"{self._busy}…  ", "busy")] if self._busy else []
        line = self.query_one("#summary", OneLine)
        room = line.text_width() - min(line_width(right), 40)
        shown = left if line_width(left) <= room else left[:-1]  # the date is left out first
        if line_width(shown) > room:
            shown = [(fit("".join(text for text, _ in shown), max(4, room)), "title")]
        line.show(*shown, ("  ", ""), *right)

    def _show_empty(self) -> None:
        table, cells = self.table, max(20, self.app.size.width - 3)
        if self._problem is not None:
            lines: list[Line] = problem_lines(self._problem, cells, margin=" ")
        elif self._busy:
            lines = [((f" {self._busy}…", "dim"),)]
        elif self._words and self._catalogue.servers:
            lines = paragraph("No server matches. esc clears the filter.", cells, "dim", ((" ", ""),))
        else:
            lines = paragraph(EMPTY[self._catalogue.status], cells, "dim", ((" ", ""),))
        table.show_empty(lines)

    def on_resize(self) -> None:
        self.call_after_refresh(self._show)

    # -- filter, selection

    def filtered(self) -> None:
        self._show()
        self.table.move_to(0)

    def action_mark(self) -> None:
        self.table.toggle_mark()
        self.table.action_cursor(1)
        self._show()

    def action_clear(self) -> None:
        """One thing at a time: the filter, the selection, then back."""
        if self.give_up_filter():
            self._show()
        elif self.table.marked:
            self.table.marked.clear()
            self.table.repaint()
            self._show()
        else:
            self.dismiss(self._started)

    def action_copy(self) -> None:
        if self.table.rows:
            self.copy("servers.txt", as_text(self.table.rows))

    # -- a replication of some

    @on(LineTable.Chosen)
    def action_new(self) -> None:
        """The form for the selected servers, or the one here; it says of what is replicated already."""
        if not self._may("replicated"):
            return
        marked, here = self.table.marked, self.table.current
        wanted = [server for server in self._catalogue.servers if server.server_id in marked]
        wanted = wanted or ([here] if here is not None else [])
        if wanted:
            self._find(tuple(wanted))

    @work(thread=True, exclusive=True, group="find", exit_on_error=False)
    def _find(self, servers: tuple[Server, ...]) -> None:
        """Their machines, in the inventory that was read last."""
        try:
            inventory = self.operations.vcenter.cached_inventory()
        except Exception as error:  # noqa: BLE001 - whatever a worker meets is shown in words
            self.post_message(self.Found((), (), problem_of(error)))
            return
        known = {machine.instance_uuid or machine.moid: machine for machine in inventory.machines} if inventory else {}
        found = tuple(known[key] for server in servers if (key := server.instance_uuid or server.moid) in known)
        missing = tuple(s.name for s in servers if (s.instance_uuid or s.moid) not in known)
        self.post_message(self.Found(found, missing, None))

    @on(Found)
    def _were_found(self, event: Found) -> None:
        if event.problem is not None or event.missing:
            why = f"{', '.join(map(clean, event.missing))}: not in the inventory read last. i reads vCenter again."
            self.tell(str(event.problem) if event.problem is not None else why, error=True)
        if not event.machines:
            return

        def closed(started: bool | None) -> None:
            if started:
                self._started = True
                self.table.marked.clear()
                self.action_again()

        self.app.push_screen(ReplicationForm(event.machines), closed)
