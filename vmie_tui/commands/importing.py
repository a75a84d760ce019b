"""``vmie-tui import``: plan, check and submit; optionally wait."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from typing import Any

import click

from vmie_tui.commands import inventory as inventory_command
from vmie_tui.commands.common import json_option, out, out_json, pass_session, say
from vmie_tui.commands.session import Session
from vmie_tui.commands.waiting import exit_code_of, wait_for
from vmie_tui.model.errors import ErrorKind, ServiceError
from vmie_tui.model.finding import Finding, Severity
from vmie_tui.model.machine import Machine
from vmie_tui.model.plan import BootMode, ImportPlan, LicenseType, Route, VmSource
from vmie_tui.model.rules import check_machine, check_plan
from vmie_tui.model.rules.licensing import default_licence
from vmie_tui.model.rules.override import CONTENT, blocked
from vmie_tui.settings import Profile


@click.command("import")
@click.argument("vms", nargs=-1, required=True, metavar="VM...")
@click.option("--route", type=click.Choice([r.value for r in Route]), default=Route.IMAGE.value, show_default=True)
@click.option("--license-type", type=click.Choice([kind.value for kind in LicenseType]), help="AWS or BYOL.")
@click.option("--usage-operation", metavar="CODE", help="Instead of a licence type, such as RunInstances:0002.")
@click.option("--region", help="Region of the AMI; the profile's when left out.")
@click.option("--bucket", help="Bucket in that Region; the profile's when left out.")
@click.option("--prefix", help="Where in the bucket; the profile's when left out.")
@click.option("--role-name", help="The service role; vmimport when left out.")
@click.option("--boot-mode", type=click.Choice([mode.value for mode in BootMode]))
@click.option("--encrypted", is_flag=True, help="Encrypt the AMI's snapshots.")
@click.option("--kms-key-id", metavar="KEY", help="With --encrypted: the key, instead of the account's default.")
@click.option("--ami-name", metavar="NAME", default="", help="Name tag of the AMI; the VM's name when left out.")
@click.option("--description", default="", help="Description of the import task and the AMI.")
@click.option("--tag", "tags", multiple=True, metavar="KEY=VALUE", help="Tag of the AMI and its snapshots; repeatable.")
@click.option("--no-quiesce", is_flag=True, help="Do not ask VMware Tools to quiesce a running guest.")
@click.option(
    "--force-name",
    "forced",
    multiple=True,
    metavar="NAME",
    help="Start this VM despite its blockers; repeatable.",
)
@click.option("--wait", is_flag=True, help="Wait until all jobs have ended.")
@json_option
@pass_session
def import_command(session: Session, /, vms: tuple[str, ...], wait: bool, as_json: bool, **chosen: Any) -> int:
    """Turn virtual machines into AMIs. VM is a name, a path or an id.

    The work is done by a background process and goes on when this command or the terminal ends.
    """
    from vmie_tui.jobs.client import JobClient

    settings = session.settings
    profile = settings.profile()
    tags, forced = _tags(chosen.pop("tags")), frozenset(chosen.pop("forced"))
    found = inventory_command.read(settings, profile).machines
    machines = [inventory_command.find(found, wanted) for wanted in vms]
    plans = [make_plan(profile, machine, tags=tags, **chosen) for machine in machines]
    unknown = sorted(forced - {machine.name for machine in machines})
    if unknown:
        raise click.BadParameter(f"{unknown[0]!r} is none of the VMs to import", param_hint="--force-name")
    plans = [preflight(plan, machine, forced) for plan, machine in zip(plans, machines, strict=True)]
    client = JobClient(settings)
    ids = [client.submit(plan) for plan in plans]
    for job_id, machine in zip(ids, machines, strict=True):
        say(f"{machine.path}: job {job_id}")
    if not wait:
        if as_json:
            out_json([{"job": job_id, "name": plan.source.name} for job_id, plan in zip(ids, plans, strict=True)])
        else:
            for job_id in ids:
                out(job_id)
        return 0
    views = wait_for(client, ids)
    if as_json:
        out_json([view.to_json() for view in views])
    else:
        for view in views:
            out(f"{view.name}  {view.image_id or view.state.value}")
    return exit_code_of(views)


def make_plan(
    profile: Profile,
    machine: Machine,
    *,
    license_type: str | None = None,
    usage_operation: str | None = None,
    region: str | None = None,
    bucket: str | None = None,
    prefix: str | None = None,
    role_name: str | None = None,
    boot_mode: str | None = None,
    no_quiesce: bool = False,
    route: str = Route.IMAGE.value,
    **same: Any,
) -> ImportPlan:
    """The plan for one machine: what was chosen, else the profile's, else what fits the guest's licence."""
    aws, vcenter = profile.aws, profile.vcenter
    plan = ImportPlan(
        profile=profile.name,
        source=VmSource(vcenter.host if vcenter else "", machine.moid, machine.name, machine.instance_uuid),
        region=region or aws.region,
        bucket=bucket or aws.bucket,
        route=Route(route),
        license_type=LicenseType(license_type) if license_type else None,
        usage_operation=usage_operation,
        prefix=aws.prefix if prefix is None else prefix,
        role_name=role_name or aws.role_name,
        boot_mode=BootMode(boot_mode) if boot_mode else None,
        quiesce=not no_quiesce,
        **same,
    )
    if not plan.license_type and not plan.usage_operation:
        plan = replace(plan, license_type=default_licence(machine.os_family))
    return plan


def preflight(plan: ImportPlan, machine: Machine, forced: Collection[str] = ()) -> ImportPlan:
    """Say what the rules find. The plan; with the blockers of a machine whose name is in ``forced`` overridden.

    Raises ServiceError REFUSED when something would make the import fail that was not, or cannot be, overridden.
    """
    found = check_plan(plan, machine)
    for finding in found:
        if finding.severity is Severity.WARNING:
            say(f"warning: {_line(machine, finding)}")
    sorted_out = blocked(machine, found, check_machine(machine, route=plan.route))
    overridden = sorted_out.soft if machine.name in forced else ()
    for finding in overridden:
        say(f"forced: {_line(machine, finding)}")
    standing = (*sorted_out.firm, *sorted_out.soft[len(overridden) :])
    for finding in standing[1:]:
        say(f"refused: {_line(machine, finding)}")
    if standing:
        raise ServiceError(ErrorKind.REFUSED, _line(machine, standing[0]))
    seen = tuple(finding.headline for finding in overridden)
    return replace(plan, override=(*seen, CONTENT) if machine.name in forced else seen)


def _line(machine: Machine, finding: Finding) -> str:
    words = ". ".join(part for part in (finding.what, finding.remedy) if part)
    return f"{machine.name}: {f'{finding.subject}: ' if finding.subject not in {'', machine.name} else ''}{words}"


def _tags(pairs: tuple[str, ...]) -> dict[str, str]:
    tags: dict[str, str] = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not key or not equals:
            raise click.BadParameter(f"{pair!r} is not KEY=VALUE", param_hint="--tag")
        tags[key] = value
    return tags
