"""Finds by tag, and deletes, what a job has created in EC2."""

from __future__ import annotations

from collections.abc import Iterator

from vmie_tui.services.aws.ec2.image_info import ALIVE
from vmie_tui.services.aws.errors import aws_call, aws_delete
from vmie_tui.services.aws.session import Aws


def tagged_snapshots(aws: Aws, region: str | None, key: str, value: str, *, described: str) -> Iterator[str]:
    """Ids of the account's own snapshots, pending ones too, with this tag and a description that ends so.

    The tag alone does not tell who made one: backups of a volume get the volume's tags, a launched instance's ours.
    """
    wanted = [{"Name": f"tag:{key}", "Values": [value]}]
    with aws_call("list the snapshots", f"{key}={value}"):
        pages = aws.client("ec2", region).get_paginator("describe_snapshots")
        for page in pages.paginate(OwnerIds=["self"], Filters=wanted):
            for item in page.get("Snapshots", ()):
                if str(item.get("Description") or "").endswith(described):
                    yield str(item["SnapshotId"])


def tagged_volumes(aws: Aws, region: str | None, key: str, value: str) -> Iterator[str]:
    """Ids of the volumes with this tag."""
    wanted = [{"Name": f"tag:{key}", "Values": [value]}]
    with aws_call("list the volumes", f"{key}={value}"):
        for page in aws.client("ec2", region).get_paginator("describe_volumes").paginate(Filters=wanted):
            yield from (str(item["VolumeId"]) for item in page.get("Volumes", ()))


def delete_snapshot(aws: Aws, region: str | None, snapshot_id: str) -> None:
    """Deletes a snapshot, pending or not; no error if it no longer exists. CONFLICT when an AMI uses it."""
    with aws_delete("delete the snapshot", snapshot_id):
        aws.client("ec2", region).delete_snapshot(SnapshotId=snapshot_id)


def tagged_instances(aws: Aws, region: str | None, key: str, value: str) -> Iterator[str]:
    """Ids of the instances with this tag that are not terminated."""
    wanted = [{"Name": f"tag:{key}", "Values": [value]}, {"Name": "instance-state-name", "Values": list(ALIVE)}]
    with aws_call("list the instances", f"{key}={value}"):
        for page in aws.client("ec2", region).get_paginator("describe_instances").paginate(Filters=wanted):
            for group in page.get("Reservations", ()):
                yield from (str(item["InstanceId"]) for item in group.get("Instances", ()))


def snapshot_of(aws: Aws, region: str | None, volume_id: str, description: str) -> str:
    """Snapshots a volume and waits for completion. Raises ServiceError REMOTE, leaving nothing behind, if EC2 fails."""
    ec2 = aws.client("ec2", region)
    with aws_call("make a snapshot of the volume", volume_id):
        made = str(ec2.create_snapshot(VolumeId=volume_id, Description=description)["SnapshotId"])
    try:
        with aws_call("wait for the snapshot", made):
            ec2.get_waiter("snapshot_completed").wait(SnapshotIds=[made])
    except BaseException:
        delete_snapshot(aws, region, made)
        raise
    return made
