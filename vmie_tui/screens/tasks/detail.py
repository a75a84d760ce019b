"""One task of AWS on the whole screen: every observed state, every phase, everything its message may mean."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import ClassVar

from textual import on, work
from textual.binding import BindingType
from textual.message import Message
from textual.widget import Widget

from vmie_tui.model.errors import problem_of
from vmie_tui.model.task_history import TaskRecord
from vmie_tui.operations.tasks import Study
from vmie_tui.screens.frame.actions import TASK, bindings
from vmie_tui.screens.frame.base import style_sheet
from vmie_tui.screens.tasks.actions import TaskActions
from vmie_tui.widgets.line_view import ArrowPane, LinePane, OneLine
from vmie_tui.widgets.tasks import OUTCOMES, task_lines
from vmie_tui.widgets.text import clean


class TaskScreen(TaskActions):
    """`show` gives it a newer reading; ``changed`` is told of one that this page has."""

    MODE = "tasks"
    ACTIONS = TASK
    BINDINGS: ClassVar[list[BindingType]] = [*bindings(TASK)]
    CSS_PATH = style_sheet(__file__)

    class Studied(Message):
        def __init__(self, study: Study) -> None:
            super().__init__()
            self.study = study

    def __init__(self, record: TaskRecord, changed: Callable[[TaskRecord], None]) -> None:
        super().__init__()
        self._record, self._changed = record, changed
        self._study: Study | None = None

    def compose_body(self) -> Iterable[Widget]:
        yield OneLine(id="summary")
        yield ArrowPane(id="task")

    def on_mount(self) -> None:
        super().on_mount()
        self.query_one("#task", LinePane).focus()
        self._look_up(self._record)

    def task_in_view(self) -> TaskRecord:
        return self._record

    def studied(self) -> Study | None:
        return self._study

    def newer(self, record: TaskRecord) -> None:
        self._changed(record)

    def show(self, record: TaskRecord) -> None:
        """The task as it is now."""
        if record != self._record:
            self._record = record
            self._draw()
            self._look_up(record)

    @work(thread=True, exclusive=True, group="study", exit_on_error=False)
    def _look_up(self, record: TaskRecord) -> None:
        try:
            self.post_message(self.Studied(self.operations.tasks.study(record, self.host.now())))
        except Exception as error:  # noqa: BLE001 - whatever a worker meets is shown in words
            self.app.call_from_thread(self.tell, str(problem_of(error)), error=True)

    @on(Studied)
    def _studied(self, event: Studied) -> None:
        self._study = event.study
        self._draw()

    def _draw(self) -> None:
        pane, record, study = self.query_one("#task", LinePane), self._record, self._study
        cells = pane.text_width()
        phases, found = (study.phases, study.explanation) if study else ((), None)
        pane.set_lines(task_lines(record, phases, found, cells, whole=True))
        words, style = OUTCOMES[record.outcome]
        place = f"   {clean(record.task.region)} · {clean(record.profile)}"
        self.query_one("#summary", OneLine).show(
            (f" {words}  ", style), (clean(record.task.id), "title"), (place, "dim")
        )

    def on_resize(self) -> None:
        self.call_after_refresh(self._draw)
