"""Power operations, renaming and removal of machines."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pyVmomi import vim, vmodl

from vmie_tui.simulators.vcenter.calls import Call
from vmie_tui.simulators.vcenter.machine import Machine
from vmie_tui.simulators.vcenter.shared_state import Center
from vmie_tui.simulators.vcenter.tasks import Tasks

ON, OFF, SUSPENDED = "poweredOn", "poweredOff", "suspended"


def wrong_power(machine: Machine, wanted: str | None) -> Any:
    words = {ON: "Powered on", OFF: "Powered off", SUSPENDED: "Suspended"}[machine.power]
    return vim.fault.InvalidPowerState(
        existingState=machine.power,
        requestedState=wanted,
        msg=f"The attempted operation cannot be performed in the current state ({words}).",
    )


def refuse_while_leased(machine: Machine) -> None:
    """Raise TaskInProgress while an export lease holds the machine."""
    if machine.lease is not None and machine.lease.task is not None:
        raise vim.fault.TaskInProgress(task=machine.lease.task.ref, msg="Another task is already in progress.")


class Power:
    """The machine's power and life."""

    def __init__(self, center: Center, tasks: Tasks, forget: Callable[[Machine], None]) -> None:
        self._center, self._registry, self._tasks, self._forget = center, center.registry, tasks, forget
        self.down: list[Callable[[Machine], None]] = []  # called as a guest goes down by itself

    def set_power(self, machine: Machine, state: str) -> None:
        machine.power, machine.power_since = state, self._center.now()
        if state == ON:
            for disk in machine.disks:
                disk.runs += 1
        machine.stun()
        self._registry.touch(machine)

    def _change(self, call: Call, machine: Machine, state: str, allowed: tuple[str, ...]) -> Any:
        def work() -> None:
            if state == ON:
                refuse_while_leased(machine)
            if machine.power not in allowed:
                raise wrong_power(machine, state)
            if machine.spec.connection != "connected":
                raise vim.fault.InvalidState(msg="The virtual machine is not connected.")
            self.set_power(machine, state)

        return self._tasks.run(call, machine, work)

    # ---- SOAP methods

    def PowerOnVM_Task(self, call: Call, this: Machine, host: Any) -> Any:
        refuse_while_leased(this)
        return self._change(call, this, ON, (OFF, SUSPENDED))

    def PowerOffVM_Task(self, call: Call, this: Machine) -> Any:
        return self._change(call, this, OFF, (ON, SUSPENDED))

    def SuspendVM_Task(self, call: Call, this: Machine) -> Any:
        return self._change(call, this, SUSPENDED, (ON,))

    def ShutdownGuest(self, call: Call, this: Machine) -> None:
        if this.power != ON:
            raise wrong_power(this, ON)
        if not this.running():
            raise vim.fault.ToolsUnavailable(
                msg="Cannot complete operation because VMware Tools is not running in this virtual machine."
            )

        def down() -> None:
            with self._registry.lock:
                if this.power == ON and not this.hangs:
                    for told in self.down:
                        told(this)
                    self.set_power(this, OFF)

        self._center.later.after(self._center.options.shutdown_seconds, down)

    def Rename_Task(self, call: Call, this: Machine, name: str) -> Any:
        self._center.privileges.check("VirtualMachine.Config.Rename", this)
        if not isinstance(this, Machine):
            raise vmodl.fault.NotSupported(msg="The operation is not supported on the object.")

        def work() -> None:
            if this.parent is not None and any(one.name == name for one in this.parent.children if one is not this):
                raise vim.fault.DuplicateName(name=name, object=this.ref, msg=f"The name '{name}' already exists.")
            this.label = name
            self._registry.touch(this)

        return self._tasks.run(call, this, work)

    def remove(self, machine: Machine, *, files: bool) -> None:
        """Removes a machine from the inventory, with its disks if ``files``."""
        for node in list(machine.snapshots()):
            self._registry.remove(node)
        self._forget(machine)
        self._registry.remove(machine)
        if files:
            for disk in machine.disks:
                disk.content.delete()

    def Destroy_Task(self, call: Call, this: Machine) -> Any:
        self._center.privileges.check("VirtualMachine.Inventory.Delete", this)
        if not isinstance(this, Machine):
            raise vmodl.fault.NotSupported(msg="The operation is not supported on the object.")
        refuse_while_leased(this)

        def work() -> None:
            refuse_while_leased(this)
            if this.power != OFF:
                raise wrong_power(this, OFF)
            self.remove(this, files=True)

        return self._tasks.run(call, this, work)

    def UnregisterVM(self, call: Call, this: Machine) -> None:
        refuse_while_leased(this)
        if this.power != OFF:
            raise wrong_power(this, OFF)
        self.remove(this, files=False)
