"""Reads an OVF descriptor (DSP0243): which files are the disks, boot disk first, and what the hardware is.

The text comes from elsewhere: it is bounded, decoded before anything is looked for in it, may have no document type
(and so no entities), and names files beside itself only.
"""

from __future__ import annotations

import codecs
import xml.etree.ElementTree as ET
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import PurePosixPath
from typing import NoReturn
from urllib.parse import unquote
from xml.parsers import expat

from vmie_tui.model.errors import ErrorKind
from vmie_tui.model.machine import Firmware, Nic
from vmie_tui.services.disks.errors import DiskFormatError, documented

MAX_OVF = 1 << 20
HEAD = 8192  # bytes that tell an OVF
DISK_NAMES = (".vmdk", ".vhd", ".vhdx", ".img", ".raw", ".qcow2", ".vdi")
_DEPTH = 200  # of elements inside each other; real descriptors have about ten
_CPU, _MEMORY, _IDE, _NIC, _OTHER_STORAGE = "3", "4", "5", "10", "20"  # CIM resource types
_REMOVABLE = frozenset({"14", "15", "16"})  # floppy, CD, DVD
_BUSES = frozenset({_IDE, "6", "7", "8", _OTHER_STORAGE})  # IDE, SCSI, Fibre Channel, iSCSI; SATA and NVMe
_UNSAID_MIB = 1024


@dataclass(frozen=True, slots=True)
class OvfDisk:
    """A disk of the machine that the OVF describes."""

    file: str  # its name beside the descriptor
    label: str = ""
    capacity: int | None = None  # bytes of the disk; None if unsaid
    size: int | None = None  # bytes of the file; None if unsaid
    href: str = ""  # the name as it stands there, before %-escapes are decoded
    parent: str = ""  # file of the disk that this one is only the difference to


@dataclass(frozen=True, slots=True)
class Ovf:
    """One machine; texts are "" when unsaid."""

    name: str = ""
    disks: tuple[OvfDisk, ...] = ()
    firmware: Firmware | None = None
    secure_boot: bool = False
    cpus: int = 1
    memory_mib: int = _UNSAID_MIB
    guest_id: str = ""  # vSphere's: ``debian12_64Guest``
    guest_name: str = ""  # the description
    nics: tuple[Nic, ...] = ()
    empty: tuple[tuple[str, int | None], ...] = ()  # disks without a file: name, bytes if said
    others: tuple[OvfDisk, ...] = ()  # files that are no disks: an ISO, the NVRAM
    doubts: tuple[str, ...] = ()  # what could not be understood, in words


def is_ovf(head: bytes) -> bool:
    """Whether a file that begins so is an OVF descriptor."""
    text = head[:HEAD].decode(_by_its_bytes(head) or "utf-8", "replace").lstrip(_BLANK)
    return text.startswith("<") and "Envelope" in text


def parse_ovf(data: bytes) -> Ovf:
    """Raises ``DiskFormatError``: CORRUPT for what is no OVF; INVALID for disks in chunks (E03), compressed ones, ones
    elsewhere, and a descriptor of several machines.
    """
    root = _tree(_decoded(data))
    if root.tag != "Envelope":
        raise _unreadable(f"the OVF descriptor is none: it begins with <{root.tag[:40]}>, not with <Envelope>")
    system = _system(root)
    hardware = _hardware(system)
    items = _chosen(root, hardware)
    files, disks = _files(root), _disks(root)
    used, empty = _used(items, disks, _boot_ids(system))
    elsewhere = _named_by(root, disks)  # by another configuration, by memory, or as the base of a difference
    rest = [disk for ident, disk in disks.items() if ident not in used and ident not in elsewhere]
    chosen = [(disk, label) for disk, label in used.values()] + [(disk, "") for disk in rest if _at(disk, "fileRef")]
    doubts: list[str] = []
    found = tuple(_disk(disk, label, files, disks, doubts) for disk, label in chosen)
    if not found and not empty:  # an OVA's disks are known by their names then, and must be whole as well
        for file in files.values():
            if _at(file, "href").lower().endswith(DISK_NAMES):
                _name(file)
    config = {_at(item, "key"): _at(item, "value").lower() for item in _all(system, "Config", "ExtraConfig")}
    section = next(_all(system, "OperatingSystemSection"), None)
    taken = {disk.href for disk in found}
    return Ovf(
        name=_text(system, "Name") or _at(system, "id"),
        disks=found,
        firmware=_FIRMWARE.get(config.get("firmware", "")) or _firmware_of_others(system),
        secure_boot=config.get("bootOptions.efiSecureBootEnabled", "") == "true" or _text(system, "BiosType") == "4",
        cpus=max(1, int(_quantity(items, _CPU) or _sockets(items))),
        memory_mib=_memory(items, doubts),
        guest_id=_at(section, "osType") if section is not None else "",
        guest_name=_text(section, "Description") if section is not None else "",
        nics=tuple(Nic(_text(item, "ElementName") or "network") for item in _of(items, _NIC)),
        empty=tuple(
            (label or _at(disk, "diskId"), _capacity(disk, []))
            for disk, label in [*empty, *((disk, "") for disk in rest if not _at(disk, "fileRef"))]
        ),
        others=tuple(
            OvfDisk(_plain_name(href), size=_whole(_at(file, "size")), href=href)
            for file in files.values()
            if (href := _at(file, "href")) and href not in taken
        ),
        doubts=tuple(doubts),
    )


def _unreadable(what: str, remedy: str = "Export the VM again, or correct its .ovf file") -> DiskFormatError:
    return DiskFormatError(ErrorKind.CORRUPT, what, remedy=remedy)


# -- from bytes to elements

_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
    (b"<\0\0\0", "utf-32-le"),
    (b"\0\0\0<", "utf-32-be"),
    (b"<\0", "utf-16-le"),
    (b"\0<", "utf-16-be"),
)
_BLANK = "\ufeff \t\r\n"
# Prefixes of what Python calls the encodings that XML descriptors are written in.
_TEXT_ENCODINGS = (
    "utf-8", "ascii", "iso8859", "iso2022", "cp", "gb", "big5", "shift_jis", "euc_", "koi8", "latin", "tis-620", "mac-",
)  # fmt: skip
# Names that IANA knows and Python does not.
_OTHER_NAMES = {"windows-31j": "cp932", "x-sjis": "cp932", "windows-874": "cp874", "windows-949": "cp949"}
_OTHER_NAMES |= {"x-mac-roman": "mac-roman"}


def _by_its_bytes(data: bytes) -> str:
    """The encoding that the first bytes prove, whatever the text declares; "" when they leave it open."""
    return next((name for mark, name in _MARKS if data.startswith(mark)), "")


def _declared(data: bytes) -> str:
    """What the XML declaration of a text in some 8-bit encoding says of its encoding; "" when it says nothing."""
    line = data[:256].lstrip()
    if not line.startswith(b"<?xml"):
        return ""
    _, found, after = line.partition(b"?>")[0].decode("latin-1").partition("encoding")
    value = after.lstrip().removeprefix("=").lstrip()
    return value[1:].partition(value[0])[0].strip() if found and value[:1] in {'"', "'"} else ""


def _decoded(data: bytes) -> str:
    if len(data) > MAX_OVF:
        raise _unreadable(f"the OVF descriptor has more than {MAX_OVF >> 20} MiB")
    name = _by_its_bytes(data)
    if not name:
        said = _declared(data) or "utf-8"
        # A text that was read this far is of 8-bit characters: "UTF-16" is left from the program that first wrote it.
        name = "utf-8" if said.lower().startswith(("utf-16", "utf-32", "ucs")) else said
        name = _OTHER_NAMES.get(name.lower(), name)
        try:
            known = codecs.lookup(name).name
        except (LookupError, ValueError):
            known = ""
        if not known.startswith(_TEXT_ENCODINGS):
            raise _unreadable(f"the OVF descriptor is in an encoding that is not known: {said[:40]}")
    try:
        return data.decode(name).rstrip("\0").lstrip(_BLANK)
    except ValueError as error:
        raise _unreadable(f"the OVF descriptor is no valid {name.upper()} text: {error}") from error


def _tree(text: str) -> ET.Element:
    """The elements, their names and attributes without prefixes: descriptors edited by hand use undeclared ones."""
    builder, depth = ET.TreeBuilder(), 0

    def start(name: str, attributes: dict[str, str]) -> None:
        nonlocal depth
        depth += 1
        if depth > _DEPTH:
            raise _unreadable(f"the OVF descriptor has more than {_DEPTH} elements inside each other")
        builder.start(_local(name), {_local(key): attributes[key] for key in attributes if not key.startswith("xmlns")})

    def end(name: str) -> None:
        nonlocal depth
        depth -= 1
        builder.end(_local(name))

    def document_type(*_: object) -> NoReturn:
        raise _unreadable("the OVF descriptor declares entities or a document type", "Take its <!DOCTYPE …> out")

    parser = expat.ParserCreate()
    parser.buffer_text = True
    parser.StartElementHandler, parser.EndElementHandler = start, end
    parser.CharacterDataHandler = builder.data
    parser.StartDoctypeDeclHandler = document_type
    try:
        parser.Parse(text, True)
        return builder.close()
    except (expat.ExpatError, ValueError, AssertionError) as error:
        raise _unreadable(f"the OVF descriptor cannot be read: {error}") from error


def _local(name: str) -> str:
    return name.rpartition(":")[2]


def _all(element: ET.Element, *names: str) -> Iterator[ET.Element]:
    return (item for item in element.iter() if item.tag in names)


def _at(element: ET.Element, name: str) -> str:
    return element.get(name, "")


def _text(element: ET.Element, name: str) -> str:
    """The text of a direct child."""
    child = element.find(name)
    return (child.text or "").strip() if child is not None else ""


def _ident(item: ET.Element) -> str:
    """A hardware item's number; OVF 0.9 and oVirt write it with a small d."""
    return _text(item, "InstanceID") or _text(item, "InstanceId")


# -- the machine


def _system(root: ET.Element) -> ET.Element:
    """The one machine, also as OVF 0.9 and oVirt write it."""
    found = list(_all(root, "VirtualSystem"))
    found = found or [item for item in _all(root, "Content") if "VirtualSystem_Type" in _at(item, "type")]
    if len(found) > 1:
        names = [_text(system, "Name") or _at(system, "id") or "without a name" for system in found]
        raise DiskFormatError(
            ErrorKind.INVALID,
            f"the OVF describes {len(names)} machines: {', '.join(names[:10])}{', …' if len(names) > 10 else ''}",
            remedy="Deploy it where it came from and export each machine by itself",
        )
    return found[0] if found else root


def _hardware(system: ET.Element) -> ET.Element:
    """The hardware section: the first of several, which are alternatives for different hypervisors."""
    found = next(_all(system, "VirtualHardwareSection"), None)
    if found is not None:
        return found
    sections = (item for item in _all(system, "Section") if "VirtualHardwareSection" in _at(item, "type"))
    return next(sections, system)


def _chosen(root: ET.Element, hardware: ET.Element) -> list[ET.Element]:
    """The hardware's items in the default configuration; those that only bound a value are left out.

    An item of the configuration stands in place of a general one with the same InstanceID (DSP0243, 9.8).
    """
    options = [_at(item, "id") for item in _all(root, "Configuration")]
    marked = [_at(item, "id") for item in _all(root, "Configuration") if _at(item, "default") in {"true", "1"}]
    chosen = (marked or options or [""])[0]
    items = [
        item
        for item in _all(hardware, "Item", "StorageItem", "EthernetPortItem")
        if _at(item, "bound") in {"", "normal"}
        and (not options or not _at(item, "configuration") or chosen in _at(item, "configuration").split())
    ]
    if not options:
        return items
    special = {_ident(item) for item in items if _at(item, "configuration")} - {""}
    return [item for item in items if _at(item, "configuration") or _ident(item) not in special]


def _of(items: list[ET.Element], kind: str) -> list[ET.Element]:
    return [item for item in items if _text(item, "ResourceType") == kind]


_FIRMWARE = {"efi": Firmware.UEFI, "bios": Firmware.BIOS}


def _firmware_of_others(system: ET.Element) -> Firmware | None:
    """As VirtualBox adds it (BIOS, EFI, EFI32, EFI64, EFIDUAL), and oVirt (3 and 4 are UEFI, 4 with Secure Boot)."""
    if _text(system, "BiosType"):
        return Firmware.UEFI if _text(system, "BiosType") in {"3", "4"} else Firmware.BIOS
    for machine in _all(system, "Machine"):
        for item in _all(machine, "Firmware"):
            return Firmware.UEFI if _at(item, "type").upper().startswith("EFI") else Firmware.BIOS
    return None


# -- quantities

_LEGACY = {"k": 10, "m": 20, "g": 30, "t": 40, "p": 50}  # OVF before DSP0004: KiloBytes, MB, … are powers of two
_LONG = {
    "kilo": "k", "mega": "m", "giga": "g", "tera": "t", "peta": "p",
    "kibi": "k", "mebi": "m", "gibi": "g", "tebi": "t", "pebi": "p",
    "ki": "k", "mi": "m", "gi": "g", "ti": "t", "pi": "p",
}  # fmt: skip
_MOST_UNIT = 1 << 80


def parse_unit(text: str) -> Fraction | None:
    """How many bytes a unit is: ``byte * 2^30``, ``byte*1024*1024``, ``GigaBytes``, ``KB``; None if it is not known.

    DSP0004, annex C (programmatic units), without regard to blanks and case; and the words of older descriptors.
    """
    word = "".join(text.split()).lower()
    if not word or len(word) > 100:
        return None
    value, seen = Fraction(1), False
    for step in word.replace("/", "*/").split("*"):
        divides, part = step.startswith("/"), step.removeprefix("/")
        factor = _base_unit(part)
        if factor is not None and (seen or divides):
            return None
        seen = seen or factor is not None
        factor = factor if factor is not None else _power(part)
        if not factor:
            return None
        value = value / factor if divides else value * factor
        if not Fraction(1, _MOST_UNIT) < value < _MOST_UNIT:
            return None
    return value if seen else None


def _base_unit(word: str) -> Fraction | None:
    if word in {"byte", "bytes", "b"}:
        return Fraction(1)
    if word in {"bit", "bits"}:
        return Fraction(1, 8)
    stem = word.removesuffix("bytes") if word.endswith("bytes") else word.removesuffix("byte")
    stem = stem if stem != word else word.removesuffix("b")
    power = _LEGACY.get(_LONG.get(stem, stem)) if stem != word else None
    return Fraction(1 << power) if power else None


def _power(word: str) -> Fraction | None:
    """``1024``, ``2^30`` or ``10^-3``."""
    base, caret, exponent = word.partition("^")
    number = _number(base)
    if number is None or not caret:
        return number
    sign, digits = exponent[:1] == "-", exponent.removeprefix("-").removeprefix("+")
    if not _digits(digits) or len(digits) > 3 or number.denominator * number.numerator > 1 << 40:
        return None
    return Fraction(number) ** (-int(digits) if sign else int(digits)) if number else None


def _digits(word: str) -> bool:
    return word.isascii() and word.isdigit()


def _number(word: str) -> Fraction | None:
    """``4096`` or ``0.5``; at most 19 digits on either side."""
    whole, _, part = word.partition(".")
    if not _digits(whole + part) or len(whole) > 19 or len(part) > 19:
        return None
    return Fraction(word if whole else f"0{word}")


def _whole(word: str) -> int | None:
    return int(word) if _digits(word) and len(word) <= 19 else None


def _quantity(items: list[ET.Element], kind: str) -> Fraction:
    words = next((_text(item, "VirtualQuantity") for item in _of(items, kind)), "")
    return min(_number(words) or Fraction(0), Fraction(10**9)) if kind == _CPU else _number(words) or Fraction(0)


def _sockets(items: list[ET.Element]) -> Fraction:
    """CPUs as oVirt counts them."""
    item = next(iter(_of(items, _CPU)), None)
    sockets = _number(_text(item, "num_of_sockets")) if item is not None else None
    cores = _number(_text(item, "cpu_per_socket")) if item is not None else None
    return min((sockets or Fraction(1)) * (cores or Fraction(1)), Fraction(10**9))


def _memory(items: list[ET.Element], doubts: list[str]) -> int:
    """MiB. Where no unit stands there are MiB, as in the first versions."""
    quantity = _quantity(items, _MEMORY)
    item = next(iter(_of(items, _MEMORY)), None)
    words = (_text(item, "AllocationUnits") or _text(item, "VirtualQuantityUnits")) if item is not None else ""
    unit = parse_unit(words) if words else Fraction(1 << 20)
    size = quantity * unit / (1 << 20) if unit else Fraction(0)
    if not 0 < size < 1 << 40:
        if item is not None:
            said = f"{_text(item, 'VirtualQuantity')} {words}".strip()[:60]
            doubts.append(f"the OVF's memory is not understood: {said or 'it names no quantity'}; taken for 1 GiB")
        return _UNSAID_MIB
    return max(1, int(size))


def _capacity(disk: ET.Element, doubts: list[str]) -> int | None:
    """Bytes; without a unit the number is bytes."""
    count, words = _at(disk, "capacity"), _at(disk, "capacityAllocationUnits")
    number, unit = _whole(count.strip()), parse_unit(words) if words.strip() else Fraction(1)
    if number is None or unit is None:
        if count and words and unit is None:
            doubts.append(f"the OVF gives a disk's capacity in a unit that is not known: {words[:40]}")
        return None
    return int(number * unit) if number * unit < 1 << 63 else None


# -- files and disks


def _files(root: ET.Element) -> dict[str, ET.Element]:
    return {_at(item, "id"): item for item in _all(root, "File") if _at(item, "href")}


def _disks(root: ET.Element) -> dict[str, ET.Element]:
    """By id, in the order of the disk section."""
    return {
        _at(item, "diskId") or _at(item, "fileRef"): item
        for item in _all(root, "Disk")
        if _at(item, "diskId") or _at(item, "fileRef")
    }


def _disk_id(item: ET.Element, disks: dict[str, ET.Element], by_file: dict[str, str]) -> str:
    """Which disk an item stands for; "" for none. ``ovf:/disk/ID``, ``ovf:/file/ID``, or a path that ends so."""
    host = _text(item, "HostResource")
    kind, _, ident = host.removeprefix("ovf:").lstrip("/").partition("/")
    if kind == "file":
        return by_file.get(ident, "")
    return next((each for each in (ident, host.rpartition("/")[2], host) if each and each in disks), "")


def _by_file(disks: dict[str, ET.Element]) -> dict[str, str]:
    return {_at(disk, "fileRef"): ident for ident, disk in reversed(disks.items())}


def _used(
    items: list[ET.Element], disks: dict[str, ET.Element], boot: Sequence[str]
) -> tuple[dict[str, tuple[ET.Element, str]], list[tuple[ET.Element, str]]]:
    """The machine's disks by id, with their labels, as a firmware goes through them; and those without a file.

    First what a boot order names, then by controller and place on it: DSP0243 gives the order of items no meaning.
    Firmwares look at IDE first and at NVMe last. VMware's looks at SCSI before SATA, VirtualBox's after it: these two
    keep the order in which their first disks are written, and so do items without a controller.
    """
    controllers = {_ident(item): item for item in items if _text(item, "ResourceType") in _BUSES}
    parents = {_ident(item): item for item in items}
    by_file, turns = _by_file(disks), {ident: turn for turn, ident in reversed(list(enumerate(boot)))}
    found: list[tuple[tuple[int, ...], ET.Element, str]] = []
    written: dict[int, int] = {}  # kinds of bus in the order of their first disks
    for position, item in enumerate(items):
        parent = parents.get(_text(item, "Parent"))
        if _text(item, "ResourceType") in _REMOVABLE or _nvdimm(item) or (parent is not None and _nvdimm(parent)):
            continue
        ident = _disk_id(item, disks, by_file)
        if ident:
            first = turns.get(_ident(item), len(boot)) - (_at(disks[ident], "boot") == "true")
            kind, *place = _place(item, controllers.get(_text(item, "Parent")))
            written.setdefault(kind, len(written))
            turn = kind if kind in {_FIRST, _LAST} else written[kind]
            found.append(((first, turn, *place, position), item, ident))
    used: dict[str, tuple[ET.Element, str]] = {}
    for _, item, ident in sorted(found, key=lambda each: each[0]):
        used.setdefault(ident, (disks[ident], _text(item, "ElementName")))
    filled = {ident: each for ident, each in used.items() if _at(each[0], "fileRef")}
    return filled, [each for ident, each in used.items() if ident not in filled]


_FIRST, _LAST = -1, 9  # IDE and NVMe among the kinds of bus


def _place(item: ET.Element, controller: ET.Element | None) -> tuple[int, int, int]:
    """(kind of bus, bus, place on it)."""
    address = _whole(_text(item, "AddressOnParent"))
    place = address if address is not None else 1 << 20
    if controller is None:
        return 0, 0, place
    kind, sub = _text(controller, "ResourceType"), _text(controller, "ResourceSubType").lower()
    other = _LAST if "nvme" in sub else 2 if "scsi" in sub else 1
    bus = _whole(_text(controller, "Address"))
    if bus is None:
        bus = _whole(_ident(controller)) or 0
    return _FIRST if kind == _IDE else other if kind == _OTHER_STORAGE else 2, bus, place


def _nvdimm(item: ET.Element) -> bool:
    return "nvdimm" in _text(item, "ResourceSubType").lower()


def _boot_ids(system: ET.Element) -> list[str]:
    """InstanceIDs that VMware's boot order names, the first first."""
    return [ident for section in _all(system, "BootOrderSection") for ident in _at(section, "instanceId").split()]


def _named_by(root: ET.Element, disks: dict[str, ET.Element]) -> set[str]:
    """The disks that some hardware names, of whatever configuration, or that another disk is the difference to."""
    items = _all(root, "Item", "StorageItem")
    by_file = _by_file(disks)
    return {_disk_id(item, disks, by_file) for item in items} | {_at(disk, "parentRef") for disk in disks.values()}


def _disk(
    disk: ET.Element, label: str, files: dict[str, ET.Element], disks: dict[str, ET.Element], doubts: list[str]
) -> OvfDisk:
    file = files.get(_at(disk, "fileRef"))
    if file is None:
        raise _unreadable(
            f"the OVF's disk {_at(disk, 'diskId')} has the file {_at(disk, 'fileRef')}, which is not listed"
        )
    parent = disks.get(_at(disk, "parentRef"))
    base = files.get(_at(parent, "fileRef")) if parent is not None else None
    return OvfDisk(
        _name(file),
        label,
        _capacity(disk, doubts),
        _whole(_at(file, "size")),
        _at(file, "href"),
        (_plain_name(_at(base, "href")) if base is not None else "") or _at(disk, "parentRef"),
    )


def _name(file: ET.Element) -> str:
    """The name of a disk's file, which lies beside the descriptor, whole and as it is."""
    if _at(file, "chunkSize"):
        raise chunked("the OVF's disks are split in chunks")
    name = _plain_name(_at(file, "href"))
    if _at(file, "compression") not in {"", "identity"}:
        raise DiskFormatError(
            ErrorKind.INVALID,
            f"the OVF's file {name} is compressed ({_at(file, 'compression')[:20]})",
            remedy="Unpack the disk and take ovf:compression out of the OVF, or export again without compression",
        )
    path = PurePosixPath(name)
    outside = path.is_absolute() or ".." in path.parts or "://" in name or "\0" in name or "\\" in name
    if not path.name or outside:
        raise DiskFormatError(
            ErrorKind.INVALID,
            f"the OVF names {name or 'a file'} elsewhere",
            remedy="Put the file beside the OVF, and write its name there without a folder",
        )
    return name


def _plain_name(href: str) -> str:
    """The name that a reference means. Blanks around it do not count (XML Schema: anyURI), nor ``file:`` before it."""
    name = href.strip()
    for scheme in ("file:///", "file:"):
        rest = name[len(scheme) :]
        if name[: len(scheme)].lower() == scheme and rest and "/" not in rest:
            name = rest
            break
    return unquote(name)


def chunked(what: str) -> DiskFormatError:
    """Disks in several files, which VM import refuses (documented error E03)."""
    remedy = "Export it again with each disk in one file"
    return DiskFormatError(ErrorKind.INVALID, what, remedy=remedy, **documented("E03"))
