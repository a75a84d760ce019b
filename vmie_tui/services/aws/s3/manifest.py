"""The import manifest: the XML that tells ImportInstance and ImportVolume where the parts of a disk image are.

Its elements and their order are those of the schema in the EC2 API Reference, "VM Import Manifest"
(docs.aws.amazon.com/AWSEC2/latest/APIReference/manifest.html); the keys of parts and manifest are those of that page's
first example, as the EC2 CLI tools (ec2-import-instance, ec2-import-volume) wrote them:
``<prefix>/<file>.part0`` to ``.partN`` and ``<prefix>/<file>manifest.xml``. Byte ranges are inclusive.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from xml.sax.saxutils import escape

from vmie_tui import __version__

VERSION = "2010-11-15"  # of the manifest; the only one documented
IMPORTER = "vmie-tui"


@dataclass(frozen=True, slots=True)
class ManifestPart:
    """One part object: the bytes ``start``..``start + size - 1`` of the image."""

    index: int
    key: str
    start: int
    size: int


def part_key(stem: str, index: int) -> str:
    """Key of a part; ``stem`` is the image's key without any of the endings."""
    return f"{stem}.part{index}"


def manifest_key(stem: str) -> str:
    return f"{stem}manifest.xml"


def manifest_pieces(
    *,
    format_name: str,
    size: int,
    volume_gib: int,
    parts: Iterable[ManifestPart],
    count: int,
    key: str,
    sign: Callable[[str, str], str],
) -> Iterator[bytes]:
    """The manifest in pieces, one per part, so that it need not be in memory as a whole.

    ``sign(method, key)`` gives a presigned URL for HEAD, GET or DELETE; ``size`` is bytes of the image as uploaded,
    ``volume_gib`` of the volume, ``key`` the manifest's own.
    """
    yield (
        '<?xml version="1.0" encoding="UTF-8" standalone="yes"?>\n<manifest>\n'
        f"    <version>{VERSION}</version>\n"
        f"    <file-format>{escape(format_name)}</file-format>\n"
        "    <importer>\n"
        f"        <name>{IMPORTER}</name>\n"
        f"        <version>{escape(__version__)}</version>\n"
        f"        <release>{VERSION}</release>\n"
        "    </importer>\n"
        f"    <self-destruct-url>{escape(sign('DELETE', key))}</self-destruct-url>\n"
        "    <import>\n"
        f"        <size>{size}</size>\n"
        f"        <volume-size>{volume_gib}</volume-size>\n"
        f'        <parts count="{count}">\n'
    ).encode()
    for part in parts:
        yield (
            f'            <part index="{part.index}">\n'
            f'                <byte-range end="{part.start + part.size - 1}" start="{part.start}"/>\n'
            f"                <key>{escape(part.key)}</key>\n"
            f"                <head-url>{escape(sign('HEAD', part.key))}</head-url>\n"
            f"                <get-url>{escape(sign('GET', part.key))}</get-url>\n"
            f"                <delete-url>{escape(sign('DELETE', part.key))}</delete-url>\n"
            "            </part>\n"
        ).encode()
    yield b"        </parts>\n    </import>\n</manifest>\n"
