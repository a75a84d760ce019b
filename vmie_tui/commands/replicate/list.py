"""``vmie-tui replicate list``: every replication in a line."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Sequence

import click

from vmie_tui.commands.common import json_option, out, out_json, pass_session, table
from vmie_tui.commands.replicate.common import name_of, page, page_options, say_rest
from vmie_tui.commands.session import Session
from vmie_tui.commands.tasks import CLEAR
from vmie_tui.model.formatting import one_line
from vmie_tui.model.replication import (
    ReplicationView,
    day_words,
    every_words,
    kept_words,
    last_words,
    next_words,
    stamp,
    state_words,
)
from vmie_tui.services.pacing import Poll

WATCH_SECONDS = 2.0


@click.command("list")
@click.option("--all", "everything", is_flag=True, help="Those that were deleted too.")
@click.option("--profile", metavar="NAME", help="Only replications of this profile.")
@page_options
@click.option("--watch", is_flag=True, help="Go on looking until interrupted; without a terminal, a line per change.")
@json_option
@pass_session
def list_command(
    session: Session,
    /,
    *,
    everything: bool,
    profile: str | None,
    max_items: int | None,
    starting_token: str | None,
    watch: bool,
    as_json: bool,
) -> None:
    """List the replications, newest first: next and last run, AMIs kept, day of the VM's days.

    \b
    Examples: vmie-tui replicate list --max-items 10
              vmie-tui replicate list --watch
    """
    replications = session.replications
    if watch:
        _watch(lambda: replications.views(profile, deleted=everything), as_json=as_json)
    views = replications.views(profile, deleted=everything)
    shown, following = page([(view.id, view) for view in views], starting_token, max_items)
    if as_json:
        out_json({"replications": [view.to_json() for view in shown], "next_token": following})
        return
    out(_table(shown))
    say_rest(len(shown), len(views), following)


def _table(views: Sequence[ReplicationView]) -> str:
    headings = ("REPLICATION", "SERVER", "EVERY", "NEXT RUN", "LAST RUN", "AMIS KEPT", "DAY", "STATE", "SAYS")
    rows = [
        (
            view.id,
            name_of(view),
            every_words(view.spec),
            next_words(view),
            last_words(view),
            kept_words(view),
            day_words(view),
            state_words(view),
            one_line(view.message),
        )
        for view in views
    ]
    return table(headings, rows, right=frozenset({2, 5, 6}))


def _watch(look: Callable[[], list[ReplicationView]], *, as_json: bool) -> None:
    """Look again and again, until interrupted. Without a terminal: a line for each that changed."""
    told: dict[str, object] = {}
    poll = Poll(WATCH_SECONDS)
    while True:
        views = look()
        if sys.stdout.isatty() and not as_json:
            sys.stdout.write(CLEAR)
            out(_table(views))
        else:
            for view in views:
                reading = (state_words(view), last_words(view), kept_words(view), view.message)
                if told.get(view.id) != reading:
                    out(json.dumps(view.to_json()) if as_json else _line(view))
                told[view.id] = reading
        sys.stdout.flush()
        poll.wait()


def _line(view: ReplicationView) -> str:
    """A change in one line."""
    parts = (stamp(view.now), view.id, name_of(view), state_words(view), last_words(view), f"AMIs {kept_words(view)}")
    return "  ".join(part for part in (*parts, one_line(view.message)) if part)
