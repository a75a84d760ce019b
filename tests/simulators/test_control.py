"""The simulators' controls are for whoever has the token, under a name of this machine."""

from __future__ import annotations

import http.client
import json
import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from vmie_tui.simulators.aws.server import AwsSimulator
from vmie_tui.simulators.control import TOKEN_HEADER, Gate, TlsFiles
from vmie_tui.simulators.fleet.tiny import tiny
from vmie_tui.simulators.vcenter.server import VCenterSimulator

Simulator = AwsSimulator | VCenterSimulator
FAULT = {"operation": "*", "action": "reset", "times": None}


@pytest.fixture(scope="module", params=["vcenter", "aws"])
def sim(request: pytest.FixtureRequest, tls: TlsFiles, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Simulator]:
    root = tmp_path_factory.mktemp(request.param)
    made = AwsSimulator(root, tls=tls) if request.param == "aws" else VCenterSimulator(tiny(), root, tls=tls)
    with made:
        yield made


def ask(sim: Simulator, method: str, path: str, tls: TlsFiles, **headers: str) -> tuple[int, Any]:
    context = ssl.create_default_context(cafile=str(tls.ca))
    connection = http.client.HTTPSConnection("localhost", sim.port, context=context, timeout=20)
    try:
        connection.putrequest(method, path, skip_host=True)
        content = json.dumps(FAULT).encode() if method == "POST" else b""
        for name, value in {"Content-Length": str(len(content)), **headers}.items():
            connection.putheader(name.replace("_", "-"), value)
        connection.endheaders(content)
        answer = connection.getresponse()
        body = answer.read()
        return answer.status, json.loads(body or b"null")
    finally:
        connection.close()


@pytest.mark.parametrize(("method", "path"), [("GET", "stats"), ("POST", "faults"), ("DELETE", "stats"), ("GET", "no")])
@pytest.mark.parametrize("token", [None, "", "x", "ä"])
def test_no_control_answers_without_the_token(
    sim: Simulator, tls: TlsFiles, method: str, path: str, token: str | None
) -> None:
    given = {} if token is None else {TOKEN_HEADER: token}
    status, answer = ask(sim, method, f"/_sim/{path}", tls, Host="localhost", **given)
    assert status == 403
    assert TOKEN_HEADER in answer["error"]
    assert sim.gate.token not in answer["error"]
    assert sim.faults.asked_for() == []


@pytest.mark.parametrize(
    "host", ["evil.example", "localhost.evil.example", "127.0.0.1.evil.example:443", "10.0.0.1", ""]
)
@pytest.mark.parametrize(("method", "path"), [("GET", "/_sim/stats"), ("POST", "/_sim/faults"), ("GET", "/_sim/no")])
def test_a_foreign_host_is_refused_with_the_token_too(
    sim: Simulator, tls: TlsFiles, method: str, path: str, host: str
) -> None:
    status, answer = ask(sim, method, path, tls, Host=host, **{TOKEN_HEADER: sim.gate.token})
    assert (status, "Host" in answer["error"]) == (403, True)
    assert sim.faults.asked_for() == []


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1:8443", "[::1]:1", "LocalHost:443", "my.bucket.localhost:1"])
def test_this_machine_with_the_token_is_served(sim: Simulator, tls: TlsFiles, host: str) -> None:
    given = {"Host": host, TOKEN_HEADER: sim.gate.token}
    assert ask(sim, "GET", "/_sim/stats", tls, **given)[0] == 200
    assert ask(sim, "POST", "/_sim/faults", tls, **given) == (200, {"ok": True})
    assert ask(sim, "DELETE", "/_sim/faults", tls, **given) == (200, {"ok": True})


@pytest.mark.parametrize("path", ["rate", "history", "policy", "faults"])
def test_a_control_with_a_wrong_body_says_so(tls: TlsFiles, tmp_path: Path, path: str) -> None:
    context = ssl.create_default_context(cafile=str(tls.ca))
    with AwsSimulator(tmp_path, tls=tls) as aws:
        connection = http.client.HTTPSConnection("localhost", aws.port, context=context, timeout=20)
        connection.request("POST", f"/_sim/{path}", b"[1]", {TOKEN_HEADER: aws.gate.token})
        assert connection.getresponse().status == 400
        connection.close()


def test_a_header_given_twice_or_left_out_lets_nobody_in() -> None:
    gate = Gate("the-token")
    fine = [("Host", "localhost"), (TOKEN_HEADER.lower(), "the-token")]
    assert gate.refuses(fine) is None
    for headers in (fine[:1], fine[1:], [*fine, fine[0]], [*fine, fine[1]], [("Host", "evil.example"), *fine], []):
        assert gate.refuses(headers) is not None
    assert len({Gate().token for _ in range(5)}) == 5
