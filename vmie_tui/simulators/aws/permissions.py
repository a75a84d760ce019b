"""What the account's user may do, by the policies it has in moto's IAM; and IAM's simulation of them.

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

from vmie_tui.model import facts
from vmie_tui.simulators.aws import plugin, regions
from vmie_tui.simulators.aws.iam_policy import decide, listed
from vmie_tui.simulators.aws.plugin import Operation
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
    """Give the account's user this inline policy."""
    backend = iam_backends[account]["aws"]
    if policy:
        backend.put_user_policy(USER, INLINE, json.dumps(policy))
    elif INLINE in backend.get_user(USER).policies:
        backend.delete_user_policy(USER, INLINE)


def check(account: str, request: Request) -> None:
    """Raise `ApiError` when the user's policies do not allow the request."""
    statements = list(_statements(account, USER))
    action, resources = _wanted(account, request)
    if action in FREE:
        return
    if any(decide(statements, action, resource) != "allowed" for resource in resources):
        raise regions.denied(request, "" if request.service == "s3" else _words(account, action))
    if request.service == "ec2" and request.operation in PASSES_ROLE:
        _check_pass_role(account, request, statements)


def _check_pass_role(account: str, request: Request, statements: list[dict[str, Any]]) -> None:
    """The service says of a role that may not be handed to it what it says of one that is not there (trap 34)."""
    form = parse_qs(request.body.read().decode("utf-8", "replace"))
    name = form.get("RoleName", ["vmimport"])[0]
    arn = f"arn:aws:iam::{account}:role/{name}"
    if decide(statements, "iam:PassRole", arn, {"iam:passedtoservice": SERVICE}) != "allowed":
        raise ApiError(str(facts.error("E06")["code"]), role_error(name), 400)


def _words(account: str, action: str) -> str:
    return (
        f"User: arn:aws:iam::{account}:user/{USER} is not authorized to perform: {action} because no identity-based "
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
        read = json.loads(unquote(document) if str(document).startswith("%7B") else document)
        yield from listed(read.get("Statement"))


def simulate_principal_policy(response: Any, simulator: Any) -> ActionResult:
    """What the policies of the account's user say; one who is not limited may do everything."""
    arn = str(response._get_param("PolicySourceArn"))
    if not arn.startswith(f"arn:aws:iam::{simulator.account}:") or not arn.endswith(f":user/{USER}"):
        raise ApiError("NoSuchEntity", f"Invalid Entity Arn: {arn} does not exist.", 404)
    statements = list(_statements(simulator.account, USER))
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


OPERATIONS: tuple[Operation, ...] = (simulate_principal_policy,)


def install() -> None:
    """Let moto's IAM answer the simulation too."""
    plugin.install(OPERATIONS, IamResponse)
