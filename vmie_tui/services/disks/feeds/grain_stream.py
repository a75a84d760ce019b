"""Decodes a host's VMDK stream into the disk's data in passing, in disk order, and verifies it at its end."""

from __future__ import annotations

import hashlib
import threading
from collections import deque
from collections.abc import Callable, Iterator

from vmie_tui.close_on_exit import Closing
from vmie_tui.model.errors import ErrorKind
from vmie_tui.services.disks.errors import DiskFormatError, corrupt
from vmie_tui.services.disks.feeds.tee import AHEAD, CHUNK, Readable, Tee
from vmie_tui.services.disks.formats.vmdk_layout import SECTOR
from vmie_tui.services.disks.formats.vmdk_stream import StreamDecoder
from vmie_tui.services.disks.streams.pieces import Stopped

_WAITING = 4 << 20  # bytes of decoded data that may wait: one piece of the stream can hold a hundred times its size
_STRIDE = 128  # grains between two looks at the caller's `check`


class ReceivedGrains(Closing):
    """Iterates over ``(byte of the disk, data)``, ascending, of a streamOptimized VMDK; a context manager.

    The stream is read in the iterating thread, hashed and decoded ahead in threads of their own. ``capacity``: bytes
    of the disk as announced. ``check`` is called before each read, and while decoded data is given out, and may raise;
    ``on_bytes`` after each read. ``at_end`` is called once with the SHA-256 and the size of what was received, when
    all of it was found sound and given out: what it raises ends the iteration with an error. The data is good for as
    long as it is kept. Raises ``DiskFormatError``: CORRUPT for a damaged stream, or one of a disk of another size;
    INVALID for one whose grains are not in order, which only a VMDK can take.
    """

    def __init__(
        self,
        stream: Readable,
        capacity: int,
        *,
        check: Callable[[], None],
        on_bytes: Callable[[int], None],
        at_end: Callable[[str, int], None],
    ) -> None:
        self.sha256, self.size = "", 0  # of the stream; the hash holds once the iteration has ended
        self._stream, self._capacity = stream, capacity
        self._check, self._on_bytes, self._at_end = check, on_bytes, at_end
        self._hash = hashlib.sha256()
        self._decoder = StreamDecoder(self._grain)
        self._changed = threading.Condition()
        self._grains: deque[tuple[int, memoryview]] = deque()
        self._waiting = 0  # bytes in `_grains`
        self._decoding = 0  # pieces put and not decoded
        self._error: BaseException | None = None
        self._closed = False
        self._piece = memoryview(bytearray(CHUNK))
        self._tee = Tee(sha256=self._hash.update, vmdk=self._decode)

    def close(self) -> None:
        """Ends the threads, finished or not."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        self._tee.close()

    def _decode(self, piece: memoryview) -> None:
        """In the decoder's thread."""
        try:
            if self._error is None:
                self._decoder.feed(piece)
        except BaseException as error:  # noqa: BLE001 - raised again in the thread that iterates
            self._error = error
        finally:
            with self._changed:
                self._decoding -= 1
                self._changed.notify_all()

    def _grain(self, offset: int, data: memoryview) -> None:
        with self._changed:
            while self._waiting >= _WAITING and not self._closed:
                self._changed.wait()
            if self._closed:
                raise Stopped
            self._grains.append((offset, data))
            self._waiting += len(data)
            self._changed.notify_all()

    def __iter__(self) -> Iterator[tuple[int, memoryview]]:
        at, given, more = 0, 0, True
        while True:
            grain = self._next(wait_for_all=not more)
            if grain is None:
                if not more:
                    break
                more = self._read()
                continue
            if self._decoder.capacity != -(-self._capacity // SECTOR) * SECTOR:
                raise corrupt(
                    f"the stream is of a disk of {self._decoder.capacity} bytes, {self._capacity} were announced"
                )
            offset, data = grain
            if offset < at:
                raise DiskFormatError(
                    ErrorKind.INVALID,
                    f"the stream goes back from byte {at} of the disk to {offset}, so it can only be kept as a VMDK",
                    remedy="Import it as a VMDK through S3",
                )
            at = offset + len(data)
            given += 1
            if not given % _STRIDE:
                self._check()
            yield offset, data[: max(0, self._capacity - offset)]
        self._finish()

    def _next(self, *, wait_for_all: bool) -> tuple[int, memoryview] | None:
        """The next grain; None when the stream should be read on, or with ``wait_for_all`` when there are no more."""
        most = 0 if wait_for_all else AHEAD - 1
        with self._changed:
            while not self._grains and self._error is None and self._decoding > most:
                self._changed.wait()
            if self._grains:
                offset, data = self._grains.popleft()
                self._waiting -= len(data)
                self._changed.notify_all()
                return offset, data
            if self._error is not None:
                raise self._error
            return None

    def _read(self) -> bool:
        self._check()
        piece = self._piece
        count = self._stream.readinto(piece)
        if count == 0:
            return False
        with self._changed:
            self._decoding += 1
        self._tee.put(piece[:count])
        self.size += count
        self._on_bytes(count)
        return True

    def _finish(self) -> None:
        self._tee.drain()
        self._decoder.finish()
        sha256 = self._hash.hexdigest()
        self._at_end(sha256, self.size)
        self.sha256 = sha256
