"""A Windows registry hive read cell by cell: a few keys of a large hive cost a few blocks."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from typing import TypeAlias

from vmie_tui.services.disks.guest.yal import DamagedError

_BASE = 4096
_NONE = 0xFFFFFFFF
_MAX_CELL = 1 << 20
_BLOCK = 16344  # bytes of data in each cell of a value that is longer (cells "db", from version 1.4 on)
_MOST = 20_000
_ASCII_NAME = 0x20
_SZ, _EXPAND, _DWORD, _MULTI, _QWORD = 1, 2, 4, 7, 11

Datum: TypeAlias = "str | int | bytes | tuple[str, ...]"


class Hive:
    """``read(offset, length)`` gives the hive's bytes. Every method raises ServiceError for a damaged hive."""

    def __init__(self, read: Callable[[int, int], bytes]) -> None:
        self._read = read
        head = read(0, 512)
        if len(head) < 512 or head[:4] != b"regf":
            raise DamagedError("the registry hive has no header")
        first, second = struct.unpack_from("<II", head, 4)
        self.dirty = first != second  # changes wait in its log files
        (self._root,) = struct.unpack_from("<I", head, 36)

    def cell(self, at: int) -> bytes:
        """The content of the cell at an offset."""
        size = -int(struct.unpack("<i", self._exactly(_BASE + at, 4))[0])
        if not 4 < size <= _MAX_CELL:
            raise DamagedError(f"a registry cell of {size} bytes")
        return self._exactly(_BASE + at + 4, size - 4)

    def _exactly(self, at: int, length: int) -> bytes:
        data = self._read(at, length)
        if len(data) < length:
            raise DamagedError("the registry hive is cut short")
        return data

    def data(self, at: int, size: int) -> bytes:
        """The ``size`` bytes of a value, also when they are spread over several cells."""
        cell = self.cell(at)
        if size <= _BLOCK or cell[:2] != b"db":
            return cell[:size]
        count, table = struct.unpack_from("<HI", cell, 2)
        places = self.cell(table)
        if count * _BLOCK < size or len(places) < 4 * count:
            raise DamagedError("a long registry value is damaged")
        blocks = [struct.unpack_from("<I", places, 4 * number)[0] for number in range(-(-size // _BLOCK))]
        return b"".join(self.cell(block)[:_BLOCK] for block in blocks)[:size]

    def key_at(self, at: int) -> bytes:
        """The cell of a key."""
        cell = self.cell(at)
        if cell[:2] != b"nk" or len(cell) < 76:
            raise DamagedError("a registry key is damaged")
        return cell

    def find(self, path: str) -> Key | None:
        """The key at ``A\\B\\C``, without regard to case; None when there is none."""
        key: Key | None = Key(self, self.key_at(self._root))
        for name in filter(None, path.split("\\")):
            key = key.sub(name) if key is not None else None
        return key


class Key:
    """A key of a hive."""

    def __init__(self, hive: Hive, cell: bytes) -> None:
        self._hive, self._cell = hive, cell
        (length,) = struct.unpack_from("<H", cell, 72)
        raw = cell[76 : 76 + length]
        ascii_name = struct.unpack_from("<H", cell, 2)[0] & _ASCII_NAME
        self.name = raw.decode("latin-1") if ascii_name else raw.decode("utf-16-le", "replace")

    def subs(self) -> Iterator[Key]:
        """The keys below."""
        for at, _ in self._places():
            yield Key(self._hive, self._hive.key_at(at))

    def sub(self, name: str) -> Key | None:
        """The key below of this name."""
        wanted = name.upper()
        hashed, hint = _hash(wanted), wanted[:4]
        for at, check in self._places():
            if isinstance(check, int) and check != hashed:
                continue
            if isinstance(check, str) and check.upper() != hint:
                continue
            key = Key(self._hive, self._hive.key_at(at))
            if key.name.upper() == wanted:
                return key
        return None

    def _places(self) -> Iterator[tuple[int, int | str | None]]:
        """(cell, what its list tells of the name: a hash, its first letters, nothing) of every key below."""
        count, at = struct.unpack_from("<I", self._cell, 20)[0], struct.unpack_from("<I", self._cell, 28)[0]
        if not count or at == _NONE:
            return
        if count > _MOST:
            raise DamagedError(f"a registry key with {count} keys below")
        yield from self._list(at, 0)

    def _list(self, at: int, depth: int) -> Iterator[tuple[int, int | str | None]]:
        cell = self._hive.cell(at)
        kind, count = cell[:2], struct.unpack_from("<H", cell, 2)[0]
        width = 8 if kind in {b"lf", b"lh"} else 4
        if kind not in {b"lf", b"lh", b"li", b"ri"} or 4 + count * width > len(cell) or depth > 2:
            raise DamagedError("a list of registry keys is damaged")
        for number in range(count):
            where = 4 + number * width
            (place,) = struct.unpack_from("<I", cell, where)
            if kind == b"ri":
                yield from self._list(place, depth + 1)
            elif kind == b"lh":
                yield place, int(struct.unpack_from("<I", cell, where + 4)[0])
            elif kind == b"lf" and all(cell[where + 4 : where + 8]) and max(cell[where + 4 : where + 8]) < 0x80:
                yield place, cell[where + 4 : where + 8].decode("ascii")
            else:
                yield place, None

    def values(self) -> dict[str, Datum]:
        """The values by name, in lower case; the default value is ""."""
        count, at = struct.unpack_from("<II", self._cell, 36)
        if not count or at == _NONE:
            return {}
        if count > _MOST:
            raise DamagedError(f"a registry key with {count} values")
        table = self._hive.cell(at)
        if len(table) < 4 * count:
            raise DamagedError("a list of registry values is damaged")
        return dict(self._value(place) for (place,) in struct.iter_unpack("<I", table[: 4 * count]))

    def _value(self, at: int) -> tuple[str, Datum]:
        cell = self._hive.cell(at)
        if cell[:2] != b"vk" or len(cell) < 20:
            raise DamagedError("a registry value is damaged")
        length, size, place, kind, flags = struct.unpack_from("<HIIIH", cell, 2)
        raw = cell[20 : 20 + length]
        name = raw.decode("latin-1") if flags & 1 else raw.decode("utf-16-le", "replace")
        if size & 0x80000000:
            data = cell[8 : 8 + min(size & 0x7FFFFFFF, 4)]
        else:
            data = self._hive.data(place, min(size, _MAX_CELL)) if size else b""
        return name.lower(), _datum(kind, data)


def _datum(kind: int, data: bytes) -> Datum:
    if kind in {_SZ, _EXPAND}:
        return data.decode("utf-16-le", "replace").split("\0", 1)[0]
    if kind == _MULTI:
        return tuple(filter(None, data.decode("utf-16-le", "replace").split("\0")))
    if kind in {_DWORD, _QWORD}:
        return int.from_bytes(data, "little")
    return data


def _hash(name: str) -> int:
    """The hash of an upper-case name in an ``lh`` list."""
    value = 0
    for letter in name:
        value = (value * 37 + ord(letter)) & 0xFFFFFFFF
    return value
