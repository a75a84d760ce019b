"""From objects in S3 to an AMI on the simulated AWS: tasks, roles, tags, and the snapshot read back block by block."""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from tests.kits.aws_world import BUCKET, REGION, Control, Source, World, content, store_for, world
from tests.kits.waiting import wait_until
from vmie_tui.model import facts
from vmie_tui.model.errors import ErrorKind, ServiceError
from vmie_tui.model.task import Task, TaskKind
from vmie_tui.services.aws.ebs.snapshot_reader import SnapshotReader
from vmie_tui.services.aws.ec2.images import describe_image, describe_snapshots, tag
from vmie_tui.services.aws.iam.roles import check_role, inspect_role
from vmie_tui.services.aws.s3.objects import UploadRequest
from vmie_tui.services.aws.session import Aws
from vmie_tui.services.aws.vmie.import_tasks import ImageRequest, ImportTasks, SnapshotRequest
from vmie_tui.services.disks.streams.source import sha256_of
from vmie_tui.simulators.control import Fault, TlsFiles
from vmie_tui.simulators.fleet import guests

MIB = 1 << 20
ROLE = "vmimport"


@cache
def disk() -> bytes:
    """A RAW disk of 11 MiB and one odd sector: a small Linux, data, a hole, data."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "disk.raw"
        guests.restore("tiny-linux", path)
        return path.read_bytes() + content(MIB, 3) + bytes(2 * MIB) + content(MIB, 4) + content(512, 5)


@pytest.fixture(scope="module")
def shared(tls: TlsFiles, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with world(tls, tmp_path_factory.mktemp("aws")) as made:
        simulator, aws = made
        simulator.clock.speed = 5000
        data = disk()
        store_for(aws).upload(UploadRequest(BUCKET, "disk.raw", len(data)), Source(data), control=Control())
        yield made


REQUEST = ImageRequest(
    disks=((BUCKET, "disk.raw", "RAW", "Hard disk 1"),),
    description="web server",
    license_type="BYOL",
    role_name=ROLE,
    tags={"job": "1"},
)


def ended(api: ImportTasks, task_id: str) -> Task:
    return wait_until(lambda: task if (task := api.task(task_id)).terminal else None, 60, f"{task_id} ended")


def test_an_image_is_imported_tagged_and_equal_to_its_source(aws: World) -> None:
    _, session = aws
    api = ImportTasks(session, REGION)
    task = api.import_image(REQUEST)
    assert task.kind is TaskKind.IMPORT_IMAGE
    assert task.id.startswith("import-ami-")
    done = ended(api, task.id)
    assert done.completed, done.reason
    assert (done.description, done.tags, done.region, done.progress) == ("web server", {"job": "1"}, REGION, None)
    image = describe_image(session, REGION, done.image_id)
    assert image.snapshot_ids == tuple(disk.snapshot_id for disk in done.disks)
    ids = (done.image_id, *image.snapshot_ids)
    tag(session, REGION, ids, {"Name": "web", "tool": "vmie-tui"})
    assert describe_image(session, REGION, done.image_id).tags["Name"] == "web"
    (snapshot,) = describe_snapshots(session, REGION, image.snapshot_ids)
    assert (snapshot.state, snapshot.size_gib, snapshot.tags["tool"]) == ("completed", 1, "vmie-tui")
    data = disk()
    with SnapshotReader(session, REGION, snapshot.id, len(data)) as reader:
        assert sha256_of(reader) == hashlib.sha256(data).hexdigest()
        assert reader.read_at(len(data) - 10, 100) == data[-10:]
        assert reader.read_at(MIB - 7, 3 * MIB) == data[MIB - 7 : 4 * MIB - 7]
        assert all(length > 0 and start + length <= len(data) for start, length in reader.extents())
    with SnapshotReader(session, REGION, snapshot.id) as reader:
        assert reader.size == reader.capacity == 1 << 30


def test_a_damaged_block_is_read_again(aws: World) -> None:
    simulator, session = aws
    api = ImportTasks(session, REGION)
    done = ended(api, api.import_snapshot(SnapshotRequest((BUCKET, "disk.raw", "RAW"), role_name=ROLE)).id)
    assert done.completed, done.reason
    simulator.faults.add(Fault("GetSnapshotBlock", "reset", times=2))
    with SnapshotReader(session, REGION, done.disks[0].snapshot_id, len(disk())) as reader:
        assert reader.read_at(0, 512) == disk()[:512]


def test_tasks_are_listed_and_found(aws: World) -> None:
    _, session = aws
    api = ImportTasks(session, REGION)
    image = api.import_image(REQUEST)
    snapshot = api.import_snapshot(SnapshotRequest((BUCKET, "disk.raw", "RAW"), description="data", role_name=ROLE))
    found = {task.id: task for task in api.tasks()}
    assert found[image.id].kind is TaskKind.IMPORT_IMAGE
    assert found[snapshot.id].kind is TaskKind.IMPORT_SNAPSHOT
    assert found[snapshot.id].disks[0].key == "disk.raw"
    assert snapshot.id not in {task.id for task in api.tasks([TaskKind.IMPORT_IMAGE])}
    ended(api, image.id)
    ended(api, snapshot.id)


def test_unknown_tasks(aws: World) -> None:
    api = ImportTasks(aws[1], REGION)
    for task_id in ("import-ami-00000000000000000", "import-snap-00000000000000000"):
        with pytest.raises(ServiceError) as caught:
            api.task(task_id)
        assert caught.value.kind in {ErrorKind.NOT_FOUND, ErrorKind.INVALID}
        assert caught.value.problem.subject == task_id


def test_a_task_is_cancelled_once(aws: World) -> None:
    simulator, session = aws
    api = ImportTasks(session, REGION)
    simulator.clock.speed = 1
    task = api.import_image(REQUEST)
    api.cancel(task.id, "test")
    simulator.clock.speed = 5000
    done = ended(api, task.id)
    assert done.state == "deleted"
    assert not done.failed


def test_licence_rules_are_refused(aws: World) -> None:
    api = ImportTasks(aws[1], REGION)
    with pytest.raises(ServiceError) as caught:
        api.import_image(replace(REQUEST, usage_operation="RunInstances"))
    assert caught.value.kind is ErrorKind.INVALID


def test_a_missing_role_is_explained(aws: World) -> None:
    api = ImportTasks(aws[1], REGION)
    with pytest.raises(ServiceError) as caught:
        api.import_image(replace(REQUEST, role_name="nobody"))
    assert caught.value.kind is ErrorKind.REFUSED
    assert caught.value.problem.remedy.lower() == facts.error("E06")["remedy"].lower()


def replace_times(fault: Fault) -> Fault:
    return replace(fault, times=None, fired=0)


def test_throttled_describes_are_repeated(aws: World) -> None:
    simulator, session = aws
    fault = simulator.faults.add(
        Fault(
            "DescribeImportImageTasks",
            times=2,
            code="RequestLimitExceeded",
            message="Request limit exceeded",
            status=503,
        )
    )
    list(ImportTasks(session, REGION).tasks([TaskKind.IMPORT_IMAGE]))
    assert fault.fired == 2


def test_the_documented_role_passes(aws: World) -> None:
    report = check_role(aws[1], ROLE, BUCKET)
    assert report.inspected
    assert report.problems == ()


def make_role(
    session: Aws, name: str, trust: dict[str, Any], policy: dict[str, Any] | None, managed: bool = False
) -> None:
    iam = session.client("iam")
    iam.create_role(RoleName=name, AssumeRolePolicyDocument=json.dumps(trust))
    if policy is None:
        return
    if managed:
        arn = iam.create_policy(PolicyName=name, PolicyDocument=json.dumps(policy))["Policy"]["Arn"]
        iam.attach_role_policy(RoleName=name, PolicyArn=arn)
    else:
        iam.put_role_policy(RoleName=name, PolicyName="p", PolicyDocument=json.dumps(policy))


def test_roles_with_something_wrong(aws: World) -> None:
    _, session = aws
    known = facts.load("access")["iam"]["vmimport_role"]
    trust, policy = known["trust_policy"], known["role_policy"]
    policy = json.loads(json.dumps(policy).replace("{import_bucket}", BUCKET).replace("{export_bucket}", BUCKET))
    unconditional = json.loads(json.dumps(trust))
    del unconditional["Statement"][0]["Condition"]
    make_role(session, "managed", trust, policy, managed=True)
    make_role(session, "no-external-id", unconditional, policy)
    make_role(session, "no-policy", trust, None)
    assert check_role(session, "managed", BUCKET).inspected
    for name, words in {
        "nobody": "does not exist",
        "no-external-id": "sts:Externalid",
        "no-policy": "s3:GetObject",
    }.items():
        with pytest.raises(ServiceError, match=words) as caught:
            check_role(session, name, BUCKET)
        assert caught.value.problem.subject == f"role {name}"
        assert caught.value.problem.remedy
    assert len(inspect_role(session, "no-policy", BUCKET).problems) == 2


def test_a_role_that_may_not_be_read_is_not_inspected(aws: World) -> None:
    simulator, session = aws
    denied = {"times": None, "code": "AccessDenied", "message": "not authorized", "status": 403}
    simulator.faults.add(Fault("ListAttachedRolePolicies", **denied))  # type: ignore[arg-type]
    report = check_role(session, ROLE, BUCKET)
    assert not report.inspected
    assert "not inspected" in report.note
    simulator.faults.add(Fault("GetRole", **denied))  # type: ignore[arg-type]
    assert "iam:GetRole" in check_role(session, ROLE, BUCKET).note


def test_images_and_snapshots_that_are_not_there(aws: World) -> None:
    _, session = aws
    with pytest.raises(ServiceError) as caught:
        describe_image(session, REGION, "ami-00000000000000000")
    assert caught.value.kind is ErrorKind.NOT_FOUND
    with pytest.raises(ServiceError) as caught:
        describe_snapshots(session, REGION, ["snap-00000000000000000"])
    assert caught.value.kind is ErrorKind.NOT_FOUND
    with pytest.raises(ServiceError) as caught:
        SnapshotReader(session, REGION, "snap-00000000000000000")
    assert caught.value.kind is ErrorKind.NOT_FOUND
