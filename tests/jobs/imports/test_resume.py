"""kill -9 on every route, counted in requests: what AWS has is not sent again, and nothing is started twice."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from tests.kits.job_world import MIB, ZONE, World
from tests.kits.waiting import wait_until
from vmie_tui.jobs.store.block_journal import BlockJournal
from vmie_tui.jobs.store.store import Store
from vmie_tui.model.job import JobView
from vmie_tui.model.plan import FileSource, LegacyInstance, Route, TestLaunch, UploadFormat, Via, Volumes
from vmie_tui.model.task import JobState

pytestmark = pytest.mark.worker("shared")

UNDER_WAY = 3  # parts that may be under way, and lost, when the worker dies
BLOCKS = "ebs:PutSnapshotBlock"


@dataclass(frozen=True)
class Way:
    """How a disk of 56 MiB gets to AWS. ``operation`` sends ``unit`` bytes; ``slack`` requests may be lost."""

    operation: str
    slack: int
    chosen: dict[str, Any] = field(default_factory=dict)
    starts: str = ""  # what must be asked for once only
    from_file: bool = False


WAYS = {
    "ova": Way("s3:UploadPart", UNDER_WAY + 1, {"upload_format": UploadFormat.OVA}, "s3:CreateMultipartUpload"),
    "direct": Way(BLOCKS, 0, {"route": Route.IMAGE_DIRECT}, "ebs:StartSnapshot"),
    "parts": Way("s3:PutObject", UNDER_WAY + 1, {"route": Route.INSTANCE, "legacy": LegacyInstance("m3.medium")}),
    "file by blocks": Way(BLOCKS, 0, {"route": Route.UNMODIFIED, "via": Via.EBS}, "ebs:StartSnapshot", True),
}


@pytest.mark.parametrize("name", WAYS)
def test_killed_worker_sends_what_is_there_no_second_time(world: World, name: str) -> None:
    way = WAYS[name]
    before = world.requests("aws", way.operation)
    started = world.requests("aws", way.starts) if way.starts else 0
    plan = replace(world.plan("big-01"), **way.chosen)
    if way.from_file:
        plan = replace(plan, source=FileSource("big-01", (str(world.raw("big-01")[0]),), raw=True))
        world.fault("aws", operation="PutSnapshotBlock", action="delay", seconds=0.5, times=None)
    else:
        world.rate(16 * MIB)
    job_id = world.client.submit(plan)
    by_blocks = way.operation == BLOCKS
    kept = wait_until(lambda: _under_way(world.client.job(job_id), 40 if by_blocks else 2), 30)
    world.kill_worker()
    journaled = len(
        list(BlockJournal(Store(world.settings.state_dir), job_id, world.client.job(job_id).disks[0].key).load())
    )
    sent = world.requests("aws", way.operation) - before
    world.rate(None)
    world.admin("aws", "DELETE", "faults")
    world.client.ensure_worker()
    view = world.wait(job_id, timeout=60)
    world.assert_equal("big-01", view) if not way.from_file else world.assert_holds(view, world.raw("big-01"))
    assert view.disks[0].skipped > 0
    once = view.disks[0].parts_done
    total = world.requests("aws", way.operation) - before
    if by_blocks:  # what the journal has is not sent again, and only that is sure
        assert journaled >= 32
        assert total - sent <= once - journaled + UNDER_WAY, (journaled, sent, once, total)
    else:
        assert kept <= once <= total <= once + way.slack, (kept, once, total)
    if way.starts:
        assert world.requests("aws", way.starts) - started == 1


def _under_way(view: JobView, parts: int) -> int:
    return view.disks[0].parts_done if view.disks and view.disks[0].parts_done >= parts else 0


LATE: dict[str, tuple[str, str, dict[str, Any]]] = {
    "web-01": ("ImportSnapshot", "import snapshot", {"route": Route.SNAPSHOT}),
    "web-02": ("RegisterImage", "register", {"route": Route.UNMODIFIED, "via": Via.EBS}),
    "odd-size-01": ("CreateVolume", "volume", {"route": Route.SNAPSHOT, "via": Via.EBS, "volumes": Volumes(ZONE)}),
    "empty-disk-01": ("CopyImage", "copy", {"route": Route.UNMODIFIED, "copy_to": ("eu-central-1",)}),
    "db-01": ("RunInstances", "launch", {"route": Route.UNMODIFIED, "via": Via.EBS, "test_launch": TestLaunch()}),
    "big-01": ("ImportInstance", "instance", {"route": Route.INSTANCE, "legacy": LegacyInstance("m3.medium")}),
}


def test_what_a_killed_worker_asked_for_is_made_once(world: World) -> None:
    """Each request arrives, none of the answers does: the next worker asks again, or finds what was made."""
    plans = {  # names of their own: AWS registers none twice, and other tests import these machines too
        name: replace(world.plan(name), ami_name=f"{name} made once", **chosen) for name, (_, _, chosen) in LATE.items()
    }
    jobs = {name: world.client.submit(plan) for name, plan in plans.items()}
    for name, (operation, _, _) in LATE.items():
        world.fault("aws", operation=operation, action="delay", seconds=30.0, times=1, match=jobs[name])
    wait_until(lambda: all(fault["fired"] for fault in world.admin("aws", "GET", "faults")["faults"]), 60)
    assert not any(made(world, kind, jobs[name]) for name, (_, kind, _) in LATE.items())
    world.kill_worker()
    world.admin("aws", "DELETE", "faults")  # the simulator goes on with what it was asked for
    for name, (_, kind, _) in LATE.items():
        wait_until(lambda name=name, kind=kind: made(world, kind, jobs[name]), 20, f"the {kind} nobody saw")
    world.client.ensure_worker()
    for name, (_, kind, _) in LATE.items():
        world.assert_equal(name, world.wait(jobs[name], timeout=60))
        assert made(world, kind, jobs[name]) == 1, kind


def made(world: World, name: str, job_id: str) -> int:
    """How many things of the kind the job has made."""
    ec2 = world.aws.client("ec2")
    mine = [{"Name": "tag:vmie-tui:job", "Values": [job_id]}]
    if name == "import snapshot":
        return len(ec2.describe_import_snapshot_tasks(Filters=mine)["ImportSnapshotTasks"])
    if name == "copy":
        there = world.aws.client("ec2", "eu-central-1")
        return len(there.describe_images(Owners=["self"], Filters=mine)["Images"])
    if name == "launch":
        found = ec2.describe_instances(Filters=mine)["Reservations"]
        return sum(len(group["Instances"]) for group in found)
    if name == "register":
        return len(ec2.describe_images(Owners=["self"], Filters=mine)["Images"])
    if name == "volume":
        return len(ec2.describe_volumes(Filters=mine)["Volumes"])
    tasks = ec2.describe_conversion_tasks()["ConversionTasks"]
    volumes = [volume for task in tasks for volume in task.get("ImportInstance", {"Volumes": []})["Volumes"]]
    return sum(job_id in volume["Image"]["ImportManifestUrl"] for volume in volumes)


CANCELLED: dict[str, dict[str, Any]] = {
    "ova": {"upload_format": UploadFormat.OVA},
    "direct": {"route": Route.UNMODIFIED, "via": Via.EBS},
    "parts": {"route": Route.INSTANCE, "legacy": LegacyInstance("m3.medium")},
}


@pytest.mark.parametrize("name", CANCELLED)
def test_cancel_in_the_middle_leaves_nothing_behind(world: World, name: str) -> None:
    snapshots = world.snapshots()
    world.rate(16 * MIB)
    job_id = world.client.submit(replace(world.plan("big-01"), **CANCELLED[name]))
    wait_until(lambda: _under_way(world.client.job(job_id), 2), 30)
    if name == "direct":
        assert len(world.snapshots()) == len(snapshots) + 1
    world.client.cancel(job_id)
    world.wait(job_id, JobState.CANCELLED)
    assert world.snapshots() == snapshots
    assert world.open_uploads() == []
    assert not [key for key in world.keys("") if job_id in key]


def test_cancel_while_aws_reads_snapshots_takes_all_of_them_away(world: World) -> None:
    """One disk's task is done, the other's under way."""
    snapshots = world.snapshots()
    world.admin("aws", "POST", "clock", {"speed": 0.01})
    try:
        job_id = world.client.submit(replace(world.plan("db-01"), route=Route.UNMODIFIED))
        wait_until(lambda: made(world, "import snapshot", job_id) == 2, 30)
        world.client.cancel(job_id)
        world.wait(job_id, JobState.CANCELLED)
    finally:
        world.admin("aws", "POST", "clock", {"speed": 1000})
    tasks = world.aws.client("ec2").describe_import_snapshot_tasks()["ImportSnapshotTasks"]
    mine = [task["SnapshotTaskDetail"]["Status"] for task in tasks if job_id in str(task)]
    assert mine
    assert set(mine) <= {"deleting", "deleted"}
    assert world.snapshots() == snapshots
    assert not [key for key in world.keys("") if job_id in key]


def test_pause_and_login_keep_the_blocks(world: World) -> None:
    """A pause, then credentials that expire: the same pending snapshot is gone on with."""
    started = world.requests("aws", "ebs:StartSnapshot")
    world.rate(16 * MIB)
    job_id = world.client.submit(replace(world.plan("big-01"), route=Route.UNMODIFIED, via=Via.EBS))
    wait_until(lambda: _under_way(world.client.job(job_id), 20), 30)
    world.client.pause(job_id)
    world.wait(job_id, JobState.PAUSED)
    world.fault("aws", operation="PutSnapshotBlock", action="expired-token", times=1)
    world.rate(None)
    world.client.resume(job_id)
    world.wait(job_id, JobState.NEEDS_LOGIN)
    world.client.resume(job_id)
    view = world.wait(job_id)
    world.assert_equal("big-01", view)
    assert view.disks[0].skipped > 0
    assert world.requests("aws", "ebs:StartSnapshot") - started == 1


def test_a_snapshot_that_aws_has_dropped_is_begun_anew(world: World) -> None:
    world.rate(16 * MIB)
    job_id = world.client.submit(replace(world.plan("big-01"), route=Route.UNMODIFIED, via=Via.EBS))
    wait_until(lambda: _under_way(world.client.job(job_id), 20), 30)
    before = set(world.snapshots())
    world.client.pause(job_id)
    world.wait(job_id, JobState.PAUSED)
    mine = [{"Name": "tag:vmie-tui:job", "Values": [job_id]}]
    (pending,) = world.aws.client("ec2").describe_snapshots(OwnerIds=["self"], Filters=mine)["Snapshots"]
    assert pending["SnapshotId"] in before
    world.aws.client("ec2").delete_snapshot(SnapshotId=pending["SnapshotId"])
    world.rate(None)
    world.client.resume(job_id)
    view = world.wait(job_id)
    world.assert_equal("big-01", view)
    assert view.disks[0].snapshot_id not in before
    assert view.disks[0].skipped == 0


def test_a_full_region_is_waited_for(world: World) -> None:
    full = {"action": "error", "code": "ResourceCountLimitExceeded", "status": 400, "times": 2}
    for operation in ("ImportImage", "ImportSnapshot"):
        world.fault("aws", operation=operation, **full)
    routes = {"web-01": Route.IMAGE, "web-02": Route.SNAPSHOT}
    jobs = {name: world.client.submit(replace(world.plan(name), route=route)) for name, route in routes.items()}
    for name, job_id in jobs.items():
        world.assert_equal(name, world.wait(job_id))
        assert "waiting for a free one" in world.log(job_id)


def test_a_file_that_was_changed_is_read_again(world: World, tmp_path: Any) -> None:
    path = tmp_path / "disk.raw"
    path.write_bytes(world.raw("web-01")[0].read_bytes())
    world.fault("aws", operation="ImportSnapshot", action="fail-task", code="E10", times=1)
    plan = replace(world.plan("web-01"), source=FileSource("disk", (str(path),), raw=True), route=Route.SNAPSHOT)
    job_id = world.client.submit(plan)
    world.wait(job_id, JobState.FAILED)
    with path.open("r+b") as file:
        file.seek(-4096, 2)
        file.write(b"changed" * 100)
    world.client.resume(job_id)
    world.assert_holds(world.wait(job_id), [path])
    assert "every disk is read again" in world.log(job_id)
