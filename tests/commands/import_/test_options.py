"""What the options of ``vmie-tui import`` make of a source: the plan, its defaults, and what is refused as usage."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import click
import pytest

from vmie_tui.commands.import_.options import OPTIONS, import_options
from vmie_tui.model.machine import Disk, Firmware, Machine
from vmie_tui.model.plan import (
    BootMode,
    FileSource,
    LegacyInstance,
    LicenseType,
    Route,
    SnapshotSource,
    TestLaunch,
    UploadFormat,
    Via,
    Volumes,
)
from vmie_tui.operations.import_plan import OptionError, make_plan
from vmie_tui.settings import AwsSettings, Profile, VCenterSettings

PROFILE = Profile("p", VCenterSettings("vc", "u"), AwsSettings(region="eu-west-1", bucket="some-bucket"))
BARE = Profile("p", None, AwsSettings(region="eu-west-1"))
FILE = FileSource("web", ("/images/web.vmdk",))
SNAPSHOT = SnapshotSource("web", ("snap-0123456789abcdef0",))
DEBIAN = Machine(
    "", "web", guest_id="otherLinux64Guest", tools_guest_name="Debian GNU/Linux 12", disks=(Disk(1, "d", 8 << 30),)
)
UEFI = replace(DEBIAN, firmware=Firmware.UEFI)
ARM = replace(DEBIAN, guest_id="otherLinuxArm64Guest")
INSTANCE = "i-0123456789abcdef0"


@click.command()
@import_options
def parsed(**chosen: Any) -> dict[str, Any]:
    return chosen


def plan(*arguments: str, machine: Machine = DEBIAN, source: Any = FILE, profile: Profile = PROFILE) -> Any:
    chosen: dict[str, Any] = parsed.main(args=list(arguments), standalone_mode=False)
    for name in ("tags", "forced", "raw_source", "each"):
        del chosen[name]
    return make_plan(profile, machine, source, **chosen)


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ((), {"route": Route.IMAGE, "via": Via.S3, "license_type": LicenseType.BYOL, "platform": None}),
        (("--route", "image-direct"), {"platform": "Linux", "license_type": LicenseType.BYOL}),
        (("--route", "unmodified"), {"boot_mode": BootMode.LEGACY_BIOS, "license_type": None, "ena": True}),
        (
            ("--route", "unmodified", "--no-ena", "--root-device", "/dev/xvda"),
            {"ena": False, "root_device": "/dev/xvda"},
        ),
        (("--volume-zone", "eu-west-1a"), {"route": Route.SNAPSHOT, "volumes": Volumes("eu-west-1a")}),
        (("--attach", INSTANCE, "--volume-type", "st1"), {"volumes": Volumes("", "st1", INSTANCE)}),
        (("--route", "snapshot"), {"volumes": None}),
        (
            ("--route", "instance", "--instance-type", "t2.small", "--subnet", "subnet-1"),
            {"legacy": LegacyInstance("t2.small", "", "subnet-1"), "platform": "Linux", "test_launch": None},
        ),
        (
            ("--volume-only", "--zone", "eu-west-1a"),
            {"route": Route.INSTANCE, "legacy": LegacyInstance("", "eu-west-1a", "", True)},
        ),
        (("--test-launch",), {"test_launch": TestLaunch()}),
        (
            ("--test-launch", "--key", "mine", "--reachable", "--instance-type", "t3.small"),
            {"test_launch": TestLaunch("t3.small", "", "mine", False), "legacy": None},
        ),
        (("--copy-to", "eu-west-2", "--copy-to", "us-east-1"), {"copy_to": ("eu-west-2", "us-east-1")}),
        (("--clean-up", "--encrypted"), {"clean_up": True, "encrypted": True}),
        (("--format", "RAW", "--prefix", "x/"), {"upload_format": UploadFormat.RAW, "prefix": "x/"}),
        (("--route", "snapshot", "--via", "ebs"), {"via": Via.EBS}),
    ],
)
def test_options_become_a_plan(arguments: tuple[str, ...], expected: dict[str, Any]) -> None:
    made = plan(*arguments)
    assert {name: getattr(made, name) for name in expected} == expected


@pytest.mark.parametrize(
    ("machine", "source", "profile", "expected"),
    [
        (UEFI, FILE, PROFILE, {"route": Route.IMAGE, "boot_mode": None}),
        (DEBIAN, FILE, BARE, {"route": Route.IMAGE_DIRECT, "bucket": ""}),
        (DEBIAN, SNAPSHOT, BARE, {"route": Route.IMAGE_DIRECT, "platform": "Linux"}),
        (ARM, FILE, PROFILE, {"route": Route.IMAGE, "architecture": "arm64"}),  # refused; unmodified must be asked for
        (ARM, SNAPSHOT, PROFILE, {"route": Route.IMAGE_DIRECT}),
        (replace(DEBIAN, guest_id="", tools_guest_name=""), FILE, BARE, {"route": Route.SNAPSHOT, "via": Via.EBS}),
    ],
)
def test_what_fits_is_taken(machine: Machine, source: Any, profile: Profile, expected: dict[str, Any]) -> None:
    made = plan(machine=machine, source=source, profile=profile)
    assert {name: getattr(made, name) for name in expected} == expected


def test_an_unmodified_import_knows_the_guest() -> None:
    made = plan("--route", "unmodified", machine=ARM)
    assert (made.architecture, made.boot_mode) == ("arm64", BootMode.UEFI)
    assert plan("--route", "unmodified", machine=UEFI).boot_mode is BootMode.UEFI


@pytest.mark.parametrize(
    "arguments",
    [
        ("--key", "mine"),
        ("--reachable",),
        ("--instance-type", "t3.small"),
        ("--subnet", "subnet-1"),
        ("--volume-type", "st1"),
        ("--route", "image", "--zone", "eu-west-1a"),
        ("--route", "image", "--volume-only"),
        ("--volume-zone", "eu-west-1a", "--volume-only"),
    ],
)
def test_an_option_that_would_be_lost_is_refused(arguments: tuple[str, ...]) -> None:
    with pytest.raises(OptionError) as raised:
        plan(*arguments)
    assert "belongs to" in str(raised.value)


def test_every_option_has_help_of_one_line() -> None:
    assert len(OPTIONS) > 30
    for parameter in parsed.params:
        assert isinstance(parameter, click.Option)
        assert parameter.help
        assert len(parameter.help) < 90
