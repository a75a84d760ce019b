"""The simulated account's identities in moto's IAM and STS: its user, the service role, temporary keys."""

from __future__ import annotations

import json
from datetime import UTC

from moto.ec2.models import ec2_backends
from moto.iam.models import iam_backends
from moto.kms.models import kms_backends
from moto.sts.models import sts_backends

from vmie_tui.model import facts
from vmie_tui.simulators.aws import roles
from vmie_tui.simulators.aws.auth import Key

GLOBAL = "aws"  # moto's name for what belongs to no Region


def forget(account: str) -> None:
    """Resets moto's state of the account, left by an earlier simulator in this process."""
    for backends in (ec2_backends, iam_backends, kms_backends, sts_backends):
        if account in backends:
            del backends[account]


def add_user(account: str, access_key: str, secret_key: str) -> None:
    """The IAM user the access key belongs to."""
    backend = iam_backends[account][GLOBAL]
    backend.create_user("us-east-1", "engineer")
    key = backend.create_access_key("engineer")
    backend.access_keys.pop(key.access_key_id)
    key.access_key_id, key.secret_access_key = access_key, secret_key
    backend.access_keys[key.physical_resource_id] = key


def add_role(account: str, name: str, bucket: str, *, policy: str = "") -> None:
    """The role VM import assumes, with trust and policy as in the guides; ``policy`` names a further one."""
    backend = iam_backends[account][GLOBAL]
    if not any(role.name == name for role in backend.roles.values()):
        backend.create_role(
            role_name=name,
            assume_role_policy_document=roles.trust_document(),
            path="/",
            permissions_boundary=None,
            description="VM Import/Export",
            tags=[],
            max_session_duration="3600",
        )
    backend.put_role_policy(name, policy or name, roles.role_document(bucket))


def let_decrypt(account: str) -> None:
    """Let the service role read objects that are encrypted with KMS."""
    name = facts.load("access")["iam"]["vmimport_role"]["name"]
    statement = {"Effect": "Allow", "Action": "kms:Decrypt", "Resource": "*"}
    document = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    iam_backends[account][GLOBAL].put_role_policy(name, f"{name}-kms", document)


def issued(account: str, access_key: str) -> Key | None:
    """A key that IAM or STS handed out since the start."""
    session = sts_backends[account][GLOBAL].get_assumed_role_from_access_key(access_key)
    if session is not None:
        return Key(session.secret_access_key, session.session_token, session.expiration.replace(tzinfo=UTC).timestamp())
    key = iam_backends[account][GLOBAL].access_keys.get(access_key)
    return Key(key.secret_access_key) if key is not None and key.status == "Active" else None
