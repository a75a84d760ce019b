"""VM import in EC2: start, watch and cancel tasks."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from vmie_tui.model.errors import ErrorKind, ServiceError
from vmie_tui.model.task import Task, TaskKind
from vmie_tui.services.aws.errors import aws_call
from vmie_tui.services.aws.parameters import short_description, task_tags, without_empty
from vmie_tui.services.aws.session import Aws
from vmie_tui.services.aws.vmie.task_parser import forgotten, image_task, read_pages, snapshot_task

IMPORT_KINDS = (TaskKind.IMPORT_IMAGE, TaskKind.IMPORT_SNAPSHOT)
_DRY_RUN_PASSED = "DryRunOperation"
_IMAGE_TASK, _SNAPSHOT_TASK = "import-ami-", "import-snap-"


class ImportDisk(NamedTuple):
    """One disk container: an object in S3, or an EBS snapshot when ``snapshot_id`` is given."""

    bucket: str = ""
    key: str = ""
    format: str = "VMDK"
    description: str = ""
    snapshot_id: str = ""

    def to_api(self) -> dict[str, Any]:
        container: dict[str, Any] = {"Description": short_description(self.description)} if self.description else {}
        if self.snapshot_id:
            return {**container, "SnapshotId": self.snapshot_id}
        return {**container, "Format": self.format, "UserBucket": {"S3Bucket": self.bucket, "S3Key": self.key}}


@dataclass(frozen=True, slots=True)
class ImageRequest:
    """ImportImage. Values that are empty or None are left out, so that AWS decides. Plain tuples do for ``disks``."""

    disks: tuple[ImportDisk | tuple[str, ...], ...]
    description: str = ""
    license_type: str | None = None
    usage_operation: str | None = None
    boot_mode: str | None = None
    platform: str | None = None
    architecture: str | None = None
    encrypted: bool = False
    kms_key_id: str | None = None
    role_name: str | None = None
    tags: Mapping[str, str] = field(default_factory=dict)
    client_token: str | None = None

    def to_api(self) -> dict[str, Any]:
        return without_empty(
            DiskContainers=[ImportDisk(*disk).to_api() for disk in self.disks],
            Description=short_description(self.description),
            LicenseType=self.license_type,
            UsageOperation=self.usage_operation,
            BootMode=self.boot_mode,
            Platform=self.platform,
            Architecture=self.architecture,
            Encrypted=self.encrypted,
            KmsKeyId=self.kms_key_id,
            RoleName=self.role_name,
            TagSpecifications=task_tags(self.tags, "ImportImage"),
            ClientToken=self.client_token,
        )


@dataclass(frozen=True, slots=True)
class SnapshotRequest:
    """ImportSnapshot, as `ImageRequest`."""

    disk: ImportDisk | tuple[str, ...]
    description: str = ""
    encrypted: bool = False
    kms_key_id: str | None = None
    role_name: str | None = None
    tags: Mapping[str, str] = field(default_factory=dict)
    client_token: str | None = None

    def to_api(self) -> dict[str, Any]:
        return without_empty(
            DiskContainer=ImportDisk(*self.disk).to_api(),
            Description=short_description(self.description),
            Encrypted=self.encrypted,
            KmsKeyId=self.kms_key_id,
            RoleName=self.role_name,
            TagSpecifications=task_tags(self.tags, "ImportSnapshot"),
            ClientToken=self.client_token,
        )


class ImportTasks:
    """The import tasks of one Region. The client underneath slows down when AWS throttles."""

    def __init__(self, aws: Aws, region: str | None = None) -> None:
        self._aws, self.region = aws, region or aws.region

    @property
    def _ec2(self) -> Any:
        return self._aws.client("ec2", self.region)

    def import_image(self, request: ImageRequest) -> Task:
        """Starts importing disks in S3 as an AMI."""
        arguments = request.to_api()
        return image_task(self._start(self._ec2.import_image, arguments, "import the image"), self.region)

    def import_snapshot(self, request: SnapshotRequest) -> Task:
        """Starts importing one disk in S3 as an EBS snapshot."""
        arguments = request.to_api()
        answer = self._start(self._ec2.import_snapshot, arguments, "import the snapshot")
        return snapshot_task(answer, self.region)

    def dry_run(self, request: ImageRequest | SnapshotRequest) -> None:
        """Checks with DryRun whether AWS would accept the request. Raises ServiceError with its refusal."""
        call = self._ec2.import_image if isinstance(request, ImageRequest) else self._ec2.import_snapshot
        try:
            with aws_call("import, as a dry run"):
                call(**request.to_api(), DryRun=True)
        except ServiceError as error:
            if error.problem.code != _DRY_RUN_PASSED:
                raise

    def _start(self, call: Callable[..., Any], arguments: dict[str, Any], doing: str) -> dict[str, Any]:
        with aws_call(doing, arguments.get("RoleName", "") or arguments.get("Description", "")):
            answer: dict[str, Any] = call(**arguments)
            return answer

    def task(self, task_id: str) -> Task:
        """The task's current state. NOT_FOUND for an unknown id, or one AWS has forgotten (about 7 days, trap 33)."""
        for task in self._read(kind_of(task_id), ImportTaskIds=[task_id]):
            return task
        raise forgotten(task_id)

    def tasks(self, kinds: Iterable[TaskKind] = IMPORT_KINDS) -> Iterator[Task]:
        """All import tasks of the Region, page by page, of these kinds (`IMPORT_KINDS`)."""
        for kind in kinds:
            yield from self._read(kind)

    def _read(self, kind: TaskKind, **arguments: Any) -> Iterator[Task]:
        with aws_call("read import tasks", ", ".join(arguments.get("ImportTaskIds", ())) or self.region):
            for page in read_pages(self._ec2, kind, self.region, **arguments):
                yield from page

    def cancel(self, task_id: str, reason: str = "") -> None:
        """Cancels a task; one that has already ended raises CONFLICT or NOT_FOUND."""
        with aws_call("cancel the task", task_id):
            self._ec2.cancel_import_task(**without_empty(ImportTaskId=task_id, CancelReason=reason))


def kind_of(task_id: str) -> TaskKind:
    """The kind of import task an id belongs to; ServiceError INVALID for any other id."""
    if task_id.startswith(_IMAGE_TASK):
        return TaskKind.IMPORT_IMAGE
    if task_id.startswith(_SNAPSHOT_TASK):
        return TaskKind.IMPORT_SNAPSHOT
    raise ServiceError(
        ErrorKind.INVALID,
        "this is not the id of an import task",
        subject=task_id,
        remedy=f"Ids begin with {_IMAGE_TASK} or {_SNAPSHOT_TASK}",
    )
