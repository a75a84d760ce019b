"""Running the file-system tools with a frozen clock, so that a guest is the same whenever and wherever it is made."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

_HERE = Path(__file__).resolve().parents[1]
_PATH = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"  # where Debian keeps mkfs, outside an ordinary user's path
WHEN = 1_768_464_000  # 2026-01-15 08:00:00 UTC
_WHEN_TEXT = "2026-01-15 08:00:00"
PACKAGES = {
    "mke2fs": "e2fsprogs",
    "debugfs": "e2fsprogs",
    "dumpe2fs": "e2fsprogs",
    "e2fsck": "e2fsprogs",
    "mkswap": "util-linux",
    "sfdisk": "fdisk",
    "mkfs.xfs": "xfsprogs",
    "xfs_db": "xfsprogs",
    "xfs_repair": "xfsprogs",
    "mkfs.fat": "dosfstools",
    "mcopy": "mtools",
    "mmd": "mtools",
    "mkntfs": "ntfs-3g",
    "ntfsfix": "ntfs-3g",
    "faketime": "faketime",
}


def missing() -> list[str]:
    """Debian packages to install before guests can be made."""
    return sorted({package for tool, package in PACKAGES.items() if not shutil.which(tool, path=_PATH)})


def run(*command: str, stdin: str = "", ok: Sequence[int] = (0,), frozen: bool = True) -> str:
    """Standard output of ``command``, run with the clock at `WHEN`; RuntimeError with its messages when it fails."""
    environment = {
        **os.environ,
        "PATH": _PATH,
        "PYTHONPATH": str(_HERE),
        "TZ": "UTC",
        "LC_ALL": "C.UTF-8",
        "E2FSPROGS_FAKE_TIME": str(WHEN),
        "SOURCE_DATE_EPOCH": str(WHEN),
        "MTOOLS_SKIP_CHECK": "1",
    }
    full = ("faketime", "-f", _WHEN_TEXT, *command) if frozen else command
    done = subprocess.run(full, input=stdin, capture_output=True, text=True, env=environment, check=False)
    if done.returncode not in ok:
        raise RuntimeError(f"{' '.join(command)} ended with {done.returncode}\n{done.stdout}{done.stderr}")
    return done.stdout


def run_module(module: str, *arguments: str, stdin: str = "") -> str:
    """Like `run`, for a module of this package."""
    return run(sys.executable, "-m", module, *arguments, stdin=stdin)
