"""What cannot work is refused before a byte moves, in words, and can be resumed once put right."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.kits.job_world import World
from vmie_tui.cli import main
from vmie_tui.model.errors import ErrorKind
from vmie_tui.model.plan import FileSource, LegacyInstance, LicenseType, Route
from vmie_tui.model.task import JobState
from vmie_tui.settings import DEMO

pytestmark = pytest.mark.worker("shared")


def failed(world: World, job_id: str) -> str:
    view = world.wait(job_id, JobState.FAILED)
    assert view.problem is not None
    assert view.problem.remedy
    return str(view.problem)


def test_missing_role(world: World) -> None:
    text = failed(world, world.submit("web-01", role_name="nosuchrole"))
    assert "nosuchrole" in text


def test_bucket_in_another_region(world: World) -> None:
    text = failed(world, world.submit("web-01", region="us-east-1"))
    assert "eu-west-1" in text
    assert "us-east-1" in text


def test_missing_bucket(world: World) -> None:
    assert "nosuch-bucket-anywhere" in failed(world, world.submit("web-01", bucket="nosuch-bucket-anywhere"))


def test_vanished_machine(world: World) -> None:
    plan = world.plan("web-01")
    gone = replace(plan, source=replace(plan.source, moid="vm-999999", instance_uuid="no-such-uuid", name="gone-01"))
    job_id = world.client.submit(gone)
    assert "gone-01" in failed(world, job_id)
    assert world.client.job(job_id).disks == ()


def test_licence_of_aws_for_linux(world: World) -> None:
    before = world.client.jobs()
    assert main(["import", "web-01", "--license-type", "AWS"]) == 3
    assert world.client.jobs() == before
    text = failed(world, world.client.submit(replace(world.plan("web-01"), license_type=LicenseType.AWS)))
    assert "licence" in text


def test_combination_that_does_not_exist(world: World) -> None:
    plan = world.plan("db-01")
    text = failed(world, world.client.submit(replace(plan, route=Route.INSTANCE, legacy=LegacyInstance("m3.medium"))))
    assert "takes one disk" in text
    image = replace(plan, source=FileSource("gone", ("/nonexistent/disk.vmdk",)))
    assert "/nonexistent/disk.vmdk" in failed(world, world.client.submit(image))


@pytest.mark.worker("own")
def test_wrong_password_waits_for_a_login_and_goes_on(world: World) -> None:
    plan = world.plan("web-01")
    profile_file = world.settings.state_dir / DEMO / "profile.toml"
    good = profile_file.read_text()
    password = world.settings.state_dir / "wrong-password"
    password.write_text("wrong")
    password.chmod(0o600)
    right = world.settings.profile().vcenter
    assert right is not None
    profile_file.write_text(good.replace(str(right.password_file), str(password)))
    job_id = world.client.submit(plan)
    view = world.wait(job_id, JobState.NEEDS_LOGIN)
    assert view.problem is not None
    assert view.problem.kind is ErrorKind.LOGIN
    profile_file.write_text(good)
    world.client.resume(job_id)
    world.assert_equal("web-01", world.wait(job_id))


@pytest.mark.worker("own")
def test_read_only_profile(world: World) -> None:
    plan = world.plan("web-01")
    profile_file = world.settings.state_dir / DEMO / "profile.toml"
    text = profile_file.read_text()
    profile_file.write_text(
        text.replace("[profiles.demo.vcenter]", "[profiles.demo]\nread_only = true\n\n[profiles.demo.vcenter]")
    )
    assert main(["--profile", DEMO, "import", "web-01"]) == 3
    profile_file.write_text(text)
    assert plan.profile == DEMO
