"""LVM2: physical volumes, the metadata text, and logical volumes as readers. Linear and striped segments are mapped."""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from vmie_tui.services.disks.guest.yal import DamagedError
from vmie_tui.services.disks.streams.source import ByteReader

SECTOR = 512
_MAX_TEXT = 1 << 20
# A string without its end reaches to the end of the text: to look for that end from each quote would not be linear.
_TOKEN = re.compile(r'\s+|#[^\n]*|("(?:[^"\\]|\\.)*+(?:"|\Z|\\\Z)|[\w.+-]+|[{}\[\]=,])', re.DOTALL)
_DEPTH = 8
_MOST_PIECES = 10_000

Value: TypeAlias = "str | int | list[str | int] | Section"
Section: TypeAlias = "dict[str, Value]"


@dataclass(frozen=True, slots=True)
class PhysicalVolume:
    """A physical volume: its id without hyphens, and the text of its group's metadata ("" when it keeps none)."""

    ident: str
    text: str
    source: ByteReader


@dataclass(frozen=True, slots=True)
class LogicalVolume:
    """A logical volume of LVM."""

    group: str
    name: str
    size: int
    source: ByteReader | None
    missing: tuple[str, ...] = ()  # names of physical volumes that no disk holds
    why: str = ""  # why it cannot be read; "" when it can
    ident: str = ""  # ids of its group and its own without hyphens, as in udev's dm-uuid-LVM-…


def physical_volume(source: ByteReader) -> PhysicalVolume:
    """Read label and metadata. Raises `DamagedError`."""
    head = source.read_at(0, 4 * SECTOR)
    label = next(
        (head[at : at + SECTOR] for at in range(0, len(head), SECTOR) if head[at:].startswith(b"LABELONE")), b""
    )
    if len(label) < SECTOR or label[24:32] != b"LVM2 001":
        raise DamagedError("the LVM label is damaged")
    (start,) = struct.unpack_from("<I", label, 20)
    ident = label[start : start + 32].decode("ascii", "replace")
    at = start + 40
    lists = 0
    areas = []
    while at + 16 <= SECTOR and lists < 2:  # data areas, then metadata areas, each list ended by zeros
        offset, size = struct.unpack_from("<QQ", label, at)
        at += 16
        if not offset:
            lists += 1
        elif lists:
            areas.append((offset, size))
    text = ""
    for offset, size in areas:
        text = text or _metadata_text(source, offset, size)
    return PhysicalVolume(ident, text, source)


def _metadata_text(source: ByteReader, base: int, area: int) -> str:
    header = source.read_at(base, SECTOR)
    if header[4:20] != b" LVM2 x[5A%r0N*>":
        return ""
    offset, size = struct.unpack_from("<QQ", header, 40)
    if not offset or not 0 < size <= min(_MAX_TEXT, area) or not SECTOR <= offset < area:
        return ""
    first = min(size, area - offset)  # the area is circular behind its header
    data = source.read_at(base + offset, first)
    if first < size:
        data += source.read_at(base + SECTOR, size - first)
    return data.split(b"\0", 1)[0].decode("utf-8", "replace")


def parse(text: str) -> Section:
    """The metadata as nested dictionaries. Raises `DamagedError`."""
    tokens = [match[1] for match in _TOKEN.finditer(text) if match[1]]
    section, at = _section(tokens, 0, 0)
    if at != len(tokens):
        raise DamagedError("the LVM metadata has a brace too many")
    return section


def _section(tokens: list[str], at: int, depth: int) -> tuple[Section, int]:
    found: Section = {}
    while at < len(tokens) and tokens[at] != "}":
        name, sign = tokens[at], tokens[at + 1] if at + 1 < len(tokens) else ""
        if sign == "{" and depth < _DEPTH:
            found[name], at = _section(tokens, at + 2, depth + 1)
            at += 1
        elif sign == "=" and at + 2 < len(tokens):
            found[name], at = _value(tokens, at + 2)
        else:
            raise DamagedError("the LVM metadata cannot be understood")
    return found, at


def _value(tokens: list[str], at: int) -> tuple[Value, int]:
    if tokens[at] != "[":
        return _scalar(tokens[at]), at + 1
    items: list[str | int] = []
    at += 1
    while at < len(tokens) and tokens[at] != "]":
        if tokens[at] != ",":
            items.append(_scalar(tokens[at]))
        at += 1
    return items, at + 1


def _scalar(token: str) -> str | int:
    if token.startswith('"'):
        return token[1:-1]
    return int(token) if re.fullmatch(r"-?\d{1,18}", token) else token


@dataclass(frozen=True, slots=True)
class _Run:
    start: int  # byte of the logical volume
    size: int
    source: ByteReader
    offset: int


class _Mapped:
    """A logical volume: runs of physical volumes, one after the other."""

    def __init__(self, runs: Sequence[_Run], size: int) -> None:
        self._runs, self._size = runs, size

    @property
    def size(self) -> int:
        return self._size

    def read_at(self, offset: int, length: int) -> bytes:
        """``length`` bytes from ``offset``, fewer only at the end."""
        end = min(offset + length, self._size)
        pieces = []
        for run in self._runs:
            low, high = max(offset, run.start), min(end, run.start + run.size)
            if low < high:
                pieces.append(run.source.read_at(run.offset + low - run.start, high - low))
        return b"".join(pieces)


def logical_volumes(volumes: Sequence[PhysicalVolume]) -> Iterator[LogicalVolume]:
    """The logical volumes of every group that ``volumes`` belong to. Raises `DamagedError` for unreadable metadata."""
    held = {volume.ident: volume.source for volume in volumes}
    groups: dict[str, tuple[int, Section]] = {}
    for volume in volumes:
        for name, group in parse(volume.text).items():
            if isinstance(group, dict):
                sequence = _int(group, "seqno")
                if name not in groups or groups[name][0] < sequence:
                    groups[name] = sequence, group
    for name, (_, group) in groups.items():
        yield from _of_group(name, group, held)


def _of_group(group_name: str, group: Section, held: Mapping[str, ByteReader]) -> Iterator[LogicalVolume]:
    extent = _int(group, "extent_size") * SECTOR
    sources: dict[str, tuple[ByteReader | None, int]] = {}
    for name, physical in _sections(group, "physical_volumes"):
        sources[name] = held.get(_ident(physical)), _int(physical, "pe_start") * SECTOR
    for name, logical in _sections(group, "logical_volumes"):
        segments = [value for key, value in logical.items() if key.startswith("segment") and isinstance(value, dict)]
        status, ident = logical.get("status", []), _ident(group) + _ident(logical)
        if not isinstance(status, list) or "VISIBLE" not in status:
            continue  # part of another one
        size = sum(_int(segment, "extent_count") for segment in segments) * extent
        used = {str(item) for segment in segments for item in _stripes(segment)[::2]}
        missing = tuple(sorted(pv for pv in used if pv in sources and sources[pv][0] is None))
        kinds = {str(segment.get("type", "")) for segment in segments} - {"striped", "linear"}
        if missing or kinds or not extent:
            why = f"its segments are of the kind {', '.join(sorted(kinds))}" if kinds else "part of it is missing"
            yield LogicalVolume(group_name, name, size, None, missing, why, ident)
            continue
        try:
            runs = list(_runs(segments, extent, sources))
        except DamagedError as error:
            yield LogicalVolume(group_name, name, size, None, (), error.problem.what, ident)
            continue
        yield LogicalVolume(group_name, name, size, _Mapped(runs, size), ident=ident)


def _ident(section: Section) -> str:
    return str(section.get("id", "")).replace("-", "")


def _runs(segments: list[Section], extent: int, sources: Mapping[str, tuple[ByteReader | None, int]]) -> Iterator[_Run]:
    made = 0
    for segment in segments:
        stripes = _stripes(segment)
        count, start = _int(segment, "extent_count") * extent, _int(segment, "start_extent") * extent
        pairs = list(zip(stripes[::2], stripes[1::2], strict=False))
        step = count if len(pairs) == 1 else _int(segment, "stripe_size") * SECTOR
        if not pairs or step <= 0 or count // step > _MOST_PIECES:
            raise DamagedError("its stripes make no sense, or are too many")
        for number in range(-(-count // step)):
            name, first = pairs[number % len(pairs)]
            source, base = sources.get(str(name), (None, 0))
            if source is None or not isinstance(first, int):
                raise DamagedError(f"it names a physical volume {name} that its group does not have")
            within = number // len(pairs) * step
            yield _Run(start + number * step, min(step, count - number * step), source, base + first * extent + within)
            made += 1


def _stripes(segment: Section) -> list[str | int]:
    found = segment.get("stripes", [])
    return found if isinstance(found, list) else []


def _sections(group: Section, name: str) -> Iterator[tuple[str, Section]]:
    section = group.get(name, {})
    if isinstance(section, dict):
        for key, value in section.items():
            if isinstance(value, dict):
                yield key, value


def _int(section: Section, name: str) -> int:
    value = section.get(name, 0)
    return value if isinstance(value, int) and 0 <= value < 1 << 40 else 0
