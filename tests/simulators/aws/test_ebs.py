"""The simulated EBS direct APIs: blocks, checksums, parents, states, tokens and limits."""

from __future__ import annotations

import base64
import hashlib
import random
from collections.abc import Iterator
from typing import Any

import pytest

from tests.kits.aws_clients import Kit, refused, running
from tests.kits.waiting import wait_until
from vmie_tui.simulators.control import TlsFiles

BLOCK = 524_288
A, B, C = (random.Random(seed).randbytes(BLOCK) for seed in range(3))


@pytest.fixture(scope="module")
def kit(tls: TlsFiles, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kit]:
    with running(tls, tmp_path_factory.mktemp("ebs")) as kit:
        yield kit


@pytest.fixture
def ebs(kit: Kit) -> Any:
    return kit.client("ebs")


def put(ebs: Any, ident: str, index: int, data: bytes, **more: Any) -> None:
    values = {
        "BlockData": data,
        "DataLength": len(data),
        "Checksum": base64.b64encode(hashlib.sha256(data).digest()).decode(),
        "ChecksumAlgorithm": "SHA256",
        **more,
    }
    ebs.put_snapshot_block(SnapshotId=ident, BlockIndex=index, **values)


def complete(kit: Kit, ident: str, count: int, **more: Any) -> None:
    kit.client("ebs").complete_snapshot(SnapshotId=ident, ChangedBlocksCount=count, **more)
    kit.sim.clock.advance(60)
    wait_until(lambda: state(kit, ident) == "completed")


def state(kit: Kit, ident: str) -> str:
    return str(kit.client("ec2").describe_snapshots(SnapshotIds=[ident])["Snapshots"][0]["State"])


def read(ebs: Any, ident: str) -> dict[int, bytes]:
    blocks = ebs.list_snapshot_blocks(SnapshotId=ident)["Blocks"]
    return {
        block["BlockIndex"]: ebs.get_snapshot_block(
            SnapshotId=ident, BlockIndex=block["BlockIndex"], BlockToken=block["BlockToken"]
        )["BlockData"].read()
        for block in blocks
    }


def test_a_snapshot_is_written_completed_and_read(kit: Kit, ebs: Any) -> None:
    started = ebs.start_snapshot(VolumeSize=2, Description="first", Tags=[{"Key": "vm", "Value": "web-01"}])
    ident = started["SnapshotId"]
    assert (started["Status"], started["BlockSize"], started["VolumeSize"]) == ("pending", BLOCK, 2)
    put(ebs, ident, 0, A)
    put(ebs, ident, 4095, B)
    put(ebs, ident, 0, C)
    with refused("ValidationException"):
        ebs.list_snapshot_blocks(SnapshotId=ident)
    with refused("ValidationException", "ChangedBlocksCount"):
        ebs.complete_snapshot(SnapshotId=ident, ChangedBlocksCount=3)
    linear = hashlib.sha256(hashlib.sha256(C).digest() + hashlib.sha256(B).digest()).digest()
    sums = {"ChecksumAlgorithm": "SHA256", "ChecksumAggregationMethod": "LINEAR"}
    with refused("ValidationException", "checksum"):
        complete(kit, ident, 2, Checksum=base64.b64encode(bytes(32)).decode(), **sums)
    complete(kit, ident, 2, Checksum=base64.b64encode(linear).decode(), **sums)
    [shown] = kit.client("ec2").describe_snapshots(SnapshotIds=[ident])["Snapshots"]
    assert (shown["VolumeSize"], shown["Description"], shown["Progress"]) == (2, "first", "100%")
    assert shown["Tags"] == [{"Key": "vm", "Value": "web-01"}]
    assert read(ebs, ident) == {0: C, 4095: B}
    with refused("ValidationException"):
        put(ebs, ident, 1, A)


def test_completion_takes_time(kit: Kit, ebs: Any) -> None:
    ident = ebs.start_snapshot(VolumeSize=1)["SnapshotId"]
    speed, kit.sim.clock.speed = kit.sim.clock.speed, 0.0
    try:
        assert ebs.complete_snapshot(SnapshotId=ident, ChangedBlocksCount=0)["Status"] == "pending"
        assert state(kit, ident) == "pending"
        kit.control("POST", "clock", {"advance": 60})
        assert state(kit, ident) == "completed"
    finally:
        kit.sim.clock.speed = speed


def test_a_child_inherits_its_parents_blocks(kit: Kit, ebs: Any) -> None:
    parent = ebs.start_snapshot(VolumeSize=1)["SnapshotId"]
    put(ebs, parent, 1, A)
    put(ebs, parent, 2, B)
    with refused("ValidationException", "not completed"):
        ebs.start_snapshot(VolumeSize=1, ParentSnapshotId=parent)
    complete(kit, parent, 2)
    with refused("ValidationException", "Encrypted"):
        ebs.start_snapshot(VolumeSize=1, ParentSnapshotId=parent, Encrypted=True)
    child = ebs.start_snapshot(VolumeSize=2, ParentSnapshotId=parent)["SnapshotId"]
    put(ebs, child, 2, C)
    put(ebs, child, 3, A)
    complete(kit, child, 2)
    assert read(ebs, child) == {1: A, 2: C, 3: A}
    changed = ebs.list_changed_blocks(FirstSnapshotId=parent, SecondSnapshotId=child)["ChangedBlocks"]
    assert [(c["BlockIndex"], "FirstBlockToken" in c) for c in changed] == [(2, True), (3, False)]
    kit.client("ec2").delete_snapshot(SnapshotId=parent)
    with refused("ResourceNotFoundException"):
        ebs.list_snapshot_blocks(SnapshotId=parent)
    assert read(ebs, child) == {1: A, 2: C, 3: A}


@pytest.mark.parametrize(
    ("more", "text"),
    [
        ({"BlockData": A[:-1], "DataLength": BLOCK - 1}, "exactly 524288"),
        ({"Checksum": base64.b64encode(bytes(32)).decode()}, "checksum does not match"),
        ({"BlockIndex": 2048}, "outside"),
    ],
    ids=["short block", "wrong checksum", "beyond the volume"],
)
def test_bad_blocks_are_refused(ebs: Any, more: dict[str, Any], text: str) -> None:
    ident = ebs.start_snapshot(VolumeSize=1)["SnapshotId"]
    with refused("ValidationException", text):
        put(ebs, ident, more.pop("BlockIndex", 0), more.pop("BlockData", A), **more)


def test_tokens_pages_and_unknown_snapshots(kit: Kit, ebs: Any) -> None:
    ident = ebs.start_snapshot(VolumeSize=1)["SnapshotId"]
    for index in range(0, 240, 2):
        put(ebs, ident, index, A)
    complete(kit, ident, 120)
    first = ebs.list_snapshot_blocks(SnapshotId=ident, MaxResults=100)
    rest = ebs.list_snapshot_blocks(SnapshotId=ident, MaxResults=100, NextToken=first["NextToken"])
    found = [block["BlockIndex"] for page in (first, rest) for block in page["Blocks"]]
    assert found == list(range(0, 240, 2)) and "NextToken" not in rest
    assert ebs.list_snapshot_blocks(SnapshotId=ident, StartingBlockIndex=231)["Blocks"][0]["BlockIndex"] == 232
    with refused("ValidationException", "token"):
        ebs.get_snapshot_block(SnapshotId=ident, BlockIndex=0, BlockToken=first["Blocks"][1]["BlockToken"])
    with refused("ResourceNotFoundException"):
        put(ebs, "snap-0123456789abcdef0", 0, A)
    with refused("ResourceNotFoundException"):
        kit.client("ebs", "us-east-1").list_snapshot_blocks(SnapshotId=ident)


def test_limits_tokens_of_callers_and_time_outs(kit: Kit, ebs: Any) -> None:
    same = [ebs.start_snapshot(VolumeSize=1, ClientToken="once")["SnapshotId"] for _ in range(2)]
    assert same[0] == same[1]
    started = []
    with refused("ServiceQuotaExceededException"):
        for _ in range(101):
            started.append(ebs.start_snapshot(VolumeSize=1, Timeout=10)["SnapshotId"])
    kit.sim.clock.advance(601)
    assert state(kit, started[0]) == "error"
    kit.control("POST", "faults", {"operation": "StartSnapshot", "times": 1})
    with refused("RequestThrottledException"):
        ebs.start_snapshot(VolumeSize=1)


@pytest.mark.parametrize(
    ("more", "text"),
    [
        ({"KmsKeyArn": "arn:aws:kms:eu-west-1:111122223333:key/1234abcd"}, "Encrypted"),
        ({"Encrypted": True, "KmsKeyArn": "arn:aws:kms:eu-west-1:111122223333:key/1234abcd"}, "no ARN"),
        ({"ParentSnapshotId": "snap-0123456789abcdef0", "Encrypted": True}, "together"),
    ],
)
def test_bad_starts_are_refused(ebs: Any, more: dict[str, Any], text: str) -> None:
    with refused("ValidationException", text):
        ebs.start_snapshot(VolumeSize=1, **more)


def test_encryption_by_default_is_followed(kit: Kit) -> None:
    ec2, ebs = kit.client("ec2", "eu-central-1"), kit.client("ebs", "eu-central-1")
    plain = ebs.start_snapshot(VolumeSize=1)["SnapshotId"]
    ebs.complete_snapshot(SnapshotId=plain, ChangedBlocksCount=0)
    kit.sim.clock.advance(60)
    ec2.enable_ebs_encryption_by_default()
    with refused("ValidationException", "by default"):
        ebs.start_snapshot(VolumeSize=1, ParentSnapshotId=plain)
    assert ebs.start_snapshot(VolumeSize=1)["KmsKeyArn"].startswith("arn:aws:kms:eu-central-1:111122223333:key/")


def test_a_parent_is_checked(kit: Kit, ebs: Any) -> None:
    parent = ebs.start_snapshot(VolumeSize=2)["SnapshotId"]
    complete(kit, parent, 0)
    with refused("ValidationException", "smaller"):
        ebs.start_snapshot(VolumeSize=1, ParentSnapshotId=parent)
    with refused("ValidationException", "together"):
        ebs.start_snapshot(VolumeSize=2, ParentSnapshotId=parent, Encrypted=False)
    with refused("ResourceNotFoundException"):
        ebs.start_snapshot(VolumeSize=2, ParentSnapshotId="snap-0123456789abcdef0")
    with refused("ResourceNotFoundException"):
        kit.client("ebs", "us-east-1").start_snapshot(VolumeSize=2, ParentSnapshotId=parent)
    kit.client("ec2").delete_snapshot(SnapshotId=parent)
    with refused("ResourceNotFoundException"):
        ebs.start_snapshot(VolumeSize=2, ParentSnapshotId=parent)


def test_a_child_is_encrypted_as_its_parent_is(kit: Kit, ebs: Any) -> None:
    parent = ebs.start_snapshot(VolumeSize=1, Encrypted=True)
    complete(kit, parent["SnapshotId"], 0)
    child = ebs.start_snapshot(VolumeSize=1, ParentSnapshotId=parent["SnapshotId"])
    assert child["KmsKeyArn"] == parent["KmsKeyArn"]
    [shown] = kit.client("ec2").describe_snapshots(SnapshotIds=[child["SnapshotId"]])["Snapshots"]
    assert shown["Encrypted"] is True


def chain(kit: Kit, ebs: Any, *contents: bytes) -> list[str]:
    """Snapshots of which each changes block 0 of the one before."""
    made: list[str] = []
    for number, content in enumerate(contents):
        more = {"ParentSnapshotId": made[-1]} if made else {}
        ident = ebs.start_snapshot(VolumeSize=1, **more)["SnapshotId"]
        put(ebs, ident, 0, content)
        put(ebs, ident, number + 1, content)
        complete(kit, ident, 2)
        made.append(ident)
    return made


def test_what_differs_is_told_only_within_a_line(kit: Kit, ebs: Any) -> None:
    first, second, third = chain(kit, ebs, A, B, C)
    changed = ebs.list_changed_blocks(FirstSnapshotId=first, SecondSnapshotId=third)["ChangedBlocks"]
    assert [one["BlockIndex"] for one in changed] == [0, 2, 3]
    kit.client("ec2").delete_snapshot(SnapshotId=second)
    assert ebs.list_changed_blocks(FirstSnapshotId=first, SecondSnapshotId=third)["ChangedBlocks"] == changed
    [other] = chain(kit, ebs, A)
    with refused("ValidationException", "not related"):
        ebs.list_changed_blocks(FirstSnapshotId=other, SecondSnapshotId=third)


def test_an_images_snapshot_stays_and_its_parents_need_not(kit: Kit, ebs: Any) -> None:
    ec2 = kit.client("ec2")
    first, second, third = chain(kit, ebs, A, B, C)
    mapping = [{"DeviceName": "/dev/xvda", "Ebs": {"SnapshotId": second}}]
    image = ec2.register_image(
        Name="second", RootDeviceName="/dev/xvda", BlockDeviceMappings=mapping, Architecture="x86_64",
        VirtualizationType="hvm", EnaSupport=True,
    )["ImageId"]  # fmt: skip
    with refused("InvalidSnapshot.InUse", image):
        ec2.delete_snapshot(SnapshotId=second)
    ec2.delete_snapshot(SnapshotId=first)
    assert read(ebs, second) == {0: B, 1: A, 2: B}
    instance = ec2.run_instances(ImageId=image, MinCount=1, MaxCount=1, InstanceType="t3.micro")["Instances"][0]
    ec2.deregister_image(ImageId=image)
    ec2.delete_snapshot(SnapshotId=second)
    assert read(ebs, third) == {0: C, 1: A, 2: B, 3: C}
    ec2.delete_snapshot(SnapshotId=third)
    [volume] = ec2.describe_volumes(Filters=[{"Name": "attachment.instance-id", "Values": [instance["InstanceId"]]}])[
        "Volumes"
    ]
    later = ec2.create_snapshot(VolumeId=volume["VolumeId"])["SnapshotId"]
    assert read(ebs, later) == {0: B, 1: A, 2: B}, "a volume keeps its bytes when its snapshot goes"


def test_puts_beyond_the_quota_are_throttled(kit: Kit) -> None:
    ebs = kit.client("ebs")
    ident = ebs.start_snapshot(VolumeSize=1)["SnapshotId"]
    kit.control("POST", "rate", {"ebs": 3})
    try:
        with refused("RequestThrottledException"):
            for index in range(40):  # they would have to be slower than three a second
                put(ebs, ident, index, A)
    finally:
        kit.control("POST", "rate", {"ebs": None})
    for index in range(9):
        put(ebs, ident, index, A)
