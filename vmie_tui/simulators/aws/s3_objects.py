"""S3 operations on whole objects."""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Iterator
from dataclasses import replace
from urllib.parse import parse_qsl, unquote

from vmie_tui.simulators.aws import s3_checksums
from vmie_tui.simulators.aws.s3_common import (
    S3Call,
    child,
    document,
    http_time,
    is_kms,
    iso,
    object_headers,
    parse_xml,
    quoted,
    receive,
)
from vmie_tui.simulators.aws.s3_store import NULL, ObjectReader, Part, Stored
from vmie_tui.simulators.aws.wire import ApiError, Reply

MAX_SINGLE_PUT = 5 << 30


def put_object(call: S3Call) -> Reply:
    if (call.request.body.size or 0) > MAX_SINGLE_PUT:
        raise ApiError("EntityTooLarge", "Your proposed upload exceeds the maximum allowed size")
    if call.header("If-None-Match") == "*" and call.store.get(call.name, call.key):
        raise ApiError("PreconditionFailed", "At least one of the pre-conditions you specified did not hold", 412)
    headers = object_headers(call)
    sent = [kind for kind in s3_checksums.ELEMENTS if call.header(s3_checksums.header(kind))]
    got = receive(call, sent[0] if sent else s3_checksums.DEFAULT, opaque_etag=is_kms(headers))
    kind = got.sent_kind or s3_checksums.DEFAULT
    checksums = {kind: got.checksums[kind]}
    folder = call.store.incoming(call.name)
    part = Part(1, got.size, got.etag, call.now, checksums)
    got.path.replace(folder / part.file)
    stored = Stored(call.key, got.size, got.etag, call.now, (part,), headers, checksums, tags=header_tags(call))
    stored = call.store.put(call.name, folder, stored)
    headers = {"ETag": quoted(got.etag), **_encryption(stored), **checksum_headers(stored)}
    return Reply(200, headers={**headers, **call.version_headers(stored)})


def header_tags(call: S3Call) -> dict[str, str]:
    return dict(parse_qsl(call.header("x-amz-tagging"), keep_blank_values=True))


def checksum_headers(stored: Stored) -> dict[str, str]:
    found = {s3_checksums.header(kind): text for kind, text in stored.checksums.items()}
    return found | {"x-amz-checksum-type": stored.checksum_type} if found else {}


def _encryption(stored: Stored) -> dict[str, str]:
    return {name: value for name, value in stored.headers.items() if name.startswith("x-amz-server-side-encryption")}


def get_object(call: S3Call) -> Reply:
    return _read(call, head=False)


def head_object(call: S3Call) -> Reply:
    return _read(call, head=True)


def _read(call: S3Call, *, head: bool) -> Reply:
    stored = call.object()
    _preconditions(call, stored)
    headers = {
        "ETag": quoted(stored.etag),
        "Last-Modified": http_time(stored.modified),
        "Accept-Ranges": "bytes",
        **stored.headers,
        **call.version_headers(stored),
    }
    if stored.tags:
        headers["x-amz-tagging-count"] = str(len(stored.tags))
    whole = not call.header("Range") and "partNumber" not in call.query
    if call.header("x-amz-checksum-mode").upper() == "ENABLED" and whole:
        headers |= checksum_headers(stored)
    start, length, status = _range(call, stored, headers)
    if head:
        return Reply(status, headers=headers, length=length)
    return Reply(
        status, headers=headers, length=length, stream=_stream(call.store.reader(call.name, stored), start, length)
    )


def _stream(reader: ObjectReader, start: int, length: int) -> Iterator[bytes]:
    with reader:
        yield from reader.pieces(start, length)


def _preconditions(call: S3Call, stored: Stored) -> None:
    wanted = call.header("If-Match").strip('"')
    if wanted and wanted not in {"*", stored.etag}:
        raise ApiError(
            "PreconditionFailed",
            "At least one of the pre-conditions you specified did not hold",
            412,
            fields={"Condition": "If-Match"},
        )
    unwanted = call.header("If-None-Match").strip('"')
    if unwanted and unwanted in {"*", stored.etag}:
        raise ApiError("NotModified", "Not Modified", 304)


def _range(call: S3Call, stored: Stored, headers: dict[str, str]) -> tuple[int, int, int]:
    """(start, length, HTTP status) for the Range or part asked for."""
    if "partNumber" in call.query:
        headers["x-amz-mp-parts-count"] = str(len(stored.parts))
        wanted, start = int(call.query["partNumber"]), 0
        for index, part in enumerate(stored.parts, 1):
            if index == wanted:
                headers["Content-Range"] = f"bytes {start}-{start + part.size - 1}/{stored.size}"
                return start, part.size, 206
            start += part.size
        raise ApiError("InvalidPartNumber", "The requested partnumber is not satisfiable", 416)
    unit, _, text = call.header("Range").partition("=")
    if unit.strip().lower() != "bytes" or "," in text or "-" not in text:
        return 0, stored.size, 200
    first, _, last = text.strip().partition("-")
    if not (first or last) or not (first + last).isdigit():
        return 0, stored.size, 200
    low = int(first) if first else max(0, stored.size - int(last))
    high = min(int(last) + 1 if first and last else stored.size, stored.size)
    if low >= high:
        raise ApiError(
            "InvalidRange",
            "The requested range is not satisfiable",
            416,
            fields={"RangeRequested": call.header("Range"), "ActualObjectSize": str(stored.size)},
            headers={"Content-Range": f"bytes */{stored.size}"},
        )
    headers["Content-Range"] = f"bytes {low}-{high - 1}/{stored.size}"
    return low, high - low, 206


def delete_object(call: S3Call) -> Reply:
    done = call.store.delete(call.name, call.key, call.now, call.query.get("versionId", ""))
    return Reply(204, headers=call.version_headers(done))


def delete_objects(call: S3Call) -> Reply:
    root = parse_xml(call.request.body.read())
    quiet = child(root, "Quiet") == "true"
    deleted = []
    for node in root.findall("{*}Object"):
        key, version = child(node, "Key"), child(node, "VersionId")
        done = call.store.delete(call.name, key, call.now, version)
        marker = done is not None and done.marker
        deleted.append(
            (
                "Deleted",
                [
                    ("Key", key),
                    ("VersionId", version or None),
                    ("DeleteMarker", True if marker else None),
                    ("DeleteMarkerVersionId", (done.version or NULL) if done and marker else None),
                ],
            )
        )
    return document("DeleteResult", [] if quiet else deleted)


def copy_object(call: S3Call) -> Reply:
    bucket, found = copy_source(call)
    if found.size > MAX_SINGLE_PUT:
        text = "The specified copy source is larger than the maximum allowable size for a copy source: 5368709120"
        raise ApiError("InvalidRequest", text)
    replaced = call.header("x-amz-metadata-directive").upper() == "REPLACE"
    headers = object_headers(call) if replaced else {**found.headers, **_asked_encryption(call)}
    tags = header_tags(call) if call.header("x-amz-tagging-directive").upper() == "REPLACE" else found.tags
    folder = call.store.link(bucket, found, call.name)
    stored = replace(found, key=call.key, modified=call.now, headers=headers, tags=tags)
    if found.multipart:  # one PUT of all bytes: the ETag is that of the whole, as S3's is
        stored = replace(stored, multipart=False, etag=_whole_etag(call, bucket, found, headers))
    stored = call.store.put(call.name, folder, stored)
    content = [("ETag", quoted(stored.etag)), ("LastModified", iso(stored.modified))]
    copied = {"x-amz-copy-source-version-id": found.version} if found.version else {}
    return document("CopyObjectResult", content, {**_encryption(stored), **copied, **call.version_headers(stored)})


def copy_source(call: S3Call) -> tuple[str, Stored]:
    """(bucket, object) that x-amz-copy-source names; its preconditions are looked at too."""
    source, _, query = call.header("x-amz-copy-source").partition("?")
    bucket, _, key = unquote(source).lstrip("/").partition("/")
    version = dict(parse_qsl(query)).get("versionId", "")
    found = call.store.get(bucket, key, version) if call.store.bucket(bucket) else None
    if found is None or found.marker:
        raise ApiError("NoSuchKey", "The specified key does not exist.", 404, fields={"Key": key})
    wanted = call.header("x-amz-copy-source-if-match").strip('"')
    if wanted and wanted != found.etag:
        raise ApiError("PreconditionFailed", "At least one of the pre-conditions you specified did not hold", 412)
    return bucket, found


def _whole_etag(call: S3Call, bucket: str, found: Stored, headers: dict[str, str]) -> str:
    if is_kms(headers):
        return uuid.uuid4().hex
    digest = hashlib.md5(usedforsecurity=False)
    with call.store.reader(bucket, found) as reader:
        for piece in reader.pieces(0, found.size):
            digest.update(piece)
    return digest.hexdigest()


def _asked_encryption(call: S3Call) -> dict[str, str]:
    names = ("x-amz-server-side-encryption", "x-amz-server-side-encryption-aws-kms-key-id")
    return {name: call.header(name) for name in names if call.header(name)}


def get_object_tagging(call: S3Call) -> Reply:
    tags = [("Tag", [("Key", key), ("Value", value)]) for key, value in call.object().tags.items()]
    return document("Tagging", [("TagSet", tags)])


def put_object_tagging(call: S3Call) -> Reply:
    root = parse_xml(call.request.body.read())
    tags = {child(tag, "Key"): child(tag, "Value") for tag in root.findall("{*}TagSet/{*}Tag")}
    if len(tags) > 10:
        raise ApiError("BadRequest", "Object tags cannot be greater than 10")
    call.store.update(call.name, replace(call.object(), tags=tags))
    return Reply(200)


def delete_object_tagging(call: S3Call) -> Reply:
    call.store.update(call.name, replace(call.object(), tags={}))
    return Reply(204)


def get_object_attributes(call: S3Call) -> Reply:
    stored, wanted = call.object(), call.header("x-amz-object-attributes")
    sums = [(s3_checksums.ELEMENTS[kind], text) for kind, text in stored.checksums.items()]
    parts = [("TotalPartsCount", len(stored.parts))]
    content = [
        ("ETag", stored.etag if "ETag" in wanted else None),
        ("Checksum", [*sums, ("ChecksumType", stored.checksum_type)] if "Checksum" in wanted and sums else None),
        ("ObjectParts", parts if "ObjectParts" in wanted and stored.multipart else None),
        ("StorageClass", "STANDARD" if "StorageClass" in wanted else None),
        ("ObjectSize", stored.size if "ObjectSize" in wanted else None),
    ]
    return document("GetObjectAttributesResponse", content, {"Last-Modified": http_time(stored.modified)})
