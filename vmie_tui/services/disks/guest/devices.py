"""Resolves the device names in an fstab, a boot loader or LVM to volumes.

Names that hold for any machine (UUID, label, PARTUUID, PARTLABEL, LVM's) are compared with the volumes. Names that
depend on the hardware (/dev/sda2, by-path, by-id) give the partition's number, and the disk as far as they tell it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Protocol

from vmie_tui.model.guest import Volume

_OCTAL = re.compile(r"\\([0-7]{3})")
_UDEV = re.compile(r"\\x([0-9a-fA-F]{2})")
_LETTERED = re.compile(r"/dev/(?:sd|hd|vd|xvd|ubd)([a-z]{1,2})([0-9]{0,3})")
_NVME = re.compile(r"/dev/nvme([0-9]{1,3})n([0-9]{1,3})(?:p([0-9]{1,3}))?")
_CARD = re.compile(r"/dev/mmcblk([0-9]{1,3})(?:p([0-9]{1,3}))?")
_PART = re.compile(r"-part([0-9]{1,3})$")
_MULTIPATH = re.compile(r"mpath[a-z]{1,3}(?:-part|p)?([0-9]{0,3})")
_TARGET = re.compile(r"-scsi-[0-9]{1,3}:[0-9]{1,3}:([0-9]{1,3}):[0-9]{1,3}(?:-part[0-9]{1,3})?$")
_ANY = -1  # a disk that the name does not tell
_TAGS = {"uuid": "by-uuid", "label": "by-label", "partuuid": "by-partuuid", "partlabel": "by-partlabel", "id": "by-id"}
_MOST = 4096  # characters of a name


class Named(Protocol):
    """What can be named: a volume, with what only its partition or logical volume tells."""

    @property
    def volume(self) -> Volume: ...
    @property
    def partition(self) -> int: ...
    @property
    def partuuid(self) -> str: ...
    @property
    def partlabel(self) -> str: ...
    @property
    def mapped(self) -> str: ...


def unescape(text: str) -> str:
    """A field of an fstab: ``\\040`` is a blank there."""
    return _OCTAL.sub(lambda match: chr(int(match[1], 8) & 0xFF), text)


def named(spec: str, volumes: Sequence[Named]) -> list[int]:
    """The places in ``volumes`` that ``spec`` may mean: one when it can be resolved; none, or several, when not."""
    spec = _plain(spec)
    tag, sign, value = spec.partition("=")
    folder = _TAGS.get(tag.lower(), "") if sign and "/" not in tag else ""
    if folder:
        value = _quoted(value)
    elif spec.startswith("/dev/disk/by-"):
        folder, _, value = spec.removeprefix("/dev/disk/").partition("/")
        value = _from_udev(value)
    if folder:
        return [place for place, one in enumerate(volumes) if _holds(folder, value, one)] or _by_hardware(
            folder, value, volumes
        )
    if not spec.startswith("/dev/"):
        return []
    logical = [place for place, one in enumerate(volumes) if one.mapped and spec in _logical_names(one)]
    if logical:
        return logical
    return _numbered(*_numbers(spec), volumes)


def by_place(spec: str) -> bool:
    """Whether a name depends on where a disk is attached, so that it may differ on another machine."""
    if spec.startswith(("/dev/disk/by-path/", "/dev/disk/by-id/")):
        return not spec.startswith("/dev/disk/by-id/dm-")
    return _numbers(spec)[1] >= 0


def _plain(spec: str) -> str:
    spec = spec.strip()[:_MOST]
    if spec.startswith("/"):  # as the kernel reads a path
        return "/" + "/".join(part for part in spec.split("/") if part not in {"", "."})
    return spec


def _quoted(value: str) -> str:
    """The value of UUID="...": quotes of both kinds are taken, fstab's escapes were undone before."""
    if len(value) >= 2 and value[0] in "\"'" and value[-1] == value[0]:
        return value[1:-1]
    return value


def _from_udev(value: str) -> str:
    """udev writes what may not stand in a file name as ``\\x20``, byte by byte of UTF-8."""
    raw = _UDEV.sub(lambda match: chr(int(match[1], 16)), value)
    try:
        return raw.encode("latin-1").decode("utf-8")
    except ValueError:  # has letters that were not escaped
        return raw


def _holds(folder: str, value: str, one: Named) -> bool:
    found: set[str] = set()
    if folder == "by-uuid":
        found, value = {one.volume.uuid.lower()}, value.lower()
    elif folder == "by-label":
        found = {one.volume.label}
    elif folder == "by-partuuid":
        found, value = {one.partuuid.lower()}, value.lower()
    elif folder == "by-partlabel":
        found = {one.partlabel}
    elif folder == "by-id" and one.mapped:
        found = {f"dm-uuid-LVM-{one.mapped}", f"dm-name-{_mapper(one.volume.name)}"}
    return value in found - {""}


def _mapper(name: str) -> str:
    """A group and a logical volume as one name of device mapper: hyphens inside are doubled."""
    group, _, volume = name.partition("/")
    return f"{group.replace('-', '--')}-{volume.replace('-', '--')}"


def _logical_names(one: Named) -> Iterator[str]:
    yield f"/dev/{one.volume.name}"
    yield f"/dev/mapper/{_mapper(one.volume.name)}"


def _by_hardware(folder: str, value: str, volumes: Sequence[Named]) -> list[int]:
    """by-id and by-path tell the partition, and by-path of a SCSI disk its place on the controller."""
    if folder not in {"by-id", "by-path"} or value.startswith(("dm-", "md-", "lvm-", "usb-")):
        return []
    part = _PART.search(value)
    target = _TARGET.search(value) if folder == "by-path" else None
    disks = {one.volume.disk for one in volumes if not one.mapped}
    disk = int(target[1]) if target and len(disks) > 1 else _ANY
    found = _numbered(disk, int(part[1]) if part else 0, volumes)
    return found or (_numbered(_ANY, int(part[1]) if part else 0, volumes) if disk != _ANY else [])


def _numbers(spec: str) -> tuple[int, int]:
    """(disk, partition) of a name that the kernel gives; partition -1 for no such name."""
    if match := _LETTERED.fullmatch(spec):
        disk = 0
        for letter in match[1]:
            disk = disk * 26 + ord(letter) - ord("a") + 1
        return disk - 1, int(match[2] or 0)
    if match := _NVME.fullmatch(spec):
        controller, space = int(match[1]), int(match[2]) - 1
        # Several disks are either name spaces of one controller, or have a controller each.
        return controller if not space else space if not controller else _ANY, int(match[3] or 0)
    if match := _CARD.fullmatch(spec):
        return int(match[1]), int(match[2] or 0)
    if match := _MULTIPATH.fullmatch(spec.removeprefix("/dev/mapper/")):
        return _ANY, int(match[1] or 0)
    return _ANY, -1


def _numbered(disk: int, partition: int, volumes: Sequence[Named]) -> list[int]:
    return [
        place
        for place, one in enumerate(volumes)
        if not one.mapped and one.partition == partition and disk in {_ANY, one.volume.disk}
    ]
