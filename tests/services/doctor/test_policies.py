"""The policies that are printed: IAM takes them, they hold no more than is needed, and none of the guides' errors."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterator

import pytest
from pyVmomi import vim

from tests.kits.clinic import Clinic, clinic
from vmie_tui.model import facts
from vmie_tui.model.doctor import USUAL_FEATURES, Feature
from vmie_tui.services.doctor.needs import NEEDS
from vmie_tui.services.doctor.policies import Place, role_policies, user_policy, vcenter_privileges
from vmie_tui.simulators.control import TlsFiles

PLACE = Place("amzn-s3-demo-bucket", "vmie/", account="111122223333")
EACH: list[Collection[Feature]] = [*({feature} for feature in Feature), USUAL_FEATURES, frozenset(Feature)]
ACTION = re.compile(r"(s3|ec2|ebs|iam|kms|license-manager|sts):[A-Z][A-Za-z]+\*?")
ARN = re.compile(r"arn:aws:(s3:::[a-z0-9.-]+(/.*)?|iam::\d{12}:(role|user)/.+|vmie:\*:\d{12}:\*)")


@pytest.fixture(scope="module")
def iam(tls: TlsFiles, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Clinic]:
    with clinic(tls, tmp_path_factory.mktemp("iam")) as made:
        yield made


@pytest.mark.parametrize(
    "features", EACH, ids=lambda value: "-".join(sorted(value)) if len(value) == 1 else str(len(value))
)
def test_iam_takes_the_policies(iam: Clinic, features: Collection[Feature]) -> None:
    client = iam.client("iam")
    policy = user_policy(PLACE, features)
    client.put_user_policy(UserName="engineer", PolicyName="printed", PolicyDocument=json.dumps(policy))
    stored = client.get_user_policy(UserName="engineer", PolicyName="printed")["PolicyDocument"]
    assert stored == policy
    both = role_policies(PLACE, features)
    name = f"r{len(client.list_roles()['Roles'])}"
    client.create_role(RoleName=name, AssumeRolePolicyDocument=json.dumps(both["trust"]))
    client.put_role_policy(RoleName=name, PolicyName="p", PolicyDocument=json.dumps(both["permissions"]))
    for document in (policy, *both.values()):
        for statement in document["Statement"]:
            assert statement["Effect"] == "Allow"
            assert all(ACTION.fullmatch(action) for action in listed(statement["Action"])), statement
            assert all(each == "*" or ARN.fullmatch(each) for each in listed(statement.get("Resource", "*"))), statement
            assert not re.search(r"\{\w+\}", json.dumps(statement)), "a placeholder that was not filled in"


def listed(value: str | list[str]) -> list[str]:
    return [value] if isinstance(value, str) else value


@pytest.mark.parametrize("feature", list(Feature))
def test_no_more_than_the_feature_needs(feature: Feature) -> None:
    granted = {action for statement in user_policy(PLACE, {feature})["Statement"] for action in statement["Action"]}
    assert granted == {need.action for need in NEEDS[feature]}
    assert not [action for action in granted if "*" in action]


def test_the_errors_of_the_guides_are_not_repeated() -> None:
    text = json.dumps([user_policy(PLACE, frozenset(Feature)), role_policies(PLACE, frozenset(Feature))])
    for damaged in facts.load("access")["iam"]["vmimport_role"]["json_corruptions"]:
        assert f'"{damaged["printed"]}"' not in text, damaged
    assert "arn:aws:s3::::" not in text and "sts:Externalid" in text
    assert "Principal" not in json.dumps(role_policies(PLACE, frozenset(Feature))["permissions"]), (
        "IAM refuses it there"
    )


def test_the_role_is_passed_to_vm_import_alone() -> None:
    [statement] = [s for s in user_policy(PLACE, {Feature.IMPORT})["Statement"] if "iam:PassRole" in s["Action"]]
    assert statement["Resource"] == "arn:aws:iam::111122223333:role/vmimport"
    assert statement["Condition"] == {"StringEquals": {"iam:PassedToService": "vmie.amazonaws.com"}}


def test_imports_alone_need_no_writing_role() -> None:
    reading = json.dumps(role_policies(PLACE, {Feature.IMPORT})["permissions"])
    writing = json.dumps(role_policies(PLACE, {Feature.EXPORT_IMAGE})["permissions"])
    assert "s3:PutObject" not in reading and "s3:PutObject" in writing
    assert "license-manager" in json.dumps(role_policies(PLACE, {Feature.LICENCES})["permissions"])


def test_partitions_of_their_own() -> None:
    china = Place("b-ucket", "", account="111122223333", partition="aws-cn")
    text = json.dumps([user_policy(china, USUAL_FEATURES), role_policies(china, USUAL_FEATURES)])
    assert "arn:aws:" not in text and "arn:aws-cn:s3:::b-ucket" in text and "arn:aws-cn:vmie:*:111122223333:*" in text


def test_vcenters_privileges_are_the_documented_ones() -> None:
    iam = facts.load("access")["iam"]
    documented = {entry["id"] for entry in iam["sms"]["vcenter_role_privileges"]} | {"System.View", "System.Read"}
    assert {ident for ident, _ in vcenter_privileges({Feature.IMPORT})} == documented
    more = {entry["id"] for entry in iam["replication"]["vcenter_role_privileges"]}
    assert {ident for ident, _ in vcenter_privileges({Feature.REPLICATE})} == documented | more


def test_vcenters_privileges_are_those_of_the_methods_a_replication_calls() -> None:
    """As vSphere's own API names them; reconfiguring asks for one by what is changed."""
    machine = vim.VirtualMachine
    asked = {
        machine._GetMethodInfo(name).privId
        for name in ("CreateSnapshot", "QueryChangedDiskAreas", "ShutdownGuest", "PowerOff", "PowerOn")
    } | {vim.vm.Snapshot._GetMethodInfo("Remove").privId, "VirtualMachine.Config.ChangeTracking"}
    assert asked <= {ident for ident, _ in vcenter_privileges({Feature.REPLICATE})}


def test_a_replication_may_do_what_its_service_role_did() -> None:
    """The rights of the retention, as the role of the service had them (F409)."""
    documented = set(facts.load("access")["iam"]["sms"]["service_role"]["role_policy"]["Statement"][-1]["Action"])
    ours = {need.action for need in NEEDS[Feature.REPLICATE]}
    assert documented - ours == {
        "ec2:ModifySnapshotAttribute",  # snapshots were shared with the service's account
        "ec2:CopySnapshot",
        "ec2:CopyImage",
        "ec2:DeleteTags",
    }


@pytest.mark.parametrize("feature", list(Feature))
def test_no_action_is_asked_for_twice(feature: Feature) -> None:
    assert len(set(NEEDS[feature])) == len(NEEDS[feature])
