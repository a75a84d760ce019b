"""Rules about a plan: licence, target, boot mode, encryption, formats, texts, account."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vmie_tui.model import facts
from vmie_tui.model.errors import ErrorKind, Problem
from vmie_tui.model.finding import Finding, Severity
from vmie_tui.model.machine import Disk, Firmware, GuestDisk, Machine, Nic, OsFamily, Power
from vmie_tui.model.plan import BootMode, ImportPlan, LegacyInstance, LicenseType, Route, UploadFormat, VmSource
from vmie_tui.model.rules.account import Account, account_key, check_account, forceable
from vmie_tui.model.rules.boot import advise_boot
from vmie_tui.model.rules.formats import check_format, formats_of
from vmie_tui.model.rules.licensing import licence_when_omitted, usage_operations
from vmie_tui.model.rules.machine import check_machine
from vmie_tui.model.rules.plan import check_plan
from vmie_tui.model.rules.secrets import check_tag_names, secrets_in
from vmie_tui.model.rules.systems import system_of

B, W, I = Severity.BLOCKER, Severity.WARNING, Severity.INFO  # noqa: E741
RHEL = Machine(
    "vm-1",
    "app-01",
    guest_id="rhel9_64Guest",
    guest_name="Red Hat Enterprise Linux 9 (64-bit)",
    disks=(Disk(2000, "Hard disk 1", 20 << 30),),
    nics=(Nic("a", dhcp=True),),
)
DEBIAN = replace(RHEL, guest_id="debian12_64Guest", guest_name="Debian GNU/Linux 12 (64-bit)")
SLES = replace(RHEL, guest_id="sles15_64Guest", guest_name="SUSE Linux Enterprise 15 (64-bit)")
SERVER = replace(RHEL, guest_id="windows2019srv_64Guest", guest_name="Microsoft Windows Server 2019 (64-bit)")
CLIENT = replace(RHEL, guest_id="windows9_64Guest", guest_name="Microsoft Windows 10 (64-bit)")
WIN11 = replace(
    CLIENT, guest_id="windows11_64Guest", guest_name="Microsoft Windows 11 (64-bit)", firmware=Firmware.UEFI
)
M5 = LegacyInstance("m5.large")
PLAN = ImportPlan("p", VmSource("vc", "vm-1", "app-01"), "eu-west-1", "a-bucket", license_type=LicenseType.BYOL)


def found(machine: Machine, **change: object) -> list[tuple[Severity, str]]:
    return [(f.severity, f.fact) for f in check_plan(replace(PLAN, **change), machine)]  # type: ignore[arg-type]


def coded(machine: Machine, code: str) -> list[tuple[Severity, str]]:
    return found(machine, license_type=None, usage_operation=code)


@pytest.mark.parametrize(
    ("machine", "change", "expected"),
    [
        (DEBIAN, {}, []),
        (RHEL, {}, [(I, "LR7")]),
        (SLES, {}, [(I, "LR8")]),
        (SERVER, {}, [(I, "LR13")]),
        (SERVER, {"license_type": LicenseType.AWS}, []),
        (SERVER, {"license_type": None}, [(B, "LR2")]),
        (DEBIAN, {"license_type": None}, [(W, "LR2")]),
        (DEBIAN, {"license_type": LicenseType.AWS}, [(B, "LR3")]),
        (CLIENT, {"license_type": LicenseType.AWS}, [(B, "LR4")]),
        (SERVER, {"usage_operation": "RunInstances:0800", "license_type": LicenseType.AWS}, [(B, "LR1")]),
        (SERVER, {"route": Route.INSTANCE, "legacy": M5}, [(B, "LR11"), (W, "F258"), (I, "F259")]),
        (SERVER, {"route": Route.SNAPSHOT, "license_type": None}, []),
    ],
)
def test_licences(machine: Machine, change: dict[str, object], expected: list[tuple[Severity, str]]) -> None:
    assert found(machine, **change) == expected


@pytest.mark.parametrize(
    ("machine", "code", "expected"),
    [
        (DEBIAN, "RunInstances", []),
        (DEBIAN, "RunInstances:0100", [(I, "LR10")]),
        (DEBIAN, "RunInstances:0010", [(B, "LR9")]),  # a Red Hat code
        (RHEL, "RunInstances:0010", [(W, "LR7")]),
        (SLES, "RunInstances:000g", [(W, "LR8")]),
        (RHEL, "RunInstances:000g", [(B, "LR9")]),
        (SERVER, "RunInstances:0002", []),
        (SERVER, "RunInstances:0006", [(I, "LR10")]),
        (SERVER, "RunInstances:0010", [(B, "LR9")]),
        (SERVER, "RunInstances:9999", [(B, "LR9")]),
        (CLIENT, "RunInstances:0800", [(B, "LR9")]),
    ],
)
def test_usage_operations(machine: Machine, code: str, expected: list[tuple[Severity, str]]) -> None:
    assert coded(machine, code) == expected


def test_what_aws_takes_when_nothing_is_said() -> None:
    assert licence_when_omitted(OsFamily.WINDOWS_SERVER) is LicenseType.AWS
    assert licence_when_omitted(OsFamily.WINDOWS_CLIENT) is licence_when_omitted(OsFamily.LINUX) is LicenseType.BYOL
    assert licence_when_omitted(OsFamily.OTHER) is None
    assert usage_operations(OsFamily.WINDOWS_CLIENT) == ()


@pytest.mark.parametrize(
    ("change", "fact"),
    [
        ({"region": "eu-west-1", "kms_key_id": "arn:aws:kms:eu-west-3:111122223333:key/1", "encrypted": True}, "F215"),
        ({"kms_key_id": "not a key", "encrypted": True}, "F216"),
        ({"kms_key_id": "alias/mine"}, "X05"),
        ({"role_name": "arn:aws:iam::111122223333:role/vmimport"}, "F161"),
        ({"region": ""}, "F207"),
        ({"route": Route.INSTANCE, "region": "eu-south-2", "legacy": LegacyInstance("t2.small")}, "F266"),
        ({"route": Route.SNAPSHOT, "upload_format": UploadFormat.OVA}, "F243"),
        ({"route": Route.INSTANCE, "upload_format": UploadFormat.OVA, "legacy": LegacyInstance("t2.small")}, "F024"),
    ],
)
def test_plans_that_aws_would_refuse(change: dict[str, object], fact: str) -> None:
    assert [item for severity, item in found(DEBIAN, **change) if severity is B] == [fact]


def test_the_users_tags_leave_room_for_those_that_are_added() -> None:
    def tags(count: int) -> dict[str, str]:
        return {f"key{number}": "value" for number in range(count)}

    few, many = (found(DEBIAN, tags=tags(count)) for count in (44, 45))
    assert len(many) == len(few) + 1 and many[0][0] is Severity.BLOCKER


def test_a_key_of_ones_own_asks_for_the_role_and_the_default_one_does_not() -> None:
    assert found(DEBIAN, encrypted=True, kms_key_id="alias/mine") == [(I, "F168")]
    assert found(DEBIAN, encrypted=True, kms_key_id="alias/aws/ebs") == []
    assert found(DEBIAN, encrypted=True) == []


@pytest.mark.parametrize(
    ("machine", "change", "expected"),
    [
        (WIN11, {}, [(W, "F100")]),
        (WIN11, {"boot_mode": BootMode.UEFI}, []),
        (WIN11, {"boot_mode": BootMode.UEFI, "region": "eu-south-2"}, [(B, "F086")]),
        (replace(DEBIAN, firmware=Firmware.UEFI), {"boot_mode": BootMode.LEGACY_BIOS}, [(W, "F094"), (I, "F101")]),
        (DEBIAN, {"boot_mode": BootMode.UEFI}, [(W, "F094")]),
        (replace(DEBIAN, firmware=Firmware.UEFI), {"route": Route.IMAGE_DIRECT}, [(B, "F102"), (I, "F101")]),
        (replace(DEBIAN, firmware=Firmware.UEFI), {"route": Route.IMAGE_DIRECT, "platform": "Linux"}, [(I, "F101")]),
        (replace(DEBIAN, firmware=Firmware.UEFI), {"region": "cn-north-1"}, [(W, "F095"), (I, "F101")]),
    ],
)
def test_boot_modes(machine: Machine, change: dict[str, object], expected: list[tuple[Severity, str]]) -> None:
    assert [item for item in found(machine, **change) if item[1] != "LR13"] == expected


def test_boot_advice() -> None:
    assert advise_boot(Firmware.UEFI, system_of(WIN11)).mode is BootMode.UEFI
    assert advise_boot(Firmware.UEFI, system_of(DEBIAN)).fact == "F101"
    assert advise_boot(Firmware.UEFI, system_of(SERVER)).fact == "F096"
    assert advise_boot(Firmware.BIOS, system_of(SERVER)).mode is None


# -- disks and routes


@pytest.mark.parametrize(
    ("tib", "route", "expected"),
    [
        (7.99, Route.IMAGE, []),
        (8, Route.IMAGE, [(B, "F119")]),
        (12, Route.IMAGE_DIRECT, [(B, "F119")]),
        (8, Route.SNAPSHOT, []),
        (12, Route.SNAPSHOT, []),
        (12, Route.UNMODIFIED, []),
        (16, Route.SNAPSHOT, [(B, "F118")]),
        (16, Route.IMAGE, [(B, "F119")]),
    ],
)
def test_sizes_by_route(tib: float, route: Route, expected: list[tuple[Severity, str]]) -> None:
    machine = replace(DEBIAN, disks=(Disk(2000, "d", int(tib * facts.TIB)),))
    assert [(f.severity, f.fact) for f in check_machine(machine, route=route)] == expected


def test_routes_that_do_not_change_the_guest_do_not_mind_what_it_is() -> None:
    free = replace(DEBIAN, guest_id="freebsd13_64Guest", guest_name="FreeBSD 13")
    assert [f.severity for f in check_machine(free)] == [B]
    assert [f.severity for f in check_machine(free, route=Route.UNMODIFIED)] == [W]
    assert check_machine(free, route=Route.SNAPSHOT) == ()


def test_instance_import_takes_the_boot_disk_by_bios_only() -> None:
    machine = replace(DEBIAN, firmware=Firmware.UEFI, disks=(Disk(1, "a", 1 << 30), Disk(2, "b", 1 << 30)))
    assert [f.fact for f in check_machine(machine, route=Route.INSTANCE)] == ["F267", "F268", "F101"]


def test_a_disk_that_forgets_is_a_remark_when_the_machine_is_off() -> None:
    disks = (Disk(2000, "d", 1 << 30, mode="independent_nonpersistent"),)
    assert [f.severity for f in check_machine(replace(DEBIAN, disks=disks))] == [I]
    assert [f.severity for f in check_machine(replace(DEBIAN, disks=disks, power=Power.ON))] == [B]


@pytest.mark.parametrize(
    ("machine", "disk", "fact"),
    [
        (DEBIAN, GuestDisk("/", 20 << 30, 249 << 20), "F122"),
        (DEBIAN, GuestDisk("/", 20 << 30, 250 << 20), ""),
        (DEBIAN, GuestDisk("/data", 20 << 30, 0), ""),
        (SERVER, GuestDisk("C:\\", 80 << 30, (6 << 30) - 1), "F123"),
        (SERVER, GuestDisk("C:\\", 80 << 30, 6 << 30), ""),
        (SERVER, GuestDisk("D:\\", 80 << 30, 0), ""),
    ],
)
def test_free_space(machine: Machine, disk: GuestDisk, fact: str) -> None:
    assert [f.fact for f in check_machine(replace(machine, guest_disks=(disk,)))] == ([fact] if fact else [])


# -- formats


def test_formats_of_each_process() -> None:
    assert set(formats_of(Route.IMAGE)) == {"OVA", "VMDK", "VHD", "VHDX", "RAW"}
    assert set(formats_of(Route.SNAPSHOT)) == {"VMDK", "VHD", "VHDX", "RAW"}
    assert set(formats_of(Route.INSTANCE)) == {"VMDK", "VHD", "RAW"}
    assert formats_of(Route.IMAGE_DIRECT) == ()


@pytest.mark.parametrize(
    ("route", "name", "kind", "disks", "fact", "error"),
    [
        (Route.IMAGE, "qcow2", "", 1, "F024", "E01"),
        (Route.INSTANCE, "OVA", "", 1, "F024", "E07"),
        (Route.SNAPSHOT, "OVA", "", 1, "F243", "E01"),
        (Route.IMAGE, "vmdk", "monolithicSparse", 1, "F030", "E04"),
        (Route.IMAGE, "VHD", "differencing", 1, "F041", "E09"),
        (Route.INSTANCE, "RAW", "", 2, "F025", ""),
    ],
)
def test_formats_refused(route: Route, name: str, kind: str, disks: int, fact: str, error: str) -> None:
    (finding,) = check_format(route, name, kind=kind, disks=disks)
    assert (finding.severity, finding.fact) == (B, fact)
    assert finding.prevents == (facts.error(error)["message"] if error else "")


@pytest.mark.parametrize(("name", "kind"), [("vmdk", "streamOptimized"), ("img", ""), ("VHDX", "dynamic"), ("OVA", "")])
def test_formats_taken(name: str, kind: str) -> None:
    assert list(check_format(Route.IMAGE, name, kind=kind)) == []


# -- secrets

SECRETS = [
    ("key AKIAIOSFODNN7EXAMPLE of the lab", B),
    ("ASIA" + "Q" * 16, B),
    ("-----BEGIN RSA PRIVATE KEY-----", B),
    ("see https://root:hunter22@git.example/x", B),
    ("https://b.s3.amazonaws.com/k?X-Amz-Signature=abc", B),
    ("ghp_" + "a1" * 12, B),
    ("password=hunter2", W),
    ("Passwort: geheim!", W),
    ("db pwd = s3cr3t", W),
    ("api-key: 0123456789", W),
    ("wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", W),
]


@pytest.mark.parametrize(("text", "severity"), SECRETS)
def test_likely_secrets_are_found_and_never_repeated(text: str, severity: Severity) -> None:
    assert secrets_in(text)[0][0] is severity
    for field in ({"description": text}, {"tags": {"note": text}}):
        findings = [f for f in check_plan(replace(PLAN, **field), DEBIAN) if "seems to hold" in f.what]  # type: ignore[arg-type]
        assert findings and findings[0].severity is severity
        assert not any(text in str(finding.to_json()) for finding in findings)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "web server of the passport office",
        "Password policy: see wiki",
        "Owner=team secrets",
        "2026-11-21 import by https://tool.example/run/17",
        "vm-1234 arn:aws:iam::111122223333:role/vmimport",
        "d41d8cd98f00b204e9800998ecf8427e",
        "da39a3ee5e6b4b0d3255bfef95601890afd80709",
        "a/long/path/to/a/folder/without/anything/in/it/at/all",
    ],
)
def test_ordinary_texts_are_let_through(text: str) -> None:
    assert [words for severity, words in secrets_in(text) if severity is B] == []
    if "Password policy" not in text:
        assert secrets_in(text) == ()


def test_a_tag_called_password_holds_one() -> None:
    assert [f.subject for f in check_tag_names({"db-password": "hunter2", "Compass": "x", "secret": ""})] == [
        "tag db-password"
    ]


@given(st.text(max_size=150), st.text(max_size=150))
def test_no_text_breaks_the_search_or_hides_a_key(before: str, after: str) -> None:
    found = secrets_in(f"{before}\nAKIAABCDEFGHIJ234567\n{after}")
    assert B in {severity for severity, _ in found} and all(words for _, words in found)


# -- account


def account(**known: object) -> list[tuple[Severity, str]]:
    plan = replace(PLAN, **known.pop("plan", {}))  # type: ignore[arg-type]
    return [(f.severity, f.fact) for f in check_account(plan, Account(**known))]  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("known", "expected"),
    [
        ({}, []),
        ({"root": True}, [(B, "trap 34")]),
        ({"region_enabled": False}, [(B, "F090")]),
        ({"skew": -16 * 60.0}, [(B, "trap 32")]),
        ({"skew": 14 * 60.0}, []),
        ({"bucket_region": "us-east-1"}, [(B, "F207")]),
        ({"bucket_region": "eu-west-1"}, []),
        ({"bucket_region": ""}, [(B, "F207")]),
        (
            {"role_problems": (Problem(ErrorKind.REFUSED, "the role does not trust it", "role vmimport"),)},
            [(B, "F161")],
        ),
        ({"role_problems": ()}, []),
        ({"bucket_key": "arn:aws:kms:::key/1", "role_decrypts": False}, [(B, "F172")]),
        ({"bucket_key": "arn:aws:kms:::key/1", "role_decrypts": False, "role_kms": True}, [(B, "F172")]),
        ({"bucket_key": "arn:aws:kms:::key/1", "role_decrypts": True, "role_kms": False}, []),
        ({"bucket_key": "arn:aws:kms:::alias/aws/s3", "role_decrypts": False}, []),
        ({"bucket_key": "arn:aws:kms:::key/1"}, []),
        ({"ebs_encryption": True, "ebs_key": "alias/aws/ebs", "role_kms": False}, [(I, "F344")]),
        ({"ebs_encryption": True, "ebs_key": "alias/mine", "role_kms": False}, [(B, "F168"), (I, "F344")]),
        ({"plan": {"encrypted": True, "kms_key_id": "k"}, "key_state": "PendingDeletion"}, [(B, "F217")]),
        ({"plan": {"encrypted": True, "kms_key_id": "k"}, "key_state": "Enabled", "role_kms": True}, []),
        ({"plan": {"encrypted": True, "kms_key_id": "k"}, "role_kms": False}, [(B, "F168")]),
        ({"plan": {"encrypted": True}, "ebs_key": "alias/mine", "role_kms": False}, [(B, "F168")]),
        ({"active_tasks": 4}, []),
        ({"active_tasks": 5}, [(W, "F308")]),
    ],
)
def test_accounts(known: dict[str, object], expected: list[tuple[Severity, str]]) -> None:
    assert account(**known) == expected


def test_what_the_job_looks_at_itself_cannot_be_forced() -> None:
    gone = Problem(ErrorKind.NOT_FOUND, "the service role does not exist", "role vmimport")
    found = check_account(PLAN, Account(root=True, bucket_region="us-east-1", role_problems=(gone,), active_tasks=9))
    assert [finding.fact for finding in found] == ["trap 34", "F207", "F161", "F308"]
    assert [finding.fact for finding in forceable(found)] == ["trap 34", "F308"]


def test_plans_of_one_target_share_a_look() -> None:
    other = replace(PLAN, ami_name="other", source=VmSource("vc", "vm-2", "other"))
    assert account_key(other) == account_key(PLAN)
    for change in ({"region": "us-east-1"}, {"bucket": "b-2"}, {"role_name": "r"}, {"encrypted": True}):
        assert account_key(replace(PLAN, **change)) != account_key(PLAN)  # type: ignore[arg-type]


def test_every_fact_named_by_a_finding_exists() -> None:
    """Ids are of features, constraints, licence rules, disagreements, supplements, or numbered traps."""
    machine = replace(
        RHEL,
        firmware=Firmware.UEFI,
        cbt=True,
        vtpm=True,
        nics=(Nic("a"), Nic("b", dhcp=False)),
        tools_status="toolsOld",
    )
    findings: list[Finding] = [*check_machine(machine, notes=True), *check_plan(PLAN, machine)]
    assert findings
    known = {entry["id"] for entry in facts.load("features")["features"]}
    others = ("IC", "LR", "D", "X", "trap ")
    assert [f.fact for f in findings if f.fact and f.fact not in known and not f.fact.startswith(others)] == []
