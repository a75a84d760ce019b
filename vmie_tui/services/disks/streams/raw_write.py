"""Writes a RAW disk: its bytes and nothing else, with holes where it is zeros."""

from __future__ import annotations

from collections.abc import Iterator

from vmie_tui.services.disks.formats.vmdk_stream import OnGrain
from vmie_tui.services.disks.streams.output import Output
from vmie_tui.services.disks.streams.pieces import Content, runs, zeros
from vmie_tui.services.disks.streams.source import DiskSource


def write_raw(source: DiskSource, out: Output, content: Content) -> None:
    """Fill ``out`` with the disk; exactly ``source.size`` bytes."""
    for offset, data in runs(source, content):
        out.write_at(offset, data)
    out.resize(source.size)


def raw_pieces(source: DiskSource, on_data: OnGrain | None = None) -> Iterator[memoryview]:
    """All bytes of the disk front to back; a piece is only good until the next one is asked for.

    ``on_data`` hears the byte of the disk and the data of what is not zeros.
    """
    at = 0
    for offset, data in runs(source, Content(wanted=False)):
        if on_data is not None:
            on_data(offset, data)
        yield from zeros(offset - at)
        yield data
        at = offset + len(data)
    yield from zeros(source.size - at)
