"""What the screens ask of AWS, against the simulated one over its socket: Open, and an AMI after its import."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.kits.aws_world import BUCKET, REGION, Control, settings_for
from tests.kits.driving import press, running, screen_text, until
from vmie_tui import settings as settings_module
from vmie_tui.model.errors import ErrorKind, ServiceError
from vmie_tui.model.plan import ObjectSource, Route, SnapshotSource
from vmie_tui.operations.images import FinishedImport
from vmie_tui.operations.operations import Operations
from vmie_tui.screens.inventory.open_source import OpenScreen
from vmie_tui.screens.jobs.image import ImageScreen
from vmie_tui.services.aws.ebs.snapshot_writer import MemoryJournal, SnapshotTarget, SnapshotWriter
from vmie_tui.services.aws.ec2 import images
from vmie_tui.services.aws.ec2.images import RegisterDisk, RegisterRequest
from vmie_tui.settings import Profile
from vmie_tui.simulators.aws.server import AwsSimulator
from vmie_tui.simulators.control import SimClock, TlsFiles
from vmie_tui.simulators.fleet.tiny import make_boot
from vmie_tui.widgets.line_view import LinePane

MIB = 1 << 20


@pytest.fixture(scope="module")
def simulator(tls: TlsFiles, tmp_path_factory: pytest.TempPathFactory) -> Iterator[AwsSimulator]:
    clock = SimClock()
    clock.speed = 500.0
    with AwsSimulator(tmp_path_factory.mktemp("aws"), tls=tls, region=REGION, clock=clock) as made:
        made.seed(bucket=BUCKET)
        yield made


@pytest.fixture
def operations(simulator: AwsSimulator, tls: TlsFiles, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Operations:
    monkeypatch.setenv("VMIE_STATE_DIR", str(tmp_path / "state"))
    profile = Profile("prod", None, settings_for(simulator, tls, tmp_path))
    return Operations(replace(settings_module.load(), table={"prod": profile}, default_profile="prod"), profile)


@pytest.fixture
def disk(tmp_path: Path) -> Path:
    path = tmp_path / "linux.raw"
    make_boot(path, 8 * MIB, MIB, "screens")
    return path


def snapshot_of(operations: Operations, disk: Path) -> str:
    data, aws = disk.read_bytes(), operations.connections.aws()
    with SnapshotWriter(aws, REGION, SnapshotTarget(len(data)), journal=MemoryJournal(), control=Control()) as out:
        out.put(0, memoryview(data))
        return out.complete().snapshot_id


async def test_a_file_an_object_and_a_snapshot_are_opened(operations: Operations, disk: Path) -> None:
    operations.connections.aws().client("s3").upload_file(str(disk), BUCKET, "in/linux.raw")
    snapshot = snapshot_of(operations, disk)
    where = f"s3://{BUCKET}/in/linux.raw"
    async with running(operations) as pilot:
        await press(pilot, "o")
        screen = pilot.app.screen
        assert isinstance(screen, OpenScreen)
        for text, source, route in (
            (str(disk), None, Route.IMAGE),
            (where, ObjectSource("linux", BUCKET, ("in/linux.raw",), "RAW"), Route.IMAGE),
            (snapshot, SnapshotSource(snapshot, (snapshot,)), Route.IMAGE_DIRECT),
        ):
            screen.query_one("#source").value = text
            screen.set_focus(screen.query_one("#source"))
            await press(pilot, "enter")
            assert "Guest as seen" in screen.query_one("#found", LinePane).plain(), text
            draft = screen._draft()
            assert draft.route is route
            assert source is None or draft.candidates[0].source == source
        screen.query_one("#source").value = "s3://nobody-has-this/x.raw"
        screen.set_focus(screen.query_one("#source"))
        await press(pilot, "enter")
        assert "✖ " in screen.query_one("#found", LinePane).plain()


def test_what_is_named_twice_over_or_not_at_all_is_refused(operations: Operations) -> None:
    for text in ("", "s3://a/b snap-0123456789abcdef0", "s3://a/b s3://c/d"):
        with pytest.raises(ServiceError) as caught:
            operations.imports.describe(text, raw=False, on_step=lambda _: None)
        assert caught.value.kind is ErrorKind.INVALID


async def test_an_ami_is_launched_looked_at_copied_and_cleared_away(operations: Operations, disk: Path) -> None:
    snapshot = snapshot_of(operations, disk)
    request = RegisterRequest("linux", (RegisterDisk(snapshot),), boot_mode="legacy-bios")
    image = images.register_image(operations.connections.aws(), REGION, request)
    async with running(operations) as pilot:
        await pilot.app.push_screen(ImageScreen(FinishedImport("linux", REGION, image.id)))
        pane = pilot.app.screen.query_one("#after", LinePane)
        await until(pilot, lambda: "available" in pane.plain(), "the AMI")
        await press(pilot, "l", *["enter"] * 3, "tab", "tab", "enter")
        await until(pilot, lambda: "It boots" in pane.plain(), "the checks")
        assert "t3." in pane.plain()
        await press(pilot, "c", "s")
        await until(pilot, lambda: "Picture" in pane.plain(), "the picture")
        assert "Console" in pane.plain()
        (picture,) = (Path(operations._settings.state_dir) / "copied").glob("i-*.jpg")
        assert picture.read_bytes()[:2] == b"\xff\xd8"
        await press(pilot, "t", "tab", "enter")
        await until(pilot, lambda: "■ terminated" in pane.plain(), "the end")
        assert operations.images.instances(REGION, image.id) == ()
        await press(pilot, "o", *"eu-central-1", "tab", "tab", "tab", "enter")
        await until(pilot, lambda: "in eu-central-1 is pending" in pane.plain(), "the copy")
        await press(pilot, "d", "tab", "enter")
        await until(pilot, lambda: "1 snapshot deleted" in pane.plain(), "the AMI gone")
        assert "deregistered" in screen_text(pilot)
