"""Reads an OVF descriptor: which files are the disks, in the order of the hardware, and what that hardware is.

The text comes from elsewhere: it is bounded, may declare no entities, and names files beside itself only.
"""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import PurePosixPath
from urllib.parse import unquote

from vmie_tui.model import facts
from vmie_tui.model.errors import ErrorKind
from vmie_tui.model.machine import Firmware, Nic
from vmie_tui.services.disks.errors import DiskFormatError, corrupt

MAX_OVF = 1 << 20
_CPU, _MEMORY, _NIC, _DISK = "3", "4", "10", "17"  # CIM resource types
_MIB = {"byte * 2^20": 1.0, "MegaBytes": 1.0, "MB": 1.0, "byte * 2^30": 1024.0, "GigaBytes": 1024.0, "KB": 1 / 1024}


@dataclass(frozen=True, slots=True)
class OvfDisk:
    """``file``: its name beside the descriptor; ``capacity``, ``size``: bytes of disk and file, None if unsaid."""

    file: str
    label: str = ""
    capacity: int | None = None
    size: int | None = None


@dataclass(frozen=True, slots=True)
class Ovf:
    """One machine. ``guest_id`` is vSphere's (``debian12_64Guest``), ``guest_name`` the description; "" when unsaid."""

    name: str = ""
    disks: tuple[OvfDisk, ...] = ()
    firmware: Firmware | None = None
    secure_boot: bool = False
    cpus: int = 1
    memory_mib: int = 1024
    guest_id: str = ""
    guest_name: str = ""
    nics: tuple[Nic, ...] = ()


def is_ovf(head: bytes) -> bool:
    """Whether a file that begins so is an OVF descriptor."""
    text = head.removeprefix(b"\xef\xbb\xbf").lstrip()
    return text.startswith((b"<?xml", b"<")) and b"Envelope" in text[:4096]


def parse_ovf(text: bytes) -> Ovf:
    """Raises ``DiskFormatError``: CORRUPT for what is no OVF; INVALID for disks in chunks (E03) or compressed files."""
    if len(text) > MAX_OVF or b"<!DOCTYPE" in text or b"<!ENTITY" in text:
        raise corrupt("the OVF descriptor is too large, or declares entities")
    try:
        root = ET.fromstring(text.rstrip(b"\0"))  # noqa: S314 - bounded, without entities
    except (ET.ParseError, ValueError, LookupError) as error:
        raise corrupt(f"the OVF descriptor cannot be read: {error}") from error
    files = {_at(item, "id"): _file(item) for item in _all(root, "File")}
    sizes = {_file(item): int(size) for item in _all(root, "File") if (size := _at(item, "size")[:19]).isdigit()}
    disks = {
        _at(item, "diskId"): (files.get(_at(item, "fileRef"), ""), _capacity(item))
        for item in _all(root, "Disk")
        if _at(item, "fileRef")
    }
    system = next(_all(root, "VirtualSystem"), root)
    items = list(_all(system, "Item")) + list(_all(system, "StorageItem")) + list(_all(system, "EthernetPortItem"))
    config = {_at(item, "key"): _at(item, "value") for item in _all(system, "Config")}
    section = next(_all(system, "OperatingSystemSection"), None)
    return Ovf(
        name=_text(system, "Name") or _at(system, "id"),
        disks=tuple(replace(disk, size=sizes.get(disk.file)) for disk in _ordered(items, disks)),
        firmware=_FIRMWARE.get(config.get("firmware", "")),
        secure_boot=config.get("bootOptions.efiSecureBootEnabled", "") == "true",
        cpus=max(1, int(_quantity(items, _CPU) or 1)),
        memory_mib=max(1, int(_memory(items))),
        guest_id=_at(section, "osType") if section is not None else "",
        guest_name=_text(section, "Description") if section is not None else "",
        nics=tuple(Nic(_text(item, "ElementName") or "network") for item in _of(items, _NIC)),
    )


_FIRMWARE = {"efi": Firmware.UEFI, "bios": Firmware.BIOS}


def _all(element: ET.Element, name: str) -> Iterator[ET.Element]:
    return (item for item in element.iter() if item.tag.rpartition("}")[2] == name)


def _at(element: ET.Element, name: str) -> str:
    """An attribute, whatever namespace it has."""
    return next((value for key, value in element.attrib.items() if key.rpartition("}")[2] == name), "")


def _text(element: ET.Element, name: str) -> str:
    """The text of a direct child."""
    child = next((item for item in element if item.tag.rpartition("}")[2] == name), None)
    return (child.text or "").strip() if child is not None else ""


def _file(item: ET.Element) -> str:
    if _at(item, "chunkSize"):
        known = facts.error("E03")
        raise DiskFormatError(
            ErrorKind.INVALID,
            "the OVF's disks are split in chunks",
            remedy="Export it again with each disk in one file",
            code=known["code"],
            detail=known["message"],
        )
    name = unquote(_at(item, "href"))
    if _at(item, "compression") not in {"", "identity"}:
        raise DiskFormatError(ErrorKind.INVALID, f"the OVF's file {name} is compressed", remedy="Unpack it first")
    path = PurePosixPath(name)
    if not name or path.is_absolute() or ".." in path.parts or "://" in name:
        raise DiskFormatError(
            ErrorKind.INVALID, f"the OVF names {name or 'a file'} elsewhere", remedy="Put its files beside it"
        )
    return name


def _capacity(item: ET.Element) -> int | None:
    """Bytes; units read like ``byte * 2^30``."""
    count, unit = _at(item, "capacity"), _at(item, "capacityAllocationUnits").replace(" ", "")
    power = unit.removeprefix("byte*2^")
    if not count.isdigit() or len(count) > 19:
        return None
    return int(count) << int(power) if power.isdigit() and int(power) < 60 else int(count) if not unit else None


def _ordered(items: list[ET.Element], disks: dict[str, tuple[str, int | None]]) -> tuple[OvfDisk, ...]:
    """The disks as the hardware lists them; as the disk section does where the hardware does not name them all."""
    found: dict[str, OvfDisk] = {}
    for item in _of(items, _DISK):
        ident = _text(item, "HostResource").rpartition("/")[2]
        if ident in disks and disks[ident][0]:
            found[ident] = OvfDisk(disks[ident][0], _text(item, "ElementName"), disks[ident][1])
    rest = {ident: OvfDisk(file, "", size) for ident, (file, size) in disks.items() if file and ident not in found}
    return (*found.values(), *rest.values())


def _of(items: list[ET.Element], kind: str) -> list[ET.Element]:
    return [item for item in items if _text(item, "ResourceType") == kind]


def _quantity(items: list[ET.Element], kind: str) -> float:
    words = next((_text(item, "VirtualQuantity") for item in _of(items, kind)), "")
    return float(words) if words.isdigit() and len(words) < 12 else 0


def _memory(items: list[ET.Element]) -> float:
    unit = next((_text(item, "AllocationUnits") for item in _of(items, _MEMORY)), "")
    return (_quantity(items, _MEMORY) or 1024) * _MIB.get(unit, 1.0)
