"""Opens any supported image for random access: RAW, VMDK, VHD, VHDX, and the disks inside an OVA."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path

from vmie_tui.close_on_exit import Closing
from vmie_tui.model.errors import ErrorKind, ServiceError
from vmie_tui.services.disks.errors import DiskFormatError, corrupt, difference, documented
from vmie_tui.services.disks.formats.flat import open_flat
from vmie_tui.services.disks.formats.ovf import HEAD, is_ovf
from vmie_tui.services.disks.formats.ovf_package import MAX_DISKS, Package, PackagedDisk, open_archive, open_folder
from vmie_tui.services.disks.formats.probe import DiskInfo, probe
from vmie_tui.services.disks.formats.vhd_read import VhdReader
from vmie_tui.services.disks.formats.vhdx_read import VhdxReader
from vmie_tui.services.disks.formats.vmdk_read import VmdkReader
from vmie_tui.services.disks.streams.ranges import BlockReader, Budget
from vmie_tui.services.disks.streams.source import ByteReader, DiskSource, RawFile


class _Raw:
    """A reader as a disk whose every byte may hold data."""

    def __init__(self, reader: ByteReader) -> None:
        self._reader = reader

    @property
    def size(self) -> int:
        return self._reader.size

    def read_at(self, offset: int, length: int) -> bytes:
        return self._reader.read_at(offset, length)

    def extents(self) -> Iterator[tuple[int, int]]:
        yield 0, self._reader.size


class OpenDisk(Closing):
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
    most: int = MAX_DISKS,
) -> Sequence[OpenDisk]:
    """All disks in ``image``, boot disk first; ``budget`` makes one for each. Raises as `open_disk`.

    The path of an OVF stands for the files beside it. Of a manifest only the names and the descriptor's digest are
    looked at: see `Package.prove`.
    """
    held = ExitStack()
    try:
        folder = None
        if isinstance(image, (str, os.PathLike)):
            folder, name = Path(image).parent, name or str(image)
            path, image = Path(image), held.enter_context(open_file(image))
            if is_ovf(image.read_at(0, HEAD)):
                return _packaged(open_folder(path, image, held), budget, name, held=held, most=most)
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
        return (OpenDisk(name, info, _disk(reader, info, folder, spent, held=held), spent, held),)
    first = [spent]  # the first disk pays for the list of members too
    package = open_archive(reader, info.members, image)
    return _packaged(package, lambda: first.pop() if first else budget(), name, held=held, most=most)


def _packaged(
    package: Package, budget: Callable[[], Budget], name: str, *, held: ExitStack, most: int
) -> Sequence[OpenDisk]:
    disks = []
    for disk in package.disks[:most]:
        try:
            disks.append(_of_package(disk, budget(), held))
        except ServiceError as error:
            raise error.about(name if disk.name in error.problem.what else f"{name}: {disk.name}") from error.__cause__
    return disks


def _of_package(disk: PackagedDisk, budget: Budget, held: ExitStack) -> OpenDisk:
    """One disk of an OVF package, judged as a loose file of its name would be. Raises as `open_disk`."""
    reader = BlockReader(disk.source, budget)
    folder = disk.path.parent if disk.path else None
    try:
        if not reader.size:
            raise corrupt(f"{disk.name} is empty")
        info = probe(reader.read_at, reader.size, disk.name)
        source = _disk(reader, info, folder, budget, held=held, packaged=disk)
    except DiskFormatError as error:
        if error.kind is ErrorKind.CORRUPT and disk.resized:
            raise disk.wrong_size() from error
        raise
    disk.believed(info.format, source.size)
    return OpenDisk(disk.name if disk.path is None else disk.path.name, info, source, budget, held)


def _disk(
    reader: BlockReader,
    info: DiskInfo,
    folder: Path | None,
    budget: Budget,
    *,
    held: ExitStack,
    packaged: PackagedDisk | None = None,
) -> DiskSource:
    match info.format:
        case "vmdk-stream" | "vmdk-sparse":
            if info.create_type in {"seSparse", "vmfsSparse"}:
                raise difference(f"a {info.create_type} disk is a snapshot's difference")
            sparse = VmdkReader(reader)
            sparse.check_tables()
            return sparse
        case "vmdk-descriptor":
            return open_flat(reader, info, folder, budget, held)
        case "vhd":
            return VhdReader(reader)
        case "vhdx":
            return VhdxReader(reader)
        case "raw":
            return _Raw(reader)
        case "ova":
            raise DiskFormatError(
                ErrorKind.INVALID,
                f"{packaged.name if packaged else 'it'} is an archive inside the OVA",
                remedy="Unpack the OVA (tar -xf) and give the archive that is in it",
            )
        case "qcow2" | "vdi" if packaged is not None and packaged.path is None:
            raise DiskFormatError(
                ErrorKind.INVALID,
                f"its disk {packaged.name} is a {info.format.upper()} image, which is not read inside an archive",
                remedy="Unpack the archive (tar -xf) and give its .ovf file",
            )
    raise DiskFormatError(
        ErrorKind.INVALID,
        f"VM import does not take {info.format.upper()} images",
        remedy="Convert it to a streamOptimized VMDK, VHD, VHDX or RAW image",
        **documented("E01"),
    )
