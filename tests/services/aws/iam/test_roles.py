"""The service role's trust and permissions, judged from policy documents."""

from __future__ import annotations

import copy
import json
from typing import Any
from urllib.parse import quote

import pytest

from vmie_tui.model import facts
from vmie_tui.services.aws.iam import policy_documents
from vmie_tui.services.aws.iam.roles import permission_problems, trust_problems

ACCOUNT, BUCKET = "111122223333", "amzn-s3-demo-import-bucket"


def role_facts() -> dict[str, Any]:
    found: dict[str, Any] = copy.deepcopy(facts.load("access")["iam"]["vmimport_role"])
    return found


def documented_policy() -> dict[str, Any]:
    document = role_facts()["role_policy"]
    text = json.dumps(document).replace("{import_bucket}", BUCKET).replace("{export_bucket}", "exports")
    found: dict[str, Any] = json.loads(text)
    return found


def trust(**condition: Any) -> dict[str, Any]:
    document = role_facts()["trust_policy"]
    document["Statement"][0]["Condition"] = condition
    return document


@pytest.mark.parametrize("key", ["sts:Externalid", "sts:ExternalId", "STS:EXTERNALID"])
def test_documented_trust_is_fine_however_the_key_is_written(key: str) -> None:
    assert trust_problems("vmimport", trust(StringEquals={key: "vmimport"}), ACCOUNT) == []
    assert trust_problems("vmimport", trust(StringLike={key: ["other", "vmimport"]}), ACCOUNT) == []


def test_hardened_trust_must_name_this_account() -> None:
    document = json.loads(
        json.dumps(role_facts()["trust_policy_confused_deputy"]["policy"]).replace("{account_id}", ACCOUNT)
    )
    assert trust_problems("vmimport", document, ACCOUNT) == []
    (problem,) = trust_problems("vmimport", document, "999999999999")
    assert ACCOUNT in problem.what


def test_trust_without_external_id() -> None:
    (problem,) = trust_problems("vmimport", trust(), ACCOUNT)
    assert "sts:Externalid = vmimport" in problem.what
    (problem,) = trust_problems("vmimport", trust(StringEquals={"sts:ExternalId": "sms"}), ACCOUNT)
    assert "sts:Externalid" in problem.remedy


@pytest.mark.parametrize(
    "principal", [{"Service": "ec2.amazonaws.com"}, {"AWS": "arn:aws:iam::111122223333:root"}, "*", None]
)
def test_trust_in_somebody_else(principal: Any) -> None:
    document = trust(StringEquals={"sts:Externalid": "vmimport"})
    document["Statement"][0]["Principal"] = principal
    (problem,) = trust_problems("vmimport", document, ACCOUNT)
    assert "does not trust vmie.amazonaws.com" in problem.what


def test_documented_permissions_are_enough() -> None:
    assert permission_problems("vmimport", [documented_policy()], BUCKET) == []


def test_permissions_for_another_bucket() -> None:
    (problem,) = permission_problems("vmimport", [documented_policy()], "other-bucket")
    assert "s3:GetObject" in problem.what
    assert "other-bucket" in problem.what
    assert "arn:aws:s3:::other-bucket/*" in problem.remedy


def test_bucket_without_its_objects_is_named() -> None:
    document = documented_policy()
    document["Statement"][0]["Resource"] = f"arn:aws:s3:::{BUCKET}"
    (problem,) = permission_problems("vmimport", [document], BUCKET)
    assert problem.what.startswith("the role may not do s3:GetObject on")


def test_missing_ec2_statement() -> None:
    document = documented_policy()
    document["Statement"] = document["Statement"][:2]
    (problem,) = permission_problems("vmimport", [document], BUCKET)
    assert "ec2:RegisterImage" in problem.what


def test_rights_may_be_spread_and_written_widely() -> None:
    policies = [
        {"Statement": {"Effect": "Allow", "Action": "S3:Get*", "Resource": "*"}},
        {
            "Statement": [
                {"Effect": "Allow", "Action": ["s3:ListBucket"], "Resource": [f"arn:aws:s3:::{BUCKET[:-3]}???"]}
            ]
        },
        {"Statement": [{"Effect": "Allow", "NotAction": ["iam:*", "s3:*"], "Resource": "*"}]},
    ]
    assert permission_problems("vmimport", policies, BUCKET) == []


def test_a_deny_wins_unless_it_is_conditional() -> None:
    deny: dict[str, Any] = {"Effect": "Deny", "Action": "s3:*", "Resource": "*"}
    policies = [documented_policy(), {"Statement": [deny]}]
    assert len(permission_problems("vmimport", policies, BUCKET)) == 1
    deny["Condition"] = {"Bool": {"aws:SecureTransport": "false"}}
    assert permission_problems("vmimport", policies, BUCKET) == []


def test_other_partitions() -> None:
    document = json.loads(json.dumps(documented_policy()).replace("arn:aws:", "arn:aws-us-gov:"))
    assert permission_problems("vmimport", [document], BUCKET, "aws-us-gov") == []
    assert len(permission_problems("vmimport", [document], BUCKET, "aws")) == 1


def test_documents_come_as_text_or_objects() -> None:
    document = {"Statement": []}
    assert policy_documents.document(document) == document
    assert policy_documents.document(json.dumps(document)) == document
    assert policy_documents.document(quote(json.dumps(document))) == document
    assert policy_documents.document("not json") == policy_documents.document(None) == {}
