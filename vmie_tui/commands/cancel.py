"""``vmie-tui cancel``."""

from __future__ import annotations

import click

from vmie_tui.commands.common import job_ids_argument, pass_session, say
from vmie_tui.commands.session import Session


@click.command("cancel")
@job_ids_argument
@pass_session
def cancel(session: Session, job_ids: tuple[str, ...]) -> None:
    """Stop jobs for good: lease, uploads, snapshot and import task are cleaned up."""
    jobs = session.jobs
    for job_id in [jobs.job(prefix).id for prefix in job_ids]:  # none is touched when one is not known
        jobs.cancel(job_id)
        say(f"{job_id}: cancel requested")
