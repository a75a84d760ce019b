"""Candidates for an export: a Region's instances and images, with everything the export rules need."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any

from vmie_tui.model.errors import ErrorKind, ServiceError
from vmie_tui.model.export import IMAGE_ID, INSTANCE_ID
from vmie_tui.model.exportable import Exportable, ExportDisk
from vmie_tui.model.task import Task, TaskKind
from vmie_tui.services.aws.errors import aws_call
from vmie_tui.services.aws.parameters import tags_of
from vmie_tui.services.aws.session import Aws
from vmie_tui.services.aws.vmie.task_parser import TASK_APIS, live_tasks, read_pages

PAGE = 200
BATCH = 200  # ids in one filter
AT_LAUNCH = timedelta(seconds=60)  # what is attached within it came with the launch
_IMPORTED_NAME, _IMPORTED_WORDS = "import-ami-", "AWS-VMImport service"  # as ImportImage names its AMIs
_GONE = frozenset({"terminated", "shutting-down"})
_EXPORTS = frozenset({TaskKind.EXPORT_IMAGE, TaskKind.EXPORT_INSTANCE})
Json = Mapping[str, Any]


class ExportableSources:
    """The instances and own images of one Region, as `Exportable`."""

    def __init__(self, aws: Aws, region: str | None = None) -> None:
        self._aws, self.region = aws, region or aws.region
        self._account = ""

    @property
    def _ec2(self) -> Any:
        return self._aws.client("ec2", self.region)

    @property
    def account(self) -> str:
        """The signed-in account."""
        if not self._account:
            self._account = self._aws.identity().account
        return self._account

    def instances(self, on_page: Callable[[list[Exportable]], None] = lambda _: None) -> list[Exportable]:
        """Every instance that is not terminated, page by page."""
        found: list[Exportable] = []
        with aws_call("list the instances", self.region):
            for page in self._ec2.get_paginator("describe_instances").paginate(PaginationConfig={"PageSize": PAGE}):
                some = self._instances(page)
                found += some
                on_page(some)
        return found

    def images(self, on_page: Callable[[list[Exportable]], None] = lambda _: None) -> list[Exportable]:
        """Every image of the account itself."""
        found: list[Exportable] = []
        with aws_call("list the images", self.region):
            pages = self._ec2.get_paginator("describe_images").paginate(
                Owners=["self"], PaginationConfig={"PageSize": PAGE}
            )
            for page in pages:
                some = self._images(page.get("Images", ()))
                found += some
                on_page(some)
        return found

    def look(self, source_id: str) -> Exportable:
        """One instance or image with its hardware, running exports and the Region's load. NOT_FOUND, INVALID."""
        if source_id.startswith(INSTANCE_ID):
            with aws_call("look at the instance", source_id):
                thing = next(iter(self._instances(self._ec2.describe_instances(InstanceIds=[source_id]), True)), None)
        elif source_id.startswith(IMAGE_ID):
            with aws_call("look at the image", source_id):
                thing = next(iter(self._images(self._ec2.describe_images(ImageIds=[source_id])["Images"])), None)
        else:
            raise ServiceError(
                ErrorKind.INVALID,
                "is neither an instance nor an image",
                subject=source_id,
                remedy="Give an id that begins with i- or ami-",
            )
        if thing is None:
            raise ServiceError(
                ErrorKind.NOT_FOUND, "does not exist", subject=source_id, remedy="Check the id and the Region"
            )
        return self._busy(self._sized(thing))

    # -- instances

    def _instances(self, answer: Json, gone_too: bool = False) -> list[Exportable]:
        rows = [
            (str(reservation.get("OwnerId") or ""), instance)
            for reservation in answer.get("Reservations", ())
            for instance in reservation.get("Instances", ())
            if gone_too or instance.get("State", {}).get("Name") not in _GONE
        ]
        volumes = self._volumes(_volume_ids(instance) for _, instance in rows)
        images = self._images_by_id({str(instance.get("ImageId") or "") for _, instance in rows})
        snapshots = self._own_snapshots(images.values())
        return [self._instance(owner, instance, volumes, images, snapshots) for owner, instance in rows]

    def _instance(
        self,
        owner: str,
        data: Json,
        volumes: Mapping[str, Json],
        images: Mapping[str, Json],
        snapshots: frozenset[str],
    ) -> Exportable:
        image_id = str(data.get("ImageId") or "")
        image = images.get(image_id)
        tags = tags_of(data)
        return Exportable(
            id=str(data["InstanceId"]),
            region=self.region,
            name=tags.get("Name", ""),
            account=self.account,
            owner=owner,
            state=str(data.get("State", {}).get("Name") or ""),
            windows=str(data.get("Platform") or "").lower() == "windows",
            platform_details=str(data.get("PlatformDetails") or ""),
            usage_operation=str(data.get("UsageOperation") or ""),
            product_codes=_product_codes(data),
            architecture=str(data.get("Architecture") or ""),
            boot_mode=str((image or {}).get("BootMode") or data.get("BootMode") or ""),
            instance_type=str(data.get("InstanceType") or ""),
            disks=tuple(self._instance_disks(data, volumes, image, snapshots)),
            interfaces=len(data.get("NetworkInterfaces") or ()),
            image_id=image_id,
            image_exists=image is not None if image_id else None,
            image_imported=None if image is None else _imported(image),
            image_owner="" if image is None else str(image.get("ImageOwnerAlias") or image.get("OwnerId") or ""),
            launched=data.get("LaunchTime"),
            tags=tuple(sorted(tags.items())),
        )

    def _instance_disks(
        self, data: Json, volumes: Mapping[str, Json], image: Json | None, snapshots: frozenset[str]
    ) -> Iterator[ExportDisk]:
        mapping = {str(item.get("DeviceName") or ""): item for item in (image or {}).get("BlockDeviceMappings") or ()}
        launched = data.get("LaunchTime")
        for item in data.get("BlockDeviceMappings") or ():
            device, ebs = str(item.get("DeviceName") or ""), item.get("Ebs") or {}
            volume = volumes.get(str(ebs.get("VolumeId") or ""), {})
            attached = ebs.get("AttachTime")
            late = bool(launched and attached and attached - launched > AT_LAUNCH and device not in mapping)
            source = str((mapping.get(device, {}).get("Ebs") or {}).get("SnapshotId") or "")
            ours = image is not None and str(image.get("OwnerId") or "") == self.account
            yield ExportDisk(
                device=device,
                size_gib=int(volume.get("Size") or 0),
                volume_id=str(ebs.get("VolumeId") or ""),
                snapshot_id=source or str(volume.get("SnapshotId") or ""),
                encrypted=bool(volume.get("Encrypted")),
                late=late,
                snapshot_exists=source in snapshots if source and ours else None,
            )
        for device, item in mapping.items():
            if item.get("VirtualName"):
                yield ExportDisk(device=device, instance_store=True)

    def _volumes(self, wanted: Iterable[list[str]]) -> dict[str, Json]:
        ids = sorted({ident for some in wanted for ident in some})
        found: dict[str, Json] = {}
        for batch in _batches(ids):
            with aws_call("look at the volumes", self.region):
                for page in self._ec2.get_paginator("describe_volumes").paginate(
                    Filters=[{"Name": "volume-id", "Values": batch}]
                ):
                    found.update({str(item["VolumeId"]): item for item in page.get("Volumes", ())})
        return found

    def _images_by_id(self, ids: set[str]) -> dict[str, Json]:
        """Those that exist: a filter leaves the others out where naming them would be an error."""
        found: dict[str, Json] = {}
        for batch in _batches(sorted(ids - {""})):
            with aws_call("look at the images", self.region):
                answer = self._ec2.describe_images(Filters=[{"Name": "image-id", "Values": batch}])
            found.update({str(item["ImageId"]): item for item in answer.get("Images", ())})
        return found

    # -- images

    def _images(self, rows: Iterable[Json]) -> list[Exportable]:
        images = list(rows)
        snapshots = self._own_snapshots(images)
        return [self._image(image, snapshots) for image in images]

    def _image(self, data: Json, snapshots: frozenset[str]) -> Exportable:
        ours = str(data.get("OwnerId") or "") == self.account
        disks = []
        for item in data.get("BlockDeviceMappings") or ():
            ebs = item.get("Ebs")
            if not ebs and not item.get("VirtualName"):
                continue  # a device the AMI leaves out
            source = str((ebs or {}).get("SnapshotId") or "")
            disks.append(
                ExportDisk(
                    device=str(item.get("DeviceName") or ""),
                    size_gib=int((ebs or {}).get("VolumeSize") or 0),
                    snapshot_id=source,
                    encrypted=bool((ebs or {}).get("Encrypted")),
                    instance_store=not ebs,
                    snapshot_exists=source in snapshots if source and ours else None,
                )
            )
        return Exportable(
            id=str(data["ImageId"]),
            region=self.region,
            name=str(data.get("Name") or ""),
            account=self.account,
            owner=str(data.get("OwnerId") or ""),
            state=str(data.get("State") or ""),
            windows=str(data.get("Platform") or "").lower() == "windows",
            platform_details=str(data.get("PlatformDetails") or ""),
            usage_operation=str(data.get("UsageOperation") or ""),
            product_codes=_product_codes(data),
            architecture=str(data.get("Architecture") or ""),
            boot_mode=str(data.get("BootMode") or ""),
            disks=tuple(disks),
            image_imported=_imported(data),
            tags=tuple(sorted(tags_of(data).items())),
        )

    def _own_snapshots(self, images: Iterable[Json]) -> frozenset[str]:
        """The existing snapshots behind our own images; those of other accounts are invisible and ignored."""
        wanted = {
            str((item.get("Ebs") or {}).get("SnapshotId") or "")
            for image in images
            if str(image.get("OwnerId") or "") == self.account
            for item in image.get("BlockDeviceMappings") or ()
        }
        found: set[str] = set()
        for batch in _batches(sorted(wanted - {""})):
            with aws_call("look at the snapshots", self.region):
                for page in self._ec2.get_paginator("describe_snapshots").paginate(
                    Filters=[{"Name": "snapshot-id", "Values": batch}]
                ):
                    found.update(str(item["SnapshotId"]) for item in page.get("Snapshots", ()))
        return frozenset(found)

    # -- what only one is asked for

    def _sized(self, thing: Exportable) -> Exportable:
        if not thing.instance_type:
            return thing
        try:
            with aws_call("look at the instance type", thing.instance_type):
                [found] = self._ec2.describe_instance_types(InstanceTypes=[thing.instance_type])["InstanceTypes"]
        except ServiceError as error:
            if error.kind in {ErrorKind.PERMISSION, ErrorKind.INVALID, ErrorKind.NOT_FOUND}:
                return thing  # the hardware is for the VM made of it; it can be given by hand
            raise
        cpus, memory = found["VCpuInfo"]["DefaultVCpus"], found["MemoryInfo"]["SizeInMiB"]
        return replace(thing, cpus=int(cpus), memory_mib=int(memory))

    def _busy(self, thing: Exportable) -> Exportable:
        """The tasks running in the Region; kinds that this profile may not list are not counted."""
        active: list[Task] = []
        for kind in TaskKind:
            try:
                active += self._active(kind)
            except ServiceError as error:
                if error.kind is not ErrorKind.PERMISSION:
                    raise
        own = [task for task in active if thing.id in {task.instance_id, task.image_id} and task.kind in _EXPORTS]
        return replace(thing, running=tuple(task.id for task in own), active_tasks=len(active))

    def _active(self, kind: TaskKind) -> list[Task]:
        live = live_tasks(self._ec2, kind, self.region)
        if kind not in _EXPORTS or not live:
            return live
        # A list names what is exported only once the task is complete (F317, F338): ask for them by their ids.
        names: dict[str, Any] = {TASK_APIS[kind].ids: [task.id for task in live]}
        with aws_call(f"look at the tasks ({kind.value})", self.region):
            return [task for page in read_pages(self._ec2, kind, self.region, **names) for task in page]


def _imported(image: Json) -> bool:
    named = str(image.get("Name") or "").startswith(_IMPORTED_NAME)
    return named or str(image.get("Description") or "").startswith(_IMPORTED_WORDS)


def _product_codes(data: Json) -> tuple[str, ...]:
    return tuple(str(code.get("ProductCodeId") or "") for code in data.get("ProductCodes") or ())


def _volume_ids(instance: Json) -> list[str]:
    mapping = instance.get("BlockDeviceMappings") or ()
    return [ident for item in mapping if (ident := str((item.get("Ebs") or {}).get("VolumeId") or ""))]


def _batches(ids: list[str]) -> Iterator[list[str]]:
    for start in range(0, len(ids), BATCH):
        yield ids[start : start + BATCH]
