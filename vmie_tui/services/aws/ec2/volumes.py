"""EBS volumes: created from snapshots, attached to instances."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from vmie_tui.model.errors import ErrorKind, ServiceError
from vmie_tui.services.aws.ec2.image_info import describe_instance
from vmie_tui.services.aws.ec2.images import next_device
from vmie_tui.services.aws.errors import aws_call, aws_delete
from vmie_tui.services.aws.parameters import tag_specifications, tags_of, without_empty
from vmie_tui.services.aws.session import Aws
from vmie_tui.services.pacing import Check, Poll, nothing, until_found

FIRST_LOOK, LONGEST_LOOK = 0.25, 5.0  # seconds between two looks at a volume


@dataclass(frozen=True, slots=True)
class VolumeRequest:
    """CreateVolume. ``size_gib``: 0 is the snapshot's own. ``client_token``: a repeated request finds the volume."""

    snapshot_id: str
    availability_zone: str
    volume_type: str = "gp3"
    size_gib: int = 0
    encrypted: bool = False
    kms_key_id: str | None = None
    client_token: str = ""
    tags: Mapping[str, str] = field(default_factory=dict)

    def to_api(self) -> dict[str, Any]:
        return without_empty(
            SnapshotId=self.snapshot_id,
            AvailabilityZone=self.availability_zone,
            VolumeType=self.volume_type,
            Size=self.size_gib,
            Encrypted=self.encrypted or bool(self.kms_key_id),
            KmsKeyId=self.kms_key_id,
            ClientToken=self.client_token,
            TagSpecifications=tag_specifications(self.tags, "volume"),
        )


@dataclass(frozen=True, slots=True)
class Volume:
    """An EBS volume. ``state``: creating, available, in-use, ...; ``instance_id`` and ``device``: where it is attached,
    ``attachment``: attaching, attached, ..."""

    id: str
    state: str
    size_gib: int
    availability_zone: str
    volume_type: str = ""
    snapshot_id: str = ""
    encrypted: bool = False
    instance_id: str = ""
    device: str = ""
    attachment: str = ""
    tags: dict[str, str] = field(default_factory=dict)


def create_volume(aws: Aws, region: str | None, request: VolumeRequest) -> Volume:
    """Creates a volume from a completed snapshot; wait for it with `wait_for_volume`.

    Raises ServiceError CONFLICT for a snapshot that is not completed, INVALID for a zone the Region does not have.
    """
    with aws_call(f"make a volume in {request.availability_zone}", request.snapshot_id):
        made = aws.client("ec2", region).create_volume(**request.to_api())
    return until_found(lambda: describe_volume(aws, region, str(made["VolumeId"])))


def describe_volume(aws: Aws, region: str | None, volume_id: str) -> Volume:
    """The volume as it is now; NOT_FOUND."""
    with aws_call("look at the volume", volume_id):
        return _volume(aws.client("ec2", region).describe_volumes(VolumeIds=[volume_id])["Volumes"][0])


def wait_for_volume(
    aws: Aws,
    region: str | None,
    volume_id: str,
    *,
    attached: bool = False,
    check: Check = nothing,
) -> Volume:
    """The volume once it is available (or in use), or ``attached``; ServiceError REMOTE when it failed."""
    poll = Poll(FIRST_LOOK, LONGEST_LOOK, check=check)
    while True:
        volume = describe_volume(aws, region, volume_id)
        ready = volume.attachment == "attached" if attached else volume.state in {"available", "in-use"}
        if ready:
            return volume
        if volume.state in {"error", "deleting", "deleted"}:
            raise ServiceError(
                ErrorKind.REMOTE,
                f"the volume is {volume.state}",
                subject=volume_id,
                remedy="Check the permissions on the KMS key, then make it again",
            )
        poll.wait()


def instance_zone(aws: Aws, region: str | None, instance_id: str) -> str:
    """The Availability Zone a volume for this instance must be in (F253)."""
    return str(describe_instance(aws, region, instance_id)["Placement"]["AvailabilityZone"])


def attach_volume(aws: Aws, region: str | None, volume_id: str, instance_id: str, device: str = "") -> str:
    """Attaches an available volume; returns its device name: ``device``, or the instance's next free one.

    A volume that is attached to this instance already is left so. Raises ServiceError CONFLICT when it is attached to
    another (F257), or in another zone, or the instance is not running or stopped.
    """
    volume, instance = describe_volume(aws, region, volume_id), describe_instance(aws, region, instance_id)
    if volume.instance_id == instance_id:
        return volume.device
    if volume.instance_id:
        raise _cannot(volume_id, f"the volume is attached to {volume.instance_id}", "Make another one of the snapshot")
    zone = str(instance["Placement"]["AvailabilityZone"])
    if zone != volume.availability_zone:
        what = f"the volume is in {volume.availability_zone}, the instance in {zone}"
        raise _cannot(volume_id, what, f"Make a volume in {zone} of the snapshot")
    taken = [str(item["DeviceName"]) for item in instance.get("BlockDeviceMappings") or ()]
    name = device or next_device(taken, str(instance.get("RootDeviceName") or "/dev/sda1"))
    with aws_call(f"attach the volume to {instance_id} as {name}", volume_id):
        aws.client("ec2", region).attach_volume(VolumeId=volume_id, InstanceId=instance_id, Device=name)
    return name


def delete_volume(aws: Aws, region: str | None, volume_id: str) -> None:
    """Deletes a detached volume; no error if it no longer exists."""
    with aws_delete("delete the volume", volume_id):
        aws.client("ec2", region).delete_volume(VolumeId=volume_id)


def _cannot(subject: str, what: str, remedy: str) -> ServiceError:
    return ServiceError(ErrorKind.CONFLICT, what, subject=subject, remedy=remedy)


def _volume(data: Mapping[str, Any]) -> Volume:
    attached = (data.get("Attachments") or [{}])[0]
    return Volume(
        str(data["VolumeId"]),
        str(data.get("State") or ""),
        int(data.get("Size") or 0),
        str(data.get("AvailabilityZone") or ""),
        str(data.get("VolumeType") or ""),
        str(data.get("SnapshotId") or ""),
        bool(data.get("Encrypted")),
        str(attached.get("InstanceId") or ""),
        str(attached.get("Device") or ""),
        str(attached.get("State") or ""),
        tags_of(data),
    )
