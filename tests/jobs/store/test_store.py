"""The progress store and the small parts around it, without any process."""

from __future__ import annotations

import sqlite3
import threading
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from vmie_tui.jobs import worker
from vmie_tui.jobs.engine import phases
from vmie_tui.jobs.engine.control import Controls, JobControl, Paused
from vmie_tui.jobs.engine.retry import again
from vmie_tui.jobs.flows import FLOWS
from vmie_tui.jobs.store import schema
from vmie_tui.jobs.store.database import local_problem
from vmie_tui.jobs.store.ledger import DiskLedger, ImportLedger
from vmie_tui.jobs.store.store import CANCEL, PAUSE, Store
from vmie_tui.jobs.transfer.progress import Rate, UploadProgress
from vmie_tui.model.errors import Cancelled, ErrorKind, ServiceError
from vmie_tui.model.job import DiskProgress, Stage, StageState
from vmie_tui.model.plan import ImportPlan, VmSource
from vmie_tui.model.task import JOB_TRANSITIONS, JobState, may_become
from vmie_tui.pidlock import PidLock
from vmie_tui.services.pacing import Backoff
from vmie_tui.settings import Settings


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "state")


def plan(name: str = "web-01", profile: str = "demo") -> ImportPlan:
    return ImportPlan(profile, VmSource("vc", "vm-1", name, "uuid"), "eu-west-1", "bucket")


def test_reading_makes_no_database(store: Store, tmp_path: Path) -> None:
    assert store.views() == []
    with pytest.raises(ServiceError):
        store.resolve("abc")
    assert not (tmp_path / "state").exists()


@pytest.mark.parametrize("values", [{"kind": "of-a-newer-version"}, {"plan": {"source": {}}}], ids=["kind", "plan"])
def test_a_job_that_cannot_be_read_keeps_no_other_from_the_worker(
    store: Store, caplog: pytest.LogCaptureFixture, values: dict[str, Any]
) -> None:
    """A worker lives as long as there are schedules: the user's program may be newer than it."""
    strange, mine = store.create(plan()), store.create(plan())
    with store.begin() as connection:
        connection.execute(schema.jobs.update().where(schema.jobs.c.id == strange).values(values))
    for _ in range(3):
        assert [record.id for record in store.unfinished()] == [mine]
    assert [strange in record.getMessage() for record in caplog.records] == [True]


def test_a_bug_in_a_look_at_the_jobs_does_not_end_the_worker(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    settings = Settings(tmp_path, tmp_path / "state", tmp_path / "c", {}, "")
    made, looks = worker.Worker(settings, None), []

    def look(each: worker.Worker) -> list[Any]:
        looks.append(each)
        if len(looks) == 1:
            raise KeyError("a bug")
        each._stop.set()
        return []

    monkeypatch.setattr(worker, "BUG_SECONDS", 0.01)
    monkeypatch.setattr(worker.Worker, "_tick", look)
    made.serve(PidLock(tmp_path / "lock"))
    assert len(looks) == 2
    assert "could not be looked at" in caplog.text and "a bug" in caplog.text


def test_a_job_fails_when_tables_of_the_engine_are_gone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As after a repair that lost them: nothing will go on with the job, and who waits for it would wait for ever."""
    made = worker.Worker(Settings(tmp_path, tmp_path / "state", tmp_path / "c", {}, ""), None)
    store = made._store
    monkeypatch.setattr(phases, "_runtime", [made._runtime])
    monkeypatch.setattr(phases, "_flows", FLOWS)
    job_id = store.create(plan())
    store.become(job_id, JobState.RUNNING)

    def gone(*_: Any) -> bool:
        raise sa.exc.OperationalError("select", {}, sqlite3.OperationalError("no such table: workflow_status"))

    monkeypatch.setattr(phases, "is_alive", gone)
    assert not made._is_alive(store.record(job_id))
    made._clean_up(job_id)  # DBOS has made no tables in this database
    (view,) = store.views()
    assert view.state is JobState.FAILED and view.problem is not None
    assert view.problem.what == "the state database is damaged"
    assert "no such table: workflow_status" in view.problem.detail


@pytest.mark.parametrize(
    ("state", "what"), [("42P01", "the job database is damaged"), ("08006", "the job database cannot be used")]
)
def test_a_table_that_a_server_has_not_is_no_trouble_of_the_network(state: str, what: str) -> None:
    cause = Exception('relation "dbos.operation_outputs" does not exist')
    cause.sqlstate = state  # type: ignore[attr-defined]
    problem = local_problem(sa.exc.ProgrammingError("select", {}, cause), "").problem
    assert problem.what == what and "operation_outputs" in problem.detail


def test_a_new_job_is_queued_with_all_its_stages(store: Store) -> None:
    job_id = store.create(plan())
    (view,) = store.views()
    assert (view.id, view.state, view.name) == (job_id, JobState.QUEUED, "web-01")
    assert [stage.stage for stage in view.stages] == [
        Stage.CHECK,
        Stage.SNAPSHOT,
        Stage.UPLOAD,
        Stage.IMPORT,
        Stage.FINISH,
    ]
    assert store.record(job_id).plan == plan()


def test_newest_first_and_by_profile(store: Store) -> None:
    first, second = store.create(plan("a")), store.create(plan("b", "prod"))
    assert [view.id for view in store.views()] == [second, first]
    assert [view.id for view in store.views(profile="prod")] == [second]


def test_jobs_that_are_over_are_read_once(store: Store) -> None:
    """An old one that is done, an old one at work, a fresh one that is done, and one that was resumed elsewhere."""
    done, running, fresh, failed = jobs = [store.create(plan(name)) for name in "abcd"]
    for job_id in jobs:
        store.become(job_id, JobState.RUNNING)
    for job_id, state in ((done, JobState.DONE), (failed, JobState.FAILED), (fresh, JobState.DONE)):
        store.become(job_id, state)
    old = schema.jobs.update().where(schema.jobs.c.id != fresh).values(updated=1.0)
    with store.begin() as connection:
        connection.execute(old)
    assert {view.id for view in store.changed_views([])} == set(jobs)
    known = store.views()
    assert {view.id for view in store.changed_views(known)} == {running, fresh, failed}
    assert store.requeue(failed)
    later = store.create(plan("e"))
    changed = {view.id: view for view in store.changed_views(known)}
    assert set(changed) == {running, fresh, failed, later}
    assert changed[failed].state is JobState.QUEUED and changed[later].stages
    assert [view.id for view in store.changed_views(store.views()) if view.id == done] == []


@pytest.mark.parametrize("old", list(JobState))
@pytest.mark.parametrize("new", list(JobState))
def test_states_change_as_the_table_says(store: Store, old: JobState, new: JobState) -> None:
    job_id = store.create(plan())
    path = {JobState.DONE: [JobState.RUNNING], JobState.NEEDS_LOGIN: [JobState.RUNNING]}.get(old, [])
    for state in (*path, old):
        assert store.become(job_id, state)
    assert store.become(job_id, new) is may_become(old, new)
    assert store.record(job_id).state is (new if may_become(old, new) else old)


def test_requeue_takes_only_jobs_that_wait(store: Store) -> None:
    for state in JobState:
        job_id = store.create(plan())
        for step in ([JobState.RUNNING] if state in {JobState.DONE, JobState.NEEDS_LOGIN} else []) + [state]:
            store.become(job_id, step)
        waits = state in {JobState.PAUSED, JobState.NEEDS_LOGIN, JobState.FAILED}
        assert store.requeue(job_id) is waits
        assert store.record(job_id).attempt == (2 if waits else 1)
        assert waits is (JobState.QUEUED in JOB_TRANSITIONS[state] and state is not JobState.RUNNING)


def test_a_prefix_names_a_job_unless_two_share_it(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    names = iter(("abc1", "abd2"))
    monkeypatch.setattr("vmie_tui.jobs.store.store.secrets.token_hex", lambda n: next(names) if n == 5 else "t")
    store.create(plan())
    store.create(plan())
    assert store.resolve("abc") == "abc1"
    with pytest.raises(ServiceError) as raised:
        store.resolve("ab")
    assert raised.value.kind is ErrorKind.INVALID
    assert "abc1" in raised.value.problem.detail
    with pytest.raises(ServiceError):
        store.resolve("%")


def test_disks_known_already_keep_what_they_have(store: Store) -> None:
    job_id = store.create(plan())
    disks = [DiskProgress(2000, "Hard disk 1", 10, s3_key="k1")]
    store.set_disks(job_id, disks)
    store.disk(job_id, 2000, state="done", sha256="ff", verified=True, total=7)
    store.set_disks(job_id, [*disks, DiskProgress(2001, "Hard disk 2", 20)])
    first, second = store.views()[0].disks
    assert (first.state, first.sha256, first.verified) == (StageState.DONE, "ff", True)
    assert (second.state, second.verified) == (StageState.PENDING, None)


def test_ledger_keeps_facts_until_they_are_taken_out(store: Store) -> None:
    job_id = store.create(plan())
    store.remember(job_id, ImportLedger, snapshot="snapshot-1", instance="i-1")
    store.remember(job_id, ImportLedger, snapshot="")
    ledger = store.record(job_id).ledger_as(ImportLedger)
    assert (ledger.instance, ledger.snapshot) == ("i-1", "")
    assert ledger.client_token


def test_unknown_columns_are_refused(store: Store) -> None:
    job_id = store.create(plan())
    with pytest.raises(KeyError):
        store.update(job_id, state="done")
    with pytest.raises(KeyError):
        store.disk(job_id, 1, nonsense=1)


def test_log_is_the_tail_in_order(store: Store) -> None:
    job_id = store.create(plan())
    for number in range(5):
        store.log(job_id, f"line {number}", "warning")
    assert [line.text for line in store.lines(job_id, 2)] == ["line 3", "line 4"]


def test_a_full_disk_is_said_in_words(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("")
    with pytest.raises(ServiceError) as raised:
        Store(blocked / "state").create(plan())
    assert raised.value.kind is ErrorKind.LOCAL
    assert raised.value.problem.remedy


def test_a_database_that_cannot_grow_is_said_in_words(store: Store) -> None:
    @sa.event.listens_for(store.engine, "connect")
    def _small(connection: Any, _record: Any) -> None:
        connection.execute("PRAGMA max_page_count=1")  # SQLite then answers as on a full disk

    store.engine.dispose()
    with pytest.raises(ServiceError) as raised:
        for _ in range(200):
            store.create(plan())
    assert raised.value.kind is ErrorKind.LOCAL
    assert "full" in raised.value.problem.what
    assert "Free some space" in raised.value.problem.remedy
    assert store.views()


def test_progress_is_written_at_most_twice_a_second(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    job_id, now = store.create(plan()), [0.0]
    store.set_disks(job_id, [DiskProgress(1, "d", 1000)])
    progress = UploadProgress(store, job_id, lambda: now[0])
    progress.add_disk(1, 1000)
    progress.restart(1, 1000)
    writes: list[int] = []
    real = store.disk
    monkeypatch.setattr(
        store, "disk", lambda job, key, **values: (writes.append(values["done"]), real(job, key, **values))
    )
    for _ in range(40):
        now[0] += 0.05
        progress.received(1, 10)
    assert len(writes) <= 5
    progress.finish(1, 400)
    (disk,) = store.views()[0].disks
    assert (disk.done, disk.total, disk.rate) == (400, 400, 0.0)


def test_rate_forgets_what_was_skipped_and_eta_follows(store: Store) -> None:
    job_id, now = store.create(plan()), [0.0]
    store.set_disks(job_id, [DiskProgress(1, "d", 10_000)])
    progress = UploadProgress(store, job_id, lambda: now[0])
    progress.add_disk(1, 10_000)
    progress.restart(1, 10_000)
    now[0] += 1
    progress.received(1, 4000)
    progress.part(1, 4000, skipped=True)
    progress.received(1, 1000)
    progress.part(1, 1000, skipped=False)
    now[0] += 1
    progress.received(1, 1000)
    (view,) = store.views()
    (disk,) = view.disks
    assert (disk.done, disk.skipped) == (6000, 4000)
    assert 0 < disk.rate <= 1000
    assert view.eta_seconds == pytest.approx(4000 / view.rate)
    assert progress.share() == 0.6


def test_share_by_covered_bytes_when_the_total_is_unknown(store: Store) -> None:
    job_id = store.create(plan())
    store.set_disks(job_id, [DiskProgress(1, "d", 1000)])
    progress = UploadProgress(store, job_id)
    progress.add_disk(1, 1000)
    progress.restart(1, None)
    progress.covered(1, 250)
    assert progress.share() == 0.25
    progress.received(1, 100)
    progress.part(1, 100, skipped=False)
    assert store.views()[0].disks[0].total in {0, 400}


def test_rate_converges() -> None:
    now = [0.0]
    rate = Rate(lambda: now[0])
    for _ in range(60):
        now[0] += 0.5
        rate.add(500)
        value = rate.value()
    assert value == pytest.approx(1000, rel=0.01)


def test_a_wish_is_raised_and_ends_a_wait() -> None:
    control = JobControl()
    control.check()
    control.set(PAUSE)
    with pytest.raises(Paused):
        control.wait(30)
    control.set(CANCEL)
    with pytest.raises(Cancelled):
        control.check()
    control.set("")
    control.wait(0)


def test_a_wish_calls_who_blocks_elsewhere() -> None:
    control, called = JobControl(), threading.Event()
    with control.on_stop(called.set):
        control.set(CANCEL)
        assert called.wait(5)


def test_controls_forget_jobs_that_are_over() -> None:
    controls = Controls()
    with controls.working("a") as control:
        controls.update({"a": CANCEL})
        with pytest.raises(Cancelled):
            control.check()
        assert controls.is_working("a")
    assert not controls.is_working("a")
    controls.of("a").check()


def test_only_safe_errors_are_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Backoff, "seconds", 0.0)
    tries: list[int] = []

    def work(*, safe: bool) -> None:
        tries.append(1)
        raise ServiceError(ErrorKind.NETWORK, "broken", retry_safe=safe)

    with pytest.raises(ServiceError):
        again(lambda: work(safe=False), JobControl())
    assert len(tries) == 1
    with pytest.raises(ServiceError):
        again(lambda: work(safe=True), JobControl(), tries=4)
    assert len(tries) == 5


def test_a_database_of_an_earlier_version_gets_the_new_columns(store: Store, tmp_path: Path) -> None:
    job_id = store.create(plan())
    store.set_disks(job_id, [DiskProgress(2000, "Hard disk 1", 10)])
    with store.begin() as connection:
        for column in ("samples", "ledger", "host_sha256"):
            connection.execute(sa.text(f"ALTER TABLE vmie_job_disks DROP COLUMN {column}"))
    store.close()
    again = Store(tmp_path / "state")
    again.disk(job_id, 2000, samples={3: "ff"})
    (disk,) = again.disks(job_id)
    assert (disk.samples, disk.ledger, disk.host_sha256) == ({3: "ff"}, DiskLedger(), "")
