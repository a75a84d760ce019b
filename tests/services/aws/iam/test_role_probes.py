"""The causes behind the role error, each made in the simulator and named by its probe."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.kits.aws_world import BUCKET, REGION, world
from vmie_tui.model.errors import ErrorKind, ServiceError
from vmie_tui.model.explain import role_probes
from vmie_tui.services.aws.iam.role_probes import Outcome, ProbeResult, RoleCase, principal, probe_role_error
from vmie_tui.services.aws.session import Aws, Identity, open_session
from vmie_tui.simulators.aws.server import AwsSimulator
from vmie_tui.simulators.control import Fault, TlsFiles

CASE = RoleCase("vmimport", BUCKET, REGION)


@pytest.fixture
def reached(tls: TlsFiles, tmp_path: Path) -> Iterator[tuple[AwsSimulator, Aws]]:
    with world(tls, tmp_path) as found:
        simulator, aws = found
        decide(aws, "allowed")
        yield simulator, aws


def decide(aws: Aws, decision: str) -> list[dict[str, Any]]:
    """Let IAM's policy simulation, which the simulator does not have, answer this; returns what it is asked."""
    asked: list[dict[str, Any]] = []

    def simulate(**question: Any) -> dict[str, Any]:
        asked.append(question)
        return {"EvaluationResults": [{"EvalDecision": decision}]}

    aws.client("iam").simulate_principal_policy = simulate
    return asked


def by_id(results: tuple[ProbeResult, ...]) -> dict[str, ProbeResult]:
    return {result.id: result for result in results}


def found(aws: Aws, case: RoleCase = CASE) -> list[str]:
    return [result.id for result in probe_role_error(aws, case) if result.outcome is Outcome.FOUND]


def test_a_good_account_has_none_of_the_causes(reached: tuple[AwsSimulator, Aws]) -> None:
    results = probe_role_error(reached[1], CASE)
    assert {result.id for result in results} == {probe.id for probe in role_probes()}
    assert {result.outcome for result in results} == {Outcome.NOT_FOUND}, results
    assert all(result.detail and not result.remedy for result in results)


def test_the_root_user(reached: tuple[AwsSimulator, Aws], monkeypatch: pytest.MonkeyPatch) -> None:
    aws = reached[1]
    monkeypatch.setattr(aws, "identity", lambda: Identity("111122223333", "arn:aws:iam::111122223333:root", "1"))
    results = probe_role_error(aws, CASE)
    assert results[0].id == "root" and results[0].outcome is Outcome.FOUND and "IAM user" in results[0].remedy
    assert found(aws) == ["root"]


def test_missing_pass_role(reached: tuple[AwsSimulator, Aws]) -> None:
    asked = decide(reached[1], "implicitDeny")
    assert found(reached[1]) == ["pass-role"]
    assert asked[0]["ActionNames"] == ["iam:PassRole"]
    assert asked[0]["ResourceArns"] == ["arn:aws:iam::111122223333:role/vmimport"]


def signed_in_as_a_role(aws: Aws, folder: Path, name: str, path: str, actions: list[str]) -> Aws:
    """A session of a role that may do ``actions``, as IAM Identity Center makes them."""
    iam, document = aws.client("iam"), {"Version": "2012-10-17"}
    trust = {**document, "Statement": [{"Effect": "Allow", "Principal": {"AWS": "*"}, "Action": "sts:AssumeRole"}]}
    made = iam.create_role(RoleName=name, Path=path, AssumeRolePolicyDocument=json.dumps(trust))["Role"]["Arn"]
    rights = {**document, "Statement": [{"Effect": "Allow", "Action": actions, "Resource": "*"}]}
    iam.put_role_policy(RoleName=name, PolicyName="rights", PolicyDocument=json.dumps(rights))
    keys = aws.client("sts").assume_role(RoleArn=made, RoleSessionName="me")["Credentials"]
    file = folder / "session"
    file.write_text(
        f"[default]\naws_access_key_id = {keys['AccessKeyId']}\naws_secret_access_key = {keys['SecretAccessKey']}\n"
        f"aws_session_token = {keys['SessionToken']}\n"
    )
    return open_session(replace(aws.settings, credentials_file=file))


SSO_PATH = "/aws-reserved/sso.amazonaws.com/eu-west-1/"


@pytest.mark.parametrize("path", ["/", SSO_PATH])
@pytest.mark.parametrize("passes", [True, False])
def test_a_role_session_is_asked_about_by_its_role(tls: TlsFiles, tmp_path: Path, path: str, passes: bool) -> None:
    with world(tls, tmp_path) as (simulator, aws):
        rights = ["iam:GetRole*", "iam:List*", "iam:Simulate*", "s3:*", "ec2:*", *(["iam:PassRole"] if passes else [])]
        session = signed_in_as_a_role(aws, tmp_path, "AWSReservedSSO_Admin_0123456789abcdef", path, rights)
        nothing = {"Effect": "Deny", "Action": "*", "Resource": "*"}  # of the user; the role has its own policies
        simulator.limit({"Version": "2012-10-17", "Statement": [nothing]})
        arn = session.identity().arn
        assert arn.endswith(":assumed-role/AWSReservedSSO_Admin_0123456789abcdef/me")
        assert principal(session, arn).endswith(f":role{path}AWSReservedSSO_Admin_0123456789abcdef")
        results = by_id(probe_role_error(session, CASE))
        assert results["pass-role"].outcome is (Outcome.NOT_FOUND if passes else Outcome.FOUND), results
        session.close()


def test_a_role_that_may_not_be_looked_at_is_taken_to_have_no_path(reached: tuple[AwsSimulator, Aws]) -> None:
    simulator, aws = reached
    simulator.faults.add(Fault("GetRole", times=None, code="AccessDenied", message="Access Denied", status=403))
    assert principal(aws, "arn:aws:sts::1:assumed-role/Admin/me") == "arn:aws:iam::1:role/Admin"
    assert principal(aws, "arn:aws:iam::1:user/me") == "arn:aws:iam::1:user/me"


def test_a_policy_simulation_that_is_not_allowed_claims_nothing(reached: tuple[AwsSimulator, Aws]) -> None:
    simulator, aws = reached
    del aws.client("iam").simulate_principal_policy
    simulator.faults.add(
        Fault("SimulatePrincipalPolicy", action="error", times=None, code="AccessDenied", message="no", status=403)
    )
    result = by_id(probe_role_error(aws, CASE))["pass-role"]
    assert result.outcome is Outcome.NOT_INSPECTED and result.detail


def test_trust_without_the_external_id(reached: tuple[AwsSimulator, Aws]) -> None:
    aws = reached[1]
    trust = {"Effect": "Allow", "Principal": {"Service": "vmie.amazonaws.com"}, "Action": "sts:AssumeRole"}
    aws.client("iam").update_assume_role_policy(
        RoleName="vmimport", PolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [trust]})
    )
    assert found(aws) == ["trust"]
    assert "sts:Externalid" in by_id(probe_role_error(aws, CASE))["trust"].detail


def test_a_role_that_is_missing(reached: tuple[AwsSimulator, Aws]) -> None:
    results = by_id(probe_role_error(reached[1], replace(CASE, role_name="nobody")))
    assert [result.id for result in results.values() if result.outcome is Outcome.FOUND] == ["trust"]
    assert "no role nobody" in results["trust"].detail
    assert results["bucket"].outcome is results["pass-role"].outcome is Outcome.NOT_INSPECTED


def test_a_policy_for_another_bucket(reached: tuple[AwsSimulator, Aws]) -> None:
    simulator, aws = reached
    simulator.s3.make_bucket("another-bucket", REGION)
    case = replace(CASE, bucket="another-bucket")
    assert found(aws, case) == ["bucket"]
    assert "s3:GetObject" in by_id(probe_role_error(aws, case))["bucket"].detail


def test_a_key_the_role_may_not_use(reached: tuple[AwsSimulator, Aws]) -> None:
    aws = reached[1]
    key = aws.client("kms").create_key()["KeyMetadata"]["Arn"]
    case = replace(CASE, encrypted=True, kms_key_id=key)
    assert found(aws, case) == ["kms"]
    assert "kms:CreateGrant" in by_id(probe_role_error(aws, case))["kms"].detail
    statement = {"Effect": "Allow", "Action": "kms:*", "Resource": key}
    aws.client("iam").put_role_policy(
        RoleName="vmimport",
        PolicyName="kms",
        PolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [statement]}),
    )
    assert found(aws, case) == []
    aws.client("kms").disable_key(KeyId=key.rpartition("/")[2])
    assert found(aws, case) == ["kms"]
    assert "Disabled" in by_id(probe_role_error(aws, case))["kms"].detail


def test_the_key_of_an_object_needs_to_be_read_with(
    reached: tuple[AwsSimulator, Aws], monkeypatch: pytest.MonkeyPatch
) -> None:
    aws = reached[1]
    key = aws.client("kms").create_key()["KeyMetadata"]["Arn"]
    monkeypatch.setattr(aws.client("s3"), "head_object", lambda **_: {"SSEKMSKeyId": key})
    result = by_id(probe_role_error(aws, replace(CASE, key="a.vmdk")))["kms"]
    assert result.outcome is Outcome.FOUND and "kms:Decrypt" in result.detail and "CreateGrant" not in result.detail


def test_sts_that_is_not_active_in_the_region(
    reached: tuple[AwsSimulator, Aws], monkeypatch: pytest.MonkeyPatch
) -> None:
    simulator, aws = reached
    identity = aws.identity()
    monkeypatch.setattr(aws, "identity", lambda: identity)
    simulator.faults.add(
        Fault(
            "GetCallerIdentity",
            action="error",
            times=None,
            code="RegionDisabledException",
            message="STS is not activated",
            status=403,
        )
    )
    assert found(aws) == ["sts"]


def test_a_profile_that_may_not_look_at_roles_is_told_so(reached: tuple[AwsSimulator, Aws]) -> None:
    simulator, aws = reached
    simulator.faults.add(
        Fault("GetRole", action="error", times=None, code="AccessDenied", message="not authorized", status=403)
    )
    results = by_id(probe_role_error(aws, CASE))
    assert results["trust"].outcome is results["bucket"].outcome is Outcome.NOT_INSPECTED
    assert found(aws) == []


def test_without_a_login_nothing_is_claimed(reached: tuple[AwsSimulator, Aws]) -> None:
    simulator, aws = reached
    simulator.faults.add(
        Fault("GetCallerIdentity", action="error", times=None, code="ExpiredToken", message="expired", status=403)
    )
    with pytest.raises(ServiceError) as caught:
        probe_role_error(aws, CASE)
    assert caught.value.kind is ErrorKind.LOGIN
