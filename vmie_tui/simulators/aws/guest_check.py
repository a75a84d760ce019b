"""The errors of VM Import for a guest it cannot convert, found by the same inspection as preflight's."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from vmie_tui.model.finding import Severity
from vmie_tui.services.disks.guest.inspect import GuestReport, inspect
from vmie_tui.services.disks.streams.ranges import Slice
from vmie_tui.services.disks.streams.source import RawFile

FIRST_BOOT = "FirstBootFailure"


def refusal(disks: Sequence[tuple[Path, int]]) -> str:
    """The error of the worst thing on the disks (file, bytes of the disk), in AWS's words; "" for a guest it takes.

    A blocker for which no error is documented lets the import go through, as AWS would: the instance does not work.
    """
    blockers = (finding for finding in _inspected(disks).findings if finding.severity is Severity.BLOCKER)
    return next((finding.prevents for finding in blockers if finding.prevents), "")


def boot_mode(disks: Sequence[tuple[Path, int]]) -> str:
    """The boot mode AWS detects when none is given (F096): BIOS, even where both are possible (F097)."""
    facts = _inspected(disks).facts
    by_bios = any(disk.bios_boot for disk in facts.disks)
    return "uefi" if facts.esp and not by_bios else "legacy-bios"


def _inspected(disks: Sequence[tuple[Path, int]]) -> GuestReport:
    with ExitStack() as held:
        readers = [Slice(held.enter_context(RawFile(path)), 0, size) for path, size in disks]
        return inspect(readers, must_boot=True)
