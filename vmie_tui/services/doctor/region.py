"""The Region: enabled, its own STS, encryption of EBS, and how much of the quotas is in use."""

from __future__ import annotations

from typing import Any

from vmie_tui.model import facts
from vmie_tui.model.doctor import Check, Group
from vmie_tui.model.errors import ErrorKind, ServiceError
from vmie_tui.services.doctor.patient import Look, Patient

_LISTS = (
    ("describe_import_image_tasks", "ImportImageTasks", "Status"),
    ("describe_import_snapshot_tasks", "ImportSnapshotTasks", "SnapshotTaskDetail"),
    ("describe_export_image_tasks", "ExportImageTasks", "Status"),
    ("describe_export_tasks", "ExportTasks", "State"),
    ("describe_conversion_tasks", "ConversionTasks", "State"),
)
_LIVE = frozenset({"active", "pending", "cancelling"})


def _enabled(patient: Patient, look: Look) -> Check:
    from vmie_tui.services.aws.errors import aws_call

    aws, region = patient.signed_in(), patient.region
    with aws_call("look at the Region", region):
        found = aws.client("ec2", patient.anywhere).describe_regions(RegionNames=[region], AllRegions=True)["Regions"]
    status = str(found[0].get("OptInStatus", "")) if found else "unknown"
    if status == "not-opted-in":
        return look.failed(f"{region} is not enabled in the account", f"Enable {region} in the account's settings")
    return look.ok(f"{region}, {status.replace('-', ' ')}" if status else region)


def _sts(patient: Patient, look: Look) -> Check:
    patient.signed_in()
    patient.regional()
    return look.ok(f"STS answers in {patient.region}")


def _encryption(patient: Patient, look: Look) -> Check:
    from vmie_tui.services.aws.errors import aws_call

    aws = patient.in_region()
    ec2 = aws.client("ec2", patient.region)
    with aws_call("look at the encryption of EBS", patient.region):
        if not ec2.get_ebs_encryption_by_default()["EbsEncryptionByDefault"]:
            return look.ok("off: what is imported is encrypted only when the import asks for it")
        key = str(ec2.get_ebs_default_kms_key_id()["KmsKeyId"])
    return look.ok(f"on, with the key {key}")


def _tasks(patient: Patient, look: Look) -> Check:
    from vmie_tui.services.aws.errors import aws_call

    ec2 = patient.in_region().client("ec2", patient.region)
    live, unread = 0, []
    for operation, member, state in _LISTS:
        try:
            with aws_call("count the running tasks", patient.region):
                pages = (
                    ec2.get_paginator(operation).paginate() if ec2.can_paginate(operation) else [_one(ec2, operation)]
                )
                live += sum(_state(task, state) in _LIVE for page in pages for task in page.get(member, ()))
        except ServiceError as error:
            if error.kind is not ErrorKind.PERMISSION:
                raise
            unread.append(member)
    if len(unread) == len(_LISTS):
        return look.skipped("this profile may not list tasks")
    quota = facts.limit("export", "concurrent_conversion_tasks_per_region_default")
    words = f"{live} running; {quota['value']} at once unless AWS raised it (to {quota['adjustable_to']} at most)"
    words += f"; not counted: {', '.join(unread)}" if unread else ""
    if live >= int(quota["value"]):
        return look.warning(words, "Wait for some to end, or ask AWS for a higher quota")
    return look.ok(words)


def _one(ec2: Any, operation: str) -> Any:
    return getattr(ec2, operation)()


def _state(task: dict[str, Any], member: str) -> str:
    found = task.get(member, "")
    return str(found.get("Status", "") if isinstance(found, dict) else found)


def _snapshots(patient: Patient, look: Look) -> Check:
    from vmie_tui.services.aws.errors import aws_call

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
