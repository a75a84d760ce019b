"""An OVF package (DSP0243): a descriptor, its disks and perhaps a manifest, loose in a folder or packed as an OVA.

Whatever is said of one is said of the other, as both are only files with names.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from urllib.parse import unquote

from vmie_tui.model.errors import ErrorKind, ServiceError
from vmie_tui.model.finding import Finding, Severity
from vmie_tui.model.formatting import size as size_words
from vmie_tui.services.disks.errors import DiskFormatError
from vmie_tui.services.disks.formats.ova import BLOCK, OvaMember, is_tar
from vmie_tui.services.disks.formats.ovf import DISK_NAMES, HEAD, MAX_OVF, Ovf, OvfDisk, chunked, is_ovf, parse_ovf
from vmie_tui.services.disks.formats.ovf_manifest import MAX_MANIFEST, Digest, Manifest, plain_name
from vmie_tui.services.disks.streams.ranges import Slice
from vmie_tui.services.disks.streams.source import ByteReader, RawFile

MAX_DISKS = 64  # of a machine
_MOST_NAMES = 10_000  # of a folder that are looked through for one in other letters


@dataclass(frozen=True, slots=True)
class PackagedDisk:
    """A disk's file, open."""

    name: str  # in the folder or archive
    source: ByteReader
    said: OvfDisk
    path: Path | None = None  # None in an archive
    digest: Digest | None = None  # what the manifest says; None without a manifest

    @property
    def resized(self) -> bool:
        """Whether the file has another size than the OVF says."""
        return self.said.size not in {None, self.source.size}

    def wrong_size(self) -> DiskFormatError:
        """For a disk whose bytes do not prove by themselves that it is whole."""
        return DiskFormatError(
            ErrorKind.CORRUPT,
            f"the OVF says {self.name} has {self.said.size} bytes, the file has {self.source.size}",
            remedy="Copy it again, or export it again",
        )

    def believed(self, kind: str, capacity: int | None) -> None:
        """Raise CORRUPT for a RAW disk of another size than the OVF says: nothing in it shows whether it is whole.

        A disk of its capacity, or one that the manifest proves, is. ``kind``: as `probe` says.
        """
        if self.resized and kind == "raw" and self.digest is None and self.said.capacity != capacity:
            raise self.wrong_size()


@dataclass(frozen=True, slots=True)
class Package:
    """An OVF with the files it names."""

    ovf: Ovf
    disks: tuple[PackagedDisk, ...]  # boot disk first
    remarks: tuple[Finding, ...] = ()  # what is not as it should be, and no reason to refuse it
    manifest: Manifest | None = None
    plain: bool = False  # an archive that a stricter reader understands as well

    def with_proof_left(self) -> Package:
        """With the remark, where there is a manifest, that it is compared later: all is too large for a look."""
        if self.manifest is None:
            return self
        what = (
            f"the disks are compared with the manifest {self.manifest.name} when they are read, before anything is made"
        )
        return replace(self, remarks=(*self.remarks, Finding(Severity.INFO, what, rule="ovf-package")))

    def prove(self, stop: Callable[[], object] = lambda: None) -> None:
        """Read every disk's file and compare it with the manifest, if there is one. ``stop``: as `Manifest.check`.

        Raises ``DiskFormatError`` (CORRUPT) for a file that is another.
        """
        for disk in self.disks:
            if self.manifest is not None and disk.digest is not None:
                self.manifest.check(disk.name, disk.source, disk.digest, stop)


def open_folder(path: Path, file: ByteReader, held: ExitStack) -> Package:
    """The package of the descriptor at ``path``, which is open as ``file``; its disks are closed with ``held``.

    Raises ``DiskFormatError`` that names ``path``: INVALID when it names no disk, one outside its folder, a link, or
    another package; NOT_FOUND with every file that is missing; CORRUPT for a manifest that contradicts it; and as
    `parse_ovf`.
    """
    try:
        text = file.read_at(0, MAX_OVF + 1)
        ovf = parse_ovf(text)
        if not ovf.disks:
            raise DiskFormatError(
                ErrorKind.INVALID, "the OVF names no disk with a file", remedy="Export the VM with its disks"
            )
        return _opened(ovf, text, path.name, _Folder(path, held))
    except ServiceError as error:
        raise error.about(str(path)) from error.__cause__


def open_archive(reader: ByteReader, members: Sequence[OvaMember], image: ByteReader | None = None) -> Package:
    """The package in an OVA: its descriptor and manifest are read from ``reader``, its disks from ``image``.

    Raises ``DiskFormatError``: INVALID for chunked disks (documented error E03), links, sparse or doubtful names, an
    archive without a disk or whose first member is not its OVF; CORRUPT for a file that the OVF names and the archive
    lacks, and as `open_folder`.
    """
    files = _Archive(reader, image or reader, members)
    first = files.descriptor()
    text = reader.read_at(first.offset, min(first.size, MAX_OVF + 1))
    ovf = parse_ovf(text)
    package = _opened(ovf, text, first.name, files)
    named = {disk.name for disk in package.disks}
    left = [member.name for member in files.disks() if member.name not in named]
    known = {plain_name(each) for disk in ovf.others for each in (disk.file, disk.href)}
    remarks = tuple(
        _warning(f"{name} is in the archive, but no disk of the OVF's machine: it is left out", "Check the OVF")
        for name in left[:10]
        if plain_name(name) not in known
    )
    remarks = package.remarks + remarks
    said = all(unquote(disk.said.href) == disk.said.file for disk in package.disks)
    plain = text.startswith(b"<") and said and not remarks and not any(member.odd for member in members)
    return replace(package, remarks=remarks, plain=plain)


def _opened(ovf: Ovf, text: bytes, descriptor: str, files: _Folder | _Archive) -> Package:
    wanted = ovf.disks or files.unnamed(ovf)
    if len(wanted) > MAX_DISKS:
        raise DiskFormatError(
            ErrorKind.INVALID,
            f"the OVF has {len(wanted)} disks, more than {MAX_DISKS}",
            remedy="Export the VM with fewer disks, and the others by themselves",
        )
    for disk in wanted:
        if disk.parent:
            raise DiskFormatError(
                ErrorKind.INVALID,
                f"the OVF's disk {disk.file} is only the difference to its parent {disk.parent}",
                remedy="Consolidate the VM's snapshots and export it again",
            )
    disks, missing = [], []
    for disk in wanted:
        try:
            disks.append(files.open(disk))
        except DiskFormatError as error:
            if error.kind is not ErrorKind.NOT_FOUND:
                raise
            missing.append(disk.file)
    if missing:
        raise files.missing(missing)
    remarks = [_warning(f"{words}", "Check the hardware that is chosen") for words in ovf.doubts[:10]]
    remarks += [
        _warning(
            f"{disk.name} has {disk.source.size} bytes, the OVF says {disk.said.size}",
            "Some exports write a wrong size: go on if the disk is whole",
        )
        for disk in disks
        if disk.resized
    ]
    remarks += [
        _warning(
            f"the machine's disk {label}{f' of {size_words(capacity)}' if capacity else ''} has no file: it is empty, "
            "and is not made",
            "Attach a new volume of its size to the instance",
        )
        for label, capacity in ovf.empty[:10]
    ]
    manifest = files.manifest()
    if manifest is not None:
        disks, more = _listed(manifest, disks, descriptor, text)
        remarks += more
    return Package(ovf, tuple(disks), tuple(remarks), manifest)


def _listed(
    manifest: Manifest, disks: Sequence[PackagedDisk], descriptor: str, text: bytes
) -> tuple[list[PackagedDisk], list[Finding]]:
    """The disks with their digests. The descriptor is compared at once; only its own absence is no reason to refuse."""
    if manifest.empty:
        raise manifest.contradicted(f"the manifest {manifest.name} holds no digest of any file")
    found, remarks = [], []
    own = manifest.digest(descriptor, PurePosixPath(descriptor).name)
    if own is None:
        remarks.append(
            _warning(
                f"the manifest {manifest.name} does not name {descriptor}", "Go on if you trust where it came from"
            )
        )
    else:
        manifest.check(descriptor, _Bytes(text), own)
    for disk in disks:
        digest = manifest.digest(disk.name, disk.said.file, disk.said.href)
        if digest is None:
            raise manifest.contradicted(f"the manifest {manifest.name} does not name {disk.name}")
        found.append(replace(disk, digest=digest))
    odd = {digest.algorithm for digest in (own, *(disk.digest for disk in found)) if digest and not digest.begin()}
    remarks += [
        _warning(
            f"the manifest {manifest.name} has digests of the kind {kind[:40]}, which are not known here: they prove "
            "nothing",
            "Compare them by hand",
        )
        for kind in sorted(odd)[:3]
    ]
    return found, remarks


def _warning(what: str, remedy: str) -> Finding:
    return Finding(Severity.WARNING, what, remedy=remedy, rule="ovf-package")


class _Bytes:
    def __init__(self, data: bytes) -> None:
        self._data = data

    @property
    def size(self) -> int:
        return len(self._data)

    def read_at(self, offset: int, length: int) -> bytes:
        return self._data[offset : offset + length]


class _Folder:
    def __init__(self, path: Path, held: ExitStack) -> None:
        self._path, self._folder, self._held = path, path.parent, held

    def open(self, disk: OvfDisk) -> PackagedDisk:
        file = self._held.enter_context(self._open(disk))
        head = file.read_at(0, HEAD)
        if is_ovf(head) or is_tar(head[:BLOCK]):
            raise DiskFormatError(
                ErrorKind.INVALID,
                f"the OVF names {disk.file}, which is an {'OVF' if is_ovf(head) else 'archive'}",
                remedy="Give a descriptor that names disks",
            )
        return PackagedDisk(file.path.relative_to(self._folder).as_posix(), file, disk, file.path)

    def _open(self, disk: OvfDisk) -> RawFile:
        """By its name, by its name as it stands in the OVF, or by the one file that is called so in other letters."""
        inside = PurePosixPath(disk.file).parent
        names = [PurePosixPath(name).name for name in (disk.file, disk.href)]
        chosen = next((name for name in names if os.path.lexists(self._folder / inside / name)), "")
        if not chosen:
            wanted = {_letters(name) for name in names}
            like = [name for name in _names(self._folder / inside) if _letters(name) in wanted]
            if len(like) != 1:
                raise DiskFormatError(ErrorKind.NOT_FOUND, disk.file)
            chosen = like[0]
        return self._beside(inside / chosen, disk.file)

    def _beside(self, name: PurePosixPath, said: str) -> RawFile:
        """A file of the folder, or of one inside it; neither it nor a folder on the way may be a link."""
        path = self._folder / name
        for at in (path, *path.parents[: len(name.parts) - 1]):
            if at.is_symlink():
                away = "" if at.resolve().is_relative_to(self._folder.resolve()) else " to another directory"
                raise DiskFormatError(
                    ErrorKind.INVALID,
                    f"the OVF names {said}, which is a link{away}",
                    remedy="Put the file itself beside the descriptor",
                )
        if not path.is_file():
            raise DiskFormatError(
                ErrorKind.INVALID, f"the OVF names {said}, which is no file", remedy="Put the disk's file in its place"
            )
        return RawFile(path, beside=True)

    def missing(self, names: Sequence[str]) -> DiskFormatError:
        return DiskFormatError(
            ErrorKind.NOT_FOUND,
            f"the OVF names {', '.join(names)}, which {'is' if len(names) == 1 else 'are'} not beside it",
            remedy="Copy all files of the VM into one directory",
        )

    def unnamed(self, _ovf: Ovf) -> tuple[OvfDisk, ...]:
        return ()

    def manifest(self) -> Manifest | None:
        wanted = _letters(self._path.with_suffix(".mf").name)
        names = [name for name in _names(self._folder) if _letters(name) == wanted]
        exact = self._path.with_suffix(".mf").name
        if not names:
            return None
        name = exact if exact in names else names[0]
        with self._beside(PurePosixPath(name), f"its manifest {name}") as file:
            return Manifest(name, file.read_at(0, MAX_MANIFEST + 1))


def _names(folder: Path) -> list[str]:
    """What lies in a folder, as far as one looks."""
    try:
        with os.scandir(folder) as entries:
            return [entry.name for _, entry in zip(range(_MOST_NAMES), entries, strict=False)]
    except OSError:
        return []


def _letters(name: str) -> str:
    return plain_name(name).casefold()


class _Archive:
    def __init__(self, reader: ByteReader, image: ByteReader, members: Sequence[OvaMember]) -> None:
        self._reader, self._image, self._members = reader, image, members
        self._folder = PurePosixPath()
        self._by_name: dict[str, OvaMember] = {}
        for member in members:
            if member.outside:
                raise DiskFormatError(
                    ErrorKind.INVALID,
                    f"the archive holds {member.name}, whose name leads out of it",
                    remedy="Pack it again from inside the folder of its files",
                )
            if self._by_name.setdefault(plain_name(member.name), member) is not member:
                raise DiskFormatError(
                    ErrorKind.INVALID, f"the archive holds {member.name} twice", remedy="Pack it again"
                )

    def descriptor(self) -> OvaMember:
        """Its first member. Checks what can be said without it, too."""
        if any(member.chunk for member in self._members):
            raise chunked("the OVA's disks are split in chunks")
        found = [member for member in self._members if member.name.lower().endswith(".ovf")]
        if not found and not self.disks():
            raise DiskFormatError(
                ErrorKind.INVALID, "the archive holds no disk", remedy="Give an OVA with its disks inside"
            )
        if not found or found[0] is not self._members[0]:
            raise DiskFormatError(
                ErrorKind.INVALID,
                f"the archive begins with {self._members[0].name}, not with its OVF descriptor",
                remedy="Pack it again, the .ovf file first",
            )
        if len(found) > 1:
            raise DiskFormatError(
                ErrorKind.INVALID,
                f"the archive holds {len(found)} descriptors: {', '.join(each.name for each in found[:5])}",
                remedy="Unpack it and give one of the .ovf files",
            )
        _whole(found[0])
        self._folder = PurePosixPath(found[0].name).parent
        return found[0]

    def disks(self) -> list[OvaMember]:
        """The members that are disks by their names."""
        return [member for member in self._members if member.name.lower().endswith(DISK_NAMES)]

    def open(self, disk: OvfDisk) -> PackagedDisk:
        member = self._find(disk)
        if member is None:
            raise DiskFormatError(ErrorKind.NOT_FOUND, disk.file)
        _whole(member)
        return PackagedDisk(member.name, Slice(self._image, member.offset, member.size), disk)

    def _find(self, disk: OvfDisk) -> OvaMember | None:
        for name in (disk.file, disk.href):
            for inside in (self._folder, PurePosixPath()):
                member = self._by_name.get(plain_name((inside / name).as_posix()))
                if member is not None:
                    return member
        wanted = {_letters((self._folder / name).as_posix()) for name in (disk.file, disk.href)}
        like = [member for name, member in self._by_name.items() if name.casefold() in wanted]
        return like[0] if len(like) == 1 else None

    def missing(self, names: Sequence[str]) -> DiskFormatError:
        what = "it" if len(names) == 1 else "them"
        return DiskFormatError(
            ErrorKind.CORRUPT,
            f"the OVF names {', '.join(names)}, but the archive does not hold {what}",
            remedy="Pack it again with all files of the VM",
        )

    def unnamed(self, ovf: Ovf) -> tuple[OvfDisk, ...]:
        """For an OVF without disks: the members that are disks by their names, as its list of files says of them."""
        if ovf.empty:
            raise DiskFormatError(
                ErrorKind.INVALID, "the OVF names no disk with a file", remedy="Export the VM with its disks"
            )
        said = [disk for disk in ovf.others if disk.file.lower().endswith(DISK_NAMES)]
        places = {member.name: disk for disk in said if (member := self._find(disk)) is not None}
        lost = [disk for disk in said if self._find(disk) is None]
        found = [places.get(member.name, OvfDisk(member.name, href=member.name)) for member in self.disks()]
        if not found and not lost:
            raise DiskFormatError(
                ErrorKind.INVALID, "the archive holds no disk", remedy="Give an OVA with its disks inside"
            )
        return (*lost, *found)

    def manifest(self) -> Manifest | None:
        """The one beside the descriptor, by its name; the only one, where it is called otherwise."""
        found = [member for member in self._members if member.name.lower().endswith(".mf")]
        first = PurePosixPath(self._members[0].name)
        same = [member for member in found if _letters(member.name) == _letters(first.with_suffix(".mf").as_posix())]
        chosen = (same or found)[0] if same or len(found) == 1 else None
        if chosen is None:
            return None
        _whole(chosen)
        return Manifest(chosen.name, self._reader.read_at(chosen.offset, min(chosen.size, MAX_MANIFEST + 1)))


def _whole(member: OvaMember) -> None:
    """Raise INVALID for a member whose bytes are not in the archive as they are."""
    if member.link or member.sparse:
        how = "as a link only" if member.link else "without its holes (tar --sparse)"
        raise DiskFormatError(
            ErrorKind.INVALID,
            f"the archive holds {member.name} {how}",
            remedy="Pack it again: tar --format=ustar --hard-dereference -chf, without -S",
        )
