"""Converts one disk image into another: streamed, holes left out, the result whole or absent."""

from __future__ import annotations

import hashlib
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from vmie_tui.model.errors import ErrorKind, ServiceError
from vmie_tui.services.disks.convert_source import Opened, open_source, source_files
from vmie_tui.services.disks.formats import qemu
from vmie_tui.services.disks.formats.ova_write import write_ova
from vmie_tui.services.disks.formats.vhd_write import write_vhd_dynamic, write_vhd_fixed
from vmie_tui.services.disks.formats.vmdk_layout import GRAIN, SECTOR
from vmie_tui.services.disks.formats.vmdk_write import Mode, encode
from vmie_tui.services.disks.streams.output import Output, check_free
from vmie_tui.services.disks.streams.pieces import Content, Progress, Watched, content_sha256, slowest, write_raw
from vmie_tui.services.disks.streams.source import DiskSource, RawFile, sha256_of


class Format(StrEnum):
    """What can be written."""

    RAW = "raw"
    VMDK = "vmdk"  # streamOptimized
    VHD_FIXED = "vhd-fixed"
    VHD_DYNAMIC = "vhd-dynamic"
    VHDX = "vhdx"  # by qemu-img
    OVA = "ova"


_EXTENSIONS = {
    ".raw": Format.RAW,
    ".img": Format.RAW,
    ".vmdk": Format.VMDK,
    ".vhd": Format.VHD_DYNAMIC,
    ".vhdx": Format.VHDX,
    ".ova": Format.OVA,
}


@dataclass(frozen=True, slots=True)
class Request:
    """What to convert, and into what."""

    source: Path
    destination: Path
    format: Format
    small: bool = False
    disk: int | None = None  # of an OVA, from 1
    raw: bool = False  # take the source as RAW, whatever it looks like
    force: bool = False
    checksums: bool = True


@dataclass(frozen=True, slots=True)
class Converted:
    """The result; checksums are empty if not requested."""

    source: str
    source_format: str
    disk: str
    destination: str
    format: str
    capacity: int  # bytes of the disk
    data: int  # of them, those not left out
    size: int  # bytes of the output
    disk_sha256: str  # of all bytes of the disk, as the source has it
    sha256: str  # of the output
    warnings: tuple[str, ...] = ()  # what is wrong with the source's package and did not hinder

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def format_for(destination: Path) -> Format:
    """The format implied by a file name. ServiceError INVALID for an unknown extension."""
    found = _EXTENSIONS.get(destination.suffix.lower())
    if found is None:
        raise ServiceError(
            ErrorKind.INVALID,
            "the name does not tell the format to write",
            subject=str(destination),
            remedy=f"Use one of {', '.join(_EXTENSIONS)}, or --format",
        )
    return found


def extension(wanted: Format) -> str:
    """The file name extension of this format, including the dot."""
    same = {Format.VHD_FIXED: Format.VHD_DYNAMIC}.get(wanted, wanted)
    return next(ending for ending, found in _EXTENSIONS.items() if found is same)


def convert(request: Request, progress: Progress = lambda done, total: None) -> Converted:
    """Converts the image. ``progress(bytes done, total)`` is called from several threads, and aborts by raising.

    Memory stays under 64 MiB. The destination appears, durable, when all of it is written, and never in part.
    Raises ServiceError: CONFLICT when the destination exists (unless ``force``), INVALID when it is the source or for
    an image that cannot be used (with the documented reason), CORRUPT for a damaged one, LOCAL for a full disk, a
    missing permission or tool.
    """
    source, destination = request.source, request.destination
    _check_apart(source, destination)
    check_free(destination, force=request.force)
    with ExitStack() as held:
        try:
            if request.format is Format.VHDX:
                qemu.tool("VHDX output")
            found = open_source(source, held, disk=request.disk, raw=request.raw, beside=destination, progress=progress)
            out = held.enter_context(Output(destination, force=request.force))
            done = _write(request, found, out, progress)
            size = out.commit()
        except ServiceError as error:
            raise error.about(str(source)) from error.__cause__
        except OSError as error:  # the output has its own errors: this is the source
            raise ServiceError(
                ErrorKind.LOCAL,
                "the image cannot be read",
                subject=str(source),
                remedy="Check the medium it lies on",
                detail=error.strerror or str(error),
            ) from error
        return Converted(
            source=str(source),
            source_format=found.format,
            disk=found.name,
            destination=str(destination),
            format=request.format.value,
            capacity=found.source.size,
            data=done.data,
            size=size,
            disk_sha256=done.disk_sha256,
            sha256=done.sha256,
            warnings=tuple(remark.headline for remark in found.remarks),
        )


def _check_apart(source: Path, destination: Path) -> None:
    for file in source_files(source):
        if file.exists() and destination.exists() and file.samefile(destination):
            raise ServiceError(
                ErrorKind.INVALID,
                "source and destination are the same file",
                subject=str(destination),
                remedy="Write to another file",
            )


@dataclass(frozen=True, slots=True)
class _Done:
    data: int
    disk_sha256: str
    sha256: str


def _write(request: Request, found: Opened, out: Output, progress: Progress) -> _Done:
    if found.source.size <= 0:
        raise ServiceError(ErrorKind.INVALID, "the disk is empty", remedy="Check the source: it has no bytes")
    if request.format in {Format.VMDK, Format.OVA}:
        return _write_compressed(request, found, out, progress)
    content = Content(wanted=request.checksums)
    source = Watched(found.source, progress)
    match request.format:
        case Format.VHD_FIXED:
            write_vhd_fixed(source, out, content)
        case Format.VHD_DYNAMIC:
            write_vhd_dynamic(source, out, content)
        case Format.VHDX:
            _write_vhdx(source, out, content, progress)
        case _:
            write_raw(source, out, content)
            return _Done(content.data, content.sha256, content.sha256)
    return _Done(content.data, content.sha256, _sha256_of_file(out.path) if request.checksums else "")


def _write_vhdx(source: DiskSource, out: Output, content: Content, progress: Progress) -> None:
    """Converts with qemu-img from a temporary RAW copy; ``out`` gets the result."""
    with Output(out.destination) as raw:
        write_raw(source, raw, content)
        raw.resize(-(-source.size // SECTOR) * SECTOR)
        qemu.convert(raw.path, "raw", out.path, "vhdx", size=source.size, progress=progress)


def _write_compressed(request: Request, found: Opened, out: Output, progress: Progress) -> _Done:
    """VMDK and OVA: two threads compress while another hashes the disk, and this one what is written."""
    stop, digest = threading.Event(), hashlib.sha256()
    mode: Mode = "small" if request.small else "fast"

    def write(data: bytes | memoryview) -> None:
        if request.checksums:
            digest.update(data)
        out.write(data)

    read, hashed = slowest(progress, 2) if request.checksums else (progress, progress)
    source = Watched(found.source, read)
    with ThreadPoolExecutor(1, thread_name_prefix="disk-sha256") as pool:
        sha256 = (
            pool.submit(content_sha256, Watched(found.source, hashed), Content(stop=stop))
            if request.checksums
            else None
        )
        try:
            if request.format is Format.VMDK:
                written = encode(source, write, mode=mode, name=request.destination.name)
            else:
                written = write_ova(source, out, name=request.destination.stem, mode=mode)
            disk_sha256 = sha256.result() if sha256 else ""
        finally:
            stop.set()
    whole = ""
    if request.checksums:
        whole = digest.hexdigest() if request.format is Format.VMDK else _sha256_of_file(out.path)
    return _Done(min(written.grains * GRAIN, found.source.size), disk_sha256, whole)


def _sha256_of_file(path: Path) -> str:
    with RawFile(path) as file:
        return sha256_of(file)
