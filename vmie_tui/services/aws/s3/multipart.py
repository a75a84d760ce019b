"""Multipart arithmetic: part sizes, checksums of the parts and of the object, parts of an earlier run."""

from __future__ import annotations

import base64
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from vmie_tui.services.aws.sdk import checksums

MIB = 1 << 20
MIN_PART = 16 * MIB
SMALLEST_PART = 5 * MIB  # S3's own bound for every part but the last
LARGEST_PART = 5 << 30
MAX_PARTS = 10_000
AIMED_PARTS = 9_000  # leaves room for streams that turn out larger than announced (trap 15)


def part_size_for(size_hint: int) -> int:
    """Bytes per part for an object of about ``size_hint`` bytes: whole MiB, at least 16, at most 9,000 parts."""
    wanted = -(-max(0, size_hint) // AIMED_PARTS)
    return min(LARGEST_PART, max(MIN_PART, -(-wanted // MIB) * MIB))


def crc_of(data: bytes | bytearray | memoryview) -> int:
    """CRC-64/NVME of some bytes."""
    return int(checksums.crc64nvme(data))


def crc_text(value: int) -> str:
    """A CRC as S3 writes it: base64 of eight big-endian bytes."""
    return base64.b64encode(value.to_bytes(8, "big")).decode("ascii")


class RunningCrc:
    """The CRC-64/NVME of parts added in order, from their own CRCs and lengths."""

    def __init__(self) -> None:
        self.value = 0
        self.size = 0

    def add(self, crc: int, length: int) -> None:
        self.value = int(checksums.combine_crc64nvme(self.value, crc, length)) if self.size else crc
        self.size += length

    @property
    def text(self) -> str:
        return crc_text(self.value)


@dataclass(frozen=True, slots=True)
class FoundPart:
    """A part S3 holds already. ``checksum`` is its CRC64NVME in base64, empty when S3 names none."""

    number: int
    size: int
    checksum: str
    etag: str

    @classmethod
    def of(cls, data: Mapping[str, Any]) -> FoundPart:
        return cls(
            int(data["PartNumber"]), int(data["Size"]), str(data.get("ChecksumCRC64NVME", "")), str(data["ETag"])
        )


@dataclass(frozen=True, slots=True)
class Upload:
    """An unfinished multipart upload."""

    bucket: str
    key: str
    upload_id: str
    initiated: datetime | None = None
    resumable: bool = True  # made with the checksum that tells equal parts apart


def part_size_of(parts: Iterable[FoundPart], size_hint: int, planned: int) -> int:
    """The part size an earlier run used, inferred from its parts; otherwise ``planned``.

    Most parts have the full size: of several it is the one met most often, of those the largest. It is not taken over
    when it would not do for this object. A wrong guess costs sending the parts again, never a wrong object.
    """
    sizes = Counter(part.size for part in parts)
    if sizes.total() < 2:
        return planned
    largest = max(sizes, key=lambda size: (sizes[size], size))
    usable = SMALLEST_PART <= largest <= LARGEST_PART and largest * MAX_PARTS >= size_hint
    return largest if usable else planned
