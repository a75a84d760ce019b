"""QueryChangedDiskAreas: which parts of a disk hold data, or changed since a change id."""

from __future__ import annotations

from typing import Any

from pyVmomi import vim, vmodl

from vmie_tui.simulators.vcenter.calls import Call
from vmie_tui.simulators.vcenter.content import data_extents
from vmie_tui.simulators.vcenter.machine import GRAIN, Machine, SnapshotNode, Tracker, VmDisk, new_epoch
from vmie_tui.simulators.vcenter.power import ON, wrong_power
from vmie_tui.simulators.vcenter.shared_state import Center
from vmie_tui.simulators.vcenter.values import data

Extents = list[tuple[int, int]]  # (start, end)


def _bad(name: str) -> Any:
    return vmodl.fault.InvalidArgument(invalidProperty=name, msg=f"A specified parameter was not correct: {name}")


def merge(extents: Extents) -> Extents:
    """Extents in order, touching ones joined."""
    joined: Extents = []
    for start, end in sorted(extents):
        if joined and start <= joined[-1][1]:
            joined[-1] = (joined[-1][0], max(joined[-1][1], end))
        else:
            joined.append((start, end))
    return joined


class ChangedBlocks:
    """The change tracking side of machines."""

    def __init__(self, center: Center) -> None:
        self._center = center

    def write(self, machine: Machine, disk: VmDisk, offset: int, content: bytes) -> None:
        """Records that the guest wrote to a disk."""
        disk.content.write(offset, content)
        if machine.cbt_active:
            machine.tracker(disk).wrote(offset, offset + len(content), disk.capacity)

    def reset(self, machine: Machine) -> None:
        """Tracking starts anew, as after a crash of the host: the UUID part of all change ids changes."""
        for disk in machine.disks:
            if disk.tracker is not None:
                disk.tracker = Tracker(new_epoch(disk.tracker.epoch))
        self._center.registry.touch(machine)

    # ---- SOAP method

    def QueryChangedDiskAreas(
        self, call: Call, this: Machine, snapshot: Any, key: int, start: int, change_id: str
    ) -> Any:
        disk = this.disk(key)
        if disk is None:
            raise _bad("deviceKey")
        if not 0 <= start < disk.capacity:
            raise _bad("startOffset")
        node = None
        if snapshot is not None:
            found = self._center.registry.find(snapshot)
            if not isinstance(found, SnapshotNode) or found.machine is not this or key not in found.held:
                raise _bad("snapshot")
            node = found
        elif this.power == ON:
            raise wrong_power(this, None)
        if not this.trackable or not this.cbt_active or (node is not None and node.held[key].change_id is None):
            raise vim.fault.FileFault(file=disk.file_name, msg=f"Error caused by file {disk.file_name}")
        extents = self._allocated(disk, node) if change_id == "*" else self._since(this, disk, node, change_id)
        return self._answer(disk, merge([(max(low, start), high) for low, high in extents if high > start]), start)

    def _allocated(self, disk: VmDisk, node: SnapshotNode | None) -> Extents:
        if disk.datastore.value("summary").type == "NFS":
            return [(0, disk.capacity)]  # NFS does not say what is allocated
        generation = disk.content.generation if node is None else node.held[disk.key].generation
        with disk.content.held(generation) as path:
            return [
                (offset // GRAIN * GRAIN, min(-(-(offset + length) // GRAIN) * GRAIN, disk.capacity))
                for offset, length in data_extents(path, disk.capacity)
            ]

    def _since(self, machine: Machine, disk: VmDisk, node: SnapshotNode | None, change_id: str) -> Extents:
        tracker = machine.tracker(disk)
        epoch, _, number = change_id.rpartition("/")
        until = tracker.sequence + 1 if node is None else node.held[disk.key].sequence
        if epoch != tracker.epoch or not number.isdigit() or int(number) > until:
            raise _bad("changeId")
        return [(low, high) for sequence, low, high in tracker.writes if int(number) <= sequence < until]

    def _answer(self, disk: VmDisk, extents: Extents, start: int) -> Any:
        """A DiskChangeInfo; shorter than the rest of the disk when there are too many extents for one answer."""
        kept = extents[: self._center.options.changed_limit]
        ends = disk.capacity if len(kept) == len(extents) else kept[-1][1]
        extent = vim.VirtualMachine.DiskChangeInfo.DiskChangeExtent
        return data(
            vim.VirtualMachine.DiskChangeInfo,
            startOffset=start,
            length=ends - start,
            changedArea=[data(extent, start=low, length=high - low) for low, high in kept],
        )
