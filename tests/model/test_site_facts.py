"""A site's corrections: laid over the documented facts, or refused in words before anything uses them."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tomllib
from datetime import date
from pathlib import Path

import pytest

from vmie_tui import settings
from vmie_tui.model import facts, site_facts
from vmie_tui.model.facts_list import stated_facts

ABOUT = 'source = "AWS support"\nseen = "2026-11-30"\n'
DEBIAN = """
[[guests.operating_systems.linux]]
id = "debian-13"
name = "Debian"
versions = "13"
kernels = ["6.12"]
bits = [64]
"""


def written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "facts.toml"
    path.write_text(text)
    return path


def laid(name: str, text: str) -> dict[str, object]:
    return site_facts.laid_over(facts.documented(name), tomllib.loads(text)[name], name)


def test_a_number_is_corrected_and_the_rest_stays() -> None:
    made = laid("limits", "[limits.limits.import.import_image_disk_max]\nvalue_tib = 12")
    assert made["limits"]["import"]["import_image_disk_max"]["value_tib"] == 12  # type: ignore[index]
    assert made["limits"]["import"]["import_image_disk_max"]["from_page"] == site_facts.SITE  # type: ignore[index]
    before = facts.documented("limits")
    assert made["limits"]["export"] == before["limits"]["export"]  # type: ignore[index]


def test_a_system_is_added_and_another_one_changed() -> None:
    rows = laid("guests", DEBIAN)["operating_systems"]["linux"]  # type: ignore[index]
    old = facts.documented("guests")["operating_systems"]["linux"]
    assert [row["id"] for row in rows] == [row["id"] for row in old] + ["debian-13"]
    changed = laid("guests", '[[guests.operating_systems.linux]]\nid = "debian-11"\nversions = "11.0-11.9"')
    (row,) = (row for row in changed["operating_systems"]["linux"] if row["id"] == "debian-11")  # type: ignore[index]
    assert row["versions"] == "11.0-11.9" and row["kernels"] == ["5.10.0"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[limits", "not valid TOML"),
        ("", "where its facts are from"),
        ('source = "x"', "where its facts are from"),
        ('source = "x"\nseen = "yesterday"\n[limits]', "a day such as"),
        (ABOUT, "corrects nothing"),
        (f"{ABOUT}[limit.import]", "no facts named 'limit'"),
        (f"{ABOUT}[limits.limits.import.import_image_disc_max]\nvalue_tib = 9", "there is no limits.limits.import.imp"),
        (f"{ABOUT}[limits.limits.import.import_image_disk_max]\nvalue_tb = 9", "there is comparison, seeds, value_tib"),
        (f'{ABOUT}[limits.limits.import.import_image_disk_max]\nvalue_tib = "9"', "is a number, not a text"),
        (f"{ABOUT}[limits.limits.import.import_image_disk_max]\nvalue_tib = true", "is a number, not true or false"),
        (f"{ABOUT}limits = 3", "limits is a table"),
        (f'{ABOUT}[[guests.operating_systems.linux]]\nname = "Debian"', "each with an id"),
        (f'{ABOUT}[[guests.operating_systems.linux]]\nid = "debian-13"', "lacks bits, kernels, name"),
        (f"{ABOUT}{DEBIAN}kernel = 3", "has no kernel"),
        (f"{ABOUT}{DEBIAN}".replace("[64]", '"64"'), "is a list, not a text"),
    ],
)
def test_what_does_not_fit_is_refused_in_words(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(ValueError, match=re.escape(words)):
        facts.check(written(tmp_path, text))


def run(tmp_path: Path, *words: str, facts_file: str = "facts.toml") -> subprocess.CompletedProcess[str]:
    (tmp_path / "config.toml").write_text(f'facts_file = "{facts_file}"\n')
    return subprocess.run(
        [sys.executable, "-m", "vmie_tui", *words],
        env={
            "VMIE_CONFIG_FILE": str(tmp_path / "config.toml"),
            "VMIE_STATE_DIR": str(tmp_path),
            "PATH": "/usr/bin:/bin",
        },
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_settings_name_the_file_and_the_list_shows_what_it_says(tmp_path: Path) -> None:
    written(tmp_path, ABOUT + DEBIAN)
    told = run(tmp_path, "facts", "debian-13", "--json")
    (fact,) = json.loads(told.stdout)
    assert fact["place"] == "guests.operating_systems.linux.debian-13"
    assert (fact["sources"], fact["seen"]) == (["AWS support (of this site)"], "2026-11-30")


def test_a_bad_file_ends_every_command_with_one_line(tmp_path: Path) -> None:
    refused = run(tmp_path, "--version", facts_file="none.toml")
    assert refused.returncode == 2 and "none.toml" in refused.stderr and len(refused.stderr.splitlines()) == 1


def test_the_settings_and_the_facts_speak_of_one_variable() -> None:
    assert settings.FACTS_VARIABLE == site_facts.VARIABLE


def test_every_fact_has_a_source_and_says_when_it_was_read() -> None:
    stated = stated_facts()
    assert len(stated) > 400
    assert all(fact.sources and fact.text for fact in stated)
    (ubuntu,) = (fact for fact in stated if fact.place.endswith("linux.ubuntu-26.04"))
    assert ubuntu.seen == "2026-11-30"
    assert not ubuntu.older_than(30, date(2026, 12, 1)) and ubuntu.older_than(30, date(2027, 1, 1))


def unsourced(table: dict[str, object], place: str) -> list[str]:
    """Tables with values of their own that name nothing that states them."""
    if {"seeds", "from_page", "origin", "seed"} & set(table):
        return []
    own = any(not isinstance(value, dict | list) for value in table.values())
    inner = [(f"{place}.{key}", value) for key, value in table.items() if isinstance(value, dict)]
    return ([place] if own else []) + [found for where, value in inner for found in unsourced(value, where)]


def test_every_limit_says_what_states_it() -> None:
    limits = facts.documented("limits")["limits"]
    known = {"limits.security.tls_min", "limits.security.fips", "limits.sms"}
    assert set(unsourced(limits, "limits")) - known == set()
    assert unsourced({"import": {"disks": {"value": 21}}}, "limits") == ["limits.import.disks"]
