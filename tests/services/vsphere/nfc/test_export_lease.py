"""Export leases against the simulated vCenter: every byte, and every way to lose them."""

from __future__ import annotations

import hashlib
from contextlib import suppress

import pytest

from tests.kits.vcenter_session import log_in, named, settings_for
from tests.kits.waiting import wait_until
from vmie_tui.model.errors import ErrorKind, ServiceError
from vmie_tui.services.disks.formats.vmdk_stream import StreamDecoder
from vmie_tui.services.vsphere.nfc.export_lease import ExportLease, LeaseDisk
from vmie_tui.services.vsphere.nfc.orphaned_leases import end_own_export
from vmie_tui.services.vsphere.session import VSphere, connect
from vmie_tui.services.vsphere.snapshot import create_snapshot, remove_snapshot
from vmie_tui.simulators.control import Fault
from vmie_tui.simulators.vcenter.server import VCenterSimulator

LOST = "the export lease was lost"


class Received:
    """One disk, decoded while it arrives."""

    def __init__(self) -> None:
        self.sha256, self.size = hashlib.sha256(), 0
        self.image = bytearray()
        self.decoder = StreamDecoder(self._grain)

    def _grain(self, offset: int, data: memoryview) -> None:
        if offset + len(data) > len(self.image):
            self.image.extend(bytes(offset + len(data) - len(self.image)))
        self.image[offset : offset + len(data)] = data

    def feed(self, piece: memoryview) -> None:
        self.sha256.update(piece)
        self.size += len(piece)
        self.decoder.feed(piece)

    def content(self) -> bytes:
        self.decoder.finish()
        assert self.decoder.capacity is not None
        return bytes(self.image[: self.decoder.capacity]).ljust(self.decoder.capacity, b"\0")


def receive(lease: ExportLease, disk: LeaseDisk) -> Received:
    received, buffer = Received(), memoryview(bytearray(1 << 18))
    with lease.open(disk) as stream:
        while count := stream.readinto(buffer):
            received.feed(buffer[:count])
            lease.check()
    return received


def source(vcenter: VCenterSimulator, moid: str, key: int) -> bytes:
    return vcenter.disk_path(moid, key).read_bytes()


def test_every_disk_arrives_byte_for_byte_with_its_checksum(vcenter: VCenterSimulator, vsphere: VSphere) -> None:
    machine = named(vsphere, "db-01")
    with ExportLease(vsphere, machine.moid) as lease:
        assert [(disk.device_key, disk.label, disk.capacity) for disk in lease.disks] == [
            (disk.key, disk.label, disk.capacity) for disk in machine.disks
        ]
        got = {disk.key: (disk, receive(lease, disk)) for disk in lease.disks}
        lease.progress(1.0)
        manifest = lease.manifest()
        lease.complete()
    assert len(got) == 2
    for key, (disk, received) in got.items():
        assert received.content() == source(vcenter, machine.moid, disk.device_key)
        assert manifest[key].sha256 == received.sha256.hexdigest()
        assert (manifest[key].size, manifest[key].capacity) == (received.size, disk.capacity)
    assert vcenter.machine(machine.moid).lease is None


def test_odd_sizes_and_empty_disks(vcenter: VCenterSimulator, vsphere: VSphere) -> None:
    for name in ("odd-size-01", "empty-disk-01"):
        machine = named(vsphere, name)
        with ExportLease(vsphere, machine.moid) as lease:
            for disk in lease.disks:
                assert receive(lease, disk).content() == source(vcenter, machine.moid, disk.device_key)
            lease.complete()


def test_a_running_machine_through_its_snapshot(vcenter: VCenterSimulator, vsphere: VSphere) -> None:
    machine = named(vsphere, "app-01")
    with pytest.raises(ServiceError, match=r"starting the export failed: .* it is poweredOn") as caught:
        ExportLease(vsphere, machine.moid).__enter__()
    assert caught.value.kind is ErrorKind.CONFLICT
    key = machine.disks[0].key
    before = source(vcenter, machine.moid, key)
    snapshot = create_snapshot(vsphere, machine.moid, "vmie", "", quiesce=True)
    vcenter.write_disk(machine.moid, key, 1 << 20, b"written after the snapshot")
    with ExportLease(vsphere, machine.moid, snapshot_moid=snapshot.moid) as lease:
        (disk,) = lease.disks
        assert receive(lease, disk).content() == before
        lease.complete()
    assert source(vcenter, machine.moid, key) != before
    remove_snapshot(vsphere, snapshot.moid)


@pytest.mark.parametrize("pinned", [True, False])
def test_a_star_as_host_is_the_vcenter_itself(vcenter: VCenterSimulator, vsphere: VSphere, pinned: bool) -> None:
    vcenter.options.nfc_host = "*"
    settings = settings_for(vcenter, thumbprint=vcenter.thumbprint_sha256 if pinned else None)
    with connect(settings, vcenter.password) as session:
        machine = named(session, "web-01")
        with ExportLease(session, machine.moid) as lease:
            (disk,) = lease.disks
            assert disk.url.startswith(f"https://localhost:{vcenter.port}/")
            assert receive(lease, disk).content() == source(vcenter, machine.moid, disk.device_key)
            lease.complete()


def test_a_host_that_does_not_resolve_is_named_and_the_lease_given_back(
    vcenter: VCenterSimulator, vsphere: VSphere
) -> None:
    vcenter.options.nfc_host = "esx-01.invalid"
    machine = named(vsphere, "web-01")
    words = r"esx-01\.invalid: its name must resolve here and port \d+ must be open"
    with pytest.raises(ServiceError, match=words), ExportLease(vsphere, machine.moid) as lease:
        lease.open(lease.disks[0])
    assert vcenter.machine(machine.moid).lease is None


def test_a_host_with_another_certificate_than_vcenter_says_is_refused(
    vcenter: VCenterSimulator, vsphere: VSphere, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(vcenter.center, "thumbprint", "AB:" * 19 + "AB")
    machine = named(vsphere, "web-01")
    with pytest.raises(ServiceError, match="not the pinned one") as caught, ExportLease(vsphere, machine.moid) as lease:
        lease.open(lease.disks[0])
    assert caught.value.kind is ErrorKind.TLS


def test_the_lease_lost_half_way_is_told_as_that(vcenter: VCenterSimulator, vsphere: VSphere) -> None:
    machine = named(vsphere, "big-01")
    vcenter.faults.add(Fault("nfc:GET", "lose-lease", after=4 << 20, message="The datastore went away."))
    with pytest.raises(ServiceError, match=LOST) as caught, ExportLease(vsphere, machine.moid) as lease:
        receive(lease, lease.disks[0])
    assert (caught.value.kind, caught.value.problem.retry_safe) == (ErrorKind.CONFLICT, True)
    assert "The datastore went away" in str(caught.value)


def test_a_task_cancelled_in_vcenter_stops_a_transfer_that_stalls(vcenter: VCenterSimulator, vsphere: VSphere) -> None:
    """The keep-alive notices, and wakes the reader that waits for data."""
    machine = named(vsphere, "big-01")
    vcenter.faults.add(Fault("nfc:GET", "delay", after=1 << 20, seconds=30))
    lease, buffer = ExportLease(vsphere, machine.moid, keep_alive=0.05), memoryview(bytearray(1 << 16))
    with pytest.raises(ServiceError, match=LOST) as caught, lease, lease.open(lease.disks[0]) as stream:
        assert stream.readinto(buffer)
        vcenter.faults.add(Fault("HttpNfcLeaseProgress", "error", code="InvalidState", message="Cancelled."))
        while stream.readinto(buffer):
            pass
    assert caught.value.kind is ErrorKind.CONFLICT


@pytest.mark.parametrize("action", ["reset", "truncate"])
def test_a_broken_transfer_is_no_lost_lease(vcenter: VCenterSimulator, vsphere: VSphere, action: str) -> None:
    machine = named(vsphere, "big-01")
    vcenter.faults.add(Fault("nfc:GET", action, after=2 << 20))
    with ExportLease(vsphere, machine.moid) as lease:
        disk = lease.disks[0]
        with pytest.raises(ServiceError) as caught:
            receive(lease, disk).content()
        assert caught.value.kind in (ErrorKind.NETWORK, ErrorKind.CORRUPT)
        lease.check()
        assert receive(lease, disk).content() == source(vcenter, machine.moid, disk.device_key)
        lease.complete()


def test_the_keep_alive_outlives_the_time_out_while_nothing_is_read(
    vcenter: VCenterSimulator, vsphere: VSphere
) -> None:
    machine = named(vsphere, "web-01")
    vcenter.options.lease_timeout = 30
    vcenter.clock.speed = 60  # a lease's 30 s are half a second
    with ExportLease(vsphere, machine.moid, keep_alive=0.05) as lease:
        lease.progress(0.25)
        start = vcenter.clock.now()
        wait_until(lambda: vcenter.clock.now() > start + 100, what="three time-outs")
        lease.check()
        held = vcenter.machine(machine.moid).lease
        assert held is not None
        assert held.props["transferProgress"] == 25
        assert receive(lease, lease.disks[0]).content()
        lease.complete()


def test_without_reports_the_lease_times_out_and_check_says_so(vcenter: VCenterSimulator, vsphere: VSphere) -> None:
    machine = named(vsphere, "web-01")
    with ExportLease(vsphere, machine.moid, keep_alive=0.05) as lease:
        vcenter.faults.add(Fault("HttpNfcLeaseProgress", "reset", times=None))
        vcenter.clock.advance(vcenter.options.lease_timeout + 1)
        held = vcenter.machine(machine.moid).lease
        wait_until(lambda: held is None or held.state == "error", what="the time-out")
        vcenter.faults.clear()
        wait_until(lambda: lost(lease), what="the loss to be seen")
        with pytest.raises(ServiceError, match=LOST):
            lease.complete()
        with pytest.raises(ServiceError, match=LOST):
            lease.open(lease.disks[0])


def lost(lease: ExportLease) -> bool:
    try:
        lease.check()
    except ServiceError:
        return True
    return False


def test_an_ended_session_ends_the_export_as_a_login(vcenter: VCenterSimulator, vsphere: VSphere) -> None:
    machine = named(vsphere, "web-01")
    with pytest.raises(ServiceError) as caught, ExportLease(vsphere, machine.moid, keep_alive=0.05) as lease:
        vcenter.expire_sessions()
        wait_until(lambda: lost(lease), what="the loss to be seen")
        lease.check()
    assert (caught.value.kind, caught.value.problem.code) == (ErrorKind.LOGIN, "NotAuthenticated")


def test_a_short_failure_of_vcenter_does_not_end_the_export(vcenter: VCenterSimulator, vsphere: VSphere) -> None:
    machine = named(vsphere, "web-01")
    with ExportLease(vsphere, machine.moid, keep_alive=0.05) as lease:
        fault = vcenter.faults.add(Fault("HttpNfcLeaseProgress", "reset", times=3))
        wait_until(lambda: fault.fired == 3, what="three failed reports")
        lease.progress(0.5)
        held = vcenter.machine(machine.moid).lease
        assert held is not None
        wait_until(lambda: held.props["transferProgress"] == 50, what="a report that comes through")
        lease.check()


def test_a_vcenter_that_stays_away_longer_than_the_lease_lives_is_a_loss(
    vcenter: VCenterSimulator, vsphere: VSphere
) -> None:
    machine = named(vsphere, "web-01")
    vcenter.options.lease_timeout = 1
    with ExportLease(vsphere, machine.moid, keep_alive=0.05) as lease:
        vcenter.faults.add(Fault("HttpNfcLeaseProgress", "reset", times=None))
        wait_until(lambda: lost(lease), what="the loss to be seen")
        with pytest.raises(ServiceError, match="vCenter did not answer for 1 s"):
            lease.check()


@pytest.mark.parametrize("leave", ["exception", "return"])
def test_left_without_complete_the_machine_is_free(vcenter: VCenterSimulator, vsphere: VSphere, leave: str) -> None:
    machine = named(vsphere, "web-01")
    lease = ExportLease(vsphere, machine.moid)

    def use() -> None:
        with lease:
            if leave == "exception":
                lease.open(lease.disks[0])
                raise ZeroDivisionError("somebody's bug")

    with suppress(ZeroDivisionError):
        use()
    assert vcenter.machine(machine.moid).lease is None
    with ExportLease(vsphere, machine.moid) as again:
        again.complete()


def test_a_lease_that_fails_to_start_gives_its_reason(vcenter: VCenterSimulator, vsphere: VSphere) -> None:
    machine = named(vsphere, "web-01")
    vcenter.faults.add(Fault("ExportVm", "lease-error", message="Host is out of NFC memory."))
    with pytest.raises(ServiceError, match=r"starting the export failed: .*Host is out of NFC memory"):
        ExportLease(vsphere, machine.moid).__enter__()
    vcenter.revoke("VApp.Export")
    try:
        with pytest.raises(ServiceError, match=r"privilege VApp\.Export") as caught:
            ExportLease(vsphere, machine.moid).__enter__()
    finally:
        vcenter.grant("VApp.Export")
    assert caught.value.kind is ErrorKind.PERMISSION


def test_an_old_host_that_knows_sha1_only(vcenter: VCenterSimulator, vsphere: VSphere) -> None:
    machine = named(vsphere, "web-01")
    vcenter.faults.add(Fault("HttpNfcLeaseSetManifestChecksumType", "error", code="MethodNotFound"))
    with ExportLease(vsphere, machine.moid) as lease:
        (disk,) = lease.disks
        piece, sha1 = memoryview(bytearray(1 << 16)), hashlib.sha1()
        with lease.open(disk) as stream:
            while count := stream.readinto(piece):
                sha1.update(piece[:count])
        entry = lease.manifest()[disk.key]
        lease.complete()
    assert (entry.sha1, entry.sha256) == (sha1.hexdigest(), None)


def test_an_export_that_a_killed_process_left_is_ended_by_its_own_account_only(
    vcenter: VCenterSimulator, vsphere: VSphere
) -> None:
    machine, other = named(vsphere, "web-01"), named(vsphere, "web-02")
    with log_in(vcenter) as dead:
        left = ExportLease(dead, machine.moid, keep_alive=1000)
        left.__enter__()
        with pytest.raises(ServiceError, match="starting the export failed") as caught:
            ExportLease(vsphere, machine.moid).__enter__()
        assert caught.value.kind is ErrorKind.CONFLICT
        assert not end_own_export(vsphere, other.moid)
        assert end_own_export(vsphere, machine.moid)
        with ExportLease(vsphere, machine.moid) as lease:
            lease.complete()
        left.abort("killed")
