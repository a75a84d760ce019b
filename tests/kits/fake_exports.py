"""Instances, AMIs and exports that answer at once; everything asked is in ``asked``."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace

from vmie_tui.model.errors import ServiceError
from vmie_tui.model.exportable import Exportable, ExportBucket, ExportDisk
from vmie_tui.model.task import Task, TaskDisk, TaskKind
from vmie_tui.operations.exports import DownloadStopped, Fetch, OnSources
from vmie_tui.services.aws.s3.download import Downloaded
from vmie_tui.services.aws.s3.export_bucket import BucketChange, BucketReport, ChangeKind

ACCOUNT, BUCKET = "111122223333", "migration-eu-west-1"
INSTANCE, IMAGE, SOLD = "i-0aa11bb22cc33dd44", "ami-0ab12cd34ef567890", "i-0bb11bb22cc33dd44"


def exportable(ident: str, name: str, **fields: object) -> Exportable:
    base = Exportable(
        ident,
        "eu-west-1",
        name,
        ACCOUNT,
        ACCOUNT,
        "stopped" if ident.startswith("i-") else "available",
        platform_details="Linux/UNIX",
        usage_operation="RunInstances",
        architecture="x86_64",
        boot_mode="legacy-bios",
        disks=(ExportDisk("/dev/sda1", 40, "vol-0123456789abcdef0", "snap-0123456789abcdef0", snapshot_exists=True),),
        interfaces=1,
        image_id="ami-0ff11bb22cc33dd44",
        image_exists=True,
        image_imported=True,
        image_owner=ACCOUNT,
        tags=(("team", "web"),),
    )
    return replace(base, **fields)  # type: ignore[arg-type]


def some_sources() -> tuple[Exportable, ...]:
    return (
        exportable(INSTANCE, "web-01"),
        exportable(SOLD, "shop-02", product_codes=("abc123",)),
        exportable(IMAGE, "golden-debian"),
    )


def some_tasks() -> tuple[Task, ...]:
    disk = TaskDisk("VMDK", BUCKET, "vmie/export-ami-0123456789abcdef0.vmdk")
    done = Task(TaskKind.EXPORT_IMAGE, "export-ami-0123456789abcdef0", "completed", image_id=IMAGE, disks=(disk,))
    busy = replace(done, id="export-ami-0fedcba9876543210", state="active", status_message="converting", progress=40)
    failed = Task(TaskKind.EXPORT_INSTANCE, "export-i-0123456789abcdef0", "cancelled", "multiple volumes attached")
    return (failed, done, busy)


def closed_bucket() -> BucketReport:
    """A bucket that the export service may not write to yet, with the change that lets it."""
    change = BucketChange(
        ChangeKind.ACL, BUCKET, {"Grants": []}, {"Grants": [{"Permission": "WRITE"}]}, "It writes the object", "F275"
    )
    bucket = ExportBucket(BUCKET, "eu-west-1", True, "BucketOwnerPreferred", "AES256", granted=False)
    return BucketReport(bucket, (change,), grantee="c4d8")


def open_bucket() -> BucketReport:
    report = closed_bucket()
    return replace(report, bucket=replace(report.bucket, granted=True), changes=())


class FakeOutward:
    def __init__(self) -> None:
        self.things, self.listed = some_sources(), some_tasks()
        self.report = open_bucket()
        self.errors: dict[str, ServiceError] = {}  # by the name of the method
        self.asked: list[tuple[object, ...]] = []
        self.gate: threading.Event | None = None  # a download waits for it half way

    def _ask(self, name: str, *arguments: object) -> None:
        self.asked.append((name, *arguments))
        if name in self.errors:
            raise self.errors[name]

    def sources(self, region: str, on_page: OnSources) -> None:
        on_page(self.things[:1])
        self._ask("sources", region)
        on_page(self.things[1:])

    def tasks(self, region: str) -> tuple[Task, ...]:
        self._ask("tasks", region)
        return self.listed

    def look(self, region: str, source_id: str) -> Exportable:
        self._ask("look", source_id)
        return replace(next(one for one in self.things if one.id == source_id), cpus=2, memory_mib=4096)

    def bucket(self, region: str, name: str, *, instance: bool) -> BucketReport:
        self._ask("bucket", name, instance)
        return replace(self.report, bucket=replace(self.report.bucket, name=name))

    def grant(self, region: str, report: BucketReport) -> BucketReport:
        self._ask("grant", report.bucket.name)
        self.report = open_bucket()
        return self.report

    def fetch(self, wanted: Fetch, on_bytes: Callable[[int, int], None], stopped: Callable[[], bool]) -> Downloaded:
        self._ask("fetch", wanted.task.id, wanted.folder)
        on_bytes(50 << 20, 100 << 20)
        while self.gate is not None and not self.gate.wait(0.005):
            if stopped():
                raise DownloadStopped
        return Downloaded(f"{wanted.folder}/{wanted.task.id}.vmdk", 100 << 20, "q83v", "CRC64NVME")
