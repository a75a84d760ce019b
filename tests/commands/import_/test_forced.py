"""Preflight and forced imports from the command line, against the simulators as they really run."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from tests.kits.job_world import World
from vmie_tui.cli import main
from vmie_tui.model.task import JobState
from vmie_tui.settings import DEMO

pytestmark = pytest.mark.worker("shared")


def preflight(*arguments: str) -> int:
    return main(["--profile", DEMO, "preflight", *arguments])


def test_machines_and_objects(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    bucket = world.settings.profile().aws.bucket
    assert preflight("--json", "web-01", "app-01", f"s3://{bucket}/nothing.vmdk", "nosuch-vm") == 2
    said = capsys.readouterr()
    web, app = json.loads(said.out)
    assert web["verdict"] == "blocked"
    assert web["guest"]["linux"]["os_id"] == "debian"
    assert not app["content_inspected"]
    assert "--snapshot" in said.err
    assert f"s3://{bucket}/nothing.vmdk" in said.err
    assert "nosuch-vm" in said.err
    assert preflight("--no-content", "web-01") == 0
    assert preflight("app-01") == 2, "it runs: none of its disks could be read, so nothing has passed"
    assert preflight("--snapshot", "app-01") == 3


def test_a_blocked_machine_is_forced_by_its_name(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    command, before = ["--profile", DEMO, "import", "i386-01"], world.client.jobs()
    assert main(command) == 3
    assert main([*command, "--force-name", "web-01"]) == 2
    assert world.client.jobs() == before
    assert main([*command, "--force-name", "i386-01", "--wait", "--json"]) == 0
    out = capsys.readouterr().out
    (job,) = json.loads(out[out.index("[") :])
    assert "forced by the user" in world.log(job["id"])
    world.wait(job["id"], JobState.DONE)


def test_a_machine_that_cannot_be_exported_is_not_forced(world: World) -> None:
    plan = world.plan("rdm-01")
    job_id = world.client.submit(replace(plan, override=("something else",)))
    view = world.wait(job_id, JobState.FAILED)
    assert view.problem is not None
    assert "raw device mapping" in view.problem.what
