"""qemu-img, where it is installed: the formats this program does not read or write itself."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

from vmie_tui.known_secrets import split_environment
from vmie_tui.model.errors import ErrorKind, ServiceError
from vmie_tui.services.disks.pieces import Progress

TOOL = "qemu-img"
_PERCENT = re.compile(rb"\((\d{1,3})\.(\d\d)/100%\)")


def tool(what: str) -> str:
    """The path of qemu-img. ServiceError LOCAL, naming the package, when it is not installed; ``what`` needs it."""
    found = shutil.which(TOOL)
    if found is None:
        raise ServiceError(
            ErrorKind.LOCAL,
            f"{what} needs {TOOL}, which is not installed",
            remedy="Install it (Debian and Ubuntu: apt install qemu-utils; Fedora: qemu-img) and run this again",
        )
    return found


def convert(source: Path, kind: str, target: Path, target_kind: str, *, size: int, progress: Progress) -> None:
    """Have qemu-img turn ``source`` of the format ``kind`` into ``target``; formats in qemu's words.

    ``size``: bytes of the disk, for ``progress``. Raises ServiceError: LOCAL without qemu-img or with a full disk,
    CORRUPT with qemu-img's own words for what it cannot read. The process ends with this call, however it ends.
    """
    program = tool(f"{kind.upper()} input" if target_kind == "raw" else f"{target_kind.upper()} output")
    # absolute paths: qemu-img takes what stands before a colon for a protocol
    command = [program, "convert", "-p", "-f", kind, "-O", target_kind, str(source.absolute()), str(target.absolute())]
    with tempfile.TemporaryFile() as errors:
        environment, _ = split_environment(os.environ)  # it reads an image of strangers: no secrets for it
        process = subprocess.Popen(  # noqa: S603 - no shell
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=errors, env={**environment, "LC_ALL": "C"}
        )
        try:
            _watch(process, size, progress)
            code = process.wait()
        finally:
            if process.poll() is None:
                process.terminate()
                process.wait()
            if process.stdout:
                process.stdout.close()
        if code:
            errors.seek(0)
            raise _failed(source, target, errors.read(1 << 16).decode("utf-8", "replace"))


def _watch(process: subprocess.Popen[bytes], size: int, progress: Progress) -> None:
    if process.stdout is None:
        return
    rest = b""
    while piece := os.read(process.stdout.fileno(), 4096):
        rest = (rest + piece)[-256:]
        if found := _PERCENT.findall(rest):
            whole, hundredths = found[-1]
            progress(size * (100 * int(whole) + int(hundredths)) // 10_000, size)


def _failed(source: Path, target: Path, said: str) -> ServiceError:
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    detail = (lines[0] if lines else "it said nothing").removeprefix("qemu-img: ")[:500]
    if "No space left" in said:
        return ServiceError(
            ErrorKind.LOCAL,
            "the disk is full; what was written has been removed",
            subject=str(target.parent),
            remedy="Free some space there, or write elsewhere",
            retry_safe=True,
            detail=detail,
        )
    return ServiceError(
        ErrorKind.CORRUPT,
        "qemu-img cannot convert it",
        subject=str(source),
        remedy="Check the image ('qemu-img check'), or export the disk again",
        detail=detail,
    )
