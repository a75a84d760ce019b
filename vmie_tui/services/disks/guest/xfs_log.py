"""Whether an XFS file system was unmounted: the last record of its log says so."""

from __future__ import annotations

import struct
from collections.abc import Callable

from vmie_tui.services.disks.streams.source import ByteReader

SECTOR = 512
_MAGIC = 0xFEEDBABE
_UNMOUNT = 0x20
_BACK = 512  # sectors before the head that are searched: the largest record
_MAX_SECTORS = (2 << 30) // SECTOR


def log_is_clean(source: ByteReader, block: bytes) -> bool | None:
    """True after an unmount, False when the log wants replay; None when it lies elsewhere or cannot be understood.

    ``block`` is the superblock. The log is circular, each of its sectors stamped with the number of its round: where
    that changes is its head, and a record of one operation before that is the unmount.
    """
    size, start, group_blocks = (
        struct.unpack_from(">I", block, 4)[0],
        struct.unpack_from(">Q", block, 48)[0],
        struct.unpack_from(">I", block, 84)[0],
    )
    blocks, bits = struct.unpack_from(">I", block, 96)[0], block[124]
    total = blocks * size // SECTOR
    if not start or not total or total > _MAX_SECTORS or not 0 < bits < 32 or not size:
        return None  # an external log
    first = ((start >> bits) * group_blocks + (start & ((1 << bits) - 1))) * size
    if first + total * SECTOR > source.size:
        return None

    def sector(number: int) -> bytes:
        return source.read_at(first + number * SECTOR, SECTOR)

    def cycle(number: int) -> int:
        word, following = struct.unpack_from(">II", sector(number))
        return int(following if word == _MAGIC else word)

    begin, end = cycle(0), cycle(total - 1)
    if begin == 0:
        return None
    head = total if begin == end else _first_other(cycle, begin, total)
    for number in range(head - 1, max(-1, head - _BACK), -1):
        record = sector(number)
        if struct.unpack_from(">I", record)[0] != _MAGIC:
            continue
        length, operations = struct.unpack_from(">I", record, 12)[0], struct.unpack_from(">I", record, 40)[0]
        version, room = struct.unpack_from(">I", record, 8)[0], struct.unpack_from(">I", record, 320)[0]
        headers = -(-room // 32768) if version & 2 and room > 32768 else 1
        if operations != 1 or number + headers + -(-length // SECTOR) != head:
            return False
        return bool(sector(number + headers)[9] & _UNMOUNT)
    return None


def _first_other(cycle: Callable[[int], int], begin: int, total: int) -> int:
    """The first sector of another round than ``begin``."""
    low, high = 0, total - 1
    while high - low > 1:
        middle = (low + high) // 2
        if cycle(middle) == begin:
            low = middle
        else:
            high = middle
    return high
