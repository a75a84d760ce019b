"""What the commands of ``vmie-tui replicate`` share: a replication as a user names it, pages, waiting for runs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import click

from vmie_tui.commands import wait
from vmie_tui.commands.common import out, out_json, say
from vmie_tui.commands.session import Session
from vmie_tui.exit_codes import EXIT_FAILED, EXIT_OK
from vmie_tui.model import facts
from vmie_tui.model.errors import ErrorKind, ServiceError
from vmie_tui.model.formatting import one_line
from vmie_tui.model.replication import ReplicationState, ReplicationView, Run, RunState, message_of, stamp, until
from vmie_tui.model.task import JobState
from vmie_tui.services.pacing import Poll

if TYPE_CHECKING:
    pass
from vmie_tui.operations.jobs import Jobs
from vmie_tui.operations.replication_jobs import ReplicationJobs

F = TypeVar("F", bound=Callable[..., Any])
T = TypeVar("T")
SETTLE_SECONDS = 5.0  # the worker looks at the ends of runs once a second


def ids_argument(command: F) -> F:
    """``ID...``: each a replication's id, its beginning, or the name of its VM."""
    return click.argument("idents", nargs=-1, required=True, metavar="ID...")(command)


def ident_argument(command: F) -> F:
    """``ID``, as `ids_argument`."""
    return click.argument("ident", metavar="ID")(command)


def name_of(view: ReplicationView) -> str:
    """Of its VM, on one line."""
    return one_line(view.name)


# -- pages


def page_options(command: F) -> F:
    """How much of a list, and from where on (F442)."""
    token = click.option("--starting-token", metavar="ID", help="Where to go on: what the last list ended with.")
    most = click.option("--max-items", type=click.IntRange(1), metavar="N", help="How many at once; 50 when left out.")
    return most(token(command))


def page(items: Sequence[tuple[str, T]], token: str | None, most: int | None) -> tuple[list[T], str | None]:
    """(those from the one with id ``token`` on, the id of the first that is left out); ``items``: (id, thing)."""
    first = next((number for number, (ident, _) in enumerate(items) if ident == token), None) if token else 0
    if first is None:
        raise ServiceError(
            ErrorKind.INVALID, "is not in this list", subject=f"--starting-token {token}", remedy="Begin without it"
        )
    end = first + (most or int(facts.limit("sms", "page_size_default")["value"]))
    return [item for _, item in items[first:end]], items[end][0] if end < len(items) else None


def say_rest(shown: int, total: int, following: str | None) -> None:
    if following is not None:
        say(f"{shown} of {total}; the list goes on with --starting-token {following}")


# -- waiting


def follow(session: Session, wanted: Sequence[tuple[str, str]]) -> tuple[list[Run], int]:
    """(the runs once they are over or need the user, exit code). Interrupting only ends the waiting.

    ``wanted``: (replication's id, run's id or "" for its first one), in the order in which they start.
    """
    jobs, client = session.jobs, session.replications
    codes = [_follow(jobs, client, *each) for each in wanted]
    runs = [_settled(client, *each) for each in wanted]
    return [run for run in runs if run is not None], next((code for code in codes if code), EXIT_OK)


def _follow(jobs: Jobs, client: ReplicationJobs, replication_id: str, run_id: str) -> int:
    """Wait for one run; its exit code."""
    view = client.view(replication_id)
    run, poll = _run_of(view, run_id), Poll(wait.LOOK_SECONDS)
    while run is None or not (run.job_id or run.state.over):
        if _held_up(jobs, client, view, run):
            return EXIT_FAILED
        jobs.ensure_worker()
        poll.wait()
        view = client.view(replication_id)
        run = _run_of(view, run_id)
    if not run.job_id:
        say(f"{run.id}: {run.state.value.lower()}: {message_of(run)}")
        return EXIT_FAILED
    return wait.exit_code_of(wait.wait_for(jobs, [run.job_id]))


def _held_up(jobs: Jobs, client: ReplicationJobs, view: ReplicationView, run: Run | None) -> bool:
    """Whether nothing will start the run: nothing is scheduled, or a run of its group before it waits for the user."""
    if run is None:
        if view.next_run is not None and not view.paused:
            return False
        say(f"{view.id}: {view.state.value.lower()}: {one_line(view.message) or 'nothing is scheduled'}")
        return True
    group = [each for each in client.views() if each.spec.group and each.spec.group == view.spec.group]
    before = [each.current.job_id for each in group if each.current is not None and each.current.job_id]
    stuck = [each for each in map(jobs.job, before) if each.state in {JobState.NEEDS_LOGIN, JobState.PAUSED}]
    for each in stuck:
        say(f"{run.id} waits for {one_line(each.name)}, whose job {each.id} says: {each.state.value}")
    return bool(stuck)


def _settled(client: ReplicationJobs, replication_id: str, run_id: str) -> Run | None:
    """The run, once the worker has noted what its end means for its replication, or not within some seconds."""
    run: Run | None = None
    for _ in Poll(wait.LOOK_SECONDS, seconds=SETTLE_SECONDS):
        view = client.view(replication_id)
        run = _run_of(view, run_id)
        ended = run is not None and run.state in {RunState.COMPLETED, RunState.FAILED}
        last = view.spec.once and view.next_run is None and view.state is ReplicationState.ACTIVE
        cut_over = run is not None and run.cutover and run.state is RunState.COMPLETED and not view.paused
        if not (ended and (last or cut_over)):
            break
    return run


def _run_of(view: ReplicationView, run_id: str) -> Run | None:
    """The run with this id; without one the first."""
    return next((run for run in reversed(view.runs) if run.id == run_id or not run_id), None)


def made_words(run: Run) -> str:
    """What came of a run: its AMI, the instance of a cutover, or its state."""
    if run.state is RunState.COMPLETED and run.image_id:
        return f"{run.image_id}  {run.instance_id}".rstrip()
    return run.state.value.lower()


def show_views(views: list[ReplicationView], *, as_json: bool) -> None:
    """Their ids as data; when they run next is narrated."""
    if as_json:
        out_json([view.to_json() for view in views])
        return
    for view in views:
        if view.next_run is not None and not view.paused:
            say(f"{view.id}: next run {stamp(view.next_run)} ({until(view.next_run, view.now)})")
        out(view.id)
