"""Tasks and exports against the simulators over their sockets: many Regions, bad ones; read-only changes nothing."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
from textual.pilot import Pilot
from textual.screen import ModalScreen
from textual.widgets import Button, Input

from tests.kits import vcenter_session
from tests.kits.aws_world import BUCKET, REGION, settings_for
from tests.kits.driving import press, running, screen_text, settle, until
from vmie_tui import settings as settings_module
from vmie_tui.jobs.store.store import Store
from vmie_tui.model.errors import ServiceError
from vmie_tui.model.exportable import Exportable
from vmie_tui.model.job import DiskProgress, Stage, StageState
from vmie_tui.model.machine import Machine
from vmie_tui.model.plan import ImportPlan, Route, VmSource
from vmie_tui.model.replication import CatalogueStatus, Replication, ReplicationView
from vmie_tui.model.task import JobState, TaskKind
from vmie_tui.operations.images import FinishedImport
from vmie_tui.operations.import_plan import Draft, of_machines
from vmie_tui.operations.jobs import Jobs
from vmie_tui.operations.operations import Operations
from vmie_tui.operations.replication_jobs import ReplicationJobs
from vmie_tui.screens.exports.form import ExportFormScreen
from vmie_tui.screens.exports.source import ExportSourceScreen
from vmie_tui.screens.frame.actions import APP
from vmie_tui.screens.frame.base import FrameScreen
from vmie_tui.screens.frame.confirm import ForceScreen
from vmie_tui.screens.inventory.open_source import OpenScreen
from vmie_tui.screens.inventory.preflight_report import ReportScreen
from vmie_tui.screens.jobs.detail import JobScreen
from vmie_tui.screens.jobs.image import ImageScreen
from vmie_tui.screens.jobs.proof import ProofScreen
from vmie_tui.screens.replication.catalogue import CatalogueScreen
from vmie_tui.screens.replication.cutover import CutoverScreen
from vmie_tui.screens.replication.form import ReplicationForm
from vmie_tui.screens.tasks.detail import TaskScreen
from vmie_tui.screens.tasks.raw import RawScreen
from vmie_tui.screens.tasks.screen import TasksScreen
from vmie_tui.screens.tasks.watch import WatchScreen
from vmie_tui.screens.wizard.screen import WizardScreen
from vmie_tui.services.aws.vmie.explorer import Explorer
from vmie_tui.services.read_only import VSPHERE_READS, reads_aws
from vmie_tui.settings import Profile
from vmie_tui.simulators.aws.account import add_role
from vmie_tui.simulators.aws.estate import EXPORT_BUCKET, furnish
from vmie_tui.simulators.aws.server import AwsSimulator
from vmie_tui.simulators.control import Fault, TlsFiles
from vmie_tui.simulators.vcenter.server import VCenterSimulator
from vmie_tui.widgets.exports import SourceRow
from vmie_tui.widgets.machines import MachineTable
from vmie_tui.widgets.tasks import TaskTable

DENIED, THROTTLED, SILENT = "us-east-1", "eu-central-1", "us-west-2"


def table(pilot: Pilot[int]) -> TaskTable:
    return pilot.app.screen.query_one(TaskTable)


def live(table: dict[str, Profile], folder: Path, monkeypatch: pytest.MonkeyPatch) -> Operations:
    monkeypatch.setenv("VMIE_STATE_DIR", str(folder / "state"))
    loaded = replace(settings_module.load(), table=table, default_profile="prod")
    return Operations(loaded, table["prod"])


@pytest.fixture
def aws(tls: TlsFiles, tmp_path: Path) -> Iterator[AwsSimulator]:
    with AwsSimulator(tmp_path / "aws", tls=tls, region=REGION) as simulator:
        simulator.seed(bucket=BUCKET)
        yield simulator


async def test_two_thousand_tasks_over_twenty_regions_three_of_them_bad(
    aws: AwsSimulator, tls: TlsFiles, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Shown within 2 s of the first page; the Regions that cannot be read are named; hidden, nothing is asked."""
    monkeypatch.setattr("vmie_tui.services.aws.session.EXPLORE_SECONDS", 1)
    regions = aws.seed_history(2000, 20)
    assert {DENIED, THROTTLED, SILENT} < set(regions)
    for region, action in ((DENIED, "deny"), (THROTTLED, "throttle"), (SILENT, "timeout")):
        aws.faults.add(Fault("*", action=action, region=region, times=None))
    operations = live({"prod": Profile("prod", None, settings_for(aws, tls, tmp_path))}, tmp_path, monkeypatch)
    first: list[float] = []
    shown: list[float] = []
    read, apply = Explorer._show, TasksScreen._apply

    def timed(*arguments: object, **named: object) -> None:
        first.append(time.monotonic())
        read(*arguments, **named)  # type: ignore[arg-type]

    def applied(screen: TasksScreen) -> None:
        apply(screen)
        shown.extend([time.monotonic()] if screen.table.rows else [])

    monkeypatch.setattr(Explorer, "_show", timed)
    monkeypatch.setattr(TasksScreen, "_apply", applied)
    async with running(operations) as pilot:
        await press(pilot, "3", "R")
        await until(pilot, lambda: "Regions" in screen_text(pilot), "the Regions")
        first.clear()
        shown.clear()
        await press(pilot, "a", "enter")
        screen = pilot.app.get_screen_stack("tasks")[0]
        assert isinstance(screen, TasksScreen)
        await until(pilot, lambda: first and shown, "the first tasks")
        assert shown[0] - first[0] < 2
        await until(pilot, lambda: screen._seen and not screen._seen.reading, "all read")
        words = (
            f"{DENIED} (prod) denies access",
            f"{THROTTLED} (prod) throttles",
            f"{SILENT} (prod) does not answer",
            "again at",
        )
        await until(pilot, lambda: all(each in screen_text(pilot) for each in words), "all of them named")
        good = set(regions) - {DENIED, THROTTLED, SILENT}
        listed = sum(len(aws.history.tasks(kind, region)) for kind in TaskKind for region in good)
        assert len(table(pilot).rows) == listed > 1000
        await press(pilot, "slash", *"state=failed", "enter", "G", "enter")
        assert "AWS says" in screen_text(pilot)
        await press(pilot, "escape", "1")
        before = aws.stats.snapshot()
        screen.on_screen_resume()
        await settle(pilot)
        assert aws.stats.snapshot() == before


# -- read-only: every key of every screen


@pytest.fixture
def vcenter(tls: TlsFiles, tmp_path: Path) -> Iterator[VCenterSimulator]:
    with vcenter_session.simulator(tmp_path / "vcenter", tls) as server:
        yield server


def some_jobs(store: Store) -> list[str]:
    """One job that waits, one that failed at the conversion, one that made an AMI."""
    ids = []
    for state in (JobState.QUEUED, JobState.FAILED, JobState.DONE):
        disk = DiskProgress(2000, "disk 1", 1 << 30, 0, 0, 0, 0, 0, StageState.DONE, "ab" * 32, True)
        plan = ImportPlan("prod", VmSource("vcenter", "vm-1", f"job-{state.value}"), REGION, BUCKET)
        job_id = store.create(plan)
        if state is not JobState.QUEUED:
            store.become(job_id, JobState.RUNNING)
            store.stage(job_id, Stage.IMPORT, StageState.FAILED if state is JobState.FAILED else StageState.DONE)
            store.set_disks(job_id, [disk])
            store.become(job_id, state, image_id="ami-0123456789abcdef0" if state is JobState.DONE else "")
        ids.append(job_id)
    return ids


def a_replication(operations: Operations, free: dict[str, Profile], machines: Sequence[Machine]) -> ReplicationView:
    """Of the first machine that can be replicated, as another profile's user has made it: it starts in an hour."""
    client = ReplicationJobs(replace(operations._settings, table=free))
    for machine in machines:
        vcenter = free["prod"].vcenter
        assert vcenter is not None
        source = VmSource(vcenter.host, machine.moid, machine.name, machine.instance_uuid)
        plan = ImportPlan("prod", source, REGION, "", route=Route.IMAGE_DIRECT)
        with suppress(ServiceError):  # not this one
            ident = client.create(Replication(plan, client.now("prod") + 3600, 12), machine, account="1" * 12)
            return client.view(ident)
    raise AssertionError("none of the machines can be replicated")


async def answer_everything(pilot: Pilot[int], home: FrameScreen) -> None:
    """Say yes to whatever was asked, then leave what was opened on top of ``home`` or beside it."""
    app = pilot.app
    for _ in range(6):
        screen = app.screen
        if not isinstance(screen, ModalScreen):
            break
        if isinstance(screen, ForceScreen):
            screen.query_one(Input).value = screen._called
        for button in screen.query("#yes").results(Button):
            screen.set_focus(button)
        await press(pilot, "enter")
        if app.screen is screen:  # an answer is wrong, or there is none to give
            await press(pilot, "escape")
    for mode in {app.current_mode, home.MODE}:
        stack = app._screen_stacks[mode]
        while len(stack) > 1 and stack[-1] is not home:
            if app.current_mode != mode:
                await app.switch_mode(mode)
            await app.pop_screen()
    if app.current_mode != home.MODE:
        await app.switch_mode(home.MODE)
    await pilot.pause()


async def push_every_key(pilot: Pilot[int], home: FrameScreen, make: Callable[[], FrameScreen] | None = None) -> None:
    """On ``home``, or on the page ``make`` makes, which is made again when a key has closed it; then its buttons."""
    page, own = home, make() if make is not None else home
    for key in (*keys_of(own, everywhere=make is None), ""):
        if make is not None and (page is home or page not in pilot.app.screen_stack):
            page = make()
            await pilot.app.push_screen(page)
            await settle(pilot)
        if key:
            await press(pilot, key)
        else:
            for button in page.query(Button):
                button.press()
            await settle(pilot)
        await answer_everything(pilot, page)
    await answer_everything(pilot, home)


def keys_of(screen: FrameScreen, *, everywhere: bool) -> list[str]:
    """Every key of the screen; with ``everywhere`` those of the app too that do not leave the screen."""
    stays = [action for action in APP if everywhere and not action.run.startswith(("mode", "quit", "command_palette"))]
    return [action.keys.split(",")[0] for action in (*screen.ACTIONS, *stays)]


async def test_read_only_no_key_of_any_screen_changes_anything(
    aws: AwsSimulator, vcenter: VCenterSimulator, tls: TlsFiles, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VMIE_VCENTER_PASSWORD", vcenter.password)
    monkeypatch.setattr("vmie_tui.screens.tasks.watch.LOOK_SECONDS", 0.05)
    # The simulators work in this process, so it is seldom as idle as Textual's pilot waits for it to be.
    monkeypatch.setattr("textual._wait.SLEEP_GRANULARITY", 0.005)
    monkeypatch.setattr("vmie_tui.operations.replication_jobs.ensure_worker", lambda settings: None)
    furnish(aws, "444455556666")
    add_role(aws.account, "vmimport", EXPORT_BUCKET, policy="exports")
    aws.seed_history(60, 1)
    reach = replace(settings_for(aws, tls, tmp_path), bucket=EXPORT_BUCKET)
    free = {"prod": Profile("prod", vcenter_session.settings_for(vcenter), reach)}
    operations = live({"prod": replace(free["prod"], read_only=True)}, tmp_path, monkeypatch)
    jobs = some_jobs(Store(operations._settings.state_dir, None))
    seen: set[type[FrameScreen]] = set()
    async with running(operations) as pilot:
        app = pilot.app
        things = (*aws_things(operations, "i-"), *aws_things(operations, "ami-"))
        machine = pilot.app.screen.query_one(MachineTable).rows[0].machine
        draft = Draft(of_machines([machine], vcenter.host), "prod", region=REGION, bucket=BUCKET, role_name="vmimport")
        await press(pilot, "3")
        await until(pilot, lambda: table(pilot).rows, "tasks")
        record = next(row for row in table(pilot).rows if row.live)
        machines = [row.machine for row in pilot.app.get_screen_stack("inventory")[0].query_one(MachineTable).rows]
        view = a_replication(operations, free, machines)
        pages: dict[str, list[Callable[[], FrameScreen]]] = {
            "inventory": [lambda: ReportScreen([machine]), OpenScreen, lambda: WizardScreen(draft)],
            "jobs": [
                lambda: JobScreen(jobs[1]),
                lambda: ProofScreen(jobs[2], "job"),
                lambda: ImageScreen(FinishedImport("made", REGION, things[-1].id, bucket=EXPORT_BUCKET, keys=("key",))),
            ],
            "tasks": [
                lambda: TaskScreen(record, lambda _: None),
                lambda: RawScreen("id", "{}"),
                lambda: WatchScreen(record),
            ],
            "exports": [
                lambda: ExportSourceScreen(SourceRow(things[0]), REGION),
                *(partial(ExportFormScreen, SourceRow(thing), REGION) for thing in (things[0], things[-1])),
            ],
            "replication": [lambda: ReplicationForm([machine]), lambda: CutoverScreen(view), CatalogueScreen],
            "setup": [],
        }
        for mode, makers in pages.items():
            app.action_mode(mode)
            await settle(pilot)
            home = app.screen
            assert isinstance(home, FrameScreen)
            seen.add(type(home))
            await push_every_key(pilot, home)
            for make in makers:
                seen.add(type(make()))
                await push_every_key(pilot, home, make)
    leaves = {each for each in every_screen(FrameScreen) if each.ACTIONS}
    assert seen >= {each for each in leaves if each.__module__.startswith("vmie_tui.")}
    sent = {name.partition(":")[2] for name in aws.stats.snapshot()}
    assert {"DescribeInstances", "DescribeImportImageTasks"} <= sent
    assert [name for name in sent if not reads_aws(name)] == []
    asked = set(vcenter.stats.snapshot())
    assert "RetrievePropertiesEx" in asked
    assert [name for name in asked if name not in VSPHERE_READS and not name.startswith("folder:")] == []
    replicas = operations.replications
    assert [replace(one, now=0.0) for one in replicas.views()] == [replace(view, now=0.0)]
    assert replicas.catalogue().status is CatalogueStatus.NOT_IMPORTED
    assert {view.id: view.state for view in Jobs(operations._settings).jobs()} == dict(
        zip(jobs, (JobState.QUEUED, JobState.FAILED, JobState.DONE), strict=True)
    )


def every_screen(base: type[FrameScreen]) -> Iterator[type[FrameScreen]]:
    for each in base.__subclasses__():
        yield each
        yield from every_screen(each)


def aws_things(operations: Operations, prefix: str) -> list[Exportable]:
    found: list[Exportable] = []
    operations.exports.sources(REGION, found.extend)
    return [thing for thing in found if thing.id.startswith(prefix)]
