"""Mode 4: instances and AMIs that can leave EC2, or why not; and the exports, finished ones verified and fetched."""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar

from textual import on, work
from textual.binding import BindingType
from textual.containers import Container
from textual.message import Message
from textual.widget import Widget
from textual.widgets import ContentSwitcher
from textual.worker import get_current_worker

from vmie_tui.model.errors import Problem, problem_of
from vmie_tui.model.exportable import Exportable
from vmie_tui.model.rules.exports import check_exportable
from vmie_tui.model.task import Task
from vmie_tui.operations.import_plan import REGION
from vmie_tui.screens import registry
from vmie_tui.screens.exports.download import Downloads
from vmie_tui.screens.exports.form import ExportFormScreen
from vmie_tui.screens.exports.source import ExportSourceScreen
from vmie_tui.screens.frame.actions import EXPORTS, bindings
from vmie_tui.screens.frame.base import style_sheet
from vmie_tui.screens.frame.clipboard import Copying
from vmie_tui.screens.frame.filter import Filtering
from vmie_tui.screens.frame.form import Answers, Ask, FormScreen
from vmie_tui.widgets.exports import (
    ExportRow,
    ExportTable,
    SourceRow,
    SourceTable,
    export_lines,
    select,
    select_exports,
    source_lines,
)
from vmie_tui.widgets.line_view import LinePane, OneLine
from vmie_tui.widgets.problem import problem_lines
from vmie_tui.widgets.table import LineTable
from vmie_tui.widgets.text import Cell, Line, clean, fit, line_width, paragraph

SOURCES, TASKS = "sources", "exports"
AGAIN_SECONDS = 15.0  # between two looks at the exports, while one of them runs and they are shown


class ExportsScreen(Filtering, Copying, Downloads):
    MODE = "exports"
    ACTIONS = EXPORTS
    BINDINGS: ClassVar[list[BindingType]] = [*bindings(EXPORTS)]
    CSS_PATH = style_sheet(__file__)
    HORIZONTAL_BREAKPOINTS = [(0, "-narrow"), (150, "-wide")]  # noqa: RUF012 - the table alone takes 80
    VERTICAL_BREAKPOINTS = [(0, "-low"), (18, "-high")]  # noqa: RUF012

    class SourcesRead(Message):
        """Everything read so far; ``done``: there is no more, or ``problem`` says why not."""

        def __init__(self, rows: tuple[SourceRow, ...], *, done: bool, problem: Problem | None = None) -> None:
            super().__init__()
            self.rows, self.done, self.problem = rows, done, problem

    class TasksRead(Message):
        def __init__(self, tasks: tuple[Task, ...], problem: Problem | None = None) -> None:
            super().__init__()
            self.tasks, self.problem = tasks, problem

    def __init__(self) -> None:
        super().__init__()
        self._region = ""
        self._rows: tuple[SourceRow, ...] = ()
        self._tasks: tuple[Task, ...] = ()
        self._reading: set[str] = set()
        self._problems: dict[str, Problem] = {}

    def compose_body(self) -> Iterable[Widget]:
        yield OneLine(id="tabs")
        yield from self.filter_line(found=False)
        with Container(id="body"):
            with ContentSwitcher(id="tables", initial=SOURCES):
                yield SourceTable(id=SOURCES)
                yield ExportTable(id=TASKS)
            yield LinePane(id="detail")

    def on_mount(self) -> None:
        super().on_mount()
        self._region = self.operations.profile.region
        self.table.focus()
        self.watch(self.app, "jobs", self._show_exports)
        self.set_interval(AGAIN_SECONDS, self._look_again)
        self.call_after_refresh(self.action_refresh_exports)

    # -- what is in view

    @property
    def tab(self) -> str:
        return self.query_one("#tables", ContentSwitcher).current or SOURCES

    @property
    def table(self) -> LineTable[SourceRow] | LineTable[ExportRow]:
        return self.query_one(SourceTable) if self.tab == SOURCES else self.query_one(ExportTable)

    @property
    def detail(self) -> LinePane:
        return self.query_one("#detail", LinePane)

    @property
    def source_in_view(self) -> SourceRow | None:
        return self.query_one(SourceTable).current if self.tab == SOURCES else None

    @property
    def aws_region(self) -> str:
        return self._region

    @property
    def export_in_view(self) -> ExportRow | None:
        return self.query_one(ExportTable).current if self.tab == TASKS else None

    # -- reading AWS, in threads

    def action_refresh_exports(self) -> None:
        self._reading, self._problems = {SOURCES, TASKS}, {}
        self._read_sources(self._region)
        self._read_tasks(self._region)
        self._show()

    def _look_again(self) -> None:
        """While an export runs and is shown, AWS is asked for its progress."""
        running = any(not task.terminal for task in self._tasks)
        if running and self.tab == TASKS and self.app.screen is self and TASKS not in self._reading:
            self._read_tasks(self._region)

    @work(thread=True, exclusive=True, group="sources", exit_on_error=False)
    def _read_sources(self, region: str) -> None:
        worker = get_current_worker()
        rows: list[SourceRow] = []

        def page(things: Iterable[Exportable]) -> None:
            rows.extend(SourceRow(thing, check_exportable(thing)) for thing in things)
            if not worker.is_cancelled:
                self.post_message(self.SourcesRead(tuple(rows), done=False))

        problem = None
        try:
            self.operations.exports.sources(region, page)
        except Exception as error:  # noqa: BLE001 - whatever a worker meets is shown in words
            problem = problem_of(error)
        if not worker.is_cancelled:
            self.post_message(self.SourcesRead(tuple(rows), done=True, problem=problem))

    @work(thread=True, exclusive=True, group="exports", exit_on_error=False)
    def _read_tasks(self, region: str) -> None:
        worker, tasks, problem = get_current_worker(), self._tasks, None
        try:
            tasks = self.operations.exports.tasks(region)
        except Exception as error:  # noqa: BLE001 - whatever a worker meets is shown in words
            problem = problem_of(error)
        if not worker.is_cancelled:
            self.post_message(self.TasksRead(tasks, problem))

    @on(SourcesRead)
    def _sources_read(self, event: SourcesRead) -> None:
        if event.done:
            self._reading.discard(SOURCES)
        if event.problem is not None:
            self._problems[SOURCES] = event.problem
        if event.done or len(event.rows) > len(self._rows):
            self._rows = event.rows
        self._show()

    @on(TasksRead)
    def _tasks_read(self, event: TasksRead) -> None:
        self._reading.discard(TASKS)
        self._problems.pop(TASKS, None)
        if event.problem is not None:
            self._problems[TASKS] = event.problem
        self._tasks = event.tasks
        self._show()

    # -- what is shown of it

    def _show(self) -> None:
        self.query_one(SourceTable).set_rows(select(self._rows, self._words))
        self._show_exports()
        self._show_empty()
        self._show_tabs()

    def _show_exports(self) -> None:
        """AWS's list and our jobs as one: a job beside its task, the newest first, jobs without a task on top."""
        mine = [job for job in self.host.jobs or () if job.kind == "export"]
        by_task = {job.task_id: job for job in mine if job.task_id}
        listed = {task.id for task in self._tasks}
        rows = [ExportRow(None, job) for job in mine if job.task_id not in listed]
        tasks = sorted(self._tasks, key=lambda task: (task.terminal, task.id not in by_task))
        rows += [ExportRow(task, by_task.get(task.id)) for task in tasks]
        self.query_one(ExportTable).set_rows(select_exports(rows, self._words))
        self._show_tabs()

    def show_progress(self) -> None:
        self._show_tabs()
        self._show_detail()

    def _show_tabs(self) -> None:
        sources, tasks = self.query_one(SourceTable), self.query_one(ExportTable)
        titles = ((SOURCES, f"Instances and AMIs {len(sources.rows):,}"), (TASKS, f"Exports {len(tasks.rows):,}"))
        left: list[Cell] = [(" ", "")]
        for key, title in titles:
            left += [(title, "tab" if key == self.tab else "dim"), ("   ", "")]
        right: list[Cell] = [(clean(self._region), "title")]
        if self._words:
            right.append((f"  filter: {clean(self._words)}", "mark"))
        if self.download:
            right.append((f"  {self.download}", "busy"))
        elif self._reading:
            right.append(("  reading…", "busy"))
        line = self.query_one("#tabs", OneLine)
        room = line.text_width() - line_width(left) - 1
        if line_width(right) > room:
            right = [(fit("".join(text for text, _ in right), max(4, room)), right[-1][1])]
        line.show(*left, (" " * max(0, room - line_width(right)), ""), *right)

    def _show_empty(self) -> None:
        """What a table says when it has no row: why, and what to do."""
        for key, table in ((SOURCES, self.query_one(SourceTable)), (TASKS, self.query_one(ExportTable))):
            cells = max(20, self.app.size.width - 3)
            margin: Line = ((" ", ""),)
            problem = self._problems.get(key)
            if problem is not None:
                lines = problem_lines(problem, cells, margin=" ")
            elif key in self._reading:
                lines = [((" reading AWS…", "dim"),)]
            elif self._words:
                lines = paragraph("None matches. esc clears the filter.", cells, "dim", margin)
            elif key == SOURCES:
                lines = paragraph("No instance, no AMI of this account here. R looks elsewhere.", cells, "dim", margin)
            else:
                lines = paragraph("No export here. tab shows what can be exported.", cells, "dim", margin)
            table.show_empty(lines)
        self._show_detail()

    @on(LineTable.Moved)
    def _show_detail(self) -> None:
        cells = self.detail.text_width()
        if self.tab == SOURCES:
            row = self.source_in_view
            lines, key = source_lines(row, cells), row.thing.id if row else ""
        else:
            export = self.export_in_view
            key = export.key if export else ""
            lines = export_lines(export, cells, self.fetched.get(key, ""))
        problem = self._problems.get(self.tab)
        if problem is not None and self.table.rows:
            lines = [*problem_lines(problem, cells, margin=" "), *lines]
        changed, self._detail_of = key != getattr(self, "_detail_of", None), key
        self.detail.set_lines(lines, top=changed)

    def on_resize(self) -> None:
        self.call_after_refresh(self._show)

    # -- tabs, filter, Region

    def action_other_tab(self) -> None:
        self.query_one("#tables", ContentSwitcher).current = TASKS if self.tab == SOURCES else SOURCES
        self.set_focus(self.table)
        self._show_tabs()
        self._show_detail()

    def filtered(self) -> None:
        self._show()
        self.table.move_to(0)

    def action_clear(self) -> None:
        """One thing at a time: the filter, then a download that runs."""
        if self.give_up_filter():
            self._show()
        elif self.download:
            self.stop_download()

    def action_region(self) -> None:
        def wrong(answers: Answers) -> dict[str, str]:
            fits = REGION.fullmatch(answers["region"])
            return {} if fits else {"region": "such as eu-west-1"}

        def answered(answers: dict[str, str] | None) -> None:
            if answers and answers["region"] != self._region:
                self._region = answers["region"]
                self._rows, self._tasks = (), ()
                self.action_refresh_exports()

        ask = Ask("region", "Region", self._region, "eu-west-1")
        text = "Instances, AMIs and exports of another Region of this account."
        self.app.push_screen(FormScreen("Look in a Region", text, (ask,), yes="Look there", check=wrong), answered)

    def action_copy(self) -> None:
        source, export = self.source_in_view, self.export_in_view
        text = source.thing.id if source else (export.where or export.key) if export else ""
        if text:
            self.copy("export.txt", text)

    # -- one of them

    @on(LineTable.Chosen)
    def _chosen(self) -> None:
        self.action_open()

    def action_open(self) -> None:
        """All findings of an instance or image; the task of an export."""
        source, export = self.source_in_view, self.export_in_view
        if source is not None:
            self.app.push_screen(ExportSourceScreen(source, self._region), self._form_closed)
        elif export is not None and export.job is not None:
            self.app.push_screen(registry.job_detail(export.job.id))
        elif export is not None:
            self.action_download()

    def action_export(self) -> None:
        source = self.source_in_view
        if source is None:
            self.tell("Choose an instance or an AMI: tab shows them.")
        elif self.operations.profile.read_only:
            self.tell("This profile is read-only: nothing can be started from it.", error=True)
        else:
            self.app.push_screen(ExportFormScreen(source, self._region), self._form_closed)

    def _form_closed(self, started: bool | None) -> None:
        if started:
            self.host.show_list("jobs")
