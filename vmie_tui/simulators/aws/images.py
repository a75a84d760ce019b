"""EC2 calls that moto has, but that must know the snapshot store: images, copies, volumes and deleted snapshots."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from moto.core.responses import ActionResult, EmptyResult
from moto.ec2.models.elastic_block_store import Volume
from moto.ec2.responses.amis import AmisResponse
from moto.ec2.responses.elastic_block_store import ElasticBlockStore

from vmie_tui.simulators.aws.ec2_models import Mapping, StoredImage, StoredSnapshot
from vmie_tui.simulators.aws.moto_extensions import Operation, refuse

ARCHITECTURES = frozenset({"i386", "x86_64", "arm64", "x86_64_mac", "arm64_mac"})
COPY_SECONDS = 40.0  # a copy of an image, of the simulator's clock


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
    if len({mapping.device for mapping in mappings}) != len(mappings):
        raise refuse("InvalidBlockDeviceMapping", "Invalid device mapping: a device name occurs twice")
    mappings.sort(key=lambda mapping: mapping.device != root)
    _check_boot(spec)
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
        virtual_devices={
            str(item.get("DeviceName") or ""): str(item["VirtualName"])
            for item in spec.get("BlockDeviceMappings") or ()
            if "VirtualName" in item
        },
    )
    backend.create_tags([ident], response._parse_tag_specification().get("image", {}))
    return ActionResult({"ImageId": ident})


def _check_boot(spec: dict[str, Any]) -> None:
    architecture, mode = str(spec.get("Architecture") or "i386"), spec.get("BootMode")
    if architecture not in ARCHITECTURES:
        raise refuse("InvalidParameterValue", f"Value ({architecture}) for parameter architecture is invalid.")
    if mode not in {None, "legacy-bios", "uefi", "uefi-preferred"}:
        raise refuse("InvalidParameterValue", f"Value ({mode}) for parameter bootMode is invalid.")
    if architecture.startswith("arm64") and mode not in {None, "uefi"}:
        raise refuse("InvalidParameterCombination", f"The boot mode {mode} is not supported for {architecture}.")
    if spec.get("TpmSupport") and mode != "uefi":
        raise refuse("InvalidParameterCombination", "TpmSupport requires the boot mode uefi.")
    if spec.get("VirtualizationType") != "hvm" and architecture != "i386":
        text = "EnaSupport, boot modes and this architecture need the virtualization type hvm."
        raise refuse("InvalidParameterCombination", text)


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
    info = simulator.snapshots.get(ident)
    simulator.ec2.part_volumes(info)
    simulator.ec2.hide_snapshot(info)
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
    tags = response._parse_tag_specification().get("snapshot", {})
    info = _copied(response, simulator, source, spec, tags=tags, state="completed")
    return ActionResult({"SnapshotId": info.id, "Tags": [{"Key": k, "Value": v} for k, v in tags.items()]})


def _copied(response: Any, simulator: Any, source: Any, spec: dict[str, Any], **more: Any) -> Any:
    """A snapshot with the bytes of ``source`` in the Region that is called, encrypted as its rules say."""
    region, wanted = response.region, str(spec.get("KmsKeyId") or "")
    encrypted = bool(source.encrypted or spec.get("Encrypted") or simulator.ec2.encrypted_by_default(region))
    if wanted and not (encrypted and simulator.ec2.key_arn(region, wanted)):
        raise refuse("InvalidParameterValue", f"The KMS key {wanted} does not exist, or Encrypted is not set.")
    key = simulator.ec2.key_arn(region, wanted) if wanted else simulator.ec2.default_key(region) if encrypted else ""
    info = simulator.snapshots.create(
        region=region,
        size_gib=source.size_gib,
        description=str(spec.get("Description") or ""),
        parent=source.id,
        encrypted=encrypted,
        kms_key=key,
        **more,
    )
    simulator.ec2.show_snapshot(info)
    return info


def copy_image(response: Any, simulator: Any) -> ActionResult:
    """An image of snapshots with the same bytes in the Region that is called; pending while they are copied."""
    response.error_on_dryrun()
    spec, backend = dict(response.params), response.ec2_backend
    name, ident, origin = str(spec.get("Name") or ""), str(spec.get("SourceImageId")), str(spec.get("SourceRegion"))
    token = str(spec.get("ClientToken") or "")
    again = next((image for image in backend.amis.values() if token and _token(image) == token), None)
    if again is not None:
        return ActionResult({"ImageId": again.id})
    if not 3 <= len(name) <= 128:
        raise refuse("InvalidAMIName.Malformed", "AMI names must be between 3 and 128 characters long")
    source = simulator.ec2.backend(origin).amis.get(ident)
    if not isinstance(source, StoredImage):
        raise refuse("InvalidAMIID.NotFound", f"The image id '[{ident}]' does not exist")
    if source.state != "available":
        raise refuse("InvalidAMIID.Unavailable", f"The image ID '{ident}' is not available")
    fault = simulator.faults.take("CopyImage", f"{ident} {response.region}", "fail-task")
    tags = response._parse_tag_specification()
    note = {"Description": f"Copied for DestinationAmi from SourceAmi {ident}"}
    ready = simulator.clock.now() + COPY_SECONDS
    mappings = []
    for mapping in source.mappings:
        old = simulator.snapshots.get(mapping.snapshot) if mapping.snapshot else None
        if mapping.snapshot and old is None:
            raise refuse("InvalidRequest", f"The snapshot {mapping.snapshot} of the image does not exist.")
        if old is None:
            mappings.append(mapping)
            continue
        made = _copied(response, simulator, old, {**spec, **note}, tags=tags.get("snapshot", {}), ready_at=ready)
        mappings.append(replace(mapping, snapshot=made.id, encrypted=made.encrypted))
    made_id = simulator.ec2.register(
        response.region,
        name=name,
        mappings=mappings,
        platform_details=source.platform_details,
        usage=source.usage_operation,
        description=str(spec.get("Description") or source.description),
        architecture=source.architecture,
        boot_mode=source.boot_mode,
        ena_support=source.ena_support,
        root_device_name=source.root_device_name,
        tpm_support=source.tpm_support,
        converted=source.converted,
        client_token=token,
        failure=(fault.message or "The image could not be copied.") if fault else "",
    )
    backend.create_tags([made_id], tags.get("image", {}))
    return ActionResult({"ImageId": made_id})


def _token(image: Any) -> str:
    return str(getattr(image, "client_token", ""))


def create_volume(response: Any, simulator: Any) -> ActionResult:
    """moto's, but for what it lets pass: zones and snapshots that are not there, sizes too small, a repeated token."""
    spec, backend = response.params, response.ec2_backend
    zone, ident, token = str(spec.get("AvailabilityZone")), spec.get("SnapshotId"), str(spec.get("ClientToken") or "")
    again = next((one for one in backend.volumes.values() if token and _token(one) == token), None)
    if again is not None:
        return ActionResult(again)
    if backend.get_zone_by_name(zone) is None:
        raise refuse("InvalidZone.NotFound", f"The zone '{zone}' does not exist.")
    if ident:
        snapshot = backend.snapshots.get(ident)
        if snapshot is None:
            raise refuse("InvalidSnapshot.NotFound", f"The snapshot '{ident}' does not exist.")
        if snapshot.status != "completed":
            raise refuse("IncorrectState", f"Snapshot '{ident}' is in invalid state - {snapshot.status}")
        least = int(snapshot.volume.size)
        if spec.get("Size") and int(spec["Size"]) < least:
            text = f"Volume of size {spec['Size']}GB is smaller than snapshot '{ident}', expect size >= {least}GB"
            raise refuse("InvalidParameterValue", text)
    if simulator.ec2.encrypted_by_default(response.region):
        spec["Encrypted"] = True
    known = set(backend.volumes)
    fault = simulator.faults.take("CreateVolume", f"{ident} {zone}", "fail-task")
    result = ElasticBlockStore.create_volume(response)
    for made in set(backend.volumes) - known:
        backend.volumes[made].client_token = token
        if fault:
            backend.volumes[made].__class__ = FailedVolume
    return result


class FailedVolume(Volume):  # type: ignore[misc]
    """One EC2 could not make, as without the right to use the snapshot's KMS key."""

    @property
    def status(self) -> str:
        return "error"


def attach_volume(response: Any, simulator: Any) -> ActionResult:
    """moto's, but for volumes in another zone or in use, and device names that are taken."""
    spec, backend = response.params, response.ec2_backend
    volume, instance = backend.get_volume(str(spec["VolumeId"])), backend.get_instance(str(spec["InstanceId"]))
    device = str(spec.get("Device") or "")
    if volume.attachment is not None:
        raise refuse("VolumeInUse", f"{volume.id} is already attached to an instance")
    if volume.zone is not None and volume.zone.name != instance.placement.zone:
        text = f"The volume '{volume.id}' is not in the same availability zone as instance '{instance.id}'"
        raise refuse("InvalidVolume.ZoneMismatch", text)
    if instance.state not in {"running", "stopped"}:
        raise refuse("IncorrectState", f"Instance '{instance.id}' is not 'running' or 'stopped'.")
    if device in instance.block_device_mapping:
        text = f"Invalid value '{device}' for unixDevice. Attachment point {device} is already in use"
        raise refuse("InvalidParameterValue", text)
    result: ActionResult = ElasticBlockStore.attach_volume(response)
    return result


def describe_image_attribute(response: Any, _: Any) -> ActionResult:
    """moto's, which fails for an image that is not there."""
    ident = str(response.params.get("ImageId"))
    if ident not in response.ec2_backend.amis:
        raise refuse("InvalidAMIID.NotFound", f"The image id '[{ident}]' does not exist")
    return AmisResponse.describe_image_attribute(response)


OPERATIONS: tuple[Operation, ...] = (
    describe_image_attribute,
    register_image,
    delete_snapshot,
    copy_snapshot,
    copy_image,
    create_volume,
    attach_volume,
)
