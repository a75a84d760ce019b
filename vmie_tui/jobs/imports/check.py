"""The first phase of an import: refuse everything that cannot work before a byte is moved."""

from __future__ import annotations

import re
from functools import partial
from typing import Any

from vmie_tui.jobs.engine.import_context import ImportContext
from vmie_tui.jobs.engine.ports import StepHooks
from vmie_tui.jobs.imports.inspect_guest import judge_content
from vmie_tui.jobs.transfer.disk_images import fingerprint
from vmie_tui.jobs.transfer.target_s3 import key_of
from vmie_tui.jobs.transfer.transfer import discard_uploads
from vmie_tui.model.errors import ErrorKind, ServiceError
from vmie_tui.model.finding import Finding
from vmie_tui.model.job import DiskProgress, Stage
from vmie_tui.model.machine import Machine
from vmie_tui.model.plan import FileSource, ImportPlan, ObjectSource, SnapshotSource, VmSource
from vmie_tui.model.rules.override import CONTENT, impossible, not_overridden
from vmie_tui.model.rules.routes import bucket_of, needs_role
from vmie_tui.services import image_sources
from vmie_tui.services.aws.iam.roles import check_role
from vmie_tui.services.image_sources import Described
from vmie_tui.services.vsphere.inventory import find_machine

HERE = "local"  # the partition of all transfers that read no ESXi host


def check(context: ImportContext, hooks: StepHooks) -> dict[str, Any]:
    """Refuse what cannot work, and record the disks. Returns ``{"host": whose limit the transfer obeys}``."""
    plan = context.plan
    context.start_stage(Stage.CHECK)
    context.say("checking the source, the role and the bucket")
    if context.profile.read_only:
        raise ServiceError(ErrorKind.REFUSED, "this profile is read-only", subject=plan.profile)
    hooks.attempt_begins()
    machine = _described(context)
    refuse_blockers(context, hooks.findings(machine), machine)
    if isinstance(plan.source, VmSource):
        _refuse_unexportable(machine)
    context.retry(partial(_check_aws, context))
    _record(context, machine)
    context.finish_stage(Stage.CHECK)
    where = f" on {machine.host}" if machine.host else ""
    context.say(f"{machine.path}{where}: {len(machine.disks)} disk(s), power {machine.power.value}")
    return {"host": (machine.host or "unknown") if isinstance(plan.source, VmSource) else HERE}


def _described(context: ImportContext) -> Machine:
    """The machine, or a description of image files or snapshots as one, whose content is judged at once."""
    source = context.plan.source
    if isinstance(source, VmSource):
        return context.ask_vcenter(lambda: find_machine(context.vsphere, context.plan.vm))
    described = context.retry(partial(_describe_source, context))
    if described.preflight is not None:
        judge_content(context, described.preflight.content, described.preflight.not_inspected, described.machine)
    return described.machine


def _describe_source(context: ImportContext) -> Described:
    plan, source = context.plan, context.plan.source
    look = CONTENT not in plan.override
    if isinstance(source, FileSource):
        return image_sources.describe_file(source.paths, raw=source.raw, look=look, route=plan.route)
    if isinstance(source, ObjectSource):
        return image_sources.describe_object(
            context.aws, source.bucket, source.keys, region=plan.region, look=look, route=plan.route
        )
    if isinstance(source, SnapshotSource):
        return image_sources.describe_snapshots(
            context.aws, plan.region, source.snapshot_ids, look=look, route=plan.route
        )
    raise TypeError(source.KIND)


def _record(context: ImportContext, machine: Machine) -> None:
    """Record the disks, and what later phases must know of the source."""
    plan, source, ledger = context.plan, context.plan.source, context.ledger
    folder = f"{plan.prefix}{_key_safe(machine.name)}-{context.job_id}"
    sizes = {disk.key: disk.capacity for disk in context.disks()}
    resized = any(sizes.get(disk.key, disk.capacity) != disk.capacity for disk in machine.disks)
    context.set_disks(
        [
            DiskProgress(
                disk.key,
                disk.label,
                disk.capacity,
                s3_key=_existing_key(plan, number) or key_of(plan, folder, number),
                snapshot_id=source.snapshot_ids[number - 1] if isinstance(source, SnapshotSource) else "",
            )
            for number, disk in enumerate(machine.disks, 1)
        ],
    )
    if ledger.from_job:
        _take_over_checksums(context, ledger.from_job)
    if isinstance(source, VmSource):
        context.remember(machine=machine)
        context.update(source=machine.path)
        if resized:
            discard_uploads(context)
            context.say("a disk has another size than in the last attempt: every disk is read again", level="warning")
        return
    state = fingerprint(context)
    if resized or ledger.source_state not in {"", state}:
        discard_uploads(context)
        context.say("the source changed since the last attempt: every disk is read again", level="warning")
    context.remember(machine=machine, source_state=state)


def _take_over_checksums(context: ImportContext, before: str) -> None:
    """Take over, for the proof, the checksums of the earlier job that uploaded these disks."""
    for old, disk in zip(context.store.disks(before), context.disks(), strict=False):
        context.update_disk(
            disk.key,
            sha256=old.sha256,
            host_sha256=old.host_sha256,
            verified=old.verified,
            samples=old.samples,
        )


def _existing_key(plan: ImportPlan, number: int) -> str:
    """The key of an existing object that AWS reads for this disk; "" when we upload one. An OVA holds all disks."""
    source = plan.source
    if not isinstance(source, ObjectSource) or plan.moves_bytes:
        return ""
    return source.keys[number - 1] if len(source.keys) > 1 else source.keys[0]


def _check_aws(context: ImportContext) -> None:
    plan = context.plan
    bucket = bucket_of(plan)
    if bucket:
        context.objects.check_bucket(bucket)
    if needs_role(plan):
        check_role(context.aws, plan.role_name, bucket)


def refuse_blockers(context: ImportContext, findings: tuple[Finding, ...], machine: Machine) -> None:
    """Raises ServiceError REFUSED for blockers, except for those that the user overrode, which go to the log."""
    for words in context.plan.override:
        context.say(f"forced by the user: {words}", message=False, level="warning")
    blockers = not_overridden(findings, context.plan.override)
    if blockers:
        first = blockers[0]
        raise ServiceError(
            ErrorKind.REFUSED,
            "; ".join(finding.said_of(machine.name) for finding in blockers),
            subject=machine.name,
            remedy=first.remedy,
            code=first.fact,
        )


def _refuse_unexportable(machine: Machine) -> None:
    why = impossible(machine)
    if why is not None:
        raise ServiceError(ErrorKind.CONFLICT, why.what, subject=machine.name, remedy=why.remedy)


def _key_safe(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9._-]+", "-", name)[:80].strip("-") or "vm"
