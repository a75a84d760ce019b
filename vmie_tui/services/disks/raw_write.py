"""Writes a RAW disk: its bytes and nothing else, with holes where it is zeros."""

from __future__ import annotations

from vmie_tui.services.disks.output import Output
from vmie_tui.services.disks.pieces import Content, runs
from vmie_tui.services.disks.source import DiskSource


def write_raw(source: DiskSource, out: Output, content: Content) -> None:
    """Fill ``out`` with the disk; exactly ``source.size`` bytes."""
    for offset, data in runs(source, content):
        out.write_at(offset, data)
    out.resize(source.size)
