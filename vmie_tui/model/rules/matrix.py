"""The table of systems VM import lists, with versions, kernels, editions and Regions, ready to be looked up."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

from vmie_tui.model import facts

Version = tuple[int, ...]
_TWO_PART = frozenset({"Ubuntu"})  # 22.04 is one release, 22.10 another


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the list of supported systems."""

    id: str
    product: str
    release: str  # what releases are told apart by: ``9``, ``22.04``, ``2012 R2``
    first: Version = ()  # the first version; "": the whole release
    last: Version = ()  # the last version
    service_packs: frozenset[str] = frozenset()
    kernels: tuple[str, ...] = ()  # how kernel releases begin; the vendor's own (UEK) has its mark after ``+``
    kernels_excluded: tuple[str, ...] = ()
    bits: frozenset[int] = frozenset({64})
    editions: tuple[str, ...] = ()
    regions_refused: frozenset[str] = frozenset()
    opt_in_regions: bool = True
    opt_in_bits: frozenset[int] = frozenset()
    uefi_only: bool = False
    note: str = ""
    caution: str = ""  # what speaks against it although it is listed

    @property
    def name(self) -> str:
        return f"{self.product} {self.release}"

    def holds(self, version: Version) -> bool:
        """Whether a version of this release is inside; what the version does not say does not count against it."""
        size = min(len(version), len(self.first) or len(version))
        return not self.first or self.first[:size] <= version[:size] <= self.last[:size]


def release_of(product: str, version: Version) -> str:
    """``22.04`` of an Ubuntu, ``9`` of everything else."""
    if product in _TWO_PART:
        return ".".join(f"{part:02}" if at else str(part) for at, part in enumerate(version[:2]))
    return str(version[0]) if version else ""


def parse_version(text: str) -> Version:
    return tuple(int(part) for part in text.split(".") if part.isdigit())


@cache
def rows() -> dict[tuple[str, str], tuple[Row, ...]]:
    """Every row by (product, release)."""
    found: dict[tuple[str, str], list[Row]] = {}
    table = facts.load("guests")["operating_systems"]
    for row in (*_linux(table["linux"]), *_windows(table["windows"])):
        found.setdefault((row.product, row.release), []).append(row)
    return {key: tuple(some) for key, some in found.items()}


@cache
def products() -> frozenset[str]:
    return frozenset(product for product, _ in rows())


def _linux(entries: list[dict[str, Any]]) -> Iterator[Row]:
    for entry in entries:
        product, versions = entry["name"], entry.get("versions", "")
        if not versions:  # "Amazon Linux 2023": the version is part of the name
            product, _, versions = product.rpartition(" ")
        first, _, last = versions.partition("-")
        low, high = parse_version(first), parse_version(last or first)
        yield Row(
            entry["id"],
            product,
            release_of(product, low),
            low,
            high,
            frozenset(entry.get("service_packs", ())),
            tuple(_kernels(entry.get("kernels", ()))),
            tuple(entry.get("kernels_excluded", ())),
            frozenset(entry["bits"]),
            note=entry.get("notes", ""),
            caution=entry.get("caution", ""),
        )


def _kernels(listed: Any) -> Iterator[str]:
    """``5.15.0 (el8uek)`` becomes ``5.15.0+el8uek``, and ``el5uek kernel suffix`` becomes ``+el5uek``."""
    if isinstance(listed, dict):
        for some in listed.values():
            yield from _kernels(some)
        return
    for kernel in listed:
        start, _, mark = kernel.replace(")", "").partition(" (")
        yield f"+{kernel.split()[0]}" if not start[0].isdigit() else f"{start}+{mark}" if mark else start


def _windows(entries: list[dict[str, Any]]) -> Iterator[Row]:
    for entry in entries:
        product = "Windows Server" if entry["kind"] == "server" else "Windows"
        yield Row(
            entry["id"],
            product,
            entry["name"].removeprefix(product).strip(),
            bits=frozenset(entry["bits"]),
            editions=tuple(entry["editions"]),
            regions_refused=frozenset(entry.get("unsupported_regions", ())),
            opt_in_regions=entry["non_default_regions"],
            opt_in_bits=frozenset(entry.get("non_default_regions_bits", entry["bits"])),
            uefi_only=entry.get("boot_mode_required") == "uefi",
            note=entry.get("notes", ""),
        )


@cache
def end_of_life() -> frozenset[str]:
    """Names of the systems that AWS says are past their end of life (``CentOS 7``); it does not test them."""
    return frozenset(facts.load("guests")["operating_systems"]["end_of_life"]["all_versions_of"])


@cache
def newest(product: str) -> Version:
    """The latest release of a product in the list: ``(26, 4)`` of Ubuntu, ``(11,)`` of Windows; () when not listed."""
    return max((number_of(release) for name, release in rows() if name == product), default=())


def number_of(release: str) -> Version:
    """A release as a number that can be compared: ``(22, 4)`` of ``22.04``, ``(2012,)`` of ``2012 R2``."""
    return parse_version(release.partition(" ")[0])


def seen() -> str:
    """The day on which AWS's list was last read (ISO 8601)."""
    ident = facts.load("guests")["operating_systems"]["end_of_life"]["from_page"]
    return str(facts.source(ident)["seen"])
