"""A VMDK's grains and their tables: inflates one grain, and checks a stream's tables against the grains seen.

Every grain must stand in one table, at the sector where it was met, and no table may list a grain that never came;
neither the tables nor the grains are kept whole for that.
"""

from __future__ import annotations

import struct
from itertools import islice
from typing import Protocol

import deflate

from vmie_tui.services.disks.errors import DiskFormatError, corrupt
from vmie_tui.services.disks.formats.places import Bits
from vmie_tui.services.disks.formats.vmdk_layout import (
    AT_END,
    ENTRIES,
    SECTOR,
    TABLE_BYTES,
    TABLE_SECTORS,
    Mark,
    SparseHeader,
    listed,
    sectors,
)

_NO_GRAINS = bytes(TABLE_BYTES)
_MAX_PENDING = 1 << 16  # grains that may wait for their table: 4 GiB of disk


class Tables(Protocol):
    """The bookkeeping of one stream."""

    def grain(self, number: int, sector: int) -> None:
        """A grain was met; raises ``DiskFormatError`` (CORRUPT) when it came before."""

    def missing(self) -> str:
        """What the stream has not delivered, for an error message; empty if complete."""


class FooterTables:
    """The layout of ESXi hosts: a table behind its grains, then the directory, the footer, the end-of-stream marker."""

    def __init__(self, header: SparseHeader) -> None:
        self._header = header
        self._open: dict[int, dict[int, int]] = {}  # table -> slot -> sector, of grains whose table has not come
        self._pending: dict[int, int] = {}  # sector -> table, of the same grains
        self._tables: dict[int, int] = {}  # table -> sector
        self._empty: set[int] = set()  # sectors of tables without a grain
        self._directory = 0
        self._footer = False

    def grain(self, number: int, sector: int) -> None:
        if self._directory:
            raise corrupt(f"grain {number} comes behind the grain directory")
        table, slot = divmod(number, ENTRIES)
        grains = self._open.setdefault(table, {})
        if slot in grains or table in self._tables:
            raise corrupt(f"grain {number} comes twice, or behind its grain table")
        if len(self._pending) >= _MAX_PENDING:
            raise corrupt(f"{_MAX_PENDING} grains came without a grain table")
        grains[slot] = sector
        self._pending[sector] = table

    def missing(self) -> str:
        if not self._directory:
            return f", grains without their table: {len(self._pending)}" if self._pending else ", no grain directory"
        return "" if self._footer else ", no footer"

    def length_of(self, kind: int, announced: int) -> int:
        """Sectors of metadata behind a marker; raises when the marker is not possible here."""
        if self._footer or (self._directory and kind != Mark.FOOTER) or (kind == Mark.FOOTER and not self._directory):
            raise corrupt(f"a metadata marker of kind {kind} where none belongs")
        if kind == Mark.DIRECTORY:
            least = sectors(self._header.tables * 4)
            possible = least <= announced <= least + 128  # some writers round it up to a grain
        else:
            possible = announced == (TABLE_SECTORS if kind == Mark.TABLE else 1)
        if not possible:
            raise corrupt(f"a metadata marker of kind {kind} announces {announced} sectors")
        return announced

    def metadata(self, kind: int, data: memoryview, sector: int) -> None:
        """Take a table, directory or footer that starts at ``sector``."""
        if kind == Mark.TABLE:
            self._table(data, sector)
        elif kind == Mark.DIRECTORY:
            self._check_directory(data, sector)
        else:
            self._check_footer(data)

    def _table(self, data: memoryview, sector: int) -> None:
        entries = listed(data, self._header)
        if not entries:
            self._empty.add(sector)
            return
        number = self._pending.get(next(iter(entries.values())), -1)
        if self._open.get(number) != entries:
            raise corrupt(f"the grain table at sector {sector} does not list the grains before it")
        self._tables[number] = sector
        del self._open[number]
        for where in entries.values():
            del self._pending[where]

    def _check_directory(self, data: memoryview, sector: int) -> None:
        if self._pending:
            raise corrupt(f"grains in no grain table: {len(self._pending)}")
        for number, (entry,) in enumerate(islice(struct.iter_unpack("<I", data), self._header.tables)):
            known = self._tables.get(number)
            if entry != known and (known is not None or not (entry == 0 or entry in self._empty)):
                raise corrupt(f"the grain directory names sector {entry} for table {number}")
        if self._header.directory not in (AT_END, sector):
            raise corrupt("the header names another place for the grain directory")
        self._directory = sector

    def _check_footer(self, data: memoryview) -> None:
        try:
            footer = SparseHeader.unpack(data)
        except DiskFormatError as error:
            raise corrupt("the footer is damaged") from error
        if not self._header.agrees_with(footer):
            raise corrupt("the footer contradicts the header")
        if footer.directory != self._directory:
            raise corrupt("the footer does not point at the grain directory")
        self._footer = True


class FrontTables:
    """The layout of qemu-img: directory, then all tables, then grains in any order, and nothing behind them.

    The tables are not kept: their entries and the grains met must agree in number and in a sum over both.
    """

    def __init__(self, header: SparseHeader) -> None:
        self._header = header
        self.directory_bytes = sectors(header.tables * 4) * SECTOR
        start = header.directory + self.directory_bytes // SECTOR
        if header.directory < 1 or start + header.tables * TABLE_SECTORS > header.overhead:
            raise corrupt("the grain tables do not fit between the header and the first grain")
        self._start = start
        self._read = 0  # tables read
        self._owed = 0  # grains listed and not met
        self._sum = 0  # of what is listed, minus the same of what was met
        self._met = Bits()

    def directory(self, data: memoryview) -> None:
        """Check that the tables stand behind the directory in order, the only way to read them in passing."""
        for number, (entry,) in enumerate(islice(struct.iter_unpack("<I", data), self._header.tables)):
            if entry != self._start + number * TABLE_SECTORS:
                raise corrupt(f"the grain directory names sector {entry} for table {number}")

    def table(self, data: memoryview) -> bool:
        """Count the next table; true when more are to come."""
        if data != _NO_GRAINS:
            for slot, sector in listed(data, self._header).items():
                self._owed += 1
                self._sum += self._weight(self._read * ENTRIES + slot, sector)
        self._read += 1
        return self._read < self._header.tables

    @staticmethod
    def _weight(grain: int, sector: int) -> int:
        return sector * (2 * grain + 1)

    def grain(self, number: int, sector: int) -> None:
        if not self._met.add(number):
            raise corrupt(f"grain {number} comes twice")
        self._owed -= 1
        self._sum -= self._weight(number, sector)
        if self._owed < 0:
            raise corrupt(f"grain {number} is in no grain table")
        if not self._owed and self._sum:
            raise corrupt("the grain tables name other places than those where the grains are")

    def missing(self) -> str:
        return f", grains missing: {self._owed}" if self._owed else ""


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
