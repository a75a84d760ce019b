"""S3 as the target of a job: an object for each disk, or one OVA with all of them."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from vmie_tui.jobs.engine.import_context import ImportContext
from vmie_tui.jobs.store.records import DiskRecord
from vmie_tui.jobs.transfer.choose_samples import sampler_for
from vmie_tui.jobs.transfer.disk_images import PlainFeed
from vmie_tui.jobs.transfer.reporting import ArchiveReport, AttemptReport
from vmie_tui.jobs.transfer.target import Target, said
from vmie_tui.jobs.transfer.target_ebs import EbsTarget
from vmie_tui.jobs.transfer.target_instance_parts import PartsTarget
from vmie_tui.model.plan import ImportPlan, Route, UploadFormat
from vmie_tui.services.aws.s3.objects import UploadRequest
from vmie_tui.services.aws.s3.ova_upload import OvaDisk, OvaRequest, OvaUpload
from vmie_tui.services.aws.s3.resumable_upload import Uploaded
from vmie_tui.services.disks.feeds.disk_feed import Feed
from vmie_tui.services.disks.streams.source import ByteReader

CONTENT_TYPES = {
    UploadFormat.VMDK: "application/x-vmdk",
    UploadFormat.OVA: "application/x-tar",
    UploadFormat.VHD: "application/x-vhd",
    UploadFormat.RAW: "application/octet-stream",
}


class S3Target(Target):
    """Each disk an object of its own, in the plan's format."""

    def there(self, disk: DiskRecord) -> bool:
        found = self.context.objects.head(self.context.plan.bucket, disk.s3_key)
        return found is not None and found.size == disk.total and (not disk.checksum or found.checksum == disk.checksum)

    def send(self, report: AttemptReport, disks: Sequence[DiskRecord]) -> None:
        (disk,) = disks
        context, plan = self.context, self.context.plan
        sampler = sampler_for(context.job_id, disk.key, disk.capacity)
        with report.attempt.feed(disk, plan.upload_format, report.disk(disk.key), sampler) as feed:
            request = UploadRequest(
                bucket=plan.bucket,
                key=disk.s3_key,
                size_hint=report.attempt.size_hint(disk, plan.upload_format),
                content_type=CONTENT_TYPES[plan.upload_format],
                metadata={"vmie-job": context.job_id},
            )
            uploaded = context.objects.upload(request, feed.fill, control=report)
            sha256 = feed.sha256
        say_unproven(context, uploaded)
        self.done(
            report,
            disk,
            uploaded.size,
            sha256=sha256,
            checksum=uploaded.checksum,
            parts_done=uploaded.parts,
            samples=sampler.samples,
        )
        proof = report.attempt.found(disk.key)
        context.say(
            said(
                disk,
                f"{uploaded.size:,} bytes in S3",
                uploaded.skipped,
                proof.sha256 or sha256,
                verified=bool(proof.host_sha256),
            ),
            message=False,
        )

    def remove(self, disk: DiskRecord) -> None:
        remove_object(self.context, disk.s3_key)


def say_unproven(context: ImportContext, uploaded: Uploaded) -> None:
    """Warn where S3, or what stands in for it, kept no checksum of what was sent."""
    if not uploaded.proven:
        context.say(
            f"s3://{uploaded.bucket}/{uploaded.key}: the server named no checksum of what it stored, so "
            "the upload is not proven; compare the result with v on the job's page",
            message=False,
            level="warning",
        )


def remove_object(context: ImportContext, key: str, bucket: str = "") -> None:
    """An object of our own and all unfinished uploads of it."""
    context.objects.abort(bucket or context.plan.bucket, key)
    if not context.objects.delete(bucket or context.plan.bucket, key):
        context.say_version_stays(f"s3://{bucket or context.plan.bucket}/{key}")


class OvaTarget(Target):
    """All disks in one OVA, written as a stream; ``s3_key`` is the same for all of them."""

    def groups(self, disks: Sequence[DiskRecord]) -> list[list[DiskRecord]]:
        return [list(disks)] if disks else []

    def there(self, disk: DiskRecord) -> bool:
        found = self.context.objects.head(self.context.plan.bucket, disk.s3_key)
        return found is not None and (found.size, found.checksum) == (disk.ledger.object_size, disk.checksum)

    def send(self, report: AttemptReport, disks: Sequence[DiskRecord]) -> None:
        context = self.context
        whole = report.attempt.whole()
        if whole is not None:
            self._send_whole(report, disks, whole)
            return
        feeds: dict[int, Feed] = {}
        samplers = {disk.key: sampler_for(context.job_id, disk.key, disk.capacity) for disk in disks}

        def opened(disk: DiskRecord) -> Feed:
            control = report.disk(disk.key)
            feeds[disk.key] = report.attempt.feed(disk, UploadFormat.VMDK, control, samplers[disk.key])
            return feeds[disk.key]

        members = [
            OvaDisk(
                f"disk-{number}.vmdk",
                disk.capacity,
                report.attempt.size_hint(disk, UploadFormat.VMDK),
                partial(opened, disk),
            )
            for number, disk in enumerate(disks, 1)
        ]
        machine = context.ledger.machine
        request = OvaRequest(context.plan.bucket, disks[0].s3_key, machine, members)
        uploaded = OvaUpload(context.objects).upload(request, control=report)
        say_unproven(context, uploaded)
        for disk in disks:
            context.remember_disk(disk.key, object_size=uploaded.size)
            self.done(
                report,
                disk,
                feeds[disk.key].size,
                sha256=feeds[disk.key].sha256,
                checksum=uploaded.checksum,
                parts_done=uploaded.parts,
                samples=samplers[disk.key].samples,
            )
            found = report.attempt.found(disk.key)
            sha256 = found.sha256 or feeds[disk.key].sha256
            context.say(said(disk, "in the OVA", 0, sha256, verified=bool(found.host_sha256)), message=False)
        skipped = f", {uploaded.skipped:,} already there" if uploaded.skipped else ""
        context.say(f"OVA: {uploaded.size:,} bytes in S3{skipped}", message=False)

    def _send_whole(self, report: AttemptReport, disks: Sequence[DiskRecord], archive: ByteReader) -> None:
        """An OVA as it is."""
        context, plan, first = self.context, self.context.plan, disks[0]
        control = ArchiveReport(report, {disk.key: disk.capacity for disk in disks})
        control.begin(archive.size)
        request = UploadRequest(
            bucket=plan.bucket,
            key=first.s3_key,
            size_hint=archive.size,
            content_type=CONTENT_TYPES[UploadFormat.OVA],
            metadata={"vmie-job": context.job_id},
        )
        feed = PlainFeed(archive, control)
        uploaded = context.objects.upload(request, feed.fill, control=report)
        say_unproven(context, uploaded)
        for disk in disks:
            sampler = sampler_for(context.job_id, disk.key, disk.capacity)
            report.attempt.sample(disk, sampler)
            context.remember_disk(disk.key, object_size=uploaded.size)
            self.done(
                report,
                disk,
                uploaded.size * disk.capacity // max(sum(each.capacity for each in disks), 1),
                sha256=feed.sha256,
                checksum=uploaded.checksum,
                samples=sampler.samples,
            )
        skipped = f", {uploaded.skipped:,} already there" if uploaded.skipped else ""
        context.say(f"OVA as it is: {uploaded.size:,} bytes in S3{skipped}; sha256 {feed.sha256}", message=False)

    def remove(self, disk: DiskRecord) -> None:
        remove_object(self.context, disk.s3_key)


def target_of(context: ImportContext) -> Target:
    """Where this job's disks go."""
    plan = context.plan
    if plan.direct:
        return EbsTarget(context)
    if plan.route is Route.INSTANCE:
        return PartsTarget(context)
    return OvaTarget(context) if plan.upload_format is UploadFormat.OVA else S3Target(context)


def key_of(plan: ImportPlan, folder: str, number: int) -> str:
    """The key of a disk's object, or the beginning of its parts' keys; "" when nothing of it goes to S3."""
    if plan.direct or not plan.moves_bytes:
        return ""
    suffix = plan.upload_format.value.lower()
    return (
        f"{folder}/machine.{suffix}" if plan.upload_format is UploadFormat.OVA else f"{folder}/disk-{number}.{suffix}"
    )
