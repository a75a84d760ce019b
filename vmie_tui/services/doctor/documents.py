"""Policy documents from the guides: the service role's permissions and trust, and the KMS and licence additions."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from vmie_tui.model import facts

Json = dict[str, Any]
VERSION = "2012-10-17"


def _facts() -> Json:
    found: Json = facts.load("access")["iam"]["vmimport_role"]
    return found


def trust(account: str, partition: str = "aws") -> Json:
    """The trust policy: VM Import, on behalf of this account only."""
    found: Json = filled(_facts()["trust_policy_confused_deputy"]["policy"], partition, account_id=account)
    return found


def role(bucket: str, partition: str = "aws", *, exports: bool = True) -> Json:
    """The role's permissions: read the bucket, write to it for exports, and create snapshots and images."""
    statements = [*role_statements(bucket, partition, exports=False)]
    if exports:
        both = role_statements(bucket, partition, exports=True)
        statements = [both[0], *(one for one in statements if one["Resource"] == "*")]
    return {"Version": VERSION, "Statement": statements}


def role_statements(bucket: str, partition: str, *, exports: bool) -> list[Json]:
    """The documented statements for imports from, or exports to, the bucket; the last one is for EC2."""
    unused = "{import_bucket}" if exports else "{export_bucket}"
    return [
        filled(statement, partition, import_bucket=bucket, export_bucket=bucket)
        for statement in _facts()["role_policy"]["Statement"]
        if unused not in json.dumps(statement)
    ]


def kms(keys: Iterable[str]) -> Json:
    """The addition for customer managed keys; covers all keys unless each is given by its ARN."""
    resources = sorted(set(keys))
    named = resources if resources and all(key.startswith("arn:") for key in resources) else "*"
    return {**_facts()["optional_kms_statement"]["statement"], "Resource": named}


def licences() -> Json:
    """The addition for licence configurations."""
    return dict(_facts()["optional_license_manager_statement"]["statement"])


def filled(value: Any, partition: str, **names: str) -> Any:
    """A documented policy with its placeholders filled in and its ARNs in the partition."""
    if isinstance(value, dict):
        return {key: filled(inner, partition, **names) for key, inner in value.items()}
    if isinstance(value, list):
        return [filled(inner, partition, **names) for inner in value]
    if isinstance(value, str):
        for name, text in names.items():
            value = value.replace(f"{{{name}}}", text)
        return value.replace("arn:aws:", f"arn:{partition}:", 1) if value.startswith("arn:aws:") else value
    return value
