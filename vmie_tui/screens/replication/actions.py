"""What can be done with replications: run, pause, edit, extend, delete, groups, cutover and the way back from it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

from textual import work

from vmie_tui.model.errors import ServiceError, problem_of
from vmie_tui.model.formatting import plural
from vmie_tui.model.job import JobView
from vmie_tui.model.machine import Machine
from vmie_tui.model.replication import (
    ReplicationState,
    ReplicationView,
    Run,
    message_of,
    runnable_members,
    stamp,
    state_words,
    type_words,
)
from vmie_tui.model.rules.replication_schedule import parse_start
from vmie_tui.operations.roll_back import no_way_back
from vmie_tui.screens import registry
from vmie_tui.screens.frame.confirm import ConfirmScreen
from vmie_tui.screens.frame.form import Answers, Ask, FormScreen
from vmie_tui.screens.jobs.actions import AfterJob
from vmie_tui.screens.replication.catalogue import CatalogueScreen
from vmie_tui.screens.replication.cutover import CutoverScreen, roll_back_question
from vmie_tui.screens.replication.form import ReplicationForm
from vmie_tui.screens.replication.machine_picker import PickScreen
from vmie_tui.screens.replication.run_now import RunNow
from vmie_tui.widgets.text import clean

MOST_NAMES = 5  # in a question; the rest is counted
ENDED = frozenset({ReplicationState.COMPLETED, ReplicationState.FAILED})
GONE = frozenset({ReplicationState.DELETING, ReplicationState.DELETED})


class ReplicationActions(AfterJob):
    """The keys of a screen with a replication and one of its runs in view, and several replications selected."""

    def replica_in_view(self) -> ReplicationView | None:
        raise NotImplementedError

    def run_in_view(self) -> Run | None:
        raise NotImplementedError

    def targets(self) -> list[ReplicationView]:
        """The selected ones, or the one in view when none is selected."""
        raise NotImplementedError

    def every(self) -> Sequence[ReplicationView]:
        raise NotImplementedError

    def look_now(self) -> None:
        """Read again at once, as after a key that changes something."""
        raise NotImplementedError

    def closed(self, changed: object) -> None:
        """A form or dialog was left."""
        self.look_now()

    # -- whether it may be done

    def may(self, verb: str) -> bool:
        if self.operations.profile.read_only:
            self.tell(f"This profile is read-only: replications cannot be {verb} from it.", error=True)
            return False
        return True

    def one(self, verb: str, *, ended: bool = False) -> ReplicationView | None:
        """The one in view, when it is not over, or ``ended`` ones will do; why not is said."""
        view = self.replica_in_view()
        fit = self._fit([view] if view is not None else [], verb, ended=ended)
        return fit[0] if fit else None

    def several(self, verb: str, *, ended: bool = False) -> list[ReplicationView]:
        """Those selected, as `one`."""
        return self._fit(self.targets(), verb, ended=ended)

    def _fit(self, views: list[ReplicationView], verb: str, *, ended: bool) -> list[ReplicationView]:
        if not self.may(verb):
            return []
        if not views:
            self.tell("There is no replication: n makes one.")
        fit = [view for view in views if view.state not in GONE and (ended or view.state not in ENDED)]
        if views and not fit:
            hint = ": x gives it more days" if views[0].terminated else ""
            self.tell(f"{views[0].name} is {state_words(views[0])} and cannot be {verb}{hint}.")
        return fit

    def confirm(self, title: str, text: str, yes: str, agreed: Callable[[], object]) -> None:
        """Ask first; ``agreed`` is called when the answer is ``yes``."""

        def answered(answer: bool | None) -> None:
            if answer:
                agreed()

        self.app.push_screen(ConfirmScreen(title, text, yes=yes, no="Leave it"), answered)

    # -- doing it

    @work(thread=True, exclusive=False, group="replication-change", exit_on_error=False)
    def ask(self, views: list[ReplicationView], done: str, change: Callable[[str], object]) -> None:
        """``change`` each; what was refused is said for each, what was done once."""
        fine: list[ReplicationView] = []
        for view in views:
            try:
                change(view.id)
            except Exception as error:  # noqa: BLE001 - whatever a worker meets is shown in words
                self.app.call_from_thread(self.tell, f"{view.name}: {problem_of(error)}", error=True)
            else:
                fine.append(view)
        if fine:
            self.app.call_from_thread(self.tell, f"{names_of(fine)}: {done}.")
        self.app.call_from_thread(self.look_now)

    @work(thread=True, exclusive=False, group="replication-change", exit_on_error=False)
    def attempt(self, change: Callable[[], str]) -> None:
        """Say what ``change`` answers, or the problem."""
        try:
            said, failed = change(), False
        except Exception as error:  # noqa: BLE001 - whatever a worker meets is shown in words
            said, failed = str(problem_of(error)), True
        self.app.call_from_thread(self.tell, said, error=failed)
        self.app.call_from_thread(self.look_now)

    # -- new ones, and changes of one

    def action_new(self) -> None:
        if self.may("started"):
            self.app.push_screen(PickScreen(), self._picked)

    def _picked(self, machines: list[Machine] | None) -> None:
        if machines:
            self.app.push_screen(ReplicationForm(machines), self.closed)

    def action_edit(self) -> None:
        view = self.one("edited")
        if view is not None:
            self._edit(view)

    @work(thread=True, exclusive=True, group="edit", exit_on_error=False)
    def _edit(self, view: ReplicationView) -> None:
        """The form judges by the machine, as far as the inventory that was read last knows it."""
        try:
            machine = self.operations.vcenter.machine_of(view.spec.plan)
        except Exception as error:  # noqa: BLE001 - whatever a worker meets is shown in words
            self.app.call_from_thread(self.tell, str(problem_of(error)), error=True)
        else:
            self.app.call_from_thread(self._open_form, view, machine)

    def _open_form(self, view: ReplicationView, machine: Machine | None) -> None:
        self.app.push_screen(ReplicationForm([machine] if machine is not None else [], edit=view), self.closed)

    def action_run_now(self) -> None:
        views = self.several("run")
        if len(views) == 1:
            self.app.push_screen(RunNow(views[0]), self.closed)
        elif views:
            start = partial(self.operations.replications.run_now, resync=None, verify=None, cutover=None)
            text = f"One run each of {names_of(views)}, beside their schedules. A day has two such runs of each."
            title = f"Run {len(views)} replications now?"
            self.confirm(title, text, "Run them now", lambda: self.ask(views, "a run starts", start))

    def action_pause(self) -> None:
        """Pause what is not paused; when all are, go on."""
        views = self.several("paused")
        awake = [view for view in views if not paused(view)]
        if awake:
            self.ask(awake, "paused, no run starts by its schedule until p", self.operations.replications.pause)
        elif views:
            self.ask(views, "goes on by its schedule", self.operations.replications.resume)

    def action_extend(self) -> None:
        views = self.several("extended", ended=True)
        if not views:
            return

        def wrong(answers: Answers) -> dict[str, str]:
            fits = answers["days"].isdecimal() and int(answers["days"])
            return {} if fits else {"days": "a whole number, such as 30"}

        def answered(answers: dict[str, str] | None) -> None:
            if answers:
                days = int(answers["days"])
                self.ask(
                    views, f"{plural(days, 'day')} more", lambda ident: self.operations.replications.extend(ident, days)
                )

        first = views[0]
        ends = f"ends on {stamp(first.ends)}" if first.ends else "begins with its first run"
        text = f"A VM is replicated for {first.days} days; the time of {clean(first.name)} {ends}. How many more?"
        ask = Ask("days", "Days", "30", "30")
        self.app.push_screen(FormScreen(f"Extend {names_of(views)}", text, (ask,), yes="Extend", check=wrong), answered)

    def action_delete(self) -> None:
        views = self.several("deleted", ended=True)
        if views:
            delete, done = self.operations.replications.delete, "is being deleted"
            title = f"Delete the replication of {names_of(views)}?"
            self.confirm(title, what_goes(views), "Delete", lambda: self.ask(views, done, delete))

    # -- groups, cutover

    def action_start_group(self) -> None:
        view = self.one("started")
        if view is None:
            return
        group = view.spec.group
        if not group:
            self.tell(f"{view.name} is in no group: e puts it into one.")
            return
        of_group = runnable_members(self.every(), group)
        orders = sorted({one.spec.order for one in of_group})
        steps = "; then ".join(names_of([one for one in of_group if one.spec.order == order]) for order in orders)
        text = f"One run each, in this order: {steps}. Those of the next place wait until all before are completed."

        def started() -> str:
            return f"Group {group}: {plural(len(self.operations.replications.start_group(group, None)), 'run')} begun."

        self.confirm(f"Start the group {group}?", text, "Start the group", lambda: self.attempt(started))

    def action_cutover(self) -> None:
        view = self.one("cut over")
        if view is not None:
            self.app.push_screen(CutoverScreen(view), self.closed)

    def action_roll_back(self) -> None:
        view = self.one("rolled back", ended=True)
        if view is None:
            return
        if why := no_way_back(view):
            self.tell(why)
            return

        def went_back() -> str:
            self.app.call_from_thread(self.tell, f"Going back from the cutover of {view.name}…")
            return f"{'; '.join(self.operations.replications.roll_back(view.id))}."

        def answered(yes: bool | None) -> None:
            if yes:
                self.attempt(went_back)

        self.app.push_screen(roll_back_question(view), answered)

    # -- looking

    def action_catalogue(self) -> None:
        self.app.push_screen(CatalogueScreen())

    def action_open(self) -> None:
        """The job of the run in view, with its log."""
        run, view = self.run_in_view(), self.replica_in_view()
        if run is None or view is None:
            self.tell(f"{view.name} has not run yet." if view is not None else "There is no replication: n makes one.")
        elif not run.job_id:
            self.tell(f"There is no log of this run: {message_of(run) or run.state.value.lower()}.")
        else:
            self.app.push_screen(registry.job_detail(run.job_id))

    def action_after(self) -> None:
        if self._has_job("AMI"):
            super().action_after()

    def action_proof(self) -> None:
        if self._has_job("proof"):
            super().action_proof()

    def _has_job(self, what: str) -> bool:
        run = self.run_in_view()
        if run is None:
            self.tell(f"There is no {what}: it has not run yet.")
        elif self.job_in_view() is None:
            why = message_of(run) or ("its job is forgotten" if run.job_id else "it has not started")
            self.tell(f"There is no {what} of this run: {why}.")
        return self.job_in_view() is not None

    def action_copy(self) -> None:
        view, run = self.replica_in_view(), self.run_in_view()
        if view is not None:
            self.copy(f"replication-{view.id}.txt", copied(view, run, self.job_in_view()))

    def action_advance(self) -> None:
        """Set the simulated clock forward, to see what schedules do in days."""
        if not self.operations.profile.demo:
            self.tell("The clock of this profile is the real one: only a demo's can be set forward.")
            return

        def wrong(answers: Answers) -> dict[str, str]:
            return {} if seconds_of(answers["by"]) else {"by": "such as 30m, 12h or 7d, at most 30d"}

        def answered(answers: dict[str, str] | None) -> None:
            if answers:
                self.attempt(partial(self._advanced, seconds_of(answers["by"])))

        text = "The simulated clock jumps forward: what is due then runs, what was due long before is missed."
        ask = Ask("by", "Forward by", "12h", "30m, 12h or 7d")
        self.app.push_screen(FormScreen("Set the clock forward", text, (ask,), yes="Set it", check=wrong), answered)

    def _advanced(self, seconds: float) -> str:
        return f"The simulated clock says {stamp(self.operations.replications.advance(seconds))}."


def names_of(views: Sequence[ReplicationView]) -> str:
    """``web-01, db-01 and 3 more``."""
    named = ", ".join(clean(view.name) for view in views[:MOST_NAMES])
    return named + (f" and {len(views) - MOST_NAMES:,} more" if len(views) > MOST_NAMES else "")


def seconds_of(text: str) -> float:
    """``12h`` as seconds; 0 for what is no such time."""
    try:
        return parse_start(f"+{text.removeprefix('+')}", 0.0)
    except ServiceError:
        return 0.0


def paused(view: ReplicationView) -> bool:
    return view.paused or view.state is ReplicationState.PAUSED_ON_FAILURE


def copied(view: ReplicationView, run: Run | None, job: JobView | None) -> str:
    """For another command the AMI of a run; for a ticket why there is none, and of what."""
    if run is None:
        return view.id
    if run.image_id:
        return run.image_id
    why = str(job.problem) if job is not None and job.problem is not None else message_of(run)
    when = f"{type_words(run)}, due {stamp(run.scheduled)}, {run.state.value.lower()}"
    ids = f"{run.id} of {view.id}" + (f", job {run.job_id}" if run.job_id else "")
    return "\n".join(part for part in (f"{view.name}: run {ids}", when, why) if part)


def what_goes(views: Sequence[ReplicationView]) -> str:
    """What a deletion takes, and what it leaves."""
    running = [view for view in views if view.current is not None]
    images = [image for view in views for image in view.images]
    goes = ["the schedule", "EBS snapshots that no AMI uses", "the record of what was copied"]
    if running:
        goes.insert(0, f"the run at work of {names_of(running)}, which is cancelled")
    named = f" ({', '.join(images)})" if len(images) <= MOST_NAMES else ""
    behind = "it" if len(images) == 1 else "them"
    kept = f"the VM, {plural(len(images), 'AMI')}{named} and the EBS snapshots behind {behind}"
    stays = kept if images else "the VM; there is no AMI of it"
    return f"What goes: {', '.join(goes)}. What stays: {stays}. A replication made anew begins with a whole first copy."
