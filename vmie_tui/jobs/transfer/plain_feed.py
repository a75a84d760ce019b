"""Feeds for uploads of images that can be read at any place: as they are, or made by another feed."""

from __future__ import annotations

import hashlib
from types import TracebackType
from typing import TYPE_CHECKING, Self

from vmie_tui.jobs.transfer.source import Watcher
from vmie_tui.model.errors import ErrorKind, ServiceError

if TYPE_CHECKING:
    from vmie_tui.services.disks.feeds.disk_feed import Feed
    from vmie_tui.services.disks.streams.source import ByteReader

STEP = 1 << 20


class PlainFeed:
    """The bytes of an image as they are."""

    def __init__(self, reader: ByteReader, watcher: Watcher) -> None:
        self.sha256, self.size = "", 0
        self._reader, self._watcher, self._hash = reader, watcher, hashlib.sha256()

    def fill(self, view: memoryview) -> int:
        """Bytes written into ``view``, 0 at the end."""
        from vmie_tui.services.disks.streams.source import read_into

        self._watcher.stop()
        if self.size >= self._reader.size:
            self.sha256 = self._hash.hexdigest()
            return 0
        count = read_into(self._reader, self.size, view[:STEP])
        if not count:
            raise ServiceError(ErrorKind.CORRUPT, "the image ends before its end", retry_safe=True)
        self._hash.update(view[:count])
        self.size += count
        self._watcher.received(count)
        return count

    def close(self) -> None:
        """Nothing of its own is open."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.close()


class WatchedFeed:
    """A feed that tells how much it gave."""

    def __init__(self, inner: Feed, watcher: Watcher) -> None:
        self._inner, self._watcher = inner, watcher
        self.sha256, self.size = "", 0

    def fill(self, view: memoryview) -> int:
        self._watcher.stop()
        count = self._inner.fill(view)
        if count:
            self._watcher.received(count)
        else:
            self.sha256 = self._inner.sha256
        self.size += count
        return count

    def close(self) -> None:
        self._inner.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.close()
