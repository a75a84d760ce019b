"""How machines are replicated: one form for one or many, judged as it is filled in; also to change a replication."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import ClassVar

from textual import on, work
from textual.binding import BindingType
from textual.containers import Horizontal, Vertical
from textual.message import Message
from textual.widget import Widget
from textual.widgets import Button, Input
from textual.worker import get_current_worker

from vmie_tui.model.errors import Problem, problem_of
from vmie_tui.model.finding import Finding
from vmie_tui.model.formatting import plural
from vmie_tui.model.machine import Machine
from vmie_tui.model.replication import ReplicationView
from vmie_tui.operations.replication_plan import NOW, ReplicationDraft, edit_draft, new_draft
from vmie_tui.screens.frame.actions import REPLICATION_FORM, bindings
from vmie_tui.screens.frame.base import style_sheet
from vmie_tui.screens.frame.clipboard import Copying
from vmie_tui.screens.frame.confirm import ConfirmScreen
from vmie_tui.screens.frame.sections import group_widgets, show_groups, take
from vmie_tui.screens.replication.form_fields import Found, blockers, command, form_lines, groups
from vmie_tui.widgets.choice import ChoiceList, Field
from vmie_tui.widgets.fold import Fold
from vmie_tui.widgets.line_view import LinePane, OneLine
from vmie_tui.widgets.text import Cell, clean, fit, line_width


class ReplicationForm(Copying):
    """Dismisses with True once something was started, or saved. ``edit``: the replication to change; ``machines`` is
    then its own, or empty where it is not known.
    """

    MODE = "replication"
    ACTIONS = REPLICATION_FORM
    BINDINGS: ClassVar[list[BindingType]] = [*bindings(REPLICATION_FORM)]
    CSS_PATH = style_sheet(__file__)

    class Judged(Message):
        """What the rules say of each machine, by its moid, of answers that are numbered ``version``."""

        def __init__(self, version: int, now: float, found: Found, problem: Problem | None) -> None:
            super().__init__()
            self.version, self.now, self.found, self.problem = version, now, found, problem

    class Submitted(Message):
        """``done``: moids of those that are started; ``refused``: why not, by the others' names."""

        def __init__(self, done: tuple[str, ...], refused: Mapping[str, Problem]) -> None:
            super().__init__()
            self.done, self.refused = done, refused

    def __init__(self, machines: Sequence[Machine], *, edit: ReplicationView | None = None) -> None:
        super().__init__()
        self._machines, self._edit = tuple(machines), edit
        self.draft: ReplicationDraft
        self._busy = ""
        self._version = 0
        self._judged = False
        self._found: Found = {}
        self._problem: Problem | None = None
        self._refused: Mapping[str, Problem] = {}

    def compose_body(self) -> Iterable[Widget]:
        profile = self.operations.profile
        if self._edit is not None:
            self.draft = edit_draft(profile.vcenter, self._machines, self._edit)
        else:
            self.draft = new_draft(profile, self._machines, self.host.now().timestamp())
        yield OneLine(id="summary")
        with Vertical(id="fields"):
            yield from group_widgets(groups(self.draft), self.draft, self.draft.fixed)
        yield LinePane(id="found")
        with Horizontal(id="buttons"):
            yield Button("Start", id="go", compact=True)

    def on_mount(self) -> None:
        super().on_mount()
        self.query_one("#fields").query("ChoiceList, Input").first().focus()
        self.action_look()

    # -- the rules, in a thread

    def action_look(self) -> None:
        """Judge the answers as they are now."""
        self._version += 1
        self._judged, self._problem = False, None
        self._show_fields()
        self._draw()
        self._judge(self._version, replace(self.draft))

    @work(thread=True, exclusive=True, group="judge", exit_on_error=False)
    def _judge(self, version: int, draft: ReplicationDraft) -> None:
        worker, found, problem = get_current_worker(), dict[str, tuple[Finding, ...]](), None
        try:
            draft.now = self.operations.replications.now()
            for machine in draft.machines:
                if worker.is_cancelled:
                    return
                found[machine.moid] = draft.judge(machine, self.operations.replications.findings)
            if draft.edit is not None and not draft.machines:
                found[""] = draft.judge(None, self.operations.replications.findings)
        except Exception as error:  # noqa: BLE001 - whatever a worker meets is shown in words
            problem = problem_of(error)
        if not worker.is_cancelled:
            self.post_message(self.Judged(version, draft.now, found, problem))

    @on(Judged)
    def _was_judged(self, event: Judged) -> None:
        if event.version != self._version:
            return
        self.draft.now, self._problem = event.now, event.problem
        self._judged, self._found = event.problem is None, event.found
        self._show_start()
        self._draw()

    # -- what is shown

    def _show_fields(self) -> None:
        draft = self.draft
        show_groups(self, groups(draft), draft, draft.mistakes())
        for key, options in (
            ("kind", draft.kind_options),
            ("route", draft.route_options),
            ("licence", draft.licence_options),
        ):
            for choice in self.query(f"#{key}").results(ChoiceList):
                choice.set_options(options(), getattr(draft, key))
        self._show_start()

    def _show_start(self) -> None:
        if "start" not in self.draft.mistakes():
            self.query_one("#field-start", Field).set_note(self.draft.start_words())

    def _blocked(self) -> list[Machine]:
        return [machine for machine in self.draft.machines if blockers(self._found.get(machine.moid, ()))]

    def _draw(self) -> None:
        pane, draft = self.query_one("#found", LinePane), self.draft
        cells = pane.text_width()
        seen = self.host.preflights
        pane.set_lines(form_lines(draft, self._found, self._problem, self._refused, cells, seen=seen))
        self._draw_button()
        blocked = len(self._blocked()) or len(blockers(self._found.get("", ())))
        right: list[Cell] = [(f"  ✖ {blocked} blocked", "bad")] if blocked else []
        busy = self._busy or ("" if self._judged or self._problem else "asking the rules")
        right += [(f"  {busy}…", "busy")] if busy else []
        verb = "Change the replication of" if draft.edit else "Replicate"
        title = f" {verb} {clean(draft.names)}"
        room = self.app.size.width - line_width(right) - 1
        self.query_one("#summary", OneLine).show((fit(title, min(room, max(8, len(title)))), "title"), *right)

    def _draw_button(self) -> None:
        button, total = self.query_one("#go", Button), len(self.draft.machines)
        free = total - len(self._blocked())
        if self.draft.edit is not None:
            button.label = "Save it"
        elif self._judged and free < total:
            button.label = f"Start {free} of {total}…"
        else:
            button.label = f"Start {plural(total, 'replication')}"
        button.disabled = not self._judged or bool(self._busy or self.draft.mistakes())

    def on_resize(self) -> None:
        self.call_after_refresh(self._draw)

    # -- answers

    @on(ChoiceList.Picked)
    def _picked(self, event: ChoiceList.Picked) -> None:
        if take(self.draft, event.choice.id or "", event.value):
            self.action_look()

    @on(Input.Changed)
    def _typed(self, event: Input.Changed) -> None:
        if take(self.draft, event.input.id or "", event.value.strip()):
            self.action_look()

    @on(Input.Submitted)
    def _entered(self) -> None:
        self.focus_next()

    @on(Fold.Toggled)
    def _folded(self, event: Fold.Toggled) -> None:
        """What unfolds at the lower edge is brought into sight."""
        self._show_fields()
        if event.fold.unfolded:
            self.call_after_refresh(event.fold.scroll_visible, animate=False, top=True)

    def action_copy(self) -> None:
        mistakes = self.draft.mistakes()
        same, why_not = ("", next(iter(mistakes.values()))) if mistakes else command(self.draft)
        if why_not:
            self.tell(f"There is no such command: {why_not}.", error=True)
        else:
            self.copy("replicate.sh", same + "\n")

    # -- start

    @on(Button.Pressed, "#go")
    def action_start(self) -> None:
        mistakes = self.draft.mistakes()
        if self.operations.profile.read_only:
            self.tell("This profile is read-only: nothing can be replicated from it.", error=True)
        elif mistakes:
            self.tell(f"Not yet: {next(iter(mistakes.values()))}.", error=True)
        elif self._busy or not self._judged:
            self.tell(f"Not yet: {self._busy or 'the rules were not asked'}. ^r asks again.")
        elif self.draft.edit is not None:
            self._save()
        else:
            self._ask_start()

    def _ask_start(self) -> None:
        """Those that are blocked are left out, once the user has said so."""
        blocked = self._blocked()
        free = tuple(machine for machine in self.draft.machines if machine not in blocked)
        if not free:
            self.tell(f"Nothing was started: {clean(self.draft.names)} cannot be replicated so.", error=True)
        elif blocked:
            reasons = [f"{one.name}: {blockers(self._found[one.moid])[0].what}." for one in blocked]
            text = "These are left out:\n" + "\n".join(reasons)
            question = ConfirmScreen(
                f"Leave out {plural(len(blocked), 'machine')}?", text, yes=f"Start the other {len(free)}", no="Back"
            )
            self.app.push_screen(question, lambda yes: self._start(free) if yes else None)
        else:
            self._start(free)

    def _start(self, machines: tuple[Machine, ...]) -> None:
        self._busy, self._refused = f"starting {plural(len(machines), 'replication')}", {}
        self._draw()
        self._submit(machines, replace(self.draft))

    @work(thread=True, exclusive=True, group="submit", exit_on_error=False)
    def _submit(self, machines: tuple[Machine, ...], draft: ReplicationDraft) -> None:
        done: list[str] = []
        refused: dict[str, Problem] = {}
        for machine in machines:
            try:
                if draft.start.lower() == NOW:
                    draft.now = self.operations.replications.now()
                self.operations.replications.create(draft.spec_for(machine), machine)
            except Exception as error:  # noqa: BLE001 - whatever a worker meets is shown in words
                refused[machine.name] = problem_of(error)
            else:
                done.append(machine.moid)
        self.post_message(self.Submitted(tuple(done), refused))

    def _save(self) -> None:
        found = [finding for some in self._found.values() for finding in self.draft.standing(some)]
        if found:
            self.tell(f"Nothing was saved: {found[0].headline}.", error=True)
            return
        self._busy, self._refused = "saving", {}
        self._draw()
        self._change(replace(self.draft))

    @work(thread=True, exclusive=True, group="submit", exit_on_error=False)
    def _change(self, draft: ReplicationDraft) -> None:
        assert draft.edit is not None
        refused = dict[str, Problem]()
        try:
            if draft.start.lower() == NOW:
                draft.now = self.operations.replications.now()
            self.operations.replications.edit(draft.edit.id, draft.spec_for(None), draft.start_at())
        except Exception as error:  # noqa: BLE001 - whatever a worker meets is shown in words
            refused[draft.edit.name] = problem_of(error)
        self.post_message(self.Submitted((), refused))

    @on(Submitted)
    def _was_submitted(self, event: Submitted) -> None:
        """All well: away. Else those that are started leave the form, and the others say why not."""
        self._busy, self._refused = "", event.refused
        self.host.poll_now()
        if not event.refused:
            self.dismiss(True)
            return
        draft = self.draft
        draft.machines = tuple(machine for machine in draft.machines if machine.moid not in event.done)
        started = f"{plural(len(event.done), 'replication')} started; " if event.done else ""
        self.tell(f"{started}{', '.join(map(clean, event.refused))}: see below.", error=True)
        self.query_one("#found", LinePane).scroll_home(animate=False)
        self.action_look()

    def action_back(self) -> None:
        self.dismiss(False)
