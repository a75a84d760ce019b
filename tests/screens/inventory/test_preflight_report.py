"""The preflight page: what it asks first, what it shows, and what the other screens know afterwards."""

from __future__ import annotations

from dataclasses import replace

from textual.pilot import Pilot

from tests.kits.driving import press, running, screen_text
from tests.kits.fake_backend import FSTAB, FakeOperations, company, preflight_of
from vmie_tui.model.errors import ErrorKind, ServiceError
from vmie_tui.model.guest import NotInspected
from vmie_tui.model.machine import Power
from vmie_tui.model.preflight import Preflight
from vmie_tui.screens.frame.confirm import ConfirmScreen
from vmie_tui.screens.inventory.preflight_report import ReportScreen
from vmie_tui.screens.inventory.screen import InventoryScreen
from vmie_tui.widgets.line_view import LinePane
from vmie_tui.widgets.machines import MachineTable


def page(pilot: Pilot[int]) -> str:
    return pilot.app.screen.query_one("#report", LinePane).plain()


def blocked() -> FakeOperations:
    operations = FakeOperations()
    web = next(machine for machine in company() if machine.name == "web-02")
    operations.imports.preflights["web-02"] = preflight_of(web, (), FSTAB)
    return operations


async def go_to(pilot: Pilot[int], *moids: str) -> None:
    pilot.app.screen.query_one(MachineTable).marked = set(moids)
    await press(pilot, "p")


async def test_every_section_is_there() -> None:
    async with running(blocked()) as pilot:
        await go_to(pilot, "vm-2")
        assert isinstance(pilot.app.screen, ReportScreen)
        text = page(pilot)
        for words in (
            "Findings: 1 blocker",
            "/etc/fstab is missing",
            "AWS would say: ClientError: Invalid configuration",
            "Not inspected",
            "/boot/efi: its file system was not found",
            "Debian GNU/Linux 12 (bookworm)",
            "6.1.0-18-amd64",
            "Preparation checklist",
            "What AWS changes inside",
            "13 requests, 832 KiB",
        ):
            assert words in text, words
        assert "F371" not in text, "ids of facts are for the code"
        assert "1 blocker" in screen_text(pilot).splitlines()[2]


async def test_a_running_machine_is_asked_about_by_name_and_no_is_the_default() -> None:
    operations = FakeOperations()
    async with running(operations) as pilot:
        await go_to(pilot, "vm-1")
        assert isinstance(pilot.app.screen, ConfirmScreen)
        assert "web-01" in screen_text(pilot)
        assert operations.imports.looked == []
        await press(pilot, "enter")
        assert operations.imports.looked == [("web-01", False)]
        assert "was not frozen by a snapshot" in " ".join(page(pilot).split())
        assert "Nothing found in its configuration" in page(pilot)
        assert "? not looked" in screen_text(pilot) and "✔" not in screen_text(pilot).splitlines()[2]
        await press(pilot, "r", "right", "enter")
        assert operations.imports.looked[-1] == ("web-01", True)
        assert "removed again" in " ".join(page(pilot).split())


async def test_the_verdict_is_kept_and_shown_in_the_inventory() -> None:
    operations = blocked()
    async with running(operations) as pilot:
        await go_to(pilot, "vm-2")
        await press(pilot, "escape")
        assert isinstance(pilot.app.screen, InventoryScreen)
        row = next(row for row in pilot.app.screen.query_one(MachineTable).rows if row.machine.name == "web-02")
        assert row.verdict[0] == "✖ 1 blocker"
        await press(pilot, "r")
        row = next(row for row in pilot.app.screen.query_one(MachineTable).rows if row.machine.name == "web-02")
        assert row.verdict[0] == "✖ 1 blocker"
        await press(pilot, "p")
        assert len(operations.imports.looked) == 1
        await press(pilot, "r")
        assert len(operations.imports.looked) == 2


async def test_several_machines_one_after_the_other() -> None:
    async with running(blocked()) as pilot:
        await go_to(pilot, "vm-2", "vm-7")
        first = screen_text(pilot).splitlines()[2]
        await press(pilot, "n")
        second = screen_text(pilot).splitlines()[2]
        assert {"web-02" in first, "web-02" in second} == {True, False}
        await press(pilot, "n", "N")
        assert screen_text(pilot).splitlines()[2] == first


async def test_copy_and_unattend() -> None:
    operations = FakeOperations()
    async with running(operations) as pilot:
        await go_to(pilot, "vm-2")
        await press(pilot, "y", "u")
        assert operations.saved["preflight-vm-2.md"].startswith("# Preflight of")
        assert "unattend.xml" not in operations.saved
    async with running(operations) as pilot:
        operations.imports.preflights["win-file-01"] = preflight_of(company()[3], ())
        object.__setattr__(operations.imports.preflights["win-file-01"], "guest", None)
        await go_to(pilot, "vm-4")
        await press(pilot, "u")
        assert "<unattend" in operations.saved["unattend.xml"]


async def test_a_failure_is_said_and_can_be_repeated() -> None:
    operations = FakeOperations()
    operations.imports.preflight_error = ServiceError(
        ErrorKind.NETWORK, "no answer on port 443", subject="vcenter.corp"
    )
    async with running(operations) as pilot:
        await go_to(pilot, "vm-2")
        assert "no answer on port 443" in page(pilot)
        operations.imports.preflight_error = None
        await press(pilot, "r")
        assert "no answer" not in page(pilot)
        assert "Guest as seen" in page(pilot)


async def test_read_only_makes_no_snapshot() -> None:
    operations = FakeOperations()
    operations.profile = replace(operations.profile, read_only=True)
    async with running(operations) as pilot:
        await go_to(pilot, "vm-1")
        assert operations.imports.looked == [("web-01", False)]


async def test_a_machine_started_since_the_inventory_was_read_is_asked_about_at_the_next_look() -> None:
    operations = FakeOperations()
    on = replace(company()[1], power=Power.ON)
    note = NotInspected("the content of its disks", "the machine is on")
    operations.imports.preflights["web-02"] = Preflight(on.path, (), (note,), on)
    async with running(operations) as pilot:
        await go_to(pilot, "vm-2")
        assert isinstance(pilot.app.screen, ReportScreen)
        await press(pilot, "r")
        assert isinstance(pilot.app.screen, ConfirmScreen)


async def test_filter_words_mean_the_verdict() -> None:
    async with running() as pilot:
        table = pilot.app.screen.query_one(MachineTable)
        await press(pilot, "slash", *"blocker")
        assert {row.machine.name for row in table.rows} == {"web-legacy", "db-rdm", "suspended-01"}
        await press(pilot, "escape", "slash", *"!blocker", "space", *"!?")
        assert {row.machine.name for row in table.rows} == {"db-01"}
        for word in ("ready", "looked"):  # no disk was looked into
            await press(pilot, "escape", "slash", *word)
            assert not table.rows
