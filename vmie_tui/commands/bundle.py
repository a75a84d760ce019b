"""``vmie-tui bundle``: everything a ticket needs about a task or a job in one zip, without secrets."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from vmie_tui.commands.common import json_option, out, out_json, pass_session, say
from vmie_tui.commands.session import Session
from vmie_tui.commands.tasks import scope_of, tasks_of
from vmie_tui.model.errors import ServiceError
from vmie_tui.model.task_history import TaskRecord
from vmie_tui.operations.bundle import job_files, known_secrets, support_files, task_files, write_bundle
from vmie_tui.operations.tasks import Tasks
from vmie_tui.services.aws.vmie.task_parser import forgotten


@click.command("bundle")
@click.argument("subject", metavar="[TASK|JOB|REPLICATION]", required=False)
@click.option("--output", type=click.Path(dir_okay=False, path_type=Path), help="The zip to write.")
@click.option("--region", "regions", multiple=True, metavar="R", help="Where to look for the task, or 'all'.")
@click.option("--history", "offline", is_flag=True, help="Do not ask AWS: only what was seen before.")
@click.option("--force", is_flag=True, help="Replace a file of that name.")
@json_option
@pass_session
def bundle_command(
    session: Session,
    /,
    *,
    subject: str | None,
    output: Path | None,
    regions: tuple[str, ...],
    offline: bool,
    force: bool,
    as_json: bool,
) -> int:
    """Pack what is known of a task or job, and of this program, into a zip for a ticket. Secrets are taken out.

    In it: the task with its timeline, what its message means, the job with its plan and log, a replication with its
    runs and the job of the newest one, versions, the end of the worker's log.
    """
    now = datetime.now(UTC)
    settings = session.settings
    files: dict[str, Any] = support_files(settings, now)
    task_id = subject or ""
    if subject and not subject.startswith(("import-", "export-")):
        found, task_id = job_files(session.jobs, session.replications, subject)
        files.update(found)
    if task_id:
        tasks = tasks_of(session)
        record = _record(session, tasks, task_id, regions, offline=offline, must=task_id == subject)
        if record is not None:
            files.update(task_files(record, tasks.history, now))
    destination = (output or Path(f"vmie-{subject or 'support'}-{now:%Y%m%dT%H%M%S}.zip")).expanduser().absolute()
    size = write_bundle(destination, files, known_secrets(settings), force=force)
    if as_json:
        out_json({"path": str(destination), "size": size, "files": sorted(files)})
    else:
        out(str(destination))
        say(f"holds {', '.join(sorted(files))}; look into it before you send it")
    return 0


def _record(
    session: Session, tasks: Tasks, task_id: str, regions: tuple[str, ...], *, offline: bool, must: bool
) -> TaskRecord | None:
    """The task as AWS shows it now, else as it was last seen. None when it is not known and need not be."""
    known = tasks.last_seen(task_id)
    try:
        if not offline:
            with tasks.finding(task_id, scope_of(session, regions)) as find:
                return find()
    except ServiceError as error:
        if known is None and must:
            raise
        say(f"{task_id}: {error}")
    if known is None and must:
        raise forgotten(task_id)
    return known
