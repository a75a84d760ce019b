"""Windows registry hives (REGF 1.5) from nested dictionaries.

A key that starts with ``@`` is a value: str becomes REG_SZ, int REG_DWORD, bytes REG_BINARY, list of str REG_MULTI_SZ.
Any other key is a subkey and holds a dictionary.
"""

from __future__ import annotations

import struct
from typing import Any

_BASE = 32  # cells are counted from the start of the first hbin, whose header has 32 bytes
_FILETIME = 134_129_376_000_000_000  # 2026-01-15 08:00 UTC
_NONE = 0xFFFFFFFF
_SECURITY = bytes.fromhex(
    "010004803000000040000000000000001400000002001c00010000000002140000001000010100000000000512000000"
    "0102000000000005200000002002000001020000000000052000000020020000"
)


class _Cells:
    """The growing heap of cells; every allocated cell starts with its negative size."""

    def __init__(self) -> None:
        self.data = bytearray()

    def add(self, body: bytes) -> int:
        size = -(-(len(body) + 4) // 8) * 8
        offset = _BASE + len(self.data)
        self.data += struct.pack("<i", -size) + body.ljust(size - 4, b"\0")
        return offset

    def patch(self, offset: int, at: int, *numbers: int) -> None:
        struct.pack_into(f"<{len(numbers)}I", self.data, offset - _BASE + 4 + at, *numbers)


def _encode(value: Any) -> tuple[int, bytes]:
    match value:
        case int():
            return 4, struct.pack("<I", value)
        case bytes():
            return 3, value
        case list():
            return 7, ("".join(f"{item}\0" for item in value) + "\0").encode("utf-16-le")
        case str():
            return 1, f"{value}\0".encode("utf-16-le")
    raise TypeError(f"no registry type for {value!r}")


def _value(cells: _Cells, name: str, value: Any) -> int:
    kind, data = _encode(value)
    if len(data) <= 4:
        place, size = struct.unpack("<I", data.ljust(4, b"\0"))[0], len(data) | 0x80000000
    else:
        place, size = cells.add(data), len(data)
    raw = name.encode("latin-1")
    return cells.add(b"vk" + struct.pack("<HIIIHH", len(raw), size, place, kind, 1, 0) + raw)


def _hash(name: str) -> int:
    number = 0
    for letter in name.upper():
        number = (number * 37 + ord(letter)) & 0xFFFFFFFF
    return number


def _key(cells: _Cells, name: str, tree: dict[str, Any], parent: int, security: int | None) -> int:
    raw = name.encode("latin-1")
    flags = 0x2C if parent == 0 else 0x20
    values = {key[1:]: value for key, value in tree.items() if key.startswith("@")}
    subkeys = sorted(((k, v) for k, v in tree.items() if not k.startswith("@")), key=lambda item: item[0].upper())
    # spare, parent, subkeys (stable, volatile), their lists, values, their list, security, class, five maxima
    numbers = (0, parent, 0, 0, _NONE, _NONE, 0, _NONE, 0, _NONE, 0, 0, 0, 0, 0)
    body = b"nk" + struct.pack("<HQ15IHH", flags, _FILETIME, *numbers, len(raw), 0) + raw
    offset = cells.add(body)
    if security is None:
        security = cells.add(b"sk" + struct.pack("<HIIII", 0, 0, 0, 1, len(_SECURITY)) + _SECURITY)
        cells.patch(security, 4, security, security)
    cells.patch(offset, 44, security)
    if values:
        listed = [_value(cells, key, value) for key, value in values.items()]
        cells.patch(offset, 36, len(listed), cells.add(struct.pack(f"<{len(listed)}I", *listed)))
    if subkeys:
        made = [_key(cells, key, value, offset, security) for key, value in subkeys]
        index = b"".join(struct.pack("<II", child, _hash(key)) for child, (key, _) in zip(made, subkeys, strict=True))
        cells.patch(offset, 20, len(made))
        cells.patch(offset, 28, cells.add(b"lh" + struct.pack("<H", len(made)) + index))
    return offset


def hive(tree: dict[str, Any], name: str) -> bytes:
    """The bytes of a clean hive file named ``name`` inside (as in ``\\SystemRoot\\System32\\Config\\SYSTEM``)."""
    cells = _Cells()
    root = _key(cells, "CMI-CreateHive{00000000-0000-0000-0000-000000000000}", tree, 0, None)
    total = -(-(_BASE + len(cells.data)) // 4096) * 4096
    if free := total - _BASE - len(cells.data):
        cells.data += struct.pack("<i", free).ljust(free, b"\0")
    header = bytearray(b"regf" + struct.pack("<IIQIIIIIII", 1, 1, _FILETIME, 1, 5, 0, 1, root, total, 1))
    header += name.encode("utf-16-le")[-62:].ljust(64, b"\0")
    header = header.ljust(4096, b"\0")
    checksum = 0
    for word in struct.unpack("<127I", header[:508]):
        checksum ^= word
    struct.pack_into("<I", header, 508, checksum)
    return bytes(header) + b"hbin" + struct.pack("<II8xQI", 0, total, _FILETIME, 0) + bytes(cells.data)
