"""Exports through the services: candidates and their reasons, the bucket put right, tasks, the object, the download."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.kits.aws_clients import BUCKET, REGION, Kit, bucket_for_exports, launch, linux_disk, roles_for, running
from tests.kits.aws_world import settings_for
from vmie_tui.model import facts
from vmie_tui.model.errors import ErrorKind, ServiceError
from vmie_tui.model.export import Container, ExportFormat, ExportPlan, TargetEnvironment
from vmie_tui.model.finding import Finding, Severity
from vmie_tui.model.rules.exports import check_export, check_exportable
from vmie_tui.model.task import Task
from vmie_tui.services.aws.ec2.exportable import ExportableSources
from vmie_tui.services.aws.iam.roles import check_role
from vmie_tui.services.aws.s3 import download
from vmie_tui.services.aws.s3.download import Download, forget, partial
from vmie_tui.services.aws.s3.export_bucket import ChangeKind, ExportBuckets, canonical_id
from vmie_tui.services.aws.session import Aws, open_session
from vmie_tui.services.aws.vmie.export_tasks import ExportTasks
from vmie_tui.services.disks.formats.open_disk import open_disk
from vmie_tui.services.disks.streams.ranges import Budget
from vmie_tui.simulators.control import Fault, TlsFiles

OUT, MIB = "g-export-bucket", 1 << 20


@pytest.fixture(scope="module")
def kit(tls: TlsFiles, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kit]:
    with running(tls, tmp_path_factory.mktemp("exports"), max_tasks=50) as kit:
        bucket_for_exports(kit, OUT)
        roles_for(kit, OUT)
        yield kit


@pytest.fixture(scope="module")
def aws(kit: Kit, tls: TlsFiles, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Aws]:
    session = open_session(replace(settings_for(kit.sim, tls, tmp_path_factory.mktemp("keys")), region=REGION))
    yield session
    session.close()


@pytest.fixture(scope="module")
def disk(kit: Kit) -> bytes:
    raw, vmdk = linux_disk(kit.folder, 12 * MIB, 6 * MIB)
    kit.put("disk.vmdk", vmdk)
    return raw


@pytest.fixture(scope="module")
def image(kit: Kit, disk: bytes) -> str:
    return str(kit.ended(kit.import_image("disk.vmdk")["ImportTaskId"])["ImageId"])


@pytest.fixture(scope="module")
def instance(kit: Kit, image: str) -> str:
    return launch(kit, image)


@pytest.fixture(autouse=True)
def calm(kit: Kit) -> Iterator[None]:
    yield
    kit.sim.faults.clear()
    kit.sim.clock.speed = 60.0


def plan_for(source: str, **change: Any) -> ExportPlan:
    values: dict[str, Any] = {"prefix": "out/", **change}
    if source.startswith("i-"):
        values = {"target_environment": TargetEnvironment.VMWARE, "container": Container.OVA, **values}
    return ExportPlan("p", source, "web", REGION, values.pop("bucket", OUT), **values)


def finished(kit: Kit, exports: ExportTasks, task: Task) -> Task:
    kit.sim.clock.speed = 3000.0
    return exports.watch(task.id, lambda _: None, seconds=0.05)


def blockers(findings: tuple[Finding, ...]) -> list[str]:
    return [finding.fact for finding in findings if finding.severity is Severity.BLOCKER]


class Control:
    def __init__(self, stop_after: int = 1 << 60) -> None:
        self.received_bytes = self.skipped_bytes = 0
        self.stop_after = stop_after

    def check(self) -> None:
        if self.received_bytes >= self.stop_after:
            raise ServiceError(ErrorKind.CANCELLED, "stopped")

    def moved(self, nbytes: int, *, skipped: bool = False) -> None:
        if skipped:
            self.skipped_bytes += nbytes
        else:
            self.received_bytes += nbytes


# -- candidates


def test_an_imported_instance_and_its_image_are_candidates(kit: Kit, aws: Aws, instance: str, image: str) -> None:
    candidates = ExportableSources(aws, REGION)
    pages: list[int] = []
    found = {thing.id: thing for thing in candidates.instances(lambda page: pages.append(len(page)))}
    thing = found[instance]
    assert sum(pages) == len(found)
    assert (thing.name, thing.state, thing.image_id, thing.interfaces) == ("web 01", "running", image, 1)
    assert thing.owner == thing.account and thing.image_exists and thing.image_imported
    assert [(d.size_gib, d.encrypted, d.late, d.snapshot_exists) for d in thing.disks] == [(1, False, False, True)]
    assert blockers(check_exportable(thing)) == []
    seen = {own.id: own for own in candidates.images()}[image]
    assert blockers(check_exportable(seen)) == [] and seen.disks[0].snapshot_exists
    looked = candidates.look(instance)
    assert (looked.cpus, looked.memory_mib, looked.active_tasks) == (2, 4096, 0)


def test_what_there_is_against_it_is_found(kit: Kit, aws: Aws, image: str) -> None:
    ec2 = kit.client("ec2")
    ident = launch(kit, image)
    zone = ec2.describe_instances(InstanceIds=[ident])["Reservations"][0]["Instances"][0]["Placement"]
    volume = ec2.create_volume(AvailabilityZone=zone["AvailabilityZone"], Size=1100, Encrypted=True)["VolumeId"]
    ec2.attach_volume(InstanceId=ident, VolumeId=volume, Device="/dev/sdf")
    thing = ExportableSources(aws, REGION).look(ident)
    assert blockers(check_exportable(thing)) == ["F301", "F309", "F305"]
    with pytest.raises(ServiceError, match=r"cannot be exported|multiple volumes"):
        ExportTasks(aws, REGION).start(plan_for(ident))


def test_an_image_that_is_gone_is_seen(kit: Kit, aws: Aws, image: str) -> None:
    ec2 = kit.client("ec2")
    copy = ec2.copy_image(SourceImageId=image, SourceRegion=REGION, Name="for a moment")["ImageId"]
    kit.sim.clock.advance(3600)
    ident = launch(kit, copy)
    ec2.deregister_image(ImageId=copy)
    thing = ExportableSources(aws, REGION).look(ident)
    assert thing.image_exists is False and blockers(check_exportable(thing)) == ["F304"]
    with pytest.raises(ServiceError, match="cannot be exported"):
        ExportTasks(aws, REGION).start(plan_for(ident))


@pytest.mark.parametrize(
    ("ident", "kind"),
    [
        ("i-0000000000000dead", ErrorKind.NOT_FOUND),
        ("vol-1", ErrorKind.INVALID),
        ("ami-0dead000000000000", ErrorKind.NOT_FOUND),
    ],
)
def test_what_does_not_exist(aws: Aws, ident: str, kind: ErrorKind) -> None:
    with pytest.raises(ServiceError) as caught:
        ExportableSources(aws, REGION).look(ident)
    assert caught.value.kind is kind


# -- the bucket


def test_a_bucket_is_put_right(kit: Kit, aws: Aws, instance: str) -> None:
    kit.client("s3").create_bucket(
        Bucket="g-new-bucket", CreateBucketConfiguration={"LocationConstraint": REGION}
    )  # as S3 makes them today: without access control lists
    buckets = ExportBuckets(aws, REGION)
    report = buckets.look("g-new-bucket", instance=True)
    assert (report.bucket.owned, report.bucket.region, report.bucket.granted) == (True, REGION, False)
    assert [change.kind for change in report.changes] == [ChangeKind.OWNERSHIP, ChangeKind.ACL]
    plan = plan_for(instance, bucket="g-new-bucket")
    thing = replace(ExportableSources(aws, REGION).look(instance), bucket=report.bucket)
    assert blockers(check_export(plan, thing)) == ["F274", "F276"]
    with pytest.raises(ServiceError):
        ExportTasks(aws, REGION).start(plan)
    added = [line for line in report.changes[1].diff if line.startswith("+")]
    assert sum(canonical_id(REGION)[0] in line for line in added) == 2
    assert any("READ_ACP" in line for line in added) and any('"WRITE"' in line for line in added)
    assert not [line for line in report.changes[1].diff if line.startswith("-") and "ID" in line], "nobody loses access"
    after = buckets.apply(report)
    assert after.changes == () and after.bucket.granted and after.bucket.ownership == "BucketOwnerPreferred"
    task = ExportTasks(aws, REGION).start(plan)
    assert task.state == "active"
    ExportTasks(aws, REGION).cancel(task.id)
    with pytest.raises(ServiceError) as caught:  # the report is old now
        buckets.apply(report)
    assert caught.value.kind is ErrorKind.CONFLICT


def test_the_documented_policy_grants_too(kit: Kit, aws: Aws) -> None:
    kit.client("s3").create_bucket(
        Bucket="g-policy-bucket",
        CreateBucketConfiguration={"LocationConstraint": REGION},
        ObjectOwnership="BucketOwnerPreferred",
    )
    text = json.dumps(facts.load("access")["export_bucket"]["bucket_policy"])
    text = text.replace("{export_bucket}", "g-policy-bucket").replace("{canonical_account_id}", canonical_id(REGION)[0])
    kit.client("s3").put_bucket_policy(Bucket="g-policy-bucket", Policy=text)
    report = ExportBuckets(aws, REGION).look("g-policy-bucket", instance=True)
    assert report.bucket.granted and report.changes == ()


def test_a_bucket_with_kms(kit: Kit, aws: Aws) -> None:
    bucket_for_exports(kit, "g-kms-bucket")
    rule = {"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "aws:kms"}}
    kit.client("s3").put_bucket_encryption(Bucket="g-kms-bucket", ServerSideEncryptionConfiguration={"Rules": [rule]})
    buckets = ExportBuckets(aws, REGION)
    report = buckets.look("g-kms-bucket", instance=False)
    assert report.bucket.encryption == "aws:kms" and [c.kind for c in report.changes] == [ChangeKind.ENCRYPTION]
    assert buckets.apply(report).bucket.encryption == "aws:kms", "never without being told to"
    assert buckets.apply(report, {ChangeKind.ENCRYPTION}).bucket.encryption == "AES256"


def test_a_bucket_elsewhere_is_not_touched(kit: Kit, aws: Aws) -> None:
    kit.client("s3", "us-east-1").create_bucket(Bucket="g-far-bucket")
    report = ExportBuckets(aws, REGION).look("g-far-bucket", instance=True)
    assert report.bucket.region == "us-east-1" and report.changes == ()
    with pytest.raises(ServiceError) as caught:
        ExportBuckets(aws, REGION).look("g-no-such-bucket", instance=True)
    assert caught.value.kind is ErrorKind.NOT_FOUND


@pytest.mark.parametrize("region", ["af-south-1", "ap-southeast-6", "us-gov-west-1", "cn-north-1", "eu-west-1"])
def test_canonical_ids(region: str) -> None:
    ident, note = canonical_id(region)
    known = facts.load("access")["export_bucket"]["canonical_account_ids"]
    assert len(ident) == known["id_length"] and (ident == known["default"]) == (region == "eu-west-1")
    assert bool(note) == (region.startswith(("us-gov", "cn-")))


def test_the_role_of_exports(aws: Aws) -> None:
    assert check_role(aws, "vmimport", OUT, exports=True).inspected
    with pytest.raises(ServiceError, match="s3:PutObject"):
        check_role(aws, "vmimport", "g-other-bucket", exports=True)


# -- tasks


@pytest.mark.parametrize(
    ("source", "change"),
    [
        ("instance", {}),
        ("instance", {"container": Container.NONE}),
        (
            "instance",
            {
                "container": Container.NONE,
                "format": ExportFormat.VHD,
                "target_environment": TargetEnvironment.MICROSOFT,
            },
        ),
        ("image", {}),
        ("image", {"format": ExportFormat.VHD}),
        ("image", {"format": ExportFormat.RAW}),
    ],
)
def test_each_format_comes_back_byte_equal(
    kit: Kit, aws: Aws, disk: bytes, tmp_path: Path, request: pytest.FixtureRequest, source: str, change: dict[str, Any]
) -> None:
    exports, plan = ExportTasks(aws, REGION), plan_for(request.getfixturevalue(source), **change)
    task = exports.start(plan, client_token=f"t-{source}-{plan.extension}", tags={"vmie:job": "job-1"})
    assert (
        task.state == "active" and not task.terminal and task.id.startswith(f"export-{plan.source_id.split('-')[0]}-")
    )
    assert exports.started(plan.source_id, "vmie:job", "job-1") is not None
    assert exports.started(plan.source_id, "vmie:job", "job-2") is None
    ended = finished(kit, exports, task)
    assert ended.completed and ended.disks[0].bucket == OUT
    [found] = exports.find_objects(ended, plan)
    assert (found,) == exports.find_objects(ended) and found.key == plan.object_key(task.id)
    if plan.format is not ExportFormat.RAW:  # a GiB, nearly all of it zeros
        path = tmp_path / f"x.{plan.extension}"
        got = Download(aws, REGION).fetch(found.bucket, found.key, path, control=Control())
        assert got.proven == "CRC64NVME" and got.size == found.size == path.stat().st_size
        with open_disk(path, Budget(1 << 20, 1 << 40, 60.0)) as whole:
            assert whole.read_at(0, len(disk)) == disk
    kit.client("s3").delete_object(Bucket=OUT, Key=found.key)
    with pytest.raises(ServiceError, match="not there"):
        exports.find_objects(ended, plan)


def test_a_task_is_cancelled_and_nothing_is_left(kit: Kit, aws: Aws, image: str) -> None:
    exports = ExportTasks(aws, REGION)
    task = exports.start(plan_for(image, prefix="gone/"))
    assert [own.id for own in exports.tasks() if not own.terminal] == [task.id]
    assert ExportableSources(aws, REGION).look(image).running == (task.id,)
    assert "F332" in blockers(check_exportable(ExportableSources(aws, REGION).look(image)))
    exports.cancel(task.id)
    ended = finished(kit, exports, task)
    assert not ended.completed and ended.terminal
    assert not kit.client("s3").list_objects_v2(Bucket=OUT, Prefix="gone/").get("Contents")
    with pytest.raises(ServiceError) as caught:
        exports.cancel(task.id)
    assert caught.value.problem.subject == task.id


@pytest.mark.parametrize("ident", ["export-ami-0123456789abcdef0", "export-i-0123456789abcdef0"])
def test_an_unknown_task(aws: Aws, ident: str) -> None:
    with pytest.raises(ServiceError) as caught:
        ExportTasks(aws, REGION).task(ident)
    assert caught.value.kind is ErrorKind.NOT_FOUND
    with pytest.raises(ServiceError) as caught:
        ExportTasks(aws, REGION).task("import-ami-1")
    assert caught.value.kind is ErrorKind.INVALID


# -- downloads


@pytest.fixture(scope="module")
def big(kit: Kit) -> bytes:
    content = bytes(range(256)) * (10 * MIB // 256) + b"end"
    kit.put("big", content, ChecksumAlgorithm="CRC64NVME")
    return content


def test_a_download_goes_on_where_it_stopped(
    aws: Aws, big: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(download, "RANGE_BYTES", 2 * MIB)
    target, fetch = tmp_path / "to" / "big", Download(aws, REGION, tmp_path / "notes").fetch
    target.parent.mkdir()
    with pytest.raises(ServiceError, match="stopped"):
        fetch(BUCKET, "big", target, control=Control(stop_after=5 * MIB))
    assert not target.exists() and part_of(target).stat().st_size >= 5 * MIB
    control = Control()
    got = fetch(BUCKET, "big", target, control=control)
    assert target.read_bytes() == big and got.proven == "CRC64NVME"
    assert got.skipped == control.skipped_bytes >= 5 * MIB
    assert control.received_bytes == len(big) - got.skipped
    assert [path.name for path in target.parent.iterdir()] == ["big"]
    assert list((tmp_path / "notes").iterdir()) == []


def test_an_object_that_changed_is_fetched_anew(kit: Kit, aws: Aws, tmp_path: Path) -> None:
    kit.put("changing", b"a" * MIB)
    with pytest.raises(ServiceError, match="stopped"):
        Download(aws, REGION, tmp_path / "n").fetch(BUCKET, "changing", tmp_path / "f", control=Control(stop_after=1))
    kit.put("changing", b"b" * MIB)
    got = Download(aws, REGION, tmp_path / "n").fetch(BUCKET, "changing", tmp_path / "f", control=Control())
    assert got.skipped == 0 and (tmp_path / "f").read_bytes() == b"b" * MIB
    assert sorted(path.name for path in tmp_path.iterdir()) == ["f", "n"]


def part_of(target: Path) -> Path:
    [part] = target.parent.glob(f".{target.name}.*.vmie-part")
    return part


def test_a_download_without_a_place_for_notes_leaves_nothing(aws: Aws, big: bytes, tmp_path: Path) -> None:
    with pytest.raises(ServiceError, match="stopped"):
        Download(aws, REGION).fetch(BUCKET, "big", tmp_path / "f", control=Control(stop_after=1))
    assert list(tmp_path.iterdir()) == []


def test_one_that_was_stopped_before_its_first_byte_is_gone_on_with(aws: Aws, big: bytes, tmp_path: Path) -> None:
    fetch, target = Download(aws, REGION, tmp_path / "n").fetch, tmp_path / "f"
    with pytest.raises(ServiceError, match="stopped"):
        fetch(BUCKET, "big", target, control=Control(stop_after=0))
    part_of(target).write_bytes(b"")
    assert fetch(BUCKET, "big", target, control=Control()).skipped == 0
    assert target.read_bytes() == big


@pytest.mark.parametrize("trap", ["link", "hard link", "pipe", "gone"])
def test_what_lies_in_place_of_a_part_file_is_not_written_to(aws: Aws, big: bytes, tmp_path: Path, trap: str) -> None:
    fetch, target, precious = Download(aws, REGION, tmp_path / "n").fetch, tmp_path / "f", tmp_path / "precious"
    precious.write_text("precious")
    with pytest.raises(ServiceError, match="stopped"):
        fetch(BUCKET, "big", target, control=Control(stop_after=MIB))
    part = part_of(target)
    part.unlink()
    if trap == "link":
        part.symlink_to(precious)
    elif trap == "hard link":
        part.hardlink_to(precious)
    elif trap == "pipe":
        os.mkfifo(part)
    assert fetch(BUCKET, "big", target, control=Control()).skipped == 0
    assert target.read_bytes() == big and precious.read_text() == "precious"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["f", "n", "precious"]


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"part": "../precious"}', '{"part": "precious"}', '{"part": 1}', "\xff"]
)
def test_a_note_that_is_damaged_removes_nothing_but_itself(aws: Aws, big: bytes, tmp_path: Path, text: str) -> None:
    notes, precious = tmp_path / "n", tmp_path / "precious"
    precious.write_text("precious")
    target = tmp_path / "to" / "f"
    target.parent.mkdir()
    (target.parent / "precious").write_text("precious")
    notes.mkdir(mode=0o700)
    for forgotten in (False, True):
        download._note(target, notes).write_bytes(text.encode("latin-1"))
        if forgotten:
            forget(target, notes)
        else:
            Download(aws, REGION, notes).fetch(BUCKET, "big", target, control=Control())
        assert list(notes.iterdir()) == []
        assert precious.read_text() == (target.parent / "precious").read_text() == "precious"


def test_a_file_that_was_exchanged_after_its_proof_is_not_called_ours(
    aws: Aws, big: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target, place = tmp_path / "f", download._place

    def exchanging(part: Path, destination: Path, *, force: bool) -> None:
        part.unlink()
        part.write_bytes(b"EVIL")
        place(part, destination, force=force)

    monkeypatch.setattr(download, "_place", exchanging)
    with pytest.raises(ServiceError, match="another file was put in the place"):
        Download(aws, REGION).fetch(BUCKET, "big", target, control=Control())


def test_an_unfinished_download_is_forgotten_with_its_note(aws: Aws, big: bytes, tmp_path: Path) -> None:
    with pytest.raises(ServiceError, match="stopped"):
        Download(aws, REGION, tmp_path / "n").fetch(BUCKET, "big", tmp_path / "f", control=Control(stop_after=1))
    forget(tmp_path / "f", tmp_path / "n")
    assert [path.name for path in tmp_path.rglob("*")] == ["n"]
    assert partial(tmp_path / "f") != partial(tmp_path / "f")


def test_damaged_bytes_do_not_become_the_file(aws: Aws, big: bytes, tmp_path: Path) -> None:
    target = tmp_path / "big"
    with pytest.raises(ServiceError, match="stopped"):
        Download(aws, REGION, tmp_path / "n").fetch(BUCKET, "big", target, control=Control(stop_after=MIB))
    with part_of(target).open("r+b") as file:
        file.write(b"x")
    with pytest.raises(ServiceError) as caught:
        Download(aws, REGION, tmp_path / "n").fetch(BUCKET, "big", target, control=Control())
    assert caught.value.kind is ErrorKind.CORRUPT and [path.name for path in tmp_path.rglob("*")] == ["n"]


@pytest.mark.parametrize("action", ["reset", "error"])
def test_a_broken_connection_is_gone_on_with(
    kit: Kit, aws: Aws, big: bytes, tmp_path: Path, action: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(download, "FIRST_WAIT", 0.01)
    kit.sim.faults.add(Fault("GetObject", action, code="SlowDown", times=2))
    got = Download(aws, REGION).fetch(BUCKET, "big", tmp_path / "big", control=Control())
    assert got.size == len(big) and (tmp_path / "big").read_bytes() == big


def test_nothing_is_overwritten_unasked(aws: Aws, big: bytes, tmp_path: Path) -> None:
    (tmp_path / "big").write_text("mine")
    with pytest.raises(ServiceError) as caught:
        Download(aws, REGION).fetch(BUCKET, "big", tmp_path / "big", control=Control())
    assert caught.value.kind is ErrorKind.CONFLICT and (tmp_path / "big").read_text() == "mine"
    Download(aws, REGION).fetch(BUCKET, "big", tmp_path / "big", control=Control(), force=True)
    assert (tmp_path / "big").read_bytes() == big
    with pytest.raises(ServiceError) as caught:
        Download(aws, REGION).fetch(BUCKET, "no-such-key", tmp_path / "x", control=Control())
    assert caught.value.kind is ErrorKind.NOT_FOUND
