"""VHD, fixed and dynamic, by random access. Numbers on disk are big-endian."""

from __future__ import annotations

import struct
from collections.abc import Iterator

from vmie_tui.model.errors import ErrorKind
from vmie_tui.services.disks.errors import DiskFormatError, corrupt, documented, truncated
from vmie_tui.services.disks.formats.ova import ReadAt
from vmie_tui.services.disks.formats.places import CHECKED_AT_ONCE, Places, read_blocks
from vmie_tui.services.disks.streams.source import ByteReader, read_fields

MAGIC = b"conectix"
SECTOR = 512
UNUSED = 0xFFFFFFFF
_FIXED, _DYNAMIC, _DIFFERENCING = 2, 3, 4
_MAX_BLOCK = 256 << 20
_ENTRIES_AT_ONCE = CHECKED_AT_ONCE // 4


def _refused(what: str) -> DiskFormatError:
    remedy = "Export the VM again as a fixed or dynamic VHD without a parent"
    return DiskFormatError(ErrorKind.INVALID, what, remedy=remedy, **documented("E09"))


def read_footer(read_at: ReadAt, size: int) -> tuple[bytes, int]:
    """The footer at the end of a VHD and the byte it begins at; empty where there is none.

    Virtual PC before 2004 wrote 511 bytes, without the last one, which is reserved; of another program's VHD that is a
    sign that its end is missing.
    """
    for length, creator in ((SECTOR, b""), (SECTOR - 1, b"vpc ")):
        footer = read_at(size - length, length) if size >= length else b""
        if len(footer) == length and footer.startswith(MAGIC) and footer.startswith(creator, 28):
            return footer.ljust(SECTOR, b"\0"), size - length
    return b"", size


def footer_sum(footer: bytes) -> bool:
    """Whether a footer's checksum is right."""
    (written,) = struct.unpack_from(">I", footer, 64)
    return bool(written == ~(sum(footer[:64]) + sum(footer[68:])) & 0xFFFFFFFF)


class VhdReader:
    """A `DiskSource` over a fixed or dynamic VHD.

    Raises ``DiskFormatError``: INVALID (documented error E09) for a differencing VHD or one whose two footers differ,
    CORRUPT for one that contradicts itself, whose blocks lie behind its end, or two of them in one place. What no block
    holds is zeros; which sectors of a block were written is not asked, as no other reader does.
    """

    def __init__(self, image: ByteReader) -> None:
        self._image = image
        footer, self._end = read_footer(image.read_at, image.size)
        if not footer:
            raise truncated("the VHD has no footer at its end: it was not received whole")
        if not footer_sum(footer):
            raise corrupt("the VHD's footer is damaged: its checksum is wrong", fact="E09")
        (header_at,) = struct.unpack_from(">Q", footer, 16)
        self._size, self.kind = struct.unpack_from(">QI", footer, 48)[0], struct.unpack_from(">I", footer, 60)[0]
        self._block = 0
        if self.kind == _DIFFERENCING:
            raise _refused("the VHD holds only the difference to its parent")
        if self.kind == _FIXED:
            if self._size > self._end:
                raise truncated(f"the VHD says {self._size} bytes of disk, the file has {self._end}")
        elif self.kind == _DYNAMIC:
            if image.read_at(0, SECTOR - 1) != footer[: SECTOR - 1]:
                raise _refused("the VHD's footer and the copy at its start differ")
            self._open_table(header_at)
        else:
            raise corrupt(f"the VHD's footer says type {self.kind}; 2 (fixed) and 3 (dynamic) are known", fact="E09")

    def _open_table(self, header_at: int) -> None:
        header = self._image.read_at(header_at, 1024)
        if header[:8] != b"cxsparse" or len(header) < 1024:
            raise corrupt("the dynamic VHD has no header", fact="E09")
        (written,) = struct.unpack_from(">I", header, 36)
        if written != ~(sum(header[:36]) + sum(header[40:])) & 0xFFFFFFFF:
            raise corrupt("the dynamic VHD's header is damaged: its checksum is wrong", fact="E09")
        (self._table_at,) = struct.unpack_from(">Q", header, 16)
        self._entries, self._block = struct.unpack_from(">II", header, 28)
        if not SECTOR <= self._block <= _MAX_BLOCK or self._block & (self._block - 1):
            raise corrupt(f"the dynamic VHD's header says blocks of {self._block} bytes", fact="E09")
        self._bitmap = -(-self._block // (SECTOR * 8 * SECTOR)) * SECTOR
        if self._entries * self._block < self._size or self._table_at + 4 * self._entries > self._end:
            raise corrupt("the dynamic VHD's block table does not cover its disk", fact="E09")
        for _ in self._used(min(self._blocks, _ENTRIES_AT_ONCE)):
            pass

    @property
    def size(self) -> int:
        return int(self._size)

    @property
    def _blocks(self) -> int:
        return int(-(-self._size // self._block))

    def _place(self, block: int) -> int | None:
        """Where the data of a block begins in the file; None when it is zeros."""
        (sector,) = read_fields(self._image, ">I", self._table_at + 4 * block, "the VHD's block table")
        return None if sector == UNUSED else int(sector) * SECTOR + self._bitmap

    def read_at(self, offset: int, length: int) -> bytes:
        """``length`` bytes from byte ``offset`` of the disk, fewer only at its end."""
        length = max(0, min(length, self.size - offset))
        if not self._block:
            return self._image.read_at(offset, length)
        return read_blocks(self._image, self._block, self._place, (offset, length), "VHD")

    def extents(self) -> Iterator[tuple[int, int]]:
        """The blocks that are in the file, each held against its end and against the others."""
        if not self._block:
            yield 0, self.size
        else:
            yield from self._used(self._blocks)

    def _used(self, blocks: int) -> Iterator[tuple[int, int]]:
        """`extents` of a dynamic VHD, as far as the first ``blocks`` go."""
        places = Places(self._end, self._block, "VHD")
        for first in range(0, blocks, _ENTRIES_AT_ONCE):
            count = min(_ENTRIES_AT_ONCE, blocks - first)
            entries = read_fields(self._image, f">{count}I", self._table_at + 4 * first, "the VHD's block table")
            for block, sector in enumerate(entries, first):
                if sector != UNUSED:
                    at = block * self._block
                    length = min(self._block, self.size - at)
                    places.take(block, sector * SECTOR + self._bitmap, length)
                    yield at, length
