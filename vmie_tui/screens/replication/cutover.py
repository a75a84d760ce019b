"""A machine moved for good: a test of its newest AMI, the forecast, the final run, what came of it, and the way back.

Nothing of it is kept here: the page is made of what is recorded, so one can leave it and come back.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, ClassVar

from textual import events, on, work
from textual.binding import BindingType
from textual.message import Message
from textual.widget import Widget
from textual.worker import get_current_worker

from vmie_tui.model.errors import Problem, problem_of
from vmie_tui.model.forecast import forecast
from vmie_tui.model.machine import Machine
from vmie_tui.model.plan import TestLaunch
from vmie_tui.model.replication import ReplicationView, Verify
from vmie_tui.screens import registry
from vmie_tui.screens.frame.actions import CUTOVER, bindings
from vmie_tui.screens.frame.base import style_sheet
from vmie_tui.screens.frame.clipboard import Copying
from vmie_tui.screens.jobs.image import AfterScreen, Made
from vmie_tui.screens.replication.cutover_forms import cutover_form, roll_back_question
from vmie_tui.screens.replication.cutover_view import (
    Seen,
    cutover_lines,
    final_run,
    may_again,
    members_of,
    newest,
    text_of,
)
from vmie_tui.screens.replication.run_now import refused
from vmie_tui.widgets.lines import LinePane, OneLine
from vmie_tui.widgets.problem import problem_lines
from vmie_tui.widgets.text import Line, clean

POLL_SECONDS = 0.5
INSTANCE_SECONDS = 3.0  # between two looks at the instance


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
        self._seen = Seen(view, members_of(view, [view]))
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
        members = members_of(view, self._views)
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
            self.app.push_screen(AfterScreen(Made(name, plan.region, image_id, machine)))

        self._do("looking at the AMI", lambda: self.operations.vcenter.machine_of(plan), known)

    # -- 3: the final run

    def action_cut_over(self) -> None:
        view, run = self._seen.view, final_run(self._seen.view)
        why = refused(view)
        if not self._may("cut over"):
            return
        if run is not None and not run.state.over:
            self.tell(f"It is at work: {run.id}. enter opens it.")
        elif run is not None and not may_again(self._seen, run):
            self.tell(f"{clean(view.name)} is cut over. R goes back, then it can be cut over again.")
        elif why is not None:
            self.tell(f"Not now: {why}", error=True)
        else:
            self.app.push_screen(cutover_form(view, self._seen.members, self._answers), self._answered)

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
        if view.current is not None:
            self.tell(f"{view.current.id} is at work: wait until it is over, or cancel it.")
            return
        if view.cut_over is None:
            self.tell(f"{clean(view.name)} was not cut over: there is nothing to go back from.")
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
