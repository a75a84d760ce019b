"""vCenter seen by doctor: what the user lacks by datacenter, certificate and clock, and the way to each host."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.kits.vcenter_session import settings_for
from vmie_tui.model.doctor import USUAL_FEATURES, CheckState, DoctorReport, Feature, Group
from vmie_tui.model.errors import ErrorKind, ServiceError
from vmie_tui.services.doctor import vcenter as looks
from vmie_tui.services.doctor.check_context import Patient
from vmie_tui.services.doctor.policies import VCENTER_SEE, vcenter_privileges, vcenter_role
from vmie_tui.services.doctor.run import examine
from vmie_tui.services.vsphere import privileges
from vmie_tui.settings import Profile, VCenterSettings
from vmie_tui.simulators.control import make_tls
from vmie_tui.simulators.fleet.tiny import DATACENTER, HOST, HOST_2
from vmie_tui.simulators.vcenter.server import VCenterSimulator

PRIVILEGES = vcenter_privileges(USUAL_FEATURES)
SITE = f"vcenter.privileges.{DATACENTER}"


@pytest.fixture
def patient(vcenter: VCenterSimulator, tmp_path: Path) -> Iterator[Patient]:
    vcenter.faults.clear()
    with Patient(Profile("p", settings_for(vcenter)), tmp_path, password=lambda: vcenter.password) as made:
        yield made
    for ident, _ in PRIVILEGES:
        vcenter.grant(ident)


def look(patient: Patient) -> DoctorReport:
    patient.forget()
    return examine(patient, [Group.VCENTER])


def test_a_user_with_all_that_is_needed(patient: Patient, vcenter: VCenterSimulator) -> None:
    report = look(patient)
    assert not report.failed, report.to_json()
    assert report.check("vcenter.session").reason.endswith(f"as {vcenter.user}")
    assert report.check("vcenter.time").state is CheckState.OK
    assert vcenter.thumbprint_sha256.replace(":", "").lower() in (
        report.check("vcenter.certificate").reason.replace(":", "").lower()
    )
    assert report.check(SITE).state is CheckState.OK


def test_a_user_without_privileges_is_told_each_of_them(patient: Patient, vcenter: VCenterSimulator) -> None:
    for ident, _ in PRIVILEGES[len(VCENTER_SEE) :]:
        vcenter.revoke(ident)
    check = look(patient).check(SITE)
    assert check.state is CheckState.FAILED and "--print-policy vcenter" in check.remedy
    for ident, name in PRIVILEGES[len(VCENTER_SEE) :]:
        assert f"{ident} ({name})" in check.reason
    for entry in vcenter_role(USUAL_FEATURES)["privileges"]:
        vcenter.grant(entry["id"])
    assert look(patient).check(SITE).state is CheckState.OK


@pytest.mark.parametrize(("ident", "name"), PRIVILEGES[len(VCENTER_SEE) :])
def test_each_privilege_taken_away_is_named(patient: Patient, vcenter: VCenterSimulator, ident: str, name: str) -> None:
    vcenter.revoke(ident)
    check = look(patient).check(SITE)
    assert check.reason.startswith(f"missing: {ident} ({name})")
    replicating = ident in {one for one, _ in looks.REPLICATING}
    assert check.state is (CheckState.WARNING if replicating or ident in looks.LOOK_INSIDE else CheckState.FAILED)
    assert ("cannot be replicated" in check.reason) is replicating


def test_a_user_who_sees_nothing(patient: Patient, vcenter: VCenterSimulator) -> None:
    vcenter.revoke("System.View")
    report = look(patient)
    check = report.check("vcenter.privileges")
    assert check.state is CheckState.FAILED and "no datacenter" in check.reason


def test_only_what_the_features_need_is_asked_for(patient: Patient, vcenter: VCenterSimulator) -> None:
    vcenter.revoke("VApp.Export")
    patient.features = frozenset({Feature.TASKS})
    assert look(patient).check(SITE).state is CheckState.OK
    vcenter.revoke("VirtualMachine.Config.ChangeTracking")
    vcenter.grant("VApp.Export")
    patient.features = frozenset({Feature.IMPORT})
    assert look(patient).check(SITE).state is CheckState.OK, "imports track no changes"
    assert vcenter_role({Feature.EXPORT_IMAGE})["privileges"] == [{"id": i, "client": n} for i, n in VCENTER_SEE]


def test_a_host_is_reached_or_not(patient: Patient, vcenter: VCenterSimulator, monkeypatch: pytest.MonkeyPatch) -> None:
    real = socket.create_connection

    def connect(address: tuple[str, int], **options: object) -> socket.socket:
        host, port = address
        assert host in (HOST, HOST_2) and port == looks.PORT
        return real(("localhost", reached), **options)  # type: ignore[arg-type]

    reached = vcenter.port
    patient.vsphere()
    names = privileges.hosts(patient.vsphere())
    assert names == (HOST, HOST_2)
    monkeypatch.setattr(socket, "create_connection", connect)
    assert [check.state for check in looks._hosts(patient, looks.LOOKS[-1])] == [CheckState.OK] * 2
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        reached = closed.getsockname()[1]
        check, _ = looks._hosts(patient, looks.LOOKS[-1])
    assert check.state is CheckState.WARNING and "port 443 is not reached: the connection was refused" in check.reason


@pytest.mark.parametrize(
    ("change", "password", "words"),
    [
        ({"user": "nobody@vsphere.local"}, "x", "incorrect user name or password"),
        ({}, None, "there is no password for vCenter"),
        ({"thumbprint": "0" * 64}, "x", "not the pinned one"),
        ({"ca_file": None}, "x", "not signed by a trusted authority"),
    ],
)
def test_what_keeps_one_out_is_said_once(
    vcenter: VCenterSimulator, tmp_path: Path, change: dict[str, str], password: str | None, words: str
) -> None:
    settings = replace(settings_for(vcenter), **change)  # type: ignore[arg-type]
    with Patient(Profile("p", settings), tmp_path, password=lambda: password) as outside:
        report = examine(outside, [Group.VCENTER])
    [failed] = report.failed
    assert failed.id == "vcenter.session" and words in failed.reason
    assert {check.state for check in report.checks if check is not failed} == {CheckState.SKIPPED}


def test_a_profile_without_vcenter(tmp_path: Path) -> None:
    with Patient(Profile("p"), tmp_path) as none:
        report = examine(none, [Group.VCENTER])
    assert report.worst is CheckState.SKIPPED


def test_a_pinned_certificate_is_named_by_its_thumbprint(vcenter: VCenterSimulator, tmp_path: Path) -> None:
    settings = replace(settings_for(vcenter), thumbprint=vcenter.thumbprint_sha256, ca_file=None)
    with Patient(Profile("p", settings), tmp_path, password=lambda: vcenter.password) as pinned:
        check = examine(pinned, [Group.VCENTER]).check("vcenter.certificate")
    assert check.state is CheckState.OK and check.reason.startswith("pinned, SHA-256 ")


def test_a_certificate_of_another_authority_names_the_settings_for_one(
    vcenter: VCenterSimulator, tmp_path: Path
) -> None:
    """As behind a proxy that re-signs connections (F449)."""
    settings = settings_for(vcenter, ca_file=make_tls(tmp_path / "other").ca)
    with Patient(Profile("p", settings), tmp_path, password=lambda: vcenter.password) as proxied:
        check = examine(proxied, [Group.VCENTER]).check("vcenter.session")
    assert check.state is CheckState.FAILED and check.fact == "F449"
    assert "ca_file" in check.remedy and "proxy" in check.remedy and "'thumbprint'" in check.remedy


@pytest.mark.parametrize(
    ("code", "fact"),
    [
        ("CertificateNameMismatch", "F448"),
        ("CertificateExpired", "F448"),
        ("CertificateVerifyFailed", "F449"),
        ("ThumbprintMismatch", "F449"),
    ],
)
def test_trouble_with_a_certificate_names_its_fact(code: str, fact: str) -> None:
    check = looks.LOOKS[0].trouble(ServiceError(ErrorKind.TLS, "it is refused", remedy="Do this", code=code))
    assert (check.state, check.fact, check.remedy) == (CheckState.FAILED, fact, "Do this")
    other = looks.LOOKS[0].trouble(ServiceError(ErrorKind.NETWORK, "it is refused", code=code))
    assert other.fact == ""


@pytest.mark.parametrize("ahead", [-400.0, 400.0])
def test_clocks_that_differ(patient: Patient, ahead: float, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(privileges, "ahead_of", lambda vsphere: ahead)
    check = look(patient).check("vcenter.time")
    assert check.state is CheckState.WARNING and "400 s" in check.reason


def test_a_certificate_that_ends_soon(patient: Patient, monkeypatch: pytest.MonkeyPatch) -> None:
    from datetime import UTC, datetime, timedelta

    soon = privileges.Certificate("AA", False, datetime.now(UTC) + timedelta(days=10))
    monkeypatch.setattr(privileges, "certificate", lambda vsphere: soon)
    check = look(patient).check("vcenter.certificate")
    assert check.state is CheckState.WARNING and check.reason.startswith(f"valid until {soon.expires:%Y-%m-%d}")


def test_a_name_that_does_not_resolve() -> None:
    with pytest.raises(ServiceError) as caught:
        privileges.dial("esx.invalid", 443)
    assert caught.value.kind is ErrorKind.NETWORK


def test_settings_are_enough_to_say_whom_the_password_is_for(tmp_path: Path) -> None:
    with Patient(Profile("p", VCenterSettings("vc.corp", "svc")), tmp_path) as silent:
        check = examine(silent, [Group.VCENTER]).check("vcenter.session")
    assert "svc at vc.corp" in check.reason and "VMIE_VCENTER_PASSWORD" in check.remedy
