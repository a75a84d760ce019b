"""EC2 instances of images: strict about what may start; they boot on the simulator's clock from their disks' bytes."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import Any

from moto.core.responses import ActionResult, EmptyResult
from moto.ec2.models.instance_types import INSTANCE_TYPE_OFFERINGS, INSTANCE_TYPES
from moto.ec2.responses.instances import InstanceResponse
from moto.ec2.responses.security_groups import SecurityGroups

from vmie_tui.simulators.aws.console import Boot, boot
from vmie_tui.simulators.aws.ec2_models import StoredImage, bill_as
from vmie_tui.simulators.aws.moto_extensions import Operation, refuse
from vmie_tui.simulators.aws.stored_disk import StoredDisk
from vmie_tui.simulators.aws.volume_data import content_of

MAX_VCPUS = 64  # running on-demand standard instances, per Region
RUNNING_SECONDS, CONSOLE_SECONDS, CHECKED_SECONDS = 8.0, 30.0, 90.0  # of the simulator's clock, after the launch
PAGE_BOUNDS = (5, 100)  # MaxResults of DescribeInstanceTypes


class _Life:
    """The state of an instance: pending, then running by itself, then what moto sets."""

    def __init__(self, now: Callable[[], float], ready_at: float) -> None:
        self._now, self._ready_at = now, ready_at
        self._name, self._code = "", -1

    @property
    def name(self) -> str:
        return self._name or ("running" if self._now() >= self._ready_at else "pending")

    @name.setter
    def name(self, value: str) -> None:
        self._name = value

    @property
    def code(self) -> int:
        if self._code >= 0:
            return self._code
        return 16 if self._now() >= self._ready_at else 0

    @code.setter
    def code(self, value: int) -> None:
        self._code = value


# launching


def run_instances(response: Any, simulator: Any) -> ActionResult:
    params, backend = response.params, response.ec2_backend
    token = str(params.get("ClientToken") or "")
    image, kind = str(params.get("ImageId") or ""), str(params.get("InstanceType") or "m1.small")
    again = _by_token(backend, token)
    if again is not None:
        if any((one.image_id, one.instance_type) != (image, kind) for one in again.instances):
            text = "Arguments on this idempotent request are inconsistent with arguments used in previous request(s)."
            raise refuse("IdempotentParameterMismatch", text)
        return ActionResult(again)
    stored = _image(backend, image)
    if isinstance(stored, StoredImage):
        _check_type(stored, kind, response.region)
        params["BlockDeviceMappings"] = _mappings(stored, params.get("BlockDeviceMappings") or ())
    _check_network(backend, params)
    _check_quota(backend, kind, int(params.get("MaxCount") or 1))
    key = params.get("KeyName")
    if key and key not in backend.key_pairs:
        raise refuse("InvalidKeyPair.NotFound", f"The key pair '{key}' does not exist")
    for card in params.get("NetworkInterfaces") or ():
        if not card.get("NetworkInterfaceId"):
            card.setdefault("DeleteOnTermination", True)
    known = set(backend.reservations)
    result = InstanceResponse.run_instances(response)
    now = simulator.clock.now
    for ident in set(backend.reservations) - known:
        for instance in backend.reservations[ident].instances:
            instance._state = _Life(now, now() + RUNNING_SECONDS)
            instance.launched_at = now()
            bill_as(instance, stored)
            _give_groups(instance, backend)
    return result


def _give_groups(instance: Any, backend: Any) -> None:
    """moto forgets the groups of a network card, and that there is always one."""
    if not instance.security_groups:
        groups = [group for card in instance.nics.values() for group in card.group_set]
        default = backend.get_security_group_by_name_or_id("default", instance.vpc_id)
        instance.security_groups = groups or ([default] if default else [])


def _by_token(backend: Any, token: str) -> Any:
    if not token:
        return None
    for reservation in backend.reservations.values():
        if any(one.client_token == token for one in reservation.instances):
            return reservation
    return None


def _image(backend: Any, ident: str) -> Any:
    image = backend.amis.get(ident)
    if image is None:
        raise refuse("InvalidAMIID.NotFound", f"The image id '[{ident}]' does not exist")
    if image.state != "available":
        raise refuse("InvalidAMIID.Unavailable", f"The AMI ID '{ident}' is currently not available")
    return image


def _check_type(image: StoredImage, kind: str, region: str) -> None:
    data = INSTANCE_TYPES.get(kind)
    if data is None or kind not in _offered(region):
        raise refuse("InvalidParameterValue", f"Invalid value '{kind}' for InstanceType.")
    architectures = data["ProcessorInfo"]["SupportedArchitectures"]
    if image.architecture not in architectures:
        text = (
            f"The architecture '{','.join(architectures)}' of the specified instance type does not match the "
            f"architecture '{image.architecture}' of the specified AMI. Specify an instance type and an AMI that have "
            "matching architectures, and try again. You can use 'describe-instance-types' or 'describe-images' to "
            "discover the architecture of the instance type or AMI."
        )
        raise refuse("InvalidParameterValue", text)
    if image.boot_mode in {"uefi", "legacy-bios"} and image.boot_mode not in data.get("SupportedBootModes", ()):
        text = f"The instance type '{kind}' does not support an AMI with the '{image.boot_mode}' boot mode."
        raise refuse("InvalidParameterCombination", text)
    if data["NetworkInfo"].get("EnaSupport") == "required" and not image.ena_support:
        text = (
            "Enhanced networking with the Elastic Network Adapter (ENA) is required for the "
            f"'{kind}' instance type. Ensure that you are using an AMI that is enabled for ENA."
        )
        raise refuse("InvalidParameterCombination", text)


def _offered(region: str) -> set[str]:
    offerings: dict[str, list[dict[str, str]]] = INSTANCE_TYPE_OFFERINGS["region"]
    return {entry["InstanceType"] for entry in offerings.get(region, ())}


def _mappings(image: StoredImage, asked: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """The volumes of an instance: the image's, changed by what the caller asks for."""
    mine = {item["DeviceName"]: dict(item["Ebs"]) for item in image.block_device_mappings if "Ebs" in item}
    for item in asked:
        device, ebs = str(item.get("DeviceName") or ""), dict(item.get("Ebs") or {})
        if "NoDevice" in item:
            mine.pop(device, None)
            continue
        base = mine.get(device, {})
        if ebs.get("VolumeSize") and base and int(ebs["VolumeSize"]) < int(base["VolumeSize"]):
            text = (
                f"Volume of size {ebs['VolumeSize']}GB is smaller than snapshot '{base['SnapshotId']}', "
                f"expect size >= {base['VolumeSize']}GB"
            )
            raise refuse("InvalidBlockDeviceMapping", text)
        if not base and not ebs.get("SnapshotId") and not ebs.get("VolumeSize"):
            raise refuse("MissingParameter", "The request must contain the parameter size or snapshotId")
        mine[device] = {**base, **ebs}
    wanted = ("SnapshotId", "VolumeSize", "DeleteOnTermination", "VolumeType", "Encrypted")
    return [
        {"DeviceName": device, "Ebs": {name: ebs[name] for name in wanted if ebs.get(name) is not None}}
        for device, ebs in mine.items()
    ]


def _check_network(backend: Any, params: Any) -> None:
    cards = params.get("NetworkInterfaces") or ()
    placed = params.get("SubnetId") or any(card.get("SubnetId") or card.get("NetworkInterfaceId") for card in cards)
    if not placed and backend.get_default_vpc() is None:
        raise refuse("VPCIdNotSpecified", "No default VPC for this user. GroupName is only supported for EC2-Classic.")


def _check_quota(backend: Any, kind: str, count: int) -> None:
    alive = [
        instance
        for reservation in backend.reservations.values()
        for instance in reservation.instances
        if instance.state in {"pending", "running"}
    ]
    used = sum(_vcpus(instance.instance_type) for instance in alive)
    if used + count * _vcpus(kind) > MAX_VCPUS:
        text = (
            f"You have requested more vCPU capacity than your current vCPU limit of {MAX_VCPUS} allows for the "
            "instance bucket that the specified instance type belongs to. Please visit "
            "http://aws.amazon.com/contact-us/ec2-request to request an adjustment to this limit."
        )
        raise refuse("VcpuLimitExceeded", text)


def _vcpus(kind: str) -> int:
    data = INSTANCE_TYPES.get(kind) or {}
    return int((data.get("VCpuInfo") or {}).get("DefaultVCpus") or 1)


def describe_instance_types(response: Any, simulator: Any) -> ActionResult:
    params = response.params
    limit, names = params.get("MaxResults"), list(params.get("InstanceTypes") or ())
    if limit is not None and (names or not PAGE_BOUNDS[0] <= int(limit) <= PAGE_BOUNDS[1]):
        text = f"Value ( {limit} ) for parameter maxResults is invalid. Expecting a value from 5 to 100, and no names."
        raise refuse("InvalidParameterValue", text)
    offered = _offered(response.region)
    found = response.ec2_backend.describe_instance_types(names, response._filters_from_querystring())
    found = sorted((one for one in found if one["InstanceType"] in offered), key=lambda one: str(one["InstanceType"]))
    start = _page_start(str(params.get("NextToken") or ""))
    stop = start + int(limit) if limit else len(found)
    answer: dict[str, Any] = {"InstanceTypes": found[start:stop]}
    if stop < len(found):
        answer["NextToken"] = base64.b64encode(f"types:{stop}".encode()).decode()
    return ActionResult(answer)


def _page_start(token: str) -> int:
    if not token:
        return 0
    kind, _, number = base64.b64decode(token + "==").decode("ascii", "replace").partition(":")
    if kind != "types" or not number.isdigit():
        raise refuse("InvalidParameterValue", "The token is not valid")
    return int(number)


# running


def describe_instance_status(response: Any, simulator: Any) -> ActionResult:
    everything = bool(response.params.get("IncludeAllInstances"))
    filters = [{"name": name, "values": values} for name, values in response._filters_from_querystring().items()]
    found = response.ec2_backend.describe_instance_status(
        list(response.params.get("InstanceIds") or ()), everything, filters
    )
    return ActionResult({"InstanceStatuses": [_status(one, simulator) for one in found]})


def _status(instance: Any, simulator: Any) -> dict[str, Any]:
    state = {"Name": instance.state, "Code": instance.state_code}
    system, guest = _checks(instance, simulator)
    return {
        "InstanceId": instance.id,
        "AvailabilityZone": instance.placement.zone,
        "InstanceState": state,
        "SystemStatus": _check(system),
        "InstanceStatus": _check(guest),
    }


def _check(status: str) -> dict[str, Any]:
    if status == "not-applicable":
        return {"Status": status}
    details = {"ok": "passed", "impaired": "failed"}.get(status, status)
    return {"Status": status, "Details": [{"Name": "reachability", "Status": details}]}


def _checks(instance: Any, simulator: Any) -> tuple[str, str]:
    """(system, instance) status: initializing, then what the start has come to."""
    if instance.state != "running":
        return "not-applicable", "not-applicable"
    age = _age(instance, simulator)
    if age is None:
        return "ok", "ok"
    if age < CHECKED_SECONDS:
        return "initializing", "initializing"
    return "ok", "ok" if _boot(instance, simulator).healthy else "impaired"


def _age(instance: Any, simulator: Any) -> float | None:
    """Seconds of the simulator's clock since the launch; None for one that was not launched by a call."""
    launched = getattr(instance, "launched_at", None)
    return None if launched is None else simulator.clock.now() - launched


def _boot(instance: Any, simulator: Any) -> Boot:
    """How the instance started, found out once."""
    made: Boot | None = getattr(instance, "sim_boot", None)
    if made is None:
        image = instance.ec2_backend.amis.get(instance.image_id)
        disks = []
        devices = sorted(instance.get_block_device_mapping, key=lambda item: item[0] != instance.root_device_name)
        for _, block in devices:
            info = content_of(instance.ec2_backend.volumes[block.volume_id], simulator.snapshots)
            if info is not None:
                disks.append(StoredDisk(simulator.snapshots, info.id, info.size_gib))
        mode = getattr(image, "boot_mode", "") or ("uefi" if instance.architecture == "arm64" else "legacy-bios")
        host = "ip-" + str(instance.private_ip).replace(".", "-")
        converted = image is None or getattr(image, "converted", False)  # ImportInstance makes no image
        made = instance.sim_boot = boot(
            disks, mode=mode, instance_type=instance.instance_type, host=host, converted=converted
        )
    return made


def get_console_output(response: Any, simulator: Any) -> ActionResult:
    instance = response.ec2_backend.get_instance(str(response.params.get("InstanceId")))
    data = INSTANCE_TYPES.get(instance.instance_type) or {}
    if response.params.get("Latest") and data.get("Hypervisor") != "nitro":
        raise refuse("UnsupportedOperation", "Retrieving the latest console output is not supported for this instance.")
    age, text = _age(instance, simulator), ""
    if instance.state != "pending" and (age is None or age >= CONSOLE_SECONDS):
        text = _boot(instance, simulator).text
    answer: dict[str, Any] = {"InstanceId": instance.id, "Timestamp": datetime.now(UTC).replace(tzinfo=None)}
    if text:
        answer["Output"] = base64.b64encode(text.encode()).decode()
    return ActionResult(answer)


def get_console_screenshot(response: Any, simulator: Any) -> ActionResult:
    response.error_on_dryrun()
    instance = response.ec2_backend.get_instance(str(response.params.get("InstanceId")))
    if instance.architecture == "arm64" or ".metal" in instance.instance_type:
        raise refuse("UnsupportedOperation", f"Instance {instance.id} does not support console screenshots.")
    if instance.state != "running":
        text = f"The instance '{instance.id}' is not in a state from which a screenshot can be taken."
        raise refuse("IncorrectInstanceState", text)
    picture = _boot(instance, simulator).screenshot()
    return ActionResult({"InstanceId": instance.id, "ImageData": base64.b64encode(picture).decode()})


def terminate_instances(response: Any, simulator: Any) -> ActionResult:
    """Terminating what is terminated is no error."""
    backend, wanted = response.ec2_backend, list(response.params.get("InstanceIds") or ())
    alive = [ident for ident in wanted if backend.get_instance(ident).state != "terminated"]
    if wanted and not alive:
        state = {"Name": "terminated", "Code": 48}
        done = [{"InstanceId": ident, "CurrentState": state, "PreviousState": state} for ident in wanted]
        return ActionResult({"TerminatingInstances": done})
    response.params["InstanceIds"] = alive
    result: ActionResult = InstanceResponse.terminate_instances(response)
    return result


def delete_security_group(response: Any, simulator: Any) -> ActionResult:
    ident = str(response.params.get("GroupId") or "")
    if ident:
        for reservation in response.ec2_backend.reservations.values():
            for instance in reservation.instances:
                if instance.state != "terminated" and _uses(instance, ident):
                    raise refuse("DependencyViolation", f"resource {ident} has a dependent object")
    answer: ActionResult = SecurityGroups.delete_security_group(response)
    return answer or EmptyResult()


def _uses(instance: Any, group: str) -> bool:
    groups = [*instance.security_groups, *(g for card in instance.nics.values() for g in card.group_set)]
    return any(one.id == group for one in groups)


OPERATIONS: tuple[Operation, ...] = (
    run_instances,
    describe_instance_types,
    describe_instance_status,
    get_console_output,
    get_console_screenshot,
    terminate_instances,
    delete_security_group,
)
