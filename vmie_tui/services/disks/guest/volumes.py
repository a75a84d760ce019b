"""From disks to file systems: partition tables, volume groups, and each file system opened."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from vmie_tui.model.errors import ServiceError
from vmie_tui.model.guest import DiskFacts, Volume
from vmie_tui.services.disks.errors import DiskFormatError
from vmie_tui.services.disks.guest import lvm
from vmie_tui.services.disks.guest.btrfs import Btrfs
from vmie_tui.services.disks.guest.filesystems import FileSystem
from vmie_tui.services.disks.guest.identify import FILE_SYSTEMS, NOT_READ, identify, open_volume
from vmie_tui.services.disks.guest.tables import ESP, read_table
from vmie_tui.services.disks.guest.yal import parsing
from vmie_tui.services.disks.ranges import Slice
from vmie_tui.services.disks.source import ByteReader

_ESP_TYPES = {ESP, "ef"}

Miss = Callable[[str, str], None]


@dataclass(slots=True)
class Found:
    """A volume, its bytes (None when part of it is missing), and its file system when it could be opened."""

    volume: Volume
    source: ByteReader | None
    partition: int = 0
    active: bool = False
    esp: bool = False
    system: FileSystem | None = None

    @property
    def posix(self) -> FileSystem | None:
        """The file system when a Linux can live on it."""
        system = self.system
        return system if system is not None and system.kind in {"ext2", "ext3", "ext4", "xfs"} else None


def find_volumes(disks: Sequence[ByteReader], miss: Miss) -> tuple[tuple[DiskFacts, ...], list[Found]]:
    """Every volume on the disks. ``miss(what, why)`` is told what could not be read."""
    found: list[Found] = []
    tables = tuple(_disk(number, disk, found, miss) for number, disk in enumerate(disks))
    found += _logical(found, miss)
    for one in found:
        _open(one, miss)
    return tables, found


def _disk(number: int, disk: ByteReader, found: list[Found], miss: Miss) -> DiskFacts:
    try:
        with parsing("its partition table"):
            facts = read_table(disk, number, identify(disk))
    except DiskFormatError as error:  # the budget is used up, or the container is damaged here
        miss(f"disk {number + 1}", error.problem.what)
        return DiskFacts(number, disk.size, "")
    for part in facts.partitions:
        name = f"disk {number + 1}" + (f" partition {part.number}" if facts.table != "none" else "")
        if facts.dynamic:
            miss(name, "it belongs to the Logical Disk Manager")
            continue
        source = Slice(disk, part.offset, part.size)
        try:
            kind = identify(source)
        except ServiceError as error:
            miss(name, error.problem.what)
            continue
        esp = kind == "fat" and part.type in _ESP_TYPES
        found.append(Found(Volume(name, kind, part.size, number), source, part.number, part.active, esp))
    return facts


def _logical(found: Sequence[Found], miss: Miss) -> list[Found]:
    """The logical volumes of all groups."""
    physical, disk = [], 0
    for one in found:
        if one.volume.kind == "lvm" and one.source is not None:
            try:
                with parsing("its LVM label"):
                    physical.append(lvm.physical_volume(one.source))
                disk = disk or one.volume.disk
            except ServiceError as error:
                miss(one.volume.name, error.problem.what)
    try:
        with parsing("their metadata"):
            volumes = list(lvm.logical_volumes(physical))
    except ServiceError as error:
        miss("the volume groups", error.problem.what)
        return []
    result = []
    for volume in volumes:
        name, kind = f"{volume.group}/{volume.name}", ""
        if volume.source is None:
            miss(f"the files on {name}", volume.why)
        else:
            try:
                kind = identify(volume.source)
            except ServiceError as error:
                miss(name, error.problem.what)
                continue
        result.append(Found(Volume(name, kind, volume.size, disk, missing=volume.missing), volume.source))
    return result


def _open(found: Found, miss: Miss) -> None:
    kind, files = found.volume.kind, f"the files on {found.volume.name}"
    if kind in NOT_READ:
        miss(files, f"{kind} is not read")
    if kind not in FILE_SYSTEMS or found.source is None:
        return
    try:
        with parsing(f"its {kind} file system"):
            system = open_volume(kind, found.source)
    except ServiceError as error:
        miss(files, error.problem.what)
        return
    facts = replace(found.volume, kind=system.kind, uuid=system.uuid, label=system.label, dirty=system.dirty)
    if isinstance(system, Btrfs):
        found.volume = replace(facts, subvolumes=system.subvolumes)
        miss(files, "files on Btrfs are not read")
    else:
        found.volume, found.system = facts, system
