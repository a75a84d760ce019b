"""``vmie-tui replicate resume``."""

from __future__ import annotations

import click

from vmie_tui.commands.common import json_option, pass_session, say
from vmie_tui.commands.replicate.common import ids_argument, name_of, show_views
from vmie_tui.commands.session import Session


@click.command("resume")
@ids_argument
@json_option
@pass_session
def resume(session: Session, idents: tuple[str, ...], as_json: bool) -> None:
    """Go on with the schedule; after failures too."""
    replications = session.replications
    views = replications.find_all(idents)
    for view in views:
        replications.resume(view.id)
        say(f"{name_of(view)}: resumed")
    show_views([replications.view(view.id) for view in views], as_json=as_json)
