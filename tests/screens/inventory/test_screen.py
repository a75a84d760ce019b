"""The inventory: list, filter, selection, sort, folders, detail, refresh and its errors."""

from __future__ import annotations

import threading
from datetime import timedelta

from tests.kits.driving import press, running, screen_text, settle, until
from tests.kits.fake_backend import NOW, FakeOperations, company, machine
from vmie_tui.model.errors import ErrorKind, ServiceError
from vmie_tui.model.machine import Inventory, VCenterInfo
from vmie_tui.screens.frame.password import PasswordScreen
from vmie_tui.screens.inventory.screen import InventoryScreen
from vmie_tui.widgets.machines import MachineTable


def names(pilot) -> list[str]:
    return [row.machine.name for row in pilot.app.screen.query_one(MachineTable).rows]


async def test_lists_machines_by_name_with_their_verdict() -> None:
    async with running() as pilot:
        assert names(pilot)[1:4] == ["a-very-long-machine-name-that-does-not-fit-anywhere", "db-01", "db-rdm"]
        text = screen_text(pilot)
        assert "12 VMs" in text
        assert "db-rdm" in text and "✖ 1 blocker" in text and "? not looked" in text
        assert "✔ ready" not in text, "no disk was looked into"


async def test_filter_takes_words_and_not_words_and_survives_a_refresh() -> None:
    operations = FakeOperations()
    async with running(operations) as pilot:
        await press(pilot, "slash", *"web- !legacy")
        assert names(pilot) == ["web-01", "web-02"]
        await press(pilot, "enter", "r")
        assert operations.vcenter.reads == 2
        assert "web-legacy" not in names(pilot)
        assert "of 12 VMs" in screen_text(pilot)
        assert "filter: web- !legacy" in screen_text(pilot)
        await press(pilot, "escape")
        assert len(names(pilot)) == 12


async def test_escape_while_typing_gives_the_filter_up() -> None:
    async with running() as pilot:
        await press(pilot, "slash", *"zzz")
        assert names(pilot) == []
        assert "No VM matches" in screen_text(pilot)
        await press(pilot, "escape")
        assert len(names(pilot)) == 12
        assert isinstance(pilot.app.focused, MachineTable)


async def test_selection_is_counted_and_kept_through_filters() -> None:
    async with running() as pilot:
        await press(pilot, "slash", *"name:web-0", "escape", "slash", *"uefi", "enter", "space", "escape")
        table = pilot.app.screen.query_one(MachineTable)
        assert table.marked == {"vm-1"}
        assert "1 selected" in screen_text(pilot)
        await press(pilot, "a")
        assert len(table.marked) == 12
        await press(pilot, "a")
        assert not table.marked


async def test_sort_by_column_and_reverse() -> None:
    async with running() as pilot:
        screen = pilot.app.screen
        assert isinstance(screen, InventoryScreen)
        while screen.table.sorted_by[0] != "size":
            await press(pilot, "s")
        assert names(pilot)[0] == "win-file-01"
        assert "▼Size" in screen_text(pilot)
        await press(pilot, "S")
        assert names(pilot)[0] == "web-legacy"


async def test_moving_keys_reach_both_ends_and_the_detail_follows() -> None:
    async with running() as pilot:
        table = pilot.app.screen.query_one(MachineTable)
        await press(pilot, "G")
        assert table.cursor == 11
        await press(pilot, "g", "j", "j", "down", "k")
        assert table.cursor == 2
        assert "── db-01 ──" in screen_text(pilot)
        assert "Hard disk 3" in screen_text(pilot)


async def test_cursor_stays_on_its_machine_when_the_list_changes() -> None:
    operations = FakeOperations()
    async with running(operations) as pilot:
        table = pilot.app.screen.query_one(MachineTable)
        await press(pilot, "j", "j", "j")
        assert table.current.machine.name == "db-rdm"
        operations.vcenter.machines = (machine(99, "aaa-new"), *company())
        await press(pilot, "r")
        assert table.current.machine.name == "db-rdm"
        assert table.cursor == 4


async def test_folder_tree_narrows_the_list() -> None:
    async with running() as pilot:
        await press(pilot, "t")
        assert "Show the VMs of" in screen_text(pilot)
        await press(pilot, "down", "down", "enter")
        text = screen_text(pilot)
        assert "DC1 › " in text and "of 12 VMs" in text
        await press(pilot, "escape")
        assert len(names(pilot)) == 12


async def test_cached_list_is_shown_with_its_age_until_vcenter_answers() -> None:
    operations = FakeOperations()
    operations.vcenter.gate = threading.Event()
    operations.vcenter.cached = Inventory(VCenterInfo("vcenter.corp"), NOW - timedelta(hours=3), company()[:4])
    async with running(operations, wait=False) as pilot:
        await until(pilot, lambda: len(names(pilot)) == 4 and "reading" in screen_text(pilot), "the cached list")
        operations.vcenter.gate.set()
        await until(pilot, lambda: len(names(pilot)) == 12, "the live list")
        await settle(pilot)
        assert "reading" not in screen_text(pilot)


async def test_cached_list_stays_with_its_age_when_vcenter_is_away() -> None:
    operations = FakeOperations()
    operations.vcenter.cached = Inventory(VCenterInfo("vcenter.corp"), NOW - timedelta(hours=3), company()[:4])
    operations.vcenter.inventory_error = ServiceError(
        ErrorKind.NETWORK, "no answer on port 443", subject="vcenter.corp"
    )
    async with running(operations) as pilot:
        text = screen_text(pilot)
        assert len(names(pilot)) == 4
        assert "as of 07:41 (3 hours ago)" in text
        assert "✖ no answer on port 443: press r" in text


async def test_an_error_is_shown_in_words_with_its_remedy() -> None:
    operations = FakeOperations(())
    operations.vcenter.inventory_error = ServiceError(
        ErrorKind.TLS,
        "its certificate is signed by nobody this machine knows",
        subject="vcenter.corp",
        remedy="Set ca_file, or thumbprint",
        retry_safe=True,
    )
    async with running(operations) as pilot:
        text = screen_text(pilot)
        assert "certificate is signed by nobody" in text
        assert "Remedy: Set ca_file, or thumbprint." in text


async def test_an_unforeseen_error_shows_no_traceback() -> None:
    operations = FakeOperations(())
    operations.vcenter.inventory_error = ZeroDivisionError("division by zero")  # type: ignore[assignment]
    async with running(operations) as pilot:
        text = screen_text(pilot)
        assert "unexpected ZeroDivisionError" in text
        assert "Traceback" not in text


async def test_missing_password_is_asked_for_and_used() -> None:
    operations = FakeOperations()
    operations.vcenter.password = None
    async with running(operations) as pilot:
        assert isinstance(pilot.app.screen, PasswordScreen)
        await press(pilot, *"s3cret", "enter")
        assert operations.vcenter.password == "s3cret"
        assert "s3cret" not in screen_text(pilot)
        assert len(names(pilot)) == 12


async def test_no_vcenter_configured_says_how_to_begin() -> None:
    from dataclasses import replace

    operations = FakeOperations(())
    operations.profile = replace(operations.profile, vcenter="")
    async with running(operations) as pilot:
        text = screen_text(pilot)
        assert "[profiles.prod.vcenter]" in text
        assert "vmie-tui demo" in text
        assert operations.vcenter.reads == 0


async def test_outside_text_is_neither_markup_nor_control_characters() -> None:
    async with running() as pilot:
        text = screen_text(pilot)
        assert "[red]markup[/red]" in text
        assert "\x1b" not in text
        assert max(len(line) for line in text.splitlines()) <= 80


async def test_read_only_profile_starts_no_import() -> None:
    from dataclasses import replace

    operations = FakeOperations()
    operations.profile = replace(operations.profile, read_only=True)
    async with running(operations) as pilot:
        assert "READ-ONLY" in screen_text(pilot)
        await press(pilot, "i")
        assert isinstance(pilot.app.screen, InventoryScreen)
        assert any("read-only" in note.message for note in pilot.app._notifications)


async def test_wide_terminal_puts_the_detail_at_the_right() -> None:
    async with running(size=(140, 36)) as pilot:
        detail, table = pilot.app.screen.query_one("#detail").region, pilot.app.screen.query_one("#machines").region
        assert detail.x >= table.right
        assert detail.y == table.y


async def test_a_low_terminal_shows_machines_rather_than_the_detail() -> None:
    async with running(size=(40, 12)) as pilot:
        assert "db-01" in screen_text(pilot)
        await pilot.resize_terminal(80, 24)
        await settle(pilot)
        assert pilot.app.screen.query_one("#detail").display


async def test_the_user_is_not_named_behind_an_error() -> None:
    operations = FakeOperations()
    async with running(operations, size=(200, 30)) as pilot:
        assert "svc-mig" in screen_text(pilot).splitlines()[1]
        operations.vcenter.inventory_error = ServiceError(ErrorKind.NETWORK, "the connection was refused")
        await press(pilot, "r")
        assert screen_text(pilot).splitlines()[1].rstrip().endswith("the connection was refused: press r")
