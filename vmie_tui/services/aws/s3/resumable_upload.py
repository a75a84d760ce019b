"""Uploads a stream as one S3 object: multipart, in bounded memory, resumable."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlencode

from vmie_tui.model.errors import ErrorKind, ServiceError
from vmie_tui.services.aws.errors import aws_call
from vmie_tui.services.aws.s3.buffer_budget import BufferBudget
from vmie_tui.services.aws.s3.multipart import (
    MAX_PARTS,
    FoundPart,
    RunningCrc,
    Upload,
    crc_of,
    crc_text,
    part_size_of,
)
from vmie_tui.services.aws.s3.part_sender import OutgoingPart, PartSender
from vmie_tui.services.aws.s3.sender_pool import POLL_SECONDS
from vmie_tui.services.transfer_control import TransferControl

FILL_STEP = 1 << 20  # bytes asked of the source at once; between two steps the control is asked whether to stop


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
    upload_id: str | None = None  # the unfinished upload to go on with; None looks for the newest

    @property
    def subject(self) -> str:
        return f"s3://{self.bucket}/{self.key}"


@dataclass(frozen=True, slots=True)
class Uploaded:
    """A finished object. ``sent`` and ``skipped`` are bytes; ``checksum`` its CRC64NVME in base64.

    ``proven``: the server named that checksum itself; one that keeps none has not shown what it stored.
    """

    bucket: str
    key: str
    size: int
    parts: int
    sent: int
    skipped: int
    checksum: str
    etag: str
    proven: bool = True


def create_upload(client: Any, request: UploadRequest) -> Upload:
    """Start a multipart upload that keeps a CRC64NVME of the whole object."""
    options: dict[str, Any] = {"ContentType": request.content_type}
    if request.tags:
        options["Tagging"] = urlencode(dict(request.tags))
    if request.metadata:
        options["Metadata"] = dict(request.metadata)
    with aws_call("start the upload", request.subject):
        answer = client.create_multipart_upload(
            Bucket=request.bucket,
            Key=request.key,
            ChecksumAlgorithm="CRC64NVME",
            ChecksumType="FULL_OBJECT",
            **options,
        )
    return Upload(request.bucket, request.key, str(answer["UploadId"]))


@dataclass(slots=True, eq=False)
class OpenPart:
    """A part that is being filled: ``length`` bytes so far of the ``limit`` it shall have."""

    number: int
    buffer: bytearray
    limit: int
    length: int = 0

    @property
    def full(self) -> bool:
        return self.length >= self.limit

    def put(self, data: bytes | memoryview) -> None:
        """Append what fits into the buffer."""
        self.buffer[self.length : self.length + len(data)] = data
        self.length += len(data)


class Uploader:
    """One run of one upload. ``found`` are the parts ``upload`` holds from earlier runs.

    ``part_size`` is for an upload that holds none to tell it from. A context manager; parts are opened one after the
    other with `begin`, filled, and sent in any order. Whatever is open when it is left goes back to the budget. Used
    from one thread.
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
        sender: PartSender,
    ) -> None:
        self._request, self._upload, self._sender = request, upload, sender
        self._found = {part.number: part for part in found}
        self._control, self._budget = control, budget
        self.part_size = part_size_of(found, request.size_hint, part_size)
        self._etags: dict[int, str] = {}
        self._sums: dict[int, tuple[int, int]] = {}  # part -> its CRC and length
        self._crc = RunningCrc()
        self._open: list[OpenPart] = []
        self._number = 0
        self._sent = self._skipped = 0

    def __enter__(self) -> Self:
        self._sender.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._sender.__exit__(kind, error, trace)
        for part in self._open:
            self._budget.release(part.buffer)
        self._open.clear()

    def run(self, fill: Callable[[memoryview], int]) -> None:
        """Sends everything ``fill`` supplies, in order; an empty stream is one empty part."""
        while True:
            part = self.begin()
            more = self.fill(part, fill)
            if not part.length and part.number > 1:
                self.drop(part)
            else:
                self.send(part)
            if not more:
                break
        self.finish()

    def poll(self, wait: float = 0.0) -> None:
        """Records the parts that have arrived; waits up to ``wait`` seconds for one. Raises when stopped."""
        for part in self._sender.collect(wait=wait):
            self._etags[part.number] = part.etag
            self._sent += part.length
            self._control.moved(part.length)
        self._control.check()

    def begin(self) -> OpenPart:
        """The next part, empty. Waits until another one may be sent and there is memory for it.

        So it must not be called while another part is open that is not held.
        """
        while self._sender.full:
            self.poll(POLL_SECONDS)
        buffer = self._budget.acquire(self.part_size, self.poll)
        self._number += 1
        part = OpenPart(self._number, buffer, self.part_size)
        self._open.append(part)
        return part

    def fill(self, part: OpenPart, fill: Callable[[memoryview], int]) -> bool:
        """Fill the part up to its limit; False when the stream ended before."""
        with memoryview(part.buffer) as view:
            while not part.full:
                self.poll()
                with view[part.length : min(part.length + FILL_STEP, part.limit)] as step:
                    got = fill(step)
                if not got:
                    return False
                if part.number > MAX_PARTS:
                    self._refuse_length()
                part.length += got
        return True

    def hold(self, part: OpenPart) -> None:
        """Holds a part that cannot be sent yet, in no more memory than it needs."""
        part.buffer = self._budget.hold(part.buffer, part.length)

    def unhold(self, part: OpenPart) -> None:
        """Releases a held part for sending."""
        self._budget.unhold(part.buffer)

    def send(self, part: OpenPart) -> None:
        """Sends a complete part unless S3 already has it. Waits for a free slot."""
        with memoryview(part.buffer) as view:
            crc = crc_of(view[: part.length])
        self._sums[part.number] = (crc, part.length)
        found = self._found.get(part.number)
        if found is not None and (found.size, found.checksum) == (part.length, crc_text(crc)):
            self.drop(part)
            self._etags[part.number] = found.etag
            self._skipped += part.length
            self._control.moved(part.length, skipped=True)
            return
        while self._sender.full:
            self.poll(POLL_SECONDS)
        self._open.remove(part)
        self._sender.submit(OutgoingPart(part.number, part.buffer, part.length, crc))

    def drop(self, part: OpenPart) -> None:
        """Discards a part without sending it."""
        self._open.remove(part)
        self._budget.release(part.buffer)

    def finish(self) -> None:
        """Wait until all parts sent have arrived."""
        while not self._sender.idle:
            self.poll(POLL_SECONDS)
        for _, (crc, length) in sorted(self._sums.items()):
            self._crc.add(crc, length)

    def _refuse_length(self) -> None:
        raise ServiceError(
            ErrorKind.INVALID,
            f"the stream does not fit into {MAX_PARTS:,} parts of {self.part_size} bytes",
            subject=self._request.subject,
            remedy="Abort this upload and start again with a larger size",
        )

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
