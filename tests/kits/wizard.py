"""The import wizard in tests: opened for machines, turned to its last page."""

from __future__ import annotations

from textual.pilot import Pilot
from textual.widgets import Button

from tests.kits.driving import press
from vmie_tui.screens.wizard.screen import WizardScreen
from vmie_tui.widgets.machines import MachineTable


async def open_wizard(pilot: Pilot[int], *moids: str) -> WizardScreen:
    pilot.app.screen.query_one(MachineTable).marked = set(moids)
    await press(pilot, "i")
    screen = pilot.app.screen
    assert isinstance(screen, WizardScreen)
    return screen


async def to_review(pilot: Pilot[int]) -> None:
    await press(pilot, *["pagedown"] * 4)


def start_button(pilot: Pilot[int]) -> Button:
    return pilot.app.screen.query_one("#start", Button)
