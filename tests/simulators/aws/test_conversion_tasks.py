"""What the simulated ImportInstance and ImportVolume refuse, at once or while they convert, as the guides say."""

from __future__ import annotations

import copy
import struct
from collections.abc import Callable
from typing import Any

import boto3
import pytest
from botocore.config import Config

from tests.kits.aws_clients import refused
from tests.kits.aws_world import BUCKET, REGION
from tests.kits.conversions import (
    GIB,
    World,
    ended,
    gone,
    image_of,
    instance_request,
    linux,
    upload,
)
from tests.kits.disk_containers import vmdk_stream
from tests.kits.disk_images import Sparse
from vmie_tui.model import facts
from vmie_tui.model.errors import ErrorKind, ServiceError
from vmie_tui.services.aws.s3.instance_parts import PartObjects, PartsUploaded
from vmie_tui.services.aws.session import Aws
from vmie_tui.services.aws.vmie.conversion_tasks import ConversionTasks, DiskImage, VolumeRequest
from vmie_tui.simulators.aws.server import AwsSimulator
from vmie_tui.simulators.control import Fault
from vmie_tui.simulators.fleet.tiny import MIB


@pytest.fixture
def aws(aws: World) -> World:
    aws[0].clock.speed = 60.0
    return aws


@pytest.fixture(scope="module")
def ready(shared: World) -> PartsUploaded:
    return upload(shared[1], "ready", linux())


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


@pytest.mark.parametrize("name", REFUSED)
def test_import_instance_refuses(aws: World, ready: PartsUploaded, name: str) -> None:
    simulator, session = aws
    change, code, text = REFUSED[name]
    asked = copy.deepcopy(spec(ready))
    change(asked)
    before = len(list(ConversionTasks(session, REGION).tasks()))
    with refused(code, text):
        blind(simulator, session).import_instance(**asked)
    assert len(list(ConversionTasks(session, REGION).tasks())) == before


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
        ConversionTasks(session, REGION).import_instance(instance_request(done))
    assert (caught.value.problem.code, caught.value.kind) == ("Unsupported", ErrorKind.INVALID)
    assert "No bootable partition found" in caught.value.problem.detail
    task = ConversionTasks(session, REGION).import_volume(VolumeRequest(DiskImage.of(done), f"{REGION}a"))
    assert task.state == "active"  # a volume need not boot
    ConversionTasks(session, REGION).cancel(task.id)


def test_no_more_than_the_region_allows(aws: World, ready: PartsUploaded) -> None:
    simulator, session = aws
    conversions = ConversionTasks(session, REGION)
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


# -- what fails while it is converted


Broken = Callable[[], tuple[bytes, str, int]]
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
    conversions = ConversionTasks(session, REGION)
    request = instance_request(upload(session, f"bad-{name}", data, kind, gib), **more)
    task = ended(simulator, conversions, conversions.import_instance(request).id)
    assert task.failed and text in task.reason, task.reason
    gone(aws, task)


def test_a_volume_smaller_than_the_disk(aws: World) -> None:
    simulator, session = aws
    disk = Sparse(2 * GIB, {0: linux()})
    conversions = ConversionTasks(session, REGION)
    done = upload(session, "small", vmdk_stream(disk), "VMDK", gib=1)
    task = ended(simulator, conversions, conversions.import_volume(VolumeRequest(DiskImage.of(done), f"{REGION}a")).id)
    assert task.failed and "needs a volume of 2 GiB" in task.reason


def test_a_part_that_is_not_what_the_manifest_says(aws: World) -> None:
    simulator, session = aws
    conversions = ConversionTasks(session, REGION)
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
    conversions, image = ConversionTasks(session, REGION), DiskImage.of(done)
    if operation == "ImportInstance":
        started = conversions.import_instance(instance_request(done))
    else:
        started = conversions.import_volume(VolumeRequest(image, f"{REGION}a"))
    task = ended(simulator, conversions, started.id)
    assert task.failed and task.reason == facts.error("E27")["message"]
    gone(aws, task)
