"""Exports as jobs: an AMI comes back as a file with the very bytes, through kills, cancels and refusals."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.kits.job_world import World
from tests.kits.waiting import wait_until
from vmie_tui.model.errors import ErrorKind
from vmie_tui.model.export import ExportPlan
from vmie_tui.model.job import JobView, Stage, StageState
from vmie_tui.model.task import JobState
from vmie_tui.services.disks.convert_source import no_limit
from vmie_tui.services.disks.formats.open_disk import open_disk
from vmie_tui.services.disks.streams.source import RawFile, sha256_of

pytestmark = pytest.mark.worker("shared")

VM = "web-01"
_imported: dict[str, str] = {}


@pytest.fixture
def image(world: World, simulators: Path) -> str:
    """An AMI of `VM`, imported once for all tests."""
    key = str(simulators)
    if key not in _imported:
        _imported[key] = world.wait(world.submit(VM)).image_id
    return _imported[key]


def plan(world: World, source: str, **values: Any) -> ExportPlan:
    bucket = world.settings.profile().aws.bucket
    return ExportPlan(world.settings.profile().name, source, "", "eu-west-1", bucket, "exports/", **values)


def assert_same_disk(world: World, file: Path) -> None:
    """The file's disk is the VM's, and zeros behind it."""
    [row] = world.admin("vcenter", "GET", f"disks?vm={VM}")["disks"]
    with open_disk(file, no_limit()) as disk, RawFile(row["path"], disk.size) as source:
        assert sha256_of(disk) == sha256_of(source)


def states(view: JobView) -> dict[Stage, StageState]:
    return {stage.stage: stage.state for stage in view.stages}


def test_an_image_comes_back_byte_equal(world: World, image: str, tmp_path: Path) -> None:
    view = world.wait(world.client.submit(plan(world, image, download_to=str(tmp_path))))
    [file] = tmp_path.iterdir()
    assert file.name == f"{view.task_id}.vmdk"
    assert_same_disk(world, file)
    assert states(view) == dict.fromkeys((Stage.CHECK, Stage.EXPORT, Stage.DOWNLOAD, Stage.FINISH), StageState.DONE)
    assert view.fraction == 1.0
    assert str(file) in view.message


def test_the_object_stays_in_s3_unless_asked_for(world: World, image: str) -> None:
    view = world.wait(world.client.submit(plan(world, image)))
    assert view.target.startswith("s3://")
    assert view.target in view.message
    assert Stage.DOWNLOAD not in states(view)


def test_the_download_is_converted_and_the_object_deleted(world: World, image: str, tmp_path: Path) -> None:
    from vmie_tui.services.aws.s3.objects import ObjectStore
    from vmie_tui.services.aws.session import open_session

    asked = plan(world, image, download_to=str(tmp_path), convert_to="vhd-dynamic", clean_up=True)
    view = world.wait(world.client.submit(asked))
    assert {file.suffix for file in tmp_path.iterdir()} == {".vmdk", ".vhd"}
    assert_same_disk(world, next(tmp_path.glob("*.vhd")))
    objects = ObjectStore(open_session(world.settings.profile().aws), "eu-west-1")
    assert objects.head(asked.bucket, asked.object_key(view.task_id)) is None


def test_a_killed_worker_asks_for_no_second_export(world: World, image: str) -> None:
    world.admin("aws", "POST", "clock", {"speed": 20})
    try:
        before = world.requests("aws", "ec2:ExportImage")
        job_id = world.client.submit(plan(world, image))
        wait_until(lambda: world.client.job(job_id).task_id, 30)
        world.kill_worker()
    finally:
        world.admin("aws", "POST", "clock", {"speed": 1000})
    world.client.ensure_worker()
    world.wait(job_id)
    assert world.requests("aws", "ec2:ExportImage") == before + 1


def test_cancel_in_the_middle_leaves_no_object(world: World, image: str) -> None:
    from vmie_tui.services.aws.session import open_session
    from vmie_tui.services.aws.vmie.export_tasks import ExportTasks

    world.admin("aws", "POST", "clock", {"speed": 20})
    try:
        job_id = world.client.submit(plan(world, image))
        wait_until(lambda: world.client.job(job_id).task_id, 30)
        world.client.cancel(job_id)
        view = world.wait(job_id, JobState.CANCELLED)
    finally:
        world.admin("aws", "POST", "clock", {"speed": 1000})
    aws = open_session(world.settings.profile().aws)
    exports = ExportTasks(aws, "eu-west-1")
    wait_until(lambda: exports.task(view.task_id).terminal, 10)
    assert not exports.task(view.task_id).completed
    key = plan(world, image).object_key(view.task_id)
    assert aws.client("s3").list_objects_v2(Bucket=plan(world, image).bucket, Prefix=key).get("KeyCount") == 0
    assert world.open_uploads() == []


def test_what_cannot_be_exported_is_refused_before_aws_is_asked(world: World, image: str) -> None:
    before = world.requests("aws", "ec2:ExportImage")
    asked = plan(world, image, role_name="no-such-role")
    job_id = world.client.submit(asked)
    view = world.wait(job_id, JobState.FAILED)
    assert view.problem is not None
    assert view.problem.kind is ErrorKind.NOT_FOUND
    assert "no-such-role" in view.problem.subject
    assert world.requests("aws", "ec2:ExportImage") == before


@pytest.mark.parametrize("folder", ["/no/such/folder", "/proc/self"])
def test_a_folder_that_cannot_be_written_is_told_before_aws_is_asked(world: World, image: str, folder: str) -> None:
    before = world.requests("aws", "ec2:ExportImage")
    view = world.wait(world.client.submit(plan(world, image, download_to=folder)), JobState.FAILED)
    assert view.problem is not None
    assert view.problem.kind in {ErrorKind.NOT_FOUND, ErrorKind.LOCAL}
    assert view.problem.subject == folder
    assert world.requests("aws", "ec2:ExportImage") == before


def test_a_second_export_of_an_image_is_refused_and_names_the_image_once(world: World, image: str) -> None:
    world.admin("aws", "POST", "clock", {"speed": 20})
    try:
        first = world.client.submit(plan(world, image))
        wait_until(lambda: world.client.job(first).task_id, 30)
        view = world.wait(world.client.submit(plan(world, image)), JobState.FAILED)
    finally:
        world.admin("aws", "POST", "clock", {"speed": 1000})
    assert view.problem is not None
    assert view.problem.kind is ErrorKind.REFUSED
    assert str(view.problem).count(image) == 1
    world.wait(first)


def test_a_failed_export_is_told_and_a_retry_starts_another(world: World, image: str) -> None:
    world.fault("aws", operation="ExportImage", action="fail-task", code="E23", times=1)
    job_id = world.client.submit(plan(world, image))
    view = world.wait(job_id, JobState.FAILED)
    assert view.problem is not None
    assert view.problem.detail
    world.client.resume(job_id)
    done = world.wait(job_id)
    assert done.task_id
    assert done.task_id != view.task_id
