"""Inflates one compressed grain, within bounds."""

from __future__ import annotations

import deflate

from vmie_tui.services.disks.errors import DiskFormatError, corrupt


def inflate(data: bytes | memoryview, full: int, length: int, lba: int) -> memoryview:
    """The ``length`` bytes of a grain: inflated it may have ``full`` bytes, or only those within the capacity.

    Never allocates more than ``full``. What lies behind the capacity must be zeros: else the disk is larger than its
    header says. Raises ``DiskFormatError`` (CORRUPT, documented error E10).
    """
    try:
        plain: bytearray = deflate.zlib_decompress(data, full)
    except deflate.DeflateError as error:
        raise _bad_grain(lba, "its compressed data is damaged or too long") from error
    if len(plain) < length:
        raise _bad_grain(lba, f"it holds {len(plain)} bytes of {length}")
    if plain.count(0, length) != len(plain) - length:
        raise _bad_grain(lba, "it holds data behind the end of the disk")
    return memoryview(plain)[:length]


def _bad_grain(lba: int, why: str) -> DiskFormatError:
    return corrupt(f"the grain for sector {lba} is damaged: {why}", fact="E10")
