"""Our readers of file systems and registry hives give what libyal gives, for every file of the packed guests."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyfsext
import pyfsfat
import pyfsxfs
import pyregf
import pytest

from vmie_tui.services.disks.guest.filesystems import FileSystem, Kind, Node
from vmie_tui.services.disks.guest.identify import identify, open_volume
from vmie_tui.services.disks.guest.regf import Hive, Key
from vmie_tui.services.disks.guest.tables import read_table
from vmie_tui.services.disks.guest.yal import FileObject
from vmie_tui.services.disks.ranges import Slice
from vmie_tui.services.disks.source import ByteReader, RawFile
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
