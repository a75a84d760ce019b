"""Runs of a replication against a guest that goes on writing: each image is of one moment, and little is moved."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from tests.kits.job_world import World
from tests.kits.replications import figures, replicating
from tests.kits.waiting import wait_until
from vmie_tui.jobs.store.block_journal import BlockJournal
from vmie_tui.model.plan import Route, TestLaunch
from vmie_tui.model.replication import Sync, Verify
from vmie_tui.model.task import JobState
from vmie_tui.services.aws.ebs.snapshot_reader import BLOCK


def different(old: dict[int, Path], new: dict[int, Path]) -> int:
    """Bytes of the blocks that differ."""
    return sum(
        len(after)
        for key in new
        for before, after in zip(_blocks(old[key]), _blocks(new[key]), strict=True)
        if before != after
    )


def _blocks(path: Path) -> list[bytes]:
    data = path.read_bytes()
    return [data[at : at + BLOCK] for at in range(0, len(data), BLOCK)]


def test_a_first_run_and_five_increments_of_a_guest_that_goes_on_writing(world: World) -> None:
    """Two disks; the newest two images stay."""
    with replicating(world, "repl-01", keep=2) as replica:
        writer = {"vm": "repl-01", "every": 0.4, "bytes": 4096, "extents": 1, "zeros": 0.3}
        world.admin("vcenter", "POST", "writer", writer)
        first = replica.run(verify=Verify.ALL)
        assert figures(first).sync is Sync.FIRST
        assert figures(first).verified * BLOCK >= figures(first).moved
        copying, besides = figures(first).seconds, figures(first).overhead
        assert first.started and first.completed and copying > 0 and besides > 0
        assert copying + besides <= first.completed - first.started, "copying is not counted twice"
        before = replica.frozen(first.job_id)
        for number in range(5):
            run = replica.run()
            assert figures(run).sync is Sync.CHANGED, figures(run).reason
            frozen = replica.frozen(run.job_id)
            # Tracking tells 64 KiB apart, so each change is in one block of 512 KiB.
            assert different(before, frozen) <= figures(run).moved <= figures(run).changed // (64 << 10) * BLOCK
            assert figures(run).frozen > figures(first).frozen
            before = frozen
            if number == 1:
                assert len(replica.registered()) == 2
        assert len(replica.images) == 2
        assert set(replica.registered()) == set(replica.images)
        assert {disk.snapshot_id for disk in replica.kept} <= replica.mine()
        assert len(replica.mine()) == 4


def test_moved_is_what_changed_in_whole_blocks_and_nothing_where_nothing_did(world: World) -> None:
    """One after the other: bursts, zeros, nothing, the machine off; AWS converts, and only the newest parent stays."""
    with replicating(world, "repl-02", route=Route.IMAGE_DIRECT) as replica:
        replica.run(verify=Verify.NONE)
        for burst in ({"extents": 3}, {"nbytes": 1 << 20, "zeros": 1.0}):
            wanted = replica.write(**burst)
            moved = figures(replica.run()).moved
            assert moved == wanted
        replica.trouble("power", state="poweredOff")
        nothing = replica.run(verify=Verify.ALL)
        assert (figures(nothing).moved, figures(nothing).sync) == (0, Sync.CHANGED)
        assert figures(nothing).quiesced is None
        parents = [disk.snapshot_id for disk in replica.kept]
        of_images = {ident for image in replica.registered() for ident in _snapshots(world, image)}
        assert replica.mine() - of_images == set(parents)
        proof = world.client.proof(nothing.job_id, all_blocks=True)
        assert [(each.snapshot_id, each.equal, each.whole) for each in proof.disks[0].blocks][:1] == [
            (parents[0], True, True)
        ]
        replica.client.delete(replica.id)
        wait_until(lambda: replica.mine() == of_images, what="only the images' snapshots are left")


def test_a_disk_whose_last_block_is_short_and_its_machine_off(world: World) -> None:
    """Neither whole GiB nor whole blocks: the last one is filled up with zeros, and compared all the same."""
    with replicating(world, "odd-size-01", keep=1) as replica:
        (disk,) = world.machine("odd-size-01").disks
        first = replica.run(verify=Verify.ALL)
        end = {"vm": "odd-size-01", "key": disk.key, "offset": disk.capacity - 4, "data": "bGFzdA=="}
        for resync, sync in ((None, Sync.CHANGED), (Sync.CHECKSUM, Sync.CHECKSUM)):
            world.admin("vcenter", "POST", "write", end)
            end["data"] = "ZW5k"
            run = replica.run(resync=resync, verify=Verify.ALL)
            assert (figures(run).sync, figures(run).moved) == (sync, disk.capacity % BLOCK)
        assert list(BlockJournal(replica.store, first.job_id, disk.key).load()) == [], "its AMI is gone"


def _snapshots(world: World, image: str) -> list[str]:
    (found,) = world.aws.client("ec2").describe_images(ImageIds=[image])["Images"]
    return [each["Ebs"]["SnapshotId"] for each in found["BlockDeviceMappings"]]


STEPS = (
    ("vcenter", "CreateSnapshot_Task"),
    ("vcenter", "QueryChangedDiskAreas"),
    ("aws", "StartSnapshot"),
    ("vcenter", "folder:GET"),
    ("aws", "PutSnapshotBlock"),
    ("aws", "CompleteSnapshot"),
    ("vcenter", "RemoveSnapshot_Task"),
    ("aws", "RegisterImage"),
    ("aws", "DeregisterImage"),
    ("aws", "DeleteSnapshot"),
)


def kill_at(world: World, service: str, operation: str, go_on: Callable[[], object]) -> None:
    """Kill the worker while this call is under way, which arrives all the same."""
    world.fault(service, operation=operation, action="delay", seconds=1.0 if service == "vcenter" else 30.0)
    go_on()
    wait_until(lambda: world.admin(service, "GET", "faults")["faults"][0]["fired"], 30, operation)
    world.kill_worker()
    world.admin(service, "DELETE", "faults")


def test_a_worker_killed_in_every_step_of_a_run_loses_nothing(world: World) -> None:
    """Eleven workers for one run: one image, of one moment, and nothing left on either side."""
    with replicating(world, "repl-01", keep=1) as replica:
        replica.run()
        replica.write(extents=3)
        jobs: list[str] = []
        for service, operation in STEPS:
            begin = (lambda: jobs.append(replica.start())) if not jobs else world.client.ensure_worker
            kill_at(world, service, operation, begin)
        world.client.ensure_worker()
        run = replica.done(jobs[0])
        assert figures(run).sync is Sync.CHANGED, figures(run).reason
        assert replica.registered() == [run.image_id]
        assert replica.mine() == {disk.snapshot_id for disk in replica.kept}
        wanted = replica.write(extents=3)
        assert figures(replica.run()).moved == wanted


def test_a_worker_killed_when_it_asks_for_the_conversion_makes_one_image(world: World) -> None:
    with replicating(world, "repl-02", route=Route.IMAGE_DIRECT) as replica:
        jobs: list[str] = []
        kill_at(world, "aws", "ImportImage", lambda: jobs.append(replica.start()))
        world.client.ensure_worker()
        run = replica.done(jobs[0])
        assert replica.registered() == [run.image_id]


def test_in_the_middle_of_a_disk_what_was_put_is_not_read_again(world: World) -> None:
    """After a kill the machine is frozen as it was; after a failure it is of another moment, and compared."""
    with replicating(world, "repl-02") as replica:
        (disk,) = world.machine("repl-02").disks
        last = disk.capacity // BLOCK - 1
        late = {"operation": "PutSnapshotBlock", "match": f"/blocks/{last}"}
        world.admin(
            "vcenter", "POST", "write", {"vm": "repl-02", "key": disk.key, "offset": last * BLOCK, "data": "bGFzdA=="}
        )
        world.fault("aws", **late, action="delay", seconds=30.0)
        job_id = replica.start()
        wait_until(lambda: world.admin("aws", "GET", "faults")["faults"][0]["fired"], 30)
        data = sum(any(block) for block in _blocks(replica.frozen(job_id)[disk.key]))
        journal = BlockJournal(replica.store, job_id, disk.key)
        wait_until(lambda: len(list(journal.load())) == data - 1, 20, "all but the last block in the journal")
        world.kill_worker()
        put = world.requests("aws", "ebs:PutSnapshotBlock")
        world.admin("aws", "DELETE", "faults")
        world.fault("aws", **late, action="error", code="AccessDeniedException", status=403)
        world.client.ensure_worker()
        assert "block" in replica.failed(job_id)
        assert world.requests("aws", "ebs:PutSnapshotBlock") == put + 1
        assert world.client.job(job_id).disks[0].total <= disk.capacity - (data - 1) * BLOCK  # what was to be read
        replica.write(extents=4)
        world.client.resume(job_id)
        replica.done(job_id)
        assert world.client.job(job_id).disks[0].skipped > 0


def test_a_copy_that_was_completed_and_not_noted_is_of_its_own_moment(world: World) -> None:
    """AWS was asked to complete the snapshot when the run failed: the next attempt has another moment to copy."""
    with replicating(world, "repl-02") as replica:
        world.fault("aws", operation="DescribeSnapshots", action="error", code="UnauthorizedOperation", status=403)
        job_id = replica.start(verify=Verify.NONE)
        replica.failed(job_id)
        replica.write(1 << 20, extents=4)
        world.client.resume(job_id)
        replica.done(job_id)


def test_a_cancelled_run_leaves_its_parent_and_the_images_alone(world: World) -> None:
    with replicating(world, "repl-02") as replica:
        image = replica.run().image_id
        kept, there = replica.kept, replica.mine()
        replica.write(1 << 20)
        world.fault("aws", operation="PutSnapshotBlock", action="delay", seconds=30.0, times=None)
        job_id = replica.start()
        wait_until(lambda: len(replica.mine()) > len(there), 20, "a pending snapshot")
        world.client.cancel(job_id)
        world.admin("aws", "DELETE", "faults")
        world.wait(job_id, JobState.CANCELLED)
        assert (replica.mine(), replica.kept, replica.registered()) == (there, kept, [image])
        assert replica.snapshots() == 0
        assert figures(replica.run()).sync is Sync.CHANGED


def test_a_conversion_that_fails_is_no_reason_to_copy_again(world: World) -> None:
    """The user takes the copy as it is; the next run goes on from it, and gives the failed one up."""
    with replicating(world, "repl-02", route=Route.IMAGE_DIRECT) as replica:
        world.fault("aws", operation="ImportImage", action="fail-task", code="E10", times=1)
        job_id = replica.start()
        replica.failed(job_id)
        (kept,) = replica.kept
        fallback = world.client.fallback(job_id)
        view = world.wait(fallback)
        assert view.kind == "import"
        assert view.disks[0].snapshot_id == kept.snapshot_id
        wanted = replica.write(extents=2)
        run = replica.run()
        assert (figures(run).sync, figures(run).moved) == (Sync.CHANGED, wanted)
        assert world.client.job(job_id).state is JobState.CANCELLED
        assert world.client.proof(fallback).equal


def test_the_last_run_of_a_cutover_shuts_the_machine_down_and_launches(world: World) -> None:
    with replicating(world, "repl-02") as replica:
        world.admin("vcenter", "POST", "writer", {"vm": "repl-02", "every": 0.2, "bytes": 4096})
        world.admin("vcenter", "POST", "options", {"shutdown_seconds": 0.3})
        try:
            run = replica.run(cutover=TestLaunch())
        finally:
            world.admin("vcenter", "POST", "options", {"shutdown_seconds": 5.0})
        assert world.client.job(run.job_id).results["instance of the cutover"] == run.instance_id
        assert world.machine("repl-02").power.value == "off"
        assert "power it on in vCenter" in world.log(run.job_id)
        world.aws.client("ec2").terminate_instances(InstanceIds=[run.instance_id])


def test_a_machine_on_vsan_is_migrated_once(world: World) -> None:
    """By its export lease; nothing is kept to go on from."""
    with replicating(world, "vsan-01", hours=0) as replica:
        run = replica.run()
        assert figures(run).verified > 0
        assert replica.kept == ()
        assert replica.mine() == set(_snapshots(world, run.image_id))
