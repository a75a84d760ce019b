"""S3 multipart uploads: parts, lists, completion with every check the real service makes."""

from __future__ import annotations

import base64
import hashlib
import uuid
from xml.etree import ElementTree as ET

from vmie_tui.simulators.aws import s3_checksums
from vmie_tui.simulators.aws.s3_common import (
    S3Call,
    child,
    document,
    is_kms,
    iso,
    number,
    object_headers,
    parse_xml,
    quoted,
    receive,
)
from vmie_tui.simulators.aws.s3_objects import copy_source, header_tags
from vmie_tui.simulators.aws.s3_store import Part, Stored, Upload
from vmie_tui.simulators.aws.wire import ApiError, Reply

MIN_PART, MAX_PART, MAX_NUMBER = 5 << 20, 5 << 30, 10_000


def create_multipart_upload(call: S3Call) -> Reply:
    algorithm = call.header("x-amz-checksum-algorithm").upper()
    if algorithm and algorithm not in s3_checksums.ELEMENTS:
        raise ApiError("InvalidRequest", "Checksum algorithm provided is unsupported.")
    checksum_type = call.header("x-amz-checksum-type").upper()
    if checksum_type and not algorithm:
        raise ApiError(
            "InvalidRequest",
            "The x-amz-checksum-type header can only be used with the x-amz-checksum-algorithm header.",
        )
    checksum_type = checksum_type or s3_checksums.default_type(algorithm or s3_checksums.DEFAULT)
    s3_checksums.check_type(algorithm or s3_checksums.DEFAULT, checksum_type)
    upload = Upload(
        uuid.uuid4().hex + uuid.uuid4().hex,
        call.key,
        call.now,
        algorithm,
        checksum_type,
        object_headers(call),
        header_tags(call),
    )
    call.store.create_upload(call.name, upload)
    headers = {name: value for name, value in upload.headers.items() if name.startswith("x-amz-server-side")}
    if algorithm:
        headers |= {"x-amz-checksum-algorithm": algorithm, "x-amz-checksum-type": checksum_type}
    content = [("Bucket", call.name), ("Key", call.key), ("UploadId", upload.id)]
    return document("InitiateMultipartUploadResult", content, headers)


def _upload(call: S3Call) -> Upload:
    upload = call.store.upload(call.name, call.query.get("uploadId", ""))
    if upload is None or upload.key != call.key:
        raise _no_upload(call)
    return upload


def _no_upload(call: S3Call) -> ApiError:
    text = (
        "The specified upload does not exist. The upload ID may be invalid, or the upload may have been aborted or "
        "completed."
    )
    return ApiError("NoSuchUpload", text, 404, fields={"UploadId": call.query.get("uploadId", "")})


def upload_part(call: S3Call) -> Reply:
    upload = _upload(call)
    part_number = number(call.query.get("partNumber", ""), 0, "partNumber")
    if not 1 <= part_number <= MAX_NUMBER:
        raise ApiError("InvalidArgument", "Part number must be an integer between 1 and 10000, inclusive")
    if (call.request.body.size or 0) > MAX_PART:
        raise ApiError("EntityTooLarge", "Your proposed upload exceeds the maximum allowed size")
    keep = upload.algorithm or s3_checksums.DEFAULT
    sent = [kind for kind in s3_checksums.ELEMENTS if s3_checksums.header(kind) in _named(call)]
    if upload.algorithm and sent and sent[0] != upload.algorithm:
        raise ApiError(
            "InvalidRequest",
            f"Checksum Type mismatch occurred, expected checksum Type: {upload.algorithm.lower()}, "
            f"actual checksum Type: {sent[0].lower()}",
        )
    got = receive(call, keep, opaque_etag=is_kms(upload.headers))
    part = Part(part_number, got.size, got.etag, call.now, {keep: got.checksums[keep]})
    if not call.store.put_part(call.name, upload.id, got.path, part):
        got.path.unlink(missing_ok=True)
        raise _no_upload(call)
    kind = got.sent_kind or keep
    headers = {name: value for name, value in upload.headers.items() if name.startswith("x-amz-server-side")}
    return Reply(200, headers={"ETag": quoted(got.etag), s3_checksums.header(kind): got.checksums[kind], **headers})


def upload_part_copy(call: S3Call) -> Reply:
    """A part from another object, or from a range of it."""
    upload = _upload(call)
    part_number = number(call.query.get("partNumber", ""), 0, "partNumber")
    if not 1 <= part_number <= MAX_NUMBER:
        raise ApiError("InvalidArgument", "Part number must be an integer between 1 and 10000, inclusive")
    bucket, found = copy_source(call)
    start, length = _copied_range(call.header("x-amz-copy-source-range"), found.size)
    kind = upload.algorithm or s3_checksums.DEFAULT
    sums, md5 = s3_checksums.Running(kind), hashlib.md5(usedforsecurity=False)
    path = call.store.root / call.name / "incoming" / uuid.uuid4().hex
    with path.open("wb") as file, call.store.reader(bucket, found) as reader:
        for piece in reader.pieces(start, length):
            file.write(piece)
            md5.update(piece)
            sums.update(piece)
    etag = uuid.uuid4().hex if is_kms(upload.headers) else md5.hexdigest()
    part = Part(part_number, length, etag, call.now, {kind: sums.text})
    if not call.store.put_part(call.name, upload.id, path, part):
        path.unlink(missing_ok=True)
        raise _no_upload(call)
    content = [
        ("ETag", quoted(etag)),
        ("LastModified", iso(call.now)),
        (s3_checksums.ELEMENTS[kind], part.checksums[kind] if upload.algorithm else None),
    ]
    return document("CopyPartResult", content)


def _copied_range(text: str, size: int) -> tuple[int, int]:
    """(start, length) of ``bytes=first-last``, both of which must be given and lie inside the source."""
    if not text:
        return 0, size
    first, _, last = text.removeprefix("bytes=").partition("-")
    if not (text.startswith("bytes=") and first.isdigit() and last.isdigit()):
        raise ApiError(
            "InvalidArgument",
            "The x-amz-copy-source-range value must be of the form bytes=first-last where first and last are the "
            "zero-based offsets of the first and last bytes to copy",
        )
    if int(last) >= size or int(first) > int(last):
        raise ApiError("InvalidRange", "The requested range is not satisfiable", 416)
    return int(first), int(last) + 1 - int(first)


def _named(call: S3Call) -> set[str]:
    """The checksum headers sent, in front or as a trailer."""
    names = {name.lower() for name, _ in call.request.headers.items()}
    return names | {call.header("x-amz-trailer").lower()}


def list_parts(call: S3Call) -> Reply:
    upload, query = _upload(call), call.query
    limit = min(number(query.get("max-parts", ""), 1000, "max-parts"), 1000)
    marker = number(query.get("part-number-marker", ""), 0, "part-number-marker")
    parts = [part for part in call.store.parts(call.name, upload.id) if part.number > marker]
    page = parts[:limit]
    owner = [("ID", call.account), ("DisplayName", "owner")]
    content = [
        ("Bucket", call.name),
        ("Key", call.key),
        ("UploadId", upload.id),
        ("Initiator", owner),
        ("Owner", owner),
        ("StorageClass", "STANDARD"),
        ("PartNumberMarker", marker),
        ("NextPartNumberMarker", page[-1].number if page else 0),
        ("MaxParts", limit),
        ("IsTruncated", len(parts) > limit),
        ("ChecksumAlgorithm", upload.algorithm or None),
        ("ChecksumType", upload.checksum_type if upload.algorithm else None),
        *(("Part", _part(part, upload)) for part in page),
    ]
    return document("ListPartsResult", content)


def _part(part: Part, upload: Upload) -> list[tuple[str, object]]:
    sums = [(s3_checksums.ELEMENTS[kind], text) for kind, text in part.checksums.items()] if upload.algorithm else []
    return [
        ("PartNumber", part.number),
        ("LastModified", iso(part.modified)),
        ("ETag", quoted(part.etag)),
        *sums,
        ("Size", part.size),
    ]


def list_multipart_uploads(call: S3Call) -> Reply:
    query, limit = call.query, min(number(call.query.get("max-uploads", ""), 1000, "max-uploads"), 1000)
    mark = (query.get("key-marker", ""), query.get("upload-id-marker", ""))
    found = sorted(
        (upload for upload in call.store.uploads(call.name) if upload.key.startswith(query.get("prefix", ""))),
        key=lambda upload: (upload.key, upload.id),
    )
    found = [u for u in found if (u.key, u.id) > mark and (mark[1] or u.key != mark[0])]
    page = found[:limit]
    entries = [
        (
            "Upload",
            [
                ("UploadId", upload.id),
                ("Key", upload.key),
                ("Initiated", iso(upload.initiated)),
                ("StorageClass", "STANDARD"),
                ("ChecksumAlgorithm", upload.algorithm or None),
                ("ChecksumType", upload.checksum_type if upload.algorithm else None),
            ],
        )
        for upload in page
    ]
    more = len(found) > limit
    content = [
        ("Bucket", call.name),
        ("KeyMarker", mark[0]),
        ("UploadIdMarker", mark[1]),
        ("NextKeyMarker", page[-1].key if more else None),
        ("NextUploadIdMarker", page[-1].id if more else None),
        ("Prefix", query.get("prefix", "")),
        ("MaxUploads", limit),
        ("IsTruncated", more),
        *entries,
    ]
    return document("ListMultipartUploadsResult", content)


def abort_multipart_upload(call: S3Call) -> Reply:
    call.store.abort(call.name, _upload(call).id)
    return Reply(204)


def complete_multipart_upload(call: S3Call) -> Reply:
    upload = _upload(call)
    if call.header("If-None-Match") == "*" and call.store.get(call.name, call.key):
        raise ApiError("PreconditionFailed", "At least one of the pre-conditions you specified did not hold", 412)
    parts = _chosen(call, upload)
    size = sum(part.size for part in parts)
    claimed = call.header("x-amz-mp-object-size")
    if claimed and int(claimed) != size:
        text = f"The provided 'x-amz-mp-object-size' header value {claimed} does not match what was computed: {size}"
        raise ApiError("InvalidRequest", text)
    kind = upload.algorithm or s3_checksums.DEFAULT
    checksums = {kind: _total(kind, upload.checksum_type, parts)}
    _check_total(call, kind, checksums[kind], upload.checksum_type)
    etag = _etag(upload, parts)
    stored = Stored(
        call.key,
        size,
        etag,
        call.now,
        tuple(parts),
        upload.headers,
        checksums,
        upload.checksum_type,
        upload.tags,
        multipart=True,
    )
    stored = call.store.complete(call.name, upload, stored)
    content = [
        ("Location", f"/{call.name}/{call.key}"),
        ("Bucket", call.name),
        ("Key", call.key),
        ("ETag", quoted(etag)),
        (s3_checksums.ELEMENTS[kind], checksums[kind]),
        ("ChecksumType", upload.checksum_type),
    ]
    headers = {name: value for name, value in upload.headers.items() if name.startswith("x-amz-server-side")}
    return document("CompleteMultipartUploadResult", content, {**headers, **call.version_headers(stored)})


def _chosen(call: S3Call, upload: Upload) -> list[Part]:
    """The parts the client names, checked against what was received."""
    known = {part.number: part for part in call.store.parts(call.name, upload.id)}
    nodes = parse_xml(call.request.body.read()).findall("{*}Part")
    if not nodes:
        raise ApiError("MalformedXML", "You must specify at least one part")
    chosen: list[Part] = []
    for node in nodes:
        wanted = number(child(node, "PartNumber"), 0, "PartNumber")
        if chosen and wanted <= chosen[-1].number:
            raise ApiError(
                "InvalidPartOrder",
                "The list of parts was not in ascending order. The parts list must be specified in order by part "
                "number.",
            )
        part = known.get(wanted)
        if part is None or child(node, "ETag").strip('"') != part.etag:
            raise _invalid_part(wanted)
        _check_part(node, part, upload)
        chosen.append(part)
    for part in chosen[:-1]:
        if part.size < MIN_PART:
            raise ApiError(
                "EntityTooSmall",
                "Your proposed upload is smaller than the minimum allowed size",
                fields={
                    "ProposedSize": str(part.size),
                    "MinSizeAllowed": str(MIN_PART),
                    "PartNumber": str(part.number),
                },
            )
    return chosen


def _invalid_part(part_number: int) -> ApiError:
    text = (
        "One or more of the specified parts could not be found. The part may not have been uploaded, or the specified "
        "entity tag may not match the part's entity tag."
    )
    return ApiError("InvalidPart", text, fields={"PartNumber": str(part_number)})


def _check_part(node: ET.Element, part: Part, upload: Upload) -> None:
    if not upload.algorithm:
        return
    given = child(node, s3_checksums.ELEMENTS[upload.algorithm])
    if given and given != part.checksums[upload.algorithm]:
        raise _invalid_part(part.number)
    if not given and upload.checksum_type == "COMPOSITE":
        raise ApiError(
            "InvalidRequest",
            f"The upload was created using a {upload.algorithm.lower()} checksum. The complete request must include "
            f"the checksum for each part. It was missing for part {part.number} in the request.",
        )


def _total(kind: str, checksum_type: str, parts: list[Part]) -> str:
    if checksum_type == "COMPOSITE":
        return s3_checksums.composite(kind, (part.checksums[kind] for part in parts))
    return s3_checksums.combine(kind, [(part.checksums[kind], part.size) for part in parts])


def _check_total(call: S3Call, kind: str, computed: str, checksum_type: str) -> None:
    for other in s3_checksums.ELEMENTS:
        given = call.header(s3_checksums.header(other))
        if given and (other != kind or given.partition("-")[0] != computed.partition("-")[0]):
            raise ApiError("BadDigest", f"The {other} you specified did not match the calculated checksum.")
    declared = call.header("x-amz-checksum-type").upper()
    if declared and declared != checksum_type:
        raise ApiError(
            "InvalidRequest",
            f"The upload was created using the {checksum_type} checksum mode. The complete request must use the same "
            "checksum mode.",
        )


def _etag(upload: Upload, parts: list[Part]) -> str:
    if is_kms(upload.headers):
        return f"{uuid.uuid4().hex}-{len(parts)}"
    joined = b"".join(base64.b16decode(part.etag, casefold=True) for part in parts)
    return f"{hashlib.md5(joined, usedforsecurity=False).hexdigest()}-{len(parts)}"
