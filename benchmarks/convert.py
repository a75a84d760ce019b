"""RAW to streamOptimized VMDK beside qemu-img, in one run: wall and CPU seconds, size, peak memory, and the ratios.

    .venv/bin/python benchmarks/convert.py [--mib 1024] [--data 400] [--rounds 3] [--image FILE] [--folder DIR]

Without ``--image`` a sparse disk of ``--mib`` MiB with ``--data`` MiB of data is made: files of this machine's
/usr and Python, and where those run out, bytes that compress by about half; in pieces of 4 MiB with holes between them.
Measured in turn, each in a process of its own: qemu-img, `vmie-tui convert` without checksums (which qemu-img does
not make either) and with them, ``--small``; every output is judged by `qemu-img check` and `compare`, outside the
measured time. CPU ratios are steadier than those of wall time. vmie-tui's time includes the start of Python and fsync.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import random
import shutil
import statistics
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

MIB = 1 << 20
PIECE = 4 * MIB


def real_bytes(limit: int) -> Iterator[bytes]:
    """The content of files, up to ``limit`` bytes, then made up."""
    left, rng = limit, random.Random(1)
    for top in ("/usr/lib", "/usr/bin", "/usr/share", sysconfig.get_path("stdlib")):
        for folder, below, names in os.walk(top):
            below.sort()
            for name in sorted(names):
                path = Path(folder, name)
                if not left:
                    return
                try:
                    data = path.read_bytes()[: min(left, 8 * MIB)] if path.is_file() and not path.is_symlink() else b""
                except OSError:
                    continue
                left -= len(data)
                yield data
    while left:
        data = (rng.randbytes(MIB // 2) + b"made up " * (MIB // 16))[:left]
        left -= len(data)
        yield data


def make_image(path: Path, size: int, data: int) -> None:
    """A sparse RAW disk; the data in pieces, the holes between them alike."""
    stride = (size - MIB) // max(1, data // PIECE) // 4096 * 4096
    buffer, at = bytearray(), MIB  # behind the place of a boot sector: no disk begins with text
    with path.open("wb") as file:
        for piece in real_bytes(data):
            buffer += piece
            while len(buffer) >= PIECE:
                file.seek(at)
                file.write(buffer[:PIECE])
                del buffer[:PIECE]
                at += stride
        file.seek(min(at, size - len(buffer)))
        file.write(buffer)
        file.truncate(size)


@dataclass
class Run:
    wall: float
    cpu: float
    rss: float  # MiB
    size: int


def measure(command: list[str], target: Path) -> Run:
    """Run ``command``, which makes ``target``; what the kernel says of that process."""
    target.unlink(missing_ok=True)
    start = time.monotonic()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    _, status, used = os.wait4(process.pid, 0)
    wall = time.monotonic() - start
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        sys.exit(f"{command[0]} failed with {process.returncode}")
    return Run(wall, used.ru_utime + used.ru_stime, used.ru_maxrss / 1024, target.stat().st_size)


def judged(raw: Path, target: Path) -> None:
    subprocess.run(["qemu-img", "check", "-q", "-f", "vmdk", target], check=True)
    subprocess.run(["qemu-img", "compare", "-q", "-f", "raw", "-F", "vmdk", raw, target], check=True)


def middle(found: list[Run]) -> Run:
    return Run(
        statistics.median(run.wall for run in found),
        statistics.median(run.cpu for run in found),
        max(run.rss for run in found),
        found[0].size,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mib", type=int, default=1024)
    parser.add_argument("--data", type=int, default=400)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--image", type=Path)
    parser.add_argument("--folder", type=Path, help="where the images go (removed afterwards)")
    given = parser.parse_args()
    if not shutil.which("qemu-img"):
        sys.exit("qemu-img is not installed (Debian: qemu-utils)")
    ours = [sys.executable, "-c", "import sys; from vmie_tui.cli import main; sys.exit(main())", "convert", "--force"]
    with tempfile.TemporaryDirectory(dir=given.folder) as folder:
        raw = given.image or Path(folder, "disk.raw")
        if not given.image:  # in another process: a child's peak memory counts from what its parent has held
            maker = multiprocessing.get_context("spawn").Process(
                target=make_image, args=(raw, given.mib * MIB, given.data * MIB)
            )
            maker.start()
            maker.join()
            if maker.exitcode:
                sys.exit("the image could not be made")
        stored = raw.stat().st_blocks * 512
        print(f"{raw.stat().st_size / MIB:.0f} MiB disk, {stored / MIB:.0f} MiB stored; median of {given.rounds}")
        ways: dict[str, list[str]] = {
            "qemu-img": ["qemu-img", "convert", "-f", "raw", "-O", "vmdk", "-o", "subformat=streamOptimized"],
            "vmie-tui --no-checksum": [*ours, "--no-checksum"],
            "vmie-tui": ours,
            "vmie-tui --small --no-checksum": [*ours, "--no-checksum", "--small"],
        }
        found: dict[str, list[Run]] = {name: [] for name in ways}
        for turn in range(given.rounds):
            for name, command in ways.items():
                target = Path(folder, "out.vmdk")
                found[name].append(measure([*command, str(raw), str(target)], target))
                if not turn:
                    judged(raw, target)
        base = middle(found["qemu-img"])
        print(f"{'':32}{'wall s':>8}{'CPU s':>8}{'MiB':>8}{'RSS MiB':>9}   faster  less CPU  size")
        for name, runs in found.items():
            run = middle(runs)
            print(
                f"{name:32}{run.wall:8.2f}{run.cpu:8.2f}{run.size / MIB:8.1f}{run.rss:9.1f}"
                f"{base.wall / run.wall:8.1f}x{base.cpu / run.cpu:9.1f}x{run.size / base.size:7.3f}"
            )


if __name__ == "__main__":
    main()
