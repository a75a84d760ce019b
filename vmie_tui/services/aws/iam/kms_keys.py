"""The KMS keys of an import (the bucket's, the Region's EBS key) and the service role's permissions on them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from vmie_tui.model import facts
from vmie_tui.model.errors import ErrorKind, ServiceError
from vmie_tui.services.aws.errors import aws_call
from vmie_tui.services.aws.iam import policy_documents as iam
from vmie_tui.services.aws.sdk import botocore
from vmie_tui.services.aws.session import Aws

_NO_ENCRYPTION = "ServerSideEncryptionConfigurationNotFoundError"
_READ = ("kms:Decrypt",)


def bucket_key(aws: Aws, bucket: str, region: str) -> str:
    """The KMS key new objects of the bucket are encrypted with; "" for none. Raises ServiceError."""
    try:
        with aws_call("look at the bucket's encryption", bucket):
            answer = aws.client("s3", region).get_bucket_encryption(Bucket=bucket)
    except ServiceError as error:
        if error.problem.code == _NO_ENCRYPTION:
            return ""
        raise
    rules = answer["ServerSideEncryptionConfiguration"]["Rules"]
    default = rules[0].get("ApplyServerSideEncryptionByDefault", {}) if rules else {}
    return str(default.get("KMSMasterKeyID", ""))


def ebs_default(aws: Aws, region: str) -> tuple[bool, str]:
    """(is EBS encryption on by default in the Region, the key: "" if not). Raises ServiceError."""
    ec2 = aws.client("ec2", region)
    with aws_call("look at the encryption of EBS", region):
        if not ec2.get_ebs_encryption_by_default()["EbsEncryptionByDefault"]:
            return False, ""
        return True, ebs_key(aws, region)


def ebs_key(aws: Aws, region: str) -> str:
    """The Region's default EBS key. Raises ServiceError."""
    with aws_call("look at the key of EBS", region):
        return str(aws.client("ec2", region).get_ebs_default_kms_key_id()["KmsKeyId"])


def look_at_key(aws: Aws, key: str, region: str) -> tuple[str, str]:
    """(the key's state in KMS's terms, or "not there"; its ARN). Both "" without permission to describe it.

    Raises ServiceError NETWORK and the like.
    """
    try:
        with aws_call("look at the KMS key", key):
            found = aws.client("kms", region).describe_key(KeyId=key)["KeyMetadata"]
    except ServiceError as error:
        if error.kind is ErrorKind.NOT_FOUND:
            return "not there", ""
        if isinstance(error.__cause__, botocore.exceptions.ClientError):
            return "", ""
        raise
    return str(found["KeyState"]), str(found.get("Arn", ""))


def missing_actions(policies: Sequence[dict[str, Any]], keys: Mapping[str, bool]) -> list[str]:
    """What the role's policies do not let it do with ``keys`` (key -> whether it only has to be read with)."""
    statement = facts.load("access")["iam"]["vmimport_role"]["optional_kms_statement"]["statement"]
    return sorted(
        {
            action
            for key, reads in keys.items()
            for action in (_READ if reads else statement["Action"])
            if not iam.allows(list(policies), action, key)
        }
    )
