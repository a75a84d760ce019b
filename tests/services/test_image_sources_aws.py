"""Objects in S3 and EBS snapshots described as machines, and their bytes; the commands that look at them."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from hashlib import new
from pathlib import Path

import pytest

from tests.kits.aws_world import BUCKET, REGION, Control, World, world
from tests.kits.ovf_texts import ovf_text, tar_of
from vmie_tui.model.errors import ErrorKind, ServiceError
from vmie_tui.model.plan import ObjectSource, Route, SnapshotSource
from vmie_tui.services.aws.ebs.snapshot_writer import MemoryJournal, SnapshotTarget, SnapshotWriter
from vmie_tui.services.aws.session import Aws
from vmie_tui.services.disks import convert
from vmie_tui.services.disks.streams.source import RawFile, sha256_of
from vmie_tui.services.image_sources import describe_object, describe_snapshots, open_source_disks
from vmie_tui.simulators.control import Fault, TlsFiles
from vmie_tui.simulators.fleet.tiny import make_boot

F = convert.Format
sha1 = partial(new, "sha1", usedforsecurity=False)


@pytest.fixture(scope="module")
def raw(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("disk") / "web.raw"
    make_boot(path, 9 << 20, 1 << 20, "describe-aws")
    return path


@pytest.fixture(scope="module")
def aws(tls: TlsFiles, raw: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A bucket with the disk in several images, under ``many/`` twice."""
    folder = tmp_path_factory.mktemp("aws")
    with world(tls, folder) as made:
        for name, kind in (("web.vmdk", F.VMDK), ("web.ova", F.OVA), ("web.vhd", F.VHD_DYNAMIC)):
            convert.convert(convert.Request(raw, folder / name, kind, raw=True), lambda done, total: None)
            put(made[1], name, (folder / name).read_bytes())
        for key in ("many/b.raw", "many/a.raw", "mixed/a.raw"):
            put(made[1], key, raw.read_bytes())
        put(made[1], "many/notes.txt", b"only a few words about the disks here\n")
        put(made[1], "mixed/b.vmdk", (folder / "web.vmdk").read_bytes())
        put(
            made[1],
            "disk.qcow2",
            b"QFI\xfb\0\0\0\3" + bytes(12) + (16).to_bytes(4, "big") + (1 << 30).to_bytes(8, "big") + bytes(4000),
        )
        yield made


def put(aws: Aws, key: str, content: bytes) -> None:
    aws.client("s3").put_object(Bucket=BUCKET, Key=key, Body=content)


@pytest.fixture(scope="module")
def snapshot(aws: World, raw: Path) -> str:
    simulator, session = aws
    data = raw.read_bytes()
    with SnapshotWriter(session, REGION, SnapshotTarget(len(data)), journal=MemoryJournal(), control=Control()) as out:
        out.put(0, memoryview(data))
        simulator.clock.speed = 500.0
        return out.complete().snapshot_id


@pytest.mark.parametrize(
    ("key", "format_name", "image"),
    [
        ("web.vmdk", "VMDK", "vmdk-stream streamOptimized"),
        ("web.ova", "OVA", "vmdk-stream streamOptimized"),
        ("web.vhd", "VHD", "vhd dynamic"),
        ("many/a.raw", "RAW", "raw"),
    ],
)
def test_an_object_is_the_machine_in_it(key: str, format_name: str, image: str, aws: World, raw: Path) -> None:
    simulator, session = aws
    before = simulator.stats["s3:GetObject"]
    found = describe_object(session, BUCKET, [key])
    assert simulator.stats["s3:GetObject"] - before <= 2 * 64
    assert found.source == ObjectSource(Path(key).stem, BUCKET, (key,), format_name)
    assert [disk.image for disk in found.machine.disks] == [image]
    assert "Debian" in found.machine.os_name
    assert found.preflight is not None
    assert found.preflight.guest is not None
    with RawFile(raw) as disk, open_source_disks(found.source, session, REGION) as opened:
        assert [one.name for one in opened] == [disk.label for disk in found.machine.disks]
        assert [sha256_of(one.source) for one in opened] == [sha256_of(disk)]


def test_a_prefix_means_the_images_under_it(aws: World) -> None:
    found = describe_object(aws[1], BUCKET, "many/")
    assert isinstance(found.source, ObjectSource)
    assert found.source.keys == ("many/a.raw", "many/b.raw")
    assert [disk.label for disk in found.machine.disks] == ["a.raw", "b.raw"]


def test_qcow2_in_s3_is_described_and_every_route_refused(aws: World) -> None:
    found = describe_object(aws[1], BUCKET, ["disk.qcow2"])
    assert (found.machine.disks[0].image, found.machine.disks[0].capacity) == ("qcow2", 1 << 30)
    assert found.preflight is not None
    assert [finding.fact for finding in found.preflight.blockers] == ["F024"]


@pytest.mark.parametrize(
    ("keys", "kind", "words"),
    [
        ("nothing/", ErrorKind.NOT_FOUND, "no disk image"),
        (["no/such.vmdk"], ErrorKind.NOT_FOUND, "no/such.vmdk"),
        ("mixed/", ErrorKind.INVALID, "different kinds: RAW, VMDK"),
        (["web.ova", "web.ova"], ErrorKind.INVALID, "an OVA is a machine"),
        (["many/notes.txt"], ErrorKind.INVALID, "text file"),
    ],
)
def test_objects_that_are_no_machine(keys: str | list[str], kind: ErrorKind, words: str, aws: World) -> None:
    with pytest.raises(ServiceError) as raised:
        describe_object(aws[1], BUCKET, keys)
    assert raised.value.kind is kind
    assert words in str(raised.value)


def test_the_manifest_in_an_ova_in_s3_is_believed(aws: World, raw: Path) -> None:
    """Its names and the descriptor at the first look; the disks, which may be large, before their bytes are used."""
    session, disk = aws[1], raw.read_bytes()
    ovf = ovf_text([], ["web.raw"], capacity=len(disk))
    sums = "".join(f"SHA1({name})= {sha1(data).hexdigest()}\n" for name, data in (("a.ovf", ovf), ("web.raw", disk)))
    harmed = bytes([disk[0] ^ 1]) + disk[1:]
    for key, manifest, body in (
        ("good.ova", sums, disk),
        ("bad.ova", sums, harmed),
        ("short.ova", sums.partition("\n")[0], disk),
    ):
        put(session, f"sums/{key}", tar_of([("a.ovf", ovf), ("a.mf", manifest.encode()), ("web.raw", body)]))
    found = describe_object(session, BUCKET, ["sums/good.ova"])
    with open_source_disks(found.source, session, REGION) as (one,):
        assert one.source.read_at(0, 4096) == disk[:4096]
    found = describe_object(session, BUCKET, ["sums/bad.ova"])
    with (
        pytest.raises(ServiceError, match=r"sums/bad\.ova: web\.raw is not what"),
        open_source_disks(found.source, session),
    ):
        pass
    with open_source_disks(found.source, session, REGION, proven=True) as (one,):
        assert one.source.read_at(0, 4096) == harmed[:4096]
    with pytest.raises(ServiceError, match="does not name"):
        describe_object(session, BUCKET, ["sums/short.ova"])


def test_an_ebs_snapshot_is_the_machine_on_it(aws: World, snapshot: str, raw: Path) -> None:
    found = describe_snapshots(aws[1], REGION, [snapshot])
    assert found.source == SnapshotSource(snapshot, (snapshot,))
    assert found.machine.disks[0].capacity == 1 << 30
    assert "Debian" in found.machine.os_name
    assert found.preflight is not None
    assert found.preflight.guest is not None
    with open_source_disks(found.source, aws[1], REGION) as (disk,), RawFile(raw, disk.source.size) as wanted:
        assert sha256_of(disk.source) == sha256_of(wanted)
    as_image = describe_snapshots(aws[1], REGION, [snapshot], route=Route.IMAGE)
    assert as_image.preflight is not None
    assert as_image.preflight.blockers[0].fact == "F102"
    assert "F102" not in {finding.fact for finding in found.preflight.findings}


def test_a_snapshot_is_named_by_its_tag(aws: World, snapshot: str) -> None:
    from vmie_tui.services.aws.ec2.images import tag

    tag(aws[1], REGION, [snapshot], {"Name": "data of web"})
    assert describe_snapshots(aws[1], REGION, [snapshot], look=False).machine.name == "data of web"


def test_a_snapshot_that_is_not_ready_or_not_there(aws: World) -> None:
    session = aws[1]
    pending = session.client("ebs", REGION).start_snapshot(VolumeSize=1)["SnapshotId"]
    with pytest.raises(ServiceError) as raised:
        describe_snapshots(session, REGION, [pending])
    assert raised.value.kind is ErrorKind.CONFLICT
    with pytest.raises(ServiceError) as raised:
        describe_snapshots(session, REGION, ["snap-0123456789abcdef0"])
    assert raised.value.kind is ErrorKind.NOT_FOUND


def test_blocks_that_may_not_be_read_leave_the_snapshot_uninspected(aws: World, snapshot: str) -> None:
    aws[0].faults.add(Fault("ListSnapshotBlocks", code="AccessDeniedException", status=403))
    found = describe_snapshots(aws[1], REGION, [snapshot])
    aws[0].faults.clear()
    assert found.preflight is not None
    assert [missed.what for missed in found.preflight.not_inspected] == [snapshot]
    assert found.machine.disks[0].capacity == 1 << 30
