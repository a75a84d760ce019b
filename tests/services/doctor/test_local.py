"""What doctor says about this machine."""

from __future__ import annotations

import locale
import shutil
import sys
from collections import namedtuple
from datetime import UTC, datetime
from pathlib import Path

import pytest

from vmie_tui.model.doctor import Check, CheckState, Group
from vmie_tui.model.job import WorkerStatus
from vmie_tui.services.doctor.check_context import Patient
from vmie_tui.services.doctor.run import examine
from vmie_tui.settings import Profile

Usage = namedtuple("Usage", "total used free")


def look(tmp_path: Path, ident: str, **environ: str) -> Check:
    with Patient(Profile("p"), tmp_path / "state", environ=environ) as here:
        return examine(here, [Group.LOCAL]).check(f"local.{ident}")


@pytest.mark.parametrize(
    ("status", "state", "words"),
    [
        (WorkerStatus(True, 4711, running=1), CheckState.OK, "runs as process 4711"),
        (WorkerStatus(False), CheckState.OK, "none is needed"),
        (WorkerStatus(False, queued=2), CheckState.WARNING, "jobs wait for it"),
        (
            WorkerStatus(False, 4711, silent_since=datetime(2026, 1, 2, tzinfo=UTC)),
            CheckState.FAILED,
            "process 4711 is not responding since 2026-01-0",
        ),
    ],
)
def test_the_worker_is_alive_by_its_heartbeat(
    tmp_path: Path, status: WorkerStatus, state: CheckState, words: str
) -> None:
    with Patient(Profile("p"), tmp_path / "state", worker=lambda: status) as here:
        check = examine(here, [Group.LOCAL]).check("local.worker")
    assert check.state is state
    assert words in check.reason
    assert state is not CheckState.FAILED or "worker --stop" in check.remedy


@pytest.mark.parametrize(
    ("mode", "state"), [(0o700, CheckState.OK), (0o750, CheckState.FAILED), (0o707, CheckState.FAILED)]
)
def test_the_state_folder_is_for_one_alone(tmp_path: Path, mode: int, state: CheckState) -> None:
    (tmp_path / "state").mkdir()
    (tmp_path / "state").chmod(mode)
    check = look(tmp_path, "folder")
    assert check.state is state
    assert state is CheckState.OK or f"mode {mode:04o}" in check.reason


def test_the_state_folder_of_somebody_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "state").mkdir(mode=0o700)
    import os

    monkeypatch.setattr(os, "getuid", lambda: 4_242_424)
    assert "belongs to another user" in look(tmp_path, "folder").reason


@pytest.mark.parametrize(("free", "state"), [(2 << 30, CheckState.OK), (1 << 20, CheckState.WARNING)])
def test_room(tmp_path: Path, free: int, state: CheckState, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda path: Usage(1 << 40, 0, free))
    assert look(tmp_path, "room").state is state


@pytest.mark.parametrize(("name", "state"), [("UTF-8", CheckState.OK), ("ISO-8859-1", CheckState.WARNING)])
def test_the_character_set(tmp_path: Path, name: str, state: CheckState, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(locale, "getencoding", lambda: name)
    assert look(tmp_path, "locale").state is state


@pytest.mark.parametrize(
    ("columns", "rows", "term", "state", "words"),
    [
        (120, 36, "xterm-256color", CheckState.OK, "120 x 36, 256 colours"),
        (79, 24, "xterm", CheckState.WARNING, "79 x 24, 16 colours"),
        (80, 20, "xterm", CheckState.WARNING, "80 x 20"),
        (80, 24, "dumb", CheckState.WARNING, "TERM=dumb"),
    ],
)
def test_the_terminal(
    tmp_path: Path,
    columns: int,
    rows: int,
    term: str,
    state: CheckState,
    words: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    import os

    assert look(tmp_path, "terminal").state is CheckState.SKIPPED
    monkeypatch.setattr(sys.stdin, "isatty", lambda: True, raising=False)
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    monkeypatch.setattr(shutil, "get_terminal_size", lambda *_, **__: os.terminal_size((columns, rows)))
    check = look(tmp_path, "terminal", TERM=term)
    assert check.state is state and words in check.reason


def program(folder: Path, name: str, says: str, code: int = 0) -> None:
    path = folder / name
    path.write_text(f"#!/bin/sh\necho '{says}'\nexit {code}\n")
    path.chmod(0o755)


@pytest.mark.parametrize(
    ("says", "code", "state"),
    [
        ("on", 0, CheckState.OK),
        ("external", 0, CheckState.WARNING),
        ("off", 0, CheckState.WARNING),
        ("", 1, CheckState.SKIPPED),
    ],
)
def test_copies_through_tmux(
    tmp_path: Path, says: str, code: int, state: CheckState, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert look(tmp_path, "clipboard").state is CheckState.SKIPPED
    program(tmp_path, "tmux", says, code)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    assert look(tmp_path, "clipboard", TMUX="/tmp/tmux,1,0").state is state


@pytest.mark.parametrize(
    ("says", "code", "state"), [("yes", 0, CheckState.OK), ("no", 0, CheckState.WARNING), ("", 1, CheckState.SKIPPED)]
)
def test_jobs_after_the_logout(
    tmp_path: Path, says: str, code: int, state: CheckState, monkeypatch: pytest.MonkeyPatch
) -> None:
    program(tmp_path, "loginctl", says, code)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    assert look(tmp_path, "linger").state is state
