"""Copying says where the text went, and always leaves a file."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest

from vmie_tui.screens.frame.clipboard import OSC52_MOST, copy_text


class Places:
    def __init__(self, folder: Path) -> None:
        self.terminal: list[str] = []
        self.file = folder / "copied.txt"

    def save(self, text: str) -> str:
        self.file.write_text(text)
        return str(self.file)


@pytest.fixture
def places(tmp_path: Path) -> Places:
    return Places(tmp_path)


def test_terminal_and_file(places: Places) -> None:
    said = copy_text("ami-1", osc52=places.terminal.append, save=places.save, environ={})
    assert places.terminal == ["ami-1"]
    assert places.file.read_text() == "ami-1"
    assert "OSC 52" in said and str(places.file) in said


def test_too_long_for_a_terminal_is_saved_only(places: Places) -> None:
    text = "x" * OSC52_MOST
    assert len(base64.b64encode(text.encode())) > OSC52_MOST
    said = copy_text(text, osc52=places.terminal.append, save=places.save, environ={})
    assert places.terminal == []
    assert said == f"Saved to {places.file}"


def test_inside_tmux_its_own_buffer_is_used(places: Places, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tmux, got = tmp_path / "tmux", tmp_path / "got"
    tmux.write_text(f'#!/bin/sh\necho "$@" > {got}.args\ncat > {got}\n')
    tmux.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    said = copy_text("ami-1", osc52=places.terminal.append, save=places.save, environ={"TMUX": "/tmp/x,1,0"})
    assert got.read_text() == "ami-1"
    assert Path(f"{got}.args").read_text().strip() == "load-buffer -w -"
    assert places.terminal == []
    assert "tmux's buffer" in said


def test_a_tmux_that_fails_leaves_the_file(places: Places, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tmux = tmp_path / "tmux"
    tmux.write_text("#!/bin/sh\nexit 1\n")
    tmux.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    said = copy_text("ami-1", osc52=places.terminal.append, save=places.save, environ={"TMUX": "/tmp/x,1,0"})
    assert said == f"Saved to {places.file}"
