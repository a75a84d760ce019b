"""RAW files: holes, odd sizes, sizes beyond the file, and hashes."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from tests.kits.disk_images import Sparse, content
from vmie_tui.model.errors import ErrorKind
from vmie_tui.services.disks.errors import DiskFormatError
from vmie_tui.services.disks.streams import source as source_module
from vmie_tui.services.disks.streams.source import DiskSource, RawFile, sha256_of

DATA = content(5, 300_001)


@pytest.fixture
def sparse_file(tmp_path: Path) -> Path:
    """8 MiB and 5 bytes: a hole, 300,001 bytes at 2 MiB, a hole."""
    path = tmp_path / "disk.raw"
    with path.open("wb") as file:
        file.truncate((8 << 20) + 5)
        file.seek(2 << 20)
        file.write(DATA)
    return path


def test_reads_as_the_file_does(sparse_file: Path) -> None:
    whole = sparse_file.read_bytes()
    with RawFile(sparse_file) as disk:
        assert disk.size == len(whole)
        for offset, length in ((0, 10), (2 << 20, 70_000), ((2 << 20) - 5, 300_011), (len(whole) - 3, 10)):
            assert disk.read_at(offset, length) == whole[offset : offset + length]
            buffer = bytearray(b"\xff" * length)
            got = disk.read_into(offset, memoryview(buffer))
            assert buffer[:got] == whole[offset : offset + length]
        assert disk.read_at(len(whole), 10) == disk.read_at(len(whole) + 99, 10) == b""


def test_extents_cover_the_data(sparse_file: Path) -> None:
    with RawFile(sparse_file) as disk:
        extents = list(disk.extents())
    assert any(start <= 2 << 20 and start + length >= (2 << 20) + len(DATA) for start, length in extents)
    assert extents == sorted(extents)
    assert all(0 <= start < start + length <= disk.size for start, length in extents)


def test_without_knowledge_of_holes_the_whole_file_is_data(sparse_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(*_: object) -> int:
        raise OSError(22, "Invalid argument")

    with RawFile(sparse_file) as disk:
        monkeypatch.setattr(source_module.os, "lseek", unknown)
        assert list(disk.extents()) == [(0, disk.size)]


def test_size_beyond_the_file_reads_as_zeros(sparse_file: Path) -> None:
    stored = sparse_file.stat().st_size
    with RawFile(sparse_file, stored + 3_000_000) as disk:
        assert disk.read_at(stored - 2, 10) == bytes(10)
        assert disk.read_at(stored + 2_999_999, 10) == bytes(1)
        buffer = bytearray(b"\xff" * 2_500_000)
        assert disk.read_into(stored + 10, memoryview(buffer)) == len(buffer)
        assert not any(buffer)
        assert sum(length for _, length in disk.extents()) <= stored
        assert sha256_of(disk) == hashlib.sha256(sparse_file.read_bytes() + bytes(3_000_000)).hexdigest()


def test_size_short_of_the_file_hides_the_rest(sparse_file: Path) -> None:
    with RawFile(sparse_file, (2 << 20) + 4) as disk:
        assert disk.read_at(2 << 20, 100) == DATA[:4]
        assert sha256_of(disk) == hashlib.sha256(sparse_file.read_bytes()[: disk.size]).hexdigest()


def test_a_file_that_shrinks_is_noticed(sparse_file: Path) -> None:
    with RawFile(sparse_file) as disk:
        with sparse_file.open("r+b") as file:
            file.truncate(1 << 20)
        with pytest.raises(DiskFormatError, match="ends at byte 1048576") as caught:
            disk.read_at(1 << 19, 1 << 20)
    assert caught.value.kind == ErrorKind.LOCAL


def test_hash_of_sparse_content() -> None:
    disk: DiskSource = Sparse(5_000_001, {10: DATA, 4_000_000: DATA, 4_999_990: b"end"})
    assert sha256_of(disk) == hashlib.sha256(disk.read_at(0, disk.size)).hexdigest()
    assert sha256_of(Sparse(0)) == hashlib.sha256().hexdigest()


def test_hash_of_a_source_that_ends_early_is_refused() -> None:
    class Short(Sparse):
        def read_at(self, offset: int, length: int) -> bytes:
            return super().read_at(offset, min(length, max(0, 100 - offset)))

    with pytest.raises(DiskFormatError, match="cannot be read at byte 100"):
        sha256_of(Short(1000, {0: DATA[:1000]}))
