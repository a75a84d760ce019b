"""What happens in the middle: the worker is killed, the user cancels or pauses, the lease or the host fails."""

from __future__ import annotations

import time

import pytest

from tests.kits.job_world import MIB, World
from tests.kits.waiting import wait_until
from vmie_tui.model.errors import ErrorKind, ServiceError
from vmie_tui.model.job import JobView
from vmie_tui.model.task import JobState

pytestmark = pytest.mark.worker("shared")

PROMPT_SECONDS = 4.0  # the promise is 2 s on an idle machine; the tests share two cores


def started_upload(world: World, name: str, parts: int = 1, rate: int = 24 * MIB) -> tuple[str, int]:
    """A job whose upload is under way with at least ``parts`` parts in S3: its id and how many were sent."""
    world.rate(rate)
    before = world.requests("aws", "s3:UploadPart")
    job_id = world.submit(name)
    wait_until(lambda: world.client.job(job_id).disks[:1] and world.client.job(job_id).disks[0].parts_done >= parts, 30)
    return job_id, before


def test_killed_worker_sends_no_finished_part_again(world: World) -> None:
    job_id, before = started_upload(world, "big-01", parts=1)
    world.kill_worker()
    sent_first = world.requests("aws", "s3:UploadPart") - before
    kept = world.client.job(job_id).disks[0].parts_done
    world.rate(None)
    world.client.resume(job_id)  # it is running: what it lacks is a worker
    with pytest.raises(ServiceError, match="a job that is running cannot be resumed"):
        world.client.resume(job_id)
    view = world.wait(job_id)
    world.assert_equal("big-01", view)
    (disk,) = view.disks
    total = world.requests("aws", "s3:UploadPart") - before
    assert disk.skipped >= min(kept * 16 * MIB, disk.done)  # the last part is a short one
    # Each part once; one that was on its way when the worker died may have to be sent again.
    assert disk.parts_done <= total <= disk.parts_done + 1, (sent_first, total, disk)
    assert "killed worker left behind" in world.log(job_id)


def test_killed_worker_goes_on_with_the_same_snapshot_of_a_running_machine(world: World) -> None:
    world.rate(MIB)
    job_id = world.submit("app-01")
    wait_until(lambda: world.client.job(job_id).disks[:1] and world.client.job(job_id).disks[0].done > 0, 20)
    taken = world.requests("vcenter", "CreateSnapshot_Task")
    world.kill_worker()
    world.rate(None)
    world.client.ensure_worker()
    world.assert_equal("app-01", world.wait(job_id))
    assert world.requests("vcenter", "CreateSnapshot_Task") == taken
    assert world.machine("app-01").snapshots == 0


def test_cancel_after_a_kill_leaves_nothing_behind(world: World) -> None:
    job_id, _ = started_upload(world, "big-01")
    world.kill_worker()
    world.client.cancel(job_id)
    world.wait(job_id, JobState.CANCELLED)
    assert world.open_uploads() == []
    assert "killed worker left behind" in world.log(job_id)


def test_worker_told_to_end_gives_the_lease_back_and_the_next_goes_on(world: World) -> None:
    from vmie_tui.jobs.engine.worker_process import stop_worker

    job_id, _ = started_upload(world, "big-01")
    aborted = world.requests("vcenter", "HttpNfcLeaseAbort")
    stop_worker(world.settings)
    assert world.requests("vcenter", "HttpNfcLeaseAbort") == aborted + 1
    assert world.client.job(job_id).state is JobState.RUNNING
    world.rate(None)
    world.client.ensure_worker()
    world.assert_equal("big-01", world.wait(job_id))


def test_cancel_cleans_up_within_seconds(world: World) -> None:
    job_id, _ = started_upload(world, "big-01", rate=8 * MIB)
    assert len(world.open_uploads()) == 1
    asked = time.monotonic()
    world.client.cancel(job_id)
    view = world.wait(job_id, JobState.CANCELLED)
    assert time.monotonic() - asked < PROMPT_SECONDS
    assert world.open_uploads() == []
    assert view.problem is None
    world.rate(None)
    world.wait(world.submit("big-01"))  # no lease holds the machine


def test_cancel_of_a_running_machine_removes_the_snapshot(world: World) -> None:
    world.rate(MIB)
    job_id = world.submit("app-01")
    wait_until(lambda: world.machine("app-01").snapshots == 1, 20)
    world.client.cancel(job_id)
    world.wait(job_id, JobState.CANCELLED)
    assert world.machine("app-01").snapshots == 0


def test_cancel_while_aws_converts_cancels_the_task(world: World) -> None:
    world.admin("aws", "POST", "clock", {"speed": 0.01})
    try:
        job_id = world.submit("web-01")
        view = wait_until(lambda: _with_task(world.client.job(job_id)), 30)
        world.client.cancel(job_id)
        world.wait(job_id, JobState.CANCELLED)
        from vmie_tui.services.aws.session import open_session
        from vmie_tui.services.aws.vmie.import_tasks import ImportTasks

        task = ImportTasks(open_session(world.settings.profile().aws), "eu-west-1").task(view.task_id)
        assert task.state in {"deleting", "deleted"}
    finally:
        world.admin("aws", "POST", "clock", {"speed": 1000})


def _with_task(view: JobView) -> JobView | None:
    return view if view.task_id else None


def test_pause_keeps_the_upload_and_resume_goes_on(world: World) -> None:
    job_id, before = started_upload(world, "big-01")
    world.client.pause(job_id)
    world.wait(job_id, JobState.PAUSED)
    assert len(world.open_uploads()) == 1
    world.rate(None)
    world.client.resume(job_id)
    view = world.wait(job_id)
    world.assert_equal("big-01", view)
    assert view.disks[0].skipped >= 16 * MIB
    assert world.requests("aws", "s3:UploadPart") - before <= view.disks[0].parts_done + 3


@pytest.mark.parametrize("action", ["lose-lease", "truncate", "reset"])
def test_broken_transfer_is_repeated_and_ends_equal(world: World, action: str) -> None:
    world.fault("vcenter", operation="nfc:GET", action=action, after=24 * MIB, times=1, match="big-01")
    job_id = world.submit("big-01")
    view = world.wait(job_id)
    world.assert_equal("big-01", view)
    assert "trying again" in world.log(job_id)
    assert view.disks[0].skipped >= 16 * MIB


def test_throttled_s3_is_no_failure(world: World) -> None:
    world.fault("aws", operation="UploadPart", action="error", code="SlowDown", status=503, times=2)
    view = world.wait(world.submit("web-01"))
    world.assert_equal("web-01", view)


def test_expired_token_in_the_middle_waits_for_a_login(world: World) -> None:
    world.fault("aws", operation="UploadPart", action="expired-token", times=1)
    job_id = world.submit("web-01")
    view = world.wait(job_id, JobState.NEEDS_LOGIN)
    assert view.problem is not None
    assert view.problem.kind is ErrorKind.LOGIN
    world.client.resume(job_id)
    world.assert_equal("web-01", world.wait(job_id))


def test_failed_import_can_be_resumed_without_uploading_again(world: World) -> None:
    world.fault("aws", operation="ImportImage", action="fail-task", code="E10", times=1)
    job_id = world.submit("web-01")
    view = world.wait(job_id, JobState.FAILED)
    assert view.problem is not None
    assert view.problem.kind is ErrorKind.REMOTE
    assert view.problem.detail
    sent = world.requests("aws", "s3:UploadPart")
    world.client.resume(job_id)
    world.assert_equal("web-01", world.wait(job_id))
    assert world.requests("aws", "s3:UploadPart") == sent
