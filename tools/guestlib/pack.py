"""Packing a disk image into what ``vmie_tui/simulators/fleet/guests.py`` unpacks; the format is described there."""

from __future__ import annotations

import hashlib
import json
import lzma
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from guestlib import slots
from guestlib.disks import data_ranges
from guestlib.filesystems import Extent

_BLOCK = 4096
_FILTERS = [{"id": lzma.FILTER_LZMA2, "preset": 9 | lzma.PRESET_EXTREME}]


@dataclass(frozen=True, slots=True)
class Packed:
    size: int
    sha256: str  # of the whole disk
    blocks: str  # SHA-256 over offset (8 bytes, little-endian) and content of every 4 KiB block that is not zero
    blob: bytes


def _blocks(image: Path) -> Iterator[tuple[int, bytes]]:
    """``(offset, block)`` of every block that is not all zero; holes are not read."""
    with image.open("rb") as file:
        for start, end in data_ranges(file.fileno(), image.stat().st_size):
            file.seek(start)
            for at in range(start, end, _BLOCK):
                block = file.read(_BLOCK)
                if block.strip(b"\0"):
                    yield at, block


def pack(image: Path, free: list[Extent]) -> Packed:
    """Pieces of neighbouring blocks; a block of one repeated byte is named, not stored."""
    pieces: list[list[int]] = []
    data = bytearray()
    blocks = hashlib.sha256()
    for offset, block in _blocks(image):
        blocks.update(offset.to_bytes(8, "little") + block)
        fill = block[0] if block == block[:1] * len(block) else -1
        if pieces and pieces[-1][0] + pieces[-1][1] == offset and pieces[-1][2] == fill:
            pieces[-1][1] += len(block)
        else:
            pieces.append([offset, len(block), fill])
        if fill < 0:
            data += block
    size = image.stat().st_size
    fields: dict[str, object] = {"size": size, "pieces": pieces, "free": sorted(free)}
    if places := slots.find(image):
        fields["slots"] = places
    header = json.dumps(fields, separators=(",", ":"))
    blob = lzma.compress(header.encode() + b"\n" + bytes(data), format=lzma.FORMAT_XZ, filters=_FILTERS)
    return Packed(size, _digest(image), blocks.hexdigest(), blob)


def _digest(image: Path) -> str:
    """SHA-256 of the whole disk; holes are not read."""
    whole, zeros, at, size = hashlib.sha256(), bytes(1 << 20), 0, image.stat().st_size

    def pad(until: int) -> None:
        for start in range(at, until, len(zeros)):
            whole.update(zeros[: until - start])

    with image.open("rb") as file:
        for start, end in data_ranges(file.fileno(), size):
            pad(start)
            file.seek(max(at, start))
            whole.update(file.read(end - max(at, start)))
            at = end
    pad(size)
    return whole.hexdigest()
