"""``vmie-tui jobs``, ``job``, ``cancel``, ``pause``, ``resume``, ``fallback`` and ``worker``."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Callable
from typing import TYPE_CHECKING

import click

from vmie_tui.commands.common import (
    job_line,
    json_option,
    left_text,
    out,
    out_json,
    out_line,
    pass_session,
    percent_text,
    say,
    table,
)
from vmie_tui.commands.session import Session
from vmie_tui.commands.wait import exit_code_of, wait_for
from vmie_tui.model.errors import EXIT_FAILED, EXIT_OK, ErrorKind, ServiceError
from vmie_tui.model.formatting import one_line, rate, size
from vmie_tui.model.job import DiskProgress, JobView, WorkerStatus
from vmie_tui.model.replication import ReplicationPlan
from vmie_tui.services.pacing import Poll
from vmie_tui.settings import Settings

if TYPE_CHECKING:
    from vmie_tui.jobs.store.kinds import JobPlan
    from vmie_tui.operations.jobs import JobClient

STOP_SECONDS, KILL_SECONDS = 12.0, 5.0  # after SIGTERM, which takes ten at most, and after SIGKILL


def _client(session: Session) -> JobClient:
    from vmie_tui.operations.jobs import JobClient

    return JobClient(session.settings)


@click.command()
@click.option("--profile", help="Only jobs of this profile.")
@json_option
@pass_session
def jobs(session: Session, profile: str | None, as_json: bool) -> None:
    """List the jobs, newest first."""
    client = _client(session)
    views = client.jobs(profile)
    if as_json:
        out_json([view.to_json() for view in views])
        return
    rows = [
        (
            view.id,
            view.kind,
            view.name,
            view.state.value,
            view.stage.value if view.stage else "",
            percent_text(view.fraction),
            rate(view.rate) if view.rate else "",
            left_text(view.eta_seconds),
            view.image_id or view.message,
        )
        for view in views
    ]
    headings = ("JOB", "KIND", "VM", "STATE", "STAGE", "DONE", "RATE", "LEFT", "WHAT")
    out(table(headings, rows, right=frozenset({5, 6, 7})))
    if any(view.state.live for view in views):
        status = client.worker()
        if status.silent_since is not None:
            say(f"the worker is {_silent(status)}: end it with 'vmie-tui worker --stop', then start another")
        elif not status.alive:
            say("no worker is running: 'vmie-tui worker' takes the jobs up")


def _silent(status: WorkerStatus) -> str:
    return f"not responding since {status.silent_since:%Y-%m-%d %H:%M:%S} UTC"


@click.command()
@click.argument("job_id", metavar="ID")
@click.option("--log", "with_log", is_flag=True, help="Show the job's log too.")
@click.option("--proof", "with_proof", is_flag=True, help="Prove that AWS holds what the source sent; 1 if it differs.")
@click.option("--all-blocks", is_flag=True, help="With --proof: read every block back, not a sample of them.")
@json_option
@pass_session
def job(session: Session, /, *, job_id: str, with_log: bool, with_proof: bool, all_blocks: bool, as_json: bool) -> int:
    """Show one job. ID may be shortened as long as it names one job.

    The proof of an import sets side by side: the host's checksum of each disk, that of what was received, that of what
    lies in S3, and blocks of the EBS snapshots, read back.

    \b
    Example: vmie-tui job 3f2a --proof
    """
    client = _client(session)
    if all_blocks and not with_proof:
        raise click.UsageError("--all-blocks belongs to --proof")
    if with_proof:
        return _prove(client, job_id, all_blocks=all_blocks, as_json=as_json)
    view = client.job(job_id)
    lines = client.log(view.id) if with_log else []
    if as_json:
        data = view.to_json()
        if with_log:
            data["log"] = [{"at": line.at.isoformat(), "level": line.level, "text": line.text} for line in lines]
        out_json(data)
        return EXIT_OK
    _show(view, client.plan(view.id))
    for line in lines:
        out_line(f"{line.at.astimezone():%H:%M:%S}  {line.level:<7}  {line.text}")
    return EXIT_OK


def _prove(client: JobClient, job_id: str, *, all_blocks: bool, as_json: bool) -> int:
    """Print the proof; the exit code says whether anything is not as it was sent, or nothing could be compared."""
    proof = client.proof(job_id, all_blocks=all_blocks, on_step=say)
    if as_json:
        out_json(proof.to_json())
    else:
        for line in proof.lines():
            out_line(line)
    return EXIT_OK if proof.equal else EXIT_FAILED


def _show(view: JobView, plan: JobPlan) -> None:
    out_line(f"job      {view.id}  {view.kind} {view.name}  ({view.profile})")
    if isinstance(plan, ReplicationPlan):
        out_line(f"run      {plan.run} of {plan.replication}{', a cutover' if plan.shut_down else ''}")
    out_line(f"state    {job_line(view)}")
    out_line(f"from     {view.source}")
    out_line(f"to       {view.target}")
    for stage in view.stages:
        seconds = (stage.ended - stage.started).total_seconds() if stage.started and stage.ended else None
        out_line(
            f"stage    {stage.stage.value:<9} {stage.state.value}{f'  {seconds:.1f} s' if seconds is not None else ''}"
        )
    for disk in view.disks:
        out_line(f"disk     {_disk_text(disk)}")
    if view.task_id:
        progress = "" if view.task_progress is None else f"  {view.task_progress}%"
        out_line(f"task     {view.task_id}  {view.task_message}{progress}")
    if view.image_id:
        out_line(f"image    {view.image_id}")
    for what, made in view.results.items():
        out_line(f"made     {one_line(what)}  {one_line(made)}")


def _disk_text(disk: DiskProgress) -> str:
    judged = {True: "sha256 equal to the host's", False: "sha256 DIFFERS from the host's", None: ""}[disk.verified]
    moved = f"{size(disk.done)}{f' of {size(disk.total)}' if disk.total else ''}"
    speed = rate(disk.rate) if disk.rate else ""
    parts = (disk.label, size(disk.capacity), disk.state.value, moved, speed, judged, disk.snapshot_id)
    return "  ".join(part for part in parts if part)


def _steer(name: str, doc: str, done: str, act: Callable[[JobClient, str], None]) -> click.Command:
    @click.command(name, help=doc)
    @click.argument("job_ids", nargs=-1, required=True, metavar="ID...")
    @pass_session
    def command(session: Session, job_ids: tuple[str, ...]) -> None:
        client = _client(session)
        for job_id in [client.job(prefix).id for prefix in job_ids]:
            act(client, job_id)
            say(f"{job_id}: {done}")

    return command


cancel = _steer(
    "cancel",
    "Stop jobs for good: lease, uploads, snapshot and import task are cleaned up.",
    "cancel requested",
    lambda client, job_id: client.cancel(job_id),
)
pause = _steer(
    "pause",
    "Stop jobs for now; what was uploaded is kept.",
    "pause requested",
    lambda client, job_id: client.pause(job_id),
)
resume = _steer(
    "resume",
    "Go on with jobs that were paused, wait for a login or failed, where they stopped.",
    "resumed",
    lambda client, job_id: client.resume(job_id),
)


@click.command("fallback")
@click.argument("job_id", metavar="ID")
@click.option("--wait", is_flag=True, help="Wait until the new job has ended.")
@json_option
@pass_session
def fallback(session: Session, job_id: str, wait: bool, as_json: bool) -> int:
    """Import what AWS refused to convert as it is, from the bytes that are in AWS already.

    A new job of the route unmodified; nothing is uploaded again. AWS does not look into the guest: whether it boots is
    up to its drivers.

    \b
    Example: vmie-tui fallback 3f2a --wait
    """
    client = _client(session)
    made = client.fallback(job_id)
    say(f"{client.job(job_id).id}: goes on unmodified as job {made}")
    views = wait_for(client, [made]) if wait else [client.job(made)]
    if as_json:
        out_json(views[0].to_json())
    else:
        out_line(f"{views[0].name}  {views[0].image_id or views[0].state.value}" if wait else made)
    return exit_code_of(views) if wait else EXIT_OK


@click.command()
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
        from vmie_tui.jobs.engine.process import hear_secrets

        hear_secrets()
    if stop:
        pid = stop_worker(session.settings, say)
        say(f"worker {pid} ended" if pid else "no worker is running")
        return 0
    if status:
        found = _client(session).worker()
        since = found.since.isoformat() if found.since else None
        if as_json:
            silent = found.silent_since.isoformat() if found.silent_since else None
            values = {key: getattr(found, key) for key in ("alive", "pid", "running", "queued")}
            out_json({**values, "since": since, "not_responding_since": silent})
        else:
            running = f"{'starting' if found.starting else 'running'} as {found.pid}"
            if found.silent_since is not None:
                running = f"running as {found.pid}, {_silent(found)}; end it with 'vmie-tui worker --stop'"
            out(running if found.pid is not None else "starting" if found.starting else "not running")
            out_line(f"{found.running} jobs running, {found.queued} queued")
        return 0
    from vmie_tui.jobs.worker import run
    from vmie_tui.services.read_only import Policy

    Policy(session.settings.read_only).check_work("worked on")
    return run(session.settings, idle_minutes=idle_minutes, report_to=report_to)


def stop_worker(settings: Settings, on_kill: Callable[[str], None] = lambda words: None) -> int | None:
    """End the running worker and wait for its end; its pid, None when none ran.

    One that does not end when told to is killed, which ``on_kill`` hears in words. Raises ServiceError LOCAL for one
    that cannot even be killed.
    """
    from vmie_tui.jobs.engine.process import worker_pid

    pid = worker_pid(settings.state_dir)
    if not pid:
        return None
    for number, seconds in ((signal.SIGTERM, STOP_SECONDS), (signal.SIGKILL, KILL_SECONDS)):
        if number is signal.SIGKILL:
            on_kill(f"worker {pid} did not end within {STOP_SECONDS:.0f} s: it was killed")
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)
        for _ in Poll(0.05, seconds=seconds):
            if worker_pid(settings.state_dir) != pid:
                return pid
    raise ServiceError(
        ErrorKind.LOCAL,
        "the worker cannot be killed",
        subject=str(pid),
        remedy="Look at what its state folder lies on: it waits for the system",
    )
