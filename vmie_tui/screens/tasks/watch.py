"""One task followed until its end: a line for each change, none that moves."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from typing import ClassVar

from textual import on, work
from textual.binding import BindingType
from textual.message import Message
from textual.widget import Widget

from vmie_tui.model.errors import Problem, problem_of
from vmie_tui.model.formatting import one_line
from vmie_tui.model.task_history import TaskRecord
from vmie_tui.operations.tasks import LOOK_SECONDS
from vmie_tui.screens.frame.actions import WATCH, bindings
from vmie_tui.screens.frame.base import style_sheet
from vmie_tui.screens.frame.clipboard import Copying
from vmie_tui.widgets.line_view import LinePane, OneLine
from vmie_tui.widgets.tasks import OUTCOMES, change_line
from vmie_tui.widgets.text import Line, clean, clock, paragraph


class WatchScreen(Copying):
    MODE = "tasks"
    ACTIONS = WATCH
    BINDINGS: ClassVar[list[BindingType]] = [*bindings(WATCH)]
    CSS_PATH = style_sheet(__file__)

    class Seen(Message):
        """How the task is now, or why that could not be read."""

        def __init__(self, record: TaskRecord | None, problem: Problem | None = None) -> None:
            super().__init__()
            self.record, self.problem = record, problem

    def __init__(self, record: TaskRecord) -> None:
        super().__init__()
        self._record = record
        self._lines: list[Line] = []
        self._told: object = None
        self._stop = threading.Event()

    def compose_body(self) -> Iterable[Widget]:
        yield OneLine(id="summary")
        yield LinePane(id="seen")

    def on_mount(self) -> None:
        super().on_mount()
        self.query_one("#seen", LinePane).focus()
        self._tell(self._record)
        self._follow()

    def on_unmount(self) -> None:
        self._stop.set()

    @work(thread=True, exclusive=True, group="watch", exit_on_error=False)
    def _follow(self) -> None:
        record = self._record
        while not self._stop.is_set():
            try:
                record = self.operations.tasks.look(record)
            except Exception as error:  # noqa: BLE001 - whatever a worker meets is shown in words
                problem = problem_of(error)
                self.post_message(self.Seen(None, problem))
                if not problem.retry_safe:
                    return
            else:
                self.post_message(self.Seen(record))
                if not record.live:
                    return
            self._stop.wait(LOOK_SECONDS)

    @on(Seen)
    def _seen(self, event: Seen) -> None:
        if event.record is not None:
            self._record = event.record
            self._tell(event.record)
        elif event.problem is not None and event.problem != self._told:
            self._told = event.problem
            again = " It is tried again." if event.problem.retry_safe else ""
            self._add(
                paragraph(f"{event.problem}.{again}", self._cells(), "bad", ((f" {clock(self.host.now())}  ", "dim"),))
            )

    def _tell(self, record: TaskRecord) -> None:
        """A line when the reading differs from the one before."""
        task = record.task
        words, style = OUTCOMES[record.outcome]
        self.query_one("#summary", OneLine).show(
            (f" {clean(task.id)} ", "title"), (f" {words} ", style), (f" {task.kind.value} in {task.region}", "dim")
        )
        if record.reading == self._told:
            return
        self._told = record.reading
        self._add(change_line(record, self._cells()))
        if not record.live:
            self._add([((" It is over: nothing will change any more.", "dim"),)])

    def _cells(self) -> int:
        pane = self.query_one("#seen", LinePane)
        return pane.text_width() - 1

    def _add(self, lines: list[Line]) -> None:
        pane = self.query_one("#seen", LinePane)
        self._lines += lines
        pane.set_lines(self._lines)
        pane.scroll_end(animate=False, force=True)

    def action_copy(self) -> None:
        text = "\n".join(one_line("".join(part for part, _ in line)) for line in self._lines)
        self.copy(f"{self._record.task.id}.txt", text + "\n")
