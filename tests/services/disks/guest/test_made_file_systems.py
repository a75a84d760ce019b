"""File systems made by their own tools with the features that are hard to read: large directories, holes, old maps."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from vmie_tui.services.disks.guest.filesystems import FileSystem, Kind, Node
from vmie_tui.services.disks.guest.identify import identify, open_volume
from vmie_tui.services.disks.streams.ranges import BlockReader
from vmie_tui.services.disks.streams.source import RawFile

SBIN = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"
MKE2FS, MKXFS = shutil.which("mke2fs", path=SBIN), shutil.which("mkfs.xfs", path=SBIN)
LONG = "a" * 200


def make_tree(root: Path) -> None:
    for name in ("etc", "many", "deep/er/still"):
        (root / name).mkdir(parents=True)
    (root / "etc" / "os-release").write_text("ID=debian\n")
    (root / "etc" / "short").symlink_to("os-release")
    (root / "etc" / "long").symlink_to(f"/{LONG}/{LONG}/x")
    (root / "deep/er/still/tiny").write_bytes(b"x")
    (root / "deep/er/still/medium").write_bytes(bytes(range(256)) * 2)
    for number in range(500):
        (root / "many" / f"a-rather-long-name-of-a-file-{number:05d}").write_text(str(number))
    with (root / "holes").open("wb") as file:  # many extents, the last one far away
        for number in range(400):
            file.seek(number * 16384)
            file.write(f"{number:8d}".encode() * 512)
        file.seek(30 << 20)
        file.write(b"the end")


def node(system: FileSystem, path: str) -> Node:
    found: Node | None = system.root()
    for part in path.split("/"):
        assert found is not None, path
        found = found.child(part)
    assert found is not None, path
    return found


def check(image: Path, root: Path) -> None:
    with RawFile(image) as disk:
        system = open_volume(identify(disk), disk)
        for path in (path for path in root.rglob("*") if path.parent.name != "many" or path.name.endswith("7")):
            found = node(system, str(path.relative_to(root)))
            if path.is_symlink():
                assert (found.kind, found.target()) == (Kind.LINK, str(path.readlink()))
            elif path.is_dir():
                assert set(found.names()) - {"lost+found"} == {entry.name for entry in path.iterdir()}
                assert found.child("no-such-name") is None
            else:
                content = path.read_bytes()
                assert found.size == len(content)
                assert b"".join(found.read(at, 1 << 20) for at in range(0, len(content), 1 << 20)) == content
                assert found.read(len(content) - 1, 100) == content[-1:]
        reader = BlockReader(disk)
        node(open_volume(identify(reader), reader), "etc/os-release").read(0, 100)
        assert reader.budget.used_requests < 20


@pytest.mark.skipif(not MKE2FS, reason="mke2fs is not installed")
@pytest.mark.parametrize(
    "options",
    [
        ("-t", "ext2", "-b", "1024"),
        ("-t", "ext3", "-b", "4096"),
        ("-t", "ext4", "-b", "4096", "-I", "256", "-O", "fast_commit,large_dir,stable_inodes,inline_data"),
        ("-t", "ext4", "-b", "1024", "-O", "64bit,metadata_csum"),
        ("-t", "ext4", "-b", "2048", "-O", "meta_bg,^resize_inode"),
        ("-t", "ext4", "-O", "sparse_super2,^flex_bg"),
        ("-t", "ext4", "-b", "1024", "-C", "16384", "-O", "64bit,bigalloc"),
        ("-t", "ext4", "-b", "1024", "-C", "4096", "-O", "^64bit,bigalloc"),
        ("-t", "ext4", "-b", "1024", "-C", "8192", "-O", "bigalloc,meta_bg,^resize_inode"),
        ("-t", "ext4", "-b", "4096", "-C", "65536", "-O", "bigalloc"),
    ],
)
def test_ext(options: tuple[str, ...], tmp_path: Path) -> None:
    root, image = tmp_path / "root", tmp_path / "image"
    make_tree(root)
    image.touch()
    os.truncate(image, 64 << 20)
    assert MKE2FS
    subprocess.run([MKE2FS, "-q", "-F", "-d", str(root), *options, str(image)], check=True)
    check(image, root)


def prototype(folder: Path, indent: str = " ") -> list[str]:
    lines: list[str] = []
    for path in sorted(folder.iterdir()):
        if path.is_symlink():
            lines.append(f"{indent}{path.name} l--777 0 0 {path.readlink()}")
        elif path.is_dir():
            lines += [f"{indent}{path.name} d--755 0 0", *prototype(path, indent + " "), f"{indent}$"]
        else:
            lines.append(f"{indent}{path.name} ---644 0 0 {path}")
    return lines


@pytest.mark.skipif(not MKXFS, reason="mkfs.xfs is not installed")
@pytest.mark.parametrize("options", [("-m", "crc=1"), ("-m", "crc=0"), ("-b", "size=1024", "-n", "size=8192")])
def test_xfs(options: tuple[str, ...], tmp_path: Path) -> None:
    root, image, proto = tmp_path / "root", tmp_path / "image", tmp_path / "prototype"
    make_tree(root)
    proto.write_text("\n".join(["/", "0 0", "d--755 0 0", *prototype(root), "$"]) + "\n")
    assert MKXFS
    subprocess.run(
        [MKXFS, "-q", "-f", "-K", "-d", f"file,name={image},size=512m", "-p", str(proto), *options],
        check=True, capture_output=True,
    )  # fmt: skip
    check(image, root)


@pytest.mark.skipif(not MKE2FS or not MKXFS, reason="mke2fs or mkfs.xfs is not installed")
def test_large_file_systems_cost_no_more(tmp_path: Path) -> None:
    """2 TiB of ext4 (16,384 groups), and XFS grown to 300 allocation groups."""
    image = tmp_path / "image"
    image.touch()
    os.truncate(image, 2 << 40)
    assert MKE2FS
    assert MKXFS
    lazy = "lazy_itable_init=1,lazy_journal_init=1,nodiscard"
    subprocess.run([MKE2FS, "-q", "-F", "-t", "ext4", "-J", "size=4", "-E", lazy, str(image)], check=True)
    for most in (6, 24):
        with RawFile(image) as disk:
            reader = BlockReader(disk)
            system = open_volume(identify(reader), reader)
            assert system.root().child("nothing") is None
            assert system.free
            assert system.dirty is False
            assert reader.budget.used_requests <= most
        image.unlink()
        if most == 6:
            size = ["-d", f"file,name={image},size=600g,agcount=300", "-l", "size=64m"]
            subprocess.run([MKXFS, "-q", "-f", "-K", *size], check=True, capture_output=True)
