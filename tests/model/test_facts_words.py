"""Texts of the facts that users read: no editor's note, no id of a fact, no name of a field."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest

from vmie_tui.model import facts

SHOWN = {  # the fields of each file that screens, commands and reports show
    "errors": {"message", "older_message", "title", "cause", "remedy", "detail", "resolution", "best_practices"},
    "traps": {"label", "title", "cause", "remedy", "check"},
}
NOT_FOR_USERS = re.compile(
    r"""(?<![:,])\b00[0-4]\b          # a guide by its number
    | \b(?:[FEDX]|IC|LR|BM|trap\ )\d{1,3}\b   # a fact, an error, a rule by its id
    | [a-z]+_[a-z_]+\.[a-z]+_         # a table of the facts
    | as\ printed | garbl | \bseed\b | misprint | \borigin: | best_practices | see\ causes""",
    re.VERBOSE,
)


def texts(value: Any, shown: set[str], place: str = "") -> Iterator[tuple[str, str]]:
    if isinstance(value, dict):
        for key, inner in value.items():
            if key in shown or isinstance(inner, dict | list):
                yield from texts(inner, shown, f"{place}.{key}")
    elif isinstance(value, list):
        for number, inner in enumerate(value):
            name = inner.get("id", number) if isinstance(inner, dict) else number
            if not isinstance(inner, str) or place.rpartition(".")[2] in shown:
                yield from texts(inner, shown, f"{place}.{name}")
    elif isinstance(value, str):
        yield place, value


@pytest.mark.parametrize("name", sorted(SHOWN))
def test_what_users_read_is_meant_for_them(name: str) -> None:
    found = list(texts(facts.load(name), SHOWN[name]))
    assert len(found) > 60
    assert {place: text for place, text in found if NOT_FOR_USERS.search(text)} == {}


def test_notes_of_the_editor_would_be_seen() -> None:
    for text in ("retry (004: not so)", "see F101", "use instance_import.linux_types", "as printed", "(trap 27)"):
        assert NOT_FOR_USERS.search(text), text
    assert not NOT_FOR_USERS.search("RunInstances:0002 and part 10,000 of 5 GiB")
