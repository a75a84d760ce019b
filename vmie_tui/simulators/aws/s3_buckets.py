"""S3 operations on buckets: create, head, list, delete, and their configuration documents."""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Generic, TypeVar
from urllib.parse import quote

from vmie_tui.simulators.aws.s3_common import S3Call, child, document, element, iso, number, parse_xml, quoted
from vmie_tui.simulators.aws.s3_store import NULL, Bucket, Stored
from vmie_tui.simulators.aws.wire import ApiError, Reply

NAME = re.compile(r"^(?!\d+\.\d+\.\d+\.\d+$)[a-z0-9](?:[a-z0-9.-]{1,61})[a-z0-9]$")
OWNERSHIP = "<OwnershipControls><Rule><ObjectOwnership>BucketOwnerEnforced</ObjectOwnership></Rule></OwnershipControls>"
BLOCKS = ("BlockPublicAcls", "IgnorePublicAcls", "BlockPublicPolicy", "RestrictPublicBuckets")
PUBLIC_BLOCK = element("PublicAccessBlockConfiguration", [(name, True) for name in BLOCKS])
ENCRYPTION = (
    "<ServerSideEncryptionConfiguration><Rule><ApplyServerSideEncryptionByDefault><SSEAlgorithm>AES256</SSEAlgorithm>"
    "</ApplyServerSideEncryptionByDefault><BucketKeyEnabled>false</BucketKeyEnabled></Rule>"
    "</ServerSideEncryptionConfiguration>"
)
# subresource -> (error code, message) when the bucket has none; None: an answer that stands for "never set"
MISSING: dict[str, tuple[str, str] | None] = {
    "encryption": None,
    "ownershipControls": ("OwnershipControlsNotFoundError", "The bucket ownership controls were not found"),
    "publicAccessBlock": (
        "NoSuchPublicAccessBlockConfiguration",
        "The public access block configuration was not found",
    ),
    "policy": ("NoSuchBucketPolicy", "The bucket policy does not exist"),
    "lifecycle": ("NoSuchLifecycleConfiguration", "The lifecycle configuration does not exist"),
    "tagging": ("NoSuchTagSet", "The TagSet does not exist"),
    "versioning": None,
    "acl": None,
}
REMOVABLE = frozenset({"encryption", "ownershipControls", "publicAccessBlock", "policy", "lifecycle", "tagging"})


def canonical_id(account: str) -> str:
    """The canonical user id the simulated account has."""
    return (account * 6)[:64].ljust(64, "0")


def list_buckets(call: S3Call) -> Reply:
    entries = [
        ("Bucket", [("Name", bucket.name), ("CreationDate", iso(bucket.created)), ("BucketRegion", bucket.region)])
        for bucket in call.store.buckets()
        if bucket.name.startswith(call.query.get("prefix", ""))
    ]
    owner = [("ID", canonical_id(call.account)), ("DisplayName", "owner")]
    return document("ListAllMyBucketsResult", [("Owner", owner), ("Buckets", entries)])


def create_bucket(call: S3Call) -> Reply:
    body, region = call.request.body.read(), call.request.region
    wanted = child(parse_xml(body), "LocationConstraint") if body.strip() else ""
    wanted = {"EU": "eu-west-1"}.get(wanted, wanted)
    if not NAME.fullmatch(call.name) or ".." in call.name:
        raise ApiError("InvalidBucketName", "The specified bucket is not valid.", fields={"BucketName": call.name})
    if wanted != region and not (region == "us-east-1" and wanted != "us-east-1"):
        code = "InvalidLocationConstraint" if wanted == "us-east-1" else "IllegalLocationConstraintException"
        text = (
            f"The {wanted or 'unspecified'} location constraint is incompatible for the region specific endpoint this "
            "request was sent to."
        )
        raise ApiError(code, text)
    if call.store.bucket(call.name) is not None:
        text = "Your previous request to create the named bucket succeeded and you already own it."
        raise ApiError("BucketAlreadyOwnedByYou", text, 409, fields={"BucketName": call.name})
    ownership = call.header("x-amz-object-ownership") or "BucketOwnerEnforced"
    config = {
        "ownershipControls": OWNERSHIP.replace("BucketOwnerEnforced", ownership),
        "publicAccessBlock": PUBLIC_BLOCK,
    }
    call.store.save_bucket(Bucket(call.name, wanted or "us-east-1", call.now, config))
    return Reply(200, headers={"Location": f"/{call.name}"})


def head_bucket(call: S3Call) -> Reply:
    return Reply(200, headers={"x-amz-bucket-region": call.bucket.region, "x-amz-access-point-alias": "false"})


def get_bucket_location(call: S3Call) -> Reply:
    region = "" if call.bucket.region == "us-east-1" else call.bucket.region
    body = f'<LocationConstraint xmlns="http://s3.amazonaws.com/doc/2006-03-01/">{region}</LocationConstraint>'
    return Reply(200, body.encode(), {"Content-Type": "application/xml"})


def delete_bucket(call: S3Call) -> Reply:
    if not call.store.delete_bucket(call.name):
        raise ApiError("BucketNotEmpty", "The bucket you tried to delete is not empty", 409)
    return Reply(204)


def get_config(subresource: str, call: S3Call) -> Reply:
    stored = call.bucket.config.get(subresource)
    if stored is None:
        missing = MISSING[subresource]
        if missing is not None:
            raise ApiError(*missing, 404, fields={"BucketName": call.name})
        stored = {
            "encryption": ENCRYPTION,
            "versioning": "<VersioningConfiguration/>",
            "acl": owner_acl(call.account),
        }[subresource]
    kind = "application/json" if subresource == "policy" else "application/xml"
    return Reply(200, stored.encode(), {"Content-Type": kind})


def owner_acl(account: str, grants: Iterable[tuple[str, str]] = ()) -> str:
    """The ACL of a bucket of ``account`` with more ``grants``: (canonical id, permission)."""
    owner = f"<ID>{canonical_id(account)}</ID><DisplayName>owner</DisplayName>"
    grantee = (
        f'<Grantee xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" xsi:type="CanonicalUser">{owner}</Grantee>'
    )
    own = f"<Grant>{grantee}<Permission>FULL_CONTROL</Permission></Grant>"
    more = "".join(
        '<Grant><Grantee xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" xsi:type="CanonicalUser">'
        f"<ID>{ident}</ID></Grantee><Permission>{permission}</Permission></Grant>"
        for ident, permission in grants
    )
    return (
        f"<AccessControlPolicy><Owner>{owner}</Owner>"
        f"<AccessControlList>{own}{more}</AccessControlList></AccessControlPolicy>"
    )


def put_config(subresource: str, call: S3Call) -> Reply:
    body = call.request.body.read()
    if subresource == "acl":
        body = _acl_to_store(call, body)
    elif subresource == "policy":
        try:
            json.loads(body)
        except ValueError as error:
            raise ApiError("MalformedPolicy", "Policies must be valid JSON and the first byte must be '{'") from error
    else:
        parse_xml(body)
    call.store.set_config(call.name, subresource, body.decode())
    return Reply(204 if subresource == "policy" else 200)


def _acl_to_store(call: S3Call, body: bytes) -> bytes:
    if "BucketOwnerEnforced" in call.bucket.config.get("ownershipControls", ""):
        raise ApiError("AccessControlListNotSupported", "The bucket does not allow ACLs")
    if body.strip():
        parse_xml(body)
        return body
    grants = []
    for header, permission in (
        ("read", "READ"),
        ("write", "WRITE"),
        ("read-acp", "READ_ACP"),
        ("write-acp", "WRITE_ACP"),
        ("full-control", "FULL_CONTROL"),
    ):
        found = re.findall(r'id="?([0-9a-f]{64})"?', call.header(f"x-amz-grant-{header}"))
        grants += [(ident, permission) for ident in found]
    return owner_acl(call.account, grants).encode()


def delete_config(subresource: str, call: S3Call) -> Reply:
    call.store.set_config(call.name, subresource, None)
    return Reply(204)


def list_objects_v2(call: S3Call) -> Reply:
    query = call.query
    page = _page(call, ((stored.key, stored) for stored in call.store.keys(call.name)), _start(query))
    token = base64.urlsafe_b64encode(page.last.encode()).decode() if page.truncated and page.last else None
    return document(
        "ListBucketResult",
        [
            *page.head(call),
            ("KeyCount", len(page.entries) + len(page.prefixes)),
            ("ContinuationToken", query.get("continuation-token")),
            ("NextContinuationToken", token),
            *(("Contents", _entry(call, stored)) for stored in page.entries),
            *page.groups(call),
        ],
    )


def list_objects(call: S3Call) -> Reply:
    """ListObjects version 1, which old clients still use."""
    marker = call.query.get("marker", "")
    page = _page(call, ((stored.key, stored) for stored in call.store.keys(call.name)), marker)
    return document(
        "ListBucketResult",
        [
            *page.head(call),
            ("Marker", _encoded(call, marker)),
            ("NextMarker", _encoded(call, page.last) if page.truncated and call.query.get("delimiter") else None),
            *(("Contents", _entry(call, stored)) for stored in page.entries),
            *page.groups(call),
        ],
    )


def list_object_versions(call: S3Call) -> Reply:
    query = call.query
    found = call.store.versions(call.name)
    mark, version = query.get("key-marker", ""), query.get("version-id-marker", "")
    if version:  # go on inside the versions of one key
        here = [index for index, (one, _) in enumerate(found) if one.key == mark and (one.version or NULL) == version]
        found, mark = found[here[0] + 1 :] if here else found, "" if here else mark
    page = _page(call, ((stored.key, (stored, latest)) for stored, latest in found), mark)
    more = [("NextKeyMarker", _encoded(call, page.last)), ("NextVersionIdMarker", page.last_version or None)]
    return document(
        "ListVersionsResult",
        [
            *page.head(call),
            ("KeyMarker", _encoded(call, query.get("key-marker", ""))),
            ("VersionIdMarker", version),
            *(more if page.truncated else []),
            *(_version(call, stored, latest) for stored, latest in page.entries),
            *page.groups(call),
        ],
    )


T = TypeVar("T")


@dataclass(slots=True)
class _Page(Generic[T]):
    """What one answer of a list holds. ``last``: the key or group it ends with."""

    limit: int
    entries: list[T] = field(default_factory=list)
    prefixes: list[str] = field(default_factory=list)
    last: str = ""
    truncated: bool = False

    @property
    def last_version(self) -> str:
        entry = self.entries[-1] if self.entries else None
        stored = entry[0] if isinstance(entry, tuple) else None
        return (stored.version or NULL) if stored is not None and stored.key == self.last else ""

    def head(self, call: S3Call) -> list[tuple[str, object]]:
        query = call.query
        return [
            ("Name", call.name),
            ("Prefix", _encoded(call, query.get("prefix", ""))),
            ("MaxKeys", self.limit),
            ("Delimiter", _encoded(call, query.get("delimiter", "")) or None),
            ("EncodingType", query.get("encoding-type")),
            ("IsTruncated", self.truncated),
        ]

    def groups(self, call: S3Call) -> list[tuple[str, object]]:
        return [("CommonPrefixes", [("Prefix", _encoded(call, group))]) for group in self.prefixes]


def _page(call: S3Call, found: Iterable[tuple[str, T]], after: str) -> _Page[T]:
    """The part of ``found``, (key, entry) in order, that comes behind ``after``, grouped by the delimiter."""
    prefix, delimiter = call.query.get("prefix", ""), call.query.get("delimiter", "")
    page: _Page[T] = _Page(min(number(call.query.get("max-keys", ""), 1000, "max-keys"), 1000))
    for key, entry in found:
        group = _group(key, prefix, delimiter)
        mark = group or key
        if not key.startswith(prefix) or (after and mark.encode() <= after.encode()) or mark in page.prefixes:
            continue
        if len(page.entries) + len(page.prefixes) >= page.limit:
            page.truncated = True
            break
        page.last = mark
        if group:
            page.prefixes.append(group)
        else:
            page.entries.append(entry)
    return page


def _encoded(call: S3Call, text: str) -> str:
    """Keys may hold what XML cannot: clients ask for them in the form of URLs."""
    return quote(text, safe="/*-._~") if call.query.get("encoding-type") == "url" else text


def _version(call: S3Call, stored: Stored, latest: bool) -> tuple[str, list[tuple[str, object]]]:
    owner = [("ID", canonical_id(call.account)), ("DisplayName", "owner")]
    head = [("VersionId", stored.version or NULL), ("IsLatest", latest)]
    if stored.marker:
        content = [("Key", _encoded(call, stored.key)), *head, ("LastModified", iso(stored.modified)), ("Owner", owner)]
        return "DeleteMarker", content
    return "Version", [*_entry(call, stored), *head, ("Owner", owner)]


def _start(query: dict[str, str]) -> str:
    if token := query.get("continuation-token"):
        try:
            return base64.urlsafe_b64decode(token).decode()
        except (binascii.Error, UnicodeDecodeError) as error:
            raise ApiError("InvalidArgument", "The continuation token provided is incorrect") from error
    return query.get("start-after", "")


def _group(key: str, prefix: str, delimiter: str) -> str:
    rest = key[len(prefix) :]
    return prefix + rest[: rest.index(delimiter) + len(delimiter)] if delimiter and delimiter in rest else ""


def _entry(call: S3Call, stored: Stored) -> list[tuple[str, object]]:
    return [
        ("Key", _encoded(call, stored.key)),
        ("LastModified", iso(stored.modified)),
        ("ETag", quoted(stored.etag)),
        *(("ChecksumAlgorithm", kind) for kind in stored.checksums),
        ("ChecksumType", stored.checksum_type),
        ("Size", stored.size),
        ("StorageClass", "STANDARD"),
    ]
