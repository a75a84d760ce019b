"""A proxy in the environment whose password is not encoded: refused in words that hold nothing of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.kits.aws_world import REGION
from vmie_tui.known_secrets import remember_environment
from vmie_tui.model.errors import ErrorKind, ServiceError
from vmie_tui.proxy import check_address
from vmie_tui.services.aws.session import EXPLORE, PARTS, Aws, open_session
from vmie_tui.settings import AwsSettings

WORDS = (
    "P@ss#word1",
    "Sec#ret123",
    "Sec/ret123",
    "Sec?ret123",
    "Sec\\ret123",
    "Sec ret123",
    "Sec[ret123",
    "@#/?\\xyzzy",
)


@pytest.fixture(autouse=True)
def keys(own_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAEXAMPLE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "not-a-secret")


def proxy_of(client: Any) -> str | None:
    """The proxy that botocore sends this client's requests through."""
    return client._endpoint.http_session._proxy_config.proxy_url_for(client.meta.endpoint_url)


def session(**more: str) -> Aws:
    return open_session(AwsSettings(region=REGION, **more))


@pytest.mark.parametrize("word", WORDS)
@pytest.mark.parametrize("variable", ["HTTPS_PROXY", "https_proxy"])
@pytest.mark.parametrize("start", ["http://corpuser:", "https://corpuser:", "corpuser:", "http://corp%5Cuser:"])
def test_no_part_of_the_password_is_in_the_error(
    word: str, variable: str, start: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, f"{start}{word}@127.0.0.1:9")
    for kind in ("sts", EXPLORE, PARTS):
        with pytest.raises(ServiceError) as caught:
            session().client(kind)
        said = str(caught.value)
        assert (caught.value.kind, caught.value.problem.subject) == (ErrorKind.INVALID, variable)
        assert "encode @ # / ? in the proxy's password as %40 %23 %2F %3F" in said
        for piece in ("corpuser", "ret123", "word1", "P@ss", "xyzzy", "Sec"):
            assert piece not in said


def test_a_backslash_in_the_user_would_make_half_the_login_a_host(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://corp\\user:pass@127.0.0.1:9")
    with pytest.raises(ServiceError, match="backslash as %5C"):
        session().client("sts")


@pytest.mark.parametrize(
    "address",
    [
        "http://proxy.corp:3128",
        "proxy.corp:3128/",
        "http://user:P%40ss%23word1@proxy.corp:3128",
        "http://user:a:b@[::1]:3128",
        "http://user:p@ss@proxy.corp:3128",  # understood by all as it is
        "http://user@proxy.corp:3128",
        "",
    ],
)
def test_what_can_be_read_is_used(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", address)
    used = proxy_of(session().client("sts"))
    assert (used or "").removeprefix("http://") == address.removeprefix("http://")


@pytest.mark.parametrize(
    "address", ["http://user:p%C3%A4ss@proxy:1", "http://us%0d%0aer:x@proxy:1", "http://user:pass@"]
)
def test_what_http_cannot_carry_is_refused_too(address: str) -> None:
    with pytest.raises(ValueError, match=r"^it") as caught:
        check_address(address)
    assert "user:" not in str(caught.value)


def test_a_proxy_that_is_not_asked_stands_in_nobodys_way(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://corpuser:Sec#ret123@127.0.0.1:9")
    assert proxy_of(session(endpoint_url="https://localhost:9").client("sts")) is None  # the demo's
    monkeypatch.setenv("NO_PROXY", ".amazonaws.com")
    assert proxy_of(session().client("sts")) is None


def test_what_botocore_says_of_an_address_is_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://corpuser:p@ssw0rd-of-proxy@127.0.0.1:9")
    remember_environment()
    with pytest.raises(ServiceError) as caught:
        session().identity()
    assert "ssw0rd" not in str(caught.value)
    assert caught.value.kind is ErrorKind.NETWORK
