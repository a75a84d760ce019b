"""Text measured in terminal cells: cleaning what came from outside, clipping, padding, wrapping, sizes and times.

A `Cell` is a text and the name of a style (see `widgets.lines`); a `Line` is a row of cells. Nothing here is markup,
so a VM named ``[red]x[/]`` is shown as it is.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import TypeAlias

from rich.cells import cell_len, chop_cells, set_cell_size

from vmie_tui.model.formatting import minutes as _minutes
from vmie_tui.model.formatting import rate as rate  # noqa: PLC0414 - offered here with the other words
from vmie_tui.model.formatting import remaining as remaining  # noqa: PLC0414
from vmie_tui.model.formatting import size as size  # noqa: PLC0414

Cell: TypeAlias = tuple[str, str]
Line: TypeAlias = tuple[Cell, ...]

BAR_FULL, BAR_EMPTY = "█", "░"


def clean(text: str) -> str:
    """``text`` on one line, without control, formatting or bidirectional characters (each becomes U+FFFD)."""
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else " " if char in "\t\r\n" else "\ufffd" for char in text)


def width(text: str) -> int:
    """Terminal cells ``text`` takes."""
    return len(text) if text.isascii() else cell_len(text)


def fit(text: str, cells: int, align: str = "left") -> str:
    """``text`` in exactly ``cells`` terminal cells: padded, or clipped with an ellipsis."""
    length = width(text)
    if length == cells:
        return text
    if length < cells:
        pad = " " * (cells - length)
        return pad + text if align == "right" else text + pad
    if cells <= 1:
        return "…"[:cells]
    kept = set_cell_size(text, cells - 1).rstrip(" ")
    return kept + "…" + " " * (cells - 1 - width(kept))


def wrap(text: str, cells: int) -> list[str]:
    """``text`` broken at blanks into lines of at most ``cells`` terminal cells; a longer word is cut."""
    lines: list[str] = []
    current = ""
    for word in text.split(" "):
        candidate = f"{current} {word}" if current else word
        if width(candidate) <= cells:
            current = candidate
            continue
        if current:
            lines.append(current)
        pieces = chop_cells(word, max(cells, 2)) if width(word) > cells else [word]
        lines.extend(pieces[:-1])
        current = pieces[-1] if pieces else ""
    if current or not lines:
        lines.append(current)
    return lines


def paragraph(text: str, cells: int, style: str = "", first: Line = (), indent: int | None = None) -> list[Line]:
    """``text`` wrapped below and beside ``first``: its first line follows those cells, others are indented to match."""
    lead = sum(width(part) for part, _ in first)
    left = lead if indent is None else indent
    rows = wrap(clean(text), max(8, cells - left))
    return [
        (*first, (row, style)) if number == 0 else ((" " * left, ""), (row, style)) for number, row in enumerate(rows)
    ]


def line_width(line: Iterable[Cell]) -> int:
    return sum(width(text) for text, _ in line)


def duration(seconds: float | None) -> str:
    """``0:41``, ``12:05``, ``1:02:33``; a dash when unknown."""
    return "–" if seconds is None else _minutes(max(0, round(seconds)))


def bar(fraction: float | None, cells: int) -> str:
    """A progress bar in ``cells`` cells; dots when nothing can be said."""
    if fraction is None:
        return "·" * cells
    full = int(max(0.0, min(1.0, fraction)) * cells)
    return BAR_FULL * full + BAR_EMPTY * (cells - full)


def percent(fraction: float | None) -> str:
    return "" if fraction is None else f"{int(max(0.0, min(1.0, fraction)) * 100)}%"


def clock(moment: datetime | None) -> str:
    """Local time of day."""
    return moment.astimezone().strftime("%H:%M:%S") if moment else ""


def join(parts: Sequence[str], separator: str = " · ") -> str:
    return separator.join(part for part in parts if part)


def has_words(text: str, words: str) -> bool:
    """Whether ``text``, in small letters, has every word of a filter and none that follows a ``!``."""
    terms = words.lower().split()
    return all((term[1:] not in text) if term[0] == "!" and len(term) > 1 else term in text for term in terms)
