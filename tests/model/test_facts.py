"""Every documented fact is acted on somewhere that exists, or listed with the reason why not."""

from __future__ import annotations

import ast
import importlib
import importlib.util
import re
import sys
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import vmie_tui
from vmie_tui.model import facts

ROOT = Path(vmie_tui.__file__).parent
ACTED_ON = re.compile(r"\b(enforce|preflight|display|explain)")
FEATURES: list[dict[str, Any]] = facts.load("features")["features"]
MUST = {entry["id"] for entry in FEATURES if ACTED_ON.search(entry["action"])}
USES: list[dict[str, Any]] = facts.load("uses")["uses"]
NOT_USED: list[dict[str, Any]] = facts.load("not_used")["not_used"]
LISTED_USES = [ident for group in USES for ident in group["ids"]]
LISTED_NOT = [ident for group in NOT_USED for ident in group["ids"]]


@cache
def named_in_code() -> frozenset[str]:
    """Ids that stand as text of their own in the code; comments and docstrings do not count."""
    found = set()
    for path in ROOT.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and re.fullmatch(r"F\d{3}", node.value):
                found.add(node.value)
    return frozenset(found)


def test_the_reference_is_complete() -> None:
    assert [entry["id"] for entry in FEATURES] == [f"F{number:03}" for number in range(1, 477)]
    assert all(entry["area"] and entry["text"] and entry["action"] and entry["seeds"] for entry in FEATURES)


def test_every_fact_is_acted_on_or_the_reason_is_given() -> None:
    missing = MUST - named_in_code() - set(LISTED_USES) - set(LISTED_NOT)
    assert missing == set(), "name it where it is acted on, or list it in uses.toml or not_used.toml"


def test_nothing_is_both_acted_on_and_not() -> None:
    assert set(LISTED_NOT) & (named_in_code() | set(LISTED_USES)) == set()
    assert len(LISTED_NOT) == len(set(LISTED_NOT)) and len(LISTED_USES) == len(set(LISTED_USES))
    assert set(LISTED_NOT) | set(LISTED_USES) | named_in_code() <= {entry["id"] for entry in FEATURES}


def test_every_reason_is_one() -> None:
    assert all(len(group["reason"]) > 20 and group["ids"] for group in NOT_USED)


@pytest.mark.parametrize("name", [group["name"] for group in USES])
def test_where_a_fact_is_used_exists(name: str) -> None:
    module, rest = _module_of(name)
    target: Any = module
    for part in rest:
        target = getattr(target, part)
    assert callable(target) or isinstance(target, property)


def _module_of(name: str) -> tuple[ModuleType, list[str]]:
    """The longest beginning of a dotted name that is a module, and what is left of the name."""
    parts = name.split(".")
    for end in range(len(parts), 0, -1):
        module = ".".join(parts[:end])
        if module in sys.modules or _is_module(module):
            return importlib.import_module(module), parts[end:]
    raise LookupError(name)


def _is_module(name: str) -> bool:
    try:
        return importlib.util.find_spec(name) is not None
    except ModuleNotFoundError:
        return False


@pytest.mark.parametrize("path", sorted((ROOT / "model" / "facts").glob("*.toml")), ids=lambda path: path.stem)
def test_every_facts_file_can_be_read_and_is_free_of_doubles(path: Path) -> None:
    table = facts.load(path.stem)
    assert table
    ids = [entry["id"] for entry in _entries(table) if len(str(entry.get("id", "x" * 99))) < 32]  # longer: accounts
    assert len(ids) == len(set(ids)), [ident for ident in ids if ids.count(ident) > 1]


def _entries(value: Any) -> list[dict[str, Any]]:
    """All tables of lists, at any depth."""
    found: list[dict[str, Any]] = []
    if isinstance(value, dict):
        for inner in value.values():
            found += _entries(inner)
    elif isinstance(value, list):
        for inner in value:
            if isinstance(inner, dict):
                found += [inner, *_entries(inner)]
    return found


def test_regions_of_the_facts_look_like_regions() -> None:
    regions = facts.load("regions")["defaults"]["enabled"]
    assert all(re.fullmatch(r"[a-z]{2}-[a-z]+-\d", region) for region in regions)
    refused = {
        r for row in facts.load("guests")["operating_systems"]["windows"] for r in row.get("unsupported_regions", ())
    }
    assert not refused & set(regions)
