"""Describes, tags and renames AMIs, snapshots and instances."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from vmie_tui.model.errors import ErrorKind, ServiceError
from vmie_tui.services.aws.errors import aws_call
from vmie_tui.services.aws.parameters import tag_list, tags_of
from vmie_tui.services.aws.session import Aws

ALIVE = ("pending", "running", "stopping", "stopped")  # states of an instance that is not terminated


@dataclass(frozen=True, slots=True)
class ImageDisk:
    """A block device of an AMI. ``size_gib`` is what a volume made of it has."""

    device: str
    snapshot_id: str
    size_gib: int


@dataclass(frozen=True, slots=True)
class Image:
    """An AMI. ``state`` is EC2's word: pending, available, failed, ..."""

    id: str
    name: str
    state: str
    architecture: str = ""
    platform: str = ""
    boot_mode: str = ""
    usage_operation: str = ""
    root_device: str = ""
    disks: tuple[ImageDisk, ...] = ()
    tags: dict[str, str] = field(default_factory=dict)
    ena: bool = False
    state_reason: str = ""  # AWS's words for a failed or pending image

    @property
    def snapshot_ids(self) -> tuple[str, ...]:
        return tuple(disk.snapshot_id for disk in self.disks if disk.snapshot_id)


@dataclass(frozen=True, slots=True)
class SnapshotInfo:
    """An EBS snapshot. ``state``: pending, completed, error."""

    id: str
    state: str
    size_gib: int
    progress: str = ""
    encrypted: bool = False
    tags: dict[str, str] = field(default_factory=dict)


def describe_image(aws: Aws, region: str | None, image_id: str) -> Image:
    """The AMI; NOT_FOUND when the Region has none of this id."""
    with aws_call("look at the image", image_id):
        found = aws.client("ec2", region).describe_images(ImageIds=[image_id]).get("Images", [])
    if not found:
        raise ServiceError(ErrorKind.NOT_FOUND, "the AMI does not exist", subject=image_id, remedy="Check the Region")
    return image_of(found[0])


def own_images(aws: Aws, region: str | None, **filters: str) -> Iterator[Image]:
    """The account's own AMIs, by EC2's filters with ``_`` for ``-`` and ``__`` for ``.``."""
    wanted = [{"Name": key.replace("__", ".").replace("_", "-"), "Values": [value]} for key, value in filters.items()]
    with aws_call("list the images", region or aws.region):
        pages = aws.client("ec2", region).get_paginator("describe_images").paginate(Owners=["self"], Filters=wanted)
        for page in pages:
            yield from (image_of(data) for data in page.get("Images", ()))


def image_of(data: Mapping[str, Any]) -> Image:
    """An entry of DescribeImages."""
    return Image(
        str(data["ImageId"]),
        str(data.get("Name") or ""),
        str(data.get("State") or ""),
        str(data.get("Architecture") or ""),
        str(data.get("PlatformDetails") or data.get("Platform") or ""),
        str(data.get("BootMode") or ""),
        str(data.get("UsageOperation") or ""),
        str(data.get("RootDeviceName") or ""),
        tuple(
            ImageDisk(
                str(item.get("DeviceName") or ""),
                str(item["Ebs"].get("SnapshotId") or ""),
                int(item["Ebs"].get("VolumeSize") or 0),
            )
            for item in data.get("BlockDeviceMappings") or ()
            if "Ebs" in item
        ),
        tags_of(data),
        bool(data.get("EnaSupport")),
        str((data.get("StateReason") or {}).get("Message") or ""),
    )


def describe_snapshots(aws: Aws, region: str | None, snapshot_ids: Iterable[str]) -> tuple[SnapshotInfo, ...]:
    """The snapshots in the order of their ids; NOT_FOUND when one is missing."""
    wanted = list(snapshot_ids)
    with aws_call("look at the snapshots", ", ".join(wanted)):
        answer = aws.client("ec2", region).describe_snapshots(SnapshotIds=wanted)
    found = {
        str(data["SnapshotId"]): SnapshotInfo(
            str(data["SnapshotId"]),
            str(data.get("State") or ""),
            int(data.get("VolumeSize") or 0),
            str(data.get("Progress") or ""),
            bool(data.get("Encrypted")),
            tags_of(data),
        )
        for data in answer.get("Snapshots", ())
    }
    missing = [ident for ident in wanted if ident not in found]
    if missing:
        raise ServiceError(
            ErrorKind.NOT_FOUND, "the snapshot does not exist", subject=missing[0], remedy="Check the Region"
        )
    return tuple(found[ident] for ident in wanted)


def tag(aws: Aws, region: str | None, ids: Iterable[str], tags: Mapping[str, str]) -> None:
    """Adds ``tags`` to AMIs, snapshots or tasks; existing tags are kept."""
    wanted = [ident for ident in ids if ident]
    if wanted and tags:
        with aws_call("tag", ", ".join(wanted)):
            aws.client("ec2", region).create_tags(Resources=wanted, Tags=tag_list(tags))


def rename(aws: Aws, region: str | None, image_id: str, name: str) -> Image:
    """Sets the tag ``Name``, which the console shows, on an AMI and its snapshots.

    The name it was registered under cannot change. Returns the image as it was before.
    """
    image = describe_image(aws, region, image_id)
    tag(aws, region, [image.id, *image.snapshot_ids], {"Name": name})
    return image


def describe_instance(aws: Aws, region: str | None, instance_id: str) -> dict[str, Any]:
    """EC2's description of an instance; NOT_FOUND."""
    with aws_call("look at the instance", instance_id):
        answer = aws.client("ec2", region).describe_instances(InstanceIds=[instance_id])
    found: list[dict[str, Any]] = [item for group in answer["Reservations"] for item in group["Instances"]]
    if not found:
        raise ServiceError(
            ErrorKind.NOT_FOUND, "the instance does not exist", subject=instance_id, remedy="Check the Region"
        )
    return found[0]


def instances_of(aws: Aws, region: str | None, image_id: str) -> tuple[str, ...]:
    """Ids of the AMI's instances that are not terminated, the newest first."""
    filters = [{"Name": "image-id", "Values": [image_id]}, {"Name": "instance-state-name", "Values": list(ALIVE)}]
    with aws_call("look for instances of the image", image_id):
        pages = aws.client("ec2", region).get_paginator("describe_instances").paginate(Filters=filters)
        found = [item for page in pages for group in page["Reservations"] for item in group["Instances"]]
    found.sort(key=lambda item: item["LaunchTime"], reverse=True)
    return tuple(str(item["InstanceId"]) for item in found)
