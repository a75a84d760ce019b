"""The scheduler on a simulated clock: the real one, with the real store; only the jobs' own work is played."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from tests.kits.schedule_rig import DAY, HOUR, Rig
from vmie_tui.jobs.engine.context import AwsSessions
from vmie_tui.jobs.replication.end_run import FAILURES
from vmie_tui.jobs.replication.scheduler import Scheduler
from vmie_tui.jobs.store.ledger import RunLedger
from vmie_tui.jobs.store.replications import change
from vmie_tui.jobs.store.store import Store
from vmie_tui.model.errors import ErrorKind, ServiceError
from vmie_tui.model.plan import TestLaunch
from vmie_tui.model.replication import ReplicationState, RunState, RunType
from vmie_tui.model.task import JobState


@pytest.fixture
def rig(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Rig]:
    made = Rig(tmp_path, monkeypatch)
    yield made
    made.close()


def states(rig: Rig, ident: str) -> Counter[RunState]:
    return Counter(run.state for run in rig.view(ident).runs)


def test_ninety_days_of_a_12_hour_job(rig: Rig) -> None:
    """F389, F445 to F447: every due time once, the days counted down, the end at day 90, more days when asked for."""
    ident = rig.create(12)
    rig.tick()
    start = rig.view(ident).spec.start
    for number in range(180):
        view = rig.view(ident) if number % 20 == 0 else None
        ((job_id, plan),) = rig.begin()
        assert plan.replication == ident
        rig.end(job_id)
        if view is not None:
            assert rig.view(ident).day == number // 2 + 1
        rig.tick(12 * HOUR)
    view = rig.view(ident)
    assert states(rig, ident) == {RunState.COMPLETED: 180}
    assert [run.scheduled for run in reversed(view.runs)] == [start + number * 12 * HOUR for number in range(180)]
    assert {run.type for run in view.runs} == {RunType.AUTOMATIC}
    assert (view.state, view.terminated, view.next_run) == (ReplicationState.COMPLETED, True, None)
    assert (view.first, view.ends, view.days) == (start, start + 90 * DAY, 90)
    assert "90 days" in view.message
    assert not rig.scheduler.wants_worker()
    rig.tick(5 * DAY)
    assert not rig.jobs()
    with pytest.raises(ServiceError) as caught:
        rig.client.run_now(ident)
    assert caught.value.kind in {ErrorKind.CONFLICT, ErrorKind.REFUSED}
    rig.client.extend(ident, 10)
    view = rig.view(ident)
    assert (view.state, view.terminated, view.days) == (ReplicationState.ACTIVE, False, 100)
    assert view.next_run == start + 95 * DAY + 12 * HOUR
    for _ in range(12):
        rig.tick(12 * HOUR)
        rig.go()
    view = rig.view(ident)
    assert (view.state, view.terminated) == (ReplicationState.COMPLETED, True)
    assert states(rig, ident) == {RunState.COMPLETED: 189}
    assert not [run for run in view.runs if run.scheduled >= start + 100 * DAY]


def test_days_are_the_machine_s_whichever_replication_it_was(rig: Rig) -> None:
    ident = rig.create(24)
    rig.tick()
    rig.go()
    first = rig.view(ident).first
    rig.client.delete(ident)
    rig.clock.advance(80 * DAY)
    with rig.book.alone() as connection:  # what the worker does in a thread, and with AWS
        change(connection, ident, state="DELETED")
    again = rig.create(24)
    rig.tick()
    rig.go()
    assert rig.view(again).first == first
    assert rig.view(again).day == 81
    rig.tick(10 * DAY)
    assert rig.view(again).terminated


def test_a_time_that_meets_a_run_at_work_is_skipped(rig: Rig) -> None:
    ident = rig.create(6)
    rig.tick()
    ((job_id, plan),) = rig.begin()
    rig.tick(6 * HOUR)
    rig.tick(6 * HOUR)
    assert states(rig, ident) == {RunState.ACTIVE: 1, RunState.MISSED: 2}
    assert all(plan.run in run.message for run in rig.view(ident).runs if run.state is RunState.MISSED)
    rig.end(job_id)
    rig.tick(6 * HOUR)
    assert len(rig.jobs()) == 1


def test_times_while_the_worker_was_away_are_missed(rig: Rig) -> None:
    ident = rig.create(6)
    rig.tick()
    rig.go()
    rig.tick(27 * HOUR)  # 6, 12, 18, 24 h; the last is three hours ago
    view = rig.view(ident)
    assert states(rig, ident) == {RunState.COMPLETED: 1, RunState.MISSED: 4}
    assert not rig.jobs()
    assert view.next_run == view.spec.start + 30 * HOUR
    rig.tick(3 * HOUR + 300)  # five minutes late
    assert len(rig.jobs()) == 1
    assert states(rig, ident)[RunState.MISSED] == 4


def test_a_first_run_starts_late_rather_than_never(rig: Rig) -> None:
    ident = rig.create(24, ahead=2 * HOUR)
    once = rig.create(0, number=2, ahead=2 * HOUR)
    rig.tick()
    assert not rig.jobs()
    rig.tick(9 * HOUR)
    assert {plan.replication for _, plan in rig.jobs()} == {ident, once}
    started = rig.clock.now()
    rig.go()
    assert rig.view(ident).first == pytest.approx(started, abs=60)
    assert rig.view(once).state is ReplicationState.COMPLETED


def test_an_end_is_noted_at_the_clock_of_the_replication(rig: Rig) -> None:
    ident = rig.create(12)
    rig.tick()
    ((job_id, _),) = rig.begin()
    rig.clock.advance(HOUR)
    rig.end(job_id)
    (run,) = rig.view(ident).runs
    assert run.started is not None
    assert run.completed is not None
    assert run.completed - run.started == pytest.approx(HOUR, abs=60)
    assert run.image_id == f"ami-{job_id}"


def test_a_failed_run_makes_room_for_the_next(rig: Rig) -> None:
    """Its job cleans up first; then the next starts, and the failed one stays so in the history."""
    ident = rig.create(12)
    rig.tick()
    rig.go(JobState.FAILED)
    rig.tick(12 * HOUR)
    assert not rig.jobs()
    (failed,) = [record for record in rig.store.unfinished() if record.state is JobState.CANCELLING]
    assert states(rig, ident) == {RunState.FAILED: 1, RunState.PENDING: 1}
    rig.cleaned()
    ((job_id, _),) = rig.jobs()
    assert job_id != failed.id
    rig.go()
    assert states(rig, ident) == {RunState.FAILED: 1, RunState.COMPLETED: 1}


def test_failures_one_after_another_pause_it(rig: Rig) -> None:
    ident = rig.create(12)
    for number in range(FAILURES):
        assert rig.view(ident).state is not ReplicationState.PAUSED_ON_FAILURE, number
        rig.tick(12 * HOUR if number else 0.0)
        rig.cleaned()
        rig.go(JobState.FAILED)
    view = rig.view(ident)
    assert (view.state, view.next_run) == (ReplicationState.PAUSED_ON_FAILURE, None)
    assert "failed one after another" in view.message
    rig.tick(5 * DAY)
    rig.cleaned()
    assert not rig.jobs()
    rig.client.resume(ident)
    view = rig.view(ident)
    assert view.state is ReplicationState.ACTIVE
    assert view.next_run is not None
    assert 0 < view.next_run - rig.clock.now() <= 12 * HOUR
    assert (view.next_run - view.spec.start) % (12 * HOUR) == 0
    assert states(rig, ident) == {RunState.FAILED: FAILURES}  # nothing was missed: the user wanted none


def test_a_success_in_between_resets_the_count(rig: Rig) -> None:
    ident = rig.create(12)
    for number, state in enumerate([JobState.FAILED, JobState.FAILED, JobState.DONE] * 3):
        rig.tick(12 * HOUR if number else 0.0)
        rig.cleaned()
        rig.go(state)
    assert rig.view(ident).state is ReplicationState.ACTIVE


def test_a_failed_run_that_the_user_resumes_and_that_succeeds(rig: Rig) -> None:
    ident = rig.create(12)
    for number in range(FAILURES):
        rig.tick(12 * HOUR if number else 0.0)
        rig.cleaned()
        rig.go(JobState.FAILED)
    newest = rig.view(ident).runs[0]
    assert rig.store.requeue(newest.job_id)
    rig.tick()
    assert rig.view(ident).runs[0].state is RunState.PENDING
    assert rig.view(ident).runs[0].completed is None
    rig.go()
    view = rig.view(ident)
    assert (view.state, view.runs[0].state) == (ReplicationState.ACTIVE, RunState.COMPLETED)
    assert view.next_run is not None
    assert rig.book.record(ident).failures == 0


def test_a_one_time_migration_ends(rig: Rig) -> None:
    done, failed, cancelled = (rig.create(0, number=number) for number in (1, 2, 3))
    rig.tick()
    ends = {done: JobState.DONE, failed: JobState.FAILED, cancelled: JobState.CANCELLED}
    for job_id, plan in rig.begin():
        rig.end(job_id, ends[plan.replication])
    assert rig.view(done).state is ReplicationState.COMPLETED
    assert rig.view(failed).state is ReplicationState.FAILED
    assert rig.view(cancelled).state is ReplicationState.FAILED
    assert not rig.scheduler.wants_worker()
    rig.client.run_now(failed)
    rig.cleaned()
    assert rig.view(failed).state is ReplicationState.ACTIVE
    rig.go()
    assert rig.view(failed).state is ReplicationState.COMPLETED
    assert {run.state for run in rig.view(failed).runs} == {RunState.FAILED, RunState.COMPLETED}


def test_on_demand_runs_leave_the_schedule_as_it_is(rig: Rig) -> None:
    """At most two within 24 hours, sliding; a scheduled run that meets one is left out (F445 to F447)."""
    ident = rig.create(12)
    rig.tick()
    with pytest.raises(ServiceError) as caught:
        rig.client.run_now(ident)
    assert caught.value.problem.code == "F446"
    rig.go()
    scheduled = rig.view(ident).next_run
    rig.clock.advance(HOUR)
    rig.client.run_now(ident)
    rig.go()
    rig.clock.advance(10 * HOUR + 1800)
    rig.client.run_now(ident)
    ((job_id, _),) = rig.begin()
    assert rig.view(ident).next_run == scheduled
    rig.tick(HOUR)
    newest = rig.view(ident).runs[0]
    assert (newest.state, newest.scheduled) == (RunState.MISSED, scheduled)
    assert "on-demand" in newest.message
    rig.end(job_id)
    with pytest.raises(ServiceError) as caught:
        rig.client.run_now(ident)
    assert caught.value.problem.code == "F445"
    rig.tick(11 * HOUR + 1800)
    rig.go()
    with pytest.raises(ServiceError) as caught:
        rig.client.run_now(ident)
    assert caught.value.problem.code == "F445"
    rig.clock.advance(HOUR)  # 25 hours: the first of them was 24 ago
    rig.client.run_now(ident)
    rig.go()
    assert states(rig, ident) == {RunState.COMPLETED: 5, RunState.MISSED: 1}


def test_a_cutover_is_no_on_demand_run_of_the_two(rig: Rig) -> None:
    """It may follow them, and they it; one at work is in its way all the same."""
    ident = rig.create(24)
    rig.tick()
    rig.go()
    for _ in range(2):
        rig.client.run_now(ident)
        rig.go()
    rig.client.run_now(ident, cutover=TestLaunch())
    with pytest.raises(ServiceError) as caught:
        rig.client.run_now(ident, cutover=TestLaunch())
    assert caught.value.problem.code == "F446"
    rig.go()
    other = rig.create(24, number=2)
    rig.tick()
    rig.go()
    rig.client.run_now(other, cutover=TestLaunch())
    rig.go()
    for _ in range(2):
        rig.client.run_now(other)
        rig.go()
    with pytest.raises(ServiceError) as caught:
        rig.client.run_now(other)
    assert caught.value.problem.code == "F445"


def test_a_pause_schedules_nothing_and_records_nothing(rig: Rig) -> None:
    ident = rig.create(6)
    rig.tick()
    rig.go()
    rig.client.pause(ident)
    assert not rig.scheduler.wants_worker()
    rig.tick(3 * DAY + HOUR)
    assert states(rig, ident) == {RunState.COMPLETED: 1}
    rig.client.resume(ident)
    view = rig.view(ident)
    assert (view.paused, view.next_run) == (False, view.spec.start + 3 * DAY + 6 * HOUR)


def test_a_cutover_pauses_it(rig: Rig) -> None:
    ident = rig.create(6)
    rig.tick()
    rig.go()
    run_id = rig.client.run_now(ident, cutover=TestLaunch(instance_type="m5.large"))
    ((job_id, plan),) = rig.begin()
    assert plan.shut_down
    assert plan.test_launch == TestLaunch(instance_type="m5.large")
    rig.store.remember(job_id, RunLedger, instance="i-1")
    rig.end(job_id)
    view = rig.view(ident)
    assert (view.paused, view.next_run, view.state) == (True, None, ReplicationState.ACTIVE)
    assert run_id in view.message
    assert view.cut_over is not None
    assert (view.cut_over.id, view.cut_over.instance_id) == (run_id, "i-1")


def test_a_group_starts_in_its_order(rig: Rig) -> None:
    chosen = {1: 0, 2: 0, 3: 1, 4: 2}
    ids = {number: rig.create(24, number=number, group="shop", order=order) for number, order in chosen.items()}
    rig.create(24, number=5, group="other")
    rig.tick()
    rig.go()
    runs = rig.client.start_group("demo", "shop", cutover=TestLaunch())
    assert len(runs) == 4
    at_work = {plan.replication: job_id for job_id, plan in rig.begin()}
    assert set(at_work) == {ids[1], ids[2]}
    rig.tick()
    rig.end(at_work[ids[1]])
    assert not rig.jobs()
    assert rig.view(ids[3]).runs[0].state is RunState.PENDING
    rig.end(at_work[ids[2]])
    ((job_id, plan),) = rig.begin()
    assert (plan.replication, plan.shut_down) == (ids[3], True)
    rig.end(job_id, JobState.FAILED)
    last = rig.view(ids[4]).runs[0]
    assert (last.state, last.job_id) == (RunState.MISSED, "")
    assert "web-03" in last.message
    assert not rig.view(ids[4]).paused
    assert rig.view(ids[1]).paused


def test_nothing_of_a_group_starts_when_one_cannot(rig: Rig) -> None:
    first, second = (rig.create(24, number=number, group="shop", order=number) for number in (1, 2))
    rig.tick()
    ((job_id, _), _) = rig.begin()
    rig.end(job_id)
    with pytest.raises(ServiceError) as caught:
        rig.client.start_group("demo", "shop")
    assert caught.value.problem.code == "F446"
    assert len(rig.view(first).runs) == len(rig.view(second).runs) == 1
    with pytest.raises(ServiceError) as caught:
        rig.client.start_group("demo", "nobody")
    assert caught.value.kind is ErrorKind.NOT_FOUND


@pytest.mark.parametrize("trouble", ["gone", "read-only"])
def test_a_profile_that_cannot_be_used_starts_no_run(rig: Rig, trouble: str) -> None:
    ident, once = rig.create(12), rig.create(0, number=2)
    if trouble == "gone":
        rig.config.write_text("")
    else:
        rig.configure(more="read_only = true")
    rig.tick()
    assert not rig.jobs()
    view = rig.view(ident)
    assert view.runs[0].state is RunState.MISSED
    assert "demo" in view.runs[0].message
    assert view.next_run == view.spec.start + 12 * HOUR
    assert rig.view(once).state is ReplicationState.FAILED


def test_two_schedulers_take_a_time_once(rig: Rig) -> None:
    """As two workers on one database; each due time, and each run that waits for a failed one's end, has one job."""
    ids = [rig.create(1, number=number) for number in range(1, 9)]
    stores = [Store(rig.settings.state_dir) for _ in range(2)]
    schedulers = [Scheduler(rig.settings, store, AwsSessions()) for store in stores]
    rounds = 4
    gate = threading.Barrier(3)
    failed: list[BaseException] = []

    def race(scheduler: Scheduler) -> None:
        try:
            for _ in range(2 * rounds):
                gate.wait(20)
                scheduler.tick()
                gate.wait(20)
        except BaseException as error:
            failed.append(error)
            gate.abort()
            raise

    def both() -> None:
        gate.wait(20)
        gate.wait(20)

    threads = [threading.Thread(target=race, args=(scheduler,)) for scheduler in schedulers]
    for thread in threads:
        thread.start()
    for number in range(rounds):
        both()  # the times are due; from the second round on what failed must clean up first
        for record in rig.store.unfinished():
            if record.state is JobState.CANCELLING:
                rig.store.become(record.id, JobState.CANCELLED)
        both()  # nothing is in the way
        assert Counter(plan.replication for _, plan in rig.jobs()) == dict.fromkeys(ids, 1), number
        last = number == rounds - 1
        for job_id, _ in rig.begin():
            rig.store.become(job_id, JobState.DONE if last or number == 1 else JobState.FAILED)
        rig.clock.advance(HOUR)
    for thread in threads:
        thread.join(20)
    assert not failed
    for ident in ids:
        assert states(rig, ident) == {RunState.COMPLETED: 2, RunState.FAILED: 2}
        assert rig.book.record(ident).failures == 1, "each end was noted once"
    for store in stores:
        store.close()


def test_a_run_without_its_job_gets_one_after_a_kill(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker that dies while it starts a run leaves all, or nothing, of it."""
    ident = rig.create(12)

    def killed(*_: object, **__: object) -> str:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Store, "add", killed)
        with pytest.raises(KeyboardInterrupt):
            rig.tick()
    view = rig.view(ident)
    assert (view.runs, view.next_run) == ((), view.spec.start)
    rig.tick()
    assert len(rig.jobs()) == 1
    assert len(rig.view(ident).runs) == 1


def test_a_broken_row_does_not_keep_the_others_from_their_runs(rig: Rig) -> None:
    broken, good = rig.create(12), rig.create(12, number=2)
    with rig.store.begin() as connection:
        connection.execute(sa.text("UPDATE vmie_replications SET spec = '{}' WHERE id = :id"), {"id": broken})
    rig.tick()
    assert [plan.replication for _, plan in rig.jobs()] == [good]
