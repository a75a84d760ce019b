"""Snapshots: they freeze the disks' content and give change ids."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from pyVmomi import vim, vmodl

from vmie_tui.simulators.vcenter import describe
from vmie_tui.simulators.vcenter.calls import Call
from vmie_tui.simulators.vcenter.machine import Held, Machine, SnapshotNode, Tracker, VmDisk, new_epoch
from vmie_tui.simulators.vcenter.power import refuse_while_leased
from vmie_tui.simulators.vcenter.shared_state import Center
from vmie_tui.simulators.vcenter.tasks import Tasks

DEEPEST = 32
LONGEST_NAME = 80


class Snapshots:
    """Creating and removing snapshots, and the settings that wait for one."""

    def __init__(self, center: Center, tasks: Tasks) -> None:
        self._center, self._registry, self._tasks = center, center.registry, tasks
        self.before: list[Callable[[Machine], None]] = []  # called before the disks are frozen
        self.after: list[Callable[[SnapshotNode], None]] = []

    # ---- SOAP methods

    def CreateSnapshot_Task(
        self, call: Call, this: Machine, name: str, about: str | None, memory: bool, quiesce: bool
    ) -> Any:
        if not name or len(name) > LONGEST_NAME:
            raise vim.fault.InvalidName(name=name, msg=f"The name '{name}' is not valid.")
        if this.spec.connection != "connected":
            raise vim.fault.InvalidState(msg="The operation is not allowed in the current state.")
        work = functools.partial(self._made, this, name, about or "", quiesce)
        return self._tasks.run(call, this, work, times=2)

    def CreateSnapshotEx_Task(
        self, call: Call, this: Machine, name: str, about: str | None, memory: bool, quiesce: Any
    ) -> Any:
        return self.CreateSnapshot_Task(call, this, name, about, memory, quiesce is not None)

    def RemoveSnapshot_Task(self, call: Call, this: SnapshotNode, children: bool, consolidate: bool | None) -> Any:
        machine = this.machine

        def work() -> None:
            refuse_while_leased(machine)
            self.remove([this, *(_below(this) if children else ())])

        return self._tasks.run(call, machine, work, times=2)

    def RemoveAllSnapshots_Task(self, call: Call, this: Machine, consolidate: bool | None, spec: Any) -> Any:
        def work() -> None:
            refuse_while_leased(this)
            self.remove(list(this.snapshots()))

        return self._tasks.run(call, this, work, times=2)

    def RevertToSnapshot_Task(self, call: Call, this: SnapshotNode, host: Any, stay_off: bool | None) -> Any:
        machine = this.machine

        def work() -> None:
            refuse_while_leased(machine)
            self.revert(this)

        return self._tasks.run(call, machine, work, times=2)

    def ConsolidateVMDisks_Task(self, call: Call, this: Machine) -> Any:
        def work() -> None:
            this.consolidate = False
            self._registry.touch(this)

        return self._tasks.run(call, this, work)

    def ReconfigVM_Task(self, call: Call, this: Machine, spec: Any) -> Any:
        """Change tracking, the annotation and extra settings: what is not simulated is refused, not ignored."""
        known = {"annotation", "changeTrackingEnabled", "changeVersion", "extraConfig"}
        asked = {info.name for info in spec._GetPropertyList() if getattr(spec, info.name) not in (None, [])}
        if asked - known:
            raise vmodl.fault.NotSupported(msg=f"Not simulated: {', '.join(sorted(asked - known))}")
        if spec.changeTrackingEnabled is not None:
            self._center.privileges.check("VirtualMachine.Config.ChangeTracking", this)
            if not this.trackable:
                text = "Changed block tracking is not supported for this virtual machine."
                raise vmodl.fault.NotSupported(msg=text)
        if spec.extraConfig:
            self._center.privileges.check("VirtualMachine.Config.AdvancedConfig", this)
        if spec.annotation is not None:
            self._center.privileges.check("VirtualMachine.Config.Annotation", this)

        def work() -> None:
            if spec.changeTrackingEnabled is not None and spec.changeTrackingEnabled != this.cbt:
                if this.current is not None:
                    raise vim.fault.InvalidState(
                        msg="Changed block tracking cannot be changed while the virtual machine has snapshots."
                    )
                this.cbt = spec.changeTrackingEnabled
            for option in spec.extraConfig:
                if str(option.value):
                    this.extra[option.key] = str(option.value)
                else:  # vSphere removes a setting so
                    this.extra.pop(option.key, None)
            if spec.annotation is not None:
                this.spec = replace(this.spec, annotation=spec.annotation)
            self._registry.touch(this)

        return self._tasks.run(call, this, work)

    # ---- the work; the registry's lock is held

    def _made(self, machine: Machine, name: str, about: str, quiesce: bool) -> Any:
        return self.create(machine, name, about, quiesce).ref

    def create(self, machine: Machine, name: str, about: str, quiesce: bool) -> SnapshotNode:
        """Freeze a machine. Raises the faults of CreateSnapshot_Task."""
        refuse_while_leased(machine)
        for disk in machine.disks:
            if disk.spec.sharing == "sharingMultiWriter" and not disk.independent:
                text = f"{disk.label} is shared by several writers."
                cause = vim.fault.MultiWriterNotSupported(device=disk.label, msg=text)
                raise vim.fault.SnapshotIncompatibleDeviceInVm(fault=cause, msg=text)
        above = machine.current
        if above is not None and sum(1 for node in _line(above)) >= DEEPEST:
            raise vim.fault.TooManySnapshotLevels(msg="The maximum number of snapshot levels is reached.")
        for call in self.before:
            call(machine)
        machine.stun()
        node = SnapshotNode(self._registry.new_id("snapshot"), machine, above)
        machine.snapshot_count += 1
        node.label, node.description, node.number = name, about, machine.snapshot_count
        node.created, node.power = self._center.now(), machine.power
        node.quiesced = quiesce and machine.running()
        for disk in machine.disks:
            if disk.independent:
                continue
            change_id, sequence = None, 0
            if machine.cbt_active:
                tracker = machine.tracker(disk)
                tracker.sequence += 1
                sequence = tracker.sequence
                change_id = tracker.change_id()
            node.held[disk.key] = Held(disk.content.freeze(), change_id, sequence, disk.open_name)
        node.config = describe.config(machine, node)
        (machine.roots if above is None else above.below).append(node)
        machine.current = node
        for key in node.held:
            machine.grow_chain(_disk(machine, key))
        self._registry.add(node)
        self._registry.touch(machine)
        for told in self.after:
            told(node)
        return node

    def revert(self, node: SnapshotNode) -> None:
        """Go back to a snapshot; what changed since is unknown, so tracking begins anew."""
        machine = node.machine
        refuse_while_leased(machine)
        machine.current = node
        for key, held in node.held.items():
            disk = machine.disk(key)
            if disk is not None:
                disk.content.revert(held.generation)
                machine.grow_chain(disk)
                if disk.tracker is not None:
                    disk.tracker = Tracker(new_epoch(disk.tracker.epoch))
        machine.power = "poweredOff"  # no snapshot here holds memory
        self._registry.touch(machine)

    def remove(self, nodes: list[SnapshotNode]) -> None:
        """Take snapshots away, each merged into what stands on it."""
        for node in nodes:
            if self._registry.objects.get(node.moid) is not node:
                continue
            machine, above = node.machine, node.above
            family = machine.roots if above is None else above.below
            where = family.index(node)
            family[where : where + 1] = node.below
            for below in node.below:
                below.above = above
            onto = machine.current is node
            if onto:
                machine.current = above
            for key, held in node.held.items():
                disk = machine.disk(key)
                if disk is not None:
                    disk.content.release(held.generation)
                    if onto:  # what was written since is merged into the file that was frozen
                        disk.delta = held.file_name if held.file_name != disk.file_name else ""
                    for below in node.below[:1]:
                        if key in below.held:
                            below.held[key].file_name = held.file_name
            self._registry.remove(node)
            machine.stun()
            self._registry.touch(machine)


def _disk(machine: Machine, key: int) -> VmDisk:
    found = machine.disk(key)
    assert found is not None
    return found


def _line(node: SnapshotNode | None) -> list[SnapshotNode]:
    """A snapshot and what it stands on."""
    found = []
    while node is not None:
        found.append(node)
        node = node.above
    return found


def _below(node: SnapshotNode) -> list[SnapshotNode]:
    found = []
    waiting = list(node.below)
    while waiting:
        one = waiting.pop()
        found.append(one)
        waiting.extend(one.below)
    return found
