"""The simulated VM import reads the bytes it is given, walks the documented states and fails with documented texts."""

from __future__ import annotations

import io
import random
import shutil
import struct
import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from botocore.config import Config

from tests.kits.aws_clients import BUCKET, MIB, Kit, linux_disk, refused, running, sha256
from vmie_tui.model import facts
from vmie_tui.services.disks.formats.vmdk_write import encode
from vmie_tui.services.disks.streams.source import RawFile
from vmie_tui.simulators.control import TlsFiles
from vmie_tui.simulators.fleet.tiny import WINDOWS, make_boot

OVF = """<?xml version="1.0"?><Envelope xmlns="http://schemas.dmtf.org/ovf/envelope/1"
 xmlns:ovf="http://schemas.dmtf.org/ovf/envelope/1"><References>
 <File ovf:id="f1" ovf:href="a.vmdk" {more}/><File ovf:id="f2" ovf:href="b.vmdk"/></References>
 <DiskSection><Info/><Disk ovf:diskId="d1" ovf:fileRef="f1"/><Disk ovf:diskId="d2" ovf:fileRef="f2"/></DiskSection>
</Envelope>"""


@pytest.fixture(scope="module")
def kit(tls: TlsFiles, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kit]:
    with running(tls, tmp_path_factory.mktemp("import")) as kit:
        yield kit


@pytest.fixture(scope="module")
def disk(kit: Kit) -> tuple[bytes, bytes]:
    raw, vmdk = linux_disk(kit.folder)
    kit.put("disk.vmdk", vmdk)
    kit.put("disk.raw", raw)
    return raw, vmdk


def message(ident: str) -> str:
    return str(facts.error(ident)["message"])


def test_a_vmdk_becomes_an_image_whose_snapshot_is_byte_equal(kit: Kit, disk: tuple[bytes, bytes]) -> None:
    tags = [{"ResourceType": "import-image-task", "Tags": [{"Key": "job", "Value": "7"}]}]
    kit.sim.clock.speed = 0.0
    try:
        first = kit.import_image(
            "disk.vmdk", Description="web", LicenseType="BYOL", BootMode="uefi", TagSpecifications=tags
        )
        assert (first["Status"], first["StatusMessage"], first["Progress"]) == ("active", "pending", "2")
        assert first["SnapshotDetails"][0]["DiskImageSize"] == 0.0
    finally:
        kit.sim.clock.speed = 60.0
    task = kit.ended(first["ImportTaskId"])
    assert task["Status"] == "completed" and "Progress" not in task and "StatusMessage" not in task
    [detail] = task["SnapshotDetails"]
    assert detail["DiskImageSize"] == float(len(disk[1]))
    assert sha256(kit.snapshot_bytes(detail["SnapshotId"], len(disk[0]))) == sha256(disk[0])
    assert task["Tags"] == [{"Key": "job", "Value": "7"}]
    ec2 = kit.client("ec2")
    [image] = ec2.describe_images(ImageIds=[task["ImageId"]])["Images"]
    assert image["Name"] == first["ImportTaskId"] and image["State"] == "available"
    assert (image["BootMode"], image["PlatformDetails"]) == ("uefi", "Linux/UNIX")
    [mapping] = image["BlockDeviceMappings"]
    assert (mapping["DeviceName"], mapping["Ebs"]["SnapshotId"]) == ("/dev/sda1", detail["SnapshotId"])
    [snapshot] = ec2.describe_snapshots(SnapshotIds=[detail["SnapshotId"]])["Snapshots"]
    assert snapshot["Description"] == f"Created by AWS-VMImport service for {first['ImportTaskId']}"
    assert (snapshot["VolumeSize"], snapshot["State"]) == (1, "completed")
    with refused("InvalidSnapshot.InUse"):
        ec2.delete_snapshot(SnapshotId=detail["SnapshotId"])
    ec2.create_tags(Resources=[task["ImageId"], detail["SnapshotId"]], Tags=[{"Key": "vm", "Value": "web-01"}])
    found = ec2.describe_images(Owners=["self"], Filters=[{"Name": "tag:vm", "Values": ["web-01"]}])["Images"]
    assert [image["ImageId"] for image in found] == [task["ImageId"]]


def test_the_states_come_in_their_order(kit: Kit, disk: tuple[bytes, bytes]) -> None:
    kit.sim.clock.speed = 0.0  # a machine under load would miss the first states
    try:
        ident = kit.import_image("disk.vmdk")["ImportTaskId"]
        seen: list[tuple[str, int]] = []
        while (task := kit.image_task(ident))["Status"] == "active":
            seen.append((task["StatusMessage"], int(task["Progress"])))
            kit.sim.clock.advance(7)
    finally:
        kit.sim.clock.speed = 60.0
    messages = list(dict.fromkeys(text for text, _ in seen))
    assert messages[:1] == ["pending"] and messages[-2:] == ["booting", "preparing ami"]
    order = ["pending", "validating", "validated", "converting", "updating", "booting", "preparing ami"]
    assert messages == [text for text in order if text in messages]
    assert [percent for _, percent in seen] == sorted(percent for _, percent in seen)
    kit.ended(ident)


@pytest.mark.parametrize("format", ["VMDK", "RAW"])
def test_import_snapshot(kit: Kit, disk: tuple[bytes, bytes], format: str) -> None:
    started = kit.import_snapshot(f"disk.{format.lower()}", format, Description="My server VM")
    assert started["SnapshotTaskDetail"]["Progress"] == "3"
    detail = kit.ended(started["ImportTaskId"])
    assert detail["Status"] == "completed" and "Progress" not in detail
    assert kit.snapshot_bytes(detail["SnapshotId"], len(disk[0])) == disk[0]


def test_snapshot_then_register_image(kit: Kit, disk: tuple[bytes, bytes]) -> None:
    ident = kit.ended(kit.import_snapshot("disk.vmdk")["ImportTaskId"])["SnapshotId"]
    ec2 = kit.client("ec2")
    mapping = {"DeviceName": "/dev/xvda", "Ebs": {"SnapshotId": ident, "VolumeType": "gp3"}}
    spec = {"Name": "registered", "RootDeviceName": "/dev/xvda", "Architecture": "x86_64", "BootMode": "uefi"}
    image = ec2.register_image(BlockDeviceMappings=[mapping], EnaSupport=True, VirtualizationType="hvm", **spec)
    [found] = ec2.describe_images(ImageIds=[image["ImageId"]])["Images"]
    assert found["RootDeviceName"] == "/dev/xvda" and found["BlockDeviceMappings"][0]["Ebs"]["SnapshotId"] == ident
    with refused("InvalidAMIName.Duplicate"):
        ec2.register_image(BlockDeviceMappings=[mapping], **spec)
    mapping["Ebs"]["SnapshotId"] = "snap-0123456789abcdef0"
    with refused("InvalidSnapshot.NotFound"):
        ec2.register_image(BlockDeviceMappings=[mapping], **{**spec, "Name": "another"})


def ova(path: Path, members: list[tuple[str, bytes]]) -> bytes:
    with tarfile.open(path, "w", format=tarfile.USTAR_FORMAT) as archive:
        for name, content in members:
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    return path.read_bytes()


def test_an_ova_with_two_disks(kit: Kit, disk: tuple[bytes, bytes]) -> None:
    text = OVF.format(more="").encode()
    data, stream = random.Random(2).randbytes(MIB), io.BytesIO()
    (kit.folder / "data.raw").write_bytes(data)
    with RawFile(kit.folder / "data.raw") as source:
        encode(source, stream.write)
    members = [("vm.ovf", text), ("a.vmdk", disk[1]), ("b.vmdk", stream.getvalue())]
    kit.put("two.ova", ova(kit.folder / "two.ova", members))
    task = kit.ended(kit.import_image("two.ova", "OVA")["ImportTaskId"])
    assert task["Status"] == "completed", task
    for detail, content in zip(task["SnapshotDetails"], (disk[0], data), strict=True):
        assert kit.snapshot_bytes(detail["SnapshotId"], len(content)) == content
    [image] = kit.client("ec2").describe_images(ImageIds=[task["ImageId"]])["Images"]
    assert [mapping["DeviceName"] for mapping in image["BlockDeviceMappings"]] == ["/dev/sda1", "/dev/sdb"]


def bad_ova(kit: Kit, vmdk: bytes, order: str) -> bytes:
    text = OVF.format(more='ovf:chunkSize="1000"' if order == "chunked" else "").encode()
    members = [("vm.ovf", text), ("a.vmdk", vmdk), ("b.vmdk", vmdk)]
    return ova(kit.folder / "bad.ova", members[::-1] if order == "ovf last" else members)


def vhd(raw: bytes, kind: int = 2) -> bytes:
    """A fixed VHD; ``kind`` 4 claims to be differencing."""
    footer = bytearray(512)
    struct.pack_into(">8sIIQ", footer, 0, b"conectix", 2, 0x10000, 0xFFFFFFFFFFFFFFFF)
    struct.pack_into(">QQII", footer, 40, len(raw), len(raw), 0, kind)
    struct.pack_into(">I", footer, 64, ~sum(footer) & 0xFFFFFFFF)
    return raw + bytes(footer)


def test_a_fixed_vhd(kit: Kit, disk: tuple[bytes, bytes]) -> None:
    kit.put("disk.vhd", vhd(disk[0]))
    detail = kit.ended(kit.import_snapshot("disk.vhd", "VHD")["ImportTaskId"])
    assert kit.snapshot_bytes(detail["SnapshotId"], len(disk[0]) + 512) == disk[0] + bytes(512)


@pytest.mark.skipif(not shutil.which("qemu-img"), reason="qemu-img is not installed")
def test_a_dynamic_vhd(kit: Kit, disk: tuple[bytes, bytes]) -> None:
    raw, made = kit.folder / "plain.raw", kit.folder / "dynamic.vhd"
    raw.write_bytes(disk[0])
    command = ["qemu-img", "convert", "-O", "vpc", "-o", "subformat=dynamic,force_size=on", str(raw), str(made)]
    subprocess.run(command, check=True, capture_output=True)
    kit.put("dynamic.vhd", made.read_bytes())
    detail = kit.ended(kit.import_snapshot("dynamic.vhd", "VHD")["ImportTaskId"])
    assert detail["Status"] == "completed", detail
    assert kit.snapshot_bytes(detail["SnapshotId"], len(disk[0])) == disk[0]


@pytest.mark.parametrize(
    ("licence", "usage", "details"),
    [
        ({"LicenseType": "AWS"}, "RunInstances:0002", "Windows"),
        ({"LicenseType": "BYOL"}, "RunInstances:0800", "Windows BYOL"),
        ({"UsageOperation": "RunInstances:0006"}, "RunInstances:0006", "Windows with SQL Server Standard"),
    ],
    ids=["AWS", "BYOL", "usage operation"],
)
def test_windows_is_recognised_and_licensed(kit: Kit, licence: dict[str, str], usage: str, details: str) -> None:
    make_boot(kit.folder / "windows.raw", 8 * MIB, 0, "windows", WINDOWS)
    kit.put("windows.raw", (kit.folder / "windows.raw").read_bytes())
    task = kit.ended(kit.import_image("windows.raw", "RAW", **licence)["ImportTaskId"])
    assert (task["Status"], task["Platform"]) == ("completed", "Windows"), task
    [image] = kit.client("ec2").describe_images(ImageIds=[task["ImageId"]])["Images"]
    assert (image["Platform"], image["UsageOperation"], image["PlatformDetails"]) == ("windows", usage, details)


def failing(kit: Kit, raw: bytes, vmdk: bytes) -> dict[str, tuple[str, bytes, str]]:
    """Name -> (format, object, documented text)."""
    sparse = bytearray(vmdk)
    struct.pack_into("<I", sparse, 8, 3)  # flags without compression and markers: monolithicSparse
    damaged = bytearray(vmdk)
    damaged[len(vmdk) // 2 : len(vmdk) // 2 + 4096] = bytes(4096)
    return {
        "not stream-optimized": ("VMDK", bytes(sparse), message("E04")),
        "no VMDK at all": ("VMDK", raw, message("E04")),
        "cut short": ("VMDK", vmdk[: len(vmdk) // 2], message("E10")),
        "damaged": ("VMDK", bytes(damaged), message("E10")),
        "chunked OVA": ("OVA", bad_ova(kit, vmdk, "chunked"), message("E03")),
        "OVF not first": ("OVA", bad_ova(kit, vmdk, "ovf last"), "Unsupported OVA format"),
        "no OVA at all": ("OVA", raw, "Unsupported OVA format"),
        "differencing VHD": ("VHD", vhd(raw, 4), message("E09")),
        "no partitions": ("RAW", bytes(2 * MIB), "No valid partitions"),
        "no system": ("RAW", empty_partition(), message("E15")),
    }


def empty_partition() -> bytes:
    """A disk with an active partition and nothing on it."""
    boot = bytearray(2 * MIB)
    struct.pack_into("<B3xB3xII", boot, 446, 0x80, 0x83, 64, 4000)
    boot[510:512] = b"\x55\xaa"
    return bytes(boot)


CASES = (
    "not stream-optimized",
    "no VMDK at all",
    "cut short",
    "damaged",
    "chunked OVA",
    "OVF not first",
    "no OVA at all",
    "differencing VHD",
    "no partitions",
    "no system",
)


@pytest.mark.parametrize("case", CASES)
def test_bad_bytes_fail_with_the_documented_text(kit: Kit, disk: tuple[bytes, bytes], case: str) -> None:
    format, content, text = failing(kit, *disk)[case]
    before = {item["SnapshotId"] for item in kit.client("ec2").describe_snapshots(OwnerIds=["self"])["Snapshots"]}
    kit.put(f"bad/{case}", content)
    task = kit.ended(kit.import_image(f"bad/{case}", format)["ImportTaskId"])
    assert task["Status"] == "deleted" and text in task["StatusMessage"], task
    assert "ImageId" not in task
    after = {item["SnapshotId"] for item in kit.client("ec2").describe_snapshots(OwnerIds=["self"])["Snapshots"]}
    assert after == before, "a failed import leaves nothing behind"


def test_a_missing_object_and_a_wrong_licence_fail_the_task(kit: Kit, disk: tuple[bytes, bytes]) -> None:
    assert "404 Not Found" in kit.ended(kit.import_image("nothing.vmdk")["ImportTaskId"])["StatusMessage"]
    failed = kit.ended(kit.import_image("disk.vmdk", LicenseType="AWS")["ImportTaskId"])
    assert failed["Status"] == "deleted" and "license type AWS" in failed["StatusMessage"]
    usage = kit.ended(kit.import_image("disk.vmdk", UsageOperation="RunInstances:0002")["ImportTaskId"])
    assert usage["Status"] == "deleted"


@pytest.mark.parametrize(("kind", "ident"), [("Image", "E05"), ("Image", "E21"), ("Image", "E03"), ("Snapshot", "E10")])
def test_a_task_can_be_told_to_fail(kit: Kit, disk: tuple[bytes, bytes], kind: str, ident: str) -> None:
    fault: dict[str, Any] = {"action": "fail-task", "code": ident, "match": "disk.vmdk", "times": 1}
    kit.control("POST", "faults", {"operation": f"Import{kind}", **fault})
    start = kit.import_image if kind == "Image" else kit.import_snapshot
    task = kit.ended(start("disk.vmdk")["ImportTaskId"])
    assert (task["Status"], task["StatusMessage"]) == ("deleted", message(ident))


def test_encryption_and_an_existing_snapshot_as_source(kit: Kit, disk: tuple[bytes, bytes]) -> None:
    ident = kit.ended(kit.import_snapshot("disk.vmdk", Encrypted=True)["ImportTaskId"])["SnapshotId"]
    ec2 = kit.client("ec2")
    assert ec2.describe_snapshots(SnapshotIds=[ident])["Snapshots"][0]["Encrypted"] is True
    started = ec2.import_image(DiskContainers=[{"SnapshotId": ident, "DeviceName": "/dev/sda1"}])
    task = kit.ended(started["ImportTaskId"])
    assert kit.snapshot_bytes(task["SnapshotDetails"][0]["SnapshotId"], len(disk[0])) == disk[0]
    copied = kit.client("ec2", "us-east-1").copy_snapshot(SourceSnapshotId=ident, SourceRegion="eu-west-1")
    token = kit.client("ebs", "us-east-1").list_snapshot_blocks(SnapshotId=copied["SnapshotId"])["Blocks"][0]
    answer = kit.client("ebs", "us-east-1").get_snapshot_block(SnapshotId=copied["SnapshotId"], **token)
    assert answer["BlockData"].read() == disk[0][:524_288]
    volume = ec2.create_volume(AvailabilityZone="eu-west-1a", SnapshotId=ident)
    assert (volume["Size"], volume["Encrypted"]) == (1, True)


def test_a_private_object_needs_a_presigned_url(kit: Kit, disk: tuple[bytes, bytes]) -> None:
    params = {"Bucket": BUCKET, "Key": "disk.vmdk"}
    config = Config(signature_version="s3v4")
    signed = kit.client("s3", config=config).generate_presigned_url("get_object", Params=params)
    ec2 = kit.client("ec2")

    def run(url: str) -> dict[str, Any]:
        return kit.ended(ec2.import_image(DiskContainers=[{"Format": "vmdk", "Url": url}])["ImportTaskId"])

    assert "403 Forbidden" in run(signed.partition("?")[0])["StatusMessage"]
    assert run(signed)["Status"] == "completed"
    assert run(f"S3://{BUCKET}/disk.vmdk")["Status"] == "completed"
