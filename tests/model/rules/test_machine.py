"""The rules of VM import over model values."""

from __future__ import annotations

from dataclasses import replace

import pytest

from vmie_tui.model import facts
from vmie_tui.model.finding import Severity, worst
from vmie_tui.model.machine import Backing, Disk, Firmware, Machine, Nic, Power
from vmie_tui.model.plan import ImportPlan, LicenseType, VmSource
from vmie_tui.model.rules.machine import check_machine
from vmie_tui.model.rules.plan import check_plan

GOOD = Machine(
    moid="vm-1",
    name="web-01",
    guest_id="debian12_64Guest",
    guest_name="Debian GNU/Linux 12 (64-bit)",
    disks=(Disk(2000, "Hard disk 1", 20 << 30),),
    nics=(Nic("Network adapter 1", dhcp=True),),
)
PLAN = ImportPlan("p", VmSource("vc", "vm-1", "web-01"), "eu-west-1", "a-bucket", license_type=LicenseType.BYOL)


def blockers(machine: Machine) -> list[str]:
    return [finding.what for finding in check_machine(machine) if finding.severity is Severity.BLOCKER]


def test_a_good_machine_has_nothing_against_it() -> None:
    assert check_machine(GOOD) == ()
    assert check_plan(PLAN, GOOD) == ()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"guest_id": "centos5Guest", "guest_name": "CentOS 5 (32-bit)"}, "32-bit Linux"),
        ({"guest_id": "arm_ubuntu64Guest"}, "ARM64"),
        ({"disks": ()}, "no disk"),
        ({"disks": (Disk(2000, "d", 1 << 30),) * 22}, "22 disks"),
        ({"disks": (Disk(2000, "d", 1 << 30, backing=Backing.RDM),)}, "raw device mapping"),
        ({"disks": (Disk(2000, "d", 1 << 30, backing=Backing.SESPARSE),)}, "SEsparse"),
        ({"disks": (Disk(2000, "d", 8 << 40),)}, "ImportImage takes less than 8 TiB"),
        ({"disks": (Disk(2000, "d", 16 << 40),)}, "ImportImage takes less than 8 TiB"),
        ({"disks": (Disk(2000, "d", 1 << 30, mode="independent_persistent"),), "power": Power.ON}, "independent"),
        ({"encrypted": True}, "encrypted"),
        ({"power": Power.SUSPENDED}, "suspended"),
        ({"connection": "orphaned"}, "orphaned"),
    ],
)
def test_blockers(change: dict[str, object], words: str) -> None:
    found = blockers(replace(GOOD, **change))  # type: ignore[arg-type]
    assert len(found) == 1 and words in found[0], found


@pytest.mark.parametrize(
    "change",
    [
        {"cdrom_connected": True},
        {"snapshots": 2},
        {"consolidation_needed": True},
        {"vtpm": True},
        {"secure_boot": True},
        {"passthrough": True},
        {"nics": (Nic("a"), Nic("b"))},
        {"nics": (Nic("a", dhcp=False),)},
    ],
)
def test_warnings(change: dict[str, object]) -> None:
    found = check_machine(replace(GOOD, **change))  # type: ignore[arg-type]
    assert [finding.severity for finding in found] == [Severity.WARNING]


@pytest.mark.parametrize(
    ("name", "old"),
    [
        ("CentOS 5.11", "CentOS 5"),
        ("CentOS 4/5 or later (64-bit)", "CentOS 5"),
        ("CentOS Linux 8 (64-bit)", "CentOS 8"),
        ("CentOS 7 (64-bit)", "CentOS 7"),
        ("Debian GNU/Linux 10 (64-bit)", "Debian 10"),
        ("Debian GNU/Linux 11 (64-bit)", None),
        ("Microsoft Windows Server 2008 R2 (64-bit)", "Windows Server 2008 R2"),
        ("Microsoft Windows Server 2008 (64-bit)", "Windows Server 2008"),
        ("Microsoft Windows Server 2019 (64-bit)", None),
        ("Microsoft Windows 8.1 (64-bit)", "Windows 8.1"),
        ("Microsoft Windows 10 (64-bit)", None),
        ("Ubuntu 14.04.6 LTS", "Ubuntu 14.04"),
        ("Ubuntu 22.04.4 LTS", None),
        ("Red Hat Enterprise Linux 5 (64-bit)", "Red Hat Enterprise Linux 5"),
        ("Red Hat Enterprise Linux 8 (64-bit)", None),
        ("SUSE Linux Enterprise Server 11 SP4", "SUSE Linux Enterprise Server 11"),
        ("SUSE Linux Enterprise Server 12 SP5", "SUSE Linux Enterprise Server 12"),
        ("SUSE Linux Enterprise Server 15 SP5", None),
    ],
)
def test_systems_past_their_end_of_life_are_named_and_no_others(name: str, old: str | None) -> None:
    found = [f.what for f in check_machine(replace(GOOD, tools_guest_name=name)) if "not tested" in f.what]
    assert [what.split(" is ")[0] for what in found] == ([old] if old else [])


def test_linux_brings_its_own_licence() -> None:
    found = check_plan(replace(PLAN, license_type=LicenseType.AWS), GOOD)
    assert worst(found) is Severity.BLOCKER and found[0].fact == "LR3"


def test_windows_server_must_be_told_its_licence() -> None:
    windows = replace(GOOD, guest_id="windows2019srv_64Guest", guest_name="Microsoft Windows Server 2019 (64-bit)")
    assert worst(check_plan(replace(PLAN, license_type=None), windows)) is Severity.BLOCKER
    assert check_plan(replace(PLAN, license_type=LicenseType.AWS), windows) == ()
    both = check_plan(replace(PLAN, license_type=LicenseType.AWS, usage_operation="RunInstances:0002"), windows)
    assert [finding.fact for finding in both] == ["LR1"]


@pytest.mark.parametrize(
    "field", [{"bucket": ""}, {"bucket": "A_B"}, {"region": ""}, {"kms_key_id": "k"}, {"ami_name": "x"}]
)
def test_targets_that_cannot_be(field: dict[str, str]) -> None:
    assert worst(check_plan(replace(PLAN, **field), GOOD)) is Severity.BLOCKER  # type: ignore[arg-type]


def test_uefi_linux_is_told_about_its_loader() -> None:
    assert [f.severity for f in check_machine(replace(GOOD, firmware=Firmware.UEFI))] == [Severity.INFO]


def test_every_error_of_the_facts_can_be_found_by_id() -> None:
    for entry in facts.load("errors")["troubleshooting"]["errors"]:
        assert facts.error(entry["id"]) is entry
