"""What the service rejects before an export starts: every limitation of the guides, with the documented messages.

Where the guides quote no text, the message begins with the documented one for "not exportable" and names the reason.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from moto.ec2.exceptions import EC2ClientError
from moto.ec2.models.instance_types import INSTANCE_TYPES

from vmie_tui.model import facts
from vmie_tui.services.disks.formats.ovf_write import Hardware
from vmie_tui.simulators.aws import roles
from vmie_tui.simulators.aws.ec2_models import Ec2Models
from vmie_tui.simulators.aws.moto_extensions import refuse
from vmie_tui.simulators.aws.s3 import S3Service
from vmie_tui.simulators.aws.s3_common import child, parse_xml
from vmie_tui.simulators.aws.s3_store import Bucket
from vmie_tui.simulators.aws.snapshots import SnapshotStore
from vmie_tui.simulators.aws.volume_data import content_of

# Known from practice, not in the guides.
NO_GRANT = "vm-import-export@amazon.com must have WRITE and READ_ACL permission on the S3 bucket."
NOT_OWNED = "Insufficient permissions - please verify bucket ownership and write permissions on the bucket. Bucket: {}"
OWN_LICENCES = frozenset({"", "RunInstances", "RunInstances:0800"})  # Linux, and Windows under the customer's licence


@dataclass(frozen=True, slots=True)
class SourceDisk:
    """A disk to export: the snapshot that holds it ("" for an empty one) and the size of its volume."""

    snapshot: str
    size_gib: int


@dataclass(frozen=True, slots=True)
class ExportSource:
    """What passed the checks. ``name`` is what an OVA calls the machine; ``hybrid``: it starts by BIOS and by UEFI."""

    id: str
    name: str
    disks: tuple[SourceDisk, ...]
    hardware: Hardware = field(default_factory=Hardware)
    hybrid: bool = False


class World(Protocol):
    """The parts of an account that are looked at."""

    account: str
    s3: S3Service
    snapshots: SnapshotStore
    ec2: Ec2Models
    max_tasks: int

    def bucket_owner(self, name: str) -> str | None: ...

    def running(self, region: str) -> int: ...


def documented(ident: str, reason: str = "") -> EC2ClientError:
    """A documented error as it is on the wire: without what SDKs put around it; ``reason`` behind it."""
    entry = facts.error(ident)
    text = str(entry["message"]).partition(" (Service:")[0]
    text = re.sub(r"^(An error occurred \(.*?\) when calling the \w+ operation|Client\.\w+): ", "", text)
    code = str(entry.get("code") or "InvalidParameter").removeprefix("Client.")
    return refuse(code, f"{text} {reason}".rstrip())


def not_exportable(what: str, reason: str) -> EC2ClientError:
    """E17, in the same form for images."""
    error = documented("E17", reason)
    return refuse("NotExportable", str(error.message).replace("instance", what, 1))


# what is to be exported


def instance_source(world: World, backend: Any, ident: str) -> ExportSource:
    """The instance's only disk; raises for every reason not to export it."""
    instance = backend.get_instance_by_id(ident)
    if instance is None:
        raise refuse("InvalidInstanceID.NotFound", f"The instance ID '{ident}' does not exist")
    state = str(instance.state)
    if state not in {"running", "stopped"}:
        text = f"This instance is not in a valid state for the requested operation: it is {state}."
        raise refuse("IncorrectInstanceState", text)
    image = backend.amis.get(instance.image_id) if instance.image_id else None
    if image is None and instance.image_id:
        raise not_exportable("instance", f"The image {instance.image_id} it was launched from does not exist.")
    for reason in _reasons(world, image, "instance") if image is not None else ():
        raise not_exportable("instance", reason)
    sold = str(getattr(instance, "usage_operation", "") or "")
    if sold not in OWN_LICENCES:
        raise not_exportable("instance", f"It contains software that AWS supplies ({sold}).")
    volumes = [backend.volumes.get(item.volume_id) for item in instance.block_device_mapping.values()]
    attached = [volume for volume in volumes if volume is not None]
    if any(volume.encrypted for volume in attached):
        raise not_exportable("instance", "A volume of its block device mapping is encrypted.")
    if len(attached) > facts.limit("export", "instance_virtual_disks_max")["value"]:
        raise documented("E16")
    if len(instance.nics) > facts.limit("export", "instance_network_interfaces_max")["value"]:
        raise not_exportable("instance", "It has more than one network interface.")
    disks = tuple(SourceDisk(_held(world, volume), int(volume.size)) for volume in attached)
    _check_sizes("instance", disks)
    names = {tag["key"]: tag["value"] for tag in instance.get_tags()}
    return ExportSource(ident, str(names.get("Name") or ident), disks, _hardware(instance, image), _hybrid(image))


def image_source(world: World, backend: Any, ident: str) -> ExportSource:
    """The EBS volumes of the image's block device mapping; raises for every reason not to export it."""
    if not re.fullmatch(r"ami-[0-9a-f]{8,17}", ident):
        raise refuse("InvalidAMIID.Malformed", f'Invalid id: "{ident}"')
    image = backend.amis.get(ident)
    if image is None:
        raise refuse("InvalidAMIID.NotFound", f"The image id '[{ident}]' does not exist")
    if image.state != "available":
        raise refuse("InvalidAMIID.Unavailable", f"The image id '[{ident}]' is {image.state}")
    for reason in _reasons(world, image, "image"):
        raise not_exportable("image", reason)
    mappings = [item["Ebs"] for item in image.block_device_mappings if "Ebs" in item]
    disks = tuple(SourceDisk(str(ebs.get("SnapshotId") or ""), int(ebs["VolumeSize"])) for ebs in mappings)
    _check_sizes("image", disks)
    return ExportSource(ident, str(image.name), disks, hybrid=_hybrid(image))


def _reasons(world: World, image: Any, what: str) -> Iterator[str]:
    """Why the image, or an instance launched from it, may not leave: what the guides list."""
    if str(image.owner_id) != world.account:
        yield f"The image {image.id} is shared by another account."
    if getattr(image, "product_codes", None):
        yield "It is based on an AWS Marketplace image."
    usage = str(getattr(image, "usage_operation", "") or "")
    details = str(getattr(image, "platform_details", "") or "")
    if usage not in OWN_LICENCES:
        yield f"It contains software that AWS supplies: {details or usage}."
    if getattr(image, "virtual_devices", None):
        yield "Its block device mapping contains instance store volumes."
    for item in image.block_device_mappings:
        ebs = item.get("Ebs") or {}
        if ebs.get("Encrypted"):
            yield f"The block device mapping {item.get('DeviceName')} is encrypted."
        snapshot = str(ebs.get("SnapshotId") or "")
        if snapshot and world.snapshots.get(snapshot) is None:
            yield f"The snapshot {snapshot} of the {what}'s block device mapping does not exist."


def _held(world: World, volume: Any) -> str:
    """The store entry with a volume's bytes; "" for an empty volume."""
    info = content_of(volume, world.snapshots)
    return info.id if info else ""


def _check_sizes(what: str, disks: Sequence[SourceDisk]) -> None:
    most = facts.limit("export", "volume_max")["value_tib"] * facts.TIB // facts.GIB
    for disk in disks:
        if disk.size_gib > most:
            raise not_exportable(what, f"A volume has {disk.size_gib} GiB; the maximum is {most} GiB.")
    if not disks:
        raise not_exportable(what, "It has no EBS volume.")


def _hybrid(image: Any) -> bool:
    return str(getattr(image, "boot_mode", "") or "") == "uefi-preferred"


def _hardware(instance: Any, image: Any) -> Hardware:
    known = INSTANCE_TYPES.get(str(instance.instance_type), {})
    efi = str(getattr(image, "boot_mode", "") or "").startswith("uefi")
    return Hardware(
        int(known.get("VCpuInfo", {}).get("DefaultVCpus", 1)),
        int(known.get("MemoryInfo", {}).get("SizeInMiB", 2048)),
        "efi" if efi else "bios",
        networks=("VM Network",),  # the one interface it may have
    )


# where it goes


def check_bucket(world: World, region: str, name: str, *, instance: bool) -> None:
    """The bucket is in the Region, of the account, without KMS, and open to the export service."""
    owner = world.bucket_owner(name)
    if owner is None:
        raise refuse("InvalidParameter", f"The given S3 bucket '{name}' does not exist")
    bucket = world.s3.store.bucket(name)
    if bucket is None or owner != world.account:
        raise refuse("InvalidParameter", NOT_OWNED.format(name))
    if bucket.region != region:
        raise documented("E19")
    if _encrypts_with_kms(bucket):
        text = f"The bucket '{name}' uses SSE-KMS; exports need a bucket without encryption or with SSE-S3."
        raise refuse("InvalidParameter", text)
    if instance:
        forbidden = facts.load("access")["export_bucket"]["object_ownership"]["required_not"]
        if forbidden in bucket.config.get("ownershipControls", "") or not granted(bucket, region):
            raise refuse("AuthFailure", NO_GRANT)


def _encrypts_with_kms(bucket: Bucket) -> bool:
    document = bucket.config.get("encryption", "")
    if not document:
        return False
    default = parse_xml(document.encode()).find(".//{*}ApplyServerSideEncryptionByDefault")
    return default is not None and child(default, "SSEAlgorithm").startswith("aws:kms")


def canonical_id(region: str) -> str:
    """The canonical id of the account that writes a Region's instance exports."""
    entry = facts.load("access")["export_bucket"]["canonical_account_ids"]
    return str(next((item["id"] for item in entry["by_region"] if item["region"] == region), entry["default"]))


def granted(bucket: Bucket, region: str) -> bool:
    """Whether the export service may read the bucket's ACL and write objects, by ACL or by policy."""
    ident, access = canonical_id(region), facts.load("access")["export_bucket"]
    wanted = {str(item["permission"]) for item in access["acl_grants"]}
    given: set[str] = set()
    if "acl" in bucket.config:
        for grant in parse_xml(bucket.config["acl"].encode()).iter():
            if grant.tag.rpartition("}")[2] == "Grant":
                grantee = grant.find("{*}Grantee")
                if grantee is not None and child(grantee, "ID") == ident:
                    given.add(child(grant, "Permission"))
    if wanted <= given or "FULL_CONTROL" in given:
        return True
    policy = json.loads(bucket.config.get("policy") or "{}")
    arn = f"arn:aws:s3:::{bucket.name}"
    return roles.allows_canonical(policy, ident, "s3:GetBucketAcl", arn) and roles.allows_canonical(
        policy, ident, "s3:PutObject", f"{arn}/any"
    )


def check_role(world: World, name: str, bucket: str) -> None:
    """The role of an image export exists, trusts VM export and may write to the bucket."""
    if not roles.usable(world.account, name, [bucket], reads_kms=False, own_key=False, writes=True):
        raise refuse("InvalidParameter", roles.role_error(name))


def check_room(world: World, region: str) -> None:
    """Not too many tasks at once in the Region."""
    if world.running(region) >= world.max_tasks:
        text = f"You have reached the limit of {world.max_tasks} concurrent conversion tasks in this Region"
        raise refuse("ResourceCountLimitExceeded", text)


def check_description(text: str) -> None:
    most = facts.limit("export", "description_max_chars")["value"]
    if len(text) > most:
        raise refuse("InvalidParameterValue", f"The description is longer than {most} characters")


def instance_format(environment: str, container: str, form: str) -> tuple[str, str]:
    """(disk format, extension of the object) of an instance export; refuses what is not in the guides' table."""
    known = facts.load("formats")["image_formats"]["export_instance"]
    if environment not in [item["api_value"] for item in known["target_environments"]]:
        raise refuse("InvalidParameterValue", f"Invalid value '{environment}' for parameter targetEnvironment")
    vmware = environment == "vmware"
    form = form.upper() or ("VMDK" if vmware else "VHD")
    pairs = [
        (item["disk_image_format"], item.get("container_format") or "")
        for item in known["formats"]
        if ("VMware" in item["compatible_with"]) == vmware
    ]
    if (form, container.lower()) not in pairs:
        text = f"The disk image format {form} {container} is not supported for the target environment {environment}"
        raise refuse("InvalidParameter", " ".join(text.split()))
    return form, (container or form).lower()


def image_format(form: str) -> str:
    """The extension of an image export's object."""
    if form not in [
        item["disk_image_format"] for item in facts.load("formats")["image_formats"]["export_image"]["formats"]
    ]:
        raise refuse("InvalidParameterValue", f"Invalid value '{form}' for parameter diskImageFormat")
    return form.lower()
