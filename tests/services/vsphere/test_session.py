"""Logging in to vCenter: who is trusted, what is refused, what happens when a session ends."""

from __future__ import annotations

import socket
import threading
from pathlib import Path
from typing import Any

import pytest

from tests.kits.vcenter_session import log_in, settings_for
from vmie_tui.model.errors import ErrorKind, ServiceError
from vmie_tui.services.vsphere.inventory import read_inventory, read_machine
from vmie_tui.services.vsphere.session import connect
from vmie_tui.simulators.control import make_tls
from vmie_tui.simulators.vcenter.server import VCenterSimulator


@pytest.fixture(autouse=True)
def quiet(vcenter: VCenterSimulator) -> None:
    vcenter.faults.clear()
    vcenter.stats.reset()


def logins(vcenter: VCenterSimulator) -> int:
    return sum(count for name, count in vcenter.stats.snapshot().items() if name.rpartition(":")[2] == "Login")


def test_trusts_the_authority_in_the_settings(vcenter: VCenterSimulator) -> None:
    with log_in(vcenter) as vsphere:
        assert vsphere.info.full_name.startswith("VMware vCenter Server 8.0.3")
        assert vsphere.info.version == "8.0.3"
        assert vsphere.info.instance_uuid
        assert vsphere.alive()
    assert logins(vcenter) == 1


def test_the_version_spoken_is_the_newest_both_know(vcenter: VCenterSimulator) -> None:
    with log_in(vcenter) as vsphere:
        assert vsphere.stub.version == "vim.version.v8_0_3_0"


@pytest.fixture
def corp(monkeypatch: pytest.MonkeyPatch) -> str:
    """A name for the simulator that its certificate does not have."""
    known = socket.getaddrinfo

    def lookup(host: Any, *rest: Any, **more: Any) -> Any:
        return known("127.0.0.1" if host == "vcenter.corp" else host, *rest, **more)

    monkeypatch.setattr(socket, "getaddrinfo", lookup)
    return "vcenter.corp"


@pytest.mark.parametrize("digest", ["thumbprint", "thumbprint_sha256"])
def test_a_pinned_certificate_needs_neither_authority_nor_name(
    vcenter: VCenterSimulator, digest: str, corp: str
) -> None:
    pin: str = getattr(vcenter, digest)
    for text in (pin, pin.replace(":", "").lower()):
        with log_in(vcenter, ca_file=None, thumbprint=text, host=corp) as vsphere:
            assert vsphere.alive()


def test_another_authority_is_refused_before_the_password_is_sent(
    vcenter: VCenterSimulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = make_tls(tmp_path / "other")
    for variable in ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE"):
        monkeypatch.setenv(variable, str(vcenter.tls.ca))  # must not count
    for ca_file in (other.ca, None):
        with pytest.raises(ServiceError, match="not signed by a trusted authority") as caught:
            log_in(vcenter, ca_file=ca_file)
        assert caught.value.kind is ErrorKind.TLS
        assert vcenter.thumbprint_sha256 in str(caught.value)
    assert logins(vcenter) == 0


def test_another_name_than_in_the_certificate_is_refused(vcenter: VCenterSimulator, corp: str) -> None:
    with pytest.raises(ServiceError, match="for another name") as caught:
        log_in(vcenter, host=corp)
    assert caught.value.kind is ErrorKind.TLS and caught.value.problem.code == "CertificateNameMismatch"
    assert vcenter.thumbprint_sha256 in str(caught.value)
    assert logins(vcenter) == 0


@pytest.mark.parametrize("pin", ["ab" * 20, "AB:" * 31 + "AB"])
def test_another_pin_is_refused_before_the_password_is_sent(vcenter: VCenterSimulator, pin: str) -> None:
    with pytest.raises(ServiceError, match="not the pinned one") as caught:
        log_in(vcenter, thumbprint=pin)  # although the authority is right
    assert caught.value.kind is ErrorKind.TLS
    shown = vcenter.thumbprint if len(pin) == 40 else vcenter.thumbprint_sha256
    assert shown in str(caught.value)
    assert logins(vcenter) == 0


def test_a_thumbprint_that_is_none_is_invalid(vcenter: VCenterSimulator) -> None:
    with pytest.raises(ServiceError, match="not a SHA-1 or SHA-256") as caught:
        log_in(vcenter, thumbprint="12:34")
    assert caught.value.kind is ErrorKind.INVALID


def test_a_ca_file_that_cannot_be_used_is_named(vcenter: VCenterSimulator, tmp_path: Path) -> None:
    (tmp_path / "not-pem").write_text("hello")
    for name in ("missing.pem", "not-pem"):
        with pytest.raises(ServiceError, match="the CA file cannot be used") as caught:
            log_in(vcenter, ca_file=tmp_path / name)
        assert caught.value.kind is ErrorKind.LOCAL


def test_wrong_password(vcenter: VCenterSimulator) -> None:
    with pytest.raises(ServiceError, match="refused the user name or the password") as caught:
        connect(settings_for(vcenter), "wrong")
    assert (caught.value.kind, caught.value.problem.code) == (ErrorKind.LOGIN, "InvalidLogin")
    assert "wrong" not in str(caught.value)


def test_nobody_there(vcenter: VCenterSimulator) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with pytest.raises(ServiceError, match="refused") as caught:
        log_in(vcenter, port=port)
    assert (caught.value.kind, caught.value.problem.retry_safe) == (ErrorKind.NETWORK, True)
    with pytest.raises(ServiceError, match=r"vc\.invalid cannot be resolved"):
        log_in(vcenter, host="vc.invalid")


def test_something_that_is_no_vcenter(vcenter: VCenterSimulator) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        silent.listen()

        def hang_up() -> None:
            connection, _ = silent.accept()
            connection.close()

        thread = threading.Thread(target=hang_up, daemon=True)
        thread.start()
        with pytest.raises(ServiceError) as caught:
            log_in(vcenter, port=silent.getsockname()[1])
        thread.join(5)
    assert caught.value.kind in (ErrorKind.TLS, ErrorKind.NETWORK)


def test_a_server_that_takes_the_call_and_says_nothing(
    vcenter: VCenterSimulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vmie_tui.services.vsphere.session.CONNECT_SECONDS", 0.1)
    slow = pytest.raises(ServiceError, match="did not answer in time")
    with socket.create_server(("127.0.0.1", 0)) as silent, slow as caught:
        log_in(vcenter, port=silent.getsockname()[1])
    assert caught.value.kind is ErrorKind.NETWORK


def test_logs_out(vcenter: VCenterSimulator) -> None:
    log_in(vcenter).close()
    assert sum(n for name, n in vcenter.stats.snapshot().items() if name.endswith("Logout")) == 1


def test_an_idle_session_is_renewed_without_a_question(vcenter: VCenterSimulator) -> None:
    with log_in(vcenter) as vsphere:
        machine = read_inventory(vsphere).machines[0]
        vcenter.clock.advance(vcenter.options.idle_seconds + 1)
        assert read_machine(vsphere, machine.moid) == machine
        assert logins(vcenter) == 2
        vcenter.expire_sessions()
        assert len(read_inventory(vsphere).machines) > 1
    assert logins(vcenter) == 3


def test_a_renewal_that_is_refused_asks_for_a_login(vcenter: VCenterSimulator) -> None:
    with log_in(vcenter) as vsphere:
        vsphere._password = "changed meanwhile"
        vcenter.expire_sessions()
        with pytest.raises(ServiceError) as caught:
            read_inventory(vsphere)
    assert caught.value.kind is ErrorKind.LOGIN


def test_the_session_lost_between_two_pages_is_a_login_error(vcenter: VCenterSimulator) -> None:
    with log_in(vcenter) as vsphere, pytest.raises(ServiceError) as caught:
        read_inventory(vsphere, page_size=3, on_page=lambda page, total: vcenter.expire_sessions())
    assert (caught.value.kind, caught.value.problem.code) == (ErrorKind.LOGIN, "NotAuthenticated")
