"""The proof of an import: what the host sent, what arrived, what AWS holds now, compared disk by disk."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class BlockProof:
    """Blocks (512 KiB) of an EBS snapshot, read back and compared."""

    snapshot_id: str
    against: str  # what they were compared with
    exact: bool  # they must be equal; AWS changes the boot disk of a machine that it converts
    compared: int = 0
    different: tuple[int, ...] = ()  # indexes
    absent: int = 0  # should have data and are zeros; counted among `different`
    whole: bool = False
    vacant: bool = False  # the disk had no data, and the snapshot has no block

    @property
    def equal(self) -> bool | None:
        """None when nothing was compared, or when a difference proves nothing."""
        if not self.compared:
            return True if self.vacant else None
        if not self.different:
            return True
        return False if self.exact else None

    def __str__(self) -> str:
        which = "all blocks with data" if self.whole else "sampled blocks"
        if self.vacant:
            return f"{self.snapshot_id}: no block, as the disk had no data"
        if not self.compared:
            return f"{self.snapshot_id}: no block to compare"
        if not self.different:
            return f"{self.snapshot_id}: {self.compared:,} of {self.compared:,} {which} equal to {self.against}"
        numbers = ", ".join(map(str, self.different[:8])) + (" …" if len(self.different) > 8 else "")
        missing = f", {self.absent} of them empty" if self.absent else ""
        judged = "" if self.exact else "; AWS has converted this machine and changes blocks itself: no proof of loss"
        count = f"{len(self.different):,} of {self.compared:,} {which}"
        return f"{self.snapshot_id}: {count} differ from {self.against}{missing} (blocks {numbers}){judged}"


@dataclass(frozen=True, slots=True)
class DiskProof:
    """One disk; checksums are "" where there is none."""

    key: int
    label: str
    host_sha256: str = ""
    received_sha256: str = ""
    stored: str = ""  # where what was sent lies
    stored_then: str = ""  # as recorded when it was sent, base64
    stored_now: str = ""
    blocks: tuple[BlockProof, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def host_equal(self) -> bool | None:
        """Whether what was received is what the host says it sent; None when it says nothing."""
        return self.host_sha256 == self.received_sha256 if self.host_sha256 and self.received_sha256 else None

    @property
    def stored_equal(self) -> bool | None:
        """Whether what lies in S3 is what was sent; None when it is deleted, or was no object."""
        return self.stored_then == self.stored_now if self.stored_then and self.stored_now else None

    @property
    def in_aws(self) -> bool:
        """Whether anything that AWS holds was compared, not only what arrived here with what the host sent."""
        return self.stored_equal is not None or any(each.equal is not None for each in self.blocks)

    @property
    def equal(self) -> bool | None:
        """None when nothing that AWS holds was compared, and nothing differs."""
        found = _all([self.host_equal, self.stored_equal, *(each.equal for each in self.blocks)])
        return None if found and not self.in_aws else found

    def lines(self) -> Iterator[str]:
        if self.host_sha256:
            yield f"host's SHA-256      {self.host_sha256}"
        if self.received_sha256:
            said = {True: "  equal", False: "  DIFFERS", None: ""}[self.host_equal]
            yield f"received SHA-256    {self.received_sha256}{said}"
        if self.stored_then:
            yield f"CRC64NVME when sent {self.stored_then}"
        if self.stored_now:
            said = {True: "  equal", False: "  DIFFERS", None: ""}[self.stored_equal]
            yield f"CRC64NVME now       {self.stored_now}{said}  {self.stored}"
        for each in self.blocks:
            yield str(each)
        yield from self.notes


@dataclass(frozen=True, slots=True)
class Proof:
    """One job's proof. ``equal``: True when something of every disk was compared and all that must be equal is, False
    when something differs, None when nothing differs but a disk, or all of them, could not be compared."""

    job_id: str
    name: str
    route: str
    disks: tuple[DiskProof, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def equal(self) -> bool | None:
        found = _all([disk.equal for disk in self.disks])
        return None if found and self._open else found

    @property
    def _open(self) -> list[str]:
        """Labels of the disks of which nothing could be compared."""
        return [disk.label for disk in self.disks if disk.equal is None]

    @property
    def verdict(self) -> str:
        if self.equal is None and len(self._open) < len(self.disks):
            return f"not all compared: nothing that AWS holds of {', '.join(self._open)}; the rest is equal"
        return {
            True: "equal: all that was compared is what the source sent",
            False: "DIFFERENT: something in AWS is not what was sent",
            None: "nothing could be compared",
        }[self.equal]

    def lines(self) -> tuple[str, ...]:
        """The report for a terminal."""
        found = [f"{self.name}, route {self.route}: {self.verdict}"]
        for disk in self.disks:
            found.append(f"  {disk.label}")
            found += [f"    {line}" for line in disk.lines()]
        return (*found, *(f"  {note}" for note in self.notes))

    def to_json(self) -> dict[str, Any]:
        data = asdict(self)
        for disk, plain in zip(self.disks, data["disks"], strict=True):
            plain |= {"host_equal": disk.host_equal, "stored_equal": disk.stored_equal, "equal": disk.equal}
            for each, block in zip(disk.blocks, plain["blocks"], strict=True):
                block["equal"] = each.equal
        return {**data, "equal": self.equal, "verdict": self.verdict}


def _all(parts: list[bool | None]) -> bool | None:
    """False when one is, True when some are and the others say nothing."""
    if False in parts:
        return False
    return True if True in parts else None
