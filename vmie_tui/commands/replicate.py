"""``vmie-tui replicate``: incremental, scheduled copies of running machines. Commands are imported when asked for."""

from __future__ import annotations

import click

from vmie_tui.commands.lazy import LazyGroup

COMMANDS = {
    "create": "replicate_create:create",
    "edit": "replicate_create:edit",
    "list": "replicate_list:list_command",
    "show": "replicate_list:show",
    "runs": "replicate_list:runs",
    "run": "replicate_steer:run",
    "pause": "replicate_steer:pause",
    "resume": "replicate_steer:resume",
    "extend": "replicate_steer:extend",
    "delete": "replicate_steer:delete",
    "advance": "replicate_steer:advance",
    "forecast": "replicate_cutover:forecast_command",
    "cutover": "replicate_cutover:cutover",
    "rollback": "replicate_cutover:rollback",
    "catalogue": "replicate_catalogue:catalogue",
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
