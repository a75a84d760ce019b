"""What the S3 operations share: XML, dates, not-found errors, received bodies."""

from __future__ import annotations

import os
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import format_datetime
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET
from xml.sax.saxutils import escape

from vmie_tui.simulators.aws import s3_checksums
from vmie_tui.simulators.aws.s3_store import NULL, Bucket, Store, Stored
from vmie_tui.simulators.aws.wire import ApiError, Reply, Request
from vmie_tui.simulators.control import Fault

NAMESPACE = "http://s3.amazonaws.com/doc/2006-03-01/"
Tree = Sequence[tuple[str, Any]]


@dataclass(slots=True)
class S3Call:
    """One S3 request with its names taken apart; ``bucket`` is set once it is known to exist."""

    request: Request
    store: Store
    name: str
    key: str
    query: dict[str, str]
    account: str
    now: float
    md5_etags: bool
    fault: Fault | None = None
    found: Bucket | None = None

    @property
    def bucket(self) -> Bucket:
        assert self.found is not None
        return self.found

    def header(self, name: str) -> str:
        return self.request.header(name)

    def object(self) -> Stored:
        """The object, or the version of it, named by the request; NoSuchKey or NoSuchVersion when there is none."""
        version = self.query.get("versionId", "")
        stored = self.store.get(self.name, self.key, version)
        if stored is None and version:
            text = "The specified version does not exist."
            raise ApiError("NoSuchVersion", text, 404, fields={"Key": self.key, "VersionId": version})
        if stored is None:
            raise ApiError("NoSuchKey", "The specified key does not exist.", 404, fields={"Key": self.key})
        if stored.marker:
            text = "The specified method is not allowed against this resource."
            raise ApiError("MethodNotAllowed", text, 405, headers={"x-amz-delete-marker": "true"})
        return stored

    def version_headers(self, stored: Stored | None) -> dict[str, str]:
        """What an answer says of the version; nothing in a bucket that never had versions."""
        if stored is None or not self.bucket.versioning:
            return {}
        marker = {"x-amz-delete-marker": "true"} if stored.marker else {}
        return {"x-amz-version-id": stored.version or NULL, **marker}


Handler = Callable[[S3Call], Reply]


def iso(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S.000Z")


def http_time(seconds: float) -> str:
    return format_datetime(datetime.fromtimestamp(seconds, UTC), usegmt=True)


def element(name: str, value: Any) -> str:
    """One XML element; a sequence of (name, value) pairs becomes children, None is left out."""
    if value is None:
        return ""
    if isinstance(value, (list, tuple)):
        return f"<{name}>{''.join(element(*pair) for pair in value)}</{name}>"
    text = str(value).lower() if isinstance(value, bool) else str(value)
    return f"<{name}>{escape(text)}</{name}>"


def document(root: str, content: Tree, headers: Mapping[str, str] | None = None) -> Reply:
    inner = "".join(element(*pair) for pair in content)
    body = f'<?xml version="1.0" encoding="UTF-8"?>\n<{root} xmlns="{NAMESPACE}">{inner}</{root}>'
    return Reply(200, body.encode(), {"Content-Type": "application/xml", **(headers or {})})


def parse_xml(body: bytes) -> ET.Element:
    try:
        return ET.fromstring(body)  # noqa: S314 - loopback only, from the client under test
    except ET.ParseError as error:
        text = "The XML you provided was not well-formed or did not validate against our published schema"
        raise ApiError("MalformedXML", text) from error


def child(node: ET.Element, name: str) -> str:
    found = node.find(f"{{*}}{name}")
    return "" if found is None else (found.text or "").strip()


def quoted(etag: str) -> str:
    return f'"{etag}"'


def number(text: str, default: int, name: str) -> int:
    try:
        return int(text) if text else default
    except ValueError as error:
        raise ApiError("InvalidArgument", f"Provided {name} not an integer or within integer range") from error


@dataclass(frozen=True, slots=True)
class Received:
    """A body that was written to ``path``; ``etag`` has no quotes."""

    path: Path
    size: int
    etag: str
    checksums: dict[str, str]
    sent_kind: str


def receive(call: S3Call, keep: str, *, opaque_etag: bool) -> Received:
    """Writes the request's body to a new file, verifying every checksum the client sent.

    ``opaque_etag`` is for SSE-KMS, whose ETag is no MD5 (trap 16).
    """
    path = call.store.root / call.name / "incoming" / uuid.uuid4().hex
    with_md5 = call.md5_etags and not opaque_etag
    verifier = s3_checksums.Verifier(call.request, keep, md5=with_md5)
    size = 0
    try:
        with path.open("wb", buffering=0) as file:
            for piece in call.request.body.pieces():
                os.write(file.fileno(), piece)
                verifier.update(piece)
                size += len(piece)
                _reset_midway(call.fault, size)
        checksums = dict(verifier.finish())
    except BaseException:
        path.unlink(missing_ok=True)
        raise
    etag = (verifier.md5_hex if with_md5 else None) or uuid.uuid4().hex
    return Received(path, size, etag, checksums, verifier.sent)


def _reset_midway(fault: Fault | None, size: int) -> None:
    if fault is not None and size >= fault.after:
        raise ConnectionResetError


def encryption_of(call: S3Call) -> dict[str, str]:
    """An object's encryption headers: as requested, else the bucket's default, else SSE-S3."""
    names = ("x-amz-server-side-encryption", "x-amz-server-side-encryption-aws-kms-key-id")
    algorithm, key = (call.header(name) for name in names)
    if not algorithm and "encryption" in call.bucket.config:
        root = parse_xml(call.bucket.config["encryption"].encode())
        default = root.find(".//{*}ApplyServerSideEncryptionByDefault")
        if default is not None:
            algorithm, key = child(default, "SSEAlgorithm"), child(default, "KMSMasterKeyID")
    algorithm = algorithm or "AES256"
    if algorithm not in {"AES256", "aws:kms", "aws:kms:dsse"}:
        raise ApiError("InvalidArgument", "The encryption method specified is not supported")
    if algorithm == "AES256":
        return {names[0]: algorithm}
    return {names[0]: algorithm, names[1]: key or f"arn:aws:kms:{call.bucket.region}:{call.account}:alias/aws/s3"}


def is_kms(headers: Mapping[str, str]) -> bool:
    return headers.get("x-amz-server-side-encryption", "AES256") != "AES256"


KEPT_HEADERS = ("Content-Type", "Content-Disposition", "Content-Language", "Cache-Control", "Expires")


def object_headers(call: S3Call) -> dict[str, str]:
    """The headers to remember with an object."""
    kept = {name: call.header(name) for name in KEPT_HEADERS if call.header(name)}
    kept.setdefault("Content-Type", "binary/octet-stream")
    encodings = [part.strip() for part in call.header("Content-Encoding").split(",")]
    if plain := [part for part in encodings if part not in {"aws-chunked", ""}]:
        kept["Content-Encoding"] = ",".join(plain)
    kept |= {
        name.lower(): value for name, value in call.request.headers.items() if name.lower().startswith("x-amz-meta-")
    }
    return kept | encryption_of(call)
