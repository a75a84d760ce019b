"""``vmie-tui pause``."""

from __future__ import annotations

import click

from vmie_tui.commands.common import job_ids_argument, pass_session, say
from vmie_tui.commands.session import Session


@click.command("pause")
@job_ids_argument
@pass_session
def pause(session: Session, job_ids: tuple[str, ...]) -> None:
    """Stop jobs for now; what was uploaded is kept."""
    jobs = session.jobs
    for job_id in [jobs.job(prefix).id for prefix in job_ids]:  # none is touched when one is not known
        jobs.pause(job_id)
        say(f"{job_id}: pause requested")
