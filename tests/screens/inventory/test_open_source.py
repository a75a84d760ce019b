"""Open…: names completed from the disk, what was found with its ways into AWS, refusals in words."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from textual.widgets import Input

from tests.kits.driving import press, running, screen_text, settle
from tests.kits.fake_backend import FakeOperations, described
from vmie_tui.model.plan import FileSource, ObjectSource
from vmie_tui.operations.sources import Name, complete
from vmie_tui.screens.inventory.open_source import OpenScreen
from vmie_tui.screens.inventory.screen import InventoryScreen
from vmie_tui.screens.jobs.screen import JobsScreen
from vmie_tui.screens.wizard.screen import WizardScreen
from vmie_tui.widgets.line_view import LinePane

OVA = "/exports/web 01.ova"


def with_ova() -> FakeOperations:
    operations = FakeOperations()
    operations.imports.described[OVA] = described(FileSource("web 01", (OVA,)), disks=2)
    return operations


def found(pilot) -> str:
    return pilot.app.screen.query_one("#found", LinePane).plain()


async def test_a_file_is_described_judged_and_imported() -> None:
    operations = with_ova()
    async with running(operations) as pilot:
        await press(pilot, "o")
        assert "s3://bucket/key" in screen_text(pilot)
        await press(pilot, *OVA, "enter")
        text = found(pilot)
        assert "✔ Image (recommended)" in text
        assert "instance import takes one disk, it has 2" in " ".join(text.split())
        assert "Guest as seen" in text
        assert "2 disks, 80 GiB" in screen_text(pilot)
        await press(pilot, "y")
        assert operations.saved["preflight.md"].startswith("# Preflight of")
        await press(pilot, "i")
        assert isinstance(pilot.app.screen, WizardScreen)
        await press(pilot, *["pagedown"] * 4)
        assert "disks not inspected" not in screen_text(pilot)
        await press(pilot, "p")
        assert any("esc goes back to its report" in note.message for note in pilot.app._notifications)
        await press(pilot, "enter")
        assert isinstance(pilot.app.screen, JobsScreen)
        assert operations.jobs.submitted[0].source == FileSource("web 01", (OVA,))
        assert operations.jobs.submitted[0].description == "web 01 from web 01.ova"
        await press(pilot, "1")
        assert isinstance(pilot.app.screen, InventoryScreen)


async def test_raw_is_asked_of_the_service_and_kept_in_the_plan() -> None:
    operations = with_ova()
    async with running(operations) as pilot:
        await press(pilot, "o", *OVA, "enter")
        pilot.app.screen.query_one("#raw").focus()
        await press(pilot, "space", "i")
        assert pilot.app.screen.draft.plans()[0].source.raw


async def test_what_is_not_there_is_said_with_a_remedy_and_nothing_can_be_imported() -> None:
    async with running(with_ova()) as pilot:
        await press(pilot, "o", *"/nowhere", "enter")
        assert "there is no such file" in found(pilot)
        assert "Remedy: Check the path." in found(pilot)
        pilot.app.screen.query_one("#found").focus()
        await press(pilot, "i", "y")
        assert isinstance(pilot.app.screen, OpenScreen)
        said = " ".join(note.message for note in pilot.app._notifications)
        assert "nothing to import yet" in said and "no report yet" in said
        await press(pilot, "escape")
        assert isinstance(pilot.app.screen, InventoryScreen)


async def test_a_read_only_profile_looks_but_does_not_import() -> None:
    operations = with_ova()
    operations.profile = replace(operations.profile, read_only=True)
    async with running(operations) as pilot:
        await press(pilot, "o", *OVA, "enter", "i")
        assert "Image (recommended)" in found(pilot)
        assert isinstance(pilot.app.screen, OpenScreen)
        assert any("read-only" in note.message for note in pilot.app._notifications)


async def test_tab_completes_names_from_the_disk(tmp_path: Path) -> None:
    for name in ("web-01.ova", "web-02.ova", "web-notes.txt", "other.vmdk"):
        (tmp_path / name).touch()
    async with running(with_ova()) as pilot:
        await press(pilot, "o")
        field = pilot.app.screen.query_one("#source", Input)
        field.value = f"{tmp_path}/w"
        await settle(pilot)
        await press(pilot, "end", "tab")
        assert field.value == f"{tmp_path}/web-"
        assert "web-02.ova" in found(pilot) and "other" not in found(pilot)
        await press(pilot, "0", "tab", "1", "tab")
        assert field.value == f"{tmp_path}/web-01.ova"
        await press(pilot, "tab")
        assert pilot.app.focused is not field


@pytest.mark.parametrize(("typed", "grown"), [("", "d"), ("di", "disk"), ("disk-b", "disk-b.vmdk"), ("x", "x")])
def test_completion_is_what_all_names_share(tmp_path: Path, typed: str, grown: str) -> None:
    for name in ("disk-a.raw", "disk-b.vmdk", ".hidden"):
        (tmp_path / name).touch()
    (tmp_path / "disks").mkdir()
    done = complete(f"{tmp_path}/{typed}")
    expected = {"": "disk"}.get(typed, grown)
    assert done.text == f"{tmp_path}/{expected}"
    if typed == "di":
        assert [Path(name.path).name for name in done.names] == ["disk-a.raw", "disk-b.vmdk", "disks"]
        assert done.names[2] == Name(f"{tmp_path}/disks/", -1)


def test_completion_says_why_there_is_none(tmp_path: Path) -> None:
    assert complete(f"{tmp_path}/none/x").why == "No such file or directory"
    assert complete("s3://bucket/k").names == ()


async def test_an_object_names_its_place() -> None:
    operations = FakeOperations()
    where = "s3://images/web.vmdk"
    operations.imports.described[where] = described(ObjectSource("web", "images", ("web.vmdk",), "VMDK"))
    async with running(operations) as pilot:
        await press(pilot, "o", *where, "enter", "i")
        assert where in screen_text(pilot)
        draft = pilot.app.screen.draft
        assert "bucket" not in draft.asked
        assert draft.plans()[0].bucket == "images"
