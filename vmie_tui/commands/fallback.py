"""``vmie-tui fallback``: an unmodified import of what AWS refused to convert."""

from __future__ import annotations

import click

from vmie_tui.commands.common import json_option, out_json, out_line, pass_session, say
from vmie_tui.commands.session import Session
from vmie_tui.commands.wait import exit_code_of, wait_for
from vmie_tui.exit_codes import EXIT_OK


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
    client = session.jobs
    made = client.fallback(job_id)
    say(f"{client.job(job_id).id}: goes on unmodified as job {made}")
    views = wait_for(client, [made]) if wait else [client.job(made)]
    if as_json:
        out_json(views[0].to_json())
    else:
        out_line(f"{views[0].name}  {views[0].image_id or views[0].state.value}" if wait else made)
    return exit_code_of(views) if wait else EXIT_OK
