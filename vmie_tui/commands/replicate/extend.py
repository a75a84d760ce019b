"""``vmie-tui replicate extend``: more days than the documented number."""

from __future__ import annotations

import click

from vmie_tui.commands.common import json_option, pass_session, say
from vmie_tui.commands.replicate.common import ids_argument, name_of, show_views
from vmie_tui.commands.session import Session
from vmie_tui.model.replication import stamp


@click.command("extend")
@ids_argument
@click.option("--days", type=click.IntRange(1), required=True, metavar="N", help="So many days more.")
@json_option
@pass_session
def extend(session: Session, idents: tuple[str, ...], days: int, as_json: bool) -> None:
    """Ask for more than the 90 days that a VM is replicated, before or after they are over.

    \b
    Example: vmie-tui replicate extend web-01 --days 30
    """
    replications = session.replications
    views = replications.find_all(idents)
    for view in views:
        replications.extend(view.id, days)
    views = [replications.view(view.id) for view in views]
    for view in views:
        ends = f", until {stamp(view.ends)}" if view.ends is not None else ""
        say(f"{name_of(view)}: {view.days} days{ends}")
    show_views(views, as_json=as_json)
