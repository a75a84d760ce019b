"""Every container gives the same disk; damaged, refused and foreign ones are said to be so."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.kits.disk_containers import Memory, ova, plenty, vhd_dynamic, vhd_fixed, vhdx, vmdk_sparse, vmdk_stream
from tests.kits.disk_images import Sparse, content, needs_qemu
from vmie_tui.model import facts
from vmie_tui.model.errors import ErrorKind, ServiceError
from vmie_tui.services.disks.formats.open_disk import open_disk, open_disks, open_raw
from vmie_tui.services.disks.streams.ranges import Budget
from vmie_tui.services.disks.streams.source import DiskSource, RawFile, sha256_of

DISK = Sparse(9 << 20, {0: content(1, 70_000), 3 << 20: content(2, 1 << 20), (9 << 20) - 5000: content(3, 5000)})
WRITERS: dict[str, Callable[[DiskSource], bytes]] = {
    "vmdk-stream": vmdk_stream,
    "vmdk-sparse": vmdk_sparse,
    "vhd-fixed": vhd_fixed,
    "vhd-dynamic": vhd_dynamic,
    "vhdx": vhdx,
}


@pytest.mark.parametrize("name", WRITERS)
def test_a_container_gives_its_disk(name: str) -> None:
    with open_disk(Memory(WRITERS[name](DISK)), plenty()) as disk:
        assert disk.size == DISK.size
        assert disk.info.format == name.removesuffix("-fixed").removesuffix("-dynamic")
        assert sha256_of(disk) == sha256_of(DISK)
        assert disk.read_at(DISK.size - 10, 100) == DISK.read_at(DISK.size - 10, 10)
        assert disk.read_at(DISK.size, 100) == b""
        assert disk.read_at((3 << 20) - 7, 100) == DISK.read_at((3 << 20) - 7, 100)


@pytest.mark.parametrize("name", ["vmdk-stream", "vhd-dynamic", "vhdx"])
def test_a_disk_inside_an_ova(name: str) -> None:
    archive = ova({"vm.ovf": b"<Envelope/>", "vm-disk1.vmdk": WRITERS[name](DISK), "vm-disk2.vmdk": vmdk_stream(DISK)})
    disks = open_disks(Memory(archive), plenty)
    assert [disk.name for disk in disks] == ["vm-disk1.vmdk", "vm-disk2.vmdk"]
    assert {sha256_of(disk) for disk in disks} == {sha256_of(DISK)}


@needs_qemu
@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("vmdk", "subformat=monolithicSparse"),
        ("vmdk", "subformat=streamOptimized"),
        ("vmdk", "subformat=monolithicFlat"),
        ("vmdk", "subformat=twoGbMaxExtentFlat"),
        ("vmdk", "subformat=twoGbMaxExtentSparse"),
        ("vpc", "subformat=fixed,force_size=on"),
        ("vpc", "subformat=dynamic,force_size=on"),
        ("vhdx", "subformat=dynamic"),
        ("vhdx", "subformat=fixed,block_size=2097152"),
    ],
)
def test_what_qemu_writes_is_read(kind: str, options: str, tmp_path: Path) -> None:
    raw, image = tmp_path / "disk.raw", tmp_path / "disk.img"
    raw.write_bytes(DISK.read_at(0, DISK.size))
    qemu = shutil.which("qemu-img")
    assert qemu
    subprocess.run([qemu, "convert", "-O", kind, "-o", options, str(raw), str(image)], check=True)
    with open_disk(image, plenty()) as disk:
        assert sha256_of(disk) == sha256_of(DISK)


def test_a_flat_descriptor_reads_its_neighbours_only(tmp_path: Path) -> None:
    (tmp_path / "a-flat.vmdk").write_bytes(DISK.read_at(0, DISK.size))
    text = '# Disk DescriptorFile\nversion=1\nparentCID=ffffffff\ncreateType="monolithicFlat"\n'
    path = tmp_path / "a.vmdk"
    path.write_text(text + f'RW {DISK.size // 512 - 8} FLAT "a-flat.vmdk" 8\nRW 16 ZERO\n')
    with open_disk(path, plenty()) as disk:
        assert disk.size == DISK.size + 8 * 512
        assert disk.read_at(100, 5000) == DISK.read_at(8 * 512 + 100, 5000)
        assert disk.read_at(disk.size - 16 * 512, 1 << 20) == bytes(16 * 512)
    for name in ("../secret", "/etc/passwd", "..", ""):
        path.write_text(text + f'RW 16 FLAT "{name}" 0\n')
        with pytest.raises(ServiceError) as raised:
            open_disk(path)
        assert raised.value.kind is ErrorKind.INVALID
    path.write_text(text + 'RW 16 FLAT "gone.vmdk" 0\n')
    with pytest.raises(ServiceError) as raised:
        open_disk(path)
    assert raised.value.kind is ErrorKind.NOT_FOUND


def refusal(image: bytes) -> ServiceError:
    with pytest.raises(ServiceError) as raised:
        open_disk(Memory(image), name="given.img")
    assert raised.value.problem.subject == "given.img"
    return raised.value


def test_what_vm_import_refuses_is_refused_in_its_words() -> None:
    differencing = refusal(vhd_dynamic(DISK, kind=4))
    assert differencing.problem.detail == facts.error("E09")["message"]
    image = bytearray(vhd_dynamic(DISK))
    image[30] ^= 1  # the copy at the start only
    assert refusal(bytes(image)).problem.detail == facts.error("E09")["message"]
    chunked = refusal(ova({"vm.ovf": b"<Envelope/>", "disk.vmdk.000000000": b"x" * 1024}))
    assert chunked.problem.detail == facts.error("E03")["message"]
    assert "parent" in refusal(vhdx(DISK, flags=2)).problem.what
    assert "log" in refusal(vhdx(DISK, log=b"0123456789abcdef")).problem.what
    assert refusal(b"QFI\xfb" + bytes(4092)).problem.detail == facts.error("E01")["message"]
    assert refusal(ova({"vm.ovf": b"<Envelope/>"})).kind is ErrorKind.INVALID


def test_an_ova_must_agree_with_its_descriptor() -> None:
    stream = vmdk_stream(DISK)

    def packed(attributes: str) -> bytes:
        ovf = f'<Envelope><References><File ovf:id="f" {attributes}/></References></Envelope>'
        return ova({"vm.ovf": ovf.encode(), "disk.vmdk": stream})

    assert open_disk(Memory(packed(f'ovf:href="disk.vmdk" ovf:size="{len(stream)}"'))).size == DISK.size
    assert open_disk(Memory(packed('ovf:href="disk.vmdk" ovf:size="7"'))).size == DISK.size  # it proves itself
    assert "does not hold" in refusal(packed('ovf:href="other.vmdk"')).problem.what
    assert refusal(packed('ovf:href="disk.vmdk" ovf:chunkSize="7"')).problem.detail == facts.error("E03")["message"]
    assert "first" in refusal(ova({"disk.vmdk": stream, "vm.ovf": b"<Envelope/>"})).problem.remedy


@pytest.mark.parametrize("name", WRITERS)
def test_a_truncated_image_is_noticed(name: str) -> None:
    image = WRITERS[name](DISK)
    for cut in (1, 513, len(image) // 2):
        with pytest.raises(ServiceError):  # when it is opened, or when the end is read
            sha256_of(open_disk(Memory(image[: len(image) - cut]), plenty(), name=f"disk.{name[:4].rstrip('-')}"))


def test_what_is_no_image_gets_one_clear_line(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "empty").touch()
    (tmp_path / "notes.txt").write_text("Dear diary, today I migrated a machine.\n" * 20)
    for name, kind in {
        ".": ErrorKind.INVALID,
        "pipe": ErrorKind.INVALID,
        "empty": ErrorKind.INVALID,
        "notes.txt": ErrorKind.INVALID,
        "gone": ErrorKind.NOT_FOUND,
    }.items():
        with pytest.raises(ServiceError) as raised:
            open_disk(tmp_path / name)
        assert raised.value.kind is kind
        assert "\n" not in str(raised.value)
        assert str(tmp_path) in str(raised.value)


def test_a_raw_disk_is_not_probed(tmp_path: Path) -> None:
    """A guest may write any header into its own first sector."""
    image = vmdk_sparse(DISK)
    with open_raw(Memory(image), plenty()) as disk:
        assert disk.read_at(0, 4) == b"KDMV"
        assert disk.size == len(image)


@pytest.mark.parametrize("name", WRITERS)
@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_damaged_images_fail_as_service_errors_only(name: str, data: st.DataObject) -> None:
    small = Sparse(3 << 20, {0: content(1, 5000), 1 << 20: content(2, 70_000)})
    image = bytearray(WRITERS[name](small))
    for _ in range(data.draw(st.integers(1, 6))):
        end = data.draw(st.sampled_from([4096, 1 << 20, len(image)]))
        at = data.draw(st.integers(0, min(end, len(image)) - 1))
        at = data.draw(st.sampled_from([at, len(image) - 1 - at % 2048]))
        image[at : at + 4] = data.draw(st.binary(min_size=4, max_size=4))[: len(image) - at]
    try:
        with open_disk(Memory(bytes(image)), Budget(requests=500, bytes=64 << 20)) as disk:
            for at in (0, 1 << 20, disk.size - 100):
                assert len(disk.read_at(at, 4096)) <= 4096
    except ServiceError as error:
        assert "\n" not in str(error)


def test_reading_a_raw_file_opens_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "disk.raw"
    path.write_bytes(DISK.read_at(0, DISK.size))
    with open_disk(path, plenty()) as disk, RawFile(path) as raw:
        assert sha256_of(disk) == sha256_of(raw)
