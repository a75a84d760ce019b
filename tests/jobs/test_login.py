"""A login that ends in the middle, on each route: the job waits, and goes on where it stopped."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from tests.jobs.conftest import World
from vmie_tui.model.errors import ErrorKind
from vmie_tui.model.export import ExportPlan
from vmie_tui.model.plan import LegacyInstance, Route
from vmie_tui.model.task import JobState

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
