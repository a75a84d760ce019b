"""Keeps what snapshots froze for comparison: a sparse copy of each disk, even after its removal."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vmie_tui.simulators.vcenter.content import sparse_copy
from vmie_tui.simulators.vcenter.machine import Machine, SnapshotNode
from vmie_tui.simulators.vcenter.shared_state import Center


@dataclass(frozen=True, slots=True)
class Frozen:
    """One disk at the moment of a snapshot. ``change_id`` "" where changes were not tracked."""

    key: int
    path: Path
    capacity: int
    change_id: str
    sequence: int

    def told(self) -> dict[str, Any]:
        return {"key": self.key, "path": str(self.path), "capacity": self.capacity, "change_id": self.change_id}


@dataclass(frozen=True, slots=True)
class Kept:
    """One snapshot."""

    name: str
    moid: str
    disks: tuple[Frozen, ...]


class Witness:
    """Copies live below ``center.root``; the registry's lock is held by whoever calls."""

    def __init__(self, center: Center) -> None:
        self._center = center
        self._root = center.root / "witness"
        self._everywhere = False
        self._watched: set[str] = set()
        self._kept: dict[str, list[Kept]] = {}  # by machine id, oldest first

    def watch(self, machine: Machine | None, on: bool) -> None:
        """Keep what later snapshots freeze, of one machine or of all; or stop doing so."""
        if machine is None:
            self._everywhere = on
            self._watched.clear()
        elif on:
            self._watched.add(machine.moid)
        else:
            self._watched.discard(machine.moid)

    def saw(self, node: SnapshotNode) -> None:
        """A snapshot was made."""
        machine = node.machine
        if not self._everywhere and machine.moid not in self._watched:
            return
        folder = self._root / machine.moid
        folder.mkdir(parents=True, exist_ok=True)
        disks = []
        for key, held in node.held.items():
            disk = machine.disk(key)
            if disk is not None:
                target = folder / f"{node.moid}-{key}.raw"
                with disk.content.held(held.generation) as path:
                    sparse_copy(path, target)
                disks.append(Frozen(key, target, disk.capacity, held.change_id or "", held.sequence))
        self._kept.setdefault(machine.moid, []).append(Kept(node.label, node.moid, tuple(disks)))

    def snapshots(self, machine: Machine) -> list[Kept]:
        """Oldest first."""
        return list(self._kept.get(machine.moid, ()))

    def find(self, machine: Machine, snapshot: str) -> Kept:
        """The newest of that name or id, "" for the newest of all; raises KeyError."""
        for kept in reversed(self._kept.get(machine.moid, ())):
            if snapshot in ("", kept.name, kept.moid):
                return kept
        raise KeyError(f"no snapshot '{snapshot}' of {machine.name} was witnessed")

    def drop(self, machine: Machine | None = None) -> None:
        """Delete the copies of a machine, or all."""
        for moid in [machine.moid] if machine is not None else list(self._kept):
            self._kept.pop(moid, None)
            shutil.rmtree(self._root / moid, ignore_errors=True)

    def close(self) -> None:
        """Forget everything, also what an earlier run left behind."""
        self._kept.clear()
        shutil.rmtree(self._root, ignore_errors=True)
