"""`convert`: what is written comes back byte for byte, from every format that is read to every one that is written."""

from __future__ import annotations

import hashlib
import subprocess
import tarfile
import tempfile
import uuid
import xml.etree.ElementTree as ET
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import pytest
from hypothesis import given, settings

from tests.kits.disk_containers import ova, vhd_dynamic, vhd_fixed, vhdx, vmdk_sparse, vmdk_stream
from tests.kits.disk_images import Sparse, content, disks, names, needs_qemu
from vmie_tui.services.disks.convert import Converted, Format, Request, convert
from vmie_tui.services.disks.convert_source import no_limit, open_source
from vmie_tui.services.disks.formats.open_disk import open_disk
from vmie_tui.services.disks.formats.ova import list_members
from vmie_tui.services.disks.formats.ova_write import tar_header
from vmie_tui.services.disks.formats.ovf_write import Hardware, OvfDisk, make_ovf, ovf_room
from vmie_tui.services.disks.formats.vhd_write import DYNAMIC, FIXED, geometry, make_footer
from vmie_tui.services.disks.streams.source import sha256_of

OWN = [Format.RAW, Format.VMDK, Format.VHD_FIXED, Format.VHD_DYNAMIC, Format.OVA]
EXTENSION = {Format.VHD_FIXED: "vhd", Format.VHD_DYNAMIC: "vhd"}
DISK = Sparse(5_000_192, {0: content(1, 700_001), 2_097_000: content(2, 1_300_000), 4_999_000: content(3, 1_192)})


def write_sparse(path: Path, disk: Sparse) -> Path:
    with path.open("wb") as file:
        for start, data in disk.runs.items():
            file.seek(start)
            file.write(data)
        file.truncate(disk.size)
    return path


def run(source: Path, target: Path, wanted: Format, **options: object) -> Converted:
    return convert(Request(source, target, wanted, **options))  # type: ignore[arg-type]


def ova_of(disk: Sparse) -> bytes:
    return ova({"a.ovf": b"<Envelope/>", "b.vmdk": vmdk_stream(disk)})


def sha256_in(path: Path) -> str:
    with open_disk(path, no_limit()) as disk:
        return sha256_of(disk)


@pytest.mark.parametrize("wanted", OWN)
@settings(max_examples=7, deadline=None)
@given(disk=disks(whole_sectors=False))
def test_round_trip(wanted: Format, disk: Sparse) -> None:
    with tempfile.TemporaryDirectory() as folder:
        raw = write_sparse(Path(folder, "disk.raw"), disk)
        target = Path(folder, f"out.{EXTENSION.get(wanted, wanted.value)}")
        done = run(raw, target, wanted)
        rounded = disk.size if wanted is Format.RAW else -(-disk.size // 512) * 512
        assert sha256_in(target) == sha256_of(Sparse(rounded, disk.runs))
        assert done.disk_sha256 == sha256_of(disk)
        assert done.sha256 == hashlib.sha256(target.read_bytes()).hexdigest()
        assert (done.capacity, done.size) == (disk.size, target.stat().st_size)
        again = run(target, Path(folder, "again.raw"), Format.RAW)
        assert again.disk_sha256 == sha256_of(Sparse(rounded, disk.runs))
        assert names(Path(folder)) == sorted(["disk.raw", target.name, "again.raw"])


@pytest.mark.parametrize("wanted", OWN)
@pytest.mark.parametrize(
    "write",
    [vmdk_stream, vmdk_sparse, vhd_fixed, vhd_dynamic, vhdx, ova_of],
    ids=["stream", "sparse", "vhd fixed", "vhd dynamic", "vhdx", "ova"],
)  # fmt: skip
def test_every_source_to_every_target(tmp_path: Path, write: Callable[[Sparse], bytes], wanted: Format) -> None:
    source, target = tmp_path / "source.bin", tmp_path / "target.bin"
    source.write_bytes(write(DISK))
    done = run(source, target, wanted)
    assert done.disk_sha256 == sha256_of(DISK) == sha256_in(target)


def test_flat_disks_and_disks_in_slices(tmp_path: Path) -> None:
    data = DISK.read_at(0, DISK.size)
    (tmp_path / "one-flat.vmdk").write_bytes(data)
    (tmp_path / "half-s001.vmdk").write_bytes(vmdk_sparse(Sparse(1 << 20, {0: data[: 1 << 20]})))
    (tmp_path / "half-s002.vmdk").write_bytes(data[1 << 20 :])
    head = '# Disk DescriptorFile\nversion=1\nparentCID=ffffffff\ncreateType="{}"\n'
    flat, sliced = tmp_path / "one.vmdk", tmp_path / "half.vmdk"
    flat.write_text(head.format("monolithicFlat") + f'RW {DISK.size // 512} FLAT "one-flat.vmdk" 0\n')
    sliced.write_text(
        head.format("twoGbMaxExtentSparse")
        + f'RW 2048 SPARSE "half-s001.vmdk"\nRW {DISK.size // 512 - 2048} FLAT "half-s002.vmdk" 0\n'
    )
    for source in (flat, sliced):
        assert run(source, tmp_path / f"{source.stem}.vhd", Format.VHD_DYNAMIC).disk_sha256 == sha256_of(DISK)
    assert run(flat, tmp_path / "x.raw", Format.RAW, raw=True).capacity == flat.stat().st_size


def test_only_the_data_of_a_flat_disk_is_read(tmp_path: Path) -> None:
    write_sparse(tmp_path / "d-flat.vmdk", Sparse(1 << 40, {1 << 39: content(1, 4096)}))
    text = tmp_path / "d.vmdk"
    text.write_text(f'# Disk DescriptorFile\ncreateType="vmfs"\nRW {1 << 31} VMFS "d-flat.vmdk"\n')
    with ExitStack() as held:
        found = open_source(text, held, disk=None, raw=False, beside=text, progress=lambda done, total: None)
        assert sum(length for _, length in found.source.extents()) < 1 << 20
    done = run(text, tmp_path / "d.vhd", Format.VHD_DYNAMIC, checksums=False)
    assert done.capacity == 1 << 40
    assert 4096 <= done.data <= 65536  # the file system's block, or more
    with open_disk(tmp_path / "d.vhd", no_limit()) as disk:
        assert disk.read_at(1 << 39, 5000) == content(1, 4096) + bytes(904)


def test_holes_stay_holes_and_zeros_become_some(tmp_path: Path) -> None:
    raw = tmp_path / "disk.raw"
    with raw.open("wb") as file:
        file.write(bytes(8 << 20) + content(1, 100_000))  # zeros that are written
        file.truncate(64 << 20)
    for wanted in (Format.RAW, Format.VHD_FIXED, Format.VHD_DYNAMIC):
        target = tmp_path / wanted.value
        done = run(raw, target, wanted, checksums=False)
        assert target.stat().st_blocks * 512 < 1 << 20
        assert done.data < 200_000
        assert done.sha256 == done.disk_sha256 == ""


def test_the_archive_is_in_order_and_its_manifest_true(tmp_path: Path) -> None:
    target = tmp_path / "Büro & Söhne <1>.ova"
    run(write_sparse(tmp_path / "disk.raw", DISK), target, Format.OVA)
    with tarfile.open(target) as archive:
        names = archive.getnames()
        bodies = {name: archive.extractfile(name).read() for name in names}  # type: ignore[union-attr]
    ovf, vmdk, sums = names
    assert (ovf[-4:], vmdk[-5:], sums[-3:]) == (".ovf", ".vmdk", ".mf")
    for name in (ovf, vmdk):
        assert f"SHA256({name})= {hashlib.sha256(bodies[name]).hexdigest()}\n" in bodies[sums].decode()
    tree = ET.fromstring(bodies[ovf])
    space = "{http://schemas.dmtf.org/ovf/envelope/1}"
    file, disk = tree.find(f".//{space}File"), tree.find(f".//{space}Disk")
    assert file is not None
    assert disk is not None
    assert (file.get(f"{space}href"), file.get(f"{space}size")) == (vmdk, str(len(bodies[vmdk])))
    assert disk.get(f"{space}capacity") == str(-(-DISK.size // 512) * 512)
    assert tree.findtext(f".//{space}Name") == "Büro & Söhne <1>"


@pytest.mark.parametrize("size", [0, 1, (8 << 30) - 1, 8 << 30, 5 << 40])
def test_sizes_beyond_8_gib_are_base_256(size: int) -> None:
    header = tar_header("disk.vmdk", size)
    info = tarfile.TarInfo.frombuf(header, "utf-8", "strict")
    assert (info.name, info.size, info.isreg()) == ("disk.vmdk", size, True)
    assert (header[124] == 0x80) == (size >= 8 << 30)
    [member] = list_members(lambda at, length: header if at == 0 else bytes(length), 512 + size + 511)
    assert member.size == size


def test_the_descriptor_always_fits_its_place() -> None:
    most = Hardware(999, 1 << 30, networks=("a & b", "c"))
    name, disks = "&\U0001f4be" * 100, [OvfDisk("d" * 80, 1 << 62, size) for size in (0, 1, (1 << 53) - 1)]
    room = ovf_room(name, disks, most)
    assert len(make_ovf(name, disks, hardware=most)) <= room
    assert room == ovf_room(name, [OvfDisk(disk.file, disk.capacity) for disk in disks], most)
    assert room % 512 == 0


@pytest.mark.parametrize(
    ("size", "expected"),
    [  # (cylinders, heads, sectors), from Microsoft's algorithm
        (512, (0, 4, 17)),
        (1 << 30, (2080, 16, 63)),
        (127 << 30, (65278, 16, 255)),
        (2040 << 30, (65535, 16, 255)),
    ],
)
def test_geometry(size: int, expected: tuple[int, int, int]) -> None:
    assert geometry(size) == expected


@needs_qemu
@pytest.mark.parametrize("size", [512, 3 << 20, 504 << 20, 1 << 30, (8 << 30) + 512, 127 << 30, 300 << 30])
def test_footers_say_what_qemu_says(tmp_path: Path, size: int) -> None:
    image = tmp_path / "disk.vhd"
    options = ["-f", "vpc", "-o", "subformat=dynamic", image, str(size)]
    subprocess.run(["qemu-img", "create", "-q", *options], check=True)
    with image.open("rb") as file:
        theirs = file.read(512)
    size = int.from_bytes(theirs[48:56], "big")  # qemu makes it a multiple of its geometry
    ours = make_footer(size, DYNAMIC, uuid.UUID(bytes=theirs[68:84]))
    assert (ours[:24], ours[40:64], ours[84:]) == (theirs[:24], theirs[40:64], theirs[84:])
    for kind in (FIXED, DYNAMIC):
        footer = make_footer(size, kind, uuid.uuid4())
        assert int.from_bytes(footer[64:68], "big") == ~(sum(footer) - sum(footer[64:68])) & 0xFFFFFFFF


@needs_qemu
@pytest.mark.parametrize("size", [DISK.size, 5_000_000, 137 << 20])
def test_qemu_finds_no_fault(tmp_path: Path, size: int) -> None:
    rounded = Sparse(-(-size // 512) * 512, DISK.runs if size >= DISK.size else {7: content(4, 4_000_000)})
    raw = write_sparse(tmp_path / "disk.raw", rounded)
    for wanted, kind in (
        (Format.VMDK, "vmdk"),
        (Format.VHD_FIXED, "vpc"),
        (Format.VHD_DYNAMIC, "vpc"),
        (Format.VHDX, "vhdx"),
        (Format.RAW, "raw"),
    ):
        target = tmp_path / wanted.value
        run(raw, target, wanted, small=wanted is Format.VMDK)
        subprocess.run(["qemu-img", "compare", "-q", "-f", "raw", "-F", kind, raw, target], check=True)
        if kind in {"vmdk", "vhdx"}:
            subprocess.run(["qemu-img", "check", "-q", "-f", kind, target], check=True)


@needs_qemu
@pytest.mark.parametrize("kind", ["qcow2", "vdi", "vpc", "vhdx", "vmdk"])
def test_what_qemu_writes_is_converted(tmp_path: Path, kind: str) -> None:
    raw, image = write_sparse(tmp_path / "disk.raw", DISK), tmp_path / f"disk.{kind.replace('vpc', 'vhd')}"
    options = ["-o", "force_size=on"] if kind == "vpc" else []
    subprocess.run(["qemu-img", "convert", "-f", "raw", "-O", kind, *options, raw, image], check=True)
    done = run(image, tmp_path / "out.raw", Format.RAW)
    assert sha256_in(tmp_path / "out.raw") == done.disk_sha256
    assert done.disk_sha256 == sha256_of(Sparse(done.capacity, DISK.runs))
    assert names(tmp_path) == sorted(["disk.raw", image.name, "out.raw"])


def test_paths_that_are_relative(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The child process that looks at the image first begins elsewhere."""
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "disk.raw").write_bytes(DISK.read_at(0, DISK.size))
    for folder in (tmp_path, tmp_path / "in"):
        monkeypatch.chdir(folder)
        source = Path("in/disk.raw") if folder == tmp_path else Path("disk.raw")
        done = convert(Request(source, Path("out.vmdk"), Format.VMDK))
        assert done.capacity == DISK.size
        assert (folder / "out.vmdk").exists()
