"""What every test gets: a home and a terminal of its own, and the simulators where asked for."""

from __future__ import annotations

import itertools
import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from vmie_tui import passwords
from vmie_tui.simulators.control import TlsFiles, make_tls

pytest.register_assert_rewrite("tests.kits")
# for every folder: one pair of simulators, and AWS's models read once
pytest_plugins = ["tests.kits.job_world", "tests.kits.botocore_data"]
HOMES = itertools.count()


@pytest.fixture(autouse=True)
def own_home(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """No test sees the developer's own configuration, credentials or colours."""
    home = tmp_path_factory.mktemp(f"home{next(HOMES)}", numbered=False)  # to number it, all others would be listed
    for name in list(os.environ):
        if name.startswith(("VMIE_", "AWS_", "XDG_")) and name not in {"VMIE_VCSIM", "VMIE_GOVC", "VMIE_CLIENTS"}:
            monkeypatch.delenv(name)
    for name in ("NO_COLOR", "SSH_CONNECTION", "TMUX", "REQUESTS_CA_BUNDLE", "SSL_CERT_FILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("VMIE_STATE_DIR", str(home / "state"))
    monkeypatch.setenv("VMIE_CONFIG_FILE", str(home / "config.toml"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("PYTHON_KEYRING_BACKEND", "keyring.backends.null.Keyring")
    monkeypatch.setattr(passwords, "_typed", {})  # what an earlier test typed into the app
    return home


@pytest.fixture(autouse=True)
def plain_terminal(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """UTC, 256 colours, no tmux, no SSH, none of the developer's own settings."""
    for name in ("NO_COLOR", "SSH_CONNECTION", "TMUX", "COLORTERM", "TEXTUAL_THEME", "VMIE_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.fixture(scope="session")
def tls(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TlsFiles]:
    """One authority and loopback certificate for the whole run."""
    yield make_tls(tmp_path_factory.mktemp("tls"))
