"""Mode 3: every task of VM import and export in sight, and what happened to the one under the cursor."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import timedelta
from typing import ClassVar

from textual import on, work
from textual.binding import BindingType
from textual.containers import Container
from textual.message import Message
from textual.widget import Widget

from vmie_tui.model.errors import Problem, VmieError
from vmie_tui.model.formatting import plural
from vmie_tui.model.task import TaskKind
from vmie_tui.model.task_filter import parse_filter
from vmie_tui.model.task_history import SortBy, TaskQuery, TaskRecord
from vmie_tui.operations.tasks import Scope, Study
from vmie_tui.screens.frame.actions import TASKS, bindings
from vmie_tui.screens.frame.base import style_sheet
from vmie_tui.screens.frame.filter import Sorting
from vmie_tui.screens.tasks.actions import TaskActions
from vmie_tui.screens.tasks.detail import TaskScreen
from vmie_tui.screens.tasks.explorer import Following, TasksSeen, TasksUnread
from vmie_tui.screens.tasks.scope_picker import PlacesScreen
from vmie_tui.widgets.line_view import ArrowPane, LinePane, OneLine
from vmie_tui.widgets.problem import problem_lines
from vmie_tui.widgets.table import LineTable
from vmie_tui.widgets.tasks import SORTS, TaskTable, count_words, task_lines
from vmie_tui.widgets.text import Cell, Line, clean, fit, line_width, paragraph

MOST_TROUBLES = 3  # lines of them above the table


class TasksScreen(Sorting, TaskActions):
    MODE = "tasks"
    SORTS = SORTS
    ACTIONS = TASKS
    BINDINGS: ClassVar[list[BindingType]] = [*bindings(TASKS)]
    CSS_PATH = style_sheet(__file__)
    HORIZONTAL_BREAKPOINTS = [(0, "-narrow"), (150, "-wide")]  # noqa: RUF012 - the table alone takes 80
    VERTICAL_BREAKPOINTS = [(0, "-low"), (18, "-high")]  # noqa: RUF012

    class Studied(Message):
        def __init__(self, study: Study) -> None:
            super().__init__()
            self.study = study

        def can_replace(self, message: Message) -> bool:
            return isinstance(message, TasksScreen.Studied)

    def __init__(self) -> None:
        super().__init__()
        self._records: tuple[TaskRecord, ...] = ()
        self._query, self._mistake = TaskQuery(), ""
        self._places: Scope | None = None
        self._following: Following | None = None
        self._seen: TasksSeen | None = None
        self._problem: Problem | None = None
        self._study: Study | None = None
        self._newer: dict[tuple[str, str, str], TaskRecord] = {}

    def compose_body(self) -> Iterable[Widget]:
        yield OneLine(id="counts")
        yield from self.filter_line("words, !word, state=failed last=7d kind= tag=")
        yield LinePane(id="troubles")
        with Container(id="body"):
            yield TaskTable(id="tasks")
            yield ArrowPane(id="detail")

    def on_mount(self) -> None:
        super().on_mount()
        self.query_one("#troubles", LinePane).can_focus = False
        self.table.sorted_by = ("age", False)
        self.table.focus()
        self._places = Scope((self.operations.profile.name,))
        self._show_empty()
        self._show_head()
        self.call_after_refresh(self._start)

    def on_unmount(self) -> None:
        if self._following is not None:
            self._following.stop()

    def on_screen_resume(self) -> None:
        if self._following is not None:
            self._following.wake()

    @property
    def table(self) -> TaskTable:
        return self.query_one(TaskTable)

    @property
    def detail(self) -> LinePane:
        return self.query_one("#detail", LinePane)

    def task_in_view(self) -> TaskRecord | None:
        return self.table.current

    def studied(self) -> Study | None:
        return self._study

    # -- reading AWS, in a thread

    def _start(self) -> None:
        """Read the places chosen, from the beginning."""
        if self._following is not None:
            self._following.stop()
        assert self._places is not None
        self._seen, self._problem = None, None
        shown = lambda: self.app.current_mode == self.MODE  # noqa: E731
        self._following = Following(self.operations.tasks, self._places, self.post_message, shown)
        self._follow(self._following)

    @work(thread=True, exclusive=True, group="explorer", exit_on_error=False)
    def _follow(self, following: Following) -> None:
        following.follow()

    @on(TasksSeen)
    def _tasks_seen(self, event: TasksSeen) -> None:
        if event.source is not self._following:
            return
        before, self._seen, self._problem = self._seen, event, None
        if before is not None and event.same_as(before) and event.records == self._records:
            return  # nothing to paint: a look that found nothing new costs no traffic
        if event.records != self._records:
            regions, profiles = {region for _, region in event.places}, {profile for profile, _ in event.places}
            hidden = {"region"} if len(regions) < 2 else set()
            self.table.hide(hidden | ({"profile"} if len(profiles) < 2 else set()))
            self._take(event.records)
        self._show_troubles(event.troubles)
        self._show_empty()
        self._show_head()

    def _tell_page(self) -> None:
        """The page of one task, when it is open, gets what is new of it."""
        for screen in self.app.screen_stack:
            if isinstance(screen, TaskScreen):
                key = screen.task_in_view().key
                newer = next((record for record in self._records if record.key == key), None)
                if newer is not None:
                    screen.show(newer)

    @on(TasksUnread)
    def _tasks_unread(self, event: TasksUnread) -> None:
        if event.source is not self._following:
            return
        self._problem = event.problem
        self._show_empty()
        self._show_head()

    def action_refresh_tasks(self) -> None:
        """Everything from the beginning; what is known stays in sight meanwhile."""
        self._start()
        self._show_empty()
        self._show_head()

    def newer(self, record: TaskRecord) -> None:
        """A task that was changed from here: shown until the explorer has looked at it again."""
        self._newer[record.key] = record
        self._take(self._records)

    def _take(self, records: tuple[TaskRecord, ...]) -> None:
        known = self._newer
        self._records = tuple(
            known[one.key] if one.key in known and known[one.key].last_seen > one.last_seen else one for one in records
        )
        self._apply()
        self._tell_page()

    # -- what is shown of it

    def _apply(self) -> None:
        now, at_top = self.host.now(), self.table.cursor == 0
        self.table.now = now
        self.table.set_rows(self._query.apply(self._records, now))
        if at_top and (self._seen is None or self._seen.reading):
            self.table.move_to(0)  # nobody has chosen a task yet: more are still coming

    def _show_head(self) -> None:
        """Where we look, how much of it, which filter, how many requests it took."""
        seen = self._seen
        regions = len({region for _, region in seen.places}) if seen else 0
        profiles = len({profile for profile, _ in seen.places}) if seen else 0
        where = plural(regions, "Region") if regions > 1 else next((r for _, r in seen.places), "") if seen else ""
        who = f" of {plural(profiles, 'profile')}" if profiles > 1 else ""
        counts = count_words(len(self.table.rows), len(self._records))
        left: list[Cell] = [(f" {where}{who}" if where else " Tasks", "title"), (f" · {counts}", "")]
        kinds = (f" · {plural(len(self._query.kinds) or len(TaskKind), 'kind')}", "")
        requests = (f" · {plural(seen.requests, 'request')}" if seen else "", "dim")
        right: list[Cell] = []
        if self._mistake:
            right.append((f"  {clean(self._mistake)}", "warn"))
        elif self._words:
            right.append((f"  filter: {clean(self._words)}", "mark"))
        if self._problem is None and (seen is None or seen.reading):
            right.append(("  reading…", "busy"))
        line = self.query_one("#counts", OneLine)
        room = line.text_width() - line_width(left) - 1
        for extra in (kinds, requests):  # where there is room: the filter's words come first
            if line_width(right) + line_width([extra]) <= room:
                left.append(extra)
                room -= line_width([extra])
        if right and line_width(right) > room:
            words, style = right[0]
            right[0] = (fit(words, max(4, room - line_width(right[1:]))), style)
        line.show(*left, (" " * max(1, room - line_width(right)), ""), *right)
        self.set_class(bool(self._mistake), "-mistaken")
        found = (f" {clean(self._mistake)}", "warn") if self._mistake else (f" {counts}", "dim")
        self.query_one("#found", OneLine).show(found)

    def _show_troubles(self, troubles: tuple[tuple[str, float], ...]) -> None:
        """A line for each Region that could not be read: which, why, and when it is asked again."""
        pane = self.query_one("#troubles", LinePane)
        cells = self.app.size.width - 2
        lines: list[Line] = []
        for words, retry in troubles[:MOST_TROUBLES]:
            at = self.host.now() + timedelta(seconds=retry)
            again = f" · again at {at.astimezone():%H:%M:%S}" if retry else ""
            lines.append(((" ▲ ", "warn"), (fit(clean(words), max(20, cells - 3 - len(again))), ""), (again, "dim")))
        if len(troubles) > MOST_TROUBLES:
            lines.append(((f"   and {len(troubles) - MOST_TROUBLES} more that could not be read", "dim"),))
        self.set_class(bool(lines), "-troubled")
        pane.set_lines(lines)

    def _show_empty(self) -> None:
        """What the table says when it has no row: why, and what to do."""
        table, cells = self.table, max(20, self.table.text_width() - 2)
        margin: Line = ((" ", ""),)
        if self._problem is not None:
            lines = problem_lines(self._problem, cells, margin=" ")
        elif self._seen is None or (self._seen.reading and not self._records):
            lines = [((" reading the tasks…", "dim"),)]
        elif self._records:
            lines = paragraph("No task matches. esc clears the filter.", cells, "dim", margin)
        elif not self._seen.places:
            lines = paragraph("No account could be opened. R chooses others, r tries again.", cells, "dim", margin)
        else:
            lines = paragraph(
                "No task here, and none was seen here before. R looks in other Regions.",
                cells,
                "dim",
                margin,
            )
        table.show_empty(lines)
        if not table.rows:
            self._show_detail()

    @on(LineTable.Moved)
    def _moved(self) -> None:
        record = self.table.current
        changed = record is None or self._study is None or self._study.key != record.key
        if changed:
            self._study = None
        self._show_detail(top=changed)
        if record is not None:
            self._look_up(record)

    def _show_detail(self, *, top: bool = False) -> None:
        record, study = self.table.current, self._study
        cells = self.detail.text_width()
        phases, found = (study.phases, study.explanation) if study else ((), None)
        self.detail.set_lines(task_lines(record, phases, found, cells), top=top)

    @work(thread=True, exclusive=True, group="study", exit_on_error=False)
    def _look_up(self, record: TaskRecord) -> None:
        try:
            self.post_message(self.Studied(self.operations.tasks.study(record, self.host.now())))
        except VmieError:
            self.post_message(self.Studied(Study(record.key)))  # the history cannot be read: the task is still shown

    @on(Studied)
    def _was_studied(self, event: Studied) -> None:
        record = self.table.current
        if record is not None and record.key == event.study.key:
            self._study = event.study
            self._show_detail()

    def on_resize(self) -> None:
        self.call_after_refresh(self._show_head)
        self.call_after_refresh(self._show_detail)

    # -- filter, order, places

    def filtered(self) -> None:
        self._query, self._mistake = parse_filter(self._words, self._query)
        self._apply()
        self.table.move_to(0)
        self._show_empty()
        self._show_head()

    def action_clear(self) -> None:
        self.give_up_filter()
        self._query, self._mistake = parse_filter("", self._query)
        self._apply()
        self._show_empty()
        self._show_head()

    def sort_by(self, column: str, *, reverse: bool) -> None:
        self._query = replace(self._query, sort=SORTS.get(column, SortBy.AGE), reverse=reverse)
        super().sort_by(column, reverse=reverse)

    def action_places(self) -> None:
        def chosen(places: Scope | None) -> None:
            if places is not None and places != self._places:
                self._places = places
                self._records, self._newer = (), {}
                self._start()
                self._apply()
                self._show_troubles(())
                self._show_empty()
                self._show_head()

        assert self._places is not None
        self.app.push_screen(PlacesScreen(self.operations.tasks, self._places, self.operations.profile.region), chosen)

    def action_detail(self) -> None:
        self.toggle_class("-no-detail")

    @on(LineTable.Chosen)
    def _chosen(self) -> None:
        self.action_open()

    def action_open(self) -> None:
        record = self.table.current
        if record is not None:
            self.app.push_screen(TaskScreen(record, self.newer))
