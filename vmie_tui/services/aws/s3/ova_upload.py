"""Streams an OVA to S3 without a local copy: parts whose bytes are not known yet are uploaded later.

The OVF names the size of every disk, and each disk's tar header its own; both stand in front of streams of which
nobody knows the length. So the part with the OVF waits in memory until the last disk has ended, and the part with a
disk's header until that disk has: at most two parts at a time, as small as S3 takes them (5 MiB). All others go up as
they fill.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import PurePosixPath

from vmie_tui.model.errors import ErrorKind, ServiceError
from vmie_tui.model.machine import Machine
from vmie_tui.services.aws.s3.multipart import SMALLEST_PART
from vmie_tui.services.aws.s3.objects import ObjectStore
from vmie_tui.services.aws.s3.resumable_upload import OpenPart, Uploaded, Uploader, UploadRequest
from vmie_tui.services.disks.feeds.disk_feed import Feed
from vmie_tui.services.disks.formats.ova import BLOCK, OvaMember
from vmie_tui.services.disks.formats.ova_write import ova_end, tar_header
from vmie_tui.services.disks.formats.ovf_write import Hardware, OvfDisk, make_ovf, member_name, ovf_room
from vmie_tui.services.transfer_control import TransferControl

_ROOM = 1 << 20  # more than descriptor, headers and manifest need


@dataclass(frozen=True, slots=True)
class OvaDisk:
    """A disk to put in. ``capacity``: its bytes; ``size_hint``: bytes of its stream at most, as well as known.

    ``open`` gives the streamOptimized VMDK; it is called when the disk's turn comes, once for each attempt.
    ``controller`` reads like ``scsi0:0``; empty: the machine's own if it has the same disks, else the next free place.
    """

    name: str
    capacity: int
    size_hint: int
    open: Callable[[], Feed]
    controller: str = ""


@dataclass(frozen=True, slots=True)
class OvaRequest:
    """Where the archive goes and what is in it. The other fields are those of `UploadRequest`."""

    bucket: str
    key: str
    machine: Machine
    disks: Sequence[OvaDisk]
    tags: Mapping[str, str] = field(default_factory=dict)
    metadata: Mapping[str, str] = field(default_factory=dict)
    upload_id: str | None = None


@dataclass(frozen=True, slots=True)
class OvaUploaded(Uploaded):
    """A finished archive; ``members``: where its disks lie in it, in order."""

    members: tuple[OvaMember, ...] = ()


class OvaUpload:
    """Writes OVAs into the buckets of ``store``."""

    def __init__(self, store: ObjectStore) -> None:
        self._store = store

    def upload(self, request: OvaRequest, *, control: TransferControl) -> OvaUploaded:
        """Write the archive, going on with an unfinished upload of the same key: parts that are equal are not sent.

        Stops and fails as `ObjectStore.upload` does, and what the feeds raise comes out. Raises ServiceError INVALID
        for an archive without disks or with two of the same name.
        """
        disks = _described(request)
        members: list[OvaMember] = []
        uploaded = self._store.transfer(
            UploadRequest(
                request.bucket,
                request.key,
                sum(disk.size_hint for disk in request.disks) + _ROOM,
                content_type="application/x-tar",
                tags=request.tags,
                metadata=request.metadata,
                upload_id=request.upload_id,
            ),
            lambda uploader: members.extend(_write(_Archive(uploader), request, disks)),
            control=control,
        )
        return OvaUploaded(**asdict(uploaded), members=tuple(members))


def _described(request: OvaRequest) -> list[OvfDisk]:
    own = request.machine.disks
    same = [disk.capacity for disk in own] == [disk.capacity for disk in request.disks]
    disks = [
        OvfDisk(
            member_name(disk.name), disk.capacity, controller=disk.controller or (own[at].controller if same else "")
        )
        for at, disk in enumerate(request.disks)
    ]
    if not disks or len({disk.file for disk in disks}) < len(disks):
        raise ServiceError(
            ErrorKind.INVALID,
            "two disks have the same name" if disks else "the archive has no disk",
            subject=f"s3://{request.bucket}/{request.key}",
            remedy="Give each disk a name of its own" if disks else "Choose at least one disk",
        )
    return disks


def _write(archive: _Archive, request: OvaRequest, disks: Sequence[OvfDisk]) -> list[OvaMember]:
    """Writes the whole archive through ``archive``; returns where the disks are."""
    name, hardware = request.machine.name, Hardware.of(request.machine)
    base = member_name(PurePosixPath(request.key).stem)
    room = ovf_room(name, disks, hardware)
    front = archive.reserve(BLOCK + room)
    members: list[OvaMember] = []
    hashes: dict[str, str] = {}
    for described, disk in zip(disks, request.disks, strict=True):
        header = archive.reserve(BLOCK)
        start = archive.size
        with disk.open() as feed:
            size = archive.pour(feed.fill)
            hashes[described.file] = feed.sha256
        archive.write(bytes(-size % BLOCK))
        archive.settle(header, tar_header(described.file, size))
        members.append(OvaMember(described.file, start, size))
    sized = [
        OvfDisk(disk.file, disk.capacity, member.size, disk.controller)
        for disk, member in zip(disks, members, strict=True)
    ]
    ovf = make_ovf(name, sized, hardware=hardware).ljust(room, b"\n")
    archive.settle(front, tar_header(f"{base}.ovf", room) + ovf)
    archive.write(ova_end(f"{base}.mf", {f"{base}.ovf": hashlib.sha256(ovf).hexdigest(), **hashes}))
    archive.finish()
    return members


@dataclass(frozen=True, slots=True)
class _Place:
    """Bytes of a part that are not known yet: ``length`` of them from ``at``."""

    part: OpenPart
    at: int
    length: int


class _Archive:
    """A sequence of bytes with places that are filled in later, over the parts of one upload.

    Everything in a tar begins at a multiple of 512 bytes, and so does every part: a place never crosses two parts. A
    part that is not held is never kept open while another one is asked for, which is what the memory budget wants.
    """

    def __init__(self, uploader: Uploader) -> None:
        self._uploader = uploader
        self._part_size = uploader.part_size // BLOCK * BLOCK
        self._part: OpenPart | None = None
        self._places: list[_Place] = []  # not settled
        self.size = 0  # bytes so far

    def _current(self) -> OpenPart:
        if self._part is None:
            self._part = self._uploader.begin()
            self._part.limit = self._part_size
        return self._part

    def _close(self) -> None:
        """Sends the current part; one with an open place is held instead."""
        part, self._part = self._part, None
        if part is None:
            return
        if any(place.part is part for place in self._places):
            self._uploader.hold(part)
        else:
            self._uploader.send(part)

    def reserve(self, length: int) -> _Place:
        """Reserves a place, in the smallest possible part because that part has to wait."""
        if self._part is not None and self._part.length >= SMALLEST_PART:
            self._close()
        part = self._current()
        place = _Place(part, part.length, length)
        self._places.append(place)
        part.put(bytes(length))
        part.limit = max(part.length, min(part.limit, SMALLEST_PART))
        self.size += length
        if part.full:
            self._close()
        return place

    def settle(self, place: _Place, data: bytes) -> None:
        """Fill a place. Its part goes up when it was held for this place only."""
        if len(data) != place.length:
            raise ValueError(f"{len(data)} bytes for a place of {place.length}")
        part = place.part
        part.buffer[place.at : place.at + place.length] = data
        self._places.remove(place)
        if part is not self._part and not any(other.part is part for other in self._places):
            self._uploader.unhold(part)
            self._uploader.send(part)

    def write(self, data: bytes) -> None:
        """Appends known bytes."""
        view = memoryview(data)
        while view:
            part = self._current()
            step = min(len(view), part.limit - part.length)
            part.put(view[:step])
            self.size += step
            view = view[step:]
            if part.full:
                self._close()

    def pour(self, fill: Callable[[memoryview], int]) -> int:
        """Appends everything a feed supplies; returns the number of bytes."""
        before, more = self.size, True
        while more:
            part = self._current()
            start = part.length
            more = self._uploader.fill(part, fill)
            self.size += part.length - start
            if part.full:
                self._close()
        return self.size - before

    def finish(self) -> None:
        """Send what is left."""
        self._close()
        self._uploader.finish()
