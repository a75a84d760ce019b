"""Replications in the store, and what the client lets a user do; no worker is needed."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import sqlalchemy as sa

from tests.kits.schedule_rig import ACCOUNT, DAY, HOST, HOUR, Rig, machine, spec
from tests.kits.waiting import wait_until
from vmie_tui.jobs.engine.context import AwsSessions, Runtime
from vmie_tui.jobs.engine.control import Controls, JobControl
from vmie_tui.jobs.imports import finish
from vmie_tui.jobs.imports.finish import launch_test
from vmie_tui.jobs.replication import cutover, removal, target
from vmie_tui.jobs.replication.context import ReplicationContext
from vmie_tui.jobs.replication.cutover import shut_down
from vmie_tui.jobs.replication.hooks import ReplicationHooks
from vmie_tui.jobs.replication.removal import FIRST_PAUSE
from vmie_tui.jobs.replication.snapshot import note_snapshot
from vmie_tui.jobs.replication.target import ReplicaTarget
from vmie_tui.jobs.store import catalogues
from vmie_tui.jobs.store.block_journal import BlockJournal
from vmie_tui.jobs.store.catalogues import vm_key
from vmie_tui.jobs.store.ledger import RunLedger
from vmie_tui.jobs.store.replications import add_missed, add_replication, change
from vmie_tui.known_secrets import HIDDEN, remember
from vmie_tui.model import facts
from vmie_tui.model.errors import ErrorKind, ServiceError
from vmie_tui.model.job import DiskProgress
from vmie_tui.model.machine import Inventory, Machine, VCenterInfo
from vmie_tui.model.plan import LicenseType, TestLaunch
from vmie_tui.model.replication import (
    Catalogue,
    CatalogueStatus,
    KeptDisk,
    ReplicationState,
    RunFigures,
    RunState,
    Sync,
    Verify,
)
from vmie_tui.model.task import JobState
from vmie_tui.operations.replication_jobs import EXTEND_DAYS, ReplicationJobs
from vmie_tui.services.vsphere.changed_blocks import SnapshotDisk
from vmie_tui.services.vsphere.snapshot import Snapshot

DISK = KeptDisk(2000, "uuid-disk", 1 << 30, "52 de/7", "snap-1", encrypted=True)


@pytest.fixture
def rig(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Rig]:
    made_rig = Rig(tmp_path, monkeypatch)
    yield made_rig
    made_rig.close()


def refused(work: Any, *arguments: Any, **named: Any) -> ServiceError:
    with pytest.raises(ServiceError) as caught:
        work(*arguments, **named)
    return caught.value


# ---- creating


def test_a_replication_is_pending_until_its_first_run(rig: Rig) -> None:
    ident = rig.create(12, ahead=HOUR, keep=3, group="shop", order=2)
    (view,) = rig.client.views()
    assert ident.startswith("sms-job-")
    assert (view.id, view.state, view.name, view.runs) == (ident, ReplicationState.PENDING, "web-01", ())
    assert (view.spec.keep, view.spec.group, view.spec.order, view.spec.every_hours) == (3, "shop", 2, 12)
    assert view.next_run == view.spec.start == pytest.approx(rig.clock.now() + HOUR, abs=60)
    assert (view.first, view.day, view.days) == (None, 0, 90)
    assert rig.started == ["worker"]
    rig.tick(HOUR)
    assert rig.view(ident).state is ReplicationState.ACTIVE


def test_a_licence_left_to_the_rules_is_resolved(rig: Rig) -> None:
    assert rig.view(rig.create(12)).spec.plan.license_type is LicenseType.BYOL


def test_reading_makes_no_database(rig: Rig) -> None:
    assert rig.client.views() == []
    assert rig.client.catalogue("demo") == Catalogue()
    assert rig.client.findings(spec(rig.clock.now()), machine())
    assert not rig.client.ensure_worker_for_schedules()
    assert refused(rig.client.view, "sms").kind is ErrorKind.NOT_FOUND
    assert not rig.store.exists


def test_a_machine_has_one_replication_at_a_time(rig: Rig) -> None:
    ident = rig.create(12)
    error = refused(rig.create, 24)
    assert (error.kind, error.problem.code, error.problem.detail) == (
        ErrorKind.CONFLICT,
        "ReplicationJobAlreadyExists",
        ident,
    )
    assert any(ident in finding.what for finding in rig.client.findings(spec(rig.clock.now()), machine()))
    assert not any(
        ident in finding.what for finding in rig.client.findings(spec(rig.clock.now()), machine(), ident=ident)
    )
    rig.create(12, number=2)
    rig.client.delete(ident)
    assert refused(rig.create, 24).kind is ErrorKind.CONFLICT, "it is still being removed"


def test_fifty_machines_at_once_for_an_account(rig: Rig) -> None:
    most = int(facts.limit("sms", "concurrent_vm_migrations_per_account")["value"])
    ids = [rig.create(12, number=number) for number in range(most)]
    error = refused(rig.create, 12, number=100)
    assert (error.kind, error.problem.code) == (ErrorKind.REFUSED, "F388")
    wanted = spec(rig.clock.now(), number=100)
    rig.client.create(wanted, machine(100), account="another")
    assert not any(
        finding.fact == "F388" for finding in rig.client.findings(wanted, machine(), account=ACCOUNT, ident=ids[0])
    )


def test_one_that_was_over_comes_back_only_where_there_is_room(rig: Rig) -> None:
    failed = rig.create(0, number=200)
    rig.tick()
    rig.go(JobState.FAILED)
    assert rig.view(failed).state is ReplicationState.FAILED
    most = int(facts.limit("sms", "concurrent_vm_migrations_per_account")["value"])
    ids = [rig.create(12, number=number, ahead=HOUR) for number in range(most)]
    assert refused(rig.client.run_now, failed).problem.code == "F388"
    rig.client.delete(ids[0])
    newer = rig.create(0, number=200, ahead=HOUR)
    assert refused(rig.client.run_now, failed).problem.detail == newer
    rig.client.delete(newer)
    assert refused(rig.client.run_now, failed).problem.detail == newer, "it is still being removed"


def test_a_blocker_refuses_in_its_words_unless_overridden(rig: Rig) -> None:
    wanted = spec(rig.clock.now(), 25)
    error = refused(rig.client.create, wanted, machine(), account=ACCOUNT)
    assert error.kind is ErrorKind.REFUSED
    assert "25 h" in error.problem.what
    assert rig.client.views() == []
    (blocker,) = [finding for finding in rig.client.findings(wanted, machine()) if finding.severity == 3]
    plan = replace(wanted.plan, override=(blocker.headline,))
    assert rig.client.create(replace(wanted, plan=plan), machine(), account=ACCOUNT)


def test_a_read_only_profile_changes_nothing(rig: Rig) -> None:
    ident = rig.create(12)
    rig.configure(more="read_only = true")
    client = rig.other_client()
    works = (
        lambda: client.create(spec(0, number=2), machine(2), account=ACCOUNT),
        lambda: client.edit(ident, rig.view(ident).spec),
        lambda: client.pause(ident),
        lambda: client.resume(ident),
        lambda: client.extend(ident, 1),
        lambda: client.delete(ident),
        lambda: client.run_now(ident),
        lambda: client.start_group("demo", "shop"),
    )
    before = rig.book.record(ident)
    for work in works:
        assert refused(work).problem.code == "read-only"
    assert rig.book.record(ident) == before
    assert len(client.views()) == 1
    client.close()


def test_a_worker_is_started_where_something_is_scheduled(rig: Rig) -> None:
    ident = rig.create(12)
    rig.started.clear()
    assert rig.client.ensure_worker_for_schedules()
    assert rig.started == ["worker"]
    rig.client.pause(ident)
    assert not rig.client.ensure_worker_for_schedules()
    rig.client.resume(ident)
    client = rig.other_client(read_only=True)
    assert not client.ensure_worker_for_schedules()
    client.close()


def test_no_secret_is_stored(rig: Rig) -> None:
    remember("s3cr3t-word")
    ident = rig.create(12)
    rig.tick()
    with rig.book.alone() as connection:
        change(connection, ident, message="refused for s3cr3t-word")
        add_missed(connection, ident, {1.0: "refused for s3cr3t-word"}, 1.0)
    assert rig.view(ident).message == f"refused for {HIDDEN}"
    assert {run.message for run in rig.view(ident).runs if run.state is RunState.MISSED} == {f"refused for {HIDDEN}"}


# ---- what a run is told


def test_a_run_s_plan_says_all_that_was_decided(rig: Rig) -> None:
    plan = {"tags": {"team": "ops"}, "encrypted": True, "ami_name": "{vm} of {date}", "description": "from {profile}"}
    ident = rig.create(12, plan=plan, verify=Verify.ALL)
    rig.tick()
    ((job_id, first),) = rig.begin()
    today = datetime.fromtimestamp(rig.clock.now(), UTC).astimezone()
    (run,) = rig.view(ident).runs
    assert (first.replication, first.run, run.job_id) == (ident, run.id, job_id)
    assert first.ami_name == f"web-01 of {today:%Y-%m-%d} {run.id}"
    assert (first.description, first.tags, first.encrypted) == ("from demo", {"team": "ops"}, True)
    assert (first.verify, first.resync, first.shut_down, first.test_launch) == (Verify.ALL, None, False, None)
    rig.end(job_id)
    launch = TestLaunch(subnet_id="subnet-1", isolated=False)
    rig.client.run_now(ident, resync=Sync.CHECKSUM, verify=Verify.NONE, cutover=launch)
    ((_, second),) = rig.jobs()
    assert (second.verify, second.resync, second.shut_down) == (Verify.NONE, Sync.CHECKSUM, True)
    assert second.test_launch == launch
    assert second.ami_name != first.ami_name
    assert refused(rig.client.run_now, ident, resync=Sync.CHANGED).kind is ErrorKind.INVALID


def test_names_are_never_longer_than_aws_takes(rig: Rig) -> None:
    ident = rig.create(12, plan={"ami_name": "n" * 128})
    rig.tick()
    ((_, plan),) = rig.jobs()
    assert len(plan.ami_name) <= 128
    assert plan.ami_name.endswith(rig.view(ident).runs[0].id)


# ---- what a run writes


def test_what_a_run_leaves_is_there_for_the_next(rig: Rig) -> None:
    ident = rig.create(12)
    assert rig.book.kept(ident) == ()
    rig.book.keep(ident, [DISK, replace(DISK, key=2001)])
    assert rig.book.kept(ident) == (DISK, replace(DISK, key=2001))
    rig.book.forget_kept(ident)
    assert rig.book.record(ident).kept == ()


def test_a_run_s_figures_and_times(rig: Rig) -> None:
    ident = rig.create(12)
    rig.tick()
    ((job_id, plan),) = rig.begin()
    began = rig.view(ident).runs[0].started
    rig.book.begin(plan.run, rig.clock.now() + HOUR)
    assert rig.view(ident).runs[0].started == began
    figures = RunFigures(Sync.FIRST, "the first", 10, 20, 30, 1.5, 0.5, quiesced=True, verified=4, frozen=9.0)
    rig.book.figures(plan.run, figures)
    rig.book.end(plan.run, 77.0)
    rig.store.update(job_id, fraction=0.5, rate=3.0, eta=2.0, message="copying")
    (run,) = rig.view(ident).runs
    assert (run.state, run.fraction, run.rate, run.eta_seconds, run.message) == (
        RunState.ACTIVE,
        0.5,
        3.0,
        2.0,
        "copying",
    )
    rig.end(job_id)
    (run,) = rig.view(ident).runs
    assert (run.figures, run.completed, run.fraction) == (figures, 77.0, None)


def test_images_are_those_of_completed_runs_newest_first(rig: Rig) -> None:
    ident = rig.create(12)
    for number, state in enumerate([JobState.DONE, JobState.FAILED, JobState.DONE, JobState.DONE]):
        rig.tick(12 * HOUR if number else 0)
        rig.cleaned()
        rig.go(state)
    found = rig.book.images(ident)
    assert len(found) == 3
    assert [image for _, image in found] == list(rig.view(ident).images)
    rig.book.image_gone(found[-1][0])
    assert rig.book.images(ident) == found[:2]
    assert rig.view(ident).images == tuple(image for _, image in found[:2])


@pytest.mark.parametrize("job", list(JobState))
def test_a_run_s_state_is_that_of_its_job(rig: Rig, job: JobState) -> None:
    ident = rig.create(12)
    rig.tick()
    ((job_id, _),) = rig.begin()
    with rig.store.begin() as connection:
        connection.execute(sa.text("UPDATE vmie_jobs SET state = :state WHERE id = :id"), {"state": job, "id": job_id})
    wanted = {
        JobState.QUEUED: RunState.PENDING,
        JobState.FAILED: RunState.FAILED,
        JobState.DONE: RunState.COMPLETED,
        JobState.CANCELLING: RunState.DELETING,
        JobState.CANCELLED: RunState.DELETED,
    }
    assert rig.view(ident).runs[0].state is wanted.get(job, RunState.ACTIVE)


# ---- changing


def test_a_new_interval_counts_from_the_first_start(rig: Rig) -> None:
    ident = rig.create(12)
    rig.tick()
    rig.go()
    rig.clock.advance(3 * HOUR)
    before = rig.view(ident).spec
    rig.client.edit(ident, replace(before, every_hours=2, keep=4))
    view = rig.view(ident)
    assert (view.spec.every_hours, view.spec.keep) == (2, 4)
    assert view.next_run == before.start + 4 * HOUR
    at = rig.clock.now() + 7 * HOUR
    rig.client.edit(ident, view.spec, next_run=at)
    rig.tick(7 * HOUR + 60)
    assert len(rig.jobs()) == 1
    assert rig.view(ident).next_run == at + 2 * HOUR


def test_what_cannot_be_changed(rig: Rig) -> None:
    ident = rig.create(12)
    now, old = rig.clock.now(), rig.view(ident).spec
    for new in (
        replace(old, every_hours=0),
        replace(old, every_hours=48),
        replace(old, plan=replace(old.plan, region="us-east-1")),
    ):
        assert refused(rig.client.edit, ident, new).kind is ErrorKind.REFUSED
    for at in (now - 2 * DAY, now + 31 * DAY):
        assert refused(rig.client.edit, ident, old, next_run=at).kind is ErrorKind.INVALID
    encrypted = replace(old, plan=replace(old.plan, encrypted=True))
    rig.client.edit(ident, encrypted)
    rig.tick()
    rig.go()
    assert refused(rig.client.edit, ident, old).kind is ErrorKind.REFUSED
    assert rig.view(ident).spec.plan.encrypted


def test_a_start_may_be_put_off_before_the_first_run(rig: Rig) -> None:
    ident = rig.create(12, ahead=HOUR)
    spec_then = rig.view(ident).spec
    rig.client.edit(ident, replace(spec_then, start=spec_then.start + 2 * HOUR))
    assert rig.view(ident).next_run == spec_then.start + 2 * HOUR
    rig.client.pause(ident)
    rig.client.edit(ident, spec_then)
    assert rig.view(ident).next_run is None
    rig.client.resume(ident)
    assert rig.view(ident).next_run == spec_then.start


def test_a_one_time_migration_that_is_done_is_not_run_again(rig: Rig) -> None:
    ident = rig.create(0)
    rig.tick()
    rig.go()
    for work in (rig.client.pause, rig.client.resume, rig.client.run_now):
        assert refused(work, ident).kind is ErrorKind.CONFLICT
    again = rig.create(0)
    assert rig.view(again).state is ReplicationState.PENDING, "its VM may be migrated once more"


def test_a_one_time_migration_is_put_off_by_an_edit_alone(rig: Rig) -> None:
    ident = rig.create(0, ahead=DAY)
    rig.client.run_now(ident)
    rig.go()
    view = rig.view(ident)
    assert (view.state, view.next_run) == (ReplicationState.ACTIVE, view.spec.start), "on demand: its own is to come"
    rig.tick(DAY)
    rig.go()
    assert rig.view(ident).state is ReplicationState.COMPLETED


@pytest.mark.parametrize("days", [0, -1, EXTEND_DAYS + 1])
def test_an_extension_is_bounded(rig: Rig, days: int) -> None:
    ident = rig.create(12)
    assert refused(rig.client.extend, ident, days).kind is ErrorKind.INVALID
    assert rig.view(ident).days == 90


def test_days_that_are_not_enough_do_not_bring_it_back(rig: Rig) -> None:
    ident = rig.create(24)
    rig.tick()
    rig.go()
    rig.tick(100 * DAY)
    assert rig.view(ident).terminated
    rig.client.extend(ident, 5)
    assert (rig.view(ident).terminated, rig.view(ident).days) == (True, 95)
    rig.client.extend(ident, 10)
    assert (rig.view(ident).terminated, rig.view(ident).state) == (False, ReplicationState.ACTIVE)


@pytest.mark.parametrize("paused", [False, True])
def test_more_days_for_a_one_time_migration_that_is_still_to_come(rig: Rig, paused: bool) -> None:
    with rig.book.alone() as connection:  # another job had replicated this VM for 89 days
        ident = add_replication(
            connection, spec(rig.clock.now() + 3 * DAY, 0), vm_key(HOST, "uuid-1"), ACCOUNT, rig.clock.now()
        )
        connection.execute(sa.text("UPDATE vmie_replicated SET first = :at"), {"at": rig.clock.now() - 89 * DAY})
    if paused:
        rig.client.pause(ident)
    rig.tick(2 * DAY)
    assert (rig.view(ident).terminated, rig.view(ident).next_run) == (True, None)
    rig.client.extend(ident, 30)
    view = rig.view(ident)
    assert view.state is ReplicationState.PENDING
    assert view.next_run == (None if paused else view.spec.start)


def test_days_that_end_while_the_one_time_run_is_at_work(rig: Rig) -> None:
    ident = rig.create(0)
    rig.tick()
    ((job_id, _),) = rig.begin()
    rig.tick(91 * DAY)
    assert rig.view(ident).terminated
    rig.end(job_id)
    rig.client.extend(ident, 30)
    view = rig.view(ident)
    assert (view.state, view.terminated, view.next_run) == (ReplicationState.COMPLETED, False, None)


def test_a_prefix_names_it(rig: Rig) -> None:
    ident = rig.create(12)
    assert rig.view(ident[:10]).id == ident
    assert rig.view(ident.removeprefix("sms-job-")).id == ident
    other = rig.create(12, number=2)
    assert refused(rig.view, "sms-job-").problem.detail in {f"{ident}, {other}", f"{other}, {ident}"}
    assert refused(rig.view, "%").kind is ErrorKind.NOT_FOUND


# ---- deleting


class Snapshots:
    """EBS snapshots of an account: those an AMI uses cannot be deleted; ``trouble``: what AWS answers instead."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *there: str, used: str = "") -> None:
        self.there, self.used, self.calls = set(there), used, 0
        self.trouble: Exception | None = None
        monkeypatch.setattr(removal, "delete_snapshot", self.delete)
        monkeypatch.setattr(removal, "tagged_snapshots", lambda *_, **__: iter(sorted(self.there)))
        self.account = ACCOUNT
        aws = SimpleNamespace(identity=lambda: SimpleNamespace(account=self.account))
        monkeypatch.setattr("vmie_tui.jobs.engine.context.AwsSessions.of", lambda *_, **__: aws)
        monkeypatch.setattr("vmie_tui.jobs.engine.context.AwsSessions.forget", lambda *_: None)

    def delete(self, _aws: object, _region: str, snapshot_id: str) -> None:
        self.calls += 1
        if self.trouble is not None:
            raise self.trouble
        if snapshot_id == self.used:
            raise ServiceError(ErrorKind.CONFLICT, "in use by ami-1", code="InvalidSnapshot.InUse")
        self.there.discard(snapshot_id)


def deleted(rig: Rig, ident: str) -> bool:
    rig.tick()
    return rig.view(ident).state is ReplicationState.DELETED


def test_deleting_cancels_the_run_then_takes_away_what_no_ami_uses(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    account = Snapshots(monkeypatch, "snap-1", "snap-2", "snap-3", used="snap-2")
    ident = rig.create(12)
    rig.tick()
    rig.go()
    rig.tick(12 * HOUR)
    ((job_id, _),) = rig.begin()
    rig.book.keep(ident, [DISK, replace(DISK, key=2001, snapshot_id="snap-2")])
    BlockJournal(rig.store, ident, 2000).append([(1, b"x" * 32)])
    BlockJournal(rig.store, ident, 2001).append([(1, b"x" * 32)])
    rig.client.delete(ident)
    view = rig.view(ident)
    assert (view.state, view.next_run) == (ReplicationState.DELETING, None)
    assert rig.store.record(job_id).state is JobState.CANCELLING
    assert rig.scheduler.wants_worker()
    rig.tick()
    rig.tick()
    assert account.calls == 0, "not before the run has cleaned up"
    rig.store.become(job_id, JobState.CANCELLED)
    wait_until(lambda: deleted(rig, ident), 5)
    assert account.there == {"snap-2"}
    assert rig.book.kept(ident) == ()
    assert list(BlockJournal(rig.store, ident, 2000).load()) == []
    assert list(BlockJournal(rig.store, ident, 2001).load()) == []
    assert rig.client.views() == []
    (gone,) = rig.client.views(deleted=True)
    assert len(gone.images) == 1, "AMIs are kept"
    assert not rig.scheduler.wants_worker()
    rig.create(12)


def test_what_cannot_be_taken_away_is_named_and_tried_again_later(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    account = Snapshots(monkeypatch, "snap-1")
    account.trouble = ServiceError(ErrorKind.LOGIN, "the credentials have expired")
    now = [1000.0]
    monkeypatch.setattr("vmie_tui.jobs.replication.removal.time.monotonic", lambda: now[0])
    ident = rig.create(12)
    rig.book.keep(ident, [DISK])
    rig.client.delete(ident)
    rig.tick()
    wait_until(lambda: "expired" in rig.view(ident).message, 5)
    assert "snap-1" in rig.view(ident).message
    tries = account.calls
    removal = rig.scheduler._removal
    wait_until(lambda: removal._thread is not None and not removal._thread.is_alive(), 5)
    for _ in range(20):
        rig.tick()
    assert account.calls == tries, "AWS is left alone for a while"
    account.trouble = None
    now[0] += FIRST_PAUSE + 1
    wait_until(lambda: deleted(rig, ident), 5)
    assert not account.there


def test_a_bug_in_a_removal_is_not_repeated_every_second(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    account = Snapshots(monkeypatch, "snap-1")
    account.trouble = KeyError("Snapshots")
    ident = rig.create(12)
    rig.client.delete(ident)
    rig.tick()
    wait_until(lambda: "KeyError" in rig.view(ident).message, 5)
    removal = rig.scheduler._removal
    wait_until(lambda: removal._thread is not None and not removal._thread.is_alive(), 5)
    for _ in range(5):
        rig.tick()
    assert account.calls == 1


def test_one_whose_profile_is_gone_is_deleted_and_says_what_may_be_left(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    Snapshots(monkeypatch, "snap-1")
    ident = rig.create(12)
    rig.book.keep(ident, [DISK])
    rig.client.delete(ident)
    rig.config.write_text("")
    wait_until(lambda: deleted(rig, ident), 5)
    assert "snap-1 in eu-west-1" in rig.view(ident).message


def test_one_whose_profile_uses_another_account_now_is_deleted_and_says_what_may_be_left(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    account = Snapshots(monkeypatch, "snap-1")
    account.account = "999999999999"
    ident = rig.create(12)
    rig.book.keep(ident, [DISK])
    rig.client.delete(ident)
    wait_until(lambda: deleted(rig, ident), 5)
    assert account.calls == 0, "a snapshot that the other account does not know is not gone"
    message = rig.view(ident).message
    assert f"snap-1 in eu-west-1 of account {ACCOUNT} may be left" in message and "999999999999" in message


def test_what_a_run_could_not_delete_is_passed_on_past_one_that_never_began(rig: Rig) -> None:
    ident = rig.create(12)
    rig.tick()
    ((first, _),) = rig.begin()
    rig.store.remember(first, RunLedger, leftovers=("snap-9",))
    rig.end(first)
    rig.tick(12 * HOUR)
    ((second, _),) = rig.jobs()
    rig.end(second, JobState.CANCELLED)
    rig.tick(12 * HOUR)
    ((third, _),) = rig.begin()
    assert rig.book.leftovers(ident, besides=third) == ("snap-9",)
    rig.store.remember(third, RunLedger, leftovers=())
    assert rig.book.leftovers(ident) == ()


def test_a_snapshot_that_could_not_be_removed_is_named_when_no_run_does_it_any_more(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    Snapshots(monkeypatch)
    ident = rig.create(12)
    rig.tick()
    ((job_id, _),) = rig.begin()
    rig.store.remember(job_id, RunLedger, snapshot="snapshot-7")  # as a cancelled run has it that did not reach vCenter
    rig.client.delete(ident)
    rig.cleaned()
    wait_until(lambda: deleted(rig, ident), 5)
    assert f"remove the snapshot 'vmie-tui {job_id}' of web-01" in rig.view(ident).message


def test_a_failed_run_cleans_up_before_its_replication_is_gone(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    Snapshots(monkeypatch)
    ident = rig.create(12)
    rig.tick()
    ((job_id, _),) = rig.begin()
    rig.end(job_id, JobState.FAILED)
    rig.client.delete(ident)
    assert rig.store.record(job_id).state is JobState.CANCELLING
    rig.cleaned()
    wait_until(lambda: deleted(rig, ident), 5)
    assert rig.view(ident).runs[0].state is RunState.FAILED
    assert refused(rig.client.delete, ident).kind is ErrorKind.CONFLICT


# ---- a run at work


@pytest.fixture
def context(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> ReplicationContext:
    """Of a run that was just taken up; its account is the replication's, its vCenter nobody."""
    Snapshots(monkeypatch)
    rig.create(12)
    rig.tick()
    ((job_id, _),) = rig.jobs()
    runtime = Runtime(rig.settings, rig.store, Controls(), AwsSessions(), threading.Event())
    made_context = ReplicationContext(runtime, job_id, JobControl())
    monkeypatch.setattr(ReplicationContext, "vsphere", SimpleNamespace())
    return made_context


def test_a_run_in_another_account_begins_nothing(context: ReplicationContext, monkeypatch: pytest.MonkeyPatch) -> None:
    """There, the last run's snapshots and AMIs seem to be gone: all would be copied anew, and those never removed."""
    hooks = ReplicationHooks(context)
    hooks.attempt_begins()
    other = SimpleNamespace(identity=lambda: SimpleNamespace(account="999999999999"))
    monkeypatch.setattr("vmie_tui.jobs.engine.context.AwsSessions.of", lambda *_, **__: other)
    error = refused(hooks.attempt_begins)
    assert error.kind is ErrorKind.REFUSED
    assert "999999999999" in str(error) and f"Sign in to {ACCOUNT}" in error.problem.remedy


def test_a_disk_that_came_after_the_check_is_not_left_out(
    context: ReplicationContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    disks = [
        SnapshotDisk(key, f"uuid-{key}", 1 << 30, f"52 de/{key}", f"[ds] web-01/disk-{key}.vmdk")
        for key in (2000, 2001)
    ]
    made_at = Snapshot("snapshot-1", "ours", quiesced=False, created=datetime.now(UTC))
    monkeypatch.setattr("vmie_tui.jobs.replication.snapshot.snapshot_disks", lambda *_: tuple(disks))
    monkeypatch.setattr("vmie_tui.jobs.replication.snapshot.list_snapshots", lambda *_: (made_at,))
    context.store.set_disks(context.job_id, [DiskProgress(2000, "Hard disk 1", 1 << 30)])
    error = refused(note_snapshot, context, made_at, machine())
    assert error.kind is ErrorKind.CONFLICT and "got another disk" in str(error) and "disk-2001" in str(error)
    disks.pop()
    note_snapshot(context, made_at, machine())
    assert context.store.disks(context.job_id)[0].ledger.at_snapshot.change_id == "52 de/2000"


def test_an_instance_that_a_killed_worker_asked_for_is_not_launched_again(
    context: ReplicationContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However long nobody was at work: EC2 forgets the token of a launch, and the tag stays."""
    context.plan = replace(context.plan, test_launch=TestLaunch(instance_type="m5.large"), shut_down=True)
    context.remember(launch_asked=True)
    monkeypatch.setattr(finish, "tagged_instances", lambda *_: iter(["i-7"]))
    assert launch_test(context, ReplicationHooks(context)) == {"instance": "i-7"}
    assert context.ledger.instance == "i-7"
    assert context.store.views(job_id=context.job_id)[0].results == {"instance of the cutover": "i-7"}


@pytest.mark.parametrize(
    ("found", "isolated", "twice"),
    [
        ("running", False, True),
        ("pending", False, True),
        ("stopped", False, False),
        ("", False, False),
        ("running", True, False),
    ],
)
def test_a_machine_is_not_cut_over_twice(
    rig: Rig, monkeypatch: pytest.MonkeyPatch, found: str, isolated: bool, twice: bool
) -> None:
    """As where its group is, later: it is off already, and a second instance of it would be launched."""
    Snapshots(monkeypatch)
    ident, jobs = rig.create(12), []
    for _ in range(2):
        rig.tick(DAY)
        rig.go()
        rig.client.run_now(ident, cutover=TestLaunch(isolated=isolated))
        ((job_id, _),) = rig.begin()
        jobs.append(job_id)
        rig.store.remember(job_id, RunLedger, machine=Machine("vm-1", "vm"), instance=f"i-{len(jobs)}")
        rig.end(job_id) if len(jobs) == 1 else None

    def state(_aws: object, _region: str, instance: str) -> SimpleNamespace:
        assert instance == "i-1", "of an earlier run"
        if not found:
            raise ServiceError(ErrorKind.NOT_FOUND, "no such instance")
        return SimpleNamespace(state=found)

    asked: list[str] = []
    monkeypatch.setattr(cutover, "instance_state", state)
    monkeypatch.setattr(cutover, "shut_down_guest", lambda _vsphere, moid, **_: asked.append(moid))
    monkeypatch.setattr(ReplicationContext, "vsphere", SimpleNamespace())
    runtime = Runtime(rig.settings, rig.store, Controls(), AwsSessions(), threading.Event())
    second = ReplicationContext(runtime, jobs[1], JobControl())
    if twice:
        assert "cut over before, to i-1" in str(refused(shut_down, second))
    else:
        shut_down(second)
    assert asked == ([] if twice else ["vm-1"])


@pytest.mark.parametrize("parent", ["snap-1", ""])
def test_a_lease_writes_on_no_parent(context: ReplicationContext, monkeypatch: pytest.MonkeyPatch, parent: str) -> None:
    """What is zeros in a lease's stream is not sent, and would stay what the parent has: begun before the machine was
    moved to a datastore that shows no files."""
    monkeypatch.setattr(ReplicationContext, "lease_reason", "its datastore shows no files")
    removed: list[str] = []
    monkeypatch.setattr(target, "delete_snapshot", lambda _aws, _region, ident: removed.append(ident))
    context.store.set_disks(context.job_id, [DiskProgress(2000, "Hard disk 1", 1 << 30)])
    context.remember_disk(2000, pending_snapshot="snap-2", parent_snapshot=parent)
    (disk,) = context.store.disks(context.job_id)
    replica = ReplicaTarget(context)
    assert replica.parent(disk) == ""
    assert removed == (["snap-2"] if parent else [])
    assert replica.ledger(disk).pending_snapshot == ("" if parent else "snap-2")


# ---- at the same time


def test_two_users_make_one_replication_of_a_machine(rig: Rig) -> None:
    clients = [ReplicationJobs(rig.settings) for _ in range(4)]
    gate, told = threading.Barrier(len(clients)), []

    def race(client: ReplicationJobs) -> None:
        gate.wait(10)
        try:
            client.create(spec(rig.clock.now()), machine(), account=ACCOUNT)
        except ServiceError as error:
            told.append(error.kind)

    threads = [threading.Thread(target=race, args=(client,)) for client in clients]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert len(rig.client.views()) == 1
    assert told == [ErrorKind.CONFLICT] * 3
    for client in clients:
        client.close()


# ---- the catalogue


def inventory(*machines: Machine) -> Inventory:
    return Inventory(VCenterInfo(HOST, instance_uuid="vc-uuid"), datetime.now(UTC), machines)


def test_servers_keep_their_ids(rig: Rig) -> None:
    assert rig.client.catalogue("demo").status is CatalogueStatus.NOT_IMPORTED
    found = rig.client.import_catalogue("demo", inventory(machine(1), machine(2)))
    assert found.status is CatalogueStatus.AVAILABLE
    assert found.modified == pytest.approx(rig.clock.now(), abs=60)
    first = found.servers[0]
    assert first.server_id.startswith("s-")
    assert (first.name, first.path, first.manager) == ("web-01", "/Datacenters/DC1/vm/prod/web-01", HOST)
    renamed = replace(machine(1), name="renamed", moid="vm-77")
    again = rig.client.import_catalogue("demo", inventory(machine(3), renamed))
    assert [server.name for server in again.servers] == ["web-03", "renamed"]
    assert again.servers[1].server_id == first.server_id
    assert again.servers[0].server_id != found.servers[1].server_id


def test_servers_name_their_replication(rig: Rig) -> None:
    rig.client.import_catalogue("demo", inventory(machine(1), machine(2)))
    ident = rig.create(24)
    first, second = rig.client.catalogue("demo").servers
    assert (first.replication_id, first.terminated, second.replication_id) == (ident, False, "")
    rig.tick()
    rig.go()
    rig.tick(91 * DAY)
    assert rig.client.catalogue("demo").servers[0].terminated


def test_ids_differ_though_their_digests_do_not(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    digests = iter(["a" * 64, "a" * 64, "b" * 64])

    class Digest:
        def __init__(self, _text: bytes) -> None: ...

        def hexdigest(self) -> str:
            return next(digests)

    monkeypatch.setattr(catalogues.hashlib, "sha256", Digest)
    found = rig.client.import_catalogue("demo", inventory(machine(1), machine(2)))
    assert [server.server_id for server in found.servers] == ["s-aaaaaaaa", "s-bbbbbbbb"]


def test_cleared_expired_and_importing(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    ident = rig.create(24)
    with rig.client.importing("demo"):
        assert rig.client.catalogue("demo").status is CatalogueStatus.IMPORTING
    assert rig.client.catalogue("demo") == Catalogue()
    rig.client.import_catalogue("demo", inventory(machine(1)))
    with pytest.raises(RuntimeError), rig.client.importing("demo"):
        raise RuntimeError
    assert rig.client.catalogue("demo").status is CatalogueStatus.AVAILABLE
    rig.configure(host="other.test")
    moved = rig.other_client()
    assert (moved.catalogue("demo").status, moved.catalogue("demo").servers) == (CatalogueStatus.EXPIRED, ())
    moved.close()
    cleared = rig.client.clear_catalogue("demo")
    assert (cleared.status, cleared.servers) == (CatalogueStatus.DELETED, ())
    assert rig.view(ident).state is ReplicationState.PENDING, "replications go on"


def test_an_import_that_was_broken_off_is_over_after_a_while(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    rig.client.import_catalogue("demo", inventory(machine(1)))
    rig.client._catalogues.importing("demo", HOST, rig.clock.now())
    assert rig.client.catalogue("demo").status is CatalogueStatus.IMPORTING
    assert len(rig.client.catalogue("demo").servers) == 1
    monkeypatch.setattr(catalogues, "STALE_SECONDS", 0.0)
    assert rig.client.catalogue("demo").status is CatalogueStatus.AVAILABLE


def test_a_catalogue_is_of_one_profile(rig: Rig) -> None:
    rig.client.import_catalogue("demo", inventory(machine(1)))
    assert rig.client.catalogue("wall").status is CatalogueStatus.NOT_IMPORTED
