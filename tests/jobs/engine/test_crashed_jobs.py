"""Jobs that were at work when workers died: counted in the database, tried one at a time, set aside at last."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import sqlalchemy as sa

from tests.kits.job_world import World
from tests.kits.waiting import wait_until
from vmie_tui.jobs.engine.crashed_jobs import ALONE_SECONDS, HEALTHY_SECONDS, MOST_DEATHS, TRIED_ALONE, CrashedJobs
from vmie_tui.jobs.engine.worker_process import stop_worker, worker_pid
from vmie_tui.jobs.store import schema
from vmie_tui.jobs.store.ledger import DiskLedger, ImportLedger
from vmie_tui.jobs.store.store import Store
from vmie_tui.model.job import DiskProgress, Stage, StageState
from vmie_tui.model.plan import ImportPlan, LicenseType, VmSource
from vmie_tui.model.task import JobState

PLAN = ImportPlan("p", VmSource("u", "vm-1", "web-01"), "eu-west-1", "bucket", license_type=LicenseType.BYOL)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path)


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def deaths(store: Store, job_id: str) -> int:
    return store.record(job_id).deaths


def test_a_job_at_work_in_a_worker_that_died_is_counted(store: Store) -> None:
    bad, idle = store.create(PLAN), store.create(PLAN)
    for died in range(1, MOST_DEATHS + 1):
        CrashedJobs(store, "local").begin(bad, deaths(store, bad))
        assert store.count_deaths("local") == {bad: died}
    assert (deaths(store, bad), deaths(store, idle)) == (MOST_DEATHS, 0)
    assert store.count_deaths("local") == {}


def test_a_worker_of_another_host_counts_its_own(store: Store) -> None:
    job_id = store.create(PLAN)
    CrashedJobs(store, "here").begin(job_id, 0)
    assert store.count_deaths("there") == {}
    assert store.count_deaths("here") == {job_id: 1}


def test_a_worker_that_ends_in_order_counts_nothing(store: Store) -> None:
    job_id = store.create(PLAN)
    CrashedJobs(store, "local").begin(job_id, 0)
    store.unmark_all("local")
    assert store.count_deaths("local") == {}


def test_a_phase_that_ends_forgets_the_deaths(store: Store) -> None:
    job_id = store.create(PLAN)
    CrashedJobs(store, "local").begin(job_id, 0)
    store.count_deaths("local")
    work = CrashedJobs(store, "local")
    work.begin(job_id, 1)
    work.begin(job_id, 1)  # a second phase, side by side
    work.end(job_id)
    assert deaths(store, job_id) == 1
    work.end(job_id)
    assert deaths(store, job_id) == 0
    assert store.count_deaths("local") == {}


def test_who_has_worked_for_long_killed_nobody(store: Store) -> None:
    job_id, clock = store.create(PLAN), Clock()
    CrashedJobs(store, "local").begin(job_id, 0)
    store.count_deaths("local")
    work = CrashedJobs(store, "local", clock)
    work.begin(job_id, 1)
    clock.now = HEALTHY_SECONDS - 1
    work.look()
    assert deaths(store, job_id) == 1
    clock.now = HEALTHY_SECONDS + 1
    work.look()
    assert deaths(store, job_id) == 0
    assert store.count_deaths("local") == {job_id: 1}  # it is at work all the same


def test_a_job_that_gets_further_each_time_killed_nobody(store: Store) -> None:
    job_id = store.create(PLAN)
    store.set_disks(job_id, [DiskProgress(2000, "Hard disk 1", 1 << 30)])
    steps: list[Callable[[], object]] = [
        lambda: store.remember(job_id, ImportLedger, snapshot="snapshot-1"),
        lambda: store.remember_disk(job_id, 2000, DiskLedger, pending_snapshot="snap-1"),
        lambda: store.disk(job_id, 2000, done=1 << 20),
        lambda: store.stage(job_id, Stage.CHECK, StageState.DONE),
    ]
    for further in steps:
        store.mark(job_id, "local")
        assert store.count_deaths("local") == {job_id: 1}
        further()
    for died in (1, 2, 3):  # further than before for the last time, then no more
        store.mark(job_id, "local")
        assert store.count_deaths("local") == {job_id: died}


def test_resuming_begins_anew(store: Store) -> None:
    job_id = store.create(PLAN)
    for _ in range(MOST_DEATHS):
        store.mark(job_id, "local")
        store.count_deaths("local")
    store.become(job_id, JobState.FAILED)
    assert store.requeue(job_id)
    assert deaths(store, job_id) == 0


def test_suspects_are_tried_one_at_a_time(store: Store) -> None:
    first, second, clock = store.create(PLAN), store.create(PLAN), Clock()
    work = CrashedJobs(store, "local", clock)
    work.begin(first, TRIED_ALONE)
    begun = threading.Event()

    def other() -> None:
        work.begin(second, TRIED_ALONE)
        begun.set()

    thread = threading.Thread(target=other, daemon=True)
    thread.start()
    work.begin(store.create(PLAN), 0)  # whom nobody suspects does not wait
    assert not begun.wait(0.3)
    assert second not in store.count_deaths("local")
    clock.now = ALONE_SECONDS + 1
    work.look()
    assert begun.wait(10)
    thread.join()


def test_a_suspect_that_is_no_longer_wanted_waits_no_longer(store: Store) -> None:
    first, second = store.create(PLAN), store.create(PLAN)
    work = CrashedJobs(store, "local")
    work.begin(first, TRIED_ALONE)
    thread = threading.Thread(target=work.begin, args=(second, TRIED_ALONE, lambda: False), daemon=True)
    thread.start()
    thread.join(10)
    assert not thread.is_alive()
    assert set(store.count_deaths("local")) == {first, second}, "both are marked as at work"


def test_a_job_that_workers_die_of_is_set_aside_and_can_be_resumed(world: World) -> None:
    world.rate(1 << 20)
    job_id = world.submit("big-01")
    store = Store(world.settings.state_dir)
    for died in range(1, MOST_DEATHS + 1):
        wait_until(lambda: at_work(store, job_id), 60, "the job at work")
        world.kill_worker()
        if died == MOST_DEATHS - 1:
            world.rate(None)
            other = world.submit("web-01")
            world.rate(1 << 20)
        world.client.ensure_worker()
    view = world.wait(job_id, JobState.FAILED)
    assert view.problem is not None
    assert f"{MOST_DEATHS} workers died" in view.problem.what
    assert view.problem.remedy
    world.rate(None)
    world.wait(other)
    assert world.client.worker().alive
    world.client.resume(job_id)
    world.assert_equal("big-01", world.wait(job_id))
    store.close()


def at_work(store: Store, job_id: str) -> bool:
    with store.begin() as connection:
        table = schema.jobs
        query = sa.select(table.c.at_work, table.c.state).where(table.c.id == job_id)
        row = connection.execute(query).one()
    return row.at_work is not None and row.state == JobState.RUNNING.value


def test_a_worker_that_stands_still_is_said_and_ended(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.client.ensure_worker()
    wait_until(lambda: world.client.worker().since is not None, 60, "the worker at work")
    assert world.client.worker().silent_since is None
    pid = worker_pid(world.settings.state_dir)
    assert pid
    stands = Store(world.settings.state_dir)
    beat = time.time() - 3600
    try:
        with stands.begin() as connection:
            connection.execute(schema.workers.update().values(heartbeat=beat))
            # Its own lock is held and nothing is done; the database's is ours, so it is not stopped while it writes.
            os.kill(pid, signal.SIGSTOP)
        stands.close()
        status = world.client.worker()
        assert not status.alive
        assert status.pid == pid
        assert status.silent_since is not None
        assert status.silent_since.timestamp() == pytest.approx(beat)
        monkeypatch.setattr("vmie_tui.jobs.engine.worker_process.STOP_SECONDS", 0.5)
        said: list[str] = []
        assert stop_worker(world.settings, said.append) == pid
        assert said == [f"worker {pid} did not end within 0 s: it was killed"]
    finally:
        if worker_pid(world.settings.state_dir) == pid:
            os.kill(pid, signal.SIGKILL)
    assert not world.client.worker().alive
