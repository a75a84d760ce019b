"""Opens any image VM import knows as a disk, by ranges: RAW, VMDK, VHD, VHDX, and the disks inside an OVA."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Self

from vmie_tui.model import facts
from vmie_tui.model.errors import ErrorKind, ServiceError
from vmie_tui.services.disks.containers_flat import open_flat
from vmie_tui.services.disks.containers_ova import disk_members
from vmie_tui.services.disks.containers_ovf import HEAD, ovf_files
from vmie_tui.services.disks.containers_vhd import VhdReader
from vmie_tui.services.disks.containers_vhdx import VhdxReader
from vmie_tui.services.disks.errors import DiskFormatError, unsupported
from vmie_tui.services.disks.ovf import is_ovf
from vmie_tui.services.disks.probe import DiskInfo, probe
from vmie_tui.services.disks.ranges import BlockReader, Budget, Slice
from vmie_tui.services.disks.source import ByteReader, DiskSource, RawFile
from vmie_tui.services.disks.vmdk_read import VmdkReader

_MAX_DISKS = 64


class _Raw:
    """A reader taken as a disk: all of it may hold data."""

    def __init__(self, reader: ByteReader) -> None:
        self._reader = reader

    @property
    def size(self) -> int:
        return self._reader.size

    def read_at(self, offset: int, length: int) -> bytes:
        return self._reader.read_at(offset, length)

    def extents(self) -> Iterator[tuple[int, int]]:
        yield 0, self._reader.size


class OpenDisk:
    """One disk of an image; a `DiskSource` and a context manager. ``budget`` counts what reading it has cost.

    The disks of one OVA share its file: closing one of them closes it for all.
    """

    def __init__(self, name: str, info: DiskInfo, source: DiskSource, budget: Budget, held: ExitStack) -> None:
        self.name, self.info, self.budget = name, info, budget
        self._source, self._held = source, held

    @property
    def size(self) -> int:
        """Bytes of the disk."""
        return self._source.size

    def read_at(self, offset: int, length: int) -> bytes:
        """``length`` bytes from ``offset`` of the disk, fewer only at its end."""
        return self._source.read_at(offset, length)

    def extents(self) -> Iterator[tuple[int, int]]:
        """The areas that may hold data."""
        return self._source.extents()

    def close(self) -> None:
        self._held.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def open_disk(image: ByteReader | str | os.PathLike[str], budget: Budget | None = None, *, name: str = "") -> OpenDisk:
    """The disk in ``image``, a path or anything with ``size`` and ``read_at``; of an OVA the first one.

    Raises ServiceError: INVALID for what is no disk image or one VM import refuses (with the documented error),
    CORRUPT for a damaged one, LOCAL and NOT_FOUND for a file that cannot be read, and what ``image`` raises.
    """
    return open_disks(image, lambda: budget or Budget(), name=name, most=1)[0]


def open_disks(
    image: ByteReader | str | os.PathLike[str],
    budget: Callable[[], Budget] = Budget,
    *,
    name: str = "",
    most: int = _MAX_DISKS,
) -> Sequence[OpenDisk]:
    """All disks in ``image``, in order; ``budget`` makes one for each. Raises as `open_disk`.

    The path of an OVF stands for the files beside it (`ovf_files`), whose manifest is not looked at.
    """
    held = ExitStack()
    try:
        folder = None
        if isinstance(image, (str, os.PathLike)):
            folder, name = Path(image).parent, name or str(image)
            path, image = Path(image), held.enter_context(open_file(image))
            if is_ovf(image.read_at(0, HEAD)):
                files = ovf_files(path, image)[:most]
                parts = [held.enter_context(open_file(each)) for each in files]
                return [
                    _open(part, budget, each.name, each.parent, held=held, most=1)[0]
                    for part, each in zip(parts, files, strict=True)
                ]
        return _open(image, budget, name, folder, held=held, most=most)
    except ServiceError as error:
        held.close()
        raise error.about(name) from error.__cause__
    except BaseException:
        held.close()
        raise


def open_raw(source: ByteReader, budget: Budget | None = None, *, name: str = "") -> OpenDisk:
    """The bytes of ``source`` as they are, for what is known to be a disk: its guest may have written any header."""
    spent = budget or Budget()
    reader = BlockReader(source, spent)
    return OpenDisk(name, DiskInfo("raw", reader.size), _Raw(reader), spent, ExitStack())


def open_file(path: str | os.PathLike[str]) -> RawFile:
    """The file's bytes. ServiceError INVALID for a directory, pipe or empty file, NOT_FOUND, LOCAL."""
    try:
        mode = Path(path).stat()
    except FileNotFoundError as error:
        raise ServiceError(
            ErrorKind.NOT_FOUND, "there is no such file", subject=str(path), remedy="Check the path"
        ) from error
    except (OSError, ValueError) as error:
        raise ServiceError(
            ErrorKind.LOCAL,
            "the file cannot be looked at",
            subject=str(path),
            remedy="Check the path and its permissions",
            detail=getattr(error, "strerror", "") or str(error),
        ) from error
    kind = mode.st_mode
    if not (stat.S_ISREG(kind) or stat.S_ISBLK(kind)):
        what = "a directory" if stat.S_ISDIR(kind) else "a pipe" if stat.S_ISFIFO(kind) else "no regular file"
        raise ServiceError(ErrorKind.INVALID, f"is {what}", subject=str(path), remedy="Give a disk image")
    return RawFile(path)


def _open(
    image: ByteReader, budget: Callable[[], Budget], name: str, folder: Path | None, *, held: ExitStack, most: int
) -> Sequence[OpenDisk]:
    spent = budget()
    reader = BlockReader(image, spent)
    if not reader.size:
        raise DiskFormatError(ErrorKind.INVALID, "the file is empty", remedy="Give a disk image")
    info = probe(reader.read_at, reader.size, name)
    if info.format != "ova":
        return (OpenDisk(name, info, _disk(reader, info, folder, spent, held), spent, held),)
    disks: list[OpenDisk] = []
    for member in disk_members(reader, info.members)[:most]:
        inner = spent if not disks else budget()  # the first pays for the list of members too
        part = BlockReader(Slice(image, member.offset, member.size), inner)
        found = probe(part.read_at, part.size, member.name)
        if found.format == "ova":
            raise unsupported(f"{member.name} is an archive inside the OVA")
        disks.append(OpenDisk(member.name, found, _disk(part, found, None, inner, held), inner, held))
    return disks


def _disk(reader: BlockReader, info: DiskInfo, folder: Path | None, budget: Budget, held: ExitStack) -> DiskSource:
    match info.format:
        case "vmdk-stream" | "vmdk-sparse":
            if info.create_type in {"seSparse", "vmfsSparse"}:
                raise unsupported(f"a {info.create_type} disk is a snapshot's difference")
            return VmdkReader(reader)
        case "vmdk-descriptor":
            return open_flat(reader, info, folder, budget, held)
        case "vhd":
            return VhdReader(reader)
        case "vhdx":
            return VhdxReader(reader)
        case "raw":
            return _Raw(reader)
    known = facts.error("E01")
    raise DiskFormatError(
        ErrorKind.INVALID,
        f"VM import does not take {info.format.upper()} images",
        remedy="Convert it to a streamOptimized VMDK, VHD, VHDX or RAW image",
        code=known["code"],
        detail=known["message"],
    )
