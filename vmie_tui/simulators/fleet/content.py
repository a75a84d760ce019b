"""Data for demo disks: what deleted files leave behind in the free space of a file system.

Everything follows from a seed, so two runs make equal disks. The bytes are tiled from a few MiB of patterns (random,
log text, half-empty binary) and stamped every 16 KiB: no two grains of a VMDK and no two blocks of EBS are equal, and
writing runs at the speed of the page cache.
"""

from __future__ import annotations

import os
import random
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path
from typing import Literal

Kind = Literal["random", "text", "binary"]
Extent = tuple[int, int]  # offset and length in bytes

BLOCK = 4096
LARGEST = (16 << 40) - (1 << 20)  # bytes of a sparse file that ext4 takes; no larger disk can be imported either
_STAMP_EVERY = 16 << 10
_TILE = 2 << 20
_MIX: tuple[tuple[Kind, int], ...] = (("random", 45), ("binary", 30), ("text", 25))


def seeded(seed: str) -> random.Random:
    """The same numbers for the same words on every Python from 3.11 on."""
    return random.Random(seed)  # noqa: S311 - made-up disk content, nothing secret


@cache
def _tile(kind: Kind) -> bytes:
    """``_TILE`` bytes: "random" does not compress, "binary" to about a half, "text" to about a quarter."""
    rng = seeded(f"vmie tile {kind}")
    if kind == "random":
        return rng.randbytes(_TILE)
    if kind == "binary":
        rows = rng.randbytes(_TILE // 2)
        return b"".join(rows[at : at + 32] + bytes(32) for at in range(0, len(rows), 32))
    paths = ("/", "/login", "/api/v2/orders", "/static/app.js", "/health", "/basket/add", "/img/logo.svg", "/search?q=")
    lines = (
        f"10.{rng.randrange(4)}.{rng.randrange(256)}.{rng.randrange(256)} - - [{rng.randrange(1, 29):02}/Mar/2026:"
        f"{rng.randrange(24):02}:{rng.randrange(60):02}:{rng.randrange(60):02} +0000] "
        f'"GET {rng.choice(paths)} HTTP/1.1" {rng.choice((200, 200, 200, 304, 404))} {rng.randrange(99999)}\n'
        for _ in range(_TILE // 64)
    )
    return "".join(lines).encode()[:_TILE]


def write_data(file: int, offset: int, length: int, seed: str, kind: Kind = "random") -> None:
    """Write ``length`` bytes of ``kind`` at ``offset`` of the open ``file``; different for every seed and offset."""
    tile = _tile(kind)
    stamp = seeded(f"{seed} {offset} {kind}").randbytes(12)
    start = int.from_bytes(stamp[:4], "little") % _TILE
    done = 0
    while done < length:
        piece = bytearray(tile[start:] if start else tile)
        start = 0
        del piece[length - done :]
        for at in range(0, len(piece) - 16, _STAMP_EVERY):
            piece[at : at + 16] = stamp + (done + at & 0xFFFFFFFF).to_bytes(4, "little")
        view = memoryview(piece)
        while view:
            written = os.pwrite(file, view, offset + done)
            view = view[written:]
            done += written


def runs(extents: Iterable[Extent], total: int, seed: str) -> Iterator[tuple[int, int, Kind]]:
    """Deleted files: ``(offset, length, kind)`` inside ``extents``, ascending, ``total`` bytes where there is room.

    Files are 64 KiB to 4 MiB, on 4 KiB boundaries, spread over all of the free space with gaps between them.
    """
    rng = seeded(f"{seed} runs")
    free = [(at, size) for at, size in extents if size >= BLOCK]
    room = sum(size for _, size in free)
    gap = max(0.0, room / total - 1) if total else 0.0
    kinds, weights = zip(*_MIX, strict=True)
    left = total
    for extent_at, extent_size in free:
        at = -(-extent_at // BLOCK) * BLOCK
        end = (extent_at + extent_size) // BLOCK * BLOCK
        while at < end and left > 0:
            size = min(rng.randrange(1 << 16, 4 << 20) // BLOCK * BLOCK, end - at, -(-left // BLOCK) * BLOCK)
            yield at, size, rng.choices(kinds, weights)[0]
            left -= size
            at += size + int(size * gap * rng.uniform(0.8, 1.1)) // BLOCK * BLOCK


def fill(path: Path, extents: Iterable[Extent], total: int, seed: str, *, kind: Kind | None = None) -> int:
    """Write about ``total`` bytes of deleted files into the free ``extents`` of a disk; returns the bytes written.

    ``kind`` makes all of them of one kind.
    """
    written = 0
    file = os.open(path, os.O_RDWR)
    try:
        for at, size, dealt in runs(extents, total, seed):
            write_data(file, at, size, seed, kind or dealt)
            written += size
    finally:
        os.close(file)
    return written
