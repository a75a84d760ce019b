"""The real operations against the simulated vCenter, over its socket: list, cache, password and certificate trouble."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.kits.driving import press, running, screen_text
from tests.kits.vcenter_session import settings_for, simulator
from vmie_tui import settings as settings_module
from vmie_tui.model.errors import ErrorKind, ServiceError
from vmie_tui.operations.operations import Operations
from vmie_tui.screens.frame.password import PasswordScreen
from vmie_tui.services.vsphere.refused_logins import FILE, REFUSED, RefusedLogins
from vmie_tui.settings import AwsSettings, Profile, VCenterSettings
from vmie_tui.simulators.control import TlsFiles, make_tls
from vmie_tui.simulators.vcenter.server import VCenterSimulator
from vmie_tui.widgets.frame import Health
from vmie_tui.widgets.machines import MachineTable


@pytest.fixture(scope="module")
def vcenter(tmp_path_factory: pytest.TempPathFactory, tls: TlsFiles) -> Iterator[VCenterSimulator]:
    with simulator(tmp_path_factory.mktemp("vcenter"), tls) as server:
        yield server


def operations(vcenter: VCenterSettings) -> Operations:
    profile = Profile("prod", vcenter, AwsSettings(region="eu-west-1", bucket="migration"))
    loaded = settings_module.load()
    return Operations(replace(loaded, table={"prod": profile}, default_profile="prod"), profile)


async def test_lists_what_vcenter_shows_and_keeps_it_for_the_next_start(
    vcenter: VCenterSimulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VMIE_VCENTER_PASSWORD", vcenter.password)
    first = operations(settings_for(vcenter))
    async with running(first) as pilot:
        names = {row.machine.name for row in pilot.app.screen.query_one(MachineTable).rows}
        assert len(names) >= 5
        assert pilot.app.status.vcenter.health is Health.OK
    cached = first.vcenter.cached_inventory()
    assert cached is not None
    assert {machine.name for machine in cached.machines} == names


async def test_wrong_password_is_said_and_asked_for_again(
    vcenter: VCenterSimulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VMIE_VCENTER_PASSWORD", "wrong")
    async with running(operations(settings_for(vcenter))) as pilot:
        assert isinstance(pilot.app.screen, PasswordScreen)
        assert "refused the user name or the password" in str(pilot.app.screen.query_one("#reason").render())
        await pilot.press(*vcenter.password)
        await press(pilot, "enter")
        assert pilot.app.screen.query_one(MachineTable).rows


async def test_a_password_that_the_worker_was_refused_is_not_sent_until_it_is_typed(
    vcenter: VCenterSimulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VMIE_VCENTER_PASSWORD", vcenter.password)
    settings = settings_for(vcenter)
    state = settings_module.load().state_dir
    worker = RefusedLogins()
    worker.share(state, heed=True)
    monkeypatch.setattr(REFUSED, "_file", state / FILE)  # as `app.run` shares it
    monkeypatch.setattr(REFUSED, "_heed", True)
    with pytest.raises(ServiceError), worker.attempt(settings, vcenter.password):
        raise ServiceError(ErrorKind.LOGIN, "refused", code="InvalidLogin")
    vcenter.stats.reset()
    async with running(operations(settings)) as pilot:
        assert isinstance(pilot.app.screen, PasswordScreen)
        assert "Login" not in vcenter.stats.snapshot()
        await pilot.press(*vcenter.password)  # the account is open again: the user says so by typing it
        await press(pilot, "enter")
        assert pilot.app.screen.query_one(MachineTable).rows
    with worker.attempt(settings, vcenter.password):
        pass  # and the worker may send it, too


async def test_a_corrected_password_file_is_read_again(
    vcenter: VCenterSimulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VMIE_VCENTER_PASSWORD", "wrong")
    async with running(operations(settings_for(vcenter))) as pilot:
        await press(pilot, "escape")
        monkeypatch.setenv("VMIE_VCENTER_PASSWORD", vcenter.password)
        await press(pilot, "r")
        assert pilot.app.screen.query_one(MachineTable).rows


async def test_the_list_is_shown_though_it_cannot_be_kept(
    vcenter: VCenterSimulator, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("VMIE_VCENTER_PASSWORD", vcenter.password)
    (tmp_path / "file").touch()
    monkeypatch.setenv("VMIE_CACHE_DIR", str(tmp_path / "file" / "cache"))
    async with running(operations(settings_for(vcenter))) as pilot:
        assert pilot.app.screen.query_one(MachineTable).rows
        assert pilot.app.status.vcenter.health is Health.OK


async def test_unknown_authority_is_refused_in_words(
    vcenter: VCenterSimulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VMIE_VCENTER_PASSWORD", vcenter.password)
    other = make_tls(tmp_path)
    async with running(operations(settings_for(vcenter, ca_file=other.ca))) as pilot:
        text = screen_text(pilot)
        assert "certificate" in text
        assert "Remedy:" in text
        assert not pilot.app.screen.query_one(MachineTable).rows


async def test_another_profile_is_asked_with_its_own_password_and_kept_list(
    vcenter: VCenterSimulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("VMIE_VCENTER_PASSWORD", raising=False)
    secret = tmp_path / "password"
    secret.write_text(vcenter.password)
    secret.chmod(0o600)
    first = replace(settings_for(vcenter), password_file=secret)
    away = replace(first, host="127.0.0.1", port=1, password_file=None)
    table = {"prod": Profile("prod", first), "away": Profile("away", away, AwsSettings(region="us-east-1"))}
    live = Operations(replace(settings_module.load(), table=table, default_profile="prod"), table["prod"])
    async with running(live) as pilot:
        assert pilot.app.screen.query_one(MachineTable).rows
        await press(pilot, "P", "down", "enter")
        assert isinstance(pilot.app.screen, PasswordScreen)  # the first one's is not tried on another server
        await press(pilot, "escape")
        assert not pilot.app.screen.query_one(MachineTable).rows
        assert "away" in screen_text(pilot).splitlines()[0]
        await press(pilot, "P", "up", "enter")
        assert pilot.app.screen.query_one(MachineTable).rows
        assert pilot.app.status.vcenter.health is Health.OK


def test_where_a_machine_can_be_put(vcenter: VCenterSimulator, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VMIE_VCENTER_PASSWORD", vcenter.password)
    places = operations(settings_for(vcenter)).vcenter.deploy_places()
    for pool in places.pools:
        assert [one for one in places.datastores if one.near & pool.near]
        assert [one for one in places.folders if one.datacenter == pool.datacenter]
    none = Operations(settings_module.load(), Profile("prod", None, AwsSettings(region="eu-west-1")))
    with pytest.raises(ServiceError) as refused:
        none.vcenter.deploy_places()
    assert "no vCenter is configured" in str(refused.value)
