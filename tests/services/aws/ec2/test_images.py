"""AMIs and volumes of snapshots: registered unmodified, copied with their bytes, renamed, cleared away, attached."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from tests.kits.aws_world import REGION, Control, World, content, world
from tests.kits.waiting import wait_until
from vmie_tui.model.errors import ErrorKind, ServiceError
from vmie_tui.model.facts import GIB
from vmie_tui.services.aws.ebs.snapshot_reader import BLOCK, SnapshotReader
from vmie_tui.services.aws.ebs.snapshot_writer import MemoryJournal, SnapshotTarget, SnapshotWriter
from vmie_tui.services.aws.ec2 import images, volumes
from vmie_tui.services.aws.ec2.images import CopyRequest, RegisterDisk, RegisterRequest, next_device
from vmie_tui.services.aws.ec2.volumes import VolumeRequest
from vmie_tui.services.aws.session import Aws
from vmie_tui.services.pacing import Poll, until_found
from vmie_tui.simulators.control import Fault, TlsFiles

OTHER = "eu-central-1"


@pytest.fixture(scope="module")
def aws(tls: TlsFiles, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with world(tls, tmp_path_factory.mktemp("aws")) as made:
        made[0].clock.speed = 200.0
        yield made


def snapshot(session: Aws, data: bytes, size: int | None = None) -> str:
    target = SnapshotTarget(size or len(data))
    with SnapshotWriter(session, REGION, target, journal=MemoryJournal(), control=Control()) as out:
        out.put(0, memoryview(data))
        return out.complete().snapshot_id


@pytest.fixture(scope="module")
def snaps(aws: World) -> tuple[str, str]:
    """A boot disk's snapshot and a data disk's, of 1 and 2 GiB."""
    return snapshot(aws[1], content(3 * BLOCK)), snapshot(aws[1], content(BLOCK, seed=2), GIB + 1)


def request(name: str, *snapshots: str, **more: Any) -> RegisterRequest:
    return RegisterRequest(name, tuple(RegisterDisk(ident) for ident in snapshots), **more)


def test_an_image_has_what_was_asked_for(aws: World, snaps: tuple[str, str]) -> None:
    _, session = aws
    wanted = request("web-01 (2026)", *snaps, boot_mode="uefi", description="unmodified", tags={"vm": "web-01"})
    image = images.wait_for_image(session, REGION, images.register_image(session, REGION, wanted).id)
    assert (image.name, image.architecture, image.boot_mode, image.ena) == ("web-01 (2026)", "x86_64", "uefi", True)
    assert [(disk.device, disk.snapshot_id, disk.size_gib) for disk in image.disks] == [
        ("/dev/sda1", snaps[0], 1),
        ("/dev/sdf", snaps[1], 2),
    ]
    assert image.root_device == "/dev/sda1" and image.tags == {"vm": "web-01"}
    again = images.register_image(session, REGION, wanted)
    assert again.id == image.id  # a step that is repeated after a crash finds what it made
    with pytest.raises(ServiceError, match=f"in use by {image.id}") as caught:
        images.register_image(session, REGION, request("web-01 (2026)", snaps[0]))
    assert caught.value.kind is ErrorKind.CONFLICT and "another name" in caught.value.problem.remedy


def test_what_was_just_made_may_not_be_shown_yet(aws: World, snaps: tuple[str, str]) -> None:
    simulator, session = aws
    late = simulator.faults.add(Fault("DescribeImages", times=2, code="InvalidAMIID.NotFound", status=400))
    made = images.register_image(session, REGION, request("shown late", snaps[0]))
    assert late.fired == 2 and made.name == "shown late"
    unseen = simulator.faults.add(Fault("DescribeVolumes", times=1, code="InvalidVolume.NotFound", status=400))
    assert volumes.create_volume(session, REGION, VolumeRequest(snaps[0], REGION + "a")).size_gib == 1
    assert unseen.fired == 1
    with pytest.raises(ServiceError, match="does not exist") as caught:
        until_found(lambda: images.describe_image(session, REGION, "ami-0123456789abcdef0"), Poll(1.0, seconds=0.0))
    assert caught.value.kind is ErrorKind.NOT_FOUND


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"name": "ab"}, "3 to 128"),
        ({"name": "web*01"}, r"character '\*'"),
        ({"disks": ()}, "boot disk"),
        ({"architecture": "ia64"}, "architecture is one of"),
        ({"architecture": "arm64", "boot_mode": "legacy-bios"}, "UEFI only"),
        ({"architecture": "i386", "boot_mode": "uefi"}, "32-bit"),
        ({"tpm": True}, "TPM"),
        ({"disks": (RegisterDisk("snap-1"), RegisterDisk("snap-2", device="/dev/sda1"))}, "same device"),
    ],
)
def test_what_could_not_start_is_not_asked_for(aws: World, more: dict[str, Any], words: str) -> None:
    simulator, session = aws
    simulator.stats.reset()
    with pytest.raises(ServiceError, match=words) as caught:
        images.register_image(session, REGION, replace(request("web-02", "snap-1"), **more))
    assert caught.value.kind is ErrorKind.INVALID and simulator.stats["ec2:RegisterImage"] == 0


def test_a_pending_or_unknown_snapshot_is_refused(aws: World) -> None:
    _, session = aws
    with SnapshotWriter(session, REGION, SnapshotTarget(1), journal=MemoryJournal(), control=Control()) as out:
        for ident, kind in ((out.snapshot_id, ErrorKind.CONFLICT), ("snap-0123456789abcdef0", ErrorKind.NOT_FOUND)):
            with pytest.raises(ServiceError) as caught:
                images.register_image(session, REGION, request("web-03", ident))
            assert caught.value.kind is kind
        out.abandon()


def test_the_names_of_devices(aws: World) -> None:
    disks = tuple(RegisterDisk(f"snap-{n}", device="/dev/sdg" if n == 3 else "") for n in range(21))
    names = RegisterRequest("many", disks).devices()
    assert names[:4] == ["/dev/sda1", "/dev/sdf", "/dev/sdh", "/dev/sdg"] and len(set(names)) == 21
    assert next_device(["/dev/xvda", "xvdf"], "/dev/xvda") == "/dev/xvdg"
    assert next_device(["/dev/sda1", "xvdf", "/dev/sdg"]) == "/dev/sdh"  # sdf and xvdf are one device
    with pytest.raises(ServiceError, match="every device name"):
        next_device([f"/dev/sd{letter}" for letter in "abcdefghijklmnopqrstuvwxyz"])


def test_a_copy_carries_the_bytes_and_is_watched(aws: World, snaps: tuple[str, str]) -> None:
    simulator, session = aws
    source = images.register_image(session, REGION, request("to copy", *snaps, boot_mode="uefi"))
    speed, simulator.clock.speed = simulator.clock.speed, 0.0
    wanted = CopyRequest(source.id, REGION, "copied", "the other Region", client_token="job-7", tags={"a": "b"})
    try:
        pending = images.copy_image(session, OTHER, wanted)
        assert pending.state == "pending" and images.copy_image(session, OTHER, wanted).id == pending.id
    finally:
        simulator.clock.speed = speed
    seen: list[str] = []
    done = images.wait_for_image(session, OTHER, pending.id, on_state=lambda image: seen.append(image.state))
    assert seen[-1] == "available" and (done.boot_mode, done.tags) == ("uefi", {"a": "b"})
    assert not set(done.snapshot_ids) & set(source.snapshot_ids)
    for mine, other, size in zip(source.snapshot_ids, done.snapshot_ids, (3 * BLOCK, BLOCK), strict=True):
        with SnapshotReader(session, REGION, mine, size) as left, SnapshotReader(session, OTHER, other, size) as right:
            assert left.read_at(0, size) == right.read_at(0, size) != bytes(size)
    removed = images.deregister_image(session, REGION, source.id, snapshots=False)
    assert removed.deleted == () and removed.kept == {}
    locked = images.copy_image(session, OTHER, replace(wanted, image_id=done.id, region=OTHER, client_token="8"))
    simulator.faults.add(Fault("CopyImage", "fail-task", match=done.id, message="Snapshot copy failed"))
    failed = images.copy_image(session, "us-east-1", CopyRequest(done.id, OTHER, "no luck", encrypted=True))
    assert images.wait_for_image(session, OTHER, locked.id).id == locked.id
    with pytest.raises(ServiceError, match="Snapshot copy failed") as caught:
        images.wait_for_image(session, "us-east-1", failed.id)
    assert caught.value.kind is ErrorKind.REMOTE
    with pytest.raises(ServiceError) as caught:
        images.copy_image(session, OTHER, replace(wanted, image_id="ami-0123456789abcdef0", client_token="9"))
    assert caught.value.kind is ErrorKind.NOT_FOUND


def test_deregistering_deletes_the_snapshots_that_nobody_else_uses(aws: World) -> None:
    _, session = aws
    mine, both = snapshot(session, content(512)), snapshot(session, content(512))
    one = images.register_image(session, REGION, request("one", mine, both))
    two = images.register_image(session, REGION, request("two", both))
    done = images.deregister_image(session, REGION, one.id)
    assert done.deleted == (mine,) and done.kept == {both: f"used by {two.id}"}
    assert images.describe_snapshots(session, REGION, [both])[0].state == "completed"
    for ident, find in ((mine, images.describe_snapshots), (one.id, images.describe_image)):
        with pytest.raises(ServiceError) as caught:
            find(session, REGION, [ident] if ident == mine else ident)  # type: ignore[arg-type]
        assert caught.value.kind is ErrorKind.NOT_FOUND
    assert images.deregister_image(session, REGION, two.id).deleted == (both,)


def test_renaming_tags_the_image_and_its_snapshots(aws: World, snaps: tuple[str, str]) -> None:
    _, session = aws
    image = images.register_image(session, REGION, request("to rename", *snaps))
    images.rename(session, REGION, image.id, "web-01, tested")
    assert images.describe_image(session, REGION, image.id).tags == {"Name": "web-01, tested"}
    assert all(s.tags["Name"] == "web-01, tested" for s in images.describe_snapshots(session, REGION, snaps))
    assert [found.id for found in images.own_images(session, REGION, name="to rename")] == [image.id]


# volumes


@pytest.fixture(scope="module")
def instance(aws: World, snaps: tuple[str, str]) -> str:
    simulator, session = aws
    image = images.register_image(session, REGION, request("with an instance", snaps[0]))
    ec2 = session.client("ec2", REGION)
    ident = ec2.run_instances(ImageId=image.id, InstanceType="t3.small", MinCount=1, MaxCount=1)["Instances"][0]
    simulator.clock.advance(60)
    return str(ident["InstanceId"])


def test_a_volume_is_made_and_attached(aws: World, snaps: tuple[str, str], instance: str) -> None:
    simulator, session = aws
    zone = volumes.instance_zone(session, REGION, instance)
    wanted = VolumeRequest(snaps[1], zone, client_token="job-9", tags={"vm": "web-01"})
    made = volumes.create_volume(session, REGION, wanted)
    assert volumes.create_volume(session, REGION, wanted).id == made.id
    ready = volumes.wait_for_volume(session, REGION, made.id)
    assert (ready.size_gib, ready.snapshot_id, ready.volume_type) == (2, snaps[1], "gp3")
    assert ready.tags == {"vm": "web-01"} and ready.state == "available"
    device = volumes.attach_volume(session, REGION, made.id, instance)
    assert device == "/dev/sdf"
    attached = volumes.wait_for_volume(session, REGION, made.id, attached=True)
    assert (attached.instance_id, attached.device, attached.state) == (instance, "/dev/sdf", "in-use")
    simulator.stats.reset()
    assert volumes.attach_volume(session, REGION, made.id, instance) == "/dev/sdf"
    assert simulator.stats["ec2:AttachVolume"] == 0
    second = volumes.create_volume(session, REGION, VolumeRequest(snaps[0], zone, size_gib=3))
    assert second.size_gib == 3 and volumes.attach_volume(session, REGION, second.id, instance) == "/dev/sdg"
    third = volumes.create_volume(session, REGION, VolumeRequest(snaps[0], zone))
    with pytest.raises(ServiceError, match="already in use"):
        volumes.attach_volume(session, REGION, third.id, instance, "/dev/sdg")
    volumes.delete_volume(session, REGION, third.id)
    volumes.delete_volume(session, REGION, third.id)
    with pytest.raises(ServiceError) as caught:
        volumes.describe_volume(session, REGION, third.id)
    assert caught.value.kind is ErrorKind.NOT_FOUND


def test_what_a_volume_cannot_be(aws: World, snaps: tuple[str, str], instance: str) -> None:
    _, session = aws
    zone = volumes.instance_zone(session, REGION, instance)
    elsewhere = REGION + ("b" if zone.endswith("a") else "a")
    for bad, words in (
        (VolumeRequest(snaps[0], "eu-west-9z"), "zone"),
        (VolumeRequest(snaps[1], zone, size_gib=1), "smaller"),
        (VolumeRequest("snap-0123456789abcdef0", zone), "does not exist"),
    ):
        with pytest.raises(ServiceError, match=words):
            volumes.create_volume(session, REGION, bad)
    far = volumes.create_volume(session, REGION, VolumeRequest(snaps[0], elsewhere))
    with pytest.raises(ServiceError, match=f"in {elsewhere}, the instance in {zone}") as caught:
        volumes.attach_volume(session, REGION, far.id, instance)
    assert caught.value.kind is ErrorKind.CONFLICT and zone in caught.value.problem.remedy
    with pytest.raises(ServiceError) as caught:
        volumes.attach_volume(session, REGION, far.id, "i-0123456789abcdef0")
    assert caught.value.kind is ErrorKind.NOT_FOUND
    wait_until(lambda: volumes.describe_volume(session, REGION, far.id).state == "available")
