"""The operations of VM Export: start, describe and cancel export tasks of instances and images."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Protocol

from moto.core.responses import ActionResult, EmptyResult

from vmie_tui.model import facts
from vmie_tui.model.task import TaskKind
from vmie_tui.simulators.aws import export_checks as checks
from vmie_tui.simulators.aws import task_lists
from vmie_tui.simulators.aws.export_tasks import ENDED, ExportEngine, ExportTask
from vmie_tui.simulators.aws.history import History
from vmie_tui.simulators.aws.import_tasks import documented_text
from vmie_tui.simulators.aws.moto_extensions import Operation, refuse
from vmie_tui.simulators.aws.snapshots import new_id
from vmie_tui.simulators.aws.task_lists import Listed, shown, tag_list, tags_of
from vmie_tui.simulators.control import Faults, SimClock

KINDS = {"instance": TaskKind.EXPORT_INSTANCE, "image": TaskKind.EXPORT_IMAGE}
MISSING = ("InvalidExportTaskID.NotFound", "The specified export task ID '{id}' cannot be found.")


class Simulator(checks.World, Protocol):
    """The parts of the account that the operations use."""

    clock: SimClock
    faults: Faults
    exports: ExportEngine
    history: History


# starting


def create_instance_export_task(response: Any, simulator: Simulator) -> ActionResult:
    spec = dict(response.params)
    to = dict(spec.get("ExportToS3Task") or {})
    checks.check_description(str(spec.get("Description") or ""))
    if not to.get("S3Bucket"):
        raise refuse("MissingParameter", "The request must contain the parameter ExportToS3.S3Bucket")
    form, extension = checks.instance_format(
        str(spec.get("TargetEnvironment") or ""),
        str(to.get("ContainerFormat") or ""),
        str(to.get("DiskImageFormat") or ""),
    )
    source = checks.instance_source(simulator, response.ec2_backend, str(spec["InstanceId"]))
    checks.check_bucket(simulator, response.region, str(to["S3Bucket"]), instance=True)
    checks.check_room(simulator, response.region)
    spec["DiskImageFormat"], spec["ContainerFormat"] = form, to.get("ContainerFormat")
    task = _start(response, simulator, "instance", source, spec, to, extension)
    return ActionResult({"ExportTask": _instance_view(task, response, whole=True)})


def export_image(response: Any, simulator: Simulator) -> ActionResult:
    spec = dict(response.params)
    response.error_on_dryrun()
    to, token, region = dict(spec.get("S3ExportLocation") or {}), str(spec.get("ClientToken") or ""), response.region
    checks.check_description(str(spec.get("Description") or ""))
    extension = checks.image_format(str(spec.get("DiskImageFormat") or ""))
    if not to.get("S3Bucket"):
        raise refuse("MissingParameter", "The request must contain the parameter S3ExportLocation.S3Bucket")
    known = simulator.exports.tasks(region, "image")
    again = next((task for task in known if token and task.token == token), None)
    if again is not None:
        if again.source.id != spec["ImageId"] or again.bucket != to["S3Bucket"]:
            text = "The client token was used before in a request with other parameters"
            raise refuse("IdempotentParameterMismatch", text)
        return ActionResult(_image_view(again, response, simulator.clock.now(), whole=True))
    source = checks.image_source(simulator, response.ec2_backend, str(spec["ImageId"]))
    running = [task for task in known if task.source.id == source.id and task.state not in ENDED]
    if len(running) >= facts.limit("export", "concurrent_image_exports_per_ami")["value"]:
        text = f"The image {source.id} is being exported already by {running[0].id}"
        raise refuse("ResourceCountLimitExceeded", text)
    checks.check_bucket(simulator, region, str(to["S3Bucket"]), instance=False)
    role = str(spec.get("RoleName") or facts.load("access")["iam"]["vmimport_role"]["name"])
    checks.check_role(simulator, role, str(to["S3Bucket"]))
    checks.check_room(simulator, region)
    task = _start(response, simulator, "image", source, spec, to, extension)
    return ActionResult(_image_view(task, response, simulator.clock.now(), whole=True))


def _start(
    response: Any,
    simulator: Simulator,
    kind: str,
    source: checks.ExportSource,
    spec: dict[str, Any],
    to: dict[str, Any],
    extension: str,
) -> ExportTask:
    task = ExportTask(
        new_id("export-i" if kind == "instance" else "export-ami"),
        kind,
        response.region,
        simulator.clock.now(),
        source,
        str(to["S3Bucket"]),
        str(to.get("S3Prefix") or ""),
        extension,
        spec,
        str(spec.get("ClientToken") or ""),
    )
    operation = "CreateInstanceExportTask" if kind == "instance" else "ExportImage"
    fault = simulator.faults.take(operation, f"{task.bucket}/{task.key} {source.id}", "fail-task")
    if fault is not None:
        task.doom = documented_text(fault.code, fault.message)
    tags = response._parse_tag_specification().get(f"export-{kind}-task", {})
    if tags:
        response.ec2_backend.create_tags([task.id], tags)
    simulator.exports.start(task)
    return task


# watching


def describe_export_tasks(response: Any, simulator: Simulator) -> ActionResult:
    """One of the old calls: filters, but no pages. A list leaves the instance out while a task is active."""
    whole = bool(response._get_param("ExportTaskIds"))
    entries = _listed(response, simulator, "instance", whole=whole)
    return task_lists.answer(response, entries, key="ExportTasks", ids="ExportTaskIds", missing=MISSING, paged=False)


def describe_export_image_tasks(response: Any, simulator: Simulator) -> ActionResult:
    response.error_on_dryrun()
    whole = bool(response._get_param("ExportImageTaskIds"))
    entries = _listed(response, simulator, "image", whole=whole)
    return task_lists.answer(response, entries, key="ExportImageTasks", ids="ExportImageTaskIds", missing=MISSING)


def _listed(response: Any, simulator: Simulator, kind: str, *, whole: bool) -> Iterator[Listed]:
    now = simulator.clock.now()
    yield from simulator.history.listed(KINDS[kind], response.region)
    for task in simulator.exports.tasks(response.region, kind):

        def view(task: ExportTask = task) -> dict[str, Any]:
            if task.kind == "instance":
                return _instance_view(task, response, whole=whole)
            return _image_view(task, response, now, whole=whole)

        def tags(ident: str = task.id) -> dict[str, str]:
            return tags_of(response, ident)

        yield Listed(task.id, task.state, tags, view)


def _instance_view(task: ExportTask, response: Any, *, whole: bool) -> dict[str, Any]:
    """``whole``: with the instance, which the guides' list shows only once the task is complete."""
    spec, details = task.spec, {"InstanceId": task.source.id, "TargetEnvironment": task.spec["TargetEnvironment"]}
    return shown(
        {
            "ExportTaskId": task.id,
            "Description": spec.get("Description"),
            "ExportToS3Task": shown(
                {
                    "ContainerFormat": spec.get("ContainerFormat"),
                    "DiskImageFormat": spec["DiskImageFormat"],
                    "S3Bucket": task.bucket,
                    "S3Key": task.key,
                }
            ),
            "InstanceExportDetails": details if whole or task.state == "completed" else None,
            "State": task.state,
            "StatusMessage": task.message,
            "Tags": tag_list(tags_of(response, task.id)),
        }
    )


def _image_view(task: ExportTask, response: Any, now: float, *, whole: bool) -> dict[str, Any]:
    """``whole``: with the image, which the guides' list shows only once the task is complete."""
    spec, active = task.spec, task.state == "active"
    told = task.state == "completed" or (whole and task.message != "updating")
    return shown(
        {
            "ExportImageTaskId": task.id,
            "Description": spec.get("Description"),
            "DiskImageFormat": spec["DiskImageFormat"] if whole else None,
            "ImageId": task.source.id if told else None,
            "RoleName": spec.get("RoleName"),
            "Progress": str(task.progress(now)) if active else None,
            "S3ExportLocation": shown({"S3Bucket": task.bucket, "S3Prefix": task.prefix}),
            "Status": task.state,
            "StatusMessage": task.message,
            "Tags": tag_list(tags_of(response, task.id)),
        }
    )


def cancel_export_task(response: Any, simulator: Simulator) -> ActionResult:
    """Cancels either kind; the response is empty."""
    ident = str(response._get_param("ExportTaskId") or "")
    tasks = simulator.exports.tasks(response.region)
    task = next((task for task in tasks if task.id == ident), None)
    past = simulator.history.find(ident, response.region, *KINDS.values())
    if past is not None:
        if simulator.history.cancel(past) is None:
            raise refuse(
                "IncorrectState",
                f"The export task {ident} has ended, or transfers the final disk image, and cannot be cancelled",
            )
        return EmptyResult()
    if task is None:
        raise refuse(MISSING[0], MISSING[1].format(id=ident))
    if task.final:
        what = "is transferring the final disk image" if task.state == "active" else f"is {task.state}"
        raise refuse("IncorrectState", f"The export task {ident} {what} and cannot be cancelled")
    if task.state == "active":
        simulator.exports.cancel(task)
    return EmptyResult()


OPERATIONS: tuple[Operation, ...] = (
    create_instance_export_task,
    export_image,
    describe_export_tasks,
    describe_export_image_tasks,
    cancel_export_task,
)
