"""Evaluates the account's IAM policies in moto, and serves IAM's policy simulator.

Resources and conditions count, as in AWS: moto's own check knows neither.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import parse_qs, unquote

from moto.core.responses import ActionResult
from moto.iam.models import iam_backends
from moto.iam.responses import IamResponse
from moto.sts.models import sts_backends

from vmie_tui.model import facts
from vmie_tui.simulators.aws import moto_extensions, regions
from vmie_tui.simulators.aws.iam_policy import decide, listed
from vmie_tui.simulators.aws.moto_extensions import Operation
from vmie_tui.simulators.aws.roles import role_error
from vmie_tui.simulators.aws.wire import ApiError, Request

USER, INLINE = "engineer", "limits"
SERVICE = "vmie.amazonaws.com"
FREE = frozenset({"sts:GetCallerIdentity"})  # nobody can be refused it
PASSES_ROLE = frozenset({"ImportImage", "ImportSnapshot", "ExportImage"})
# S3 operation -> the action it wants, where the two are not named alike; those in OBJECT are about an object
_S3 = {
    "HeadBucket": "ListBucket",
    "ListObjectsV2": "ListBucket",
    "ListObjects": "ListBucket",
    "ListObjectVersions": "ListBucketVersions",
    "UploadPartCopy": "PutObject",
    "ListBuckets": "ListAllMyBuckets",
    "ListMultipartUploads": "ListBucketMultipartUploads",
    "HeadObject": "GetObject",
    "GetObjectAttributes": "GetObject",
    "CreateMultipartUpload": "PutObject",
    "UploadPart": "PutObject",
    "CompleteMultipartUpload": "PutObject",
    "CopyObject": "PutObject",
    "DeleteObjects": "DeleteObject",
    "ListParts": "ListMultipartUploadParts",
    "GetBucketEncryption": "GetEncryptionConfiguration",
    "PutBucketEncryption": "PutEncryptionConfiguration",
    "DeleteBucketEncryption": "PutEncryptionConfiguration",
    "GetPublicAccessBlock": "GetBucketPublicAccessBlock",
    "PutPublicAccessBlock": "PutBucketPublicAccessBlock",
    "DeletePublicAccessBlock": "PutBucketPublicAccessBlock",
    "GetBucketLifecycleConfiguration": "GetLifecycleConfiguration",
    "PutBucketLifecycleConfiguration": "PutLifecycleConfiguration",
    "DeleteBucketLifecycleConfiguration": "PutLifecycleConfiguration",
}


def set_policy(account: str, policy: Mapping[str, Any]) -> None:
    """Attaches this inline policy to the account's user."""
    backend = iam_backends[account]["aws"]
    if policy:
        backend.put_user_policy(USER, INLINE, json.dumps(policy))
    elif INLINE in backend.get_user(USER).policies:
        backend.delete_user_policy(USER, INLINE)


def check(account: str, request: Request) -> None:
    """Raises `ApiError` when the user's policies do not allow the request."""
    who, statements = _caller(account, request)
    action, resources = _wanted(account, request)
    if action in FREE:
        return
    if any(decide(statements, action, resource) != "allowed" for resource in resources):
        raise regions.denied(request, "" if request.service == "s3" else _words(who, action))
    if request.service == "ec2" and request.operation in PASSES_ROLE:
        _check_pass_role(account, request, statements)


def _check_pass_role(account: str, request: Request, statements: list[dict[str, Any]]) -> None:
    """The service says of a role that may not be handed to it what it says of one that is not there (trap 34)."""
    form = parse_qs(request.body.read().decode("utf-8", "replace"))
    name = form.get("RoleName", ["vmimport"])[0]
    arn = f"arn:aws:iam::{account}:role/{name}"
    if decide(statements, "iam:PassRole", arn, {"iam:passedtoservice": SERVICE}) != "allowed":
        raise ApiError(str(facts.error("E06")["code"]), role_error(name), 400)


def _caller(account: str, request: Request) -> tuple[str, list[dict[str, Any]]]:
    """(ARN of who signed the request, the statements of its policies): the account's user, or a role's session."""
    key = request.scope.access_key if request.scope else ""
    session = sts_backends[account]["aws"].get_assumed_role_from_access_key(key)
    if session is None:
        return f"arn:aws:iam::{account}:user/{USER}", list(_statements(account, USER))
    return session.arn, list(_role_statements(account, session.role_arn))


def _words(who: str, action: str) -> str:
    return (
        f"User: {who} is not authorized to perform: {action} because no identity-based "
        f"policy allows the {action} action"
    )


def _wanted(account: str, request: Request) -> tuple[str, list[str]]:
    """(action, ARNs of what it is done to)."""
    if request.service == "s3":
        name, _, key = request.path.lstrip("/").partition("/")
        action = f"s3:{_S3.get(request.operation, request.operation)}"
        bucket = f"arn:aws:s3:::{name}"
        if request.operation == "DeleteObjects":
            keys = re.findall(r"<Key>(.*?)</Key>", request.body.read().decode("utf-8", "replace"), re.DOTALL)
            return action, [f"{bucket}/{each}" for each in keys]
        return action, [f"{bucket}/{key}" if key else bucket if name else "*"]
    form: dict[str, list[str]] = {}
    if request.service in {"iam", "sts"}:
        form = parse_qs(request.body.read().decode("utf-8", "replace"))
    if role := form.get("RoleName"):
        return f"iam:{request.operation}", [f"arn:aws:iam::{account}:role/{role[0]}"]
    source = form.get("PolicySourceArn") or form.get("PolicyArn") or ["*"]
    return f"{request.service}:{request.operation}", source


def _statements(account: str, user: str) -> Iterator[dict[str, Any]]:
    found = iam_backends[account]["aws"].get_user(user)
    documents = [*found.policies.values(), *(policy.document for policy in found.managed_policies.values())]
    for document in documents:
        yield from listed(_read(document).get("Statement"))


def _role_statements(account: str, arn: str) -> Iterator[dict[str, Any]]:
    """Of the role with exactly this ARN, path included; raises `ApiError` where there is none."""
    role = next((role for role in iam_backends[account]["aws"].roles.values() if role.arn == arn), None)
    if role is None:
        raise ApiError("NoSuchEntity", f"Invalid Entity Arn: {arn} does not exist.", 404)
    documents = [*role.policies.values(), *(policy.document for policy in role.managed_policies.values())]
    for document in documents:
        yield from listed(_read(document).get("Statement"))


def _read(document: Any) -> dict[str, Any]:
    return dict(json.loads(unquote(document) if str(document).startswith("%7B") else document))


def create_role(response: Any, _: Any) -> ActionResult:
    """moto's, but for trust policies that are none."""
    try:
        _read(response._get_param("AssumeRolePolicyDocument"))["Statement"]
    except (ValueError, KeyError, TypeError):
        text = "This policy contains invalid Json"
        raise ApiError("MalformedPolicyDocument", text, 400) from None
    return _CREATE_ROLE(response)


def simulate_principal_policy(response: Any, simulator: Any) -> ActionResult:
    """What the policies of the account's user say; one who is not limited may do everything."""
    arn = str(response._get_param("PolicySourceArn"))
    if arn == f"arn:aws:iam::{simulator.account}:user/{USER}":
        statements = list(_statements(simulator.account, USER))
    else:
        statements = list(_role_statements(simulator.account, arn))
    context = {
        str(entry["ContextKeyName"]).lower(): str(entry["ContextKeyValues"][0])
        for entry in response._get_param("ContextEntries") or ()
    }
    results = [
        {
            "EvalActionName": action,
            "EvalResourceName": resource,
            "EvalDecision": decide(statements, action, resource, context) if simulator.enforced else "allowed",
            "MatchedStatements": [],
            "MissingContextValues": [],
        }
        for action in response._get_param("ActionNames")
        for resource in response._get_param("ResourceArns") or ["*"]
    ]
    return ActionResult({"EvaluationResults": results, "IsTruncated": False})


_CREATE_ROLE = IamResponse.create_role
OPERATIONS: tuple[Operation, ...] = (simulate_principal_policy, create_role)


def install() -> None:
    """Let moto's IAM answer the simulation too."""
    moto_extensions.install(OPERATIONS, IamResponse)
