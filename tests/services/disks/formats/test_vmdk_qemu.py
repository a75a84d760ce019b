"""qemu-img as a judge: it accepts what is written here, and what it writes is read here."""

from __future__ import annotations

import random
import subprocess
from pathlib import Path

import pytest

from tests.kits.disk_images import content, decoded, needs_qemu
from vmie_tui.services.disks.formats.probe import probe
from vmie_tui.services.disks.formats.vmdk_layout import SECTOR
from vmie_tui.services.disks.formats.vmdk_read import VmdkReader
from vmie_tui.services.disks.formats.vmdk_write import encode
from vmie_tui.services.disks.streams.source import RawFile, sha256_of

pytestmark = needs_qemu


def qemu(*arguments: str | Path) -> str:
    done = subprocess.run(["qemu-img", *map(str, arguments)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module", params=[100 << 20, (100 << 20) - 3 * SECTOR, 7 * SECTOR])
def raw(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A RAW disk over four grain tables with data at odd places, of a whole and of an odd size; and a tiny one."""
    path, rng = tmp_path_factory.mktemp("disk") / "disk.raw", random.Random(request.param)
    with path.open("wb") as file:
        file.truncate(request.param)
        for seed in range(8):
            place = rng.randrange(request.param)
            file.seek(place)
            file.write(content(seed, min(rng.randrange(1, 900_000), request.param - place)))
    return path


@pytest.mark.parametrize("mode", ["fast", "small"])
def test_qemu_accepts_and_reads_what_is_encoded(raw: Path, tmp_path: Path, mode: str) -> None:
    image = tmp_path / "disk.vmdk"
    with RawFile(raw) as source, image.open("wb") as out:
        written = encode(source, out.write, mode=mode, name=image.name)  # type: ignore[arg-type]
    assert image.stat().st_size == written.bytes
    assert "No errors" in qemu("check", "-f", "vmdk", image)
    assert qemu("compare", "-f", "raw", "-F", "vmdk", raw, image) == "Images are identical.\n"  # and of one size
    assert "create type: streamOptimized" in qemu("info", image)


@pytest.mark.parametrize(
    "options",
    [
        ("-o", "subformat=streamOptimized"),
        ("-W", "-m", "8", "-o", "subformat=streamOptimized"),
        ("-o", "subformat=monolithicSparse"),
        ("-o", "subformat=monolithicSparse,zeroed_grain=on"),
    ],
    ids=["stream", "stream out of order", "sparse", "sparse with zeroed grains"],
)
def test_what_qemu_writes_is_read(raw: Path, tmp_path: Path, options: tuple[str, ...]) -> None:
    image = tmp_path / "disk.vmdk"
    qemu("convert", "-f", "raw", "-O", "vmdk", *options, raw, image)
    with RawFile(raw) as source, VmdkReader(image) as reader, RawFile(image) as file:
        assert sha256_of(reader) == sha256_of(source)
        info = probe(file.read_at, file.size)
        assert (info.format, info.capacity) == ("vmdk-stream" if info.compressed else "vmdk-sparse", source.size)
        if info.compressed:
            for offset, data in decoded([image.read_bytes()]).items():
                assert data == source.read_at(offset, len(data))


@pytest.mark.parametrize("kind", ["vpc", "vhdx", "qcow2", "vdi", "overlay"])
def test_what_qemu_writes_is_recognised(tmp_path: Path, kind: str) -> None:
    image, options = tmp_path / "disk", ["-f", kind]
    if kind == "overlay":
        qemu("create", "-q", "-f", "raw", tmp_path / "base", "8M")
        options = ["-f", "qcow2", "-b", str(tmp_path / "base"), "-F", "raw"]
    qemu("create", "-q", *options, image, "8M")
    with RawFile(image) as file:
        info = probe(file.read_at, file.size)
    assert info.format == {"vpc": "vhd", "overlay": "qcow2"}.get(kind, kind)
    assert 8 << 20 <= (info.capacity or 0) < 9 << 20  # a VHD is rounded up to its geometry
    assert info.parent == (str(tmp_path / "base") if kind == "overlay" else None)
