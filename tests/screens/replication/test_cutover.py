"""The guided cutover on operations of model values: nothing of it is kept by the page itself."""

from __future__ import annotations

from dataclasses import replace

from textual.pilot import Pilot
from textual.widgets import Button, Input

from tests.kits.driving import press, running, screen_text, settle, toasts, until
from tests.kits.fake_backend import FakeOperations, job, stages
from tests.kits.fake_images import INSTANCE, RUNNING
from tests.kits.fake_replications import (
    DAY,
    HOUR,
    MIB,
    NOW,
    FakeReplicas,
    figures_of,
    final,
    replica,
    run_of,
    some_replicas,
    spec_of,
    steady,
)
from vmie_tui.model.errors import ErrorKind, ServiceError
from vmie_tui.model.plan import TestLaunch
from vmie_tui.model.replication import ReplicationView, RunState, RunType, Verify
from vmie_tui.model.task import JobState
from vmie_tui.screens.frame.confirm import ConfirmScreen
from vmie_tui.screens.frame.form import FormScreen
from vmie_tui.screens.jobs.detail import JobScreen
from vmie_tui.screens.jobs.image import ImageScreen
from vmie_tui.screens.replication.cutover import CutoverScreen, Seen, cutover_lines, final_run
from vmie_tui.widgets.line_view import LinePane

LAUNCH = TestLaunch("", "", "", isolated=False)


def operations_of(*views: ReplicationView, **fields: object) -> FakeOperations:
    operations = FakeOperations(**fields)  # type: ignore[arg-type]
    operations.replications = FakeReplicas(list(views))
    return operations


def changes(operations: FakeOperations) -> list[tuple[object, ...]]:
    return [call for call in operations.replications.asked if call[0] != "ensure_worker"]


async def cutover(pilot: Pilot[int], view: ReplicationView) -> CutoverScreen:
    screen = CutoverScreen(view)
    pilot.app.push_screen(screen)
    await settle(pilot)
    await until(pilot, lambda: "looking for a test instance" not in page(pilot), "AWS asked")
    return screen


def page(pilot: Pilot[int]) -> str:
    panes = pilot.app.screen.query("#cutover").results(LinePane)
    return " ".join(" ".join(pane.plain() for pane in panes).split())


async def confirm(pilot: Pilot[int], **answers: str) -> None:
    screen = pilot.app.screen
    assert isinstance(screen, FormScreen)
    for key, text in answers.items():
        screen.query_one(f"#{key}", Input).value = text
    button = screen.query_one("#yes", Button)
    await until(pilot, lambda: not button.has_class("-active"), "the button at rest")
    screen.set_focus(button)
    await press(pilot, "enter")


async def test_the_steps_before_the_final_run() -> None:
    view = steady()
    async with running(operations_of(view)) as pilot:
        await cutover(pilot, view)
        text = page(pilot)
        assert "◐ 1 Test launch of the newest AMI" in text and "ami-0000000000000000c · frozen" in text
        assert "t launches a test instance of it" in text and "▲ It is" not in text
        assert "A cutover now keeps the machine off for about" in text
        assert "○ 3 Final run" in text and "VMware Tools shut the guest down" in text
        assert "○ 4 Progress" in text and "Not begun." in text and "○ 5 Result" in text
        await press(pilot, "enter")
        assert "no final run to look at yet" in toasts(pilot)
        await press(pilot, "R")
        assert "was not cut over" in toasts(pilot)


async def test_the_test_launch_is_that_of_the_newest_ami_and_is_seen_on_coming_back() -> None:
    view = steady()
    operations = operations_of(view)
    async with running(operations) as pilot:
        screen = await cutover(pilot, view)
        await press(pilot, "t")
        assert isinstance(pilot.app.screen, ImageScreen)
        assert ("image", "eu-west-1", "ami-0000000000000000c") in operations.images.asked
        operations.images.running = (INSTANCE,)
        await press(pilot, "escape")
        assert pilot.app.screen is screen
        await until(pilot, lambda: f"{INSTANCE} runs of it" in page(pilot), "the test instance seen")
        assert "✔ 1 Test launch" in page(pilot)


async def test_an_old_ami_and_none_are_said_so() -> None:
    old, none = steady(first=NOW - 60 * DAY), replica(2, "db-01")
    old = replace(old, runs=tuple(replace(run, figures=figures_of(frozen=NOW - 3 * DAY)) for run in old.runs))
    async with running(operations_of(old, none)) as pilot:
        await cutover(pilot, old)
        assert "▲ It is 3 d old, more than its interval of 12 h" in page(pilot)
        await press(pilot, "escape")
        await cutover(pilot, none)
        assert "There is no AMI yet" in page(pilot) and "No run is complete yet" in page(pilot)
        await press(pilot, "t")
        assert "There is no AMI yet" in toasts(pilot)


def test_a_forecast_that_does_not_converge_is_a_warning() -> None:
    words = "It will not converge: 30 MiB/s change, 20 MiB/s are copied."
    lines = cutover_lines(Seen(steady(), forecast=(words,), test=""), 78)
    assert any("not converge" in text and style == "warn" for line in lines for text, style in line)


async def test_the_final_run_begins_only_when_the_name_is_typed() -> None:
    view = steady()
    operations = operations_of(view)
    async with running(operations) as pilot:
        await cutover(pilot, view)
        await press(pilot, "c")
        await confirm(pilot, name="web-02", subnet="net-1")
        assert "That is not the name" in screen_text(pilot) and "A subnet reads like" in screen_text(pilot)
        assert not changes(operations)
        await confirm(pilot, name="web-01", subnet="subnet-0123456789abcdef0", type="m5.large", key="ops")
        launch = TestLaunch("m5.large", "subnet-0123456789abcdef0", "ops", isolated=False)
        assert ("run_now", view.id, None, Verify.SAMPLE, launch) in operations.replications.asked
        await until(pilot, lambda: "◐ 4 Progress" in page(pilot), "the run seen")
        assert "cutover begun: sms-run-00000384" in page(pilot)
        await press(pilot, "c")
        assert "It is at work: sms-run-00000384" in toasts(pilot)


async def test_a_refusal_is_said_and_the_answers_stay() -> None:
    view = steady()
    operations = operations_of(view)
    operations.replications.errors["run_now"] = ServiceError(
        ErrorKind.CONFLICT, "a run is at work", remedy="Wait for it"
    )
    async with running(operations) as pilot:
        await cutover(pilot, view)
        await press(pilot, "c")
        await confirm(pilot, name="web-01", type="m5.large")
        assert "a run is at work" in page(pilot) and "Remedy: Wait for it." in page(pilot)
        await press(pilot, "c")
        assert pilot.app.screen.query_one("#type", Input).value == "m5.large"
        assert pilot.app.screen.query_one("#name", Input).value == ""  # the name is typed each time


async def test_a_cutover_is_no_third_run_within_a_day() -> None:
    twice = [run_of(20 + n, ago=n * HOUR, type=RunType.ON_DEMAND) for n in (1, 2)]
    view = steady(1, "web-01", *twice)
    async with running(operations_of(view)) as pilot:
        screen = await cutover(pilot, view)
        assert "2 on-demand runs within 24 hours are the most" not in page(pilot)
        await press(pilot, "c")
        assert pilot.app.screen is not screen and "Shut down and cut over" in screen_text(pilot)


async def test_a_cutover_is_found_where_it_is_whenever_one_looks() -> None:
    view = steady()
    moving = final(
        RunState.ACTIVE, completed=None, image_id="", instance_id="", fraction=0.61, eta_seconds=170.0, rate=9e6,
        figures=figures_of(changed=300 * MIB, moved=180 * MIB), job_id="job0001", message="shutting the guest down",
    )  # fmt: skip
    at_work = replace(view, runs=(moving, *view.runs))
    running_job = job(1, "web-01", JobState.RUNNING, kind="replicate", stages=stages(2))
    operations = operations_of(at_work, jobs=[running_job])
    async with running(operations) as pilot:
        await cutover(pilot, view)  # what the list knew before
        await until(pilot, lambda: "◐ 4 Progress" in page(pilot), "the run seen")
        text = page(pilot)
        assert "delta 300 MiB of 200 GiB 61%" in text and "~3 min" in text and "upload ▶" in text
        assert "shutting the guest down" in text and "✔ 3 Final run" in text and "Not yet." in text
        await press(pilot, "R")
        assert "is at work: wait until it is over" in toasts(pilot)
        await press(pilot, "enter")
        assert isinstance(pilot.app.screen, JobScreen)
        done = replace(view, runs=(final(), *view.runs), paused=True)
        operations.replications.listed[0] = done
        operations.images.now = replace(RUNNING, instance_check="ok")
        await press(pilot, "escape", "escape")
        await cutover(pilot, view)
        await until(pilot, lambda: "both checks passed" in page(pilot), "the instance seen")
        text = page(pilot)
        assert "✔ 5 Result" in text and f"{INSTANCE} · running · both checks passed" in text
        assert f"R: {INSTANCE} is stopped and keeps its volumes, web-01 is powered on in vCenter" in text
        await press(pilot, "c")
        assert "is cut over. R goes back" in toasts(pilot)
        await press(pilot, "y")
        assert INSTANCE in operations.saved[f"cutover-{view.id}.txt"]


async def test_going_back_asks_first_and_says_what_was_done() -> None:
    view = steady(1, "web-01", final(), paused=True)
    operations = operations_of(view)
    async with running(operations) as pilot:
        await cutover(pilot, view)
        await until(pilot, lambda: "running" in page(pilot), "the instance seen")
        await press(pilot, "R")
        assert isinstance(pilot.app.screen, ConfirmScreen)
        words = " ".join(screen_text(pilot).replace("│", " ").split())
        assert "Roll back web-01?" in words and f"The instance {INSTANCE} is stopped" in words
        await press(pilot, "enter")  # the safe answer has the focus
        assert not changes(operations)
        await press(pilot, "R", "tab", "enter")
        assert ("roll_back", view.id) in operations.replications.asked
        await until(pilot, lambda: "web-01 is powered on" in page(pilot), "the words")
        operations.images.now = replace(RUNNING, state="stopped", system_check="", instance_check="")
        await press(pilot, "r")
        await until(pilot, lambda: f"{INSTANCE} · stopped" in page(pilot), "the instance stopped")
        assert "c cuts it over once more." in page(pilot) and "A cutover now keeps the machine off" in page(pilot)
        assert "web-01 is what counts. The schedule is paused: p in the list" in page(pilot)
        await press(pilot, "c")
        assert isinstance(pilot.app.screen, FormScreen)


async def test_a_way_back_that_fails_says_why() -> None:
    view = steady(1, "web-01", final(RunState.FAILED, message="the guest did not go down", image_id="", instance_id=""))
    operations = operations_of(view)
    operations.replications.errors["roll_back"] = ServiceError(ErrorKind.PERMISSION, "vCenter refuses to power it on")
    async with running(operations) as pilot:
        await cutover(pilot, view)
        text = page(pilot)
        assert "✖ 4 Progress" in text and "the guest did not go down" in text and "may be shut down" in text
        await press(pilot, "R", "tab", "enter")
        await until(pilot, lambda: "vCenter refuses to power it on" in page(pilot), "the reason")


async def test_a_group_is_cut_over_together_when_its_name_is_typed() -> None:
    web = steady(1, "web-01", spec=spec_of("web-01", group="shop", order=1))
    db = steady(2, "db-01", spec=spec_of("db-01", group="shop"))
    operations = operations_of(web, db, steady(3, "else-01"))
    async with running(operations) as pilot:
        await cutover(pilot, web)
        assert "Group shop 0: ○ db-01 1: ○ [web-01]" in page(pilot)
        await press(pilot, "n")
        assert "Cut over db-01" in screen_text(pilot) and "0: ○ [db-01] 1: ○ web-01" in page(pilot)
        await press(pilot, "N", "c", "space")  # all of its group
        assert "(•) all 2 of its group" in screen_text(pilot)
        await confirm(pilot, name="web-01")
        assert "That is not the name" in screen_text(pilot) and not changes(operations)
        await confirm(pilot, name="shop")
        assert changes(operations) == [("start_group", "shop", LAUNCH)]
        assert "cutover begun: sms-run-00000001, sms-run-00000002" in page(pilot)


async def test_what_cannot_be_read_is_said_and_what_was_read_stays() -> None:
    view = steady()
    operations = operations_of(view)
    operations.images.errors["instances"] = ServiceError(ErrorKind.LOGIN, "the AWS login has expired", remedy="Press L")
    async with running(operations) as pilot:
        await cutover(pilot, view)
        assert "the AWS login has expired" in page(pilot) and "1 Test launch" in page(pilot)
        operations.replications.errors["views"] = ServiceError(ErrorKind.LOCAL, "the job database cannot be read")
        await press(pilot, "r")
        await until(pilot, lambda: "the job database cannot be read" in page(pilot), "the reason")
        assert "1 Test launch" in page(pilot)
        await press(pilot, "n")
        assert "in no group with others" in toasts(pilot)


async def test_read_only_looks_and_moves_nothing() -> None:
    view = steady(1, "web-01", final(RunState.FAILED))
    operations = operations_of(view)
    operations.profile = replace(operations.profile, read_only=True)
    async with running(operations) as pilot:
        await cutover(pilot, view)
        await press(pilot, "c", "R")
        assert toasts(pilot).count("read-only") == 2 and not changes(operations)


def test_a_cutover_that_other_runs_followed_is_history() -> None:
    view = steady()
    later = run_of(50, ago=60)
    assert final_run(replace(view, runs=(later, final(), *view.runs))) is None
    missed = run_of(51, RunState.MISSED, ago=60)
    assert final_run(replace(view, runs=(missed, final(), *view.runs))) == final()
    assert final_run(some_replicas()[0]) is None
