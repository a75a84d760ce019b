"""A replication over all of its days, against the simulators: real worker, real runs, the clock set forward each time.

    make days                       90 days of a 12 h job
    python -m tools.replication_days --hours 6 --days 10 --keep 3

The guest writes before each run. Every AMI is compared byte by byte with what its vSphere snapshot froze. At the end it
says what came of the documented limits: runs, AMIs that stay, snapshots left on either side, the end of the VM's days.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import quote

from tools.matrix import REGION, World, a_world
from vmie_tui.clock import clock_of
from vmie_tui.commands import inventory as inventory_command
from vmie_tui.commands.import_ import command
from vmie_tui.jobs.imports.snapshot import snapshot_name
from vmie_tui.model.plan import Route, Via
from vmie_tui.model.replication import Replication, ReplicationState, ReplicationView, Run, RunState
from vmie_tui.operations.replication_jobs import ReplicationJobs
from vmie_tui.services.aws.ebs.snapshot_reader import SnapshotReader
from vmie_tui.services.disks.streams.source import RawFile
from vmie_tui.simulators import launch

VM = "repl-01"
HOUR = 3600.0
PATIENCE = 60.0

T = TypeVar("T")


class Days:
    """One replication, its clock and its guest."""

    def __init__(self, world: World, *, hours: int, keep: int) -> None:
        self.world, self.hours = world, hours
        self.admin = launch.Admin(world.settings.demo_dir)
        self.admin("vcenter", "POST", "witness", {"on": True, "vm": VM})
        profile = world.settings.profile()
        self.clock = clock_of(world.settings.state_dir, profile)
        machine = inventory_command.find(inventory_command.read(world.settings).machines, VM)
        plan = replace(command.make_plan(profile, machine), route=Route.UNMODIFIED, via=Via.EBS)
        self.client = ReplicationJobs(world.settings)
        spec = Replication(plan, start=self.clock.now(), every_hours=hours, keep=keep)
        self.id = self.client.create(spec, machine, account=world.aws.identity().account)

    def view(self) -> ReplicationView:
        return self.client.view(self.id)

    def cycle(self) -> Run:
        """Wait for the run that is due, compare its AMI, then let the guest write and the time pass."""
        run = wait(self._done, "the run that is due")
        self._compare(run)
        self.admin("vcenter", "DELETE", "witness", {"vm": VM})
        self.admin("vcenter", "POST", "witness", {"on": True, "vm": VM})
        self.admin("vcenter", "POST", "write", {"vm": VM, "bytes": 8192, "extents": 4})
        self.clock.advance(self.hours * HOUR)
        return run

    def _done(self) -> Run | None:
        view = self.view()
        last = view.last
        if view.current is not None or last is None or last.scheduled < self.clock.now() - self.hours * HOUR:
            return None
        if last.state is not RunState.COMPLETED:
            raise SystemExit(f"{last.id} ended as {last.state.value}: {last.message}")
        return last

    def _compare(self, run: Run) -> None:
        frozen = self.admin("vcenter", "GET", f"witness?vm={VM}&snapshot={quote(snapshot_name(run.job_id))}")["disks"]
        aws = self.world.aws
        (image,) = aws.client("ec2").describe_images(ImageIds=[run.image_id])["Images"]
        made = [each["Ebs"]["SnapshotId"] for each in image["BlockDeviceMappings"]]
        if len(made) != len(frozen):
            raise SystemExit(f"{run.image_id} has {len(made)} disks, the machine {len(frozen)}")
        for ident, row in zip(made, frozen, strict=True):
            with SnapshotReader(aws, REGION, ident) as copy, RawFile(Path(row["path"]), copy.size) as source:
                for offset, length in [*copy.extents(), *source.extents()]:
                    if copy.read_at(offset, length) != source.read_at(offset, length):
                        raise SystemExit(f"{run.image_id}: {ident} differs from the frozen disk at {offset}")

    def left(self) -> dict[str, int]:
        """What there is of this replication in AWS, and snapshots on the machine."""
        ec2 = self.world.aws.client("ec2")
        mine: list[Any] = [{"Name": "tag:vmie-tui:replication", "Values": [self.id]}]
        machine = inventory_command.find(inventory_command.read(self.world.settings).machines, VM)
        return {
            "images": len(ec2.describe_images(Owners=["self"], Filters=mine)["Images"]),
            "ebs_snapshots": len(ec2.describe_snapshots(OwnerIds=["self"], Filters=mine)["Snapshots"]),
            "vsphere_snapshots": machine.snapshots,
        }


def wait(look: Callable[[], T | None], what: str) -> T:
    """The first value that is not None. Raises SystemExit when none comes."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        found = look()
        if found is not None:
            return found
        time.sleep(0.05)
    raise SystemExit(f"waited {PATIENCE:g} s for {what}")


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", maxsplit=1)[0])
    parser.add_argument("--hours", type=int, default=12)
    parser.add_argument("--days", type=int, default=90, help="how long to go on; the VM's days end at 90")
    parser.add_argument("--keep", type=int, default=5)
    options = parser.parse_args()
    began = time.monotonic()
    with a_world() as world:
        days = Days(world, hours=options.hours, keep=options.keep)
        runs: list[Run] = []
        for number in range(options.days * 24 // options.hours):
            runs.append(days.cycle())
            if number % 20 == 0:
                print(f"day {days.view().day}: {runs[-1].figures}", file=sys.stderr)
        ended = days.view()
        if options.days >= ended.days:
            ended = wait(
                lambda: view if (view := days.view()).state is ReplicationState.COMPLETED else None,
                "the last day's end",
            )
        moved = [run.figures.moved for run in runs if run.figures is not None]
        result = {
            "runs": Counter(run.state.value for run in ended.runs),
            "how": Counter(run.figures.sync.value for run in ended.runs if run.figures is not None),
            "moved": {"first": moved[0], "later": sum(moved[1:]) // max(len(moved) - 1, 1)},
            "state": ended.state.value,
            "terminated": ended.terminated,
            "says": ended.message,
            "day": ended.day,
            "kept": len(ended.images),
            **days.left(),
            "seconds": round(time.monotonic() - began),
        }
        print(json.dumps(result, indent=2))
    return 0


if __name__ == "__main__":
    sys.exit(main())
