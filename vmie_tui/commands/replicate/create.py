"""``vmie-tui replicate create`` and ``edit``: what is wanted of replications, checked before anything is recorded."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, TypeVar

import click

from vmie_tui.commands import inventory as inventory_command
from vmie_tui.commands.common import aws_session, json_option, out, out_json, pass_session, say
from vmie_tui.commands.import_ import options as shared
from vmie_tui.commands.import_.command import finding_line, judge, tags_of
from vmie_tui.commands.replicate.common import client_of, find, follow, ids_argument, made_words, name_of
from vmie_tui.commands.session import Session
from vmie_tui.model.errors import EXIT_OK, EXIT_REFUSED
from vmie_tui.model.finding import Finding, Severity
from vmie_tui.model.formatting import one_line
from vmie_tui.model.machine import Machine
from vmie_tui.model.plan import LicenseType, Route, Via
from vmie_tui.model.replication import Replication, Verify, every_words, stamp, until
from vmie_tui.model.rules.replication import overridable, settled
from vmie_tui.model.rules.replication_schedule import parse_start
from vmie_tui.operations.import_plan import make_plan

if TYPE_CHECKING:
    from vmie_tui.operations.replication_jobs import ReplicationClient
    from vmie_tui.settings import Profile

F = TypeVar("F", bound=Callable[..., Any])
AUTO = "auto"
ROUTES = (Route.IMAGE_DIRECT, Route.UNMODIFIED)
PLAN = ("role_name", "encrypted", "kms_key_id", "quiesce", "ami_name", "description")  # of the plan, as options call it
OWN = ("keep", "group", "order")

EVERY = click.option("--every", type=int, metavar="HOURS", help="A run, and an AMI, each so many hours: 1 to 24.")
KEEP = click.option("--keep", type=click.IntRange(0), metavar="N", help="Newest AMIs that stay; 0, the default: all.")
LICENSE = click.option(
    "--license",
    "license_type",
    type=click.Choice([AUTO, *(kind.value.lower() for kind in LicenseType)], case_sensitive=False),
    help="Auto, the default, takes the guest's: Linux brings its own.",
)
QUIESCE = click.option("--quiesce/--no-quiesce", default=None, help="Ask VMware Tools for a consistent snapshot.")
VERIFY = click.option(
    "--verify", type=click.Choice([each.value for each in Verify]), help="What is read back after a copy; a sample."
)
GROUP = click.option("--group", metavar="NAME", help="Servers that are started together, see 'run --group'.")
ORDER = click.option("--order", type=int, metavar="N", help="Its turn within the group; lower ones first.")


@dataclass(frozen=True, slots=True)
class _Wanted:
    machine: Machine
    spec: Replication
    found: tuple[Finding, ...]


@click.command("create")
@click.argument("names", nargs=-1, required=True, metavar="VM...")
@EVERY
@click.option("--once", is_flag=True, help="A one-time migration: a single run.")
@click.option(
    "--start", default="now", metavar="TIME", help="Of the first run: now, +2h, 2026-03-04T15:30, Unix seconds."
)
@KEEP
@click.option(
    "--route",
    type=click.Choice([route.value for route in ROUTES]),
    default=Route.IMAGE_DIRECT.value,
    show_default=True,
    help="AWS converts the guest, or registers its disks as they are.",
)
@LICENSE
@shared.with_options((shared.REGION, shared.ROLE, shared.ENCRYPTED, shared.KMS_KEY))
@QUIESCE
@VERIFY
@shared.with_options((shared.AMI_NAME, shared.DESCRIPTION, shared.TAG))
@GROUP
@ORDER
@shared.with_options((shared.BOOT_MODE, shared.ARCHITECTURE, shared.ROOT_DEVICE, shared.NO_ENA, shared.FORCE_NAME))
@click.option("--dry-run", is_flag=True, help="Only say what is found, and what would be recorded.")
@click.option("--wait", is_flag=True, help="Wait until the first runs are over.")
@json_option
@pass_session
def create(
    session: Session, /, *, names: tuple[str, ...], dry_run: bool, wait: bool, as_json: bool, **chosen: Any
) -> int:
    """Replicate running VMs: at an interval, or once.

    VM is a name, path or id as in 'vmie-tui inventory'. Each gets a replication of its own. The first run copies what
    is allocated on its disks, each later one what has changed; every run makes an AMI.

    \b
    Examples: vmie-tui replicate create web-01 db-01 --every 12 --keep 5
              vmie-tui replicate create web-01 --once --start 2026-03-04T22:00 --license byol
              vmie-tui replicate create app-01 --every 24 --group shop --order 2 --dry-run
    """
    if chosen["every"] is None and not chosen["once"]:
        raise click.UsageError("say --every HOURS, or --once")
    if chosen["every"] is not None and chosen["once"]:
        raise click.UsageError("choose one of --every and --once")
    if chosen["every"] == 0:
        raise click.UsageError("an interval is 1 to 24 hours; --once is a one-time migration")
    profile = session.settings.profile()
    chosen["tags"], forced = tags_of(chosen["tags"]), frozenset(chosen.pop("forced"))
    with client_of(session) as client:
        now = client.now(profile.name)
        chosen["start"] = parse_start(chosen["start"], now)
        if wait and chosen["start"] > now + 1:
            raise click.UsageError(f"--wait belongs to a start now, not {until(chosen['start'], now)}")
        machines = inventory_command.read(session.settings, profile).machines
        found = [inventory_command.find(machines, name) for name in dict.fromkeys(names)]
        if unknown := sorted(forced - {machine.name for machine in found}):
            raise click.BadParameter(f"{unknown[0]!r} is none of the VMs to replicate", param_hint="--force-name")
        wanted = [_wanted(client, profile, machine, chosen) for machine in found]
        if dry_run:
            return _say_all(wanted, as_json=as_json)
        wanted = [_judged(each, forced) for each in wanted]
        with ExitStack() as held:
            account = aws_session(session, held).identity().account
        made = []
        for each in wanted:
            ident = client.create(each.spec, each.machine, account=account)
            when = f"{every_words(each.spec)}, from {stamp(each.spec.start)}"
            say(f"{one_line(each.machine.path)}: replication {ident}, {when}")
            made.append(ident)
        if wait:
            return _wait(session, client, made, as_json=as_json)
        if as_json:
            out_json([client.view(ident).to_json() for ident in made])
        else:
            for ident in made:
                out(ident)
    return EXIT_OK


def _wait(session: Session, client: ReplicationClient, made: list[str], *, as_json: bool) -> int:
    _, code = follow(session, client, [(ident, "") for ident in made])
    views = [client.view(ident) for ident in made]
    if as_json:
        out_json([view.to_json() for view in views])
    else:
        for view in views:
            out(f"{view.id}  {name_of(view)}  {made_words(view.runs[0]) if view.runs else view.state.value.lower()}")
    return code


def _wanted(client: ReplicationClient, profile: Profile, machine: Machine, chosen: dict[str, Any]) -> _Wanted:
    spec = make_spec(profile, machine, **chosen)
    return _Wanted(machine, spec, client.findings(spec, machine))


def make_spec(
    profile: Profile,
    machine: Machine,
    *,
    start: float,
    every: int | None,
    once: bool,
    keep: int | None,
    verify: str | None,
    group: str | None,
    order: int | None,
    license_type: str | None,
    quiesce: bool | None,
    **plan: Any,
) -> Replication:
    """What the options ask for. The names in its plan are still templates: each run fills them in."""
    made = make_plan(
        profile,
        machine,
        **plan,
        via=Via.EBS.value,
        bucket="",
        no_quiesce=quiesce is False,
    )
    made = replace(
        made,
        ami_name=plan["ami_name"] or profile.aws.ami_name,
        description=plan["description"] or profile.aws.description,
        license_type=_licence(license_type or AUTO),
    )
    return Replication(
        made,
        start,
        every_hours=0 if once else every or 0,
        keep=keep or 0,
        verify=Verify(verify) if verify else Verify.SAMPLE,
        group=group or "",
        order=order or 0,
    )


def _judged(wanted: _Wanted, forced: frozenset[str]) -> _Wanted:
    """With what was forced in its plan. Raises ServiceError REFUSED for blockers that were not, or cannot be."""
    machine, plan = wanted.machine, wanted.spec.plan
    plan = judge(plan, machine, wanted.found, overridable(machine, plan.route), forced)
    return replace(wanted, spec=replace(wanted.spec, plan=plan))


def _say_all(wanted: list[_Wanted], *, as_json: bool) -> int:
    """What was found and what would be recorded; REFUSED when something stands in the way."""
    if as_json:
        out_json(
            [
                {
                    "name": each.machine.name,
                    "path": each.machine.path,
                    "spec": replace(each.spec, plan=settled(each.spec.plan, each.machine)).to_json(),
                    "findings": [finding.to_json() for finding in each.found],
                }
                for each in wanted
            ]
        )
    else:
        for each in wanted:
            for finding in each.found:
                out(f"{finding.severity.name.lower():<8} {one_line(finding_line(each.machine, finding))}")
            out(f"{'plan':<8} {_plan_words(each)}")
    blocked = any(finding.severity is Severity.BLOCKER for each in wanted for finding in each.found)
    return EXIT_REFUSED if blocked else EXIT_OK


def _plan_words(wanted: _Wanted) -> str:
    spec, plan = wanted.spec, settled(wanted.spec.plan, wanted.machine)
    parts = (
        f"{every_words(spec)} from {stamp(spec.start)}",
        f"route {plan.route.value} to {plan.region}",
        f"licence {plan.license_type.value}" if plan.license_type else "",
        f"the newest {spec.keep} AMIs stay" if spec.keep else "all AMIs stay",
        "encrypted" if plan.encrypted else "",
        "" if plan.quiesce else "not quiesced",
        f"verify {spec.verify.value}",
        f"group {spec.group}, order {spec.order}" if spec.group else "",
    )
    return one_line(f"{wanted.machine.name}: {', '.join(part for part in parts if part)}")


# -- edit


@click.command("edit")
@ids_argument("ident", several=False)
@EVERY
@click.option(
    "--next-run", metavar="TIME", help="Start of the next run, and of the interval: now, +2h, 2026-03-04T15:30."
)
@KEEP
@LICENSE
@click.option("--role-name", metavar="ROLE", help="The service role.")
@click.option("--encrypted/--not-encrypted", default=None, help="Only before the first run is complete.")
@click.option("--kms-key-id", metavar="KEY", help="With --encrypted: the key, instead of the account's default.")
@QUIESCE
@VERIFY
@click.option("--ami-name", metavar="NAME", help="Name of the AMIs; may have {vm}, {date}, {time}, {region}.")
@click.option("--description", metavar="TEXT", help="Description of the tasks and the AMIs; likewise.")
@click.option("--tag", "tags", multiple=True, metavar="KEY=VALUE", help="Tags from now on, instead of all before.")
@GROUP
@ORDER
@json_option
@pass_session
def edit(session: Session, /, *, ident: str, next_run: str | None, as_json: bool, **chosen: Any) -> None:
    """Change what a replication does from its next run on. What is not given stays.

    The VM, the Region and whether it runs once cannot be changed.

    \b
    Examples: vmie-tui replicate edit web-01 --every 6 --keep 10
              vmie-tui replicate edit web-01 --next-run +30m
    """
    given = {name: value for name, value in chosen.items() if value is not None and value != ()}
    if not given and next_run is None:
        raise click.UsageError("say what to change; see --help")
    if given.get("every") == 0:
        raise click.UsageError("an interval is 1 to 24 hours; a replication cannot be made one-time")
    with client_of(session) as client:
        view = find(client, ident)
        at = None if next_run is None else parse_start(next_run, client.now(view.spec.plan.profile))
        client.edit(view.id, changed(view.spec, given), next_run=at)
        view = client.view(view.id)
    if view.next_run is not None:
        say(f"{view.id}: {name_of(view)}: next run {stamp(view.next_run)} ({until(view.next_run, view.now)})")
    out_json(view.to_json()) if as_json else out(view.id)


def changed(spec: Replication, given: dict[str, Any]) -> Replication:
    """The replication with what was given."""
    plan: dict[str, Any] = {name: given[name] for name in PLAN if name in given}
    own: dict[str, Any] = {name: given[name] for name in OWN if name in given}
    if "tags" in given:
        plan["tags"] = tags_of(given["tags"])
    if "license_type" in given:
        plan |= {"license_type": _licence(given["license_type"]), "usage_operation": None}
    if given.get("encrypted") is False:
        plan["kms_key_id"] = None
    if "every" in given:
        own["every_hours"] = given["every"]
    if "verify" in given:
        own["verify"] = Verify(given["verify"])
    return replace(spec, plan=replace(spec.plan, **plan), **own)


def _licence(word: str) -> LicenseType | None:
    return None if word == AUTO else LicenseType(word.upper())
