"""Mode 6: the checklist as it fills, what is wrong, the change before it is made, policies; never by accident."""

from __future__ import annotations

import threading

from textual.widgets import Button

from tests.kits.driving import press, running, screen_text, settle, toasts, until
from tests.kits.fake_backend import FakeOperations
from vmie_tui.model.doctor import USUAL_FEATURES, Feature, markdown
from vmie_tui.model.errors import ErrorKind, ServiceError
from vmie_tui.screens.frame.form import FormScreen
from vmie_tui.screens.frame.page import PageScreen
from vmie_tui.screens.setup.screen import SetupScreen


async def test_fills_as_it_looks_and_says_what_is_wrong() -> None:
    operations = FakeOperations()
    operations.doctor.gate = threading.Event()
    async with running(operations) as pilot:
        await pilot.press("6")
        await until(pilot, lambda: "State folder" in screen_text(pilot), "the first check")
        assert "looking…" in screen_text(pilot) and "Service role" not in screen_text(pilot)
        operations.doctor.gate.set()
        await settle(pilot)
        text = screen_text(pilot)
        assert "✖ 2  ▲ 2  ✔ 4  – 1" in text
        assert "2 can be fixed here: f" in text
        screen = pilot.app.screen
        assert isinstance(screen, SetupScreen)
        assert screen.current is not None and screen.current.id == "local.folder"  # not the heading above it
        await press(pilot, "n", "n")
        assert screen.current.id == "bucket.public"
        assert "Remedy: Block it." in screen_text(pilot)
        await press(pilot, "G")
        assert screen.current.id == "vcenter.login"
        await press(pilot, "g")
        assert screen.current.id == "local.folder"


async def test_a_fix_is_shown_first_and_cancel_has_the_focus() -> None:
    operations = FakeOperations()
    async with running(operations) as pilot:
        await press(pilot, "6", "n", "n", "f")
        assert isinstance(pilot.app.screen, PageScreen)
        text = screen_text(pilot)
        assert "s3:PutPublicAccessBlock migration-eu-west-1" in text
        assert '-  "BlockPublicPolicy": false' in text and '+  "BlockPublicPolicy": true' in text
        assert pilot.app.focused is pilot.app.screen.query_one("#no", Button)
        await press(pilot, "enter")  # Cancel
        assert ("apply", "bucket.public") not in operations.doctor.asked
        await press(pilot, "f", "right", "enter")
        assert operations.doctor.asked == [("examine",), ("apply", "bucket.public"), ("examine",)]
        assert "✖ 2  ▲ 1  ✔ 5  – 1" in screen_text(pilot)
        assert pilot.app.screen.current.id == "bucket.public"


async def test_what_cannot_be_fixed_says_why() -> None:
    operations = FakeOperations()
    async with running(operations) as pilot:
        await press(pilot, "6", "f")
        assert "is in order" in toasts(pilot)
        await press(pilot, "N")
        assert pilot.app.screen.current.id == "permissions.import"
        await press(pilot, "f")
        assert "its remedy says who can" in toasts(pilot)
        assert [asked for asked in operations.doctor.asked if asked[0] == "apply"] == []
        assert "\x1b" not in screen_text(pilot) and "[red]x[/red]" in screen_text(pilot)


async def test_a_read_only_profile_changes_nothing() -> None:
    operations = FakeOperations()
    operations.profile = operations.profile.__class__("prod", read_only=True)
    async with running(operations) as pilot:
        await press(pilot, "6", "n", "n", "f")
        assert isinstance(pilot.app.screen, SetupScreen)
        assert "read-only" in toasts(pilot)
        assert ("apply", "bucket.public") not in operations.doctor.asked


async def test_a_change_that_fails_is_said() -> None:
    operations = FakeOperations()
    operations.doctor.apply_error = ServiceError(ErrorKind.PERMISSION, "AWS refuses: make the role", subject="vmimport")
    async with running(operations) as pilot:
        await press(pilot, "6", "n", "n", "n", "f", "right", "enter")
        assert "AWS refuses: make the role" in toasts(pilot)
        assert len([asked for asked in operations.doctor.asked if asked == ("examine",)]) == 1


async def test_trouble_with_looking_is_said_and_r_tries_again() -> None:
    operations = FakeOperations()
    operations.doctor.error = ServiceError(ErrorKind.LOCAL, "the profile has no Region", remedy="Set one")
    async with running(operations) as pilot:
        await press(pilot, "6")
        assert "the profile has no Region" in screen_text(pilot)
        await press(pilot, "f", "n", "y")
        operations.doctor.error = None
        await press(pilot, "r")
        assert "Service role" in screen_text(pilot)


async def test_details_markdown_and_policy() -> None:
    operations = FakeOperations()
    async with running(operations) as pilot:
        await press(pilot, "6", "n", "n", "n", "enter")
        assert isinstance(pilot.app.screen, PageScreen)
        assert "iam:CreateRole vmimport" in screen_text(pilot)
        await press(pilot, "escape", "y")
        saved = operations.saved["setup.md"]
        assert "## Service role" in saved and '+        "Service": "vmie.amazonaws.com"' in saved
        assert "\x1b" not in saved
        await press(pilot, "o")
        form = pilot.app.screen
        assert isinstance(form, FormScreen)
        await press(pilot, "space", "down", "space")  # the role's, and not for import
        form.query_one("#yes", Button).press()
        await settle(pilot)
        assert operations.doctor.asked[-1] == ("policy", "role", USUAL_FEATURES - {Feature.IMPORT})
        assert '"ec2:ImportImage"' in screen_text(pilot)
        await press(pilot, "y")
        assert operations.saved["policy-role.json"].startswith('{\n  "Version"')


def test_markdown_of_nothing() -> None:
    from vmie_tui.model.doctor import DoctorReport

    assert markdown(DoctorReport("prod", ())).startswith("# Setup of prod")
