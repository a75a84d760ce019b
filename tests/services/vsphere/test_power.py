"""A machine's power against the simulated vCenter: shut down by its guest, switched off and on."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.kits.vcenter_session import log_in, named, simulator
from vmie_tui.model.errors import ErrorKind, ServiceError
from vmie_tui.model.machine import Power
from vmie_tui.services.vsphere.power import power_on, power_state, shut_down
from vmie_tui.services.vsphere.session import VSphere
from vmie_tui.simulators.control import Fault, TlsFiles
from vmie_tui.simulators.vcenter.server import VCenterSimulator

NAME = "repl-01"


@pytest.fixture
def vcenter(tmp_path: Path, tls: TlsFiles) -> Iterator[VCenterSimulator]:
    """One for each test: a guest that is on its way down goes down in no other."""
    with simulator(tmp_path / "vcenter", tls, shutdown_seconds=0.2) as running:
        yield running


@pytest.fixture
def vsphere(vcenter: VCenterSimulator) -> Iterator[VSphere]:
    with log_in(vcenter) as session:
        vcenter.stats.reset()
        yield session


@pytest.fixture
def moid(vcenter: VCenterSimulator) -> str:
    return vcenter.machine(NAME).moid


def calls(vcenter: VCenterSimulator, method: str) -> int:
    return sum(count for name, count in vcenter.stats.snapshot().items() if name.rpartition(":")[2] == method)


def test_the_guest_is_shut_down_and_waited_for(vcenter: VCenterSimulator, vsphere: VSphere, moid: str) -> None:
    told: list[Power] = []
    shut_down(vsphere, moid, seconds=20, on_state=told.append)
    assert told == [Power.ON, Power.OFF]
    assert vcenter.machine(NAME).power == "poweredOff"
    assert calls(vcenter, "ShutdownGuest") == 1 and calls(vcenter, "PowerOffVM_Task") == 0


def test_one_that_is_off_is_left_alone(vcenter: VCenterSimulator, vsphere: VSphere, moid: str) -> None:
    vcenter.set_power(NAME, "poweredOff")
    told: list[Power] = []
    shut_down(vsphere, moid, seconds=1, on_state=told.append)
    assert told == [Power.OFF]
    assert calls(vcenter, "ShutdownGuest") == calls(vcenter, "PowerOffVM_Task") == 0


def test_tools_that_do_not_answer(vcenter: VCenterSimulator, vsphere: VSphere, moid: str) -> None:
    vcenter.faults.add(Fault("ShutdownGuest", code="ToolsUnavailable", message="Tools are not running."))
    with pytest.raises(ServiceError, match="VMware Tools do not run in the guest") as caught:
        shut_down(vsphere, moid, seconds=20)
    problem = caught.value.problem
    assert problem.kind is ErrorKind.CONFLICT and "power it off hard" in problem.remedy
    assert vcenter.machine(NAME).power == "poweredOn", "nobody pulls the plug unasked"


def test_a_guest_that_takes_too_long(vcenter: VCenterSimulator, vsphere: VSphere, moid: str) -> None:
    vcenter.options.shutdown_seconds = 3600
    with pytest.raises(ServiceError, match=r"repl-01: the guest .* still on after 0 s") as caught:
        shut_down(vsphere, moid, NAME, seconds=0.2)
    assert caught.value.kind is ErrorKind.CONFLICT and caught.value.problem.retry_safe
    assert calls(vcenter, "PowerOffVM_Task") == 0


def test_a_suspended_machine_is_not_shut_down(vcenter: VCenterSimulator, vsphere: VSphere, moid: str) -> None:
    vcenter.set_power(NAME, "suspended")
    with pytest.raises(ServiceError, match="suspended") as caught:
        shut_down(vsphere, moid, seconds=1)
    assert caught.value.kind is ErrorKind.CONFLICT and calls(vcenter, "ShutdownGuest") == 0


def test_one_that_goes_down_by_itself_meanwhile(vcenter: VCenterSimulator, vsphere: VSphere, moid: str) -> None:
    def first(power: Power) -> None:
        if power is Power.ON:
            vcenter.set_power(NAME, "poweredOff")

    shut_down(vsphere, moid, seconds=5, on_state=first)
    assert power_state(vsphere, moid) is Power.OFF


def test_waiting_for_a_guest_can_be_given_up(vcenter: VCenterSimulator, vsphere: VSphere, moid: str) -> None:
    def stop() -> None:
        raise InterruptedError

    vcenter.options.shutdown_seconds = 1.0
    with pytest.raises(InterruptedError):
        shut_down(vsphere, moid, seconds=20, check=stop)
    vcenter.clock.advance(1)
    shut_down(vsphere, moid, seconds=20)  # it goes down all the same, and asking again does no harm


def test_powered_on_once(vcenter: VCenterSimulator, vsphere: VSphere, moid: str) -> None:
    vcenter.set_power(NAME, "poweredOff")
    power_on(vsphere, moid)
    power_on(vsphere, moid)
    assert power_state(vsphere, moid) is Power.ON
    assert calls(vcenter, "PowerOnVM_Task") == 1


def test_somebody_else_was_faster(vcenter: VCenterSimulator, vsphere: VSphere, moid: str) -> None:
    """The state is read, then it changes, then our call is refused: what was wanted is so."""

    def first() -> None:
        vcenter.set_power(NAME, "poweredOn")

    vcenter.set_power(NAME, "poweredOff")
    vcenter.options.task_seconds = 0.3
    power_on(vsphere, moid, check=first)
    assert power_state(vsphere, moid) is Power.ON


@pytest.mark.parametrize(
    ("work", "privilege"),
    [
        (lambda session, moid: shut_down(session, moid, seconds=1), "VirtualMachine.Interact.PowerOff"),
        (power_on, "VirtualMachine.Interact.PowerOn"),
    ],
    ids=["shut-down", "on"],
)
def test_the_missing_privilege_is_named(
    vcenter: VCenterSimulator, vsphere: VSphere, moid: str, work: Callable[[VSphere, str], None], privilege: str
) -> None:
    if work is power_on:
        vcenter.set_power(NAME, "poweredOff")
    vcenter.revoke(privilege)
    with pytest.raises(ServiceError, match=privilege.replace(".", r"\.")) as caught:
        work(vsphere, moid)
    assert caught.value.kind is ErrorKind.PERMISSION


def test_a_task_that_fails_tells_why(vcenter: VCenterSimulator, vsphere: VSphere, moid: str) -> None:
    vcenter.set_power(NAME, "poweredOff")
    vcenter.faults.add(Fault("PowerOnVM_Task", "task-error", code="InsufficientStorageSpace", message="No swap file."))
    with pytest.raises(ServiceError, match=r"powering on failed: the datastore is full .*No swap file"):
        power_on(vsphere, moid)


def test_a_machine_that_is_gone(vsphere: VSphere) -> None:
    with pytest.raises(ServiceError) as caught:
        power_on(vsphere, "vm-424242")
    assert caught.value.kind is ErrorKind.NOT_FOUND
    assert named(vsphere, NAME).power is Power.ON
