"""``vmie-tui replicate rollback``: the way back from a cutover."""

from __future__ import annotations

import click

from vmie_tui.commands.common import json_option, out, out_json, pass_session, say, sure, yes_option
from vmie_tui.commands.replicate.common import ident_argument, name_of
from vmie_tui.commands.session import Session
from vmie_tui.model.formatting import one_line
from vmie_tui.operations.roll_back import last_cutover


@click.command("rollback")
@ident_argument
@yes_option
@json_option
@pass_session
def rollback(session: Session, ident: str, yes: bool, as_json: bool) -> None:
    """Go back from a cutover: the instance it launched is stopped, the VM powered on.

    What was written in EC2 since the cutover stays on the instance's volumes, and does not come back to the VM.

    \b
    Example: vmie-tui replicate rollback web-01
    """
    view = session.replications.find(ident)
    replications = session.operations_of(view.spec.plan.profile).replications
    replications.check_roll_back(view)
    run = last_cutover(view)
    stops = f"stop {run.instance_id}, " if run.instance_id else ""
    sure(f"Go back from the cutover of {name_of(view)}: {stops}power the VM on?", yes)
    done = replications.roll_back(view.id, lambda words: say(one_line(words)))
    if view.paused:
        say(f"its schedule is paused: vmie-tui replicate resume {view.id} goes on with it")
    if as_json:
        out_json({"replication": view.id, "instance_id": run.instance_id, "done": list(done)})
        return
    for words in done:
        out(one_line(words))
