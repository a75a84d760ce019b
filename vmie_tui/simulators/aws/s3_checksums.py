"""The checksum kinds S3 knows: running digests, combining part checksums, and verifying what a client sent."""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from awscrt import checksums as crt

from vmie_tui.simulators.aws.wire import ApiError, Request

# kind -> element name in XML documents; the header is x-amz-checksum-<kind in lower case>
ELEMENTS = {
    "CRC32": "ChecksumCRC32",
    "CRC32C": "ChecksumCRC32C",
    "CRC64NVME": "ChecksumCRC64NVME",
    "SHA1": "ChecksumSHA1",
    "SHA256": "ChecksumSHA256",
}
_CRCS: dict[str, tuple[Callable[..., int], Callable[[int, int, int], int], int]] = {
    "CRC32": (crt.crc32, crt.combine_crc32, 4),
    "CRC32C": (crt.crc32c, crt.combine_crc32c, 4),
    "CRC64NVME": (crt.crc64nvme, crt.combine_crc64nvme, 8),
}
DEFAULT = "CRC64NVME"


def header(kind: str) -> str:
    return f"x-amz-checksum-{kind.lower()}"


class Running:
    """One checksum over bytes that arrive in pieces."""

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self._hash = hashlib.new(kind.lower(), usedforsecurity=False) if kind not in _CRCS else None
        self._value = 0

    def update(self, piece: bytes | memoryview) -> None:
        if self._hash is not None:
            self._hash.update(piece)
        else:
            self._value = _CRCS[self.kind][0](piece, self._value)

    @property
    def raw(self) -> bytes:
        if self._hash is not None:
            return self._hash.digest()
        return self._value.to_bytes(_CRCS[self.kind][2], "big")

    @property
    def text(self) -> str:
        return base64.b64encode(self.raw).decode()


def combine(kind: str, parts: Sequence[tuple[str, int]]) -> str:
    """The CRC of all parts in a row from each part's (base64 CRC, size)."""
    _, join, width = _CRCS[kind]
    total = 0
    for text, size in parts:
        total = join(total, int.from_bytes(base64.b64decode(text), "big"), size)
    return base64.b64encode(total.to_bytes(width, "big")).decode()


def composite(kind: str, parts: Iterable[str]) -> str:
    """The checksum of the parts' checksums, with the number of parts behind it."""
    running, count = Running(kind), 0
    for text in parts:
        running.update(base64.b64decode(text))
        count += 1
    return f"{running.text}-{count}"


def default_type(kind: str) -> str:
    return "FULL_OBJECT" if kind == "CRC64NVME" else "COMPOSITE"


def check_type(kind: str, checksum_type: str) -> None:
    """Refuse the pairs of kind and type that S3 does not have."""
    full = checksum_type == "FULL_OBJECT"
    if checksum_type not in {"FULL_OBJECT", "COMPOSITE"} or (full and kind.startswith("SHA")):
        raise ApiError(
            "InvalidRequest",
            f"The {checksum_type} checksum type cannot be used with the {kind.lower()} checksum algorithm.",
        )
    if not full and kind == "CRC64NVME":
        raise ApiError(
            "InvalidRequest", "The COMPOSITE checksum type cannot be used with the crc64nvme checksum algorithm."
        )


class Verifier:
    """Everything a request says about its body, checked while the body passes by.

    ``keep`` is the checksum kind to keep with the object (computed even when the client sent none).
    """

    def __init__(self, request: Request, keep: str, *, md5: bool = True) -> None:
        self._request = request
        self._expected = {kind: request.header(header(kind)) for kind in ELEMENTS if request.header(header(kind))}
        trailer = request.header("x-amz-trailer").lower()
        self._trailing = [kind for kind in ELEMENTS if header(kind) == trailer]
        if len(self._expected) > 1:
            raise ApiError(
                "InvalidRequest", "Expecting a single x-amz-checksum- header. Multiple checksum Types are not allowed."
            )
        self.sent = next(iter([*self._expected, *self._trailing]), "")
        self.keep = keep
        self._running: dict[str, Running] = {kind: Running(kind) for kind in {*self._expected, *self._trailing, keep}}
        self._content_md5 = request.header("Content-MD5")
        self._sha = request.header("x-amz-content-sha256")
        hashed = len(self._sha) == 64
        self._payload = Running("SHA256") if hashed and "SHA256" not in self._running else None
        self._payload_shared = hashed and self._payload is None
        self._md5: Any = hashlib.md5(usedforsecurity=False) if md5 or self._content_md5 else None

    def update(self, piece: memoryview) -> None:
        for running in self._running.values():
            running.update(piece)
        if self._payload is not None:
            self._payload.update(piece)
        if self._md5 is not None:
            self._md5.update(piece)

    @property
    def md5_hex(self) -> str | None:
        return None if self._md5 is None else str(self._md5.hexdigest())

    def finish(self) -> Mapping[str, str]:
        """Raise `ApiError` (BadDigest and its kin) unless all fits; the checksums to keep, by kind."""
        if self._content_md5:
            self._check_md5()
        payload = self._running["SHA256"] if self._payload_shared else self._payload
        if payload is not None and payload.raw.hex() != self._sha:
            raise ApiError(
                "XAmzContentSHA256Mismatch",
                "The provided 'x-amz-content-sha256' header does not match what was computed.",
                fields={"ClientComputedContentSHA256": self._sha, "S3ComputedContentSHA256": payload.raw.hex()},
            )
        for kind in self._trailing:
            self._expected[kind] = self._request.body.trailers.get(header(kind), "")
        for kind, expected in self._expected.items():
            _check_form(kind, expected)
            if self._running[kind].text != expected:
                raise ApiError("BadDigest", f"The {kind} you specified did not match the calculated checksum.")
        return {kind: running.text for kind, running in self._running.items() if kind in {self.keep, self.sent}}

    def _check_md5(self) -> None:
        try:
            wanted = base64.b64decode(self._content_md5, validate=True)
        except binascii.Error as error:
            raise ApiError("InvalidDigest", "The Content-MD5 you specified was invalid.") from error
        if self._md5 is None or wanted != self._md5.digest():
            raise ApiError("BadDigest", "The Content-MD5 you specified did not match what we received.")


def _check_form(kind: str, text: str) -> None:
    width = _CRCS[kind][2] if kind in _CRCS else hashlib.new(kind.lower(), usedforsecurity=False).digest_size
    try:
        fits = len(base64.b64decode(text, validate=True)) == width
    except binascii.Error:
        fits = False
    if not fits:
        raise ApiError("InvalidRequest", f"Value for {header(kind)} header is invalid.")
