"""The main job end to end, with real processes: a VM becomes an AMI, byte for byte."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.kits.job_world import World
from vmie_tui.cli import main
from vmie_tui.model.job import Stage, StageState

pytestmark = pytest.mark.worker("shared")


def test_four_machines_become_equal_amis(world: World) -> None:
    """Two disks, an all-zero disk, a disk of an odd size and one of several parts, all at once."""
    names = ("db-01", "empty-disk-01", "odd-size-01", "big-01")
    ids = [world.submit(name) for name in names]
    views = [world.wait(job_id) for job_id in ids]
    for name, view in zip(names, views, strict=True):
        world.assert_equal(name, view)
        assert view.image_id.startswith("ami-")
        assert view.fraction == 1.0
        assert all(disk.verified and disk.state is StageState.DONE for disk in view.disks)
        states = {stage.stage: stage.state for stage in view.stages}
        assert states.pop(Stage.SNAPSHOT) is StageState.SKIPPED
        assert set(states.values()) == {StageState.DONE}
    assert world.open_uploads() == []


def test_tags_say_where_the_image_comes_from(world: World) -> None:
    from vmie_tui.services.aws.ec2.images import describe_image
    from vmie_tui.services.aws.session import open_session

    view = world.wait(world.submit("web-01", ami_name="golden web", tags={"team": "blue"}))
    image = describe_image(open_session(world.settings.profile().aws), "eu-west-1", view.image_id)
    assert image.tags["Name"] == "golden web"
    assert image.tags["team"] == "blue"
    assert image.tags["vmie-tui:job"] == view.id
    assert image.tags["vmie-tui:source-vm"] == "DC1/Test/Web/web-01"
    assert "vmie-tui:version" in image.tags


def test_running_machine_goes_through_a_snapshot_that_is_removed(world: World) -> None:
    from vmie_tui.passwords import password_for
    from vmie_tui.services.vsphere.session import connect
    from vmie_tui.services.vsphere.snapshot import find_snapshot

    view = world.wait(world.submit("app-01"))
    world.assert_equal("app-01", view)
    assert next(s for s in view.stages if s.stage is Stage.SNAPSHOT).state is StageState.DONE
    profile = world.settings.profile()
    assert profile.vcenter is not None
    with connect(profile.vcenter, password_for(profile) or "") as vsphere:
        moid = world.machine("app-01").moid
        assert find_snapshot(vsphere, moid, f"vmie-tui {view.id}") is None
    assert world.machine("app-01").snapshots == 0


def test_command_line_imports_and_waits(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--profile", "demo", "import", "web-02", "--license-type", "BYOL", "--wait", "--json"]) == 0
    captured = capsys.readouterr()
    (job,) = json.loads(captured.out)
    assert job["state"] == "done"
    assert "web-02" in captured.err
    assert main(["job", job["id"][:6], "--log"]) == 0
    shown = capsys.readouterr().out
    assert job["image_id"] in shown
    assert "equal to the host's" in shown


@pytest.mark.worker("own")
def test_submitting_at_once_from_many_threads_starts_one_worker(world: World) -> None:
    plans = [world.plan(name) for name in ("web-01", "web-02", "db-01")]
    with ThreadPoolExecutor(3) as pool:
        ids = list(pool.map(world.client.submit, plans))
    for job_id in ids:
        world.wait(job_id)
    assert world.client.worker().alive
