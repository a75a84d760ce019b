"""The Region: enabled, its own STS, EBS encryption, and quota usage."""

from __future__ import annotations

from vmie_tui.model import facts
from vmie_tui.model.doctor import Check, Group
from vmie_tui.model.task import TaskKind
from vmie_tui.services.aws.errors import aws_call
from vmie_tui.services.aws.iam.kms_keys import ebs_default
from vmie_tui.services.aws.regions import NOT_OPTED_IN, opt_in_status
from vmie_tui.services.aws.vmie.task_parser import TASK_APIS, count_live
from vmie_tui.services.doctor.check_context import Look, Patient


def _enabled(patient: Patient, look: Look) -> Check:
    aws, region = patient.signed_in(), patient.region
    status = opt_in_status(aws, region)
    if status == NOT_OPTED_IN:
        return look.failed(f"{region} is not enabled in the account", f"Enable {region} in the account's settings")
    status = "unknown" if status is None else status
    return look.ok(f"{region}, {status.replace('-', ' ')}" if status else region)


def _sts(patient: Patient, look: Look) -> Check:
    patient.signed_in()
    patient.regional()
    return look.ok(f"STS answers in {patient.region}")


def _encryption(patient: Patient, look: Look) -> Check:
    encrypted, key = ebs_default(patient.in_region(), patient.region)
    if not encrypted:
        return look.ok("off: what is imported is encrypted only when the import asks for it")
    return look.ok(f"on, with the key {key}")


def _tasks(patient: Patient, look: Look) -> Check:
    live, unread = count_live(patient.in_region().client("ec2", patient.region), patient.region, tuple(TaskKind))
    if live is None:
        return look.skipped("this profile may not list tasks")
    quota = facts.limit("export", "concurrent_conversion_tasks_per_region_default")
    words = f"{live} running; {quota['value']} at once unless AWS raised it (to {quota['adjustable_to']} at most)"
    words += f"; not counted: {', '.join(sorted(TASK_APIS[kind].member for kind in unread))}" if unread else ""
    if live >= int(quota["value"]):
        return look.warning(words, "Wait for some to end, or ask AWS for a higher quota")
    return look.ok(words)


def _snapshots(patient: Patient, look: Look) -> Check:
    ec2, trap = patient.in_region().client("ec2", patient.region), facts.trap("T18")
    waiting = [{"Name": "status", "Values": ["pending"]}]
    with aws_call("count the pending snapshots", patient.region):
        pages = ec2.get_paginator("describe_snapshots").paginate(OwnerIds=["self"], Filters=waiting)
        count = sum(len(page["Snapshots"]) for page in pages)
    most = int(trap["pending_max"])
    words = f"{count} of {most} pending"
    if count > most * 0.8:
        return look.warning(words, str(trap["remedy"]).capitalize())
    return look.ok(words)


LOOKS = (
    Look("region.enabled", Group.REGION, "Enabled", _enabled),
    Look("region.sts", Group.REGION, "STS in the Region", _sts, "F160"),
    Look("region.encryption", Group.REGION, "Encryption of EBS by default", _encryption, "F168"),
    Look("region.tasks", Group.REGION, "Tasks at once", _tasks),
    Look("region.snapshots", Group.REGION, "Pending snapshots", _snapshots),
)
