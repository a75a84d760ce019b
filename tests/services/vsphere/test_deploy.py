"""Deployment against the simulated vCenter: every byte, every refusal, and nothing left behind."""

from __future__ import annotations

import contextlib
import http.client
import os
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from pyVmomi import vim

from tests.kits.pyvmomi_client import tls_context
from tests.kits.vcenter_session import log_in, settings_for
from tests.kits.waiting import wait_until
from vmie_tui.model.deploy_places import DeployNames, choose_place
from vmie_tui.model.errors import Cancelled, ErrorKind, ServiceError
from vmie_tui.model.export import DeployTarget
from vmie_tui.model.machine import Firmware
from vmie_tui.services.disks.feeds.disk_feed import PieceFeed
from vmie_tui.services.disks.formats.open_disk import open_disks
from vmie_tui.services.disks.formats.ovf import Ovf
from vmie_tui.services.disks.formats.vmdk_write import encode
from vmie_tui.services.disks.streams.source import DiskSource, RawFile
from vmie_tui.services.vsphere.config_spec import Controller, NewHardware, config_spec, controller_for
from vmie_tui.services.vsphere.deploy import (
    UNFINISHED,
    Deployed,
    default_folder,
    deploy,
    hardware_of,
    look_at_target,
    settle_earlier,
)
from vmie_tui.services.vsphere.deploy_places import read_deploy_places
from vmie_tui.services.vsphere.inventory import read_machine
from vmie_tui.services.vsphere.nfc.disk_upload import STREAM_VMDK
from vmie_tui.services.vsphere.nfc.export_lease import ExportLease
from vmie_tui.services.vsphere.nfc.import_lease import ImportLease
from vmie_tui.services.vsphere.power import power_on
from vmie_tui.services.vsphere.session import VSphere, connect
from vmie_tui.simulators.control import Fault
from vmie_tui.simulators.fleet.tiny import DATASTORE, HOST, HOST_2, make_data
from vmie_tui.simulators.vcenter.server import VCenterSimulator

MIB = 1 << 20
MARK = "test-job-1"
PRIVILEGES = ("VApp.Import", "Datastore.AllocateSpace", "Network.Assign", "VirtualMachine.Config.Annotation")
SMALL = NewHardware(1, 512, "debian12_64Guest")


class Control:
    """Counts, and stops when told to."""

    def __init__(self) -> None:
        self.bytes = {0: 0}
        self.done: dict[int, int] = {}
        self.reached: dict[int, int] = {}
        self.stopping = threading.Event()
        self._callbacks: list[Callable[[], None]] = []

    def check(self) -> None:
        if self.stopping.is_set():
            raise Cancelled

    @contextlib.contextmanager
    def on_stop(self, callback: Callable[[], None]) -> Iterator[None]:
        self._callbacks.append(callback)
        yield

    def cancel(self) -> None:
        self.stopping.set()
        for callback in self._callbacks:
            callback()

    def moved(self, number: int, nbytes: int) -> None:
        self.bytes[number] = self.bytes.get(number, 0) + nbytes

    def covered(self, number: int, offset: int) -> None:
        self.reached[number] = offset

    def finished(self, number: int, size: int) -> None:
        self.done[number] = size


@pytest.fixture
def target(vsphere: VSphere) -> DeployTarget:
    names = DeployNames("Compute", DATASTORE, "Test/Web", "VM Network")
    return choose_place(read_deploy_places(vsphere), "new-01", names).target


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    """A disk of 6 MiB, a third of it holes."""
    make_data(tmp_path / "disk.raw", 6 * MIB, 4 * MIB, "deploy")
    return tmp_path / "disk.raw"


@pytest.fixture(autouse=True)
def cleared(vcenter: VCenterSimulator) -> Iterator[None]:
    yield
    for privilege in PRIVILEGES:
        vcenter.grant(privilege)
    with contextlib.suppress(KeyError):
        vcenter.set_power("new-01", "poweredOff")
        vcenter.remove_machine("new-01")


def put(vsphere: VSphere, target: DeployTarget, *disks: DiskSource, **more: Any) -> Deployed:
    given = {"hardware": SMALL, "mark": MARK, "control": Control(), **more}
    return deploy(vsphere, target, [(f"disk{n}", disk) for n, disk in enumerate(disks)], **given)


def there(vcenter: VCenterSimulator, name: str = "new-01") -> bool:
    try:
        vcenter.machine(name)
    except KeyError:
        return False
    return True


def test_two_disks_arrive_byte_for_byte_and_go_out_again(
    vcenter: VCenterSimulator, vsphere: VSphere, target: DeployTarget, raw: Path, tmp_path: Path
) -> None:
    odd = tmp_path / "odd.raw"
    odd.write_bytes(os.urandom(MIB + 3 * 512))
    control = Control()
    with RawFile(raw) as first, RawFile(odd) as second:
        made = put(vsphere, target, first, second, control=control)
    machine = read_machine(vsphere, made.moid)
    assert [disk.capacity for disk in machine.disks] == [6 * MIB, MIB + 3 * 512]
    assert [disk.proven for disk in made.disks] == ["SHA-256", "SHA-256"]
    assert control.done == control.bytes == {number: disk.bytes for number, disk in enumerate(made.disks)}
    for disk, path in zip(machine.disks, (raw, odd), strict=True):
        assert vcenter.disk_path(made.moid, disk.key).read_bytes() == path.read_bytes()
    assert (machine.cpus, machine.memory_mib, machine.guest_id) == (1, 512, "debian12_64Guest")
    assert machine.folder == ("Test", "Web")
    assert machine.firmware is Firmware.BIOS
    assert [nic.network for nic in machine.nics] == ["VM Network"]
    assert vcenter.machine(made.moid).spec.annotation == f"Made by vmie-tui: {MARK}"
    assert vcenter.machine(made.moid).lease is None
    with ExportLease(vsphere, made.moid) as lease:
        again = [open_disks(_Received(lease, disk).path(tmp_path))[0] for disk in lease.disks]
        lease.complete()
    assert [disk.read_at(0, disk.size) for disk in again] == [raw.read_bytes(), odd.read_bytes()]


class _Received:
    """A disk as the host streams it, in a file."""

    def __init__(self, lease: ExportLease, disk: Any) -> None:
        self._lease, self._disk = lease, disk

    def path(self, folder: Path) -> Path:
        path = folder / f"{self._disk.device_key}.vmdk"
        buffer = memoryview(bytearray(1 << 18))
        with self._lease.open(self._disk) as stream, path.open("wb") as file:
            while count := stream.readinto(buffer):
                file.write(buffer[:count])
        return path


def test_data_may_go_to_a_host_named_by_a_star(
    vcenter: VCenterSimulator, vsphere: VSphere, target: DeployTarget, raw: Path, tmp_path: Path
) -> None:
    vcenter.options.nfc_host = "*"
    empty = tmp_path / "empty.raw"
    with empty.open("wb") as file:
        file.truncate(2 * MIB)
    with RawFile(raw) as disk, RawFile(empty) as zeros:
        made = put(vsphere, target, disk, zeros)
    paths = [vcenter.disk_path(made.moid, key) for key in vcenter.disk_keys(made.moid)]
    assert [path.read_bytes() for path in paths] == [raw.read_bytes(), bytes(2 * MIB)]


def test_a_host_that_takes_no_chunks_is_told_the_length(
    vcenter: VCenterSimulator, vsphere: VSphere, target: DeployTarget, raw: Path
) -> None:
    vcenter.options.nfc_no_chunks = True
    with RawFile(raw) as disk:
        made = put(vsphere, target, disk)
    [key] = vcenter.disk_keys(made.moid)
    assert vcenter.disk_path(made.moid, key).read_bytes() == raw.read_bytes()
    assert vcenter.stats["nfc:POST"] == 2


def test_the_same_mark_makes_no_second_machine(vsphere: VSphere, target: DeployTarget, raw: Path) -> None:
    with RawFile(raw) as disk:
        first = put(vsphere, target, disk)
        second = put(vsphere, target, disk)
        assert (second.moid, second.found) == (first.moid, True)
        with pytest.raises(ServiceError, match="already in the folder") as caught:
            put(vsphere, target, disk, mark="another-job")
    assert caught.value.kind is ErrorKind.CONFLICT


def test_a_target_is_looked_at_beforehand(vsphere: VSphere, target: DeployTarget, vcenter: VCenterSimulator) -> None:
    look_at_target(vsphere, target, MARK)
    with pytest.raises(ServiceError, match="already in the folder"):
        look_at_target(vsphere, replace(target, name="web-01"), MARK)
    with pytest.raises(ServiceError) as caught:
        look_at_target(vsphere, replace(target, datastore="datastore-999"), MARK)
    assert caught.value.kind is ErrorKind.NOT_FOUND
    assert not vcenter.stats["ImportVApp"]


def test_what_a_killed_process_left_is_removed_and_made_anew(
    vcenter: VCenterSimulator, vsphere: VSphere, target: DeployTarget, raw: Path
) -> None:
    folder = default_folder(vsphere, target.resource_pool)
    spec = config_spec("new-01", SMALL, [6 * MIB], datastore=DATASTORE, annotation=f"{UNFINISHED} {MARK}")
    with log_in(vcenter) as killed:
        lease = ImportLease(killed, replace(target, folder=folder), spec, folder)
        lease.__enter__()
        lease._keeper.stop()  # type: ignore[union-attr]  # the process is gone; vCenter knows nothing of that
        with RawFile(raw) as disk:
            made = put(vsphere, replace(target, folder=""), disk)
        assert made.moid != lease.moid
        assert not there(vcenter, lease.moid)
    assert not made.found


def test_stopped_in_the_middle_nothing_is_left(
    vcenter: VCenterSimulator, vsphere: VSphere, target: DeployTarget, raw: Path
) -> None:
    vcenter.options.nfc_rate = 200_000
    control = Control()
    raised: list[BaseException] = []

    def work() -> None:
        try:
            with RawFile(raw) as disk:
                put(vsphere, target, disk, control=control)
        except BaseException as error:  # noqa: BLE001
            raised.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    wait_until(lambda: vcenter.stats["nfc:POST"], what="the upload")
    begun = time.monotonic()
    control.cancel()
    thread.join(10)
    assert time.monotonic() - begun < 2
    assert [type(error) for error in raised] == [Cancelled]
    assert not there(vcenter)


@pytest.mark.parametrize(
    ("fault", "kind", "words"),
    [
        (Fault("nfc:POST", "lose-lease", after=MIB, message="The disk array failed."), ErrorKind.CONFLICT, "was lost"),
        (Fault("nfc:POST", "reset", after=MIB), ErrorKind.NETWORK, "broke"),
        (Fault("nfc:POST", "error", status=503), ErrorKind.REMOTE, "HTTP 503"),
        (Fault("ImportVApp", "lease-error"), ErrorKind.REMOTE, "starting the import failed"),
        (Fault("ImportVApp", "error", code="NoPermission"), ErrorKind.PERMISSION, "making the virtual machine"),
        (Fault("HttpNfcLeaseComplete", "error", code="SystemError"), ErrorKind.REMOTE, "completing the import"),
    ],
)
def test_whatever_fails_no_machine_stays(
    vcenter: VCenterSimulator,
    vsphere: VSphere,
    target: DeployTarget,
    raw: Path,
    fault: Fault,
    kind: ErrorKind,
    words: str,
) -> None:
    vcenter.faults.add(fault)
    with RawFile(raw) as disk, pytest.raises(ServiceError, match=words) as caught:
        put(vsphere, target, disk)
    assert caught.value.kind is kind
    assert not there(vcenter)
    assert not list((vcenter.center.root / "disks").glob("*/*.import"))


@pytest.mark.parametrize("privilege", PRIVILEGES[:3])
def test_a_missing_privilege_is_named(
    vcenter: VCenterSimulator, vsphere: VSphere, target: DeployTarget, raw: Path, privilege: str
) -> None:
    vcenter.revoke(privilege)
    with RawFile(raw) as disk, pytest.raises(ServiceError) as caught:
        put(vsphere, target, disk)
    assert privilege in caught.value.problem.remedy
    assert not there(vcenter)


def test_without_the_right_to_write_notes_the_machine_stays(
    vcenter: VCenterSimulator, vsphere: VSphere, target: DeployTarget, raw: Path
) -> None:
    vcenter.revoke(PRIVILEGES[3])
    with RawFile(raw) as disk:
        assert not put(vsphere, target, disk).noted
    assert there(vcenter)


def test_read_only_refuses_before_anything_is_sent(vcenter: VCenterSimulator, target: DeployTarget, raw: Path) -> None:
    with connect(settings_for(vcenter), vcenter.password, read_only=True) as session:
        vcenter.stats.reset()
        with RawFile(raw) as disk, pytest.raises(ServiceError, match="ImportVApp is not sent"):
            put(session, target, disk)
    assert set(vcenter.stats.snapshot()) <= {"Logout"}


def test_too_little_room_is_told_beforehand(vcenter: VCenterSimulator, vsphere: VSphere, target: DeployTarget) -> None:
    with pytest.raises(ServiceError, match="GiB free, the disks may need") as caught:
        put(vsphere, target, _Huge())
    assert caught.value.kind is ErrorKind.REFUSED
    assert not vcenter.stats["ImportVApp"]


class _Huge:
    """9 TiB of data, in words."""

    size = 9 << 40

    def extents(self) -> Iterator[tuple[int, int]]:
        yield 0, self.size

    def read_at(self, offset: int, length: int) -> bytes:
        return bytes(length)


def test_a_full_datastore_ends_the_import(
    vcenter: VCenterSimulator, vsphere: VSphere, target: DeployTarget, raw: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = vcenter.center.registry.objects[target.datastore]
    monkeypatch.setattr("vmie_tui.services.vsphere.deploy.check_room", lambda *_: None)  # it fills up meanwhile
    monkeypatch.setitem(store.value("summary").__dict__, "freeSpace", MIB)
    with RawFile(raw) as disk, pytest.raises(ServiceError, match="lost") as caught:
        put(vsphere, target, disk)
    assert "no more space" in caught.value.problem.detail
    assert not there(vcenter)


def test_a_lease_nobody_reports_to_takes_its_machine_along(
    vcenter: VCenterSimulator, vsphere: VSphere, target: DeployTarget
) -> None:
    vcenter.options.lease_timeout = 1
    lease = ImportLease(
        vsphere, target, config_spec("new-01", SMALL, [MIB], datastore=DATASTORE), target.folder, keep_alive=60
    )
    with lease:
        lease._keeper.stop()  # type: ignore[union-attr]
        assert there(vcenter)
        vcenter.clock.advance(5)
        wait_until(lambda: not there(vcenter), what="the end of the lease")


def test_the_machine_is_switched_on_once(
    vcenter: VCenterSimulator, vsphere: VSphere, target: DeployTarget, raw: Path
) -> None:
    with RawFile(raw) as disk:
        made = put(vsphere, target, disk)
    power_on(vsphere, made.moid, "new-01")
    power_on(vsphere, made.moid, "new-01")
    assert vcenter.machine(made.moid).power == "poweredOn"
    assert vcenter.stats["PowerOnVM_Task"] == 1
    assert settle_earlier(vsphere, target, MARK) == Deployed(made.moid, "new-01", found=True)


# -- the simulator is strict --------------------------------------------------------------------------------------


def vmdk(raw: Path) -> bytes:
    data = bytearray()
    with RawFile(raw) as disk:
        encode(disk, data.extend)
    return bytes(data)


def test_a_put_of_known_length_will_do_too(
    vcenter: VCenterSimulator, vsphere: VSphere, target: DeployTarget, raw: Path
) -> None:
    spec = config_spec("new-01", SMALL, [6 * MIB], datastore=DATASTORE)
    with ImportLease(vsphere, target, spec, target.folder) as lease:
        [disk] = lease.disks
        place = urlsplit(disk.url)
        connection = http.client.HTTPSConnection("localhost", place.port, context=tls_context(vcenter))
        connection.request("PUT", place.path, vmdk(raw), {"Content-Type": STREAM_VMDK})
        assert connection.getresponse().status == 201
        connection.close()
        assert lease.manifest(disk.key)[disk.key].capacity == 6 * MIB
        lease.complete()
    assert vcenter.disk_path(lease.moid, *vcenter.disk_keys(lease.moid)).read_bytes() == raw.read_bytes()


@pytest.mark.parametrize("wrong", ["capacity", "garbage", "truncated", "behind"])
def test_a_host_takes_only_the_disk_that_is_due(
    vcenter: VCenterSimulator, vsphere: VSphere, target: DeployTarget, raw: Path, wrong: str
) -> None:
    capacity = 7 * MIB if wrong == "capacity" else 6 * MIB
    spec = config_spec("new-01", SMALL, [capacity], datastore=DATASTORE)
    data = vmdk(raw)
    sent = {"capacity": data, "garbage": bytes(MIB), "truncated": data[:-2048], "behind": data + b"x" * 512}[wrong]
    with (
        ImportLease(vsphere, target, spec, target.folder) as lease,
        pytest.raises(ServiceError),
        PieceFeed(iter([sent])) as feed,
    ):
        lease.send(lease.disks[0], feed, lambda nbytes: None)
    assert not there(vcenter)


def test_an_import_without_its_bytes_cannot_be_completed(
    vcenter: VCenterSimulator, vsphere: VSphere, target: DeployTarget
) -> None:
    spec = config_spec("new-01", SMALL, [MIB], datastore=DATASTORE)
    with (
        ImportLease(vsphere, target, spec, target.folder) as lease,
        pytest.raises(ServiceError, match="completing the import failed"),
    ):
        lease.complete()
    assert not there(vcenter)


# -- hardware -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("guest", "controller"),
    [
        ("debian12_64Guest", Controller.PVSCSI),
        ("windows2019srv_64Guest", Controller.LSI_SAS),
        ("winNetStandard64Guest", Controller.LSI),
    ],
)
def test_the_controller_is_one_the_guest_has_a_driver_for(guest: str, controller: Controller) -> None:
    assert controller_for(guest) is controller


def test_windows_gets_its_controller_and_uefi(
    vcenter: VCenterSimulator, vsphere: VSphere, target: DeployTarget, raw: Path
) -> None:
    hardware = NewHardware(2, 1024, "windows2019srv_64Guest", uefi=True, secure_boot=True)
    with RawFile(raw) as disk:
        made = put(vsphere, target, disk, hardware=hardware)
    machine = read_machine(vsphere, made.moid)
    assert machine.firmware is Firmware.UEFI
    assert vcenter.machine(made.moid).spec.secure_boot
    assert vcenter.machine(made.moid).disks[0].spec.controller == "lsisas"


def test_what_the_user_says_goes_before_the_ovf() -> None:
    target = DeployTarget("vm", "resgroup-1", "datastore-1", memory_mib=2048)
    ovf = Ovf(firmware=Firmware.UEFI, cpus=4, memory_mib=8192, guest_id="rhel9_64Guest")
    assert hardware_of(target, ovf) == NewHardware(4, 2048, "rhel9_64Guest", uefi=True)
    assert hardware_of(target).cpus == 2


def test_sixteen_disks_need_a_second_controller() -> None:
    spec = config_spec("vm", SMALL, [MIB] * 16, datastore=DATASTORE)
    devices = [change.device for change in spec.deviceChange]
    assert [one.busNumber for one in devices if isinstance(one, vim.vm.device.ParaVirtualSCSIController)] == [0, 1]
    units = [one.unitNumber for one in devices if isinstance(one, vim.vm.device.VirtualDisk)]
    assert units == [*range(7), *range(8, 16), 0]


# -- places -------------------------------------------------------------------------------------------------------


def test_places_are_read_with_their_paths(vsphere: VSphere) -> None:
    places = read_deploy_places(vsphere)
    assert [place.path for place in places.pools] == ["DC1/Compute"]
    assert {place.path for place in places.folders} >= {"DC1", "DC1/Test", "DC1/Test/Web"}
    assert [place.name for place in places.hosts] == [HOST, HOST_2]
    assert DATASTORE in {place.name for place in places.datastores if place.free}
    assert "VM Network" in {place.name for place in places.networks}


@pytest.mark.parametrize(
    ("names", "kind", "words"),
    [
        (DeployNames("Nowhere"), ErrorKind.NOT_FOUND, "no such resource pool or cluster"),
        (DeployNames("Compute", "nfs-99"), ErrorKind.NOT_FOUND, "no such datastore"),
        (DeployNames("Compute", DATASTORE, network="DMZ"), ErrorKind.NOT_FOUND, "no such network"),
        (DeployNames("Compute", DATASTORE, folder="Web/Test"), ErrorKind.NOT_FOUND, "no such folder"),
    ],
)
def test_names_that_lead_nowhere_say_what_there_is(
    vsphere: VSphere, names: DeployNames, kind: ErrorKind, words: str
) -> None:
    with pytest.raises(ServiceError, match=words) as caught:
        choose_place(read_deploy_places(vsphere), "new-01", names)
    assert caught.value.kind is kind
    assert "DC1" in caught.value.problem.remedy


def test_a_name_of_several_places_wants_a_path(vsphere: VSphere) -> None:
    places = read_deploy_places(vsphere)
    [web] = [place for place in places.folders if place.path == "DC1/Test/Web"]
    twice = replace(places, folders=(*places.folders, replace(web, moid="group-v999", path="DC1/Prod/Web")))
    with pytest.raises(ServiceError, match="2 places have this name: DC1/Test/Web, DC1/Prod/Web"):
        choose_place(twice, "new-01", DeployNames("Compute", DATASTORE, "Web"))
    chosen = choose_place(twice, "new-01", DeployNames("Compute", DATASTORE, "Prod/Web"))
    assert (chosen.target.folder, chosen.names.folder) == ("group-v999", "DC1/Prod/Web")
