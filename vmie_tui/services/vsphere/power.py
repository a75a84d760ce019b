"""A machine's power state: guest shutdown and power on, for a cutover and its rollback."""

from __future__ import annotations

from collections.abc import Callable

from vmie_tui.model.errors import ErrorKind, ServiceError
from vmie_tui.model.machine import Power
from vmie_tui.services.pacing import Check, Poll, nothing
from vmie_tui.services.vsphere.property_collector import properties
from vmie_tui.services.vsphere.sdk import vim
from vmie_tui.services.vsphere.session import VSphere
from vmie_tui.services.vsphere.tasks import FIRST_PAUSE, LONGEST_PAUSE, wait_task

_POWER = {"poweredOn": Power.ON, "poweredOff": Power.OFF, "suspended": Power.SUSPENDED}
_HARD = "Shut it down from inside, or power it off hard: then the last image is as after a power failure"


def power_state(vsphere: VSphere, moid: str) -> Power:
    """The current power state. Raises ServiceError, NOT_FOUND if the machine no longer exists."""
    machine = vsphere.object(vim.VirtualMachine, moid)
    found = vsphere.call(
        lambda: properties(vsphere, machine, "runtime.powerState"), subject=moid, doing="reading the power state"
    )
    return _POWER[str(found["runtime.powerState"])]


def shut_down(
    vsphere: VSphere,
    moid: str,
    name: str = "",
    *,
    seconds: float,
    on_state: Callable[[Power], None] = lambda power: None,
    check: Check = nothing,
) -> None:
    """Shuts the guest down by VMware Tools and waits until the machine is off; does nothing if it is off.

    ``on_state`` gets the power state first and as it changes; ``check`` is called between two looks and may raise to
    stop waiting: the guest goes down all the same. Raises ServiceError, about ``name``: CONFLICT when VMware Tools do
    not answer, when the machine is suspended, or is still on after ``seconds``.
    """
    state, subject = power_state(vsphere, moid), name or moid
    on_state(state)
    if state is Power.OFF:
        return
    if state is Power.SUSPENDED:
        raise ServiceError(
            ErrorKind.CONFLICT,
            "a suspended virtual machine cannot be shut down by its guest",
            subject=subject,
            remedy="Resume it first, or power it off hard: what its memory holds is lost then",
            code="InvalidPowerState",
        )
    machine = vsphere.object(vim.VirtualMachine, moid)
    try:
        vsphere.call(machine.ShutdownGuest, subject=subject, doing="shutting the guest down")
    except ServiceError as error:
        if error.problem.code == "ToolsUnavailable":
            raise _no_tools(subject, error) from error
        if error.problem.code != "InvalidPowerState":  # off by now: somebody else was faster
            raise
    for _ in Poll(FIRST_PAUSE, LONGEST_PAUSE, seconds=seconds, check=check):
        if (now := power_state(vsphere, moid)) is not state:
            on_state(state := now)
        if state is Power.OFF:
            return
    raise _still_on(subject, state, seconds)


def _no_tools(subject: str, error: ServiceError) -> ServiceError:
    return ServiceError(
        ErrorKind.CONFLICT,
        "VMware Tools do not run in the guest, so it cannot be asked to shut down",
        subject=subject,
        remedy=_HARD,
        code=error.problem.code,
        detail=error.problem.detail,
    )


def _still_on(subject: str, state: Power, seconds: float) -> ServiceError:
    return ServiceError(
        ErrorKind.CONFLICT,
        f"the guest was asked to shut down, but is still {state.value} after {seconds:.0f} s",
        subject=subject,
        remedy=f"See its console: an update or a program may hold it. {_HARD}",
        retry_safe=True,
        code="ShutdownTimedOut",
    )


def power_on(vsphere: VSphere, moid: str, name: str = "", *, check: Check = nothing) -> None:
    """Powers the machine on; does nothing if it is on. Raises ServiceError, about ``name``."""
    if power_state(vsphere, moid) is Power.ON:
        return
    machine, subject, doing = vsphere.object(vim.VirtualMachine, moid), name or moid, "powering on"
    try:
        task = vsphere.call(machine.PowerOnVM_Task, subject=subject, doing=doing)
        wait_task(vsphere, task, subject=subject, doing=doing, check=check)
    except ServiceError as error:
        if error.problem.code != "InvalidPowerState" or power_state(vsphere, moid) is not Power.ON:
            raise
