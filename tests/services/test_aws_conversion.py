"""The instance route on the simulated AWS: from part objects to a stopped instance or a volume, byte for byte."""

from __future__ import annotations

import copy
import random
import struct
import tempfile
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config

from tests.helpers import wait_until
from tests.services.aws_sim import refused
from tests.services.aws_world import BUCKET, REGION, Control, Source, world
from tests.unit.container_writers import vhd_dynamic, vhd_fixed, vhdx, vmdk_stream
from tests.unit.disks_images import Sparse
from vmie_tui.model import facts
from vmie_tui.model.errors import ErrorKind, ServiceError
from vmie_tui.model.task import Task, TaskKind
from vmie_tui.services.aws.blocks import SnapshotReader
from vmie_tui.services.aws.buffers import BufferBudget
from vmie_tui.services.aws.conversion import Conversions, DiskImage, InstanceRequest, VolumeRequest
from vmie_tui.services.aws.part_objects import PartObjects, PartsRequest, PartsUploaded
from vmie_tui.services.aws.session import Aws
from vmie_tui.services.aws.tasks import conversion_task, place_of
from vmie_tui.services.aws.vmimport import ImageRequest, ImportDisk, SnapshotRequest, VmImport
from vmie_tui.simulators.aws.server import AwsSimulator
from vmie_tui.simulators.control import Fault, TlsFiles
from vmie_tui.simulators.fleet.tiny import MIB, WINDOWS, make_boot, make_linux

World = tuple[AwsSimulator, Aws]


@pytest.fixture(scope="module")
def shared(tls: TlsFiles, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with world(tls, tmp_path_factory.mktemp("aws")) as made:
        yield made


@pytest.fixture
def aws(shared: World) -> World:
    shared[0].faults.clear()
    shared[0].clock.speed = 60.0
    return shared


PART = 512 << 10
GIB = 1 << 30


@cache
def linux() -> bytes:
    """A RAW disk with an MBR, a small Linux and some data."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "disk.raw"
        make_linux(path, 8 * MIB + 512, MIB, "legacy")
        return path.read_bytes()


@cache
def image_of(format_name: str) -> bytes:
    disk = Sparse(len(linux()), {0: linux()})
    return {"RAW": lambda _: linux(), "VHD": vhd_dynamic, "VMDK": vmdk_stream, "VHD-fixed": vhd_fixed}[format_name](
        disk
    )


def upload(aws: Aws, name: str, data: bytes, format_name: str = "RAW", gib: int = 1) -> PartsUploaded:
    parts = PartObjects(aws, REGION, budget=BufferBudget(8 * PART))
    request = PartsRequest(BUCKET, f"jobs/{name}", "disk", format_name, gib, len(data), PART)
    return parts.upload(request, Source(data), control=Control())


def ended(simulator: AwsSimulator, conversions: Conversions, task_id: str) -> Task:
    def look() -> Task | None:
        simulator.clock.advance(60)
        task = conversions.task(task_id)
        return task if task.terminal else None

    return wait_until(look, what=f"end of {task_id}")


def bytes_of(aws: Aws, volume_id: str, size: int) -> bytes:
    """What a volume holds, through a snapshot of it."""
    made = aws.client("ec2").create_snapshot(VolumeId=volume_id, Description="proof")
    reader = SnapshotReader(aws, REGION, made["SnapshotId"])
    return reader.read_at(0, size)


def instance(aws: Aws, ident: str) -> dict[str, Any]:
    [found] = aws.client("ec2").describe_instances(InstanceIds=[ident])["Reservations"][0]["Instances"]
    return dict(found)


def instance_request(done: PartsUploaded, **more: Any) -> InstanceRequest:
    values: dict[str, Any] = {"platform": "Linux", "instance_type": "m3.medium", "description": "job 7", **more}
    return InstanceRequest(DiskImage.of(done), **values)


@pytest.mark.parametrize("kind", ["RAW", "VHD", "VHD-fixed", "VMDK"])
def test_an_instance_with_the_very_bytes(aws: World, kind: str) -> None:
    simulator, session = aws
    conversions = Conversions(session, REGION)
    done = upload(session, f"instance-{kind}", image_of(kind), kind.partition("-")[0])
    started = conversions.import_instance(instance_request(done))
    assert (started.kind, started.state, started.instance_id[:2]) == (TaskKind.CONVERSION, "active", "i-")
    assert (started.description, started.volume_ids, started.region) == ("job 7", (), REGION)
    task = ended(simulator, conversions, started.id)
    assert task.completed and task.progress is None, task.status_message
    [volume] = task.volume_ids
    assert bytes_of(session, volume, len(linux())) == linux()
    found = instance(session, task.instance_id)
    assert (found["State"]["Name"], found["InstanceType"]) == ("stopped", "m3.medium")
    [mapping] = found["BlockDeviceMappings"]
    assert (mapping["DeviceName"], mapping["Ebs"]["VolumeId"]) == ("/dev/sda1", volume)
    [disk] = task.disks
    assert (disk.bucket, disk.key, disk.image_size) == (BUCKET, done.manifest_key, float(len(image_of(kind))))
    session.client("ec2").start_instances(InstanceIds=[task.instance_id])


def test_a_windows_instance(aws: World) -> None:
    simulator, session = aws
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "disk.raw"
        make_boot(path, 8 * MIB, MIB, "legacy", WINDOWS)
        done = upload(session, "windows", path.read_bytes())
    conversions = Conversions(session, REGION)
    request = instance_request(done, platform="Windows", instance_type="m5.large", availability_zone=f"{REGION}b")
    task = ended(simulator, conversions, conversions.import_instance(request).id)
    assert task.completed, task.status_message
    found = instance(session, task.instance_id)
    assert (found["Platform"], found["Placement"]["AvailabilityZone"]) == ("windows", f"{REGION}b")


def test_a_volume_with_the_very_bytes(aws: World) -> None:
    simulator, session = aws
    done = upload(session, "volume", image_of("VMDK"), "VMDK", gib=3)
    conversions = Conversions(session, REGION)
    started = conversions.import_volume(VolumeRequest(DiskImage.of(done), f"{REGION}c", "data of job 8"))
    task = ended(simulator, conversions, started.id)
    assert task.completed and not task.instance_id and task.description == "data of job 8"
    [volume] = session.client("ec2").describe_volumes(VolumeIds=list(task.volume_ids))["Volumes"]
    assert (volume["Size"], volume["AvailabilityZone"], volume["State"]) == (3, f"{REGION}c", "available")
    assert bytes_of(session, task.volume_ids[0], len(linux())) == linux()


def test_states_and_progress_follow_the_clock(aws: World) -> None:
    simulator, session = aws
    done = upload(session, "states", linux())
    simulator.clock.speed = 0.0
    conversions = Conversions(session, REGION)
    ident = conversions.import_instance(instance_request(done)).id
    seen: list[tuple[str, str, int | None]] = []

    def look() -> bool:
        task = conversions.task(ident)
        told = (task.state, task.status_message, task.progress)
        if not seen or told != seen[-1]:
            seen.append(told)
        simulator.clock.advance(10)
        return task.terminal

    wait_until(look, what="end of the task")
    assert seen[0] == ("active", "Pending", 0)
    assert seen[-1] == ("completed", "", None)
    shares = [share for state, _, share in seen if state == "active" and share is not None]
    assert shares == sorted(shares) and shares[-1] == 100 and len(set(shares)) > 10
    assert all(text == f"Progress: {share}%" for _, text, share in seen[1:-1] if text != "Pending")


def test_parts_may_come_later(aws: World) -> None:
    """The EC2 CLI tools started the task first and uploaded then; it waits until it expires."""
    simulator, session = aws
    done = upload(session, "later", linux())
    client, key = session.client("s3"), done.manifest_key.replace("manifest.xml", ".part3")
    part = client.get_object(Bucket=BUCKET, Key=key)["Body"].read()
    client.delete_object(Bucket=BUCKET, Key=key)
    conversions = Conversions(session, REGION)
    ident = conversions.import_instance(instance_request(done)).id
    simulator.clock.advance(3600)
    assert conversions.task(ident).status_message == "Pending"
    client.put_object(Bucket=BUCKET, Key=key, Body=part)
    assert ended(simulator, conversions, ident).completed
    client.delete_object(Bucket=BUCKET, Key=key)
    ident = conversions.import_instance(instance_request(done)).id
    simulator.clock.advance(8 * 86_400)
    wait_until(lambda: conversions.task(ident).terminal, what="expiry")
    task = conversions.task(ident)
    assert task.failed and "expired" in task.reason


# -- what fails while it is converted


def gone(aws: World, task: Task) -> None:
    """Nothing is left of a conversion but its parts."""
    simulator, session = aws
    assert task.state == "cancelled" and not task.volume_ids
    if task.instance_id:
        assert instance(session, task.instance_id)["State"]["Name"] == "terminated"
    held = {getattr(v, "stored_content", "") for v in simulator.ec2.backend(REGION).volumes.values()}
    assert {info.id for info in simulator.snapshots.all() if info.origin == "volume"} <= held
    bucket, key = task.disks[0].bucket, task.disks[0].key
    assert session.client("s3").head_object(Bucket=bucket, Key=key)


Broken = Callable[[], tuple[bytes, str, int]]
NOISE = random.Random(1).randbytes(PART)
BAD: dict[str, tuple[Broken, dict[str, str], str]] = {
    "no VMDK": (lambda: (linux(), "VMDK", 1), {}, "Unsupported VMDK File Format"),
    "no VHD": (lambda: (image_of("VMDK"), "VHD", 1), {}, "Footers not identical"),
    "damaged VMDK": (lambda: (_damaged(image_of("VMDK")), "VMDK", 1), {}, "ClientError"),
    "no system": (lambda: (_no_system(), "RAW", 1), {}, "Unknown OS / Missing OS files"),
    "another platform": (lambda: (linux(), "RAW", 1), {"platform": "Windows"}, "does not fit a Linux"),
}


def _damaged(data: bytes) -> bytes:
    """A VMDK whose grains were overwritten."""
    middle = len(data) // 2
    return data[:middle] + bytes(64 << 10) + data[middle + (64 << 10) :]


def _no_system() -> bytes:
    """An MBR with one partition that nothing is in."""
    head = bytearray(MIB)
    head[510:512] = b"\x55\xaa"
    struct.pack_into("<4xB3xII", head, 446, 0x83, 2048, 1)
    return bytes(head) + bytes(MIB)


@pytest.mark.parametrize("name", BAD)
def test_what_cannot_be_converted_ends_as_cancelled(aws: World, name: str) -> None:
    simulator, session = aws
    make, more, text = BAD[name]
    data, kind, gib = make()
    conversions = Conversions(session, REGION)
    request = instance_request(upload(session, f"bad-{name}", data, kind, gib), **more)
    task = ended(simulator, conversions, conversions.import_instance(request).id)
    assert task.failed and text in task.reason, task.reason
    gone(aws, task)


def test_a_volume_smaller_than_the_disk(aws: World) -> None:
    simulator, session = aws
    disk = Sparse(2 * GIB, {0: linux()})
    conversions = Conversions(session, REGION)
    done = upload(session, "small", vmdk_stream(disk), "VMDK", gib=1)
    task = ended(simulator, conversions, conversions.import_volume(VolumeRequest(DiskImage.of(done), f"{REGION}a")).id)
    assert task.failed and "needs a volume of 2 GiB" in task.reason


def test_a_part_that_is_not_what_the_manifest_says(aws: World) -> None:
    simulator, session = aws
    conversions = Conversions(session, REGION)
    done = upload(session, "short", linux())
    key = done.manifest_key.replace("manifest.xml", ".part1")
    session.client("s3").put_object(Bucket=BUCKET, Key=key, Body=b"short")
    task = ended(simulator, conversions, conversions.import_instance(instance_request(done)).id)
    assert task.failed and "has 5 bytes" in task.reason


@pytest.mark.parametrize("operation", ["ImportInstance", "ImportVolume"])
def test_a_task_told_to_fail(aws: World, operation: str) -> None:
    simulator, session = aws
    done = upload(session, "doomed", linux())
    simulator.faults.add(Fault(operation, "fail-task", match="jobs/doomed/", code="E27"))
    conversions, image = Conversions(session, REGION), DiskImage.of(done)
    if operation == "ImportInstance":
        started = conversions.import_instance(instance_request(done))
    else:
        started = conversions.import_volume(VolumeRequest(image, f"{REGION}a"))
    task = ended(simulator, conversions, started.id)
    assert task.failed and task.reason == facts.error("E27")["message"]
    gone(aws, task)


# -- what is refused at once


def spec(done: PartsUploaded, **more: Any) -> dict[str, Any]:
    return {**instance_request(done).to_api(), **more}


REFUSED: dict[str, tuple[Callable[[dict[str, Any]], object], str, str]] = {
    "no platform": (lambda s: s.pop("Platform"), "MissingParameter", "platform"),
    "another platform": (lambda s: s.update(Platform="BeOS"), "InvalidParameterValue", "BeOS"),
    "no disk": (lambda s: s.pop("DiskImages"), "MissingParameter", "single-volume"),
    "two disks": (lambda s: s.update(DiskImages=s["DiskImages"] * 2), "InvalidParameterValue", "single-volume"),
    "new type": (
        lambda s: s["LaunchSpecification"].update(InstanceType="m5.large"),
        "Unsupported",
        "Linux is not supported on the requested instance",
    ),
    "no type": (lambda s: s["LaunchSpecification"].pop("InstanceType"), "Unsupported", "Linux is not supported"),
    "32 bits": (lambda s: s["LaunchSpecification"].update(Architecture="i386"), "InvalidParameterValue", "i386"),
    "ARM": (lambda s: s["LaunchSpecification"].update(Architecture="arm64"), "InvalidParameterValue", "arm64"),
    "BYOL": (
        lambda s: s.update(Platform="Windows", LaunchSpecification={"Placement": {"Tenancy": "host"}}),
        "Unsupported",
        "license",
    ),
    "VHDX": (lambda s: _image(s).update(Format="VHDX"), "InvalidFormat", "disk-image-size=0"),
    "OVA": (lambda s: _image(s).update(Format="OVA"), "InvalidFormat", "disk-image-size=0"),
    "another format": (lambda s: _image(s).update(Format="VHD"), "InvalidFormat", "RAW"),
    "no size": (lambda s: _image(s).update(Bytes=0), "InvalidParameter", "disk-image-size=0"),
    "wrong size": (lambda s: _image(s).update(Bytes=_image(s)["Bytes"] - 1), "InvalidParameterValue", "bytes"),
    "no volume size": (lambda s: s["DiskImages"][0].pop("Volume"), "MissingParameter", "size"),
    "too large": (lambda s: s["DiskImages"][0]["Volume"].update(Size=16384), "DiskImageSizeTooLarge", "16 TiB"),
    "no URL": (lambda s: _image(s).pop("ImportManifestUrl"), "MissingParameter", "importManifestUrl"),
    "unsigned URL": (lambda s: _change_url(s, lambda u: u.partition("?")[0]), "InvalidParameterValue", "AccessDenied"),
    "wrong signature": (lambda s: _change_url(s, lambda u: u[:-3] + "000"), "InvalidParameterValue", "Signature"),
    "no manifest": (
        lambda s: _change_url(s, lambda u: u.replace("manifest.xml", ".part0")),
        "InvalidParameterValue",
        "Signature",
    ),
}


def _image(spec: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = spec["DiskImages"][0]["Image"]
    return found


def _change_url(spec: dict[str, Any], change: Callable[[str], str]) -> None:
    _image(spec)["ImportManifestUrl"] = change(_image(spec)["ImportManifestUrl"])


def blind(simulator: AwsSimulator, session: Aws, region: str = REGION) -> Any:
    """A client that sends what AWS's own model would not let through."""
    return boto3.client(
        "ec2",
        region_name=region,
        endpoint_url=simulator.url,
        verify=str(session.settings.ca_bundle),
        aws_access_key_id=simulator.access_key,
        aws_secret_access_key=simulator.secret_key,
        config=Config(parameter_validation=False, retries={"total_max_attempts": 1}),
    )


@pytest.fixture(scope="module")
def ready(shared: World) -> PartsUploaded:
    return upload(shared[1], "ready", linux())


@pytest.mark.parametrize("name", REFUSED)
def test_import_instance_refuses(aws: World, ready: PartsUploaded, name: str) -> None:
    simulator, session = aws
    change, code, text = REFUSED[name]
    asked = copy.deepcopy(spec(ready))
    change(asked)
    before = len(list(Conversions(session, REGION).tasks()))
    with refused(code, text):
        blind(simulator, session).import_instance(**asked)
    assert len(list(Conversions(session, REGION).tasks())) == before


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"AvailabilityZone": "us-east-1a"}, "InvalidParameterValue"),
        ({"AvailabilityZone": ""}, "MissingParameter"),
        ({"Image": {}}, "MissingParameter"),
        ({"Volume": {}}, "MissingParameter"),
    ],
)
def test_import_volume_refuses(aws: World, ready: PartsUploaded, change: dict[str, Any], code: str) -> None:
    simulator, session = aws
    with refused(code):
        blind(simulator, session).import_volume(
            **{**VolumeRequest(DiskImage.of(ready), f"{REGION}a").to_api(), **change}
        )


@pytest.mark.parametrize("region", ["eu-north-1", "af-south-1", "us-gov-east-1"])
def test_other_regions_have_no_such_call(aws: World, ready: PartsUploaded, region: str) -> None:
    simulator, session = aws
    client = blind(simulator, session, region)
    with refused("UnsupportedOperation", region):
        client.import_instance(**spec(ready))
    with refused("UnsupportedOperation", region):
        client.import_volume(**VolumeRequest(DiskImage.of(ready), f"{region}a").to_api())


def test_a_manifest_in_another_region(aws: World, ready: PartsUploaded) -> None:
    simulator, session = aws
    with refused("InvalidParameter", "not local to the Region"):
        blind(simulator, session, "us-west-2").import_instance(**spec(ready))


def test_a_manifest_that_is_none(aws: World, ready: PartsUploaded) -> None:
    simulator, session = aws
    url = PartObjects(session, REGION).manifest_url(BUCKET, ready.manifest_key.replace("manifest.xml", ".part0"))
    asked = spec(ready)
    _image(asked)["ImportManifestUrl"] = url
    with refused("InvalidManifest"):
        blind(simulator, session).import_instance(**asked)


def test_a_gpt_disk_has_no_bootable_partition(aws: World) -> None:
    _, session = aws
    head = bytearray(2 * MIB)
    head[450], head[510:512], head[512:520] = 0xEE, b"\x55\xaa", b"EFI PART"
    done = upload(session, "gpt", bytes(head))
    with pytest.raises(ServiceError) as caught:
        Conversions(session, REGION).import_instance(instance_request(done))
    assert (caught.value.problem.code, caught.value.kind) == ("Unsupported", ErrorKind.INVALID)
    assert "No bootable partition found" in caught.value.problem.detail
    task = Conversions(session, REGION).import_volume(VolumeRequest(DiskImage.of(done), f"{REGION}a"))
    assert task.state == "active"  # a volume need not boot
    Conversions(session, REGION).cancel(task.id)


def test_no_more_than_the_region_allows(aws: World, ready: PartsUploaded) -> None:
    simulator, session = aws
    conversions = Conversions(session, REGION)
    simulator.clock.advance(3600)
    simulator.clock.speed = 0.0
    room = simulator.max_tasks - simulator.running(REGION)
    started = [conversions.import_instance(instance_request(ready)).id for _ in range(room)]
    with pytest.raises(ServiceError) as caught:
        conversions.import_instance(instance_request(ready))
    assert caught.value.problem.code == "ResourceCountLimitExceeded"
    for ident in started:
        conversions.cancel(ident)
    simulator.clock.advance(10)
    assert simulator.running(REGION) == simulator.max_tasks - room


# -- cancelling, finding, starting


def test_cancel_removes_the_instance_and_leaves_the_parts(aws: World, ready: PartsUploaded) -> None:
    simulator, session = aws
    simulator.clock.speed = 0.0
    conversions = Conversions(session, REGION)
    started = conversions.import_instance(instance_request(ready))
    conversions.cancel(started.id, "wrong disk")
    task = conversions.task(started.id)
    assert (task.state, task.terminal) == ("cancelling", False)
    simulator.clock.advance(10)
    task = conversions.task(started.id)
    assert not task.failed and "wrong disk" in task.reason  # a user's wish is no failure
    gone(aws, task)
    with pytest.raises(ServiceError) as caught:
        conversions.cancel(started.id)
    assert caught.value.kind is ErrorKind.CONFLICT


def test_it_is_too_late_to_cancel_the_last_transfer(aws: World, ready: PartsUploaded) -> None:
    simulator, session = aws
    simulator.clock.speed = 0.0
    conversions = Conversions(session, REGION)
    ident = conversions.import_instance(instance_request(ready)).id

    def nearly() -> bool:
        simulator.clock.advance(10)
        return conversions.task(ident).progress == 100

    wait_until(nearly, what="the last transfer")
    with pytest.raises(ServiceError) as caught:
        conversions.cancel(ident)
    assert (caught.value.kind, caught.value.problem.code) == (ErrorKind.CONFLICT, "DeleteConversionTaskError")
    assert ended(simulator, conversions, ident).completed


def test_the_instance_does_not_start_before_it_has_its_disk(aws: World, ready: PartsUploaded) -> None:
    simulator, session = aws
    simulator.clock.speed = 0.0
    conversions = Conversions(session, REGION)
    task = conversions.import_instance(instance_request(ready))
    with refused("InvalidParameterValue", "does not have a volume attached at root (/dev/sda1)"):
        session.client("ec2").start_instances(InstanceIds=[task.instance_id])
    conversions.cancel(task.id)


def test_a_start_whose_answer_was_lost_is_found(aws: World) -> None:
    simulator, session = aws
    done = upload(session, "lost", linux())
    conversions = Conversions(session, REGION)
    assert conversions.find(BUCKET, done.manifest_key) is None
    started = conversions.import_instance(instance_request(done))
    found = conversions.find(BUCKET, done.manifest_key)
    assert found is not None and found.id == started.id
    conversions.cancel(started.id)
    assert conversions.find(BUCKET, done.manifest_key) is None
    again = conversions.import_instance(instance_request(done))
    ended(simulator, conversions, again.id)
    found = conversions.find(BUCKET, done.manifest_key)
    assert found is not None and found.id == again.id


@pytest.mark.parametrize(
    ("ident", "kind"),
    [("import-i-0123456789abcdef0", ErrorKind.INVALID), ("import-ami-0123456789abcdef0", ErrorKind.INVALID)],
)
def test_unknown_tasks(aws: World, ident: str, kind: ErrorKind) -> None:
    with pytest.raises(ServiceError) as caught:
        Conversions(aws[1], REGION).task(ident)
    assert caught.value.kind is kind


@pytest.mark.parametrize(
    ("url", "place"),
    [
        (
            "https://b-1.s3.eu-west-1.amazonaws.com/jobs/1/a%20b.vmdkmanifest.xml?X-Amz-x=1",
            ("b-1", "jobs/1/a b.vmdkmanifest.xml"),
        ),
        ("https://my.bucket.s3.amazonaws.com/k", ("my.bucket", "k")),
        ("https://b.s3.cn-north-1.amazonaws.com.cn/k", ("b", "k")),
        ("https://s3-us-west-2.amazonaws.com/b/jobs/k?AWSAccessKeyId=x", ("b", "jobs/k")),
        ("https://localhost:8443/b/k%2Bl", ("b", "k+l")),
        ("https://localhost/", ("", "")),
        ("", ("", "")),
    ],
)
def test_a_manifest_url_tells_its_object(url: str, place: tuple[str, str]) -> None:
    assert place_of(url) == place


def test_a_task_as_aws_has_printed_it() -> None:
    """Bytes and messages, with and without what AWS leaves out."""
    volume = {
        "AvailabilityZone": "us-east-1a",
        "BytesConverted": 250,
        "Image": {"Format": "VMDK", "ImportManifestUrl": "https://b.s3.amazonaws.com/k?x", "Size": 1000},
        "Volume": {"Size": 8},
        "Status": "active",
    }
    data = {
        "ConversionTaskId": "import-i-fh8ikx",
        "State": "active",
        "ImportInstance": {"InstanceId": "i-1", "Platform": "Windows", "Volumes": [volume]},
    }
    task = conversion_task(data, "us-east-1")
    assert (task.progress, task.instance_id, task.volume_ids, task.terminal) == (25, "i-1", (), False)
    assert conversion_task({**data, "StatusMessage": "Progress: 41%"}, "us-east-1").progress == 41
    ended_task = conversion_task({**data, "State": "cancelled", "StatusMessage": "ClientError: no"}, "us-east-1")
    assert ended_task.failed and ended_task.progress is None
    bare = conversion_task({"ConversionTaskId": "import-vol-1", "State": "active"}, "us-east-1")
    assert (bare.progress, bare.disks) == (None, ())


# -- volumes' bytes, and VHDX


def test_a_snapshot_of_any_volume_has_its_bytes(aws: World) -> None:
    simulator, session = aws
    ec2 = session.client("ec2")
    done = upload(session, "chain", linux())
    conversions = Conversions(session, REGION)
    task = ended(simulator, conversions, conversions.import_volume(VolumeRequest(DiskImage.of(done), f"{REGION}a")).id)
    tags = [{"ResourceType": "snapshot", "Tags": [{"Key": "job", "Value": "9"}]}]
    made = ec2.create_snapshot(VolumeId=task.volume_ids[0], Description="first", TagSpecifications=tags)
    assert (made["VolumeId"], made["VolumeSize"], made["Description"]) == (task.volume_ids[0], 1, "first")
    assert made["Tags"] == [{"Key": "job", "Value": "9"}]
    copy_of = ec2.create_volume(SnapshotId=made["SnapshotId"], AvailabilityZone=f"{REGION}a", Size=2)["VolumeId"]
    assert bytes_of(session, copy_of, len(linux())) == linux()
    empty = ec2.create_volume(AvailabilityZone=f"{REGION}a", Size=1)["VolumeId"]
    assert not any(bytes_of(session, empty, MIB))
    with refused("InvalidVolume.NotFound"):
        ec2.create_snapshot(VolumeId="vol-0123456789abcdef0")


def test_what_volumes_held_is_dropped_at_a_start(tls: TlsFiles, tmp_path: Path) -> None:
    """moto's volumes are gone then; snapshots made of them stay."""
    with AwsSimulator(tmp_path / "aws", tls=tls, account="444455556666", access_key="AKIAOTHER") as simulator:
        held = simulator.snapshots.create(region=REGION, size_gib=1, origin="volume", state="completed")
        lost = simulator.snapshots.create(region=REGION, size_gib=1, origin="volume", state="completed")
        kept = simulator.snapshots.create(region=REGION, size_gib=1, parent=held.id, state="completed")
    with AwsSimulator(tmp_path / "aws", tls=tls, account="444455556666", access_key="AKIAOTHER") as simulator:
        assert [info.id for info in simulator.snapshots.all()] == [kept.id]
        assert (simulator.snapshots.root / held.id).exists()
        assert not (simulator.snapshots.root / lost.id).exists()
        assert list(simulator.ec2.backend(REGION).snapshots) == [kept.id]


@pytest.mark.parametrize("operation", ["image", "snapshot"])
def test_a_vhdx_is_imported(aws: World, operation: str) -> None:
    simulator, session = aws
    session.client("s3").put_object(Bucket=BUCKET, Key="disk.vhdx", Body=vhdx(Sparse(len(linux()), {0: linux()})))
    imports, disk = VmImport(session, REGION), ImportDisk(BUCKET, "disk.vhdx", "VHDX")
    if operation == "image":
        ident = imports.import_image(ImageRequest((disk,), license_type="BYOL")).id
    else:
        ident = imports.import_snapshot(SnapshotRequest(disk)).id

    def look() -> bool:
        simulator.clock.advance(120)
        return imports.task(ident).terminal

    wait_until(look, what=f"end of {ident}")
    task = imports.task(ident)
    assert task.completed, task.reason
    reader = SnapshotReader(session, REGION, task.disks[0].snapshot_id)
    assert reader.read_at(0, len(linux())) == linux()


@pytest.mark.parametrize("broken", ["differencing", "not closed", "no VHDX"])
def test_a_vhdx_that_cannot_be_read(aws: World, broken: str) -> None:
    simulator, session = aws
    disk = Sparse(MIB, {0: NOISE})
    data = {"differencing": vhdx(disk, flags=2), "not closed": vhdx(disk, log=b"x" * 16), "no VHDX": NOISE}[broken]
    session.client("s3").put_object(Bucket=BUCKET, Key="broken.vhdx", Body=data)
    imports = VmImport(session, REGION)
    ident = imports.import_snapshot(SnapshotRequest(ImportDisk(BUCKET, "broken.vhdx", "VHDX"))).id

    def look() -> bool:
        simulator.clock.advance(120)
        return imports.task(ident).terminal

    wait_until(look, what=f"end of {ident}")
    assert "Unsupported VHDX File Format" in imports.task(ident).reason
