"""``vmie-tui replicate``: incremental, scheduled copies of running machines. Commands are imported when asked for."""

from __future__ import annotations

import click

from vmie_tui.commands.lazy import LazyGroup

COMMANDS = {
    "create": "replicate.create:create",
    "edit": "replicate.edit:edit",
    "list": "replicate.list:list_command",
    "show": "replicate.show:show",
    "runs": "replicate.runs:runs",
    "run": "replicate.run:run",
    "pause": "replicate.pause:pause",
    "resume": "replicate.resume:resume",
    "extend": "replicate.extend:extend",
    "delete": "replicate.delete:delete",
    "advance": "replicate.advance:advance",
    "forecast": "replicate.forecast:forecast",
    "cutover": "replicate.cutover:cutover",
    "rollback": "replicate.rollback:rollback",
    "catalogue": "replicate.catalogue:catalogue",
}


@click.group("replicate", cls=LazyGroup, lazy=COMMANDS)
def replicate_command() -> None:
    """Copy running VMs into EC2 again and again, only what changed, until they are cut over.

    ID is a replication's id, its beginning, or the name of its VM. The work is done by a background process, which
    keeps the schedules with the terminal closed.

    \b
    Examples: vmie-tui replicate create web-01 db-01 --every 12 --keep 5
              vmie-tui replicate list
              vmie-tui replicate run web-01 --wait
              vmie-tui replicate cutover web-01
    """
