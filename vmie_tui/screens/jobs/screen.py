"""Mode 2: jobs as the worker reports them, with one in detail below."""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar

from textual import on, work
from textual.binding import BindingType
from textual.containers import Container
from textual.message import Message
from textual.widget import Widget

from vmie_tui.model.errors import VmieError
from vmie_tui.model.job import JobView, LogLine
from vmie_tui.screens.frame.actions import JOBS, bindings
from vmie_tui.screens.frame.base import style_sheet
from vmie_tui.screens.jobs.actions import JobActions
from vmie_tui.screens.jobs.detail import JobScreen
from vmie_tui.widgets.jobs import JobTable, counts, job_lines
from vmie_tui.widgets.line_view import LinePane, OneLine
from vmie_tui.widgets.problem import problem_lines
from vmie_tui.widgets.table import LineTable
from vmie_tui.widgets.text import paragraph

LOG_TAIL = 50


class JobsScreen(JobActions):
    MODE = "jobs"
    ACTIONS = JOBS
    BINDINGS: ClassVar[list[BindingType]] = [*bindings(JOBS)]
    CSS_PATH = style_sheet(__file__)
    HORIZONTAL_BREAKPOINTS = [(0, "-narrow"), (150, "-wide")]  # noqa: RUF012 - the table alone takes 80

    class LogRead(Message):
        def __init__(self, job_id: str, lines: list[LogLine]) -> None:
            super().__init__()
            self.job_id, self.lines = job_id, lines

    def __init__(self) -> None:
        super().__init__()
        self._log: list[LogLine] = []
        self._log_of = ""

    def compose_body(self) -> Iterable[Widget]:
        yield OneLine(id="counts")
        with Container(id="body"):
            yield JobTable(id="jobs")
            yield LinePane(id="detail")

    def on_mount(self) -> None:
        super().on_mount()
        self.table.focus()
        self.watch(self.app, "jobs", self._show_jobs)
        self.watch(self.app, "wanted_job", self._go_to_wanted)
        self.watch(self.app, "jobs_problem", self._show_jobs)

    @property
    def table(self) -> JobTable:
        return self.query_one(JobTable)

    @property
    def detail(self) -> LinePane:
        return self.query_one("#detail", LinePane)

    def job_in_view(self) -> JobView | None:
        return self.table.current

    def _show_jobs(self) -> None:
        jobs = self.host.jobs
        self.table.set_rows(jobs or ())
        self._go_to_wanted()
        if not jobs:
            self._show_empty()
        self.query_one("#counts", OneLine).show((" ", ""), (counts(jobs or ()) or "jobs", "dim"))

    def _show_empty(self) -> None:
        """What the table says when it has no row: why, and what to do."""
        jobs, problem = self.host.jobs, self.host.jobs_problem
        table, cells = self.table, max(20, self.table.text_width() - 2)
        if problem:
            lines = problem_lines(problem, cells, margin=" ")
        elif jobs is None:
            lines = [((" reading the jobs…", "dim"),)]
        else:
            lines = paragraph("No job yet. Select VMs in the inventory (1) and press i.", cells, "dim", ((" ", ""),))
        table.show_empty(lines)

    def _go_to_wanted(self) -> None:
        """Put the cursor on the job that was just started, once it is known: it may have been read already."""
        jobs, wanted = self.host.jobs or (), self.host.wanted_job
        row = next((row for row, job in enumerate(jobs) if job.id == wanted), None)
        if row is not None:
            self.host.wanted_job = ""
            self.table.move_to(row)

    @on(LineTable.Moved)
    def _moved(self) -> None:
        job = self.table.current
        if job and job.id != self._log_of:
            self._log, self._log_of = [], job.id
            self.detail.scroll_to(y=0, animate=False, force=True)
        self._show_detail()
        self.show_hints()
        if job:
            self._read_log(job.id)

    def _show_detail(self) -> None:
        cells = self.detail.text_width()
        tail = max(5, self.detail.size.height - 7)
        self.detail.set_lines(job_lines(self.table.current, self._log, cells, log_lines=tail))

    def on_resize(self) -> None:
        self.call_after_refresh(self._show_detail)
        if not self.host.jobs:  # its words were broken for another width, or before there was one
            self.call_after_refresh(self._show_empty)

    @work(thread=True, exclusive=True, group="log", exit_on_error=False)
    def _read_log(self, job_id: str) -> None:
        try:
            self.post_message(self.LogRead(job_id, self.operations.jobs.log(job_id, LOG_TAIL)))
        except VmieError:
            self.post_message(self.LogRead(job_id, []))  # a job without a log yet

    @on(LogRead)
    def _log_read(self, event: LogRead) -> None:
        if event.job_id == self._log_of and event.lines != self._log:
            self._log = event.lines
            self._show_detail()

    @on(LineTable.Chosen)
    def _chosen(self) -> None:
        self.action_open()

    def action_open(self) -> None:
        job = self.table.current
        if job:
            self.app.push_screen(JobScreen(job.id))
