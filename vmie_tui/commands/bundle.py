"""``vmie-tui bundle``: everything a ticket needs about a task or a job in one zip, without secrets."""

from __future__ import annotations

from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from vmie_tui.commands.common import json_option, out, out_json, pass_session, say
from vmie_tui.commands.session import Session
from vmie_tui.commands.tasks import history_of, profiles_of
from vmie_tui.model.errors import ServiceError
from vmie_tui.model.explain import explain_problem
from vmie_tui.model.formatting import one_line
from vmie_tui.model.replication import JOB_PREFIX, ReplicationPlan
from vmie_tui.model.task_history import TaskRecord

if TYPE_CHECKING:
    from vmie_tui.services.task_history import History

LOG_LINES = 2000


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
    from vmie_tui.operations.bundle import (
        known_secrets,
        settings_summary,
        tail,
        task_files,
        versions,
        write_bundle,
    )

    now = datetime.now(UTC)
    settings = session.settings
    files: dict[str, Any] = {"versions.json": {**versions(), "made": now.isoformat()}}
    task_id = subject or ""
    if subject and subject.startswith(JOB_PREFIX):
        job_id = _add_replication(session, subject, files)
        task_id = _add_job(session, job_id, files) if job_id else ""
    elif subject and not subject.startswith(("import-", "export-")):
        task_id = _add_job(session, subject, files)
    if task_id:
        with history_of(session) as history:
            record = _record(session, history, task_id, regions, offline=offline, must=task_id == subject)
            if record is not None:
                files.update(task_files(record, history, now))
    worker = tail(settings.log_dir / "worker.log")
    if worker:
        files["worker.log"] = worker
    files["settings.json"] = settings_summary(settings)
    destination = (output or Path(f"vmie-{subject or 'support'}-{now:%Y%m%dT%H%M%S}.zip")).expanduser().absolute()
    size = write_bundle(destination, files, known_secrets(settings), force=force)
    if as_json:
        out_json({"path": str(destination), "size": size, "files": sorted(files)})
    else:
        out(str(destination))
        say(f"holds {', '.join(sorted(files))}; look into it before you send it")
    return 0


def _add_replication(session: Session, ident: str, files: dict[str, Any]) -> str:
    """The replication with its runs; the id of the newest run's job, "" when none has begun."""
    from vmie_tui.operations.replication_jobs import ReplicationClient

    client = ReplicationClient(session.settings)
    try:
        view = client.view(ident)
        files["replication.json"] = view.to_json()
    finally:
        client.close()
    return next((run.job_id for run in view.runs if run.job_id), "")


def _add_job(session: Session, job_id: str, files: dict[str, Any]) -> str:
    """The job, its plan and log, and the replication it is a run of; the id of its task."""
    from vmie_tui.operations.jobs import JobClient

    client = JobClient(session.settings)
    try:
        view = client.job(job_id)
        lines = client.log(view.id, LOG_LINES)
        files["job.json"] = view.to_json()
        plan = client.plan(view.id)
        files["plan.json"] = plan.to_json()
        if isinstance(plan, ReplicationPlan) and "replication.json" not in files:
            _add_replication(session, plan.replication, files)
        files["job.log"] = "".join(f"{line.at.isoformat()} {line.level:<7} {one_line(line.text)}\n" for line in lines)
        if view.problem is not None:
            files["explanation.json"] = explain_problem(view.problem).to_json()
    finally:
        client.close()
    return view.task_id


def _record(
    session: Session, history: History, task_id: str, regions: tuple[str, ...], *, offline: bool, must: bool
) -> TaskRecord | None:
    """The task as AWS shows it now, else as it was last seen. None when it is not known and need not be."""
    from vmie_tui.operations.tasks import find_task, open_accounts

    known = history.find(task_id)
    try:
        with ExitStack() as held:
            if not offline:
                places = regions or tuple(record.task.region for record in known)
                opened = held.enter_context(open_accounts(profiles_of(session, everyone=False), places))
                return find_task(opened, history, task_id)
    except ServiceError as error:
        if not known and must:
            raise
        say(f"{task_id}: {error}")
    if must and not known:
        from vmie_tui.services.aws.vmie.task_parser import forgotten

        raise forgotten(task_id)
    return known[0] if known else None
