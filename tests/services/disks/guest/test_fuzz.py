"""Hostile images: whatever the bytes, an inspection ends soon, within its budget, and only with a ServiceError."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from vmie_tui.model.errors import ServiceError
from vmie_tui.services.disks.formats.open_disk import open_disk
from vmie_tui.services.disks.guest.inspect import inspect
from vmie_tui.services.disks.streams.ranges import MAX_BYTES, MAX_REQUESTS
from vmie_tui.services.disks.streams.source import ByteReader, RawFile
from vmie_tui.simulators.fleet import guests

SECTOR = 512
NAMES = ("debian12-bios", "rhel9-uefi-xfs", "rhel8-lvm", "ws2016-troubled", "tiny-linux", "data-xfs")
RELAXED = settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))


class Recording:
    """Notes which sectors are read: those are worth damaging."""

    def __init__(self, source: ByteReader) -> None:
        self.source, self.size, self.sectors = source, source.size, set[int]()

    def read_at(self, offset: int, length: int) -> bytes:
        data = self.source.read_at(offset, length)
        for at in range(0, len(data), SECTOR):
            if any(data[at : at + SECTOR]):
                self.sectors.add((offset + at) // SECTOR)
        return data


class Damaged:
    """Another reader with some bytes changed."""

    def __init__(self, source: ByteReader, changes: dict[int, bytes]) -> None:
        self.source, self.size, self.changes = source, source.size, changes

    def read_at(self, offset: int, length: int) -> bytes:
        data = bytearray(self.source.read_at(offset, length))
        for at, change in self.changes.items():
            low, high = max(at, offset), min(at + len(change), offset + len(data))
            if low < high:
                data[low - offset : high - offset] = change[low - at : high - at]
        return bytes(data)


@pytest.fixture(scope="module")
def disks(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, tuple[RawFile, list[int]]]]:
    found = {}
    folder = tmp_path_factory.mktemp("guests")
    for name in NAMES:
        guests.restore(name, folder / name)
        raw = RawFile(folder / name)
        recording = Recording(raw)
        inspect([recording])
        found[name] = raw, sorted(recording.sectors)
    yield found
    for raw, _ in found.values():
        raw.close()


def look(source: ByteReader) -> None:
    try:
        report = inspect([source])
    except ServiceError:
        return
    assert report.requests <= MAX_REQUESTS
    assert report.bytes_read <= MAX_BYTES


@pytest.mark.parametrize("name", NAMES)
@RELAXED
@given(data=st.data())
def test_damaged_guests(name: str, disks: dict[str, tuple[RawFile, list[int]]], data: st.DataObject) -> None:
    raw, sectors = disks[name]
    places = st.builds(lambda sector, at: sector * SECTOR + at, st.sampled_from(sectors), st.integers(0, SECTOR - 1))
    values = st.one_of(
        st.sampled_from([b"\0", b"\xff", b"\0\0\0\0", b"\xff\xff\xff\xff", b"\xff\xff\xff\x7f", bytes(64)]),
        st.binary(min_size=1, max_size=16),
    )
    look(Damaged(raw, data.draw(st.dictionaries(places, values, min_size=1, max_size=40))))


MAGICS = {
    "xfs": (0, b"XFSB"),
    "ext": (0x438, b"\x53\xef"),
    "ntfs": (3, b"NTFS    "),
    "fat": (82, b"FAT32"),
    "lvm": (512, b"LABELONE"),
    "btrfs": (0x10040, b"_BHRfS_M"),
    "mbr": (510, b"\x55\xaa"),
    "gpt": (446, b"\0\0\0\0\xee" + bytes(59) + b"\x55\xaaEFI PART"),
}


@pytest.mark.parametrize("kind", MAGICS)
@settings(RELAXED, max_examples=12)
@given(noise=st.randoms(use_true_random=False), filled=st.sampled_from([512, 4096, 70_000, 200_000]))
def test_random_headers(kind: str, noise: object, filled: int) -> None:
    content = bytearray(400_000)
    content[:filled] = noise.randbytes(filled)  # type: ignore[attr-defined]
    at, magic = MAGICS[kind]
    content[at : at + len(magic)] = magic
    if kind in {"ntfs", "fat"}:
        content[510:512] = b"\x55\xaa"
        content[11:14] = b"\x00\x02\x08"

    class Source:
        size = len(content)

        def read_at(self, offset: int, length: int) -> bytes:
            return bytes(content[offset : offset + length])

    look(Source())


@RELAXED
@given(content=st.binary(max_size=3000))
def test_random_files(content: bytes, tmp_path_factory: pytest.TempPathFactory) -> None:
    path: Path = tmp_path_factory.getbasetemp() / "random.img"
    path.write_bytes(content)
    try:
        with open_disk(path) as disk:
            inspect([disk])
    except ServiceError as error:
        assert "\n" not in str(error)
