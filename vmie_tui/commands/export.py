"""``vmie-tui export``: an instance or image out of EC2, checked beforehand, as a job of its own."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from vmie_tui.commands.common import finding_words, json_option, out, out_json, pass_session, say, tags_of
from vmie_tui.commands.deploy import NAMES, chosen_place, target_options
from vmie_tui.commands.session import Session
from vmie_tui.commands.wait import exit_code_of, wait_for
from vmie_tui.exit_codes import EXIT_OK, EXIT_REFUSED
from vmie_tui.model.errors import ErrorKind, ServiceError
from vmie_tui.model.export import CONVERT_TO, ExportFormat, ExportPlan, TargetEnvironment
from vmie_tui.model.exportable import Exportable
from vmie_tui.model.finding import Finding, Severity
from vmie_tui.operations.export_plan import ExportDraft, new_draft
from vmie_tui.operations.exports import Exports
from vmie_tui.operations.profile import ProfileInfo
from vmie_tui.services.aws.s3.export_bucket import BucketChange, BucketReport

FIELDS = {"download_to": "--download", "convert_to": "--convert"}  # as the options call them


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
@click.option("--bucket", metavar="NAME", help="A bucket in that Region; the profile's in its own.")
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
    placed = {name: chosen.pop(name) for name in NAMES}
    deploy_name, operations = chosen.pop("deploy_name"), session.operations
    draft = draft_of(operations.profile, source, **chosen)
    if deploy_name is not None:
        draft.deploy = chosen_place(operations.vcenter, deploy_name, **placed)
    elif given := [option for option, value in placed.items() if value]:
        raise click.UsageError(f"--{given[0].replace('_', '-')} wants --deploy NAME")
    thing, report = _look(operations.exports, draft)
    found = draft.findings(thing, report.bucket)
    if dry_run:
        _say_all(found, report, as_json=as_json, plan=draft.plan())
        return EXIT_REFUSED if any(finding.severity is Severity.BLOCKER for finding in found) else EXIT_OK
    if grant and report.grant:
        _say_changes(report.grant)
        report = operations.exports.grant(draft.region, report)
        say(f"{draft.bucket}: changed")
        found = draft.findings(thing, report.bucket)
    plan = _checked(draft.plan(), found, report, forced=forced)
    job_id = operations.jobs.submit(plan)
    say(f"{plan.source_id}: job {job_id}")
    if not wait:
        out_json({"job": job_id, "plan": plan.to_json()}) if as_json else out(job_id)
        return EXIT_OK
    views = wait_for(operations.jobs, [job_id])
    for view in views:
        out_json(view.to_json()) if as_json else out(f"{view.name}  {view.message or view.state.value}")
    return exit_code_of(views)


def draft_of(
    profile: ProfileInfo,
    source: str,
    *,
    target: str | None,
    form: str | None,
    container: str | None,
    region: str | None,
    bucket: str | None,
    prefix: str | None,
    role_name: str | None,
    description: str,
    tags: tuple[str, ...],
    download: Path | None,
    convert_to: str | None,
    clean_up: bool,
) -> ExportDraft:
    """What the options say, and what is preset for the rest. Raises click.UsageError."""
    try:
        draft = new_draft(profile, source, region or "")
    except ValueError as error:
        raise click.BadParameter(str(error)) from None
    if target and not draft.is_instance:
        raise click.UsageError("--target is for instances; an image is written in the format alone")
    draft.choose(target, form, container)
    draft.bucket, draft.role_name = bucket or draft.bucket, role_name or draft.role_name
    draft.prefix = draft.prefix if prefix is None else prefix
    draft.description, draft.tags = description, tags_of(tags)
    draft.download_to, draft.convert_to, draft.clean_up = str(download or ""), convert_to or "", clean_up
    for field, why in draft.mistakes().items():
        raise click.UsageError(f"{FIELDS[field]}: {why}")
    return draft


def _look(exports: Exports, draft: ExportDraft) -> tuple[Exportable, BucketReport]:
    thing = exports.look(draft.region, draft.source_id)
    draft.take(thing)
    if not draft.bucket:
        raise ServiceError(ErrorKind.INVALID, "no bucket was chosen", remedy="Name one with --bucket")
    report = exports.bucket(draft.region, draft.bucket, instance=draft.is_instance)
    for note in report.notes:
        say(f"{draft.bucket}: {note}")
    return thing, report


def _checked(plan: ExportPlan, found: tuple[Finding, ...], report: BucketReport, *, forced: bool) -> ExportPlan:
    """The plan, with the blockers overridden when forced. Raises ServiceError REFUSED."""
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
        _say_changes(report.changes)
        own = len(report.changes) > len(report.grant)
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


def _say_changes(changes: tuple[BucketChange, ...]) -> None:
    for change in changes:
        say(f"change: {change.operation} on {change.bucket}: {change.why}")
        for line in change.diff:
            say(f"  {line}")
