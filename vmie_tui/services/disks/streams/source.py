"""Random access to the content of a disk: the protocols of all readers, and the reader of RAW files."""

from __future__ import annotations

import errno
import hashlib
import os
import stat
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from vmie_tui.close_on_exit import Closing
from vmie_tui.model.errors import ErrorKind
from vmie_tui.model.formatting import printable
from vmie_tui.services.disks.errors import DiskFormatError, truncated

PIECE = 1 << 20
_ZEROS = bytes(PIECE)


class ByteReader(Protocol):
    """Random access to the raw bytes of a file or object."""

    @property
    def size(self) -> int:
        """Bytes."""

    def read_at(self, offset: int, length: int) -> bytes:
        """``length`` bytes from ``offset``; fewer only at the end."""


class DiskSource(ByteReader, Protocol):
    """The content of one disk. Every method may be called from several threads at once."""

    def extents(self) -> Iterator[tuple[int, int]]:
        """``(offset, length)`` in bytes of what may hold data, ascending; everything else reads as zeros."""


@runtime_checkable
class ReadsInto(Protocol):
    """A source that can fill a caller's buffer, which spares an allocation per read."""

    def read_into(self, offset: int, view: memoryview) -> int:
        """Fill ``view`` from ``offset``; the bytes written, fewer only at the end."""


def read_into(source: ByteReader, offset: int, view: memoryview) -> int:
    """Fill ``view`` from any source; the bytes written, fewer only at the end of the source."""
    if isinstance(source, ReadsInto):
        return source.read_into(offset, view)
    data = source.read_at(offset, len(view))
    view[: len(data)] = data
    return len(data)


def read_fields(source: ByteReader, form: str, offset: int, what: str) -> tuple[Any, ...]:
    """The fields of the struct format ``form`` at byte ``offset``; every table of an image is read through here.

    Raises ``DiskFormatError`` (CORRUPT, ``retry_safe``), naming ``what`` was to be read, when the source ends before.
    """
    wanted = struct.calcsize(form)
    data = source.read_at(offset, wanted)
    if len(data) < wanted:
        raise truncated(f"{what} lies behind the end of the image, which has {source.size} bytes")
    return struct.unpack(form, data)


def read_exactly(source: ByteReader, offset: int, view: memoryview) -> None:
    """Fill all of ``view`` from ``offset``. Raises ``DiskFormatError`` (CORRUPT) for a source that ends before."""
    done = 0
    while done < len(view):
        got = read_into(source, offset + done, view[done:])
        if not got:
            raise DiskFormatError(
                ErrorKind.CORRUPT,
                f"the disk ended at byte {offset + done} of {source.size}",
                remedy="Check that nothing changes the disk while it is read",
                retry_safe=True,
            )
        done += got


def _elsewhere(what: str) -> DiskFormatError:
    return DiskFormatError(ErrorKind.INVALID, what, remedy="Put the file itself beside the descriptor that names it")


class RawFile(Closing):
    """A RAW disk in a file or block device. ``size`` may exceed the file: the rest reads as zeros.

    ``beside``: the path was put together from a name that an image holds, so it must be a file itself, not a link.
    Raises ``DiskFormatError``: LOCAL when the file cannot be opened; with ``beside`` INVALID for a link and for what is
    no regular file.
    """

    def __init__(self, path: str | os.PathLike[str], size: int | None = None, *, beside: bool = False) -> None:
        self.path = Path(path)
        try:
            self._fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | (os.O_NOFOLLOW | os.O_NONBLOCK if beside else 0))
        except OSError as error:
            if beside and error.errno == errno.ELOOP:
                raise _elsewhere(f"{printable(self.path.name)} is a link, which may lead anywhere") from error
            raise DiskFormatError(
                ErrorKind.LOCAL,
                "the disk file cannot be opened",
                subject=str(path),
                remedy="Check the path and that this user may read it",
                detail=error.strerror or "",
            ) from error
        found = os.fstat(self._fd)
        if beside and not stat.S_ISREG(found.st_mode):
            self.close()
            raise _elsewhere(f"{printable(self.path.name)} is no regular file")
        self._stored = found.st_size if stat.S_ISREG(found.st_mode) else os.lseek(self._fd, 0, os.SEEK_END)
        self._size = self._stored if size is None else size

    @property
    def size(self) -> int:
        return self._size

    def read_into(self, offset: int, view: memoryview) -> int:
        """Fill ``view`` from ``offset``; the bytes written, fewer only at the end of the disk."""
        wanted = max(0, min(len(view), self._size - offset))
        stored = max(0, min(wanted, self._stored - offset))
        done = 0
        while done < stored:
            got = os.preadv(self._fd, [view[done:stored]], offset + done)
            if not got:  # the file shrank under us: its missing end must not pass for data of the disk
                raise DiskFormatError(
                    ErrorKind.LOCAL,
                    f"the file ends at byte {offset + done}, {self._stored} were there when it was opened",
                    subject=str(self.path),
                    remedy="Do not write to a disk image while it is being read",
                )
            done += got
        for at in range(stored, wanted, PIECE):
            end = min(at + PIECE, wanted)
            view[at:end] = _ZEROS[: end - at]
        return wanted

    def read_at(self, offset: int, length: int) -> bytes:
        """``length`` bytes from ``offset``, fewer only at the end of the disk."""
        wanted = max(0, min(length, self._size - offset))
        if offset + wanted <= self._stored:
            data = os.pread(self._fd, wanted, offset)
            if len(data) == wanted:
                return data
        buffer = bytearray(wanted)
        self.read_into(offset, memoryview(buffer))
        return bytes(buffer)

    def extents(self) -> Iterator[tuple[int, int]]:
        """The file's data areas; the whole file where its file system does not know holes."""
        end, at = min(self._stored, self._size), 0
        while at < end:
            try:
                start = os.lseek(self._fd, at, os.SEEK_DATA)
                stop = min(end, os.lseek(self._fd, start, os.SEEK_HOLE))
            except OSError as error:
                if error.errno == errno.ENXIO:  # no data after `at`
                    return
                start, stop = at, end  # a device, or a file system without holes
            if start < stop:
                yield start, stop - start
            at = stop

    def close(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


def sha256_of(source: DiskSource) -> str:
    """SHA-256 (hex) over all ``source.size`` bytes; areas outside its extents are hashed as zeros without a read."""
    digest, buffer, at = hashlib.sha256(), memoryview(bytearray(PIECE)), 0

    def zeros(until: int) -> None:
        nonlocal at
        while at < until:
            step = min(PIECE, until - at)
            digest.update(_ZEROS if step == PIECE else _ZEROS[:step])
            at += step

    for start, length in source.extents():
        end = min(start + length, source.size)
        zeros(min(start, end))
        while at < end:
            got = read_into(source, at, buffer[: min(PIECE, end - at)])
            if not got:
                raise DiskFormatError(ErrorKind.CORRUPT, f"the disk cannot be read at byte {at}", retry_safe=True)
            digest.update(buffer[:got])
            at += got
    zeros(source.size)
    return digest.hexdigest()
