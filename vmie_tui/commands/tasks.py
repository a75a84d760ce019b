"""``vmie-tui tasks`` and ``vmie-tui task``: every task of VM import/export in sight, and one of them in full."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import click

from vmie_tui import __version__
from vmie_tui.commands.common import json_option, out, out_json, pass_session, say, table
from vmie_tui.commands.session import Session
from vmie_tui.model.errors import EXIT_FAILED, EXIT_LOGIN, EXIT_OK, ErrorKind, ServiceError
from vmie_tui.model.formatting import duration, one_line
from vmie_tui.model.task import TaskKind
from vmie_tui.model.task_filter import KINDS, parse_age, states_in_words
from vmie_tui.model.task_history import Outcome, SortBy, TaskQuery, TaskRecord, phases
from vmie_tui.model.task_report import explanation_of, facts_of, markdown, phase_words, plain_line, subject_of
from vmie_tui.services.pacing import Poll

if TYPE_CHECKING:
    from vmie_tui.operations.tasks import Opened
    from vmie_tui.services.aws.vmie.explorer import Explorer
    from vmie_tui.services.task_history import History
    from vmie_tui.settings import Profile

TASK_SECONDS = 5.0  # between two looks at one task
CLEAR = "\x1b[H\x1b[2J"


class AgeType(click.ParamType[timedelta]):
    """``30m``, ``6h``, ``7d`` or ``2w``."""

    name = "age"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> timedelta:
        if isinstance(value, timedelta):
            return value
        try:
            return parse_age(str(value))
        except ValueError as error:
            self.fail(str(error), param, ctx)


@contextmanager
def history_of(session: Session) -> Iterator[History]:
    """The local history of this state folder."""
    from vmie_tui.services.task_history import History

    history = History(session.settings.state_dir)
    if history.set_aside is not None:
        say(f"the history of tasks was damaged and begins anew; the old file is {history.set_aside}")
    try:
        yield history
    finally:
        history.close()


def profiles_of(session: Session, *, everyone: bool) -> list[Profile]:
    settings = session.settings
    return [settings.profile(name) for name in settings.profiles()] if everyone else [settings.profile()]


# -- tasks


@click.command("tasks")
@click.option("--region", "regions", multiple=True, metavar="R", help="Region to look at, or 'all'; the profile's.")
@click.option("--profile-all", "everyone", is_flag=True, help="The accounts of all profiles side by side.")
@click.option("--kind", "kinds", multiple=True, type=click.Choice(sorted(KINDS)), help="Only tasks of this kind.")
@click.option("--state", "states", multiple=True, help="active, completed, failed, cancelled, or AWS's own word.")
@click.option("--age", type=AgeType(), help="Only tasks that changed within this time: 30m, 6h, 7d.")
@click.option("--text", default="", help="Terms that must all be found; '!term' must not.")
@click.option("--tag", "tags", multiple=True, metavar="KEY[=VALUE]", help="Only tasks with this tag.")
@click.option("--sort", type=click.Choice([each.value for each in SortBy]), default=SortBy.AGE.value, help="Order.")
@click.option("--reverse", is_flag=True, help="The other way round.")
@click.option("--history", "offline", is_flag=True, help="What was seen before, without asking AWS.")
@click.option("--watch", is_flag=True, help="Go on looking until interrupted.")
@click.option("--plain", is_flag=True, help="With --watch: one line per change, for pipes and screen readers.")
@json_option
@pass_session
def tasks_command(
    session: Session,
    /,
    *,
    regions: tuple[str, ...],
    everyone: bool,
    offline: bool,
    watch: bool,
    plain: bool,
    as_json: bool,
    **wanted: Any,
) -> int:
    """List the tasks of VM import and export: imports of images, snapshots and instances, exports of both kinds.

    What AWS forgets after about 7 days is still there when it was seen from this machine. A Region that cannot be read
    is named and does not stop the others.

    \b
    Examples: vmie-tui tasks --region all --state failed --age 7d
              vmie-tui tasks --profile-all --watch --plain
    """
    from vmie_tui.operations.tasks import open_accounts
    from vmie_tui.services.aws.vmie.explorer import Explorer

    query = _query(wanted)
    if unknown := states_in_words(query.states):
        say(unknown)
    profiles = profiles_of(session, everyone=everyone)
    with history_of(session) as history, ExitStack() as held:
        if offline:
            names = {profile.name for profile in profiles}
            places = frozenset(regions) - {"all"}
            found = replace(query, regions=places).apply(history.records(names), _now())
            _print(found, as_json=as_json, everyone=everyone)
            return EXIT_OK
        opened = held.enter_context(open_accounts(profiles, regions))
        for name, problem in opened.failed:
            say(f"{name}: {problem}")
        explorer = Explorer(opened.watched, history=history, kinds=query.kinds or tuple(TaskKind))
        held.callback(explorer.stop)
        if watch:
            _watch(explorer, query, plain=plain or as_json or not sys.stdout.isatty(), as_json=as_json)
            return EXIT_OK
        explorer.load()
        explorer.remembered()
        _print(query.apply(explorer.records(), _now()), as_json=as_json, everyone=everyone)
        return _say_troubles(explorer, opened)


def _query(wanted: dict[str, Any]) -> TaskQuery:
    return TaskQuery(
        kinds=frozenset(KINDS[name] for name in wanted["kinds"]),
        states=frozenset(state.lower() for state in wanted["states"]),
        max_age=wanted["age"],
        text=wanted["text"],
        tags=wanted["tags"],
        sort=SortBy(wanted["sort"]),
        reverse=wanted["reverse"],
    )


def _print(records: Sequence[TaskRecord], *, as_json: bool, everyone: bool) -> None:
    if as_json:
        out_json([record.to_json() for record in records])
        return
    out(_table(records, everyone=everyone))


def _table(records: Sequence[TaskRecord], *, everyone: bool) -> str:
    now = _now()
    headings = ["TASK", "KIND", "STATE", "DONE", "REGION", *(["PROFILE"] if everyone else []), "SEEN", "WHAT", "SAYS"]
    rows = [
        [
            record.task.id,
            record.task.kind.value,
            record.outcome.value + (" (forgotten)" if record.forgotten else ""),
            "" if record.task.progress is None else f"{record.task.progress}%",
            record.task.region,
            *([record.profile] if everyone else []),
            duration((now - record.first_seen).total_seconds()),
            one_line(subject_of(record.task)),
            one_line(record.task.reason),
        ]
        for record in records
    ]
    return table(headings, rows, right=frozenset({3}))


def _say_troubles(explorer: Explorer, opened: Opened) -> int:
    """Name what could not be read; fails only when nothing could be."""
    for trouble in explorer.troubles():
        say(one_line(trouble.words))
    problems = [problem for _, problem in opened.failed] + [trouble.problem for trouble in explorer.troubles()]
    bad = {(trouble.profile, trouble.region) for trouble in explorer.troubles() if len(trouble.kinds) == len(TaskKind)}
    if not problems or set(explorer.places) - bad:
        return EXIT_OK
    return EXIT_LOGIN if all(problem.kind is ErrorKind.LOGIN for problem in problems) else EXIT_FAILED


def _watch(explorer: Explorer, query: TaskQuery, *, plain: bool, as_json: bool) -> None:
    """Look again and again. Plain: a line for each change, beginning with what runs now."""
    told: dict[tuple[str, str, str], object] = {}
    named: set[str] = set()
    look = explorer.load
    while True:
        look()
        found = query.apply(explorer.records(), _now())
        if not plain:
            sys.stdout.write(CLEAR)
            out(_table(found, everyone=len({profile for profile, _ in explorer.places}) > 1))
        for record in found if plain else ():
            reading = (record.task.state, record.task.reason, record.task.progress)
            first = record.key not in told
            if told.get(record.key) != reading and (not first or record.live or look == explorer.refresh):
                out(json.dumps(record.to_json(), ensure_ascii=False) if as_json else plain_line(record))
            told[record.key] = reading
        troubles = {one_line(trouble.words) for trouble in explorer.troubles()}
        for words in sorted(troubles - named):
            say(words)
        named = troubles
        sys.stdout.flush()
        look = explorer.refresh
        time.sleep(min(60.0, max(1.0, explorer.due())))


def _now() -> datetime:
    return datetime.now(UTC)


# -- one task


@click.command("task")
@click.argument("task_id", metavar="ID")
@click.option(
    "--region", "regions", multiple=True, metavar="R", help="Where to look, or 'all'; else where it was seen."
)
@click.option("--profile-all", "everyone", is_flag=True, help="Look in the accounts of all profiles.")
@click.option("--raw", is_flag=True, help="What AWS said, as JSON.")
@click.option("--markdown", "as_markdown", is_flag=True, help="A report for a ticket.")
@click.option("--watch", is_flag=True, help="Follow it to its end, one line per change.")
@click.option("--cancel", is_flag=True, help="Cancel it; AWS removes what it has made so far.")
@click.option("--yes", is_flag=True, help="Do not ask before cancelling.")
@json_option
@pass_session
def task_command(
    session: Session,
    /,
    *,
    task_id: str,
    regions: tuple[str, ...],
    everyone: bool,
    raw: bool,
    as_markdown: bool,
    watch: bool,
    cancel: bool,
    yes: bool,
    as_json: bool,
) -> int:
    """Show one task: its timeline, what its message means and what to do, the time it takes against the usual.

    Exit code 0 when the task runs or is complete, 1 when it failed or was cancelled.
    """
    from vmie_tui.operations.tasks import find_task, open_accounts

    with history_of(session) as history, ExitStack() as held:
        seen = [record.task.region for record in history.find(task_id)]
        opened = held.enter_context(open_accounts(profiles_of(session, everyone=everyone), regions or tuple(seen)))
        if opened.failed and not opened.watched and not seen:
            raise ServiceError.of(opened.failed[0][1])
        try:
            record = find_task(opened, history, task_id)
        except ServiceError as error:
            if error.kind is ErrorKind.NOT_FOUND and "all" not in regions:
                say("looked only where it was seen, or in the profile's Region: --region all looks everywhere")
            raise
        if cancel:
            _cancel(session, record, yes=yes)
            record = find_task(opened, history, task_id)
        if watch:
            record = _follow(lambda: find_task(opened, history, task_id), record)
        _show(record, history, raw=raw, as_markdown=as_markdown, as_json=as_json)
    return EXIT_FAILED if record.outcome in {Outcome.FAILED, Outcome.CANCELLED} and not cancel else EXIT_OK


def _cancel(session: Session, record: TaskRecord, *, yes: bool) -> None:
    from vmie_tui.operations.tasks import cancel_task, why_not_cancel
    from vmie_tui.services.aws.session import open_session

    why = why_not_cancel(record)
    if why:
        raise ServiceError(ErrorKind.CONFLICT, f"cannot be cancelled: {why}", subject=record.task.id)
    if not yes:
        if not sys.stdin.isatty():
            raise click.UsageError("give --yes to cancel without being asked")
        question = f"Cancel {record.task.kind.value} {record.task.id} in {record.task.region} ({record.profile})?"
        if not click.confirm(question, default=False, err=True):
            raise click.Abort
    profile = session.settings.profile(record.profile)
    aws = open_session(profile.aws, read_only=profile.read_only)
    try:
        cancel_task(aws, record.task, "cancelled with vmie-tui")
    finally:
        aws.close()
    say(f"{record.task.id}: cancel requested")


def _follow(look: Callable[[], TaskRecord], record: TaskRecord) -> TaskRecord:
    told: object = None
    poll = Poll(TASK_SECONDS)
    while True:
        reading = (record.task.state, record.task.reason, record.task.progress)
        if reading != told:
            say(plain_line(record))
            told = reading
        if not record.live:
            return record
        poll.wait()
        try:
            record = look()
        except ServiceError as error:
            if not error.problem.retry_safe:
                raise
            say(str(error))


def _show(record: TaskRecord, history: History, *, raw: bool, as_markdown: bool, as_json: bool) -> None:
    times = phases(record, _now(), history.usual)
    found = explanation_of(record)
    if raw:
        out_json(record.task.raw)
    elif as_json:
        said = found.to_json() if found is not None else None
        out_json({**record.to_json(), "phases": [phase.to_json() for phase in times], "explanation": said})
    elif as_markdown:
        out(markdown(record, times, _now(), versions=(("vmie-tui", __version__),)).rstrip("\n"))
    else:
        for name, value in facts_of(record):
            out(f"{name:<12} {value}")
        for change in record.changes:
            percent = "" if change.progress is None else f"  {change.progress}%"
            out(f"{'seen':<12} {change.at.astimezone():%Y-%m-%d %H:%M:%S}  {one_line(change.phase)}{percent}")
        for phase in times:
            out(f"{'phase':<12} {phase_words(phase)}")
        for match in found.matches if found is not None else ():
            out(f"{'cause':<12} {match.cause} ({match.confidence:.0%} sure)")
            out(f"{'remedy':<12} {match.remedy}")
