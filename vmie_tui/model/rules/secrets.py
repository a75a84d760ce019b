"""Texts that end up in tags, logs and bills must hold no secrets: likely ones are recognised, and never repeated."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from vmie_tui.model.finding import Finding, Severity

_CERTAIN, _LIKELY = Severity.BLOCKER, Severity.WARNING
_PATTERNS: tuple[tuple[Severity, str, re.Pattern[str]], ...] = (
    (_CERTAIN, "an AWS access key", re.compile(r"\b(?:AKIA|ASIA)[A-Z2-7]{16}\b|\b(?:AKIA|ASIA)\w{9}EXAMPLE\b")),
    (_CERTAIN, "a private key", re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY")),
    (_CERTAIN, "credentials in a URL", re.compile(r"\b[a-z][a-z0-9+.-]{1,20}://[^/\s:@]{1,200}:[^/\s@]{1,200}@", re.I)),
    (_CERTAIN, "a signed URL", re.compile(r"[?&](?:X-Amz-Signature|AWSAccessKeyId)=", re.I)),
    (_CERTAIN, "an access token", re.compile(r"\b(?:gh[pousr]_|github_pat_|xox[abprs]-|glpat-)[A-Za-z0-9_-]{16,}")),
    (_CERTAIN, "an access token", re.compile(r"\beyJ[\w-]{10,}\.eyJ[\w-]{10,}\.")),
    (
        _LIKELY,
        "a password",
        re.compile(
            r"(?<![A-Za-z])(?:pass(?:word|wd|phrase|wort)?|pwd|secret(?:[ _-]?(?:access[ _-]?)?key)?|"
            r"api[ _-]?key|(?:access|auth|session)[ _-]?token|token|credentials?)\s{0,3}[:=]\s{0,3}[^\s,;]{3,}",
            re.I,
        ),
    ),
    (
        _LIKELY,
        "a secret access key",
        re.compile(r"(?<![A-Za-z0-9/+])(?=[A-Za-z0-9/+]{0,39}[0-9])(?=[A-Za-z0-9/+]{0,39}[/+])[A-Za-z0-9/+]{40}"
                   r"(?![A-Za-z0-9/+=])"),
    ),
)  # fmt: skip
_NAMES = re.compile(r"(?:^|[^a-z])(?:password|passwd|pwd|secret|token|api[ _-]?key|credentials?)(?:$|[^a-z])", re.I)
LONGEST = 20_000  # no text of a plan is longer; a pasted file is looked at so far


def secrets_in(text: str) -> tuple[tuple[Severity, str], ...]:
    """What kinds of secret a text seems to hold, worst first: (severity, words); never the secret itself."""
    found = dict.fromkeys((severity, words) for severity, words, pattern in _PATTERNS if pattern.search(text[:LONGEST]))
    return tuple(sorted(found, key=lambda item: -item[0]))


def check_texts(texts: dict[str, str]) -> Iterator[Finding]:
    """Findings for free texts by the name of their field (``description``, ``tag Owner``)."""
    for field, text in texts.items():
        for severity, words in secrets_in(text):
            yield Finding(
                severity,
                f"seems to hold {words}",
                field,
                "It would be seen in the console, in logs and on bills",
                remedy="Take it out, and change it if it was ever saved",
                fact="F343" if "URL" in words else "F342",
            )


def check_tag_names(tags: dict[str, str]) -> Iterator[Finding]:
    """A tag called ``password`` holds one, whatever it looks like."""
    for key, value in tags.items():
        if value and _NAMES.search(key) and not secrets_in(value):
            yield Finding(
                _LIKELY,
                "seems to hold a secret",
                f"tag {key}",
                "Tags are seen by everyone who may list resources",
                remedy="Keep secrets in a secrets manager",
                fact="F342",
            )


_HIDDEN = "[redacted]"
_SIGNED = re.compile(r"([?&](?:X-Amz-[A-Za-z-]+|AWSAccessKeyId|Signature)=)[^&\s\"'<>]+", re.I)
# What is taken out of texts that leave the machine, besides the patterns above: (pattern, what is put in its place).
_TAKEN_OUT: tuple[tuple[re.Pattern[str], str], ...] = (
    (re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY.*?(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)", re.S), _HIDDEN),
    (_SIGNED, rf"\1{_HIDDEN}"),
    (re.compile(r"\b([a-z][a-z0-9+.-]{1,20}://)[^/\s:@]{1,200}:[^/\s@]{1,200}@", re.I), rf"\1{_HIDDEN}@"),
    (
        re.compile(r"((?:authorization|(?:set-)?cookie|vmware_soap_session)[\"']?\s*[:=]\s*)[^\r\n]+", re.I),
        rf"\1{_HIDDEN}",
    ),
    (
        re.compile(
            # The words are looked for ahead, once for each name: tried at every place of a long name it took minutes.
            r"([\"'](?=[\w -]*(?:password|passwd|pwd|secret|token|api[ _-]?key|credential))[\w -]*[\"']\s*:\s*)"
            r"(?:\"(?:[^\"\\]|\\.)*\"|'(?:[^'\\]|\\.)*')",
            re.I,
        ),
        rf'\1"{_HIDDEN}"',
    ),
)


def redacted(text: str, known: Iterable[str] = ()) -> str:
    """The text without anything that is, or looks like, a secret; ``known`` are secrets of this machine."""
    for secret in sorted({word for word in known if len(word) >= 4}, key=len, reverse=True):
        text = text.replace(secret, _HIDDEN)
    for pattern, put in _TAKEN_OUT:
        text = pattern.sub(put, text)
    for _, _, pattern in _PATTERNS:
        text = pattern.sub(_HIDDEN, text)
    return text


def unsigned(value: Any) -> Any:
    """The same for what AWS said of a task: its URLs let everybody in who reads them, for days, and hold a token."""
    if isinstance(value, str):
        return _SIGNED.sub(rf"\1{_HIDDEN}", value)
    if isinstance(value, Mapping):
        return {key: unsigned(item) for key, item in value.items()}
    return [unsigned(item) for item in value] if isinstance(value, list | tuple) else value


def redacted_value(value: Any, known: Iterable[str] = ()) -> Any:
    """The same for what becomes JSON: every text in it, and whole texts under names such as ``password``."""
    words = frozenset(known)
    if isinstance(value, str):
        return redacted(value, words)
    if isinstance(value, dict):
        return {
            redacted(str(key), words): _HIDDEN
            if isinstance(item, str) and item and _NAMES.search(str(key).lower())
            else redacted_value(item, words)
            for key, item in value.items()
        }
    if isinstance(value, list | tuple):
        return [redacted_value(item, words) for item in value]
    return value
