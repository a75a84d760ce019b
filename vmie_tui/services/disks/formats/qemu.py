"""qemu-img, where it is installed: the formats this program does not read or write itself."""

from __future__ import annotations

import os
import re
import selectors
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

from vmie_tui.known_secrets import split_environment
from vmie_tui.model.errors import ErrorKind, ServiceError
from vmie_tui.model.formatting import printable
from vmie_tui.services.disks.errors import DiskFormatError, corrupt, truncated
from vmie_tui.services.disks.formats.places import Places
from vmie_tui.services.disks.streams.pieces import Progress
from vmie_tui.services.disks.streams.source import ByteReader, RawFile, read_fields

TOOL = "qemu-img"
_DATA_FILE, _CORRUPT = 4, 2  # QCOW2, incompatible features
_KNOWN_FEATURES = 0x1F  # not closed properly, corrupt, data file, compression type, extended L2 entries
_VDI_ZEROS = 0xFFFFFFFE  # entries from here on: no block, or one of zeros
_ENTRIES_AT_ONCE = 1 << 16
_MAX_CHECK = 300  # seconds
_DAMAGED = frozenset({1, 2})  # what `qemu-img check` says: cannot be opened; corrupt. 3 is only space that is not used
CPU_SECONDS = 60  # OpenStack gives 30 to a look at the header; here all of the disk is read as well
BYTES_A_SECOND = 50 << 20  # of the disk, for each further second
MEMORY = 1 << 30  # bytes of address space, as OpenStack's nova gives it
ROOM = 64 << 20  # bytes of output beyond those of the disk: VHDX has tables and a log
TICK_SECONDS = 1.0
# Sets the limits and becomes qemu-img: safe where other threads run, which a fork with work to do is not.
_LIMITED = (
    "import os, resource as r, sys\n"
    "for kind, most in zip((r.RLIMIT_CPU, r.RLIMIT_AS, r.RLIMIT_FSIZE, r.RLIMIT_CORE), map(int, sys.argv[1:5])):\n"
    "    hard = r.getrlimit(kind)[1]\n"
    "    more = most + (kind == r.RLIMIT_CPU)\n"
    "    hard = more if hard == r.RLIM_INFINITY else min(more, hard)\n"
    "    try:\n"
    "        r.setrlimit(kind, (min(most, hard), hard))\n"
    "    except (ValueError, OSError):\n"
    "        pass\n"
    "os.execv(sys.argv[5], sys.argv[5:])\n"
)
_QUIET = {"LC_ALL": "C", "MALLOC_ARENA_MAX": "1"}  # an arena for each thread would fill the limit of memory
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


def check(path: Path, kind: str, parent: str | None) -> None:
    """Refuses an image that qemu-img cannot convert, or would silently pad with zeros because it is cut short.

    ``kind``: qcow2 or vdi; ``parent``: as `probe` found it. Raises ServiceError, naming ``path``: LOCAL without
    qemu-img or when its check takes too long, and as `check_header`; CORRUPT also for what qemu-img finds damaged.
    """
    try:
        program = tool(f"{kind.upper()} input")
        with RawFile(path) as file:
            check_header(file, kind, parent)
        if kind == "qcow2":
            _check_by_tool(program, path)
    except ServiceError as error:
        raise error.about(str(path)) from error.__cause__


def check_header(image: ByteReader, kind: str, parent: str | None) -> None:
    """What the header and the first tables tell, without qemu-img.

    Raises ``DiskFormatError``: INVALID for a difference to a parent, an encrypted image, one whose data is in another
    file and one with features that are not known; CORRUPT for one that is cut short or contradicts itself.
    """
    if kind == "vdi" and any(image.read_at(0x1A8, 32)):  # the ids of a snapshot's and a clone's parent
        parent = parent or "in VirtualBox's list of media"
    if parent:
        raise DiskFormatError(
            ErrorKind.INVALID,
            f"the {kind.upper()} image holds only the difference to its parent {parent}",
            remedy="Merge it with its parent (qemu-img convert does it where both are) and use the result",
        )
    if kind == "qcow2":
        _check_qcow2(image)
    else:
        _check_vdi(image)


def _check_qcow2(image: ByteReader) -> None:
    version, cluster_bits, _, encryption, entries, table = read_fields(
        image, ">4xI12xIQIIQ", 0, "the QCOW2 image's header"
    )
    if encryption:
        method = {1: "AES", 2: "LUKS"}.get(encryption, f"method {encryption}")
        raise DiskFormatError(
            ErrorKind.INVALID,
            f"the QCOW2 image is encrypted ({method})",
            remedy="Decrypt it first: qemu-img convert with its secret, into an image without encryption",
        )
    features = read_fields(image, ">Q", 72, "the QCOW2 image's header")[0] if version >= 3 else 0
    if features & _DATA_FILE:
        raise DiskFormatError(
            ErrorKind.INVALID,
            "the QCOW2 image keeps its data in another file, which it may choose freely",
            remedy="Convert that file instead, or make one file of both with qemu-img convert",
        )
    if features & _CORRUPT:
        raise corrupt("the QCOW2 image is marked as corrupt by the program that used it last")
    if features & ~_KNOWN_FEATURES:
        raise DiskFormatError(
            ErrorKind.INVALID,
            f"the QCOW2 image needs features that are not known ({features & ~_KNOWN_FEATURES:#x})",
            remedy="Convert it to a plain QCOW2 or RAW image with the program that made it",
        )
    if not 9 <= cluster_bits <= 21:
        raise corrupt(f"the QCOW2 image's header says clusters of 2^{cluster_bits} bytes")
    if entries and table + 8 * entries > image.size:
        raise truncated(f"the QCOW2 image's table lies behind its end: it has {image.size} bytes")


def _check_vdi(image: ByteReader) -> None:
    what = "the VDI image's header"
    version, kind = read_fields(image, "<I4xI", 0x44, what)
    table_at, data_at, sector = read_fields(image, "<II12xI", 0x154, what)
    capacity, block, extra, blocks = read_fields(image, "<QIII", 0x170, what)
    if version != 0x10001 or kind not in {1, 2}:
        raise DiskFormatError(
            ErrorKind.INVALID,
            f"the VDI image is of version {version >> 16}.{version & 0xFFFF} and type {kind}, which is not read",
            remedy="Clone it with VirtualBox (VBoxManage clonemedium) and use the copy",
        )
    if sector != 512 or block != 1 << 20 or extra or capacity > blocks * block:
        raise corrupt(f"the VDI image's header says {blocks} blocks of {block} and sectors of {sector} bytes")
    places = Places(image.size, block, "VDI")
    for first in range(0, blocks, _ENTRIES_AT_ONCE):
        count = min(_ENTRIES_AT_ONCE, blocks - first)
        entries = read_fields(image, f"<{count}I", table_at + 4 * first, "the VDI image's block table")
        for number, entry in enumerate(entries, first):
            if entry < _VDI_ZEROS and number * block < capacity:
                places.take(number, data_at + entry * block, min(block, capacity - number * block))


def _check_by_tool(program: str, path: Path) -> None:
    """Checks all tables: qemu-img silently reads zeros where data lies behind the end of the file."""
    environment, _ = split_environment(os.environ)
    try:
        done = subprocess.run(  # noqa: S603 - no shell
            _limited(_MAX_CHECK, 0, program, "check", "-q", "-f", "qcow2", str(path.absolute())),
            capture_output=True,
            stdin=subprocess.DEVNULL,
            timeout=_MAX_CHECK,
            env={**environment, **_QUIET},
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise ServiceError(
            ErrorKind.LOCAL,
            f"qemu-img did not finish its check within {_MAX_CHECK} seconds",
            remedy="Check the image by hand ('qemu-img check'), or convert it on another machine",
        ) from error
    if done.returncode in _DAMAGED:
        said = (
            done.stderr.decode("utf-8", "replace").splitlines() or done.stdout.decode("utf-8", "replace").splitlines()
        )
        raise DiskFormatError(
            ErrorKind.CORRUPT,
            "the QCOW2 image is damaged, or was not received whole",
            remedy="Copy it again; else repair a copy of it ('qemu-img check -r all')",
            detail=printable(said[0].removeprefix("qemu-img: ")[:300]) if said else "",
        )


def _limited(seconds: int, output: int, *command: str) -> list[str]:
    """The command under limits: ``seconds`` of processor time, `MEMORY`, ``output`` bytes of a file."""
    return [sys.executable, "-I", "-S", "-c", _LIMITED, *map(str, (seconds, MEMORY, output, 0)), *command]


def convert(source: Path, kind: str, target: Path, target_kind: str, *, size: int, progress: Progress) -> None:
    """Have qemu-img turn ``source`` of the format ``kind`` into ``target``; formats in qemu's words.

    ``size``: bytes of the disk, for ``progress``. Raises ServiceError: LOCAL without qemu-img or with a full disk,
    CORRUPT with qemu-img's own words for what it cannot read, and for what it does not read within its limits of
    processor time, memory and output. The process ends with this call, however it ends; ``progress`` is called at
    least every second, and may end it by raising.
    """
    program = tool(f"{kind.upper()} input" if target_kind == "raw" else f"{target_kind.upper()} output")
    # absolute paths: qemu-img takes what stands before a colon for a protocol
    command = [program, "convert", "-p", "-f", kind, "-O", target_kind, str(source.absolute()), str(target.absolute())]
    seconds = CPU_SECONDS + size // BYTES_A_SECOND
    with tempfile.TemporaryFile() as errors:
        environment, _ = split_environment(os.environ)  # it reads an image of strangers: no secrets for it
        process = subprocess.Popen(  # noqa: S603 - no shell
            _limited(seconds, size + size // 8 + ROOM, *command),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=errors,
            env={**environment, **_QUIET},
        )
        try:
            _watch(process, size, progress)
            code = process.wait()
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()
            if process.stdout:
                process.stdout.close()
        if code < 0:
            raise _killed(source, -code, seconds)
        if code:
            errors.seek(0)
            raise _failed(source, target, errors.read(1 << 16).decode("utf-8", "replace"))


def _watch(process: subprocess.Popen[bytes], size: int, progress: Progress) -> None:
    if process.stdout is None:
        return
    rest, done = b"", 0
    with selectors.DefaultSelector() as waiting:
        waiting.register(process.stdout, selectors.EVENT_READ)
        while True:
            if waiting.select(TICK_SECONDS):
                piece = os.read(process.stdout.fileno(), 4096)
                if not piece:
                    return
                rest = (rest + piece)[-256:]
                if found := _PERCENT.findall(rest):
                    whole, hundredths = found[-1]
                    done = size * (100 * int(whole) + int(hundredths)) // 10_000
            progress(done, size)  # also when it says nothing: so that it can be cancelled


def _killed(source: Path, number: int, seconds: int) -> ServiceError:
    """The error for a qemu-img killed by a signal: it hit a limit, or crashed."""
    why = {
        signal.SIGXCPU: f"it took more than {seconds} seconds of processor time",
        signal.SIGXFSZ: "it wrote more than the disk holds",
    }.get(number, f"signal {number}")  # type: ignore[call-overload]
    return ServiceError(
        ErrorKind.CORRUPT,
        "qemu-img could not finish converting it",
        subject=str(source),
        remedy="Check the image ('qemu-img check'), or export the disk again",
        detail=why,
    )


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
