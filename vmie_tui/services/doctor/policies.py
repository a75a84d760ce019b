"""Least-privilege policies for an administrator: for the user, the service role, and the vCenter role."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from vmie_tui.model import facts
from vmie_tui.model.doctor import Feature
from vmie_tui.model.errors import VmieError
from vmie_tui.services.doctor import documents
from vmie_tui.services.doctor.check_context import Patient
from vmie_tui.services.doctor.needs import On, needs_of, places

Json = dict[str, Any]
ACCOUNT = "123456789012"  # AWS's own placeholder, where nobody is signed in
BUCKET = "amzn-s3-demo-bucket"
_SIDS = {
    On.ANY: "Compute",
    On.BUCKET: "Bucket",
    On.OBJECTS: "Objects",
    On.ROLE: "Role",
    On.PASSED: "PassRole",
    On.SELF: "AskAboutOneself",
}
# What a machine is read by, besides seeing it; the documented list is that of the replication connector.
VCENTER_SEE = (("System.View", "Read-only"), ("System.Read", "Read-only"))
LOOK_INSIDE = frozenset({"Datastore.Browse", "Datastore.FileManagement"})
# Imports and exports do without these: their lack is a warning.
REPLICATING = tuple(
    (str(entry["id"]), str(entry["ui"]))
    for entry in facts.load("access")["iam"]["replication"]["vcenter_role_privileges"]
)


@dataclass(frozen=True, slots=True)
class Place:
    """The account, Region and bucket that the policies are for."""

    bucket: str = BUCKET
    prefix: str = ""
    role_name: str = "vmimport"
    account: str = ACCOUNT
    partition: str = "aws"
    own_arn: str = ""

    @property
    def role_arn(self) -> str:
        return f"arn:{self.partition}:iam::{self.account}:role/{self.role_name}"


def user_policy(place: Place, features: Collection[Feature]) -> Json:
    """The least-privilege policy of the user or role that runs vmie-tui with these features."""
    own = place.own_arn or f"arn:{place.partition}:iam::{place.account}:user/*"
    where = places(place.bucket, place.prefix, place.role_arn, own, place.partition)
    grouped: dict[On, set[str]] = {}
    for need in needs_of(features):
        grouped.setdefault(need.on, set()).add(need.action)
    statements = []
    for on in On:
        if on not in grouped:
            continue
        statement: Json = {
            "Sid": _SIDS[on],
            "Effect": "Allow",
            "Action": sorted(grouped[on]),
            "Resource": where[on],
        }
        if on is On.PASSED:
            service = documents.trust(place.account)["Statement"][0]["Principal"]["Service"]
            statement["Condition"] = {"StringEquals": {"iam:PassedToService": service}}
        statements.append(statement)
    return {"Version": documents.VERSION, "Statement": statements}


def role_policies(place: Place, features: Collection[Feature]) -> dict[str, Json]:
    """The service role's two documents, ``trust`` and ``permissions``."""
    policy = documents.role(place.bucket, place.partition, exports=Feature.EXPORT_IMAGE in features)
    if Feature.LICENCES in features:
        policy["Statement"].append(documents.licences())
    return {"trust": documents.trust(place.account, place.partition), "permissions": policy}


def vcenter_privileges(features: Collection[Feature]) -> tuple[tuple[str, str], ...]:
    """(privilege, its name in the vSphere client) that the user needs on the datacenters with its machines."""
    if not set(features) & {Feature.IMPORT, Feature.DIRECT, Feature.REPLICATE, Feature.INSTANCE}:
        return VCENTER_SEE
    documented = facts.load("access")["iam"]["sms"]["vcenter_role_privileges"]
    more = REPLICATING if Feature.REPLICATE in features else ()
    return (*VCENTER_SEE, *((str(entry["id"]), str(entry["ui"])) for entry in documented), *more)


def vcenter_role(features: Collection[Feature]) -> Json:
    """The role in vCenter, with what to do with it."""
    return {
        "role": "vmie-tui",
        "privileges": [{"id": ident, "client": name} for ident, name in vcenter_privileges(features)],
        "assign": "to the user, propagating, on each datacenter that holds machines to import",
    }


def place_of(patient: Patient) -> Place:
    """Where the policies of a profile are for; the account is a placeholder while nobody is signed in."""
    aws = patient.profile.aws
    try:
        identity = patient.identity()
        account, partition, own = identity.account, patient.partition, patient.holder
    except VmieError:
        account, partition, own = ACCOUNT, "aws", ""
    return Place(aws.bucket or BUCKET, aws.prefix, aws.role_name, account, partition, own)
