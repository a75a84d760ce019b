"""Mode 6: is everything there that imports and exports need; what is missing, and the exact change that makes it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import ClassVar

from textual import on, work
from textual.binding import BindingType
from textual.containers import Container
from textual.message import Message
from textual.widget import Widget
from textual.worker import get_current_worker

from vmie_tui.model.doctor import USUAL_FEATURES, Check, CheckState, DoctorReport, Feature, markdown
from vmie_tui.model.errors import ErrorKind, Problem, problem_of
from vmie_tui.model.form_option import Option
from vmie_tui.operations.doctor import ROLE, TRUST, USER, VCENTER
from vmie_tui.screens.frame.actions import SETUP, bindings
from vmie_tui.screens.frame.base import style_sheet
from vmie_tui.screens.frame.clipboard import Copying, copy_in_thread
from vmie_tui.screens.frame.form import Ask, FormScreen
from vmie_tui.screens.frame.page import PageScreen
from vmie_tui.widgets.doctor_checks import STYLE, CheckTable, check_lines, fix_lines, rows_of, text_lines
from vmie_tui.widgets.line_view import LinePane, OneLine
from vmie_tui.widgets.problem import problem_lines
from vmie_tui.widgets.table import LineTable
from vmie_tui.widgets.text import Cell, clean, fit, line_width

WRONG = frozenset({CheckState.FAILED, CheckState.WARNING})
SHOWN = (CheckState.FAILED, CheckState.WARNING, CheckState.OK, CheckState.SKIPPED)
WHICH, YES, NO = "which", "yes", "no"


class SetupScreen(Copying):
    """Looks when it is first opened, then when asked."""

    MODE = "setup"
    ACTIONS = SETUP
    BINDINGS: ClassVar[list[BindingType]] = [*bindings(SETUP)]
    CSS_PATH = style_sheet(__file__)

    class Looked(Message):
        """A check was made; ``run`` numbers the look it belongs to."""

        def __init__(self, run: int, check: Check) -> None:
            super().__init__()
            self.run, self.check = run, check

    class Done(Message):
        def __init__(self, run: int, report: DoctorReport | None, problem: Problem | None = None) -> None:
            super().__init__()
            self.run, self.report, self.problem = run, report, problem

    class Fixed(Message):
        def __init__(self, check: Check | None, problem: Problem | None = None) -> None:
            super().__init__()
            self.check, self.problem = check, problem

    class PolicyMade(Message):
        def __init__(self, which: str, text: str, problem: Problem | None = None) -> None:
            super().__init__()
            self.which, self.text, self.problem = which, text, problem

    def __init__(self) -> None:
        super().__init__()
        self._run = 0
        self._step = ""  # what is going on, in words; empty when nothing is
        self._checks: tuple[Check, ...] = ()
        self._report: DoctorReport | None = None
        self._problem: Problem | None = None

    def compose_body(self) -> Iterable[Widget]:
        yield OneLine(id="summary")
        with Container(id="body"):
            yield CheckTable(id="checks")
            yield LinePane(id="detail")

    def on_mount(self) -> None:
        super().on_mount()
        self.table.focus()
        self.call_after_refresh(self.action_again)

    @property
    def table(self) -> CheckTable:
        return self.query_one(CheckTable)

    @property
    def current(self) -> Check | None:
        row = self.table.current
        return row.check if row is not None else None

    # -- looking

    def action_again(self) -> None:
        if self._step:
            self.tell("It is at work already.")
            return
        self._run += 1
        self._step, self._problem, self._report = "looking", None, None  # what was seen stays until it is seen anew
        self._draw()
        self._examine(self._run)

    @work(thread=True, exclusive=True, group="doctor", exit_on_error=False)
    def _examine(self, run: int) -> None:
        worker = get_current_worker()
        try:
            report = self.operations.doctor.examine(
                lambda check: self._tell_check(run, check), lambda: worker.is_cancelled
            )
        except Exception as error:  # noqa: BLE001 - whatever a worker meets is shown in words
            if not worker.is_cancelled:
                self.post_message(self.Done(run, None, problem_of(error)))
        else:
            self.post_message(self.Done(run, report))

    def _tell_check(self, run: int, check: Check) -> None:
        self.post_message(self.Looked(run, check))

    @on(Looked)
    def _has_looked(self, event: Looked) -> None:
        if event.run == self._run and self._report is None:
            kept = {check.id: check for check in self._checks}
            self._checks = tuple((kept | {event.check.id: event.check}).values())
            self._draw()

    @on(Done)
    def _all_done(self, event: Done) -> None:
        if event.run != self._run:
            return
        self._step, self._problem, self._report = "", event.problem, event.report
        if event.report is not None:
            self._checks = event.report.checks
        self._draw()

    # -- what is shown

    def _draw(self) -> None:
        table = self.table
        problem = self._problem
        cells = max(20, table.text_width() - 2)
        if problem is not None:
            table.empty = ((), *problem_lines(problem, cells, margin=" "))
        else:
            table.empty = ((), ((f" {self._step or 'nothing was looked at yet: r looks'}…", "dim"),))
        table.set_rows(rows_of(self._checks))
        if self.current is None and table.rows:
            table.move_to(0)
        self._draw_summary()
        self._draw_detail()
        self.show_hints()

    def _draw_summary(self) -> None:
        right: list[Cell] = []
        for state in SHOWN:
            count = sum(check.state is state for check in self._checks)
            if count:
                right.append((f"{state.glyph} {count}  ", STYLE[state]))
        if self._step:
            right.append((f"{self._step}… ", "busy"))
        fixable = sum(check.fix is not None for check in self._checks)
        can = f"  {fixable} can be fixed here: f" if fixable and not self._step else ""
        line = self.query_one("#summary", OneLine)
        room = line.text_width() - line_width(right) - 1
        title = f" Setup of {clean(self.operations.profile.name)}"
        left = fit(title, min(len(title), max(8, room - len(can))))
        line.show((left, "title"), (can, "mark"), (" " * max(1, room - len(left) - len(can)), ""), *right)

    @on(LineTable.Moved)
    def _draw_detail(self) -> None:
        pane, check = self.query_one("#detail", LinePane), self.current
        cells = pane.text_width()
        pane.set_lines(check_lines(check, cells) if check is not None else (), top=True)

    def on_resize(self) -> None:
        self.call_after_refresh(self._draw_summary)
        self.call_after_refresh(self._draw_detail)

    # -- keys

    def action_problem(self, direction: int) -> None:
        """To the next check that failed or warns, round the end."""
        rows, here = self.table.rows, self.table.cursor
        for step in range(1, len(rows) + 1):
            index = (here + direction * step) % len(rows)
            check = rows[index].check
            if check is not None and check.state in WRONG:
                self.table.move_to(index)
                return
        self.tell("Nothing failed, and nothing is doubtful." if rows else "Nothing was looked at yet.")

    @on(LineTable.Chosen)
    def action_open(self) -> None:
        check = self.current
        if check is None:
            return

        def draw(cells: int) -> list[tuple[Cell, ...]]:
            lines = check_lines(check, cells)
            return [*lines, (), *fix_lines(check.fix, cells)] if check.fix is not None else lines

        self.app.push_screen(PageScreen(check.group.label, draw))

    def action_fix(self) -> None:
        """Show what would be sent, ask, and make it."""
        check = self.current
        if check is None or self._step:
            self.tell("Wait until it has looked." if self._step else "There is nothing to fix here.", error=True)
        elif check.fix is None:
            self.tell(self._why_no_fix(check), error=True)
        elif self.operations.profile.read_only:
            self.tell("This profile is read-only: nothing can be changed from it.", error=True)
        else:
            self._ask(check)

    def _why_no_fix(self, check: Check) -> str:
        if check.state is CheckState.OK:
            return f"{clean(check.title)} is in order: there is nothing to fix."
        others = sum(each.fix is not None for each in self._checks)
        elsewhere = f" {others} other can be: those that say 'fix'." if others else ""
        return f"{clean(check.title)} cannot be fixed from here; its remedy says who can.{elsewhere}"

    def _ask(self, check: Check) -> None:
        fix = check.fix
        assert fix is not None

        def answered(yes: bool | None) -> None:
            if yes:
                self._step = "making the change"
                self._draw()
                self._apply(check)

        count = "this change" if len(fix.changes) == 1 else f"these {len(fix.changes)} changes"
        question = PageScreen(
            f"{check.title}: make {count}?", lambda cells: fix_lines(fix, cells), yes=f"Make {count}", no="Cancel"
        )
        self.app.push_screen(question, answered)

    @work(thread=True, exclusive=True, group="fix", exit_on_error=False)
    def _apply(self, check: Check) -> None:
        try:
            self.post_message(self.Fixed(self.operations.doctor.apply(check)))
        except Exception as error:  # noqa: BLE001 - whatever a worker meets is shown in words
            self.post_message(self.Fixed(None, problem_of(error)))

    @on(Fixed)
    def _has_fixed(self, event: Fixed) -> None:
        """Others may follow from it: look at everything again."""
        self._step = ""
        if event.problem is not None:
            problem = event.problem
            self.tell(f"{problem.subject}: {problem.what}. {problem.remedy}".strip(), error=True)
            if problem.kind is not ErrorKind.CONFLICT:
                self._draw()
                return
        elif event.check is not None:
            self.tell(f"{event.check.state.glyph} {clean(event.check.title)}: {clean(event.check.reason)}")
        self.action_again()

    # -- what is handed on

    def action_copy(self) -> None:
        if self._report is None:
            self.tell("Wait until it has looked.", error=True)
            return

        self.copy("setup.md", markdown(self._report))

    def action_policy(self) -> None:
        """Which policy, for which features; then its text to read and copy."""
        which = (Option(USER, "user"), Option(ROLE, "role"), Option(TRUST, "role's trust"), Option(VCENTER, "vCenter"))
        answer = (Option(YES, "yes"), Option(NO, "no"))
        asks = [Ask(WHICH, "Policy of the", USER, options=which)]
        asks += [
            Ask(one.value, one.value, YES if one in USUAL_FEATURES else NO, one.label, options=answer)
            for one in Feature
        ]

        def chosen(answers: Mapping[str, str] | None) -> None:
            if answers is not None:
                features = frozenset(one for one in Feature if answers[one.value] == YES)
                self._make_policy(answers[WHICH], features)

        text = "The least that is needed for what you want to do; space changes an answer."
        self.app.push_screen(FormScreen("Policy for an administrator", text, asks, yes="Show it"), chosen)

    @work(thread=True, exclusive=True, group="policy", exit_on_error=False)
    def _make_policy(self, which: str, features: frozenset[Feature]) -> None:
        try:
            self.post_message(self.PolicyMade(which, self.operations.doctor.policy(which, features)))
        except Exception as error:  # noqa: BLE001 - whatever a worker meets is shown in words
            self.post_message(self.PolicyMade(which, "", problem_of(error)))

    @on(PolicyMade)
    def _policy_made(self, event: PolicyMade) -> None:
        if event.problem is not None:
            self.tell(event.problem.what, error=True)
            return

        def copy() -> None:
            copy_in_thread(self, f"policy-{event.which}.json", f"{event.text}\n")

        title = f"Policy of the {event.which}"
        self.app.push_screen(PageScreen(title, lambda cells: text_lines(event.text, cells), copy=copy))
