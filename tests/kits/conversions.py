"""What the tests of the instance route share: disks as images, part objects, tasks at their end, volumes read back."""

from __future__ import annotations

import tempfile
from functools import cache
from pathlib import Path
from typing import Any

from tests.kits.aws_world import BUCKET, REGION, Control, Source, World
from tests.kits.disk_containers import vhd_dynamic, vhd_fixed, vmdk_stream
from tests.kits.disk_images import Sparse
from tests.kits.waiting import wait_until
from vmie_tui.model.task import Task
from vmie_tui.services.aws.ebs.snapshot_reader import SnapshotReader
from vmie_tui.services.aws.s3.buffer_budget import BufferBudget
from vmie_tui.services.aws.s3.instance_parts import PartObjects, PartsRequest, PartsUploaded
from vmie_tui.services.aws.session import Aws
from vmie_tui.services.aws.vmie.conversion_tasks import ConversionTasks, DiskImage, InstanceRequest
from vmie_tui.simulators.aws.server import AwsSimulator
from vmie_tui.simulators.fleet.tiny import MIB, make_boot

PART = 512 << 10
GIB = 1 << 30


@cache
def linux() -> bytes:
    """A RAW disk with an MBR, a small Linux and some data."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "disk.raw"
        make_boot(path, 8 * MIB + 512, MIB, "legacy")
        return path.read_bytes()


@cache
def image_of(format_name: str) -> bytes:
    disk = Sparse(len(linux()), {0: linux()})
    return {"RAW": lambda _: linux(), "VHD": vhd_dynamic, "VMDK": vmdk_stream, "VHD-fixed": vhd_fixed}[format_name](
        disk
    )


def upload(aws: Aws, name: str, data: bytes, format_name: str = "RAW", gib: int = 1) -> PartsUploaded:
    parts = PartObjects(aws, REGION, budget=BufferBudget(8 * PART))
    request = PartsRequest(BUCKET, f"jobs/{name}", "disk", format_name, gib, len(data), PART)
    return parts.upload(request, Source(data), control=Control())


def ended(simulator: AwsSimulator, conversions: ConversionTasks, task_id: str) -> Task:
    def look() -> Task | None:
        simulator.clock.advance(60)
        task = conversions.task(task_id)
        return task if task.terminal else None

    return wait_until(look, what=f"end of {task_id}")


def bytes_of(aws: Aws, volume_id: str, size: int) -> bytes:
    """What a volume holds, through a snapshot of it."""
    made = aws.client("ec2").create_snapshot(VolumeId=volume_id, Description="proof")
    reader = SnapshotReader(aws, REGION, made["SnapshotId"])
    return reader.read_at(0, size)


def instance(aws: Aws, ident: str) -> dict[str, Any]:
    [found] = aws.client("ec2").describe_instances(InstanceIds=[ident])["Reservations"][0]["Instances"]
    return dict(found)


def instance_request(done: PartsUploaded, **more: Any) -> InstanceRequest:
    values: dict[str, Any] = {"platform": "Linux", "instance_type": "m3.medium", "description": "job 7", **more}
    return InstanceRequest(DiskImage.of(done), **values)


def gone(aws: World, task: Task) -> None:
    """Nothing is left of a conversion but its parts."""
    simulator, session = aws
    assert task.state == "cancelled" and not task.volume_ids
    if task.instance_id:
        assert instance(session, task.instance_id)["State"]["Name"] == "terminated"
    held = {getattr(v, "stored_content", "") for v in simulator.ec2.backend(REGION).volumes.values()}
    assert {info.id for info in simulator.snapshots.all() if info.origin == "volume"} <= held
    bucket, key = task.disks[0].bucket, task.disks[0].key
    assert session.client("s3").head_object(Bucket=bucket, Key=key)
