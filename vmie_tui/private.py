"""Folders and files for their owner alone, whatever the umask, and no trap of another user on the way to them.

Everything in the state folder and the cache is made here. Refused in words: a folder or file of another user, a folder
that anybody could exchange, a symbolic link or device in place of a file.
"""

from __future__ import annotations

import contextlib
import os
import re
import stat
from pathlib import Path

from vmie_tui.model.errors import ErrorKind, ServiceError

SQLITE_HELPERS = ("-wal", "-shm", "-journal")
UNMAPPED = 65534  # whose folders the real root's seem to be, in a container of a user's own
OTHER_PLACE = "Choose another folder with VMIE_STATE_DIR, or correct this one"


def private_dir(path: Path) -> Path:
    """Make ``path``, and what is missing above it, folders that only their owner may enter.

    Raises ServiceError LOCAL; also for a folder like /tmp, one of another user, and one in a place where everybody may
    put something else under its name.
    """
    try:
        _make(path)
        found = path.stat()
        if not stat.S_ISDIR(found.st_mode):
            raise refused(path, "it is not a folder", OTHER_PLACE)
        if found.st_uid != os.geteuid():
            raise refused(path, "the folder belongs to another user", OTHER_PLACE)
        if found.st_mode & stat.S_ISVTX:
            raise refused(
                path,
                "this folder is shared by everybody, so it cannot be made private",
                "Name a folder inside it, or another one, with VMIE_STATE_DIR",
            )
        _check_way(path)
        if stat.S_IMODE(found.st_mode) != 0o700:
            path.chmod(0o700)
    except OSError as error:
        remedy = "Free some space or correct its owner, or choose another with VMIE_STATE_DIR"
        raise refused(path, "the folder cannot be used", remedy, error) from error
    return path


def _make(path: Path) -> None:
    """``mkdir -p`` with mode 0700 for each folder: pathlib's gives those above the mode of the umask."""
    missing = [path]
    while not missing[-1].parent.exists() and missing[-1].parent != missing[-1]:
        missing.append(missing[-1].parent)
    for folder in reversed(missing):
        folder.mkdir(mode=0o700, exist_ok=True)


def _check_way(path: Path) -> None:
    """Nobody else may rename what leads to ``path``: the folders above it are ours or root's, and not everybody's to
    write (but with the sticky bit).

    Symbolic links on the way are followed: what counts is where they end.
    """
    for folder in path.resolve().parents:
        found = folder.stat()
        if found.st_uid not in {0, os.geteuid(), UNMAPPED}:
            raise refused(path, f"another user may exchange it, the owner of {folder}", OTHER_PLACE)
        if found.st_mode & stat.S_IWOTH and not found.st_mode & stat.S_ISVTX:
            raise refused(
                path, f"everybody may exchange it: {folder} is writable by all", f"chmod o-w {folder}, or {OTHER_PLACE}"
            )


def private_fd(path: Path, flags: int = os.O_RDWR, *, new: bool = False) -> int:
    """A descriptor of the file ``path``, made when missing, with mode 0600; ``new``: it must be missing.

    Raises ServiceError LOCAL for a link, a device or another user's file; OSError for the rest (disk full).
    """
    exclusive = os.O_EXCL if new else 0
    try:
        # O_NONBLOCK: a pipe in place of the file must not hold us up; it means nothing for a plain file.
        wanted = flags | exclusive | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
        fd = os.open(path, wanted, 0o600)
    except OSError as error:
        if path.is_symlink():
            raise _trap(path, "a symbolic link lies in place of the file") from error
        if path.exists() and not path.is_file():
            raise _trap(path, "it is not a plain file") from error
        raise
    try:
        check_own(os.fstat(fd), path)
        if stat.S_IMODE(os.fstat(fd).st_mode) != 0o600:
            os.fchmod(fd, 0o600)
    except BaseException:
        os.close(fd)
        raise
    return fd


def check_own(found: os.stat_result, path: Path) -> None:
    """ServiceError LOCAL unless it is a plain file of ours."""
    if not stat.S_ISREG(found.st_mode):
        raise _trap(path, "it is not a plain file")
    if found.st_uid != os.geteuid():
        raise _trap(path, "the file belongs to another user")


def private_database(path: Path) -> None:
    """Make ready for SQLite, which gives its helpers (write-ahead log, shared memory) the database's own mode.

    Raises ServiceError LOCAL, OSError.
    """
    private_dir(path.parent)
    for name in (path, *(path.with_name(path.name + helper) for helper in SQLITE_HELPERS)):
        try:
            found = name.lstat()
        except FileNotFoundError:
            if name == path:
                with contextlib.suppress(FileExistsError):  # another process was faster
                    os.close(private_fd(name, new=True))
            continue
        # Never opened here: closing any descriptor of a file drops the locks that SQLite, in this process, has on it.
        # The next process to open the database would then cut off the shared memory under those that use it (SIGBUS).
        if stat.S_ISLNK(found.st_mode):
            raise _trap(name, "a symbolic link lies in place of the file")
        check_own(found, name)
        if stat.S_IMODE(found.st_mode) != 0o600:
            name.chmod(0o600)


def write_private(path: Path, content: bytes, *, new: bool = False) -> Path:
    """Write a file of ours from its beginning. Raises ServiceError LOCAL, OSError, as `private_fd`."""
    with os.fdopen(private_fd(path, os.O_WRONLY, new=new), "wb") as file:
        file.truncate()
        file.write(content)
    return path


def safe_name(text: str) -> str:
    """``text``, which may hold what AWS or vCenter said, as the name of a file in the folder it is meant for."""
    name = re.sub(r"[^A-Za-z0-9._-]", "_", text)[-120:].lstrip(".")
    return name or "unnamed"


def refused(path: Path, what: str, remedy: str, error: OSError | None = None) -> ServiceError:
    """A ServiceError LOCAL about a path."""
    detail = (error.strerror or str(error)) if error else ""
    return ServiceError(ErrorKind.LOCAL, what, subject=str(path), remedy=remedy, detail=detail)


def _trap(path: Path, what: str) -> ServiceError:
    return refused(path, what, "Nothing was read or written. Look who put it there, then remove it and try again")
