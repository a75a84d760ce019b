"""One job on the whole screen, with all of its log."""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar

from textual import on, work
from textual.binding import BindingType
from textual.message import Message
from textual.widget import Widget

from vmie_tui.model.errors import VmieError
from vmie_tui.model.job import JobView, LogLine
from vmie_tui.screens.frame.actions import JOB, bindings
from vmie_tui.screens.frame.base import style_sheet
from vmie_tui.screens.jobs.actions import JobActions
from vmie_tui.widgets.jobs import STATES, job_lines
from vmie_tui.widgets.line_view import LinePane, OneLine
from vmie_tui.widgets.text import clean, join, percent, rate, remaining

WHOLE_LOG = 2000


class JobScreen(JobActions):
    MODE = "jobs"
    ACTIONS = JOB
    BINDINGS: ClassVar[list[BindingType]] = [*bindings(JOB)]
    CSS_PATH = style_sheet(__file__)

    class LogRead(Message):
        def __init__(self, lines: list[LogLine]) -> None:
            super().__init__()
            self.lines = lines

    def __init__(self, job_id: str) -> None:
        super().__init__()
        self._job_id = job_id
        self._log: list[LogLine] = []

    def compose_body(self) -> Iterable[Widget]:
        yield OneLine(id="summary")
        yield LinePane(id="job")

    def on_mount(self) -> None:
        super().on_mount()
        self.query_one("#job", LinePane).focus()
        self.watch(self.app, "jobs", self._show)

    def job_in_view(self) -> JobView | None:
        return next((job for job in self.host.jobs or () if job.id == self._job_id), None)

    def _show(self) -> None:
        self._draw()
        self._read_log()

    def _draw(self) -> None:
        self.show_hints()
        job, pane = self.job_in_view(), self.query_one("#job", LinePane)
        cells = pane.text_width()
        pane.set_lines(job_lines(job, self._log, cells, log_lines=0))
        if job:
            state, style = STATES[job.state]
            left = f"{remaining(job.eta_seconds)} left" if job.eta_seconds is not None else ""
            words = join([percent(job.fraction), rate(job.rate) if job.rate >= 1 else "", left, clean(job.message)])
            self.query_one("#summary", OneLine).show((f" {state}  ", style), (words, ""), (f"   job {job.id}", "dim"))

    def on_resize(self) -> None:
        self.call_after_refresh(self._draw)

    @work(thread=True, exclusive=True, group="log", exit_on_error=False)
    def _read_log(self) -> None:
        try:
            self.post_message(self.LogRead(self.operations.jobs.log(self._job_id, WHOLE_LOG)))
        except VmieError:
            self.post_message(self.LogRead([]))  # a job without a log yet

    @on(LogRead)
    def _log_read(self, event: LogRead) -> None:
        if event.lines != self._log:
            self._log = event.lines
            self._draw()
