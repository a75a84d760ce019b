"""Making file systems inside plain files, as an ordinary user, with what they hold and where they have room.

Every function writes a file system that fills ``image`` (already of its final size) and returns the free byte ranges.
A tree is a dictionary of paths without a leading slash: bytes or str are files, `Link` is a symbolic link, `Dir` a
directory without anything in it.
"""

from __future__ import annotations

import json
import os
import re
import tempfile
from dataclasses import dataclass
from pathlib import Path

from guestlib.tools import WHEN, run, run_module

Extent = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Link:
    target: str


@dataclass(frozen=True, slots=True)
class Dir:
    """An empty directory."""


Tree = dict[str, "bytes | str | Link | Dir"]

_EXECUTABLE = re.compile(r"^(usr/)?s?bin/|^init$|^(usr/)?lib/systemd/systemd$")
EXT2 = "none,ext_attr,dir_index,filetype,sparse_super,large_file"
EXT3 = f"{EXT2},has_journal,resize_inode"
EXT4 = f"{EXT3},extent,64bit,flex_bg,huge_file,dir_nlink,extra_isize,metadata_csum"


def write_tree(root: Path, tree: Tree) -> None:
    """The tree as real files below ``root``, all with the same times."""
    for name, content in tree.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        match content:
            case Link(target):
                path.symlink_to(target)
            case Dir():
                path.mkdir(exist_ok=True)
            case bytes():
                path.write_bytes(content)
            case str():
                path.write_text(content, encoding="utf-8")
        if not isinstance(content, Link):
            path.chmod(0o755 if isinstance(content, Dir) or _EXECUTABLE.match(name) else 0o644)
    for path in (root, *root.rglob("*")):
        os.utime(path, (WHEN, WHEN), follow_symlinks=False)
        if path.is_dir() and not path.is_symlink():
            path.chmod(0o755)


def ext(
    image: Path, tree: Tree, uuid: str, *, features: str = EXT4, label: str = "", dirty: bool = False
) -> list[Extent]:
    """ext3 or ext4. ``dirty`` leaves the journal marked as needing recovery, as after a power cut."""
    with tempfile.TemporaryDirectory() as folder:
        write_tree(Path(folder), tree)
        run(
            "mke2fs", "-q", "-F", "-b", "4096", "-I", "256", "-O", features, "-U", uuid, "-L", label, "-d", folder,
            "-E", f"root_owner=0:0,hash_seed={uuid},lazy_itable_init=1,lazy_journal_init=1,nodiscard", str(image),
            frozen=False,
        )  # fmt: skip
    _settle_inodes(image)
    run("e2fsck", "-f", "-n", str(image), frozen=False)
    listing = run("dumpe2fs", str(image), frozen=False)
    if dirty:
        run("debugfs", "-w", "-R", "feature +needs_recovery", str(image), frozen=False)
    block = int(re.search(r"^Block size:\s+(\d+)", listing, re.M)[1])  # type: ignore[index]
    free: list[Extent] = []
    for line in re.findall(r"^  Free blocks: (.*)$", listing, re.M):
        for first, last in re.findall(r"(\d+)(?:-(\d+))?", line):
            free.append((int(first) * block, (int(last or first) - int(first) + 1) * block))
    return free


def _settle_inodes(image: Path) -> None:
    """mke2fs copies owner and change time from the files it was given: make both the same for everybody."""
    summary = run("debugfs", "-R", "stats", str(image), frozen=False)
    total = int(re.search(r"Inode count:\s+(\d+)", summary)[1])  # type: ignore[index]
    free = int(re.search(r"Free inodes:\s+(\d+)", summary)[1])  # type: ignore[index]
    used = [2, *range(11, total - free + 1)]
    fields = [("uid", "0"), ("gid", "0"), *((kind, f"@{WHEN}") for kind in ("ctime", "atime", "mtime", "crtime"))]
    fields += [(f"{kind}_extra", "0") for kind in ("ctime", "atime", "mtime", "crtime")]
    fields += [("generation", "0")]
    commands = [f"sif <{inode}> {field} {value}" for inode in used for field, value in fields]
    run("debugfs", "-w", "-f", "-", str(image), stdin="\n".join(commands) + "\n", frozen=False)


def xfs(
    image: Path, tree: Tree, uuid: str, *, options: str = "crc=1,finobt=1,reflink=1", label: str = ""
) -> list[Extent]:
    """XFS, filled from a prototype file."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "root"
        root.mkdir()
        write_tree(root, tree)
        prototype = Path(folder) / "prototype"
        prototype.write_text("\n".join(["/", "0 0", "d--755 0 0", *_prototype(root, " "), "$"]) + "\n")
        run(
            "mkfs.xfs", "-q", "-f", "-K", "-m", f"uuid={uuid},{options}", "-i", "maxpct=25", "-L", label,
            "-d", f"file,name={image},size={image.stat().st_size}", "-p", str(prototype),
        )  # fmt: skip
    run("xfs_repair", "-n", "-f", str(image))
    geometry = run("xfs_db", "-r", "-f", "-c", "sb 0", "-c", "p blocksize agblocks", str(image))
    block, per_group = (int(number) for number in re.findall(r"= (\d+)", geometry))
    free = run("xfs_db", "-r", "-f", "-c", "freesp -d", str(image))
    ranges = re.findall(r"^\s*(\d+)\s+(\d+)\s+(\d+)\s*$", free.split("from")[0], re.M)
    return [((int(ag) * per_group + int(at)) * block, int(size) * block) for ag, at, size in ranges]


def _prototype(folder: Path, indent: str) -> list[str]:
    lines: list[str] = []
    for path in sorted(folder.iterdir()):
        mode = f"{path.lstat().st_mode & 0o777:03o} 0 0"
        if path.is_symlink():
            lines.append(f"{indent}{path.name} l--777 0 0 {path.readlink()}")
        elif path.is_dir():
            lines += [f"{indent}{path.name} d--{mode}", *_prototype(path, indent + " "), f"{indent}$"]
        else:
            lines.append(f"{indent}{path.name} ---{mode} {path}")
    return lines


def fat(image: Path, tree: Tree, serial: str, label: str = "ESP", bits: int = 32) -> list[Extent]:
    """FAT32, for EFI system partitions, or FAT16. No free ranges: nothing is put into its room."""
    cluster = ("-s", "1") if bits == 32 else ()
    run("mkfs.fat", "-F", str(bits), *cluster, "--invariant", "-i", serial, "-n", label, str(image))
    made: set[str] = set()
    with tempfile.TemporaryDirectory() as folder:
        for name, content in tree.items():
            parts = name.split("/")
            for depth in range(1, len(parts)):
                directory = "/".join(parts[:depth])
                if directory not in made:
                    run("mmd", "-i", str(image), f"::/{directory}")
                    made.add(directory)
            source = Path(folder) / "file"
            source.write_bytes(content if isinstance(content, bytes) else str(content).encode())
            run("mcopy", "-i", str(image), str(source), f"::/{name}")
    return []


def ntfs(image: Path, tree: Tree, *, label: str, start_sector: int = 2048) -> list[Extent]:
    """NTFS, filled through libntfs-3g in a process of its own (its clock is frozen too)."""
    run(
        "mkntfs", "-q", "-Q", "-F", "-L", label, "-p", str(start_sector), "-H", "255", "-S", "63", "-s", "512", "-c",
        "4096", str(image),
    )  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        write_tree(Path(folder), tree)
        text = run_module("guestlib.ntfs", str(image), folder)
    run("ntfsfix", "-n", str(image))
    return [(int(at), int(size)) for at, size in json.loads(text)]
