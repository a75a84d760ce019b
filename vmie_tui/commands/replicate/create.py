"""``vmie-tui replicate create``: what is wanted of replications, checked before anything is recorded."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import click

from vmie_tui.commands import inventory as inventory_command
from vmie_tui.commands.common import json_option, out, out_json, pass_session, say, tags_of
from vmie_tui.commands.import_ import options as shared
from vmie_tui.commands.import_.command import allow
from vmie_tui.commands.replicate.common import follow, made_words, name_of
from vmie_tui.commands.session import Session
from vmie_tui.exit_codes import EXIT_OK, EXIT_REFUSED
from vmie_tui.model.errors import ServiceError
from vmie_tui.model.finding import Finding, Severity
from vmie_tui.model.formatting import one_line
from vmie_tui.model.machine import Machine
from vmie_tui.model.plan import BootMode, LicenseType, Route
from vmie_tui.model.replication import Replication, Verify, every_words, stamp, until
from vmie_tui.model.rules.replication import overridable, settled
from vmie_tui.operations.import_check import Judged, finding_line, worst_first
from vmie_tui.operations.profile import ProfileInfo
from vmie_tui.operations.replication_plan import AUTO, ONCE, REPEAT, ReplicationDraft, new_draft
from vmie_tui.operations.replications import Replications
from vmie_tui.operations.sources import find

F = TypeVar("F", bound=Callable[..., Any])
ROUTES = (Route.IMAGE_DIRECT, Route.UNMODIFIED)

EVERY = click.option("--every", type=int, metavar="HOURS", help="A run, and an AMI, each so many hours: 1 to 24.")
KEEP = click.option("--keep", type=click.IntRange(0), metavar="N", help="Newest AMIs that stay; 0, the default: all.")
LICENSE = click.option(
    "--license",
    "license_type",
    type=click.Choice(["auto", *(kind.value.lower() for kind in LicenseType)], case_sensitive=False),
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
    operations = session.operations
    replications, profile, forced = operations.replications, operations.profile, frozenset(chosen.pop("forced"))
    machines = inventory_command.read(session.settings).machines
    found = tuple(find(machines, name) for name in dict.fromkeys(names))
    if unknown := sorted(forced - {machine.name for machine in found}):
        raise click.BadParameter(f"{unknown[0]!r} is none of the VMs to replicate", param_hint="--force-name")
    draft = draft_of(profile, found, replications.now(), **chosen)
    start = draft.start_at()
    if wait and start is not None and start > draft.now + 1:
        raise click.UsageError(f"--wait belongs to a start now, not {until(start, draft.now)}")
    wanted = [_wanted(replications, draft, machine) for machine in found]
    if dry_run:
        return _say_all(wanted, as_json=as_json)
    wanted = [_judged(each, forced) for each in wanted]
    made = []
    for each in wanted:
        ident = replications.create(each.spec, each.machine)
        when = f"{every_words(each.spec)}, from {stamp(each.spec.start)}"
        say(f"{one_line(each.machine.path)}: replication {ident}, {when}")
        made.append(ident)
    if wait:
        return _wait(session, made, as_json=as_json)
    if as_json:
        out_json([replications.jobs.view(ident).to_json() for ident in made])
    else:
        for ident in made:
            out(ident)
    return EXIT_OK


def draft_of(
    profile: ProfileInfo,
    machines: tuple[Machine, ...],
    now: float,
    *,
    every: int | None,
    once: bool,
    start: str,
    **chosen: Any,
) -> ReplicationDraft:
    """What the options say, and what is preset for the rest. Raises ServiceError for a time that is none."""
    draft = new_draft(profile, machines, now)
    draft.kind, draft.start = ONCE if once else REPEAT, start
    draft.every = draft.every if every is None else str(every)
    answer(draft, **{name: value for name, value in chosen.items() if value != ""})
    check_readable(draft)
    return draft


def check_readable(draft: ReplicationDraft) -> None:
    """Raise ServiceError or click.UsageError for what cannot even be read; the rules judge the rest."""
    if (problem := draft.start_problem()) is not None:
        raise ServiceError.of(problem)
    for key, why in draft.unreadable.items():
        raise click.UsageError(f"--{key}: {why}")


def answer(
    draft: ReplicationDraft,
    *,
    license_type: str | None = None,
    tags: tuple[str, ...] = (),
    no_ena: bool = False,
    boot_mode: str | None = None,
    kms_key_id: str | None = None,
    **chosen: Any,
) -> None:
    """Answer what was said on the command line; the rest stays as it is."""
    for key, value in chosen.items():
        if value is not None:
            setattr(draft, key, str(value) if isinstance(value, int) and not isinstance(value, bool) else value)
    if license_type is not None:
        draft.licence = AUTO if license_type == "auto" else license_type.upper()
    if kms_key_id is not None:
        draft.kms_key = kms_key_id
    draft.added_tags = tags_of(tags)
    draft.ena = draft.ena and not no_ena
    draft.boot_mode = BootMode(boot_mode) if boot_mode else draft.boot_mode


def _wait(session: Session, made: list[str], *, as_json: bool) -> int:
    replications = session.replications
    _, code = follow(session, [(ident, "") for ident in made])
    views = [replications.view(ident) for ident in made]
    if as_json:
        out_json([view.to_json() for view in views])
    else:
        for view in views:
            out(f"{view.id}  {name_of(view)}  {made_words(view.runs[0]) if view.runs else view.state.value.lower()}")
    return code


def _wanted(replications: Replications, draft: ReplicationDraft, machine: Machine) -> _Wanted:
    return _Wanted(machine, draft.spec_for(machine), draft.judge(machine, replications.findings))


def _judged(wanted: _Wanted, forced: frozenset[str]) -> _Wanted:
    """With what was forced in its plan. Raises ServiceError REFUSED for blockers that were not, or cannot be."""
    machine, plan = wanted.machine, wanted.spec.plan
    plan = allow(
        Judged(plan, machine, worst_first(wanted.found), overridable(machine, plan.route), machine.name in forced)
    )
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
