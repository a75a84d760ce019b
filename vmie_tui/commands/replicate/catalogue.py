"""``vmie-tui replicate catalogue``: the servers of the vCenter, and which of them are replicated."""

from __future__ import annotations

from dataclasses import replace

import click

from vmie_tui.commands.common import json_option, out, out_json, pass_session, say, sure, table, yes_option
from vmie_tui.commands.replicate.common import page, page_options, say_rest
from vmie_tui.commands.session import Session
from vmie_tui.model.formatting import one_line
from vmie_tui.model.replication import Catalogue, CatalogueStatus, stamp


@click.group("catalogue")
def catalogue() -> None:
    """The server catalogue: import it, import it again for servers added later, show it, clear it.

    Replications need none: 'replicate create' reads the inventory itself.
    """


@catalogue.command("show")
@page_options
@json_option
@pass_session
def show(session: Session, max_items: int | None, starting_token: str | None, as_json: bool) -> None:
    """List the servers, with the replication of each."""
    found = session.operations.replications.catalogue()
    _show(found, as_json=as_json, most=max_items, token=starting_token)


@catalogue.command("import")
@json_option
@pass_session
def import_(session: Session, as_json: bool) -> None:
    """Read the servers from the vCenter; again, to pick up those added later."""
    _show(session.operations.replications.import_catalogue(), as_json=as_json)


@catalogue.command("clear")
@yes_option
@json_option
@pass_session
def clear(session: Session, yes: bool, as_json: bool) -> None:
    """Remove the list. Replications stay, and go on."""
    replications, profile = session.operations.replications, session.operations.profile.name
    there = replications.catalogue()
    sure(f"Clear the catalogue of {profile} ({len(there.servers)} servers)? Replications go on.", yes)
    _show(replications.clear_catalogue(), as_json=as_json)


def _show(found: Catalogue, *, as_json: bool, most: int | None = None, token: str | None = None) -> None:
    shown, following = page([(server.server_id, server) for server in found.servers], token, most)
    if as_json:
        out_json({**replace(found, servers=tuple(shown)).to_json(), "next_token": following})
        return
    rows = [
        (
            server.server_id,
            one_line(server.name),
            server.replication_id + (" (terminated)" if server.terminated else ""),
            one_line(server.manager),
            one_line(server.path),
        )
        for server in shown
    ]
    if found.status is CatalogueStatus.AVAILABLE:
        out(table(("SERVER", "NAME", "REPLICATION", "VCENTER", "PATH"), rows))
    when = f", as of {stamp(found.modified)}" if found.modified is not None else ""
    say(f"catalogue: {found.status.value.lower().replace('_', ' ')}{when}: {len(found.servers)} servers")
    say_rest(len(shown), len(found.servers), following)
