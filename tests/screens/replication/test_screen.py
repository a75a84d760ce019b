"""Screen 5 on operations of model values: replications, their runs, what the keys ask for, how little is painted."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest
from textual.pilot import Pilot
from textual.screen import ModalScreen
from textual.widgets import Button, Static

from tests.kits.driving import press, running, screen_text, toasts, until
from tests.kits.fake_backend import FakeOperations, job, some_jobs, stages
from tests.kits.fake_replications import (
    DAY,
    HOUR,
    FakeReplicas,
    catalogue_of,
    many_replicas,
    replica,
    run_of,
    some_replicas,
    spec_of,
)
from vmie_tui.model.errors import ErrorKind, Problem, ServiceError
from vmie_tui.model.job import StageState
from vmie_tui.model.replication import ReplicationState, ReplicationView, RunFigures, RunState, Sync
from vmie_tui.model.task import JobState
from vmie_tui.screens.frame.confirm import ConfirmScreen
from vmie_tui.screens.frame.form import FormScreen
from vmie_tui.screens.inventory.screen import InventoryScreen
from vmie_tui.screens.jobs.detail import JobScreen
from vmie_tui.screens.jobs.image import ImageScreen
from vmie_tui.screens.jobs.proof import ProofScreen
from vmie_tui.screens.replication.actions import what_goes
from vmie_tui.screens.replication.form import ReplicationForm
from vmie_tui.screens.replication.machine_picker import PickScreen
from vmie_tui.screens.replication.screen import ReplicationScreen
from vmie_tui.widgets.jobs import job_lines
from vmie_tui.widgets.line_view import LinePane
from vmie_tui.widgets.machines import MachineTable
from vmie_tui.widgets.replication_runs import RunTable
from vmie_tui.widgets.replications import ReplicaTable, run_words

MIB, GIB = 1 << 20, 1 << 30
STORE_AWAY = ServiceError(ErrorKind.REMOTE, "the store cannot be read", remedy="Free some room on the disk")


def with_replicas(views: list[ReplicationView] | None = None, **profile: object) -> FakeOperations:
    """A operations with these replications, and a job for each of their runs."""
    views = some_replicas() if views is None else views
    states = {RunState.COMPLETED: JobState.DONE, RunState.FAILED: JobState.FAILED, RunState.ACTIVE: JobState.RUNNING}
    whole = next(one for one in some_jobs() if one.image_id)
    jobs = [
        replace(whole, id=run.job_id, kind="replicate", name=view.name, state=states[run.state], image_id=run.image_id)
        for view in views
        for run in view.runs
        if run.state in states
    ]
    operations = FakeOperations(jobs=jobs)
    operations.replications = FakeReplicas(views)
    operations.profile = replace(operations.profile, **profile)  # type: ignore[arg-type]
    return operations


@asynccontextmanager
async def replication(
    operations: FakeOperations, *, size: tuple[int, int] = (80, 24), on: str = ""
) -> AsyncIterator[Pilot[int]]:
    """Screen 5, with the cursor on the replication of the machine ``on``."""
    async with running(operations, size) as pilot:
        await press(pilot, "5")
        await until(pilot, lambda: pilot.app.screen._views is not None or pilot.app.screen._problem, "views read")
        if on:
            names = [row.view.name for row in table(pilot).rows]
            await press(pilot, *["down"] * names.index(on))
        operations.replications.asked.clear()
        yield pilot


def table(pilot: Pilot[int]) -> ReplicaTable:
    return pilot.app.screen.query_one(ReplicaTable)


async def told(pilot: Pilot[int], words: str) -> None:
    await until(pilot, lambda: words in toasts(pilot), f"{words!r} in a toast, not: {toasts(pilot)}")


def asked(pilot: Pilot[int]) -> str:
    """What the dialog on top says."""
    return str(pilot.app.screen.query_one("#text", Static).render())


async def say_yes(pilot: Pilot[int]) -> None:
    """Press the button that names the deed."""
    screen = pilot.app.screen
    assert isinstance(screen, ModalScreen)
    screen.query_one("#yes", Button).press()
    await until(pilot, lambda: pilot.app.screen is not screen, "the question is answered")


# -- what is shown


async def test_each_state_is_a_glyph_and_words() -> None:
    async with replication(with_replicas()) as pilot:
        lines = {line.split()[2]: line for line in screen_text(pilot).splitlines()[4:10]}
        assert "▶ db-01        shop   24 h  in 23 h 55 min ▶ delta 1.2 GiB 61% 1 of 5 40/90" in lines["db-01"]
        assert "✔ web-01       shop   12 h  in 3 h 10 min  ✔ 41 MiB in 0:52    3 of 5 12/90" in lines["web-01"]
        assert "‖ ubuntu-build        12 h  paused " in lines["ubuntu-build"]
        assert "✖ win-file-01         12 h  paused: failed ✖ failed: vCenter" in lines["win-file-01"]
        assert "▲ サーバー東" in screen_text(pilot) and "days over" in screen_text(pilot)
        assert "○ [red]markup" in screen_text(pilot) and "no run yet" in screen_text(pilot)
        assert "6 replications · 1 running · 2 paused · 1 ended" in screen_text(pilot)


async def test_title_bar_has_the_mode_and_help_its_keys() -> None:
    async with replication(with_replicas()) as pilot:
        assert "5 Replication" in screen_text(pilot).splitlines()[0]
        await press(pilot, "question_mark")
        text = pilot.app.screen.query_one(LinePane).plain()
        for action in ReplicationScreen.ACTIONS:
            assert action.description in text
        assert " > " in text


async def test_states_of_the_job_in_the_end_are_said() -> None:
    ending = replica(1, "old", run_of(1), state=ReplicationState.DELETING, next_run=None)
    once = replica(2, "once", run_of(2), state=ReplicationState.COMPLETED, next_run=None)
    failed = replica(3, "sick", run_of(3, RunState.FAILED, message="no"), state=ReplicationState.FAILED, next_run=None)
    async with replication(with_replicas([ending, once, failed]), size=(150, 30)) as pilot:
        rows = {line.split()[2]: line for line in screen_text(pilot).splitlines()[4:7]}
        assert "■ old" in rows["old"] and rows["old"].count("deleting") == 2
        assert "✔ once" in rows["once"] and "completed" in rows["once"]
        assert "✖ sick" in rows["sick"] and "✖ failed: no" in rows["sick"]


async def test_runs_say_how_they_went_and_why() -> None:
    resync = run_of(5, ago=60 * HOUR)
    assert resync.figures is not None
    views = some_replicas()
    async with replication(with_replicas(views), size=(100, 40), on="db-01") as pilot:
        text = screen_text(pilot)
        assert "── runs of db-01 ──" in text
        assert "▶ 04 Mar 10:36 automatic delta 1.2 GiB of 200 GiB  61%  107 MiB/s  ~3 min" in text
        await press(pilot, "tab", "down")
        text = screen_text(pilot)
        assert "resync   9 GiB of 200 GiB" in text
        assert "full resync, since its disk 1 was enlarged · changed 9 GiB of 200 GiB" in text
        assert "quiesced · 32 blocks read back, all equal" in text


async def test_missed_and_failed_runs_give_the_reason() -> None:
    async with replication(with_replicas(), on="win-file-01") as pilot:
        text = screen_text(pilot)
        assert "missed: the worker was not running at its time" in text
        assert " ✖ failed: vCenter refuses changed block tracking: no privilege" in text
        assert "none: paused on failure · p goes on with the schedule" in text
        await press(pilot, "tab", "down")
        assert " ▲ missed: the worker was not running at its time" in screen_text(pilot).splitlines()[-6]


async def test_details_name_the_next_run_the_forecast_and_the_days() -> None:
    async with replication(with_replicas(), size=(100, 50), on="web-01") as pilot:
        text = screen_text(pilot)
        assert "Next run  2026-03-04 13:51 +0000 · in 3 h 10 min · every 12 h" in text
        assert "Forecast  " in text
        assert "day 12/90 · over on 2026-05-22 10:41 +0000, in 79 d" in text
        assert "keeps the newest 5 AMIs" in text and "group shop, place 1" in text
        assert "ami-0000000000000000c" in text


async def test_a_run_that_waits_for_the_user_is_seen_in_the_list() -> None:
    operations = with_replicas()
    operations.jobs.job_views = [
        replace(one, state=JobState.NEEDS_LOGIN) if one.id == "job0020" else one for one in operations.jobs.job_views
    ]
    async with replication(operations) as pilot:
        assert "▲ db-01        shop   24 h  in 23 h 55 min ▲ login" in screen_text(pilot)


async def test_the_jobs_problem_is_the_runs() -> None:
    operations = with_replicas()
    problem = Problem(ErrorKind.PERMISSION, "vCenter refuses", "win-file-01", "Grant it", True)
    operations.jobs.job_views = [
        replace(one, problem=problem) if one.id == "job0030" else one for one in operations.jobs.job_views
    ]
    async with replication(operations, on="win-file-01") as pilot:
        assert "✖ win-file-01: vCenter refuses" in screen_text(pilot)
        assert "Remedy: Grant it." in screen_text(pilot)


async def test_catalogue_and_simulated_clock_above_the_list() -> None:
    operations = with_replicas(demo=True)
    operations.replications.servers = catalogue_of("web-01", "db-01")
    async with replication(operations, size=(120, 30)) as pilot:
        await until(pilot, lambda: "catalogue available, 2 servers" in screen_text(pilot), "catalogue")
        assert "clock 2026-03-04 10:41" in screen_text(pilot)


async def test_empty_list_says_how_to_begin() -> None:
    async with replication(with_replicas([])) as pilot:
        text = screen_text(pilot)
        assert "No replication yet." in text and "n chooses VMs" in text and "R replicates them" in text
        await press(pilot, *"rdxpeoC")
        assert toasts(pilot).count("There is no replication: n makes one.") == 7


async def test_trouble_with_the_store_is_said_and_gets_over() -> None:
    operations = with_replicas()
    operations.replications.errors["views"] = STORE_AWAY
    async with replication(operations) as pilot:
        assert "the store cannot be read" in screen_text(pilot)
        assert "Remedy: Free some room on the disk." in screen_text(pilot)
        operations.replications.errors.clear()
        await until(pilot, lambda: "web-01" in screen_text(pilot), "read again")
        operations.replications.errors["views"] = STORE_AWAY
        await until(pilot, lambda: "the store cannot be read" in screen_text(pilot), "said beside the old list")
        assert "web-01" in screen_text(pilot)


async def test_wide_terminal_shows_runs_beside_the_list() -> None:
    async with replication(with_replicas(), size=(190, 40), on="web-01") as pilot:
        first = screen_text(pilot).splitlines()[3]
        assert "Server" in first and "runs of web-01" in first
        assert "sms-job-00000001" in screen_text(pilot)


async def test_low_terminal_keeps_list_and_runs() -> None:
    async with replication(with_replicas(), size=(80, 16), on="web-01") as pilot:
        assert "runs of web-01" in screen_text(pilot)
        assert "Next run  2026" not in screen_text(pilot)


# -- finding


async def test_filter_sort_and_clear() -> None:
    async with replication(with_replicas()) as pilot:
        await press(pilot, "slash", *"shop", "enter")
        assert [row.view.name for row in table(pilot).rows] == ["db-01", "web-01"]
        assert "2 shown" in screen_text(pilot)
        await press(pilot, "s", "s", "s")
        assert table(pilot).sorted_by[0] == "next"
        assert [row.view.name for row in table(pilot).rows] == ["web-01", "db-01"]
        await press(pilot, "escape", "slash", *"privilege", "enter")
        assert [row.view.name for row in table(pilot).rows] == ["win-file-01"]
        await press(pilot, "slash", "end", "space", "exclamation_mark", *"vcenter", "enter")
        assert "No replication matches" in screen_text(pilot)
        await press(pilot, "escape")
        assert len(table(pilot).rows) == 6


async def test_copy_gives_the_ami_or_the_reason() -> None:
    operations = with_replicas()
    async with replication(operations, on="web-01") as pilot:
        await press(pilot, "y", "down", "y")
        assert operations.saved["replication-sms-job-00000001.txt"] == "ami-0000000000000000c"
        lines = operations.saved["replication-sms-job-00000003.txt"].splitlines()
        assert lines[0].startswith("win-file-01: run sms-run-") and " of sms-job-00000003, job job" in lines[0]
        assert lines[1].startswith("automatic, due 20") and lines[1].endswith(", failed")
        assert "no privilege" in lines[2], "in a ticket it says what, when and why"


@pytest.mark.parametrize(
    ("sync", "changed", "words"),
    [
        (Sync.CHANGED, 1.2 * GIB, "delta 1.2 GiB 61%"),
        (Sync.FIRST, 84.8 * MIB, "first 84 MiB 61%"),
        (Sync.CHANGED, 25.3 * MIB, "delta 25 MiB 61%"),
        (Sync.FIRST, 500 * GIB, "first 500 GiB 61%"),
        (Sync.FULL, 128 * MIB, "resync 61%"),
        (Sync.CHECKSUM, 1.5 * MIB, "checksum 61%"),
    ],
)
def test_how_far_a_run_is_has_room_in_its_column(sync: Sync, changed: float, words: str) -> None:
    figures = RunFigures(sync, changed=int(changed), moved=int(changed), total=int(500 * GIB))
    run = replace(run_of(1), state=RunState.ACTIVE, fraction=0.61, figures=figures)
    assert run_words(run, None) == words
    assert len(f"▶ {words}") <= next(column.cells for column in ReplicaTable.COLUMNS if column.key == "last")


# -- changing


async def test_pause_and_resume_of_several() -> None:
    operations = with_replicas()
    async with replication(operations) as pilot:
        await press(pilot, "down", "space", "down", "space")  # db-01, web-01
        assert "2 selected" in screen_text(pilot)
        await press(pilot, "p")
        await told(pilot, "web-01, db-01: paused")
        assert operations.replications.asked == [("pause", "sms-job-00000001"), ("pause", "sms-job-00000002")]
        await until(pilot, lambda: screen_text(pilot).count(" paused ") >= 3, "painted")
        await press(pilot, "p")
        await told(pilot, "goes on by its schedule")
        assert [name for name, *_ in operations.replications.asked[2:]] == ["resume", "resume"]
        await press(pilot, "escape")
        assert "selected" not in screen_text(pilot)


async def test_what_is_refused_is_said_for_each() -> None:
    operations = with_replicas()
    operations.replications.errors["pause"] = ServiceError(ErrorKind.CONFLICT, "it is busy")
    async with replication(operations, on="web-01") as pilot:
        await press(pilot, "p")
        await told(pilot, "web-01: it is busy")


async def test_deleting_names_what_goes_and_what_stays() -> None:
    operations = with_replicas()
    async with replication(operations, on="db-01") as pilot:
        await press(pilot, "d")
        assert isinstance(pilot.app.screen, ConfirmScreen)
        assert "the run at work of db-01, which is cancelled" in asked(pilot)
        assert "What stays: the VM, 1 AMI (ami-00000000000000013) and the EBS snapshots behind it." in asked(pilot)
        assert isinstance(pilot.app.focused, Button) and pilot.app.focused.id == "no"
        await press(pilot, "enter")
        assert operations.replications.asked == []
        await press(pilot, "d")
        await say_yes(pilot)
        await told(pilot, "db-01: is being deleted")
        assert operations.replications.asked == [("delete", "sms-job-00000002")]


def test_many_amis_are_counted_and_none_is_said() -> None:
    assert "What stays: the VM; there is no AMI of it." in what_goes([replica(1, "new")])
    runs = [run_of(number) for number in range(8)]
    assert "the VM, 8 AMIs and the EBS snapshots behind them. " in what_goes([replica(1, "web-01", *runs)])


async def test_extending_asks_for_days_even_after_the_end() -> None:
    operations = with_replicas()
    async with replication(operations, on="サーバー東京-01") as pilot:
        assert "x extend" in screen_text(pilot)
        await press(pilot, "p")
        assert "days over and cannot be paused: x gives it more days" in toasts(pilot)
        await press(pilot, "x")
        assert isinstance(pilot.app.screen, FormScreen)
        await press(pilot, "end", *["backspace"] * 2, "0")
        pilot.app.screen.query_one("#yes", Button).press()
        await pilot.pause()
        assert "a whole number" in screen_text(pilot)
        await press(pilot, "end", "backspace", *"14")
        await say_yes(pilot)
        await told(pilot, "14 days more")
        assert operations.replications.asked == [("extend", "sms-job-00000005", 14)]


async def test_extension_is_offered_near_the_end_only_and_always_possible() -> None:
    near = replica(1, "near", run_of(1), ends=some_replicas()[0].now + 5 * DAY)
    async with replication(with_replicas([near, *some_replicas()[1:2]])) as pilot:
        assert "x extend" not in screen_text(pilot).splitlines()[-1]
        await press(pilot, "x")
        assert "Extend db-01" in screen_text(pilot)
        await press(pilot, "escape", "down")
        assert "x extend" in screen_text(pilot).splitlines()[-1]


async def test_a_group_starts_in_its_order_after_a_question() -> None:
    operations = with_replicas()
    async with replication(operations, on="web-01") as pilot:
        await press(pilot, "o")
        assert "in this order: db-01; then web-01." in asked(pilot)
        await say_yes(pilot)
        await told(pilot, "Group shop: 2 runs begun.")
        assert operations.replications.asked == [("start_group", "shop", None)]
        await press(pilot, "up", "o")
        assert "ubuntu-build is in no group: e puts it into one." in toasts(pilot)


async def test_rolling_back_after_a_cutover_asks_first() -> None:
    operations = with_replicas()
    async with replication(operations, on="ubuntu-build") as pilot:
        assert "R roll back" in screen_text(pilot).splitlines()[-1]
        await press(pilot, "R")
        assert "The instance i-0aa11bb22cc33dd44 is stopped, then" in asked(pilot)
        await say_yes(pilot)
        await told(pilot, "i-0aa11bb22cc33dd44 is stopped; ubuntu-build is powered on.")
        assert operations.replications.asked == [("roll_back", "sms-job-00000004")]
        await press(pilot, "down", "R")
        assert "web-01 was not cut over" in toasts(pilot)


async def test_what_is_being_deleted_is_left_alone() -> None:
    operations = with_replicas([replica(1, "old", run_of(1), state=ReplicationState.DELETING, next_run=None)])
    async with replication(operations) as pilot:
        await press(pilot, *"prdxeoCR")
        assert operations.replications.asked == []
        for verb in ("paused", "run", "deleted", "extended", "edited", "started", "cut over", "rolled back"):
            assert f"old is deleting and cannot be {verb}." in toasts(pilot)


async def test_several_run_now_after_a_question() -> None:
    operations = with_replicas()
    async with replication(operations, on="web-01") as pilot:
        await press(pilot, "space", "space", "r")
        assert "One run each of web-01, win-file-01" in asked(pilot)
        await say_yes(pilot)
        await told(pilot, "web-01, win-file-01: a run starts.")
        assert {call[:2] for call in operations.replications.asked} == {
            ("run_now", "sms-job-00000001"),
            ("run_now", "sms-job-00000003"),
        }


async def test_simulated_clock_is_set_forward_in_a_demo_alone() -> None:
    operations = with_replicas(demo=True)
    async with replication(operations, size=(100, 30)) as pilot:
        await press(pilot, "greater_than_sign", *"soon", "enter")
        assert "such as 30m, 12h or 7d" in screen_text(pilot)
        await press(pilot, "ctrl+u", *"3h", "enter")
        await told(pilot, "The simulated clock says 2026-03-04 13:41 +0000.")
        assert operations.replications.asked == [("advance", 3 * HOUR)]
        await until(pilot, lambda: "in 10 min" in screen_text(pilot), "the next run is nearer")
    async with replication(with_replicas()) as pilot:
        await press(pilot, "greater_than_sign")
        assert "only a demo's can be set forward" in toasts(pilot)


async def test_read_only_refuses_with_the_reason_and_offers_nothing() -> None:
    operations = with_replicas(read_only=True)
    async with replication(operations, on="web-01") as pilot:
        footer = screen_text(pilot).splitlines()[-1]
        assert "enter log" in footer and "c catalogue" in footer
        for word in ("new", "run now", "pause", "cutover", "extend"):
            assert word not in footer
        await press(pilot, *"nerpdxoCR")
        assert isinstance(pilot.app.screen, ReplicationScreen)
        assert operations.replications.asked == []
        assert toasts(pilot).count("This profile is read-only: replications cannot be") == 9
        offered = {action.run for action in pilot.app.screen.offered()}
        assert {"open", "copy", "filter"} <= offered
        assert not {"new", "delete", "pause", "run_now", "advance"} & offered


# -- the run's job


async def test_enter_opens_the_job_of_the_run() -> None:
    async with replication(with_replicas(), on="web-01") as pilot:
        await press(pilot, "tab", "down", "enter")
        assert isinstance(pilot.app.screen, JobScreen)
        assert "replication run web-01" in screen_text(pilot) and "job job0011" in screen_text(pilot)
        await press(pilot, "escape")
        assert isinstance(pilot.app.screen, ReplicationScreen)
        assert pilot.app.screen.run_in_view().job_id == "job0011"  # type: ignore[union-attr]


async def test_what_has_no_job_says_so() -> None:
    async with replication(with_replicas(), on="win-file-01") as pilot:
        await press(pilot, "tab", "down", "enter", "a", "v")
        assert "There is no log of this run: the worker was not running at its time." in toasts(pilot)
        assert "There is no AMI of this run: the worker was not running at its time." in toasts(pilot)
        assert "There is no proof of this run" in toasts(pilot)


async def test_ami_and_proof_of_the_run() -> None:
    async with replication(with_replicas(), on="web-01") as pilot:
        await press(pilot, "a")
        assert isinstance(pilot.app.screen, ImageScreen)
        await press(pilot, "escape", "v")
        assert isinstance(pilot.app.screen, ProofScreen)


async def test_a_new_run_comes_in_view_unless_an_older_one_is_looked_at() -> None:
    operations = with_replicas()
    async with replication(operations, on="web-01") as pilot:
        screen = pilot.app.screen
        assert isinstance(screen, ReplicationScreen)
        operations.replications.run_now("sms-job-00000001", resync=None, verify=None, cutover=None)
        await until(pilot, lambda: screen.run_in_view().id == "sms-run-00000384", "the new run")  # type: ignore[union-attr]
        await press(pilot, "tab", "down")
        here = screen.run_in_view()
        operations.replications.listed[0] = replace(
            operations.replications.listed[0], runs=(run_of(901), *operations.replications.listed[0].runs)
        )
        await until(pilot, lambda: len(screen.runs.rows) == 5, "one run more")
        assert screen.run_in_view() == here


def test_a_run_reads_well_on_the_jobs_screen() -> None:
    view = job(7, "web-01", JobState.FAILED, kind="replicate", stages=stages(3, StageState.FAILED))
    text = "\n".join("".join(part for part, _ in line) for line in job_lines(view, [], 78))
    assert "── replication run web-01 ─" in text
    assert "import web-01" not in text


async def test_keys_of_the_jobs_screen_know_runs() -> None:
    running_one = job(1, "web-01", JobState.RUNNING, kind="replicate")
    failed = job(2, "db-01", JobState.FAILED, kind="replicate", stages=stages(3, StageState.FAILED))
    async with running(FakeOperations(jobs=[running_one, failed])) as pilot:
        await press(pilot, "2", "x")
        assert "Cancel replication run web-01?" in screen_text(pilot)
        assert "The next run goes on from the last complete one" in asked(pilot)
        await press(pilot, "escape", "down")
        assert "b use what is there" not in screen_text(pilot)
        await press(pilot, "b", "a")
        assert "db-01 is a run of a replication" in toasts(pilot)
        assert "db-01 has no AMI yet" in toasts(pilot)


# -- new ones


def form_of(pilot: Pilot[int]) -> tuple[list[str], ReplicationView | None]:
    """What the form in view was opened with."""
    form = pilot.app.screen
    assert isinstance(form, ReplicationForm)
    return [machine.name for machine in form._machines], form._edit


async def test_new_chooses_machines_first() -> None:
    async with replication(with_replicas([])) as pilot:
        await press(pilot, "n")
        assert isinstance(pilot.app.screen, PickScreen)
        await press(pilot, "slash", *"web-0", "enter")
        assert len(pilot.app.screen.query_one(MachineTable).rows) == 2
        await press(pilot, "space", "space", "escape")
        assert len(pilot.app.screen.query_one(MachineTable).rows) == 12
        await press(pilot, "enter")
        assert form_of(pilot) == (["web-01", "web-02"], None)


async def test_choosing_none_or_without_vcenter() -> None:
    operations = with_replicas([])
    operations.vcenter.inventory_error = ServiceError(
        ErrorKind.NETWORK, "no answer on port 443", subject="vcenter.corp"
    )
    operations.vcenter.machines = ()
    async with replication(operations) as pilot:
        await press(pilot, "n")
        assert "vcenter.corp: no answer on port 443" in screen_text(pilot)
        await press(pilot, "escape")
        assert isinstance(pilot.app.screen, ReplicationScreen)


async def test_editing_hands_the_machine_as_it_is_known() -> None:
    operations = with_replicas()
    async with replication(operations, on="web-01") as pilot:
        await press(pilot, "e")
        await until(pilot, lambda: isinstance(pilot.app.screen, ReplicationForm), "the form")
        names, edited = form_of(pilot)
        assert names == ["web-01"]
        assert edited is not None and edited.id == "sms-job-00000001"


async def test_the_inventory_replicates_what_is_selected() -> None:
    async with running(with_replicas([])) as pilot:
        assert isinstance(pilot.app.screen, InventoryScreen)
        await press(pilot, "space", "space", "R")
        assert len(form_of(pilot)[0]) == 2
        pilot.app.screen.dismiss(True)
        await until(pilot, lambda: isinstance(pilot.app.screen, ReplicationScreen), "screen 5")
        await press(pilot, "1")
        assert "selected" not in screen_text(pilot).splitlines()[2]


async def test_read_only_inventory_replicates_nothing() -> None:
    async with running(with_replicas([], read_only=True)) as pilot:
        await press(pilot, "R")
        assert "read-only" in toasts(pilot)
        assert isinstance(pilot.app.screen, InventoryScreen)


# -- the worker, polls and repaints


async def test_opening_the_app_sees_to_a_worker_for_schedules() -> None:
    operations = with_replicas()
    async with running(operations) as pilot:
        await until(pilot, lambda: ("ensure_worker",) in operations.replications.asked, "asked for a worker")
    operations = with_replicas(read_only=True)
    async with running(operations) as pilot:
        assert operations.replications.asked == []
    operations = with_replicas()
    operations.replications.errors["ensure_worker"] = ServiceError(ErrorKind.REMOTE, "no process can be started")
    async with running(operations) as pilot:
        await told(pilot, "Replications wait for a worker: no process can be started")


async def test_it_is_read_only_while_it_is_seen() -> None:
    operations = with_replicas()
    async with replication(operations) as pilot:
        followers = [one for one in pilot.app.workers if one.group == "replications"]
        assert followers
        await press(pilot, "1")
        await until(pilot, lambda: all(one.is_finished or one.is_cancelled for one in followers), "no longer followed")
        seen = operations.replications.looks
        await press(pilot, "5")
        await until(pilot, lambda: operations.replications.looks > seen, "read again")


async def test_what_did_not_change_is_not_painted(monkeypatch: pytest.MonkeyPatch) -> None:
    operations = with_replicas(many_replicas(100))
    async with replication(operations) as pilot:
        await until(pilot, lambda: len(table(pilot).rows) == 100, "all of them")
        await press(pilot, "G")
        assert "vm-00099" in screen_text(pilot)
        await press(pilot, "g")
        written: list[str] = []

        def paint(screen: object, update: Any) -> None:
            if update is not None:
                written.append(update.render_segments(pilot.app.console))

        monkeypatch.setattr(pilot.app, "_display", paint)
        seen = operations.replications.looks
        await until(pilot, lambda: operations.replications.looks >= seen + 2, "the keys' paint is over")
        written.clear()
        await until(pilot, lambda: operations.replications.looks >= seen + 6, "four polls")
        assert "".join(written) == ""
        operations.replications.time += 60
        await until(pilot, lambda: "in 3 h 9 min" in screen_text(pilot) and "".join(written), "a minute later")
        assert 0 < len("".join(written)) < 3000


async def test_a_hundred_are_drawn_only_as_far_as_they_are_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[int] = []
    for kind in (ReplicaTable, RunTable):
        monkeypatch.setattr(kind, "draw", counting(kind.draw, drawn))
    async with replication(with_replicas(many_replicas(100))) as pilot:
        await until(pilot, lambda: len(table(pilot).rows) == 100, "all of them")
        drawn.clear()
        await press(pilot, "down", "down")
        assert len(drawn) < 40 * pilot.app.size.height


def counting(draw: Callable[..., object], drawn: list[int]) -> Callable[..., object]:
    def counted(self: object, y: int) -> object:
        drawn.append(y)
        return draw(self, y)

    return counted


def test_a_spec_of_one_time_is_said_so() -> None:
    from vmie_tui.widgets.replication_runs import next_line

    view = replica(1, "web-01", spec=spec_of("web-01", every_hours=0))
    assert next_line(view).endswith("one time")
