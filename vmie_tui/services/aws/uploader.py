"""A stream becomes one S3 object: multipart, in bounded memory, going on where an earlier attempt stopped."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol
from urllib.parse import urlencode

from vmie_tui.model.errors import ErrorKind, ServiceError
from vmie_tui.services.aws.buffers import BufferBudget
from vmie_tui.services.aws.errors import aws_call
from vmie_tui.services.aws.multipart import (
    MAX_PARTS,
    FoundPart,
    RunningCrc,
    Upload,
    crc_of,
    crc_text,
    part_size_of,
)
from vmie_tui.services.aws.parts import OutgoingPart, PartSender
from vmie_tui.services.aws.sending import POLL_SECONDS

FILL_STEP = 1 << 20  # bytes asked of the source at once; between two steps the control is asked whether to stop


class TransferControl(Protocol):
    """What the owner of a transfer wants to know and to say. Called from the thread that called ``upload`` only."""

    def stop(self) -> None:
        """Called often; raises (`Cancelled`, a pause, a lost lease) when the transfer shall end now."""

    def sent(self, nbytes: int, *, skipped: bool) -> None:
        """One more part of ``nbytes`` is in S3; ``skipped`` when it was there already."""


@dataclass(frozen=True, slots=True)
class Encryption:
    """Server-side encryption to ask for: ``AES256``, or ``aws:kms`` with a key (None is the account's own)."""

    algorithm: str
    kms_key_id: str | None = None


@dataclass(frozen=True, slots=True)
class UploadRequest:
    """Where a stream goes. ``size_hint``: bytes it will have at most, as well as known; it decides the part size.

    ``tags`` need s3:PutObjectTagging, which the guides' policy does not grant; ``metadata`` needs nothing more.
    """

    bucket: str
    key: str
    size_hint: int
    content_type: str = "application/octet-stream"
    tags: Mapping[str, str] = field(default_factory=dict)
    metadata: Mapping[str, str] = field(default_factory=dict)
    encryption: Encryption | None = None
    upload_id: str | None = None  # the unfinished upload to go on with; None looks for the newest

    @property
    def subject(self) -> str:
        return f"s3://{self.bucket}/{self.key}"


@dataclass(frozen=True, slots=True)
class Uploaded:
    """A finished object. ``sent`` and ``skipped`` are bytes; ``checksum`` its CRC64NVME in base64."""

    bucket: str
    key: str
    size: int
    parts: int
    sent: int
    skipped: int
    checksum: str
    etag: str


def create_upload(client: Any, request: UploadRequest) -> Upload:
    """Start a multipart upload that keeps a CRC64NVME of the whole object."""
    options: dict[str, Any] = {"ContentType": request.content_type}
    if request.tags:
        options["Tagging"] = urlencode(dict(request.tags))
    if request.metadata:
        options["Metadata"] = dict(request.metadata)
    if request.encryption:
        options["ServerSideEncryption"] = request.encryption.algorithm
        if request.encryption.kms_key_id:
            options["SSEKMSKeyId"] = request.encryption.kms_key_id
    with aws_call("start the upload", request.subject):
        answer = client.create_multipart_upload(
            Bucket=request.bucket,
            Key=request.key,
            ChecksumAlgorithm="CRC64NVME",
            ChecksumType="FULL_OBJECT",
            **options,
        )
    return Upload(request.bucket, request.key, str(answer["UploadId"]))


class Uploader:
    """One run of one upload. ``found`` are the parts ``upload`` holds from earlier runs.

    ``part_size`` is for an upload that holds none to tell it from.
    """

    def __init__(
        self,
        request: UploadRequest,
        upload: Upload,
        found: list[FoundPart],
        *,
        control: TransferControl,
        budget: BufferBudget,
        part_size: int,
    ) -> None:
        self._request, self._upload = request, upload
        self._found = {part.number: part for part in found}
        self._control, self._budget = control, budget
        self._part_size = part_size_of(found, request.size_hint, part_size)
        self._etags: dict[int, str] = {}
        self._crc = RunningCrc()
        self._sent = self._skipped = 0

    def run(self, fill: Callable[[memoryview], int], client: Any, parallel: int) -> None:
        """Send all that ``fill`` gives. After it, `etags` and `crc` describe the whole object."""
        with PartSender(client, self._upload, self._budget, parallel) as sender:

            def poll(wait: float = 0.0) -> None:
                for part in sender.collect(wait=wait):
                    self._etags[part.number] = part.etag
                    self._sent += part.length
                    self._control.sent(part.length, skipped=False)
                self._control.stop()

            number, more = 0, True
            while more:
                number += 1
                while sender.full:
                    poll(POLL_SECONDS)
                part = self._next(number, fill, poll)
                if part is None:
                    break
                more = part.length == self._part_size
                self._crc.add(part.crc, part.length)
                if not self._keep(part):
                    sender.submit(part)
            while not sender.idle:
                poll(POLL_SECONDS)

    def _next(self, number: int, fill: Callable[[memoryview], int], poll: Callable[[], None]) -> OutgoingPart | None:
        """The next part, filled; None at the end of the stream. An empty stream still has one, empty, part."""
        buffer = self._budget.acquire(self._part_size, poll)
        length = 0
        try:
            with memoryview(buffer) as view:
                while length < self._part_size:
                    poll()
                    with view[length : length + FILL_STEP] as step:
                        got = fill(step)
                    if not got:
                        break
                    length += got
                crc = crc_of(view[:length])
                if length and number > MAX_PARTS:
                    self._refuse_length()
        except BaseException:
            self._budget.release(buffer)
            raise
        if length or number == 1:
            return OutgoingPart(number, buffer, length, crc)
        self._budget.release(buffer)
        return None

    def _refuse_length(self) -> None:
        raise ServiceError(
            ErrorKind.INVALID,
            f"the stream does not fit into {MAX_PARTS:,} parts of {self._part_size} bytes",
            subject=self._request.subject,
            remedy="Abort this upload and start again with a larger size",
        )

    def _keep(self, part: OutgoingPart) -> bool:
        """Whether S3 has this very part already; then it is not sent."""
        found = self._found.get(part.number)
        if found is None or found.size != part.length or found.checksum != crc_text(part.crc):
            return False
        self._budget.release(part.buffer)
        self._etags[part.number] = found.etag
        self._skipped += part.length
        self._control.sent(part.length, skipped=True)
        return True

    def result(self, etag: str) -> Uploaded:
        return Uploaded(
            self._upload.bucket,
            self._upload.key,
            self._crc.size,
            len(self._etags),
            self._sent,
            self._skipped,
            self._crc.text,
            etag,
        )

    def completion(self) -> dict[str, Any]:
        """Arguments of CompleteMultipartUpload: our own parts only, whatever else an earlier run left."""
        return {
            "Bucket": self._upload.bucket,
            "Key": self._upload.key,
            "UploadId": self._upload.upload_id,
            "MultipartUpload": {"Parts": [{"PartNumber": n, "ETag": etag} for n, etag in sorted(self._etags.items())]},
            "ChecksumCRC64NVME": self._crc.text,
            "ChecksumType": "FULL_OBJECT",
            "MpuObjectSize": self._crc.size,
        }
