"""What a user types to look for tasks, on the command line and in the filter of the tasks screen."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import replace
from datetime import timedelta

from vmie_tui.model import facts
from vmie_tui.model.task import TaskKind
from vmie_tui.model.task_history import Outcome, TaskQuery

KINDS = {kind.value.replace(" ", "-"): kind for kind in TaskKind}
_AGE = re.compile(r"(\d{1,6})\s*(m|min|h|d|w)")
_UNITS = {"m": 60, "min": 60, "h": 3600, "d": 86_400, "w": 604_800}
_KEYS = ("state", "kind", "last", "tag", "region")


def parse_age(text: str) -> timedelta:
    """``30m``, ``6h``, ``7d`` or ``2w``. Raises ValueError in words."""
    match = _AGE.fullmatch(text.strip().lower())
    if match is None:
        raise ValueError(f"{text!r} is no age such as 30m, 6h, 7d or 2w")
    return timedelta(seconds=int(match[1]) * _UNITS[match[2]])


def parse_kind(text: str) -> frozenset[TaskKind]:
    """``import-image``, or the beginning or a part of some: ``import``, ``image``. Raises ValueError in words."""
    wanted = text.strip().lower().replace(" ", "-")
    found = frozenset({KINDS[wanted]} if wanted in KINDS else {KINDS[name] for name in KINDS if wanted in name})
    if not found:
        raise ValueError(f"{text!r} is no kind of task: {', '.join(sorted(KINDS))}")
    return found


def states_in_words(states: Iterable[str]) -> str:
    """Which of ``states`` neither we nor AWS's guides know, in words; "" when all are known.

    They are no error: AWS may have added a word.
    """
    seen = [kind for kind in facts.load("tasks")["task_statuses"].values() if isinstance(kind, dict)]
    known = {str(status["value"]) for kind in seen for status in kind.get("statuses", ())} | set(Outcome)
    unknown = sorted(set(states) - known)
    return f"no task is known to be {' or '.join(map(repr, unknown))}: {', '.join(sorted(known))}" if unknown else ""


def parse_filter(text: str, base: TaskQuery | None = None) -> tuple[TaskQuery, str]:
    """(what ``text`` asks for, what is wrong with it in words or ""); the order is that of ``base``.

    Words that must all be found, ``!word`` that must not, and ``state=failed``, ``kind=import-image``, ``last=7d``,
    ``tag=key`` or ``tag=key=value``, ``region=eu-west-1``; a comma between alternatives. What is wrong, or not typed to
    its end yet, is left out.
    """
    words: list[str] = []
    given: dict[str, list[str]] = {key: [] for key in _KEYS}
    for term in text.split():
        key, equals, value = term.partition("=")
        if equals and key.lower() in given:
            given[key.lower()] += [value] if key.lower() == "tag" else value.split(",")
        else:
            words.append(term)
    wanted = {key: [value for value in values if value] for key, values in given.items()}
    kinds: frozenset[TaskKind] = frozenset()
    age, mistake = None, ""
    try:
        for value in wanted["kind"]:
            kinds |= parse_kind(value)
        for value in wanted["last"]:
            age = parse_age(value)
    except ValueError as error:
        mistake = str(error)
    states = frozenset(value.lower() for value in wanted["state"])
    query = replace(
        base or TaskQuery(),
        kinds=kinds,
        states=states,
        regions=frozenset(wanted["region"]),
        max_age=age,
        text=" ".join(words),
        tags=tuple(wanted["tag"]),
    )
    return query, mistake or states_in_words(states)
