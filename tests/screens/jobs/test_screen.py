"""Jobs: the list, one in detail, and the keys that change them."""

from __future__ import annotations

import threading
from dataclasses import replace

import pytest
from textual.widgets import Button

from tests.kits.driving import press, running, screen_text, settle, toasts, until
from tests.kits.fake_backend import NOW, FakeOperations, job, some_jobs, stages
from vmie_tui.app import VmieApp
from vmie_tui.model.errors import ErrorKind, Problem, ServiceError
from vmie_tui.model.job import StageState, WorkerStatus
from vmie_tui.model.task import JobState
from vmie_tui.screens.frame.confirm import ConfirmScreen
from vmie_tui.screens.jobs.detail import JobScreen
from vmie_tui.screens.jobs.screen import JobsScreen
from vmie_tui.widgets.jobs import JobTable


async def test_each_state_is_a_glyph_and_a_word() -> None:
    async with running(FakeOperations(jobs=some_jobs())) as pilot:
        await press(pilot, "2")
        text = screen_text(pilot)
        for words in ("▶ running", "✖ failed", "✔ done", "○ queued", "‖ paused"):
            assert words in text
        assert "upload 3/5" in text and "83%" in text and "~0:40" in text
        assert "ami-0ab12cd34ef567890" in text


async def test_detail_shows_disks_stages_and_log() -> None:
    async with running(FakeOperations(jobs=some_jobs())) as pilot:
        await press(pilot, "2")
        text = screen_text(pilot)
        assert "sha256 equal to the host's ✔" in text
        assert "part 44" in text
        assert "check ✔ 1:00" in text
        assert "10:39:07  upload started, 16 MiB parts" in text


async def test_problem_is_said_in_words_with_remedy_and_retry() -> None:
    async with running(FakeOperations(jobs=some_jobs())) as pilot:
        await press(pilot, "2", "down", "down")
        text = screen_text(pilot)
        assert "Disk validation failed" in text
        assert "Remedy: Convert it to a stream-optimized VMDK." in text
        assert "then r retries" in text


async def test_cancel_asks_names_the_job_and_focuses_no() -> None:
    operations = FakeOperations(jobs=some_jobs())
    async with running(operations) as pilot:
        await press(pilot, "2", "x")
        assert isinstance(pilot.app.screen, ConfirmScreen)
        assert "Cancel import web-01?" in screen_text(pilot)
        assert isinstance(pilot.app.focused, Button) and pilot.app.focused.id == "no"
        await press(pilot, "enter")
        assert operations.jobs.changes == []
        await press(pilot, "x", "y", "escape")
        assert operations.jobs.changes == []
        await press(pilot, "x", "tab", "enter")
        assert operations.jobs.changes == [("cancel", "job0001")]


async def test_pause_and_resume_go_to_the_job_under_the_cursor() -> None:
    operations = FakeOperations(jobs=some_jobs())
    async with running(operations) as pilot:
        await press(pilot, "2", "down", "p", "G", "r")
        assert operations.jobs.changes == [("pause", "job0002"), ("resume", "job0006")]


async def test_a_key_that_does_not_apply_says_why() -> None:
    operations = FakeOperations(jobs=some_jobs())
    async with running(operations) as pilot:
        await press(pilot, "2", "down", "down", "down", "p", "x")
        assert operations.jobs.changes == []
        assert isinstance(pilot.app.screen, JobsScreen)
        said = [note.message for note in pilot.app._notifications]
        assert "ubuntu-build is done: it cannot be paused." in said
        assert "ubuntu-build is done: it cannot be cancelled." in said


async def test_a_refused_change_is_told_in_words() -> None:
    operations = FakeOperations(jobs=some_jobs())

    def refuse(job_id: str) -> None:
        raise ServiceError(ErrorKind.CONFLICT, "a job that is done cannot be paused", subject=job_id)

    operations.jobs.pause = refuse  # type: ignore[method-assign]
    async with running(operations) as pilot:
        await press(pilot, "2", "p")
        assert any("cannot be paused" in note.message for note in pilot.app._notifications)


async def test_only_cells_that_changed_are_painted(monkeypatch) -> None:
    operations = FakeOperations(jobs=some_jobs())
    async with running(operations) as pilot:
        await press(pilot, "2")
        table = pilot.app.screen.query_one(JobTable)
        painted = []
        refresh = table.refresh
        monkeypatch.setattr(table, "refresh", lambda *a, **k: painted.extend(a or ["all"]) or refresh(*a, **k))
        app = pilot.app
        app.jobs = tuple(some_jobs())  # equal values: nothing to paint
        await settle(pilot)
        assert painted == []
        changed = some_jobs()
        changed[0] = replace(changed[0], rate=55e6, eta_seconds=90.0)
        app.jobs = tuple(changed)
        await settle(pilot)
        assert [(region.y, region.height) for region in painted] == [(1, 1)]
        assert painted[0].width < 25


async def test_jobs_that_move_are_followed() -> None:
    operations = FakeOperations(jobs=some_jobs()[:1])
    async with running(operations) as pilot:
        await press(pilot, "2")
        operations.jobs.job_views = [replace(some_jobs()[0], fraction=0.91)]
        await until(pilot, lambda: "91%" in screen_text(pilot), "the new percentage")


async def test_enter_opens_the_whole_job_and_escape_comes_back() -> None:
    async with running(FakeOperations(jobs=some_jobs())) as pilot:
        await press(pilot, "2", "enter")
        assert isinstance(pilot.app.screen, JobScreen)
        text = screen_text(pilot)
        assert "job job0001" in text
        assert "10:40:07  S3 asked to slow down" in text
        await press(pilot, "escape")
        assert isinstance(pilot.app.screen, JobsScreen)


async def test_no_jobs_says_how_to_begin() -> None:
    async with running(FakeOperations()) as pilot:
        await press(pilot, "2")
        assert "No job yet. Select VMs in the inventory (1) and press i." in screen_text(pilot), "on one line"


async def test_a_store_that_cannot_be_read_is_said() -> None:
    operations = FakeOperations()

    def broken() -> list:
        raise ServiceError(ErrorKind.LOCAL, "the job store cannot be opened", remedy="Free space")

    operations.jobs.jobs = broken  # type: ignore[method-assign]
    async with running(operations) as pilot:
        await press(pilot, "2")
        assert "the job store cannot be opened" in screen_text(pilot)


async def test_work_without_a_worker_is_said() -> None:
    operations = FakeOperations(jobs=some_jobs())
    operations.jobs.status = WorkerStatus(False, running=1)
    async with running(operations) as pilot:
        assert "worker ✖ is not running" in screen_text(pilot)


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (WorkerStatus(False, starting=True, queued=1), "worker … starting"),
        (WorkerStatus(True, 4711, starting=True, queued=1), "worker … starting"),
        (WorkerStatus(True, 4711, NOW, queued=1), "worker ✔ 1 waiting"),
        (WorkerStatus(False), "worker – off"),
        (WorkerStatus(False, 4711, NOW, running=1, silent_since=NOW), "worker ✖ not responding since"),
        (
            WorkerStatus(
                False, queued=1, problem=Problem(ErrorKind.LOCAL, "the worker cannot start: no", detail="room")
            ),
            "worker ✖ cannot start: no (room)",
        ),
    ],
)
async def test_red_is_for_a_worker_that_died_or_cannot_start(status: WorkerStatus, words: str) -> None:
    operations = FakeOperations(jobs=some_jobs())
    operations.jobs.status = status
    async with running(operations, (120, 30)) as pilot:
        assert words in screen_text(pilot)


async def test_worker_that_the_app_starts_at_first_is_starting_until_that_failed() -> None:
    operations, go_on = FakeOperations(jobs=some_jobs()), threading.Event()
    operations.jobs.status = WorkerStatus(False, running=1)

    def start() -> None:
        assert go_on.wait(20)
        raise ServiceError(ErrorKind.LOCAL, "no process can be started")

    operations.replications.ensure_worker = start  # type: ignore[method-assign]
    async with running(operations, wait=False) as pilot:
        await until(pilot, lambda: "worker … starting" in screen_text(pilot), "said to be starting")
        assert "✖ is not running" not in screen_text(pilot)
        go_on.set()
        await until(pilot, lambda: "worker ✖ is not running" in screen_text(pilot), "said to be missing")
        assert "no process can be started" in toasts(pilot)


async def test_started_job_is_shown_in_the_list_not_on_the_page_of_an_old_one() -> None:
    """Though it was read before the app heard that it was started."""
    operations = FakeOperations(jobs=some_jobs())
    async with running(operations) as pilot:
        await press(pilot, "2", "down", "enter")
        assert isinstance(pilot.app.screen, JobScreen)
        await press(pilot, "1")
        app = pilot.app
        assert isinstance(app, VmieApp)
        app.wanted_job = some_jobs()[3].id
        app.show_list("jobs")
        await settle(pilot)
        assert isinstance(app.screen, JobsScreen)
        assert len(app.screen_stack) == 1
        assert app.screen.table.current is not None
        assert app.screen.table.current.id == some_jobs()[3].id
        assert app.wanted_job == ""


async def test_result_is_copied() -> None:
    operations = FakeOperations(jobs=some_jobs())
    async with running(operations) as pilot:
        await press(pilot, "2", "down", "down", "down", "y")
        assert operations.saved == {"job-job0004.txt": "ami-0ab12cd34ef567890"}


async def test_a_failed_job_is_explained_in_short_and_in_full() -> None:
    async with running(FakeOperations(jobs=some_jobs()), (80, 40)) as pilot:
        await press(pilot, "2", "down", "down")
        text = screen_text(pilot)
        assert "Means" in text
        assert "stream" in text[text.index("Means") :]
        await press(pilot, "e")
        full = screen_text(pilot)
        assert "Why db-01 failed" in full
        assert "E04" not in full, "ids of errors are for the code"
        assert "sure" in full
        await press(pilot, "escape", "up", "up", "e")
        assert any("no problem to explain" in note.message for note in pilot.app._notifications)


async def test_an_unknown_error_says_so_and_keeps_the_text() -> None:
    problem = Problem(
        ErrorKind.REMOTE, "AWS could not import the machine", "import-ami-1", detail="Qwertz 4711 happened"
    )
    failed = job(1, "web-09", JobState.FAILED, stages=stages(3, StageState.FAILED), problem=problem)
    async with running(FakeOperations(jobs=[failed])) as pilot:
        await press(pilot, "2")
        assert "Means" not in screen_text(pilot)
        await press(pilot, "e")
        assert "Qwertz 4711 happened" in screen_text(pilot)
        assert "not one of the documented errors" in screen_text(pilot)


async def test_a_reason_of_our_own_is_explained_by_its_remedy() -> None:
    problem = Problem(ErrorKind.LOCAL, "set aside: its workers died", remedy="See the end of worker.log")
    failed = job(1, "web-09", JobState.FAILED, stages=stages(3, StageState.FAILED), problem=problem)
    async with running(FakeOperations(jobs=[failed])) as pilot:
        await press(pilot, "2", "e")
        text = screen_text(pilot)
        full = text[text.index("Why web-09 failed") :]
        assert "See the end of worker.log" in full and "documented" not in full
