"""Which credentials, Region and endpoint a session uses, and what happens when they are no good."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import pytest

from tests.kits.aws_world import BUCKET, REGION, World, settings_for, store_for
from vmie_tui.model.errors import ErrorKind, ServiceError
from vmie_tui.services.aws.session import PARTS, Identity, open_session
from vmie_tui.settings import AwsSettings
from vmie_tui.simulators.control import Fault, TlsFiles, make_tls


def kind_of(settings: AwsSettings) -> ErrorKind:
    with pytest.raises(ServiceError) as caught:
        open_session(settings).identity()
    assert caught.value.problem.remedy
    return caught.value.kind


def test_identity(aws: World) -> None:
    simulator, session = aws
    identity = session.identity()
    assert identity.account == simulator.account
    assert identity.arn.startswith(f"arn:aws:iam::{simulator.account}:")
    assert not identity.root
    assert Identity("1", "arn:aws:iam::1:root", "1").root


@pytest.mark.parametrize(("offset", "skew"), [(-3600, 3600), (0, 0), (1200, -1200)])
def test_the_clock_is_compared_with_the_services(aws: World, offset: int, skew: int) -> None:
    _, session = aws
    client, stamp = session.client("sts"), format_datetime(datetime.now(UTC) + timedelta(seconds=offset), usegmt=True)

    def redate(http_response: object, parsed: dict[str, Any], **_: object) -> None:
        parsed["ResponseMetadata"]["HTTPHeaders"]["date"] = stamp

    client.meta.events.register("after-call.sts", redate, unique_id="redate")
    try:
        assert abs(session.identity().skew - skew) < 60
    finally:
        client.meta.events.unregister("after-call.sts", unique_id="redate")


def test_an_answer_without_a_date_tells_no_skew(aws: World, monkeypatch: pytest.MonkeyPatch) -> None:
    _, session = aws
    answer = {"Account": "1", "Arn": "arn", "UserId": "u"}
    monkeypatch.setattr(session.client("sts"), "get_caller_identity", lambda: answer)
    assert session.identity() == Identity("1", "arn", "u", 0.0)


def test_nothing_set_up_is_a_login(own_home: Path) -> None:
    assert kind_of(AwsSettings(region=REGION)) is ErrorKind.LOGIN
    assert kind_of(AwsSettings(region=REGION, profile="nobody")) is ErrorKind.LOGIN
    assert kind_of(AwsSettings(region=REGION, credentials_file=own_home / "none")) is ErrorKind.LOGIN


def test_wrong_keys_are_a_login(aws: World, tls: TlsFiles, tmp_path: Path) -> None:
    assert kind_of(settings_for(aws[0], tls, tmp_path, secret="wrong")) is ErrorKind.LOGIN


def test_an_untrusted_certificate_is_a_tls_error(aws: World, tls: TlsFiles, tmp_path: Path) -> None:
    other = make_tls(tmp_path / "other")
    assert kind_of(settings_for(aws[0], TlsFiles(other.ca, tls.chain, tls.key), tmp_path)) is ErrorKind.TLS


def test_a_missing_ca_file_is_a_tls_error(aws: World, tls: TlsFiles, tmp_path: Path) -> None:
    settings = settings_for(aws[0], TlsFiles(tmp_path / "none.pem", tls.chain, tls.key), tmp_path)
    assert kind_of(settings) is ErrorKind.TLS


def test_nobody_there_is_a_network_error(aws: World, tls: TlsFiles, tmp_path: Path) -> None:
    settings = settings_for(aws[0], tls, tmp_path)
    gone = AwsSettings(**{**_fields(settings), "endpoint_url": "https://localhost:1"})
    session = open_session(gone)
    with pytest.raises(ServiceError) as caught:
        store_for(session).check_bucket(BUCKET)
    assert caught.value.kind is ErrorKind.NETWORK
    assert caught.value.problem.retry_safe


def _fields(settings: AwsSettings) -> dict[str, object]:
    return {name: getattr(settings, name) for name in AwsSettings.__dataclass_fields__}


def test_explicit_settings_win_over_the_environment(
    aws: World, tls: TlsFiles, tmp_path: Path, own_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (own_home / ".aws").mkdir()
    (own_home / ".aws" / "config").write_text(
        "[default]\nregion = us-gov-west-1\nendpoint_url = https://localhost:1\nca_bundle = /nowhere\n"
    )
    for name, value in {
        "AWS_ACCESS_KEY_ID": "AKIAWRONG",
        "AWS_SECRET_ACCESS_KEY": "wrong",
        "AWS_SESSION_TOKEN": "wrong",
        "AWS_PROFILE": "somebody-else",
        "AWS_REGION": "us-west-2",
        "AWS_DEFAULT_REGION": "us-west-2",
        "AWS_ENDPOINT_URL": "https://localhost:1",
        "AWS_ENDPOINT_URL_S3": "https://localhost:1",
        "AWS_CA_BUNDLE": "/nowhere",
        "REQUESTS_CA_BUNDLE": "/nowhere",
        "HTTPS_PROXY": "http://localhost:1",
        "https_proxy": "http://localhost:1",
    }.items():
        monkeypatch.setenv(name, value)
    session = open_session(settings_for(aws[0], tls, tmp_path))
    assert session.region == REGION
    assert session.identity().account == aws[0].account
    assert store_for(session).check_bucket(BUCKET).region == REGION


def test_without_a_region_the_three_places_to_set_one_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAENV")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "s")
    with pytest.raises(ServiceError, match="no AWS Region") as caught:
        open_session(AwsSettings()).region  # noqa: B018 - the property raises
    assert caught.value.kind is ErrorKind.INVALID
    assert open_session(AwsSettings(region="eu-north-1")).client("s3").meta.region_name == "eu-north-1"


@pytest.mark.parametrize("where", ["settings", "environment", "config"])
@pytest.mark.parametrize("content", [None, b"", b"no certificate\n", b"-----BEGIN CERTIFICATE-----\nxx\n"])
def test_a_file_of_authorities_that_cannot_be_used_is_named(
    where: str, content: bytes | None, tmp_path: Path, own_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAENV")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "s")
    path = tmp_path / "authorities.pem"
    if content is not None:
        path.write_bytes(content)
    if where == "environment":
        monkeypatch.setenv("AWS_CA_BUNDLE", str(path))
    elif where == "config":
        (own_home / ".aws").mkdir()
        (own_home / ".aws" / "config").write_text(f"[default]\nca_bundle = {path}\n")
    with pytest.raises(ServiceError) as caught:
        open_session(AwsSettings(region=REGION, ca_bundle=path if where == "settings" else None))
    problem = caught.value.problem
    assert (problem.kind, problem.subject, problem.retry_safe) == (ErrorKind.TLS, str(path), False)
    assert "No such file" in problem.what if content is None else "no certificates" in problem.what


def test_clients_are_shared_and_made_once(aws: World) -> None:
    _, session = aws
    made: list[object] = []
    threads = [threading.Thread(target=lambda: made.append(session.client("ec2", "eu-west-3"))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert len(made) == 8
    assert len({id(client) for client in made}) == 1
    assert session.client("ec2", "eu-west-2") is not made[0]


def test_a_throttled_call_is_repeated_in_one_layer(aws: World) -> None:
    simulator, session = aws
    fault = simulator.faults.add(
        Fault("GetCallerIdentity", times=2, code="Throttling", message="Rate exceeded", status=400)
    )
    assert session.identity().account == simulator.account
    assert fault.fired == 2


def test_parts_are_neither_hashed_nor_repeated_by_botocore(aws: World) -> None:
    config = aws[1].client(PARTS).meta.config
    assert config.retries["total_max_attempts"] == 1
    assert config.s3["payload_signing_enabled"] is False


def test_bucket_checks(aws: World) -> None:
    _, session = aws
    store = store_for(session)
    assert store.create_bucket("far-away-bucket", "us-east-1").region == "us-east-1"
    assert store.create_bucket("near-bucket").region == REGION
    assert store.create_bucket("near-bucket").region == REGION  # ours already
    assert store.check_bucket("near-bucket").region == REGION
    with pytest.raises(ServiceError, match=r"in us-east-1.*in eu-west-1") as caught:
        store.check_bucket("far-away-bucket")
    assert caught.value.kind is ErrorKind.INVALID
    with pytest.raises(ServiceError, match="does not exist") as caught:
        store.check_bucket("never-made-bucket")
    assert caught.value.kind is ErrorKind.NOT_FOUND
    assert caught.value.problem.subject == "never-made-bucket"


@pytest.mark.parametrize("allowed", [True, False])
def test_what_is_deleted_from_a_bucket_with_versions_is_gone_or_said_to_stay(aws: World, allowed: bool) -> None:
    simulator, session = aws
    name, store, s3 = f"with-versions-{allowed}".lower(), store_for(session), session.client("s3")
    store.create_bucket(name)
    s3.put_bucket_versioning(Bucket=name, VersioningConfiguration={"Status": "Enabled"})
    for key in ("a", "b", "c"):
        s3.put_object(Bucket=name, Key=key, Body=b"x")
    if not allowed:
        for key in ("a", "b", "c"):  # the first request for each, which names the version
            fault = Fault("DeleteObject", match=f"/{key}", times=1, code="AccessDenied", message="Denied", status=403)
            simulator.faults.add(fault)
    assert store.delete(name, "a") is allowed
    assert store.delete_objects(name, ["b", "c"]) is allowed
    assert store.delete(name, "never-there")
    assert s3.list_objects_v2(Bucket=name)["KeyCount"] == 0
    assert len(s3.list_object_versions(Bucket=name).get("Versions", ())) == (0 if allowed else 3)


def test_the_documented_policy_is_enough_to_check_a_bucket(aws: World) -> None:
    simulator, session = aws
    denied = {"times": None, "code": "AccessDenied", "message": "Access Denied", "status": 403}
    simulator.faults.add(Fault("HeadBucket", **denied))  # type: ignore[arg-type]
    assert store_for(session).check_bucket(BUCKET).region == REGION
    simulator.faults.add(Fault("GetBucketLocation", **denied))  # type: ignore[arg-type]
    with pytest.raises(ServiceError, match="GetBucketLocation") as caught:
        store_for(session).check_bucket(BUCKET)
    assert caught.value.kind is ErrorKind.PERMISSION


def test_deleting(aws: World) -> None:
    _, session = aws
    store = store_for(session)
    for key in ("a", "b"):
        session.client("s3").put_object(Bucket=BUCKET, Key=key, Body=b"x")
    store.delete(BUCKET, "a")
    store.delete(BUCKET, "a")
    store.delete_objects(BUCKET, ["b", "never-there"])
    assert store.head(BUCKET, "a") is store.head(BUCKET, "b") is None
