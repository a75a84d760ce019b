"""A machine moved for good: a test of its newest AMI, the forecast, the final run, what came of it, and the way back.

Nothing of it is kept here: the page is made of what is recorded, so one can leave it and come back.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, ClassVar

from textual import events, on, work
from textual.binding import BindingType
from textual.message import Message
from textual.widget import Widget
from textual.worker import get_current_worker

from vmie_tui.model.errors import Problem, problem_of
from vmie_tui.model.forecast import forecast
from vmie_tui.model.form_option import Option
from vmie_tui.model.formatting import duration, one_line
from vmie_tui.model.job import JobView
from vmie_tui.model.machine import Machine
from vmie_tui.model.plan import TestLaunch
from vmie_tui.model.replication import (
    ReplicationView,
    Run,
    RunState,
    Verify,
    members_of,
    runnable_members,
    stamp,
    until,
)
from vmie_tui.model.rules.replication_schedule import refuse_run
from vmie_tui.operations.images import FinishedImport
from vmie_tui.operations.roll_back import last_cutover, no_way_back
from vmie_tui.screens import registry
from vmie_tui.screens.frame.actions import CUTOVER, bindings
from vmie_tui.screens.frame.base import style_sheet
from vmie_tui.screens.frame.clipboard import Copying
from vmie_tui.screens.frame.confirm import ConfirmScreen
from vmie_tui.screens.frame.form import Answers, Ask, FormScreen
from vmie_tui.screens.jobs.image import ImageScreen, launch_asks, launch_mistakes
from vmie_tui.services.aws.ec2.launch import InstanceState
from vmie_tui.widgets.jobs import stage_lines
from vmie_tui.widgets.line_view import LinePane, OneLine
from vmie_tui.widgets.machine_detail import heading
from vmie_tui.widgets.problem import problem_lines
from vmie_tui.widgets.replication_runs import active_words
from vmie_tui.widgets.replications import run_glyph, run_words
from vmie_tui.widgets.text import Cell, Line, bar, clean, fit, join, paragraph, percent

DAY = 86_400.0
DONE, HERE, LATER, BAD = ("✔", "ok"), ("◐", "mark"), ("○", "dim"), ("✖", "bad")
BAR_CELLS = 20
POLL_SECONDS = 0.5
INSTANCE_SECONDS = 3.0  # between two looks at the instance


# -- the questions before it


def cutover_form(view: ReplicationView, members: Sequence[ReplicationView], given: Mapping[str, str]) -> FormScreen:
    """Answers: scope ("group" or ""; with several ``members`` of its group), those of `launch_asks`, verify, name.

    ``given``: earlier answers. The name, of the machine or of its group, must be typed.
    """
    group = view.spec.group
    asks = launch_asks(
        given.get("type", ""),
        given.get("subnet", ""),
        given.get("key", ""),
        isolated=bool(given.get("isolated", "")),
        by_size=True,
    )
    if len(members) > 1:
        scope = (Option("", "this server"), Option("group", f"all {len(members)} of its group"))
        asks, named = (Ask("scope", "What", given.get("scope", ""), "", scope), *asks), "its name, or the group's"
    else:
        kinds = tuple(Option(kind.value, kind.value) for kind in Verify)
        asks = (*asks, Ask("verify", "Verify", given.get("verify", view.spec.verify.value), "", kinds))
        named = "its name"

    def wrong(answers: Answers) -> dict[str, str]:
        wanted, found = group if answers.get("scope") else view.name, launch_mistakes(answers)
        return found if answers["name"] == wanted.strip() else {**found, "name": "That is not the name"}

    text = "The guest is shut down now and stays off; its last changes become an AMI, and this instance of it."
    name = Ask("name", "Type to confirm", "", f"{named}, letter by letter")
    return FormScreen(f"Cut over {view.name}?", text, (*asks, name), yes="Shut down and cut over", check=wrong)


def roll_back_question(view: ReplicationView) -> ConfirmScreen:
    """What going back from its cutover means. Raises ServiceError when there was none."""
    run = last_cutover(view)
    stops = f"The instance {run.instance_id} is stopped, then " if run.instance_id else "No instance was launched; "
    text = (
        f"{stops}{view.name} is powered on in vCenter, as it was when it was shut down. What was written in EC2 since "
        "then stays on the instance's volumes and does not come back."
    )
    return ConfirmScreen(f"Roll back {view.name}?", text, yes="Roll back", no="Stay in EC2")


# -- its steps, made of what is recorded: whoever looks, and whenever, sees it where it is


@dataclass(frozen=True, slots=True)
class Seen:
    """What is known. ``members``: of its group, itself too, in their order; empty without a group.

    ``test``: a test instance of the newest AMI, "" for none, None: not asked yet. ``state``: of what the cutover has
    launched. ``forecast``: in words. ``notes``: what was done from this page.
    """

    view: ReplicationView
    members: tuple[ReplicationView, ...] = ()
    job: JobView | None = None
    test: str | None = None
    state: InstanceState | None = None
    forecast: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def final_run(view: ReplicationView) -> Run | None:
    """The cutover's run that counts now: one at work, or the newest of all; not one that others followed."""
    for run in view.runs:
        if run.state is RunState.MISSED:
            continue
        return run if run.cutover else None
    return None


def gone_back(seen: Seen) -> bool:
    """Whether what the cutover has launched does not run any more."""
    return seen.state is not None and seen.state.state in {"stopping", "stopped", "shutting-down", "terminated"}


def may_again(seen: Seen, run: Run) -> bool:
    """Whether the machine can be cut over once more: it did not come to its end, or one has gone back from it."""
    return run.state.over and (run.state is not RunState.COMPLETED or gone_back(seen))


def newest(view: ReplicationView) -> Run | None:
    """The run whose AMI is the newest that is kept."""
    return next((run for run in view.runs if run.image_id and not run.image_gone), None)


def cutover_lines(seen: Seen, cells: int) -> list[Line]:
    """The five steps, each with its mark."""
    run = final_run(seen.view)
    over = run is not None and run.state.over
    free = run is None or may_again(seen, run)
    lines = _group(seen, cells)
    lines += _head(1, "Test launch of the newest AMI", DONE if seen.test or run else HERE, cells)
    lines += _test(seen, cells) if free else []  # what comes before the final run is over with it
    lines += _head(2, "Forecast", DONE if run else HERE, cells)
    lines += [line for words in seen.forecast if free for line in _words(words, cells, _alarm(words))]
    lines += _head(3, "Final run", DONE if run else LATER, cells)
    lines += _final(seen, run, cells)
    lines += _head(4, "Progress", LATER if run is None else _mark(run), cells)
    lines += _progress(seen, run, cells)
    lines += _head(5, "Result", _mark(run) if run is not None and over else LATER, cells)
    lines += _result(seen, run, cells)
    if seen.notes:
        lines += [heading("Done here", cells)]
        lines += [line for note in seen.notes for line in paragraph(note, cells - 1, "", ((" · ", "dim"),))]
    return lines


def _head(number: int, title: str, mark: Cell, cells: int) -> list[Line]:
    return [heading(f"{mark[0]} {number} {title}", cells)]


def _words(text: str, cells: int, style: str = "") -> list[Line]:
    return paragraph(text, cells - 1, style, (("   ", ""),))


def _alarm(words: str) -> str:
    return "warn" if words.startswith("It will not converge") else ""


def _mark(run: Run) -> Cell:
    if not run.state.over:
        return HERE
    return DONE if run.state is RunState.COMPLETED else BAD


def _group(seen: Seen, cells: int) -> list[Line]:
    if len(seen.members) < 2:
        return []
    words = []
    for one in seen.members:
        run = final_run(one)
        glyph = run_glyph(run, None)[0] if run is not None else "○"
        here = f"[{one.name}]" if one.id == seen.view.id else one.name
        words.append(f"{one.spec.order}: {glyph} {here}")
    first: Line = ((f" Group {clean(seen.view.spec.group)}  ", "title"),)
    return [
        *paragraph("   ".join(words), cells - 1, "", first),
        *_words("n and N go from one to the next.", cells, "dim"),
    ]


# -- 1


def _test(seen: Seen, cells: int) -> list[Line]:
    view, made = seen.view, newest(seen.view)
    if made is None:
        return _words("There is no AMI yet: the first run makes one. The final run copies all then.", cells, "warn")
    frozen = made.figures.frozen if made.figures and made.figures.frozen else made.started or made.scheduled
    age, every = view.now - frozen, view.spec.every_hours * 3_600.0 or DAY
    lines = _words(join([made.image_id, f"frozen {stamp(frozen)}, {until(frozen, view.now)}"]), cells)
    if age > every:
        longer = "a day" if view.spec.once else f"its interval of {view.spec.every_hours} h"
        lines += _words(
            f"▲ It is {duration(age)} old, more than {longer}: a run before the test shows more.", cells, "warn"
        )
    if seen.test:
        return lines + _words(f"{seen.test} runs of it: t looks at its checks, console and picture.", cells, "ok")
    words = "t launches a test instance of it, isolated, to see that it boots. It can be left out."
    return lines + _words(words if seen.test is not None else "looking for a test instance…", cells, "dim")


# -- 3


def _final(seen: Seen, run: Run | None, cells: int) -> list[Line]:
    view = seen.view
    if run is not None:
        asked = (
            f"{run.id}, begun {stamp(run.started or run.scheduled)}, {until(run.started or run.scheduled, view.now)}"
        )
        lines = _words(asked, cells)
        if not may_again(seen, run):
            return lines
        why = refuse_run(view, cutover=True)
        again = "c cuts it over once more." if why is None else str(why)
        return lines + _words(again, cells, "" if why is None else "warn")
    why = refuse_run(view, cutover=True)
    if why is not None:
        return problem_lines(why, cells, margin="   ", retry="")
    what = (
        "c begins it, once the name was typed: VMware Tools shut the guest down, the last changes are copied, an AMI "
        "is made and launched. The VM stays off, its disks stay as they are, and the schedule is paused."
    )
    return _words(what, cells)


# -- 4


def _progress(seen: Seen, run: Run | None, cells: int) -> list[Line]:
    if run is None:
        return _words("Not begun.", cells, "dim")
    glyph, style = run_glyph(run, seen.job)
    lines: list[Line] = []
    if run.state is RunState.ACTIVE and run.fraction is not None:
        shown = (bar(run.fraction, BAR_CELLS), "busy"), (f" {percent(run.fraction)}", "")
        lines.append((("   ", ""), *shown))
    words = active_words(run, seen.job) if run.state is RunState.ACTIVE else run_words(run, seen.job)
    lines += paragraph(words, cells - 1, style, (("   ", ""), (f"{glyph} ", style)))
    if run.message and one_line(run.message) not in words:
        lines += _words(one_line(run.message), cells)
    if seen.job is not None:
        lines += [((("   ", ""), *line)) for line in stage_lines(seen.job, cells - 4)]
        if seen.job.problem is not None:
            lines += problem_lines(seen.job.problem, cells, margin="   ", retry="enter opens the run, r there retries.")
    return lines


# -- 5


def _result(seen: Seen, run: Run | None, cells: int) -> list[Line]:
    if run is None or not run.state.over:
        return _words("Not yet.", cells, "dim")
    name = clean(seen.view.name)
    lines: list[Line] = []
    if run.instance_id:
        state = seen.state
        stands = join([state.state, state.reason], ": ") if state is not None else "asking AWS…"
        checks = "" if state is None or state.state != "running" else _checks(state)
        lines += paragraph(join([run.instance_id, stands, checks]), cells - 1, _style(state), (("   ", ""),))
        if state is not None and state.state == "running":
            lines += _labelled("Address", join([state.private_address, state.public_address]), cells)
    elif run.state is RunState.COMPLETED:
        lines += _words("No instance was launched.", cells, "warn")
    else:
        lines += _words(
            f"It did not come to its end. {name} may be shut down: see vCenter, or roll back.", cells, "bad"
        )
    lines += _labelled("AMI", run.image_id, cells)
    if gone_back(seen):
        paused = " The schedule is paused: p in the list of replications goes on with it." if seen.view.paused else ""
        return lines + _labelled("Since", f"It does not run any more; {name} is what counts.{paused}", cells)
    stops = f"{run.instance_id} is stopped and keeps its volumes, " if run.instance_id else ""
    back = f"R: {stops}{name} is powered on in vCenter. What was written in EC2 since stays on those volumes alone."
    return lines + _labelled("Way back", back, cells)


def _checks(state: InstanceState) -> str:
    if state.healthy:
        return "both checks passed"
    return f"checks: system {state.system_check or 'waits'}, instance {state.instance_check or 'waits'}"


def _style(state: InstanceState | None) -> str:
    if state is None or state.state in {"pending", "stopping"}:
        return "busy"
    return {"running": "ok" if state.healthy or not state.settled else "bad"}.get(state.state, "warn")


def _labelled(label: str, text: str, cells: int) -> list[Line]:
    return paragraph(text, cells - 1, "", ((f"   {fit(label, 9)}", "dim"),)) if text else []


def text_of(seen: Seen) -> str:
    """What is copied."""
    run, words = final_run(seen.view), [f"Cutover of {clean(seen.view.name)} ({seen.view.id})"]
    if run is not None:
        words += [f"Run: {run.id} {run.state.value}"]
        words += [f"AMI: {run.image_id}"] if run.image_id else []
        words += [f"Instance: {run.instance_id}"] if run.instance_id else []
    return "\n".join([*words, *seen.forecast, *seen.notes]) + "\n"


# -- the screen


class CutoverScreen(Copying):
    """``view``: the replication to begin with; others of its group follow with n. Dismisses with True."""

    MODE = "replication"
    ACTIONS = CUTOVER
    BINDINGS: ClassVar[list[BindingType]] = [*bindings(CUTOVER)]
    CSS_PATH = style_sheet(__file__)

    class Read(Message):
        """``views`` None: they could not be read."""

        def __init__(self, views: Sequence[ReplicationView] | None, problem: Problem | None = None) -> None:
            super().__init__()
            self.views, self.problem = views, problem

        def can_replace(self, message: Message) -> bool:
            return isinstance(message, CutoverScreen.Read)

    class Looked(Message):
        """What AWS says: of the test instance of AMI ``image_id``, or of the instance ``state`` is of."""

        def __init__(self, image_id: str, test: str | None, state: Any = None, problem: Problem | None = None) -> None:
            super().__init__()
            self.image_id, self.test, self.state, self.problem = image_id, test, state, problem

    class Done(Message):
        """A call has ended: ``then`` takes its result."""

        def __init__(self, then: Callable[[Any], None], result: object, problem: Problem | None) -> None:
            super().__init__()
            self.then, self.result, self.problem = then, result, problem

    def __init__(self, view: ReplicationView) -> None:
        super().__init__()
        self._seen = Seen(view, members_of([view], view.spec.group))
        self._views: Sequence[ReplicationView] = (view,)
        self._busy = ""
        self._problem: Problem | None = None
        self._unread: Problem | None = None
        self._answers: Mapping[str, str] = {}
        self._foretold: tuple[object, tuple[str, ...]] = ((), ())
        self._wake = threading.Event()
        self._looked = 0.0  # when the instance was asked for last

    def compose_body(self) -> Iterable[Widget]:
        yield OneLine(id="summary")
        yield LinePane(id="cutover")

    def on_mount(self) -> None:
        super().on_mount()
        self.query_one("#cutover", LinePane).focus()
        self.watch(self.app, "jobs", self._show)

    # -- what is recorded, and the instance, in threads, while the page is seen

    @on(events.ScreenResume)
    def _in_sight(self) -> None:
        self._follow()
        self._look_for_test()

    @on(events.ScreenSuspend)
    def _out_of_sight(self) -> None:
        self.workers.cancel_group(self, "watch")
        self._wake.set()

    def on_unmount(self) -> None:
        self._out_of_sight()

    @work(thread=True, exclusive=True, group="watch", exit_on_error=False)
    def _follow(self) -> None:
        worker = get_current_worker()
        while not worker.is_cancelled:
            self._wake.clear()
            try:
                read = self.Read(self.operations.replications.views())
            except Exception as error:  # noqa: BLE001 - whatever a worker meets is shown in words
                read = self.Read(None, problem_of(error))
            if worker.is_cancelled:
                return
            self.post_message(read)
            if time.monotonic() - self._looked >= INSTANCE_SECONDS:
                self._looked = time.monotonic()
                self._look_at_instance(read.views or ())
            self._wake.wait(POLL_SECONDS)

    def _look_at_instance(self, views: Sequence[ReplicationView]) -> None:
        """Of the final run in view, once it is over; what AWS cannot say now is asked again."""
        view = next((one for one in views if one.id == self._seen.view.id), None)
        run = final_run(view) if view is not None else None
        if view is None or run is None or not run.instance_id:
            return
        try:
            state = self.operations.images.state(view.spec.plan.region, run.instance_id)
        except Exception as error:  # noqa: BLE001 - whatever a worker meets is shown in words
            self.post_message(self.Looked("", None, None, problem_of(error)))
        else:
            self.post_message(self.Looked("", None, state))

    @work(thread=True, exclusive=True, group="look", exit_on_error=False)
    def _look_for_test(self) -> None:
        view = self._seen.view
        made, run = newest(view), final_run(view)
        if made is None:
            return
        try:
            found = self.operations.images.instances(view.spec.plan.region, made.image_id)
        except Exception as error:  # noqa: BLE001 - whatever a worker meets is shown in words
            self.post_message(self.Looked(made.image_id, "", None, problem_of(error)))
        else:
            others = [one for one in found if run is None or one != run.instance_id]
            self.post_message(self.Looked(made.image_id, others[0] if others else ""))

    @on(Read)
    def _was_read(self, event: Read) -> None:
        self._unread = event.problem
        if event.views is not None:
            self._views = event.views
            self._take(next((one for one in event.views if one.id == self._seen.view.id), self._seen.view))
        self._show()

    def _take(self, view: ReplicationView) -> None:
        """Show this one; what is known of another does not hold for it."""
        before, made = newest(self._seen.view), newest(view)
        if view.id != self._seen.view.id:
            self._seen, self._problem = Seen(view), None
        members = members_of(self._views, view.spec.group)
        self._seen = replace(self._seen, view=view, members=members, forecast=self._forecast(view))
        if (made.image_id if made else "") != (before.image_id if before else ""):
            self._seen = replace(self._seen, test=None)
            self._look_for_test()

    def _forecast(self, view: ReplicationView) -> tuple[str, ...]:
        """Made once a minute: what a run would move grows all the time."""
        key = (view.id, view.spec, view.runs, int(view.now // 60))
        if self._foretold[0] != key:
            self._foretold = (key, forecast(view).words)
        return self._foretold[1]

    @on(Looked)
    def _has_looked(self, event: Looked) -> None:
        made = newest(self._seen.view)
        if event.image_id and made is not None and event.image_id == made.image_id:
            self._seen = replace(self._seen, test=event.test)
        if event.state is not None:
            self._seen = replace(self._seen, state=event.state)
        if event.problem is not None:
            self._problem = event.problem
        self._show()

    # -- what is shown

    def _show(self) -> None:
        run = final_run(self._seen.view)
        job = next((job for job in self.host.jobs or () if run is not None and job.id == run.job_id), None)
        state = self._seen.state
        state = state if state is not None and run is not None and state.id == run.instance_id else None
        self._seen = replace(self._seen, job=job, state=state)
        pane = self.query_one("#cutover", LinePane)
        cells = pane.text_width()
        lines: list[Line] = []
        for problem in (self._problem, self._unread):
            if problem is not None:
                lines += [*problem_lines(problem, cells, margin=" ", retry="Trying again is safe."), ()]
        pane.set_lines([*lines, *cutover_lines(self._seen, cells)])
        busy = f"  {clean(self._busy)}…" if self._busy else ""
        view = self._seen.view
        self.query_one("#summary", OneLine).show(
            (f" Cut over {clean(view.name)}", "title"), (f"  {view.id}", "dim"), (busy, "busy")
        )

    def on_resize(self) -> None:
        self.call_after_refresh(self._show)

    # -- one call at a time, in a thread

    def _do(self, words: str, call: Callable[[], Any], then: Callable[[Any], None]) -> None:
        if self._busy:
            self.tell(f"Still busy: {self._busy}.")
            return
        self._busy, self._problem = words, None
        self._show()
        self._call(call, then)

    @work(thread=True, exclusive=False, group="cutover", exit_on_error=False)
    def _call(self, call: Callable[[], Any], then: Callable[[Any], None]) -> None:
        try:
            done = self.Done(then, call(), None)
        except Exception as error:  # noqa: BLE001 - whatever a worker meets is shown in words
            done = self.Done(then, None, problem_of(error))
        self.post_message(done)

    @on(Done)
    def _has_ended(self, event: Done) -> None:
        self._busy, self._problem = "", event.problem
        if event.problem is None:
            event.then(event.result)
        else:
            self.query_one("#cutover", LinePane).scroll_home(animate=False)
        self._wake.set()
        self.host.poll_now()
        self._show()

    def _may(self, verb: str) -> bool:
        if self.operations.profile.read_only:
            self.tell(f"This profile is read-only: nothing can be {verb} from it.", error=True)
            return False
        return True

    # -- 1: a test launch

    def action_test(self) -> None:
        view, made = self._seen.view, newest(self._seen.view)
        if made is None:
            self.tell("There is no AMI yet: the first run makes one.")
            return
        name, image_id, plan = view.name, made.image_id, view.spec.plan

        def known(machine: Machine | None) -> None:
            self.app.push_screen(ImageScreen(FinishedImport(name, plan.region, image_id, machine)))

        self._do("looking at the AMI", lambda: self.operations.vcenter.machine_of(plan), known)

    # -- 3: the final run

    def action_cut_over(self) -> None:
        view, run = self._seen.view, final_run(self._seen.view)
        why = refuse_run(view, cutover=True)
        if not self._may("cut over"):
            return
        if run is not None and not run.state.over:
            self.tell(f"It is at work: {run.id}. enter opens it.")
        elif run is not None and not may_again(self._seen, run):
            self.tell(f"{clean(view.name)} is cut over. R goes back, then it can be cut over again.")
        elif why is not None:
            self.tell(f"Not now: {why}", error=True)
        else:
            started_together = runnable_members(self._seen.members, view.spec.group)
            self.app.push_screen(cutover_form(view, started_together, self._answers), self._answered)

    def _answered(self, answers: Mapping[str, str] | None) -> None:
        if answers is None:
            return
        self._answers = answers  # for the next time, should this one be refused
        view, replicas = self._seen.view, self.operations.replications
        launch = TestLaunch(answers["type"], answers["subnet"], answers["key"], bool(answers["isolated"]))
        begin: Callable[[], object] = partial(replicas.start_group, view.spec.group, launch)
        if not answers.get("scope"):
            verify = Verify(answers["verify"]) if answers.get("verify") else None
            begin = partial(replicas.run_now, view.id, resync=None, verify=verify, cutover=launch)

        def begun(run: object) -> None:
            names = ", ".join(run) if isinstance(run, list) else str(run)
            self._seen = replace(self._seen, notes=(*self._seen.notes, f"cutover begun: {names}"))

        self._do("starting the cutover", begin, begun)

    # -- 4 and 5

    def action_open(self) -> None:
        run = final_run(self._seen.view)
        if run is None or not run.job_id:
            self.tell("There is no final run to look at yet." if run is None else "It waits for its turn: no job yet.")
            return

        self.app.push_screen(registry.job_detail(run.job_id))

    def action_roll_back(self) -> None:
        view = self._seen.view
        if not self._may("rolled back"):
            return
        if why := no_way_back(view):
            self.tell(why)
            return

        def answered(yes: bool | None) -> None:
            if yes:
                self._do("going back", lambda: self.operations.replications.roll_back(view.id), done)

        def done(words: tuple[str, ...]) -> None:
            self._seen = replace(self._seen, notes=(*self._seen.notes, *words))
            self.tell("; ".join(words))

        self.app.push_screen(roll_back_question(view), answered)

    def action_next(self, step: int) -> None:
        members = self._seen.members
        if len(members) < 2:
            self.tell("It is in no group with others.")
            return
        at = next((number for number, one in enumerate(members) if one.id == self._seen.view.id), 0)
        self._take(members[(at + step) % len(members)])
        self.query_one("#cutover", LinePane).scroll_home(animate=False)
        self._look_for_test()
        self._wake.set()
        self._show()

    def action_again(self) -> None:
        self._problem, self._looked = None, 0.0
        self._wake.set()
        self.host.poll_now()
        self._look_for_test()
        self._show()

    def action_copy(self) -> None:
        self.copy(f"cutover-{self._seen.view.id}.txt", text_of(self._seen))

    def action_back(self) -> None:
        self.dismiss(True)
