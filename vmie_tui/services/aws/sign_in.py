"""Credentials from AWS's standard chain, never prompting on the terminal: the app owns it, or there is none.

What botocore would ask there is asked through a hook, or refused as LOGIN with what to do. Temporary credentials are
renewed in the middle of any call; what goes wrong then is said in the same words.
"""

from __future__ import annotations

import shlex
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from vmie_tui.known_secrets import hidden, remember
from vmie_tui.model.errors import ErrorKind, ServiceError
from vmie_tui.model.rules.secrets import redacted
from vmie_tui.services.aws.errors import boto_errors, translate
from vmie_tui.services.aws.sdk import botocore, dateutil

MfaCode = Callable[[str], str | None]  # the device's serial number or ARN -> the code it shows; None: not known
MFA_NEEDED = "MfaCodeNeeded"  # the code of a Problem that a code would solve
PROCESS_SECONDS = 60
MOST_WORDS = 600  # of what a credential_process says
NO_CREDENTIALS = "it printed something that is not the JSON of credentials"
# Where the AWS CLI keeps what a code was given for: who typed it there, or here, is asked no more for an hour.
CLI_CACHE = "~/.aws/cli/cache"
SSO_CACHE = "~/.aws/sso/cache"
_PROCESS = "custom-process"
# What botocore calls a way to get credentials -> what a user calls it.
_WAYS = {
    "env": "the keys in the environment",
    "assume-role": "the role of the profile",
    "assume-role-with-web-identity": "the web identity token",
    "sso": "the SSO sign-in",
    "login": "the console sign-in",
    "shared-credentials-file": "the AWS credentials file",
    "config-file": "the AWS config file",
    "container-role": "the container's credentials",
    "iam-role": "the role of this EC2 instance",
}
_NO_KEYS = (ValueError, KeyError, AttributeError, TypeError)  # what botocore meets in an answer of another shape


def load(core: botocore.session.Session, mfa_code: MfaCode | None = None) -> WatchedCredentials | None:
    """The session's credentials, proven to be there; None when nothing is set up. Raises ServiceError LOGIN and others.

    From then on every client of the session uses them.
    """
    profile = str(core.get_config_variable("profile") or "")
    try:
        resolver = _no_terminal(core, profile, mfa_code)
    except boto_errors(*_NO_KEYS) as error:
        raise _refusal(error, profile) from _harmless(error)
    found = _first_found(resolver, profile)
    if found is None:
        return None
    watched = WatchedCredentials(found, profile)
    watched.get_frozen_credentials()
    core._credentials = watched  # botocore has no other place for it
    return watched


def _first_found(resolver: Any, profile: str) -> Any:
    """The credentials of the first provider of botocore's chain that has any, in botocore's order."""
    for provider in resolver.providers:
        try:
            found = provider.load()
        except boto_errors(*_NO_KEYS) as error:
            raise _refusal(error, profile, str(provider.METHOD)) from _harmless(error)
        if found is not None:
            return found
    return None


class WatchedCredentials:
    """Credentials whose refresh errors are translated, and whose secrets are registered for redaction."""

    def __init__(self, inner: Any, profile: str) -> None:
        self._inner, self._profile, self._seen = inner, profile, ""

    def get_frozen_credentials(self) -> Any:
        try:
            frozen = self._inner.get_frozen_credentials()
        except boto_errors(*_NO_KEYS) as error:
            raise _refusal(error, self._profile, str(self._inner.method)) from _harmless(error)
        if frozen.secret_key != self._seen:
            self._seen = frozen.secret_key
            remember(frozen.secret_key, frozen.token)
        return frozen

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)


def _no_terminal(core: botocore.session.Session, profile: str, mfa_code: MfaCode | None) -> Any:
    """botocore's chain of providers, without what would ask on the terminal: the prompt for a code, and processes.

    Cached files that cannot be used count as not there, and an answer that is no credentials names its program.
    """
    resolver = core.get_component("credential_provider")
    roles, process, sso = (resolver.get_provider(name) for name in ("assume-role", _PROCESS, "sso"))
    cache = _RoleCache()

    def ask(prompt: str) -> str:
        serial = prompt.removeprefix("Enter MFA code for ").rstrip(": ")
        code = mfa_code(serial) if mfa_code else None
        if not code:
            raise _code_needed(profile, serial)
        cache.keep = True
        return code.strip()

    roles._prompter, roles.cache = ask, cache  # as the AWS CLI does with the cache
    _without_terminal(process)
    tokens = sso._token_provider
    tokens._cache = sso._token_cache = _SoundCache(SSO_CACHE, _is_token, dumps_func=tokens._cache._dumps)
    tokens._token_loader = botocore.utils.SSOTokenLoader(cache=tokens._cache)
    builder = roles._profile_provider_builder  # of the providers of source profiles
    builder._sso_token_cache = tokens._cache
    make = builder._create_process_provider
    builder._create_process_provider = lambda name: _without_terminal(make(name))
    return resolver


def _without_terminal(provider: Any) -> Any:
    """A provider of credentials by a program, which gets no terminal and whose answer is looked at."""
    provider._popen = _Process
    retrieve = provider._retrieve_credentials_using

    def checked(command: str) -> Any:
        try:
            keys = retrieve(command)
            if not all(isinstance(keys[name], str) and keys[name] for name in ("access_key", "secret_key")):
                raise ValueError(NO_CREDENTIALS)
            if keys["expiry_time"] is not None:
                dateutil.parser.parse(keys["expiry_time"])
        except _NO_KEYS:
            raise botocore.exceptions.CredentialRetrievalError(provider=_PROCESS, error_msg=NO_CREDENTIALS) from None
        return keys

    provider._retrieve_credentials_using = checked
    return provider


def _is_role(entry: Mapping[str, Any]) -> bool:
    """Whether a file in the AWS CLI's cache holds a role's credentials."""
    keys = entry["Credentials"]
    dateutil.parser.parse(keys["Expiration"])
    return all(isinstance(keys[name], str) for name in ("AccessKeyId", "SecretAccessKey", "SessionToken"))


def _is_token(entry: Mapping[str, Any]) -> bool:
    """Whether a file of the SSO cache holds a token."""
    dateutil.parser.parse(entry["expiresAt"])
    if "registrationExpiresAt" in entry:
        dateutil.parser.parse(entry["registrationExpiresAt"])
    return isinstance(entry["accessToken"], str)


class _SoundCache:
    """A folder of files that another tool wrote too: one that is cut, empty or of another shape counts as not there."""

    def __init__(self, folder: str, is_sound: Callable[[Mapping[str, Any]], bool], **options: Any) -> None:
        self._files = botocore.utils.JSONFileCache(working_dir=str(Path(folder).expanduser()), **options)
        self._is_sound = is_sound

    def __contains__(self, key: str) -> bool:
        try:
            return self._is_sound(self._files[key])
        except (*_NO_KEYS, OverflowError):  # what dateutil, too, makes of a date that is none
            return False

    def __getitem__(self, key: str) -> Any:
        return self._files[key]

    def __setitem__(self, key: str, value: Any) -> None:
        self._files[key] = value

    def __delitem__(self, key: str) -> None:
        del self._files[key]


class _RoleCache(_SoundCache):
    """Roles' credentials: read from the CLI's folder, written there when a code was typed for them, or over damage."""

    def __init__(self) -> None:
        super().__init__(CLI_CACHE, _is_role)
        self.keep = False
        self._own: dict[str, Any] = {}

    def __contains__(self, key: str) -> bool:
        return key in self._own or super().__contains__(key)

    def __getitem__(self, key: str) -> Any:
        return self._own[key] if key in self._own else super().__getitem__(key)

    def __setitem__(self, key: str, value: Any) -> None:
        if self.keep or (key in self._files and not super().__contains__(key)):
            super().__setitem__(key, value)
        else:
            self._own[key] = value


class _Process(subprocess.Popen[bytes]):
    """Runs a credential_process without a terminal and with a timeout."""

    def __init__(self, words: list[str], **options: Any) -> None:
        try:
            super().__init__(words, stdin=subprocess.DEVNULL, start_new_session=True, **options)
        except OSError as error:
            words_of = f"{words[0] if words else 'the command'}: {error.strerror}"
            raise botocore.exceptions.CredentialRetrievalError(provider=_PROCESS, error_msg=words_of) from None

    def communicate(self, input: bytes | None = None, timeout: float | None = None) -> Any:
        try:
            return super().communicate(input, timeout or PROCESS_SECONDS)
        except subprocess.TimeoutExpired:
            self.kill()
            super().communicate()
            words = f"it did not end within {PROCESS_SECONDS} s"
            raise botocore.exceptions.CredentialRetrievalError(provider=_PROCESS, error_msg=words) from None


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
    return None if isinstance(error, (botocore.exceptions.CredentialRetrievalError, *_NO_KEYS)) else error


def _refusal(error: Exception, profile: str, way: str = "") -> ServiceError:
    """What to do about credentials that cannot be had; ``way``: the provider that was asked, in botocore's words."""
    boto = botocore.exceptions
    if isinstance(error, boto.RefreshWithMFAUnsupportedError):
        return _code_needed(profile)
    if isinstance(error, boto.ClientError) and "MultiFactorAuthentication" in str(error):
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
    if isinstance(error, _NO_KEYS) or (isinstance(error, OSError) and error.filename):
        return _unusable(error, profile, _WAYS.get(way, "the credentials"))
    ended = (
        ((boto.SSOError, boto.TokenRetrievalError, boto.NoAuthTokenError), "the SSO sign-in", "aws sso login"),
        ((boto.LoginError,), "the console sign-in", "aws login"),
    )
    for kinds, what, command in ended:
        if isinstance(error, kinds):
            remedy = f"Run: {command}{_option(profile)}, then resume"
            code = type(error).__name__
            return ServiceError(
                ErrorKind.LOGIN, f"cannot sign in to AWS: {what} has ended", subject=profile, remedy=remedy, code=code
            )
    return translate(error, "sign in to AWS", profile)


def _unusable(error: Exception, profile: str, way: str) -> ServiceError:
    """What botocore did not foresee: a file, such as a token's, that cannot be read, or an answer of another shape."""
    if isinstance(error, OSError):
        words = f"{error.filename}: {error.strerror or error}"
        remedy = (
            "Check that the file exists and that you may read it, or correct its name in the environment or in the "
        )
        remedy += "AWS config file; then resume"
    else:
        words = " ".join(redacted(hidden(f"{type(error).__name__}: {error}")).split())[:MOST_WORDS]
        remedy = f"See what 'aws sts get-caller-identity{_option(profile)}' says, and mend that; then resume"
    return ServiceError(
        ErrorKind.LOGIN,
        f"cannot sign in to AWS: {way} cannot be used",
        subject=profile,
        remedy=remedy,
        code=type(error).__name__,
        detail=words,
    )


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
