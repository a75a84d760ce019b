"""The first start: what is asked, tried, refused and written; the demo is offered; no secret in the file."""

from __future__ import annotations

import threading
import tomllib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from textual.pilot import Pilot
from textual.widgets import Button, Input

from tests.kits.driving import press, screen_text, settle, until
from tests.kits.vcenter_session import simulator
from vmie_tui import settings as settings_module
from vmie_tui.cli import main
from vmie_tui.model.errors import ErrorKind, ServiceError
from vmie_tui.operations.first_profile import ASK, KEYRING, PIN, Guide, LiveSetup
from vmie_tui.operations.profile import FirstStart
from vmie_tui.screens.setup.first_start import AwsStep, GuideApp, StartStep, VCenterStep, WriteStep
from vmie_tui.services.vsphere.tls import thumbprint_of
from vmie_tui.simulators.control import TlsFiles

PRINT = ":".join(["AB"] * 32)
SECRET = "s3cr3t-password"


class FakeSetup:
    config_file, name = "~/.config/vmie-tui/config.toml", "prod"

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.vcenter_error: ServiceError | None = None
        self.aws_error: ServiceError | None = None
        self.gate: threading.Event | None = None

    def aws_profiles(self) -> tuple[tuple[str, str], ...]:
        return (("default", ""), ("ops", "eu-central-1"))

    def keyring(self) -> str:
        return "a keyring"

    def thumbprint(self, guide: Guide) -> str:
        self.asked.append(f"thumbprint {guide.host}")
        return PRINT

    def try_vcenter(self, guide: Guide) -> str:
        self.asked.append(f"log in {guide.host} {guide.user} {guide.trust} {guide.thumbprint[:5]}")
        if self.vcenter_error is not None:
            raise self.vcenter_error
        return "vCenter 8 lets svc in"

    def try_aws(self, guide: Guide) -> str:
        self.asked.append(f"aws {guide.aws_profile} {guide.region} {guide.bucket}")
        if self.aws_error is not None:
            raise self.aws_error
        return "account 111122223333"

    def text(self, guide: Guide) -> str:
        return LiveSetup.text(self, guide)  # type: ignore[arg-type]

    def write(self, guide: Guide) -> str:
        self.asked.append(f"write {guide.name} {guide.keep}")
        return self.config_file


@asynccontextmanager
async def guided(backend: object) -> AsyncIterator[Pilot[int]]:
    app = GuideApp(backend)  # type: ignore[arg-type]
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: isinstance(app.screen, StartStep) and app.keyring is not None, "the first page")
        await settle(pilot)
        yield pilot


async def fill(pilot: Pilot[int], **values: str) -> None:
    for key, value in values.items():
        pilot.app.screen.query_one(f"#{key}", Input).value = value
    await settle(pilot)


async def go(pilot: Pilot[int], button: str = "go") -> None:
    pilot.app.screen.query_one(f"#{button}", Button).press()
    await settle(pilot)


async def test_the_whole_way() -> None:
    backend = FakeSetup()
    async with guided(backend) as pilot:
        assert "Nothing is configured yet" in screen_text(pilot) and "Try the demo" in screen_text(pilot)
        await press(pilot, "enter", "enter")
        assert isinstance(pilot.app.screen, VCenterStep)
        await pilot.press(*"vc.corp", "enter", *"svc", "enter", *SECRET)
        assert SECRET not in screen_text(pilot)
        await press(pilot, "enter", "space")
        await go(pilot)
        assert isinstance(pilot.app.screen, AwsStep)
        await press(pilot, "down", "down", "space")  # ops, and its Region
        await fill(pilot, bucket="b-1")
        await go(pilot)
        assert isinstance(pilot.app.screen, WriteStep)
        text = screen_text(pilot)
        assert 'host = "vc.corp"' in text and 'region = "eu-central-1"' in text and 'profile = "ops"' in text
        assert SECRET not in text and "goes to a keyring" in text
        await fill(pilot, name="migration")
        assert "[profiles.migration.vcenter]" in screen_text(pilot)
        await go(pilot)
    assert pilot.app.outcome is FirstStart.SAVED
    assert backend.asked == ["log in vc.corp svc system ", "aws ops eu-central-1 b-1", f"write migration {KEYRING}"]


async def test_a_thumbprint_is_shown_before_it_is_pinned() -> None:
    backend = FakeSetup()
    async with guided(backend) as pilot:
        await press(pilot, "pagedown")
        await fill(pilot, host="vc.corp", user="svc", password=SECRET)
        pilot.app.screen.query_one("#trust").focus()
        await press(pilot, "space")
        await go(pilot)
        assert isinstance(pilot.app.screen, VCenterStep)
        assert backend.asked == ["thumbprint vc.corp"]  # nothing was sent to it yet
        assert PRINT[:70] in screen_text(pilot) and "Compare it" in screen_text(pilot)
        await fill(pilot, host="other.corp")
        await go(pilot)
        assert backend.asked[-1] == "thumbprint other.corp"  # what was seen is of the other server
        await go(pilot)
        assert backend.asked[-1] == "log in other.corp svc pin AB:AB"
        assert isinstance(pilot.app.screen, AwsStep)
        assert pilot.app.guide.vcenter()["thumbprint"] == PRINT


def test_picture_of_a_thumbprint(snap_compare) -> None:  # type: ignore[no-untyped-def]
    async def before(pilot: Pilot[int]) -> None:
        await settle(pilot)
        await press(pilot, "pagedown")
        await fill(pilot, host="vcenter.corp:8443", user="svc-mig@vsphere.local", password=SECRET)
        pilot.app.screen.query_one("#trust").focus()
        await press(pilot, "space")
        await go(pilot)

    app = GuideApp(FakeSetup())
    assert snap_compare(app, terminal_size=(80, 24), run_before=before)


async def test_what_is_wrong_is_said_and_can_be_passed_over() -> None:
    backend = FakeSetup()
    backend.vcenter_error = ServiceError(ErrorKind.LOGIN, "vCenter refuses the password", remedy="Type it again")
    backend.aws_error = ServiceError(ErrorKind.LOGIN, "there are no AWS credentials", remedy="Run aws configure")
    async with guided(backend) as pilot:
        await press(pilot, "pagedown")
        await fill(pilot, host="https://vc.corp/ui")
        await go(pilot)
        assert "Give the name alone" in screen_text(pilot) and not backend.asked
        await fill(pilot, host="vc.corp")
        await go(pilot)
        assert "Name the user" in screen_text(pilot) and not backend.asked
        await fill(pilot, user="svc")
        await go(pilot)
        assert "Needed for the test" in screen_text(pilot) and not backend.asked
        await fill(pilot, password="wrong")
        await go(pilot)
        assert "vCenter refuses the password" in screen_text(pilot) and "Type it again" in screen_text(pilot)
        await go(pilot, "skip")
        assert isinstance(pilot.app.screen, AwsStep)
        await go(pilot)
        assert "A Region reads like" in screen_text(pilot)
        await fill(pilot, region="eu-west-1")
        await go(pilot)
        assert "there are no AWS credentials" in screen_text(pilot)
        await press(pilot, "escape")
        assert pilot.app.screen.query_one("#host", Input).value == "vc.corp"
        await press(pilot, "pagedown", "escape", "escape", "escape")
    assert pilot.app.outcome is FirstStart.LEFT and not any(asked.startswith("write") for asked in backend.asked)


async def test_without_a_vcenter_and_the_demo() -> None:
    backend = FakeSetup()
    async with guided(backend) as pilot:
        await press(pilot, "pagedown", "pagedown")
        assert isinstance(pilot.app.screen, AwsStep) and not backend.asked
        assert pilot.app.guide.vcenter() == {}
    async with guided(backend) as pilot:
        await press(pilot, "down", "space")
        await go(pilot)
    assert pilot.app.outcome is FirstStart.DEMO


def test_the_real_one_tries_vcenter_and_writes_no_secret(tmp_path: Path, tls: TlsFiles) -> None:
    settings = settings_module.load(config_file=tmp_path / "c" / "config.toml", state_dir=tmp_path, environ={})
    live = LiveSetup(settings)
    with simulator(tmp_path / "vc", tls) as server:
        guide = Guide(host=f"localhost:{server.port}", user=server.user, password=server.password, trust=PIN, keep=ASK)
        guide.region, guide.bucket = "eu-west-1", "b-1"
        guide.thumbprint = live.thumbprint(guide)
        assert server.user.split("@")[0].lower() in live.try_vcenter(guide).lower()
        shown, guide.thumbprint = guide.thumbprint, thumbprint_of(b"another")
        with pytest.raises(ServiceError, match="not the pinned one"):
            live.try_vcenter(guide)
        guide.thumbprint = shown
        path = Path(live.write(guide))
    assert server.password not in path.read_text() and path.stat().st_mode & 0o777 == 0o600
    written = tomllib.loads(path.read_text())["profiles"]["prod"]["vcenter"]
    assert written == {"host": "localhost", "port": server.port, "user": server.user, "thumbprint": shown}
    assert settings_module.load(config_file=path, environ={}).profile().aws.bucket == "b-1"


def test_without_a_terminal_it_is_said_in_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("VMIE_CONFIG_FILE", str(tmp_path / "none.toml"))
    monkeypatch.setenv("VMIE_STATE_DIR", str(tmp_path))
    assert main([]) == 2
    said = capsys.readouterr().err
    for words in ("nothing is configured yet", "none.toml", "[profiles.prod.vcenter]", "vmie-tui demo --headless"):
        assert words in said
