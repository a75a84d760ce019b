"""What is installed is pinned: by version and hash, in one way, and what a licence asks to be named is."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
FILES = {name: (ROOT / "requirements" / f"{name}.txt").read_text() for name in ("all", "run")}
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def entries(text: str) -> dict[str, set[str]]:
    """Requirement with its marker -> its hashes."""
    found: dict[str, set[str]] = {}
    for line in text.replace("\\\n", " ").splitlines():
        requirement, *hashes = re.split(r"\s+--hash=", line.strip())
        found[requirement.strip()] = set(hashes)
    return found


@pytest.mark.parametrize("name", FILES)
def test_every_line_has_a_version_and_hashes_and_no_address(name: str) -> None:
    for requirement, hashes in entries(FILES[name]).items():
        assert re.match(r"[A-Za-z0-9._-]+(\[[a-z,]+\])?==[^ ]+( ;.*)?$", requirement), requirement
        assert hashes and all(re.fullmatch(r"sha256:[0-9a-f]{64}", each) for each in hashes), requirement
    assert "://" not in FILES[name]


def test_what_runs_has_the_pins_of_what_is_tested() -> None:
    everything = {key.partition(" ;")[0]: hashes for key, hashes in entries(FILES["all"]).items()}
    for requirement, hashes in entries(FILES["run"]).items():
        assert everything[requirement.partition(" ;")[0]] == hashes, requirement


def test_the_run_time_file_holds_what_the_project_asks_for_and_nothing_of_the_tests() -> None:
    pinned = {canonicalize_name(key.partition("==")[0].partition("[")[0]) for key in entries(FILES["run"])}
    extras = PROJECT["optional-dependencies"]
    asked = {canonicalize_name(Requirement(each).name) for each in (*PROJECT["dependencies"], *extras["build"])}
    assert asked <= pinned
    assert not pinned & {"pytest", "moto", "mypy", "hypothesis", "libfsext-python"}


def test_the_notice_names_what_is_copyleft() -> None:
    notice = (ROOT / "NOTICE").read_text()
    for name in ("libfsntfs", "psycopg", "certifi", "pathspec", "hypothesis", "libregf", "pyyaml", "sqlean"):
        assert name in notice
    assert "NOTICE" in PROJECT["license-files"]
