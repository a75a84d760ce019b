"""What VM Import does with a disk image: recognises the format, checks it, decodes it, looks for an OS."""

from __future__ import annotations

import os
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol
from xml.etree import ElementTree as ET

from vmie_tui.model import facts
from vmie_tui.services.disks.errors import DiskFormatError
from vmie_tui.services.disks.formats.probe import DiskInfo, probe
from vmie_tui.services.disks.formats.vhdx_read import VhdxReader
from vmie_tui.services.disks.formats.vmdk_stream import StreamDecoder

SECTOR = 512
ZERO_STEP = 1 << 16
_ZEROS = bytes(ZERO_STEP)


class Image(Protocol):
    """The bytes of a disk image, wherever they are stored."""

    @property
    def size(self) -> int: ...

    def pieces(self, offset: int, length: int) -> Iterator[bytes]: ...

    def read_at(self, offset: int, length: int) -> bytes: ...


class CheckFailed(Exception):
    """Fails the import with this StatusMessage."""


class Stopped(Exception):
    """The task was cancelled while its disk was being read."""


@dataclass(frozen=True, slots=True)
class Volume:
    """One disk to decode: the bytes ``offset``..``offset + length`` of an object. ``capacity``: bytes of the disk."""

    format: str  # vmdk | raw | vhd-fixed | vhd-dynamic | vhdx
    offset: int
    length: int
    capacity: int

    @property
    def size_gib(self) -> int:
        return max(1, -(-self.capacity // facts.GIB))


def _fact(ident: str) -> CheckFailed:
    return CheckFailed(str(facts.error(ident)["message"]))


def _validation(reason: str) -> CheckFailed:
    return CheckFailed(f"ClientError: Disk validation failed [{reason}]")


class _Window:
    """Part of an object, read like a whole file."""

    def __init__(self, reader: Image, offset: int, size: int) -> None:
        self._reader, self.offset, self.size = reader, offset, size

    def read_at(self, offset: int, length: int) -> bytes:
        return self._reader.read_at(self.offset + offset, max(0, min(length, self.size - offset)))


def inspect(reader: Image, declared: str, max_tib: int) -> list[Volume]:
    """The disks in an object of the declared format (OVA, VMDK, RAW, VHD, VHDX); raises CheckFailed with AWS's text."""
    if not reader.size:
        raise _validation("The disk image is empty")
    if declared == "RAW":
        volumes = [Volume("raw", 0, reader.size, reader.size)]
    elif declared == "VMDK":
        volumes = [_vmdk(_probe(reader.read_at, reader.size, "E04"), 0, reader.size)]
    elif declared == "VHD":
        volumes = [_vhd(_probe(reader.read_at, reader.size, "E09"), 0, reader.size, reader.read_at)]
    elif declared == "VHDX":
        volumes = [_vhdx(_Window(reader, 0, reader.size))]
    elif declared == "OVA":
        volumes = _ova(reader)
    else:
        raise _validation(f"{declared} is a format this simulation of VM import cannot decode")
    for volume in volumes:
        if volume.capacity >= max_tib * facts.TIB:
            raise _validation(f"The disk is larger than the supported maximum of {max_tib} TiB")
    return volumes


def _probe(read_at: Callable[[int, int], bytes], size: int, fact: str) -> DiskInfo:
    try:
        return probe(read_at, size)
    except DiskFormatError as error:
        raise _fact(fact) from error


def _vmdk(info: DiskInfo, offset: int, length: int) -> Volume:
    if info.format != "vmdk-stream" or info.parent or not info.capacity:
        raise _fact("E04")
    return Volume("vmdk", offset, length, info.capacity)


def _vhd(info: DiskInfo, offset: int, length: int, read_at: Callable[[int, int], bytes]) -> Volume:
    if info.format != "vhd" or not info.capacity or info.create_type not in {"fixed", "dynamic"}:
        raise _fact("E09")
    if info.create_type == "dynamic" and read_at(0, SECTOR) != read_at(length - SECTOR, SECTOR):
        raise _fact("E09")
    return Volume(f"vhd-{info.create_type}", offset, length, info.capacity)


def _vhdx(window: _Window) -> Volume:
    """Fixed and dynamic ones; the guides print no error of their own for a damaged or differencing VHDX."""
    try:
        if probe(window.read_at, window.size).format != "vhdx":
            raise _validation("Unsupported VHDX File Format")
        return Volume("vhdx", window.offset, window.size, VhdxReader(window).size)
    except DiskFormatError as error:
        raise _validation("Unsupported VHDX File Format") from error


def _ova(reader: Image) -> list[Volume]:
    try:
        info = probe(reader.read_at, reader.size)
    except DiskFormatError as error:
        raise _validation("Unsupported OVA format") from error
    if info.format != "ova" or not info.ovf_first:
        raise _validation("Unsupported OVA format")
    members = {member.name: member for member in info.members}
    if any(member.chunk for member in info.members):
        raise _fact("E03")
    descriptor = info.members[0]
    volumes = []
    for name in _ovf_disks(reader.read_at(descriptor.offset, descriptor.size)):
        member = members.get(name)
        if member is None:
            raise _validation(f"OVF file parsing error: the file {name} is not in the OVA")
        window = _Window(reader, member.offset, member.size)
        found = _probe(window.read_at, window.size, "E04")
        if found.format == "vhd":
            volumes.append(_vhd(found, member.offset, member.size, window.read_at))
        elif found.format == "vhdx":
            volumes.append(_vhdx(window))
        else:
            volumes.append(_vmdk(found, member.offset, member.size))
    most = facts.limit("import", "max_volumes_per_vm")["value"]
    if not volumes or len(volumes) > most:
        raise _validation(f"OVF file parsing error: {len(volumes)} disks, 1 to {most} are supported")
    return volumes


def _ovf_disks(text: bytes) -> list[str]:
    """The names of the disk files an OVF refers to, in the order of its DiskSection."""
    try:
        root = ET.fromstring(text)  # noqa: S314 - made by the program under test
    except ET.ParseError as error:
        raise _validation("OVF file parsing error") from error

    def attribute(node: ET.Element, name: str) -> str:
        return next((value for key, value in node.attrib.items() if key.rpartition("}")[2] == name), "")

    files: dict[str, str] = {}
    for node in root.findall(".//{*}References/{*}File"):
        if attribute(node, "chunkSize"):
            raise _fact("E03")
        files[attribute(node, "id")] = attribute(node, "href")
    wanted = [attribute(node, "fileRef") for node in root.findall(".//{*}DiskSection/{*}Disk")]
    return [files[ref] for ref in wanted if ref in files]


def decode(reader: Image, volume: Volume, target: Path, stopped: Callable[[], bool]) -> None:
    """Write the disk's content into ``target``, a sparse file that is large enough; raises CheckFailed or Stopped."""
    descriptor = os.open(target, os.O_WRONLY)

    def write(offset: int, data: bytes | memoryview) -> None:
        for start in range(0, len(data), ZERO_STEP):
            step = data[start : start + ZERO_STEP]
            if step != _ZEROS[: len(step)]:
                os.pwrite(descriptor, step, offset + start)

    def pieces(offset: int, length: int) -> Iterator[bytes]:
        for piece in reader.pieces(offset, length):
            if stopped():
                raise Stopped
            yield piece

    try:
        if volume.format == "vmdk":
            _decode_vmdk(pieces(volume.offset, volume.length), write)
        elif volume.format == "vhd-dynamic":
            _decode_dynamic(_Window(reader, volume.offset, volume.length), volume.capacity, write, stopped)
        elif volume.format == "vhdx":
            _decode_vhdx(_Window(reader, volume.offset, volume.length), write, stopped)
        else:
            at = 0
            for piece in pieces(volume.offset, volume.capacity):
                write(at, piece)
                at += len(piece)
    finally:
        os.close(descriptor)


def _decode_vmdk(pieces: Iterator[bytes], write: Callable[[int, memoryview], None]) -> None:
    decoder = StreamDecoder(write)
    try:
        for piece in pieces:
            decoder.feed(piece)
        decoder.finish()
    except DiskFormatError as error:
        known = error.problem.detail
        raise CheckFailed(known if known.startswith("ClientError") else str(facts.error("E10")["message"])) from error


def _decode_dynamic(
    source: _Window, capacity: int, write: Callable[[int, bytes], None], stopped: Callable[[], bool]
) -> None:
    footer = source.read_at(0, SECTOR)
    header = source.read_at(struct.unpack_from(">Q", footer, 16)[0], 1024)
    if header[:8] != b"cxsparse":
        raise _fact("E09")
    (table_at,), (entries, block) = struct.unpack_from(">Q", header, 16), struct.unpack_from(">II", header, 28)
    if not block or entries * block < capacity or table_at + 4 * entries > source.size:
        raise _fact("E09")
    table = struct.unpack(f">{entries}I", source.read_at(table_at, 4 * entries))
    bitmap = -(-(block // SECTOR) // (8 * SECTOR)) * SECTOR
    for index, sector in enumerate(table):
        if stopped():
            raise Stopped
        if sector != 0xFFFFFFFF:
            length = min(block, capacity - index * block)
            data = source.read_at(sector * SECTOR + bitmap, length)
            if len(data) != length:
                raise _fact("E09")
            write(index * block, data)


def _decode_vhdx(source: _Window, write: Callable[[int, bytes], None], stopped: Callable[[], bool]) -> None:
    try:
        disk = VhdxReader(source)
        for start, length in disk.extents():
            if stopped():
                raise Stopped
            write(start, disk.read_at(start, length))
    except DiskFormatError as error:
        raise _validation("Unsupported VHDX File Format") from error
