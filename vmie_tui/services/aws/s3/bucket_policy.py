"""Predicts from the bucket's policy whether it will deny our uploads.

Only statements that deny everybody are judged, and only where each of their conditions is about something we know of
our own requests; whatever else a policy holds is left to AWS.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from vmie_tui.model.errors import ServiceError
from vmie_tui.services.aws.errors import aws_call
from vmie_tui.services.aws.iam import policy_documents as iam
from vmie_tui.services.aws.regions import partition_of
from vmie_tui.services.aws.session import Aws
from vmie_tui.settings import ENCRYPTIONS, AwsSettings

NO_POLICY = frozenset({"NoSuchBucketPolicy", "NotFound"})
ALGORITHM = "s3:x-amz-server-side-encryption"
KEY = "s3:x-amz-server-side-encryption-aws-kms-key-id"


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why an upload will be denied, and the remedy."""

    what: str
    remedy: str


def read_policy(aws: Aws, bucket: str, region: str) -> dict[str, Any]:
    """The bucket's policy, {} when it has none. Raises ServiceError, PERMISSION where it may not be read."""
    try:
        with aws_call("read the bucket's policy", bucket):
            return iam.document(aws.client("s3", region).get_bucket_policy(Bucket=bucket)["Policy"])
    except ServiceError as error:
        if error.problem.code in NO_POLICY:
            return {}
        raise


def upload_refusal(
    policy: Mapping[str, Any], asked: AwsSettings, bucket: str, prefix: str, region: str
) -> Refusal | None:
    """Why the policy denies an upload below ``prefix`` with the headers of ``asked``; None where it is not seen to."""
    place = f"arn:{partition_of(region)}:s3:::{bucket}/{prefix}any-key"
    statements = [
        statement
        for statement in iam.statements(policy)
        if statement.get("Effect") == "Deny"
        and _everybody(statement.get("Principal"))
        and iam.covers(statement, "s3:PutObject", place)
    ]
    denying = _denying(statements, asked.encryption, asked.kms_key_id)
    if denying is None:
        return None
    algorithms, keys = _wanted(denying, ALGORITHM), _wanted(denying, KEY)
    if not (algorithms or keys or iam.conditions(denying, ALGORITHM)):
        return _other_refusal(denying)
    for algorithm, key in _choices(statements, asked, keys):
        if _denying(statements, algorithm, key) is None:
            return _ask_for(algorithm, key)
    said = " or ".join((*algorithms, *keys))
    return Refusal(
        f"its policy denies every encryption that could be asked for with an upload{f' ({said})' if said else ''}",
        "Choose another bucket or prefix, or ask the bucket's owner to change its policy",
    )


def _denying(statements: Iterable[Mapping[str, Any]], algorithm: str, key: str) -> Mapping[str, Any] | None:
    """The first statement that denies an upload with these headers."""
    sent = {
        ALGORITHM: algorithm,
        KEY: key,
        "s3:x-amz-server-side-encryption-customer-algorithm": "",
        "s3:x-amz-acl": "",
        "aws:securetransport": "true",
        "s3:signatureversion": "AWS4-HMAC-SHA256",
    }
    return next((found for found in statements if _holds(found.get("Condition") or {}, sent)), None)


def _choices(
    statements: Iterable[Mapping[str, Any]], asked: AwsSettings, first: Iterable[str]
) -> Iterator[tuple[str, str]]:
    """What the settings could ask for: as little as possible changed, keys only with KMS."""
    found = [*first, *(key for statement in statements for key in _wanted(statement, KEY))]
    algorithms = dict.fromkeys((*((asked.encryption,) if asked.encryption else ()), *ENCRYPTIONS))
    for key in dict.fromkeys((asked.kms_key_id, *found, "")):
        yield from ((algorithm, key) for algorithm in algorithms if not key or algorithm.startswith("aws:kms"))
    yield "", ""


def _everybody(principal: Any) -> bool:
    return "*" in iam.as_list(principal.get("AWS") if isinstance(principal, Mapping) else principal)


def _holds(condition: Any, sent: Mapping[str, str]) -> bool:
    """Whether every test is about a key of ``sent`` ("" stands for a header that is not sent) and comes out true."""
    if not isinstance(condition, Mapping):
        return False
    return all(
        isinstance(tests, Mapping)
        and all(_true(str(operator), str(key).lower(), iam.as_list(wanted), sent) for key, wanted in tests.items())
        for operator, tests in condition.items()
    )


def _true(operator: str, key: str, wanted: list[Any], sent: Mapping[str, str]) -> bool:
    """One test, by IAM's rules for a key with one value; False for what cannot be known here."""
    if key not in sent:
        return False
    value, values = sent[key], [str(item).lower() if isinstance(item, bool) else str(item) for item in wanted]
    operator = operator.rpartition(":")[2].lower()
    if operator == "null":
        return ("true" if not value else "false") in [item.lower() for item in values]
    optional, operator = operator.endswith("ifexists"), operator.removesuffix("ifexists")
    negated = "not" in operator
    kind = operator.replace("not", "")
    if kind not in {"stringequals", "stringequalsignorecase", "stringlike", "bool", "arnequals", "arnlike"}:
        return False
    if not value:
        return negated or optional
    if key == KEY and not value.startswith("arn:"):
        return False  # S3 compares the key's ARN, which is not known of an id or an alias
    fold = kind in {"stringequalsignorecase", "bool"}
    if kind in {"stringlike", "arnequals", "arnlike"}:
        found = any(iam.matches(pattern, value) for pattern in values)
    else:
        found = (value.lower() if fold else value) in [item.lower() if fold else item for item in values]
    return found is not negated


def _wanted(statement: Mapping[str, Any], name: str) -> list[str]:
    """The values a statement names for a header, without those of a test for its absence."""
    return [text for text in iam.conditions(statement, name) if text.lower() not in {"true", "false"}]


def _ask_for(algorithm: str, key: str) -> Refusal:
    if not algorithm:
        return Refusal(
            "its policy denies uploads that ask for an encryption",
            "Leave encryption and kms_key_id out of the profile's [aws] section",
        )
    given = ", with a given key" if key else ""
    said = f'encryption = "{algorithm}"'
    if "*" in key or "?" in key:
        said += f", and kms_key_id to the ARN of a key that is like {key},"
    elif key:
        said += f' and kms_key_id = "{key}"'
    return Refusal(
        f"its policy demands that each upload asks for encryption ({algorithm}{given})",
        f"Set {said} in the profile's [aws] section",
    )


def _other_refusal(statement: Mapping[str, Any]) -> Refusal:
    name = f" ({statement['Sid']})" if statement.get("Sid") else ""
    tested = sorted({str(key) for tests in (statement.get("Condition") or {}).values() for key in tests})
    about = f", by what it says about {', '.join(tested)}" if tested else ""
    return Refusal(
        f"a statement of its policy{name} denies uploads below this prefix to everybody{about}",
        "Choose another bucket or prefix, or ask the bucket's owner to change its policy",
    )
