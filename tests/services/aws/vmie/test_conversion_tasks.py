"""The instance route on the simulated AWS: from part objects to a stopped instance or a volume, byte for byte."""

from __future__ import annotations

import random
import tempfile
from pathlib import Path

import pytest

from tests.kits.aws_clients import refused
from tests.kits.aws_world import BUCKET, REGION
from tests.kits.conversions import (
    World,
    bytes_of,
    ended,
    gone,
    image_of,
    instance,
    instance_request,
    linux,
    upload,
)
from tests.kits.disk_containers import vhdx
from tests.kits.disk_images import Sparse
from tests.kits.waiting import wait_until
from vmie_tui.model.errors import ErrorKind, ServiceError
from vmie_tui.model.task import TaskKind
from vmie_tui.services.aws.ebs.snapshot_reader import SnapshotReader
from vmie_tui.services.aws.s3.instance_parts import PartsUploaded
from vmie_tui.services.aws.vmie.conversion_tasks import ConversionTasks, DiskImage, VolumeRequest
from vmie_tui.services.aws.vmie.import_tasks import ImageRequest, ImportDisk, ImportTasks, SnapshotRequest
from vmie_tui.services.aws.vmie.task_parser import conversion_task, place_of
from vmie_tui.simulators.aws.server import AwsSimulator
from vmie_tui.simulators.control import TlsFiles
from vmie_tui.simulators.fleet.tiny import MIB, WINDOWS, make_boot

NOISE = random.Random(1).randbytes(512 << 10)


@pytest.fixture
def aws(aws: World) -> World:
    aws[0].clock.speed = 60.0
    return aws


@pytest.fixture(scope="module")
def ready(shared: World) -> PartsUploaded:
    return upload(shared[1], "ready", linux())


@pytest.mark.parametrize("kind", ["RAW", "VHD", "VHD-fixed", "VMDK"])
def test_an_instance_with_the_very_bytes(aws: World, kind: str) -> None:
    simulator, session = aws
    conversions = ConversionTasks(session, REGION)
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
    conversions = ConversionTasks(session, REGION)
    request = instance_request(done, platform="Windows", instance_type="m5.large", availability_zone=f"{REGION}b")
    task = ended(simulator, conversions, conversions.import_instance(request).id)
    assert task.completed, task.status_message
    found = instance(session, task.instance_id)
    assert (found["Platform"], found["Placement"]["AvailabilityZone"]) == ("windows", f"{REGION}b")


def test_a_volume_with_the_very_bytes(aws: World) -> None:
    simulator, session = aws
    done = upload(session, "volume", image_of("VMDK"), "VMDK", gib=3)
    conversions = ConversionTasks(session, REGION)
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
    conversions = ConversionTasks(session, REGION)
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
    conversions = ConversionTasks(session, REGION)
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


# -- cancelling, finding, starting


def test_cancel_removes_the_instance_and_leaves_the_parts(aws: World, ready: PartsUploaded) -> None:
    simulator, session = aws
    simulator.clock.speed = 0.0
    conversions = ConversionTasks(session, REGION)
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
    conversions = ConversionTasks(session, REGION)
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
    conversions = ConversionTasks(session, REGION)
    task = conversions.import_instance(instance_request(ready))
    with refused("InvalidParameterValue", "does not have a volume attached at root (/dev/sda1)"):
        session.client("ec2").start_instances(InstanceIds=[task.instance_id])
    conversions.cancel(task.id)


def test_a_start_whose_answer_was_lost_is_found(aws: World) -> None:
    simulator, session = aws
    done = upload(session, "lost", linux())
    conversions = ConversionTasks(session, REGION)
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
        ConversionTasks(aws[1], REGION).task(ident)
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
    conversions = ConversionTasks(session, REGION)
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
    imports, disk = ImportTasks(session, REGION), ImportDisk(BUCKET, "disk.vhdx", "VHDX")
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
    imports = ImportTasks(session, REGION)
    ident = imports.import_snapshot(SnapshotRequest(ImportDisk(BUCKET, "broken.vhdx", "VHDX"))).id

    def look() -> bool:
        simulator.clock.advance(120)
        return imports.task(ident).terminal

    wait_until(look, what=f"end of {ident}")
    assert "Unsupported VHDX File Format" in imports.task(ident).reason
