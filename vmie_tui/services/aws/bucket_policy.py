"""What the bucket's own policy says to our uploads, before the first of them is refused.

Only statements that deny everybody are judged, and only where each of their conditions is about something we know of
our own requests; whatever else a policy holds is left to AWS.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from vmie_tui.model.errors import ServiceError
from vmie_tui.services.aws import policy as iam
from vmie_tui.services.aws.errors import aws_call
from vmie_tui.services.aws.regions import partition_of
from vmie_tui.services.aws.session import Aws
from vmie_tui.settings import AwsSettings

NO_POLICY = frozenset({"NoSuchBucketPolicy", "NotFound"})
ALGORITHM = "s3:x-amz-server-side-encryption"
KEY = "s3:x-amz-server-side-encryption-aws-kms-key-id"


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why an upload will be denied, in words, and what the user can do."""

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
    sent = {
        ALGORITHM: asked.encryption,
        KEY: asked.kms_key_id,
        "s3:x-amz-server-side-encryption-customer-algorithm": "",
        "s3:x-amz-acl": "",
        "aws:securetransport": "true",
        "s3:signatureversion": "AWS4-HMAC-SHA256",
    }
    place = f"arn:{partition_of(region)}:s3:::{bucket}/{prefix}any-key"
    for statement in iam.statements(policy):
        if statement.get("Effect") != "Deny" or not _everybody(statement.get("Principal")):
            continue
        if iam.covers(statement, "s3:PutObject", place) and _holds(statement.get("Condition") or {}, sent):
            return _refusal(statement)
    return None


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


def _refusal(statement: Mapping[str, Any]) -> Refusal:
    algorithms = [text for text in iam.conditions(statement, ALGORITHM) if text.lower() not in {"true", "false"}]
    keys = [text for text in iam.conditions(statement, KEY) if text.lower() not in {"true", "false"}]
    if algorithms or keys or iam.conditions(statement, ALGORITHM):
        algorithm = algorithms[0] if algorithms else "aws:kms" if keys else "AES256"
        said = f'encryption = "{algorithm}"' + (f' and kms_key_id = "{keys[0]}"' if keys else "")
        asked = " or ".join(algorithms) or algorithm
        return Refusal(
            f"its policy demands that each upload asks for encryption ({asked}{', with a given key' if keys else ''})",
            f"Set {said} in the profile's [aws] section",
        )
    name = f" ({statement['Sid']})" if statement.get("Sid") else ""
    tested = sorted({str(key) for tests in (statement.get("Condition") or {}).values() for key in tests})
    about = f", by what it says about {', '.join(tested)}" if tested else ""
    return Refusal(
        f"a statement of its policy{name} denies uploads below this prefix to everybody{about}",
        "Choose another bucket or prefix, or ask the bucket's owner to change its policy",
    )
