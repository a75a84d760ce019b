"""A quiet, always equal environment for the screens, and how to wait until they are still."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest


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
