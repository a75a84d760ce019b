"""AWS is talked to by TLS alone, wherever an endpoint was set."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.kits.aws_world import REGION
from vmie_tui.model.errors import ErrorKind, ServiceError
from vmie_tui.services.aws.session import BLOCKS, EXPLORE, PARTS, PRESIGN, open_session
from vmie_tui.settings import AwsSettings

CLIENTS = ("ec2", "s3", "sts", "iam", "kms", "ebs", PARTS, BLOCKS, PRESIGN, EXPLORE)
PLAIN = "http://mirror.example"
OF_SERVICE = {BLOCKS: "EBS", PARTS: "S3", PRESIGN: "S3", EXPLORE: "EC2"}


@pytest.fixture(autouse=True)
def keys(own_home: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAEXAMPLE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "not-a-secret")
    (own_home / ".aws").mkdir()
    return own_home


def config(home: Path, text: str) -> None:
    (home / ".aws" / "config").write_text(text)


def refused(kind: str, **more: Any) -> ServiceError:
    with pytest.raises(ServiceError) as caught:
        open_session(AwsSettings(region=REGION, **more)).client(kind)
    assert caught.value.kind is ErrorKind.INVALID
    assert "https://" in caught.value.problem.remedy
    return caught.value


@pytest.mark.parametrize("way", ["setting", "AWS_ENDPOINT_URL", "variable of the service", "config", "services"])
@pytest.mark.parametrize("kind", CLIENTS)
def test_no_client_talks_plain_http(kind: str, way: str, keys: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    service = OF_SERVICE.get(kind, kind.upper())
    more: dict[str, Any] = {}
    match way:
        case "setting":
            more["endpoint_url"] = PLAIN
        case "AWS_ENDPOINT_URL":
            monkeypatch.setenv("AWS_ENDPOINT_URL", PLAIN)
        case "variable of the service":
            monkeypatch.setenv(f"AWS_ENDPOINT_URL_{service}", PLAIN)
        case "config":
            config(keys, f"[default]\nendpoint_url = {PLAIN}\n")
        case "services":
            text = f"[default]\nservices = mine\n[services mine]\n{service.lower()} =\n  endpoint_url = {PLAIN}\n"
            config(keys, text)
    place = refused(kind, **more).problem.subject
    assert ("configuration" in place) == (way in {"config", "services"})


@pytest.mark.parametrize(
    "url",
    [
        "localhost:4566",
        "//localhost",
        "https//localhost",
        "HTTP://localhost",
        "ftp://localhost",
        "http://[",
        "https://",
    ],
)
def test_what_is_no_https_url_is_refused_in_words(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", url)
    assert refused("s3").problem.subject == "AWS_ENDPOINT_URL"
    monkeypatch.delenv("AWS_ENDPOINT_URL")
    assert refused("s3", endpoint_url=url).problem.subject == "endpoint_url in the settings"


def test_credentials_are_not_fetched_without_tls_either(keys: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A role's keys come from a client that botocore makes for itself."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    config(
        keys,
        "[profile ops]\nrole_arn = arn:aws:iam::111122223333:role/r\nsource_profile = base\nregion = eu-west-1\n"
        "[profile base]\naws_access_key_id = AKIAEXAMPLE\naws_secret_access_key = not-a-secret\n",
    )
    monkeypatch.setenv("AWS_ENDPOINT_URL_STS", PLAIN)
    assert refused("s3", profile="ops").problem.subject == "AWS_ENDPOINT_URL_STS"


def test_a_request_that_was_led_away_from_tls_is_not_sent() -> None:
    client = open_session(AwsSettings(region=REGION)).client(PRESIGN)
    client.meta.events.register("request-created.s3", lambda request, **_: setattr(request, "url", PLAIN))
    with pytest.raises(ServiceError, match="without TLS"):
        client.head_bucket(Bucket="bucket")


def test_https_is_taken_from_everywhere(keys: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "HTTPS://mirror.example:8443/aws")
    for kind in CLIENTS:
        assert (
            open_session(AwsSettings(region=REGION)).client(kind).meta.endpoint_url.endswith("mirror.example:8443/aws")
        )
