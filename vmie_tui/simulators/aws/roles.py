"""Whether VM import could use a service role: its trust, and what its policies allow on the bucket."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from fnmatch import fnmatchcase
from typing import Any
from urllib.parse import unquote

from vmie_tui.model import facts

NEEDED_ON_BUCKET = ("s3:GetBucketLocation", "s3:ListBucket")
NEEDED_ON_OBJECTS = ("s3:GetObject",)
NEEDED_IN_EC2 = ("ec2:ModifySnapshotAttribute", "ec2:CopySnapshot", "ec2:RegisterImage", "ec2:DescribeImages")


def role_error(name: str) -> str:
    """AWS's single error for everything that is wrong with the role."""
    return str(facts.error("E06")["message"]).replace("vmimport", name)


def trust_document() -> str:
    """The trust policy of the guides."""
    return json.dumps(facts.load("access")["iam"]["vmimport_role"]["trust_policy"])


def role_document(bucket: str) -> str:
    """The role policy of the guides, for one bucket that serves imports and exports."""
    text = json.dumps(facts.load("access")["iam"]["vmimport_role"]["role_policy"])
    return text.replace("{import_bucket}", bucket).replace("{export_bucket}", bucket)


def usable(
    account: str, name: str, buckets: Iterable[str], *, reads_kms: bool, own_key: bool, writes: bool = False
) -> bool:
    """Whether the role exists in moto's IAM, trusts VM import and may read the buckets.

    ``reads_kms``: an object is encrypted with KMS; ``own_key``: the result is to be encrypted with a key that is not
    the default one; ``writes``: exports are written to the buckets.
    """
    from moto.iam.models import iam_backends

    backend = iam_backends[account]["aws"]
    role = next((role for role in backend.roles.values() if role.name == name), None)
    if role is None or not _trusts(_parsed(role.assume_role_policy_document), account):
        return False
    documents = [_parsed(text) for text in role.policies.values()]
    documents += [_parsed(policy.document) for policy in role.managed_policies.values()]
    statements = [statement for document in documents for statement in _statements(document)]
    kms = facts.load("access")["iam"]["vmimport_role"]["optional_kms_statement"]["statement"]["Action"]
    keys = [action.rstrip("*") for action in kms] if own_key else ["kms:Decrypt"] if reads_kms else []
    wanted = [(action, "*") for action in (*NEEDED_IN_EC2, *keys)]
    for bucket in buckets:
        arn = f"arn:aws:s3:::{bucket}"
        wanted += [(action, arn) for action in NEEDED_ON_BUCKET]
        wanted += [(action, f"{arn}/any") for action in NEEDED_ON_OBJECTS]
        if writes:
            wanted += [("s3:GetBucketAcl", arn), ("s3:PutObject", f"{arn}/any")]
    return all(_allowed(statements, action, resource) for action, resource in wanted)


def allows_canonical(policy: dict[str, Any], ident: str, action: str, resource: str) -> bool:
    """Whether a bucket policy lets the account with this canonical id do something."""
    mine = [
        statement
        for statement in _statements(policy)
        if isinstance(statement.get("Principal"), dict)
        and ident in _listed(statement["Principal"].get("CanonicalUser"))
    ]
    return _allowed(mine, action, resource)


def _parsed(document: Any) -> dict[str, Any]:
    if isinstance(document, dict):
        return document
    text = str(document or "{}")
    try:
        found = json.loads(text if text.lstrip().startswith("{") else unquote(text))
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _statements(document: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for statement in _listed(document.get("Statement")):
        if isinstance(statement, dict):
            yield statement


def _listed(value: Any) -> list[Any]:
    if value is None:
        return []
    return list(value) if isinstance(value, list) else [value]


def _trusts(document: dict[str, Any], account: str) -> bool:
    fact = facts.load("access")["iam"]["vmimport_role"]["trust_policy"]["Statement"][0]
    service, wanted = fact["Principal"]["Service"], fact["Condition"]["StringEquals"]["sts:Externalid"]
    for statement in _statements(document):
        principal = statement.get("Principal")
        services = _listed(principal.get("Service")) if isinstance(principal, dict) else []
        actions = [str(action).lower() for action in _listed(statement.get("Action"))]
        if statement.get("Effect") != "Allow" or service not in services or "sts:assumerole" not in actions:
            continue
        # condition keys are not case sensitive
        equals = {
            key.lower(): _listed(value) for key, value in statement.get("Condition", {}).get("StringEquals", {}).items()
        }
        accounts = equals.get("aws:sourceaccount", [account])
        if wanted in equals.get("sts:externalid", []) and account in accounts:
            return True
    return False


def _allowed(statements: list[dict[str, Any]], action: str, resource: str) -> bool:
    fitting = [s for s in statements if _fits(s, action, resource)]
    effects = {s.get("Effect") for s in fitting}
    return "Allow" in effects and "Deny" not in effects


def _fits(statement: dict[str, Any], action: str, resource: str) -> bool:
    actions = [str(item).lower() for item in _listed(statement.get("Action"))]
    resources = [str(item) for item in _listed(statement.get("Resource"))]
    return any(fnmatchcase(action.lower(), pattern) for pattern in actions) and any(
        resource == "*" or fnmatchcase(resource, pattern) for pattern in resources
    )
