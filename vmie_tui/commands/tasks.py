"""``vmie-tui tasks``: every task of VM import and export in sight."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import click

from vmie_tui.commands.common import json_option, out, out_json, pass_session, say, table
from vmie_tui.commands.session import Session
from vmie_tui.exit_codes import EXIT_FAILED, EXIT_LOGIN, EXIT_OK
from vmie_tui.model.errors import ErrorKind
from vmie_tui.model.formatting import duration, one_line
from vmie_tui.model.task import TaskKind
from vmie_tui.model.task_filter import KINDS, parse_age, states_in_words
from vmie_tui.model.task_history import SortBy, TaskQuery, TaskRecord
from vmie_tui.model.task_report import plain_line, subject_of
from vmie_tui.operations.tasks import Explores, Exploring, Scope, Tasks

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


def tasks_of(session: Session) -> Tasks:
    """The tasks of the profile in use; a damaged history is said."""
    tasks = session.operations.tasks
    if tasks.history.set_aside is not None:
        say(f"the history of tasks was damaged and begins anew; the old file is {tasks.history.set_aside}")
    return tasks


def scope_of(session: Session, regions: Sequence[str] = (), *, everyone: bool = False) -> Scope:
    """Where to look: the profile in use, or all of them."""
    settings = session.settings
    return Scope(tuple(settings.profiles()) if everyone else (settings.profile().name,), tuple(regions))


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
    query = _query(wanted)
    if unknown := states_in_words(query.states):
        say(unknown)
    tasks, scope = tasks_of(session), scope_of(session, regions, everyone=everyone)
    if offline:
        _print(tasks.seen_before(scope, query, _now()), as_json=as_json, everyone=everyone)
        return EXIT_OK
    with tasks.exploring(scope, query.kinds or tuple(TaskKind)) as opened:
        explorer = opened.explorer
        for name, problem in opened.failed:
            say(f"{name}: {problem}")
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


def _say_troubles(explorer: Explores, opened: Exploring) -> int:
    """Name what could not be read; fails only when nothing could be."""
    for trouble in explorer.troubles():
        say(one_line(trouble.words))
    problems = [problem for _, problem in opened.failed] + [trouble.problem for trouble in explorer.troubles()]
    bad = {(trouble.profile, trouble.region) for trouble in explorer.troubles() if len(trouble.kinds) == len(TaskKind)}
    if not problems or set(explorer.places) - bad:
        return EXIT_OK
    return EXIT_LOGIN if all(problem.kind is ErrorKind.LOGIN for problem in problems) else EXIT_FAILED


def _watch(explorer: Explores, query: TaskQuery, *, plain: bool, as_json: bool) -> None:
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
            first = record.key not in told
            if told.get(record.key) != record.reading and (not first or record.live or look == explorer.refresh):
                out(json.dumps(record.to_json(), ensure_ascii=False) if as_json else plain_line(record))
            told[record.key] = record.reading
        troubles = {one_line(trouble.words) for trouble in explorer.troubles()}
        for words in sorted(troubles - named):
            say(words)
        named = troubles
        sys.stdout.flush()
        look = explorer.refresh
        time.sleep(min(60.0, max(1.0, explorer.due())))


def _now() -> datetime:
    return datetime.now(UTC)
