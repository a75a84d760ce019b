"""``vmie-tui launch``: a test instance of an AMI, or of the AMI a job has made."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import click

from vmie_tui.commands.common import json_option, out, out_json, pass_session, region_option, say
from vmie_tui.commands.instance import narrator, state_json, state_words
from vmie_tui.commands.session import Session
from vmie_tui.exit_codes import EXIT_FAILED, EXIT_OK
from vmie_tui.model.machine import Machine
from vmie_tui.operations.images import AMI, Launch
from vmie_tui.operations.operations import Operations


@click.command("launch")
@click.argument("what", metavar="AMI|JOB")
@region_option
@click.option("--instance-type", metavar="TYPE", help="When left out, the smallest that is like the machine was.")
@click.option("--cpus", type=click.IntRange(1), help="vCPUs the type must have, when the machine is not known.")
@click.option("--memory", type=click.IntRange(1), metavar="MIB", help="Memory it must have, likewise.")
@click.option("--subnet", metavar="ID", default="", help="Subnet; one of the default VPC when left out.")
@click.option("--key", metavar="NAME", default="", help="Key pair to log in with.")
@click.option("--reachable", is_flag=True, help="In the default security group; else in one that lets nothing through.")
@click.option("--wait", is_flag=True, help="Wait for the status checks; exit code 1 when they fail.")
@json_option
@pass_session
def launch_command(session: Session, /, what: str, region: str | None, wait: bool, as_json: bool, **chosen: Any) -> int:
    """Launch a test instance of an AMI, or of the AMI a job has made.

    It runs, and costs, until it is terminated: vmie-tui instance ID --terminate.

    \b
    Example: vmie-tui launch ami-0123456789abcdef0 --wait
    """
    operations, image_id, region, machine = _ami_of(session, what, region)
    return test_launch(operations, image_id, region, machine, wait=wait, as_json=as_json, **chosen)


def test_launch(
    operations: Operations,
    image_id: str,
    region: str,
    machine: Machine | None,
    *,
    instance_type: str | None = None,
    cpus: int | None = None,
    memory: int | None = None,
    subnet: str = "",
    key: str = "",
    reachable: bool = False,
    wait: bool,
    as_json: bool,
) -> int:
    """Launch, say so, and wait for the checks if wanted; the exit code. ``machine``: what it was made of, if known."""
    images = operations.images
    image = images.image(region, image_id)
    kind = instance_type or images.suggest_type(region, image, machine, cpus=cpus, memory=memory)
    made = images.launch(region, image, Launch(kind, subnet, key, not reachable))
    say(f"{image.id}: {made.id} ({made.instance_type}) is starting")
    seen = images.wait_for_checks(region, made.id, narrator()) if wait else None
    if as_json:
        out_json({**asdict(made), **(state_json(seen) if seen else {})})
    else:
        out(made.id if seen is None else f"{made.id}  {state_words(seen)}")
    return EXIT_OK if seen is None or seen.healthy else EXIT_FAILED


def _ami_of(session: Session, what: str, region: str | None) -> tuple[Operations, str, str, Machine | None]:
    """(operations of its profile, AMI, Region, the machine it was made of when that is known)."""
    if AMI.fullmatch(what):
        return session.operations, what, region or session.operations.images.region, None
    image_id, plan = session.jobs.image_of(what)
    operations = session.operations_of(plan.profile)
    return operations, image_id, region or plan.region, operations.vcenter.machine_of(plan)
