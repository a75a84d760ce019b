"""The last inventory of each vCenter on this machine, so that the next start shows it at once with its age.

The file is a line about it and then lines of rows, not of objects: 20,000 machines are read in a third of a second
and the screen is not held up meanwhile.
"""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from dataclasses import asdict, fields
from datetime import datetime
from operator import attrgetter
from pathlib import Path
from typing import Any

from vmie_tui.gc_pause import collector_paused
from vmie_tui.model.errors import ErrorKind, ServiceError
from vmie_tui.model.machine import Backing, Disk, Firmware, GuestDisk, Inventory, Machine, Nic, Power, VCenterInfo
from vmie_tui.private_files import private_dir
from vmie_tui.settings import VCenterSettings

FORMAT = 2
BATCH = 200  # machines on one line: parsing a line holds the interpreter, and with it the screen, for 2 ms
_DISK = tuple(item.name for item in fields(Disk))
_NIC = tuple(item.name for item in fields(Nic))
_MACHINE = tuple(item.name for item in fields(Machine))
_GUEST_DISK = tuple(item.name for item in fields(GuestDisk))
_DISK_ROW, _NIC_ROW, _MACHINE_ROW = attrgetter(*_DISK), attrgetter(*_NIC), attrgetter(*_MACHINE)
_GUEST_DISK_ROW = attrgetter(*_GUEST_DISK)
_LAYOUT = {
    "disk": list(_DISK),
    "nic": list(_NIC),
    "guest_disk": list(_GUEST_DISK),
    "machine": list(_MACHINE),
}
_DISKS, _NICS, _FOLDER = _MACHINE.index("disks"), _MACHINE.index("nics"), _MACHINE.index("folder")
_GUEST_DISKS = _MACHINE.index("guest_disks")
_POWER, _FIRMWARE = _MACHINE.index("power"), _MACHINE.index("firmware")
_BACKING, _ADDRESSES = _DISK.index("backing"), _NIC.index("addresses")


def cache_file(cache_dir: Path, settings: VCenterSettings) -> Path:
    """One file per vCenter and user: another user sees other machines."""
    key = f"{settings.host.lower()}:{settings.port}|{settings.user.lower()}"
    return cache_dir / f"inventory-{hashlib.sha256(key.encode()).hexdigest()[:20]}.json"


def save_cached(cache_dir: Path, settings: VCenterSettings, inventory: Inventory) -> None:
    """Replace the file in one step, readable by its owner only. Raises ServiceError LOCAL (disk full)."""
    head = {
        "format": FORMAT,
        "layout": _LAYOUT,
        "vcenter": asdict(inventory.vcenter),
        "taken_at": inventory.taken_at.isoformat(),
        "unreadable": inventory.unreadable,
        "machines": len(inventory.machines),
    }
    target = cache_file(cache_dir, settings)
    temporary = ""
    try:
        private_dir(cache_dir)
        handle, temporary = tempfile.mkstemp(prefix=target.stem, suffix=".new", dir=cache_dir)  # made with mode 0600
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(json.dumps(head) + "\n")
            for at in range(0, len(inventory.machines), BATCH):
                rows = [_machine_row(machine) for machine in inventory.machines[at : at + BATCH]]
                file.write(json.dumps(rows, separators=(",", ":"), check_circular=False) + "\n")
        Path(temporary).replace(target)
    except OSError as error:
        if temporary:
            Path(temporary).unlink(missing_ok=True)
        raise ServiceError(
            ErrorKind.LOCAL,
            f"the inventory could not be kept: {error.strerror}",
            subject=str(target),
            remedy="Free space or correct the permissions; the program works without it",
            code=type(error).__name__,
        ) from error


def load_cached(cache_dir: Path, settings: VCenterSettings) -> Inventory | None:
    """The inventory kept last; None when there is none, or it is damaged or of another version."""
    try:
        with cache_file(cache_dir, settings).open(encoding="utf-8") as file, collector_paused():
            head = json.loads(file.readline())
            if head["format"] != FORMAT or head["layout"] != _LAYOUT:
                return None
            machines = tuple(_machine(row) for line in file for row in json.loads(line))
            if len(machines) != head["machines"]:
                return None
            return Inventory(
                vcenter=VCenterInfo(**head["vcenter"]),
                taken_at=_aware(head["taken_at"]),
                machines=machines,
                unreadable=int(head["unreadable"]),
            )
    except (OSError, ValueError, KeyError, TypeError, IndexError, AttributeError, RecursionError):
        return None


def _aware(text: str) -> datetime:
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError(text)
    return moment


def _machine_row(machine: Machine) -> list[Any]:
    row = list(_MACHINE_ROW(machine))
    row[_DISKS] = [_DISK_ROW(disk) for disk in machine.disks]
    row[_NICS] = [_NIC_ROW(nic) for nic in machine.nics]
    row[_GUEST_DISKS] = [_GUEST_DISK_ROW(disk) for disk in machine.guest_disks]
    return row


_POWERS = {member.value: member for member in Power}
_FIRMWARES = {member.value: member for member in Firmware}
_BACKINGS = {member.value: member for member in Backing}


def _machine(row: list[Any]) -> Machine:
    row[_DISKS] = tuple(_disk(disk) for disk in row[_DISKS])
    row[_NICS] = tuple(_nic(nic) for nic in row[_NICS])
    row[_GUEST_DISKS] = tuple(GuestDisk(*item) for item in row[_GUEST_DISKS])
    row[_FOLDER] = tuple(row[_FOLDER])
    row[_POWER] = _POWERS[row[_POWER]]
    row[_FIRMWARE] = _FIRMWARES[row[_FIRMWARE]]
    return Machine(*row)


def _disk(row: list[Any]) -> Disk:
    row[_BACKING] = _BACKINGS[row[_BACKING]]
    return Disk(*row)


def _nic(row: list[Any]) -> Nic:
    row[_ADDRESSES] = tuple(row[_ADDRESSES])
    return Nic(*row)
