"""``vmie-tui import`` of files, objects and snapshots with real processes: routes chosen, refused, and carried out."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.kits import disk_containers as writers
from tests.kits.job_world import World
from vmie_tui.cli import main
from vmie_tui.services.disks import convert
from vmie_tui.services.disks.streams.source import RawFile, sha256_of
from vmie_tui.simulators.fleet.tiny import make_boot

pytestmark = pytest.mark.worker("shared")

REGION = "eu-west-1"
Said = pytest.CaptureFixture[str]


@pytest.fixture(scope="module")
def raw(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("disk") / "web.raw"
    make_boot(path, 9 << 20, 2 << 20, "command-line")
    return path


def run(capsys: Said, *arguments: str, code: int = 0) -> Any:
    """What the command printed as JSON."""
    capsys.readouterr()
    got = main(["import", *arguments, "--json"])
    said = capsys.readouterr()
    assert got == code, said.err
    return json.loads(said.out)


def session(world: World) -> Any:
    from vmie_tui.services.aws.session import open_session

    return open_session(world.settings.profile().aws)


def assert_same(world: World, snapshot_id: str, raw: Path) -> None:
    from vmie_tui.services.aws.ebs.snapshot_reader import SnapshotReader

    with SnapshotReader(session(world), REGION, snapshot_id) as snapshot, RawFile(raw, snapshot.size) as disk:
        assert sha256_of(snapshot) == sha256_of(disk)


def test_a_file_goes_in_by_ebs_and_its_snapshot_becomes_a_volume(world: World, raw: Path, capsys: Said) -> None:
    """A data disk without bucket or role; then the snapshot itself is the source."""
    (view,) = run(capsys, str(raw), "--route", "snapshot", "--via", "ebs", "--bucket", "", "--wait")
    (disk,) = view["disks"]
    assert view["state"] == "done"
    assert_same(world, disk["snapshot_id"], raw)
    assert world.open_uploads() == []
    assert main(["job", view["id"], "--proof", "--all-blocks", "--json"]) == 0
    proof = json.loads(capsys.readouterr().out)
    assert proof["equal"] is True
    assert proof["disks"][0]["blocks"][0]["compared"] > 0
    (view,) = run(capsys, disk["snapshot_id"], "--volume-zone", f"{REGION}a", "--wait")
    assert view["state"] == "done"
    volumes = session(world).client("ec2").describe_volumes()["Volumes"]
    assert disk["snapshot_id"] in {volume.get("SnapshotId") for volume in volumes}


def test_an_ova_becomes_an_unmodified_ami(world: World, raw: Path, capsys: Said, tmp_path: Path) -> None:
    ova = tmp_path / "web.ova"
    convert.convert(convert.Request(raw, ova, convert.Format.OVA, raw=True), lambda done, total: None)
    arguments = ("--route", "unmodified", "--ami-name", "web as it is", "--force-name", "web", "--wait")
    (view,) = run(capsys, str(ova), *arguments)
    assert view["image_id"].startswith("ami-")
    assert_same(world, view["disks"][0]["snapshot_id"], raw)


@pytest.mark.worker("own")
def test_blockers_on_the_disk_are_refused_before_anything_moves(world: World, raw: Path, capsys: Said) -> None:
    problem = run(capsys, str(raw), code=3)["error"]
    assert problem["kind"] == "refused"
    assert world.client.jobs() == []


@pytest.mark.worker("own")
@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("{raw}", "--route", "image", "--volume-zone", "eu-west-1a"), 3, "snapshot route"),
        (("{raw}", "--key", "mine"), 2, "--test-launch"),
        (("{raw}", "--zone", "eu-west-1a", "--route", "image"), 2, "--route instance"),
        (("{raw}", "web-01"), 2, "one kind at a time"),
        (("web-01", "--raw-source"), 2, "for files"),
        (("{raw}", "--route", "instance", "--instance-type", "m5.large"), 3, "m5.large"),
        (("{raw}", "--route", "instance", "--instance-type", "t2.small", "--region", "eu-south-2"), 3, "eu-south-2"),
        (("s3://no-such-bucket-here/web.vmdk",), 1, "no-such-bucket-here"),
        (("snap-0123456789abcdef0",), 1, "snap-0123456789abcdef0"),
        (("gone.vmdk",), 1, "there is no such file"),
        (("{raw}", "--force-name", "other"), 2, "none of the sources"),
    ],
)
def test_what_is_refused_says_why(
    arguments: tuple[str, ...], code: int, words: str, world: World, raw: Path, capsys: Said
) -> None:
    assert main(["import", *(text.format(raw=raw) for text in arguments)]) == code
    said = capsys.readouterr()
    assert words in said.err
    assert world.client.jobs() == []


def test_the_route_that_is_picked_is_said(world: World, raw: Path, capsys: Said) -> None:
    """An object AWS cannot read is read by this machine; without a bucket a file takes the way without one."""
    sparse = raw.with_name("sparse.vmdk")
    with RawFile(raw) as disk:
        sparse.write_bytes(writers.vmdk_sparse(disk))
    bucket = world.settings.profile().aws.bucket
    session(world).client("s3").put_object(Bucket=bucket, Key="given/sparse.vmdk", Body=sparse.read_bytes())
    assert main(["import", f"s3://{bucket}/given/sparse.vmdk", "--force-name", "sparse"]) == 0
    said = capsys.readouterr()
    assert "route image-direct: this VMDK is monolithicSparse" in said.err
    job_id = said.out.strip()
    assert world.client.plan(job_id).route.value == "image-direct"  # type: ignore[union-attr]
    world.assert_holds(world.wait(job_id), [raw])


def test_a_dry_run_says_what_the_account_has_against_it_and_starts_nothing(world: World, capsys: Said) -> None:
    far, before = "amzn-s3-demo-far-away", [view.id for view in world.client.jobs()]
    session(world).client("s3", "us-east-1").create_bucket(Bucket=far)
    assert main(["import", "web-01", "db-01", "--dry-run", "--license-type", "BYOL"]) == 0
    assert "web-01: route image, to eu-west-1" in capsys.readouterr().out
    refused = run(
        capsys, "web-01", "--dry-run", "--bucket", far, "--role-name", "nobody", "--force-name", "web-01", code=3
    )
    assert [(one["name"], one["refused"]) for one in refused] == [("web-01", True)]
    facts = [finding["fact"] for finding in refused[0]["findings"] if finding["severity"] == "blocker"]
    assert facts == ["F207", "F161"], "what the job would refuse cannot be forced"
    problem = run(capsys, "web-01", "--bucket", far, code=3)["error"]
    assert "the bucket is in us-east-1" in problem["what"]
    assert [view.id for view in world.client.jobs()] == before


def test_what_may_not_be_looked_at_keeps_nothing_from_starting(world: World, capsys: Said) -> None:
    """Without any right in AWS nothing is known of the account; and without AWS itself that is said."""
    nothing = {"Version": "2012-10-17", "Statement": [{"Effect": "Deny", "Action": "*", "Resource": "*"}]}
    world.admin("aws", "POST", "policy", {"policy": nothing})
    try:
        assert main(["import", "web-01", "--dry-run"]) == 0
    finally:
        world.admin("aws", "POST", "policy", {"policy": None})
    assert "could not be looked at" not in capsys.readouterr().err
    world.fault("aws", operation="GetCallerIdentity", action="error", code="ExpiredToken", status=403, times=1)
    assert main(["import", "web-01", "--dry-run"]) == 0
    assert "the account could not be looked at: cannot ask AWS who is signed in" in capsys.readouterr().err
