"""``vmie-tui task``: one task of VM import or export in full, followed or cancelled."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

import click

from vmie_tui import __version__
from vmie_tui.commands.common import json_option, out, out_json, pass_session, say, sure
from vmie_tui.commands.session import Session
from vmie_tui.commands.tasks import scope_of, tasks_of
from vmie_tui.exit_codes import EXIT_FAILED, EXIT_OK
from vmie_tui.model.errors import ErrorKind, ServiceError
from vmie_tui.model.formatting import one_line
from vmie_tui.model.task_history import Outcome, TaskRecord
from vmie_tui.model.task_report import facts_of, markdown, phase_words, plain_line
from vmie_tui.operations.tasks import ALL_REGIONS, LOOK_SECONDS, Study, Tasks
from vmie_tui.services.pacing import Poll


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
    tasks = tasks_of(session)
    with tasks.finding(task_id, scope_of(session, regions, everyone=everyone)) as find:
        try:
            record = find()
        except ServiceError as error:
            if error.kind is ErrorKind.NOT_FOUND and ALL_REGIONS not in regions:
                say("looked only where it was seen, or in the profile's Region: --region all looks everywhere")
            raise
        if cancel:
            _cancel(tasks, record, yes=yes)
            record = find()
        if watch:
            record = _follow(find, record)
    study = tasks.study(record, datetime.now(UTC))
    _show(record, study, raw=raw, as_markdown=as_markdown, as_json=as_json)
    return EXIT_FAILED if record.outcome in {Outcome.FAILED, Outcome.CANCELLED} and not cancel else EXIT_OK


def _cancel(tasks: Tasks, record: TaskRecord, *, yes: bool) -> None:
    tasks.check_cancel(record)
    sure(f"Cancel {record.task.kind.value} {record.task.id} in {record.task.region} ({record.profile})?", yes)
    tasks.cancel(record)
    say(f"{record.task.id}: cancel requested")


def _follow(look: Callable[[], TaskRecord], record: TaskRecord) -> TaskRecord:
    told: object = None
    poll = Poll(LOOK_SECONDS)
    while True:
        if record.reading != told:
            say(plain_line(record))
            told = record.reading
        if not record.live:
            return record
        poll.wait()
        try:
            record = look()
        except ServiceError as error:
            if not error.problem.retry_safe:
                raise
            say(str(error))


def _show(record: TaskRecord, study: Study, *, raw: bool, as_markdown: bool, as_json: bool) -> None:
    times, found = study.phases, study.explanation
    if raw:
        out_json(record.task.raw)
    elif as_json:
        said = found.to_json() if found is not None else None
        out_json({**record.to_json(), "phases": [phase.to_json() for phase in times], "explanation": said})
    elif as_markdown:
        out(markdown(record, times, datetime.now(UTC), versions=(("vmie-tui", __version__),)).rstrip("\n"))
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
