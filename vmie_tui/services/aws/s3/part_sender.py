"""Sends the parts of one multipart upload."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from vmie_tui.services.aws.s3.buffer_budget import BufferBudget
from vmie_tui.services.aws.s3.multipart import Upload, crc_text
from vmie_tui.services.aws.s3.rate_cap import RateCap
from vmie_tui.services.aws.s3.sender_pool import Sender


@dataclass(frozen=True, slots=True)
class OutgoingPart:
    """A part to send: the first ``length`` bytes of ``buffer``, which now belongs to the sender."""

    number: int
    buffer: bytearray
    length: int
    crc: int


@dataclass(frozen=True, slots=True)
class SentPart:
    number: int
    length: int
    etag: str


class PartSender(Sender[OutgoingPart, SentPart]):
    """Up to ``parallel`` parts of ``upload`` under way at once. ``client`` must not retry by itself."""

    def __init__(
        self, client: Any, upload: Upload, budget: BufferBudget, parallel: int, *, cap: RateCap | None = None
    ) -> None:
        super().__init__(f"s3://{upload.bucket}/{upload.key}", budget, parallel, thread_name="s3-part", cap=cap)
        self._client, self._upload = client, upload

    def doing(self, item: OutgoingPart) -> str:
        return f"upload part {item.number}"

    def put(self, item: OutgoingPart, view: memoryview) -> SentPart:
        checksum = crc_text(item.crc)
        answer = self._client.upload_part(
            Bucket=self._upload.bucket,
            Key=self._upload.key,
            UploadId=self._upload.upload_id,
            PartNumber=item.number,
            ContentLength=item.length,
            Body=self.body(view),
            ChecksumCRC64NVME=checksum,
        )
        stored = answer.get("ChecksumCRC64NVME", checksum)
        if stored != checksum:
            what = f"S3 stored part {item.number} with another checksum than it was sent with"
            raise self.stored_otherwise(what, "the part", f"{stored} instead of {checksum}")
        return SentPart(item.number, item.length, str(answer["ETag"]))
