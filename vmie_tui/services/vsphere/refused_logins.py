"""Remembers refused passwords, so that none is sent twice: vSphere SSO locks an account after five failures.

Eight jobs and a schedule may all hold the password that somebody has just changed. Whoever is refused first says so
here; from then on that password is not sent for that account any more, until it, the user or the host changes, or the
user asks for another attempt (`forget`: a job resumed, a password typed).

`share` keeps what is known in a file, for processes that follow: no password, but a salted digest of it that takes long
to compute.
"""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import json
import os
import secrets
import threading
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

from vmie_tui.model.errors import ErrorKind, ServiceError
from vmie_tui.private_files import private_dir, write_private
from vmie_tui.settings import VCenterSettings

FILE = "refused-logins.json"
ROUNDS = 200_000  # of PBKDF2: a tenth of a second, and only for an account that was refused
REFUSALS = frozenset({"InvalidLogin", "PasswordExpired"})
Mark = dict[str, str]


class RefusedLogins:
    """One process's knowledge; any thread may use it."""

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._turns: defaultdict[str, threading.Lock] = defaultdict(threading.Lock)
        self._marks: dict[str, Mark] = {}
        self._file: Path | None = None
        self._heed = False

    def share(self, state_dir: Path, *, heed: bool) -> None:
        """Tell other processes by a file in ``state_dir``; with ``heed`` only the file counts, as for a worker, whose
        jobs the user resumes from another process."""
        self._file, self._heed = state_dir / FILE, heed

    @contextmanager
    def attempt(self, settings: VCenterSettings, password: str) -> Iterator[None]:
        """Wraps one login: one at a time per account, and none with a refused password.

        Raises ServiceError LOGIN instead of sending it again.
        """
        account = _account(settings)
        with self._guard:
            turn = self._turns[account]
        with turn:
            mark = self._known().get(account)
            if mark is not None and hmac.compare_digest(_digest(password, mark["salt"]), mark["digest"]):
                raise ServiceError(
                    ErrorKind.LOGIN,
                    "vCenter refused the user name or the password",
                    subject=f"{settings.user} at {settings.host}",
                    remedy="Correct it where it is kept, or type it; resuming a job has it tried once more",
                    code=mark["code"],
                    detail=f"at {mark['at']}; it is not sent again until it changes, so that the account is not locked",
                )
            try:
                yield
            except ServiceError as error:
                code = error.problem.code or ""
                if code in REFUSALS:
                    salt = secrets.token_hex(16)
                    when = datetime.now().astimezone().isoformat(sep=" ", timespec="seconds")
                    self._change(account, {"salt": salt, "digest": _digest(password, salt), "at": when, "code": code})
                raise
            self._change(account, None)

    def forget(self, settings: VCenterSettings) -> None:
        """Allows the account's password to be tried once more."""
        self._change(_account(settings), None)

    def reset(self) -> None:
        """Clears everything and stops sharing."""
        with self._guard:
            self._marks.clear()
            self._file, self._heed = None, False

    def _known(self) -> dict[str, Mark]:
        if self._heed and self._file is not None:
            found = _read(self._file)
            if found is not None:
                return found
        return self._marks

    def _change(self, account: str, mark: Mark | None) -> None:
        with self._guard:
            _put(self._marks, account, mark)
            if self._file is None:
                return
            found = _read(self._file) or {}
            if mark is None and account not in found:
                return
            _put(found, account, mark)
            with contextlib.suppress(OSError, ServiceError):  # a full disk: this process still knows
                private_dir(self._file.parent)
                fresh = self._file.with_name(f"{FILE}.{os.getpid()}.new")
                write_private(fresh, json.dumps(found).encode())
                fresh.replace(self._file)


def _put(marks: dict[str, Mark], account: str, mark: Mark | None) -> None:
    if mark is None:
        marks.pop(account, None)
    else:
        marks[account] = mark


def _read(file: Path) -> dict[str, Mark] | None:
    """The marks in a file: none when it is missing, None when it cannot be used."""
    try:
        found = json.loads(file.read_bytes())
    except FileNotFoundError:
        return {}
    except (OSError, ValueError):
        return None
    fields = {"salt", "digest", "at", "code"}
    if not isinstance(found, dict):
        return None
    good = {key: mark for key, mark in found.items() if isinstance(mark, dict) and fields <= mark.keys()}
    return {key: mark for key, mark in good.items() if all(isinstance(mark[name], str) for name in fields)}


def _account(settings: VCenterSettings) -> str:
    return f"{settings.user}@{settings.host.strip('[]').lower()}:{settings.port}"


def _digest(password: str, salt: str) -> str:
    return hashlib.pbkdf2_hmac("sha256", password.encode("utf-8", "surrogatepass"), salt.encode(), ROUNDS).hex()


REFUSED = RefusedLogins()
