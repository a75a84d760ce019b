"""A cutover and the machine's power: nothing takes the place of one that runs, and nobody is told that it is off."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from tests.kits.job_world import World
from tests.kits.replications import Replica, replicating
from tests.kits.waiting import wait_until
from vmie_tui.model.plan import TestLaunch
from vmie_tui.model.task import JobState


@contextmanager
def quick_guests(world: World) -> Iterator[None]:
    """Guests that are down soon after they were asked."""
    world.admin("vcenter", "POST", "options", {"shutdown_seconds": 0.3})
    try:
        yield
    finally:
        world.admin("vcenter", "POST", "options", {"shutdown_seconds": 5.0})


def power_on_during(replica: Replica, operation: str, job_id: str) -> None:
    """Somebody powers the machine on while AWS carries out ``operation``; the run has failed then."""
    world = replica.world
    world.fault("aws", operation=operation, action="delay", seconds=30.0)
    world.client.resume(job_id) if job_id else None
    job_id = job_id or replica.start(cutover=TestLaunch())
    wait_until(lambda: world.admin("aws", "GET", "faults")["faults"][0]["fired"], 20)
    replica.trouble("power", state="poweredOn")
    world.admin("aws", "DELETE", "faults")


def test_a_machine_that_was_powered_on_again_is_not_replaced(world: World) -> None:
    """What it writes from then on is in no copy; and two that are the same to the network are never wanted."""
    with replicating(world, "repl-02") as replica, quick_guests(world):
        launches = world.requests("aws", "RunInstances")
        power_on_during(replica, "CompleteSnapshot", "")
        job_id = replica.client.view(replica.id).runs[0].job_id
        assert "powered on again" in replica.failed(job_id)
        assert "still is: power it on" not in world.log(job_id)
        assert replica.kept == () and replica.registered() == []
        replica.write(1 << 20)
        power_on_during(replica, "RegisterImage", job_id)  # resumed: it is shut down and copied once more
        assert "powered on again" in replica.failed(job_id)
        replica.assert_equal(world.client.job(job_id))
        replica.trouble("power", state="poweredOff")
        world.client.resume(job_id)  # off once more, but the AMI does not know what it wrote
        assert "powered on again" in replica.failed(job_id)
        assert "still is: power it on" in world.log(job_id)
        assert world.requests("aws", "RunInstances") == launches
        world.client.cancel(job_id)
        world.wait(job_id, JobState.CANCELLED)


def test_a_guest_that_cannot_be_shut_down_is_not_said_to_be_off(world: World) -> None:
    with replicating(world, "repl-02") as replica:
        world.fault("vcenter", operation="ShutdownGuest", code="ToolsUnavailable")
        job_id = replica.start(cutover=TestLaunch())
        assert "VMware Tools do not run" in replica.failed(job_id)
        assert "was shut down for the cutover" not in world.log(job_id)
        assert world.machine("repl-02").power.value == "on"
