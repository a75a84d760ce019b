"""``vmie-tui replicate pause``."""

from __future__ import annotations

import click

from vmie_tui.commands.common import json_option, pass_session, say
from vmie_tui.commands.replicate.common import ids_argument, name_of, show_views
from vmie_tui.commands.session import Session


@click.command("pause")
@ids_argument
@json_option
@pass_session
def pause(session: Session, idents: tuple[str, ...], as_json: bool) -> None:
    """Start no further runs of these; one that is at work goes on."""
    replications = session.replications
    views = replications.find_all(idents)
    for view in views:
        replications.pause(view.id)
        say(f"{name_of(view)}: paused")
    show_views([replications.view(view.id) for view in views], as_json=as_json)
