"""The blocks of an image file: none may overlap, so that a small file cannot claim much data."""

from __future__ import annotations

from collections.abc import Callable

from vmie_tui.services.disks.errors import DiskFormatError, corrupt, truncated
from vmie_tui.services.disks.streams.source import ByteReader

CHECKED_AT_ONCE = 256 << 10  # bytes of a block table: its beginning is gone through when an image is opened
_PAGE = 8192  # bytes: 65,536 numbers


class Bits:
    """A set of numbers from 0, in pages of 8 KiB that exist where numbers are."""

    def __init__(self) -> None:
        self._pages: dict[int, bytearray] = {}

    def add(self, number: int) -> bool:
        """Whether the number is new."""
        page, bit = divmod(number, _PAGE * 8)
        bits = self._pages.setdefault(page, bytearray(_PAGE))
        mask = 1 << (bit & 7)
        if bits[bit >> 3] & mask:
            return False
        bits[bit >> 3] |= mask
        return True


class Places:
    """The blocks of ``block`` bytes met in a file of ``size`` bytes, while its tables are gone through once."""

    def __init__(self, size: int, block: int, format_name: str) -> None:
        self._size, self._block, self._format = size, block, format_name
        self._taken = Bits()

    def take(self, number: int, at: int, length: int) -> None:
        """Block ``number`` has ``length`` bytes of data from byte ``at`` of the file.

        Raises ``DiskFormatError`` (CORRUPT) when they lie behind its end, or where another block's are.
        """
        if at + length > self._size:
            raise beyond(number, self._format, self._size)
        if not self._taken.add(at // self._block):
            raise corrupt(f"block {number} of the {self._format} lies where another block does")


def read_blocks(
    image: ByteReader, block_size: int, place: Callable[[int], int | None], span: tuple[int, int], format_name: str
) -> bytes:
    """The ``span`` (offset, length) of a disk stored in blocks; ``place``: the byte of the file a block begins at,
    None for a block of zeros.
    """
    offset, length = span
    out = bytearray(length)
    done = 0
    while done < length:
        block, within = divmod(offset + done, block_size)
        step = min(length - done, block_size - within)
        at = place(block)
        if at is not None:
            data = image.read_at(at + within, step)
            if len(data) != step:
                raise beyond(block, format_name, image.size)
            out[done : done + step] = data
        done += step
    return bytes(out)


def beyond(number: int, format_name: str, size: int) -> DiskFormatError:
    """The error for a block that lies behind the end of the file."""
    return truncated(f"block {number} lies behind the end of the {format_name}, which has {size} bytes")
