"""``vmie-tui replicate forecast``: how long a cutover would keep the VM off."""

from __future__ import annotations

import click

from vmie_tui.commands.common import json_option, out, out_json, pass_session
from vmie_tui.commands.replicate.common import ident_argument
from vmie_tui.commands.session import Session
from vmie_tui.model.forecast import forecast as foretell
from vmie_tui.model.formatting import one_line


@click.command("forecast")
@ident_argument
@json_option
@pass_session
def forecast(session: Session, ident: str, as_json: bool) -> None:
    """Say how long a cutover would keep the VM off, and whether its runs keep pace with what it writes.

    \b
    Example: vmie-tui replicate forecast web-01
    """
    view = session.replications.find(ident)
    found = foretell(view)
    if as_json:
        out_json({"replication": view.id, "name": view.name, **found.to_json()})
        return
    for line in (*found.words, found.interval_hint):
        if line:
            out(one_line(line))
