"""Reads an S3 object by range requests: to inspect a disk image without downloading it."""

from __future__ import annotations

import re
from typing import Any

from vmie_tui.model.errors import ErrorKind, ServiceError
from vmie_tui.services.aws.errors import aws_call, boto_errors, error_code, translate
from vmie_tui.services.aws.session import Aws

_RANGE = re.compile(r"bytes (\d+)-(\d+)/(\d+)")
CHANGED = frozenset({"PreconditionFailed", "412"})  # codes for: no longer the object that was asked for


class S3Object:
    """A `ByteReader` over an object; each read is one request. Put a `BlockReader` before it (`open_disk` does).

    Every request insists on the version seen first. Raises ServiceError: NOT_FOUND, PERMISSION, CONFLICT when the
    object was replaced in the meantime, NETWORK, CORRUPT for an answer that is not the range asked for.
    """

    def __init__(self, aws: Aws, bucket: str, key: str, *, region: str | None = None) -> None:
        self.name = f"s3://{bucket}/{key}"
        self._client: Any = aws.client("s3", region)
        self._place = {"Bucket": bucket, "Key": key}
        with aws_call("look at the object", self.name):
            answer = self._client.head_object(**self._place)
        self._size, self._etag = int(answer["ContentLength"]), str(answer["ETag"])

    @property
    def size(self) -> int:
        return self._size

    def read_at(self, offset: int, length: int) -> bytes:
        """``length`` bytes from ``offset``, fewer only at the end."""
        end = min(offset + length, self._size)
        if offset >= end:
            return b""
        try:
            answer = self._client.get_object(**self._place, Range=f"bytes={offset}-{end - 1}", IfMatch=self._etag)
            data: bytes = answer["Body"].read()
        except boto_errors() as error:
            if error_code(error) in CHANGED:
                raise ServiceError(
                    ErrorKind.CONFLICT,
                    "the object was replaced while it was being read",
                    subject=self.name,
                    remedy="Start again",
                    retry_safe=True,
                    code=error_code(error),
                ) from error
            raise translate(error, "read the object", self.name) from error
        found = _RANGE.fullmatch(str(answer.get("ContentRange", "")))
        if (
            found is None
            or tuple(map(int, found.groups())) != (offset, end - 1, self._size)
            or len(data) != end - offset
        ):
            got = f"{answer.get('ContentRange')} with {len(data)} bytes"
            raise other_bytes(self.name, f"{offset}-{end - 1}", got)
        return data


def other_bytes(subject: str, wanted: str, got: str) -> ServiceError:
    """S3, or a proxy in front of it, returned another range than requested."""
    return ServiceError(
        ErrorKind.CORRUPT,
        "S3 gave other bytes than those asked for",
        subject=subject,
        remedy="Check the endpoint and any proxy in between",
        detail=f"asked for {wanted}, got {got}",
    )
