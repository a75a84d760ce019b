"""Every route, from vCenter and from images: what arrives is byte for byte what was sent, and nothing else is left."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.kits.job_world import ZONE, World
from vmie_tui.model.job import Stage, StageState
from vmie_tui.model.plan import (
    BootMode,
    FileSource,
    ImportPlan,
    LegacyInstance,
    ObjectSource,
    Route,
    SnapshotSource,
    UploadFormat,
    Via,
    Volumes,
)
from vmie_tui.model.rules.override import CONTENT
from vmie_tui.services.disks.convert import Format, Request, convert

pytestmark = pytest.mark.worker("shared")

LEGACY = LegacyInstance("m3.medium")
MACHINES: dict[str, tuple[str, dict[str, Any]]] = {
    "direct, two disks": ("db-01", {"route": Route.IMAGE_DIRECT}),
    "direct, running": ("app-01", {"route": Route.IMAGE_DIRECT}),
    "unmodified": ("db-01", {"route": Route.UNMODIFIED}),
    "unmodified by blocks": ("odd-size-01", {"route": Route.UNMODIFIED, "via": Via.EBS}),
    "unmodified as RAW": ("odd-size-01", {"route": Route.UNMODIFIED, "upload_format": UploadFormat.RAW}),
    "snapshots of VHDs": ("empty-disk-01", {"route": Route.SNAPSHOT, "upload_format": UploadFormat.VHD}),
    "volumes": ("web-01", {"route": Route.SNAPSHOT, "via": Via.EBS, "volumes": Volumes(ZONE)}),
    "image of an OVA": ("db-01", {"route": Route.IMAGE, "upload_format": UploadFormat.OVA}),
    "instance": ("web-02", {"route": Route.INSTANCE, "legacy": LEGACY}),
    "volume": ("web-02", {"route": Route.INSTANCE, "legacy": LegacyInstance(availability_zone=ZONE, volume_only=True)}),
}


def submit(world: World, name: str, **chosen: Any) -> str:
    return world.client.submit(replace(world.plan(name), **chosen))


def test_each_route_of_a_machine_ends_byte_equal(world: World) -> None:
    jobs = {case: submit(world, name, **chosen) for case, (name, chosen) in MACHINES.items()}
    for case, job_id in jobs.items():
        view = world.wait(job_id, timeout=90)
        world.assert_equal(MACHINES[case][0], view)
        assert all(disk.verified and disk.state is StageState.DONE for disk in view.disks), case
        assert all(each.state in {StageState.DONE, StageState.SKIPPED} for each in view.stages), case
        assert view.fraction == 1.0
        proof = world.client.proof(job_id)
        assert proof.equal, (case, proof.lines())
        assert proof.disks[0].host_equal, case
    assert world.open_uploads() == []
    assert world.machine("app-01").snapshots == 0


# ---- images


@pytest.fixture
def files(world: World, tmp_path: Path) -> dict[str, Path]:
    """One disk as RAW, stream VMDK, dynamic VHD and OVA."""
    (raw,) = world.raw("web-01")
    made = {"raw": raw}
    for name, kind in (("disk.vmdk", Format.VMDK), ("disk.vhd", Format.VHD_DYNAMIC), ("web.ova", Format.OVA)):
        made[name] = tmp_path / name
        convert(Request(raw, made[name], kind, raw=True))
    return made


def image_plan(world: World, source: Any, **chosen: Any) -> ImportPlan:
    aws = world.settings.profile().aws
    values = {"prefix": "test/", "boot_mode": BootMode.LEGACY_BIOS, "override": (CONTENT,), **chosen}
    return ImportPlan(world.settings.profile().name, source, "eu-west-1", aws.bucket, **values)


def test_each_kind_of_image_ends_byte_equal(world: World, files: dict[str, Path]) -> None:
    vmdk, ova = world.put("given/disk.vmdk", files["disk.vmdk"]), world.put("given/web.ova", files["web.ova"])
    raw = FileSource("raw", (str(files["raw"]),), raw=True)
    stream = FileSource("stream", (str(files["disk.vmdk"]),))
    archive = FileSource("archive", (str(files["web.ova"]),))
    in_s3, ova_in_s3 = ObjectSource("s3", vmdk[0], (vmdk[1],), "VMDK"), ObjectSource("ova", ova[0], (ova[1],), "OVA")
    cases = {
        "file written anew": image_plan(world, raw, route=Route.UNMODIFIED),
        "two files by blocks": image_plan(
            world,
            replace(raw, paths=(str(files["raw"]), str(world.raw("db-01")[1]))),
            route=Route.UNMODIFIED,
            via=Via.EBS,
        ),
        "file as it is": image_plan(world, stream, route=Route.SNAPSHOT),
        "VHD for the old call": image_plan(
            world,
            FileSource("vhd", (str(files["disk.vhd"]),)),
            route=Route.INSTANCE,
            upload_format=UploadFormat.VHD,
            legacy=LEGACY,
            boot_mode=None,
        ),
        "OVA as it is": image_plan(world, archive, route=Route.IMAGE, upload_format=UploadFormat.OVA),
        "disk of an OVA": image_plan(world, archive, route=Route.IMAGE_DIRECT, platform="Linux"),
        "object as it is": image_plan(world, in_s3, route=Route.UNMODIFIED, clean_up=True),
        "object as an image": image_plan(world, in_s3, route=Route.IMAGE),
        "OVA in S3 by ranges": image_plan(world, ova_in_s3, route=Route.UNMODIFIED, via=Via.EBS),
        "OVA in S3": image_plan(world, ova_in_s3, route=Route.IMAGE),
    }
    jobs = {case: world.client.submit(plan) for case, plan in cases.items()}
    views = {case: world.wait(job_id, timeout=90) for case, job_id in jobs.items()}
    for case, view in views.items():
        disks = [files["raw"]] + ([world.raw("db-01")[1]] if case.startswith("two") else [])
        world.assert_holds(view, disks)
        proof = world.client.proof(view.id, all_blocks=True)
        assert proof.equal, (case, proof.lines())
    assert "sent as it is" in world.log(jobs["file as it is"])
    assert "OVA as it is" in world.log(jobs["OVA as it is"])
    assert "written anew" in world.log(jobs["file written anew"])
    assert Stage.UPLOAD not in {stage.stage for stage in views["object as it is"].stages}
    assert {"given/disk.vmdk", "given/web.ova"} <= set(world.keys("given/"))  # the user's own objects stay

    made = [disk.snapshot_id for disk in views["disk of an OVA"].disks]
    again = SnapshotSource("again", tuple(made))
    last = world.client.submit(image_plan(world, again, route=Route.UNMODIFIED))
    world.assert_holds(world.wait(last), [files["raw"]])
