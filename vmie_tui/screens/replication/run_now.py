"""A run beside the schedule: what it copies, how much of it is read back, and whether one may be started at all."""

from __future__ import annotations

from typing import ClassVar

from textual import on, work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.message import Message
from textual.screen import ModalScreen
from textual.widgets import Button, Static

from vmie_tui.model.errors import Problem, problem_of
from vmie_tui.model.form_option import Option
from vmie_tui.model.replication import ReplicationView, Sync, Verify, next_words
from vmie_tui.model.rules.replication_schedule import on_demand_left, on_demand_most, refuse_run
from vmie_tui.screens.frame.base import style_sheet
from vmie_tui.screens.frame.host import host_of
from vmie_tui.widgets.choice import ChoiceList
from vmie_tui.widgets.line_view import LinePane
from vmie_tui.widgets.problem import problem_lines
from vmie_tui.widgets.text import Line, clean, paragraph

LABEL_CELLS = 8


class RunNow(ModalScreen[bool]):
    """Dismisses with True once the run was asked for."""

    CSS_PATH = style_sheet(__file__)
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "dismiss(False)", "Cancel"),
        Binding("ctrl+s", "run", "Run now"),
    ]

    class Asked(Message):
        def __init__(self, run_id: str, problem: Problem | None = None) -> None:
            super().__init__()
            self.run_id, self.problem = run_id, problem

    def __init__(self, view: ReplicationView) -> None:
        super().__init__()
        self._view = view
        self._problem = refuse_run(view)
        self._busy = False

    def compose(self) -> ComposeResult:
        with Vertical(id="box"):
            yield Static(clean(f"Run {self._view.name} now?"), id="title", markup=False)
            yield LinePane(id="words")
            yield ChoiceList("Copy", sync_options(self._view), "", label_cells=LABEL_CELLS, id="sync")
            set_now = f"as set: {self._view.spec.verify.value}"
            kinds = (Option("", set_now), *(Option(kind.value, kind.value) for kind in (Verify.SAMPLE, Verify.ALL)))
            yield ChoiceList("Verify", kinds, "", inline=True, label_cells=LABEL_CELLS, id="verify")
            with Horizontal(id="buttons"):
                yield Button("Cancel", id="no", compact=True)
                yield Button("Run now", id="yes", compact=True)

    def on_mount(self) -> None:
        self.query_one("#words", LinePane).can_focus = False
        self.query_one("#sync").focus()
        self.call_after_refresh(self._draw)

    def on_resize(self) -> None:
        self.call_after_refresh(self._draw)

    def _draw(self) -> None:
        pane = self.query_one("#words", LinePane)
        cells = max(20, pane.text_width())
        lines: list[Line] = []
        for words in run_words(self._view):
            lines += paragraph(words, cells, "dim")
        if self._problem is not None:
            lines += problem_lines(self._problem, cells, retry="")
        pane.set_lines(lines)
        self.query_one("#yes", Button).disabled = self._busy or refuse_run(self._view) is not None

    @on(Button.Pressed, "#no")
    def _cancelled(self) -> None:
        self.dismiss(False)

    @on(Button.Pressed, "#yes")
    def action_run(self) -> None:
        """Ask for the run, unless one was asked for already or none may be started."""
        if self.query_one("#yes", Button).disabled:
            return
        sync, verify = (self.query_one(f"#{key}", ChoiceList).value for key in ("sync", "verify"))
        self._busy, self._problem = True, None
        self._draw()
        self._run(Sync(sync) if sync else None, Verify(verify) if verify else None)

    @work(thread=True, exclusive=True, group="submit", exit_on_error=False)
    def _run(self, resync: Sync | None, verify: Verify | None) -> None:
        replicas = host_of(self).operations.replications
        try:
            run_id = replicas.run_now(self._view.id, resync=resync, verify=verify, cutover=None)
        except Exception as error:  # noqa: BLE001 - whatever a worker meets is shown in words
            self.post_message(self.Asked("", problem_of(error)))
        else:
            self.post_message(self.Asked(run_id))

    @on(Asked)
    def _was_asked(self, event: Asked) -> None:
        self._busy, self._problem = False, event.problem
        if event.problem is None:
            self.notify(f"{clean(self._view.name)}: run {event.run_id} has begun.", markup=False)
            self.dismiss(True)
        else:
            self._draw()


def sync_options(view: ReplicationView) -> tuple[Option, ...]:
    """What a run copies, each in a line."""
    first = not any(run.figures for run in view.runs)
    normal = "the first copy: all areas in use" if first else "what changed since the last run"
    return (
        Option("", "Changed blocks", normal),
        Option(Sync.FULL.value, "Full resync", "all areas in use once more, on no earlier snapshot"),
        Option(Sync.CHECKSUM.value, "Checksum resync", "reads all, moves blocks whose SHA-256 differs"),
    )


def run_words(view: ReplicationView) -> tuple[str, ...]:
    following = next_words(view)
    schedule = f" The schedule stays as it is: next run {following}." if view.next_run is not None else ""
    return (f"On-demand runs: {on_demand_left(view)} of {on_demand_most()} in 24 hours are left.{schedule}",)
