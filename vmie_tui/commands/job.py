"""``vmie-tui job``: one job in full, and its proof."""

from __future__ import annotations

import click

from vmie_tui.commands.common import job_line, json_option, out_json, out_line, pass_session, say
from vmie_tui.commands.session import Session
from vmie_tui.exit_codes import EXIT_FAILED, EXIT_OK
from vmie_tui.jobs.store.kinds import JobPlan
from vmie_tui.model.formatting import one_line, rate, size
from vmie_tui.model.job import DiskProgress, JobView
from vmie_tui.model.replication import ReplicationPlan
from vmie_tui.operations.jobs import Jobs


@click.command("job")
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
    client = session.jobs
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


def _prove(client: Jobs, job_id: str, *, all_blocks: bool, as_json: bool) -> int:
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
