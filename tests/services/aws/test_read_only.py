"""A read-only profile changes nothing in AWS, whatever is called: refused in the service layer, before a request."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

import pytest

from tests.kits.aws_world import BUCKET, REGION, Control, Source, World, settings_for, store_for, world
from vmie_tui.model.errors import ErrorKind, ServiceError
from vmie_tui.model.export import ExportPlan, TargetEnvironment
from vmie_tui.model.task import Task, TaskKind
from vmie_tui.operations.tasks import cancel_task
from vmie_tui.services.aws.ebs.snapshot_writer import SnapshotTarget, SnapshotWriter
from vmie_tui.services.aws.ec2 import launch, volumes
from vmie_tui.services.aws.ec2.image_info import tag
from vmie_tui.services.aws.ec2.images import (
    CopyRequest,
    RegisterDisk,
    RegisterRequest,
    copy_image,
    deregister_image,
    register_image,
)
from vmie_tui.services.aws.ec2.job_resources import delete_snapshot, snapshot_of
from vmie_tui.services.aws.iam.roles import check_role
from vmie_tui.services.aws.s3.export_bucket import ExportBuckets
from vmie_tui.services.aws.s3.objects import ObjectStore, UploadRequest
from vmie_tui.services.aws.session import Aws, open_session
from vmie_tui.services.aws.vmie.conversion_tasks import ConversionTasks, DiskImage, InstanceRequest, VolumeRequest
from vmie_tui.services.aws.vmie.export_tasks import ExportTasks
from vmie_tui.services.aws.vmie.import_tasks import ImageRequest, ImportTasks, SnapshotRequest
from vmie_tui.simulators.control import TlsFiles


@pytest.fixture(scope="module")
def aws(tls: TlsFiles, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("aws")
    with world(tls, folder) as (simulator, writing):
        for key in ("kept", "unfinished"):
            writing.client("s3").put_object(Bucket=BUCKET, Key=key, Body=b"x")
        writing.client("s3").create_multipart_upload(
            Bucket=BUCKET, Key="unfinished", ChecksumAlgorithm="CRC64NVME", ChecksumType="FULL_OBJECT"
        )
        _things(writing)
        yield simulator, open_session(settings_for(simulator, tls, folder), read_only=True)


THINGS: dict[str, str] = {}


def _things(aws: Aws) -> None:
    """A volume, a snapshot, an image and an instance to try changing."""
    ec2 = aws.client("ec2", REGION)
    volume = ec2.create_volume(AvailabilityZone=f"{REGION}a", Size=1)["VolumeId"]
    snapshot = ec2.create_snapshot(VolumeId=volume)["SnapshotId"]
    disk = {"DeviceName": "/dev/sda1", "Ebs": {"SnapshotId": snapshot}}
    image = ec2.register_image(
        Name="kept",
        Architecture="x86_64",
        VirtualizationType="hvm",
        EnaSupport=True,
        RootDeviceName="/dev/sda1",
        BlockDeviceMappings=[disk],
    )["ImageId"]
    found = ec2.run_instances(ImageId=image, MinCount=1, MaxCount=1, InstanceType="t3.micro")["Instances"][0]
    THINGS.update(volume=volume, snapshot=snapshot, image=image, instance=found["InstanceId"])


def upload(store: ObjectStore, key: str) -> object:
    return store.upload(UploadRequest(BUCKET, key, 1), Source(b"y"), control=Control())


def export(aws: Aws, source: str) -> object:
    where = TargetEnvironment.VMWARE if source == "instance" else TargetEnvironment.NONE
    return ExportTasks(aws, REGION).start(
        ExportPlan("p", THINGS[source], "x", REGION, BUCKET, target_environment=where), client_token="t"
    )


def grant(aws: Aws) -> object:
    buckets = ExportBuckets(aws, REGION)
    report = buckets.look(BUCKET, instance=True)
    assert report.changes
    return buckets.apply(report)


def start_snapshot(aws: Aws) -> None:
    with SnapshotWriter(aws, REGION, SnapshotTarget(1 << 20, client_token="t"), journal=NoJournal(), control=Control()):
        pass


class NoJournal:
    def load(self) -> dict[int, bytes]:
        return {}

    def append(self, blocks: object) -> None:
        raise AssertionError("nothing is put")


def desk(aws: Aws) -> dict[str, Callable[[], object]]:
    """The ways out, conversions, images, volumes, launches: what came after imports."""
    image = DiskImage("https://s3/x", 1, "RAW", 1)
    conversions = ConversionTasks(aws, REGION)
    made_of_snapshot = volumes.VolumeRequest(THINGS["snapshot"], f"{REGION}a")
    unregistered = RegisterRequest("new", (RegisterDisk(THINGS["snapshot"], 1),))
    return {
        "export_instance": partial(export, aws, "instance"),
        "export_image": partial(export, aws, "image"),
        "cancel_export": partial(ExportTasks(aws, REGION).cancel, "export-i-0123456789abcdef0"),
        "grant": partial(grant, aws),
        "import_instance": partial(conversions.import_instance, InstanceRequest(image, "Linux")),
        "import_volume": partial(conversions.import_volume, VolumeRequest(image, f"{REGION}a")),
        "cancel_conversion": partial(conversions.cancel, "import-i-0123456789abcdef0"),
        "register_image": partial(register_image, aws, REGION, unregistered),
        "copy_image": partial(copy_image, aws, "us-east-1", CopyRequest(THINGS["image"], REGION, "copy")),
        "deregister_image": partial(deregister_image, aws, REGION, THINGS["image"]),
        "create_volume": partial(volumes.create_volume, aws, REGION, made_of_snapshot),
        "attach_volume": partial(volumes.attach_volume, aws, REGION, THINGS["volume"], THINGS["instance"]),
        "delete_volume": partial(volumes.delete_volume, aws, REGION, THINGS["volume"]),
        "launch": partial(launch.launch, aws, REGION, launch.LaunchRequest(THINGS["image"], "t3.micro", "token")),
        "terminate": partial(launch.terminate, aws, REGION, THINGS["instance"]),
        "delete_snapshot": partial(delete_snapshot, aws, REGION, THINGS["snapshot"]),
        "snapshot_of": partial(snapshot_of, aws, REGION, THINGS["volume"], "x"),
        "start_snapshot": partial(start_snapshot, aws),
        "cancel_task": partial(cancel_task, aws, Task(TaskKind.EXPORT_IMAGE, "export-ami-1", "active", region=REGION)),
    }


def writes(aws: Aws) -> dict[str, Callable[[], object]]:
    store, tasks = store_for(aws), ImportTasks(aws, REGION)
    return {
        **desk(aws),
        "create_bucket": partial(store.create_bucket, "another-bucket"),
        "upload": partial(upload, store, "new"),
        "resume": partial(upload, store, "unfinished"),
        "abort": partial(store.abort, BUCKET, "unfinished"),
        "delete": partial(store.delete, BUCKET, "kept"),
        "delete_objects": partial(store.delete_objects, BUCKET, ["kept"]),
        "import_image": partial(tasks.import_image, ImageRequest(((BUCKET, "kept", "RAW"),))),
        "dry_run": partial(tasks.dry_run, SnapshotRequest((BUCKET, "kept", "RAW"))),
        "import_snapshot": partial(tasks.import_snapshot, SnapshotRequest((BUCKET, "kept", "RAW"))),
        "cancel": partial(tasks.cancel, "import-ami-00000000000000000"),
        "tag": partial(tag, aws, REGION, ["ami-00000000000000000"], {"a": "b"}),
    }


WRITES = (
    "create_bucket",
    "upload",
    "resume",
    "abort",
    "delete",
    "delete_objects",
    "import_image",
    "dry_run",
    "import_snapshot",
    "cancel",
    "tag",
)
DESK = (
    "export_instance",
    "export_image",
    "cancel_export",
    "grant",
    "import_instance",
    "import_volume",
    "cancel_conversion",
    "register_image",
    "copy_image",
    "deregister_image",
    "create_volume",
    "attach_volume",
    "delete_volume",
    "launch",
    "terminate",
    "delete_snapshot",
    "snapshot_of",
    "start_snapshot",
    "cancel_task",
)


@pytest.mark.parametrize("name", WRITES + DESK)
def test_writing_is_refused_before_a_request(aws: World, name: str) -> None:
    simulator, session = aws
    simulator.stats.reset()
    with pytest.raises(ServiceError, match="read-only") as caught:
        writes(session)[name]()
    assert caught.value.kind is ErrorKind.REFUSED
    asked = simulator.stats.snapshot()
    assert all(operation.partition(":")[2].startswith(("List", "Get", "Head", "Describe")) for operation in asked)


def test_all_writes_are_tried(aws: World) -> None:
    public = {
        name
        for kind in (ObjectStore, ImportTasks)
        for name in vars(kind)
        if not name.startswith("_") and callable(getattr(kind, name))
    }
    assert set(desk(aws[1])) == set(DESK)
    reads = {"check_bucket", "owned_by", "region_of", "find_upload", "list_parts", "head", "task", "tasks"}
    reads.add("transfer")  # `upload` is one
    assert public - reads == set(WRITES) - {"resume", "tag"}


def test_reading_works(aws: World) -> None:
    _, session = aws
    store = store_for(session)
    assert session.identity().account
    assert store.check_bucket(BUCKET).name == BUCKET
    assert store.head(BUCKET, "kept") is not None
    assert store.find_upload(BUCKET, "unfinished") is not None
    assert check_role(session, "vmimport", BUCKET).inspected
    assert list(ImportTasks(session, REGION).tasks()) == []
