"""Which areas of a disk a replication's run moves."""

from __future__ import annotations

from dataclasses import dataclass

from vmie_tui.model.replication import Sync

Areas = list[tuple[int, int]]  # (offset, length), ascending


@dataclass(frozen=True, slots=True)
class Delta:
    """What is moved of a disk."""

    sync: Sync
    reason: str
    parent: str  # the EBS snapshot it goes onto, "" for none
    changed: int  # bytes that vCenter names
    areas: Areas  # what is read, in whole blocks; the last one of the disk may be short (trap 20)
