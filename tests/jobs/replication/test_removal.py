"""A replication that is deleted while its run is at work, with real processes: the worker ends it, or the next."""

from __future__ import annotations

from tests.kits.job_world import World
from tests.kits.replications import replicating
from tests.kits.waiting import wait_until
from vmie_tui.model.replication import ReplicationState, RunState
from vmie_tui.model.task import JobState


def test_it_is_deleted_though_its_worker_is_killed(world: World) -> None:
    with replicating(world, "repl-01") as replica:
        first = replica.run()
        replica.write(extents=3)
        world.fault("aws", operation="PutSnapshotBlock", action="delay", seconds=30.0)
        job_id = replica.start()
        wait_until(lambda: world.admin("aws", "GET", "faults")["faults"][0]["fired"], 30, "the copy")
        replica.client.delete(replica.id)
        world.kill_worker()
        assert replica.client.view(replica.id).state is ReplicationState.DELETING
        world.admin("aws", "DELETE", "faults")
        assert replica.client.ensure_worker_for_schedules()

        def gone() -> bool:
            return replica.client.view(replica.id).state is ReplicationState.DELETED

        wait_until(gone, 40, "the clean-up")
        assert world.client.job(job_id).state is JobState.CANCELLED
        assert replica.snapshots() == 0
        assert replica.registered() == [first.image_id]
        (image,) = world.aws.client("ec2").describe_images(ImageIds=[first.image_id])["Images"]
        assert replica.mine() == {each["Ebs"]["SnapshotId"] for each in image["BlockDeviceMappings"]}
        assert {run.state for run in replica.client.view(replica.id).runs} == {RunState.COMPLETED, RunState.DELETED}
