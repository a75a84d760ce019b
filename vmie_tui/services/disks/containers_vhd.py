"""VHD, fixed and dynamic, by random access. Numbers on disk are big-endian."""

from __future__ import annotations

import struct
from collections.abc import Iterator

from vmie_tui.model import facts
from vmie_tui.model.errors import ErrorKind
from vmie_tui.services.disks.errors import DiskFormatError, corrupt, truncated
from vmie_tui.services.disks.source import ByteReader

SECTOR = 512
UNUSED = 0xFFFFFFFF
_FIXED, _DYNAMIC, _DIFFERENCING = 2, 3, 4
_MAX_BLOCK = 256 << 20


def _refused(what: str) -> DiskFormatError:
    known = facts.error("E09")
    return DiskFormatError(
        ErrorKind.INVALID,
        what,
        remedy="Export the VM again as a fixed or dynamic VHD without a parent",
        code=known["code"],
        detail=known["message"],
    )


class VhdReader:
    """A `DiskSource` over a fixed or dynamic VHD.

    Raises ``DiskFormatError``: INVALID (documented error E09) for a differencing VHD or one whose two footers differ,
    CORRUPT for one that contradicts itself. Sectors that no block holds are zeros.
    """

    def __init__(self, image: ByteReader) -> None:
        self._image = image
        footer = image.read_at(max(0, image.size - SECTOR), SECTOR)
        if len(footer) < SECTOR or footer[:8] != b"conectix":
            raise truncated("the VHD has no footer at its end: it was not received whole")
        (written,) = struct.unpack_from(">I", footer, 64)
        if written != ~(sum(footer[:64]) + sum(footer[68:])) & 0xFFFFFFFF:
            raise corrupt("the VHD's footer is damaged: its checksum is wrong", fact="E09")
        (header_at,) = struct.unpack_from(">Q", footer, 16)
        self._size, self.kind = struct.unpack_from(">QI", footer, 48)[0], struct.unpack_from(">I", footer, 60)[0]
        self._block = 0
        if self.kind == _DIFFERENCING:
            raise _refused("the VHD holds only the difference to its parent")
        if self.kind == _FIXED:
            if self._size > image.size - SECTOR:
                raise truncated(f"the VHD says {self._size} bytes of disk, the file has {image.size - SECTOR}")
        elif self.kind == _DYNAMIC:
            if image.read_at(0, SECTOR) != footer:
                raise _refused("the VHD's footer and the copy at its start differ")
            self._open_table(header_at)
        else:
            raise corrupt(f"the VHD's footer says type {self.kind}; 2 (fixed) and 3 (dynamic) are known", fact="E09")

    def _open_table(self, header_at: int) -> None:
        header = self._image.read_at(header_at, 1024)
        if header[:8] != b"cxsparse" or len(header) < 1024:
            raise corrupt("the dynamic VHD has no header", fact="E09")
        (self._table_at,) = struct.unpack_from(">Q", header, 16)
        self._entries, self._block = struct.unpack_from(">II", header, 28)
        if not SECTOR <= self._block <= _MAX_BLOCK or self._block & (self._block - 1):
            raise corrupt(f"the dynamic VHD's header says blocks of {self._block} bytes", fact="E09")
        self._bitmap = -(-self._block // (SECTOR * 8 * SECTOR)) * SECTOR
        if self._entries * self._block < self._size or self._table_at + 4 * self._entries > self._image.size:
            raise corrupt("the dynamic VHD's block table does not cover its disk", fact="E09")

    @property
    def size(self) -> int:
        return int(self._size)

    def _place(self, block: int) -> int | None:
        """Where the data of a block begins in the file; None when it is zeros."""
        (sector,) = struct.unpack(">I", self._image.read_at(self._table_at + 4 * block, 4))
        return None if sector == UNUSED else int(sector) * SECTOR + self._bitmap

    def read_at(self, offset: int, length: int) -> bytes:
        """``length`` bytes from byte ``offset`` of the disk, fewer only at its end."""
        length = max(0, min(length, self.size - offset))
        if not self._block:
            return self._image.read_at(offset, length)
        out = bytearray(length)
        done = 0
        while done < length:
            block, within = divmod(offset + done, self._block)
            step = min(length - done, self._block - within)
            place = self._place(block)
            if place is not None:
                data = self._image.read_at(place + within, step)
                if len(data) != step:
                    raise truncated(f"block {block} lies behind the end of the VHD, which has {self._image.size} bytes")
                out[done : done + step] = data
            done += step
        return bytes(out)

    def extents(self) -> Iterator[tuple[int, int]]:
        """The blocks that are in the file."""
        if not self._block:
            yield 0, self.size
            return
        for block in range(-(-self.size // self._block)):
            if self._place(block) is not None:
                at = block * self._block
                yield at, min(self._block, self.size - at)
