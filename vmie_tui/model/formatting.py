"""Words that are the same on every screen, in every command and in what the rules say: sizes, rates, plain text."""

from __future__ import annotations

import re

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069]+")
UNITS = ("B", "KiB", "MiB", "GiB", "TiB", "PiB")


def size(count: float, *, whole_from: float = 99.95) -> str:
    """Bytes as people read them: ``80 GiB``, ``1.5 TiB``, ``512 B``; no decimals from ``whole_from`` on."""
    value, unit = float(count), 0
    while value >= 1023.5 and unit < len(UNITS) - 1:
        value, unit = value / 1024, unit + 1
    digits = 0 if unit == 0 or value >= whole_from or abs(value - round(value)) < 0.05 else 1
    return f"{value:,.{digits}f} {UNITS[unit]}"


def rate(count: float) -> str:
    """Bytes a second; a dash when nothing moves."""
    return f"{size(count, whole_from=9.95)}/s" if count >= 1 else "–"


def minutes(seconds: float) -> str:
    """A span as ``m:ss`` or ``h:mm:ss``."""
    whole, rest = divmod(int(seconds), 60)
    hours, whole = divmod(whole, 60)
    return f"{hours}:{whole:02}:{rest:02}" if hours else f"{whole}:{rest:02}"


def remaining(seconds: float | None) -> str:
    """Time left, no finer than it can be known: ``~2h 10m``, ``~12 min``, ``~0:40``; it changes seldom."""
    if seconds is None:
        return "–"
    if seconds < 120:
        return f"~{minutes(max(0, 5 * round(seconds / 5)))}"
    whole = round(seconds / 60)
    return f"~{whole} min" if whole < 60 else f"~{whole // 60}h {whole % 60:02}m"


def duration(seconds: float) -> str:
    """``45 s``, ``12 min``, ``3 h 20 min``, ``2 d 4 h``."""
    whole = int(seconds)
    if whole < 60:
        return f"{whole} s"
    minutes, hours, days = whole // 60, whole // 3600, whole // 86_400
    if minutes < 60:
        return f"{minutes} min"
    if hours < 48:
        return f"{hours} h {minutes % 60} min" if minutes % 60 else f"{hours} h"
    return f"{days} d {hours % 24} h" if hours % 24 else f"{days} d"


def one_line(text: str) -> str:
    """A text of somebody else's on one line, without control sequences."""
    return _CONTROL.sub(" ", text).strip()


def plain(text: str) -> str:
    """``text`` without what would steer a terminal: names come from vCenter, AWS and disks."""
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() or char in "\n\t" else "\ufffd" for char in text)


def printable(text: str) -> str:
    """``text`` as a service takes it in XML: names of machines and files may hold what no XML can."""
    return text if text.isprintable() else "".join(char if char.isprintable() else " " for char in text)


def plural(count: int, word: str) -> str:
    return f"{count:,} {word}" if count == 1 else f"{count:,} {word}s"
