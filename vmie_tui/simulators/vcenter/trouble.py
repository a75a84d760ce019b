"""Changes to machines behind a replication's back, one action for each kind."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from vmie_tui.simulators.vcenter.describe import TOOLS_VERSION
from vmie_tui.simulators.vcenter.machine import Machine, SnapshotNode
from vmie_tui.simulators.vcenter.power import refuse_while_leased
from vmie_tui.simulators.vcenter.world import World

Given = dict[str, Any]
SOMEBODY = "somebody else's"  # the description of snapshots made here


class Trouble:
    """``POST trouble {"vm", "kind", ...}``; each kind with what more it takes:

    - ``epoch``: tracking begins anew, as after a host's crash.
    - ``grow`` ``key``, ``bytes``: somebody enlarged a disk (the first) by 1 MiB or to so many bytes; refused while
      there are snapshots.
    - ``revert`` ``snapshot``, ``remove``: somebody went back to a snapshot (the present one) or, where that is gone, to
      one that the witness saw, as a restored backup does; tracking begins anew. The machine stays powered as it is.
    - ``revert-same-epoch``: the same, but the change ids go on in the old epoch from the number they had then.
    - ``refuse-cbt``, ``allow-cbt``: the host does not track changed blocks.
    - ``migrate``: vMotion to the cluster's next host; files and tracking stay.
    - ``relocate`` ``datastore``: Storage vMotion to another datastore; file names change and tracking begins anew.
    - ``snapshot`` ``name``: somebody's own snapshot; ``unsnapshot`` ``name``: gone again, without a name all such ones.
    - ``tools`` ``state``: VMware Tools of that state from now on (toolsOk, toolsNotRunning, ...).
    - ``hang``, ``unhang``: the guest is told to shut down, and does not.
    - ``lock-owner``: while it runs only its own host can read its disks' files: vCenter asks another one for them, and
      /folder answers 500; ``no-lock-owner``: as usual again.
    - ``power`` ``state``.
    """

    def __init__(self, world: World) -> None:
        self._world = world
        self._kinds: dict[str, Callable[[Machine, Given], None]] = {
            "epoch": lambda machine, given: world.changed.reset(machine),
            "grow": self._grow,
            "revert": lambda machine, given: self._revert(machine, given, anew=True),
            "revert-same-epoch": lambda machine, given: self._revert(machine, given, anew=False),
            "refuse-cbt": lambda machine, given: setattr(machine, "trackable", False),
            "allow-cbt": lambda machine, given: setattr(machine, "trackable", True),
            "migrate": self._migrate,
            "relocate": self._relocate,
            "snapshot": self._snapshot,
            "unsnapshot": self._unsnapshot,
            "tools": self._tools,
            "hang": lambda machine, given: setattr(machine, "hangs", True),
            "unhang": lambda machine, given: setattr(machine, "hangs", False),
            "lock-owner": lambda machine, given: setattr(machine, "lock_owner", True),
            "no-lock-owner": lambda machine, given: setattr(machine, "lock_owner", False),
            "power": lambda machine, given: world.set_power(machine.moid, given["state"]),
        }

    def make(self, given: Given) -> Given:
        """Raises KeyError or ValueError for what is not there or cannot be now."""
        machine, kind = self._world.machine(given["vm"]), self._kinds.get(given["kind"])
        if kind is None:
            raise ValueError(f"no trouble of the kind {given['kind']}; there are {', '.join(self._kinds)}")
        with self._world.center.registry.lock:
            kind(machine, given)
            self._world.center.registry.touch(machine)
        return {
            "host": machine.spec.host,
            "power": machine.power,
            "disks": [{"key": disk.key, "file": disk.open_name, "capacity": disk.capacity} for disk in machine.disks],
        }

    def _grow(self, machine: Machine, given: Given) -> None:
        key = int(given.get("key") or machine.disks[0].key)
        disk = self._world.disk(machine.moid, key)
        self._world.grow_disk(machine.moid, key, int(given.get("bytes") or disk.capacity + (1 << 20)))

    def _tools(self, machine: Machine, given: Given) -> None:
        if given["state"] not in TOOLS_VERSION:
            raise ValueError(f"Tools cannot be {given['state']}")
        machine.spec = replace(machine.spec, tools=given["state"])

    def _revert(self, machine: Machine, given: Given, *, anew: bool) -> None:
        refuse_while_leased(machine)
        name = str(given.get("snapshot") or "")
        nodes = [node for node in machine.snapshots() if name in (node.label, node.moid)]
        node = nodes[-1] if nodes else machine.current if not name else None
        trackers = {disk.key: disk.tracker for disk in machine.disks}
        if node is not None:
            then = {key: held.sequence for key, held in node.held.items()}
            power = machine.power
            self._world.snapshots.revert(node)
            machine.power = power
        else:
            kept = self._world.witness.find(machine, name)
            then = {frozen.key: frozen.sequence for frozen in kept.disks}
            for frozen in kept.disks:
                self._world.disk(machine.moid, frozen.key).content.become(frozen.path)
            self._world.changed.reset(machine)
        if not anew:
            for disk in machine.disks:
                tracker = trackers[disk.key]
                if tracker is not None and disk.key in then:
                    tracker.sequence = max(then[disk.key], 1)
                    tracker.writes = [write for write in tracker.writes if write[0] < tracker.sequence]
                    disk.tracker = tracker
        if node is not None and given.get("remove"):
            self._world.snapshots.remove([node])

    def _migrate(self, machine: Machine, given: Given) -> None:
        refuse_while_leased(machine)
        self._world.builder.move_machine(machine)
        machine.stun()

    def _relocate(self, machine: Machine, given: Given) -> None:
        refuse_while_leased(machine)
        self._world.builder.relocate(machine, str(given.get("datastore") or ""))
        self._world.changed.reset(machine)
        machine.stun()

    def _snapshot(self, machine: Machine, given: Given) -> None:
        self._world.snapshots.create(machine, str(given.get("name") or "before an update"), SOMEBODY, quiesce=False)

    def _unsnapshot(self, machine: Machine, given: Given) -> None:
        name = given.get("name")
        found: list[SnapshotNode] = [
            node for node in machine.snapshots() if (node.label == name if name else node.description == SOMEBODY)
        ]
        if not found:
            raise ValueError(f"{machine.name} has no such snapshot")
        self._world.snapshots.remove(found)
