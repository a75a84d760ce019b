"""The documented facts, read once from the TOML files beside this module.

The files are drawn from the AWS guides; each fact keeps its id and the documents (``seeds``) that state it;
``from_page`` says which newer page does (`source`), and ``origin`` that it comes from the public API model or general
knowledge instead. A site's own file may correct them (`site_facts`).
"""

from __future__ import annotations

import os
import tomllib
from functools import cache
from pathlib import Path
from typing import Any

from vmie_tui.model import site_facts

GIB = 1 << 30
TIB = 1 << 40


FOLDER = Path(__file__).parent  # not importlib.resources: with zipfile it costs the first paint 4 ms
TABLES = frozenset(path.stem for path in FOLDER.glob("*.toml"))


@cache
def load(name: str) -> dict[str, Any]:
    """The tables of ``<name>.toml`` (``limits``, ``licences``, ``tasks``, ``errors``, ...), corrected by the site."""
    change = corrected().get(name)
    return documented(name) if change is None else site_facts.laid_over(documented(name), change, name)


def documented(name: str) -> dict[str, Any]:
    """The same as it was documented."""
    return tomllib.loads((FOLDER / f"{name}.toml").read_text(encoding="utf-8"))


@cache
def corrected() -> dict[str, Any]:
    """The site's corrections by the tables' names; {} where there are none. `check` has found the file to be good."""
    path = os.environ.get(site_facts.VARIABLE, "")
    return site_facts.read(Path(path), TABLES) if path else {}


def check(path: Path) -> None:
    """Whether the file of a site can correct the facts. Raises OSError, and ValueError in words."""
    for name, change in site_facts.read(path, TABLES).items():
        if name in TABLES:
            site_facts.laid_over(documented(name), change, name)


def limit(process: str, name: str) -> dict[str, Any]:
    """One documented limit, such as ``limit("import", "max_volumes_per_vm")["value"]``."""
    found: dict[str, Any] = load("limits")["limits"][process][name]
    return found


def error(ident: str) -> dict[str, Any]:
    """A documented error by id (``E06``): ``code``, ``message``, ``cause``, ``remedy``."""
    for entry in load("errors")["troubleshooting"]["errors"]:
        if entry["id"] == ident:
            found: dict[str, Any] = entry
            return found
    raise KeyError(ident)


def trap(ident: str) -> dict[str, Any]:
    """A known trap by id (``T32``): ``title``, ``cause``, ``remedy`` and what else it states."""
    for entry in load("traps")["traps"]:
        if entry["id"] == ident:
            found: dict[str, Any] = entry
            return found
    raise KeyError(ident)


def source(ident: str) -> dict[str, Any]:
    """Where facts come from, by id: ``title``, ``edition``, ``seen`` (ISO 8601), and of a web page ``url``."""
    if ident == site_facts.SITE:
        return {"id": ident, "title": corrected()["source"], "seen": corrected()["seen"], "edition": "of this site"}
    for entry in load("provenance")["meta"]["sources"]:
        if entry["id"] == ident:
            found: dict[str, Any] = entry
            return found
    raise KeyError(ident)
