"""Keys that arrive in one burst mean what they mean one by one."""

from __future__ import annotations

from textual import events
from textual.pilot import Pilot

from tests.kits.driving import press, running, screen_text, settle, until
from tests.kits.fake_backend import FakeOperations
from vmie_tui.screens.wizard.screen import WizardScreen
from vmie_tui.widgets.machines import MachineTable

NAMED = {" ": "space", "/": "slash", "-": "minus", ".": "full_stop"}


async def burst(pilot: Pilot[int], *keys: str) -> None:
    """All keys at once, as a slow line delivers them."""
    for key in keys:
        character = key if len(key) == 1 else {"enter": "\r", "escape": "\x1b", "space": " "}.get(key)
        pilot.app.post_message(events.Key(NAMED.get(key, key), character))
    app = pilot.app
    await until(pilot, lambda: not app._keys and app._key_since is None, "all keys handled")
    await settle(pilot)


async def test_filter_and_mark_in_one_burst() -> None:
    async with running() as pilot:
        await burst(pilot, *"/web-01", "enter", "space", "escape", *"/web-02", "enter", "space", "escape", "i")
        screen = pilot.app.screen
        assert isinstance(screen, WizardScreen)
        assert [machine.name for machine in screen.draft.machines] == ["web-01", "web-02"]


async def test_a_q_in_a_filter_is_a_letter() -> None:
    async with running() as pilot:
        await burst(pilot, *"/qqq")
        assert "filter: qqq" in screen_text(pilot)
        assert pilot.app.is_running


async def test_keys_go_on_after_a_screen_went_away() -> None:
    operations = FakeOperations()
    async with running(operations) as pilot:
        await burst(pilot, "question_mark", "escape", "t", "escape", "j", "j")
        assert pilot.app.screen.query_one(MachineTable).cursor == 2
        await press(pilot, "k")
        assert pilot.app.screen.query_one(MachineTable).cursor == 1


async def test_keys_left_when_the_app_ends_are_dropped() -> None:
    async with running() as pilot:
        app = pilot.app
    app._keys.append(events.Key("j", "j"))
    await app._handle_next()
    assert not app._keys
