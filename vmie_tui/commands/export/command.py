"""``vmie-tui export``: an instance or image out of EC2, checked beforehand, as a job of its own."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from vmie_tui.commands.common import aws_session, finding_words, json_option, out, out_json, pass_session, say
from vmie_tui.commands.export import deploy_options
from vmie_tui.commands.export.deploy_options import target_options
from vmie_tui.commands.session import Session
from vmie_tui.commands.wait import exit_code_of, wait_for
from vmie_tui.model.errors import EXIT_OK, EXIT_REFUSED, ErrorKind, ServiceError
from vmie_tui.model.export import (
    CONVERT_TO,
    IMAGE_ID,
    INSTANCE_ID,
    Container,
    ExportFormat,
    ExportPlan,
    TargetEnvironment,
)
from vmie_tui.model.finding import Finding, Severity
from vmie_tui.model.formatting import one_line
from vmie_tui.model.rules.exports import check_export

if TYPE_CHECKING:
    from vmie_tui.model.exportable import Exportable
    from vmie_tui.services.aws.s3.export_bucket import BucketReport
    from vmie_tui.settings import Profile


@click.command("export")
@click.argument("source", metavar="i-…|ami-…")
@click.option(
    "--format", "form", type=click.Choice([f.value for f in ExportFormat], case_sensitive=False), help="Of the disk."
)
@click.option("--container", type=click.Choice(["ova", "none"]), help="Pack an instance's disk: OVA for VMware.")
@click.option(
    "--target",
    type=click.Choice([t.value for t in TargetEnvironment if t]),
    help="Where an instance is to run; told from the format where there is a choice of one.",
)
@click.option("--region", metavar="R", help="Where it is; the profile's.")
@click.option("--bucket", metavar="NAME", help="A bucket in that Region; the profile's.")
@click.option("--prefix", metavar="FOLDER", help="Where in the bucket; a slash is put behind it.")
@click.option("--role-name", metavar="ROLE", help="Service role for an image; the profile's.")
@click.option("--description", default="", metavar="TEXT", help="On the export task.")
@click.option("--tag", "tags", multiple=True, metavar="KEY=VALUE", help="On the export task.")
@click.option("--download", metavar="DIR", type=click.Path(file_okay=False, path_type=Path), help="Fetch the object.")
@click.option("--convert", "convert_to", type=click.Choice(CONVERT_TO), help="Then convert it; wants --download.")
@click.option("--clean-up", is_flag=True, help="Delete the object once it is downloaded and proven; wants --download.")
@click.option("--deploy", "deploy_name", metavar="NAME", help="Then make a VM of it in vCenter; wants --pool.")
@target_options
@click.option("--grant", is_flag=True, help="Let the export service write to the bucket; the change is shown.")
@click.option("--force", "forced", is_flag=True, help="Try although the rules say that it cannot be exported.")
@click.option("--dry-run", is_flag=True, help="Only say what is found, and what --grant would change.")
@click.option("--wait", is_flag=True, help="Wait until the job has ended.")
@json_option
@pass_session
def export_command(
    session: Session,
    /,
    *,
    source: str,
    grant: bool,
    forced: bool,
    dry_run: bool,
    wait: bool,
    as_json: bool,
    **chosen: Any,
) -> int:
    """Export an instance (i-…) or an image (ami-…) of EC2 as a VM: into S3, and on to this machine if wanted.

    Everything the guides say about what can be exported is looked at first. The work is done by a background process
    and goes on when this command or the terminal ends.

    \b
    Examples: vmie-tui export i-0123456789abcdef0 --target vmware --container ova --download . --wait
              vmie-tui export ami-0123456789abcdef0 --format RAW --dry-run
              vmie-tui export ami-0123456789abcdef0 --deploy web-01 --pool Compute --datastore vmfs-01
    """
    profile = session.settings.profile()
    placed = {name: chosen.pop(name) for name in deploy_options.NAMES}
    plan = _with_target(profile, make_plan(profile, source, **chosen), chosen.pop("deploy_name"), placed)
    with ExitStack() as held:
        thing, report = _look(session, held, plan)
        plan = _named(plan, thing)
        found = check_export(plan, thing)
        if dry_run:
            _say_all(found, report, as_json=as_json, plan=plan)
            return EXIT_REFUSED if any(finding.severity is Severity.BLOCKER for finding in found) else EXIT_OK
        if grant and report.changes:
            thing, report = _grant(session, held, plan, report, thing)
            found = check_export(plan, thing)
    plan = _checked(plan, found, report, forced=forced)
    from vmie_tui.operations.jobs import JobClient

    client = JobClient(session.settings)
    job_id = client.submit(plan)
    say(f"{plan.source_id}: job {job_id}")
    if not wait:
        out_json({"job": job_id, "plan": plan.to_json()}) if as_json else out(job_id)
        return EXIT_OK
    views = wait_for(client, [job_id])
    for view in views:
        out_json(view.to_json()) if as_json else out(f"{view.name}  {view.message or view.state.value}")
    return exit_code_of(views)


def _with_target(profile: Profile, plan: ExportPlan, name: str | None, placed: dict[str, Any]) -> ExportPlan:
    """The plan with the place of the new VM, when one is wanted. Raises ServiceError, click.UsageError."""
    from dataclasses import replace

    if name is None:
        if given := [option for option, value in placed.items() if value]:
            raise click.UsageError(f"--{given[0].replace('_', '-')} wants --deploy NAME")
        return plan
    return replace(plan, deploy=deploy_options.resolve_target(profile, name, **placed))


def make_plan(profile: Profile, source: str, **chosen: Any) -> ExportPlan:
    """The plan the options describe, with what they leave open decided. Raises click.UsageError."""
    instance = source.startswith(INSTANCE_ID)
    if not instance and not source.startswith(IMAGE_ID):
        raise click.BadParameter(f"{source!r} is neither an instance (i-…) nor an image (ami-…)")
    download = chosen["download"]
    if download is None and (chosen["convert_to"] or chosen["clean_up"]):
        raise click.UsageError("--convert and --clean-up want --download DIR")
    target, container, form = _what(instance, chosen["target"], chosen["container"], chosen["form"])
    tags = dict(pair.partition("=")[::2] for pair in chosen["tags"])
    if bad := [pair for pair in chosen["tags"] if "=" not in pair]:
        raise click.BadParameter(f"{bad[0]!r} is not KEY=VALUE", param_hint="--tag")
    return ExportPlan(
        profile.name,
        source,
        source,
        chosen["region"] or profile.aws.region,
        chosen["bucket"] or profile.aws.bucket,
        profile.aws.prefix if chosen["prefix"] is None else chosen["prefix"],
        form,
        container,
        target,
        chosen["role_name"] or profile.aws.role_name,
        chosen["description"],
        tags,
        str(download.expanduser().resolve()) if download is not None else "",
        chosen["convert_to"] or "",
        clean_up=chosen["clean_up"],
    )


def _what(
    instance: bool, target: str | None, container: str | None, form: str | None
) -> tuple[TargetEnvironment, Container, ExportFormat]:
    """Target, container and format as far as one follows from the others; the rules judge what was said."""
    if not instance:
        if target:
            raise click.UsageError("--target is for instances; an image is written in the format alone")
        return TargetEnvironment.NONE, Container("ova" if container == "ova" else ""), ExportFormat(form or "VMDK")
    vhd = form == ExportFormat.VHD.value or (form is None and target in {"citrix", "microsoft"})
    where = TargetEnvironment(target or ("microsoft" if vhd else "vmware"))
    chosen = ExportFormat(form or ("VHD" if vhd else "VMDK"))
    packed = container == "ova" or (container is None and where is TargetEnvironment.VMWARE and form is None)
    return where, Container.OVA if packed else Container.NONE, chosen


def _look(session: Session, held: ExitStack, plan: ExportPlan) -> tuple[Exportable, BucketReport]:
    from vmie_tui.services.aws.ec2.exportable import ExportableSources, with_bucket
    from vmie_tui.services.aws.s3.export_bucket import ExportBuckets

    aws = aws_session(session, held)
    thing = ExportableSources(aws, plan.region).look(plan.source_id)
    if not plan.bucket:
        raise ServiceError(ErrorKind.INVALID, "no bucket was chosen", remedy="Name one with --bucket")
    report = ExportBuckets(aws, plan.region).look(plan.bucket, instance=plan.is_instance)
    for note in report.notes:
        say(f"{plan.bucket}: {note}")
    return with_bucket(thing, report.bucket), report


def _named(plan: ExportPlan, thing: Exportable) -> ExportPlan:
    from dataclasses import replace

    return replace(plan, name=one_line(thing.name) or plan.source_id)


def _grant(
    session: Session, held: ExitStack, plan: ExportPlan, report: BucketReport, thing: Exportable
) -> tuple[Exportable, BucketReport]:
    """Show the change and make it."""
    from vmie_tui.services.aws.ec2.exportable import with_bucket
    from vmie_tui.services.aws.s3.export_bucket import ChangeKind, ExportBuckets

    _say_changes(report)
    aws = aws_session(session, held, read_only=False)
    after = ExportBuckets(aws, plan.region).apply(report, (ChangeKind.OWNERSHIP, ChangeKind.ACL))
    say(f"{plan.bucket}: changed")
    return with_bucket(thing, after.bucket), after


def _checked(plan: ExportPlan, found: tuple[Finding, ...], report: BucketReport, *, forced: bool) -> ExportPlan:
    """The plan, with the blockers overridden when forced. Raises ServiceError REFUSED."""
    from dataclasses import replace

    from vmie_tui.services.aws.s3.export_bucket import ChangeKind

    blockers = [finding for finding in found if finding.severity is Severity.BLOCKER]
    for finding in found:
        if finding.severity is Severity.WARNING:
            say(f"warning: {finding_words(finding)}")
    if not blockers:
        return plan
    if forced:
        for finding in blockers:
            say(f"forced: {finding_words(finding)}")
        return replace(plan, override=tuple(finding.headline for finding in blockers))
    for finding in blockers[1:]:
        say(f"refused: {finding_words(finding)}")
    if report.changes:
        _say_changes(report)
        own = any(change.kind is ChangeKind.ENCRYPTION for change in report.changes)
        say("--grant makes the change of the grant" + ("; that of the encryption is yours to make" if own else ""))
    raise blockers[0].refusal(blockers[0].prevents)


def _say_all(found: tuple[Finding, ...], report: BucketReport, *, as_json: bool, plan: ExportPlan) -> None:
    if as_json:
        out_json(
            {
                "plan": plan.to_json(),
                "key": plan.object_key("export-…"),
                "findings": [finding.to_json() for finding in found],
                "changes": [change.to_json() for change in report.changes],
            }
        )
        return
    for finding in found:
        out(f"{finding.severity.name.lower():<8} {finding_words(finding)}")
    where = plan.object_key(f"export-{'i' if plan.is_instance else 'ami'}-…")
    out(f"{'object':<8} s3://{plan.bucket}/{where}")
    for change in report.changes:
        out(f"{'change':<8} {change.operation} on {change.bucket}: {change.why}")
        for line in change.diff:
            out(f"{'':<8} {line}")


def _say_changes(report: BucketReport) -> None:
    for change in report.changes:
        say(f"change: {change.operation} on {change.bucket}: {change.why}")
        for line in change.diff:
            say(f"  {line}")
