"""The libyal readers behind one door: their file object over a `ByteReader`, and their errors as `DamagedError`."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from vmie_tui.model.errors import ErrorKind, ServiceError
from vmie_tui.services.disks.errors import DiskFormatError
from vmie_tui.services.disks.streams.source import ByteReader

_UNSOUND = (
    struct.error, ValueError, TypeError, AttributeError, LookupError, ArithmeticError, MemoryError, RecursionError
)  # fmt: skip
_MOST = 16 << 20  # bytes of one read; what wants more is damaged or not what it seems


class DamagedError(DiskFormatError):
    """A structure inside the guest that contradicts itself, or one the reader does not know (kind CORRUPT)."""

    def __init__(self, what: str) -> None:
        super().__init__(ErrorKind.CORRUPT, what)


class FileObject:
    """What libyal wants of a file. Errors of the reader below are kept: libyal would turn them into text."""

    def __init__(self, source: ByteReader) -> None:
        self._source, self._at = source, 0
        self.failure: ServiceError | None = None

    def seek(self, offset: int, whence: int = 0) -> int:
        self._at = offset + (0, self._at, self._source.size)[whence]
        return self._at

    def tell(self) -> int:
        return self._at

    def get_size(self) -> int:
        return self._source.size

    def read(self, length: int = -1) -> bytes:
        length = self._source.size - self._at if length is None or length < 0 else length
        if self.failure is not None:
            raise OSError(str(self.failure))
        try:
            if length > _MOST:
                raise DamagedError(f"a structure of {length} bytes at byte {self._at}")
            data = self._source.read_at(self._at, length)
        except ServiceError as error:
            self.failure = error
            raise OSError(str(error)) from error
        self._at += len(data)
        return data

    @contextmanager
    def guard(self, doing: str) -> Iterator[None]:
        """Turn what libyal raises into the reader's own error, or `DamagedError`."""
        try:
            yield
        except (*_UNSOUND, OSError, SystemError) as error:
            if self.failure is not None:
                failure, self.failure = self.failure, None
                raise failure from error
            raise DamagedError(f"{doing}: {_reason(error)}") from error


@contextmanager
def parsing(what: str) -> Iterator[None]:
    """Turn what a parser of hostile bytes may stumble over into `DamagedError`."""
    try:
        yield
    except _UNSOUND as error:
        raise DamagedError(f"{what} makes no sense ({type(error).__name__})") from error


def _reason(error: BaseException) -> str:
    """The last, most telling sentence of libyal's chain of errors."""
    text = str(error).strip()
    return (text.rsplit(". ", 1)[-1] or type(error).__name__)[:200]


def opened(module_volume: Any, file: FileObject, doing: str) -> Any:
    """A libyal volume opened over ``file``."""
    with file.guard(doing):
        volume = module_volume()
        volume.open_file_object(file)
        return volume
    raise AssertionError  # the guard always raises or returns
