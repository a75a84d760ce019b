"""From what was typed to what it is: names of files completed, and a file, S3 objects or EBS snapshots described.

Everything here may block: call it in a thread.
"""

from __future__ import annotations

import os
import shlex
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from vmie_tui.model.errors import ErrorKind, ServiceError
from vmie_tui.services.describe import Described, describe_file, describe_object, describe_snapshots, parse_source

if TYPE_CHECKING:
    from vmie_tui.services.aws.session import Aws

MOST_NAMES = 200
IMAGES = frozenset({".ova", ".ovf", ".vmdk", ".vhd", ".vhdx", ".raw", ".img", ".qcow2", ".vdi"})
S3, SNAPSHOT = "s3://", "snap-"


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
    if text.startswith((S3, SNAPSHOT)):
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
    found.sort(key=lambda name: (not name.folder and Path(name.path).suffix.lower() not in IMAGES, name.path))
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


def describe(sign_in: Callable[[], Aws], text: str, *, raw: bool, on_step: Callable[[str], None]) -> Described:
    """What ``text`` names: files, ``s3://bucket/key`` objects (a key ending in / is a prefix), or snapshots.

    Several are separated by blanks, the boot disk first. Raises ServiceError, also INVALID for what names nothing.
    """
    words = _words(text)
    kinds = {S3 if word.lower().startswith(S3) else SNAPSHOT if word.startswith(SNAPSHOT) else "" for word in words}
    if len(kinds) != 1:
        what = "these are of different kinds" if words else "nothing was named"
        raise ServiceError(ErrorKind.INVALID, what, subject=text, remedy="Name files, s3://bucket/key or snap-… ids")
    kind = kinds.pop()
    if not kind:
        on_step("looking at the file" if len(words) == 1 else "looking at the files")
        return describe_file(words, raw=raw)
    on_step("signing in to AWS")
    aws = sign_in()
    if kind == SNAPSHOT:
        on_step("reading a few blocks of the snapshots")
        return describe_snapshots(aws, aws.region, words)
    given = [parse_source(word) for word in words]
    if len({one.bucket for one in given}) > 1:
        raise ServiceError(ErrorKind.INVALID, "the objects lie in different buckets", subject=text)
    on_step("reading a few ranges of the objects")
    prefix = len(given) == 1 and given[0].key.endswith("/")
    keys = given[0].key if prefix else [one.key for one in given]
    return describe_object(aws, given[0].bucket, keys, region=aws.region)


def _words(text: str) -> list[str]:
    """The things named: one path as it is when such a file exists, however many blanks are in it."""
    stripped = text.strip()
    if stripped and Path(stripped).expanduser().exists():
        return [stripped]
    try:
        return shlex.split(stripped)
    except ValueError:
        return [stripped]  # an open quotation mark
