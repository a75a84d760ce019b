"""Credentials by AWS's standard chain, without a question on the terminal: it shows an app, or belongs to nobody.

What botocore would ask there is asked through a hook, or refused as LOGIN with what to do. Temporary credentials are
renewed in the middle of any call; what goes wrong then is said in the same words.
"""

from __future__ import annotations

import shlex
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import botocore.session
from botocore import exceptions as boto
from botocore.exceptions import BotoCoreError, ClientError
from botocore.utils import JSONFileCache

from vmie_tui.known_secrets import hidden, remember
from vmie_tui.model.errors import ErrorKind, ServiceError
from vmie_tui.model.rules.secrets import redacted
from vmie_tui.services.aws.errors import translate

MfaCode = Callable[[str], str | None]  # the device's serial number or ARN -> the code it shows; None: not known
MFA_NEEDED = "MfaCodeNeeded"  # the code of a Problem that a code would solve
PROCESS_SECONDS = 60
MOST_WORDS = 600  # of what a credential_process says
# Where the AWS CLI keeps what a code was given for: who typed it there, or here, is asked no more for an hour.
CLI_CACHE = "~/.aws/cli/cache"
_PROCESS = "custom-process"
_ENDED: tuple[tuple[tuple[type[Exception], ...], str, str], ...] = (
    ((boto.SSOError, boto.TokenRetrievalError, boto.NoAuthTokenError), "the SSO sign-in has ended", "aws sso login"),
    ((boto.LoginError,), "the console sign-in has ended", "aws login"),
)
_NO_KEYS = (ValueError, KeyError, AttributeError, TypeError)  # what botocore meets in an answer of another shape
TROUBLE = (BotoCoreError, ClientError, OSError, *_NO_KEYS)


def load(core: botocore.session.Session, mfa_code: MfaCode | None = None) -> Watched | None:
    """The session's credentials, proven to be there; None when nothing is set up. Raises ServiceError LOGIN and others.

    From then on every client of the session uses them.
    """
    profile = str(core.get_config_variable("profile") or "")
    try:
        _no_terminal(core, profile, mfa_code)
        found = core.get_credentials()
    except TROUBLE as error:
        raise _refusal(error, profile) from _harmless(error)
    if found is None:
        return None
    watched = Watched(found, profile)
    watched.get_frozen_credentials()
    core._credentials = watched  # botocore has no other place for it
    return watched


class Watched:
    """Credentials whose renewal fails in our words, and whose secrets are known as such."""

    def __init__(self, inner: Any, profile: str) -> None:
        self._inner, self._profile, self._seen = inner, profile, ""

    def get_frozen_credentials(self) -> Any:
        try:
            frozen = self._inner.get_frozen_credentials()
        except TROUBLE as error:
            raise _refusal(error, self._profile) from _harmless(error)
        if frozen.secret_key != self._seen:
            self._seen = frozen.secret_key
            remember(frozen.secret_key, frozen.token)
        return frozen

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)


def _no_terminal(core: botocore.session.Session, profile: str, mfa_code: MfaCode | None) -> None:
    """Replace what would ask on the terminal: the prompt for a code, and processes that inherit it."""
    resolver = core.get_component("credential_provider")
    roles, process = resolver.get_provider("assume-role"), resolver.get_provider(_PROCESS)
    cache = _Cache()

    def ask(prompt: str) -> str:
        serial = prompt.removeprefix("Enter MFA code for ").rstrip(": ")
        code = mfa_code(serial) if mfa_code else None
        if not code:
            raise _code_needed(profile, serial)
        cache.keep = True
        return code.strip()

    roles._prompter, roles.cache = ask, cache  # as the AWS CLI does with the cache
    process._popen = _Process
    builder = roles._profile_provider_builder
    make = builder._create_process_provider

    def quiet(name: str) -> Any:
        made = make(name)
        made._popen = _Process
        return made

    builder._create_process_provider = quiet


class _Cache(JSONFileCache):  # type: ignore[misc]
    """Roles' credentials: read from the CLI's folder, written there only when a code was typed for them."""

    def __init__(self) -> None:
        super().__init__(working_dir=str(Path(CLI_CACHE).expanduser()))
        self.keep = False
        self._own: dict[str, Any] = {}

    def __contains__(self, key: str) -> bool:
        return key in self._own or super().__contains__(key)

    def __getitem__(self, key: str) -> Any:
        return self._own[key] if key in self._own else super().__getitem__(key)

    def __setitem__(self, key: str, value: Any) -> None:
        if self.keep:
            super().__setitem__(key, value)
        else:
            self._own[key] = value


class _Process(subprocess.Popen[bytes]):
    """A credential_process with no terminal to ask on, and not for ever."""

    def __init__(self, words: list[str], **options: Any) -> None:
        try:
            super().__init__(words, stdin=subprocess.DEVNULL, start_new_session=True, **options)
        except OSError as error:
            words_of = f"{words[0] if words else 'the command'}: {error.strerror}"
            raise boto.CredentialRetrievalError(provider=_PROCESS, error_msg=words_of) from None

    def communicate(self, input: bytes | None = None, timeout: float | None = None) -> Any:
        try:
            return super().communicate(input, timeout or PROCESS_SECONDS)
        except subprocess.TimeoutExpired:
            self.kill()
            super().communicate()
            words = f"it did not end within {PROCESS_SECONDS} s"
            raise boto.CredentialRetrievalError(provider=_PROCESS, error_msg=words) from None


def _option(profile: str) -> str:
    return f" --profile {shlex.quote(profile)}" if profile and profile != "default" else ""


def _code_needed(profile: str, serial: str = "") -> ServiceError:
    return ServiceError(
        ErrorKind.LOGIN,
        "AWS wants the code of an MFA device",
        subject=serial or profile,
        remedy=f"Press L in the app and type the code, or run 'aws sts get-caller-identity{_option(profile)}' in a "
        "terminal and type it there; then resume",
        code=MFA_NEEDED,
    )


def _harmless(error: Exception) -> Exception | None:
    """The cause to keep for a traceback; None where it holds what a program printed, credentials perhaps."""
    return None if isinstance(error, (boto.CredentialRetrievalError, *_NO_KEYS)) else error


def _refusal(error: Exception, profile: str) -> ServiceError:
    """What to do about credentials that cannot be had."""
    if isinstance(error, boto.RefreshWithMFAUnsupportedError):
        return _code_needed(profile)
    if isinstance(error, ClientError) and "MultiFactorAuthentication" in str(error):
        return ServiceError(
            ErrorKind.LOGIN,
            "cannot sign in to AWS: the MFA code was refused",
            subject=profile,
            remedy="Wait for the next code of the device and press L again; each code works once",
            code=MFA_NEEDED,
            detail=str(error.response["Error"].get("Message", "")),
        )
    if isinstance(error, boto.CredentialRetrievalError) and error.kwargs.get("provider") == _PROCESS:
        words = " ".join(redacted(hidden(str(error.kwargs.get("error_msg", "")))).split())[:MOST_WORDS]
        return _process_failed(profile, words or "it said nothing")
    if isinstance(error, _NO_KEYS):
        return _process_failed(profile, "it printed something that is not the JSON of credentials")
    for kinds, what, command in _ENDED:
        if isinstance(error, kinds):
            remedy = f"Run: {command}{_option(profile)}, then resume"
            code = type(error).__name__
            return ServiceError(
                ErrorKind.LOGIN, f"cannot sign in to AWS: {what}", subject=profile, remedy=remedy, code=code
            )
    return translate(error, "sign in to AWS", profile)


def _process_failed(profile: str, words: str) -> ServiceError:
    return ServiceError(
        ErrorKind.LOGIN,
        "cannot sign in to AWS: the profile's credential_process failed",
        subject=profile,
        remedy="Run the command by hand; it must ask nothing, and print its JSON within "
        f"{PROCESS_SECONDS} s. Then resume",
        code="CredentialProcess",
        detail=words,
    )
