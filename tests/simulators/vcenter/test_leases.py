"""Export leases of the simulated vCenter: their life, their streams, and how they are lost."""

from __future__ import annotations

import hashlib
import http.client
import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from pyVmomi import vim, vmodl

from tests.kits.pyvmomi_client import QUICK, decode, disks, finish, get, login, machine, raw, ready
from tests.kits.waiting import wait_until
from vmie_tui.model.errors import ServiceError
from vmie_tui.simulators.control import Fault, TlsFiles, make_tls
from vmie_tui.simulators.fleet.tiny import tiny
from vmie_tui.simulators.vcenter.server import VCenterSimulator


@pytest.fixture
def sim(tls: TlsFiles, tmp_path: Path) -> Iterator[VCenterSimulator]:
    with VCenterSimulator(tiny(), tmp_path, tls=tls, **QUICK) as running:
        yield running


@pytest.fixture
def si(sim: VCenterSimulator) -> Any:
    return login(sim)


@pytest.mark.parametrize("name", ["db-01", "empty-disk-01", "odd-size-01"])
def test_an_export_is_byte_equal(sim: VCenterSimulator, si: Any, name: str) -> None:
    lease = ready(machine(si, name).ExportVm())
    assert lease.state == "ready"
    found = {}
    for url, key in zip(disks(lease), sim.disk_keys(name), strict=True):
        status, headers, body = get(sim, url.url)
        assert (status, headers["Transfer-Encoding"], headers["Content-Length"]) == (200, "chunked", None)
        path = sim.disk_path(name, key)
        assert decode(body, path.stat().st_size) == raw(path)
        found[url.key] = body
    manifest = {entry.key: entry for entry in lease.HttpNfcLeaseGetManifest()}
    assert {key: (entry.size, entry.sha1) for key, entry in manifest.items()} == {
        key: (len(body), hashlib.sha1(body).hexdigest()) for key, body in found.items()
    }
    lease.HttpNfcLeaseComplete()
    assert lease.state == "done"


def test_what_a_lease_tells(sim: VCenterSimulator, si: Any) -> None:
    lease = ready(machine(si, "db-01").ExportVm())
    info = lease.info
    assert (info.totalDiskCapacityInKB, info.leaseTimeout) == (17 << 10, 300)
    assert [(url.disk, url.targetId, url.fileSize) for url in info.deviceUrl] == [
        (True, "disk-0.vmdk", None),
        (True, "disk-1.vmdk", None),
        (False, "nvram", None),
    ]
    assert {url.sslThumbprint for url in info.deviceUrl} == {sim.thumbprint}
    assert len(get(sim, info.deviceUrl[2].url)[2]) == 8684


def test_data_may_come_from_a_host_with_its_own_certificate(tls: TlsFiles, tmp_path: Path) -> None:
    esxi = make_tls(tmp_path / "esxi")
    with VCenterSimulator(tiny(), tmp_path, tls=tls, nfc_tls=esxi, **QUICK) as sim:
        lease = ready(machine(login(sim), "web-01").ExportVm())
        url = disks(lease)[0]
        place = urlsplit(url.url)
        assert place.port != sim.port
        with pytest.raises(ssl.SSLCertVerificationError):
            get(sim, url.url)
        own = ssl.create_default_context(cafile=str(esxi.ca))
        connection = http.client.HTTPSConnection("localhost", place.port, context=own)
        connection.request("GET", place.path)
        assert hashlib.sha1(connection.sock.getpeercert(True)).digest().hex(":").upper() == url.sslThumbprint
        path = sim.disk_path("web-01", 2000)
        assert decode(connection.getresponse().read(), path.stat().st_size) == raw(path)
        connection.close()


def test_the_host_may_be_left_to_the_caller(sim: VCenterSimulator, si: Any) -> None:
    sim.options.nfc_host = "*"
    lease = ready(machine(si, "web-01").ExportVm())
    assert lease.info.deviceUrl[0].url.startswith("https://*/nfc/")


def test_sha256_where_asked(sim: VCenterSimulator, si: Any) -> None:
    lease = ready(machine(si, "web-01").ExportVm())
    url = disks(lease)[0]
    lease.HttpNfcLeaseSetManifestChecksumType([vim.KeyValue(key=url.key, value="sha256")])
    assert lease.HttpNfcLeaseGetManifest() == []  # nothing was transferred yet
    body = get(sim, url.url)[2]
    entry = lease.HttpNfcLeaseGetManifest()[0]
    assert (entry.checksumType, entry.checksum) == ("sha256", hashlib.sha256(body).hexdigest())
    with pytest.raises(vmodl.fault.InvalidArgument):
        lease.HttpNfcLeaseSetManifestChecksumType([vim.KeyValue(key=url.key, value="md5")])
    lease.HttpNfcLeaseComplete()
    with pytest.raises(vim.fault.InvalidState):
        lease.HttpNfcLeaseGetManifest()
    assert get(sim, url.url)[0] == 404


def test_a_running_machine_is_not_exported_but_its_snapshot_is(sim: VCenterSimulator, si: Any) -> None:
    vm = machine(si, "app-01")
    with pytest.raises(vim.fault.InvalidPowerState) as caught:
        vm.ExportVm()
    assert (caught.value.existingState, caught.value.requestedState) == ("poweredOn", "poweredOff")
    before = raw(sim.disk_path("app-01", 2000))
    snapshot = finish(vm.CreateSnapshot_Task("vmie", "", False, True))
    sim.write_disk("app-01", 2000, 1 << 20, b"changed since")
    lease = ready(snapshot.ExportSnapshot())
    assert decode(get(sim, disks(lease)[0].url)[2], len(before)) == before
    assert raw(sim.disk_path("app-01", 2000)) != before
    with pytest.raises(vim.fault.TaskInProgress):
        finish(snapshot.RemoveSnapshot_Task(False))
    lease.HttpNfcLeaseComplete()
    finish(snapshot.RemoveSnapshot_Task(False))
    assert vm.snapshot is None
    assert len(list(sim.disk_path("app-01", 2000).parent.iterdir())) == 1  # the frozen content is gone


def test_a_lease_blocks_power_on_and_a_second_lease(sim: VCenterSimulator, si: Any) -> None:
    vm = machine(si, "web-01")
    lease = ready(vm.ExportVm())
    for call in (vm.PowerOn, vm.ExportVm, vm.Destroy, vm.Unregister):
        with pytest.raises(vim.fault.TaskInProgress):
            call()
    lease.HttpNfcLeaseAbort()
    assert lease.state == "error"
    finish(vm.PowerOn())
    assert vm.runtime.powerState == "poweredOn"


def test_a_lease_without_progress_times_out(sim: VCenterSimulator, si: Any) -> None:
    lease = ready(machine(si, "web-01").ExportVm())
    sim.clock.advance(200)
    lease.HttpNfcLeaseProgress(10)
    sim.clock.advance(200)
    assert lease.state == "ready"  # progress was heard 200 seconds ago
    assert lease.transferProgress == 10
    sim.clock.advance(101)
    wait_until(lambda: lease.state == "error", what="the time-out")
    with pytest.raises(vim.fault.Timedout):
        lease.HttpNfcLeaseProgress(20)
    assert isinstance(lease.error, vim.fault.Timedout)


def test_logging_out_ends_the_lease(sim: VCenterSimulator, si: Any) -> None:
    ready(machine(si, "web-01").ExportVm())
    si.content.sessionManager.Logout()
    lease = ready(machine(login(sim), "web-01").ExportVm())
    assert lease.state == "ready"


def test_a_lease_can_fail_while_it_begins(sim: VCenterSimulator, si: Any) -> None:
    sim.faults.add(Fault("ExportVm", action="lease-error", message="Failed to open the disk."))
    lease = ready(machine(si, "web-01").ExportVm())
    assert (lease.state, lease.error.msg) == ("error", "Failed to open the disk.")


def test_faults_on_a_snapshot_are_found_by_its_machine(sim: VCenterSimulator, si: Any) -> None:
    snapshot = finish(machine(si, "app-01").CreateSnapshot_Task("s", "", False, False))
    sim.faults.add(Fault("ExportSnapshot", code="FileFault", match="app-01"))
    with pytest.raises(vim.fault.FileFault):
        snapshot.ExportSnapshot()
    sim.faults.add(Fault("RemoveSnapshot_Task", action="task-error", code="FileLocked", match="app-01"))
    with pytest.raises(vim.fault.FileLocked):
        finish(snapshot.RemoveSnapshot_Task(False))
    finish(snapshot.RemoveSnapshot_Task(False))


def test_a_lost_lease_breaks_the_stream(sim: VCenterSimulator, si: Any) -> None:
    sim.faults.add(Fault("nfc:GET", action="lose-lease", match="big-01", after=1 << 20))
    lease = ready(machine(si, "big-01").ExportVm())
    with pytest.raises((OSError, http.client.IncompleteRead)):
        get(sim, disks(lease)[0].url)
    assert lease.state == "error"
    with pytest.raises(vim.fault.InvalidState):
        lease.HttpNfcLeaseProgress(50)


def test_a_reset_leaves_the_lease_alive(sim: VCenterSimulator, si: Any) -> None:
    sim.faults.add(Fault("nfc:GET", action="reset", after=1 << 20))
    lease = ready(machine(si, "big-01").ExportVm())
    with pytest.raises((OSError, http.client.IncompleteRead)):
        get(sim, disks(lease)[0].url)
    assert lease.state == "ready"
    assert lease.HttpNfcLeaseGetManifest() == []
    path = sim.disk_path("big-01", 2000)
    assert decode(get(sim, disks(lease)[0].url)[2], path.stat().st_size) == raw(path)


def test_a_stream_can_end_too_early_and_look_well(sim: VCenterSimulator, si: Any) -> None:
    sim.faults.add(Fault("nfc:GET", action="truncate", after=1 << 20))
    lease = ready(machine(si, "big-01").ExportVm())
    status, _, body = get(sim, disks(lease)[0].url)
    assert (status, len(body)) == (200, 1 << 20)
    with pytest.raises(ServiceError):
        decode(body, 56 << 20)


def test_the_length_can_be_announced(sim: VCenterSimulator, si: Any) -> None:
    sim.options.nfc_content_length = True
    lease = ready(machine(si, "web-01").ExportVm())
    _, headers, body = get(sim, disks(lease)[0].url)
    assert int(headers["Content-Length"]) == len(body)


def test_a_stream_can_be_prepared_once(sim: VCenterSimulator, si: Any) -> None:
    sim.options.nfc_prepared = True
    path = sim.disk_path("web-01", 2000)
    for change in (None, b"changed"):
        if change:
            sim.write_disk("web-01", 2000, 3 << 20, change)
        lease = ready(machine(si, "web-01").ExportVm())
        first, second = (get(sim, disks(lease)[0].url)[2] for _ in range(2))
        assert first == second
        assert decode(first, path.stat().st_size) == raw(path)
        lease.HttpNfcLeaseComplete()


def test_a_slow_link_gives_the_same_bytes(sim: VCenterSimulator, si: Any) -> None:
    lease = ready(machine(si, "empty-disk-01").ExportVm())
    url = disks(lease)[1].url
    fast = get(sim, url)[2]
    sim.options.nfc_rate = 1 << 20
    assert get(sim, url)[2] == fast


def test_encrypted_machines_are_not_exported(sim: VCenterSimulator, si: Any) -> None:
    from dataclasses import replace

    found = sim.machine("web-01")
    found.spec = replace(found.spec, encrypted=True)
    with pytest.raises(vmodl.fault.NotSupported):
        machine(si, "web-01").ExportVm()
