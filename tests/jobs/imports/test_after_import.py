"""What follows an import: the fallback without a new upload, a test launch, copies, the clean-up, and the proof."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from tests.kits.job_world import World
from tests.kits.waiting import wait_until
from vmie_tui.jobs.store.ledger import DiskLedger
from vmie_tui.jobs.store.store import Store
from vmie_tui.model.errors import ErrorKind, ServiceError
from vmie_tui.model.plan import Route, TestLaunch, UploadFormat, Via
from vmie_tui.model.task import JobState
from vmie_tui.services.aws.ec2.launch import terminate

pytestmark = pytest.mark.worker("shared")

FAILURES: dict[str, dict[str, Any]] = {
    "objects": {},
    "an OVA": {"upload_format": UploadFormat.OVA},
    "snapshots": {"route": Route.IMAGE_DIRECT},
}


@pytest.mark.parametrize("kind", FAILURES)
def test_fallback_needs_no_new_upload(world: World, kind: str) -> None:
    world.fault("aws", operation="ImportImage", action="fail-task", code="E10", times=1)
    plan = replace(world.plan("db-01"), clean_up=True, **FAILURES[kind])
    job_id = world.client.submit(plan)
    failed = world.wait(job_id, JobState.FAILED)
    assert failed.problem is not None
    assert f"vmie-tui fallback {job_id}" in failed.problem.remedy
    sent, exported = world.requests("aws", "s3:UploadPart"), world.requests("vcenter", "ExportVm")
    assert exported
    new = world.client.fallback(job_id)
    with pytest.raises(ServiceError) as twice:
        world.client.fallback(job_id)
    assert twice.value.kind is ErrorKind.CONFLICT
    view = world.wait(new)
    world.assert_holds(view, world.raw("db-01"))
    assert view.image_id.startswith("ami-")
    assert world.requests("aws", "s3:UploadPart") == sent
    assert world.requests("vcenter", "ExportVm") == exported
    assert not [key for key in world.keys("") if job_id in key]  # cleaned up: the job itself had uploaded them
    proof = world.client.proof(new)
    assert proof.equal is True, proof.lines()
    assert proof.disks[0].host_equal  # what the first job found out while it read the machine
    world.client.cancel(job_id)
    world.wait(job_id, JobState.CANCELLED)
    world.assert_holds(view, world.raw("db-01"))  # giving up the first job takes nothing from the second


def test_fallback_says_why_not(world: World) -> None:
    done = world.client.submit(world.plan("web-01"))
    world.wait(done)
    with pytest.raises(ServiceError) as caught:
        world.client.fallback(done)
    assert caught.value.kind is ErrorKind.CONFLICT
    early = world.client.submit(world.plan("web-01", role_name="nosuchrole"))
    world.wait(early, JobState.FAILED)
    with pytest.raises(ServiceError, match="not all of its disks"):
        world.client.fallback(early)
    world.fault("aws", operation="ImportSnapshot", action="fail-task", code="E10", times=1)
    other = world.client.submit(replace(world.plan("web-01"), route=Route.SNAPSHOT))
    failed = world.wait(other, JobState.FAILED)
    assert failed.problem is not None
    assert "fallback" not in failed.problem.remedy
    with pytest.raises(ServiceError, match="that AWS was to convert"):
        world.client.fallback(other)


def test_launch_copy_and_clean_up(world: World) -> None:
    plan = replace(world.plan("web-01"), test_launch=TestLaunch(), copy_to=("us-east-1", "eu-central-1"), clean_up=True)
    job_id = world.client.submit(plan)
    view = world.wait(job_id, timeout=90)
    assert view.results["test instance"].startswith("i-")
    assert view.results["status checks"] == "passed"
    assert "console: " in world.log(job_id)
    for region in plan.copy_to:
        (image,) = world.aws.client("ec2", region).describe_images(ImageIds=[view.results[f"AMI in {region}"]])[
            "Images"
        ]
        assert image["State"] == "available"
        assert {"Key": "vmie-tui:job", "Value": job_id} in image["Tags"]
    assert not [key for key in world.keys("") if job_id in key]
    proof = world.client.proof(job_id)
    assert proof.equal
    assert any("deleted" in note for note in proof.disks[0].notes)
    assert json.loads(json.dumps(proof.to_json()))["disks"][0]["host_equal"] is True
    terminate(world.aws, "eu-west-1", view.results["test instance"])


def test_cancel_takes_the_test_instance_away(world: World) -> None:
    world.fault("aws", operation="DescribeInstanceStatus", action="error", code="Unavailable", status=503, times=None)
    job_id = world.client.submit(
        replace(world.plan("web-01"), route=Route.UNMODIFIED, via=Via.EBS, test_launch=TestLaunch())
    )
    instance = wait_until(lambda: world.client.job(job_id).results.get("test instance"), 60)
    world.client.cancel(job_id)
    world.wait(job_id, JobState.CANCELLED)
    found = world.aws.client("ec2").describe_instances(InstanceIds=[instance])["Reservations"]
    assert found[0]["Instances"][0]["State"]["Name"] == "terminated"
    assert world.client.job(job_id).image_id in world.log(job_id)  # made already: it stays, and the log says so


def test_proof_finds_a_byte_that_is_not_what_was_sent(world: World) -> None:
    """Another disk's snapshot in the place of this one: sampled blocks and the journal both show it."""
    plan = replace(world.plan("web-01"), route=Route.UNMODIFIED, via=Via.EBS)
    first, other = (
        world.client.submit(plan),
        world.client.submit(replace(world.plan("web-02"), route=Route.UNMODIFIED, via=Via.EBS)),
    )
    good, wrong = world.wait(first), world.wait(other)
    store = Store(world.settings.state_dir)
    assert world.client.proof(first).equal is True
    whole = world.client.proof(first, all_blocks=True)
    assert whole.equal is True
    assert whole.disks[0].blocks[0].whole
    store.disk(first, good.disks[0].key, snapshot_id=wrong.disks[0].snapshot_id)
    store.remember_disk(first, good.disks[0].key, DiskLedger, uploaded_snapshot=wrong.disks[0].snapshot_id)
    for all_blocks in (False, True):
        proof = world.client.proof(first, all_blocks=all_blocks)
        assert proof.equal is False
        assert proof.disks[0].blocks[0].different
        assert "DIFFERENT" in proof.lines()[0]
    store.disk(first, good.disks[0].key, host_sha256="0" * 64)
    assert world.client.proof(first).disks[0].host_equal is False
    store.close()
