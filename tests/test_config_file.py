"""A profile added to config.toml: comments stay, any text survives, nothing is half written, nobody else reads it."""

from __future__ import annotations

import os
import stat
import tomllib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vmie_tui.config_file import add_profile, profile_text, with_profile
from vmie_tui.model.errors import SettingsError
from vmie_tui.settings import load

VCENTER = {"host": "vcenter.corp", "user": "svc@vsphere.local", "port": 8443, "thumbprint": ""}
AWS = {"profile": "ops", "region": "eu-west-1", "bucket": "b-1"}
OLD = '# mine\nread_only = true  # careful\n\n[profiles.lab.aws]\nregion = "us-east-1" # home'


def test_it_is_made_with_its_folder_for_the_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "new" / "config.toml"
    os.umask(old := os.umask(0))
    try:
        os.umask(0)
        add_profile(path, "prod", VCENTER, AWS)
    finally:
        os.umask(old)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    profile = load(config_file=path, environ={}).profile()
    assert profile.vcenter is not None
    assert (profile.name, profile.vcenter.host, profile.vcenter.port) == ("prod", "vcenter.corp", 8443)
    assert (profile.aws.profile, profile.aws.region, profile.aws.bucket) == ("ops", "eu-west-1", "b-1")
    assert [child.name for child in path.parent.iterdir()] == ["config.toml"]


def test_what_is_there_stays_and_a_link_stays_a_link(tmp_path: Path) -> None:
    real, link = tmp_path / "dotfiles.toml", tmp_path / "config.toml"
    real.write_text(OLD)
    link.symlink_to(real)
    assert add_profile(link, "prod", VCENTER, AWS) == real
    assert link.is_symlink() and real.read_text().startswith(OLD)
    settings = load(config_file=link, environ={})
    assert settings.profiles() == ("lab", "prod") and settings.profile("prod").read_only


@pytest.mark.parametrize(
    ("old", "name", "words"),
    [
        (OLD, "lab", "there is a profile lab already"),
        (OLD, "a b", "letters, digits"),
        ('profiles = { lab = { aws = { region = "x" } } }', "prod", "cannot be added at the end"),
        ("not toml [", "prod", "could not be written"),
    ],
)
def test_what_cannot_be_added_changes_nothing(tmp_path: Path, old: str, name: str, words: str) -> None:
    path = tmp_path / "config.toml"
    path.write_text(old)
    with pytest.raises(SettingsError, match=words):
        add_profile(path, name, VCENTER, AWS)
    assert path.read_text() == old and len(list(tmp_path.iterdir())) == 1


def test_without_a_vcenter_there_is_no_such_table() -> None:
    assert profile_text("p", {"host": "", "user": ""}, {}) == "[profiles.p.aws]\n"


@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=1), st.sampled_from(["", OLD, "# x", "\n\n"]))
def test_any_text_comes_back(text: str, old: str) -> None:
    made = tomllib.loads(with_profile(old, "p", {"host": text}, {"bucket": text}))["profiles"]["p"]
    assert made == {"vcenter": {"host": text}, "aws": {"bucket": text}}
