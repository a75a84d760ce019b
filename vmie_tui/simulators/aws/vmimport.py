"""The operations of VM Import: start, describe and cancel import tasks, with every immediate check of the service."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial
from typing import Any, Protocol
from urllib.parse import unquote, urlsplit

from moto.core.responses import ActionResult

from vmie_tui.model import facts
from vmie_tui.model.task import TaskKind
from vmie_tui.simulators.aws import roles, task_lists
from vmie_tui.simulators.aws.ec2_models import Ec2Models
from vmie_tui.simulators.aws.history import History
from vmie_tui.simulators.aws.import_tasks import ImportTask, Source, TaskEngine, doom, usage_codes
from vmie_tui.simulators.aws.moto_extensions import Operation, refuse
from vmie_tui.simulators.aws.s3 import S3Service
from vmie_tui.simulators.aws.s3_common import is_kms
from vmie_tui.simulators.aws.snapshots import new_id
from vmie_tui.simulators.aws.task_lists import Listed, shown, tag_list, tags_of
from vmie_tui.simulators.control import Faults, SimClock

KINDS = {"image": TaskKind.IMPORT_IMAGE, "snapshot": TaskKind.IMPORT_SNAPSHOT}
MISSING = ("InvalidConversionTaskId.Malformed", "The task ID '{id}' is not valid")


class Simulator(Protocol):
    """What the operations need of the simulator."""

    account: str
    clock: SimClock
    faults: Faults
    s3: S3Service
    tasks: TaskEngine
    history: History
    ec2: Ec2Models
    max_tasks: int

    def running(self, region: str) -> int: ...


# starting


def import_image(response: Any, simulator: Simulator) -> ActionResult:
    spec = dict(response.params)
    response.error_on_dryrun()
    _check_image_options(spec)
    containers = spec.get("DiskContainers") or []
    if not containers:
        raise refuse("InvalidParameter", "The request must contain the parameter DiskContainers")
    most = facts.limit("import", "max_volumes_per_vm")["value"]
    if len(containers) > most:
        raise refuse(
            "InvalidParameter", f"The number of disk containers {len(containers)} exceeds the maximum of {most}"
        )
    task = _start(response, simulator, "image", spec, [_source(item, "import_image") for item in containers])
    return ActionResult(_image_view(task, response, simulator.clock.now()))


def import_snapshot(response: Any, simulator: Simulator) -> ActionResult:
    spec = dict(response.params)
    response.error_on_dryrun()
    container = spec.get("DiskContainer") or {}
    if not container:
        raise refuse("InvalidParameter", "The request must contain the parameter DiskContainer")
    task = _start(response, simulator, "snapshot", spec, [_source(container, "import_snapshot")])
    return ActionResult(_snapshot_view(task, response, simulator.clock.now()))


def _check_image_options(spec: dict[str, Any]) -> None:
    if spec.get("LicenseType") and spec.get("UsageOperation"):
        raise refuse(
            "InvalidParameterCombination", "The parameters LicenseType and UsageOperation cannot be used together"
        )
    api = facts.load("api")["api_model"]["ImportImage"]
    licences = [item["value"] for item in facts.load("licences")["license_types"]["values"]]
    choices: list[tuple[str, list[str], bool]] = [
        ("LicenseType", licences, True),
        ("Architecture", list(api["architecture_values"]), False),
        ("Platform", list(api["platform_values"]), True),
        ("Hypervisor", list(api["hypervisor_values"]), False),
        ("BootMode", ["legacy-bios", "uefi"], False),
        ("UsageOperation", [item["code"] for item in usage_codes()], False),
    ]
    for name, values, fold in choices:
        given = spec.get(name)
        known = [value.lower() for value in values] if fold else values
        if given and (given.lower() if fold else given) not in known:
            raise refuse("InvalidParameterValue", f"Invalid value '{given}' for parameter {name}: not supported")


def _source(container: dict[str, Any], process: str) -> Source:
    """A disk container of the request; InvalidParameter when it cannot be used at all."""
    bucket = container.get("UserBucket") or {}
    source = Source(
        str(container.get("Format") or "").upper(),
        str(bucket.get("S3Bucket") or ""),
        str(bucket.get("S3Key") or ""),
        str(container.get("Url") or ""),
        str(container.get("SnapshotId") or ""),
        str(container.get("Description") or ""),
        str(container.get("DeviceName") or ""),
    )
    if source.url and not source.bucket:
        source.bucket, source.key = _from_url(source.url)
    if source.snapshot and not source.bucket:
        return source
    formats = facts.load("formats")["image_formats"][process]["formats"]
    names = [item["api_value"] if isinstance(item, dict) else str(item) for item in formats]
    if source.format not in names:
        raise refuse("InvalidParameter", str(facts.error("E01")["message"]))
    if not source.bucket or not source.key:
        raise refuse("InvalidParameter", str(facts.error("E13")["message"]))
    return source


def _from_url(url: str) -> tuple[str, str]:
    parts = urlsplit(url)
    if parts.scheme.lower() == "s3":
        return parts.netloc, parts.path.lstrip("/")
    bucket = re.match(r"^(?P<name>.+)\.s3[.-]", parts.netloc)
    if bucket:
        return bucket["name"], unquote(parts.path.lstrip("/"))
    name, _, key = unquote(parts.path.lstrip("/")).partition("/")
    return name, key


def _start(response: Any, simulator: Simulator, kind: str, spec: dict[str, Any], sources: list[Source]) -> ImportTask:
    region, token = response.region, str(spec.get("ClientToken") or "")
    tasks = simulator.tasks.tasks(region, kind)
    again = next((task for task in tasks if token and task.token == token), None)
    if again is not None:
        if again.sources != sources:
            text = "The client token was used before in a request with other parameters"
            raise refuse("IdempotentParameterMismatch", text)
        return again
    own_key = _encryption(simulator, region, spec)
    _check_buckets(simulator, region, sources)
    role = str(spec.get("RoleName") or facts.load("access")["iam"]["vmimport_role"]["name"])
    buckets = {source.bucket for source in sources if source.bucket}
    found = [simulator.s3.find(source.bucket, source.key) for source in sources if source.bucket]
    reads_kms = any(is_kms(stored.headers) for stored in found if stored)
    if not roles.usable(simulator.account, role, buckets, reads_kms=reads_kms, own_key=own_key):
        raise refuse("InvalidParameter", roles.role_error(role))
    if simulator.running(region) >= simulator.max_tasks:
        text = f"You have reached the limit of {simulator.max_tasks} concurrent conversion tasks in this Region"
        raise refuse("ResourceCountLimitExceeded", text)
    tags = response._parse_tag_specification().get(f"import-{kind}-task", {})
    task = ImportTask(
        new_id("import-ami" if kind == "image" else "import-snap"),
        kind,
        region,
        simulator.clock.now(),
        spec,
        sources,
        token,
        _told_to_fail(simulator, kind, sources),
    )
    if tags:
        response.ec2_backend.create_tags([task.id], tags)
    simulator.tasks.start(task)
    return task


def _encryption(simulator: Simulator, region: str, spec: dict[str, Any]) -> bool:
    """Settle Encrypted and KmsKeyId in ``spec``; True when a key other than the default one is used."""
    if spec.get("KmsKeyId") and not spec.get("Encrypted"):
        raise refuse("InvalidParameterDependency", "The parameter KmsKeyId requires the parameter Encrypted to be set.")
    spec["Encrypted"] = bool(spec.get("Encrypted")) or simulator.ec2.encrypted_by_default(region)
    if not spec["Encrypted"]:
        return False
    default = simulator.ec2.default_key(region)
    key = simulator.ec2.key_arn(region, spec["KmsKeyId"]) if spec.get("KmsKeyId") else default
    if key is None:
        raise refuse("InvalidParameter", f"The KMS key {spec['KmsKeyId']} does not exist or is not enabled")
    spec["KmsKeyId"] = key
    return key != default


def _check_buckets(simulator: Simulator, region: str, sources: list[Source]) -> None:
    for source in sources:
        if not source.bucket:
            continue
        where = simulator.s3.bucket_region(source.bucket)
        if where is None:
            raise refuse("InvalidParameter", str(facts.error("E13")["message"]))
        if where != region:
            raise refuse("InvalidParameter", str(facts.error("E14")["message"]))


def _told_to_fail(simulator: Simulator, kind: str, sources: list[Source]) -> tuple[str, str] | None:
    subject = " ".join(f"{source.bucket}/{source.key}" for source in sources)
    fault = simulator.faults.take("ImportImage" if kind == "image" else "ImportSnapshot", subject, "fail-task")
    return doom(kind, fault.code, fault.message) if fault else None


# watching


def describe_import_image_tasks(response: Any, simulator: Simulator) -> ActionResult:
    return _page(response, simulator, "image", _image_view)


def describe_import_snapshot_tasks(response: Any, simulator: Simulator) -> ActionResult:
    return _page(response, simulator, "snapshot", _snapshot_view)


def _page(
    response: Any, simulator: Simulator, kind: str, view: Callable[[ImportTask, Any, float], dict[str, Any]]
) -> ActionResult:
    response.error_on_dryrun()
    now = simulator.clock.now()
    entries = [
        Listed(task.id, task.state, partial(tags_of, response, task.id), partial(view, task, response, now))
        for task in simulator.tasks.tasks(response.region, kind)
    ]
    past = simulator.history.listed(KINDS[kind], response.region)
    key = f"Import{kind.capitalize()}Tasks"
    return task_lists.answer(response, [*past, *entries], key=key, ids="ImportTaskIds", missing=MISSING)


def _bucket(source: Source) -> dict[str, str] | None:
    return {"S3Bucket": source.bucket, "S3Key": source.key} if source.bucket and not source.url else None


def _image_view(task: ImportTask, response: Any, now: float) -> dict[str, Any]:
    spec, active = task.spec, task.state == "active"
    done = task.state == "completed"
    converted = done or (active and task.phase.message in {"updating", "booting", "preparing ami"})
    details = [
        shown(
            {
                "Description": detail.source.description,
                "DeviceName": detail.source.device or ("/dev/sda1" if number == 0 and converted else None),
                "DiskImageSize": detail.size,
                "Format": "VMDK" if detail.source.format == "OVA" and detail.volume else detail.source.format,
                "Status": "completed" if converted else task.state,
                "SnapshotId": detail.snapshot if converted else None,
                "Url": detail.source.url,
                "UserBucket": _bucket(detail.source),
            }
        )
        for number, detail in enumerate(task.shown)
    ]
    return shown(
        {
            "ImportTaskId": task.id,
            "Description": spec.get("Description"),
            "Architecture": spec.get("Architecture") or "x86_64",
            "BootMode": spec.get("BootMode"),
            "Encrypted": bool(spec.get("Encrypted")),
            "Hypervisor": spec.get("Hypervisor"),
            "ImageId": task.image,
            "KmsKeyId": spec.get("KmsKeyId"),
            "LicenseType": spec.get("LicenseType"),
            "UsageOperation": spec.get("UsageOperation"),
            "Platform": spec.get("Platform") or (task.system if converted else None),
            "Progress": str(task.progress(now)) if active else None,
            "Status": task.state,
            "StatusMessage": task.message,
            "SnapshotDetails": details,
            "Tags": tag_list(tags_of(response, task.id)),
        }
    )


def _snapshot_view(task: ImportTask, response: Any, now: float) -> dict[str, Any]:
    spec, detail = task.spec, task.shown[0]
    values = {
        "Description": detail.source.description,
        "DiskImageSize": detail.size,
        "Encrypted": bool(spec.get("Encrypted")),
        "Format": detail.source.format,
        "KmsKeyId": spec.get("KmsKeyId"),
        "Progress": str(task.progress(now)) if task.state == "active" else None,
        "SnapshotId": detail.snapshot if task.state == "completed" else None,
        "Status": task.state,
        "StatusMessage": task.message,
        "Url": detail.source.url,
        "UserBucket": _bucket(detail.source),
    }
    return shown(
        {
            "ImportTaskId": task.id,
            "Description": spec.get("Description"),
            "SnapshotTaskDetail": shown(values),
            "Tags": tag_list(tags_of(response, task.id)),
        }
    )


def cancel_import_task(response: Any, simulator: Simulator) -> ActionResult:
    response.error_on_dryrun()
    ident = str(response._get_param("ImportTaskId") or "")
    tasks = simulator.tasks.tasks(response.region)
    task = next((task for task in tasks if task.id == ident), None)
    past = simulator.history.find(ident, response.region, *KINDS.values())
    if past is not None:
        states = simulator.history.cancel(past)
        if states is None:
            raise refuse("IncorrectState", f"The import task {ident} has ended and cannot be cancelled")
        return ActionResult({"ImportTaskId": ident, "PreviousState": states[0], "State": states[1]})
    if task is None:
        raise refuse(MISSING[0], MISSING[1].format(id=ident))
    if task.state != "active":
        raise refuse("IncorrectState", f"The import task {ident} is {task.state} and cannot be cancelled")
    before = simulator.tasks.cancel(task)
    return ActionResult({"ImportTaskId": ident, "PreviousState": before, "State": task.state})


OPERATIONS: tuple[Operation, ...] = (
    import_image,
    import_snapshot,
    describe_import_image_tasks,
    describe_import_snapshot_tasks,
    cancel_import_task,
)
