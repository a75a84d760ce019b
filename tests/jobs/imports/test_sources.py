"""What the user gave as a source stays, whatever the job does; a source that is changed between two attempts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.kits.job_world import MIB, REGION, World
from tests.kits.waiting import wait_until
from vmie_tui.model.job import JobView
from vmie_tui.model.plan import BootMode, FileSource, ImportPlan, LegacyInstance, ObjectSource, Route, Via
from vmie_tui.model.rules.override import CONTENT
from vmie_tui.model.task import JobState
from vmie_tui.services.disks.convert import Format, Request, convert

pytestmark = pytest.mark.worker("shared")


def image_plan(world: World, source: Any, **chosen: Any) -> ImportPlan:
    aws = world.settings.profile().aws
    values = {"prefix": "test/", "boot_mode": BootMode.LEGACY_BIOS, "override": (CONTENT,), **chosen}
    return ImportPlan(world.settings.profile().name, source, REGION, aws.bucket, **values)


@pytest.fixture
def given(world: World, tmp_path: Path) -> ObjectSource:
    """A disk image that the user has put into the very bucket the profile names."""
    path = tmp_path / "disk.vmdk"
    convert(Request(world.raw("web-01")[0], path, Format.VMDK, raw=True))
    bucket, key = world.put("mine/disk.vmdk", path)
    return ObjectSource("mine", bucket, (key,), "VMDK")


def test_a_fallback_cleans_up_no_object_of_the_user(world: World, given: ObjectSource) -> None:
    world.fault("aws", operation="ImportImage", action="fail-task", code="E10", times=1)
    failed = world.client.submit(image_plan(world, given, clean_up=True))
    world.wait(failed, JobState.FAILED)
    view = world.wait(world.client.fallback(failed))
    world.assert_holds(view, world.raw("web-01"))
    assert world.keys("mine/") == list(given.keys)


def test_parts_made_of_the_users_object_lie_in_the_jobs_folder(
    world: World, given: ObjectSource, tmp_path: Path
) -> None:
    other = tmp_path / "other"
    other.write_bytes(b"not ours")
    beside = ["mine/disk.vmdk.part0", "mine/older.part7", "mine/oldermanifest.xml"]
    for key in beside:
        world.put(key, other)
    chosen = {"legacy": LegacyInstance("m3.medium"), "boot_mode": None, "clean_up": True}
    plan = image_plan(world, given, route=Route.INSTANCE, **chosen)
    job_id = world.client.submit(plan)
    world.assert_holds(world.wait(job_id), world.raw("web-01"))
    assert world.keys("mine/") == sorted([*given.keys, *beside])
    assert not [key for key in world.keys("") if job_id in key]


@pytest.mark.parametrize("growth", [0, 3 * MIB + 512])
def test_a_file_that_is_changed_while_its_blocks_wait_is_read_again(world: World, tmp_path: Path, growth: int) -> None:
    path = tmp_path / "disk.raw"
    path.write_bytes(world.raw("big-01")[0].read_bytes())
    world.fault("aws", operation="PutSnapshotBlock", action="delay", seconds=0.5, times=None)
    job_id = world.client.submit(
        image_plan(world, FileSource("disk", (str(path),), raw=True), route=Route.UNMODIFIED, via=Via.EBS)
    )
    wait_until(lambda: _sent(world.client.job(job_id)) >= 40, 30)
    world.client.pause(job_id)
    world.wait(job_id, JobState.PAUSED)
    world.admin("aws", "DELETE", "faults")
    with path.open("r+b") as file:
        file.write(b"changed" * 1000)
        file.seek(0, 2)
        file.write(b"grown" * (growth // 5))
        file.truncate(path.stat().st_size + growth if not growth else file.tell())
    world.client.resume(job_id)
    world.assert_holds(world.wait(job_id, timeout=60), [path])


def _sent(view: JobView) -> int:
    return view.disks[0].parts_done if view.disks else 0


def test_a_name_that_no_answer_of_aws_can_hold(world: World, tmp_path: Path) -> None:
    path = tmp_path / f"\x1b[31m[bold]{'n' * 230}\x07.raw"
    path.symlink_to(world.raw("web-01")[0])
    source = FileSource(path.stem, (str(path),), raw=True)
    plans = [
        image_plan(world, source, route=Route.SNAPSHOT),
        image_plan(world, source, route=Route.UNMODIFIED, via=Via.EBS, copy_to=("us-east-1",)),
        image_plan(world, source, description=path.stem * 2),
    ]
    for job_id in [world.client.submit(plan) for plan in plans]:
        world.assert_holds(world.wait(job_id), world.raw("web-01"))
