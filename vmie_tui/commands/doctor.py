"""``vmie-tui doctor``: what is missing, the exact change that makes it, and policies for an administrator."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any

import click

from vmie_tui.commands import inventory as inventory_command
from vmie_tui.commands.common import json_option, out, out_json, pass_session, say
from vmie_tui.commands.session import Session
from vmie_tui.model.doctor import USUAL_FEATURES, Check, CheckState, DoctorReport, Feature, Fix, Group
from vmie_tui.model.errors import EXIT_FAILED, EXIT_INTERRUPTED, EXIT_LOGIN, EXIT_OK, ErrorKind, ServiceError
from vmie_tui.model.formatting import one_line
from vmie_tui.model.job import WorkerStatus

if TYPE_CHECKING:
    from vmie_tui.model.machine import Machine
    from vmie_tui.services.doctor.live import StepReport
    from vmie_tui.services.doctor.patient import Patient
    from vmie_tui.services.vsphere.session import VSphere
    from vmie_tui.settings import Profile

POLICIES = ("user", "role", "trust", "vcenter")


@click.command("doctor")
@click.option("--fix", is_flag=True, help="Offer to make what is missing; each change is shown first.")
@click.option("--yes", is_flag=True, help="With --fix or --live: do it without asking.")
@click.option(
    "--group", "groups", multiple=True, type=click.Choice([g.value for g in Group]), help="Only these checks."
)
@click.option(
    "--feature",
    "features",
    multiple=True,
    type=click.Choice([f.value for f in Feature]),
    help="What you want to do; all but licences.",
)
@click.option("--print-policy", type=click.Choice(POLICIES), help="Print a least-privilege policy, and check nothing.")
@click.option(
    "--live",
    metavar="[VM]",
    is_flag=False,
    flag_value="",
    help="Try what the product assumes of your vCenter (on this VM) and AWS, step by step, and undo it.",
)
@json_option
@pass_session
def doctor_command(
    session: Session,
    /,
    *,
    fix: bool,
    yes: bool,
    groups: tuple[str, ...],
    features: tuple[str, ...],
    print_policy: str | None,
    live: str | None,
    as_json: bool,
) -> int:
    """Check AWS, the service role, the bucket, permissions, vCenter and this machine; name what is missing.

    Exits with 0 when nothing failed. Nothing is changed without --fix. Rights of your own user, in AWS and in vCenter,
    are an administrator's to give: --print-policy prints what to ask for.

    --live asks before each step (Ctrl+C skips it too) and takes away what it makes; without a VM it tries AWS alone.
    What it prints names no host, account, bucket or VM: it is meant for an issue. It exits with 0 when all held.

    \b
    Examples: vmie-tui doctor --feature import --feature tasks
              vmie-tui doctor --fix
              vmie-tui doctor --print-policy user --feature import
              vmie-tui doctor --live web-01
    """
    if yes and not fix and live is None:
        raise click.UsageError("--yes wants --fix or --live")
    if live is not None and (fix or groups or features or print_policy):
        raise click.UsageError("--live goes with --yes and --json alone")
    wanted = frozenset(map(Feature, features)) or USUAL_FEATURES
    profile = session.settings.profile()
    if live is not None:
        return _live(session, profile, live, yes=yes, as_json=as_json)
    if print_policy:
        _print_policy(session, print_policy, profile, wanted)
        return EXIT_OK
    from vmie_tui.services.read_only import Policy

    if fix:
        Policy(profile.read_only).check_work("changed", profile.name)
    with _patient(session, profile, wanted) as patient:
        chosen = tuple(map(Group, groups)) or tuple(Group)
        report = _examined(patient, chosen)
        if not as_json:
            _show(report, offer=not fix)
        if fix:
            _fix_all(patient, report, ask=not yes)
            patient.forget()
            report = _examined(patient, chosen)
            if not as_json:
                _show(report, offer=False)
        if as_json:
            out_json(report.to_json())
    return EXIT_FAILED if report.failed else EXIT_OK


def _live(session: Session, profile: Profile, wanted: str, *, yes: bool, as_json: bool) -> int:
    from vmie_tui.services.doctor.live import Live, Outcome, Saw, Step
    from vmie_tui.services.vsphere.inventory import read_inventory

    if wanted and profile.vcenter is None:
        raise click.UsageError("the profile has no vCenter: give --live without a virtual machine to try AWS alone")
    if not yes and not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise click.UsageError("nobody is there to be asked; --yes agrees to every step")

    def agreed(step: Step, does: str) -> bool:
        say(f"\n{step.title}: {does}")
        try:
            return click.confirm("Do this?", default=False, err=True)
        except click.Abort:
            say("")
            return False

    def show(report: StepReport) -> None:
        if not as_json:
            _show_step(report)

    def find(vsphere: VSphere) -> Machine:
        return inventory_command.find(read_inventory(vsphere).machines, wanted)

    with (
        _patient(session, profile, USUAL_FEATURES) as patient,
        Live(patient, find if wanted else None, ask=None if yes else agreed, say=say, done=show) as live,
    ):
        report = live.run()
    if as_json:
        out_json(report.to_json())
    else:
        kinds = (Saw.HELD, Saw.DIFFERED, Saw.BLOCKED, Saw.UNSEEN)
        out("\n" + ", ".join(f"{report.count(saw)} {saw.words}" for saw in kinds))
        if any(step.outcome is not Outcome.SKIPPED and step.findings for step in report.steps):
            out("With --json it is ready for an issue; docs/unproven.md explains each line")
    if report.interrupted:
        return EXIT_INTERRUPTED
    if any(step.kind is ErrorKind.LOGIN for step in report.steps):
        return EXIT_LOGIN
    return EXIT_OK if report.clean else EXIT_FAILED


def _show_step(report: StepReport) -> None:
    from vmie_tui.services.doctor.live import ASSUMPTIONS, Outcome, Saw

    ended = "" if report.outcome is Outcome.DONE else f": {report.outcome.value}"
    why = f" ({report.why})" if report.why and report.outcome is Outcome.SKIPPED else ""
    out(f"{report.title}{ended}{why}")
    for finding in report.findings:
        if finding.saw is Saw.NOTED:
            out(f"  · {one_line(finding.seen)}")
            continue
        code = f" [{finding.code}]" if finding.code else ""
        out(f"  {finding.saw.glyph} {finding.id}, {finding.saw.words}: {one_line(finding.seen)}{code}")
        if finding.saw is Saw.DIFFERED:
            out(f"      assumed: {ASSUMPTIONS[finding.id]}")
    if report.why and report.outcome is Outcome.FAILED and not report.findings:
        out(f"  ✖ {one_line(report.why)}")
    for left in report.left:
        out(f"  ✖ left behind: {one_line(left)}")


def _patient(session: Session, profile: Profile, features: frozenset[Feature]) -> Patient:
    from vmie_tui.passwords import password_for
    from vmie_tui.services.doctor.patient import Patient

    return Patient(
        profile,
        session.settings.state_dir,
        features,
        lambda: password_for(profile),
        dict(os.environ),
        lambda: _worker(session),
    )


def _worker(session: Session) -> WorkerStatus:
    from vmie_tui.operations.jobs import JobClient

    client = JobClient(session.settings)
    try:
        return client.worker()
    finally:
        client.close()


def _examined(patient: Patient, groups: tuple[Group, ...]) -> DoctorReport:
    from vmie_tui.services.doctor.run import examine

    return examine(patient, groups)


def _show(report: DoctorReport, *, offer: bool) -> None:
    group = None
    for check in report.checks:
        if check.group is not group:
            out(("" if group is None else "\n") + check.group.label)
            group = check.group
        out(f"  {check.state.glyph} {check.title}: {_line(check.reason)}")
        if check.state in {CheckState.FAILED, CheckState.WARNING} and check.remedy:
            out(f"      {_line(check.remedy)}")
    count = f"{len(report.failed)} failed, {len(report.warnings)} warnings, {len(report.checks)} checks"
    out(f"\n{count}")
    if offer and report.fixable:
        out(f"{len(report.fixable)} can be made here: vmie-tui doctor --fix")


def _line(text: str) -> str:
    return " ".join(text.split())


def _fix_all(patient: Patient, report: DoctorReport, *, ask: bool) -> None:
    """Show each fix as it would be made now, ask, make it, and say how it is then."""
    from vmie_tui.services.doctor.run import apply, look_again

    done: set[str] = set()
    queue = list(report.fixable)
    while queue:
        check = look_again(patient, queue.pop(0))
        if check.fix is None or check.id in done:
            continue
        done.add(check.id)
        _show_fix(check, check.fix)
        if ask and not click.confirm("Make this change?", err=True):
            continue
        try:
            now = apply(patient, check)
        except ServiceError as error:
            say(f"✖ {check.title}: {error}")
            continue
        say(f"{now.state.glyph} {now.title}: {_line(now.reason)}")
        waiting = done | {other.id for other in queue}
        queue += [other for other in _more(patient, check) if other.id not in waiting]


def _more(patient: Patient, check: Check) -> list[Check]:
    """What can be made now that was not even looked at before: the parts of a bucket or role that was not there."""
    return list(_examined(patient, (check.group,)).fixable)


def _show_fix(check: Check, fix: Fix) -> None:
    say(f"\n{check.title}: {fix.words}")
    for change in fix.changes:
        say(f"  {change.operation} {change.target}")
        for line in change.diff:
            say(f"    {line}")


def _print_policy(session: Session, which: str, profile: Profile, features: frozenset[Feature]) -> None:
    from vmie_tui.services.doctor import policies

    if which == "vcenter":
        out_json(policies.vcenter_role(features))
        return
    with _patient(session, profile, features) as patient:
        place = policies.place_of(patient)
    if which == "user":
        found: Any = policies.user_policy(place, features)
    else:
        both = policies.role_policies(place, features)
        found = both["trust"] if which == "trust" else both["permissions"]
    out_json(found)
