"""The disks of an OVA: its members against what its OVF descriptor says of them."""

from __future__ import annotations

import re
from collections.abc import Sequence

from vmie_tui.model import facts
from vmie_tui.model.errors import ErrorKind
from vmie_tui.services.disks.errors import DiskFormatError, corrupt
from vmie_tui.services.disks.ova import OvaMember
from vmie_tui.services.disks.source import ByteReader

_MAX_OVF = 1 << 20
_DISK_NAME = re.compile(r"\.(vmdk|vhdx?|img|raw)$", re.IGNORECASE)
_FILE = re.compile(r"<(?:\w+:)?File\b([^>]*)>")
_ATTRIBUTE = re.compile(r"""(?:\w+:)?(href|size|chunkSize)\s*=\s*["']([^"']*)["']""")


def disk_members(reader: ByteReader, members: Sequence[OvaMember]) -> list[OvaMember]:
    """The members that are disks, in the order of the archive.

    Raises ``DiskFormatError``: INVALID for chunked disks (documented error E03), an archive without a disk or whose
    first member is not its OVF; CORRUPT for a file that the OVF names and the archive lacks or has in another size.
    """
    if any(member.chunk for member in members):
        raise _chunked()
    disks = [member for member in members if _DISK_NAME.search(member.name)]
    if not disks:
        raise DiskFormatError(
            ErrorKind.INVALID, "the archive holds no disk", remedy="Give an OVA with its disks inside"
        )
    if not members[0].name.lower().endswith(".ovf"):
        raise DiskFormatError(
            ErrorKind.INVALID,
            f"the archive begins with {members[0].name}, not with its OVF descriptor",
            remedy="Pack it again, the .ovf file first",
        )
    _check(reader.read_at(members[0].offset, min(members[0].size, _MAX_OVF)).decode("utf-8", "replace"), members)
    return disks


def _check(ovf: str, members: Sequence[OvaMember]) -> None:
    sizes = {member.name: member.size for member in members}
    for match in _FILE.finditer(ovf):
        found = dict(_ATTRIBUTE.findall(match[1]))
        name, size = found.get("href", ""), found.get("size", "")
        if found.get("chunkSize"):
            raise _chunked()
        if name and name not in sizes:
            raise corrupt(f"the OVF names {name}, but the archive does not hold it")
        if name and size.isdigit() and int(size) != sizes[name]:
            raise corrupt(f"the OVF says {name} has {size} bytes, the archive holds {sizes[name]}")


def _chunked() -> DiskFormatError:
    known = facts.error("E03")
    return DiskFormatError(
        ErrorKind.INVALID,
        "the OVA's disks are split in chunks",
        remedy="Export it again with each disk in one file",
        code=known["code"],
        detail=known["message"],
    )
