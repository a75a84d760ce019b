"""The secrets this process has in hand, so that no log, crash report or error repeats them.

Whoever reads a password or a key says so here (`remember`); whoever writes a text that may hold anything, such as the
words of an exception, passes it through `hidden`. Nothing is kept but in memory.
"""

from __future__ import annotations

import base64
import json
import logging
import os
import re
import sys
import threading
import traceback
from collections.abc import Iterator, Mapping
from types import TracebackType
from typing import Any
from urllib.parse import quote, unquote

HIDDEN = "[redacted]"
SHORTEST = 4  # a shorter word is in every other text; taking it out would tell more than it hides
MOST_CUTS = 16
SECRET_NAMES = ("VMIE_VCENTER_PASSWORD", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN")
# Names that may well mean a secret, ours or of what a password command calls; and addresses that hold a password.
_LIKELY_NAME = re.compile(r"PASS|SECRET|TOKEN|CREDENTIAL|SESSION|KEY|DATABASE_URL", re.I)
_SURE_NAME = re.compile(r"(PASSWORD|PASSPHRASE|SECRET|TOKEN|SECRET_ACCESS_KEY|API_KEY)$", re.I)
_SESSION_NAME = re.compile(r"(OP|BW|VAULT)_SESSION")  # of password managers; a desktop has a SESSION too
_LOGIN_IN_URL = re.compile(r"://[^/\s:@]*:([^/\s@]+)@")
_BASE64 = re.compile(r"(?<![A-Za-z0-9+/_-])[A-Za-z0-9+/_-]{3,8192}={0,2}(?![A-Za-z0-9+/_=-])")
_URL_SAFE = str.maketrans("-_", "+/")
_ENTITIES = {"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "'": "&apos;"}
_NAMED = {"\n": "n", "\r": "r", "\t": "t", "\b": "b", "\f": "f"}
_words: dict[str, None] = {}
_secrets: dict[str, re.Pattern[str]] = {}
_lock = threading.Lock()


def remember(*secrets: str | None) -> None:
    """These are secret from now on, in each form they are usually written in.

    One of two or three characters is hidden where it stands alone, one of a single character not at all.
    """
    with _lock:
        for secret in secrets:
            if not secret or secret in _secrets or len(secret) < 2:
                continue
            _secrets[secret] = _pattern(secret)
            if len(secret) >= SHORTEST:
                _words.update(dict.fromkeys(shapes(secret)))


def _pattern(secret: str) -> re.Pattern[str]:
    """Every way to write the secret as text: each character for itself, as itself or escaped for JSON, Python, a URL,
    XML or a shell, so that any mixture of them is found; and in the middle of a longer base64 text.
    """
    text = "".join(map(_written, secret))
    if len(secret) < SHORTEST:
        return re.compile(rf"(?<![A-Za-z0-9]){text}(?![A-Za-z0-9])")
    lowered = quote(secret, safe="", errors="surrogatepass").lower()  # some programs write whole URLs so
    return re.compile("|".join([text, re.escape(lowered), *map(re.escape, _encoded(secret))]))


def _written(char: str) -> str:
    """A pattern for the ways to write one character."""
    data = char.encode("utf-8", "surrogatepass")
    units = char.encode("utf-16-be", "surrogatepass").hex()
    code = ord(char)
    escaped = "".join(rf"\\{{1,3}}u{units[at : at + 4]}" for at in range(0, len(units), 4))
    in_url = "".join(f"%{byte:02x}" for byte in data)
    in_bytes = "".join(rf"\\{{1,3}}x{byte:02x}" for byte in data)
    ways = [
        f"(?i:{escaped}|{in_url}|{in_bytes})",
        rf"(?i:&\#(?:0*{code}|x0*{code:x});)",
        rf"\\{{0,3}}{re.escape(char)}",
    ]
    if code < 0x100:
        ways.append(rf"(?i:\\x{code:02x})")
    if char in _ENTITIES:
        ways.append(_ENTITIES[char])
    if char in _NAMED:
        ways.append(rf"\\{{1,3}}{_NAMED[char]}")
    if char == " ":
        ways.append(r"\+")
    return f"(?:{'|'.join(ways)})"


def _in_xml(text: str) -> str:
    """Not by ``xml.sax.saxutils``: it loads the whole of urllib, and this module loads at every start."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _encoded(secret: str) -> Iterator[str]:
    """What every base64 text that holds the secret holds, wherever in it the secret begins."""
    data = secret.encode("utf-8", "surrogatepass")
    for before in range(3):
        text = base64.b64encode(bytes(before) + data).decode()
        first = (before * 8 + 5) // 6  # characters that what comes before decides too
        core = text[first : (before + len(data)) * 8 // 6]
        if len(core) >= SHORTEST:
            yield from {core, core.translate(str.maketrans("+/", "-_"))}


def _in_base64(found: re.Match[str]) -> str:
    """A base64 word, unless what it says holds a secret: a short one is in no longer text to be found by."""
    word = found[0]
    try:
        said = base64.b64decode(word.translate(_URL_SAFE) + "=" * (-len(word) % 4)).decode("utf-8")
    except ValueError:
        return word
    return HIDDEN if any(pattern.search(said) for pattern in _secrets.values()) else word


def shapes(secret: str) -> tuple[str, ...]:
    """A secret as it is, in JSON and Python texts, in a URL, in XML and in base64."""
    url = quote(secret, safe="", errors="surrogatepass")
    written = (
        secret,
        json.dumps(secret)[1:-1],
        json.dumps(secret, ensure_ascii=False)[1:-1],
        repr(secret)[1:-1],
        repr(secret.encode("utf-8", "surrogatepass"))[2:-1],
        url,
        re.sub("%[0-9A-F]{2}", lambda found: found[0].lower(), url),
        _in_xml(secret),
        _in_xml(secret).replace('"', "&quot;"),
        *_encoded(secret),
    )
    return tuple(dict.fromkeys(written))


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
        if name.lower().endswith("_proxy"):
            remember(*_of_proxy(value))


def _of_proxy(value: str) -> Iterator[str]:
    """The name and the password in a proxy's address, cut at the last @, also where # / ? in it are not encoded: other
    programs cut there, and say the pieces.
    """
    login, at, _ = value.rpartition("://")[2].rpartition("@")
    if not at:
        return
    user, _, password = login.partition(":")
    for word in (login, user, password):
        yield from (word, unquote(word))
    cuts = [at for at, char in enumerate(password) if char in "@#/?"]
    pieces = [password[start + 1 : end] for start in (-1, *cuts) for end in (*cuts, len(password)) if start < end]
    for piece in pieces if len(cuts) < MOST_CUTS else ():
        yield from (f"{user}:{piece}", *([piece] if len(piece) >= SHORTEST else []))


def known() -> frozenset[str]:
    with _lock:
        return frozenset(_words)


def hidden(text: str) -> str:
    """``text`` without the secrets that are known."""
    with _lock:
        patterns = sorted(_secrets.items(), key=lambda item: -len(item[0]))
    for _, pattern in patterns:
        text = pattern.sub(HIDDEN, text)
    return _BASE64.sub(_in_base64, text) if patterns else text


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
