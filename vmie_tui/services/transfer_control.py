"""What whoever moves bytes asks and tells those it moves them for: may I go on, and I moved n bytes."""

from __future__ import annotations

from typing import Protocol


class TransferControl(Protocol):
    """How a transfer is stopped and followed. Both are called from the thread that runs it."""

    def check(self) -> None:
        """Called often; raises (`Cancelled`, a pause, a lost lease) when the transfer is to end now."""

    def moved(self, nbytes: int, *, skipped: bool = False) -> None:
        """So many more bytes are where they are to be; ``skipped`` when an earlier attempt had brought them there."""


class DiskControl(TransferControl, Protocol):
    """The same for one disk that is read from front to back."""

    def begin(self, total: int) -> None:
        """The reading starts, perhaps again; ``total``: bytes that `moved` will be told of, 0 when nobody knows."""

    def covered(self, offset: int) -> None:
        """The disk has been read up to this byte."""
