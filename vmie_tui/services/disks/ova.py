"""Lists the members of an OVA (a tar file) by reading only its headers."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Protocol

from vmie_tui.services.disks.errors import corrupt, truncated

BLOCK = 512
_MAX_MEMBERS = 4096
_MAX_NAME = 1 << 16  # bytes of a long-name or PAX header that are looked at
_DECIMAL = re.compile(r"[0-9]{1,19}")
_RECORD = re.compile(rb"(\d{1,6}) ([^=]+)=")
_CHUNK = re.compile(r"\.\d{9}$")


class ReadAt(Protocol):
    """A function that reads: ``length`` bytes from ``offset``, fewer only at the end."""

    def __call__(self, offset: int, length: int, /) -> bytes: ...


@dataclass(frozen=True, slots=True)
class OvaMember:
    """A file in the archive: where its bytes start, and how many. ``pax``: described by a PAX header."""

    name: str
    offset: int
    size: int
    pax: bool = False

    @property
    def chunk(self) -> bool:
        """Part of a disk split in chunks (``disk.vmdk.000000000``), which VM import refuses."""
        return bool(_CHUNK.search(self.name))


def is_tar(block: bytes) -> bool:
    """Whether a block is a tar header: magic and checksum agree."""
    if len(block) < BLOCK or block[257:262] != b"ustar":
        return False
    try:
        written = int(block[148:156].strip(b" \0") or b"0", 8)
    except ValueError:
        return False
    return written == sum(block[:148]) + sum(block[156:BLOCK]) + 8 * 32


def list_members(read_at: ReadAt, size: int) -> tuple[OvaMember, ...]:
    """The files of a tar of ``size`` bytes, in order; reads one block for each.

    Knows octal and GNU base-256 sizes, GNU long names, and PAX paths and sizes. Raises ``DiskFormatError`` (CORRUPT)
    for a damaged header or a member that reaches beyond the end.
    """
    members: list[OvaMember] = []
    at, long_name, pax = 0, "", dict[str, str]()
    for _ in range(_MAX_MEMBERS):
        block = read_at(at, BLOCK) if at + BLOCK <= size else b""
        if not block or not block.strip(b"\0"):
            return tuple(members)
        if not is_tar(block):
            raise corrupt(f"the archive has no valid header at byte {at}")
        kind, length, start = block[156:157], _number(block[124:136]), at + BLOCK
        if kind in (b"0", b"\0", b"7") and "size" in pax:
            length = int(pax["size"]) if _DECIMAL.fullmatch(pax["size"]) else -1
        if length < 0 or start + length > size:
            raise truncated(f"the archive has {size} bytes, but {_name(block)} ends at {start + length}")
        if kind == b"L":
            long_name = _text(read_at(start, min(length, _MAX_NAME)))
        elif kind == b"x":
            pax = _records(read_at(start, min(length, _MAX_NAME)))
        elif kind in (b"0", b"\0", b"7"):
            members.append(OvaMember(pax.get("path") or long_name or _name(block), start, length, bool(pax)))
        if kind not in (b"L", b"x"):
            long_name, pax = "", {}
        at = start + -(-length // BLOCK) * BLOCK
    raise corrupt(f"the archive has more than {_MAX_MEMBERS} members")


def _number(field: bytes) -> int:
    """A tar number: octal text, or base 256 when its first bit is set; -1 when neither."""
    if field[0] == 0x80:
        return int.from_bytes(field[1:], "big")
    digits = field.split(b"\0", 1)[0].strip()
    try:
        return int(digits or b"0", 8)
    except ValueError:
        return -1


def _text(data: bytes) -> str:
    return data.split(b"\0", 1)[0].decode("utf-8", "replace")


def _name(block: bytes) -> str:
    prefix = _text(block[345:500]) if block[257:263] == b"ustar\0" else ""
    return f"{prefix}/{_text(block[:100])}" if prefix else _text(block[:100])


def _records(data: bytes) -> dict[str, str]:
    """The ``length key=value`` records of a PAX header."""
    found, at = {}, 0
    while match := _RECORD.match(data, at):
        end = at + int(match[1])
        if end <= match.end() or end > len(data):
            break
        found[match[2].decode("utf-8", "replace")] = data[match.end() : end - 1].decode("utf-8", "replace")
        at = end
    return found
