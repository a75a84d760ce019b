"""The packed guests: they restore to what was packed, their tables parse, and demo data leaves them valid."""

from __future__ import annotations

import hashlib
import os
import shutil
import struct
import subprocess
import zlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from vmie_tui.services.disks.guest.inspect import inspect
from vmie_tui.services.disks.streams.source import RawFile
from vmie_tui.simulators.fleet import guests
from vmie_tui.simulators.fleet.content import fill, runs

NAMES = sorted(guests.index())
BLOCK = 4096


def blocks(path: Path) -> Iterator[tuple[int, bytes]]:
    """``(offset, content)`` of the blocks that are not zero."""
    size = path.stat().st_size
    with path.open("rb") as file:
        at = 0
        while at < size:
            try:
                start = os.lseek(file.fileno(), at, os.SEEK_DATA)
            except OSError:
                return
            at = os.lseek(file.fileno(), start, os.SEEK_HOLE)
            file.seek(start)
            for offset in range(start, at, BLOCK):
                block = file.read(BLOCK)
                if block.strip(b"\0"):
                    yield offset, block


def digest(path: Path) -> str:
    total = hashlib.sha256()
    for offset, block in blocks(path):
        total.update(offset.to_bytes(8, "little") + block)
    return total.hexdigest()


def partitions(path: Path) -> list[tuple[str, int, int]]:
    """``(type, offset, size)`` from the MBR or the GPT behind it; ValueError where a GPT's checksum is wrong."""
    with path.open("rb") as disk:
        boot = disk.read(512)
        if boot[510:] != b"\x55\xaa":
            return []
        found = []
        for number in range(4):
            kind, first, count = struct.unpack_from("<4xB3xII", boot, 446 + 16 * number)
            found.append((f"{kind:02x}", first * 512, count * 512))
        if found[0][0] != "ee":
            return [part for part in found if part[2]]
        header = bytearray(disk.read(512))
        assert header[:8] == b"EFI PART"
        size, checksum = struct.unpack_from("<II", header, 12)
        table_at, count, width, table_checksum = struct.unpack_from("<QIII", header, 72)
        header[16:20] = bytes(4)
        if zlib.crc32(header[:size]) != checksum:
            raise ValueError("checksum of the GPT header")
        disk.seek(table_at * 512)
        table = disk.read(count * width)
        if zlib.crc32(table) != table_checksum:
            raise ValueError("checksum of the GPT entries")
    entries = (table[at : at + width] for at in range(0, len(table), width))
    result = []
    for entry in entries:
        first, last = struct.unpack_from("<QQ", entry, 32)
        if any(entry[:16]):
            result.append((entry[:16].hex(), first * 512, (last - first + 1) * 512))
    return result


def file_system(path: Path, offset: int) -> str:
    with path.open("rb") as disk:
        disk.seek(offset)
        head = disk.read(4096)
    magics = {"xfs": (0, b"XFSB"), "ntfs": (3, b"NTFS    "), "fat": (82, b"FAT32"), "ext": (1080, b"\x53\xef")}
    magics |= {"lvm": (512, b"LABELONE"), "luks": (0, b"LUKS\xba\xbe"), "swap": (4086, b"SWAPSPACE2")}
    return next((name for name, (at, magic) in magics.items() if head[at:].startswith(magic)), "")


@pytest.mark.parametrize("name", NAMES)
def test_a_guest_restores_to_what_was_packed(name: str, tmp_path: Path) -> None:
    path = tmp_path / "disk.raw"
    free = guests.restore(name, path)
    guest = guests.index()[name]
    assert path.stat().st_size == guest.size
    assert path.stat().st_blocks * 512 < 80 << 20, "holes are kept"
    assert digest(path) == guest.blocks
    assert guest.about
    assert guest.boot in {"bios", "uefi", "none"}
    ends = [0]
    for offset, length in sorted(free):
        assert offset >= ends[-1], "free ranges do not overlap"
        ends.append(offset + length)
    assert ends[-1] <= guest.size


def test_the_whole_disk_has_the_recorded_checksum(tmp_path: Path) -> None:
    path = tmp_path / "disk.raw"
    guests.restore("centos5-i386", path)
    with path.open("rb") as file:
        assert hashlib.file_digest(file, "sha256").hexdigest() == guests.index()["centos5-i386"].sha256


BROKEN = {"gpt-bad-checksums", "wiped"}
FOREIGN = {"base-freebsd", "base-solaris", "base-other"}  # their file systems are none VM import takes


@pytest.mark.parametrize("name", [name for name in NAMES if name not in BROKEN | FOREIGN])
def test_partition_tables_lead_to_file_systems(name: str, tmp_path: Path) -> None:
    path = tmp_path / "disk.raw"
    guests.restore(name, path)
    size = path.stat().st_size
    parts = partitions(path)
    kinds = [file_system(path, offset) for _, offset, _ in parts] or [file_system(path, 0)]
    assert set(kinds) & {"ext", "xfs", "ntfs", "lvm"}
    for _, offset, length in parts:
        assert 0 < offset < offset + length <= size
    if guests.index()[name].boot == "uefi":
        assert "fat" in kinds


def test_broken_partition_tables_are_broken(tmp_path: Path) -> None:
    assert {name for name in NAMES if "no-valid-partitions" in guests.index()[name].expect} == BROKEN
    guests.restore("wiped", tmp_path / "disk.raw")
    assert partitions(tmp_path / "disk.raw") == []
    guests.restore("gpt-bad-checksums", tmp_path / "disk.raw")
    with pytest.raises(ValueError, match="checksum"):
        partitions(tmp_path / "disk.raw")


def test_what_is_wrong_is_there(tmp_path: Path) -> None:
    """Spot checks by bytes: the ELF class, the encrypted volume, the missing fstab, the lost volume."""

    def content(name: str) -> bytes:
        guests.restore(name, tmp_path / "disk.raw")
        return b"".join(block for _, block in blocks(tmp_path / "disk.raw"))

    assert b"\x7fELF\x01" in content("centos5-i386")
    assert b"\x7fELF\x02" not in content("centos5-i386")
    assert b"LUKS\xba\xbe\x00\x01aes" in content("debian12-luks")
    assert b" / ext4 defaults 0 1\n" in content("debian12-bios")
    assert b" / ext4 defaults 0 1\n" not in content("debian12-no-fstab")
    assert b"UUID=0000-1111 /backup\n" in content("debian12-bad-fstab")
    assert b"/dev/sda1 / ext4" in content("debian11-fstab-devices")
    assert b'"pv1", 0' in content("rhel8-lvm-missing")
    assert b'"pv1", 0' not in content("rhel8-lvm")
    assert b"RebootPending" in content("ws2016-troubled")
    assert b"RebootPending" not in content("ws2019-bios")
    assert b"BOOTX64 EFI" in content("ubuntu2204-uefi")
    assert b"BOOTX64 EFI" not in content("ubuntu2204-uefi-nofallback")


def test_demo_data_is_deterministic_and_stays_in_the_free_ranges(tmp_path: Path) -> None:
    first, second, plain = (tmp_path / name for name in ("first", "second", "plain"))
    free = guests.restore("sles15-bios", plain)
    for path in (first, second):
        guests.make(path, "sles15-bios", 24 << 20, "seed")
    assert digest(first) == digest(second)
    before = dict(blocks(plain))
    added = [offset for offset, block in blocks(first) if before.get(offset) != block]
    assert 23 << 20 <= len(added) * BLOCK <= 24 << 20
    for offset in added:
        assert any(start <= offset and offset + BLOCK <= start + length for start, length in free)
    guests.make(second, "sles15-bios", 24 << 20, "another seed")
    assert digest(first) != digest(second)


@pytest.mark.parametrize("name", ["sles15-bios", "debian12-bios", "dual-boot", "centos5-i386", "ubuntu2204-uefi"])
def test_file_systems_are_clean_with_demo_data(name: str, tmp_path: Path) -> None:
    checker = shutil.which("e2fsck", path=f"{os.environ['PATH']}:/usr/sbin:/sbin")
    if not checker:
        pytest.skip("e2fsck is not installed")
    path, part = tmp_path / "disk.raw", tmp_path / "part.raw"
    guests.make(path, name, 32 << 20, name)
    checked = 0
    for _, offset, length in partitions(path):
        if file_system(path, offset) != "ext":
            continue
        part.unlink(missing_ok=True)
        with part.open("wb") as file:
            file.truncate(length)
            for at, block in blocks(path):
                if offset <= at < offset + length:
                    file.seek(at - offset)
                    file.write(block)
        done = subprocess.run([checker, "-f", "-n", str(part)], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout
        checked += 1
    assert checked


def test_an_unknown_guest_is_refused(tmp_path: Path) -> None:
    with pytest.raises(KeyError):
        guests.restore("beos", tmp_path / "disk.raw")


def test_runs_fill_what_was_asked_when_there_is_room() -> None:
    free = [(4096, 10 << 20), (64 << 20, 100 << 20), (200 << 20, 1000)]
    made = list(runs(free, 50 << 20, "seed"))
    assert sum(size for _, size, _ in made) == 50 << 20
    assert made == list(runs(free, 50 << 20, "seed"))
    assert {kind for _, _, kind in made} == {"random", "text", "binary"}
    tight = sum(size for _, size, _ in runs(free, 1 << 30, "seed"))
    assert tight == 110 << 20, "never more than the room"


def test_neighbouring_grains_differ(tmp_path: Path) -> None:
    path = tmp_path / "disk.raw"
    path.touch()
    os.truncate(path, 32 << 20)
    assert fill(path, [(0, 32 << 20)], 32 << 20, "seed", kind="random") == 32 << 20
    content = path.read_bytes()
    grains = {content[at : at + 65536] for at in range(0, len(content), 65536)}
    assert len(grains) == 512
    assert len(zlib.compress(content[: 1 << 20], 1)) > 0.99 * (1 << 20)


def test_every_windows_is_found(tmp_path: Path) -> None:
    path = tmp_path / "disk.raw"
    guests.restore("win10-bios", path)
    with RawFile(path) as one, RawFile(path) as other:
        facts = inspect([one, other]).facts
    assert facts.windows is not None
    assert facts.windows_roots == (facts.windows.volume, facts.windows.volume.replace("disk 1", "disk 2"))
