"""The instance route's rules: every list and limit of the guides, and what the old calls have no parameter for."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from vmie_tui.model import facts
from vmie_tui.model.finding import Finding, Severity
from vmie_tui.model.machine import Disk, Machine
from vmie_tui.model.plan import BootMode, ImportPlan, LegacyInstance, Route, VmSource
from vmie_tui.model.rules.legacy import check_legacy, linux_types, platform_of

LINUX = Machine("vm-1", "web", guest_id="ubuntu64Guest", disks=(Disk(2000, "Hard disk 1", 8 << 30),))
SERVER = replace(LINUX, guest_id="windows2019srv_64Guest")
OTHER = replace(LINUX, guest_id="otherGuest64")
PLAN = ImportPlan("lab", VmSource("vc", "vm-1", "web"), "eu-west-1", "bucket", Route.INSTANCE)


def found(machine: Machine = LINUX, legacy: LegacyInstance | None = None, **plan: Any) -> list[Finding]:
    return list(check_legacy(replace(PLAN, legacy=legacy or LegacyInstance("m3.medium"), **plan), machine))


def blockers(machine: Machine = LINUX, legacy: LegacyInstance | None = None, **plan: Any) -> list[str]:
    return [item.fact for item in found(machine, legacy, **plan) if item.severity is Severity.BLOCKER]


def test_a_plain_plan_is_told_only_how_the_call_works() -> None:
    assert [(item.severity, item.fact) for item in found()] == [(Severity.INFO, "F259")]


@pytest.mark.parametrize("kind", linux_types())
def test_every_listed_type_takes_a_linux(kind: str) -> None:
    assert not blockers(LINUX, LegacyInstance(kind))


def test_the_list_is_that_of_the_guides() -> None:
    listed = facts.load("constraints")["instance_import"]["linux_instance_types"]
    groups = [names for names in listed.values() if isinstance(names, list)]
    assert sorted(linux_types()) == sorted(name for names in groups for name in names)
    assert "t2.micro" in linux_types() and "m5.large" not in linux_types()


@pytest.mark.parametrize("kind", ["m5.large", "t3.micro", "t2.large", "", "M3.MEDIUM"])
def test_any_other_type_refuses_a_linux(kind: str) -> None:
    [finding] = [item for item in found(LINUX, LegacyInstance(kind)) if item.severity is Severity.BLOCKER]
    assert finding.prevents == facts.error("E28")["message"]
    assert "t2.micro" in finding.remedy and "r3.large" in finding.remedy


def test_windows_goes_to_most_types_but_one_must_be_named() -> None:
    assert not blockers(SERVER, LegacyInstance("m5.large"))
    assert blockers(SERVER, LegacyInstance()) == ["F261"]
    assert (platform_of(SERVER), platform_of(LINUX)) == ("Windows", "Linux")


def test_an_unknown_system_is_taken_for_a_linux_and_that_is_said() -> None:
    assert platform_of(OTHER) == "Linux"
    assert [item.fact for item in found(OTHER) if item.severity is Severity.WARNING] == ["X13"]


@pytest.mark.parametrize(
    ("legacy", "facts_of"),
    [
        (LegacyInstance(volume_only=True), ["F253"]),
        (LegacyInstance(volume_only=True, availability_zone="eu-west-1b"), []),
        (LegacyInstance(volume_only=True, availability_zone="eu-west-2b"), [""]),
        (LegacyInstance("m3.medium", "eu-west-1"), [""]),
        (LegacyInstance("m3.medium", "us-east-1a"), [""]),
        (LegacyInstance("m3.medium", "eu-west-1a"), []),
        (LegacyInstance("m3.medium", subnet_id="my-subnet"), [""]),
        (LegacyInstance("m3.medium", "eu-west-1a", "subnet-0123"), []),
    ],
)
def test_where_it_goes(legacy: LegacyInstance, facts_of: list[str]) -> None:
    assert blockers(LINUX, legacy) == facts_of


def test_a_volume_leaves_what_is_an_instances() -> None:
    legacy = LegacyInstance("m3.medium", "eu-west-1a", "subnet-0123", volume_only=True)
    assert [item.severity for item in found(LINUX, legacy)][:2] == [Severity.WARNING] * 2


@pytest.mark.parametrize(
    ("asked", "fact"),
    [
        ({"encrypted": True}, "X13"),
        ({"kms_key_id": "alias/key"}, "X13"),
        ({"boot_mode": BootMode.UEFI}, "F268"),
        ({"boot_mode": BootMode.LEGACY_BIOS}, "F268"),
        ({"usage_operation": "RunInstances:0002"}, "X13"),
    ],
)
def test_what_the_calls_have_no_parameter_for(asked: dict[str, Any], fact: str) -> None:
    assert blockers(LINUX, None, **asked) == [fact]
    volume = LegacyInstance(availability_zone="eu-west-1a", volume_only=True)
    assert blockers(LINUX, volume, **asked) == [fact]


def test_tags_are_set_afterwards() -> None:
    assert any(item.subject == "tags" and item.severity is Severity.INFO for item in found(tags={"a": "b"}))


def test_other_routes_have_none_of_it() -> None:
    other = replace(PLAN, route=Route.IMAGE, boot_mode=BootMode.UEFI, encrypted=True)
    assert not list(check_legacy(other, LINUX))
    [finding] = check_legacy(replace(other, legacy=LegacyInstance("m3.medium")), LINUX)
    assert finding.severity is Severity.BLOCKER
