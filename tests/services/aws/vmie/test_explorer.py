"""The task explorer against a simulated AWS of many Regions, some of them in trouble, and two accounts."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.kits.aws_clients import REGION, Kit, linux_disk, running
from tests.kits.aws_world import settings_for
from tests.kits.waiting import wait_until
from vmie_tui.model.errors import ErrorKind
from vmie_tui.model.task import TaskKind
from vmie_tui.model.task_history import Outcome, TaskQuery
from vmie_tui.services.aws import session as sessions
from vmie_tui.services.aws.session import Aws, open_session
from vmie_tui.services.aws.vmie import explorer as module
from vmie_tui.services.aws.vmie.explorer import (
    REGION_BURST,
    REGION_RATE,
    Explorer,
    Page,
    RequestBudget,
    WatchedAccount,
    enabled_regions,
)
from vmie_tui.services.aws.vmie.task_parser import task_kind
from vmie_tui.services.task_history import History
from vmie_tui.simulators.control import Fault, TlsFiles

TASKS, REGIONS = 2000, 20
OTHER, OTHER_KEY = "444455556666", "AKIAI44QH8DHBEXAMPLE"


@pytest.fixture(scope="module")
def kit(tls: TlsFiles, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kit]:
    with running(tls, tmp_path_factory.mktemp("explorer")) as kit:
        yield kit


@pytest.fixture(scope="module")
def places(kit: Kit) -> list[str]:
    return kit.sim.seed_history(TASKS, REGIONS)


@pytest.fixture(scope="module")
def aws(kit: Kit, tls: TlsFiles, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Aws]:
    session = open_session(settings_for(kit.sim, tls, tmp_path_factory.mktemp("keys")), read_only=True)
    yield session
    session.close()


@pytest.fixture
def history(tmp_path: Path) -> Iterator[History]:
    history = History(tmp_path)
    yield history
    history.close()


@pytest.fixture(autouse=True)
def calm(kit: Kit, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(module, "THROTTLED_PAUSE", 0.01)
    kit.sim.stats.reset()
    yield
    kit.sim.faults.clear()


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def listed(kit: Kit, places: list[str]) -> int:
    """How many tasks AWS still lists: some of the seeded ones are about a week old."""
    return sum(len(kit.sim.history.tasks(kind, region)) for kind in TaskKind for region in places)


def requests(kit: Kit) -> Counter[str]:
    return Counter(kit.sim.stats.snapshot())


def test_two_thousand_tasks_of_twenty_regions(kit: Kit, aws: Aws, places: list[str], history: History) -> None:
    explorer = Explorer([WatchedAccount("prod", aws, tuple(places))], history=history)
    pages: list[tuple[float, Page]] = []
    begun = time.monotonic()
    explorer.load(lambda page: pages.append((time.monotonic() - begun, page)))
    found = explorer.records()
    assert len(found) == listed(kit, places) > 0.8 * TASKS and {record.task.region for record in found} == set(places)
    assert {record.task.kind for record in found} == set(TaskKind)
    assert explorer.troubles() == ()
    first = next(at for at, page in pages if page.records)
    assert first < pages[-1][0], "the first page does not wait for the last"
    assert sum(len(page.records) for _, page in pages) == len(found)
    assert explorer.requests == sum(requests(kit).values()) <= len(places) * len(TaskKind) * 2
    failed = TaskQuery(states=frozenset({"failed"})).apply(found, found[0].last_seen)
    assert failed and all(record.task.reason for record in failed)
    assert len(history.records()) == len(found)


def test_a_refresh_asks_for_what_can_still_change(kit: Kit, aws: Aws, places: list[str], history: History) -> None:
    clock, some = Clock(), tuple(places[:4])
    explorer = Explorer([WatchedAccount("prod", aws, some)], history=history, clock=clock)
    explorer.load()
    kit.sim.stats.reset()
    explorer.refresh()
    assert not requests(kit) and explorer.due() > 0
    live = {record.key for record in explorer.records() if record.live}
    assert live, "the seeded history has tasks that run"
    clock.now += explorer.due()
    seen: list[Page] = []
    explorer.refresh(seen.append)
    assert {record.key for page in seen for record in page.records} == live
    kinds = {(key[1], task_kind(key[2])) for key in live}
    assert sum(requests(kit).values()) == len(kinds)
    kit.sim.stats.reset()
    clock.now += module.NEW_SECONDS
    explorer.refresh()
    assert sum(requests(kit).values()) <= len(some) * len(TaskKind) * 2


def test_new_tasks_and_their_ends_are_seen(kit: Kit, aws: Aws, history: History) -> None:
    kit.put("disk.vmdk", linux_disk(kit.folder)[1])
    clock = Clock()
    explorer = Explorer([WatchedAccount("prod", aws, (REGION,))], history=history, clock=clock)
    explorer.load()
    ident = kit.import_image("disk.vmdk")["ImportTaskId"]
    clock.now += module.NEW_SECONDS
    explorer.refresh()
    [record] = [record for record in explorer.records() if record.task.id == ident]
    assert record.live
    kit.ended(ident)
    clock.now += module.LIVE_SECONDS
    explorer.refresh()
    [record] = [record for record in explorer.records() if record.task.id == ident]
    assert record.outcome is Outcome.COMPLETED and record.task.image_id and len(record.changes) >= 2
    kit.sim.stats.reset()
    clock.now += module.LIVE_SECONDS
    explorer.refresh()
    named = [name for name in requests(kit) if "ImportImage" in name]
    others = [r for r in explorer.records() if r.live and r.task.kind is TaskKind.IMPORT_IMAGE]
    assert bool(named) == bool(others), "what is over is not asked for again"


def test_regions_in_trouble_are_named_and_stop_no_other(
    kit: Kit,
    aws: Aws,
    places: list[str],
    history: History,
    monkeypatch: pytest.MonkeyPatch,
    tls: TlsFiles,
    tmp_path: Path,
) -> None:
    monkeypatch.setattr(sessions, "EXPLORE_SECONDS", 1)
    session = open_session(settings_for(kit.sim, tls, tmp_path), read_only=True)
    denied, throttled, silent, disabled, *fine = places[:8]
    for region, action in ((denied, "deny"), (throttled, "throttle"), (silent, "timeout"), (disabled, "disabled")):
        kit.sim.faults.add(Fault("*", action, times=None, region=region))
    clock = Clock()
    explorer = Explorer([WatchedAccount("prod", session, tuple(places[:8]))], history=history, clock=clock)
    explorer.load()
    assert {record.task.region for record in explorer.records()} == set(fine)
    troubles = {trouble.region: trouble for trouble in explorer.troubles()}
    assert {region: trouble.problem.kind for region, trouble in troubles.items()} == {
        denied: ErrorKind.PERMISSION,
        throttled: ErrorKind.THROTTLED,
        silent: ErrorKind.NETWORK,
        disabled: ErrorKind.LOGIN,
    }
    assert all(set(trouble.kinds) == set(TaskKind) and trouble.retry > 0 for trouble in troubles.values())
    assert troubles[denied].words.startswith(f"{denied} (prod) denies access: ")
    asked = kit.sim.stats.by_region()
    assert sum(asked[throttled].values()) == module.THROTTLED_TRIES, "one call is tried again, the others wait"
    assert sum(asked[silent].values()) == 1
    kit.sim.faults.clear()
    kit.sim.stats.reset()
    explorer.refresh()
    assert not set(kit.sim.stats.by_region()) & set(troubles), "left alone for a while"
    clock.now += 60
    explorer.refresh()
    assert explorer.troubles() == ()
    assert {record.task.region for record in explorer.records()} == set(places[:8])
    session.close()


def test_two_accounts_side_by_side(kit: Kit, aws: Aws, history: History, tls: TlsFiles, tmp_path: Path) -> None:
    kit.sim.add_account(OTHER, OTHER_KEY)
    kit.sim.seed_history(60, 2, OTHER)
    settings = settings_for(kit.sim, tls, tmp_path)
    assert settings.credentials_file is not None
    text = settings.credentials_file.read_text()
    settings.credentials_file.write_text(text.replace(kit.sim.access_key, OTHER_KEY))
    other = open_session(settings, read_only=True)
    explorer = Explorer(
        [WatchedAccount("prod", aws, (REGION,)), WatchedAccount("test", other, (REGION,))],
        history=history,
        kinds=[TaskKind.IMPORT_IMAGE],
    )
    explorer.load()
    by_profile = Counter(record.profile for record in explorer.records())
    assert by_profile["prod"] and by_profile["test"]
    assert {r.task.id for r in explorer.records() if r.profile == "prod"}.isdisjoint(
        {r.task.id for r in explorer.records() if r.profile == "test"}
    )
    later = Explorer([WatchedAccount("test", other, (REGION,))], history=history, kinds=[TaskKind.IMPORT_IMAGE])
    assert {record.profile for record in later.remembered()} == {"test"}, "before AWS has answered"
    other.close()


def test_what_aws_forgets_stays(kit: Kit, aws: Aws, history: History) -> None:
    explorer = Explorer([WatchedAccount("prod", aws, (REGION,))], history=history)
    explorer.load()
    [phantom] = history.record("prod", [replace(next(iter(explorer.records())).task, id="import-ami-forgotten0")])
    again = Explorer([WatchedAccount("prod", aws, (REGION,))], history=history)
    again.load()
    records = {record.task.id: record for record in again.records()}
    assert records[phantom.task.id].forgotten and not records[phantom.task.id].live
    assert sum(record.forgotten for record in records.values()) == 1


def test_a_running_task_that_is_forgotten_is_no_trouble(kit: Kit, aws: Aws, history: History) -> None:
    clock = Clock()
    explorer = Explorer(
        [WatchedAccount("prod", aws, (REGION,))], history=history, clock=clock, kinds=[TaskKind.IMPORT_IMAGE]
    )
    explorer.load()
    kit.put("forgotten.vmdk", linux_disk(kit.folder)[1])
    ident = kit.import_image("forgotten.vmdk")["ImportTaskId"]
    clock.now += module.NEW_SECONDS
    explorer.refresh()
    kit.ended(ident)
    kit.sim.clock.advance(9 * 86_400)
    clock.now += module.LIVE_SECONDS
    explorer.refresh()
    [record] = [record for record in explorer.records() if record.task.id == ident]
    assert record.forgotten and explorer.troubles() == ()


def test_it_stops_at_once(kit: Kit, aws: Aws, places: list[str], history: History) -> None:
    explorer = Explorer([WatchedAccount("prod", aws, tuple(places))], history=history)
    explorer.load(lambda page: explorer.stop())
    assert explorer.requests < REGIONS * len(TaskKind)
    kit.sim.stats.reset()
    explorer.load()
    assert not requests(kit)


def test_the_regions_of_an_account(kit: Kit, aws: Aws) -> None:
    found = enabled_regions(aws)
    assert REGION in found and len(found) > 15
    kit.sim.faults.add(Fault("DescribeRegions", "deny", times=None))
    assert REGION in enabled_regions(aws) and len(enabled_regions(aws)) < len(found)


# -- how often


def test_a_region_gets_its_share(monkeypatch: pytest.MonkeyPatch) -> None:
    waited: list[float] = []
    clock, stop = Clock(), threading.Event()
    monkeypatch.setattr(stop, "wait", waited.append)
    budget = RequestBudget(clock=clock)
    for _ in range(REGION_BURST + 4):
        budget.turn(("p", "r"), stop)
    assert waited == pytest.approx([1 / REGION_RATE, 2 / REGION_RATE, 3 / REGION_RATE, 4 / REGION_RATE])
    clock.now += 60
    budget.turn(("p", "r"), stop)
    assert len(waited) == 4


def test_a_turn_is_waited_for_until_told_to_stop() -> None:
    budget, stop = RequestBudget(clock=Clock()), threading.Event()
    for _ in range(REGION_BURST):
        budget.turn(("p", "r"), stop)
    waiting = threading.Thread(target=budget.turn, args=(("p", "r"), stop))
    waiting.start()
    budget.turn(("p", "another"), stop)
    assert waiting.is_alive()
    stop.set()
    wait_until(lambda: not waiting.is_alive(), what="the end of waiting")
    assert budget.requests == REGION_BURST + 2
