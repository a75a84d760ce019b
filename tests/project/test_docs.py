"""The documents name places that exist."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])
_PLACE = re.compile(r"`((?:vmie_tui|tests|docs|tools|benchmarks|assets|requirements|\.ci)/[\w./*-]+)`")
_LINK = re.compile(r"\]\((?!https?:)([^)#\s]+)(?:#[^)]*)?\)")


@pytest.mark.parametrize("page", PAGES, ids=[str(page.relative_to(ROOT)) for page in PAGES])
def test_every_place_and_link_of_a_page_exists(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    places = {place for place in _PLACE.findall(text) if not list(ROOT.glob(place.rstrip("/")))}
    links = {link for link in _LINK.findall(text) if not (page.parent / link).exists()}
    assert (places, links) == (set(), set())


def test_the_architecture_names_most_folders() -> None:
    named = set(_PLACE.findall((ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")))
    assert len(named) > 25
