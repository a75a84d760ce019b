"""``vmie-tui import``: plan, check and submit; optionally wait."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import click

from vmie_tui.commands import inventory as inventory_command
from vmie_tui.commands.common import json_option, out, out_json, pass_session, say, tags_of
from vmie_tui.commands.import_.options import import_options
from vmie_tui.commands.import_.output import look_at_accounts, tell
from vmie_tui.commands.session import Session
from vmie_tui.commands.wait import exit_code_of, wait_for
from vmie_tui.model.finding import Severity
from vmie_tui.model.machine import Machine
from vmie_tui.model.plan import FileSource, ImportPlan, Source, VmSource
from vmie_tui.model.preflight import Preflight
from vmie_tui.operations.connections import read_only_aws
from vmie_tui.operations.import_check import Judged, finding_line, weigh
from vmie_tui.operations.import_plan import OptionError, default_route_words, make_plan
from vmie_tui.operations.jobs import Jobs
from vmie_tui.operations.sources import Given, describe_sources, find, machines_of_files, one_kind, parse_source
from vmie_tui.services.image_sources import Described
from vmie_tui.settings import Profile


@dataclass(frozen=True, slots=True)
class _Wanted:
    """Something to import."""

    machine: Machine
    source: Source | None = None  # None: the machine in vCenter
    preflight: Preflight | None = None  # None: its disks were not inspected


@click.command("import")
@click.argument("sources", nargs=-1, required=True, metavar="SOURCE...")
@import_options
@click.option("--dry-run", is_flag=True, help="Only say what is found, also of the AWS account; start nothing.")
@click.option("--wait", is_flag=True, help="Wait until all jobs have ended.")
@json_option
@pass_session
def import_command(
    session: Session, /, sources: tuple[str, ...], dry_run: bool, wait: bool, as_json: bool, **chosen: Any
) -> int:
    """Turn virtual machines, disk images and EBS snapshots into AMIs, snapshots or volumes.

    SOURCE is a VM's name, path or id; a disk image (OVA, OVF, VMDK, VHD, VHDX, RAW; QCOW2 and VDI with qemu-img);
    s3://bucket/key (or s3://bucket/prefix/ for all images under it); or an EBS snapshot's id. Several VMs are several
    imports; several files, objects or snapshots are the disks of one machine, its boot disk first.

    The work is done by a background process and goes on when this command or the terminal ends.

    \b
    Examples: vmie-tui import web-01 web-02 --wait
              vmie-tui import appliance.ova --route unmodified --boot-mode uefi
              vmie-tui import data.vmdk --route snapshot --attach i-0123456789abcdef0
              vmie-tui import s3://images/db.vhd --route image-direct --test-launch
    """
    settings = session.settings
    profile = settings.profile()
    chosen["tags"], forced = tags_of(chosen.pop("tags")), frozenset(chosen.pop("forced"))
    raw, each = chosen.pop("raw_source"), chosen.pop("each")
    wanted = _look_up(session, sources, chosen["region"] or profile.aws.region, raw=raw, each=each)
    names = {one.machine.name for one in wanted}
    if unknown := sorted(forced - names):
        raise click.BadParameter(f"{unknown[0]!r} is none of the sources to import", param_hint="--force-name")
    plans = [_plan(profile, one, chosen) for one in wanted]
    judged = [
        weigh(plan, one.machine, forced, one.preflight, account)
        for plan, one, account in zip(plans, wanted, look_at_accounts(profile, plans), strict=True)
    ]
    if dry_run:
        return tell(judged, as_json=as_json)
    plans = [allow(one) for one in judged]
    client = Jobs(settings)
    ids = [client.submit(plan) for plan in plans]
    for job_id, one in zip(ids, wanted, strict=True):
        say(f"{one.machine.path}: job {job_id}")
    if not wait:
        if as_json:
            out_json(
                [
                    {"job": job_id, "name": plan.source.name, "route": plan.route.value}
                    for job_id, plan in zip(ids, plans, strict=True)
                ]
            )
        else:
            for job_id in ids:
                out(job_id)
        return 0
    views = wait_for(client, ids)
    if as_json:
        out_json([view.to_json() for view in views])
    else:
        for view in views:
            made = view.image_id or ", ".join(disk.snapshot_id for disk in view.disks if disk.snapshot_id)
            out(f"{view.name}  {made or view.state.value}")
    return exit_code_of(views)


def _plan(profile: Profile, one: _Wanted, chosen: dict[str, Any]) -> ImportPlan:
    """The plan; the route that was taken for the user is said, with the reason."""
    try:
        plan = make_plan(profile, one.machine, one.source, **chosen)
    except OptionError as error:
        raise click.UsageError(str(error)) from error
    if chosen["route"] is None and plan.volumes is None and plan.legacy is None:
        why = default_route_words(plan, one.machine)
        if why:
            say(f"{one.machine.name}: route {plan.route.value}: {why}")
    return plan


# -- sources


def _look_up(session: Session, texts: Sequence[str], region: str, *, raw: bool, each: bool) -> list[_Wanted]:
    """What the arguments name, in their order; machines from vCenter, everything else by a look at it."""
    given = [parse_source(text) for text in texts]
    profile = session.settings.profile()
    if profile.vcenter is not None:
        given = machines_of_files(given, lambda: inventory_command.read(session.settings))
    kind = one_kind(given)
    if raw and kind != FileSource.KIND:
        raise click.UsageError("--raw-source is for files")
    if kind == VmSource.KIND:
        found = inventory_command.read(session.settings).machines
        return [_Wanted(find(found, one.text)) for one in given]
    groups = [[one] for one in given] if each else [given]
    with ExitStack() as held:
        described = [_describe(profile, held, group, region, raw=raw) for group in groups]
    return [_Wanted(one.machine, one.source, one.preflight) for one in described]


def _describe(profile: Profile, held: ExitStack, group: Sequence[Given], region: str, *, raw: bool) -> Described:
    """One machine of files, objects or snapshots; what could not be looked into is said."""
    say(f"looking into {', '.join(one.text for one in group)}")
    found = describe_sources(group, lambda: held.enter_context(read_only_aws(profile)), region=region, raw=raw)
    for missed in found.preflight.not_inspected if found.preflight is not None else ():
        say(f"{found.machine.name}: not inspected: {missed.what}: {missed.why}")
    return found


def allow(judged: Judged) -> ImportPlan:
    """The plan to start, once its warnings are said. Raises ServiceError REFUSED for blockers that stand."""
    machine = judged.machine
    for finding in judged.found:
        if finding.severity is Severity.WARNING:
            say(f"warning: {finding_line(machine, finding)}")
    for finding in judged.overridden:
        say(f"forced: {finding_line(machine, finding)}")
    for finding in judged.standing[1:]:
        say(f"refused: {finding_line(machine, finding)}")
    refusal = judged.refusal()
    if refusal is not None:
        raise refusal
    return judged.to_start
