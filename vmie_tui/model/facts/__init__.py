"""The documented facts, read once from the TOML files beside this module.

The files are drawn from the AWS guides; each fact keeps its id and the documents (``seeds``) that state it,
and ``origin`` says when it comes from the public API model or general knowledge instead.
"""

from __future__ import annotations

import tomllib
from functools import cache
from importlib import resources
from typing import Any

GIB = 1 << 30
TIB = 1 << 40


@cache
def load(name: str) -> dict[str, Any]:
    """The tables of ``<name>.toml`` (``limits``, ``licences``, ``tasks``, ``errors``, ...)."""
    return tomllib.loads(resources.files(__name__).joinpath(f"{name}.toml").read_text(encoding="utf-8"))


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
    """Where facts come from, by id: ``edition``, and of a web page ``title``, ``url`` and ``seen`` (ISO 8601)."""
    for entry in load("provenance")["meta"]["sources"]:
        if entry["id"] == ident:
            found: dict[str, Any] = entry
            return found
    raise KeyError(ident)
