"""One image is of one moment, and nothing a job began is forgotten: whoever was killed, cancelled, paused or late."""

from __future__ import annotations

import pytest

from tests.kits.job_world import MIB, World
from tests.kits.waiting import wait_until
from vmie_tui.model.errors import ErrorKind, ServiceError
from vmie_tui.model.job import JobView
from vmie_tui.model.task import JobState, TaskKind

pytestmark = pytest.mark.worker("shared")


def uploading(world: World, name: str) -> str:
    """A job whose stream is open but has hardly begun."""
    world.rate(MIB)
    job_id = world.submit(name)
    wait_until(lambda: any(disk.done for disk in world.client.job(job_id).disks), 20)
    return job_id


def test_resume_while_aws_converts_touches_no_disk_of_a_running_machine(world: World) -> None:
    world.admin("aws", "POST", "clock", {"speed": 0.01})
    try:
        job_id = world.submit("app-01")
        view = wait_until(lambda: _with_task(world.client.job(job_id)), 30)
        world.client.pause(job_id)
        world.wait(job_id, JobState.PAUSED)
        taken, sent = world.requests("vcenter", "CreateSnapshot_Task"), world.requests("aws", "s3:UploadPart")
    finally:
        world.admin("aws", "POST", "clock", {"speed": 1000})
    world.client.resume(job_id)
    ended = world.wait(job_id)
    assert ended.task_id == view.task_id
    assert world.requests("vcenter", "CreateSnapshot_Task") == taken
    assert world.requests("aws", "s3:UploadPart") == sent


def _with_task(view: JobView) -> JobView | None:
    return view if view.task_id else None


def test_a_snapshot_that_a_killed_worker_never_saw_is_removed(world: World) -> None:
    world.fault("vcenter", operation="CreateSnapshot_Task", action="delay", seconds=2.0, times=1)
    job_id = world.submit("app-01")
    wait_until(lambda: "making a snapshot" in world.log(job_id), 20)
    asked = world.requests("vcenter", "CreateSnapshot_Task")
    wait_until(lambda: world.requests("vcenter", "CreateSnapshot_Task") >= asked and world.kill_worker(), 5)
    wait_until(lambda: world.machine("app-01").snapshots == 1, 10, "the snapshot of nobody")
    world.client.cancel(job_id)
    world.wait(job_id, JobState.CANCELLED)
    assert world.machine("app-01").snapshots == 0


def test_a_task_that_a_killed_worker_never_saw_is_cancelled(world: World) -> None:
    from vmie_tui.services.aws.session import open_session
    from vmie_tui.services.aws.vmie.import_tasks import ImportTasks

    api = ImportTasks(open_session(world.settings.profile().aws), "eu-west-1")
    world.admin("aws", "POST", "clock", {"speed": 0.01})
    try:
        world.fault("aws", operation="ImportImage", action="delay", seconds=1.5, times=1)
        before = world.requests("aws", "ec2:ImportImage")
        job_id = world.submit("web-01")
        wait_until(lambda: world.requests("aws", "ec2:ImportImage") > before, 30)
        world.kill_worker()

        def tasks() -> list[str]:
            found = api.tasks((TaskKind.IMPORT_IMAGE,))
            return [task.state for task in found if task.tags.get("vmie-tui:job") == job_id]

        wait_until(tasks, 10, "the task of nobody")
        world.client.cancel(job_id)
        world.wait(job_id, JobState.CANCELLED)
        assert tasks()[0] in {"deleting", "deleted"}
    finally:
        world.admin("aws", "POST", "clock", {"speed": 1000})


def test_two_jobs_for_one_machine_do_not_end_each_others_export(world: World) -> None:
    first = uploading(world, "web-01")
    second = world.submit("web-01")
    wait_until(lambda: "trying again" in world.log(second) or world.client.job(second).state is JobState.FAILED, 20)
    world.client.cancel(second)
    world.wait(second, JobState.CANCELLED)
    world.rate(None)
    world.assert_equal("web-01", world.wait(first))
    assert "trying again" not in world.log(first)


def test_a_machine_that_ran_between_two_attempts_is_read_again(world: World) -> None:
    world.fault("aws", operation="ImportImage", action="fail-task", code="E10", times=1)
    job_id = world.submit("web-01")
    world.wait(job_id, JobState.FAILED)
    for state in ("poweredOn", "poweredOff"):
        world.admin("vcenter", "POST", "power", {"vm": "web-01", "state": state})
    sent = world.requests("aws", "s3:UploadPart")
    world.client.resume(job_id)
    world.wait(job_id)
    assert world.requests("aws", "s3:UploadPart") > sent
    assert "every disk is read again" in world.log(job_id)


def test_a_failed_job_can_be_given_up_and_leaves_nothing_in_s3(world: World) -> None:
    from vmie_tui.services.aws.s3.objects import ObjectStore
    from vmie_tui.services.aws.session import open_session

    world.fault("aws", operation="ImportImage", action="fail-task", code="E10", times=1)
    job_id = world.submit("web-01")
    world.wait(job_id, JobState.FAILED)
    world.client.cancel(job_id)
    wait_until(lambda: world.client.job(job_id).state is JobState.CANCELLED)
    aws = world.settings.profile().aws
    keys = ObjectStore(open_session(aws)).head(aws.bucket, f"{aws.prefix}web-01-{job_id}/disk-1.vmdk")
    assert keys is None


def test_a_job_that_ended_cannot_be_cancelled(world: World) -> None:
    job_id = world.submit("web-01")
    world.wait(job_id)
    with pytest.raises(ServiceError) as caught:
        world.client.cancel(job_id)
    assert caught.value.kind is ErrorKind.CONFLICT


def test_a_vcenter_that_hangs_up_at_the_end_costs_no_second_upload(world: World) -> None:
    world.fault("vcenter", operation="RemoveSnapshot_Task", action="reset", times=3)
    job_id = world.submit("app-01")
    world.assert_equal("app-01", world.wait(job_id))
    assert world.machine("app-01").snapshots == 0
