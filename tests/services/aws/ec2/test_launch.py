"""Test instances: the type that fits, alone in their group, booting from the image's bytes, looked at, cleared away."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import pytest

from tests.kits.aws_world import REGION, World, content, register
from vmie_tui.model.errors import ErrorKind, ServiceError
from vmie_tui.services.aws.ec2 import images, launch
from vmie_tui.services.aws.ec2.instance_types import PAGE, instance_types
from vmie_tui.services.aws.ec2.launch import LaunchRequest, pick_instance_type
from vmie_tui.simulators.fleet.tiny import WINDOWS, make_boot

MIB = 1 << 20


@pytest.fixture(scope="module")
def linux(shared: World, tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("disk") / "linux.raw"
    make_boot(path, 8 * MIB, MIB, "launch")
    return register(shared, "tiny linux", path.read_bytes())


def request(image: str, token: str, **more: Any) -> LaunchRequest:
    return LaunchRequest(image, more.pop("instance_type", "t3.small"), token, **more)


# the type


@pytest.mark.parametrize(
    ("wanted", "more", "name"),
    [
        ((1, 1024), {}, "t3.micro"),
        ((2, 4096), {}, "t3.medium"),
        ((2, 4097), {}, "t3.large"),
        ((4, 16384), {}, "t3.xlarge"),
        ((2, 4096), {"ena": False}, "t2.medium"),
        ((2, 4096), {"boot_mode": "uefi"}, "t3.medium"),
        ((2, 4096), {"architecture": "arm64"}, "t4g.medium"),
    ],
    ids=str,
)
def test_the_smallest_type_that_fits(aws: World, wanted: tuple[int, int], more: dict[str, Any], name: str) -> None:
    _, session = aws
    found = pick_instance_type(session, REGION, *wanted, **more)
    assert found.name == name and found.cpus >= wanted[0] and found.memory_mib >= wanted[1]


def test_every_page_of_types_is_read(aws: World) -> None:
    simulator, session = aws
    names = [found.name for found in instance_types(session, REGION)]
    assert len(names) == len(set(names)) > PAGE and "p3.2xlarge" not in names  # a GPU is not needed to see it boot
    assert simulator.stats["ec2:DescribeInstanceTypes"] == -(-len(names) // PAGE) or len(names) % PAGE
    assert simulator.stats["ec2:DescribeInstanceTypes"] > 1


@pytest.mark.parametrize(
    ("wanted", "more", "words"),
    [
        ((9999, 1024), {"ena": False}, "9999 vCPUs, 1024 MiB of memory, x86_64, boot mode legacy-bios, without ENA"),
        ((2, 4096), {"ena": False, "architecture": "arm64"}, "arm64, boot mode uefi, without ENA"),
    ],
    ids=str,
)
def test_no_type_fits(aws: World, wanted: tuple[int, int], more: dict[str, Any], words: str) -> None:
    _, session = aws
    with pytest.raises(ServiceError, match=words) as caught:
        pick_instance_type(session, REGION, *wanted, **more)
    assert caught.value.kind is ErrorKind.REFUSED and caught.value.problem.remedy


# the launch


def test_a_test_instance_from_launch_to_the_end(aws: World, linux: str) -> None:
    simulator, session = aws
    ec2 = session.client("ec2", REGION)
    wanted = request(linux, "job-1", tags={"vmie-tui:job": "1"})
    made = launch.launch(session, REGION, wanted)
    assert launch.launch(session, REGION, wanted).id == made.id  # once, however often it is asked for
    [group] = ec2.describe_security_groups(GroupIds=[made.security_group_id])["SecurityGroups"]
    assert group["IpPermissions"] == group["IpPermissionsEgress"] == []
    [data] = ec2.describe_instances(InstanceIds=[made.id])["Reservations"][0]["Instances"]
    assert [g["GroupId"] for g in data["SecurityGroups"]] == [made.security_group_id] and "KeyName" not in data
    assert not data.get("PublicIpAddress") and data["ImageId"] == linux
    assert all(item["Ebs"]["DeleteOnTermination"] for item in data["BlockDeviceMappings"])
    assert {item["DeviceName"] for item in data["BlockDeviceMappings"]} == {"/dev/sda1", "/dev/sdf"}

    assert launch.state(session, REGION, made.id).state == "pending"
    assert launch.console_output(session, REGION, made.id) == ""
    with pytest.raises(ServiceError, match="not in a state") as caught:
        launch.screenshot(session, REGION, made.id)
    assert caught.value.kind is ErrorKind.CONFLICT and "console output" in caught.value.problem.remedy
    simulator.clock.advance(40)
    seen = launch.state(session, REGION, made.id)
    assert (seen.state, seen.instance_check, seen.healthy, seen.settled) == ("running", "initializing", False, False)
    simulator.clock.advance(60)
    states: list[str] = []
    done = launch.wait_for_checks(session, REGION, made.id, on_state=lambda now: states.append(now.instance_check))
    assert done.healthy and states == ["ok"] and done.instance_type == "t3.small"
    text = launch.console_output(session, REGION, made.id)
    assert "Linux version 6." in text and "Debian" in text and "login:" in text
    picture = launch.screenshot(session, REGION, made.id)
    assert dimensions(picture) == (640, 400)

    volumes = [item["Ebs"]["VolumeId"] for item in data["BlockDeviceMappings"]]
    launch.terminate(session, REGION, made.id)
    assert launch.state(session, REGION, made.id).state == "terminated"
    assert not ec2.describe_security_groups(Filters=[{"Name": "group-id", "Values": [group["GroupId"]]}])[
        "SecurityGroups"
    ]
    assert not [v for v in ec2.describe_volumes()["Volumes"] if v["VolumeId"] in volumes]
    launch.terminate(session, REGION, made.id)  # a step that is repeated finds nothing left to do


def dimensions(jpeg: bytes) -> tuple[int, int]:
    """(width, height) of a whole JPEG, read segment by segment."""
    assert jpeg[:2] == b"\xff\xd8" and jpeg[-2:] == b"\xff\xd9"
    at, size = 2, (0, 0)
    while jpeg[at + 1] != 0xDA:
        assert jpeg[at] == 0xFF
        [length] = struct.unpack_from(">H", jpeg, at + 2)
        if jpeg[at + 1] == 0xC0:
            height, width = struct.unpack_from(">HH", jpeg, at + 5)
            size = (width, height)
        at += 2 + length
    return size


@pytest.mark.parametrize(
    ("guest", "more", "healthy", "words"),
    [
        ("noise", {}, False, "No bootable device"),
        ("linux", {"boot_mode": "uefi"}, False, "no EFI system partition"),
        ("windows", {}, True, "Windows"),
    ],
)
def test_an_image_that_does_not_start_shows_it(
    aws: World, tmp_path: Path, guest: str, more: dict[str, Any], healthy: bool, words: str
) -> None:
    simulator, session = aws
    path = tmp_path / "disk.raw"
    if guest == "noise":
        path.write_bytes(content(MIB))
    elif guest == "windows":
        make_boot(path, 8 * MIB, 0, "launch", WINDOWS)
    else:
        make_boot(path, 8 * MIB, 0, "launch")
    image = register(
        aws, f"{guest} {more}".replace("{", "").replace("}", "").replace(":", ""), path.read_bytes(), **more
    )
    made = launch.launch(session, REGION, request(image, f"job-{guest}-{len(more)}"))
    simulator.clock.advance(200)
    seen = launch.wait_for_checks(session, REGION, made.id)
    assert seen.settled and seen.healthy is healthy and seen.instance_check == ("ok" if healthy else "impaired")
    assert words in launch.console_output(session, REGION, made.id)
    launch.terminate(session, REGION, made.id)


@pytest.mark.parametrize(
    ("more", "words", "remedy"),
    [
        ({"instance_type": "t4g.small"}, "architecture", "architecture, boot mode and ENA"),
        ({"instance_type": "m5.24xlarge"}, "vCPU limit", "higher quota"),
        ({"instance_type": "t3.no-such"}, "Invalid value", "type that this Region has"),
        ({"key_name": "nobody"}, "key pair 'nobody' does not exist", "key pair of this Region"),
        ({"subnet_id": "subnet-0123456789abcdef0"}, "subnet", "Name a subnet of this Region"),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, dict) else "",
)
def test_a_launch_that_is_refused_says_why_and_leaves_nothing(
    aws: World, linux: str, more: dict[str, Any], words: str, remedy: str
) -> None:
    _, session = aws
    with pytest.raises(ServiceError, match=words) as caught:
        launch.launch(session, REGION, request(linux, "refused", **more))
    assert remedy in caught.value.problem.remedy
    groups = session.client("ec2", REGION).describe_security_groups()["SecurityGroups"]
    assert launch.GROUP + "refused" not in {group["GroupName"] for group in groups}


def test_without_a_default_vpc_a_subnet_is_asked_for(aws: World, linux: str) -> None:
    _, session = aws
    away = "eu-west-3"
    ec2 = session.client("ec2", away)
    [vpc] = ec2.describe_vpcs()["Vpcs"]
    for subnet in ec2.describe_subnets()["Subnets"]:
        ec2.delete_subnet(SubnetId=subnet["SubnetId"])
    ec2.delete_vpc(VpcId=vpc["VpcId"])
    copied = images.copy_image(session, away, images.CopyRequest(linux, REGION, "copied"))
    with pytest.raises(ServiceError, match="no default VPC") as caught:
        launch.launch(session, away, request(copied.id, "no-vpc"))
    assert "Name a subnet" in caught.value.problem.remedy
    aws[0].clock.advance(60)
    mine = ec2.create_vpc(CidrBlock="10.9.0.0/16")["Vpc"]["VpcId"]
    subnet = ec2.create_subnet(VpcId=mine, CidrBlock="10.9.1.0/24")["Subnet"]["SubnetId"]
    made = launch.launch(session, away, request(copied.id, "with-subnet", subnet_id=subnet))
    assert made.subnet_id == subnet
    [group] = ec2.describe_security_groups(GroupIds=[made.security_group_id])["SecurityGroups"]
    assert group["VpcId"] == mine and group["IpPermissionsEgress"] == []
    launch.terminate(session, away, made.id)


def test_a_reachable_instance_has_the_default_group_and_a_key(aws: World, linux: str) -> None:
    _, session = aws
    ec2 = session.client("ec2", REGION)
    ec2.create_key_pair(KeyName="mine")
    made = launch.launch(session, REGION, request(linux, "open", isolated=False, key_name="mine"))
    [data] = ec2.describe_instances(InstanceIds=[made.id])["Reservations"][0]["Instances"]
    assert made.security_group_id == "" and data["KeyName"] == "mine"
    launch.terminate(session, REGION, made.id)


def test_graviton_has_no_screenshot_and_xen_no_latest_output(aws: World, linux: str) -> None:
    simulator, session = aws
    old = launch.launch(session, REGION, request(linux, "xen", instance_type="t2.small"))
    simulator.clock.advance(120)
    assert "login:" in launch.console_output(session, REGION, old.id)
    launch.terminate(session, REGION, old.id)
    arm = register(aws, "arm", content(MIB), architecture="arm64", boot_mode="uefi")
    made = launch.launch(session, REGION, request(arm, "arm", instance_type="t4g.small"))
    simulator.clock.advance(120)
    with pytest.raises(ServiceError, match="does not support console screenshots") as caught:
        launch.screenshot(session, REGION, made.id)
    assert caught.value.kind is ErrorKind.REFUSED and "Graviton" in caught.value.problem.remedy
    launch.terminate(session, REGION, made.id)


def test_an_unknown_instance_is_said_to_be_unknown(aws: World) -> None:
    _, session = aws
    for call in (launch.state, launch.console_output, launch.screenshot, launch.terminate):
        with pytest.raises(ServiceError) as caught:
            call(session, REGION, "i-0123456789abcdef0")
        assert caught.value.kind is ErrorKind.NOT_FOUND
