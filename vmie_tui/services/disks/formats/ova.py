"""Lists the members of an OVA (a tar file) by reading only its headers: v7, ustar, GNU and PAX dialects."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Protocol

from vmie_tui.services.disks.errors import corrupt, truncated

BLOCK = 512
_MAX_MEMBERS = 4096
_MAX_NAME = 1 << 16  # bytes of a long-name or PAX header that are looked at
_FILES = (b"0", b"\0", b"7")
_LINKS = (b"1", b"2")
_OLD_SPARSE = b"S"
_ABOUT_THE_NEXT = (b"L", b"K", b"x", b"X")  # headers of a member: long names, PAX records
_EXTENDED, _MORE = 482, 504  # whether a block of a sparse map follows: in the header, in such a block


class ReadAt(Protocol):
    """A function that reads: ``length`` bytes from ``offset``, fewer only at the end."""

    def __call__(self, offset: int, length: int, /) -> bytes: ...


@dataclass(frozen=True, slots=True)
class OvaMember:
    """A file in the archive."""

    name: str
    offset: int  # of its bytes in the archive
    size: int
    link: bool = False  # a name only, for another file
    sparse: bool = False  # its holes are left out: the bytes there are not the file's
    odd: bool = False  # named otherwise in the archive (``./name``), or something that is left out stands before it

    @property
    def chunk(self) -> bool:
        """Part of a disk split in chunks (``disk.vmdk.000000000``), which VM import refuses."""
        _, dot, number = self.name.rpartition(".")
        return bool(dot) and len(number) == 9 and number.isascii() and number.isdigit()

    @property
    def outside(self) -> bool:
        """Whether its name leads out of the archive."""
        return self.name.startswith("/") or ".." in PurePosixPath(self.name).parts


def is_tar(block: bytes) -> bool:
    """Whether a block is a tar header: its checksum is right, which v7 archives have in place of a magic too."""
    if len(block) < BLOCK or not block[0]:
        return False
    field = block[148:156].strip(b" \0")
    if not field or not all(byte in b"01234567" for byte in field):
        return False
    around = block[:148] + block[156:BLOCK]
    signed = sum(byte - 256 if byte > 127 else byte for byte in around)  # as some old writers summed
    return int(field, 8) - 8 * 32 in {sum(around), signed}


def list_members(read_at: ReadAt, size: int) -> tuple[OvaMember, ...]:
    """The files of a tar of ``size`` bytes, in order; reads one block for each.

    Knows octal and base-256 sizes, GNU long names, and PAX paths and sizes. Names come without a leading ``./``; what
    the tar of macOS adds of its own (``._name``, ``__MACOSX/``) is left out. Raises ``DiskFormatError`` (CORRUPT) for a
    damaged header or a member that reaches beyond the end.
    """
    members: list[OvaMember] = []
    at, long_name, pax, odd = 0, "", dict[str, str](), False
    for _ in range(_MAX_MEMBERS):
        block = read_at(at, BLOCK) if at + BLOCK <= size else b""
        if not block or not block.strip(b"\0"):
            return tuple(members)
        if not is_tar(block):
            raise corrupt(f"the archive has no valid header at byte {at}")
        kind = block[156:157]
        start, length = _bytes_of(block, at + BLOCK, pax.get("size", ""), read_at, size)
        if length < 0:
            raise corrupt(f"the archive's header at byte {at} gives {_name(block)} a size that is none")
        if start + length > size:
            raise truncated(f"the archive has {size} bytes, but {_name(block)} ends at {start + length}")
        if kind == b"L":
            long_name = _text(read_at(start, min(length, _MAX_NAME)))
        elif kind in (b"x", b"X"):
            pax = _records(read_at(start, min(length, _MAX_NAME)))
        elif kind in (*_FILES, *_LINKS, _OLD_SPARSE):
            name = pax.get("GNU.sparse.name") or pax.get("path") or long_name or _name(block)
            if name.endswith("/") or _of_macos(name):  # a name that ends so is a directory in v7 archives
                odd = True
            else:
                sparse = kind == _OLD_SPARSE or any(key.startswith("GNU.sparse.") for key in pax)
                plain = _plain(name)
                members.append(OvaMember(plain, start, length, kind in _LINKS, sparse, odd or plain != name))
                odd = False
        else:
            odd = odd or kind not in _ABOUT_THE_NEXT
        if kind not in _ABOUT_THE_NEXT:
            long_name, pax = "", {}
        at = start + -(-length // BLOCK) * BLOCK
    raise corrupt(f"the archive has more than {_MAX_MEMBERS} members")


def _bytes_of(block: bytes, start: int, pax_size: str, read_at: ReadAt, size: int) -> tuple[int, int]:
    """Where the bytes behind a header begin, and how many there are; -1 for a size that is none."""
    kind = block[156:157]
    if kind in _LINKS:
        return start, 0  # old writers note the size of the file that is linked to
    if kind == _OLD_SPARSE and block[_EXTENDED]:
        start = _behind_map(read_at, start, size)
    return start, _decimal(pax_size) if pax_size and kind in _FILES else _number(block[124:136])


def _behind_map(read_at: ReadAt, at: int, size: int) -> int:
    """Where the data of an old GNU sparse member begins, behind the rest of its map."""
    for _ in range(_MAX_MEMBERS):
        block = read_at(at, BLOCK) if at + BLOCK <= size else b""
        at += BLOCK
        if len(block) < BLOCK or not block[_MORE]:
            break
    return at


def _plain(name: str) -> str:
    parts = [part for part in name.split("/") if part not in {"", "."}]
    return ("/" if name.startswith("/") else "") + "/".join(parts)


def _of_macos(name: str) -> bool:
    """Extended attributes as the tar of macOS stores them: an AppleDouble file before each file that has some."""
    parts = PurePosixPath(name).parts
    return bool(parts) and (parts[-1].startswith("._") or "__MACOSX" in parts)


def _number(field: bytes) -> int:
    """A tar number: octal text, or base 256 when its first bit is set; -1 when neither, or negative."""
    if field[0] == 0x80:
        return int.from_bytes(field[1:], "big")
    digits = field.split(b"\0", 1)[0].strip()
    return int(digits or b"0", 8) if all(byte in b"01234567" for byte in digits) else -1


def _decimal(text: str) -> int:
    return int(text) if text.isascii() and text.isdigit() and len(text) <= 19 else -1


def _text(data: bytes) -> str:
    return data.split(b"\0", 1)[0].decode("utf-8", "replace")


def _name(block: bytes) -> str:
    prefix = _text(block[345:500]) if block[257:263] == b"ustar\0" else ""
    return f"{prefix}/{_text(block[:100])}" if prefix else _text(block[:100])


def _records(data: bytes) -> dict[str, str]:
    """The ``length key=value`` records of a PAX header; ends at the first that is none."""
    found, at = dict[str, str](), 0
    while at < len(data):
        blank = data.find(b" ", at, at + 8)
        length = _decimal(data[at:blank].decode("latin-1")) if blank > at else -1
        end = at + length
        key, equals, value = data[blank + 1 : end - 1].partition(b"=")
        if length < 0 or end <= blank + 1 or end > len(data) or not equals:
            break
        found[key.decode("utf-8", "replace")] = value.decode("utf-8", "replace")
        at = end
    return found
