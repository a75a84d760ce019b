"""The demo and the simulators as the commands start them."""

from __future__ import annotations

import json
import os
import signal
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from tests.kits.waiting import wait_until
from vmie_tui.cli import main
from vmie_tui.simulators import launch
from vmie_tui.simulators.control import TOKEN_HEADER

WITHIN = 120


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "vmie_tui", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=WITHIN, check=False)


def test_headless_demo_proves_the_snapshot_and_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    mine = {
        "HTTPS_PROXY": "http://corp\\user:p@ss#1@proxy.invalid:3128",
        "https_proxy": "none",
        "AWS_PROFILE": "no-such-profile",
        "AWS_ENDPOINT_URL": "nowhere",
        "AWS_CA_BUNDLE": "/nowhere.pem",
    }
    for name, value in mine.items():  # the user's own AWS and proxy are nothing to the simulators
        monkeypatch.setenv(name, value)
    done = run("demo", "--headless", "--vm", "bastion-03")
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert report["image_id"].startswith("ami-")
    assert report["equal"] is True
    (disk,) = report["disks"]
    assert disk["source_sha256"] == disk["snapshot_sha256"]
    assert disk["source_bytes"] < disk["snapshot_bytes"]
    assert {"check", "upload", "import", "finish", "total"} <= set(report["seconds"])
    assert report["bytes_moved"] > 0
    assert list(tmp_path.iterdir()) == []


def test_headless_demo_fails_in_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    done = run("demo", "--headless", "--vm", "nosuch-vm")
    assert done.returncode == 1
    assert done.stdout == ""
    assert "nosuch-vm" in done.stderr
    assert "Traceback" not in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_headless_demo_keeps_the_log_that_its_error_points_to(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Here the workflow engine cannot be imported: the worker never starts."""
    broken, folder = tmp_path / "broken" / "dbos", tmp_path / "tmp"
    folder.mkdir()
    broken.mkdir(parents=True)
    (broken / "__init__.py").write_text("raise ImportError('libpq is gone')\n")
    monkeypatch.setenv("TMPDIR", str(folder))
    monkeypatch.setenv("PYTHONPATH", str(broken.parent))
    done = run("demo", "--headless", "--vm", "bastion-03")
    assert (done.returncode, done.stdout) == (1, "")
    last = done.stderr.splitlines()[-1]
    assert "the worker cannot start" in last
    assert "libpq is gone" in last
    (kept,) = folder.iterdir()
    assert [path.name for path in kept.iterdir()] == ["log"]
    assert str(kept / "log" / "engine.log") in last
    assert "libpq is gone" in (kept / "log" / "engine.log").read_text()


def test_headless_demo_keeps_the_log_of_simulators_that_do_not_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "broken" / "moto").mkdir(parents=True)
    (tmp_path / "broken" / "moto" / "__init__.py").write_text("raise ImportError('moto is gone')\n")
    (folder := tmp_path / "tmp").mkdir()
    monkeypatch.setenv("TMPDIR", str(folder))
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "broken"))
    done = run("demo", "--headless")
    assert (done.returncode, done.stdout) == (1, "")
    (log,) = folder.rglob(launch.LOG_FILE)
    assert str(log) in done.stderr.splitlines()[-1]
    assert "moto is gone" in log.read_text()


def test_simulate_prints_what_a_client_needs_and_stops_when_told(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "vmie_tui", "simulate", "--json", "--fleet", "tiny", "--dir", str(tmp_path)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    try:
        wait_until(lambda: launch.running(tmp_path), WITHIN)
        assert launch.Admin(tmp_path)("vcenter", "GET", "stats")["speed"] == 1.0
    finally:
        process.send_signal(signal.SIGTERM)
        out, _ = process.communicate(timeout=30)
    assert process.returncode == 0
    printed = json.loads(out)
    assert printed["vcenter"]["password"]
    assert printed["aws"]["aws_access_key_id"]
    assert printed["control"] == {
        "path": "/_sim/",
        "header": TOKEN_HEADER,
        "token": (tmp_path / launch.TOKEN_FILE).read_text(),
    }
    assert stat.S_IMODE((tmp_path / launch.TOKEN_FILE).stat().st_mode) == 0o600
    assert not (tmp_path / launch.PROFILE_FILE).exists()


def test_demo_without_a_terminal_says_what_to_do(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["demo"]) == 2
    assert "--headless" in capsys.readouterr().err
    assert main(["demo", "--stop"]) == 0
    assert not Path(os.environ["VMIE_STATE_DIR"]).exists()
