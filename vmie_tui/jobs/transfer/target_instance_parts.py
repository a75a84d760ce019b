"""Part objects with a manifest as the target of a job: what ImportInstance and ImportVolume read."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import PurePosixPath

from vmie_tui.jobs.store.records import DiskRecord
from vmie_tui.jobs.transfer.choose_samples import sampler_for
from vmie_tui.jobs.transfer.reporting import AttemptReport
from vmie_tui.jobs.transfer.target import Target, said
from vmie_tui.model.facts import GIB
from vmie_tui.services.aws.s3.instance_parts import PartObjects, PartsRequest

MANIFEST_SECONDS = 6 * 3600.0  # its URLs may end with the credentials that signed them: later it is written anew


def is_stale(signed: float) -> bool:
    """Whether a manifest that was written at ``signed`` (seconds since the epoch) must be written anew."""
    return time.time() - signed > MANIFEST_SECONDS


class PartsTarget(Target):
    """The one disk as parts; ``s3_key`` of its record is the image's name, which all keys begin with."""

    def there(self, disk: DiskRecord) -> bool:
        if is_stale(self.context.ledger.urls_signed):
            return False
        return self.context.objects.head(self.context.plan.bucket, disk.ledger.manifest_key) is not None

    def send(self, report: AttemptReport, disks: Sequence[DiskRecord]) -> None:
        (disk,) = disks
        context, plan = self.context, self.context.plan
        sampler = sampler_for(context.job_id, disk.key, disk.capacity)
        place = PurePosixPath(disk.s3_key)
        with report.attempt.feed(disk, plan.upload_format, report.disk(disk.key), sampler) as feed:
            request = PartsRequest(
                bucket=plan.bucket,
                prefix=str(place.parent),
                name=place.name,
                format=plan.upload_format.value,
                volume_gib=max(1, -(-disk.capacity // GIB)),
                size_hint=report.attempt.size_hint(disk, plan.upload_format),
                metadata={"vmie-job": context.job_id},
            )
            uploaded = PartObjects(context.aws, plan.region).upload(request, feed.fill, control=report)
        context.remember(urls_signed=time.time())
        context.remember_disk(
            disk.key,
            manifest_key=uploaded.manifest_key,
            image_bytes=uploaded.bytes,
            volume_gib=uploaded.volume_gib,
        )
        self.done(
            report,
            disk,
            uploaded.bytes,
            sha256=uploaded.sha256,
            checksum=uploaded.checksum,
            parts_done=uploaded.parts,
            samples=sampler.samples,
        )
        found = report.attempt.found(disk.key)
        what = f"{uploaded.bytes:,} bytes in {uploaded.parts} parts and a manifest"
        sha256 = found.sha256 or uploaded.sha256
        context.say(said(disk, what, uploaded.skipped, sha256, verified=bool(found.host_sha256)), message=False)

    def remove(self, disk: DiskRecord) -> None:
        place = PurePosixPath(disk.s3_key)
        parts = PartObjects(self.context.aws, self.context.plan.region)
        if not parts.delete(self.context.plan.bucket, str(place.parent), place.name):
            self.context.say_version_stays(f"the parts below {place.parent}")
