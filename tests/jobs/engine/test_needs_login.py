"""A login that ends in the middle, on each route: the job waits, and goes on where it stopped."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from tests.kits.job_world import World
from vmie_tui.jobs.engine.worker_process import stop_worker, worker_pid
from vmie_tui.model.errors import ErrorKind
from vmie_tui.model.export import ExportPlan
from vmie_tui.model.plan import LegacyInstance, Route
from vmie_tui.model.task import JobState
from vmie_tui.passwords import forget_typed, keep_typed
from vmie_tui.settings import DEMO

pytestmark = pytest.mark.worker("shared")

ROUTES = {  # machine -> (what of AWS says that the token has expired, how the machine is imported)
    "db-01": ("PutSnapshotBlock", {"route": Route.IMAGE_DIRECT}),
    "odd-size-01": ("CompleteSnapshot", {"route": Route.IMAGE_DIRECT}),
    "web-02": ("ImportInstance", {"route": Route.INSTANCE, "legacy": LegacyInstance("m3.medium")}),
    "empty-disk-01": ("DescribeImportImageTasks", {}),
}
EXPORT = ("ExportImage", "DescribeExportImageTasks", "GetObject")


def test_expired_tokens_on_every_route(world: World, tmp_path: Path) -> None:
    for operation, _ in ROUTES.values():
        world.fault("aws", operation=operation, action="expired-token", times=1)
    jobs = {
        name: world.client.submit(replace(world.plan(name), **chosen))  # type: ignore[arg-type]
        for name, (_, chosen) in ROUTES.items()
    }
    for name, job_id in jobs.items():
        view = world.wait(job_id, JobState.NEEDS_LOGIN)
        assert view.problem is not None and view.problem.kind is ErrorKind.LOGIN, name
        assert "resume" in view.problem.remedy, name
    for job_id in jobs.values():
        world.client.resume(job_id)
    for name, job_id in jobs.items():
        world.assert_equal(name, world.wait(job_id, timeout=60))
    image = world.client.job(jobs["empty-disk-01"]).image_id
    _export(world, image, tmp_path)


def _export(world: World, image: str, folder: Path) -> None:
    """The way out, with a login that ends at its start, while AWS converts, and in the download."""
    bucket = world.settings.profile().aws.bucket
    job_id, before = "", world.requests("aws", "ec2:ExportImage")
    for operation in EXPORT:
        world.fault("aws", operation=operation, action="expired-token", times=1)
        if job_id:
            world.client.resume(job_id)
        else:
            name = world.settings.profile().name
            plan = ExportPlan(name, image, "", "eu-west-1", bucket, "out/", download_to=str(folder))
            job_id = world.client.submit(plan)
        view = world.wait(job_id, JobState.NEEDS_LOGIN)
        assert view.problem is not None and view.problem.kind is ErrorKind.LOGIN, operation
    world.client.resume(job_id)
    view = world.wait(job_id)
    names = [file.name for file in folder.iterdir()]
    assert names and all(name.startswith(view.task_id) and name.endswith(".vmdk") for name in names)
    assert world.requests("aws", "ec2:ExportImage") - before <= 2  # the refused one and the one that counted


@pytest.mark.worker("own")
def test_a_password_typed_in_the_app_serves_the_worker_it_starts(world: World) -> None:
    """No file, no keyring: it goes to the worker by a pipe, and is written nowhere."""
    vcenter = world.settings.profile().vcenter
    assert vcenter is not None and vcenter.password_file is not None
    password, plan = vcenter.password_file.read_text().strip(), world.plan("web-01")
    profile_file = world.settings.state_dir / DEMO / "profile.toml"
    lines = [line for line in profile_file.read_text().splitlines() if not line.startswith("password_file")]
    profile_file.write_text("\n".join(lines) + "\n")
    nameless = world.client.submit(plan)
    world.wait(nameless, JobState.NEEDS_LOGIN)
    stop_worker(world.settings)
    keep_typed(vcenter, password)
    try:
        world.client.resume(nameless)
        world.assert_equal("web-01", world.wait(nameless))
    finally:
        forget_typed(vcenter)
    pid = worker_pid(world.settings.state_dir)
    seen = [Path(f"/proc/{pid}/environ"), Path(f"/proc/{pid}/cmdline")]
    written = [file for file in world.settings.state_dir.rglob("*") if file.is_file()]
    assert pid and not [file for file in (*seen, *written) if password.encode() in file.read_bytes()]
