"""``vmie-tui replicate list``, ``show`` and ``runs``."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Sequence

import click

from vmie_tui.commands.common import json_option, left_text, out, out_json, pass_session, percent_text, say, table
from vmie_tui.commands.replicate.common import client_of, find, ids_argument, name_of, page, page_options, say_rest
from vmie_tui.commands.session import Session
from vmie_tui.commands.tasks import CLEAR
from vmie_tui.model.formatting import one_line, rate
from vmie_tui.model.replication import (
    ReplicationView,
    Run,
    RunState,
    Sync,
    changed_words,
    day_words,
    every_words,
    kept_words,
    last_words,
    message_of,
    moved_words,
    next_words,
    outcome_words,
    stamp,
    state_words,
    type_words,
    until,
)
from vmie_tui.services.pacing import Poll

WATCH_SECONDS = 2.0
SHOWN = 5  # runs that `show` lists


# -- list


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
    with client_of(session) as client:
        if watch:
            _watch(lambda: client.views(profile, deleted=everything), as_json=as_json)
        views = client.views(profile, deleted=everything)
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


# -- show


@click.command("show")
@ids_argument("ident", several=False)
@json_option
@pass_session
def show(session: Session, ident: str, as_json: bool) -> None:
    """Show one replication: what was asked for, how it stands, its newest runs."""
    with client_of(session) as client:
        view = find(client, ident)
    if as_json:
        out_json(view.to_json())
        return
    for name, value in _facts(view):
        out(f"{name:<12} {value}")
    for run in view.runs[:SHOWN]:
        out(f"{'run':<12} {_run_line(run)}")
    if len(view.runs) > SHOWN:
        say(f"{len(view.runs)} runs: vmie-tui replicate runs {view.id}")


def _facts(view: ReplicationView) -> list[tuple[str, str]]:
    """(name, value) of everything there is to say in a line each, on one line and without control characters."""
    spec, plan = view.spec, view.spec.plan
    licence = plan.license_type.value if plan.license_type else plan.usage_operation or ""
    key = f" with {plan.kms_key_id}" if plan.kms_key_id else ""
    group = f"{spec.group}, order {spec.order}" if spec.group else ""
    rows = [
        ("replication", f"{view.id}  {view.name}  ({plan.profile})"),
        ("state", state_words(view)),
        ("says", view.message),
        ("from", plan.source.where),
        ("to", f"AMIs in {plan.region}, route {plan.route.value}"),
        ("every", f"{every_words(spec)}, from {stamp(spec.start)}"),
        ("next run", _when(view, view.next_run)),
        ("days", f"day {view.day} of {view.days}" if view.first is not None else ""),
        ("ends", _when(view, view.ends)),
        ("AMIs kept", kept_words(view)),
        ("newest AMI", view.images[0] if view.images else ""),
        ("licence", licence),
        ("role", plan.role_name),
        ("AMI name", plan.ami_name),
        ("description", plan.description),
        ("tags", ", ".join(f"{key}={value}" for key, value in sorted(plan.tags.items()))),
        ("encrypted", f"yes{key}" if plan.encrypted else "no"),
        ("quiesce", "yes, by VMware Tools" if plan.quiesce else "no"),
        ("verify", spec.verify.value),
        ("group", group),
        ("overridden", "; ".join(plan.override)),
        ("created", _when(view, view.created)),
    ]
    return [(name, one_line(value)) for name, value in rows if value]


def _when(view: ReplicationView, at: float | None) -> str:
    return "" if at is None else f"{stamp(at)} ({until(at, view.now)})"


def _run_line(run: Run) -> str:
    parts = (stamp(run.scheduled), run.id, type_words(run), outcome_words(run), _image(run), _said(run))
    return "  ".join(part for part in parts if part)


def _image(run: Run) -> str:
    """Its AMI, and whether the retention has removed it."""
    return f"{run.image_id} (removed)" if run.image_id and run.image_gone else run.image_id


# -- runs


@click.command("runs")
@ids_argument("ident", several=False)
@page_options
@json_option
@pass_session
def runs(session: Session, ident: str, max_items: int | None, starting_token: str | None, as_json: bool) -> None:
    """List the runs of a replication, newest first: what changed, what was moved, the AMI it made."""
    with client_of(session) as client:
        view = find(client, ident)
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
            _image(run) + (f" {run.instance_id}" if run.instance_id else ""),
            run.job_id,
            _said(run),
        )
        for run in shown
    ]
    out(table(headings, rows, right=frozenset({4, 5, 6})))
    say_rest(len(shown), len(view.runs), following)


def _said(run: Run) -> str:
    """Why it did not start, what it does; of one that is complete, why it was not the changed blocks that it moved."""
    if run.state is not RunState.COMPLETED:
        return message_of(run)
    figures = run.figures
    return one_line(figures.reason) if figures is not None and figures.sync is not Sync.FIRST else ""
