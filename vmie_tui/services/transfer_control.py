"""Callbacks of a transfer to its owner: may it continue, and how many bytes it has moved."""

from __future__ import annotations

from typing import Protocol


class TransferControl(Protocol):
    """How a transfer is stopped and followed. Both are called from the thread that runs it."""

    def check(self) -> None:
        """Called often; raises (`Cancelled`, a pause, a lost lease) to end the transfer now."""

    def moved(self, nbytes: int, *, skipped: bool = False) -> None:
        """``nbytes`` more have arrived; ``skipped``: an earlier attempt had transferred them."""


class DiskControl(TransferControl, Protocol):
    """The same for one disk that is read from front to back."""

    def begin(self, total: int) -> None:
        """Reading starts, perhaps again; ``total``: the bytes `moved` will report, 0 if unknown."""

    def covered(self, offset: int) -> None:
        """The disk has been read up to this byte."""
