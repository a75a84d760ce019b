"""The frame and the registry of actions: hints, help, palette, status, theme."""

from __future__ import annotations

from dataclasses import replace
from functools import reduce

import pytest
from textual.color import Color

from tests.kits.driving import press, running, screen_text, settle, until
from tests.kits.fake_backend import FakeOperations, some_jobs
from vmie_tui.app import VmieApp
from vmie_tui.model.errors import ErrorKind, ServiceError
from vmie_tui.screens.frame import actions
from vmie_tui.screens.frame.base import fitting
from vmie_tui.screens.inventory.open_source import OpenScreen
from vmie_tui.screens.inventory.screen import InventoryScreen
from vmie_tui.screens.jobs.detail import JobScreen
from vmie_tui.screens.jobs.image import ImageScreen
from vmie_tui.screens.jobs.proof import ProofScreen
from vmie_tui.screens.jobs.screen import JobsScreen
from vmie_tui.screens.replication.screen import ReplicationScreen
from vmie_tui.screens.setup.screen import SetupScreen
from vmie_tui.screens.wizard.screen import WizardScreen

SCREENS = (
    InventoryScreen,
    JobsScreen,
    JobScreen,
    WizardScreen,
    OpenScreen,
    ImageScreen,
    ProofScreen,
    ReplicationScreen,
    SetupScreen,
)
FORBIDDEN = {"ctrl+m", "ctrl+i", "ctrl+j", "ctrl+b"}


@pytest.mark.parametrize("screen", SCREENS)
def test_every_action_has_id_words_and_something_that_runs_it(screen: type) -> None:
    for action in screen.ACTIONS:
        assert action.id and action.description and action.tooltip
        assert hasattr(screen, f"action_{action.run.split('(')[0]}"), action.id
        assert not FORBIDDEN & set(action.keys.split(","))


def test_action_ids_and_keys_of_a_screen_are_unique() -> None:
    for screen in SCREENS:
        keys = [key for action in (*screen.ACTIONS, *actions.APP) for key in action.keys.split(",")]
        assert len(keys) == len(set(keys)), screen
    ids = [a.id for group in (actions.APP, actions.INVENTORY, actions.JOBS, actions.WIZARD) for a in group]
    assert len(ids) == len(set(ids))


def test_app_actions_run() -> None:
    for action in actions.APP:
        assert hasattr(VmieApp, f"action_{action.run.split('(')[0]}"), action.id


@pytest.mark.parametrize("screen", SCREENS)
def test_footer_has_at_most_seven_hints_that_fit(screen: type) -> None:
    shown = fitting((*actions.hints(screen.ACTIONS), *actions.hints(actions.APP)))
    assert 3 <= len(shown) <= 7
    assert shown[-1] == ("?", "help")
    assert sum(len(key) + len(word) + 3 for key, word in shown) <= 80


async def test_help_lists_every_key_of_the_screen() -> None:
    async with running(size=(100, 60)) as pilot:
        await press(pilot, "question_mark")
        text = screen_text(pilot)
        for action in (*actions.INVENTORY, *actions.APP):
            assert action.description in text, action.id
        await press(pilot, "escape")
        assert isinstance(pilot.app.screen, InventoryScreen)


async def test_palette_runs_an_action_by_name() -> None:
    async with running() as pilot:
        await pilot.press("colon")
        await pilot.press(*"jobs")
        await until(pilot, lambda: "Imports and exports running" in screen_text(pilot), "the palette's answer")
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(pilot.app.screen, JobsScreen), "the jobs screen")


async def test_status_line_turns_into_the_reason() -> None:
    operations = FakeOperations()
    operations.aws_error = ServiceError(ErrorKind.LOGIN, "login expired")
    async with running(operations) as pilot:
        line = screen_text(pilot).splitlines()[1]
        assert line == " aws ✖ login expired: press L"
        operations.aws_error = None
        await press(pilot, "L")
        assert "aws ✔ 111122223333 eu-west-1 ops" in screen_text(pilot).splitlines()[1]


async def test_modes_by_number() -> None:
    async with running(FakeOperations(jobs=some_jobs())) as pilot:
        await press(pilot, "2")
        assert isinstance(pilot.app.screen, JobsScreen)
        await press(pilot, "1")
        assert isinstance(pilot.app.screen, InventoryScreen)


@pytest.mark.parametrize(("name", "badge"), [("prod", "READ-ONLY"), ("a-long-name-of-a-profile", ""), ("prod", "")])
async def test_every_mode_is_named_and_clicked_at_80_columns(name: str, badge: str) -> None:
    operations = FakeOperations()
    operations.profile = replace(operations.profile, name=name, read_only=bool(badge))
    async with running(operations) as pilot:
        title = screen_text(pilot).splitlines()[0]
        assert badge in title
        assert "6 Setup" in title
        await pilot.click("TitleBar", offset=(title.index("6 Setup") + 3, 0))
        await settle(pilot)
        assert isinstance(pilot.app.screen, SetupScreen)


async def test_no_color_uses_the_ansi_theme_without_colours(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    async with running() as pilot:
        assert pilot.app.theme == "ansi-dark"
        strips = pilot.app.screen._compositor.render_strips()
        filters = [one for one in pilot.app._filters if one.enabled]
        for strip in strips:
            plain = reduce(lambda line, one: line.apply_filter(one, Color.parse("black")), filters, strip)
            assert all(s.style is None or s.style.color is None or s.style.color.is_default for s in plain)


async def test_quit_leaves_with_zero() -> None:
    async with running() as pilot:
        await pilot.press("q")
    assert pilot.app.return_code == 0
