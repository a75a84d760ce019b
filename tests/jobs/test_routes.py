"""Every route, from vCenter and from images: what arrives is byte for byte what was sent, and nothing else is left."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from tests.jobs.conftest import ZONE, World
from vmie_tui.model.job import StageState
from vmie_tui.model.plan import (
    LegacyInstance,
    Route,
    UploadFormat,
    Via,
    Volumes,
)

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
