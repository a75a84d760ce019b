"""Our readers of file systems and registry hives give what libyal gives, for every file of the packed guests."""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyfsext
import pyfsfat
import pyfsntfs
import pyfsxfs
import pyregf
import pytest

from tests.kits.disk_containers import Memory
from tests.kits.guest_files import tree
from vmie_tui.services.disks.guest.filesystems import FileSystem, Kind, Node
from vmie_tui.services.disks.guest.identify import identify, open_volume
from vmie_tui.services.disks.guest.partition_tables import read_table
from vmie_tui.services.disks.guest.regf import Hive, Key
from vmie_tui.services.disks.guest.windows import hibernation
from vmie_tui.services.disks.guest.yal import DamagedError, FileObject
from vmie_tui.services.disks.streams.ranges import Slice
from vmie_tui.services.disks.streams.source import ByteReader, RawFile
from vmie_tui.simulators.fleet import guests

ORACLES = {"ext": pyfsext.volume, "xfs": pyfsxfs.volume, "fat": pyfsfat.volume}


def volumes(disk: RawFile) -> Iterator[tuple[str, Slice]]:
    for part in read_table(disk, 0, identify(disk)).partitions:
        source = Slice(disk, part.offset, part.size)
        yield identify(source), source


def ours(node: Node, path: str = "") -> Iterator[tuple[str, str, str]]:
    """(path, kind, digest of the content or target of the link) of everything below."""
    for name in node.names():
        found = node.child(name)
        assert found is not None, f"{path}/{name}"
        here = f"{path}/{name}"
        if found.kind is Kind.FOLDER:
            yield here, "folder", ""
            yield from ours(found, here)
        elif found.kind is Kind.LINK:
            yield here, "link", found.target()
        else:
            content = b"".join(found.read(at, 30_000) for at in range(0, found.size, 30_000))
            assert len(content) == found.size
            yield here, "file", hashlib.sha256(content).hexdigest()


def theirs(entry: Any, posix: bool, path: str = "") -> Iterator[tuple[str, str, str]]:
    for child in entry.sub_file_entries:
        here = f"{path}/{child.name}"
        kind = child.file_mode & 0xF000 if posix else 0x4000 if child.file_attribute_flags & 0x10 else 0x8000
        if kind == 0x4000:
            yield here, "folder", ""
            yield from theirs(child, posix, here)
        elif kind == 0xA000:
            yield here, "link", child.symbolic_link_target
        else:
            content = child.read_buffer(child.size) if child.size else b""
            yield here, "file", hashlib.sha256(content).hexdigest()


def oracle(kind: str, source: ByteReader) -> set[tuple[str, str, str]]:
    volume = ORACLES[kind]()
    volume.open_file_object(FileObject(source))
    return set(theirs(volume.get_root_directory(), kind != "fat"))


@pytest.mark.parametrize(
    "name", ["debian12-bios", "centos5-i386", "tiny-linux", "rhel9-uefi-xfs", "centos7-bios-xfs", "data-xfs"]
)
def test_every_file_is_read_as_libyal_reads_it(name: str, tmp_path: Path) -> None:
    guests.restore(name, tmp_path / "disk.raw")
    checked = 0
    with RawFile(tmp_path / "disk.raw") as disk:
        for kind, source in volumes(disk):
            if kind in ORACLES:
                found = sorted(ours(open_volume(kind, source).root()))
                assert set(found) == oracle(kind, source)
                assert len(found) == len(set(found))
                checked += len(found)
    assert checked


def opened(disk: RawFile, wanted: str) -> FileSystem:
    return next(open_volume(kind, source) for kind, source in volumes(disk) if kind == wanted)


def keys(key: Key, path: str = "") -> Iterator[tuple[str, tuple[str, ...]]]:
    yield path, tuple(sorted(key.values()))
    for sub in key.subs():
        yield from keys(sub, f"{path}\\{sub.name}")


def oracle_keys(key: Any, path: str = "") -> Iterator[tuple[str, tuple[str, ...]]]:
    yield path, tuple(sorted((value.name or "").lower() for value in key.values))
    for sub in key.sub_keys:
        yield from oracle_keys(sub, f"{path}\\{sub.name}")


@pytest.mark.parametrize("name", ["SYSTEM", "SOFTWARE", "SAM"])
def test_every_key_is_read_as_libregf_reads_it(name: str, tmp_path: Path) -> None:
    guests.restore("ws2016-troubled", tmp_path / "disk.raw")
    with RawFile(tmp_path / "disk.raw") as disk:
        node: Node | None = opened(disk, "ntfs").root()
        for part in ("Windows", "System32", "config", name):
            assert node is not None
            node = node.child(part)
        assert node is not None
        content = node.read(0, node.size)
    hive = Hive(lambda offset, length: content[offset : offset + length])
    root = hive.find("")
    assert root is not None
    reference = pyregf.file()
    reference.open_file_object(FileObject(_Bytes(content)))
    assert list(keys(root)) == list(oracle_keys(reference.get_root_key()))
    assert hive.find("no\\such\\key") is None


class _Bytes:
    def __init__(self, data: bytes) -> None:
        self.size = len(data)
        self.read_at: Callable[[int, int], bytes] = lambda offset, length: data[offset : offset + length]


@pytest.mark.parametrize("name", sorted(guests.index()))
def test_labels_are_those_of_libyal(name: str, tmp_path: Path) -> None:
    path = tmp_path / "disk.raw"
    guests.restore(name, path)
    oracles = {"ntfs": pyfsntfs.volume, "fat": pyfsfat.volume}
    with RawFile(path) as disk:
        for kind, source in volumes(disk):
            if kind in oracles:
                other = oracles[kind]()
                other.open_file_object(FileObject(source))
                label = other.name if kind == "ntfs" else other.label
                assert open_volume(kind, source).label == (label or "").rstrip()


def fat(*, root: bytes, boot: bytes = b"NO NAME    ") -> Memory:
    """FAT16 of 4 MiB whose root directory begins with ``root``."""
    sector = bytearray(512)
    struct.pack_into("<HBHBHHBH", sector, 11, 512, 1, 1, 2, 512, 8192, 0xF8, 32)
    sector[43:54] = boot
    sector[54:62] = b"FAT16   "
    return Memory((bytes(sector) + bytes(64 * 512) + root).ljust(4 << 20, b"\0"))


def entry(name: bytes, flags: int) -> bytes:
    return name.ljust(11) + bytes([flags]) + bytes(20)


@pytest.mark.parametrize(
    ("root", "boot", "label"),
    [
        (entry(b"ESP", 8), b"OTHER      ", "ESP"),
        (b"", b"BOOT ONLY  ", "BOOT ONLY"),
        (b"", b"NO NAME    ", ""),
        (entry(b"FILE", 0x20) + entry(b"MY DISK", 0x28), b"NO NAME    ", "MY DISK"),
        (entry(b"\xe5LD", 8) + entry(b"NEW", 8), b"NO NAME    ", "NEW"),
        (entry(b"AL\0o\0n\0g\0", 0x0F) + entry(b"V", 8), b"NO NAME    ", "V"),
        (bytes(32) + entry(b"BEHIND", 8), b"NO NAME    ", ""),
    ],
)
def test_labels_of_fat(root: bytes, boot: bytes, label: str) -> None:
    assert open_volume("fat", fat(root=root, boot=boot)).label == label


def long_value(size: int, *, count: int | None = None) -> Hive:
    """A hive whose root has one value of ``size`` bytes, spread over cells of 16,344."""
    data = bytes(number % 251 for number in range(size))
    cells = bytearray(bytes(32))

    def cell(content: bytes) -> int:
        at = len(cells)
        room = -(-(len(content) + 4) // 8) * 8
        cells.extend(struct.pack("<i", -room) + content.ljust(room - 4, b"\0"))
        return at

    blocks = [cell(data[at : at + 16344] + bytes(4)) for at in range(0, size, 16344)]
    places = cell(struct.pack(f"<{len(blocks)}I", *blocks))
    record = cell(struct.pack("<2sHI", b"db", len(blocks) if count is None else count, places))
    value = cell(struct.pack("<2sHIIIHH", b"vk", 4, size, record, 3, 1, 0) + b"long")
    table = cell(struct.pack("<I", value))
    key = bytearray(76)
    key[:4] = b"nk\x2c\0"
    struct.pack_into("<II", key, 36, 1, table)
    root = cell(bytes(key))
    head = bytearray(4096)
    head[:4] = b"regf"
    struct.pack_into("<I", head, 36, root)
    content = bytes(head + cells)
    return Hive(lambda at, length: content[at : at + length])


@pytest.mark.parametrize("size", [16345, 16344 * 2, 16344 * 2 + 1, 100_000])
def test_registry_values_over_several_cells(size: int) -> None:
    root = long_value(size).find("")
    assert root is not None
    assert root.values()["long"] == bytes(number % 251 for number in range(size))


def test_a_long_value_that_contradicts_itself_is_damage() -> None:
    root = long_value(40_000, count=1).find("")
    assert root is not None
    with pytest.raises(DamagedError):
        root.values()


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ({"/hiberfil.sys": b"HIBR" + bytes(4092)}, "hibernated"),
        ({"/hiberfil.sys": b"hibr"}, "hibernated"),
        ({"/hiberfil.sys": b"RSTR"}, "hibernated"),
        ({"/hiberfil.sys": b"wake"}, "resumed"),
        ({"/hiberfil.sys": b"WAKE"}, "resumed"),
        ({"/hiberfil.sys": bytes(4096)}, ""),
        ({"/hiberfil.sys": b""}, ""),
        ({"/hiberfil.sys/x": b""}, ""),
        ({"/pagefile.sys": b"HIBR"}, ""),
    ],
)
def test_hibernation_by_the_start_of_its_file(files: dict[str, bytes], said: str) -> None:
    assert hibernation(tree(**files)[0]) == said
