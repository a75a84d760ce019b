"""The preflight of a machine on the whole screen: its disks are read when the page is opened, and kept in memory."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import ClassVar

from textual import on, work
from textual.binding import BindingType
from textual.message import Message
from textual.widget import Widget
from textual.worker import get_current_worker

from vmie_tui.model.errors import ErrorKind, Problem, problem_of
from vmie_tui.model.machine import Machine, Power
from vmie_tui.model.preflight import Preflight, markdown
from vmie_tui.model.preparation import unattend_xml
from vmie_tui.screens.frame.actions import REPORT, bindings
from vmie_tui.screens.frame.base import style_sheet
from vmie_tui.screens.frame.clipboard import Copying
from vmie_tui.screens.frame.confirm import ConfirmScreen
from vmie_tui.widgets.line_view import LinePane, OneLine
from vmie_tui.widgets.machines import POWER, short_os, verdict_cell
from vmie_tui.widgets.problem import problem_lines
from vmie_tui.widgets.report import report_lines
from vmie_tui.widgets.text import Line, clean, fit, line_width, paragraph

SNAPSHOT_NAME = "vmie-tui preflight"


class ReportScreen(Copying):
    """Dismisses with True when something was looked into, so that verdicts may have changed."""

    MODE = "inventory"
    ACTIONS = REPORT
    BINDINGS: ClassVar[list[BindingType]] = [*bindings(REPORT)]
    CSS_PATH = style_sheet(__file__)

    class Step(Message):
        """What is being done, in words."""

        def __init__(self, key: str, words: str) -> None:
            super().__init__()
            self.key, self.words = key, words

    class Looked(Message):
        def __init__(self, key: str, result: Preflight | None, problem: Problem | None = None) -> None:
            super().__init__()
            self.key, self.result, self.problem = key, result, problem

    def __init__(self, machines: Sequence[Machine]) -> None:
        super().__init__()
        self._machines = tuple(machines)
        self._at = 0
        self._step = ""
        self._problem: Problem | None = None
        self._plain: dict[str, Preflight] = {}  # of the configuration alone: not kept once the page is closed
        self._looked = False

    @property
    def machine(self) -> Machine:
        return self._machines[self._at]

    @property
    def result(self) -> Preflight | None:
        key = self.machine.key
        return self.host.preflights.get(key) or self._plain.get(key)

    def compose_body(self) -> Iterable[Widget]:
        yield OneLine(id="summary")
        yield LinePane(id="report")

    def on_mount(self) -> None:
        super().on_mount()
        self.query_one("#report", LinePane).focus()
        self._open()

    def show_hints(self, extra: tuple[tuple[str, str], ...] = ()) -> None:
        several = (("n", "next VM"),) if len(self._machines) > 1 else ()
        result = self.result
        answers = (("u", "unattend.xml"),) if result is not None and result.windows else ()
        super().show_hints((*extra, *several, *answers))

    # -- looking

    def _open(self) -> None:
        """Show the machine in turn; look into it unless that was done."""
        self._problem, self._step = None, ""
        if self.result is None:
            self.action_again()
        self._draw(top=True)

    def action_again(self) -> None:
        """A running machine is frozen by a snapshot first: only after asking."""
        if self._step:
            return
        known = self.result
        machine = known.machine if known is not None and known.machine is not None else self.machine  # the newer one
        if machine.power is not Power.ON:
            self._start(machine, snapshot=False)
        elif self.operations.profile.read_only:
            self.tell("This profile is read-only: a running VM's disks are not read, as that takes a snapshot.")
            self._start(machine, snapshot=False)
        else:
            self._ask(machine)

    def _ask(self, machine: Machine) -> None:
        name = clean(machine.name)
        text = (
            f"{name} is running, and its host locks the files of its disks. The snapshot {SNAPSHOT_NAME!r} is made, "
            "a few blocks of each disk are read, and the snapshot is removed again. The VM goes on running."
        )

        def answered(yes: bool | None) -> None:
            if yes or self.result is None:
                self._start(machine, snapshot=bool(yes))

        question = ConfirmScreen(f"Make a snapshot of {name}?", text, yes="Make the snapshot", no="Configuration only")
        self.app.push_screen(question, answered)

    def _start(self, machine: Machine, *, snapshot: bool) -> None:
        self._step, self._problem = "reading", None
        self._draw(top=True)
        self._look(machine, snapshot)

    @work(thread=True, exclusive=True, group="preflight", exit_on_error=False)
    def _look(self, machine: Machine, snapshot: bool) -> None:
        worker, key = get_current_worker(), machine.key
        try:
            result = self.operations.imports.preflight(
                machine, snapshot=snapshot, on_step=lambda words: self._tell_step(key, words)
            )
        except Exception as error:  # noqa: BLE001 - whatever a worker meets is shown in words
            if not worker.is_cancelled:
                self.post_message(self.Looked(key, None, problem_of(error)))
        else:
            if not worker.is_cancelled:
                self.post_message(self.Looked(key, result))

    def _tell_step(self, key: str, words: str) -> None:
        self.post_message(self.Step(key, words))

    @on(Step)
    def _stepped(self, event: Step) -> None:
        if event.key == self.machine.key and self._step:
            self._step = event.words
            self._draw()

    @on(Looked)
    def _has_looked(self, event: Looked) -> None:
        if event.result is not None and event.result.guest is not None:
            self.host.preflights[event.key] = event.result
            self._looked = True
        elif event.result is not None:
            self._plain[event.key] = event.result
        if event.key == self.machine.key:
            self._step, self._problem = "", event.problem
            self._draw(top=True)
        if event.problem is not None and event.problem.kind is ErrorKind.LOGIN:
            self.host.vcenter_bad(event.problem)
            self.host.ask_password()

    # -- what is shown

    def _draw(self, *, top: bool = False) -> None:
        pane = self.query_one("#report", LinePane)
        cells = pane.text_width()
        result = self.result
        lines: list[Line] = []
        if self._problem is not None:
            lines += [*problem_lines(self._problem, cells, margin=" "), ()]
        if self._step:
            lines += [((f" {clean(self._step)}…", "busy"),), ()]
        if result is not None:
            lines += report_lines(result, cells)
        elif not self._step and self._problem is None:
            lines += paragraph("Nothing was looked at yet: r looks.", cells, "dim", ((" ", ""),))
        pane.set_lines(lines, top=top)
        self._draw_summary(result)
        self.show_hints()

    def _draw_summary(self, result: Preflight | None) -> None:
        machine = self.machine
        power, style = POWER[machine.power]
        right: list[tuple[str, str]] = [(f"{power}  ", style), (f"{short_os(clean(machine.os_name))}  ", "")]
        if result is not None:
            right.append(verdict_cell(result.judged))
        count = f" {self._at + 1}/{len(self._machines)}" if len(self._machines) > 1 else ""
        left = f" Preflight{count}  {clean(machine.name)}"
        room = max(8, self.app.size.width - line_width(right) - 2)
        self.query_one("#summary", OneLine).show((f"{fit(left, room)} ", "title"), *right)

    def on_resize(self) -> None:
        self.call_after_refresh(self._draw)

    # -- other keys

    def action_next(self, direction: int) -> None:
        target = self._at + direction
        if 0 <= target < len(self._machines) and not self._step:
            self._at = target
            self._open()

    def action_back(self) -> None:
        self.dismiss(self._looked)

    def action_copy(self) -> None:
        result = self.result
        if result is None:
            self.tell("There is no report yet.", error=True)
        else:
            self.copy(f"preflight-{self.machine.moid}.md", markdown(result))

    def action_unattend(self) -> None:
        result = self.result
        if result is None or not result.windows:
            self.tell("unattend.xml is for Windows guests: this is none, as far as was seen.", error=True)
        else:
            self._save_unattend()

    @work(thread=True, exclusive=True, group="copy", exit_on_error=False)
    def _save_unattend(self) -> None:
        try:
            path = self.operations.save_text("unattend.xml", unattend_xml())
        except OSError as error:
            self.app.call_from_thread(self.tell, f"Could not save: {error.strerror}", error=True)
        else:
            words = f"Saved to {path}. Put it into C:\\Windows\\Panther, then run Sysprep /oobe /generalize."
            self.app.call_from_thread(self.tell, words)
