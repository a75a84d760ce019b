"""The simulated S3: the table of operations, and the checks common to all."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

from vmie_tui.simulators.aws import s3_buckets, s3_multipart, s3_objects
from vmie_tui.simulators.aws.errors import unsupported
from vmie_tui.simulators.aws.iam_policy import denied_to_everybody
from vmie_tui.simulators.aws.s3_common import Handler, S3Call
from vmie_tui.simulators.aws.s3_store import Bucket, ObjectReader, Store, Stored
from vmie_tui.simulators.aws.wire import ApiError, Reply, Request
from vmie_tui.simulators.control import Faults

CONFIG_NAMES = {
    "encryption": "BucketEncryption",
    "ownershipControls": "BucketOwnershipControls",
    "publicAccessBlock": "PublicAccessBlock",
    "policy": "BucketPolicy",
    "lifecycle": "BucketLifecycleConfiguration",
    "tagging": "BucketTagging",
    "versioning": "BucketVersioning",
    "acl": "BucketAcl",
}
# subresources that pick an operation; anything else in the query is a parameter
OBJECT_SUBRESOURCES = (
    "tagging",
    "attributes",
    "acl",
    "uploads",
    "uploadId",
    "restore",
    "retention",
    "torrent",
    "select",
)
BUCKET_SUBRESOURCES = (
    *CONFIG_NAMES,
    "location",
    "uploads",
    "delete",
    "versions",
    "policyStatus",
    "website",
    "cors",
    "logging",
)

BUCKET_OPERATIONS: dict[tuple[str, str], tuple[str, Handler]] = {
    ("PUT", ""): ("CreateBucket", s3_buckets.create_bucket),
    ("HEAD", ""): ("HeadBucket", s3_buckets.head_bucket),
    ("DELETE", ""): ("DeleteBucket", s3_buckets.delete_bucket),
    ("GET", "location"): ("GetBucketLocation", s3_buckets.get_bucket_location),
    ("GET", "versions"): ("ListObjectVersions", s3_buckets.list_object_versions),
    ("GET", "uploads"): ("ListMultipartUploads", s3_multipart.list_multipart_uploads),
    ("POST", "delete"): ("DeleteObjects", s3_objects.delete_objects),
    **{("GET", sub): (f"Get{name}", partial(s3_buckets.get_config, sub)) for sub, name in CONFIG_NAMES.items()},
    **{("PUT", sub): (f"Put{name}", partial(s3_buckets.put_config, sub)) for sub, name in CONFIG_NAMES.items()},
    **{
        ("DELETE", sub): (f"Delete{CONFIG_NAMES[sub]}", partial(s3_buckets.delete_config, sub))
        for sub in s3_buckets.REMOVABLE
    },
}
OBJECT_OPERATIONS: dict[tuple[str, str], tuple[str, Handler]] = {
    ("PUT", ""): ("PutObject", s3_objects.put_object),
    ("GET", ""): ("GetObject", s3_objects.get_object),
    ("HEAD", ""): ("HeadObject", s3_objects.head_object),
    ("DELETE", ""): ("DeleteObject", s3_objects.delete_object),
    ("PUT", "copy"): ("CopyObject", s3_objects.copy_object),
    ("GET", "tagging"): ("GetObjectTagging", s3_objects.get_object_tagging),
    ("PUT", "tagging"): ("PutObjectTagging", s3_objects.put_object_tagging),
    ("DELETE", "tagging"): ("DeleteObjectTagging", s3_objects.delete_object_tagging),
    ("GET", "attributes"): ("GetObjectAttributes", s3_objects.get_object_attributes),
    ("POST", "uploads"): ("CreateMultipartUpload", s3_multipart.create_multipart_upload),
    ("PUT", "uploadId"): ("UploadPart", s3_multipart.upload_part),
    ("GET", "uploadId"): ("ListParts", s3_multipart.list_parts),
    ("POST", "uploadId"): ("CompleteMultipartUpload", s3_multipart.complete_multipart_upload),
    ("DELETE", "uploadId"): ("AbortMultipartUpload", s3_multipart.abort_multipart_upload),
}
ANY_REGION = frozenset({"CreateBucket", "GetBucketLocation", "ListBuckets"})


class S3Service:
    """S3 for one account, keeping everything below ``root``; ``now`` gives its dates, seconds since the epoch.

    ``elsewhere`` tells whether another account has a bucket of that name: names are unique over all accounts.
    """

    def __init__(
        self,
        root: Path,
        account: str,
        now: Callable[[], float],
        faults: Faults,
        *,
        md5_etags: bool = True,
        elsewhere: Callable[[str], bool] = lambda name: False,
    ) -> None:
        self.store = Store(root)
        self.account, self._now, self._faults, self._md5_etags = account, now, faults, md5_etags
        self._elsewhere = elsewhere

    def identify(self, request: Request) -> tuple[str, Callable[[], Reply]]:
        """(operation name, what answers it). The name is what faults and statistics go by."""
        host = request.header("Host").partition(":")[0]
        if host.endswith(".localhost"):  # virtual-hosted style
            request.raw_path = f"/{host.removesuffix('.localhost')}{request.raw_path}"
        name, _, key = request.path.lstrip("/").partition("/")
        query = request.query
        operation, handler = self._find(request, name, key, query)
        call = S3Call(request, self.store, name, key, query, self.account, self._now(), self._md5_etags)
        return operation, partial(self._run, operation, handler, call)

    @staticmethod
    def _find(request: Request, name: str, key: str, query: dict[str, str]) -> tuple[str, Handler | None]:
        method = request.method
        if not name:
            return ("ListBuckets", s3_buckets.list_buckets) if method == "GET" else (method, None)
        if not key:
            sub = next((item for item in BUCKET_SUBRESOURCES if item in query), "")
            if method == "GET" and not sub:
                if query.get("list-type") == "2":
                    return "ListObjectsV2", s3_buckets.list_objects_v2
                return "ListObjects", s3_buckets.list_objects
            return BUCKET_OPERATIONS.get((method, sub), (f"{method} bucket {sub}".strip(), None))
        sub = next((item for item in OBJECT_SUBRESOURCES if item in query), "")
        if method == "PUT" and request.header("x-amz-copy-source"):
            if sub == "uploadId":
                return "UploadPartCopy", s3_multipart.upload_part_copy
            sub = sub or "copy"
        return OBJECT_OPERATIONS.get((method, sub), (f"{method} object {sub}".strip(), None))

    def _run(self, operation: str, handler: Handler | None, call: S3Call) -> Reply:
        if handler is None:
            raise unsupported(call.request)
        if _climbs(call.key):
            raise ApiError("InvalidURI", "Couldn't parse the specified URI.", fields={"URI": call.request.raw_path})
        if operation == "CreateBucket" and self._elsewhere(call.name):
            text = (
                "The requested bucket name is not available. The bucket namespace is shared by all users of the system."
            )
            raise ApiError("BucketAlreadyExists", text, 409, fields={"BucketName": call.name})
        if call.name and operation != "CreateBucket":
            call.found = self._bucket(call, operation)
        if operation in {"PutObject", "CreateMultipartUpload", "CopyObject"}:
            _check_policy(call)
        if operation in {"UploadPart", "PutObject"}:
            call.fault = self._faults.take(operation, call.request.path, "reset-midway")
        return handler(call)

    def _bucket(self, call: S3Call, operation: str) -> Bucket:
        bucket = self.store.bucket(call.name)
        if bucket is None and self._elsewhere(call.name):
            raise ApiError("AccessDenied", "Access Denied", 403)
        if bucket is None:
            text = "The specified bucket does not exist"
            raise ApiError("NoSuchBucket", text, 404, fields={"BucketName": call.name})
        if operation not in ANY_REGION:
            _check_region(bucket, call.request.region)
        expected = call.header("x-amz-expected-bucket-owner")
        if expected and expected != self.account:
            raise ApiError("AccessDenied", "Access Denied", 403)
        return bucket

    # for the other simulated services

    def now(self) -> float:
        """The date for what is written, seconds since the epoch."""
        return self._now()

    def bucket_region(self, name: str) -> str | None:
        bucket = self.store.bucket(name)
        return bucket.region if bucket else None

    def find(self, bucket: str, key: str) -> Stored | None:
        return self.store.get(bucket, key) if self.store.bucket(bucket) else None

    def open(self, bucket: str, stored: Stored) -> ObjectReader:
        return self.store.reader(bucket, stored)

    def make_bucket(self, name: str, region: str) -> None:
        """Creates a bucket on behalf of its owner; does nothing if it exists."""
        if self.store.bucket(name) is None:
            config = {"ownershipControls": s3_buckets.OWNERSHIP, "publicAccessBlock": s3_buckets.PUBLIC_BLOCK}
            self.store.save_bucket(replace(Bucket(name, region, self._now()), config=config))


def _climbs(key: str) -> bool:
    """Whether its relative elements lead above the bucket (user guide, "Naming Amazon S3 objects"): so does what is
    sent for a bucket named ``mine/..``.
    """
    depth = 0
    for part in key.split("/"):
        depth += -1 if part == ".." else 1
        if depth < 0:
            return True
    return False


def _check_policy(call: S3Call) -> None:
    """Enforces the bucket policy's denials for everybody. Other statements are ignored."""
    policy = call.bucket.config.get("policy")
    if policy is None:
        return
    headers = ("x-amz-server-side-encryption", "x-amz-server-side-encryption-aws-kms-key-id", "x-amz-acl")
    context = {f"s3:{name}": call.header(name) for name in headers if call.header(name)}
    resource = f"arn:aws:s3:::{call.name}/{call.key}"
    if denied_to_everybody(policy, "s3:PutObject", resource, {**context, "aws:securetransport": "true"}):
        text = (
            f"User: arn:aws:iam::{call.account}:user/engineer is not authorized to perform: s3:PutObject on resource: "
            f'"{resource}" with an explicit deny in a resource-based policy'
        )
        raise ApiError("AccessDenied", text, 403)


def _check_region(bucket: Bucket, signed_for: str) -> None:
    """Refuse a request signed for another Region than the bucket's, as the two kinds of endpoint do."""
    if signed_for == bucket.region:
        return
    headers = {"x-amz-bucket-region": bucket.region}
    if signed_for == "us-east-1":
        text = f"The authorization header is malformed; the region '{signed_for}' is wrong; expecting '{bucket.region}'"
        raise ApiError("AuthorizationHeaderMalformed", text, 400, fields={"Region": bucket.region}, headers=headers)
    raise ApiError(
        "PermanentRedirect",
        "The bucket you are attempting to access must be addressed using the specified endpoint. Please send all "
        "future requests to this endpoint.",
        301,
        fields={"Endpoint": f"s3.{bucket.region}.amazonaws.com", "Bucket": bucket.name},
        headers=headers,
    )
