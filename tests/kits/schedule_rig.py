"""A store, client, scheduler and simulated clock for tests of schedules; the worker's part is played."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from vmie_tui import settings as settings_module
from vmie_tui.clock import Clock, clock_of
from vmie_tui.jobs.engine.context import AwsSessions
from vmie_tui.jobs.replication.scheduler import Scheduler
from vmie_tui.jobs.store.replications import Replications
from vmie_tui.jobs.store.store import Store
from vmie_tui.model.machine import Disk, Machine, Power
from vmie_tui.model.plan import ImportPlan, Route, VmSource
from vmie_tui.model.replication import Replication, ReplicationPlan, ReplicationView
from vmie_tui.model.task import JobState
from vmie_tui.operations import replication_jobs
from vmie_tui.operations.replication_jobs import ReplicationJobs

HOUR, DAY = 3600.0, 86_400.0
ACCOUNT, HOST = "123456789012", "vc.test"
CONFIG = """
[profiles.demo]
{more}
[profiles.demo.vcenter]
host = "{host}"
user = "u"
[profiles.demo.aws]
region = "eu-west-1"
[profiles.wall.vcenter]
host = "{host}"
user = "u"
"""


def machine(number: int = 1) -> Machine:
    return Machine(
        f"vm-{number}",
        f"web-{number:02d}",
        instance_uuid=f"uuid-{number}",
        datacenter="DC1",
        folder=("prod",),
        power=Power.ON,
        guest_id="ubuntu64Guest",
        guest_name="Ubuntu Linux (64-bit)",
        disks=(Disk(2000, "Hard disk 1", 1 << 30),),
        cbt=True,
    )


def spec(start: float, every_hours: int = 12, *, number: int = 1, profile: str = "demo", **chosen: Any) -> Replication:
    one = machine(number)
    source = VmSource(HOST, one.moid, one.name, one.instance_uuid)
    plan = ImportPlan(profile, source, "eu-west-1", "", route=Route.IMAGE_DIRECT)
    return Replication(replace(plan, **chosen.pop("plan", {})), start, every_hours, **chosen)


class Rig:
    """What a user and a worker would do."""

    def __init__(self, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.config = root / "config.toml"
        self.state_dir = root / "state"
        self.configure()
        self.settings = settings_module.load("demo", state_dir=self.state_dir, config_file=self.config)
        self.started: list[str] = []
        monkeypatch.setattr(replication_jobs, "ensure_worker", lambda settings: self.started.append("worker"))
        self.store = Store(self.state_dir)
        self.book = Replications(self.store)
        self.client = ReplicationJobs(self.settings)
        (self.state_dir / "demo").mkdir(parents=True)
        self.clock: Clock = clock_of(self.state_dir, self.settings.profile("demo"))
        self.scheduler = Scheduler(self.settings, self.store, AwsSessions())

    def close(self) -> None:
        self.store.close()
        self.client.close()

    def configure(self, *, host: str = HOST, more: str = "") -> None:
        """The user's file; ``more``: lines of the profile demo."""
        self.config.write_text(CONFIG.format(host=host, more=more))

    def other_client(self, **flags: Any) -> ReplicationJobs:
        """As another process has it, which reads the file as it is now."""
        found = settings_module.load("demo", state_dir=self.state_dir, config_file=self.config, **flags)
        return ReplicationJobs(found)

    def create(self, every_hours: int = 12, *, number: int = 1, ahead: float = 0.0, **chosen: Any) -> str:
        wanted = spec(self.clock.now() + ahead, every_hours, number=number, **chosen)
        return self.client.create(wanted, machine(number), account=ACCOUNT)

    def tick(self, seconds: float = 0.0) -> None:
        """The clock goes on by so much, then the worker looks."""
        if seconds:
            self.clock.advance(seconds)
        self.scheduler.tick()

    def jobs(self) -> list[tuple[str, ReplicationPlan]]:
        """(id, plan) of the jobs that a worker would take up, oldest first."""
        records = [record for record in self.store.unfinished() if record.state is JobState.QUEUED]
        return [(record.id, record.plan) for record in records if isinstance(record.plan, ReplicationPlan)]

    def begin(self) -> list[tuple[str, ReplicationPlan]]:
        """The worker takes up what is queued."""
        found = self.jobs()
        for job_id, plan in found:
            self.store.become(job_id, JobState.RUNNING)
            self.book.begin(plan.run, self.clock.now())
        return found

    def end(self, job_id: str, state: JobState = JobState.DONE) -> None:
        """A job that runs comes to its end, and the worker looks."""
        values = {"image_id": f"ami-{job_id}"} if state is JobState.DONE else {}
        if state is JobState.CANCELLED:
            self.store.become(job_id, JobState.CANCELLING)
        assert self.store.become(job_id, state, **values)
        self.tick()

    def cleaned(self) -> None:
        """Cancelled jobs have cleaned up, and the worker looks."""
        for record in self.store.unfinished():
            if record.state is JobState.CANCELLING:
                self.store.become(record.id, JobState.CANCELLED)
        self.tick()

    def go(self, state: JobState = JobState.DONE) -> None:
        """All that is queued is carried out and ends so."""
        for job_id, _ in self.begin():
            self.end(job_id, state)

    def view(self, ident: str) -> ReplicationView:
        return self.client.view(ident)
