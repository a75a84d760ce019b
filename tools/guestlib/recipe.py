"""The register of guests: each is a function that makes a disk image and returns its free ranges."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from guestlib.filesystems import Extent

Make = Callable[[Path], list[Extent]]


@dataclass(frozen=True, slots=True)
class Recipe:
    """``about`` is the function's docstring; ``expect``: findings its content must give; ``noise``: what fills it."""

    name: str
    title: str
    about: str
    boot: str
    expect: tuple[str, ...]
    noise: str
    make: Make


RECIPES: dict[str, Recipe] = {}


def guest(title: str, *, boot: str, expect: tuple[str, ...] = (), noise: str = "mixed") -> Callable[[Make], Make]:
    """Register the decorated function under its name with hyphens."""

    def register(make: Make) -> Make:
        name = make.__name__.replace("_", "-")
        RECIPES[name] = Recipe(name, title, " ".join((inspect.getdoc(make) or "").split()), boot, expect, noise, make)
        return make

    return register
