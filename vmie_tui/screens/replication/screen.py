"""Mode 5: replications, the runs of the one in view, and what is known of a run and of the next."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Sequence
from typing import ClassVar

from textual import events, on, work
from textual.binding import BindingType
from textual.containers import Container, Vertical
from textual.message import Message
from textual.widget import Widget
from textual.worker import get_current_worker

from vmie_tui.model.errors import Problem, problem_of
from vmie_tui.model.forecast import forecast
from vmie_tui.model.job import JobView
from vmie_tui.model.replication import Catalogue, ReplicationView, Run, stamp
from vmie_tui.screens.frame.actions import REPLICATION, Action, bindings
from vmie_tui.screens.frame.base import style_sheet
from vmie_tui.screens.frame.filter import Sorting
from vmie_tui.screens.replication.actions import ReplicationActions
from vmie_tui.widgets.line_view import LinePane, OneLine
from vmie_tui.widgets.machine_detail import heading
from vmie_tui.widgets.problem import problem_lines
from vmie_tui.widgets.replication_runs import RunTable, replication_lines, run_rows
from vmie_tui.widgets.replications import (
    SORT_KEYS,
    ReplicaRow,
    ReplicaTable,
    catalogue_words,
    counts,
    nearly_over,
    replica_rows,
    select,
)
from vmie_tui.widgets.table import LineTable
from vmie_tui.widgets.text import Cell, Line, clean, fit, line_width, paragraph

POLL_SECONDS = 0.5  # while it is seen
REST = 4  # times as long as it took to read: months of many machines' runs leave the processor to others
LOOKS = frozenset({"open", "catalogue", "mark", "after", "proof", "filter", "sort", "reverse", "copy", "clear"})
ABOUT = "A running VM is copied to AWS again and again: each time what changed since the last run, and an AMI of it."


class ReplicationScreen(Sorting, ReplicationActions):
    MODE = "replication"
    ACTIONS = REPLICATION
    SORTS = SORT_KEYS
    LARGEST_FIRST = frozenset({"last", "kept", "day"})
    BINDINGS: ClassVar[list[BindingType]] = [*bindings(REPLICATION)]
    CSS_PATH = style_sheet(__file__)
    HORIZONTAL_BREAKPOINTS = [(0, "-narrow"), (170, "-wide")]  # noqa: RUF012 - each of the two takes 80
    VERTICAL_BREAKPOINTS = [(0, "-low"), (18, "-high")]  # noqa: RUF012

    class ReplicasRead(Message):
        """``views`` None: they could not be read, see ``problem``."""

        def __init__(self, views: Sequence[ReplicationView] | None, problem: Problem | None = None) -> None:
            super().__init__()
            self.views, self.problem = views, problem

        def can_replace(self, message: Message) -> bool:
            return isinstance(message, ReplicationScreen.ReplicasRead)

    class CatalogueRead(Message):
        def __init__(self, catalogue: Catalogue, now: float) -> None:
            super().__init__()
            self.catalogue, self.now = catalogue, now

    def __init__(self) -> None:
        super().__init__()
        self._views: Sequence[ReplicationView] | None = None
        self._rows: list[ReplicaRow] = []
        self._problem: Problem | None = None
        self._catalogue: Catalogue | None = None
        self._wake = threading.Event()
        self._of = ""  # the replication whose runs are shown
        self._detail_of = ""
        self._foretold: tuple[object, tuple[str, ...]] = ((), ())

    def compose_body(self) -> Iterable[Widget]:
        yield OneLine(id="state")
        yield from self.filter_line(found=False)
        with Container(id="body"):
            yield ReplicaTable(id="replicas")
            with Vertical(id="side"):
                yield OneLine(id="of")
                yield RunTable(id="runs")
                yield LinePane(id="detail")

    def on_mount(self) -> None:
        super().on_mount()
        self.table.sorted_by = ("server", False)
        self.table.focus()
        self.watch(self.app, "jobs", self._apply)
        self._show_empty()

    # -- what is in view

    @property
    def table(self) -> ReplicaTable:
        return self.query_one(ReplicaTable)

    @property
    def runs(self) -> RunTable:
        return self.query_one(RunTable)

    @property
    def detail(self) -> LinePane:
        return self.query_one("#detail", LinePane)

    def replica_in_view(self) -> ReplicationView | None:
        row = self.table.current
        return row.view if row is not None else None

    def run_in_view(self) -> Run | None:
        row = self.runs.current
        return row.run if row is not None else None

    def job_in_view(self) -> JobView | None:
        row = self.runs.current
        return row.job if row is not None else None

    def every(self) -> Sequence[ReplicationView]:
        return self._views or ()

    def targets(self) -> list[ReplicationView]:
        marked = self.table.marked
        views = [row.view for row in self._rows if row.view.id in marked]
        here = self.replica_in_view()
        return views or ([here] if here is not None else [])

    def offered(self) -> tuple[Action, ...]:
        """Nothing that a read-only profile refuses, and no simulated clock where there is none."""
        profile = self.operations.profile
        return tuple(
            action
            for action in REPLICATION
            if (not profile.read_only or action.run in LOOKS or (action.run == "advance" and profile.demo))
            and (action.run != "advance" or profile.demo)
        )

    def show_hints(self, extra: tuple[tuple[str, str], ...] = ()) -> None:
        view, run = (self.replica_in_view(), self.run_in_view()) if self.is_mounted else (None, None)
        suited: list[tuple[str, str]] = []
        if view is not None and not self.operations.profile.read_only:
            suited += [("x", "extend")] if nearly_over(view) else []
            suited += [("R", "roll back")] if view.cut_over is not None and run == view.cut_over else []
        super().show_hints((*extra, *suited))

    # -- reading, in a thread, while it is seen

    @on(events.ScreenResume)
    def _seen(self) -> None:
        self._follow()
        self._read_catalogue()

    @on(events.ScreenSuspend)
    def _unseen(self) -> None:
        self.workers.cancel_group(self, "replications")
        self._wake.set()

    def on_unmount(self) -> None:
        self._unseen()

    def look_now(self) -> None:
        self._wake.set()
        self.host.poll_now()

    @work(thread=True, exclusive=True, group="replications", exit_on_error=False)
    def _follow(self) -> None:
        worker = get_current_worker()
        while not worker.is_cancelled:
            self._wake.clear()
            began = time.monotonic()
            try:
                read = self.ReplicasRead(self.operations.replications.views())
            except Exception as error:  # noqa: BLE001 - whatever a worker meets is shown in words
                read = self.ReplicasRead(None, problem_of(error))
            if not worker.is_cancelled:
                self.post_message(read)
                self._wake.wait(max(POLL_SECONDS, REST * (time.monotonic() - began)))

    @work(thread=True, exclusive=True, group="catalogue", exit_on_error=False)
    def _read_catalogue(self) -> None:
        try:
            replicas = self.operations.replications
            self.post_message(self.CatalogueRead(replicas.catalogue(), replicas.now()))
        except Exception:  # noqa: BLE001 - the replications say what is wrong: it is the same store
            return

    @on(ReplicasRead)
    def _replicas_read(self, event: ReplicasRead) -> None:
        self._problem = event.problem
        if event.views is not None:
            self._views = event.views
            self.table.keep_marks({view.id for view in event.views})
        self._apply()

    @on(CatalogueRead)
    def _catalogue_read(self, event: CatalogueRead) -> None:
        self._catalogue = event.catalogue
        self._show_state()

    # -- what is shown of it

    def _apply(self) -> None:
        """Filter and sort again; what looks the same is not painted again."""
        self._rows = replica_rows(self._views or (), self.host.jobs or ())
        sort, reverse = self.table.sorted_by
        self.table.hide(() if any(row.view.spec.group for row in self._rows) else ("group",))
        self.table.set_rows(select(self._rows, words=self._words, sort=sort, reverse=reverse))
        self.set_class(not self.table.rows, "-none")
        self._show_empty()
        self._show_state()

    def _show_state(self) -> None:
        """The line above the table: how many, how they are; filter, catalogue, simulated clock."""
        rows = self._rows
        shown, marked = len(self.table.rows), len(self.table.marked)
        left: list[Cell] = [(" ", ""), (counts(rows), "title")]
        left += [(f" · {shown:,} shown", "")] if shown != len(rows) else []
        left += [(f" · {marked:,} selected", "mark")] if marked else []
        right: list[Cell] = []
        if self._problem is not None and rows:
            right.append((f"{clean(self._problem.what)}  ", "bad"))
        if self._words:
            right.append((f"filter: {clean(self._words)}  ", "mark"))
        if self.operations.profile.demo and rows:
            right.append((f"clock {stamp(rows[0].view.now)[:16]}  ", "dim"))
        if self._catalogue is not None:
            right.append((catalogue_words(self._catalogue), "dim"))
        line = self.query_one("#state", OneLine)
        room = line.text_width() - line_width(left) - 2
        while right and line_width(right) > room:
            right = right[:-1] if len(right) > 1 else [(fit(right[0][0].rstrip(), max(4, room)), right[0][1])]
            if len(right) == 1 and line_width(right) <= max(4, room):
                break
        line.show(*left, (" " * max(1, room - line_width(right) + 1), ""), *right)

    def _show_empty(self) -> None:
        """What the table says when it has no row: why, and how to begin."""
        table, cells = self.table, max(20, self.app.size.width - 3)
        margin: Line = ((" ", ""),)
        if self._problem is not None:
            lines = problem_lines(self._problem, cells, margin=" ", retry="It is tried again by itself.")
        elif self._views is None:
            lines = [((" reading…", "dim"),)]
        elif self._views:
            lines = paragraph("No replication matches. esc clears the filter.", cells, "dim", margin)
        else:
            lines = [*paragraph(f"No replication yet. {ABOUT}", cells, "", margin), ()]
            begin = "Begin: n chooses VMs and asks when and how often."
            other = "Or in the inventory (1): space selects VMs, R replicates them; i imports once, as a whole."
            if self.operations.profile.read_only:
                begin, other = "This profile is read-only: replications are begun from another one.", ""
            lines += paragraph(begin, cells, "info", margin)
            lines += paragraph(other, cells, "dim", margin) if other else []
        table.show_empty(lines)

    @on(LineTable.Moved, "#replicas")
    def _replica_in_view(self) -> None:
        """Its runs below; the cursor stays on its run, or at the newest."""
        view, runs = self.replica_in_view(), self.runs
        newest = runs.cursor == 0
        other = (view.id if view else "") != self._of
        self._of = view.id if view else ""
        runs.set_rows(run_rows(view, self.host.jobs or ()) if view else ())
        if other or newest:
            runs.move_to(0)
        cells = self.query_one("#of", OneLine).text_width()
        self.query_one("#of", OneLine).show(*(heading(f"runs of {view.name}", cells) if view else ()))
        if not runs.rows:
            runs.empty = (((" no run yet", "dim"),),)
            runs.update_size()
            self._show_detail()

    @on(LineTable.Moved, "#runs")
    def _show_detail(self) -> None:
        view, row = self.replica_in_view(), self.runs.current
        cells = self.detail.text_width()
        lines = replication_lines(view, row, self._forecast(view), cells)
        about = (view.id if view else "") + (row.run.id if row else "")
        self.detail.set_lines(lines, top=about != self._detail_of)
        if about != self._detail_of:
            self.show_hints()
        self._detail_of = about

    def _forecast(self, view: ReplicationView | None) -> tuple[str, ...]:
        """In words, made once a minute: what a run would move grows all the time, and the line is painted with it."""
        if view is None or not view.state.counts:
            return ()
        key = (view.id, view.spec, view.runs, int(view.now // 60))
        if self._foretold[0] != key:
            self._foretold = (key, forecast(view).words)
        return self._foretold[1]

    def on_resize(self) -> None:
        self.call_after_refresh(self._apply)
        self.call_after_refresh(self._replica_in_view)
        self.call_after_refresh(self._show_detail)

    # -- filter, selection

    def filtered(self) -> None:
        self._apply()
        self.table.move_to(0)

    def action_clear(self) -> None:
        """One thing at a time: the filter, then the selection."""
        if not self.give_up_filter():
            self.table.marked.clear()
            self.table.repaint()
        self._apply()

    def action_mark(self) -> None:
        self.table.toggle_mark()
        self.table.action_cursor(1)
        self._show_state()

    @on(LineTable.Chosen)
    def _chosen(self) -> None:
        self.action_open()
