"""``vmie-tui worker``: the process that does the work of all jobs."""

from __future__ import annotations

import click

from vmie_tui.commands.common import json_option, out, out_json, out_line, pass_session, say
from vmie_tui.commands.session import Session
from vmie_tui.jobs.engine.worker_process import hear_secrets, stop_worker
from vmie_tui.lazy_modules import load
from vmie_tui.model.job import WorkerStatus
from vmie_tui.services.read_only import Policy

WORKER = "vmie_tui.jobs.worker:run"  # it brings the workflow engine, which --status and --stop do without


@click.command("worker")
@click.option("--idle-minutes", type=click.FloatRange(min=0), help="Leave after so long without work; else never.")
@click.option("--status", is_flag=True, help="Only say whether a worker runs.")
@click.option("--stop", is_flag=True, help="End the running worker; its jobs go on with the next one.")
@click.option("--secrets-from-stdin", "told", is_flag=True, hidden=True, help="Variables that nobody may see, as JSON.")
@click.option("--report-to", type=int, hidden=True, help="File descriptor that hears whether the worker has started.")
@json_option
@pass_session
def worker(
    session: Session,
    /,
    *,
    idle_minutes: float | None,
    status: bool,
    stop: bool,
    told: bool,
    report_to: int | None,
    as_json: bool,
) -> int:
    """Do the work of all jobs, in the foreground. The app starts one in the background when needed."""
    if told:
        hear_secrets()
    if stop:
        pid = stop_worker(session.settings, say)
        say(f"worker {pid} ended" if pid else "no worker is running")
        return 0
    if status:
        found = session.jobs.worker()
        since = found.since.isoformat() if found.since else None
        if as_json:
            silent = found.silent_since.isoformat() if found.silent_since else None
            values = {key: getattr(found, key) for key in ("alive", "pid", "running", "queued")}
            out_json({**values, "since": since, "not_responding_since": silent})
        else:
            running = f"{'starting' if found.starting else 'running'} as {found.pid}"
            if found.silent_since is not None:
                running = f"running as {found.pid}, {silent_words(found)}; end it with 'vmie-tui worker --stop'"
            out(running if found.pid is not None else "starting" if found.starting else "not running")
            out_line(f"{found.running} jobs running, {found.queued} queued")
        return 0
    Policy(session.settings.read_only).check_work("worked on")
    return int(load(WORKER)(session.settings, idle_minutes=idle_minutes, report_to=report_to))


def silent_words(status: WorkerStatus) -> str:
    return f"not responding since {status.silent_since:%Y-%m-%d %H:%M:%S} UTC"
