"""Sources that are no VM of vCenter: disk image files, objects in S3 and EBS snapshots.

Each is described as a `Machine`, so that every rule can judge it. A preflight of a few MiB shows what the disks hold;
an OVF adds the hardware that it describes.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from vmie_tui.model.errors import ErrorKind, ServiceError
from vmie_tui.model.guest import GuestFacts, NotInspected
from vmie_tui.model.machine import Disk, Firmware, Machine
from vmie_tui.model.plan import FileSource, ObjectSource, Route, SnapshotSource, Source
from vmie_tui.model.preflight import Preflight, guest_names
from vmie_tui.model.rules.routes import image_format
from vmie_tui.services.aws.ebs.snapshot_reader import SnapshotReader
from vmie_tui.services.aws.ec2.images import describe_snapshots as read_snapshots
from vmie_tui.services.aws.errors import aws_call
from vmie_tui.services.aws.s3.range_reader import S3Object
from vmie_tui.services.aws.session import Aws
from vmie_tui.services.disks.convert_source import QEMU_READS, no_limit, open_every, probe_file
from vmie_tui.services.disks.formats import qemu
from vmie_tui.services.disks.formats.open_disk import OpenDisk, open_disks, open_file, open_raw
from vmie_tui.services.disks.formats.ovf import HEAD, Ovf, is_ovf
from vmie_tui.services.disks.formats.ovf_package import MAX_DISKS, Package, PackagedDisk, open_archive, open_folder
from vmie_tui.services.disks.formats.probe import DiskInfo, probe
from vmie_tui.services.disks.sandbox.client import OPENING, UnfinishedError, in_child, tried
from vmie_tui.services.disks.streams.pieces import Progress
from vmie_tui.services.disks.streams.ranges import BlockReader, Metered
from vmie_tui.services.disks.streams.read_ahead import ReadAhead
from vmie_tui.services.disks.streams.source import ByteReader, DiskSource
from vmie_tui.services.preflight import CONTENT, look_into

S3 = "s3://"
SUFFIXES = frozenset({".vmdk", ".vhd", ".vhdx", ".raw", ".img", ".ova", ".ovf", ".qcow2", ".vdi"})
BY_QEMU = "only qemu-img reads it; its content is seen when it is imported"
_PROVEN_AT_ONCE = 16 << 20  # bytes of files on this machine


@dataclass(frozen=True, slots=True)
class Described:
    """A source, as the rules see it."""

    source: Source
    machine: Machine
    preflight: Preflight | None = None  # None when nobody was to look into the disks


@dataclass(frozen=True, slots=True)
class _Image:
    """A disk as it was found: what it is called, what holds it, and its bytes when they can be looked at."""

    name: str
    kind: str  # as in `Disk.image`
    size: int
    look: OpenDisk | None = None


# -- files


def describe_file(
    paths: Sequence[str | os.PathLike[str]], *, raw: bool = False, look: bool = True, route: Route = Route.IMAGE
) -> Described:
    """Disk images on this machine, the boot disk first; one OVA or OVF stands for a whole machine.

    Raises ServiceError: NOT_FOUND, LOCAL (also QCOW2 and VDI without qemu-img), INVALID for what is no disk image or
    one VM import refuses (with the documented error), CORRUPT for a damaged one.
    """
    files = [Path(path).expanduser().absolute() for path in paths]
    if not files:
        raise ServiceError(ErrorKind.INVALID, "no file was given", remedy="Name a disk image")
    return _finished(lambda look: _describe_files(files, raw, look, route), ", ".join(map(str, files)), look, route)


def _finished(work: Callable[[bool], Described], subject: str, look: bool, route: Route) -> Described:
    """What ``work(look)`` describes; without the content where looking for it went beyond the child's limits."""
    try:
        return work(look)
    except UnfinishedError as error:
        if not look:
            raise error.about(subject) from None
        missed = NotInspected(CONTENT, error.problem.what, disk=True)
    try:
        plain = work(False)
    except UnfinishedError as error:
        raise error.about(subject) from None
    seen = look_into(plain.source, (), lambda _: plain.machine, missed=(missed,), route=route)
    return Described(plain.source, seen.machine or plain.machine, seen)


@in_child()
def _describe_files(files: Sequence[Path], raw: bool, look: bool, route: Route) -> Described:
    name = files[0].stem
    with ExitStack() as held:
        images: list[_Image] = []
        package = Package(Ovf(), ())
        for path in files:
            found, described = _file(path, held, raw=raw)
            if described is not None and len(files) > 1:
                raise ServiceError(
                    ErrorKind.INVALID,
                    "stands for a whole machine, and cannot be one disk of several",
                    subject=str(path),
                    remedy="Import it by itself",
                )
            package = described or package
            images += found
        source = FileSource(name, tuple(str(path) for path in files), raw)
        return _described(source, images, package, look=look, route=route)


def _file(path: Path, held: ExitStack, *, raw: bool) -> tuple[list[_Image], Package | None]:
    """The disks of one file; with its package, when it is an OVA or OVF. A small one is proven by its manifest."""
    if raw:
        file = held.enter_context(open_file(path))
        if not file.size:
            raise ServiceError(ErrorKind.INVALID, "the file is empty", subject=str(path), remedy="Give a disk image")
        return [_image(open_raw(file, name=path.name))], None
    with open_file(path) as file:
        if is_ovf(file.read_at(0, HEAD)):
            package = _prove_small(open_folder(path, file, held), path)
            return [image for disk in package.disks for image in _of_folder(disk, path, held)], package
        info = probe_file(path)
        if info.format in QEMU_READS:
            qemu.check(path, info.format, info.parent)
            return [_Image(path.name, info.format, info.capacity or 0)], None
        disks = open_disks(path)
        held.callback(disks[0].close)
        if info.format != "ova":
            return [replace(_image(disks[0]), name=path.name)], None
        package = _prove_small(open_archive(file, info.members), path)
        return [_image(disk) for disk in disks], package


def _of_folder(disk: PackagedDisk, ovf: Path, held: ExitStack) -> list[_Image]:
    """As `_file`, for a file that an OVF names, which may lie about its size."""
    assert disk.path is not None
    try:
        found = _file(disk.path, held, raw=False)[0]
        for image in found:
            disk.believed(image.kind, image.size)
    except ServiceError as error:
        if error.kind is ErrorKind.CORRUPT and disk.resized:
            raise disk.wrong_size().about(str(ovf)) from error
        raise
    return found


def _prove_small(package: Package, path: Path) -> Package:
    """What is read in a moment is compared with its manifest at once; the rest when its bytes are to be moved."""
    if sum(disk.source.size for disk in package.disks) > _PROVEN_AT_ONCE:
        return package.with_proof_left()
    try:
        package.prove()
    except ServiceError as error:
        raise error.about(str(path)) from error.__cause__
    return package


def _image(disk: OpenDisk) -> _Image:
    return _Image(disk.name, f"{disk.info.format} {disk.info.create_type}".strip(), disk.size, disk)


# -- objects in S3


def describe_object(
    aws: Aws,
    bucket: str,
    keys: Sequence[str] | str,
    *,
    region: str | None = None,
    look: bool = True,
    route: Route = Route.IMAGE,
) -> Described:
    """Disk images in S3, the boot disk first; a text for ``keys`` is a prefix whose disk images are meant, by name.

    Raises ServiceError: NOT_FOUND, PERMISSION, LOGIN, NETWORK, and as `describe_file`; INVALID also for objects of
    different formats, which ImportImage could take but one plan cannot name.
    """
    names = _under(aws, bucket, keys, region) if isinstance(keys, str) else list(keys)
    if not names:
        where = keys if isinstance(keys, str) else ""
        raise ServiceError(
            ErrorKind.NOT_FOUND, "there is no disk image", subject=f"{S3}{bucket}/{where}", remedy="Check the prefix"
        )
    things = [Metered(S3Object(aws, bucket, key, region=region), MAX_DISKS + 1) for key in names]
    where = ", ".join(f"{S3}{bucket}/{key}" for key in names)
    return _finished(lambda look: _describe_objects(bucket, names, things, look, route), where, look, route)


@in_child()
def _describe_objects(
    bucket: str, names: Sequence[str], things: Sequence[ByteReader], look: bool, route: Route
) -> Described:
    with ExitStack() as held:
        images: list[_Image] = []
        formats: dict[str, str] = {}
        package = Package(Ovf(), ())
        for key, thing in zip(names, things, strict=True):
            reader = BlockReader(thing)
            try:
                info = probe(reader.read_at, reader.size, key)
                if info.format in QEMU_READS:
                    qemu.check_header(reader, info.format, info.parent)
            except ServiceError as error:
                raise error.about(f"{S3}{bucket}/{key}") from error.__cause__
            formats.setdefault(image_format(info.format), key)
            if info.format in QEMU_READS:
                images.append(_Image(PurePosixPath(key).name, info.format, info.capacity or 0))
                continue
            disks = open_disks(thing, name=f"{S3}{bucket}/{key}")
            held.callback(disks[0].close)
            if info.format == "ova":
                package = open_archive(reader, info.members)
                images += [_image(disk) for disk in disks]
            else:
                images.append(replace(_image(disks[0]), name=PurePosixPath(key).name))
        if len(formats) > 1 or (len(names) > 1 and "OVA" in formats):
            raise ServiceError(
                ErrorKind.INVALID,
                f"these are images of different kinds: {', '.join(formats)}"
                if len(formats) > 1
                else "an OVA is a machine, and cannot be one disk of several",
                subject=", ".join(f"{S3}{bucket}/{key}" for key in formats.values()),
                remedy="Import them one by one",
            )
        stem = PurePosixPath(names[0]).stem
        source = ObjectSource(stem, bucket, tuple(names), next(iter(formats)))
        return _described(source, images, package, look=look, route=route)


def _under(aws: Aws, bucket: str, prefix: str, region: str | None) -> list[str]:
    with aws_call("list the objects", f"{S3}{bucket}/{prefix}"):
        pages = aws.client("s3", region).get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix)
        keys = [str(item["Key"]) for page in pages for item in page.get("Contents", ())]
    return sorted(key for key in keys if PurePosixPath(key).suffix.lower() in SUFFIXES - {".ovf"})


# -- EBS snapshots


def describe_snapshots(
    aws: Aws, region: str | None, ids: Sequence[str], *, look: bool = True, route: Route = Route.IMAGE_DIRECT
) -> Described:
    """EBS snapshots of one machine, its boot disk's first.

    Raises ServiceError: NOT_FOUND, PERMISSION, LOGIN, NETWORK; CONFLICT for a snapshot that is not completed. One whose
    blocks may not be read is described without its content.
    """
    found = read_snapshots(aws, region, ids)
    for snapshot in found:
        if snapshot.state != "completed":
            raise ServiceError(
                ErrorKind.CONFLICT,
                f"the snapshot is {snapshot.state}",
                subject=snapshot.id,
                remedy="Wait until it is completed" if snapshot.state == "pending" else "Choose another snapshot",
                retry_safe=snapshot.state == "pending",
            )
    source = SnapshotSource(found[0].tags.get("Name") or found[0].id, tuple(snapshot.id for snapshot in found))
    readers: dict[str, ByteReader] = {}
    missed: list[NotInspected] = []
    sizes = [snapshot.size_gib << 30 for snapshot in found]
    with ExitStack() as held:
        for snapshot in found if look else ():
            try:
                readers[snapshot.id] = Metered(held.enter_context(SnapshotReader(aws, region, snapshot.id)))
            except ServiceError as error:
                if error.kind is not ErrorKind.PERMISSION:
                    raise
                missed.append(NotInspected(snapshot.id, error.problem.what, disk=True))
        return _finished(
            lambda look: _describe_readers(source, sizes, readers if look else None, missed, route),
            source.where,
            look,
            route,
        )


@in_child()
def _describe_readers(
    source: SnapshotSource,
    sizes: Sequence[int],
    readers: Mapping[str, ByteReader] | None,
    missed: Sequence[NotInspected],
    route: Route,
) -> Described:
    """``readers``: of those snapshots that may be read, by their ids; None when nobody is to look into them."""
    images = [
        _Image(ident, "raw", size, open_raw(readers[ident], name=ident) if readers and ident in readers else None)
        for ident, size in zip(source.snapshot_ids, sizes, strict=True)
    ]
    return _described(source, images, Package(Ovf(), ()), look=readers is not None, route=route, missed=missed)


# -- what they have in common


def _described(
    source: Source,
    images: Sequence[_Image],
    package: Package,
    *,
    look: bool,
    route: Route,
    missed: Sequence[NotInspected] = (),
) -> Described:
    ovf = package.ovf
    machine = Machine(
        moid=source.where,
        name=source.name,
        guest_id=ovf.guest_id,
        guest_name=ovf.guest_name,
        firmware=ovf.firmware or Firmware.BIOS,
        secure_boot=ovf.secure_boot,
        cpus=ovf.cpus,
        memory_mib=ovf.memory_mib,
        disks=tuple(
            Disk(number, image.name, image.size, file_name=image.name, image=image.kind)
            for number, image in enumerate(images, 1)
        ),
        nics=ovf.nics,
    )
    if not look:
        return Described(source, machine)
    unread = (NotInspected(image.name, BY_QEMU, disk=True) for image in images if image.kind in QEMU_READS)
    seen = look_into(
        source,
        [image.look for image in images if image.look is not None],
        lambda guest: _with_guest(machine, guest, ovf),
        missed=(*missed, *unread),
        route=route,
        firmware=ovf.firmware,
        whole=len(images) > 1 or ovf != Ovf(),
        remarks=package.remarks,
    )
    return Described(source, seen.machine or machine, seen)


def _with_guest(machine: Machine, guest: GuestFacts | None, ovf: Ovf) -> Machine:
    """The machine with what its disks show: the system's name, and how it boots where no OVF says it."""
    if guest is None:
        return machine
    guest_id, name = guest_names(guest)
    by_uefi = guest.esp and not any(disk.bios_boot for disk in guest.disks)
    return replace(
        machine,
        guest_id=machine.guest_id or guest_id,
        tools_guest_name=name,
        firmware=ovf.firmware or (Firmware.UEFI if by_uefi else Firmware.BIOS),
    )


# -- all of the bytes


class SourceDisk(NamedTuple):
    """A disk to read all of; in the order of the described machine's disks, and named like them."""

    name: str
    source: DiskSource
    info: DiskInfo


@contextmanager
def open_source_disks(
    source: Source,
    aws: Aws | None = None,
    region: str | None = None,
    *,
    scratch: Path | None = None,
    progress: Progress = lambda done, total: None,
    proven: bool = False,
) -> Iterator[list[SourceDisk]]:
    """Every disk of files, objects or EBS snapshots, to be read from front to back; closed with the context.

    ``scratch``: where RAW copies of QCOW2 and VDI images lie meanwhile, which only qemu-img reads; ``progress(done,
    total)`` hears of their making, and while a manifest's digests are compared, which is left out for what is
    ``proven`` already. Objects and snapshots need ``aws``. Raises as the describing functions, and
    TypeError for a virtual machine, whose disks come by an export lease.
    """
    with ExitStack() as held:
        if isinstance(source, FileSource):
            beside = (scratch or Path(tempfile.gettempdir())) / "vmie-tui"  # the copies are named like it
            opened = [
                each
                for path in source.paths
                for each in open_every(
                    Path(path), held, raw=source.raw, beside=beside, progress=progress, proven=proven
                )
            ]
            yield [SourceDisk(each.name, each.source, each.info) for each in opened]
        elif aws is None or not isinstance(source, ObjectSource | SnapshotSource):
            raise TypeError(f"the disks of {source.where} cannot be opened like this")
        elif isinstance(source, ObjectSource):
            readers = [
                (held.enter_context(_object(aws, source.bucket, key, region)), f"{S3}{source.bucket}/{key}")
                for key in source.keys
            ]
            found = (_open_object(reader, name, held, progress=progress, proven=proven) for reader, name in readers)
            yield [disk for each in found for disk in each]
        else:
            yield [_open_snapshot(aws, region, ident, held) for ident in source.snapshot_ids]


def _object(aws: Aws, bucket: str, key: str, region: str | None) -> ReadAhead:
    return ReadAhead(S3Object(aws, bucket, key, region=region))


def _open_object(
    reader: ByteReader, name: str, held: ExitStack, *, progress: Progress, proven: bool
) -> list[SourceDisk]:
    """The disks in one object, which is read by ``reader``."""
    try:
        tried(lambda: _try_to_open(reader, name))
    except UnfinishedError as error:
        raise error.about(name) from None
    disks = open_disks(reader, no_limit, name=name)
    held.callback(disks[0].close)
    info = probe(reader.read_at, reader.size)
    if info.format != "ova":
        return [SourceDisk(PurePosixPath(name).name, disks[0], disks[0].info)]
    if not proven:
        try:
            open_archive(reader, info.members).prove(lambda: progress(0, reader.size))
        except ServiceError as error:
            raise error.about(name) from error.__cause__
    return [SourceDisk(disk.name, disk, disk.info) for disk in disks]


@in_child(OPENING)
def _try_to_open(reader: ByteReader, name: str) -> None:
    """Open an object's disks and close them again, before they are opened in this process."""
    open_disks(reader, no_limit, name=name)[0].close()
    info = probe(reader.read_at, reader.size)
    if info.format == "ova":
        open_archive(reader, info.members)


def _open_snapshot(aws: Aws, region: str | None, ident: str, held: ExitStack) -> SourceDisk:
    reader = held.enter_context(SnapshotReader(aws, region, ident))
    return SourceDisk(ident, reader, DiskInfo("raw", reader.size))
