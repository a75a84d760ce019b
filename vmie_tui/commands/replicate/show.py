"""``vmie-tui replicate show``: one replication in full."""

from __future__ import annotations

import click

from vmie_tui.commands.common import json_option, out, out_json, pass_session, say
from vmie_tui.commands.replicate.common import ident_argument
from vmie_tui.commands.replicate.runs import image_words, said_words
from vmie_tui.commands.session import Session
from vmie_tui.model.formatting import one_line
from vmie_tui.model.replication import (
    ReplicationView,
    Run,
    every_words,
    kept_words,
    outcome_words,
    stamp,
    state_words,
    type_words,
    until,
)

SHOWN = 5  # runs


@click.command("show")
@ident_argument
@json_option
@pass_session
def show(session: Session, ident: str, as_json: bool) -> None:
    """Show one replication: what was asked for, how it stands, its newest runs."""
    view = session.replications.find(ident)
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
    parts = (stamp(run.scheduled), run.id, type_words(run), outcome_words(run), image_words(run), said_words(run))
    return "  ".join(part for part in parts if part)
