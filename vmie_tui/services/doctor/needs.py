"""The API calls each feature makes, and on which resources: for the permission checks and the policies to print."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from enum import StrEnum

from vmie_tui.model.doctor import Feature


class On(StrEnum):
    """The resource an action applies to."""

    ANY = "*"
    BUCKET = "bucket"
    OBJECTS = "objects"  # below the profile's prefix
    ROLE = "role"
    PASSED = "passed"  # the role, handed to VM import
    SELF = "self"  # who is signed in


@dataclass(frozen=True, slots=True)
class Need:
    action: str
    on: On = On.ANY


def _on(on: On, *actions: str) -> tuple[Need, ...]:
    return tuple(Need(action, on) for action in actions)


def _ec2(*names: str) -> tuple[Need, ...]:
    return tuple(Need(f"ec2:{name}") for name in names)


_PASS = _on(On.PASSED, "iam:PassRole")
_LOOK_AT_ROLE = _on(On.ROLE, "iam:GetRole", "iam:ListRolePolicies", "iam:GetRolePolicy", "iam:ListAttachedRolePolicies")
_UPLOAD = (
    *_on(On.BUCKET, "s3:GetBucketLocation", "s3:ListBucket", "s3:ListBucketMultipartUploads"),
    *_on(On.BUCKET, "s3:GetEncryptionConfiguration", "s3:GetBucketPolicy"),
    *_on(On.OBJECTS, "s3:GetObject", "s3:PutObject", "s3:DeleteObject"),
    *_on(On.OBJECTS, "s3:AbortMultipartUpload", "s3:ListMultipartUploadParts"),
)
_READ_BLOCKS = _on(On.ANY, "ebs:ListSnapshotBlocks", "ebs:GetSnapshotBlock")
_WRITE_BLOCKS = _on(On.ANY, "ebs:StartSnapshot", "ebs:PutSnapshotBlock", "ebs:CompleteSnapshot")
_KEYS = _ec2("GetEbsEncryptionByDefault", "GetEbsDefaultKmsKeyId")
_IMAGES = _ec2("RegisterImage", "DescribeImages", "DescribeSnapshots", "CreateTags")
_RUN = (
    *_ec2("RunInstances", "DescribeInstances", "DescribeInstanceStatus", "TerminateInstances"),
    *_ec2("DescribeInstanceTypes", "GetConsoleOutput", "GetConsoleScreenshot", "CreateTags"),
    *_ec2("DescribeVpcs", "DescribeSubnets", "DescribeSecurityGroups", "CreateSecurityGroup"),
    *_ec2("DeleteSecurityGroup", "RevokeSecurityGroupIngress", "RevokeSecurityGroupEgress"),
)
_EXPORT = (
    *_on(On.BUCKET, "s3:GetBucketLocation", "s3:ListBucket", "s3:GetEncryptionConfiguration"),
    *_on(On.OBJECTS, "s3:GetObject", "s3:DeleteObject"),
    *_ec2("DescribeImages", "DescribeSnapshots", "DescribeVolumes", "CreateTags", "CancelExportTask"),
)

NEEDS: dict[Feature, tuple[Need, ...]] = {
    Feature.IMPORT: (
        *_UPLOAD,
        *_ec2("ImportImage", "DescribeImportImageTasks", "ImportSnapshot", "DescribeImportSnapshotTasks"),
        *_ec2("CancelImportTask", "DescribeRegions"),
        *_IMAGES,
        *_KEYS,
        *_READ_BLOCKS,
        *_LOOK_AT_ROLE,
        *_PASS,
    ),
    Feature.DIRECT: (
        *_WRITE_BLOCKS,
        *_READ_BLOCKS,
        *_ec2("DeleteSnapshot", "DescribeRegions"),
        *_IMAGES,
        *_KEYS,
    ),
    Feature.REPLICATE: (  # F409: the rights of the retention are among the service's own
        *_WRITE_BLOCKS,
        *_READ_BLOCKS,
        *_ec2("ImportImage", "DescribeImportImageTasks", "CancelImportTask", "DescribeRegions"),
        *_ec2("RegisterImage", "DescribeImages", "DescribeSnapshots", "DeregisterImage", "DeleteSnapshot"),
        *_RUN,
        *_ec2("StopInstances"),
        *_KEYS,
        *_LOOK_AT_ROLE,
        *_PASS,
    ),
    Feature.INSTANCE: (
        *_UPLOAD,
        *_ec2("ImportInstance", "ImportVolume", "DescribeConversionTasks", "CancelConversionTask"),
        *_ec2("DescribeInstances", "DescribeVolumes", "DescribeSnapshots", "CreateTags", "CreateSnapshot"),
        *_READ_BLOCKS,
    ),
    Feature.EXPORT_INSTANCE: (
        *_EXPORT,
        *_on(On.BUCKET, "s3:GetBucketAcl", "s3:GetBucketOwnershipControls", "s3:GetBucketPolicy"),
        *_ec2("CreateInstanceExportTask", "DescribeExportTasks", "DescribeInstances", "DescribeInstanceAttribute"),
    ),
    Feature.EXPORT_IMAGE: (
        *_EXPORT,
        *_ec2("ExportImage", "DescribeExportImageTasks"),
        *_LOOK_AT_ROLE,
        *_PASS,
    ),
    Feature.LAUNCH: (
        *_RUN,
        *_ec2("CopyImage", "DescribeImages", "DeregisterImage", "DescribeSnapshots", "DeleteSnapshot"),
        *_ec2("CreateVolume", "DescribeVolumes", "AttachVolume", "DeleteVolume"),
    ),
    Feature.TASKS: _ec2(
        "DescribeImportImageTasks",
        "DescribeImportSnapshotTasks",
        "DescribeConversionTasks",
        "DescribeExportTasks",
        "DescribeExportImageTasks",
        "CancelImportTask",
        "CancelConversionTask",
        "CancelExportTask",
        "DescribeRegions",
    ),
    Feature.FIXES: (
        *_LOOK_AT_ROLE,
        *_on(On.ROLE, "iam:CreateRole", "iam:PutRolePolicy", "iam:UpdateAssumeRolePolicy"),
        *_on(On.SELF, "iam:SimulatePrincipalPolicy"),
        *_on(On.BUCKET, "s3:CreateBucket", "s3:GetBucketLocation", "s3:ListBucket"),
        *_on(On.BUCKET, "s3:GetEncryptionConfiguration", "s3:PutEncryptionConfiguration"),
        *_on(On.BUCKET, "s3:GetBucketPublicAccessBlock", "s3:PutBucketPublicAccessBlock"),
        *_on(On.BUCKET, "s3:GetLifecycleConfiguration", "s3:PutLifecycleConfiguration"),
        *_on(On.BUCKET, "s3:GetBucketOwnershipControls", "s3:PutBucketOwnershipControls"),
        *_on(On.BUCKET, "s3:GetBucketAcl", "s3:PutBucketAcl", "s3:GetBucketPolicy"),
    ),
    Feature.LICENCES: _ec2("DescribeImages"),
}


def needs_of(features: Collection[Feature]) -> tuple[Need, ...]:
    """The combined needs of these features, without duplicates."""
    return tuple(dict.fromkeys(need for feature in Feature if feature in features for need in NEEDS[feature]))


def places(bucket: str, prefix: str, role_arn: str, own_arn: str, partition: str = "aws") -> dict[On, str]:
    """The ARN of each thing; objects as a pattern."""
    here = f"arn:{partition}:s3:::{bucket}"
    return {
        On.ANY: "*",
        On.BUCKET: here,
        On.OBJECTS: f"{here}/{prefix}*",
        On.ROLE: role_arn,
        On.PASSED: role_arn,
        On.SELF: own_arn,
    }
