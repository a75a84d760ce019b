"""The instance route in EC2: start, watch and cancel the conversion tasks of ImportInstance and ImportVolume.

Both calls are legacy: AWS recommends ImportImage (F258), the AWS CLI does not offer them (F259), and they know neither
client tokens nor encryption, tags or boot modes. `ConversionTasks.find` stands in for the token.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from vmie_tui.model.errors import ErrorKind, ServiceError
from vmie_tui.model.task import Task
from vmie_tui.services.aws.errors import aws_call
from vmie_tui.services.aws.parameters import short_description, without_empty
from vmie_tui.services.aws.s3.instance_parts import PartsUploaded
from vmie_tui.services.aws.session import Aws
from vmie_tui.services.aws.vmie.task_parser import conversion_task

_TASK_ID = re.compile(r"import-(?:i|vol)-[0-9a-z]+")


@dataclass(frozen=True, slots=True)
class DiskImage:
    """The one disk image of a conversion: a presigned URL of its manifest, bytes as uploaded, size of its volume."""

    manifest_url: str
    bytes: int
    format: str
    volume_gib: int

    @classmethod
    def of(cls, uploaded: PartsUploaded) -> DiskImage:
        return cls(uploaded.manifest_url, uploaded.bytes, uploaded.format, uploaded.volume_gib)

    def to_api(self) -> dict[str, Any]:
        return {"Format": self.format, "Bytes": self.bytes, "ImportManifestUrl": self.manifest_url}


@dataclass(frozen=True, slots=True)
class InstanceRequest:
    """ImportInstance. ``platform``: Windows or Linux; AWS wants one. Empty values are left out, so that AWS decides.

    ``subnet_id`` decides the Availability Zone; the zone is only sent without one.
    """

    image: DiskImage
    platform: str
    instance_type: str = ""
    availability_zone: str = ""
    subnet_id: str = ""
    architecture: str = "x86_64"
    description: str = ""

    def to_api(self) -> dict[str, Any]:
        place = {} if self.subnet_id else {"AvailabilityZone": self.availability_zone}
        launch = without_empty(
            Architecture=self.architecture,
            InstanceType=self.instance_type,
            SubnetId=self.subnet_id,
            Placement=without_empty(**place),
        )
        disk = {"Image": self.image.to_api(), "Volume": {"Size": self.image.volume_gib}}
        return without_empty(
            DiskImages=[disk],
            LaunchSpecification=launch,
            Platform=self.platform,
            Description=short_description(self.description),
        )


@dataclass(frozen=True, slots=True)
class VolumeRequest:
    """ImportVolume: the disk alone, as an EBS volume of one Availability Zone."""

    image: DiskImage
    availability_zone: str
    description: str = ""

    def to_api(self) -> dict[str, Any]:
        return without_empty(
            AvailabilityZone=self.availability_zone,
            Image=self.image.to_api(),
            Volume={"Size": self.image.volume_gib},
            Description=short_description(self.description),
        )


class ConversionTasks:
    """The conversion tasks of one Region."""

    def __init__(self, aws: Aws, region: str | None = None) -> None:
        self._aws, self.region = aws, region or aws.region

    @property
    def _ec2(self) -> Any:
        return self._aws.client("ec2", self.region)

    def import_instance(self, request: InstanceRequest) -> Task:
        """Starts importing an uploaded disk image as a stopped instance; the task names the instance from the start."""
        with aws_call("import the instance", request.description or self.region):
            return conversion_task(self._ec2.import_instance(**request.to_api())["ConversionTask"], self.region)

    def import_volume(self, request: VolumeRequest) -> Task:
        """Starts importing an uploaded disk image as an EBS volume."""
        with aws_call("import the volume", request.description or self.region):
            return conversion_task(self._ec2.import_volume(**request.to_api())["ConversionTask"], self.region)

    def task(self, task_id: str) -> Task:
        """The task's current state; NOT_FOUND for an unknown id."""
        if not _TASK_ID.fullmatch(task_id):
            raise ServiceError(
                ErrorKind.INVALID,
                "this is not the id of a conversion task",
                subject=task_id,
                remedy="Ids begin with import-i- or import-vol-",
            )
        for task in self._read(task_id):
            return task
        raise ServiceError(
            ErrorKind.NOT_FOUND, "AWS knows no such task", subject=task_id, remedy="Check the id and the Region"
        )

    def tasks(self) -> Iterator[Task]:
        """All conversion tasks of the Region that AWS still knows; the call has no pages."""
        yield from self._read()

    def _read(self, *task_ids: str) -> Iterator[Task]:
        with aws_call("read conversion tasks", ", ".join(task_ids) or self.region):
            answer = self._ec2.describe_conversion_tasks(**without_empty(ConversionTaskIds=list(task_ids)))
        for item in answer.get("ConversionTasks", ()):
            yield conversion_task(item, self.region)

    def find(self, bucket: str, manifest_key: str) -> Task | None:
        """The active or completed task made from this manifest, for a start whose response was lost.

        AWS returns no order, so a completed task wins over an active one; cancelled ones do not count.
        """
        fitting = [
            task
            for task in self.tasks()
            if (task.completed or task.state == "active")
            and any((disk.bucket, disk.key) == (bucket, manifest_key) for disk in task.disks)
        ]
        return max(fitting, key=lambda task: task.completed, default=None)

    def cancel(self, task_id: str, reason: str = "") -> None:
        """Cancels an active task. AWS removes the instance or volume; the parts in S3 stay.

        For a task that is complete, or nearly so, raises AWS's refusal, usually CONFLICT.
        """
        with aws_call("cancel the task", task_id):
            self._ec2.cancel_conversion_task(**without_empty(ConversionTaskId=task_id, ReasonMessage=reason))
