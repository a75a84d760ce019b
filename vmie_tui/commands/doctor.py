"""``vmie-tui doctor``: what is missing, the exact change that makes it, and policies for an administrator."""

from __future__ import annotations

import sys

import click

from vmie_tui.commands.common import json_option, out, out_json, pass_session, say
from vmie_tui.commands.session import Session
from vmie_tui.exit_codes import EXIT_FAILED, EXIT_INTERRUPTED, EXIT_LOGIN, EXIT_OK
from vmie_tui.model.doctor import USUAL_FEATURES, Check, CheckState, DoctorReport, Feature, Fix, Group
from vmie_tui.model.errors import ErrorKind
from vmie_tui.model.formatting import one_line
from vmie_tui.model.machine import Machine
from vmie_tui.operations.doctor import POLICIES, Doctor
from vmie_tui.operations.sources import find as find_named
from vmie_tui.services.doctor.live import ASSUMPTIONS, Live, Outcome, Saw, Step, StepReport
from vmie_tui.services.vsphere.inventory import read_inventory
from vmie_tui.services.vsphere.session import VSphere
from vmie_tui.settings import Profile


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
    doctor = session.operations.doctor
    if live is not None:
        return _live(doctor, session.settings.profile(), live, yes=yes, as_json=as_json)
    if print_policy:
        out_json(doctor.policy_document(print_policy, wanted))
        return EXIT_OK
    if fix:
        doctor.check_fix()
    chosen = tuple(map(Group, groups)) or tuple(Group)
    report = doctor.examine(groups=chosen, features=wanted)
    if not as_json:
        _show(report, offer=not fix)
    if fix:
        _fix_all(doctor, report, ask=not yes)
        report = doctor.examine(groups=chosen, features=wanted)
        if not as_json:
            _show(report, offer=False)
    if as_json:
        out_json(report.to_json())
    return EXIT_FAILED if report.failed else EXIT_OK


def _live(doctor: Doctor, profile: Profile, wanted: str, *, yes: bool, as_json: bool) -> int:
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
        return find_named(read_inventory(vsphere).machines, wanted)

    found = find if wanted else None
    with Live(doctor.patient(), found, ask=None if yes else agreed, say=say, done=show) as live:
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


def _fix_all(doctor: Doctor, report: DoctorReport, *, ask: bool) -> None:
    """Show each fix as it would be made now, ask, make it, and say how it is then."""

    def agreed(check: Check, fix: Fix) -> bool:
        _show_fix(check, fix)
        return not ask or click.confirm("Make this change?", err=True)

    for check, error in doctor.fix_all(report, agreed):
        if error is not None:
            say(f"✖ {check.title}: {error}")
        else:
            say(f"{check.state.glyph} {check.title}: {_line(check.reason)}")


def _show_fix(check: Check, fix: Fix) -> None:
    say(f"\n{check.title}: {fix.words}")
    for change in fix.changes:
        say(f"  {change.operation} {change.target}")
        for line in change.diff:
            say(f"    {line}")
