"""``vmie-tui replicate`` with real processes: from the first copy to the cutover, back from it, and the end."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.kits.job_world import REGION, World
from tests.kits.waiting import wait_until
from vmie_tui.cli import main
from vmie_tui.model.machine import Power

VM = "nfs-01"
Said = pytest.CaptureFixture[str]


def replicate(said: Said, *words: str, code: int = 0) -> Any:
    """A command's JSON."""
    said.readouterr()
    got = main(["replicate", *words, "--json"])
    written = said.readouterr()
    assert got == code, written
    return json.loads(written.out)


def state_of(world: World, instance_id: str) -> str:
    found = world.aws.client("ec2").describe_instances(InstanceIds=[instance_id])
    return str(found["Reservations"][0]["Instances"][0]["State"]["Name"])


def test_from_the_first_copy_to_the_cutover_and_back(world: World, capsys: Said) -> None:
    """Four runs one after another, each of which makes an AMI, and two instances: it takes its time."""
    (view,) = replicate(capsys, "create", VM, "--every", "12", "--keep", "2", "--route", "unmodified", "--wait")
    ident, first = view["id"], view["images"][0]
    assert (view["state"], view["day"], view["runs"][0]["state"]) == ("ACTIVE", 1, "COMPLETED")
    assert view["runs"][0]["figures"]["sync"] == "first copy"

    world.admin("vcenter", "POST", "write", {"vm": VM, "bytes": 8192})
    (run,) = replicate(capsys, "run", VM, "--verify", "all", "--wait")
    assert (run["type"], run["figures"]["sync"], run["state"]) == ("ON_DEMAND", "changed blocks", "COMPLETED")
    assert 0 < run["figures"]["moved"] <= 2 << 20 and run["figures"]["verified"] > 0

    before = replicate(capsys, "list")["replications"][0]["now"]
    assert replicate(capsys, "advance", "12h")["now"] - before >= 12 * 3600
    wait_until(lambda: [run["state"] for run in _runs(capsys, ident)] == ["COMPLETED"] * 3, what="the scheduled run")
    runs = _runs(capsys, ident)
    assert [run["type"] for run in runs] == ["AUTOMATIC", "ON_DEMAND", "AUTOMATIC"]
    assert [run["image_gone"] for run in runs] == [False, False, True]
    assert replicate(capsys, "forecast", VM)["converges"] is True

    tested = replicate(capsys, "cutover", VM, "--test", "--wait")
    assert tested["healthy"] and world.machine(VM).power is Power.ON
    assert main(["instance", tested["id"], "--terminate", "--yes"]) == 0

    run = replicate(capsys, "cutover", VM, "--yes", "--wait", "--instance-type", "t3.small")
    assert run["cutover"] and run["image_id"] != first
    assert world.machine(VM).power is Power.OFF and state_of(world, run["instance_id"]) == "running"
    assert main(["job", run["job_id"]]) == 0
    assert f"{run['id']} of {ident}, a cutover" in capsys.readouterr().out

    done = replicate(capsys, "rollback", VM, "--yes")
    assert done["instance_id"] == run["instance_id"] and len(done["done"]) == 2
    assert world.machine(VM).power is Power.ON and state_of(world, run["instance_id"]) == "stopped"

    assert replicate(capsys, "resume", VM)[0]["paused"] is False
    replicate(capsys, "delete", VM, "--yes")
    wait_until(lambda: replicate(capsys, "show", ident)["state"] == "DELETED", what="the clean-up")
    assert world.machine(VM).snapshots == 0
    images = world.aws.client("ec2").describe_images(Owners=["self"])["Images"]
    assert set(replicate(capsys, "show", ident)["images"]) <= {image["ImageId"] for image in images}


def _runs(capsys: Said, ident: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = replicate(capsys, "runs", ident)["runs"]
    return found


def test_a_one_time_migration_of_a_machine_on_vsan(world: World, capsys: Said) -> None:
    (view,) = replicate(capsys, "create", "vsan-01", "--once", "--route", "unmodified", "--wait")
    assert (view["state"], view["next_run"]) == ("COMPLETED", None)
    assert view["images"][0].startswith("ami-") and view["spec"]["plan"]["region"] == REGION
    assert main(["replicate", "run", view["id"]]) == 1
    assert "a replication that is COMPLETED cannot be run" in capsys.readouterr().err
