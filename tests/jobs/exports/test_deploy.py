"""The whole way round: a VM of vCenter to an AMI, exported, and deployed back into vCenter with the very bytes."""

from __future__ import annotations

import contextlib
import json
import tarfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.kits.job_world import REGION, World
from tests.kits.waiting import wait_until
from vmie_tui.cli import main
from vmie_tui.exit_codes import EXIT_FAILED, EXIT_REFUSED
from vmie_tui.model.deploy_places import DeployNames, choose_place
from vmie_tui.model.export import DeployTarget, ExportPlan
from vmie_tui.model.job import Stage, StageState
from vmie_tui.model.machine import Firmware
from vmie_tui.model.task import JobState
from vmie_tui.passwords import password_for
from vmie_tui.services.disks import convert
from vmie_tui.services.disks.formats.ovf import parse_ovf
from vmie_tui.services.disks.streams.source import RawFile, sha256_of
from vmie_tui.services.vsphere.deploy_places import read_deploy_places
from vmie_tui.services.vsphere.session import VSphere, connect
from vmie_tui.simulators.fleet.tiny import DATASTORE, make_data

pytestmark = pytest.mark.worker("shared")

VM, NAME = "db-01", "back-01"  # two disks
_imported: dict[str, str] = {}
SLOW = 400_000  # bytes a second: a disk takes some seconds


@pytest.fixture
def image(world: World, simulators: Path) -> str:
    """An AMI of `VM`, imported once for all tests."""
    key = str(simulators)
    if key not in _imported:
        _imported[key] = world.wait(world.submit(VM)).image_id
    return _imported[key]


@pytest.fixture
def vcenter(world: World) -> Iterator[VSphere]:
    profile = world.settings.profile()
    assert profile.vcenter is not None
    with connect(profile.vcenter, password_for(profile) or "") as session:
        yield session
    with contextlib.suppress(Exception):
        world.admin("vcenter", "POST", "power", {"vm": NAME, "state": "poweredOff"})
        world.admin("vcenter", "POST", "remove", {"vm": NAME})


@pytest.fixture
def target(vcenter: VSphere) -> DeployTarget:
    names = DeployNames("Compute", DATASTORE, "Test", "VM Network")
    return choose_place(read_deploy_places(vcenter), NAME, names).target


def plan(world: World, source: str, target: DeployTarget, **values: Any) -> ExportPlan:
    profile = world.settings.profile()
    return ExportPlan(profile.name, source, "", REGION, profile.aws.bucket, "round/", deploy=target, **values)


def machines(world: World) -> list[str]:
    """Every machine of our name, by folder."""
    from vmie_tui.commands import inventory

    return [machine.moid for machine in inventory.read(world.settings).machines if machine.name == NAME]


def assert_same(world: World) -> None:
    """Both disks of the new machine hold what those of `VM` do, and zeros behind it."""
    sources, copies = world.raw(VM), world.raw(NAME)
    assert len(sources) == len(copies) == 2
    for source, copy in zip(sources, copies, strict=True):
        with RawFile(copy) as new, RawFile(source, new.size) as old:
            assert sha256_of(new) == sha256_of(old)


def test_there_and_back_again_through_a_kill(world: World, image: str, target: DeployTarget, tmp_path: Path) -> None:
    """A worker killed in the middle of the upload leaves a machine; its successor makes the only one."""
    asked = plan(world, image, replace(target, power_on=True), download_to=str(tmp_path), convert_to="vhd")
    world.rate(SLOW)
    job_id = world.client.submit(asked)
    wait_until(lambda: machines(world) and world.requests("vcenter", "nfc:POST"), 40)
    [half] = machines(world)
    world.kill_worker()
    world.rate(None)
    world.client.ensure_worker()
    view = world.wait(job_id)
    states = {stage.stage: stage.state for stage in view.stages}
    stages = (Stage.CHECK, Stage.EXPORT, Stage.DOWNLOAD, Stage.DEPLOY, Stage.FINISH)
    assert states == dict.fromkeys(stages, StageState.DONE)
    assert_same(world)
    [made] = machines(world)
    assert made != half
    assert NAME in view.message
    assert world.log(job_id).count("equal by the host's SHA-256") == 2
    assert world.machine(NAME).power.value == "on"
    assert [disk.done for disk in view.disks] == [disk.total for disk in view.disks]
    assert [disk.verified for disk in view.disks] == [True, True]
    names = {f"{view.task_id}{more}.{kind}" for more in ("", "-disk2") for kind in ("vmdk", "vhd")}
    assert {file.name for file in tmp_path.iterdir()} == names


def test_a_lost_upload_is_begun_again_and_a_cancel_leaves_nothing(
    world: World, image: str, target: DeployTarget
) -> None:
    world.fault("vcenter", operation="nfc:POST", action="reset", after=1 << 18, times=1)
    world.rate(SLOW)
    before = world.requests("vcenter", "nfc:POST")
    job_id = world.client.submit(plan(world, image, target))
    wait_until(lambda: world.requests("vcenter", "nfc:POST") == before + 2, 40)
    assert len(machines(world)) == 1
    world.client.cancel(job_id)
    view = world.wait(job_id, JobState.CANCELLED)
    assert machines(world) == []
    assert world.keys(f"round/{view.task_id}") == []


# -- on the command line, without a job ---------------------------------------------------------------------------

PLACE = ("--pool", "Compute", "--datastore", DATASTORE, "--folder", "Test", "--json")


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    make_data(tmp_path / "disk.raw", 3 << 20, 2 << 20, "command line")
    return tmp_path / "disk.raw"


def run(capsys: pytest.CaptureFixture[str], *arguments: str, code: int = 0) -> Any:
    capsys.readouterr()
    got = main(list(arguments))
    said = capsys.readouterr()
    assert got == code, said.err
    return json.loads(said.out)


def test_an_ova_brings_its_hardware_along(
    world: World, vcenter: VSphere, raw: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ova = tmp_path / "machine.ova"
    convert.convert(convert.Request(raw, ova, convert.Format.OVA, raw=True))
    made = run(capsys, "deploy", str(ova), NAME, *PLACE, "--memory", "2048", "--network", "VM Network")
    machine = world.machine(NAME)
    with tarfile.open(ova) as archive:
        said = parse_ovf(archive.extractfile("machine.ovf").read())  # type: ignore[union-attr]
    assert (machine.moid, machine.cpus, machine.memory_mib) == (made["moid"], said.cpus, 2048)
    assert machine.folder == ("Test",)
    assert world.raw(NAME)[0].read_bytes() == raw.read_bytes()
    run(capsys, "deploy", str(raw), NAME, "--raw", *PLACE, code=EXIT_FAILED)
    assert machines(world) == [made["moid"]]


def test_an_object_is_sent_on_from_s3(
    world: World, vcenter: VSphere, raw: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bucket, key = world.put("round/disk.raw", raw)
    [disk] = run(capsys, "deploy", f"s3://{bucket}/{key}", NAME, "--raw", "--uefi", *PLACE)["disks"]
    assert disk["proven"] == "SHA-256"
    assert world.raw(NAME)[0].read_bytes() == raw.read_bytes()
    assert world.machine(NAME).firmware is Firmware.UEFI


def test_an_export_knows_where_it_is_to_be_deployed(
    world: World, image: str, target: DeployTarget, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = run(capsys, "export", image, "--deploy", NAME, "--dry-run", "--network", "VM Network", *PLACE)
    assert DeployTarget(**asked["plan"]["deploy"]) == target
    run(capsys, "export", image, "--deploy", NAME, "--pool", "Nowhere", "--dry-run", "--json", code=EXIT_FAILED)
    assert main(["export", image, "--pool", "Compute"]) == 2
    assert "wants --deploy" in capsys.readouterr().err


def test_a_read_only_run_deploys_nothing(world: World, raw: Path, capsys: pytest.CaptureFixture[str]) -> None:
    said = run(capsys, "--read-only", "deploy", str(raw), NAME, "--raw", *PLACE, code=EXIT_REFUSED)
    assert "ImportVApp is not sent" in said["error"]["what"]
    assert machines(world) == []
