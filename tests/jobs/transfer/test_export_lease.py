"""The lease holder and the ledger under threads, with a lease that is only a note of what was asked of it."""

from __future__ import annotations

import threading
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from vmie_tui.jobs.engine.control import JobControl
from vmie_tui.jobs.store.ledger import ImportLedger
from vmie_tui.jobs.store.store import Store
from vmie_tui.jobs.transfer.export_lease import LeaseHolder
from vmie_tui.model.errors import Cancelled
from vmie_tui.model.plan import ImportPlan, VmSource


@pytest.fixture
def context(tmp_path: Path) -> Any:
    store = Store(tmp_path / "state")
    job_id = store.create(ImportPlan("demo", VmSource("vc", "vm-1", "web-01", "uuid"), "eu-west-1", "bucket"))
    return SimpleNamespace(
        store=store,
        disks=partial(store.disks, job_id),
        job_id=job_id,
        control=JobControl(),
        say=lambda *_, **__: None,
        ledger=store.record(job_id).ledger,
        remember=partial(store.remember, job_id, ImportLedger),
    )


def test_a_lease_that_comes_after_the_close_is_given_back(context: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    reasons: list[str] = []
    holder = LeaseHolder(context, "vm-1", "snapshot-1")

    def enter() -> Any:
        holder.close()  # the user cancels while vCenter prepares the export
        return SimpleNamespace(disks=(), content_ids=(), abort=reasons.append)

    monkeypatch.setattr(holder, "_enter", enter)
    with pytest.raises(Cancelled):
        holder.get()
    assert reasons == ["the transfer was stopped"]
    assert not context.store.record(context.job_id).ledger.lease_open


def test_the_ledger_forgets_nothing_that_threads_write_at_once(context: Any) -> None:
    lost: list[str] = []

    def note(name: str) -> None:
        for turn in map(str, range(20)):
            context.store.remember(context.job_id, ImportLedger, **{name: turn})
            if getattr(context.store.record(context.job_id).ledger, name) != turn:
                lost.append(f"{name} {turn}")

    threads = [
        threading.Thread(target=note, args=(name,)) for name in ("instance", "source_state", "proven_state", "snapshot")
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not lost
