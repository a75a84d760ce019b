"""Checks the VM Import service role before the upload, to report what "role does not exist" hides (trap 34)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from vmie_tui.model import facts
from vmie_tui.model.errors import ErrorKind, Problem, ServiceError
from vmie_tui.model.explain import ROLE_ERROR
from vmie_tui.services.aws.errors import aws_call, boto_errors, error_code, translate
from vmie_tui.services.aws.iam import policy_documents as iam
from vmie_tui.services.aws.regions import partition_of
from vmie_tui.services.aws.session import Aws


@dataclass(frozen=True, slots=True)
class RoleReport:
    """What was found. ``inspected`` is False when this profile may not read all of the role; ``note`` says so.

    ``policies``: the role's documents, None when they were not read.
    """

    role: str
    inspected: bool
    problems: tuple[Problem, ...] = ()
    note: str = ""
    policies: tuple[dict[str, Any], ...] | None = None


def check_role(aws: Aws, role_name: str, bucket: str, *, exports: bool = False) -> RoleReport:
    """Raises ServiceError for the role's first problem; a role this profile may not read passes with a note."""
    report = inspect_role(aws, role_name, bucket, exports=exports)
    if report.problems:
        raise ServiceError.of(report.problems[0])
    return report


def inspect_role(aws: Aws, role_name: str, bucket: str, *, exports: bool = False) -> RoleReport:
    """Compares the role's trust and permissions with what the guides require for importing from ``bucket``.

    ``exports``: for exporting images into it instead. Without a bucket AWS reads snapshots, and what the role may do
    in S3 does not matter.

    Raises ServiceError LOGIN, NETWORK and the like when IAM cannot be asked at all.
    """
    client = aws.client("iam")
    try:
        role = client.get_role(RoleName=role_name)["Role"]
    except boto_errors() as error:
        if error_code(error) == "NoSuchEntity":
            return RoleReport(role_name, True, (_missing(role_name),))
        denied = translate(error, "look at the role", role_name)
        if denied.kind is ErrorKind.PERMISSION:
            return RoleReport(role_name, False, note="not inspected: this profile may not read the role (iam:GetRole)")
        raise denied from error
    problems = trust_problems(role_name, iam.document(role.get("AssumeRolePolicyDocument")), _account(role))
    try:
        policies = role_policies(client, role_name)
    except ServiceError as error:
        if error.kind is not ErrorKind.PERMISSION:
            raise
        return RoleReport(role_name, False, tuple(problems), f"permissions not inspected: {error.problem.detail}")
    problems += permission_problems(role_name, policies, bucket, partition_of(aws.region), exports=exports)
    note = "a permissions boundary is set and was not inspected" if role.get("PermissionsBoundary") else ""
    return RoleReport(role_name, True, tuple(problems), note, tuple(policies))


def _account(role: dict[str, Any]) -> str:
    parts = str(role.get("Arn", "")).split(":")
    return parts[4] if len(parts) > 4 else ""


def role_policies(client: Any, role_name: str) -> list[dict[str, Any]]:
    """Every policy document of the role, inline and attached."""
    found: list[dict[str, Any]] = []
    with aws_call("read the policies of the role", role_name):
        for page in client.get_paginator("list_role_policies").paginate(RoleName=role_name):
            for name in page["PolicyNames"]:
                answer = client.get_role_policy(RoleName=role_name, PolicyName=name)
                found.append(iam.document(answer["PolicyDocument"]))
        for page in client.get_paginator("list_attached_role_policies").paginate(RoleName=role_name):
            for item in page["AttachedPolicies"]:
                arn = item["PolicyArn"]
                version = client.get_policy(PolicyArn=arn)["Policy"]["DefaultVersionId"]
                answer = client.get_policy_version(PolicyArn=arn, VersionId=version)
                found.append(iam.document(answer["PolicyVersion"]["Document"]))
    return found


def trust_problems(role_name: str, trust: dict[str, Any], account: str) -> list[Problem]:
    """Why the import service cannot assume the role: principal, external id, another account."""
    fact = facts.load("access")["iam"]["vmimport_role"]["trust_policy"]["Statement"][0]
    service = fact["Principal"]["Service"]
    (key, external_id), *_ = fact["Condition"]["StringEquals"].items()
    trusting = [
        statement
        for statement in iam.statements(trust)
        if statement.get("Effect") == "Allow"
        and any(iam.matches(str(item), fact["Action"], fold=True) for item in iam.as_list(statement.get("Action")))
        and _names_service(statement, service)
    ]
    if not trusting:
        return [
            _problem(
                role_name,
                f"the role does not trust {service}",
                f"Let {service} do {fact['Action']} in its trust policy",
            )
        ]
    if not any(external_id in iam.conditions(statement, key) for statement in trusting):
        return [
            _problem(
                role_name,
                f"the trust policy of the role lacks the condition {key} = {external_id}",
                f'Add "Condition": {{"StringEquals": {{"{key}": "{external_id}"}}}} to its trust policy',
            )
        ]
    accounts = [value for statement in trusting for value in iam.conditions(statement, "aws:SourceAccount")]
    if account and accounts and account not in accounts:
        return [
            _problem(
                role_name,
                f"the trust policy of the role names the account {accounts[0]}, not {account}",
                f"Set aws:SourceAccount to {account} in its trust policy",
            )
        ]
    return []


def _names_service(statement: iam.Statement, service: str) -> bool:
    principal = statement.get("Principal")
    return isinstance(principal, dict) and service in iam.as_list(principal.get("Service"))


def permission_problems(
    role_name: str,
    policies: list[dict[str, Any]],
    bucket: str,
    partition: str = "aws",
    *,
    exports: bool = False,
    prefix: str = "",
) -> list[Problem]:
    """The documented actions the role may not do on the bucket and in EC2, one problem per statement.

    ``prefix``: where in the bucket the objects are; without a ``bucket`` those of S3 are left out.
    """
    unused = "{import_bucket}" if exports else "{export_bucket}"
    problems: list[Problem] = []
    for statement in facts.load("access")["iam"]["vmimport_role"]["role_policy"]["Statement"]:
        resources = [str(item) for item in iam.as_list(statement["Resource"])]
        if any(unused in item for item in resources):
            continue  # imports read from one, exports write to the other
        if not bucket and resources != ["*"]:
            continue
        resources = [
            item.format(import_bucket=bucket, export_bucket=bucket).replace("arn:aws:", f"arn:{partition}:")
            for item in resources
        ]
        missing = [
            action
            for action in statement["Action"]
            if not iam.allows(policies, action, _resource(action, resources, prefix))
        ]
        if missing:
            where = "" if resources == ["*"] else f" on {resources[0]}"
            problems.append(
                _problem(
                    role_name,
                    f"the role may not do {', '.join(missing)}{where}",
                    f"Allow {', '.join(missing)} on {', '.join(resources)} in the role's policy",
                )
            )
    return problems


def _resource(action: str, resources: list[str], prefix: str) -> str:
    """What an action is done to: an object for s3:GetObject and s3:PutObject, else the first resource named."""
    if action.endswith("Object"):
        key = f"/{prefix}any-key"
        return next((item.replace("/*", key) for item in resources if item.endswith("/*")), resources[0])
    return resources[0] if resources[0] != "*" else "any"


def _missing(role_name: str) -> Problem:
    return _problem(
        role_name,
        "the service role does not exist",
        f"{str(facts.error(ROLE_ERROR)['remedy']).capitalize()}; the guide's page on permissions has both files",
        ErrorKind.NOT_FOUND,
    )


def _problem(role_name: str, what: str, remedy: str, kind: ErrorKind = ErrorKind.REFUSED) -> Problem:
    return Problem(kind, what, f"role {role_name}", remedy, code=ROLE_ERROR, facts=(ROLE_ERROR,))
