"""The end of a job, without any process: it comes whatever fails on the way; and the folder a job's state is in."""

from __future__ import annotations

import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NoReturn

import pytest

from vmie_tui.jobs.engine.context import AwsSessions, Runtime
from vmie_tui.jobs.engine.control import Controls, JobControl
from vmie_tui.jobs.engine.import_context import ImportContext
from vmie_tui.jobs.engine.outcome import END, cancel, end_attempt, outcome_of
from vmie_tui.jobs.engine.ports import RunningJob
from vmie_tui.jobs.imports import undo
from vmie_tui.jobs.imports.hooks import ImportHooks
from vmie_tui.jobs.store.ledger import ImportLedger
from vmie_tui.jobs.store.store import CANCEL, Store
from vmie_tui.model.errors import ErrorKind, ServiceError
from vmie_tui.model.job import DiskProgress
from vmie_tui.model.machine import Machine
from vmie_tui.model.plan import ImportPlan, VmSource
from vmie_tui.model.task import JobState
from vmie_tui.private_files import private_dir
from vmie_tui.settings import Settings


def running(folder: Path, store: Store, job_id: str, control: JobControl | None = None) -> RunningJob:
    settings = Settings(folder, folder, folder / "c", {}, "")
    runtime = Runtime(settings, store, Controls(), AwsSessions(), threading.Event())
    context = ImportContext(runtime, job_id, control or JobControl())
    return RunningJob(context, ImportHooks(context))


def test_a_job_is_cancelled_though_cleaning_up_has_a_bug(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = Store(tmp_path / "state")
    job_id = store.create(ImportPlan("demo", VmSource("vc", "vm-1", "web-01", "uuid"), "eu-west-1", "bucket"))
    store.set_disks(job_id, [DiskProgress(2000, "Hard disk 1", 1 << 20, s3_key="web-01/disk-1.vmdk")])
    store.become(job_id, JobState.CANCELLING)

    def broken(*_: Any) -> NoReturn:
        raise KeyError("Uploads")

    monkeypatch.setattr(ImportContext, "objects", SimpleNamespace(abort=broken))
    cancel(running(tmp_path, store, job_id))
    assert store.record(job_id).state is JobState.CANCELLED
    said = "\n".join(line.text for line in store.lines(job_id, 10))
    assert "(web-01/disk-1.vmdk) could not be removed" in said
    assert "KeyError" in said


@pytest.mark.parametrize(("subject", "said"), [("vm-1", "web-01"), ("vm-2", "vm-2"), ("", "")])
def test_a_failure_names_the_machine_and_not_its_id(tmp_path: Path, subject: str, said: str) -> None:
    store = Store(tmp_path / "state")
    job_id = store.create(ImportPlan("demo", VmSource("vc", "vm-1", "web-01", "uuid"), "eu-west-1", "bucket"))
    store.remember(job_id, ImportLedger, machine=Machine("vm-1", "web-01"))

    def fails() -> NoReturn:
        raise ServiceError(ErrorKind.REMOTE, "taking a snapshot failed", subject=subject, code="TaskInProgress")

    outcome = outcome_of(running(tmp_path, store, job_id).context, fails)
    assert outcome["problem"]["subject"] == said
    assert outcome["problem"]["facts"] == ["T04"]  # of vSphere's code, so that no screen has to guess by its words


@pytest.mark.parametrize("frozen", [True, False])
def test_a_job_that_waits_says_that_its_snapshot_stays(tmp_path: Path, frozen: bool) -> None:
    store = Store(tmp_path / "state")
    job_id = store.create(ImportPlan("demo", VmSource("vc", "vm-1", "web-01", "uuid"), "eu-west-1", "bucket"))
    store.become(job_id, JobState.RUNNING)
    store.remember(job_id, ImportLedger, snapshot="snapshot-7" if frozen else "")
    end_attempt(running(tmp_path, store, job_id), {END: JobState.PAUSED.value})
    assert store.record(job_id).state is JobState.PAUSED
    said = "\n".join(line.text for line in store.lines(job_id, 10))
    assert ("our snapshot stays on the machine" in said) is frozen


@pytest.mark.parametrize(("failures", "left"), [(2, False), (3, True)])
def test_a_snapshot_is_removed_though_vcenter_answers_late(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failures: int, left: bool
) -> None:
    """Also of a job that is cancelled: its wish to stop does not keep it from a second try."""
    store = Store(tmp_path / "state")
    job_id = store.create(ImportPlan("demo", VmSource("vc", "vm-1", "web-01", "uuid"), "eu-west-1", "bucket"))
    store.become(job_id, JobState.CANCELLING)
    tries: list[str] = []

    def late(context: ImportContext) -> bool:
        tries.append(context.job_id)
        if len(tries) <= failures:
            raise ServiceError(ErrorKind.NETWORK, "the connection broke", retry_safe=True)
        return True

    control = JobControl()
    control.set(CANCEL)
    monkeypatch.setattr(undo, "remove_snapshot", late)
    cancel(running(tmp_path, store, job_id, control))
    said = "\n".join(line.text for line in store.lines(job_id, 10))
    assert ("the snapshot could not be removed" in said, len(tries)) == (left, 3)


def test_a_folder_that_everybody_uses_is_left_as_it_is(tmp_path: Path) -> None:
    tmp_path.chmod(0o1777)
    with pytest.raises(ServiceError) as caught:
        private_dir(tmp_path)
    assert caught.value.kind is ErrorKind.LOCAL
    assert tmp_path.stat().st_mode & 0o7777 == 0o1777
