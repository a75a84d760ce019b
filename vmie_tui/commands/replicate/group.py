"""``vmie-tui replicate``: incremental, scheduled copies of running machines. Commands are imported when asked for."""

from __future__ import annotations

import click

from vmie_tui.commands.lazy_commands import LazyGroup

COMMANDS = {
    "create": ("replicate.create:create", "Replicate running VMs: at an interval, or once."),
    "edit": ("replicate.edit:edit", "Change what a replication does from its next run on."),
    "list": (
        "replicate.list:list_command",
        "List the replications, newest first: next and last run, AMIs kept, day of the VM's days.",
    ),
    "show": ("replicate.show:show", "Show one replication: what was asked for, how it stands, its newest runs."),
    "runs": (
        "replicate.runs:runs",
        "List the runs of a replication, newest first: what changed, what was moved, the AMI it made.",
    ),
    "run": (
        "replicate.run:run",
        "Start a run now, besides the schedule: at most two within 24 hours, and none while another is at work.",
    ),
    "pause": ("replicate.pause:pause", "Start no further runs of these; one that is at work goes on."),
    "resume": ("replicate.resume:resume", "Go on with the schedule; after failures too."),
    "extend": (
        "replicate.extend:extend",
        "Ask for more than the 90 days that a VM is replicated, before or after they are over.",
    ),
    "delete": (
        "replicate.delete:delete",
        "End replications: a run at work is cancelled, what was only for the next run is removed.",
    ),
    "advance": ("replicate.advance:advance", "Set the simulated clock of a demo forward: 30m, 12h, 3d."),
    "forecast": (
        "replicate.forecast:forecast",
        "Say how long a cutover would keep the VM off, and whether its runs keep pace with what it writes.",
    ),
    "cutover": (
        "replicate.cutover:cutover",
        "Move a replicated VM into EC2: it is shut down, the last delta is copied, its AMI made and launched.",
    ),
    "rollback": (
        "replicate.rollback:rollback",
        "Go back from a cutover: the instance it launched is stopped, the VM powered on.",
    ),
    "catalogue": (
        "replicate.catalogue:catalogue",
        "The server catalogue: import it, import it again for servers added later, show it, clear it.",
    ),
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
