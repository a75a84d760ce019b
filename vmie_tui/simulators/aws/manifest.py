"""Reads an import manifest as strictly as its schema is written (EC2 API Reference, "VM Import Manifest")."""

from __future__ import annotations

from dataclasses import dataclass
from xml.etree import ElementTree as ET

VERSION = "2010-11-15"
FORMATS = ("RAW", "VHD", "VMDK")
MAX_BYTES = 512 << 20


class ManifestError(Exception):
    """A manifest that does not conform to the schema."""


@dataclass(frozen=True, slots=True)
class Part:
    """One part object: bytes ``start``..``end`` (inclusive) of the image."""

    start: int
    end: int
    key: str
    head_url: str
    get_url: str
    delete_url: str

    @property
    def size(self) -> int:
        return self.end - self.start + 1


@dataclass(frozen=True, slots=True)
class Manifest:
    """``size``: bytes of the image; ``volume_gib``: of the volume."""

    format: str
    importer: tuple[str, str, str]
    self_destruct_url: str
    size: int
    volume_gib: int
    parts: tuple[Part, ...]


def parse(text: bytes) -> Manifest:
    """The manifest; raises `ManifestError`."""
    if len(text) > MAX_BYTES:
        raise ManifestError("the manifest is too large")
    try:
        root = ET.fromstring(text)  # noqa: S314 - made by the program under test
    except ET.ParseError as error:
        raise ManifestError(f"the manifest is no XML: {error}") from error
    if root.tag != "manifest":
        raise ManifestError(f"the root element is {root.tag}")
    version, format_name, importer, destruct, imported = _children(
        root, "version", "file-format", "importer", "self-destruct-url", "import"
    )
    if _text(version) != VERSION:
        raise ManifestError(f"version {version.text} is not known")
    if _text(format_name) not in FORMATS:
        raise ManifestError(f"file-format {format_name.text} is not one of {', '.join(FORMATS)}")
    name, release, number = (_text(item) for item in _children(importer, "name", "version", "release"))
    size, volume, parts = _children(imported, "size", "volume-size", "parts")
    found = tuple(_part(item, index) for index, item in enumerate(parts))
    _check_parts(found, _number(parts.get("count"), "count"), _number(size.text, "size"))
    return Manifest(
        _text(format_name),
        (name, release, number),
        _text(destruct),
        _number(size.text, "size"),
        _number(volume.text, "volume-size"),
        found,
    )


def _children(parent: ET.Element, *names: str) -> list[ET.Element]:
    """The children, which must be exactly these, in this order: the schema has sequences only."""
    given = [child.tag for child in parent]
    if given != list(names):
        raise ManifestError(f"{parent.tag} holds {', '.join(given) or 'nothing'} instead of {', '.join(names)}")
    return list(parent)


def _text(element: ET.Element) -> str:
    text = (element.text or "").strip()
    if not text:
        raise ManifestError(f"{element.tag} is empty")
    return text


def _number(text: str | None, name: str) -> int:
    try:
        value = int((text or "").strip())
    except ValueError as error:
        raise ManifestError(f"{name} is no number: {text}") from error
    if value < 0:
        raise ManifestError(f"{name} is negative")
    return value


def _part(element: ET.Element, index: int) -> Part:
    if element.tag != "part" or element.get("index") != str(index):
        raise ManifestError(f"part {index} is missing or out of order")
    names = ["byte-range", "key", "head-url", "get-url"]
    if len(element) > len(names):
        names.append("delete-url")  # the only one that may be missing
    place, key, head, get, *delete = _children(element, *names)
    start, end = _number(place.get("start"), "start"), _number(place.get("end"), "end")
    return Part(start, end, _text(key), _text(head), _text(get), _text(delete[0]) if delete else "")


def _check_parts(parts: tuple[Part, ...], count: int, size: int) -> None:
    if not parts or len(parts) != count:
        raise ManifestError(f"{len(parts)} parts are listed, {count} are announced")
    at = 0
    for index, part in enumerate(parts):
        if part.start != at or part.end < part.start:
            raise ManifestError(f"part {index} covers bytes {part.start} to {part.end}, not from {at} on")
        at = part.end + 1
    if at != size:
        raise ManifestError(f"the parts have {at} bytes together, not {size}")
