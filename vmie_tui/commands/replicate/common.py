"""What the commands of ``vmie-tui replicate`` share: the client, a replication as a user names it, waiting for runs."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

import click

from vmie_tui.commands import wait
from vmie_tui.commands.common import say
from vmie_tui.commands.session import Session
from vmie_tui.model import facts
from vmie_tui.model.errors import EXIT_FAILED, EXIT_OK, ErrorKind, ServiceError
from vmie_tui.model.formatting import one_line
from vmie_tui.model.replication import JOB_PREFIX, ReplicationState, ReplicationView, Run, RunState, message_of
from vmie_tui.model.task import JobState
from vmie_tui.services.pacing import Poll

if TYPE_CHECKING:
    from vmie_tui.operations.jobs import JobClient
    from vmie_tui.operations.replication_jobs import ReplicationClient

F = TypeVar("F", bound=Callable[..., Any])
T = TypeVar("T")
SETTLE_SECONDS = 5.0  # the worker looks at the ends of runs once a second


def ids_argument(name: str = "idents", *, several: bool = True, required: bool = True) -> Callable[[F], F]:
    """``ID`` or ``ID...``: a replication's id, its beginning, or the name of its VM."""
    if several:
        return click.argument(name, nargs=-1, required=required, metavar="ID..." if required else "[ID...]")
    return click.argument(name, metavar="ID")


@contextmanager
def client_of(session: Session) -> Iterator[ReplicationClient]:
    """The replications of this state folder."""
    from vmie_tui.operations.replication_jobs import ReplicationClient

    client = ReplicationClient(session.settings)
    try:
        yield client
    finally:
        client.close()


def find(client: ReplicationClient, wanted: str) -> ReplicationView:
    """The only replication of this id, beginning of an id, or name of a VM. Raises ServiceError NOT_FOUND, INVALID.

    Of a VM that was replicated before, it is the one that still goes on.
    """
    if wanted.startswith(JOB_PREFIX):
        return client.view(wanted)
    named = [view for view in client.views() if view.name == wanted]
    live = [view for view in named if view.state.counts] or named
    if len(live) > 1:
        raise ServiceError(
            ErrorKind.INVALID,
            f"{len(live)} replications are of VMs with this name",
            subject=wanted,
            remedy=f"Give the id of one of them: {', '.join(view.id for view in live)}",
        )
    return live[0] if live else client.view(wanted)


def find_all(client: ReplicationClient, wanted: Sequence[str]) -> list[ReplicationView]:
    """Each of ``wanted`` once, before anything is done to any. Raises ServiceError."""
    return list({view.id: view for view in (find(client, word) for word in wanted)}.values())


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


def follow(session: Session, client: ReplicationClient, wanted: Sequence[tuple[str, str]]) -> tuple[list[Run], int]:
    """(the runs once they are over or need the user, exit code). Interrupting only ends the waiting.

    ``wanted``: (replication's id, run's id or "" for its first one), in the order in which they start.
    """
    from vmie_tui.operations.jobs import JobClient

    jobs = JobClient(session.settings)
    try:
        codes = [_follow(jobs, client, *each) for each in wanted]
    finally:
        jobs.close()
    runs = [_settled(client, *each) for each in wanted]
    return [run for run in runs if run is not None], next((code for code in codes if code), EXIT_OK)


def _follow(jobs: JobClient, client: ReplicationClient, replication_id: str, run_id: str) -> int:
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


def _held_up(jobs: JobClient, client: ReplicationClient, view: ReplicationView, run: Run | None) -> bool:
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


def _settled(client: ReplicationClient, replication_id: str, run_id: str) -> Run | None:
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
