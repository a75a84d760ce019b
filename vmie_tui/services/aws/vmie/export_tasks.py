"""VM export in EC2: starts, watches and cancels exports of instances and images, and finds their objects."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from vmie_tui.model.errors import ErrorKind, ServiceError
from vmie_tui.model.export import ExportPlan
from vmie_tui.model.task import Task, TaskKind
from vmie_tui.services.aws.errors import aws_call
from vmie_tui.services.aws.parameters import short_description, task_tags, without_empty
from vmie_tui.services.aws.session import Aws
from vmie_tui.services.aws.vmie.task_parser import (
    TASK_APIS,
    export_image_task,
    export_instance_task,
    forgotten,
    read_pages,
    task_kind,
)
from vmie_tui.services.pacing import Check, Poll, nothing

EXPORT_KINDS = (TaskKind.EXPORT_INSTANCE, TaskKind.EXPORT_IMAGE)
WATCH_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class ExportedObject:
    """What an export wrote. ``size`` in bytes."""

    bucket: str
    key: str
    size: int

    @property
    def url(self) -> str:
        return f"s3://{self.bucket}/{self.key}"


class ExportTasks:
    """The export tasks of one Region."""

    def __init__(self, aws: Aws, region: str | None = None) -> None:
        self._aws, self.region = aws, region or aws.region

    @property
    def _ec2(self) -> Any:
        return self._aws.client("ec2", self.region)

    def start(self, plan: ExportPlan, *, client_token: str = "", tags: Mapping[str, str] | None = None) -> Task:
        """Starts the export that the plan describes; ``tags`` are added to the plan's.

        ExportImage takes ``client_token``, so that asking twice starts one. CreateInstanceExportTask has none: ask
        `started` for a task with your tag before you repeat it. Raises ServiceError with AWS's own words.
        """
        every = {**plan.tags, **(tags or {})}
        if plan.is_instance:
            place = without_empty(
                S3Bucket=plan.bucket,
                S3Prefix=plan.key_prefix,
                DiskImageFormat=plan.format.value,
                ContainerFormat=plan.container.value,
            )
            with aws_call("export the instance", plan.source_id):
                answer = self._ec2.create_instance_export_task(
                    **without_empty(
                        InstanceId=plan.source_id,
                        TargetEnvironment=plan.target_environment.value,
                        Description=short_description(plan.description),
                        ExportToS3Task=place,
                        TagSpecifications=task_tags(every, "CreateInstanceExportTask"),
                    )
                )
            return export_instance_task(answer["ExportTask"], self.region)
        with aws_call("export the image", plan.source_id):
            answer = self._ec2.export_image(
                **without_empty(
                    ImageId=plan.source_id,
                    DiskImageFormat=plan.format.value,
                    S3ExportLocation=without_empty(S3Bucket=plan.bucket, S3Prefix=plan.key_prefix),
                    RoleName=plan.role_name,
                    Description=short_description(plan.description),
                    ClientToken=client_token,
                    TagSpecifications=task_tags(every, "ExportImage"),
                )
            )
        return export_image_task(answer, self.region)

    def started(self, source_id: str, tag: str, value: str) -> Task | None:
        """The export of this instance or image that carries the tag, whatever became of it; None when there is none."""
        kind = TaskKind.EXPORT_INSTANCE if source_id.startswith("i-") else TaskKind.EXPORT_IMAGE
        found = [task for task in self.tasks((kind,)) if task.tags.get(tag) == value]
        return max(found, key=lambda task: not task.terminal, default=None)

    def task(self, task_id: str) -> Task:
        """The task's current state. NOT_FOUND for an unknown id, or one AWS has forgotten."""
        kind = task_kind(task_id)
        if kind not in EXPORT_KINDS:
            raise ServiceError(
                ErrorKind.INVALID,
                "this is not the id of an export",
                subject=task_id,
                remedy="Ids begin with export-i- or export-ami-",
            )
        with aws_call("read the export", task_id):
            for page in read_pages(self._ec2, kind, self.region, **{TASK_APIS[kind].ids: [task_id]}):
                for task in page:
                    return task
        raise forgotten(task_id)

    def tasks(self, kinds: tuple[TaskKind, ...] = EXPORT_KINDS) -> Iterator[Task]:
        """All exports of the Region of these kinds."""
        for kind in kinds:
            with aws_call("read exports", self.region):
                for page in read_pages(self._ec2, kind, self.region):
                    yield from page

    def watch(
        self,
        task_id: str,
        show: Callable[[Task], None],
        *,
        check: Check = nothing,
        seconds: float = WATCH_SECONDS,
    ) -> Task:
        """The task in its final state; ``show`` gets each reading that differs. ``check`` may raise to leave."""
        seen: object = None
        poll = Poll(seconds, check=check)
        while True:
            task = self.task(task_id)
            reading = (task.state, task.status_message, task.progress)
            if reading != seen:
                show(task)
                seen = reading
            if task.terminal:
                return task
            poll.wait()

    def cancel(self, task_id: str) -> None:
        """Cancels an export of either kind; AWS removes what it has written.

        Raises ServiceError in AWS's words when the task is complete or its last disk is being transferred (DF04).
        """
        with aws_call("cancel the export", task_id):
            self._ec2.cancel_export_task(ExportTaskId=task_id)

    def find_objects(self, task: Task, plan: ExportPlan | None = None) -> tuple[ExportedObject, ...]:
        """The objects a completed export wrote: one, or of an image with several disks one for each, in their order.

        The first has the documented key; with no plan any extension will do. The further disks of an image are not
        documented: they are those named ``<task>-disk2.<ext>`` and so on (D27). Raises ServiceError NOT_FOUND, naming
        the key.
        """
        [disk, *_] = task.disks
        bucket = plan.bucket if plan else disk.bucket
        key = plan.object_key(task.id) if plan else disk.key
        stem = key[: key.rindex(task.id) + len(task.id)] if task.id in key else key
        name = re.compile(
            re.escape(stem) + r"(?:-disk([0-9]{1,3}))?" + (f"\\.{plan.extension}" if plan else r"\.[^./]+")
        )
        with aws_call("look for the exported object", f"s3://{bucket}/{key}"):
            answer = self._aws.client("s3", self.region).list_objects_v2(Bucket=bucket, Prefix=stem)
        found = {
            int(match[1] or 1): ExportedObject(bucket, str(item["Key"]), int(item["Size"]))
            for item in sorted(answer.get("Contents", ()), key=lambda item: str(item["Key"]), reverse=True)
            if (match := name.fullmatch(str(item["Key"])))
        }
        if 1 not in found:
            raise ServiceError(
                ErrorKind.NOT_FOUND,
                "the exported object is not there",
                subject=f"s3://{bucket}/{key}",
                remedy="It may have been moved or deleted; export again",
            )
        return tuple(found[number] for number in sorted(found))
