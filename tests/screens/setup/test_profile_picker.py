"""Another profile while the app stands: every screen is the new one's, jobs stay, nothing of the old one is shown."""

from __future__ import annotations

from dataclasses import replace

from tests.kits.driving import press, running, screen_text, settle, toasts
from tests.kits.fake_backend import FakeOperations, company, machine, some_jobs
from vmie_tui.operations.profile import ProfileInfo
from vmie_tui.screens.frame.help import HelpScreen
from vmie_tui.screens.inventory.screen import InventoryScreen
from vmie_tui.screens.jobs.screen import JobsScreen
from vmie_tui.screens.setup.profile_picker import ProfileScreen, ProfileTable

LAB = ProfileInfo(
    "lab", vcenter="lab-vc.corp", vcenter_user="lab@vsphere.local", aws_profile="sand", region="us-east-1"
)
SAFE = ProfileInfo("audit", vcenter="vcenter.corp", region="eu-west-1", read_only=True)


def operations() -> FakeOperations:
    made = FakeOperations(jobs=some_jobs())
    made.others = (LAB, SAFE)
    made.by_profile = {"prod": company(), "lab": (machine(1, "lab-box"),), "audit": company()}
    return made


async def test_the_list_says_where_each_leads() -> None:
    async with running(operations()) as pilot:
        await press(pilot, "P")
        assert isinstance(pilot.app.screen, ProfileScreen)
        text = screen_text(pilot)
        assert "● prod" in text and "lab-vc.corp" in text and "sand us-east-1" in text and "READ-ONLY" in text
        await press(pilot, "enter")  # the one in use
        assert isinstance(pilot.app.screen, InventoryScreen)
        assert pilot.app.operations.profile.name == "prod"


async def test_all_screens_become_the_other_profiles_and_jobs_stay() -> None:
    fake = operations()
    async with running(fake) as pilot:
        await press(pilot, "2", "3", "1", "p", "escape")  # a preflight is known, and other modes are open
        assert pilot.app.preflights and "web-01" in screen_text(pilot)
        old = pilot.app.screen
        await press(pilot, "P", "down", "enter")
        text = screen_text(pilot)
        assert isinstance(pilot.app.screen, InventoryScreen) and pilot.app.screen is not old
        assert "lab-box" in text and "web-01" not in text
        assert text.splitlines()[0].rstrip().endswith("lab")
        assert "lab-vc.corp ✔ lab" in text and "us-east-1" in text.splitlines()[1]
        assert pilot.app.preflights == {}
        await press(pilot, "2")
        assert isinstance(pilot.app.screen, JobsScreen)
        assert "web-01" in screen_text(pilot)
        await press(pilot, "P", "down", "enter")
        assert isinstance(pilot.app.screen, JobsScreen)  # the mode stays
        assert "READ-ONLY" in screen_text(pilot).splitlines()[0]
        await press(pilot, "1", "i")
        assert "read-only" in toasts(pilot)


async def test_a_profile_that_fails_changes_nothing() -> None:
    fake = operations()
    fake.others = (replace(LAB, name="broken"),)
    async with running(fake) as pilot:
        await press(pilot, "P", "down", "enter")
        assert "there is no profile named 'broken'" in toasts(pilot)
        assert fake.profile.name == "prod" and "web-01" in screen_text(pilot)


async def test_open_pages_and_a_single_profile_say_why_not() -> None:
    fake = operations()
    async with running(fake) as pilot:
        await press(pilot, "o", "escape", "i")
        await pilot.app.run_action("profiles")
        await settle(pilot)
        assert "close it first" in toasts(pilot)
        assert not isinstance(pilot.app.screen, HelpScreen | ProfileScreen)
    async with running(FakeOperations()) as pilot:
        await press(pilot, "P")
        assert "one profile only" in toasts(pilot)
        assert not pilot.app.screen.query(ProfileTable)
