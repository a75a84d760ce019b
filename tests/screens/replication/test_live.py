"""Replications from the inventory to their end, over the real store and the simulators' sockets, without their runs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from textual.pilot import Pilot
from textual.widgets import Button

from tests.kits import vcenter_session
from tests.kits.aws_world import BUCKET, REGION, settings_for
from tests.kits.driving import press, running, screen_text, toasts, until
from vmie_tui import settings as settings_module
from vmie_tui.jobs.engine.context import AwsSessions
from vmie_tui.jobs.replication.scheduler import Scheduler
from vmie_tui.jobs.store.store import Store
from vmie_tui.model.replication import CatalogueStatus, ReplicationState, RunState
from vmie_tui.model.task import JobState
from vmie_tui.operations.operations import Operations
from vmie_tui.screens.jobs.detail import JobScreen
from vmie_tui.screens.replication.screen import ReplicationScreen
from vmie_tui.settings import DEMO, Profile
from vmie_tui.simulators.aws.server import AwsSimulator
from vmie_tui.simulators.control import TlsFiles
from vmie_tui.simulators.vcenter.server import VCenterSimulator

NAME = "app-01"


@pytest.fixture
def vcenter(tls: TlsFiles, tmp_path: Path) -> Iterator[VCenterSimulator]:
    with vcenter_session.simulator(tmp_path / "vcenter", tls) as server:
        yield server


@pytest.fixture
def aws(tls: TlsFiles, tmp_path: Path) -> Iterator[AwsSimulator]:
    with AwsSimulator(tmp_path / "aws", tls=tls, region=REGION) as simulator:
        simulator.seed(bucket=BUCKET)
        yield simulator


@pytest.fixture
def operations(
    vcenter: VCenterSimulator, aws: AwsSimulator, tls: TlsFiles, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Operations:
    """The demo's profile, whose clock is a simulated one, and no worker: a test looks at what is due itself."""
    monkeypatch.setenv("VMIE_VCENTER_PASSWORD", vcenter.password)
    monkeypatch.setenv("VMIE_STATE_DIR", str(tmp_path / "state"))
    (tmp_path / "state" / DEMO).mkdir(parents=True)
    reach = f'[profiles.demo.vcenter]\nhost = "{vcenter.host}"\nuser = "{vcenter.user}"\n'  # which the schedules read
    (tmp_path / "state" / DEMO / "profile.toml").write_text(reach)
    monkeypatch.setattr("vmie_tui.operations.replication_jobs.ensure_worker", lambda settings: None)
    profile = Profile(DEMO, vcenter_session.settings_for(vcenter), settings_for(aws, tls, tmp_path))
    return Operations(replace(settings_module.load(), table={DEMO: profile}, default_profile=DEMO), profile)


async def say_yes(pilot: Pilot[int]) -> None:
    screen = pilot.app.screen
    screen.query_one("#yes", Button).press()
    await until(pilot, lambda: pilot.app.screen is not screen, "the question is answered")


async def test_from_the_inventory_to_its_deletion(operations: Operations) -> None:
    store = Store(operations._settings.state_dir)
    scheduler = Scheduler(operations._settings, store, AwsSessions())
    async with running(operations) as pilot:
        app, replicas = pilot.app, operations.replications
        await press(pilot, "slash", *NAME, "enter", "R", "ctrl+s")
        await until(pilot, lambda: isinstance(app.screen, ReplicationScreen), "screen 5 after the form")
        await until(pilot, lambda: f"○ {NAME}" in screen_text(pilot), "the replication")
        assert "due" in screen_text(pilot)

        scheduler.tick()  # as a worker would: the first run becomes a job
        (view,) = replicas.views()
        run = view.runs[0]
        assert run.state is RunState.PENDING and run.job_id
        await until(pilot, lambda: "1 running" in screen_text(pilot), "the run")
        app.poll_now()  # type: ignore[attr-defined]
        await until(pilot, lambda: any(job.id == run.job_id for job in app.jobs), "its job")  # type: ignore[attr-defined]
        await press(pilot, "enter")
        assert isinstance(app.screen, JobScreen)
        assert f"replication run {NAME}" in screen_text(pilot)
        await press(pilot, "escape")
        store.become(run.job_id, JobState.RUNNING)
        store.become(run.job_id, JobState.DONE, image_id="ami-0123456789abcdef0")
        scheduler.tick()
        await until(pilot, lambda: "ami-0123456789abcdef0" in screen_text(pilot), "the run is over")

        await press(pilot, "p")
        await until(pilot, lambda: "paused" in screen_text(pilot), "paused")
        assert replicas.views()[0].paused
        await press(pilot, "p", "x")
        await say_yes(pilot)
        await until(pilot, lambda: replicas.views()[0].extended_days == 30, "more days")
        assert not replicas.views()[0].paused

        before = replicas.now()
        await press(pilot, "greater_than_sign")
        await say_yes(pilot)
        await until(pilot, lambda: replicas.now() > before + 11 * 3600, "the clock")
        assert "The simulated clock says" in toasts(pilot)

        assert replicas.import_catalogue().status is CatalogueStatus.AVAILABLE
        assert [one.name for one in replicas.catalogue().servers if one.replication_id == view.id] == [NAME]
        await press(pilot, "c", "escape")
        await until(pilot, lambda: "catalogue available" in screen_text(pilot), "the catalogue")

        await press(pilot, "d")
        await say_yes(pilot)
        await until(pilot, lambda: replicas.views()[0].state is ReplicationState.DELETING, "being deleted")
        await until(pilot, lambda: "deleting" in screen_text(pilot), "said so")


async def test_the_store_refuses_in_words(operations: Operations) -> None:
    """No run is asked for beside another."""
    async with running(operations) as pilot:
        await press(pilot, "slash", *NAME, "enter", "R", "ctrl+s")
        await until(pilot, lambda: isinstance(pilot.app.screen, ReplicationScreen), "screen 5 after the form")
        await until(pilot, lambda: f"○ {NAME}" in screen_text(pilot), "the replication")
        (view,) = operations.replications.views()
        operations.replications.run_now(view.id, resync=None, verify=None, cutover=None)
        await press(pilot, "r")
        pilot.app.screen.query_one("#yes", Button).press()
        await until(pilot, lambda: "is in progress" in screen_text(pilot), "why not")
        assert len(operations.replications.views()[0].runs) == 1
