"""What the keys of the replications share: may it be done, a question first, the call in a thread, what came of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from textual import work

from vmie_tui.model.errors import problem_of
from vmie_tui.model.replication import ReplicationState, ReplicationView, Run, state_words
from vmie_tui.screens.frame.confirm import ConfirmScreen
from vmie_tui.screens.jobs.actions import AfterJob
from vmie_tui.widgets.text import clean

MOST_NAMES = 5  # in a question; the rest is counted
ENDED = frozenset({ReplicationState.COMPLETED, ReplicationState.FAILED})
GONE = frozenset({ReplicationState.DELETING, ReplicationState.DELETED})


class ReplicationAsking(AfterJob):
    """A screen with a replication and one of its runs in view, and several replications selected."""

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


def names_of(views: Sequence[ReplicationView]) -> str:
    """``web-01, db-01 and 3 more``."""
    named = ", ".join(clean(view.name) for view in views[:MOST_NAMES])
    return named + (f" and {len(views) - MOST_NAMES:,} more" if len(views) > MOST_NAMES else "")
