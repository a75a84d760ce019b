"""Waiting for jobs: it ends with them, and with a worker that never stays."""

from __future__ import annotations

from itertools import repeat
from types import SimpleNamespace
from typing import Any

import pytest

from tests.kits.fake_backend import job
from vmie_tui.commands.wait import WORKERS_IN_VAIN, wait_for
from vmie_tui.model.errors import ErrorKind, ServiceError
from vmie_tui.model.task import JobState
from vmie_tui.services import pacing


def test_workers_that_end_one_after_another_are_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pacing, "pause", lambda *_: None)
    queued = job(7, "web-01", JobState.QUEUED)
    started = iter([*repeat(True, WORKERS_IN_VAIN + 1)])
    client: Any = SimpleNamespace(job=lambda _: queued, ensure_worker=lambda: next(started))
    with pytest.raises(ServiceError, match="workers ended one after another") as caught:
        wait_for(client, [queued.id])
    assert caught.value.kind is ErrorKind.LOCAL and next(started, None) is None, "so many were tried and no more"
