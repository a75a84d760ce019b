"""``vmie-tui resume``."""

from __future__ import annotations

import click

from vmie_tui.commands.common import job_ids_argument, pass_session, say
from vmie_tui.commands.session import Session


@click.command("resume")
@job_ids_argument
@pass_session
def resume(session: Session, job_ids: tuple[str, ...]) -> None:
    """Go on with jobs that were paused, wait for a login or failed, where they stopped."""
    jobs = session.jobs
    for job_id in [jobs.job(prefix).id for prefix in job_ids]:  # none is touched when one is not known
        jobs.resume(job_id)
        say(f"{job_id}: resumed")
