"""``vmie-tui replicate cutover``: a replicated VM moved into EC2 for good."""

from __future__ import annotations

import click

from vmie_tui.commands.common import json_option, out, out_json, pass_session, say, sure, yes_option
from vmie_tui.commands.launch import test_launch
from vmie_tui.commands.replicate.common import follow, made_words, name_of
from vmie_tui.commands.session import Session
from vmie_tui.exit_codes import EXIT_OK
from vmie_tui.model.errors import ErrorKind, ServiceError
from vmie_tui.model.forecast import forecast
from vmie_tui.model.formatting import one_line
from vmie_tui.model.plan import TestLaunch
from vmie_tui.model.replication import ReplicationView, Run, Verify, stamp, until


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
    replications = session.replications
    profile = session.operations.profile.name
    views = [replications.find(ident)] if ident is not None else replications.group(profile, group or "")
    if test:
        (view,) = views
        plan = view.spec.plan
        operations = session.operations_of(plan.profile)
        return test_launch(
            operations,
            _newest(view),
            plan.region,
            operations.vcenter.machine_of(plan),
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
        begun = set(replications.start_group(profile, group, cutover=launch))
    else:
        begun = {replications.run_now(views[0].id, verify=Verify(verify) if verify else None, cutover=launch)}
    started = [(view, run) for view in views for run in replications.view(view.id).runs if run.id in begun]
    say("\n".join(f"{name_of(view)}: run {run.id}" for view, run in started))
    runs, code = [run for _, run in started], EXIT_OK
    if wait:
        runs, code = follow(session, [(view.id, run.id) for view, run in started])
    if as_json:
        found = [run.to_json() for run in runs]
        out_json(found if group is not None else found[0] if found else None)
    by_id = {view.id: view for view in views}
    for run in runs:
        if not as_json:
            out(f"{run.id}  {made_words(run)}" if wait else run.id)
        _say_what_now(by_id[run.replication_id], run, wait=wait)
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


def _say_what_now(view: ReplicationView, run: Run, *, wait: bool) -> None:
    if not wait:
        say(f"vmie-tui replicate runs {view.id} shows how it goes")
        return
    name = name_of(view)
    if run.instance_id:
        say(f"{name} runs as {run.instance_id} now; 'vmie-tui instance {run.instance_id} --wait' looks at its checks")
    if run.job_id:  # one that did not begin has shut nothing down
        say(f"the way back: vmie-tui replicate rollback {view.id}")
