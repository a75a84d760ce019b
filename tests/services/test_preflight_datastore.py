"""A look into disks on a datastore of the simulated vCenter: over ranges, machine off or frozen by a snapshot."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.kits.vcenter_session import named, simulator
from vmie_tui.model.errors import ErrorKind, ServiceError
from vmie_tui.model.finding import Severity
from vmie_tui.services.disks.formats.open_disk import open_raw
from vmie_tui.services.disks.guest.inspect import inspect
from vmie_tui.services.vsphere.datastore.range_reader import DatastoreFile, open_datastore_disk
from vmie_tui.services.vsphere.session import VSphere
from vmie_tui.services.vsphere.snapshot import create_snapshot, remove_snapshot
from vmie_tui.simulators.control import TlsFiles
from vmie_tui.simulators.fleet import guests
from vmie_tui.simulators.vcenter.server import VCenterSimulator


@pytest.fixture
def vcenter(tls: TlsFiles, tmp_path: Path) -> Iterator[VCenterSimulator]:
    with simulator(tmp_path / "vcenter", tls) as running:
        yield running


def found_in(source: DatastoreFile) -> set[str]:
    with open_raw(source) as disk:
        report = inspect([disk])
    assert report.requests <= 64
    return {finding.rule for finding in report.findings if finding.severity > Severity.INFO}


@pytest.mark.parametrize(("machine", "guest"), [("web-01", "tiny-linux"), ("win-01", "tiny-windows")])
def test_the_disk_of_a_machine_that_is_off(
    machine: str, guest: str, vcenter: VCenterSimulator, vsphere: VSphere
) -> None:
    vm = named(vsphere, machine)
    with open_datastore_disk(vsphere, vm, vm.disks[0]) as source:
        content = vcenter.disk_path(machine, vm.disks[0].key).read_bytes()
        assert source.size == vm.disks[0].capacity == len(content)
        assert found_in(source) == set(guests.index()[guest].expect)
        assert source.read_at(100_000, 200_000) == content[100_000:300_000]
        assert source.read_at(source.size - 10, 100) == content[-10:]
        assert vcenter.stats["folder:GET"] == source.requests


def test_a_running_machine_is_read_once_a_snapshot_froze_it(vsphere: VSphere) -> None:
    vm = named(vsphere, "app-01")
    with pytest.raises(ServiceError) as raised:
        open_datastore_disk(vsphere, vm, vm.disks[0])
    assert raised.value.kind is ErrorKind.CONFLICT
    snapshot = create_snapshot(vsphere, vm.moid, "look", "", quiesce=False)
    with open_datastore_disk(vsphere, vm, vm.disks[0]) as source:
        assert found_in(source) == set(guests.index()["tiny-linux"].expect)
    remove_snapshot(vsphere, snapshot.moid)


def test_an_expired_session_is_renewed(vcenter: VCenterSimulator, vsphere: VSphere) -> None:
    vm = named(vsphere, "web-01")
    with open_datastore_disk(vsphere, vm, vm.disks[0]) as source:
        first = source.read_at(0, 512)
        vcenter.expire_sessions()
        assert source.read_at(1 << 20, 512)
        assert source.read_at(0, 512) == first


def test_what_cannot_be_read_says_why(vcenter: VCenterSimulator, vsphere: VSphere) -> None:
    vm = named(vsphere, "rdm-01")
    with pytest.raises(ServiceError) as raised:
        open_datastore_disk(vsphere, vm, vm.disks[1])
    assert raised.value.kind is ErrorKind.REFUSED
    with pytest.raises(ServiceError) as raised:
        DatastoreFile(vsphere, "DC1", "[vmfs-01] nobody/nobody.vmdk")
    assert raised.value.kind is ErrorKind.NOT_FOUND
    with pytest.raises(ServiceError) as raised:
        DatastoreFile(vsphere, "DC1", "https://elsewhere.example/x.vmdk")
    assert raised.value.kind is ErrorKind.INVALID
    vcenter.revoke("Datastore.Browse")
    with pytest.raises(ServiceError) as raised:
        open_datastore_disk(vsphere, vm, vm.disks[0])
    assert raised.value.kind is ErrorKind.PERMISSION
