"""``vmie-tui launch``, ``instance`` and ``image``, by the command line against the simulated AWS."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.kits.aws_world import BUCKET, REGION, Control, settings_for, world
from vmie_tui.cli import main
from vmie_tui.services.aws.ebs.snapshot_writer import MemoryJournal, SnapshotTarget, SnapshotWriter
from vmie_tui.services.aws.ec2.images import RegisterDisk, RegisterRequest, register_image
from vmie_tui.services.aws.session import Aws
from vmie_tui.simulators.aws.server import AwsSimulator
from vmie_tui.simulators.control import TlsFiles
from vmie_tui.simulators.fleet.tiny import make_boot

World = tuple[AwsSimulator, Aws, str]
Said = pytest.CaptureFixture[str]


@pytest.fixture(scope="module")
def shared(tls: TlsFiles, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("aws")
    with world(tls, folder) as (simulator, aws):
        make_boot(folder / "linux.raw", 8 << 20, 1 << 20, "after")
        data = (folder / "linux.raw").read_bytes()
        target = SnapshotTarget(len(data))
        with SnapshotWriter(aws, REGION, target, journal=MemoryJournal(), control=Control()) as out:
            out.put(0, memoryview(data))
            simulator.clock.speed = 500.0
            disk = RegisterDisk(out.complete().snapshot_id)
        settings = settings_for(simulator, tls, folder)
        config = (
            'default_profile = "p"\n[profiles.p.aws]\n'
            f'region = "{REGION}"\nbucket = "{BUCKET}"\nendpoint_url = "{settings.endpoint_url}"\n'
            f'ca_bundle = "{settings.ca_bundle}"\ncredentials_file = "{settings.credentials_file}"\n'
        )
        image = register_image(aws, REGION, RegisterRequest("tiny", (disk,)))
        yield simulator, aws, f"{config}#{image.id}"


@pytest.fixture
def ami(shared: World, own_home: Path) -> str:
    """The AMI; the command line finds the simulator through its configuration file."""
    config, _, image = shared[2].rpartition("#")
    (own_home / "config.toml").write_text(config)
    return image


def run(capsys: Said, *arguments: str, code: int = 0) -> tuple[str, str]:
    capsys.readouterr()
    assert main(arguments) == code, capsys.readouterr()
    said = capsys.readouterr()
    return said.out, said.err


def test_an_instance_is_launched_watched_looked_at_and_ended(ami: str, capsys: Said, tmp_path: Path) -> None:
    out, err = run(capsys, "launch", ami, "--wait", "--cpus", "2", "--json")
    made = json.loads(out)
    assert (made["image_id"], made["healthy"], made["state"]) == (ami, True, "running")
    assert made["security_group_id"]
    assert "is starting" in err
    instance = made["id"]
    assert run(capsys, "instance", instance)[0].startswith(f"{instance}  running")
    assert json.loads(run(capsys, "instance", instance, "--wait", "--json")[0])["healthy"] is True
    console = json.loads(run(capsys, "instance", instance, "--console", "--json")[0])["console"]
    assert console
    printed = run(capsys, "instance", instance, "--console")[0]
    assert len(printed.splitlines()) == len(console.splitlines())
    picture = tmp_path / "screen.jpg"
    run(capsys, "instance", instance, "--screenshot", str(picture))
    assert picture.read_bytes()[:2] == b"\xff\xd8"
    out, err = run(capsys, "instance", instance, "--terminate", code=2)
    assert "--yes" in err
    assert json.loads(run(capsys, "instance", instance, "--terminate", "--yes", "--json")[0])["state"] == "terminated"


def test_what_needs_a_writable_profile_is_refused_by_a_read_only_one(ami: str, capsys: Said, shared: World) -> None:
    before = shared[0].stats["ec2:RunInstances"]
    for arguments in (("launch", ami), ("image", ami, "--rename", "x"), ("image", ami, "--deregister", "--yes")):
        _, err = run(capsys, "--read-only", *arguments, code=3)
        assert "read-only" in err
    assert shared[0].stats["ec2:RunInstances"] == before
    assert run(capsys, "--read-only", "image", ami)[0]


def test_an_image_is_shown_renamed_copied_and_deregistered(ami: str, capsys: Said) -> None:
    assert json.loads(run(capsys, "image", ami, "--json")[0])["name"] == "tiny"
    assert "Name=golden" in run(capsys, "image", ami, "--rename", "golden")[0]
    (copy,) = json.loads(run(capsys, "image", ami, "--copy-to", "eu-west-2", "--wait", "--json")[0])
    assert (copy["region"], copy["state"]) == ("eu-west-2", "available")
    shown = json.loads(run(capsys, "image", copy["image_id"], "--region", "eu-west-2", "--json")[0])
    assert shown["tags"]["Name"] == "golden"
    _, err = run(capsys, "image", copy["image_id"], "--region", "eu-west-2", "--deregister", code=2)
    assert "--yes" in err
    arguments = ("image", copy["image_id"], "--region", "eu-west-2", "--deregister", "--yes", "--json")
    gone = json.loads(run(capsys, *arguments)[0])
    assert gone["deleted"] == [disk["snapshot_id"] for disk in shown["disks"]]
    run(capsys, "image", copy["image_id"], "--region", "eu-west-2", code=1)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("instance", "web-01"), "i-0123456789abcdef0"),
        (("image", "web-01"), "ami-0123456789abcdef0"),
        (("instance", "i-0123456789abcdef0", "--console", "--terminate"), "choose one"),
        (("image", "ami-0123456789abcdef0", "--rename", "x", "--deregister"), "choose one"),
        (("image", "ami-0123456789abcdef0", "--wait"), "--copy-to"),
        (("image", "ami-0123456789abcdef0", "--keep-snapshots"), "--deregister"),
    ],
)
def test_wrong_usage(arguments: tuple[str, ...], words: str, ami: str, capsys: Said) -> None:
    assert words in run(capsys, *arguments, code=2)[1]


def test_what_is_not_there_is_named(ami: str, capsys: Said) -> None:
    for command, ident in (("instance", "i-0123456789abcdef0"), ("image", "ami-0123456789abcdef0")):
        out, err = run(capsys, command, ident, "--json", code=1)
        assert json.loads(out)["error"]["kind"] == "not-found"
        assert ident in err


def test_a_job_without_an_ami_cannot_be_launched(ami: str, capsys: Said) -> None:
    import os

    from vmie_tui.jobs.store.store import Store
    from vmie_tui.model.plan import ImportPlan, VmSource

    job = Store(Path(os.environ["VMIE_STATE_DIR"])).create(ImportPlan("p", VmSource("vc", "vm-1", "web"), REGION, "b"))
    assert "no AMI" in run(capsys, "launch", job, code=1)[1]
