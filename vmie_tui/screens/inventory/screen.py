"""Mode 1: the virtual machines vCenter shows, filtered, marked, judged, and sent to the import wizard."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import ClassVar

from textual import on, work
from textual.binding import BindingType
from textual.containers import Container
from textual.widget import Widget

from vmie_tui.model.errors import ErrorKind, Problem
from vmie_tui.model.formatting import plural
from vmie_tui.screens import registry
from vmie_tui.screens.frame.actions import INVENTORY, bindings
from vmie_tui.screens.frame.base import style_sheet
from vmie_tui.screens.frame.filter import Sorting
from vmie_tui.screens.inventory.reader import Reader, ReadFailed, RowsRead, judged
from vmie_tui.widgets.line_view import LinePane, OneLine
from vmie_tui.widgets.machine_detail import machine_lines
from vmie_tui.widgets.machines import SORT_KEYS, MachineRow, MachineTable, Scope, select
from vmie_tui.widgets.problem import age, nothing_configured, problem_lines
from vmie_tui.widgets.table import LineTable
from vmie_tui.widgets.text import Cell, Line, clean, fit, line_width, paragraph, width

PIECE = 200  # rows freed at a time


class InventoryScreen(Sorting):
    MODE = "inventory"
    SORTS = SORT_KEYS
    LARGEST_FIRST = frozenset({"verdict", "size", "disks"})
    ACTIONS = INVENTORY
    BINDINGS: ClassVar[list[BindingType]] = [*bindings(INVENTORY)]
    VERTICAL_BREAKPOINTS = [(0, "-low"), (18, "-high")]  # noqa: RUF012 - below, the detail would leave no row
    CSS_PATH = style_sheet(__file__)

    def __init__(self) -> None:
        super().__init__()
        self._rows: Sequence[MachineRow] = ()
        self._scope: Scope | None = None
        self._taken_at: datetime | None = None
        self._cached = False
        self._reading = ""  # what is being read, in words; empty when nothing is
        self._problem: Problem | None = None
        self._unreadable = 0

    def compose_body(self) -> Iterable[Widget]:
        yield OneLine(id="scope")
        yield from self.filter_line()
        with Container(id="body"):
            yield MachineTable(id="machines")
            yield LinePane(id="detail")

    def on_mount(self) -> None:
        super().on_mount()
        self.table.sorted_by = ("name", False)
        self.table.focus()
        self._show_empty()
        self._show_scope()
        self.call_after_refresh(self.action_refresh_inventory)

    @property
    def table(self) -> MachineTable:
        return self.query_one(MachineTable)

    @property
    def detail(self) -> LinePane:
        return self.query_one("#detail", LinePane)

    # -- reading vCenter, in a thread

    def action_refresh_inventory(self) -> None:
        """Ask for a password first when there is none; then read."""
        self._problem = None
        if not self.operations.profile.vcenter:
            self._reading = ""
        else:
            self._reading = "reading vCenter"
            self.host.vcenter_busy()
            self._read()
        self._show_empty()
        self._show_scope()

    def vcenter_login(self) -> None:
        self.action_refresh_inventory()

    @work(thread=True, exclusive=True, group="inventory", exit_on_error=False)
    def _read(self) -> None:
        Reader(self.operations, self.post_message, self.host.preflights).read(cached_first=not self._rows)

    @on(RowsRead)
    def _rows_read(self, event: RowsRead) -> None:
        partial = event.taken_at is None
        if partial:
            of = f" of {event.total:,}" if event.total else ""
            self._reading = f"reading {len(event.rows):,}{of}"
        elif not event.cached:
            self._reading, self._problem = "", None
            self.host.vcenter_ok()
        if not partial or not (self._cached or self._taken_at):
            if not partial:
                self._let_go(list(self._rows))
            self._rows = event.rows
            self._taken_at, self._cached, self._unreadable = event.taken_at, event.cached, event.unreadable
            if not partial:
                self.table.keep_marks({row.machine.moid for row in event.rows})
            self._apply()
        self._show_empty()
        self._show_scope()

    @work(thread=True, group="let go", exit_on_error=False, description="frees rows")  # else it prints them all
    def _let_go(self, rows: list[MachineRow]) -> None:
        """Free rows piece by piece: 20,000 at once hold the interpreter, and the screen, for 90 ms."""
        while rows:
            del rows[-PIECE:]

    @on(ReadFailed)
    def _read_failed(self, event: ReadFailed) -> None:
        self._reading, self._problem = "", event.problem
        self.host.vcenter_bad(event.problem)
        self._show_empty()
        self._show_scope()
        if event.problem.kind is ErrorKind.LOGIN:
            self.host.ask_password(event.problem.what)

    # -- what is shown of it

    def _apply(self) -> None:
        scope, (sort, reverse) = self._scope.holds if self._scope else None, self.table.sorted_by
        self.table.set_rows(select(self._rows, words=self._words, scope=scope, sort=sort, reverse=reverse))
        self._show_scope()

    def _counts(self) -> str:
        shown, every = len(self.table.rows), len(self._rows)
        count = f"{shown:,} of {plural(every, 'VM')}" if shown != every else plural(every, "VM")
        marked = len(self.table.marked)
        return f"{count} · {marked:,} selected" if marked else count

    def _show_scope(self) -> None:
        """The line above the table: where we are, how many, how old, which filter."""
        left: list[Cell] = [(" ", "")]
        left.append((clean(self._scope.title) if self._scope else "All datacenters", "title"))
        right: list[Cell] = [(self._counts(), "")]
        if self._words:
            right.append((f"  filter: {clean(self._words)}", "mark"))
        if self._unreadable:
            right.append((f"  {self._unreadable:,} unreadable", "warn"))
        if self._reading:
            right.append((f"  {self._reading}", "busy"))
        elif self._cached and self._taken_at:
            right.append((f"  as of {age(self._taken_at, self.host.now())}", "warn"))
        line = self.query_one("#scope", OneLine)
        room = line.text_width() - line_width(right) - 1
        title, style = left[1]
        left[1] = (fit(title, max(4, min(width(title), room - 2))), style)
        line.show(*left, (" " * max(1, room - line_width(left)), ""), *right)
        self.query_one("#found", OneLine).show((f" {self._counts()} ", "dim"))

    def _show_empty(self) -> None:
        """What the table says when it has no row: why, and what to do."""
        table = self.table
        cells = max(20, table.text_width() - 2)
        margin: Line = ((" ", ""),)
        if self._problem:
            lines = problem_lines(self._problem, cells, margin=" ")
        elif not self.operations.profile.vcenter:
            lines = nothing_configured(self.operations.profile.config_file, cells)
        elif self._reading:
            lines = [((f" {self._reading}…", "dim"),)]
        elif self._rows:
            lines = paragraph("No VM matches. esc clears the filter, then the folder.", cells, "dim", margin)
        else:
            lines = paragraph("vCenter shows no VM to this account. r reads again.", cells, "dim", margin)
        table.show_empty(lines)
        if not table.rows:
            self._show_detail()

    def on_resize(self) -> None:
        self.call_after_refresh(self._show_scope)
        self.call_after_refresh(self._show_detail)

    @on(LineTable.Moved)
    def _show_detail(self) -> None:
        row = self.table.current
        changed = row is None or row.machine.moid != getattr(self, "_detail_of", None)
        self._detail_of = row.machine.moid if row else None
        cells = self.detail.text_width()
        self.detail.set_lines(machine_lines(row, cells), top=changed)

    # -- filter and folder

    def filtered(self) -> None:
        here = self.table.current
        self._apply()
        self._show_empty()
        now = self.table.current
        if here and now and now.machine.moid != here.machine.moid:
            self.table.move_to(0)

    def action_clear(self) -> None:
        """One thing at a time: the filter, the folder, the selection."""
        if not self.give_up_filter():
            if self._scope:
                self._scope = None
            elif self.table.marked:
                self.table.marked.clear()
                self.table.repaint()
        self._apply()

    def action_tree(self) -> None:
        def chosen(scope: Scope | None) -> None:
            if scope is not None:
                self._scope = scope if scope.title else None
                self._apply()
                self._show_empty()

        self.app.push_screen(registry.folder_picker([row.machine for row in self._rows]), chosen)

    def action_detail(self) -> None:
        self.toggle_class("-no-detail")

    # -- selection and import

    def action_mark(self) -> None:
        self.table.toggle_mark()
        self.table.action_cursor(1)
        self._show_scope()

    def action_mark_all(self) -> None:
        keys = {row.machine.moid for row in self.table.rows}
        self.table.marked = self.table.marked - keys if keys <= self.table.marked else self.table.marked | keys
        self.table.repaint()
        self._show_scope()

    @on(LineTable.Chosen)
    def _row_chosen(self) -> None:
        self.action_import_marked()

    def _chosen(self) -> list[MachineRow]:
        """The marked VMs, or the one under the cursor when none is marked."""
        marked = self.table.marked
        rows = [row for row in self._rows if row.machine.moid in marked]
        if not rows and self.table.current is not None:
            rows = [self.table.current]
        return rows

    def action_report(self) -> None:
        """The preflight of the marked VMs, or of the one under the cursor, read from their disks."""
        rows = self._chosen()
        if not rows:
            self.tell("There is no VM to look into.", error=True)
            return

        def closed(looked: bool | None) -> None:
            if looked:
                self.judge_again()

        self.app.push_screen(registry.preflight_report([row.machine for row in rows]), closed)

    def judge_again(self) -> None:
        """Show what this session has found on disks since the rows were made."""
        known = self.host.preflights
        if not known:
            return
        self._rows = [
            judged(self.operations, row.machine, known) if row.machine.key in known else row for row in self._rows
        ]
        self._apply()
        self._show_detail()

    def action_open_source(self) -> None:
        def closed(started: bool | None) -> None:
            if started:
                self.host.show_list("jobs")

        self.app.push_screen(registry.open_source(), closed)

    def _to_start(self, verb: str) -> list[MachineRow]:
        """The VMs that something is to be started with; none, with the reason said, where it may not or cannot."""
        if self.operations.profile.read_only:
            self.tell("This profile is read-only: nothing can be started from it.", error=True)
            return []
        rows = self._chosen()
        if not rows:
            self.tell(f"There is no VM to {verb}.", error=True)
        return rows

    def _unmark(self) -> None:
        self.table.marked.clear()
        self.table.repaint()
        self._show_scope()

    def action_replicate_marked(self) -> None:
        """The form for copies on a schedule, of the marked VMs or of the one under the cursor."""
        rows = self._to_start("replicate")
        if not rows:
            return

        def closed(started: bool | None) -> None:
            if started:
                self._unmark()
                self.host.show_list("replication")

        self.app.push_screen(registry.replication_form([row.machine for row in rows]), closed)

    def action_import_marked(self) -> None:
        """The wizard for the marked VMs, or for the one under the cursor when none is marked."""
        rows = self._to_start("import")
        if not rows:
            return

        def closed(started: bool | None) -> None:
            self.judge_again()  # the wizard may have looked into disks
            if started:
                self._unmark()
                self.host.show_list("jobs")

        machines = [row.machine for row in rows]
        self.app.push_screen(registry.import_machines(self.operations.profile, machines), closed)
