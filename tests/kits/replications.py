"""What a user does with a replication, for the tests of its runs; and what the simulated vCenter saw of each."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from tests.kits.job_world import REGION, World
from tests.kits.waiting import wait_until
from vmie_tui.clock import Clock, clock_of
from vmie_tui.jobs.imports.snapshot import snapshot_name
from vmie_tui.jobs.store.replications import Replications
from vmie_tui.jobs.store.store import Store
from vmie_tui.model.job import JobView
from vmie_tui.model.plan import Route, Via
from vmie_tui.model.replication import KeptDisk, Replication, Run, RunFigures, RunState
from vmie_tui.model.task import JobState
from vmie_tui.operations.replication_jobs import ReplicationJobs
from vmie_tui.services.aws.ebs.snapshot_reader import BLOCK, SnapshotReader
from vmie_tui.services.disks.streams.source import RawFile

DAY = 86_400.0
ACCOUNT = "111122223333"  # the simulator's


class Replica:
    """A replication of one machine, which runs only when asked."""

    def __init__(self, world: World, name: str, *, hours: int = 24, keep: int = 0, **chosen: Any) -> None:
        self.world, self.name = world, name
        self.client = ReplicationJobs(world.settings)
        self.store = Store(world.settings.state_dir)
        plan = replace(world.plan(name), **{"route": Route.UNMODIFIED, "via": Via.EBS, **chosen})
        spec = Replication(plan, start=self.clock.now() + 25 * DAY, every_hours=hours, keep=keep)
        self.id = self.client.create(spec, world.machine(name), account=ACCOUNT)

    def close(self) -> None:
        self.client.close()
        self.store.close()

    @property
    def clock(self) -> Clock:
        return clock_of(self.world.settings.state_dir, self.world.settings.profile())

    def start(self, **wish: Any) -> str:
        """Ask for a run, a day after the one before; the id of its job."""
        self.clock.advance(DAY)
        run_id = self.client.run_now(self.id, **wish)
        return wait_until(lambda: self.find(run_id).job_id, what="the run's job")

    def find(self, ident: str) -> Run:
        """A run by its id, or its job's."""
        return next(run for run in self.client.view(self.id).runs if ident in {run.id, run.job_id})

    def run(self, **wish: Any) -> Run:
        """A run that is done, its disks equal to what its snapshot froze."""
        return self.done(self.start(**wish))

    def done(self, job_id: str) -> Run:
        view = self.world.wait(job_id, timeout=60)
        self.assert_equal(view)
        assert self.snapshots() == 0
        run = self.find(job_id)
        assert run.state is RunState.COMPLETED, run
        return run

    def failed(self, job_id: str) -> str:
        """Why a run failed; it leaves no snapshot on the machine."""
        view = self.world.wait(job_id, JobState.FAILED)
        wait_until(lambda: self.snapshots() == 0, what="its snapshot is removed")
        return str(view.problem)

    def snapshots(self) -> int:
        return self.world.machine(self.name).snapshots

    @property
    def kept(self) -> tuple[KeptDisk, ...]:
        return Replications(self.store).kept(self.id)

    @property
    def images(self) -> list[str]:
        return [image for _, image in Replications(self.store).images(self.id)]

    # the machine

    def trouble(self, kind: str, **more: Any) -> None:
        self.world.admin("vcenter", "POST", "trouble", {"vm": self.name, "kind": kind, **more})

    def write(self, nbytes: int = 8192, **more: Any) -> int:
        """The guest writes a burst; the bytes of all whole blocks it touches."""
        burst = {"vm": self.name, "bytes": nbytes, **more}
        areas = self.world.admin("vcenter", "POST", "write", burst)["areas"]
        sizes = {row["key"]: row["capacity"] for row in self._disks()}
        return self.rounded([(area["key"], area["offset"], area["length"]) for area in areas], sizes)

    @staticmethod
    def rounded(areas: list[tuple[int, int, int]], sizes: dict[int, int]) -> int:
        """Bytes of the whole blocks that (disk, offset, length) touch."""
        blocks = {
            (key, index)
            for key, offset, length in areas
            for index in range(offset // BLOCK, -(-(offset + length) // BLOCK))
        }
        return sum(min(BLOCK, sizes[key] - index * BLOCK) for key, index in blocks)

    def _disks(self) -> list[dict[str, Any]]:
        return list(self.world.admin("vcenter", "GET", f"disks?vm={self.name}")["disks"])

    def frozen(self, job_id: str) -> dict[int, Path]:
        """The disks as the last snapshot of a run froze them."""
        name = snapshot_name(job_id).replace(" ", "%20")
        seen = self.world.admin("vcenter", "GET", f"witness?vm={self.name}&snapshot={name}")
        return {row["key"]: Path(row["path"]) for row in seen["disks"]}

    def assert_equal(self, view: JobView) -> None:
        """The AMI's disks are byte by byte those of the run's snapshot, zeros behind them."""
        frozen = self.frozen(view.id)
        assert {disk.key for disk in view.disks} == set(frozen)
        for disk in view.disks:
            path = frozen[disk.key]
            with SnapshotReader(self.world.aws, REGION, disk.snapshot_id) as copy, RawFile(path, copy.size) as source:
                assert path.stat().st_size == disk.capacity <= copy.size
                for offset, length in [*copy.extents(), *source.extents()]:
                    assert copy.read_at(offset, length) == source.read_at(offset, length), (disk.label, offset)

    def mine(self) -> set[str]:
        """EBS snapshots that this replication has made and are there still, pending ones too."""
        wanted = [{"Name": "tag:vmie-tui:replication", "Values": [self.id]}]
        found = self.world.aws.client("ec2").describe_snapshots(OwnerIds=["self"], Filters=wanted)
        return {item["SnapshotId"] for item in found["Snapshots"]}

    def registered(self) -> list[str]:
        """AMIs that this replication has made and are there still."""
        wanted = [{"Name": "tag:vmie-tui:replication", "Values": [self.id]}]
        found = self.world.aws.client("ec2").describe_images(Owners=["self"], Filters=wanted)
        return [item["ImageId"] for item in found["Images"]]


@contextmanager
def replicating(world: World, name: str, **chosen: Any) -> Iterator[Replica]:
    """A replication of a machine whose snapshots are witnessed; nothing stays switched on for other tests."""
    wait_until(lambda: world.machine(name).snapshots == 0, what="no snapshot that another test has left")
    world.admin("vcenter", "POST", "witness", {"on": True, "vm": name})
    power = {"on": "poweredOn", "off": "poweredOff"}[world.machine(name).power.value]
    made = Replica(world, name, **chosen)
    try:
        yield made
    finally:
        world.admin("vcenter", "DELETE", "writer", {"vm": name})
        world.admin("vcenter", "POST", "witness", {"on": False, "vm": name})
        world.admin("vcenter", "DELETE", "witness", {"vm": name})
        made.trouble("allow-cbt")
        made.trouble("power", state=power)
        made.close()


def figures(run: Run) -> RunFigures:
    assert run.figures is not None
    return run.figures
