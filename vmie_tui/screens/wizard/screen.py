"""The import wizard: source, route, licence, target, review. ← and → go between the steps; nothing is lost."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import ClassVar

from textual import on, work
from textual.binding import BindingType
from textual.message import Message
from textual.timer import Timer
from textual.widget import Widget
from textual.widgets import Button, ContentSwitcher
from textual.worker import get_current_worker

from vmie_tui.model.errors import problem_of
from vmie_tui.model.finding import Finding
from vmie_tui.model.machine import Machine
from vmie_tui.model.plan import ImportPlan
from vmie_tui.model.preflight import Preflight
from vmie_tui.model.rules.override import Blocked
from vmie_tui.operations.aws_commands import aws_commands
from vmie_tui.operations.import_plan import Candidate, Draft, draft_of, of_machines
from vmie_tui.operations.profile import ProfileInfo
from vmie_tui.screens import registry
from vmie_tui.screens.frame.actions import WIZARD, bindings
from vmie_tui.screens.frame.base import style_sheet
from vmie_tui.screens.frame.clipboard import Copying
from vmie_tui.screens.frame.confirm import ForceScreen
from vmie_tui.screens.wizard.account_check import PATIENCE, AccountSeen, look
from vmie_tui.screens.wizard.pages import FOUND, JUDGED, LicenceStep, RouteStep, SourceStep, Step
from vmie_tui.screens.wizard.review_page import ReviewStep
from vmie_tui.screens.wizard.target_page import TargetStep
from vmie_tui.widgets.line_view import OneLine
from vmie_tui.widgets.text import Cell, clean, fit, line_width

STEPS = (
    ("step-source", "Source", SourceStep),
    ("step-route", "Route", RouteStep),
    ("step-licence", "Licence", LicenceStep),
    ("step-target", "Target", TargetStep),
    ("step-review", "Review", ReviewStep),
)
REVIEW = len(STEPS) - 1


class WizardScreen(Copying):
    """Dismisses with True once jobs were started, False when closed."""

    MODE = "inventory"
    ACTIONS = WIZARD
    BINDINGS: ClassVar[list[BindingType]] = [*bindings(WIZARD)]
    CSS_PATH = style_sheet(__file__)

    class Checked(Message):
        """The rules have looked at the draft as it is now."""

        def __init__(self, sources: tuple[FOUND, ...], judged: tuple[JUDGED, ...]) -> None:
            super().__init__()
            self.sources, self.judged = sources, judged

    class Looked(Message):
        """AWS has said what it does of the account, or that it does not."""

        def __init__(self, seen: AccountSeen) -> None:
            super().__init__()
            self.seen = seen

    class Submitted(Message):
        """``newest``: id of the last job started, "" for none. ``refused`` maps a source's name to the reason."""

        def __init__(self, newest: str, refused: dict[str, str]) -> None:
            super().__init__()
            self.newest, self.refused = newest, refused

    def __init__(self, draft: Draft) -> None:
        super().__init__()
        self.draft = draft
        self._at = 0
        self._starting = False
        self._sources: tuple[FOUND, ...] = ()  # what the rules say of the sources alone
        self._judged: tuple[JUDGED, ...] = ()  # and of the plans
        self._account = AccountSeen()
        self._patience: Timer | None = None

    def compose_body(self) -> Iterable[Widget]:
        yield OneLine(id="steps")
        with ContentSwitcher(id="pages", initial=STEPS[0][0]):
            for key, _, step in STEPS:
                yield step(self.draft, id=key)

    def on_mount(self) -> None:
        super().on_mount()
        self._show_step()

    def step(self) -> Step:
        return self.query_one(f"#{STEPS[self._at][0]}", Step)

    # -- going from step to step

    def action_step(self, direction: int) -> None:
        target = self._at + direction
        if not 0 <= target < len(STEPS):
            return
        self._at = target
        self._show_step()

    def _show_step(self) -> None:
        self.query_one("#pages", ContentSwitcher).current = STEPS[self._at][0]
        on_review = self._at == REVIEW
        on_page = (("enter", "start"), ("p", "preflight"), ("y", "copy command"))
        extra = on_page if on_review else (("tab", "field"), ("space", "choose"))
        self.show_hints(extra)
        self._show_title()
        self.step().enter()
        if on_review:
            self._ask_aws()
        self._judge()
        self.call_after_refresh(self._focus_first)

    def _focus_first(self) -> None:
        """The first part of the page that takes keys; on the review the start button, when it may be pressed."""
        page = self.step()
        wanted = "#start" if self._at == REVIEW else "ChoiceList, Input"
        target = next((widget for widget in page.query(wanted) if widget.focusable), None)
        if target is None:
            target = next((widget for widget in page.query("LinePane") if widget.focusable), None)
        self.set_focus(target)

    def _show_title(self) -> None:
        marks: list[Cell] = []
        for number, (_, title, _) in enumerate(STEPS):
            glyph, style = ("●", "ok") if number < self._at else ("◐", "mark") if number == self._at else ("○", "dim")
            marks += [(f" {glyph} ", style), (title, "tab" if number == self._at else "dim")]
        room = self.app.size.width - line_width(marks) - 2
        names = f"Import {clean(self.draft.names())}"
        self.query_one("#steps", OneLine).show((f" {fit(names, room)}", "title"), *marks)

    def on_resize(self) -> None:
        self._show_title()
        self.step().enter()
        self._show_found()

    # -- the rules, in a thread

    @on(Step.Changed)
    def _changed(self) -> None:
        self._judge()

    def _judge(self) -> None:
        mistakes = self.draft.mistakes()
        draft = replace(self.draft, tags="") if "tags" in mistakes else self.draft
        self._check(list(zip(draft.candidates, draft.plans(), strict=True)))

    @work(thread=True, exclusive=True, group="judge", exit_on_error=False)
    def _check(self, pairs: list[tuple[Candidate, ImportPlan]]) -> None:
        imports = self.operations.imports
        sources, judged = list[FOUND](), list[JUDGED]()
        for one, plan in pairs:
            known, found = self._preflight(one), imports.check_machine(one.machine)
            sources.append((one, known.join(found) if known is not None else found))
            judged.append((one, imports.weigh(plan, one.machine, known)))
        if not get_current_worker().is_cancelled:
            self.post_message(self.Checked(tuple(sources), tuple(judged)))

    # -- the account, in a thread: asked anew whenever the review is reached

    def _ask_aws(self) -> None:
        self._account = AccountSeen()
        if self._patience is not None:
            self._patience.stop()
        if self.draft.mistakes():
            return  # there is no target yet
        self._account = AccountSeen(asking=True)
        self._look(list(zip(self.draft.candidates, self.draft.plans(), strict=True)))
        self._patience = self.set_timer(PATIENCE, self._waited)

    @work(thread=True, exclusive=True, group="account", exit_on_error=False)
    def _look(self, pairs: list[tuple[Candidate, ImportPlan]]) -> None:
        seen = look(self.operations, pairs)
        if not get_current_worker().is_cancelled:
            self.post_message(self.Looked(seen))

    @on(Looked)
    def _looked(self, event: Looked) -> None:
        self._account = event.seen
        self._show_found()

    def _waited(self) -> None:
        """AWS is out of reach, it seems: the start is not kept from the user any longer."""
        if self._account.asking:
            self._account = replace(self._account, late=True)
            self._show_found()

    # -- what is known of the candidates

    def _preflight(self, candidate: Candidate) -> Preflight | None:
        """What a look into the candidate's disks has found, in this session or when it was opened."""
        return candidate.preflight or self.host.preflights.get(candidate.key)

    @on(Checked)
    def _checked(self, event: Checked) -> None:
        self._sources, self._judged = event.sources, event.judged
        self._show_found()

    def _show_found(self) -> None:
        known = ((one.key, self._preflight(one)) for one in self.draft.candidates)
        looks = {key: preflight.look for key, preflight in known if preflight is not None}
        self.query_one(SourceStep).show_findings(self._sources, looks)
        self.query_one(ReviewStep).show_findings(
            self._judged, self._blocked(), self.draft.mistakes(), looks, self.host.jobs or (), account=self._account
        )
        if self._at == REVIEW and not self._starting:
            self._focus_first()  # the start button may be free only now

    def _blocked(self) -> dict[str, Blocked]:
        """The blockers of each candidate, by its key, as far as the rules and AWS have looked."""
        return {one.key: judged.with_account(self._account.of(one)).blocked for one, judged in self._judged}

    # -- start

    @on(Button.Pressed, "#start")
    def _start_pressed(self) -> None:
        """Blocked machines one after the other: each one's name must be typed, else nothing starts."""
        if not self._starting:
            known = self._blocked()
            self._force([(one, known[one.key].soft) for one, _ in self._judged if known[one.key].soft])

    @work(thread=False, exclusive=True, group="asking", exit_on_error=False)
    async def _force(self, candidates: list[tuple[Candidate, tuple[Finding, ...]]]) -> None:
        override: dict[str, tuple[str, ...]] = {}
        for number, (one, blockers) in enumerate(candidates, 1):
            place = f"{number} of {len(candidates)}" if len(candidates) > 1 else ""
            if not await self.app.push_screen_wait(ForceScreen(one.source.name, blockers, place)):
                self.tell(f"Nothing was started: {clean(one.source.name)} is blocked.")
                return
            override[one.key] = tuple(finding.headline for finding in blockers)
        self._starting = True
        self.query_one("#start", Button).disabled = True
        plans = [(self.draft.plan_for(one), override.get(one.key, ())) for one in self.draft.candidates]
        self._submit([replace(plan, override=forced) for plan, forced in plans])

    def action_report(self) -> None:
        """The preflight of the machines, read from their disks."""
        machines = [one.machine for one in self.draft.candidates if one.in_vcenter]
        if not machines:
            self.tell("It was looked into when it was opened: esc goes back to its report.")
            return

        def closed(looked: bool | None) -> None:
            if looked:
                self._judge()

        self.app.push_screen(registry.preflight_report(machines), closed)

    @work(thread=True, exclusive=True, group="submit", exit_on_error=False)
    def _submit(self, plans: list[ImportPlan]) -> None:
        refused: dict[str, str] = {}
        newest = ""
        for plan in plans:
            try:
                newest = self.operations.jobs.submit_at_once(plan)
            except Exception as error:  # noqa: BLE001 - whatever a worker meets is shown in words
                refused[plan.source.name] = str(problem_of(error))
        self.post_message(self.Submitted(newest, refused))

    @on(Submitted)
    def _submitted(self, event: Submitted) -> None:
        self._starting = False
        for name, reason in event.refused.items():
            self.tell(f"{name} was not started. {reason}", error=True)
        if event.newest:
            self.host.wanted_job = event.newest
            self.host.poll_now()
            self.dismiss(True)
        else:
            self.query_one("#start", Button).disabled = False

    # -- other keys

    def action_close(self) -> None:
        self.dismiss(False)

    def action_copy(self) -> None:
        mistakes = self.draft.mistakes()
        if mistakes:
            self.tell(f"There is no command yet: {next(iter(mistakes.values()))}.", error=True)
        else:
            name = f"aws-import-{self.draft.route.value}.sh"
            self.copy(name, aws_commands(self.draft.plans(), self.draft.candidates))


def import_machines(profile: ProfileInfo, machines: Sequence[Machine]) -> WizardScreen:
    """The wizard for machines of the profile's vCenter."""
    return WizardScreen(draft_of(profile, of_machines(machines, profile.vcenter)))
