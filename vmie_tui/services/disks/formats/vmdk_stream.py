"""Parses a streamOptimized VMDK in passing, in pieces of any size, and trusts nothing it has not checked.

Two layouts exist. ESXi hosts write grains first, each grain table behind its grains, then directory, footer and
end-of-stream marker. qemu-img writes directory and tables in front and nothing behind the grains.
"""

from __future__ import annotations

from collections.abc import Callable

from vmie_tui.services.disks.errors import corrupt, truncated
from vmie_tui.services.disks.formats.vmdk_layout import (
    MARKER,
    MARKER_SIZE,
    MAX_DESCRIPTOR,
    META_MARKER,
    SECTOR,
    TABLE_BYTES,
    Descriptor,
    Mark,
    SparseHeader,
    parse_descriptor,
)
from vmie_tui.services.disks.formats.vmdk_tables import FooterTables, FrontTables, Tables, inflate
from vmie_tui.services.disks.streams.pieces import OnData

_PIECE = 65536
_ZEROS = bytes(_PIECE)


class StreamDecoder:
    """Push parser: `feed` it the stream, and it calls ``on_grain(byte offset on the disk, data)`` for each grain.

    Grains come in the stream's order, usually but not always ascending, each at most once; what never comes is zeros.
    The data is only valid during the call. With ``inflate=False`` the structure is checked and nothing is
    inflated or called. Memory: one compressed grain, and the metadata of the tables in work. The header is held against
    the stream's own descriptor, where it has one.

    Attributes: ``capacity`` (bytes, None before the header), ``grains``, ``data_bytes`` (of disk, in the grains seen),
    ``complete``. Raises ``DiskFormatError``; after that only a new decoder helps.
    """

    def __init__(self, on_grain: OnData | None = None, *, inflate: bool = True) -> None:
        self.capacity: int | None = None
        self.grains = 0
        self.data_bytes = 0
        self.complete = False
        self._on_grain = on_grain
        self._inflate = inflate
        self._header = SparseHeader(0)
        self._descriptor = Descriptor()
        self._tables: Tables | None = None
        self._held = bytearray()  # the start of a record whose end has not come yet
        self._position = 0  # bytes of the stream behind the reader
        self._skip = 0  # bytes ahead that nobody needs to see
        self._need = SECTOR  # bytes that `_handle` wants to see
        self._handle: Callable[[memoryview], bool] = self._on_header

    def feed(self, data: bytes | bytearray | memoryview) -> None:
        """Parses the next piece. Raises ``DiskFormatError`` (CORRUPT, or INVALID for another kind of file)."""
        view = memoryview(data).cast("B")
        at, end = 0, len(view)
        while at < end:
            if self._skip:
                step = min(self._skip, end - at)
                self._skip -= step
                self._position += step
            elif self.complete:
                step = min(_PIECE, end - at)
                if view[at : at + step].tobytes() != _ZEROS[:step]:
                    raise corrupt("there is data behind the end-of-stream marker")
            elif self._held or end - at < self._need:
                step = min(self._need - len(self._held), end - at)
                self._held += view[at : at + step]
                if len(self._held) == self._need:
                    self._take_held()
            else:  # the usual case: the whole record lies in this piece, and is used where it lies
                step = self._need
                if not self._handle(view[at : at + step]):
                    continue
                self._position += step
            at += step

    def _take_held(self) -> None:
        with memoryview(self._held) as record:
            done = self._handle(record)
        if done:
            self._position += len(self._held)
            self._held.clear()

    def finish(self) -> None:
        """Ends the stream. Raises ``DiskFormatError`` (CORRUPT, ``retry_safe``) when it ended early."""
        if self._held or self._skip or not (self.complete or self._may_end()):
            owed = self._tables.missing() if self._tables else ""
            raise truncated(
                f"the disk stream stops after {self._position + len(self._held)} bytes{owed}: "
                "the host closed the stream early",
                received=True,
            )
        self.complete = True

    def _may_end(self) -> bool:
        return isinstance(self._tables, FrontTables) and self._handle == self._on_marker and not self._tables.missing()

    # A handler is called with exactly `_need` bytes. It takes them, sets what comes next and returns True; or it raises
    # `_need`, returns False, and is called again with the same bytes and those that follow.

    def _then(self, handle: Callable[[memoryview], bool], need: int = SECTOR, *, skip: int = 0) -> bool:
        self._handle, self._need, self._skip = handle, need, skip
        return True

    def _on_header(self, record: memoryview) -> bool:
        header = SparseHeader.unpack(record)
        header.check_stream()
        self._header, self.capacity = header, header.capacity_bytes
        if header.directory >= header.overhead:
            self._tables = FooterTables(header)
            return self._descriptor_then(self._on_marker, SECTOR, header.overhead)
        self._tables = front = FrontTables(header)

        def on_directory(record: memoryview) -> bool:
            header.check_descriptor(self._descriptor)
            front.directory(record)
            return self._then(on_table, TABLE_BYTES)

        def on_table(record: memoryview) -> bool:
            if front.table(record):
                return True
            return self._then(self._on_marker, skip=header.overhead * SECTOR - self._position - TABLE_BYTES)

        return self._descriptor_then(on_directory, front.directory_bytes, header.directory)

    def _descriptor_then(self, handle: Callable[[memoryview], bool], need: int, sector: int) -> bool:
        """Read the descriptor, where it lies before ``sector``; what comes there is for ``handle``."""
        start, length = self._header.descriptor_offset, self._header.descriptor_sectors

        def on_descriptor(record: memoryview) -> bool:
            self._descriptor = parse_descriptor(bytes(record))
            return self._then(handle, need, skip=(sector - start - length) * SECTOR)

        if min(start, length) < 1 or start + length > sector or length * SECTOR > MAX_DESCRIPTOR:
            return self._then(handle, need, skip=(sector - 1) * SECTOR)
        return self._then(on_descriptor, length * SECTOR, skip=(start - 1) * SECTOR)

    def _on_marker(self, record: memoryview) -> bool:
        value, size = MARKER.unpack_from(record)
        if size:
            return self._on_grain_record(record, value, size)
        value, _, kind = META_MARKER.unpack_from(record)
        sector, tables = self._position // SECTOR, self._tables
        if kind == Mark.END:
            return self._end()
        if not isinstance(tables, FooterTables) or kind not in (Mark.TABLE, Mark.DIRECTORY, Mark.FOOTER):
            raise corrupt(f"an unknown marker of kind {kind} at sector {sector}")
        if len(record) == SECTOR:
            self._need = SECTOR * (1 + tables.length_of(kind, value))
            return False
        tables.metadata(kind, record[SECTOR:], sector + 1)
        return self._then(self._on_marker)

    def _end(self) -> bool:
        owed = self._tables.missing() if self._tables else ""
        if owed:
            raise corrupt(f"the end-of-stream marker comes too early{owed}")
        self._header.check_descriptor(self._descriptor)  # only now: a footer tells more of a damaged header
        self.complete = True
        return True

    def _on_grain_record(self, record: memoryview, lba: int, size: int) -> bool:
        header = self._header
        total = -(-(MARKER_SIZE + size) // SECTOR) * SECTOR
        if len(record) == SECTOR:
            sector = self._position // SECTOR
            if lba >= header.capacity or lba % header.grain_sectors:
                raise corrupt(f"the grain at sector {sector} is for sector {lba} of a disk of {header.capacity}")
            if size > 2 * header.grain_bytes:  # even a poor encoder adds only a quarter to random data
                raise corrupt(f"the grain at sector {sector} announces {size} compressed bytes")
        if len(record) < total:
            self._need = total
            return False
        if self._tables:
            self._tables.grain(lba // header.grain_sectors, self._position // SECTOR)
        offset = lba * SECTOR
        length = min(header.grain_bytes, header.capacity_bytes - offset)
        if self._inflate:
            data = inflate(record[MARKER_SIZE : MARKER_SIZE + size], header.grain_bytes, length, lba)
            if self._on_grain:
                self._on_grain(offset, data)
        self.grains += 1
        self.data_bytes += length
        return self._then(self._on_marker)
