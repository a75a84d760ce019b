"""``vmie-tui replicate advance``: the simulated clock of a demo."""

from __future__ import annotations

from datetime import timedelta

import click

from vmie_tui.commands.common import json_option, out, out_json, pass_session, say
from vmie_tui.commands.session import Session
from vmie_tui.commands.tasks import AgeType
from vmie_tui.model.formatting import duration
from vmie_tui.model.replication import stamp


@click.command("advance")
@click.argument("span", metavar="DURATION", type=AgeType())
@json_option
@pass_session
def advance(session: Session, span: timedelta, as_json: bool) -> None:
    """Set the simulated clock of a demo forward: 30m, 12h, 3d. Runs that fall due meanwhile are started, or missed.

    \b
    Example: vmie-tui --profile demo replicate advance 12h
    """
    profile = session.settings.profile()
    now = session.operations.replications.advance(span.total_seconds())
    say(f"{duration(span.total_seconds())} later")
    out_json({"profile": profile.name, "now": now}) if as_json else out(stamp(now))
