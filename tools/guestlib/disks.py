"""Whole disks: a partition table, boot code, and what each partition holds."""

from __future__ import annotations

import os
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from guestlib.filesystems import Extent
from guestlib.tools import run

MIB = 1 << 20
_CHUNK = 1 << 20
ESP = "C12A7328-F81F-11D2-BA4B-00A0C93EC93B"
LINUX = "0FC63DAF-8483-4772-8E79-3D69D8477DE4"
BIOS_BOOT = "21686148-6449-6E6F-744E-656564454649"
MS_RESERVED = "E3C9E316-0B5C-4DB8-817D-F92DF00215AE"
MS_DATA = "EBD0A0A2-B9E5-4433-87C0-68B6B72699C7"
LVM = "E6D6D379-F507-44C2-A23C-238F2A3DF928"
SWAP = "0657FD6D-A4AB-43C4-84E5-0933C84B4F4F"

Build = Callable[[Path], list[Extent]]


@dataclass(frozen=True, slots=True)
class Part:
    """A partition of ``mib`` MiB (None: what is left). ``type`` is hex for MBR, a GUID for GPT."""

    type: str
    mib: int | None
    build: Build | None = None
    active: bool = False
    name: str = ""


def guid(seed: str) -> str:
    return str(uuid.uuid5(uuid.NAMESPACE_DNS, f"{seed}.guests.vmie-tui.example"))


def whole(path: Path, mib: int, build: Build) -> list[Extent]:
    """A disk that is one file system, without a partition table."""
    _empty(path, mib * MIB)
    return build(path)


def mbr(path: Path, mib: int, parts: list[Part], *, seed: str, boot_code: bytes = b"") -> list[Extent]:
    """An MBR disk; partitions begin at 1 MiB. Returns the free ranges of all its file systems."""
    lines = ["label: dos", f"label-id: 0x{uuid.UUID(guid(seed)).fields[0]:08x}"]
    for part in parts:
        size = f"size={part.mib}MiB, " if part.mib else ""
        lines.append(f"{size}type={part.type}{', bootable' if part.active else ''}")
    return _partitioned(path, mib, lines, parts, boot_code)


def gpt(path: Path, mib: int, parts: list[Part], *, seed: str, boot_code: bytes = b"") -> list[Extent]:
    """A GPT disk; like `mbr`."""
    lines = ["label: gpt", f"label-id: {guid(seed)}"]
    for number, part in enumerate(parts, 1):
        size = f"size={part.mib}MiB, " if part.mib else ""
        name = f', name="{part.name}"' if part.name else ""
        lines.append(f"{size}type={part.type}, uuid={guid(f'{seed} {number}')}{name}")
    return _partitioned(path, mib, lines, parts, boot_code)


def _empty(path: Path, size: int) -> None:
    path.unlink(missing_ok=True)
    path.touch()
    os.truncate(path, size)


def _partitioned(path: Path, mib: int, lines: list[str], parts: list[Part], boot_code: bytes) -> list[Extent]:
    _empty(path, mib * MIB)
    with path.open("r+b") as disk:
        disk.write(boot_code)
    run("sfdisk", "-q", "--no-reread", "--no-tell-kernel", str(path), stdin="\n".join(lines) + "\n", frozen=False)
    places = []
    for line in run("sfdisk", "-d", str(path), frozen=False).splitlines():
        if "start=" in line:
            start, sectors = (int(line.split(f"{word}=")[1].split(",")[0]) for word in ("start", "size"))
            places.append((start * 512, sectors * 512))
    free: list[Extent] = []
    for part, (offset, size) in zip(parts, places, strict=True):
        if part.build is None:
            continue
        image = path.with_suffix(".part")
        _empty(image, size)
        free += [(offset + at, length) for at, length in part.build(image)]
        copy_into(image, path, offset)
        image.unlink()
    return free


def copy_into(image: Path, disk: Path, offset: int) -> None:
    """Write ``image`` at ``offset`` of ``disk``, leaving holes where it has zeros."""
    zeros = bytes(_CHUNK)
    with image.open("rb") as source, disk.open("r+b") as target:
        for start, end in data_ranges(source.fileno(), image.stat().st_size):
            source.seek(start)
            for at in range(start, end, _CHUNK):
                chunk = source.read(min(_CHUNK, end - at))
                if chunk != zeros[: len(chunk)]:
                    target.seek(offset + at)
                    target.write(chunk)


def data_ranges(file: int, size: int) -> Iterator[tuple[int, int]]:
    """``(start, end)`` of what a sparse file stores, on 4 KiB boundaries."""
    at = 0
    while at < size:
        try:
            start = os.lseek(file, at, os.SEEK_DATA) // 4096 * 4096
        except OSError:  # no data after ``at``
            return
        at = os.lseek(file, start, os.SEEK_HOLE)
        yield start, at
