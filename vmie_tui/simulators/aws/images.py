"""EC2 calls that moto has, but that must know the snapshot store: register an image, delete or copy a snapshot."""

from __future__ import annotations

from typing import Any

from moto.core.responses import ActionResult, EmptyResult

from vmie_tui.simulators.aws.ec2_models import Mapping, StoredSnapshot
from vmie_tui.simulators.aws.plugin import Operation, refuse


def register_image(response: Any, simulator: Any) -> ActionResult:
    response.error_on_dryrun()
    spec = dict(response.params)
    name, backend = str(spec.get("Name") or ""), response.ec2_backend
    if not 3 <= len(name) <= 128:
        raise refuse("InvalidAMIName.Malformed", "AMI names must be between 3 and 128 characters long")
    if any(image.name == name and image.owner_id == backend.account_id for image in backend.amis.values()):
        raise refuse("InvalidAMIName.Duplicate", f"AMI name {name} is already in use by AMI")
    mappings = [_mapping(item, backend) for item in spec.get("BlockDeviceMappings") or () if "Ebs" in item]
    root = str(spec.get("RootDeviceName") or "")
    if root not in {mapping.device for mapping in mappings if mapping.snapshot}:
        raise refuse("InvalidBlockDeviceMapping", f"Invalid device mapping: the root device {root} has no snapshot")
    mappings.sort(key=lambda mapping: mapping.device != root)
    ident = simulator.ec2.register(
        response.region,
        name=name,
        mappings=mappings,
        platform_details="Linux/UNIX",
        usage="RunInstances",
        description=spec.get("Description") or "",
        architecture=spec.get("Architecture") or "i386",
        boot_mode=spec.get("BootMode"),
        ena_support=bool(spec.get("EnaSupport")),
        root_device_name=root,
    )
    backend.create_tags([ident], response._parse_tag_specification().get("image", {}))
    return ActionResult({"ImageId": ident})


def _mapping(item: dict[str, Any], backend: Any) -> Mapping:
    ebs = item["Ebs"]
    ident, size, encrypted = ebs.get("SnapshotId"), ebs.get("VolumeSize"), bool(ebs.get("Encrypted"))
    if ident:
        snapshot = backend.snapshots.get(ident)
        if snapshot is None:
            raise refuse("InvalidSnapshot.NotFound", f"The snapshot '{ident}' does not exist.")
        if snapshot.status != "completed":
            raise refuse("IncorrectState", f"The snapshot '{ident}' is not completed.")
        if size and size < snapshot.volume.size:
            text = (
                f"Volume of size {size}GB is smaller than snapshot '{ident}', expect size >= {snapshot.volume.size}GB"
            )
            raise refuse("InvalidBlockDeviceMapping", text)
        size, encrypted = size or snapshot.volume.size, snapshot.encrypted
    if not size:
        raise refuse("MissingParameter", "The request must contain the parameter size or snapshotId")
    keep = ebs.get("DeleteOnTermination")
    return Mapping(
        str(item.get("DeviceName") or ""),
        ident,
        size,
        encrypted,
        keep is not False,
        str(ebs.get("VolumeType") or "gp2"),
    )


def delete_snapshot(response: Any, simulator: Any) -> ActionResult:
    response.error_on_dryrun()
    ident, backend = str(response._get_param("SnapshotId")), response.ec2_backend
    snapshot = backend.get_snapshot(ident)
    if not isinstance(snapshot, StoredSnapshot):
        backend.delete_snapshot(ident)
        return EmptyResult()
    image = simulator.ec2.image_of(response.region, ident)
    if image:
        raise refuse("InvalidSnapshot.InUse", f"The snapshot {ident} is currently in use by {image}")
    simulator.ec2.hide_snapshot(simulator.snapshots.get(ident))
    return EmptyResult()


def copy_snapshot(response: Any, simulator: Any) -> ActionResult:
    """A copy is a child that changes nothing, so it shares the bytes; it is ready at once."""
    response.error_on_dryrun()
    spec = dict(response.params)
    source = simulator.snapshots.get(str(spec.get("SourceSnapshotId")))
    if source is None or source.region != spec.get("SourceRegion"):
        raise refuse("InvalidSnapshot.NotFound", f"The snapshot '{spec.get('SourceSnapshotId')}' does not exist.")
    if source.state != "completed":
        raise refuse("IncorrectState", f"The snapshot '{source.id}' is not completed.")
    encrypted = source.encrypted or bool(spec.get("Encrypted") or spec.get("KmsKeyId"))
    key = str(spec.get("KmsKeyId") or (simulator.ec2.default_key(response.region) if encrypted else ""))
    tags = response._parse_tag_specification().get("snapshot", {})
    info = simulator.snapshots.create(
        region=response.region,
        size_gib=source.size_gib,
        description=str(spec.get("Description") or ""),
        parent=source.id,
        encrypted=encrypted,
        kms_key=key,
        tags=tags,
        state="completed",
    )
    simulator.ec2.show_snapshot(info)
    return ActionResult({"SnapshotId": info.id, "Tags": [{"Key": k, "Value": v} for k, v in tags.items()]})


OPERATIONS: tuple[Operation, ...] = (register_image, delete_snapshot, copy_snapshot)
