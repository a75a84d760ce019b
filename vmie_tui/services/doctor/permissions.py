"""Checks this profile's permissions by IAM's policy simulator, or by calls that change nothing."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from vmie_tui.model.doctor import Check, Feature, Group
from vmie_tui.model.errors import ErrorKind, ServiceError
from vmie_tui.services.aws.errors import aws_call
from vmie_tui.services.doctor import documents
from vmie_tui.services.doctor.check_context import Look, Patient, method_name
from vmie_tui.services.doctor.needs import NEEDS, Need, On, needs_of, places

REMEDY = "Ask for them: 'vmie-tui doctor --print-policy user' prints a policy with just what is needed"
PASS_ROLE = "iam:PassRole"  # noqa: S105 - an action
_NO_ID = "0123456789abcdef0"
_ALLOWED = frozenset({"DryRunOperation"})
_TRIES_AT_ONCE = 4
Answers = Mapping[Need, bool | None]  # None: it could not be asked


def _features(patient: Patient, look: Look) -> Iterator[Check]:
    answers = patient.once("permissions", lambda: _ask(patient))
    for feature in Feature:
        if feature not in patient.features:
            continue
        part = look.part(feature.value, feature.label)
        needs = [need for need in NEEDS[feature] if need.action != PASS_ROLE]
        yield _judge(part, needs, answers)


def _pass_role(patient: Patient, look: Look) -> Check:
    answers = patient.once("permissions", lambda: _ask(patient))
    needs = [need for need in answers if need.action == PASS_ROLE]
    if not needs:
        return look.skipped("no feature that was asked about needs it")
    if answers[needs[0]] is None and patient.identity().root:
        return look.ok("the root user may")
    return _judge(look, needs, answers)


def _judge(look: Look, needs: Iterable[Need], answers: Answers) -> Check:
    needs = list(needs)
    missing = [need.action for need in needs if answers[need] is False]
    unasked = [need.action for need in needs if answers[need] is None]
    note = f"not asked: {', '.join(unasked)}" if unasked else ""
    if missing:
        return look.failed("; ".join(filter(None, [f"missing: {', '.join(missing)}", note])), REMEDY)
    if len(unasked) == len(needs):
        return look.skipped("IAM may not be asked (iam:SimulatePrincipalPolicy), and nothing tells without a change")
    allowed = len(needs) - len(unasked)
    return look.ok(f"{allowed} action{'' if allowed == 1 else 's'} allowed" + (f"; {note}" if note else ""))


def _ask(patient: Patient) -> Answers:
    """Whether each need of the features is met. Raises ServiceError when AWS cannot be reached."""
    patient.in_region()
    needs = needs_of(patient.features)
    if patient.identity().root:
        return dict.fromkeys(needs, True)
    try:
        return _simulate(patient, needs)
    except ServiceError as error:
        if error.kind in {ErrorKind.LOGIN, ErrorKind.NETWORK, ErrorKind.TLS, ErrorKind.THROTTLED}:
            raise
    return _probe(patient, needs)


# -- IAM's own simulation


def _simulate(patient: Patient, needs: Iterable[Need]) -> Answers:
    who = patient.holder
    client = patient.aws().client("iam", patient.region)
    where = _places(patient, who)
    answers: dict[Need, bool | None] = {}
    for on in On:
        asked = [need for need in needs if need.on is on]
        if not asked:
            continue
        if on in {On.BUCKET, On.OBJECTS} and not patient.profile.aws.bucket:
            answers.update(dict.fromkeys(asked))
            continue
        context = _passed() if on is On.PASSED else []
        found: dict[str, bool] = {}
        with aws_call("ask IAM what this profile may do", who):
            pages = client.get_paginator("simulate_principal_policy").paginate(
                PolicySourceArn=who,
                ActionNames=[need.action for need in asked],
                ResourceArns=[where[on]],
                ContextEntries=context,
            )
            for page in pages:
                for result in page["EvaluationResults"]:
                    found[result["EvalActionName"].lower()] = result["EvalDecision"] == "allowed"
        answers.update({need: found.get(need.action.lower()) for need in asked})
    return answers


def _places(patient: Patient, who: str) -> dict[On, str]:
    aws = patient.profile.aws
    found = places(aws.bucket, aws.prefix, patient.role_arn, who, patient.partition)
    return {**found, On.OBJECTS: found[On.OBJECTS].replace("*", "any-key")}


def _passed() -> list[dict[str, Any]]:
    service = documents.trust("")["Statement"][0]["Principal"]["Service"]
    return [{"ContextKeyName": "iam:PassedToService", "ContextKeyValues": [service], "ContextKeyType": "string"}]


# -- calls that change nothing

# What a request must have to be well-formed; with DryRun EC2 says whether it would be allowed, and does nothing. It
# may say yes where the real call is refused (trap 36): what is denied is certain, what is allowed is likely.
_INSTANCE, _IMAGE, _VOLUME, _SNAPSHOT = (f"{kind}-{_NO_ID}" for kind in ("i", "ami", "vol", "snap"))
# An empty text stands for the Region.
_DRY: dict[str, dict[str, Any]] = {
    "ImportImage": {},
    "ImportSnapshot": {},
    "CancelImportTask": {},
    "ImportInstance": {"Platform": "Windows"},
    "RegisterImage": {"Name": "vmie-tui-doctor"},
    "ExportImage": {"ImageId": _IMAGE, "DiskImageFormat": "VMDK", "S3ExportLocation": {"S3Bucket": "b"}},
    "CreateTags": {"Resources": [_INSTANCE], "Tags": [{"Key": "k", "Value": "v"}]},
    "DeleteSnapshot": {"SnapshotId": _SNAPSHOT},
    "CreateSnapshot": {"VolumeId": _VOLUME},
    "StopInstances": {"InstanceIds": [_INSTANCE]},
    "TerminateInstances": {"InstanceIds": [_INSTANCE]},
    "GetConsoleOutput": {"InstanceId": _INSTANCE},
    "GetConsoleScreenshot": {"InstanceId": _INSTANCE},
    "DescribeInstanceAttribute": {"InstanceId": _INSTANCE, "Attribute": "disableApiTermination"},
    "CreateSecurityGroup": {"GroupName": "vmie-tui-doctor", "Description": "none"},
    "CopyImage": {"Name": "vmie-tui-doctor", "SourceImageId": _IMAGE, "SourceRegion": ""},
    "DeregisterImage": {"ImageId": _IMAGE},
    "AttachVolume": {"VolumeId": _VOLUME, "InstanceId": _INSTANCE, "Device": "/dev/sdf"},
    "DeleteVolume": {"VolumeId": _VOLUME},
    "RunInstances": {"ImageId": _IMAGE, "MinCount": 1, "MaxCount": 1},
    "CreateVolume": {"AvailabilityZone": "", "Size": 1},
    "DeleteSecurityGroup": {"GroupId": f"sg-{_NO_ID}"},
    "RevokeSecurityGroupIngress": {"GroupId": f"sg-{_NO_ID}"},
    "RevokeSecurityGroupEgress": {"GroupId": f"sg-{_NO_ID}"},
    "DescribeInstanceTypes": {"InstanceTypes": ["t3.micro"]},
    "GetEbsEncryptionByDefault": {},
    "GetEbsDefaultKmsKeyId": {},
}
_NO_DRY_RUN = frozenset(
    {"DescribeConversionTasks", "DescribeExportTasks", "CancelConversionTask", "CancelExportTask"}
)  # older than DryRun
_S3 = {
    "s3:GetBucketLocation": "get_bucket_location",
    "s3:ListBucket": "list_objects_v2",
    "s3:ListBucketMultipartUploads": "list_multipart_uploads",
    "s3:GetEncryptionConfiguration": "get_bucket_encryption",
    "s3:GetBucketPublicAccessBlock": "get_public_access_block",
    "s3:GetLifecycleConfiguration": "get_bucket_lifecycle_configuration",
    "s3:GetBucketOwnershipControls": "get_bucket_ownership_controls",
    "s3:GetBucketAcl": "get_bucket_acl",
    "s3:GetBucketPolicy": "get_bucket_policy",
}
_ROLE = {
    "iam:GetRole": "get_role",
    "iam:ListRolePolicies": "list_role_policies",
    "iam:ListAttachedRolePolicies": "list_attached_role_policies",
}
_LISTS = {"DescribeConversionTasks": "describe_conversion_tasks", "DescribeExportTasks": "describe_export_tasks"}


def _probe(patient: Patient, needs: Iterable[Need]) -> Answers:
    wanted = list(needs)
    with ThreadPoolExecutor(_TRIES_AT_ONCE) as pool:
        return dict(zip(wanted, pool.map(lambda need: _try(patient, need), wanted), strict=True))


def _try(patient: Patient, need: Need) -> bool | None:
    """Whether the action is allowed, as a call shows that changes nothing; None when there is no such call."""
    call = _call(patient, need)
    if call is None:
        return None
    service, method, arguments = call
    try:
        with aws_call("try", need.action):
            getattr(patient.aws().client(service, patient.region), method)(**arguments)
    except ServiceError as error:
        problem = error.problem
        if problem.code in _ALLOWED:
            return True
        if problem.kind is ErrorKind.PERMISSION:
            return False
        if problem.kind in {ErrorKind.LOGIN, ErrorKind.NETWORK, ErrorKind.TLS}:
            raise
        # these look at the permission first, and answer "there is none" only to those who may know
        return True if service != "ec2" and problem.kind is ErrorKind.NOT_FOUND else None
    return True


def _call(patient: Patient, need: Need) -> tuple[str, str, dict[str, Any]] | None:
    """(service, method, arguments) of a call that wants the action and changes nothing; None without one."""
    service, _, name = need.action.partition(":")
    settings = patient.profile.aws
    found: dict[str, tuple[str, str, dict[str, Any]]] = {
        **{action: ("iam", method, {"RoleName": settings.role_name}) for action, method in _ROLE.items()},
        **{f"ec2:{each}": ("ec2", method, {}) for each, method in _LISTS.items()},
        "ebs:ListSnapshotBlocks": ("ebs", "list_snapshot_blocks", {"SnapshotId": _SNAPSHOT}),
    }
    if settings.bucket:
        found |= {action: ("s3", method, {"Bucket": settings.bucket}) for action, method in _S3.items()}
    if need.action in found or service != "ec2" or name in _NO_DRY_RUN:
        return found.get(need.action)
    if name in _DRY:
        request = {key: patient.region if value == "" else value for key, value in _DRY[name].items()}
        return "ec2", method_name(name), {**request, "DryRun": True}
    return ("ec2", method_name(name), {"DryRun": True}) if name.startswith("Describe") else None


LOOKS = (
    Look("permissions", Group.PERMISSIONS, "Permissions", _features, "F155"),
    Look("pass-role", Group.PERMISSIONS, "Hand the role to VM import", _pass_role, "F159"),
)
