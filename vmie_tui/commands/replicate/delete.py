"""``vmie-tui replicate delete``: replications ended for good."""

from __future__ import annotations

import click

from vmie_tui.commands.common import json_option, pass_session, say, sure, yes_option
from vmie_tui.commands.replicate.common import ids_argument, name_of, show_views
from vmie_tui.commands.session import Session


@click.command("delete")
@ids_argument
@yes_option
@json_option
@pass_session
def delete(session: Session, idents: tuple[str, ...], yes: bool, as_json: bool) -> None:
    """End replications: a run at work is cancelled, what was only for the next run is removed. AMIs stay.

    \b
    Example: vmie-tui replicate delete web-01 --yes
    """
    replications = session.replications
    views = replications.find_all(idents)
    names = ", ".join(f"{name_of(view)} ({view.id})" for view in views)
    sure(f"Delete the replication of {names}? Its AMIs stay.", yes)
    for view in views:
        replications.delete(view.id)
        say(f"{name_of(view)}: delete requested; AMIs that stay: {len(view.images)}")
    show_views([replications.view(view.id) for view in views], as_json=as_json)
