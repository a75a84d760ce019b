"""A machine of the simulated vCenter looked at as a whole: configuration and content, and no snapshot left behind."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.kits.vcenter_session import named, simulator
from vmie_tui.model.errors import ErrorKind, ServiceError
from vmie_tui.services.preflight import SNAPSHOT, preflight_machine
from vmie_tui.services.vsphere.session import VSphere
from vmie_tui.services.vsphere.snapshot import create_snapshot, find_snapshot
from vmie_tui.simulators.control import TlsFiles
from vmie_tui.simulators.vcenter.server import VCenterSimulator


@pytest.fixture
def vcenter(tls: TlsFiles, tmp_path: Path) -> Iterator[VCenterSimulator]:
    with simulator(tmp_path / "vcenter", tls) as running:
        yield running


def test_a_machine_that_is_off(vsphere: VSphere) -> None:
    result = preflight_machine(vsphere, named(vsphere, "db-01"))
    assert result.guest is not None
    assert result.guest.linux is not None
    assert {finding.rule for finding in result.blockers} == {"no-sshd", "no-dhcp", "low-space"}
    assert [disk.format for disk in result.disks] == ["raw", "raw"]
    assert {finding.rule for finding in result.content} >= {"no-sshd", "no-modules"}
    assert any(item.seen == "seen on the disk" for item in result.items)
    assert result.snapshot == ""


def test_a_running_machine_is_frozen_only_when_that_is_wanted(vcenter: VCenterSimulator, vsphere: VSphere) -> None:
    vm = named(vsphere, "app-01")
    before = vcenter.stats["CreateSnapshot_Task"]
    result = preflight_machine(vsphere, vm)
    assert result.guest is None
    assert result.verdict != "ready"
    assert "snapshot" in result.not_inspected[0].why
    assert vcenter.stats["CreateSnapshot_Task"] == before
    steps: list[str] = []
    result = preflight_machine(vsphere, vm, snapshot=True, on_step=steps.append)
    assert result.guest is not None
    assert result.snapshot == SNAPSHOT
    assert steps[-1] == "removing the snapshot"
    assert find_snapshot(vsphere, vm.moid, SNAPSHOT) is None
    assert named(vsphere, "app-01") == vm


def test_a_snapshot_left_by_a_killed_look_is_not_used(vsphere: VSphere) -> None:
    vm = named(vsphere, "app-01")
    create_snapshot(vsphere, vm.moid, SNAPSHOT, "", quiesce=False)
    result = preflight_machine(vsphere, vm, snapshot=True)
    assert result.guest is not None
    assert find_snapshot(vsphere, vm.moid, SNAPSHOT) is None


def test_the_snapshot_goes_even_when_the_look_fails(vcenter: VCenterSimulator, vsphere: VSphere) -> None:
    vm = named(vsphere, "app-01")
    vcenter.revoke("Datastore.Browse")
    result = preflight_machine(vsphere, vm, snapshot=True)
    assert result.guest is None
    assert [note.what for note in result.not_inspected] == ["Hard disk 1"]
    assert find_snapshot(vsphere, vm.moid, SNAPSHOT) is None


def test_a_read_only_profile_makes_no_snapshot(vsphere: VSphere) -> None:
    with pytest.raises(ServiceError) as raised:
        preflight_machine(vsphere, named(vsphere, "app-01"), snapshot=True, read_only=True)
    assert raised.value.kind is ErrorKind.REFUSED


def test_a_disk_that_has_no_file_is_said_and_the_others_are_read(vsphere: VSphere) -> None:
    result = preflight_machine(vsphere, named(vsphere, "rdm-01"))
    assert result.guest is not None
    assert [(note.what, "rdm" in note.why) for note in result.not_inspected][:1] == [("Hard disk 2", True)]


def test_only_the_configuration(vcenter: VCenterSimulator, vsphere: VSphere) -> None:
    result = preflight_machine(vsphere, named(vsphere, "web-01"), content=False)
    assert result.guest is None
    assert vcenter.stats["folder:GET"] == 0


def test_a_machine_that_is_gone(vcenter: VCenterSimulator, vsphere: VSphere) -> None:
    with pytest.raises(ServiceError) as raised:
        preflight_machine(vsphere, replace(named(vsphere, "web-01"), moid="vm-99999"))
    assert raised.value.kind is ErrorKind.NOT_FOUND
