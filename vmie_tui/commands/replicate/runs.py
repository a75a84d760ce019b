"""``vmie-tui replicate runs``: the runs of one replication."""

from __future__ import annotations

import click

from vmie_tui.commands.common import json_option, left_text, out, out_json, pass_session, percent_text, table
from vmie_tui.commands.replicate.common import ident_argument, page, page_options, say_rest
from vmie_tui.commands.session import Session
from vmie_tui.model.formatting import one_line, rate
from vmie_tui.model.replication import (
    Run,
    RunState,
    Sync,
    changed_words,
    message_of,
    moved_words,
    stamp,
    type_words,
)


@click.command("runs")
@ident_argument
@page_options
@json_option
@pass_session
def runs(session: Session, ident: str, max_items: int | None, starting_token: str | None, as_json: bool) -> None:
    """List the runs of a replication, newest first: what changed, what was moved, the AMI it made."""
    view = session.replications.find(ident)
    shown, following = page([(run.id, run) for run in view.runs], starting_token, max_items)
    if as_json:
        out_json({"replication": view.id, "runs": [run.to_json() for run in shown], "next_token": following})
        return
    headings = ("RUN", "DUE", "TYPE", "STATE", "DONE", "RATE", "LEFT", "HOW", "CHANGED", "MOVED", "AMI", "JOB", "SAYS")
    rows = [
        (
            run.id,
            stamp(run.scheduled),
            type_words(run),
            run.state.value.lower(),
            percent_text(None if run.state.over else run.fraction),
            rate(run.rate) if run.rate and not run.state.over else "",
            left_text(None if run.state.over else run.eta_seconds),
            run.figures.sync.value if run.figures is not None else "",
            changed_words(run).removeprefix("changed "),
            moved_words(run),
            image_words(run) + (f" {run.instance_id}" if run.instance_id else ""),
            run.job_id,
            said_words(run),
        )
        for run in shown
    ]
    out(table(headings, rows, right=frozenset({4, 5, 6})))
    say_rest(len(shown), len(view.runs), following)


def image_words(run: Run) -> str:
    """Its AMI, and whether the retention has removed it."""
    return f"{run.image_id} (removed)" if run.image_id and run.image_gone else run.image_id


def said_words(run: Run) -> str:
    """Why it did not start, what it does; of one that is complete, why it was not the changed blocks that it moved."""
    if run.state is not RunState.COMPLETED:
        return message_of(run)
    figures = run.figures
    return one_line(figures.reason) if figures is not None and figures.sync is not Sync.FIRST else ""
