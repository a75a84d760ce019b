"""Evaluates IAM policy documents as far as VM Import needs it: is an action allowed on a resource?"""

from __future__ import annotations

import fnmatch
import json
import re
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any
from urllib.parse import unquote

Statement = Mapping[str, Any]


def document(value: Any) -> dict[str, Any]:
    """A policy document given as an object or as (URL-encoded) text; empty if it is neither."""
    if isinstance(value, str):
        try:
            value = json.loads(unquote(value) if value.lstrip().startswith("%7B") else value)
        except ValueError:
            return {}
    return dict(value) if isinstance(value, Mapping) else {}


def statements(policy: Mapping[str, Any]) -> Iterator[Statement]:
    for statement in as_list(policy.get("Statement")):
        if isinstance(statement, Mapping):
            yield statement


def as_list(value: Any) -> list[Any]:
    """IAM writes one value or a list of them."""
    if value is None:
        return []
    return list(value) if isinstance(value, (list, tuple)) else [value]


@lru_cache(maxsize=512)
def _pattern(text: str, fold: bool) -> re.Pattern[str]:
    # Each star takes the shortest way and is never tried again: a policy of forty stars is no trouble.
    return re.compile(fnmatch.translate(text.replace("[", "[[]")), re.IGNORECASE if fold else 0)


def matches(pattern: str, text: str, *, fold: bool = False) -> bool:
    """IAM's wildcards: ``*`` and ``?``; ``fold`` ignores case, as action names do."""
    return bool(_pattern(pattern, fold).fullmatch(text))


def covers(statement: Statement, action: str, resource: str) -> bool:
    """Whether a statement, of either effect, matches this action on this resource. Conditions are ignored.

    ``action`` may end in ``*`` ("ec2:Describe*"): then an action pattern of that family counts as speaking of it.
    """
    if "NotAction" in statement:
        if any(matches(str(item), action, fold=True) for item in as_list(statement["NotAction"])):
            return False
    elif not any(_speaks_of(str(item), action) for item in as_list(statement.get("Action"))):
        return False
    if "NotResource" in statement:
        return not any(matches(str(item), resource) for item in as_list(statement["NotResource"]))
    return any(matches(str(item), resource) for item in as_list(statement.get("Resource")))


def _speaks_of(pattern: str, action: str) -> bool:
    if matches(pattern, action, fold=True):
        return True
    return action.endswith("*") and pattern.lower().startswith(action[:-1].lower())


def allows(policies: list[dict[str, Any]], action: str, resource: str) -> bool:
    """Whether the policies together allow the action: one Allow that covers it, and no unconditional Deny.

    An Allow with conditions counts (they may well hold); a Deny with conditions does not (it may well not).
    """
    allowed = False
    for policy in policies:
        for statement in statements(policy):
            if not covers(statement, action, resource):
                continue
            if statement.get("Effect") == "Deny" and not statement.get("Condition"):
                return False
            allowed = allowed or statement.get("Effect") == "Allow"
    return allowed


def conditions(statement: Statement, key: str) -> list[str]:
    """The values a statement requires for a condition key, under any operator; keys are case-insensitive."""
    found: list[str] = []
    for tests in (statement.get("Condition") or {}).values():
        if isinstance(tests, Mapping):
            for name, values in tests.items():
                if str(name).lower() == key.lower():
                    found.extend(str(value) for value in as_list(values))
    return found
