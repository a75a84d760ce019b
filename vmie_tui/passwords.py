"""Where a vCenter password comes from: a file, a command, the environment, the keyring. Never from the settings."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping
from pathlib import Path

from vmie_tui import known_secrets
from vmie_tui.model.errors import ErrorKind, SettingsError
from vmie_tui.private_files import check_trusted
from vmie_tui.settings import Profile, VCenterSettings

KEYRING_SERVICE = "vmie-tui"
PASSWORD_VARIABLE = "VMIE_VCENTER_PASSWORD"  # noqa: S105 - the name of a variable
COMMAND_SECONDS = 30
MOST_BYTES = 64 << 10
_typed: dict[str, str] = {}  # by account, in memory only: the app's, and its worker's, which is told by a pipe


def password_for(profile: Profile, environ: Mapping[str, str] | None = None) -> str | None:
    """The vCenter password: typed, or from a file, a command, the environment or the keyring; None when there is none.

    Raises SettingsError: INVALID for a file that cannot be read, LOGIN for one that every user can read (a job waits
    for the chmod) and for a command that fails. What is found is a known secret from then on.
    """
    vcenter = profile.vcenter
    if vcenter is None:
        return None
    env = os.environ if environ is None else environ
    found: str | None
    if _account(vcenter) in _typed:
        return _typed[_account(vcenter)]
    if vcenter.password_file is not None:
        found = _from_file(vcenter.password_file.expanduser())
    elif vcenter.password_command:
        found = _from_command(vcenter.password_command)
    else:
        found = env.get(PASSWORD_VARIABLE) or _from_keyring(vcenter)
    known_secrets.remember(found)
    return found


def _account(vcenter: VCenterSettings) -> str:
    return f"{vcenter.user}@{vcenter.host}"


def keep_typed(vcenter: VCenterSettings, password: str) -> None:
    """What the user has typed serves this process, and a worker that it starts, until `forget_typed`."""
    known_secrets.remember(password)
    _typed[_account(vcenter)] = password


def forget_typed(vcenter: VCenterSettings) -> None:
    """It did not do."""
    _typed.pop(_account(vcenter), None)


def typed() -> dict[str, str]:
    """What was typed so far, by account: for the worker, never for a file or an environment."""
    return dict(_typed)


def hear_typed(told: Mapping[str, str]) -> None:
    """In the worker: what was typed in the app that started it."""
    known_secrets.remember(*told.values())
    _typed.update(told)


def _from_file(path: Path) -> str:
    try:
        with path.open("rb") as file:
            check_trusted(path, os.fstat(file.fileno()), secret=True)
            return _line(file.read(MOST_BYTES).decode())
    except OSError as error:
        raise _bad(path, f"the password file cannot be read: {error.strerror}") from error
    except UnicodeDecodeError:
        raise _bad(path, "the password file is not text in UTF-8") from None


def _from_command(command: tuple[str, ...]) -> str:
    try:
        done = subprocess.run(  # noqa: S603 - the user's own command, no shell
            command,
            capture_output=True,
            text=True,
            timeout=COMMAND_SECONDS,
            check=True,
            stdin=subprocess.DEVNULL,
            start_new_session=True,  # it must not ask on our terminal, which shows an app or belongs to nobody
        )
        if not _line(done.stdout):
            raise ValueError("it printed nothing")  # noqa: TRY301
    except (OSError, subprocess.SubprocessError, ValueError) as error:
        raise SettingsError(
            ErrorKind.LOGIN,
            f"the password command failed: {_why(error)}",
            subject=command[0],
            remedy="Run it by hand; it must print the password, ask nothing, and exit with 0",
        ) from None  # the cause holds what the command printed
    return _line(done.stdout)


def _line(text: str) -> str:
    """A password as it was meant: without the end of its line, and the byte order mark that Windows editors write."""
    return text.removeprefix("\ufeff").strip("\r\n")


def _why(error: Exception) -> str:
    """What became of a command, without what it printed: that may be the secret."""
    if isinstance(error, subprocess.CalledProcessError):
        return f"it ended with {error.returncode}"
    if isinstance(error, subprocess.TimeoutExpired):
        return f"it did not end within {COMMAND_SECONDS} s"
    if isinstance(error, UnicodeDecodeError):
        return "it printed something that is not text"
    return getattr(error, "strerror", None) or str(error)


def _from_keyring(vcenter: VCenterSettings) -> str | None:
    import keyring

    try:
        found: str | None = keyring.get_password(KEYRING_SERVICE, _account(vcenter))
    except Exception:  # noqa: BLE001 - backends raise what their libraries do: no D-Bus, no display, locked
        return None  # no usable keyring on this machine: the same as no password stored
    return found


def usable_keyring() -> str:
    """The name of this machine's keyring; empty when there is none that works."""
    import keyring

    try:
        found = keyring.get_keyring()
        return str(found.name) if found.priority >= 1 else ""
    except Exception:  # noqa: BLE001 - as above
        return ""


def keep_in_keyring(vcenter: VCenterSettings, password: str) -> None:
    """Where `password_for` finds it. Raises ServiceError LOCAL."""
    import keyring

    try:
        keyring.set_password(KEYRING_SERVICE, _account(vcenter), password)
    except Exception as error:  # noqa: BLE001 - as above
        raise SettingsError(
            ErrorKind.LOCAL,
            f"the keyring did not take the password: {type(error).__name__}",
            subject=_account(vcenter),
            remedy="Unlock the keyring, or have the password asked for each time",
        ) from None


def _bad(path: Path, what: str) -> SettingsError:
    return SettingsError(ErrorKind.INVALID, what, subject=str(path), remedy="Correct it and start again")
