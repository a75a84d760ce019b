"""The tasks screen on operations of model values: list, filter, detail, places, and what can be done with a task."""

from __future__ import annotations

import json
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta

import pytest
from textual.pilot import Pilot

from tests.kits.driving import press, running, screen_text, settle, until
from tests.kits.fake_backend import FakeOperations
from tests.kits.fake_tasks import NOW, FakeDesk, denied, record, some_records
from vmie_tui.model.errors import ErrorKind, Problem, ServiceError
from vmie_tui.model.task import TaskKind
from vmie_tui.model.task_filter import parse_age, parse_filter
from vmie_tui.model.task_history import Change, TaskQuery
from vmie_tui.operations.tasks import Scope
from vmie_tui.screens.frame.confirm import ConfirmScreen
from vmie_tui.screens.tasks.detail import TaskScreen
from vmie_tui.screens.tasks.scope_picker import PlacesScreen, PlaceTable
from vmie_tui.screens.tasks.screen import TasksScreen
from vmie_tui.widgets.tasks import TaskTable


@asynccontextmanager
async def tasks(
    desk: FakeDesk | None = None, size: tuple[int, int] = (80, 24), *, read: bool = True
) -> AsyncIterator[tuple[Pilot[int], FakeOperations]]:
    """The app on its tasks screen, everything read."""
    operations = FakeOperations()
    operations.tasks = desk or FakeDesk()
    async with running(operations, size) as pilot:
        await press(pilot, "3")
        if read:
            await until(pilot, lambda: "reading" not in screen_text(pilot), "tasks read")
            await settle(pilot)
        yield pilot, operations


def table(pilot: Pilot[int]) -> TaskTable:
    return pilot.app.screen_stack[0].query_one(TaskTable)


def ids(pilot: Pilot[int]) -> list[str]:
    return [row.task.id for row in table(pilot).rows]


def told(pilot: Pilot[int]) -> str:
    return " | ".join(note.message for note in pilot.app._notifications)


async def test_tasks_of_all_kinds_with_what_happened_to_the_first() -> None:
    async with tasks() as (pilot, _):
        text = screen_text(pilot)
        assert "eu-west-1 · 7 tasks · 5 kinds · 5 requests" in text
        for words in ("▶ active 12%", "✖ failed", "■ cancelled", "✔ completed"):
            assert words in text
        assert "Timeline  08:41 pending › 08:43 active" not in text  # of the second one
        assert table(pilot).rows[0].live
        await press(pilot, "G")
        assert "AWS has forgotten it" in screen_text(pilot)


async def test_a_failed_task_says_what_aws_said_what_it_means_and_what_to_do() -> None:
    async with tasks() as (pilot, _):
        await press(pilot, "slash", *"state=failed", "enter")
        text = screen_text(pilot)
        assert "AWS says  ClientError: Disk validation failed [Unsupported VMDK File Format]" in text
        assert "Means     VMDK is not stream-optimized." in text
        assert "Do        Convert to streamOptimized VMDK and retry." in text
        assert "Timeline  00:41 pending › 00:43 validating › 00:48 deleted" in text
        await press(pilot, "enter")
        assert isinstance(pilot.app.screen, TaskScreen)
        whole = screen_text(pilot)
        assert "Timeline  2026-03-04 00:41:07  active  pending  2%" in whole
        assert "validating: 5 min, usually 4 min (of 5)" in whole
        await press(pilot, "escape")
        assert isinstance(pilot.app.screen, TasksScreen)


@pytest.mark.parametrize(
    ("typed", "found"),
    [
        ("web-10", ["import-ami-0000000000000000a"]),
        ("!migration", []),
        ("state=active,completed", 5),
        ("kind=import-snapshot", ["import-snap-00000000000000006"]),
        ("last=5h", 3),
        ("tag=team", 2),
        ("tag=team=db", ["export-ami-00000000000000003"]),
        ("region=us-east-1", []),
        ("state=failed last=30d web", ["import-ami-0000000000000000a"]),
    ],
)
async def test_the_filter(typed: str, found: int | list[str]) -> None:
    query, mistake = parse_filter(typed)
    assert not mistake
    names = [one.task.id for one in query.apply(some_records(), NOW)]
    assert names == found if isinstance(found, list) else len(names) == found


def test_what_is_wrong_with_a_filter_is_said_and_left_out() -> None:
    query, mistake = parse_filter("last=soon kind= state=", TaskQuery())
    assert query == TaskQuery()
    assert "'soon' is no age such as 30m" in mistake
    assert "no kind of task" in parse_filter("kind=nonsense")[1]
    query, mistake = parse_filter("state=bogus,failed")
    assert query.states == {"bogus", "failed"} and mistake.startswith("no task is known to be 'bogus': active, ")
    assert not parse_filter("state=failed,deleting")[1]
    assert parse_filter("kind=import")[0].kinds == {
        TaskKind.IMPORT_IMAGE,
        TaskKind.IMPORT_SNAPSHOT,
    }
    assert parse_age("2w") == timedelta(days=14)


async def test_filtering_by_keys_sorting_and_clearing() -> None:
    async with tasks() as (pilot, _):
        before = ids(pilot)
        await press(pilot, "slash", *"last=")
        assert "7 tasks" in screen_text(pilot)
        await press(pilot, *"x")
        assert "no age such as" in screen_text(pilot)
        await press(pilot, "backspace", *"5h", "enter")
        assert len(ids(pilot)) == 3
        assert "filter: last=5h" in screen_text(pilot)
        await press(pilot, "escape")
        assert ids(pilot) == before
        await press(pilot, "s")  # after age comes the first column: state
        assert table(pilot).sorted_by == ("state", False)
        await press(pilot, "S")
        assert ids(pilot)[-1] in before[:2]
        await press(pilot, "slash", *"nothing-like-this", "enter")
        assert "No task matches. esc clears the filter." in screen_text(pilot)


async def test_what_is_remembered_is_shown_before_aws_answers_and_pages_come_in() -> None:
    desk = FakeDesk()
    desk.gate, desk.remembered = threading.Event(), (record(3),)
    async with tasks(desk, read=False) as (pilot, _):
        await until(pilot, lambda: ids(pilot) == ["export-ami-00000000000000003"], "the remembered one")
        assert "reading…" in screen_text(pilot)
        desk.gate.set()
        await until(pilot, lambda: len(ids(pilot)) == 7, "all of them")


async def test_a_refresh_shows_changes_and_nothing_is_read_while_hidden() -> None:
    desk = FakeDesk()
    async with tasks(desk) as (pilot, _):
        first = table(pilot).rows[0]
        await press(pilot, "enter")
        done = replace(first, task=replace(first.task, state="completed", status_message="", progress=None))
        seen = Change(NOW, NOW, "completed", "completed")
        desk.next = [(replace(done, changes=(*first.changes, seen)),)]
        pilot.app.screen_stack[0].on_screen_resume()  # type: ignore[attr-defined]
        await until(pilot, lambda: "✔ completed" in screen_text(pilot), "the page follows the list")
        await press(pilot, "escape", "1")
        reads = desk.refreshes
        desk.next = [some_records()]
        pilot.app.get_screen_stack("tasks")[0].on_screen_resume()  # type: ignore[attr-defined]
        await settle(pilot)
        assert desk.refreshes == reads
        await press(pilot, "3")
        await until(pilot, lambda: desk.refreshes == reads + 1, "read once it is shown again")


async def test_troubles_are_named_with_when_they_are_asked_again() -> None:
    desk = FakeDesk()
    desk.troubles = (denied("eu-west-1"), denied("us-east-1", ErrorKind.THROTTLED))
    desk.failed = (("desk", Problem(ErrorKind.LOGIN, "there are no AWS credentials")),)
    async with tasks(desk) as (pilot, _):
        text = screen_text(pilot)
        assert "▲ desk: there are no AWS credentials" in text
        assert "▲ eu-west-1 (prod) denies access: not authorized" in text
        assert "again at 10:42:07" in text
        assert "us-east-1" not in text  # it is not looked at
        assert len(ids(pilot)) == 7


async def test_no_account_can_be_read_at_all() -> None:
    desk = FakeDesk()
    desk.error = ServiceError(ErrorKind.LOCAL, "the history of tasks cannot be used", remedy="Check its mode")
    async with tasks(desk) as (pilot, _):
        await until(pilot, lambda: "the history of tasks cannot be used" in screen_text(pilot), "the reason")
        assert "Remedy: Check its mode." in screen_text(pilot)
        desk.error = None
        await press(pilot, "r")
        await until(pilot, lambda: len(ids(pilot)) == 7, "read by r")


async def test_regions_and_profiles_are_chosen() -> None:
    desk = FakeDesk((record(1), record(2, region="us-east-1"), record(3, profile="desk", region="eu-central-1")))
    async with tasks(desk) as (pilot, _):
        assert len(ids(pilot)) == 1
        await press(pilot, "R")
        await press(pilot, "space")  # away from the only profile
        await press(pilot, "enter")
        assert "Mark a profile first" in told(pilot)
        await press(pilot, "a", "enter")
        await until(pilot, lambda: len(ids(pilot)) == 3, "all of them")
        assert desk.asked[-1] == ("explore", Scope(("prod", "desk"), ("all",)))
        assert "3 Regions of 2 profiles · 3 tasks" in screen_text(pilot)
        assert "us-east-1" in screen_text(pilot)
        await press(pilot, "R")
        await until(pilot, lambda: isinstance(pilot.app.screen, PlacesScreen), "the places again")
        await settle(pilot)
        places = pilot.app.screen.query_one(PlaceTable)
        rows = [places.key_of(row) for row in places.rows]
        places.move_to(rows.index("Region us-east-1"))
        await press(pilot, "space")
        assert "Region all" not in places.marked
        await press(pilot, "enter")
        await until(pilot, lambda: len(ids(pilot)) == 1, "one Region")


async def test_regions_that_cannot_be_listed_say_why() -> None:
    desk = FakeDesk()
    desk.regions_error = ServiceError(ErrorKind.NETWORK, "AWS does not answer")
    async with tasks(desk) as (pilot, _):
        await press(pilot, "R")
        assert "could not be read: AWS" in screen_text(pilot)
        await press(pilot, "escape")
        assert isinstance(pilot.app.screen, TasksScreen)


async def test_raw_json_report_and_bundle() -> None:
    async with tasks() as (pilot, operations):
        await press(pilot, "j")
        assert '"Status": "active"' in screen_text(pilot)
        await press(pilot, "y")
        name = ids(pilot)[0]
        assert json.loads(operations.saved[f"{name}.json"])["Status"] == "active"
        await press(pilot, "j", "y")
        assert f"# Export instance {name}".lower() in operations.saved[f"{name}.md"].lower().replace("\\", "")
        await press(pilot, "b")
        assert ("bundle", name) in operations.tasks.asked
        assert f"~/copied/vmie-{name}.zip" in told(pilot)


async def test_cancel_asks_names_the_task_and_shows_it_at_once() -> None:
    async with tasks() as (pilot, operations):
        name = ids(pilot)[0]
        await press(pilot, "x")
        assert isinstance(pilot.app.screen, ConfirmScreen)
        assert f"Cancel {name}?" in screen_text(pilot)
        assert getattr(pilot.app.focused, "id", "") == "no"
        await press(pilot, "enter")
        assert ("cancel", name) not in operations.tasks.asked
        await press(pilot, "x", "right", "enter")
        assert ("cancel", name) in operations.tasks.asked
        assert "■ deleting" in screen_text(pilot)
        await press(pilot, "x")
        assert "it is being cancelled already" in told(pilot)


async def test_what_cannot_be_cancelled_says_why() -> None:
    async with tasks() as (pilot, operations):
        await press(pilot, "G", "x")
        assert "AWS no longer knows it" in told(pilot)
        operations.tasks.cancel_error = ServiceError(ErrorKind.CONFLICT, "it is being transferred", subject="S3")
        await press(pilot, "g", "x", "right", "enter")
        assert "was not cancelled" in told(pilot)
        operations.tasks.read_only = True
        await press(pilot, "x")
        assert "the profile prod is read-only" in told(pilot)
        assert isinstance(pilot.app.screen, TasksScreen)


async def test_watching_writes_a_line_per_change_until_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vmie_tui.screens.tasks.watch.LOOK_SECONDS", 0.01)
    desk = FakeDesk()
    first = next(one for one in desk.records if one.task.progress == 12)
    away = ServiceError(ErrorKind.NETWORK, "AWS does not answer", retry_safe=True)
    done = replace(first, task=replace(first.task, state="completed", status_message="", progress=None))
    desk.readings = [first, away, away, replace(first, task=replace(first.task, progress=40)), done]
    async with tasks(desk) as (pilot, operations):
        table(pilot).move_to(ids(pilot).index(first.task.id))
        await press(pilot, "w")
        await until(pilot, lambda: "It is over" in screen_text(pilot), "the end")
        text = screen_text(pilot)
        assert [text.count(words) for words in ("12%", "40%", "AWS does not answer")] == [1, 1, 1]
        await press(pilot, "y")
        assert "▶ active" in operations.saved[f"{first.task.id}.txt"]
        await press(pilot, "w")
        assert isinstance(pilot.app.screen, TasksScreen)


async def test_twenty_thousand_tasks_scroll_and_filter() -> None:
    desk = FakeDesk(tuple(record(number) for number in range(20_000)))
    async with tasks(desk) as (pilot, _):
        assert "20,000 tasks" in screen_text(pilot)
        await press(pilot, "G", "pageup", "g")
        await press(pilot, "slash", *"web-19999", "enter")
        assert len(ids(pilot)) == 1
