"""S3 operations on buckets: make, find, list, delete, and the documents that configure them."""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Iterable

from vmie_tui.simulators.aws.s3_common import S3Call, child, document, element, iso, number, parse_xml, quoted
from vmie_tui.simulators.aws.s3_store import Bucket, Stored
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
    if not NAME.match(call.name) or ".." in call.name:
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
    prefix, delimiter = query.get("prefix", ""), query.get("delimiter", "")
    limit = min(number(query.get("max-keys", ""), 1000, "max-keys"), 1000)
    after = _start(query)
    entries: list[Stored] = []
    prefixes: list[str] = []
    last, truncated = "", False
    for stored in call.store.keys(call.name):
        group = _group(stored.key, prefix, delimiter)
        mark = group or stored.key
        if not stored.key.startswith(prefix) or mark.encode() <= after.encode() or mark in prefixes:
            continue
        if len(entries) + len(prefixes) >= limit:
            truncated = True
            break
        last = mark
        if group:
            prefixes.append(group)
        else:
            entries.append(stored)
    content = [
        ("Name", call.name),
        ("Prefix", prefix),
        ("MaxKeys", limit),
        ("KeyCount", len(entries) + len(prefixes)),
        ("Delimiter", delimiter or None),
        ("IsTruncated", truncated),
        ("ContinuationToken", query.get("continuation-token")),
        ("NextContinuationToken", base64.urlsafe_b64encode(last.encode()).decode() if truncated and last else None),
        *(("Contents", _entry(stored)) for stored in entries),
        *(("CommonPrefixes", [("Prefix", group)]) for group in prefixes),
    ]
    return document("ListBucketResult", content)


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


def _entry(stored: Stored) -> list[tuple[str, object]]:
    return [
        ("Key", stored.key),
        ("LastModified", iso(stored.modified)),
        ("ETag", quoted(stored.etag)),
        *(("ChecksumAlgorithm", kind) for kind in stored.checksums),
        ("ChecksumType", stored.checksum_type),
        ("Size", stored.size),
        ("StorageClass", "STANDARD"),
    ]
