"""The disks of a loose OVF: files beside its descriptor and nowhere else, as it and its manifest say they are."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Sequence
from pathlib import Path

from vmie_tui.model.errors import ErrorKind, ServiceError
from vmie_tui.services.disks.errors import DiskFormatError, corrupt
from vmie_tui.services.disks.ovf import MAX_OVF, OvfDisk, is_ovf, parse_ovf
from vmie_tui.services.disks.source import ByteReader

HEAD = 8192  # bytes that tell an OVF
_MAX_MANIFEST = 1 << 20
_LINE = re.compile(r"^(SHA1|SHA256|SHA512)\s*\(([^)\r\n]+)\)\s*=\s*([0-9a-fA-F]{40,128})\s*$", re.MULTILINE)
_STEP = 1 << 20


def ovf_files(path: Path, file: ByteReader) -> list[Path]:
    """The disk files the OVF at ``path`` names, boot disk first.

    Raises ``DiskFormatError``: INVALID when it names none, one outside its folder, or another OVF; NOT_FOUND naming
    every file that is missing; CORRUPT for one of another size than it says; and as `parse_ovf`.
    """
    try:
        disks = parse_ovf(file.read_at(0, MAX_OVF + 1)).disks
        if not disks:
            raise DiskFormatError(ErrorKind.INVALID, "the OVF names no disk", remedy="Export the VM with its disks")
        files = [path.parent / disk.file for disk in disks]
        missing = [disk.file for disk, each in zip(disks, files, strict=True) if not each.exists()]
        if missing:
            raise DiskFormatError(
                ErrorKind.NOT_FOUND,
                f"the OVF names {', '.join(missing)}, which {'is' if len(missing) == 1 else 'are'} not beside it",
                remedy="Copy all files of the VM into one directory",
            )
        for disk, each in zip(disks, files, strict=True):
            _check(disk, each, path.parent)
    except ServiceError as error:
        raise error.about(str(path)) from error.__cause__
    return files


def _check(disk: OvfDisk, file: Path, folder: Path) -> None:
    if not file.resolve().is_relative_to(folder.resolve()):
        raise DiskFormatError(
            ErrorKind.INVALID,
            f"the OVF names {disk.file}, which is a link to another directory",
            remedy="Put the file itself beside the descriptor",
        )
    if not file.is_file():
        raise DiskFormatError(
            ErrorKind.INVALID, f"the OVF names {disk.file}, which is no file", remedy="Give a descriptor of disks"
        )
    size = file.stat().st_size
    if disk.size is not None and disk.size != size:
        raise corrupt(f"the OVF says {disk.file} has {disk.size} bytes, the file has {size}")
    with file.open("rb") as stream:
        if is_ovf(stream.read(HEAD)):
            raise DiskFormatError(
                ErrorKind.INVALID,
                f"the OVF names {disk.file}, which is an OVF",
                remedy="Give a descriptor that names disks",
            )


def check_manifest(path: Path, files: Sequence[Path], stop: Callable[[], object] = lambda: None) -> bool:
    """Prove the OVF at ``path`` and its disk ``files`` by the manifest (``.mf``) beside it; False when there is none.

    Reads all of the files. ``stop`` is called often and may raise. Raises ``DiskFormatError``: CORRUPT for a file
    whose hash differs, or which the manifest does not name.
    """
    manifest = path.with_suffix(".mf")
    if not manifest.is_file():
        return False
    with manifest.open("rb") as stream:
        text = stream.read(_MAX_MANIFEST).decode("utf-8", "replace")
    listed = {name: (kind, value.lower()) for kind, name, value in _LINE.findall(text)}
    for file in (path, *files):
        name = file.relative_to(path.parent).as_posix()
        if name not in listed:
            raise corrupt(f"the manifest {manifest.name} does not name {name}").about(str(path))
        kind, expected = listed[name]
        digest = hashlib.new(kind, usedforsecurity=False)
        with file.open("rb") as stream:
            while piece := stream.read(_STEP):
                digest.update(piece)
                stop()
        if digest.hexdigest() != expected:
            raise corrupt(f"{name} is not what the manifest {manifest.name} says: its {kind} differs").about(str(path))
    return True
