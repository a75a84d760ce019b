"""The secrets this process has in hand, so that no log, crash report or error repeats them.

Whoever reads a password or a key says so here (`remember`); whoever writes a text that may hold anything, such as the
words of an exception, passes it through `hidden`. Nothing is kept but in memory.
"""

from __future__ import annotations

import json
import logging
import os
import re
import sys
import threading
import traceback
from collections.abc import Mapping
from types import TracebackType
from typing import Any
from urllib.parse import quote

HIDDEN = "[redacted]"
SHORTEST = 4  # a shorter word is in every other text; taking it out would tell more than it hides
SECRET_NAMES = ("VMIE_VCENTER_PASSWORD", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN")
# Names that may well mean a secret, ours or of what a password command calls; and addresses that hold a password.
_LIKELY_NAME = re.compile(r"PASS|SECRET|TOKEN|CREDENTIAL|SESSION|KEY|DATABASE_URL", re.I)
_SURE_NAME = re.compile(r"(PASSWORD|PASSPHRASE|SECRET|TOKEN|SECRET_ACCESS_KEY|API_KEY)$", re.I)
_SESSION_NAME = re.compile(r"(OP|BW|VAULT)_SESSION")  # of password managers; a desktop has a SESSION too
_LOGIN_IN_URL = re.compile(r"://[^/\s:@]*:([^/\s@]+)@")
_words: dict[str, None] = {}
_lock = threading.Lock()


def remember(*secrets: str | None) -> None:
    """These are secret from now on, in each shape they are usually written in."""
    with _lock:
        for secret in secrets:
            if secret and len(secret) >= SHORTEST:
                _words.update(dict.fromkeys(shapes(secret)))


def shapes(secret: str) -> tuple[str, ...]:
    """A secret as it is, in a JSON or Python text, and in a URL."""
    return tuple(dict.fromkeys((secret, json.dumps(secret)[1:-1], repr(secret)[1:-1], quote(secret, safe=""))))


def split_environment(environ: Mapping[str, str]) -> tuple[dict[str, str], dict[str, str]]:
    """(what may stand in a process's environment for as long as it lives, what may not) of these variables."""
    secret = {
        name: value for name, value in environ.items() if _LIKELY_NAME.search(name) or _LOGIN_IN_URL.search(value)
    }
    return {name: value for name, value in environ.items() if name not in secret}, secret


def remember_environment(environ: Mapping[str, str] | None = None) -> None:
    """Whatever in the environment is surely a secret is one from now on."""
    for name, value in (os.environ if environ is None else environ).items():
        sure = (_SURE_NAME.search(name) and len(value) >= 8) or _SESSION_NAME.match(name)
        if name in SECRET_NAMES or sure:
            remember(value)
        remember(*_LOGIN_IN_URL.findall(value))


def known() -> frozenset[str]:
    with _lock:
        return frozenset(_words)


def hidden(text: str) -> str:
    """``text`` without the secrets that are known."""
    for word in sorted(known(), key=len, reverse=True):
        text = text.replace(word, HIDDEN)
    return text


def hidden_value(value: Any) -> Any:
    """The same for plain JSON: every text in it."""
    if isinstance(value, str):
        return hidden(value)
    if isinstance(value, dict):
        return {key: hidden_value(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [hidden_value(item) for item in value]
    return value


def trace(error: BaseException) -> str:
    """The traceback of an error, for a file or a log."""
    return hidden("".join(traceback.format_exception(error)))


class HidingFormatter(logging.Formatter):
    """Log lines, tracebacks included, without secrets."""

    def format(self, record: logging.LogRecord) -> str:
        return hidden(super().format(record))


def hide_in_tracebacks() -> None:
    """What ends a thread or the process unforeseen goes to standard error without secrets."""

    def show(kind: type[BaseException], error: BaseException | None, tb: TracebackType | None) -> None:
        sys.stderr.write(hidden("".join(traceback.format_exception(kind, error, tb))))

    sys.excepthook = show
    threading.excepthook = lambda found: show(found.exc_type, found.exc_value, found.exc_traceback)
