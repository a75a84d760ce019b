"""Tells apart the causes that AWS reports as "the service role does not exist"."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any

from vmie_tui.model.errors import ErrorKind, ServiceError
from vmie_tui.model.explain import Probe, role_probes
from vmie_tui.model.rules.account import aws_managed
from vmie_tui.services.aws.errors import aws_call, boto_errors, error_code, translate
from vmie_tui.services.aws.iam import policy_documents as iam
from vmie_tui.services.aws.iam.kms_keys import bucket_key, ebs_default, ebs_key, look_at_key, missing_actions
from vmie_tui.services.aws.iam.roles import permission_problems, role_policies, trust_problems
from vmie_tui.services.aws.regions import REGION_OFF, partition_of
from vmie_tui.services.aws.sdk import botocore
from vmie_tui.services.aws.session import Aws

_SERVICE = "vmie.amazonaws.com"
_ABSENT = frozenset({"404", "NoSuchKey", "NotFound"})


class Outcome(StrEnum):
    FOUND = "found"  # this is a cause
    NOT_FOUND = "not found"
    NOT_INSPECTED = "not inspected"  # the profile may not look, or there was nothing to look at


@dataclass(frozen=True, slots=True)
class ProbeResult:
    """The result of checking one cause; ``detail``: what was observed, ``remedy``: how to fix it if it is the cause."""

    id: str
    title: str
    outcome: Outcome
    detail: str = ""
    remedy: str = ""

    def to_json(self) -> dict[str, Any]:
        return {**asdict(self), "outcome": self.outcome.value}


@dataclass(frozen=True, slots=True)
class RoleCase:
    """The refused import: its role, bucket, one of its objects, and the KMS key requested ("" for none)."""

    role_name: str
    bucket: str
    region: str
    key: str = ""
    kms_key_id: str = ""
    encrypted: bool = False


_Seen = tuple[Outcome, str]
_OK, _BAD, _BLIND = Outcome.NOT_FOUND, Outcome.FOUND, Outcome.NOT_INSPECTED


def probe_role_error(aws: Aws, case: RoleCase) -> tuple[ProbeResult, ...]:
    """Checks every cause, those found first. Read-only; a probe that is denied reports so and finds nothing.

    Raises ServiceError LOGIN or NETWORK when AWS cannot be asked at all.
    """
    aws.identity()
    probes: dict[str, Callable[[Aws, RoleCase], _Seen]] = {
        "root": _root,
        "pass-role": _pass_role,
        "trust": _trust,
        "bucket": _bucket,
        "kms": _kms,
        "sts": _sts,
    }
    results = [_run(probe, probes[probe.id], aws, case) for probe in role_probes()]
    order = {_BAD: 0, _BLIND: 1, _OK: 2}
    return tuple(sorted(results, key=lambda result: order[result.outcome]))


def _run(probe: Probe, look: Callable[[Aws, RoleCase], _Seen], aws: Aws, case: RoleCase) -> ProbeResult:
    try:
        outcome, detail = look(aws, case)
    except boto_errors(ServiceError) as error:
        known = error if isinstance(error, ServiceError) else translate(error, probe.check, case.role_name)
        if known.kind in {ErrorKind.LOGIN, ErrorKind.NETWORK, ErrorKind.TLS}:
            raise known from error
        outcome, detail = _BLIND, known.problem.detail or known.problem.what
    return ProbeResult(probe.id, probe.title, outcome, detail, probe.remedy if outcome is _BAD else "")


def _root(aws: Aws, case: RoleCase) -> _Seen:
    identity = aws.identity()
    return (_BAD if identity.root else _OK), identity.arn


def _pass_role(aws: Aws, case: RoleCase) -> _Seen:
    """By IAM's policy simulator, which includes boundaries and SCPs; inconclusive without it."""
    identity = aws.identity()
    if identity.root:
        return _OK, "the root user may do everything"
    client = aws.client("iam")
    role = _role(client, case)
    if role is None:
        return _BLIND, "there is no role to pass"
    answer = client.simulate_principal_policy(
        PolicySourceArn=principal(aws, identity.arn),
        ActionNames=["iam:PassRole"],
        ResourceArns=[role["Arn"]],
        ContextEntries=[
            {
                "ContextKeyName": "iam:PassedToService",
                "ContextKeyValues": [_SERVICE],
                "ContextKeyType": "string",
            }
        ],
    )
    decision = answer["EvaluationResults"][0]["EvalDecision"]
    return (_OK if decision == "allowed" else _BAD), f"IAM says {decision} for {identity.arn}"


def principal(aws: Aws, arn: str) -> str:
    """The ARN of the policy holder behind who is signed in: of the role, with its path, of an assumed-role session.

    A session's ARN leaves the path out, and those of IAM Identity Center's roles have one; where the role may not be
    looked at, it is taken to have none. Raises ServiceError LOGIN, NETWORK and TLS.
    """
    parts = arn.split(":", 5)
    if len(parts) != 6 or parts[2] != "sts" or not parts[5].startswith("assumed-role/"):
        return arn
    name = parts[5].split("/")[1]
    try:
        with aws_call("look at the role that is signed in", name):
            return str(aws.client("iam").get_role(RoleName=name)["Role"]["Arn"])
    except ServiceError as error:
        if error.kind not in {ErrorKind.PERMISSION, ErrorKind.NOT_FOUND}:
            raise
    return ":".join([*parts[:2], "iam", "", parts[4], f"role/{name}"])


def _role(client: Any, case: RoleCase) -> dict[str, Any] | None:
    """The role, None when there is none; raises ServiceError when it may not be looked at."""
    try:
        found: dict[str, Any] = client.get_role(RoleName=case.role_name)["Role"]
    except botocore.exceptions.ClientError as error:
        if error_code(error) == "NoSuchEntity":
            return None
        raise translate(error, "look at the role", case.role_name) from error
    return found


def _trust(aws: Aws, case: RoleCase) -> _Seen:
    role = _role(aws.client("iam"), case)
    if role is None:
        return _BAD, f"there is no role {case.role_name} in this account"
    account = str(role.get("Arn", "")).split(":")[4]
    problems = trust_problems(case.role_name, iam.document(role.get("AssumeRolePolicyDocument")), account)
    return (_BAD, problems[0].what) if problems else (_OK, "the role trusts VM import")


def _bucket(aws: Aws, case: RoleCase) -> _Seen:
    client = aws.client("iam")
    role = _role(client, case)
    if role is None:
        return _BLIND, "there is no role"
    policies = role_policies(client, case.role_name)
    problems = permission_problems(case.role_name, policies, case.bucket, partition_of(case.region))
    if problems:
        return _BAD, "; ".join(problem.what for problem in problems)
    return _OK, f"the role's policy allows what is needed on {case.bucket}"


def _kms(aws: Aws, case: RoleCase) -> _Seen:
    keys, blind = keys_in_use(aws, case)
    if not keys:
        return (_BLIND, blind) if blind else (_OK, "no KMS key of your own takes part")
    states = {key: look_at_key(aws, key, case.region)[0] for key in keys}
    disabled = [f"{key} is {state}" for key, state in states.items() if state not in {"", "Enabled"}]
    if disabled:
        return _BAD, "; ".join(disabled)
    client = aws.client("iam")
    if _role(client, case) is None:
        return _BLIND, "there is no role"
    missing = missing_actions(role_policies(client, case.role_name), keys)
    if missing:
        return _BAD, f"the role's policy lacks {', '.join(missing)} for {', '.join(keys)}"
    note = f" ({blind})" if blind else ""
    return _OK, f"the role's policy allows {', '.join(keys)}; the key's own policy was not read{note}"


def keys_in_use(aws: Aws, case: RoleCase) -> tuple[dict[str, bool], str]:
    """KMS keys of your own that take part -> whether they only have to be read with; what could not be looked at."""
    found: dict[str, bool] = {}
    blind: list[str] = []
    for name, look in (("the bucket's encryption", _source_key), ("EBS encryption", _result_key)):
        try:
            key, reads = look(aws, case)
        except boto_errors(ServiceError) as error:
            known = error if isinstance(error, ServiceError) else translate(error, name, case.bucket)
            if known.kind in {ErrorKind.LOGIN, ErrorKind.NETWORK, ErrorKind.TLS}:
                raise known from error
            blind.append(f"{name} not inspected")
            continue
        if key and not aws_managed(key):
            found[key] = found.get(key, True) and reads
    return found, ", ".join(blind)


def _source_key(aws: Aws, case: RoleCase) -> tuple[str, bool]:
    """The KMS key of the object, or of new objects in the bucket."""
    client = aws.client("s3", case.region)
    if case.key:
        try:
            head = client.head_object(Bucket=case.bucket, Key=case.key)
        except boto_errors() as error:
            if error_code(error) not in _ABSENT:
                raise
        else:
            return str(head.get("SSEKMSKeyId", "")), True
    return aws.settings.kms_key_id or bucket_key(aws, case.bucket, case.region), True


def _result_key(aws: Aws, case: RoleCase) -> tuple[str, bool]:
    """The KMS key the result is encrypted with: the plan's, else the Region's default."""
    if case.encrypted and case.kms_key_id:
        return case.kms_key_id, False
    if case.encrypted:
        return ebs_key(aws, case.region), False
    return ebs_default(aws, case.region)[1], False


def _sts(aws: Aws, case: RoleCase) -> _Seen:
    try:
        with aws_call("ask the Region's own STS endpoint", case.region):
            aws.client("sts", case.region).get_caller_identity()
    except ServiceError as error:
        if error.problem.code in REGION_OFF:
            return _BAD, error.problem.detail or f"STS refuses in {case.region}"
        raise
    return _OK, f"STS answers in {case.region}"
