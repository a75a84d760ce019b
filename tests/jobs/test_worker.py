"""The worker as a process: alone in its folder, deaf to hang-ups, gone when idle."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import sqlalchemy as sa

from tests.kits.job_world import MIB, World
from tests.kits.waiting import wait_until
from vmie_tui.clock import clock_of
from vmie_tui.jobs.engine.worker_process import announced, is_starting, start_worker, worker_environment, worker_pid
from vmie_tui.jobs.store.replications import Replications, add_replication, change
from vmie_tui.jobs.store.store import Store
from vmie_tui.model.errors import ErrorKind, ServiceError
from vmie_tui.model.plan import Route
from vmie_tui.model.replication import Replication, ReplicationState, RunState
from vmie_tui.model.task import JobState
from vmie_tui.operations.replication_jobs import ReplicationJobs


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "vmie_tui", *arguments]


def test_second_worker_says_so_and_ends(world: World) -> None:
    world.client.ensure_worker()
    first = worker_pid(world.settings.state_dir)
    done = subprocess.run(
        command("worker"),
        env=worker_environment(world.settings),
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert done.returncode == 1
    assert "another worker" in done.stderr
    assert worker_pid(world.settings.state_dir) == first


def test_job_survives_the_hang_up_of_the_session_that_started_it(world: World) -> None:
    world.rate(8 * MIB)
    parent = subprocess.Popen(
        command("--profile", "demo", "import", "web-01", "--wait"),
        env=worker_environment(world.settings),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    (view,) = wait_until(world.client.jobs, 20)
    wait_until(lambda: world.client.worker().alive, 20)
    os.killpg(parent.pid, signal.SIGHUP)
    parent.wait(10)
    pid = worker_pid(world.settings.state_dir)
    assert pid
    os.kill(pid, signal.SIGHUP)
    world.rate(None)
    world.assert_equal("web-01", world.wait(view.id))
    assert worker_pid(world.settings.state_dir) == pid


def test_idle_worker_leaves(world: World) -> None:
    start_worker(world.settings, idle_minutes=0.01)
    wait_until(lambda: worker_pid(world.settings.state_dir) is None, 20, "the idle worker's end")
    world.wait(world.submit("web-01"))


def test_worker_that_cannot_start_is_tried_three_times_and_the_job_says_why(world: World) -> None:
    """The database refuses the engine. Once that is mended the job goes on."""
    store = Store(world.settings.state_dir)
    with store.begin() as connection:
        connection.execute(sa.text("ALTER TABLE dbos_migrations RENAME COLUMN version TO wrong"))
    with pytest.raises(ServiceError) as caught:
        world.submit("web-01")
    assert caught.value.kind is ErrorKind.LOCAL
    assert "the worker cannot start" in str(caught.value)
    assert "no such column: version" in str(caught.value)
    log = (world.settings.log_dir / "engine.log").read_text()
    assert log.count("the worker cannot start") == 3
    (view,) = world.client.jobs()
    assert view.state is JobState.QUEUED
    assert view.message.startswith("no worker: ")
    assert "no such column" in view.message
    status = world.client.worker()
    assert (status.alive, status.starting, status.queued) == (False, False, 1)
    assert status.problem is not None
    assert not list(world.settings.state_dir.rglob("*crash*"))
    with store.begin() as connection:
        connection.execute(sa.text("ALTER TABLE dbos_migrations RENAME COLUMN wrong TO version"))
    store.close()
    world.client.ensure_worker()
    assert world.client.worker().problem is None
    world.wait(view.id)


def test_jobs_that_are_submitted_at_once_wait_for_a_worker_that_is_starting(world: World) -> None:
    jobs = [world.client.submit_at_once(world.plan(name)) for name in ("web-01", "db-01")]
    assert world.client.worker().starting or world.client.worker().since
    for job_id in jobs:
        world.wait(job_id)


def test_worker_that_dies_without_a_word_is_named_by_its_last_line(
    world: World, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    program = tmp_path / "python"
    program.write_text("#!/bin/sh\necho started >> $0.log; echo 'ImportError: libm is gone' >&2; exit 1\n")
    program.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(program))
    with pytest.raises(ServiceError, match="ImportError: libm is gone"):
        world.client.ensure_worker()
    assert len((tmp_path / "python.log").read_text().splitlines()) == 3


def test_job_that_the_engine_refuses_fails_and_the_next_one_is_done(world: World) -> None:
    world.client.ensure_worker()
    store = Store(world.settings.state_dir)
    refuse = "CREATE TRIGGER refuse BEFORE INSERT ON workflow_status BEGIN SELECT RAISE(ABORT, 'no room'); END"
    with store.begin() as connection:
        connection.execute(sa.text(refuse))
    view = world.wait(world.submit("web-01"), JobState.FAILED)
    assert view.problem is not None
    assert "no room" in str(view.problem)
    with store.begin() as connection:
        connection.execute(sa.text("DROP TRIGGER refuse"))
    store.close()
    world.client.resume(view.id)
    world.wait(view.id)


def test_a_start_that_is_announced_is_seen_by_others(world: World) -> None:
    assert not world.client.worker().starting
    with announced(world.settings), announced(world.settings):
        assert world.client.worker().starting
        assert is_starting(world.settings.state_dir)
    assert not world.client.worker().starting


def test_job_whose_workflow_is_lost_fails_and_can_be_resumed(world: World) -> None:
    """As after a disk that was full at the wrong moment."""
    store = Store(world.settings.state_dir)
    job_id = store.create(world.plan("web-01"))
    store.update(job_id, dispatched=1)
    store.become(job_id, JobState.RUNNING)
    world.client.ensure_worker()
    view = world.wait(job_id, JobState.FAILED)
    assert view.problem is not None
    assert view.problem.kind is ErrorKind.LOCAL
    world.client.resume(job_id)
    world.assert_equal("web-01", world.wait(job_id))


def test_files_are_private(world: World) -> None:
    world.wait(world.submit("web-01"))
    state = world.settings.state_dir
    assert stat.S_IMODE(state.stat().st_mode) == 0o700
    files = [*state.glob("vmie.db*"), *(state / "log").iterdir(), state / "worker.lock"]
    assert len(files) >= 4
    assert {stat.S_IMODE(path.stat().st_mode) for path in files} == {0o600}


def test_no_secret_is_stored(world: World) -> None:
    world.wait(world.submit("web-01"))
    vcenter = world.settings.profile().vcenter
    aws = world.settings.profile().aws
    assert vcenter is not None
    assert vcenter.password_file is not None
    assert aws.credentials_file is not None
    secrets = [vcenter.password_file.read_bytes().strip()]
    secrets += [line.split(b"=")[1].strip() for line in aws.credentials_file.read_bytes().splitlines() if b"=" in line]
    for path in (*world.settings.state_dir.glob("vmie.db*"), *(world.settings.state_dir / "log").iterdir()):
        content = path.read_bytes()
        assert not any(secret in content for secret in secrets), path
        assert b"\x80\x04\x95" not in content, "pickled data in the database"


def test_worker_stays_while_something_is_scheduled_and_sees_the_clock_jump(world: World) -> None:
    """By itself it would leave after half a second; schedules that nobody looks at would be missed for ever."""
    client, settings = ReplicationJobs(world.settings), world.settings
    plan = replace(world.plan("web-01"), route=Route.IMAGE_DIRECT)
    book = Replications(Store(settings.state_dir))
    with book.alone() as connection:
        ident = add_replication(connection, Replication(plan, client.now("demo") + 86_400, 6), "vm", "account", 0.0)
        change(connection, ident, state=ReplicationState.ACTIVE.value)
    pid = start_worker(settings, idle_minutes=0.01)

    def long_alive() -> bool:
        beat = book.store.heartbeat("local")
        return beat is not None and beat[2] - beat[1] > 3

    wait_until(long_alive, 20, "a worker that had nothing to do for seconds")
    assert worker_pid(settings.state_dir) == pid
    clock_of(settings.state_dir, settings.profile("demo")).advance(2 * 86_400 + 3600)
    runs = wait_until(lambda: client.view(ident).runs, 20, "the runs that the jump has missed")
    assert [run.state for run in runs] == [RunState.MISSED] * 5
    assert worker_pid(settings.state_dir) == pid
    client.pause(ident)
    wait_until(lambda: worker_pid(settings.state_dir) is None, 20, "the end of a worker with nothing left to do")
    client.close()
    book.store.close()
