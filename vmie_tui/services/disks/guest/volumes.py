"""From disks to file systems: partition tables, volume groups, and each file system opened."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from vmie_tui.model.errors import ServiceError
from vmie_tui.model.guest import TITLES, DiskFacts, Partition, Volume
from vmie_tui.services.disks.errors import DiskFormatError
from vmie_tui.services.disks.guest import lvm
from vmie_tui.services.disks.guest.btrfs import Btrfs
from vmie_tui.services.disks.guest.filesystems import FileSystem
from vmie_tui.services.disks.guest.identify import (
    FILE_SYSTEMS,
    array_of_disk,
    extent,
    identify,
    open_volume,
    suspended,
    unread,
)
from vmie_tui.services.disks.guest.partition_tables import BIOS_BOOT, ESP, SECTOR, read_table
from vmie_tui.services.disks.guest.yal import parsing
from vmie_tui.services.disks.streams.ranges import Slice
from vmie_tui.services.disks.streams.source import ByteReader

_ESP_TYPES = {ESP, "ef"}
# Partitions that hold no file system: boot code of GRUB, Microsoft's reserved one, PReP.
_BARE_TYPES = {BIOS_BOOT, "e3c9e316-0b5c-4db8-817d-f92df00215ae", "9e1a2d38-c612-4316-aa26-8b49521e5a8b", "41"}
_NATIVE = 4096  # bytes of a sector of disks without emulation
_SLACK = 1 << 20
_LOOKED = 64 << 10  # bytes from the start: a volume of zeros is empty
_GROWS = {"ext", "xfs", "btrfs"}  # Linux mounts none of these when it is larger than its device

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
    partuuid: str = ""
    partlabel: str = ""
    mapped: str = ""  # of a logical volume: the ids of group and volume
    bare: bool = False  # no file system belongs here

    @property
    def posix(self) -> FileSystem | None:
        """The file system when a Linux can live on it."""
        system = self.system
        return system if system is not None and system.kind in {"ext2", "ext3", "ext4", "xfs"} else None


def find_volumes(disks: Sequence[ByteReader], miss: Miss) -> tuple[tuple[DiskFacts, ...], list[Found]]:
    """Every volume on the disks. ``miss(what, why)`` is told what could not be read."""
    found: list[Found] = []
    tables = [_disk(number, disk, found, miss) for number, disk in enumerate(disks)]
    for number in _whole_members(disks, tables):
        # What is partitioned is the array, not its members: each would look like the whole system once more.
        facts = tables[number]
        tables[number] = DiskFacts(number, facts.size, "none", (Partition(0, 0, facts.size, ""),))
        found = [one for one in found if one.volume.disk != number]
        found.append(Found(Volume(f"disk {number + 1}", "mdraid", facts.size, number), disks[number]))
    found += _logical(found, miss)
    for one in found:
        _open(one, miss)
    return tuple(tables), found


def _whole_members(disks: Sequence[ByteReader], tables: Sequence[DiskFacts]) -> list[int]:
    """The partitioned disks of which several say at their end that they belong to the same array."""
    arrays: dict[bytes, list[int]] = {}
    for number, facts in enumerate(tables) if len(disks) > 1 else ():
        try:
            if facts.table in {"mbr", "gpt"} and (array := array_of_disk(disks[number])):
                arrays.setdefault(array, []).append(number)
        except ServiceError:
            continue  # its end cannot be read, so that it counts as it is
    return sorted(number for members in arrays.values() if len(members) > 1 for number in members)


def _disk(number: int, disk: ByteReader, found: list[Found], miss: Miss) -> DiskFacts:
    try:
        with parsing("its partition table"):
            facts = read_table(disk, number, identify(disk, end=False))
            if not facts.table and (whole := identify(disk)):
                facts = read_table(disk, number, whole)
            if facts.table == "mbr" and _native(disk, facts):
                facts = read_table(disk, number, "", sector=_NATIVE)
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
            kind = "" if part.type in _BARE_TYPES else identify(source)
        except ServiceError as error:
            miss(name, error.problem.what)
            continue
        esp = kind == "fat" and part.type in _ESP_TYPES
        volume = Volume(name, kind, part.size, number)
        bare = part.type in _BARE_TYPES
        found.append(
            Found(volume, source, part.number, part.active, esp, partuuid=part.uuid, partlabel=part.name, bare=bare)
        )
    return facts


def _native(disk: ByteReader, facts: DiskFacts) -> bool:
    """Whether an MBR counts in sectors of 4096 bytes: there is something then, and nothing where it says by 512."""
    places = [part.offset // SECTOR for part in facts.partitions]
    if any(identify(Slice(disk, part.offset, part.size), end=False) for part in facts.partitions):
        return False
    starts = [at * _NATIVE for at in places if at * _NATIVE < disk.size]
    return any(identify(Slice(disk, at, disk.size - at), end=False) for at in starts)


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
        result.append(
            Found(
                Volume(name, kind, volume.size, disk, missing=volume.missing),
                volume.source,
                mapped=volume.ident or name,
            )
        )
    return result


def _open(found: Found, miss: Miss) -> None:
    kind, files = found.volume.kind, f"the files on {found.volume.name}"
    if found.source is None:
        return
    try:
        if unread(kind):
            miss(files, f"{TITLES.get(kind, kind)} is not read")
        elif kind == "swap":
            found.volume = replace(found.volume, suspended=suspended(found.source))
        elif not kind and not found.bare and any(found.source.read_at(0, _LOOKED)):
            miss(files, "what is on it is not known")
        if kind not in FILE_SYSTEMS:
            return
        with parsing(f"its {kind} file system"):
            beyond = extent(kind, found.source) - found.volume.size
            found.volume = replace(found.volume, beyond=beyond if beyond > (kind not in _GROWS) * _SLACK else 0)
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
