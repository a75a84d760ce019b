"""Writes a stream to S3 part objects and an import manifest, for the instance route (ImportInstance, ImportVolume).

The parts are objects of their own, so an upload goes on where it stopped by looking at each one (HEAD): a part whose
size and CRC64NVME are those of the stream's is not sent again. Format and keys: `manifest`.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from vmie_tui.model.errors import ErrorKind, ServiceError
from vmie_tui.services.aws.errors import aws_call, boto_errors, error_code
from vmie_tui.services.aws.s3 import buffer_budget
from vmie_tui.services.aws.s3.manifest import ManifestPart, manifest_key, manifest_pieces, part_key
from vmie_tui.services.aws.s3.multipart import MIB, SMALLEST_PART, RunningCrc, crc_of, crc_text
from vmie_tui.services.aws.s3.objects import ObjectStore
from vmie_tui.services.aws.s3.part_sender import OutgoingPart
from vmie_tui.services.aws.s3.rate_cap import RateCap, cap_of
from vmie_tui.services.aws.s3.resumable_upload import FILL_STEP, UploadRequest
from vmie_tui.services.aws.s3.sender_pool import POLL_SECONDS, Sender
from vmie_tui.services.aws.session import PARTS, PRESIGN, Aws
from vmie_tui.services.transfer_control import TransferControl

TOOL_PART = 10 * MIB  # what the EC2 CLI tools cut an image into
LARGEST_PART = 64 * MIB  # bounds the memory; the schema allows any number of parts
AIMED_PARTS = 2000  # each costs three signed URLs in the manifest
PARALLEL = 3
ABSENT_RUN = 8  # so many parts missing in a row, and nobody has been here: the others are sent without looking
URL_SECONDS = 7 * 86_400  # the longest life S3 gives a presigned URL; temporary credentials end it sooner
OWN_KEY = re.compile(r".*(?:\.part\d+|manifest\.xml)", re.DOTALL)
_OPERATIONS = {"GET": "get_object", "HEAD": "head_object", "DELETE": "delete_object"}
_ABSENT = frozenset({"404", "NoSuchKey", "NotFound", "403", "AccessDenied"})  # 403: no right to list, or not there


def part_object_size(size_hint: int) -> int:
    """Bytes per part for an image of about ``size_hint`` bytes: whole MiB, from 10 to 64."""
    wanted = -(-max(0, size_hint) // AIMED_PARTS)
    return min(LARGEST_PART, max(TOOL_PART, -(-wanted // MIB) * MIB))


@dataclass(frozen=True, slots=True)
class PartsRequest:
    """An image to upload. ``prefix`` is a folder that nothing else is in; ``name`` the image's file name.

    ``format``: VMDK, VHD or RAW. ``volume_gib``: size of the volume it becomes. ``size_hint``: bytes of the image as
    uploaded, as well as known. ``part_size``: bytes of each part but the last; 0 chooses one by ``size_hint``.
    """

    bucket: str
    prefix: str
    name: str
    format: str
    volume_gib: int
    size_hint: int
    part_size: int = 0
    metadata: Mapping[str, str] = field(default_factory=dict)

    @property
    def stem(self) -> str:
        """The part of the keys that all objects of the image share."""
        return folder_of(self.prefix) + self.name

    @property
    def subject(self) -> str:
        return f"s3://{self.bucket}/{self.stem}"


@dataclass(frozen=True, slots=True)
class PartsUploaded:
    """The result of an upload. ``bytes`` of the image; ``sent`` and ``skipped`` add up to it.

    ``manifest_url`` is presigned and works for seven days at most: `PartObjects.manifest_url` makes a new one.
    ``sha256`` in hex, ``checksum`` CRC64NVME in base64, both of the whole image.
    """

    bucket: str
    manifest_key: str
    manifest_url: str
    format: str
    volume_gib: int
    bytes: int
    parts: int
    sent: int
    skipped: int
    sha256: str
    checksum: str


class PartObjects:
    """Disk images as part objects, in the buckets of one Region. ``budget`` bounds the memory of parts under way."""

    def __init__(
        self,
        aws: Aws,
        region: str | None = None,
        *,
        budget: buffer_budget.BufferBudget = buffer_budget.SHARED,
        parallel: int = PARALLEL,
    ) -> None:
        self._aws, self.region = aws, region or aws.region
        self._budget, self._parallel = budget, parallel
        self._store = ObjectStore(aws, self.region, budget=budget, part_size=lambda _: SMALLEST_PART)  # for manifests

    def upload(
        self, request: PartsRequest, fill: Callable[[memoryview], int], *, control: TransferControl
    ) -> PartsUploaded:
        """Write all that ``fill`` gives to part objects, then their manifest.

        ``fill`` and ``control`` as in `ObjectStore.upload`; what either raises comes out within 2 s, and the parts sent
        stay for the next attempt. Raises ServiceError naming object and part.
        """
        control.check()
        client = self._aws.client(PARTS, self.region)
        cap = cap_of(self._aws.settings)
        run = _Run(request, client, control=control, budget=self._budget, parallel=self._parallel, cap=cap)
        try:
            run.send(fill)
        finally:
            self._budget.trim()
        if not run.crc.size:
            raise ServiceError(
                ErrorKind.INVALID, "the image is empty", subject=request.subject, remedy="Give one with a disk in it"
            )
        key = manifest_key(request.stem)
        self._write_manifest(request, key, run, control)
        return PartsUploaded(
            request.bucket,
            key,
            self.manifest_url(request.bucket, key),
            request.format,
            request.volume_gib,
            run.crc.size,
            len(run.sizes),
            run.sent,
            run.skipped,
            run.sha256.hexdigest(),
            run.crc.text,
        )

    def manifest_url(self, bucket: str, key: str) -> str:
        """A presigned URL to read a manifest with, for seven days at most."""
        return self._sign(bucket, "GET", key)

    def _sign(self, bucket: str, method: str, key: str) -> str:
        with aws_call("sign a URL", f"s3://{bucket}/{key}"):
            return str(
                self._aws.client(PRESIGN, self.region).generate_presigned_url(
                    _OPERATIONS[method], Params={"Bucket": bucket, "Key": key}, ExpiresIn=URL_SECONDS
                )
            )

    def _write_manifest(self, request: PartsRequest, key: str, run: _Run, control: TransferControl) -> None:
        pieces = manifest_pieces(
            format_name=request.format,
            size=run.crc.size,
            volume_gib=request.volume_gib,
            parts=run.parts(),
            count=len(run.sizes),
            key=key,
            sign=lambda method, name: self._sign(request.bucket, method, name),
        )
        self._store.abort(request.bucket, key)  # an earlier run's has other URLs in it
        asked = UploadRequest(request.bucket, key, 0, "text/xml", metadata=request.metadata)
        self._store.upload(asked, _Filler(pieces), control=_Quiet(control))

    def delete(self, bucket: str, prefix: str, name: str = "") -> bool:
        """Delete all parts and the manifest below ``prefix``, as `ObjectStore.delete` does; what else lies there stays.

        ``name``, the image's, lets it be done without the right to list the bucket. Raises ServiceError.
        """
        folder = folder_of(prefix)
        if not folder:
            raise ServiceError(ErrorKind.INVALID, "no folder was named", subject=bucket, remedy="Name the job's folder")
        try:
            keys = self._listed(bucket, folder)
        except ServiceError as error:
            if error.kind is not ErrorKind.PERMISSION or not name:
                raise
            keys = self._probed(bucket, folder + name)
        gone = self._store.delete_objects(bucket, keys)
        manifests = {key for key in keys if key.endswith("manifest.xml")}
        for key in manifests | ({manifest_key(folder + name)} if name else set()):
            self._store.abort(bucket, key)
        return gone

    def _listed(self, bucket: str, folder: str) -> list[str]:
        with aws_call("list the parts", f"s3://{bucket}/{folder}"):
            pages = self._aws.client("s3", self.region).get_paginator("list_objects_v2")
            found = pages.paginate(Bucket=bucket, Prefix=folder)
            keys = [str(item["Key"]) for page in found for item in page.get("Contents", ())]
        return [key for key in keys if OWN_KEY.fullmatch(key)]

    def _probed(self, bucket: str, stem: str) -> list[str]:
        """The keys that must exist, probed one by one."""
        found, absent, index = [manifest_key(stem)], 0, 0
        while absent <= ABSENT_RUN:
            key = part_key(stem, index)
            try:
                there = self._store.head(bucket, key) is not None
            except ServiceError as error:
                if error.kind is not ErrorKind.PERMISSION:
                    raise
                there = False  # what S3 says of a missing object to one who may not list
            found += [key] * there
            absent = 0 if there else absent + 1
            index += 1
        return found


def folder_of(prefix: str) -> str:
    """A prefix as a folder: with one trailing slash, or empty."""
    return f"{prefix.rstrip('/')}/" if prefix.strip("/") else ""


class _Run:
    """One pass over a stream: splits it, sends what is missing, and records every part's size."""

    def __init__(
        self,
        request: PartsRequest,
        client: Any,
        *,
        control: TransferControl,
        budget: buffer_budget.BufferBudget,
        parallel: int,
        cap: RateCap | None = None,
    ) -> None:
        self._request, self._client, self._control = request, client, control
        self._budget, self._parallel, self._cap = budget, parallel, cap
        self._part_size = request.part_size or part_object_size(request.size_hint)
        self.sizes: list[int] = []
        self.crc, self.sha256 = RunningCrc(), hashlib.sha256()
        self.sent = self.skipped = 0

    def send(self, fill: Callable[[memoryview], int]) -> None:
        with _ObjectSender(self._client, self._request, self._budget, self._parallel, cap=self._cap) as sender:

            def poll(wait: float = 0.0) -> None:
                for number in sender.collect(wait=wait):
                    kept, size = number in sender.kept, self.sizes[number]
                    self.skipped += size if kept else 0
                    self.sent += 0 if kept else size
                    self._control.moved(size, skipped=kept)
                self._control.check()

            length = self._part_size
            while length == self._part_size:
                while sender.full:
                    poll(POLL_SECONDS)
                part = self._next(fill, poll)
                length = part.length
                if not length:
                    self._budget.release(part.buffer)
                    break
                self.sizes.append(length)
                self.crc.add(part.crc, length)
                sender.submit(part)
            while not sender.idle:
                poll(POLL_SECONDS)

    def _next(self, fill: Callable[[memoryview], int], poll: Callable[[], None]) -> OutgoingPart:
        """The next part, filled; empty at the end of the stream."""
        buffer, length = self._budget.acquire(self._part_size, poll), 0
        try:
            with memoryview(buffer) as view:
                while length < self._part_size:
                    poll()
                    with view[length : length + FILL_STEP] as step:
                        got = fill(step)
                        if not got:
                            break
                        self.sha256.update(step[:got])
                    length += got
                return OutgoingPart(len(self.sizes), buffer, length, crc_of(view[:length]))
        except BaseException:
            self._budget.release(buffer)
            raise

    def parts(self) -> Iterator[ManifestPart]:
        start = 0
        for index, size in enumerate(self.sizes):
            yield ManifestPart(index, part_key(self._request.stem, index), start, size)
            start += size


class _ObjectSender(Sender[OutgoingPart, int]):
    """Sends parts as objects; its results are their numbers. ``kept``: those that were in S3 already, whole."""

    def __init__(
        self,
        client: Any,
        request: PartsRequest,
        budget: buffer_budget.BufferBudget,
        parallel: int,
        *,
        cap: RateCap | None = None,
    ) -> None:
        super().__init__(request.subject, budget, parallel, thread_name="s3-object", cap=cap)
        self._client, self._request = client, request
        self.kept: set[int] = set()
        self._absent = 0

    def doing(self, item: OutgoingPart) -> str:
        return f"upload part {item.number}"

    def put(self, item: OutgoingPart, view: memoryview) -> int:
        key, checksum = part_key(self._request.stem, item.number), crc_text(item.crc)
        if self._there(key, item.length, checksum):
            self.kept.add(item.number)
            return item.number
        answer = self._client.put_object(
            Bucket=self._request.bucket,
            Key=key,
            ContentLength=item.length,
            ContentType="application/octet-stream",
            Body=self.body(view),
            Metadata=dict(self._request.metadata),
            ChecksumCRC64NVME=checksum,
        )
        named = answer.get("ChecksumCRC64NVME")
        if named != checksum and (named or not self._there(key, item.length, checksum)):
            what = f"S3 does not say that it stored part {item.number} with the checksum it was sent with"
            raise self.stored_otherwise(what, "the part")
        return item.number

    def _there(self, key: str, size: int, checksum: str) -> bool:
        """Whether S3 already has exactly this part. A wrong answer costs an upload, never a wrong image."""
        if self._absent > ABSENT_RUN:
            return False
        try:
            answer = self._client.head_object(Bucket=self._request.bucket, Key=key, ChecksumMode="ENABLED")
        except boto_errors() as error:
            if error_code(error) not in _ABSENT:
                raise
            self._absent += 1
            return False
        self._absent = 0
        return (int(answer["ContentLength"]), answer.get("ChecksumCRC64NVME")) == (size, checksum)


class _Quiet:
    """The owner's control for the manifest: it may stop it, but its bytes are none of the image's."""

    def __init__(self, control: TransferControl) -> None:
        self.check = control.check

    def moved(self, nbytes: int, *, skipped: bool = False) -> None:
        """Not counted."""


class _Filler:
    """Pieces as ``fill`` wants them."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces, self._rest = pieces, memoryview(b"")

    def __call__(self, view: memoryview) -> int:
        filled = 0
        while filled < len(view):
            if not self._rest:
                self._rest = memoryview(next(self._pieces, b""))
                if not self._rest:
                    break
            step = min(len(self._rest), len(view) - filled)
            view[filled : filled + step] = self._rest[:step]
            self._rest, filled = self._rest[step:], filled + step
        return filled
