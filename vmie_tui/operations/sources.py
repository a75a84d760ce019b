"""What a typed source is: a VM, files, objects in S3 or EBS snapshots; and what is on the disks of the last three.

Everything here may block: call it in a thread.
"""

from __future__ import annotations

import os
import re
import shlex
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from vmie_tui.model.errors import ErrorKind, ServiceError
from vmie_tui.model.machine import Inventory, Machine
from vmie_tui.model.plan import FileSource, ObjectSource, Route, SnapshotSource, VmSource
from vmie_tui.services.aws.session import Aws
from vmie_tui.services.image_sources import (
    S3,
    SUFFIXES,
    Described,
    describe_file,
    describe_object,
    describe_snapshots,
)

MOST_NAMES = 200
OFFERED = 8  # how many candidates an error names
_SNAPSHOT_ID = re.compile(r"snap-[0-9a-f]{8,17}")
_ID_BEGINS = re.compile(r"snap-[0-9a-f]{0,17}")


@dataclass(frozen=True, slots=True)
class Given:
    """What a text names."""

    kind: str  # a source's KIND: vm, file, object or snapshot
    text: str
    bucket: str = ""
    key: str = ""


def parse_source(text: str) -> Given:
    """What ``text`` names: an object, a snapshot, a file that is there or is written like one, else a VM.

    A file that is named like an id is written ``./snap-0123456789abcdef0``.

    Raises ServiceError INVALID for an S3 address without bucket or key.
    """
    if text.lower().startswith(S3):
        bucket, _, key = text[len(S3) :].partition("/")
        if not bucket or not key:
            raise ServiceError(
                ErrorKind.INVALID, "is no s3://bucket/key", subject=text, remedy="Name the bucket and the object"
            )
        return Given(ObjectSource.KIND, text, bucket, key)
    if _SNAPSHOT_ID.fullmatch(text):
        return Given(SnapshotSource.KIND, text)
    return Given(FileSource.KIND if _is_file(text) else VmSource.KIND, text)


def _is_file(text: str) -> bool:
    if text.startswith(("/", "./", "../", "~")):
        return True
    try:
        return Path(text).exists() or Path(text).suffix.lower() in SUFFIXES
    except (OSError, ValueError):
        return False


def one_kind(given: Sequence[Given]) -> str:
    """The kind of them all. Raises ServiceError INVALID when there are several, or none."""
    kinds = sorted({one.kind for one in given})
    if len(kinds) == 1:
        return kinds[0]
    raise ServiceError(
        ErrorKind.INVALID,
        f"give sources of one kind at a time, not {' and '.join(kinds)}" if kinds else "nothing was named",
        remedy="Name files, s3://bucket/key or snap-… ids",
    )


def describe_sources(
    given: Sequence[Given],
    sign_in: Callable[[], Aws],
    *,
    region: str | None = None,
    raw: bool = False,
    route: Route | None = None,
    on_step: Callable[[str], None] = lambda _: None,
) -> Described:
    """One machine of files, objects (a key that ends in / is a prefix) or snapshots, its boot disk first.

    ``route`` None: image, or image-direct for EBS snapshots. Raises ServiceError, and as `services.image_sources` does.
    """
    kind = one_kind(given)
    if raw and kind != FileSource.KIND:
        raise ServiceError(ErrorKind.INVALID, "only files can be taken as RAW", subject=given[0].text)
    if len({one.bucket for one in given}) > 1:
        raise ServiceError(
            ErrorKind.INVALID, "the disks of one machine lie in one bucket", remedy="Import the objects one by one"
        )
    if kind == FileSource.KIND:
        on_step("looking at the file" if len(given) == 1 else "looking at the files")
        return describe_file([one.text for one in given], raw=raw, route=route or Route.IMAGE)
    on_step("signing in to AWS")
    aws = sign_in()
    if kind == SnapshotSource.KIND:
        on_step("reading a few blocks of the snapshots")
        ids = [one.text for one in given]
        return describe_snapshots(aws, region or aws.region, ids, route=route or Route.IMAGE_DIRECT)
    on_step("reading a few ranges of the objects")
    prefix = len(given) == 1 and given[0].key.endswith("/")
    keys: str | list[str] = given[0].key if prefix else [one.key for one in given]
    return describe_object(aws, given[0].bucket, keys, route=route or Route.IMAGE)


def describe_line(
    line: str, sign_in: Callable[[], Aws], *, raw: bool = False, on_step: Callable[[str], None] = lambda _: None
) -> Described:
    """What a line of one or several sources names; what names no object and no snapshot is a file."""
    given = [parse_source(word) for word in words_of_line(line)]
    files = [Given(FileSource.KIND, one.text) if one.kind == VmSource.KIND else one for one in given]
    return describe_sources(files, sign_in, raw=raw, on_step=on_step)


def words_of_line(text: str) -> list[str]:
    """The things named: one path as it is when such a file exists, however many blanks are in it."""
    stripped = text.strip()
    if stripped and Path(stripped).expanduser().exists():
        return [stripped]
    try:
        return shlex.split(stripped)
    except ValueError:
        return [stripped]  # an open quotation mark


# -- VMs by name


def named(machines: Sequence[Machine], wanted: str) -> list[Machine]:
    """All machines of this name, path (which may begin with a slash) or id."""
    path = wanted.removeprefix("/")
    return [one for one in machines if wanted in {one.name, one.moid} or path == one.path]


def find(machines: Sequence[Machine], wanted: str) -> Machine:
    """The only machine of this name, path or id. Raises ServiceError that names all of several, or near misses."""
    found = named(machines, wanted)
    if len(found) > 1:
        several = {path for path, count in Counter(machine.path for machine in found).items() if count > 1}
        shown = [f"{one.moid} ({one.path})" if one.path in several else one.path for one in found]
        raise ServiceError(
            ErrorKind.INVALID,
            f"{len(found)} virtual machines have this name",
            subject=wanted,
            remedy=f"Give the {'id' if several else 'path'} of one of them: " + ", ".join(shown),
        )
    if not found:
        near = [machine.path for machine in machines if wanted.casefold() in machine.path.casefold()][:OFFERED]
        raise ServiceError(
            ErrorKind.NOT_FOUND,
            "there is no virtual machine of this name",
            subject=wanted,
            remedy=f"Did you mean {', '.join(near)}" if near else "See 'vmie-tui inventory'",
        )
    return found[0]


def machines_of_files(given: Sequence[Given], read: Callable[[], Inventory]) -> list[Given]:
    """The sources; what is written like a file, and is none, is a machine where vCenter has one of that name."""
    absent = [one for one in given if one.kind == FileSource.KIND and not _is_there(one.text)]
    if not absent:
        return list(given)
    try:
        machines = read().machines
    except ServiceError:
        return list(given)  # that there is no such file is what matters then
    return [replace(one, kind=VmSource.KIND) if one in absent and named(machines, one.text) else one for one in given]


def _is_there(text: str) -> bool:
    try:
        return Path(text).expanduser().exists()
    except (OSError, RuntimeError, ValueError):
        return False


# -- the names of files


def may_be_in_aws(text: str) -> bool:
    """Whether ``text`` may be the beginning of an object's address, or of a snapshot's id."""
    return text.lower().startswith(S3) or _ID_BEGINS.fullmatch(text) is not None


@dataclass(frozen=True, slots=True)
class Name:
    """An entry of a folder; ``size`` is bytes, -1 for a folder."""

    path: str
    size: int

    @property
    def folder(self) -> bool:
        return self.size < 0

    @property
    def last(self) -> str:
        """Its own name; a folder's with the slash at its end."""
        return self.path.rstrip("/").rpartition("/")[2] + ("/" if self.folder else "")


@dataclass(frozen=True, slots=True)
class Completion:
    """``text``: what was typed, with all that the ``names`` have in common; ``why``: why there are none."""

    text: str
    names: tuple[Name, ...] = ()
    why: str = ""


def complete(text: str) -> Completion:
    """The files and folders whose names begin with ``text``; disk images and folders first."""
    if text.lower().startswith(S3):
        return Completion(text)
    typed = os.path.expanduser(text)  # noqa: PTH111 - a Path would lose the slash at the end
    folder, _, start = typed.rpartition("/")
    where = folder + "/" if "/" in typed else "."
    found: list[Name] = []
    try:
        with os.scandir(where) as entries:
            for entry in entries:
                if entry.name.startswith(start) and (start or not entry.name.startswith(".")):
                    path = f"{folder}/{entry.name}" if "/" in typed else entry.name
                    found.append(Name(path + "/", -1) if entry.is_dir() else Name(path, _size(entry)))
    except OSError as error:
        return Completion(text, why=error.strerror or "cannot be read")
    found.sort(key=lambda name: (not name.folder and Path(name.path).suffix.lower() not in SUFFIXES, name.path))
    common = _in_common([name.path for name in found]) if found else typed
    grown = text + common[len(typed) :] if common.startswith(typed) else text
    return Completion(grown, tuple(found[:MOST_NAMES]))


def _in_common(names: list[str]) -> str:
    """What all of them begin with."""
    low, high = min(names), max(names)
    same = next((number for number, char in enumerate(low) if high[number] != char), len(low))
    return low[:same]


def _size(entry: os.DirEntry[str]) -> int:
    try:
        return entry.stat().st_size
    except OSError:
        return 0
