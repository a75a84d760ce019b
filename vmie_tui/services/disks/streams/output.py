"""Atomic output files: written under a hidden name beside the destination, then renamed."""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Self

from vmie_tui.model.errors import ErrorKind, ServiceError

_FULL = {errno.ENOSPC, errno.EDQUOT}
_NO_LINKS = {errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK, errno.EXDEV}


def check_free(destination: Path, *, force: bool) -> None:
    """Raises ServiceError CONFLICT if ``destination`` exists, INVALID if no file can be there."""
    if not destination.name or not destination.parent.is_dir():
        raise _no_folder(destination.parent)
    with contextlib.suppress(FileNotFoundError), local_errors(destination):
        mode = os.lstat(destination).st_mode
        if stat.S_ISLNK(mode) and destination.exists():
            mode = destination.stat().st_mode
        if not (stat.S_ISREG(mode) or stat.S_ISLNK(mode)):
            what = "is a directory" if stat.S_ISDIR(mode) else "is no regular file"
            raise ServiceError(
                ErrorKind.INVALID, what, subject=str(destination), remedy="Give the name of the file to write"
            )
        if not force:
            raise exists(destination)


def check_folder(folder: Path) -> None:
    """Raises ServiceError (NOT_FOUND, LOCAL) unless a file can be created in ``folder``. Leaves nothing behind."""
    if not folder.is_dir():
        raise _no_folder(folder)
    try:
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:  # also "no such file": what /proc says
        raise write_error(folder, error) from error


def _no_folder(folder: Path) -> ServiceError:
    return ServiceError(
        ErrorKind.NOT_FOUND, "there is no such directory", subject=str(folder), remedy="Create it, or write elsewhere"
    )


def exists(destination: Path) -> ServiceError:
    return ServiceError(
        ErrorKind.CONFLICT,
        "the file exists",
        subject=str(destination),
        remedy="Give another name, or --force to replace it",
    )


@contextlib.contextmanager
def local_errors(path: Path) -> Iterator[None]:
    """Translates OSErrors from writing ``path`` to ServiceError (LOCAL)."""
    try:
        yield
    except FileNotFoundError:
        raise
    except OSError as error:
        raise write_error(path, error) from error


def write_error(path: Path, error: OSError) -> ServiceError:
    """The error for a file that cannot be written."""
    if error.errno in _FULL:
        return ServiceError(
            ErrorKind.LOCAL,
            "the disk is full; what was written has been removed",
            subject=str(path),
            remedy=f"Free some space in {path.parent}, or write elsewhere",
            retry_safe=True,
            detail=error.strerror or "",
        )
    remedy = "Check the directory and that this user may write there"
    if error.errno == errno.EFBIG:
        remedy = "This file system, or a limit of this user, forbids files of this size: write elsewhere"
    return ServiceError(
        ErrorKind.LOCAL,
        "the file cannot be written",
        subject=str(path),
        remedy=remedy,
        detail=error.strerror or str(error),
    )


def part_name(destination: Path, kind: str = "part") -> Path:
    """An unused hidden name beside ``destination``."""
    return destination.with_name(f".{destination.name[:200]}.{secrets.token_hex(4)}.{kind}")


class Output:
    """A new file for ``destination``; a context manager that removes it again unless `commit` was called.

    Raises ServiceError: LOCAL for what the operating system refuses (disk full, no permission), CONFLICT when
    ``destination`` came to be meanwhile and ``force`` is not set.
    """

    def __init__(self, destination: Path, *, force: bool = False) -> None:
        self.destination, self._force = destination, force
        self.path = part_name(destination)
        self.end = 0  # bytes written by `write`
        try:
            self._fd = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
        except OSError as error:
            raise write_error(destination, error) from error

    def write(self, data: bytes | memoryview) -> None:
        """Append."""
        self.write_at(self.end, data)
        self.end += len(data)

    def write_at(self, offset: int, data: bytes | memoryview) -> None:
        view, done = memoryview(data), 0
        try:
            while done < len(view):
                done += os.pwrite(self._fd, view[done:], offset + done)
        except OSError as error:
            raise write_error(self.destination, error) from error

    def resize(self, size: int) -> None:
        """Make the file ``size`` bytes long; what was not written reads as zeros."""
        try:
            os.ftruncate(self._fd, size)
        except OSError as error:
            raise write_error(self.destination, error) from error

    def commit(self) -> int:
        """Syncs the file and renames it into place; returns its size in bytes."""
        try:
            os.fsync(self._fd)
            size = os.fstat(self._fd).st_size
            if self._force:
                self.path.replace(self.destination)
            else:
                self._link()
            self._sync_directory()
        except OSError as error:
            raise write_error(self.destination, error) from error
        return size

    def _link(self) -> None:
        """A rename that replaces nothing, where the file system has links."""
        try:
            os.link(self.path, self.destination, follow_symlinks=False)
        except FileExistsError as error:
            raise exists(self.destination) from error
        except OSError as error:
            if error.errno not in _NO_LINKS:
                raise
            check_free(self.destination, force=False)
            self.path.replace(self.destination)

    def _sync_directory(self) -> None:
        folder = os.open(self.destination.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(folder)
        except OSError as error:
            if error.errno != errno.EINVAL:  # some file systems cannot sync a directory
                raise
        finally:
            os.close(folder)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.close(self._fd)
        with contextlib.suppress(OSError):
            self.path.unlink(missing_ok=True)
