"""S3 buckets and objects: checks, streaming uploads, HEAD, deletion."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any

from vmie_tui.model.errors import ErrorKind, ServiceError
from vmie_tui.services.aws.errors import aws_call, boto_errors, error_code, translate
from vmie_tui.services.aws.s3 import buffer_budget
from vmie_tui.services.aws.s3.multipart import FoundPart, Upload, part_size_for
from vmie_tui.services.aws.s3.part_sender import PartSender
from vmie_tui.services.aws.s3.rate_cap import cap_of
from vmie_tui.services.aws.s3.resumable_upload import (
    Uploaded,
    Uploader,
    UploadRequest,
    create_upload,
)
from vmie_tui.services.aws.session import ANY_OWNER, PARTS, Aws
from vmie_tui.services.transfer_control import TransferControl

__all__ = ["BucketInfo", "ObjectInfo", "ObjectStore", "UploadRequest", "Uploaded"]

PARALLEL_PARTS = 3
OLD_DEFAULT_REGION = "us-east-1"  # GetBucketLocation answers with nothing for it (trap 17)
DELETE_BATCH = 1000
ABORT_ROUNDS = 3
_GONE = frozenset({"NoSuchKey", "NoSuchUpload", "NotFound", "404"})
BAD_OWNER = "BadBucketOwner"  # no code of S3's: it says AccessDenied
_DENIED = frozenset({"AccessDenied", "403"})


@dataclass(frozen=True, slots=True)
class BucketInfo:
    name: str
    region: str


@dataclass(frozen=True, slots=True)
class ObjectInfo:
    """``checksum`` is the CRC64NVME of the whole object in base64, empty when S3 keeps none."""

    size: int
    checksum: str
    etag: str


class ObjectStore:
    """The buckets and objects of one Region.

    ``budget`` bounds the memory of all uploads that share it; ``parallel`` parts of one upload are under way at once;
    ``part_size`` makes the size of parts from that of the object.
    """

    def __init__(
        self,
        aws: Aws,
        region: str | None = None,
        *,
        budget: buffer_budget.BufferBudget = buffer_budget.SHARED,
        parallel: int = PARALLEL_PARTS,
        part_size: Callable[[int], int] = part_size_for,
    ) -> None:
        self._aws, self.region = aws, region or aws.region
        self._budget, self._parallel, self._part_size = budget, parallel, part_size

    @property
    def _s3(self) -> Any:
        return self._aws.client("s3", self.region)

    def check_bucket(self, bucket: str) -> BucketInfo:
        """The bucket, if it exists and is in our Region.

        Raises ServiceError NOT_FOUND, PERMISSION, or INVALID naming both Regions.
        """
        found = self.region_of(bucket)
        if found != self.region:
            raise ServiceError(
                ErrorKind.INVALID,
                f"the bucket is in {found}, but the import is in {self.region}",
                subject=bucket,
                remedy=f"Choose a bucket in {self.region}, or import into {found}",
                code="E11",
            )
        return BucketInfo(bucket, found)

    def region_of(self, bucket: str) -> str:
        """The bucket's Region. Raises ServiceError NOT_FOUND, or PERMISSION."""
        doing = "look at the bucket"
        try:
            answer = self._s3.head_bucket(Bucket=bucket)
            if answer.get("BucketRegion"):
                return str(answer["BucketRegion"])
        except boto_errors() as error:
            code = error_code(error)
            if code in _GONE or code == "NoSuchBucket":
                raise ServiceError(
                    ErrorKind.NOT_FOUND,
                    "the bucket does not exist",
                    subject=bucket,
                    remedy=f"Create it in {self.region}, or correct its name",
                    code="NoSuchBucket",
                ) from error
            if code not in _DENIED:
                raise translate(error, doing, bucket) from error
            # The guides' policy grants GetBucketLocation but not ListBucket, which HeadBucket wants.
        try:
            with aws_call(doing, bucket):
                location = self._s3.get_bucket_location(Bucket=bucket).get("LocationConstraint")
        except ServiceError as error:
            if error.kind is not ErrorKind.PERMISSION:
                raise
            if self._shows(bucket, ANY_OWNER):
                raise ServiceError(
                    ErrorKind.PERMISSION,
                    f"the bucket does not belong to account {self._aws.bucket_owner}",
                    subject=bucket,
                    remedy="Name another bucket, or set bucket_owner to the account that this one belongs to",
                    code=BAD_OWNER,
                ) from error
            raise ServiceError(
                ErrorKind.PERMISSION,
                "this profile may not look at the bucket",
                subject=bucket,
                remedy="Grant s3:ListBucket or s3:GetBucketLocation on it; it may also belong to another account: "
                "set bucket_owner to that account if it is meant",
                code=error.problem.code,
                detail=error.problem.detail,
            ) from error
        return {"EU": "eu-west-1"}.get(location or "", location or OLD_DEFAULT_REGION)

    def owned_by(self, bucket: str, account: str) -> bool | None:
        """Whether the bucket belongs to the account, which S3 compares; None where it may not be looked at either way.

        Raises ServiceError, NETWORK and the like.
        """
        if self._shows(bucket, account):
            return True
        return False if self._shows(bucket, ANY_OWNER) else None

    def _shows(self, bucket: str, owner: str) -> bool:
        """Whether S3 accepts the account as the bucket's expected owner."""
        for look in (self._s3.head_bucket, self._s3.get_bucket_location):  # the guides' policy grants the second only
            try:
                look(Bucket=bucket, ExpectedBucketOwner=owner)
            except boto_errors() as error:
                if error_code(error) not in _DENIED:
                    raise translate(error, "look at the bucket's owner", bucket) from error
            else:
                return True
        return False

    def create_bucket(self, bucket: str, region: str | None = None) -> BucketInfo:
        """Creates a bucket in ``region``; does nothing if we already own it."""
        region = region or self.region
        where = {} if region == OLD_DEFAULT_REGION else {"LocationConstraint": region}
        options: dict[str, Any] = {"CreateBucketConfiguration": where} if where else {}
        try:
            self._aws.client("s3", region).create_bucket(Bucket=bucket, **options)
        except boto_errors() as error:
            if error_code(error) != "BucketAlreadyOwnedByYou":
                raise translate(error, "create the bucket", bucket) from error
        return BucketInfo(bucket, region)

    def upload(
        self, request: UploadRequest, fill: Callable[[memoryview], int], *, control: TransferControl
    ) -> Uploaded:
        """Uploads everything ``fill`` supplies as one object, resuming an unfinished upload of the same key.

        ``fill(view)`` writes into ``view`` and returns how many bytes, 0 at the end; it may block and raise. Whatever
        it or ``control.check`` raises comes out within 2 s, and the parts sent stay in S3 for the next attempt: `abort`
        removes them. Raises ServiceError naming the object and the part.
        """
        return self.transfer(request, lambda uploader: uploader.run(fill), control=control)

    def transfer(
        self, request: UploadRequest, write: Callable[[Uploader], None], *, control: TransferControl
    ) -> Uploaded:
        """As `upload`, for callers that send the parts in their own order: ``write`` receives the `Uploader`."""
        control.check()
        upload, found = self._open(request)
        cap = cap_of(self._aws.settings)
        sender = PartSender(self._aws.client(PARTS, self.region), upload, self._budget, self._parallel, cap=cap)
        uploader = Uploader(
            request,
            upload,
            found,
            control=control,
            budget=self._budget,
            part_size=self._part_size(request.size_hint),
            sender=sender,
        )
        try:
            with uploader:
                write(uploader)
        finally:
            self._budget.trim()
        return self._complete(request, uploader)

    def _open(self, request: UploadRequest) -> tuple[Upload, list[FoundPart]]:
        """The upload to resume and its parts, or a new one. Always a new one without permission to list."""
        try:
            if request.upload_id:
                upload: Upload | None = Upload(request.bucket, request.key, request.upload_id)
            else:
                upload = self.find_upload(request.bucket, request.key)
            if upload is not None and upload.resumable:
                return upload, self.list_parts(upload)
        except ServiceError as error:
            if error.kind not in {ErrorKind.PERMISSION, ErrorKind.NOT_FOUND} or error.problem.code == "NoSuchBucket":
                raise
        return create_upload(self._s3, request), []

    def _complete(self, request: UploadRequest, uploader: Uploader) -> Uploaded:
        doing = "complete the upload"
        arguments = uploader.completion()
        try:
            answer = self._s3.complete_multipart_upload(**arguments)
        except boto_errors() as error:
            if error_code(error) == "NoSuchUpload":
                # A first Complete may have worked and only its answer been lost.
                stored = self.head(request.bucket, request.key)
                if stored and (stored.size, stored.checksum) == (
                    arguments["MpuObjectSize"],
                    arguments["ChecksumCRC64NVME"],
                ):
                    return uploader.result(stored.etag)
            raise translate(error, doing, request.subject) from error
        result = uploader.result(str(answer["ETag"]).strip('"'))
        named = answer.get("ChecksumCRC64NVME")
        if not named:  # not every server answers with it: some only keep it with the object
            stored = self.head(request.bucket, request.key)
            named = stored.checksum if stored else ""
        if not named:
            return replace(result, proven=False)
        if named != result.checksum:
            raise ServiceError(
                ErrorKind.CORRUPT,
                "S3 reports another checksum for the object than for its parts",
                subject=request.subject,
                remedy="Upload it again",
                retry_safe=True,
            )
        return result

    def find_upload(self, bucket: str, key: str) -> Upload | None:
        """The newest resumable upload of exactly this key, else the newest unfinished one."""
        found = [*self._uploads(bucket, key)]
        return max(
            found, key=lambda u: (u.resumable, u.initiated is not None and u.initiated.timestamp()), default=None
        )

    def _uploads(self, bucket: str, key: str) -> Iterator[Upload]:
        with aws_call("list unfinished uploads", f"s3://{bucket}/{key}"):
            for page in self._s3.get_paginator("list_multipart_uploads").paginate(Bucket=bucket, Prefix=key):
                for item in page.get("Uploads", ()):
                    if item["Key"] == key:
                        kinds = (item.get("ChecksumAlgorithm"), item.get("ChecksumType", "FULL_OBJECT"))
                        resumable = kinds == ("CRC64NVME", "FULL_OBJECT")
                        yield Upload(bucket, key, item["UploadId"], item.get("Initiated"), resumable)

    def list_parts(self, upload: Upload) -> list[FoundPart]:
        """The parts S3 holds of an unfinished upload."""
        with aws_call("list the parts sent", f"s3://{upload.bucket}/{upload.key}"):
            pages = self._s3.get_paginator("list_parts").paginate(
                Bucket=upload.bucket, Key=upload.key, UploadId=upload.upload_id
            )
            return [FoundPart.of(item) for page in pages for item in page.get("Parts", ())]

    def abort(self, bucket: str, key: str) -> int:
        """Aborts every unfinished upload of this key, so that its parts are no longer billed; returns how many."""
        aborted: set[str] = set()
        for _ in range(ABORT_ROUNDS):  # a part under way can bring an aborted upload back, says S3's manual
            found = list(self._uploads(bucket, key))
            if not found:
                break
            for upload in found:
                self._abort(upload)
                aborted.add(upload.upload_id)
        return len(aborted)

    def _abort(self, upload: Upload) -> None:
        try:
            self._s3.abort_multipart_upload(Bucket=upload.bucket, Key=upload.key, UploadId=upload.upload_id)
        except boto_errors() as error:
            if error_code(error) not in _GONE:
                raise translate(error, "abort the upload", f"s3://{upload.bucket}/{upload.key}") from error

    def head(self, bucket: str, key: str) -> ObjectInfo | None:
        """The object's metadata, None when it does not exist."""
        try:
            answer = self._s3.head_object(Bucket=bucket, Key=key, ChecksumMode="ENABLED")
        except boto_errors() as error:
            if error_code(error) in _GONE:
                return None
            raise translate(error, "look at the object", f"s3://{bucket}/{key}") from error
        return ObjectInfo(
            int(answer["ContentLength"]), str(answer.get("ChecksumCRC64NVME", "")), str(answer["ETag"]).strip('"')
        )

    def delete(self, bucket: str, key: str) -> bool:
        """Deletes an object, existing or not. False when an older version stays and is billed.

        In a bucket with versioning, deleting the newest version for good takes s3:DeleteObjectVersion; without it the
        object only disappears behind a delete marker.
        """
        subject = f"s3://{bucket}/{key}"
        version = self._version(bucket, key)
        if version:
            try:
                with aws_call("delete the object", subject):
                    self._s3.delete_object(Bucket=bucket, Key=key, VersionId=version)
            except ServiceError as error:
                if error.kind is not ErrorKind.PERMISSION:
                    raise
            else:
                return True
        with aws_call("delete the object", subject):
            self._s3.delete_object(Bucket=bucket, Key=key)
        return not version

    def _version(self, bucket: str, key: str) -> str:
        """The id of an object's newest version; "" without versioning or without permission."""
        try:
            return str(self._s3.head_object(Bucket=bucket, Key=key).get("VersionId", ""))
        except boto_errors() as error:
            if error_code(error) in _GONE | _DENIED:
                return ""
            raise translate(error, "look at the object", f"s3://{bucket}/{key}") from error

    def delete_objects(self, bucket: str, keys: Iterable[str]) -> bool:
        """Deletes many objects as `delete` does. Raises ServiceError for the first that S3 did not delete."""
        wanted = list(keys)
        if wanted and self._version(bucket, wanted[0]):
            stay = [key for key in wanted if not self.delete(bucket, key)]
            return not stay
        for start in range(0, len(wanted), DELETE_BATCH):
            batch = [{"Key": key} for key in wanted[start : start + DELETE_BATCH]]
            with aws_call("delete objects", bucket):
                answer = self._s3.delete_objects(Bucket=bucket, Delete={"Objects": batch, "Quiet": True})
            for failure in answer.get("Errors", ()):
                kind = ErrorKind.PERMISSION if failure.get("Code") == "AccessDenied" else ErrorKind.REMOTE
                raise ServiceError(
                    kind,
                    "the object was not deleted",
                    subject=f"s3://{bucket}/{failure.get('Key', '')}",
                    remedy="Delete it by hand",
                    retry_safe=True,
                    code=failure.get("Code", ""),
                    detail=failure.get("Message", ""),
                )
        return True
