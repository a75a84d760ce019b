"""Real processes: one pair of simulators for all job tests, and a state folder with its own worker for each."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import pytest

from tests.kits.waiting import wait_until
from vmie_tui import settings as settings_module
from vmie_tui.commands import inventory as inventory_command
from vmie_tui.jobs.engine.polling import INTERVAL_VARIABLE, POLL_VARIABLE
from vmie_tui.jobs.engine.worker_process import stop_worker, worker_pid
from vmie_tui.jobs.store.database import DATABASE_FILE
from vmie_tui.model.job import JobView
from vmie_tui.model.machine import Machine
from vmie_tui.model.plan import ImportPlan
from vmie_tui.model.task import JobState
from vmie_tui.operations.import_plan import make_plan
from vmie_tui.operations.jobs import Jobs
from vmie_tui.operations.sources import find
from vmie_tui.services.aws.ebs.snapshot_reader import SnapshotReader
from vmie_tui.services.aws.ec2.job_resources import snapshot_of
from vmie_tui.services.aws.session import Aws, open_session
from vmie_tui.services.disks.streams.source import RawFile
from vmie_tui.settings import DEMO, Settings
from vmie_tui.simulators import launch

SPEED = 1000.0
MIB = 1 << 20
REGION, ZONE = "eu-west-1", "eu-west-1a"


class World:
    """One state folder that knows the simulators; what a user would do there."""

    def __init__(self, settings: Settings, admin: launch.Admin) -> None:
        self.settings, self.admin = settings, admin
        self.client = Jobs(settings)

    def machine(self, name: str) -> Machine:
        return find(inventory_command.read(self.settings).machines, name)

    def plan(self, name: str, **chosen: Any) -> ImportPlan:
        return make_plan(self.settings.profile(), self.machine(name), **chosen)

    def submit(self, name: str, **chosen: Any) -> str:
        return self.client.submit(self.plan(name, **chosen))

    def wait(self, job_id: str, *states: JobState, timeout: float = 40.0) -> JobView:
        """The job once it is in one of ``states`` (DONE); fails with its log when it ends otherwise."""
        wanted = states or (JobState.DONE,)

        def reached() -> JobView | None:
            view = self.client.job(job_id)
            if view.state in wanted:
                return view
            ended = view.state.terminal or view.state in {JobState.FAILED, JobState.NEEDS_LOGIN}
            assert not ended, "\n".join([str(view.problem), *(line.text for line in self.client.log(job_id))])
            return None

        return wait_until(reached, timeout, f"{job_id} in {[state.value for state in wanted]}")

    def requests(self, service: str, operation: str) -> int:
        return int(self.admin(service, "GET", "stats")["requests"].get(operation, 0))

    def fault(self, service: str, **fault: Any) -> None:
        self.admin(service, "POST", "faults", fault)

    def rate(self, nbytes: int | None) -> None:
        """Bytes a second of each disk stream."""
        self.admin("vcenter", "POST", "rate", {"nfc": nbytes})

    def kill_worker(self) -> int:
        pid = worker_pid(self.settings.state_dir)
        assert pid
        os.kill(pid, signal.SIGKILL)
        wait_until(lambda: worker_pid(self.settings.state_dir) is None, what="the worker's end")
        return pid

    def log(self, job_id: str) -> str:
        return "\n".join(line.text for line in self.client.log(job_id))

    @cached_property
    def aws(self) -> Aws:
        return open_session(self.settings.profile().aws)

    def raw(self, name: str) -> list[Path]:
        """The content of a machine's disks, as RAW files."""
        return [Path(row["path"]) for row in self.admin("vcenter", "GET", f"disks?vm={name}")["disks"]]

    def assert_equal(self, name: str, view: JobView) -> None:
        """Every snapshot that the job made holds the very bytes of its source disk, and zeros behind them."""
        sources = {row["key"]: row for row in self.admin("vcenter", "GET", f"disks?vm={name}")["disks"]}
        assert {disk.key for disk in view.disks} == set(sources)
        self.assert_holds(view, [Path(sources[disk.key]["path"]) for disk in view.disks])

    def assert_holds(self, view: JobView, paths: Sequence[Path]) -> None:
        """The same for disks that are given as RAW files, in their order; a volume is read through a snapshot."""
        assert len(view.disks) == len(paths)
        for disk, path in zip(view.disks, paths, strict=True):
            volume = view.results.get(f"volume of {disk.label}", "")
            ident = disk.snapshot_id or snapshot_of(self.aws, REGION, volume, "test")
            with SnapshotReader(self.aws, REGION, ident) as snapshot, RawFile(path, snapshot.size) as source:
                assert snapshot.size >= path.stat().st_size
                for offset, length in [*snapshot.extents(), *source.extents()]:
                    assert snapshot.read_at(offset, length) == source.read_at(offset, length), (disk.label, offset)

    def snapshots(self) -> list[str]:
        """Ids of all snapshots of the account, pending ones too."""
        found = self.aws.client("ec2").describe_snapshots(OwnerIds=["self"])
        return [item["SnapshotId"] for item in found["Snapshots"]]

    def keys(self, prefix: str) -> list[str]:
        """Keys of the objects in the bucket."""
        aws = self.settings.profile().aws
        found = self.aws.client("s3").list_objects_v2(Bucket=aws.bucket, Prefix=prefix)
        return [item["Key"] for item in found.get("Contents", [])]

    def put(self, key: str, path: Path) -> tuple[str, str]:
        """Put a file into the bucket: (bucket, key)."""
        bucket = self.settings.profile().aws.bucket
        with path.open("rb") as body:
            self.aws.client("s3").put_object(Bucket=bucket, Key=key, Body=body)
        return bucket, key

    def open_uploads(self) -> list[str]:
        """Keys of the multipart uploads that were neither completed nor aborted."""
        aws = self.settings.profile().aws
        found = self.aws.client("s3").list_multipart_uploads(Bucket=aws.bucket)
        return [upload["Key"] for upload in found.get("Uploads", [])]


@pytest.fixture(scope="session")
def simulators(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    root = tmp_path_factory.mktemp("simulators")
    launch.start(root, launch.Wanted(speed=SPEED, rate=0, idle_hours=0.2, fleet="tiny"))
    yield root
    launch.stop(root)


@pytest.fixture(scope="session")
def used_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The database of a state folder whose worker has run: the engine finds its queues a second later in a new one."""
    state = tmp_path_factory.mktemp("used")
    environment = {"VMIE_STATE_DIR": str(state), "VMIE_CONFIG_FILE": str(state / "none.toml")}
    command = [sys.executable, "-m", "vmie_tui", "worker", "--idle-minutes", "0"]
    subprocess.run(command, env=os.environ | environment, check=True, capture_output=True)
    return state / DATABASE_FILE


def open_world(simulators: Path, used_database: Path, state: Path) -> World:
    """A world in a new state folder, with the environment set to it."""
    (state / DEMO).mkdir(parents=True)
    shutil.copy(simulators / launch.PROFILE_FILE, state / DEMO / launch.PROFILE_FILE)
    for path in used_database.parent.glob(f"{DATABASE_FILE}*"):
        shutil.copy(path, state / path.name)
    return World(settings_module.load(DEMO), launch.Admin(simulators))


def close_world(world: World) -> None:
    stop_worker(world.settings)
    world.client.close()
    world.aws.close()


@pytest.fixture(scope="session")
def shared_worlds(simulators: Path) -> Iterator[list[World]]:
    """The world of all tests that share one, while there is one."""
    worlds: list[World] = []
    yield worlds
    for each in worlds:
        close_world(each)


@pytest.fixture
def world(
    request: pytest.FixtureRequest,
    simulators: Path,
    used_database: Path,
    shared_worlds: list[World],
    tmp_path_factory: pytest.TempPathFactory,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[World]:
    """A state folder of the test's own; with the mark ``worker("shared")`` one whose worker is at work already.

    A worker reads its code and AWS's models for three seconds before its first job has moved a byte. Who shares one
    must not count all jobs, change the settings, or leave a job that is not over.
    """
    mark = request.node.get_closest_marker("worker")
    together = mark is not None and mark.args == ("shared",)
    monkeypatch.setenv(INTERVAL_VARIABLE, "0.1")
    monkeypatch.setenv(POLL_VARIABLE, "0.15")
    if together and shared_worlds:
        made = shared_worlds[0]
        monkeypatch.setenv("VMIE_STATE_DIR", str(made.settings.state_dir))
    else:
        if together:
            monkeypatch.setenv("VMIE_STATE_DIR", str(tmp_path_factory.mktemp("shared") / "state"))
        made = open_world(simulators, used_database, Path(os.environ["VMIE_STATE_DIR"]))
        shared_worlds.extend([made] if together else [])
    yield made
    for service in ("vcenter", "aws"):
        made.admin(service, "DELETE", "faults")
    made.rate(None)
    left = [view.id for view in made.client.jobs() if view.state.live]
    if left or not together:
        close_world(made)
    if together and left:
        shared_worlds.remove(made)
        pytest.fail(f"the test left jobs at work for others to meet: {left}")
