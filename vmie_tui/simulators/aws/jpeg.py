"""A baseline JPEG of even grey squares: enough for a picture of a text console, and every viewer opens it."""

from __future__ import annotations

import struct
from collections.abc import Sequence

SQUARE = 8  # pixels: one block of the DCT, of which only the mean is coded

# Huffman tables of ITU-T T.81 annex K.3: luminance, DC; of the AC table only "end of block" is used
_DC_COUNTS = (0, 1, 5, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0, 0, 0, 0)
_DC_VALUES = tuple(range(12))
_AC_COUNTS, _AC_VALUES = (1,) + (0,) * 15, (0,)  # one code of one bit: end of block


def grey_jpeg(squares: Sequence[Sequence[int]]) -> bytes:
    """A grey JPEG of ``squares`` (0 black to 255 white), each 8 by 8 pixels; rows of equal length."""
    height, width = len(squares) * SQUARE, len(squares[0]) * SQUARE
    codes, bits = _codes(_DC_COUNTS, _DC_VALUES), _Bits()
    before = 0
    for row in squares:
        for grey in row:
            level = grey - 128  # the DC coefficient is 8 times the mean, quantised by 8
            _put_difference(bits, codes, level - before)
            before = level
            bits.put(0, 1)  # end of block
    table = bytes([0]) + bytes([SQUARE] * 64)
    frame = struct.pack(">BHHB", 8, height, width, 1) + bytes([1, 0x11, 0])
    scan = bytes([1, 1, 0x00, 0, 63, 0])
    return b"".join(
        [
            b"\xff\xd8",
            _segment(0xE0, b"JFIF\0\x01\x01\0\0\x01\0\x01\0\0"),
            _segment(0xDB, table),
            _segment(0xC0, frame),
            _segment(0xC4, bytes([0x00]) + bytes(_DC_COUNTS) + bytes(_DC_VALUES)),
            _segment(0xC4, bytes([0x10]) + bytes(_AC_COUNTS) + bytes(_AC_VALUES)),
            _segment(0xDA, scan),
            bits.done(),
            b"\xff\xd9",
        ]
    )


def _segment(marker: int, content: bytes) -> bytes:
    return struct.pack(">BBH", 0xFF, marker, len(content) + 2) + content


def _codes(counts: Sequence[int], values: Sequence[int]) -> dict[int, tuple[int, int]]:
    """Value -> (code, bits)."""
    found, code, at = dict[int, tuple[int, int]](), 0, 0
    for length, count in enumerate(counts, 1):
        for _ in range(count):
            found[values[at]] = (code, length)
            code, at = code + 1, at + 1
        code <<= 1
    return found


def _put_difference(bits: _Bits, codes: dict[int, tuple[int, int]], difference: int) -> None:
    size = abs(difference).bit_length()
    bits.put(*codes[size])
    if size:
        bits.put(difference if difference > 0 else difference + (1 << size) - 1, size)


class _Bits:
    """Bits, most significant first, with a zero byte behind every 0xFF."""

    def __init__(self) -> None:
        self._out, self._held, self._count = bytearray(), 0, 0

    def put(self, value: int, count: int) -> None:
        self._held = (self._held << count) | value
        self._count += count
        while self._count >= 8:
            self._count -= 8
            byte = self._held >> self._count & 0xFF
            self._out.append(byte)
            if byte == 0xFF:
                self._out.append(0)
        self._held &= (1 << self._count) - 1

    def done(self) -> bytes:
        """All of it, padded with ones."""
        if self._count:
            self.put((1 << (8 - self._count)) - 1, 8 - self._count)
        return bytes(self._out)
