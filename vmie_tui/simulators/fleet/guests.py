"""Skeleton guests: small real disks with real file systems inside, packed in a few kB each.

``images/index.toml`` tells what each guest is and what is right or wrong about it; ``tools/make_guests.py`` makes both.
An ``images/<name>.xz`` holds, compressed, one line of JSON and then data::

    {"size": 536870912, "pieces": [[offset, length, fill], ...], "free": [[offset, length], ...]}

A piece with ``fill`` -1 is the next ``length`` bytes of the data; another ``fill`` is that byte repeated. The rest of
the disk is zeros, left as a hole. ``free`` are the ranges no file system uses: demo data goes there, as deleted files.
A template (``base-...``) also has ``"slots": {"hostname": [[offset, length], ...], ...}``: what a machine overwrites
with what is its own (see `own_disk`).
"""

from __future__ import annotations

import json
import lzma
import os
import tomllib
from dataclasses import dataclass, replace
from functools import cache, lru_cache, partial
from importlib import resources
from pathlib import Path
from typing import Any, Literal

from vmie_tui.simulators.fleet.content import LARGEST, Extent, fill
from vmie_tui.simulators.fleet.own_disk import Identity, enlarge, personalise, rename_volumes
from vmie_tui.simulators.spec import DiskSpec

BASE, PLAIN = "base-", "-plain"  # what names of templates begin with; what those without VMware Tools end with
_RUN = 1 << 20
_KEPT = 8  # unpacked templates kept in memory, most below 1 MiB


@dataclass(frozen=True, slots=True)
class Guest:
    """One entry of the index. ``size`` in bytes; ``expect``: what a look at the content must find, by short name."""

    name: str
    title: str
    about: str
    size: int
    sha256: str  # of the whole disk, before data is added
    blocks: str  # SHA-256 over offset (8 bytes, little-endian) and content of every 4 KiB block that is not zero
    boot: str  # bios | uefi | none (a data disk)
    expect: tuple[str, ...] = ()
    noise: Literal["mixed", "random"] = "mixed"  # what fills its room: deleted files, or ciphertext


@cache
def index() -> dict[str, Guest]:
    """Every packed guest by name."""
    text = (resources.files("vmie_tui.simulators.fleet") / "images" / "index.toml").read_text(encoding="utf-8")
    table: dict[str, dict[str, Any]] = tomllib.loads(text)
    return {name: Guest(name, **{**entry, "expect": tuple(entry["expect"])}) for name, entry in table.items()}


@lru_cache(maxsize=_KEPT)
def _unpack(name: str) -> tuple[dict[str, Any], memoryview]:
    """Header and data of a guest's blob; KeyError for a guest that does not exist."""
    guest = index()[name]
    blob = (resources.files("vmie_tui.simulators.fleet") / "images" / f"{guest.name}.xz").read_bytes()
    content = lzma.decompress(blob)
    end = content.index(b"\n")
    header: dict[str, Any] = json.loads(content[:end])
    return header, memoryview(content)[end + 1 :]


def restore(name: str, path: Path) -> list[Extent]:
    """Write the guest's disk to ``path`` as a sparse file; returns the byte ranges its file systems leave free.

    Raises KeyError for an unknown guest and OSError when the file cannot be written.
    """
    header, data = _unpack(name)
    with path.open("wb") as file:
        os.truncate(path, header["size"])
        for offset, length, byte in header["pieces"]:
            file.seek(offset)
            if byte < 0:
                file.write(data[:length])
                data = data[length:]
                continue
            for at in range(0, length, _RUN):
                file.write(bytes((byte,)) * min(_RUN, length - at))
    return [(int(offset), int(length)) for offset, length in header["free"]]


@cache
def room(name: str) -> tuple[Extent, ...]:
    """The byte ranges that no file system of the guest uses; KeyError for a guest that does not exist."""
    return tuple((int(offset), int(length)) for offset, length in _unpack(name)[0]["free"])


def make(path: Path, name: str, data: int, seed: str, *, capacity: int = 0, identity: Identity | None = None) -> None:
    """Restore the guest to ``path`` and leave about ``data`` bytes of deleted files, told by ``seed``, in its room.

    ``capacity``: bytes of the disk, for one that is larger than the guest; such a disk gets identifiers of its own.
    ``identity``: whose boot disk it is; without it a larger disk is one for data.
    """
    free = restore(name, path)
    if capacity:
        if capacity < index()[name].size:
            raise ValueError(f"{name} needs {index()[name].size} bytes, not {capacity}")
        os.truncate(path, capacity)
        file = os.open(path, os.O_RDWR)
        try:
            enlarge(file, seed)
            if identity is None:
                rename_volumes(file, seed)
            else:
                personalise(file, identity, _unpack(name)[0].get("slots", {}))
        finally:
            os.close(file)
    if data:
        fill(path, free, data, seed, kind="random" if index()[name].noise == "random" else None)


def disk(name: str, data_mib: int, seed: str, **more: Any) -> DiskSpec:
    """A disk of the demo fleet that holds this guest; ``more`` are further fields of `DiskSpec`."""
    made = partial(make, name=name, data=data_mib << 20, seed=seed)
    return DiskSpec(index()[name].size, made, room=partial(room, name), **more)


def filled(spec: DiskSpec, name: str, data: int, seed: str, identity: Identity | None = None) -> DiskSpec:
    """``spec`` with this guest at its front, and otherwise as it is."""
    capacity = min(spec.capacity, LARGEST)
    made = partial(make, name=name, data=data, seed=seed, capacity=capacity, identity=identity)
    return replace(spec, make=made, room=partial(room, name))
