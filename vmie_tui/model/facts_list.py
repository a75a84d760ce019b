"""The documented facts as a list: each with what states it and the day on which that was last read."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from datetime import date
from typing import Any

from vmie_tui.model import facts

# Tables of another kind: the index of the guides' statements, what is done with them, where they are from, advice.
_NO_FACTS = frozenset({"features", "uses", "not_used", "provenance", "traps", "api"})
# What is said about a fact, and how the program finds it.
_ABOUT = re.compile(
    r"id|seeds?|from_page|origin|regex|patterns?|facts|action|applies_to|severity|check|wording|.*note|notes|.*garbled.*|"
    r"older.*|before|caution_from_page|same_in|only_in|damaged_in|corruptions|.*inconsistency|.*_in_00\d"
)
_IN_BRACKETS = re.compile(r" ?\([^()]*\)")
_A_GUIDE = re.compile(r"\b00[0-4]\b")  # by its number
_ORIGINS = {"api": "AWS's public API models", "known": "general knowledge", "english": "an English edition"}


@dataclass(frozen=True, slots=True)
class Stated:
    """One fact. ``place``: where it stands in the facts' files, as a site's file would name it."""

    place: str
    text: str
    sources: tuple[str, ...]  # titles, with their editions
    seen: str  # the latest day on which one of them was read (ISO 8601); "" when it is from none of them

    def older_than(self, days: int, today: date) -> bool:
        """Whether nobody has looked for so many days; so it is with what is from no document."""
        return not self.seen or (today - date.fromisoformat(self.seen)).days > days

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def stated_facts() -> list[Stated]:
    """All of them, in the order of their files."""
    return [fact for name in sorted(facts.TABLES - _NO_FACTS) for fact in _in_table(facts.load(name), (name,), ())]


def _in_table(table: Mapping[str, Any], place: tuple[str, ...], inherited: tuple[str, ...]) -> Iterator[Stated]:
    sources = _sources(table) or inherited
    text = "; ".join(
        f"{key}: {_words(value)}" for key, value in table.items() if not _ABOUT.fullmatch(key) and _is_plain(value)
    )
    if text and sources:
        yield Stated(".".join(place), text, tuple(map(_title, sources)), max(map(_seen, sources)))
    for key, value in table.items():
        if isinstance(value, dict):
            yield from _in_table(value, (*place, str(key)), sources)
        elif isinstance(value, list) and value and isinstance(value[0], dict):
            for number, entry in enumerate(value, 1):
                yield from _in_table(entry, (*place, str(key), str(entry.get("id", number))), sources)


def _sources(table: Mapping[str, Any]) -> tuple[str, ...]:
    if "from_page" in table:  # it is newer than the guides
        return (str(table["from_page"]),)
    if isinstance(table.get("seed"), str):
        return (str(table["seed"]),)
    seeds = sorted(table.get("seeds", ()), key=facts.load("provenance")["meta"]["precedence"].index)
    return tuple(seeds) or ((f"origin {table['origin']}",) if "origin" in table else ())


def _title(ident: str) -> str:
    if ident.startswith("origin "):
        return _ORIGINS.get(ident.removeprefix("origin "), ident)
    known = facts.source(ident)
    return f"{known['title']} ({known['edition']})"


def _seen(ident: str) -> str:
    return "" if ident.startswith("origin ") else str(facts.source(ident)["seen"])


def _is_plain(value: Any) -> bool:
    return not isinstance(value, dict) and not (isinstance(value, list) and any(isinstance(one, dict) for one in value))


def _words(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(map(_words, value))
    return str(value).lower() if isinstance(value, bool) else _without_remarks(str(value))


def _without_remarks(text: str) -> str:
    """Without what is said in brackets about the guides that print it otherwise."""
    return _IN_BRACKETS.sub(lambda match: "" if _A_GUIDE.search(match[0]) else match[0], text)
