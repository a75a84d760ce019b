"""``vmie-tui jobs``: every job in a line."""

from __future__ import annotations

import click

from vmie_tui.commands.common import json_option, left_text, out, out_json, pass_session, percent_text, say, table
from vmie_tui.commands.session import Session
from vmie_tui.commands.worker import silent_words
from vmie_tui.model.formatting import rate


@click.command("jobs")
@click.option("--profile", help="Only jobs of this profile.")
@json_option
@pass_session
def jobs(session: Session, profile: str | None, as_json: bool) -> None:
    """List the jobs, newest first."""
    client = session.jobs
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
            say(f"the worker is {silent_words(status)}: end it with 'vmie-tui worker --stop', then start another")
        elif not status.alive:
            say("no worker is running: 'vmie-tui worker' takes the jobs up")
