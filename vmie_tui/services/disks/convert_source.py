"""Opens a disk for a full sequential read, whereas `open_disk` opens it to inspect a few blocks."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

from vmie_tui.model.errors import ErrorKind, ServiceError
from vmie_tui.model.finding import Finding
from vmie_tui.services.disks.errors import DiskFormatError
from vmie_tui.services.disks.formats import qemu
from vmie_tui.services.disks.formats.flat import open_flat
from vmie_tui.services.disks.formats.open_disk import OpenDisk, open_disks, open_file
from vmie_tui.services.disks.formats.ovf import HEAD, is_ovf
from vmie_tui.services.disks.formats.ovf_package import PackagedDisk, open_archive, open_folder
from vmie_tui.services.disks.formats.probe import DiskInfo, probe
from vmie_tui.services.disks.formats.unsupported_files import ForeignError
from vmie_tui.services.disks.formats.vhd_read import VhdReader
from vmie_tui.services.disks.formats.vhdx_read import VhdxReader
from vmie_tui.services.disks.formats.vmdk_read import VmdkReader
from vmie_tui.services.disks.sandbox.client import OPENING, in_child, tried
from vmie_tui.services.disks.streams.output import part_name
from vmie_tui.services.disks.streams.pieces import Progress
from vmie_tui.services.disks.streams.ranges import Budget
from vmie_tui.services.disks.streams.source import ByteReader, DiskSource, RawFile

_AS_RAW = "take them as RAW, whatever they look like (in a command --raw-source)"
QEMU_READS = {"qcow2": "qcow2", "vdi": "vdi"}


@dataclass(frozen=True, slots=True)
class Opened:
    """A disk to read all of."""

    source: DiskSource
    format: str  # as `probe` says, with its kind
    name: str  # of the file, or of the OVA's member
    info: DiskInfo
    remarks: tuple[Finding, ...] = ()  # what is wrong with its package


def no_limit() -> Budget:
    return Budget(requests=1 << 62, bytes=1 << 62, seconds=math.inf)


def open_source(
    path: Path, held: ExitStack, *, disk: int | None, raw: bool, beside: Path, progress: Progress
) -> Opened:
    """Disk number ``disk`` (from 1; None: the only one) of the image at ``path``; closed with ``held``.

    ``raw``: take the file as it is, whatever its first bytes say. ``beside``: where a temporary RAW copy of what only
    qemu-img reads may lie, until ``held`` closes; ``progress`` hears of its making. Raises as `containers.open_disks`;
    ServiceError INVALID for a number that the image does not have, or none given where it has several.
    """
    found = open_every(path, held, raw=raw, beside=beside, progress=progress)
    return found[_one_of([each.name for each in found], path, disk)]


def open_every(
    path: Path, held: ExitStack, *, raw: bool, beside: Path, progress: Progress, proven: bool = False
) -> list[Opened]:
    """All disks of the image at ``path``, boot disk first. As `open_source`.

    An OVF stands for the files beside it. A package with a manifest is proven by it first, which reads all of it, but
    for one that is ``proven`` already. A child process has opened the image before this one does: what its bytes do to
    a reader they do there, under limits.
    """
    tried(lambda: _try_to_open(path, raw))
    return _open_every(path, held, raw=raw, beside=beside, progress=progress, proven=proven)


@in_child(OPENING)
def _try_to_open(path: Path, raw: bool) -> None:
    """Open the image and close it again, without qemu-img and the proof by a manifest. Raises as `open_source`."""
    with ExitStack() as held:
        _open_every(path, held, raw=raw, beside=None, progress=lambda done, total: None, proven=True)


def _open_every(
    path: Path, held: ExitStack, *, raw: bool, beside: Path | None, progress: Progress, proven: bool
) -> list[Opened]:
    """As `open_every`, here and now; ``beside`` None: without what only qemu-img reads."""
    file = held.enter_context(open_file(path))
    if raw and not file.size:
        raise DiskFormatError(ErrorKind.INVALID, "the file is empty", subject=str(path), remedy="Give a disk image")
    if raw:
        return [Opened(file, "raw", path.name, DiskInfo("raw", file.size))]
    if is_ovf(file.read_at(0, HEAD)):
        package = open_folder(path, file, held)
        try:
            if not proven:
                package.prove(lambda: progress(0, file.size))
            found = (_of_folder(disk, held, beside=beside, progress=progress, proven=proven) for disk in package.disks)
            return [replace(opened, remarks=package.remarks) for each in found for opened in each]
        except ServiceError as error:
            raise error.about(str(path)) from error.__cause__
    info = probe_file(path)
    if info.format in QEMU_READS:
        if beside is None:
            return [Opened(file, info.format, path.name, info)]
        return [Opened(_by_qemu(path, info, held, beside, progress), info.format, path.name, info)]
    disks = open_disks(path, no_limit)
    held.callback(disks[0].close)
    if info.format != "ova":
        source = _direct(disks[0], file, path.parent, held)
        return [Opened(source, _format(disks[0].info), path.name, disks[0].info)]
    package = open_archive(file, info.members)
    try:
        if not proven:
            package.prove(lambda: progress(0, file.size))
    except ServiceError as error:
        raise error.about(str(path)) from error.__cause__
    return [
        Opened(_direct(seen, disk.source, None, held), _format(seen.info), seen.name, seen.info, package.remarks)
        for disk, seen in zip(package.disks, disks, strict=True)
    ]


def _of_folder(
    disk: PackagedDisk, held: ExitStack, *, beside: Path | None, progress: Progress, proven: bool
) -> list[Opened]:
    """The disk of a loose OVF, which may be of any kind that a file by itself may be."""
    assert disk.path is not None
    try:
        found = _open_every(disk.path, held, raw=False, beside=beside, progress=progress, proven=proven)
    except ServiceError as error:
        if error.kind is ErrorKind.CORRUPT and disk.resized:
            raise disk.wrong_size() from error
        raise
    for each in found:
        disk.believed(each.info.format, each.source.size)
    return found


@in_child()
def probe_file(path: Path) -> DiskInfo:
    """The kind of image in the file; errors name the file."""
    try:
        with open_file(path) as file:
            return probe(file.read_at, file.size, path.name)
    except ForeignError as error:
        remedy = f"{error.problem.remedy}; only where these bytes are the disk itself, {_AS_RAW}"
        raise ForeignError.of(replace(error.problem, remedy=remedy)).about(str(path)) from error.__cause__
    except ServiceError as error:
        raise error.about(str(path)) from error.__cause__


@in_child()
def is_plain_archive(path: Path) -> bool:
    """Whether the file is an OVA with nothing in it that AWS may not understand. Raises as `open_source`."""
    with open_file(path) as file:
        info = probe_file(path)
        return info.format == "ova" and open_archive(file, info.members).plain


@in_child()
def source_files(path: Path) -> list[Path]:
    """The file, and the extents its descriptor names: none of them may be the output."""
    with contextlib.suppress(ServiceError), open_file(path) as file:
        if is_ovf(file.read_at(0, HEAD)):
            with ExitStack() as held:
                package = open_folder(path, file, held)
                return [path, *(disk.path for disk in package.disks if disk.path)]
        return [path, *(path.parent / Path(name).name for name in probe_file(path).files)]
    return [path]


def _one_of(names: Sequence[str], path: Path, disk: int | None) -> int:
    """The index of the disk that is meant."""
    if disk is None and len(names) > 1:
        listed = ", ".join(f"{number} {name}" for number, name in enumerate(names, 1))
        raise ServiceError(
            ErrorKind.INVALID,
            f"the archive holds {len(names)} disks",
            subject=str(path),
            remedy=f"Choose one with --disk: {listed}",
        )
    if disk is not None and not 1 <= disk <= len(names):
        raise ServiceError(
            ErrorKind.INVALID,
            f"there is no disk {disk}; the image holds {len(names)}",
            subject=str(path),
            remedy="Disks are counted from 1",
        )
    return (disk or 1) - 1


def _direct(chosen: OpenDisk, image: ByteReader, folder: Path | None, held: ExitStack) -> DiskSource:
    """The disk that was found good, once more and without the cached reads, which would cost memory and copies."""
    info = chosen.info
    match info.format:
        case "raw" if isinstance(image, RawFile):
            return image
        case "vhd" if info.create_type == "fixed" and isinstance(image, RawFile):
            return held.enter_context(RawFile(image.path, chosen.size))  # which knows its holes
        case "vhd" | "vhdx":
            return VhdReader(image) if info.format == "vhd" else VhdxReader(image)
        case "vmdk-sparse" | "vmdk-stream":
            return VmdkReader(image)
        case "vmdk-descriptor":
            return open_flat(image, info, folder, None, held)
    return chosen


def _format(info: DiskInfo) -> str:
    return f"{info.format} {info.create_type}".strip()


def _by_qemu(path: Path, info: DiskInfo, held: ExitStack, beside: Path, progress: Progress) -> RawFile:
    qemu.check(path, info.format, info.parent)
    copy = part_name(beside, "raw")
    held.callback(copy.unlink, missing_ok=True)
    qemu.convert(path, QEMU_READS[info.format], copy, "raw", size=info.capacity or 0, progress=progress)
    return held.enter_context(RawFile(copy))
