"""The simulated VM export: what it refuses and how it says so, the bytes it writes, what a cancelled one leaves."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.kits.aws_clients import (
    BUCKET,
    MIB,
    REGION,
    Kit,
    bucket_for_exports,
    launch,
    linux_disk,
    refused,
    roles_for,
    running,
)
from tests.kits.waiting import wait_until
from vmie_tui.model import facts
from vmie_tui.services.disks.formats.open_disk import open_disk
from vmie_tui.services.disks.streams.ranges import Budget
from vmie_tui.services.disks.streams.source import DiskSource
from vmie_tui.simulators.aws.ec2_models import Mapping
from vmie_tui.simulators.aws.estate import EXPORT_BUCKET, WANTED, furnish
from vmie_tui.simulators.aws.export_checks import NO_GRANT, NOT_OWNED, canonical_id
from vmie_tui.simulators.aws.server import SECRET_KEY
from vmie_tui.simulators.control import Fault, TlsFiles

OUT = "sim-export-bucket"
OTHER, OTHER_KEY = "444455556666", "AKIAI44QH8DHBEXAMPLE"
GIB = 1 << 30


@pytest.fixture(scope="module")
def kit(tls: TlsFiles, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kit]:
    with running(tls, tmp_path_factory.mktemp("export"), max_tasks=50) as kit:
        bucket_for_exports(kit, OUT)
        roles_for(kit, OUT, EXPORT_BUCKET)
        yield kit


@pytest.fixture(scope="module")
def disk(kit: Kit) -> bytes:
    raw, vmdk = linux_disk(kit.folder, 40 * MIB + 512, 12 * MIB)
    kit.put("disk.vmdk", vmdk)
    return raw


@pytest.fixture(scope="module")
def image(kit: Kit, disk: bytes) -> str:
    task = kit.ended(kit.import_image("disk.vmdk")["ImportTaskId"])
    return str(task["ImageId"])


@pytest.fixture
def instance(kit: Kit, image: str) -> Iterator[str]:
    yield launch(kit, image)


@pytest.fixture(autouse=True)
def calm(kit: Kit) -> Iterator[None]:
    yield
    kit.sim.faults.clear()
    kit.sim.clock.speed = 60.0
    for reservation in kit.sim.ec2.backend(REGION).reservations.values():  # there is a limit of vCPUs
        for instance in reservation.instances:
            if instance.state != "terminated":
                instance.terminate()


def export_instance(kit: Kit, ident: str, target: str = "vmware", **to: Any) -> dict[str, Any]:
    place = {"DiskImageFormat": "VMDK", "S3Bucket": OUT, "S3Prefix": "vms/", **to}
    ec2 = kit.client("ec2")
    answer = ec2.create_instance_export_task(InstanceId=ident, TargetEnvironment=target, ExportToS3Task=place)
    return dict(answer["ExportTask"])


def export_image(kit: Kit, ident: str, format: str = "VMDK", **more: Any) -> dict[str, Any]:
    place = {"S3Bucket": more.pop("bucket", OUT), "S3Prefix": more.pop("prefix", "exports/")}
    return dict(kit.client("ec2").export_image(ImageId=ident, DiskImageFormat=format, S3ExportLocation=place, **more))


def look(kit: Kit, ident: str) -> dict[str, Any]:
    ec2 = kit.client("ec2")
    if ident.startswith("export-i-"):
        return dict(ec2.describe_export_tasks(ExportTaskIds=[ident])["ExportTasks"][0])
    found = dict(ec2.describe_export_image_tasks(ExportImageTaskIds=[ident])["ExportImageTasks"][0])
    return {**found, "State": found["Status"]}


def ended(kit: Kit, ident: str) -> dict[str, Any]:
    def over() -> dict[str, Any] | None:
        kit.sim.clock.advance(120)
        task = look(kit, ident)
        return task if task["State"] in {"completed", "cancelled", "deleted"} else None

    return wait_until(over, what=f"end of {ident}")


def same(found: DiskSource, raw: bytes) -> None:
    """The disk is the volume: ``raw``, and zeros up to its whole GiB."""
    assert found.size == GIB
    assert b"".join(found.read_at(at, min(MIB, len(raw) - at)) for at in range(0, len(raw), MIB)) == raw
    for offset, length in found.extents():
        for at in range(max(offset, len(raw)), min(offset + length, GIB), MIB):
            size = min(MIB, GIB - at)
            assert found.read_at(at, size) == bytes(size)


def fetch(kit: Kit, key: str) -> Path:
    """The object in a file; its checksum is proven by the SDK on the way."""
    path = kit.folder / key.rpartition("/")[2]
    kit.client("s3").download_file(OUT, key, str(path))
    return path


@pytest.mark.parametrize(
    ("target", "to", "extension"),
    [
        ("vmware", {"ContainerFormat": "ova"}, "ova"),
        ("vmware", {}, "vmdk"),
        ("citrix", {"DiskImageFormat": "VHD"}, "vhd"),
        ("microsoft", {"DiskImageFormat": "VHD"}, "vhd"),
    ],
)
def test_an_instance_leaves_byte_equal(
    kit: Kit, instance: str, disk: bytes, target: str, to: dict[str, Any], extension: str
) -> None:
    started = export_instance(kit, instance, target, **to)
    ident = started["ExportTaskId"]
    assert started["State"] == "active" and started["InstanceExportDetails"]["InstanceId"] == instance
    assert started["ExportToS3Task"]["S3Key"] == f"vms/{ident}.{extension}"
    assert "Progress" not in started
    task = ended(kit, ident)
    assert (task["State"], task.get("StatusMessage")) == ("completed", None)
    with open_disk(fetch(kit, task["ExportToS3Task"]["S3Key"]), Budget(1 << 20, 1 << 40, 60.0)) as found:
        same(found, disk)
        assert found.info.format == ("vmdk-stream" if extension == "ova" else found.info.format)


@pytest.mark.parametrize("format", ["VMDK", "VHD", "RAW"])
def test_an_image_leaves_byte_equal(kit: Kit, image: str, disk: bytes, format: str) -> None:
    tags = [{"ResourceType": "export-image-task", "Tags": [{"Key": "ticket", "Value": format}]}]
    kit.sim.clock.speed = 0.0
    started = export_image(kit, image, format, Description="way out", TagSpecifications=tags)
    assert (started["Status"], started["StatusMessage"], started["Progress"]) == ("active", "validating", "0")
    assert started["ImageId"] == image and started["Tags"] == tags[0]["Tags"]
    ident = started["ExportImageTaskId"]
    task = ended(kit, ident)
    assert task["Status"] == "completed" and task["ImageId"] == image and "Progress" not in task
    s3, key = kit.client("s3"), f"exports/{ident}.{format.lower()}"
    head = s3.head_object(Bucket=OUT, Key=key, ChecksumMode="ENABLED")
    assert head["ChecksumCRC64NVME"] and head["ChecksumType"] == "FULL_OBJECT"
    if format == "RAW":  # a GiB, nearly all of it zeros: what is not needed is not fetched
        assert head["ContentLength"] == GIB
        assert s3.get_object(Bucket=OUT, Key=key, Range=f"bytes=0-{len(disk) - 1}")["Body"].read() == disk
        tail = s3.get_object(Bucket=OUT, Key=key, Range=f"bytes={len(disk)}-{len(disk) + MIB - 1}")["Body"].read()
        assert tail == bytes(MIB)
    else:
        with open_disk(fetch(kit, key), Budget(1 << 20, 1 << 40, 60.0)) as found:
            same(found, disk)


def test_the_messages_come_in_their_order(kit: Kit, image: str) -> None:
    kit.sim.clock.speed = 0.0  # or it ends between two requests on a busy machine
    ident = export_image(kit, image)["ExportImageTaskId"]
    seen: list[tuple[str, int]] = []
    while (task := look(kit, ident))["Status"] == "active":
        seen.append((task["StatusMessage"], int(task["Progress"])))
        assert ("ImageId" in task) == (task["StatusMessage"] != "updating")
        [listed] = kit.client("ec2").describe_export_image_tasks(
            Filters=[{"Name": "task-state", "Values": ["active"]}]
        )["ExportImageTasks"]
        assert listed["ExportImageTaskId"] == ident and "ImageId" not in listed
        kit.sim.clock.advance(15)
    order = ["validating", "updating", "converting"]
    assert list(dict.fromkeys(text for text, _ in seen)) == order
    assert [percent for _, percent in seen] == sorted(percent for _, percent in seen)


def nothing_left(kit: Kit, key: str) -> None:
    s3 = kit.client("s3")
    assert s3.list_multipart_uploads(Bucket=OUT).get("Uploads", []) == []
    assert s3.list_objects_v2(Bucket=OUT, Prefix=key).get("Contents", []) == []
    store = kit.sim.s3.store.root / OUT
    assert list((store / "uploads").iterdir()) == [] == list((store / "incoming").iterdir())


@pytest.mark.parametrize("kind", ["instance", "image"])
def test_a_cancelled_export_leaves_nothing(kit: Kit, image: str, instance: str, kind: str) -> None:
    kit.sim.clock.speed = 0.0
    if kind == "instance":
        started = export_instance(kit, instance)
        ident, key = started["ExportTaskId"], started["ExportToS3Task"]["S3Key"]
    else:
        ident = export_image(kit, image)["ExportImageTaskId"]
        key = f"exports/{ident}.vmdk"
    s3 = kit.client("s3")
    wait_until(lambda: s3.list_multipart_uploads(Bucket=OUT).get("Uploads"), what="the upload to begin")
    kit.sim.clock.advance(100)
    kit.client("ec2").cancel_export_task(ExportTaskId=ident)
    assert look(kit, ident)["State"] in {"cancelling", "deleting"}
    kit.client("ec2").cancel_export_task(ExportTaskId=ident)  # again: nothing new
    task = ended(kit, ident)
    assert task["State"] == ("cancelled" if kind == "instance" else "deleted")
    assert task["StatusMessage"] == "User initiated cancelation"
    wait_until(lambda: not kit.sim.exports.busy(), what="end of the writing")
    nothing_left(kit, key)
    with refused("IncorrectState"):
        kit.client("ec2").cancel_export_task(ExportTaskId=ident)


def test_too_late_to_cancel(kit: Kit, image: str) -> None:
    ident = export_image(kit, image)["ExportImageTaskId"]
    kit.sim.clock.speed = 0.0
    wait_until(lambda: not kit.sim.exports.busy(), what="end of the writing")
    kit.sim.clock.advance(60 + 120 + 300 + 1)
    assert int(look(kit, ident)["Progress"]) > 80
    with refused("IncorrectState", "transferring the final disk image"):
        kit.client("ec2").cancel_export_task(ExportTaskId=ident)
    assert ended(kit, ident)["Status"] == "completed"
    with refused("IncorrectState", "completed"):
        kit.client("ec2").cancel_export_task(ExportTaskId=ident)
    with refused("InvalidExportTaskID.NotFound"):
        kit.client("ec2").cancel_export_task(ExportTaskId="export-ami-0123456789abcdef0")


@pytest.mark.parametrize("kind", ["instance", "image"])
def test_a_task_told_to_fail_says_so_and_leaves_nothing(kit: Kit, image: str, instance: str, kind: str) -> None:
    source = instance if kind == "instance" else image
    operation = "CreateInstanceExportTask" if kind == "instance" else "ExportImage"
    kit.sim.faults.add(Fault(operation, "fail-task", match=source, code="E17"))
    started = export_instance(kit, instance) if kind == "instance" else export_image(kit, image)
    ident = started.get("ExportTaskId") or started["ExportImageTaskId"]
    task = ended(kit, ident)
    assert task["State"] == ("cancelled" if kind == "instance" else "deleted")
    assert task["StatusMessage"] == facts.error("E17")["message"]
    nothing_left(kit, ident)


# what is refused


def other_image(kit: Kit, **more: Any) -> str:
    """An image of the account, its one volume empty unless ``mappings`` says otherwise."""
    values: dict[str, Any] = {
        "name": f"image {len(kit.sim.ec2.backend(REGION).amis)}",
        "mappings": [Mapping("/dev/sda1", None, 1)],
        "platform_details": "Linux/UNIX",
        "usage": "RunInstances",
        **more,
    }
    return kit.sim.ec2.register(REGION, **values)


def change_image(kit: Kit, **values: Any) -> str:
    ident = other_image(kit)
    image = kit.sim.ec2.backend(REGION).amis[ident]
    for name, value in values.items():
        setattr(image, name, value)
    return ident


NOT_EXPORTABLE = "cannot be exported"
IMAGES: dict[str, tuple[Callable[[Kit], str], str]] = {
    "windows": (lambda kit: other_image(kit, platform_details="Windows", usage="RunInstances:0002"), "AWS supplies"),
    "sql server": (
        lambda kit: other_image(kit, platform_details="SQL Server Standard", usage="RunInstances:0004"),
        "SQL Server Standard",
    ),
    "marketplace": (lambda kit: change_image(kit, product_codes=[{"ProductCodeId": "d5qv2"}]), "Marketplace"),
    "encrypted": (lambda kit: other_image(kit, mappings=[Mapping("/dev/sda1", None, 1, True)]), "encrypted"),
    "instance store": (lambda kit: change_image(kit, virtual_devices={"/dev/sdb": "ephemeral0"}), "instance store"),
    "shared": (lambda kit: change_image(kit, owner_id=OTHER), "another account"),
    "snapshot gone": (
        lambda kit: other_image(kit, mappings=[Mapping("/dev/sda1", "snap-0123456789abcdef0", 1)]),
        "does not exist",
    ),
}


@pytest.mark.parametrize("case", IMAGES)
def test_images_that_may_not_leave(kit: Kit, case: str) -> None:
    make, text = IMAGES[case]
    ident = make(kit)
    with refused("NotExportable", text):
        export_image(kit, ident)
    if case != "snapshot gone":  # nothing can be launched from that one
        with refused("NotExportable", f"This instance {NOT_EXPORTABLE}."):
            export_instance(kit, launched_from(kit, ident))


def launched_from(kit: Kit, image: str) -> str:
    """An instance of an image whatever EC2 thinks of launching it."""
    ident = launch(kit, other_image(kit))
    kit.sim.ec2.backend(REGION).get_instance(ident).image_id = image
    return ident


def test_volumes_over_the_limit(kit: Kit) -> None:
    ident = other_image(kit, mappings=[Mapping("/dev/sda1", None, 1025)])
    with refused("NotExportable", "maximum is 1024 GiB"):
        export_image(kit, ident)


def test_images_that_are_not_there(kit: Kit) -> None:
    with refused("InvalidAMIID.NotFound"):
        export_image(kit, "ami-0123456789abcdef0")
    with refused("InvalidAMIID.Malformed"):
        export_image(kit, "image-1")
    with refused("InvalidInstanceID.NotFound"):
        export_instance(kit, "i-0123456789abcdef0")


def test_an_instance_whose_image_is_gone(kit: Kit) -> None:
    ident = launched_from(kit, "ami-0123456789abcdef0")
    with refused("NotExportable", "does not exist"):
        export_instance(kit, ident)


def test_an_instance_with_a_second_volume(kit: Kit, instance: str) -> None:
    ec2 = kit.client("ec2")
    [found] = ec2.describe_instances(InstanceIds=[instance])["Reservations"][0]["Instances"]
    volume = ec2.create_volume(Size=1, AvailabilityZone=found["Placement"]["AvailabilityZone"])["VolumeId"]
    ec2.attach_volume(VolumeId=volume, InstanceId=instance, Device="/dev/sdf")
    text = str(facts.error("E16")["message"]).removeprefix("Client.UnsupportedOperation: ")
    with refused("UnsupportedOperation", text):
        export_instance(kit, instance)


def test_an_instance_with_an_encrypted_volume_or_two_interfaces(kit: Kit, image: str) -> None:
    backend = kit.sim.ec2.backend(REGION)
    ident = launch(kit, image)
    instance = backend.get_instance(ident)
    [device] = instance.block_device_mapping.values()
    volume = backend.volumes[device.volume_id]
    volume.encrypted = True
    with refused("NotExportable", "encrypted"):
        export_instance(kit, ident)
    volume.encrypted = False
    instance.nics[1] = next(iter(instance.nics.values()))
    with refused("NotExportable", "more than one network interface"):
        export_instance(kit, ident)


def test_an_instance_that_is_gone_cannot_leave(kit: Kit, instance: str) -> None:
    kit.client("ec2").terminate_instances(InstanceIds=[instance])
    with refused("IncorrectInstanceState", "terminated"):
        export_instance(kit, instance)


@pytest.mark.parametrize(
    ("target", "to", "code"),
    [
        ("vmware", {"DiskImageFormat": "VHD"}, "InvalidParameter"),
        ("vmware", {"DiskImageFormat": "RAW"}, "InvalidParameter"),
        ("microsoft", {"DiskImageFormat": "VMDK"}, "InvalidParameter"),
        ("citrix", {"DiskImageFormat": "VHD", "ContainerFormat": "ova"}, "InvalidParameter"),
        ("kvm", {}, "InvalidParameterValue"),
        ("vmware", {"S3Bucket": ""}, "MissingParameter"),
    ],
)
def test_formats_that_no_target_has(kit: Kit, instance: str, target: str, to: dict[str, Any], code: str) -> None:
    with refused(code):
        export_instance(kit, instance, target, **to)


def test_the_bucket_must_fit(kit: Kit, instance: str, image: str) -> None:
    s3 = kit.client("s3")
    bucket_for_exports(kit, "in-frankfurt", "eu-central-1")
    for export in (lambda b: export_instance(kit, instance, S3Bucket=b), lambda b: export_image(kit, image, bucket=b)):
        with refused("InvalidParameter", "The given S3 object is not local to the region."):
            export("in-frankfurt")
        with refused("InvalidParameter", "does not exist"):
            export("no-such-bucket-anywhere")
    bucket_for_exports(kit, "with-kms")
    rule = {"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "aws:kms"}}
    s3.put_bucket_encryption(Bucket="with-kms", ServerSideEncryptionConfiguration={"Rules": [rule]})
    for export in (lambda b: export_instance(kit, instance, S3Bucket=b), lambda b: export_image(kit, image, bucket=b)):
        with refused("InvalidParameter", "SSE-KMS"):
            export("with-kms")


def test_the_bucket_must_let_the_service_in(kit: Kit, instance: str) -> None:
    s3 = kit.client("s3")
    bucket_for_exports(kit, "no-grant", grant=False)
    with refused("AuthFailure", NO_GRANT):
        export_instance(kit, instance, S3Bucket="no-grant")
    wrong = f"id={canonical_id('af-south-1')}"
    s3.put_bucket_acl(Bucket="no-grant", GrantReadACP=wrong, GrantWrite=wrong)
    with refused("AuthFailure"):
        export_instance(kit, instance, S3Bucket="no-grant")
    text = json.dumps(facts.load("access")["export_bucket"]["bucket_policy"])
    policy = text.replace("{canonical_account_id}", canonical_id(REGION)).replace("{export_bucket}", "no-grant")
    s3.put_bucket_policy(Bucket="no-grant", Policy=policy)
    assert ended(kit, export_instance(kit, instance, S3Bucket="no-grant")["ExportTaskId"])["State"] == "completed"
    with refused("AuthFailure", NO_GRANT):
        export_instance(kit, instance, S3Bucket=BUCKET)  # bucket owner enforced


def test_the_role_must_be_there(kit: Kit, image: str) -> None:
    with refused("InvalidParameter", "The service role vmexport does not exist or does not have sufficient"):
        export_image(kit, image, RoleName="vmexport")
    bucket_for_exports(kit, "not-for-the-role", grant=False)
    with refused("InvalidParameter", "The service role vmimport"):
        export_image(kit, image, bucket="not-for-the-role")


def test_one_export_of_an_image_at_a_time(kit: Kit, image: str) -> None:
    first = export_image(kit, image, ClientToken="a-token")["ExportImageTaskId"]
    with refused("ResourceCountLimitExceeded", first):
        export_image(kit, image)
    assert export_image(kit, image, ClientToken="a-token")["ExportImageTaskId"] == first
    with refused("IdempotentParameterMismatch"):
        export_image(kit, image, ClientToken="a-token", bucket=BUCKET)
    assert ended(kit, first)["Status"] == "completed"


def test_the_limit_of_tasks_counts_imports_too(kit: Kit, image: str, instance: str) -> None:
    kit.sim.clock.speed, kit.sim.max_tasks = 0.0, kit.sim.running(REGION) + 2
    try:
        first = kit.import_snapshot("disk.vmdk")["ImportTaskId"]
        second = export_image(kit, image)["ExportImageTaskId"]
        with refused("ResourceCountLimitExceeded"):
            export_instance(kit, instance)
        with refused("ResourceCountLimitExceeded"):
            kit.import_image("disk.vmdk")
    finally:
        kit.sim.max_tasks = 50
    kit.ended(first)
    ended(kit, second)


def test_long_descriptions_and_dry_runs(kit: Kit, image: str) -> None:
    with refused("InvalidParameterValue", "longer than 255"):
        export_image(kit, image, Description="x" * 256)
    with refused("DryRunOperation"):
        export_image(kit, image, DryRun=True)


def test_a_disk_that_boots_both_ways_fails(kit: Kit, disk: bytes) -> None:
    head = bytearray(disk[:1024])
    head[200:204] = b"GRUB"
    head[510:520] = b"\x55\xaaEFI PART"
    entry = bytearray(512)
    entry[:16] = bytes.fromhex("28732ac11ff8d211ba4b00a0c93ec93b")
    kit.put("hybrid.raw", bytes(head) + bytes(entry) + bytes(MIB))
    snapshot = kit.ended(kit.import_snapshot("hybrid.raw", "RAW")["ImportTaskId"])["SnapshotId"]
    ident = other_image(kit, mappings=[Mapping("/dev/sda1", snapshot, 1)])
    task = ended(kit, export_image(kit, ident)["ExportImageTaskId"])
    assert task["Status"] == "deleted" and "hybrid boot" in task["StatusMessage"]


# what the demo has


def test_the_demo_has_one_of_each_reason(kit: Kit) -> None:
    furnish(kit.sim, OTHER)
    furnish(kit.sim, OTHER)  # a demo that is started again
    ec2, said = kit.client("ec2"), {}
    for image in ec2.describe_images(Filters=[{"Name": "tag:Name", "Values": [each.name for each in WANTED]}])[
        "Images"
    ]:
        name = next(tag["Value"] for tag in image["Tags"] if tag["Key"] == "Name")
        said[name] = outcome(kit, lambda ident=image["ImageId"]: export_image(kit, ident, bucket=EXPORT_BUCKET))
    assert said == {
        "dub-web-01": "completed",
        "dub-files-02 with data": "completed",
        "dub-build-03": "completed",
        "fra-erp-05": "NotExportable",
        "fra-report-06": "completed",
        "fra-db-07": "NotExportable",
        "firewall appliance": "NotExportable",
        "payroll, encrypted": "NotExportable",
        "archive of 2019": "NotExportable",
        "scratch space": "NotExportable",
        "golden image of the other account": "NotExportable",
        "starts either way": "deleted",
    }
    said = {}
    for reservation in ec2.describe_instances(Filters=[{"Name": "instance-state-name", "Values": ["running"]}])[
        "Reservations"
    ]:
        [instance] = reservation["Instances"]
        name, ident = instance["Tags"][0]["Value"], instance["InstanceId"]
        said[name] = outcome(kit, lambda ident=ident: export_instance(kit, ident, S3Bucket=EXPORT_BUCKET))
    assert said == {
        "dub-web-01": "completed",
        "dub-files-02": "UnsupportedOperation",
        "fra-app-04": "NotExportable",
        "fra-erp-05": "NotExportable",
    }
    before = len(kit.sim.snapshots.all())
    furnish(kit.sim, OTHER)  # a demo that is started again: the bytes of the one before do not pile up
    assert len(kit.sim.snapshots.all()) == before


def outcome(kit: Kit, export: Callable[[], dict[str, Any]]) -> str:
    """The code of the refusal, or the state the task ends in."""
    try:
        started = export()
    except ClientError as error:
        return str(error.response["Error"]["Code"])
    return str(ended(kit, started.get("ExportTaskId") or started["ExportImageTaskId"])["State"])


# several accounts


def test_two_accounts_have_their_own(kit: Kit, image: str, tls: TlsFiles) -> None:
    kit.sim.add_account(OTHER, OTHER_KEY)
    kit.sim.accounts[OTHER].seed(bucket="their-bucket")
    other: dict[str, Any] = {"aws_access_key_id": OTHER_KEY, "aws_secret_access_key": SECRET_KEY}
    assert kit.client("sts", **other).get_caller_identity()["Account"] == OTHER
    assert kit.client("sts").get_caller_identity()["Account"] == kit.sim.account
    theirs = kit.client("ec2", **other)
    assert theirs.describe_export_image_tasks()["ExportImageTasks"] == []
    assert theirs.describe_images(Owners=["self"])["Images"] == []
    assert [item["Name"] for item in kit.client("s3", **other).list_buckets()["Buckets"]] == ["their-bucket"]
    with refused("InvalidParameter", NOT_OWNED.format("their-bucket")):
        export_image(kit, image, bucket="their-bucket")
    with refused("AccessDenied"):
        kit.client("s3").list_objects_v2(Bucket="their-bucket")
    with refused("BucketAlreadyExists"):
        kit.client("s3").create_bucket(Bucket="their-bucket", CreateBucketConfiguration={"LocationConstraint": REGION})
