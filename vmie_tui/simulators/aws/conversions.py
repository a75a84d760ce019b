"""The calls of the instance route: ImportInstance, ImportVolume, DescribeConversionTasks, CancelConversionTask.

Refused at once: what the request and the manifest say themselves (Region, platform, instance type, one volume, format,
sizes). Codes are those of the EC2 API Reference, "Error codes" (InvalidFormat, DiskImageSizeTooLarge,
InvalidConversionTaskId, DeleteConversionTaskError, Unsupported); texts are the guides' where they print one.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any, Protocol

from moto.core.responses import ActionResult, EmptyResult

from vmie_tui.model import facts
from vmie_tui.model.task import TaskKind
from vmie_tui.simulators.aws import conversion_tasks, presigned
from vmie_tui.simulators.aws.conversion_tasks import Conversion, Conversions, bootable, first_sectors, summary
from vmie_tui.simulators.aws.history import History
from vmie_tui.simulators.aws.import_tasks import doom
from vmie_tui.simulators.aws.manifest import Manifest, ManifestError, parse
from vmie_tui.simulators.aws.moto_extensions import Operation, refuse
from vmie_tui.simulators.aws.snapshots import new_id
from vmie_tui.simulators.aws.wire import ApiError
from vmie_tui.simulators.control import Faults

PLATFORMS = ("Windows", "Linux")  # the API model names Windows alone; the EC2 CLI tools sent either
DEFAULT_TYPE = "m1.small"
TASK_ID = re.compile(r"import-(i|vol)-[0-9a-z]{8,}")


class Simulator(conversion_tasks.ConversionWorld, Protocol):
    """What the operations need of the simulator."""

    account: str
    faults: Faults
    conversions: Conversions
    history: History
    max_tasks: int

    def running(self, region: str) -> int: ...


def import_instance(response: Any, simulator: Simulator) -> ActionResult:
    response.error_on_dryrun()
    spec = dict(response.params)
    launch = dict(spec.get("LaunchSpecification") or {})
    platform = str(spec.get("Platform") or "")
    if not platform:
        raise refuse("MissingParameter", "The request must contain the parameter platform")
    _check_region(response.region, "ImportInstance")
    if platform not in PLATFORMS:
        raise refuse("InvalidParameterValue", f"Invalid value '{platform}' for platform")
    _check_launch(launch, platform)
    disks = list(spec.get("DiskImages") or ())
    if len(disks) != 1:
        raise refuse(
            "InvalidParameterValue" if disks else "MissingParameter",
            f"ImportInstance supports single-volume VMs only; {len(disks)} disk images were given",
        )
    image, volume = dict(disks[0].get("Image") or {}), dict(disks[0].get("Volume") or {})
    task = _task(response, simulator, "instance", image, volume, str(spec.get("Description") or ""))
    task.platform, task.instance_type = platform, str(launch.get("InstanceType") or "")
    head = first_sectors(simulator, task.manifest)
    if head and not bootable(head):
        raise refuse("Unsupported", "No bootable partition found.")
    task.instance_id, task.zone = _instance(response, launch, platform)
    return _started(simulator, task)


def import_volume(response: Any, simulator: Simulator) -> ActionResult:
    response.error_on_dryrun()
    spec = dict(response.params)
    _check_region(response.region, "ImportVolume")
    zone = str(spec.get("AvailabilityZone") or "")
    if not zone:
        raise refuse("MissingParameter", "The request must contain the parameter availabilityZone")
    zones = {item.name for item in response.ec2_backend.describe_availability_zones()}
    if zone not in zones:
        raise refuse("InvalidParameterValue", f"Invalid availability zone: [{zone}]")
    image, volume = dict(spec.get("Image") or {}), dict(spec.get("Volume") or {})
    task = _task(response, simulator, "volume", image, volume, str(spec.get("Description") or ""))
    task.zone = zone
    return _started(simulator, task)


def _started(simulator: Simulator, task: Conversion) -> ActionResult:
    simulator.conversions.start(task)
    return ActionResult({"ConversionTask": _view(task, simulator.clock.now(), [])})


def _check_region(region: str, operation: str) -> None:
    listed = facts.load("constraints")["instance_import"]["regions"]
    if not any(region in some for some in listed.values()):
        raise refuse("UnsupportedOperation", f"{operation} is not supported in {region}")


def _check_launch(launch: dict[str, Any], platform: str) -> None:
    kind = str(launch.get("InstanceType") or DEFAULT_TYPE)
    types = facts.load("constraints")["instance_import"]["linux_instance_types"]
    if platform == "Linux" and not any(kind in some for some in types.values() if isinstance(some, list)):
        raise refuse("Unsupported", str(facts.error("E28")["message"]))
    architecture = str(launch.get("Architecture") or "x86_64")
    if architecture not in {"i386", "x86_64"} or (platform == "Linux" and architecture == "i386"):
        raise refuse("InvalidParameterValue", f"Invalid value '{architecture}' for architecture")
    if dict(launch.get("Placement") or {}).get("Tenancy") == "host":
        raise refuse("Unsupported", "Bring-your-own-license is not supported for instance import")


def _task(
    response: Any, simulator: Simulator, kind: str, image: dict[str, Any], volume: dict[str, Any], description: str
) -> Conversion:
    """The task a request asks for, its manifest read; refuses what can be seen from these alone."""
    for name, given in (("format", image.get("Format")), ("importManifestUrl", image.get("ImportManifestUrl"))):
        if not given:
            raise refuse("MissingParameter", f"The request must contain the parameter {name}")
    formats = facts.load("formats")["image_formats"][f"import_{kind}"]["formats"]
    if image["Format"] not in formats:
        raise refuse("InvalidFormat", str(facts.error("E07")["message"]))
    size, gib = int(image.get("Bytes") or 0), int(volume.get("Size") or 0)
    if size <= 0:
        raise refuse("InvalidParameter", str(facts.error("E07")["message"]))
    if gib <= 0:
        raise refuse("MissingParameter", "The request must contain the parameter size")
    limit = int(facts.limit("import", "disk_image_size_max").get("value_tib", 16))
    if gib >= limit * 1024:
        raise refuse("DiskImageSizeTooLarge", f"The disk image exceeds the allowed limit of {limit} TiB")
    url = str(image["ImportManifestUrl"])
    manifest = _manifest(simulator, url)
    _check_manifest(manifest, image, size, gib)
    _check_place(simulator, response.region, url)
    _check_room(simulator, response.region)
    operation = f"Import{kind.capitalize()}"
    fault = simulator.faults.take(operation, "/".join(presigned.place(url)), "fail-task")
    return Conversion(
        new_id("import-i" if kind == "instance" else "import-vol"),
        kind,
        response.region,
        simulator.clock.now(),
        f"{response.region}a",
        url,
        manifest,
        gib,
        description,
        doom=doom("snapshot", fault.code, fault.message)[1] if fault else "",
    )


def _manifest(simulator: Simulator, url: str) -> Manifest:
    try:
        return parse(presigned.read(simulator, url))
    except ApiError as error:
        raise refuse("InvalidParameterValue", f"The import manifest cannot be read: {error}") from error
    except ManifestError as error:
        raise refuse("InvalidManifest", f"The import manifest is not valid: {error}") from error


def _check_manifest(manifest: Manifest, image: dict[str, Any], size: int, gib: int) -> None:
    if manifest.format != image["Format"]:
        raise refuse("InvalidFormat", f"The manifest is for {manifest.format}, the request for {image['Format']}")
    if manifest.size != size:
        raise refuse("InvalidParameterValue", f"The manifest is for {manifest.size} bytes, the request for {size}")
    if manifest.volume_gib > gib:
        text = f"The manifest is for a volume of {manifest.volume_gib} GiB, the request for {gib}"
        raise refuse("InvalidParameterValue", text)


def _check_place(simulator: Simulator, region: str, url: str) -> None:
    bucket, _ = presigned.place(url)
    where = simulator.s3.bucket_region(bucket)
    if where != region:
        raise refuse("InvalidParameter", str(facts.error("E14")["message"]))


def _check_room(simulator: Simulator, region: str) -> None:
    if simulator.running(region) >= simulator.max_tasks:
        text = f"You have reached the limit of {simulator.max_tasks} concurrent conversion tasks in this Region"
        raise refuse("ResourceCountLimitExceeded", text)


def _instance(response: Any, launch: dict[str, Any], platform: str) -> tuple[str, str]:
    """(id, zone) of a stopped instance that has no disk yet; it cannot be started before it has one (E18)."""
    backend = response.ec2_backend
    reservation = backend.run_instances(
        None,
        1,
        None,
        list(launch.get("GroupNames") or ()),
        security_group_ids=list(launch.get("GroupIds") or ()),
        instance_type=str(launch.get("InstanceType") or DEFAULT_TYPE),
        is_instance_type_default=not launch.get("InstanceType"),
        placement=dict(launch.get("Placement") or {}).get("AvailabilityZone"),
        region_name=response.region,
        subnet_id=launch.get("SubnetId"),
        block_device_mappings=[],
        tags={},
    )
    instance = reservation.instances[0]
    instance.stop()
    instance.platform = "windows" if platform == "Windows" else None
    instance.architecture = str(launch.get("Architecture") or "x86_64")
    instance.virtualization_type, instance.root_device_name = "hvm", conversion_tasks.ROOT
    start = instance.start

    def start_with_disk() -> Any:
        if conversion_tasks.ROOT not in instance.block_device_mapping:
            text = str(facts.error("E18")["message"]).replace("<instance ID>", f"'{instance.id}'")
            raise refuse("InvalidParameterValue", text.partition(": ")[2])
        return start()

    instance.start = start_with_disk
    return str(instance.id), str(instance._placement.zone)


def _view(task: Conversion, now: float, tags: list[dict[str, str]]) -> dict[str, Any]:
    ends = datetime.fromtimestamp(task.expires, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return {**summary(task, now), "ExpirationTime": ends, **({"Tags": tags} if tags else {})}


def describe_conversion_tasks(response: Any, simulator: Simulator) -> ActionResult:
    response.error_on_dryrun()
    known = {task.id: task for task in simulator.conversions.tasks(response.region)}
    past = {task.id: task for task in simulator.history.tasks(TaskKind.CONVERSION, response.region)}
    wanted = list(response._get_param("ConversionTaskIds") or ())
    chosen = [_known(known, ident) for ident in wanted if ident not in past] if wanted else list(known.values())
    now = simulator.clock.now()
    found = [task.view(now) for task in past.values() if not wanted or task.id in wanted]
    found += [_view(task, now, _tags(task, response)) for task in chosen]
    return ActionResult({"ConversionTasks": found})


def _known(known: dict[str, Conversion], ident: str) -> Conversion:
    if not TASK_ID.fullmatch(ident):
        raise refuse("InvalidConversionTaskId.Malformed", f"The task ID '{ident}' is malformed")
    if ident not in known:
        raise refuse("InvalidConversionTaskId", f"The task ID '{ident}' does not exist")
    return known[ident]


def _tags(task: Conversion, response: Any) -> list[dict[str, str]]:
    found = response.ec2_backend.describe_tags(filters={"resource-id": [task.id]})
    return [{"Key": tag["key"], "Value": tag["value"]} for tag in found]


def cancel_conversion_task(response: Any, simulator: Simulator) -> ActionResult:
    response.error_on_dryrun()
    ident = str(response._get_param("ConversionTaskId") or "")
    past = simulator.history.find(ident, response.region, TaskKind.CONVERSION)
    if past is not None:
        if simulator.history.cancel(past) is None:
            raise refuse("DeleteConversionTaskError", f"The conversion task {ident} has ended: it cannot be canceled")
        return EmptyResult()
    known = {task.id: task for task in simulator.conversions.tasks(response.region)}
    task = _known(known, ident)
    if not simulator.conversions.cancel(task, str(response._get_param("ReasonMessage") or "")):
        text = f"The conversion task {task.id} is {task.state} or transfers the final disk image: it cannot be canceled"
        raise refuse("DeleteConversionTaskError", text)
    return EmptyResult()


OPERATIONS: tuple[Operation, ...] = (
    import_instance,
    import_volume,
    describe_conversion_tasks,
    cancel_conversion_task,
)
