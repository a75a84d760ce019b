"""Registers AMIs from snapshots as they are, copies them to other Regions, and deregisters them."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from vmie_tui.model.errors import ErrorKind, ServiceError
from vmie_tui.services.aws.ec2.image_info import (
    Image,
    ImageDisk,
    SnapshotInfo,
    describe_image,
    describe_snapshots,
    own_images,
    rename,
    tag,
)
from vmie_tui.services.aws.errors import aws_call, aws_delete
from vmie_tui.services.aws.parameters import short_description, tag_specifications, without_empty
from vmie_tui.services.aws.session import Aws
from vmie_tui.services.pacing import Check, Poll, nothing, until_found

__all__ = [
    "CopyRequest",
    "Deregistered",
    "Image",
    "ImageDisk",
    "RegisterDisk",
    "RegisterRequest",
    "SnapshotInfo",
    "copy_image",
    "deregister_image",
    "describe_image",
    "describe_snapshots",
    "next_device",
    "own_images",
    "register_image",
    "rename",
    "tag",
    "users_of",
    "wait_for_image",
]

ARCHITECTURES = ("x86_64", "arm64", "i386")
UEFI, LEGACY_BIOS, ARM = "uefi", "legacy-bios", "arm64"
NAME_BOUNDS = (3, 128)
NAME_REFUSED = re.compile(r"[^\w()\[\] ./'@-]", re.ASCII)  # RegisterImage: letters, digits and ()[] ./-'@_
LETTERS = "fghijklmnopqrstuvwxyzbcde"  # device names as EC2 recommends them for EBS volumes, then the others
FIRST_LOOK, LONGEST_LOOK = 0.5, 15.0


@dataclass(frozen=True, slots=True)
class RegisterDisk:
    """One volume of an image. ``size_gib``: 0 is the snapshot's own; ``device``: empty is the next free name."""

    snapshot_id: str
    size_gib: int = 0
    device: str = ""
    volume_type: str = "gp3"
    delete_on_termination: bool = True


@dataclass(frozen=True, slots=True)
class RegisterRequest:
    """RegisterImage. ``disks``: completed snapshots, the boot disk's first; ``boot_mode`` None leaves it to AWS.

    ``tpm``: a virtual TPM 2.0, which needs UEFI on x86_64.
    """

    name: str
    disks: tuple[RegisterDisk, ...]
    description: str = ""
    architecture: str = "x86_64"
    boot_mode: str | None = None
    ena: bool = True
    root_device: str = "/dev/sda1"
    tpm: bool = False
    tags: Mapping[str, str] = field(default_factory=dict)

    def to_api(self) -> dict[str, Any]:
        """The API arguments; ServiceError INVALID for what EC2 would refuse or what could not boot."""
        self._check()
        arguments: dict[str, Any] = {
            "Name": self.name,
            "Architecture": self.architecture,
            "RootDeviceName": self.root_device,
            "VirtualizationType": "hvm",
            "EnaSupport": self.ena,
            "BlockDeviceMappings": [
                {"DeviceName": device, "Ebs": _ebs(disk)}
                for device, disk in zip(self.devices(), self.disks, strict=True)
            ],
        }
        return arguments | without_empty(
            Description=short_description(self.description),
            BootMode=self.boot_mode,
            TpmSupport="v2.0" if self.tpm else "",
            TagSpecifications=tag_specifications(self.tags, "image"),
        )

    def devices(self) -> list[str]:
        """The device name of each disk: the root's for the first, the next free one where none is given."""
        taken = {self.root_device, *(disk.device for disk in self.disks[1:] if disk.device)}
        names = [self.root_device]
        for disk in self.disks[1:]:
            names.append(disk.device or next_device(taken, self.root_device))
            taken.add(names[-1])
        return names

    def _check(self) -> None:
        low, high = NAME_BOUNDS
        refused = ""
        if not low <= len(self.name) <= high:
            refused = f"the name of an AMI has {low} to {high} characters"
        elif bad := NAME_REFUSED.search(self.name):
            refused = f"the name of an AMI cannot have the character {bad.group()!r}"
        elif not self.disks:
            refused = "an AMI needs the snapshot of its boot disk"
        elif self.architecture not in ARCHITECTURES:
            refused = f"the architecture is one of {', '.join(ARCHITECTURES)}"
        elif self.architecture == ARM and self.boot_mode == LEGACY_BIOS:
            refused = "arm64 instances start by UEFI only"
        elif self.architecture == "i386" and self.boot_mode == UEFI:
            refused = "32-bit systems do not start by UEFI on EC2"
        elif self.tpm and (self.boot_mode != UEFI or self.architecture != "x86_64"):
            refused = "a virtual TPM needs boot mode uefi on x86_64"
        elif len(set(self.devices())) != len(self.disks):
            refused = "two disks have the same device name"
        if refused:
            raise ServiceError(ErrorKind.INVALID, refused, subject=self.name, remedy="Change it, then register again")


def _ebs(disk: RegisterDisk) -> dict[str, Any]:
    size = {"VolumeSize": disk.size_gib} if disk.size_gib else {}
    keep = {"DeleteOnTermination": disk.delete_on_termination, "VolumeType": disk.volume_type}
    return {"SnapshotId": disk.snapshot_id, **keep, **size}


def next_device(taken: Iterable[str], root_device: str = "/dev/sda1") -> str:
    """A free device name in the style of the root device's: /dev/sdf, or /dev/xvdf (Windows: xvdf)."""
    style = re.match(r"(?:/dev/)?(?:sd|xvd)", root_device)
    prefix = style.group() if style else "/dev/sd"
    used = {name[len("/dev/") :] if name.startswith("/dev/") else name for name in taken}
    used = {re.sub(r"^(sd|xvd)(.).*", r"\2", name) for name in used}  # sdf and xvdf are the same to an instance
    free = next((letter for letter in LETTERS if letter not in used), None)
    if free is None:
        raise ServiceError(
            ErrorKind.REFUSED, "every device name is taken", subject=root_device, remedy="Detach a volume first"
        )
    return prefix + free


def register_image(aws: Aws, region: str | None, request: RegisterRequest) -> Image:
    """Registers an AMI from snapshots as they are. Repeated with the same snapshots, it returns the AMI it made.

    Raises ServiceError CONFLICT for a name in use or a snapshot that is not completed, NOT_FOUND, INVALID.
    """
    arguments = request.to_api()
    try:
        with aws_call("register the image", request.name):
            answer = aws.client("ec2", region).register_image(**arguments)
    except ServiceError as error:
        if error.problem.code != "InvalidAMIName.Duplicate":
            raise
        return _same_or_taken(aws, region, request, error)
    return until_found(lambda: describe_image(aws, region, str(answer["ImageId"])))


def _same_or_taken(aws: Aws, region: str | None, request: RegisterRequest, error: ServiceError) -> Image:
    found = next(own_images(aws, region, name=request.name), None)
    wanted = {disk.snapshot_id for disk in request.disks}
    if found is not None and set(found.snapshot_ids) == wanted:
        return found
    holder = found.id if found else "another AMI"
    raise ServiceError(
        ErrorKind.CONFLICT,
        f"the name is in use by {holder}",
        subject=request.name,
        remedy=f"Choose another name, or deregister {holder}",
        code=error.problem.code,
        detail=error.problem.detail,
    ) from error


def wait_for_image(
    aws: Aws,
    region: str | None,
    image_id: str,
    *,
    check: Check = nothing,
    on_state: Callable[[Image], None] = lambda image: None,
) -> Image:
    """The AMI once it is available; ServiceError REMOTE with AWS's words when it fails."""
    poll = Poll(FIRST_LOOK, LONGEST_LOOK, check=check)
    while True:
        image = describe_image(aws, region, image_id)
        on_state(image)
        if image.state == "available":
            return image
        if image.state != "pending":
            raise ServiceError(
                ErrorKind.REMOTE,
                f"the AMI is {image.state or 'gone'}",
                subject=image_id,
                remedy="Look at the reason, then copy or register it again",
                detail=image.state_reason,
            )
        poll.wait()


@dataclass(frozen=True, slots=True)
class CopyRequest:
    """CopyImage. ``encrypted``: with ``kms_key_id`` of the other Region, or its default key; an encrypted image stays
    so. ``client_token``: makes a repeated request find the same copy."""

    image_id: str
    region: str  # where it is
    name: str
    description: str = ""
    encrypted: bool = False
    kms_key_id: str | None = None
    client_token: str = ""
    tags: Mapping[str, str] = field(default_factory=dict)


def copy_image(aws: Aws, region: str, request: CopyRequest) -> Image:
    """Starts copying an AMI into ``region`` and returns the pending copy. Wait for it with `wait_for_image`."""
    arguments = without_empty(
        SourceImageId=request.image_id,
        SourceRegion=request.region,
        Name=request.name,
        Description=short_description(request.description),
        Encrypted=request.encrypted or bool(request.kms_key_id),
        KmsKeyId=request.kms_key_id,
        ClientToken=request.client_token,
        TagSpecifications=tag_specifications(request.tags, "image", "snapshot"),
    )
    with aws_call(f"copy the image to {region}", request.image_id):
        answer = aws.client("ec2", region).copy_image(**arguments)
    return until_found(lambda: describe_image(aws, region, str(answer["ImageId"])))


@dataclass(frozen=True, slots=True)
class Deregistered:
    """What became of an AMI's snapshots: ids deleted; ids kept, each with the reason."""

    image_id: str
    deleted: tuple[str, ...] = ()
    kept: dict[str, str] = field(default_factory=dict)


def deregister_image(aws: Aws, region: str | None, image_id: str, *, snapshots: bool = True) -> Deregistered:
    """Deregisters an AMI and, with ``snapshots``, deletes those that no other AMI of the account uses.

    The caller has already confirmed it with the user. Instances and volumes made from it stay as they are.
    """
    image, ec2 = describe_image(aws, region, image_id), aws.client("ec2", region)
    with aws_call("deregister the image", image_id):
        ec2.deregister_image(ImageId=image_id)
    deleted, kept = [], dict[str, str]()
    for ident in dict.fromkeys(image.snapshot_ids) if snapshots else ():
        users = sorted(other.id for other in users_of(aws, region, ident) if other.id != image_id)
        if users:
            kept[ident] = f"used by {', '.join(users)}"
            continue
        try:
            with aws_delete("delete the snapshot", ident):
                ec2.delete_snapshot(SnapshotId=ident)
        except ServiceError as error:
            kept[ident] = error.problem.detail or error.problem.what
        else:
            deleted.append(ident)
    return Deregistered(image_id, tuple(deleted), kept)


def users_of(aws: Aws, region: str | None, snapshot_id: str) -> list[Image]:
    """The account's AMIs that use a snapshot."""
    return [
        image
        for image in own_images(aws, region, block_device_mapping__snapshot_id=snapshot_id)
        if snapshot_id in image.snapshot_ids
    ]
