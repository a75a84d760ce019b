"""``vmie-tui replicate forecast``, ``cutover`` and ``rollback``: the end of a replication, and the way back from it."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING

import click

from vmie_tui.commands.after import known_machine, test_launch
from vmie_tui.commands.common import aws_session, json_option, out, out_json, pass_session, say, sure, yes_option
from vmie_tui.commands.inventory import open_vcenter
from vmie_tui.commands.replicate_common import client_of, find, follow, ids_argument, made_words, name_of
from vmie_tui.commands.session import Session
from vmie_tui.model.errors import EXIT_OK, ErrorKind, ServiceError
from vmie_tui.model.forecast import forecast
from vmie_tui.model.plan import TestLaunch
from vmie_tui.model.replication import ReplicationView, Verify
from vmie_tui.model.replication_words import stamp, until
from vmie_tui.model.task_report import one_line
from vmie_tui.services.policy import Policy

if TYPE_CHECKING:
    from vmie_tui.model.replication import Run

# -- forecast


@click.command("forecast")
@ids_argument("ident", several=False)
@json_option
@pass_session
def forecast_command(session: Session, ident: str, as_json: bool) -> None:
    """Say how long a cutover would keep the VM off, and whether its runs keep pace with what it writes.

    \b
    Example: vmie-tui replicate forecast web-01
    """
    with client_of(session) as client:
        view = find(client, ident)
    found = forecast(view)
    if as_json:
        out_json({"replication": view.id, "name": view.name, **found.to_json()})
        return
    for line in (*found.words, found.interval_hint):
        if line:
            out(one_line(line))


# -- cutover


@click.command("cutover")
@ids_argument("ident", several=False)
@click.option("--test", is_flag=True, help="Only launch a test instance of the newest AMI; the VM goes on.")
@click.option("--instance-type", metavar="TYPE", help="When left out, the smallest that is like the VM.")
@click.option("--subnet", metavar="ID", default="", help="Subnet; one of the default VPC when left out.")
@click.option("--key-name", "--key", "key", metavar="NAME", default="", help="Key pair to log in with.")
@click.option(
    "--isolated/--reachable",
    default=None,
    help="In a security group that lets nothing through, or in the default one. A test is isolated, a cutover not.",
)
@click.option(
    "--verify",
    type=click.Choice([each.value for each in Verify]),
    help="What is read back of the last delta; as decided.",
)
@click.option("--wait", is_flag=True, help="Wait until the instance runs.")
@yes_option
@json_option
@pass_session
def cutover(
    session: Session,
    /,
    *,
    ident: str,
    test: bool,
    instance_type: str | None,
    subnet: str,
    key: str,
    isolated: bool | None,
    verify: str | None,
    wait: bool,
    yes: bool,
    as_json: bool,
) -> int:
    """Move a replicated VM into EC2: it is shut down, the last delta is copied, its AMI made and launched.

    Before it, --test shows whether the newest AMI boots. What will happen and how long the VM will be off is said
    first. The way back is 'replicate rollback'.

    \b
    Examples: vmie-tui replicate cutover web-01 --test --wait
              vmie-tui replicate cutover web-01 --instance-type t3.medium --wait
    """
    with client_of(session) as client:
        view = find(client, ident)
        if test:
            if verify:
                raise click.UsageError("--verify belongs to a cutover, not to --test")
            plan = view.spec.plan
            return test_launch(
                session,
                _newest(view),
                plan.region,
                known_machine(session, plan),
                profile_name=plan.profile,
                instance_type=instance_type,
                subnet=subnet,
                key=key,
                reachable=isolated is False,
                wait=wait,
                as_json=as_json,
            )
        _say_what_comes(view, instance_type or "", subnet, isolated=bool(isolated))
        sure(f"Shut {name_of(view)} down and cut it over?", yes)
        launch = TestLaunch(instance_type or "", subnet, key, isolated=bool(isolated))
        run_id = client.run_now(view.id, verify=Verify(verify) if verify else None, cutover=launch)
        say(f"{name_of(view)}: run {run_id}")
        if not wait:
            found = next(run for run in client.view(view.id).runs if run.id == run_id)
            out_json(found.to_json()) if as_json else out(run_id)
            say(f"vmie-tui replicate runs {view.id} shows how it goes")
            return EXIT_OK
        runs, code = follow(session, client, [(view.id, run_id)])
    for run in runs:
        out_json(run.to_json()) if as_json else out(f"{run.id}  {made_words(run)}")
        _say_what_now(view, run)
    return code


def _newest(view: ReplicationView) -> str:
    if not view.images:
        raise ServiceError(
            ErrorKind.CONFLICT,
            "there is no AMI yet",
            subject=name_of(view),
            remedy="Wait for its first run, or start one: vmie-tui replicate run",
        )
    return view.images[0]


def _say_what_comes(view: ReplicationView, instance_type: str, subnet: str, *, isolated: bool) -> None:
    """What a cutover does, and what the runs so far foretell."""
    name, plan, last = name_of(view), view.spec.plan, view.last
    where = f"in {subnet}" if subnet else "in the default VPC"
    reach = "isolated" if isolated else "in the default security group"
    say(f"{name} is shut down by VMware Tools, and stays off")
    since = f" since {stamp(last.figures.frozen)}" if last is not None and last.figures and last.figures.frozen else ""
    say(f"what changed{since} is copied, and an AMI made in {plan.region}")
    say(f"{instance_type or 'an instance like the VM'} is launched of it {where}, {reach}")
    say("its schedule is paused; its AMIs and the VM's disks stay")
    for line in forecast(view).words:
        say(f"forecast: {one_line(line)}")
    if not view.images:
        say("warning: no run is complete yet: the first copy is made while it is off")
    if view.next_run is not None and view.next_run > view.now:
        say(f"(its next scheduled run would be {until(view.next_run, view.now)})")


def _say_what_now(view: ReplicationView, run: Run) -> None:
    name = name_of(view)
    if run.instance_id:
        say(f"{name} runs as {run.instance_id} now; 'vmie-tui instance {run.instance_id} --wait' looks at its checks")
    say(f"the way back: vmie-tui replicate rollback {view.id}")


# -- rollback


@click.command("rollback")
@ids_argument("ident", several=False)
@yes_option
@json_option
@pass_session
def rollback(session: Session, ident: str, yes: bool, as_json: bool) -> None:
    """Go back from a cutover: the instance it launched is stopped, the VM powered on.

    What was written in EC2 since the cutover stays on the instance's volumes, and does not come back to the VM.

    \b
    Example: vmie-tui replicate rollback web-01
    """
    from vmie_tui.services.cutover import last_cutover, roll_back
    from vmie_tui.services.vsphere.inventory import find_machine

    with client_of(session) as client:
        view = find(client, ident)
    plan = view.spec.plan
    profile = session.settings.profile(plan.profile)
    Policy(profile.read_only).check_work("rolled back", view.id)
    run = last_cutover(view)
    stops = f"stop {run.instance_id}, " if run.instance_id else ""
    sure(f"Go back from the cutover of {name_of(view)}: {stops}power the VM on?", yes)
    with ExitStack() as held:
        aws = aws_session(session, held, read_only=False, profile_name=plan.profile)
        vsphere = held.enter_context(open_vcenter(profile))
        done = roll_back(
            vsphere,
            aws,
            plan.region,
            moid=find_machine(vsphere, plan.vm).moid,  # it may have been registered anew
            instance_id=run.instance_id,
            on_step=lambda words: say(one_line(words)),
        )
    if view.paused:
        say(f"its schedule is paused: vmie-tui replicate resume {view.id} goes on with it")
    if as_json:
        out_json({"replication": view.id, "instance_id": run.instance_id, "done": list(done)})
        return
    for words in done:
        out(one_line(words))
