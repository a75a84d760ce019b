"""A resume does not ask for what has failed: it makes another; and it does not end on what is merely too old."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.kits.job_world import ZONE, World
from tests.kits.waiting import wait_until
from vmie_tui.jobs.store.ledger import ImportLedger
from vmie_tui.jobs.store.store import Store
from vmie_tui.model.plan import LegacyInstance, Route, Via, Volumes
from vmie_tui.model.task import JobState

pytestmark = pytest.mark.worker("shared")


def test_a_copy_that_failed_is_made_again(world: World) -> None:
    world.fault("aws", operation="CopyImage", action="fail-task", times=1)
    plan = replace(world.plan("web-01"), route=Route.UNMODIFIED, via=Via.EBS, copy_to=("us-east-1",))
    job_id = world.client.submit(plan)
    failed = world.wait(job_id, JobState.FAILED)
    assert failed.problem is not None
    assert "us-east-1" in failed.problem.what
    lost = failed.results["AMI in us-east-1"]
    world.client.resume(job_id)
    made = world.wait(job_id).results["AMI in us-east-1"]
    assert made != lost
    (image,) = world.aws.client("ec2", "us-east-1").describe_images(ImageIds=[made])["Images"]
    assert image["State"] == "available"


def test_a_volume_that_failed_is_made_again(world: World) -> None:
    world.fault("aws", operation="CreateVolume", action="fail-task", times=1)
    plan = replace(world.plan("web-01"), route=Route.SNAPSHOT, via=Via.EBS, volumes=Volumes(ZONE))
    job_id = world.client.submit(plan)
    failed = world.wait(job_id, JobState.FAILED)
    assert failed.problem is not None
    assert "the volume is error" in failed.problem.what
    asked = world.requests("aws", "ec2:CreateVolume")
    mine = [{"Name": "tag:vmie-tui:job", "Values": [job_id]}]
    (lost,) = world.aws.client("ec2").describe_volumes(Filters=mine)["Volumes"]
    world.client.resume(job_id)
    view = world.wait(job_id)
    assert world.requests("aws", "ec2:CreateVolume") == asked + 1
    assert view.results["volume of Hard disk 1"] != lost["VolumeId"]


def test_signed_urls_that_are_old_are_written_anew_and_no_part_is_sent_again(world: World) -> None:
    world.fault("aws", operation="ImportInstance", action="error", code="UnauthorizedOperation", status=403, times=None)
    plan = replace(world.plan("web-01"), route=Route.INSTANCE, legacy=LegacyInstance("m3.medium"), boot_mode=None)
    job_id = world.client.submit(plan)
    world.wait(job_id, JobState.FAILED)
    world.admin("aws", "DELETE", "faults")
    store = Store(world.settings.state_dir)
    store.remember(job_id, ImportLedger, urls_signed=1.0)
    store.close()
    sent = world.requests("aws", "s3:PutObject")
    world.client.resume(job_id)
    world.assert_equal("web-01", world.wait(job_id))
    assert world.requests("aws", "s3:PutObject") == sent  # the manifest goes as a multipart upload


def test_an_ami_that_a_killed_worker_never_saw_is_said_to_stay(world: World) -> None:
    world.fault("aws", operation="RegisterImage", action="delay", seconds=1.5, times=1)
    before = world.requests("aws", "ec2:RegisterImage")
    plan = replace(world.plan("web-01"), route=Route.UNMODIFIED, via=Via.EBS, ami_name="a killed worker's")
    job_id = world.client.submit(plan)
    wait_until(lambda: world.requests("aws", "ec2:RegisterImage") > before, 30)
    world.kill_worker()
    mine = [{"Name": "tag:vmie-tui:job", "Values": [job_id]}]

    def images() -> list[str]:
        found = world.aws.client("ec2").describe_images(Owners=["self"], Filters=mine)["Images"]
        return [item["ImageId"] for item in found]

    (image_id,) = wait_until(images, 10, "the AMI of nobody")
    world.client.cancel(job_id)
    view = world.wait(job_id, JobState.CANCELLED)
    log = world.log(job_id)
    assert view.image_id == image_id
    assert f"{image_id} was made already, and stays" in log
    assert "could not be removed" not in log
