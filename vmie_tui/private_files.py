"""Folders and files for their owner alone, whatever the umask, and no trap of another user on the way to them.

Everything in the state folder and the cache is made here. Refused in words: a folder or file of another user, a folder
that anybody could exchange, a symbolic link or device in place of a file.
"""

from __future__ import annotations

import contextlib
import grp
import os
import pwd
import re
import shlex
import stat
from pathlib import Path

from vmie_tui.model.errors import ErrorKind, ServiceError, SettingsError

SQLITE_HELPERS = ("-wal", "-shm", "-journal")
MOST_LINKS = 40
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
    """Nobody else may rename what leads to ``path``, walked as it is written: every folder on the way, those that hold
    a symbolic link included, is ours or root's, and neither a group's nor everybody's to write (but with the sticky
    bit, where each link must be ours or root's).
    """
    here, links = Path("/"), 0
    ahead = list(path.absolute().parts[1:])
    _check_folder(path, here)
    while ahead:
        name = ahead.pop(0)
        if name == "..":
            here = here.parent
            continue
        found = os.lstat(here / name)
        if stat.S_ISLNK(found.st_mode):
            links += 1
            if links > MOST_LINKS:
                raise refused(path, "too many symbolic links lead to it", OTHER_PLACE)
            if found.st_uid not in _trusted():
                raise refused(path, f"another user may exchange it, the owner of the link {here / name}", OTHER_PLACE)
            target = (here / name).readlink()
            ahead = [*target.parts[1 if target.is_absolute() else 0 :], *ahead]
            here = Path("/") if target.is_absolute() else here
            continue
        here /= name
        if ahead:
            _check_folder(path, here)


def _check_folder(path: Path, folder: Path) -> None:
    """Raise ServiceError LOCAL when somebody else may rename what lies in a folder on the way to ``path``."""
    found = folder.lstat()
    if found.st_uid not in _trusted():
        raise refused(path, f"another user may exchange it, the owner of {folder}", OTHER_PLACE)
    if found.st_mode & stat.S_ISVTX:
        return
    if found.st_mode & stat.S_IWOTH:
        raise refused(
            path, f"everybody may exchange it: {folder} is writable by all", f"chmod o-w {folder}, or {OTHER_PLACE}"
        )
    if found.st_mode & stat.S_IWGRP and not _private_group(found.st_gid):
        raise refused(
            path, f"a group may exchange it: {folder} is writable by one", f"chmod g-w {folder}, or {OTHER_PLACE}"
        )


def _trusted() -> frozenset[int]:
    return frozenset({0, os.geteuid(), UNMAPPED})


def _private_group(gid: int) -> bool:
    """Whether a group is root's or this user's own, and nobody but these is in it: many systems give each user one of
    their own, and a umask of 002. Another group that shows no members may get them elsewhere (LDAP).
    """
    me = {0, os.geteuid()}
    try:
        users = [pwd.getpwuid(uid) for uid in me]
        group = grp.getgrgid(gid)
    except KeyError:
        return False
    if gid not in {user.pw_gid for user in users}:
        return False
    names = {user.pw_name for user in users}
    return set(group.gr_mem) <= names and all(one.pw_uid in me for one in pwd.getpwall() if one.pw_gid == gid)


def trusted_file(path: Path, *, secret: bool = False) -> None:
    """Raise SettingsError when somebody else may have written ``path``, which the program obeys or trusts; INVALID, or
    LOGIN (a job waits for the chmod) for a ``secret``, which others may not read either. Nothing when it is missing.

    The group of this user alone is nobody else (a umask of 002 makes 0664), and a secret that root owns may be read by
    the group that root gave it: that is how a service is given its password.
    """
    with contextlib.suppress(FileNotFoundError):
        check_trusted(path, path.stat(), secret=secret)


def check_trusted(path: Path, found: os.stat_result, *, secret: bool = False) -> None:
    """The same of a file that is open already, by its ``os.fstat``."""
    if not stat.S_ISREG(found.st_mode):
        return
    mode = shown = stat.S_IMODE(found.st_mode)
    kind = ErrorKind.LOGIN if secret else ErrorKind.INVALID
    quoted = shlex.quote(str(path))
    if found.st_uid not in _trusted():
        raise SettingsError(
            kind,
            "the file belongs to another user, who could have it say anything",
            subject=str(path),
            remedy=f"Look at what it says; then run: sudo chown {os.geteuid()} {quoted} && chmod go-w {quoted}",
        )
    if mode & stat.S_IRWXG and _private_group(found.st_gid):
        mode &= ~stat.S_IRWXG
    elif secret and found.st_uid == 0 != os.geteuid():
        mode &= ~stat.S_IRGRP
    if secret and mode & stat.S_IRWXO:
        what = f"the password file is open to every user (mode {shown:04o})"
    elif secret and mode & stat.S_IRWXG:
        what = f"the password file is open to a group (mode {shown:04o})"
    elif mode & (stat.S_IWGRP | stat.S_IWOTH):
        what = f"others may write the file (mode {shown:04o})"
    else:
        return
    raise SettingsError(kind, what, subject=str(path), remedy=f"Run: chmod {'600' if secret else 'go-w'} {quoted}")


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
