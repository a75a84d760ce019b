"""Our vSphere client against a vCenter simulator we did not write: govmomi's, from Debian.

Build it with ``.ci/build-vcsim`` and name the binary in VMIE_VCSIM; without it these tests are skipped.
"""

from __future__ import annotations

import hashlib
import os
import ssl
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from pyVmomi import vim

from vmie_tui.model.doctor import CheckState, Group
from vmie_tui.model.errors import ErrorKind, ServiceError
from vmie_tui.model.machine import Firmware, Machine, Power
from vmie_tui.model.plan import VmSource
from vmie_tui.services.doctor.check_context import Patient
from vmie_tui.services.doctor.live import Live, Saw
from vmie_tui.services.doctor.run import examine
from vmie_tui.services.vsphere.changed_blocks import snapshot_disks
from vmie_tui.services.vsphere.inventory import find_machine, read_inventory, read_machine
from vmie_tui.services.vsphere.session import VSphere, connect
from vmie_tui.services.vsphere.snapshot import create_snapshot, find_snapshot, remove_snapshot
from vmie_tui.services.vsphere.tasks import wait_task
from vmie_tui.settings import Profile, VCenterSettings

BINARY = os.environ.get("VMIE_VCSIM", "")
pytestmark = pytest.mark.skipif(
    not BINARY or not Path(BINARY).is_file(), reason="VMIE_VCSIM names no vcsim binary: build one with .ci/build-vcsim"
)
CLUSTERS, HOSTS_PER_CLUSTER, MACHINES_PER_POOL = 2, 3, 4
PASSWORD = "pass"


@contextmanager
def running(*words: str) -> Iterator[VCenterSettings]:
    """A running vcsim; its self-signed certificate is pinned."""
    process = subprocess.Popen([BINARY, *words], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        ready = process.stdout.readline().split()
        assert ready[:1] == ["READY"], ready
        port = int(ready[1].rpartition(":")[2])
        certificate = ssl.PEM_cert_to_DER_cert(ssl.get_server_certificate(("127.0.0.1", port)))
        yield VCenterSettings("127.0.0.1", "user", port, thumbprint=hashlib.sha256(certificate).hexdigest())
    finally:
        process.terminate()
        process.wait(10)
        process.stdout.close()


@pytest.fixture(scope="module")
def settings() -> Iterator[VCenterSettings]:
    counts = ["-cluster", str(CLUSTERS), "-host", str(HOSTS_PER_CLUSTER), "-vm", str(MACHINES_PER_POOL)]
    with running(*counts, "-standalone-host", "1", "-folder", "1") as found:
        yield found


@pytest.fixture
def vsphere(settings: VCenterSettings) -> Iterator[VSphere]:
    with connect(settings, PASSWORD) as session:
        yield session


@pytest.fixture
def machines(vsphere: VSphere) -> tuple[Machine, ...]:
    return read_inventory(vsphere).machines


def test_says_what_it_is(vsphere: VSphere) -> None:
    assert vsphere.info.full_name.startswith("VMware vCenter Server")
    assert vsphere.info.user == "user"
    assert vsphere.alive()


def test_reads_every_machine_with_its_place(machines: tuple[Machine, ...]) -> None:
    assert len(machines) == MACHINES_PER_POOL * (CLUSTERS + 1)
    assert len({machine.moid for machine in machines}) == len(machines)
    clustered = next(machine for machine in machines if machine.name == "DC0_C1_RP0_VM2")
    assert (clustered.datacenter, clustered.folder, clustered.cluster) == ("DC0", ("F0",), "DC0_C1")
    assert clustered.host.startswith("DC0_C1_H")
    alone = next(machine for machine in machines if machine.name == "DC0_H0_VM0")
    assert (alone.host, alone.cluster) == ("DC0_H0", "")
    assert (alone.power, alone.firmware) == (Power.ON, Firmware.BIOS)
    assert alone.instance_uuid
    (disk,) = alone.disks
    assert disk.capacity > 0
    assert disk.controller == "scsi0:0"
    assert disk.datastore == "LocalDS_0"
    (nic,) = alone.nics
    assert nic.mac.startswith("00:0c:29")
    assert nic.network == "DC0_DVPG0"


def test_pages_are_handed_on_as_they_come(vsphere: VSphere) -> None:
    seen: list[Machine] = []
    totals: set[int] = set()
    inventory = read_inventory(vsphere, page_size=5, on_page=lambda page, total: (seen.extend(page), totals.add(total)))
    assert tuple(seen) == inventory.machines
    assert totals == {len(seen)}


def test_one_machine_is_the_same_as_in_the_list(vsphere: VSphere, machines: tuple[Machine, ...]) -> None:
    assert read_machine(vsphere, machines[3].moid) == machines[3]


def test_finds_a_machine_by_its_uuid_when_the_moid_changed(vsphere: VSphere, machines: tuple[Machine, ...]) -> None:
    wanted = machines[1]
    source = VmSource("127.0.0.1", "vm-999999", wanted.name, wanted.instance_uuid)
    assert find_machine(vsphere, source).moid == wanted.moid


def test_a_machine_that_is_gone_is_named(vsphere: VSphere) -> None:
    with pytest.raises(ServiceError, match=r"web-9 \(vm-999999\): the virtual machine is no longer") as caught:
        find_machine(vsphere, VmSource("127.0.0.1", "vm-999999", "web-9", "00000000-0000-0000-0000-000000000000"))
    assert caught.value.kind is ErrorKind.NOT_FOUND


def test_wrong_password(settings: VCenterSettings) -> None:
    with pytest.raises(ServiceError, match="refused the user name or the password") as caught:
        connect(settings, "wrong")
    assert caught.value.kind is ErrorKind.LOGIN


def test_another_pin_and_no_pin_are_refused(settings: VCenterSettings) -> None:
    for thumbprint in ("ab" * 20, "ab" * 32, None):
        with pytest.raises(ServiceError, match=r"thumbprint is ([0-9A-F]{2}:){19}") as caught:
            connect(replace(settings, thumbprint=thumbprint), PASSWORD)
        assert caught.value.kind is ErrorKind.TLS


def test_an_ended_session_is_renewed(vsphere: VSphere, machines: tuple[Machine, ...]) -> None:
    vsphere.content.sessionManager.Logout()
    assert read_machine(vsphere, machines[0].moid) == machines[0]
    assert vsphere.alive()


def test_waits_for_tasks_and_keeps_their_fault(vsphere: VSphere, machines: tuple[Machine, ...]) -> None:
    target = vsphere.object(vim.VirtualMachine, machines[-1].moid)
    wait_task(vsphere, target.PowerOffVM_Task(), subject="vm", doing="powering off")
    assert read_machine(vsphere, machines[-1].moid).power is Power.OFF
    with pytest.raises(ServiceError, match="powering off failed: the virtual machine's power state") as caught:
        wait_task(vsphere, target.PowerOffVM_Task(), subject="vm", doing="powering off")
    assert (caught.value.kind, caught.value.problem.code) == (ErrorKind.CONFLICT, "InvalidPowerState")


def test_snapshot_is_made_found_and_removed_alone(vsphere: VSphere, machines: tuple[Machine, ...]) -> None:
    moid = machines[0].moid
    other = create_snapshot(vsphere, moid, "somebody else's", "", quiesce=False)
    ours = create_snapshot(vsphere, moid, "vmie-1", "made by a test", quiesce=False)
    assert create_snapshot(vsphere, moid, "vmie-1", "", quiesce=False) == ours
    assert read_machine(vsphere, moid).snapshots == 2
    remove_snapshot(vsphere, ours.moid)
    remove_snapshot(vsphere, ours.moid)  # done already: nothing to do
    assert find_snapshot(vsphere, moid, "vmie-1") is None
    assert find_snapshot(vsphere, moid, "somebody else's") == other


# -- an ESXi host by itself


@pytest.fixture(scope="module")
def host() -> Iterator[VCenterSettings]:
    with running("-esx", "-vm", "3") as found:
        yield found


def test_a_host_by_itself_is_known_and_read(host: VCenterSettings) -> None:
    with connect(host, PASSWORD) as vsphere:
        assert vsphere.standalone
        machines = read_inventory(vsphere).machines
        assert len(machines) == 3
        assert {(one.datacenter, one.cluster) for one in machines} == {("ha-datacenter", "")}
        assert all(one.host and one.disks[0].datastore == "LocalDS_0" for one in machines)
        one = machines[0]
        made = create_snapshot(vsphere, one.moid, "vmie-1", "", quiesce=False)
        assert snapshot_disks(vsphere, made.moid)[0].datastore == "LocalDS_0"
        remove_snapshot(vsphere, made.moid)


def test_the_doctor_warns_of_no_name_that_nobody_uses(host: VCenterSettings, tmp_path: Path) -> None:
    """A host's own name is localhost.localdomain; its disks are read from the address that is used."""
    with Patient(Profile("p", host), tmp_path, password=lambda: PASSWORD) as patient:
        check = examine(patient, [Group.VCENTER]).check("vcenter.hosts")
    assert (check.state, check.reason) == (
        CheckState.OK,
        "this is the host itself: disks are read from the address used",
    )


def test_the_cookies_of_a_host_are_kept(host: VCenterSettings) -> None:
    with connect(host, PASSWORD) as vsphere:
        assert vsphere.cookie.startswith("vmware_soap_session=")
        vsphere.content.sessionManager.Logout()
        assert read_inventory(vsphere).machines


def test_a_live_run_names_what_vcsim_lacks_and_leaves_nothing(settings: VCenterSettings, vsphere: VSphere) -> None:
    machine = next(one for one in read_inventory(vsphere).machines if one.name == "DC0_C1_RP0_VM3")
    with (
        Patient(Profile("vcsim", settings), Path(), password=lambda: PASSWORD) as patient,
        Live(patient, lambda session: read_machine(session, machine.moid), ask=None, say=print) as live,
    ):
        report = live.run()
    found = {one.id: (one.saw, one.code) for step in report.steps for one in step.findings}
    assert found["lease.ready"] == (Saw.DIFFERED, "MethodNotFound")
    assert found["cbt.allocated"] == (Saw.DIFFERED, "MethodNotFound")
    assert found["folder.read"] == (Saw.DIFFERED, "416")
    assert found["snapshot.made"][0] is found["snapshot.removed"][0] is found["cbt.enable"][0] is Saw.HELD
    assert not [left for step in report.steps for left in step.left]
    after = read_machine(vsphere, machine.moid)
    assert (after.snapshots, after.cbt) == (0, False)
