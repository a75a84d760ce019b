"""``vmie-tui replicate forecast``, ``cutover`` and ``rollback``: the end of a replication, and the way back from it."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING

import click

from vmie_tui.commands.common import aws_session, json_option, out, out_json, pass_session, say, sure, yes_option
from vmie_tui.commands.image import known_machine, test_launch
from vmie_tui.commands.inventory import open_vcenter
from vmie_tui.commands.replicate.common import client_of, find, follow, ids_argument, made_words, name_of
from vmie_tui.commands.session import Session
from vmie_tui.model.errors import EXIT_OK, ErrorKind, ServiceError
from vmie_tui.model.forecast import forecast
from vmie_tui.model.formatting import one_line
from vmie_tui.model.plan import TestLaunch
from vmie_tui.model.replication import ReplicationView, Verify, stamp, until
from vmie_tui.services.read_only import Policy

if TYPE_CHECKING:
    from vmie_tui.model.replication import Run
    from vmie_tui.operations.replication_jobs import ReplicationClient

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
@click.argument("ident", required=False, metavar="[ID]")
@click.option("--group", metavar="NAME", help="All servers of this group, in their order, instead of ID.")
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
    ident: str | None,
    group: str | None,
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
              vmie-tui replicate cutover --group shop --wait
    """
    if (ident is None) == (group is None):
        raise click.UsageError("give an ID, or --group NAME")
    if group is not None and (test or verify):
        raise click.UsageError("--test and --verify belong to an ID")
    if test and verify:
        raise click.UsageError("--verify belongs to a cutover, not to --test")
    with client_of(session) as client:
        views = [find(client, ident)] if ident is not None else _members(session, client, group or "")
        if test:
            (view,) = views
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
        for view in views:
            _say_what_comes(view, instance_type or "", subnet, isolated=bool(isolated))
        names = ", then ".join(name_of(view) for view in views)
        sure(f"Shut {names} down and cut {'it' if len(views) == 1 else 'them'} over?", yes)
        launch = TestLaunch(instance_type or "", subnet, key, isolated=bool(isolated))
        if group is not None:
            begun = set(client.start_group(views[0].spec.plan.profile, group, cutover=launch))
        else:
            begun = {client.run_now(views[0].id, verify=Verify(verify) if verify else None, cutover=launch)}
        started = [(view, run) for view in views for run in client.view(view.id).runs if run.id in begun]
        say("\n".join(f"{name_of(view)}: run {run.id}" for view, run in started))
        runs, code = [run for _, run in started], EXIT_OK
        if wait:
            runs, code = follow(session, client, [(view.id, run.id) for view, run in started])
    if as_json:
        found = [run.to_json() for run in runs]
        out_json(found if group is not None else found[0] if found else None)
    by_id = {view.id: view for view in views}
    for run in runs:
        if not as_json:
            out(f"{run.id}  {made_words(run)}" if wait else run.id)
        _say_what_now(by_id[run.replication_id], run, wait=wait)
    return code


def _members(session: Session, client: ReplicationClient, group: str) -> list[ReplicationView]:
    """Those of the group that still go on, in its order. Raises ServiceError NOT_FOUND."""
    profile = session.settings.profile().name
    found = [view for view in client.views(profile) if view.spec.group == group and view.state.counts]
    if not found:
        raise ServiceError(
            ErrorKind.NOT_FOUND,
            "no replication is in this group",
            subject=group,
            remedy="See 'vmie-tui replicate list' for those there are; 'replicate edit --group' puts one into it",
        )
    return sorted(found, key=lambda view: (view.spec.order, view.name))


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


def _say_what_now(view: ReplicationView, run: Run, *, wait: bool) -> None:
    if not wait:
        say(f"vmie-tui replicate runs {view.id} shows how it goes")
        return
    name = name_of(view)
    if run.instance_id:
        say(f"{name} runs as {run.instance_id} now; 'vmie-tui instance {run.instance_id} --wait' looks at its checks")
    if run.job_id:  # one that did not begin has shut nothing down
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
    from vmie_tui.operations.roll_back import last_cutover, roll_back
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
