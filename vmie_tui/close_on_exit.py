"""What closes itself when its context exits: readers, feeds, sessions."""

from __future__ import annotations

from types import TracebackType
from typing import Self


class Closing:
    """A context manager that ends with its own `close`."""

    def close(self) -> None:
        """Give back what is held; as often as one likes."""
        raise NotImplementedError

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.close()
