"""What happens behind a replication's back: a resync or a clear stop with the reason, never a wrong image."""

from __future__ import annotations

import pytest

from tests.kits.job_world import World
from tests.kits.replications import Replica, figures, replicating
from tests.kits.waiting import wait_until
from vmie_tui.model.errors import ServiceError
from vmie_tui.model.replication import Sync, Verify
from vmie_tui.model.task import JobState
from vmie_tui.services.aws.ebs.snapshot_reader import BLOCK

# What vCenter's side can do between two runs, and the reason that a run then gives for copying all anew.
BETWEEN = {
    "epoch": "the tracking was started anew",
    "grow": "the disk grew by 1 MiB to",
    "relocate": "the tracking was started anew",
    "revert": "the tracking was started anew",
}


def resync(replica: Replica, reason: str) -> str:
    """The next run copies all, and says why; the id of its job."""
    run = replica.run()
    assert figures(run).sync is Sync.FULL
    assert reason in figures(run).reason
    assert reason in replica.world.log(run.job_id)
    return run.job_id


def test_tracking_that_cannot_be_trusted_is_a_full_resync_with_the_reason(world: World) -> None:
    with replicating(world, "repl-02") as replica:
        older = replica.run().job_id
        for kind, reason in BETWEEN.items():
            replica.write(extents=2)
            replica.trouble(kind, **({"snapshot": f"vmie-tui {older}"} if kind == "revert" else {}))
            replica.write()
            older = resync(replica, reason)
        replica.write()
        world.fault("vcenter", operation="QueryChangedDiskAreas", action="error", code="FileFault", times=2)
        job_id = resync(replica, "the file with the tracked changes cannot be used")
        assert "all of it is read" in world.log(job_id)


def test_a_disk_that_was_set_back_with_its_tracking_is_compared_by_checksums(world: World) -> None:
    """Its next snapshot has the number that the last run's had: another moment, by the same change id."""
    with replicating(world, "repl-02") as replica:
        older = replica.run().job_id
        replica.write(extents=2)
        replica.run()
        replica.trouble("revert-same-epoch", snapshot=f"vmie-tui {older}")
        replica.write()
        run = figures(replica.run())
        assert (run.sync, "the last run's" in run.reason) == (Sync.CHECKSUM, True)


def test_a_parent_that_cannot_be_gone_on_from_is_a_full_resync_with_the_reason(world: World) -> None:
    """Deleted in AWS; not encrypted, while the account has begun to encrypt all there is."""
    ec2 = world.aws.client("ec2")
    with replicating(world, "repl-02") as replica:
        run = replica.run()
        ec2.deregister_image(ImageId=run.image_id)
        ec2.delete_snapshot(SnapshotId=replica.kept[0].snapshot_id)
        resync(replica, "the parent snapshot does not exist")
        ec2.enable_ebs_encryption_by_default()
        try:
            resync(replica, "is not encrypted, and the new one would have to be")
        finally:
            ec2.disable_ebs_encryption_by_default()
        wanted = replica.write(extents=2)
        assert figures(replica.run()).moved == wanted  # on an encrypted parent: it stays encrypted
        assert replica.kept[0].encrypted


def test_a_machine_may_be_moved_between_runs_and_not_during_one(world: World) -> None:
    with replicating(world, "repl-02") as replica:
        replica.run()
        wanted = replica.write(extents=2)
        replica.trouble("migrate")
        run = replica.run()
        assert figures(run).moved == wanted
        assert "at the last run, and is on" in world.log(run.job_id)
        made = replica.registered()
        replica.write(1 << 20)
        job_id = ""
        for kind, words in (("migrate", "the machine was moved from"), ("relocate", "Hard disk 1 was moved from")):
            world.fault("aws", operation="CompleteSnapshot", action="delay", seconds=30.0)
            world.client.resume(job_id) if job_id else None
            job_id = job_id or replica.start()
            wait_until(lambda: world.admin("aws", "GET", "faults")["faults"][0]["fired"], 20)
            replica.trouble(kind)
            world.admin("aws", "DELETE", "faults")
            assert words in replica.failed(job_id)
            assert replica.registered() == made
        world.client.resume(job_id)
        assert figures(replica.done(job_id)).sync is Sync.FULL  # Storage vMotion began the tracking anew


def test_snapshots_of_others_stop_a_run_and_are_left_alone(world: World) -> None:
    with replicating(world, "repl-02") as replica:
        replica.trouble("snapshot", name="before an update")
        try:
            job_id = replica.start()
            view = world.wait(job_id, JobState.FAILED)
            assert "it has 1 snapshot" in str(view.problem)
            assert replica.snapshots() == 1
        finally:
            replica.trouble("unsnapshot", name="before an update")
        world.client.resume(job_id)
        replica.done(job_id)


def test_without_tracking_only_what_differs_is_sent(world: World) -> None:
    """All is read and compared by checksums; once changes are tracked, only those are read."""
    with replicating(world, "app-01") as replica:
        replica.trouble("refuse-cbt")
        world.fault("vcenter", operation="ReconfigVM_Task", action="error", code="NotSupported", times=None)
        first = replica.run()
        assert "changed blocks cannot be tracked" in world.log(first.job_id)
        assert figures(first).changed == figures(first).total
        wanted = replica.write(extents=3)
        run = replica.run()
        assert (figures(run).sync, figures(run).moved) == (Sync.CHECKSUM, wanted)
        assert "not tracked" in figures(run).reason
        world.admin("vcenter", "DELETE", "faults")
        replica.trouble("allow-cbt")
        wanted = replica.write(extents=2)
        run = replica.run()
        assert (figures(run).sync, figures(run).moved) == (Sync.CHECKSUM, wanted)
        wanted = replica.write()
        run = replica.run(resync=Sync.CHECKSUM)
        assert (figures(run).sync, figures(run).moved) == (Sync.CHECKSUM, wanted)
        assert "asked for" in figures(run).reason


def test_a_write_that_tracking_missed_is_found_and_no_image_made(world: World) -> None:
    """A block that differs behind the tracking's back; the next run copies all anew."""
    with replicating(world, "repl-02") as replica:
        image = replica.run().image_id
        (path,) = world.raw("repl-02")
        with path.open("r+b") as disk:
            disk.seek(-BLOCK, 2)
            disk.write(b"nobody saw this")
        job_id = replica.start(verify=Verify.ALL)
        assert "of the copy is not the machine's: no AMI is made" in replica.failed(job_id)
        assert (replica.registered(), replica.kept) == ([image], ())
        resync(replica, "cannot be relied on")


def test_aws_that_throttles_only_slows_a_run_down(world: World) -> None:
    with replicating(world, "repl-02") as replica:
        slow = {"action": "error", "code": "RequestThrottledException", "status": 429, "times": 2}
        for operation in ("PutSnapshotBlock", "StartSnapshot", "CompleteSnapshot"):
            world.fault("aws", operation=operation, **slow)
        replica.run()


def test_vsan_has_no_interval(world: World) -> None:
    with pytest.raises(ServiceError, match="vSAN"), replicating(world, "vsan-01"):
        pass
