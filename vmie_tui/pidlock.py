"""A lock file that says which process has it: for what may run once per folder and must be found by others."""

from __future__ import annotations

import fcntl
import os
import time
from pathlib import Path
from types import TracebackType
from typing import IO, Self

from vmie_tui.private_files import private_fd

TRIES = 6
PAUSE_SECONDS = 0.05


class PidLock:
    """Held until released or the process ends, however it ends. The file holds the holder's pid."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: IO[str] | None = None

    def acquire(self) -> bool:
        """False when another process holds it. Raises OSError, ServiceError when it cannot be made."""
        file = os.fdopen(private_fd(self._path), "r+")
        for attempt in range(TRIES):
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if attempt + 1 == TRIES:
                    file.close()
                    return False
                time.sleep(PAUSE_SECONDS)  # it may be only a reader, who looks for a moment
        file.seek(0)
        file.truncate()
        file.write(f"{os.getpid()}\n")
        file.flush()
        self._file = file
        return True

    def release(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.release()


def holder(path: Path) -> int | None:
    """The pid of the process that holds the lock, 0 while it is about to write it; None when nobody holds it."""
    try:
        with os.fdopen(os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK), "r+") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                return int(file.read().strip() or 0)
    except (OSError, ValueError):
        return None
    return None
