"""Looks into a machine's disks and lets the rules judge what is there."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from vmie_tui.model.errors import ServiceError
from vmie_tui.model.finding import Finding
from vmie_tui.model.guest import GrubConfig, GuestFacts, LinuxFacts, NotInspected, Presence, WindowsFacts
from vmie_tui.model.machine import Firmware
from vmie_tui.model.rules.content import check_content
from vmie_tui.services.disks.guest.filesystems import FileSystem
from vmie_tui.services.disks.guest.linux import grub_configs, inspect_linux, is_root, read_fstab
from vmie_tui.services.disks.guest.ntfs import Ntfs
from vmie_tui.services.disks.guest.tree import Tree
from vmie_tui.services.disks.guest.volumes import Found, find_volumes
from vmie_tui.services.disks.guest.windows import inspect_windows, is_windows
from vmie_tui.services.disks.ranges import BlockReader, Budget
from vmie_tui.services.disks.source import ByteReader

_LOADER = "/EFI/BOOT/BOOTX64.EFI"
_MOUNTED = {"/boot", "/boot/efi", "/efi", "/usr"}
_DEVICE = re.compile(r"/dev/(?:sd|hd|vd|xvd)([a-z])(\d*)")


@dataclass(frozen=True, slots=True)
class GuestReport:
    """What was found, what it means (worst first), and what looking has cost over all disks."""

    facts: GuestFacts
    findings: tuple[Finding, ...]
    requests: int
    bytes_read: int

    def to_json(self) -> dict[str, Any]:
        return {
            "findings": [finding.to_json() for finding in self.findings],
            "facts": self.facts.to_json(),
            "requests": self.requests,
            "bytes_read": self.bytes_read,
        }


def inspect(disks: Sequence[ByteReader], *, firmware: Firmware | None = None, must_boot: bool = False) -> GuestReport:
    """Look into the disks of one machine, its boot disk first.

    A disk that counts its own cost (``budget``, as `OpenDisk` does) is read as it is; any other through a `BlockReader`
    with the default budget. ``must_boot``: these are all disks of a machine, so that none with a system is a blocker.
    What cannot be read, or not within the budget, is in ``facts.not_inspected``. Raises only what the source of a disk
    raises (ServiceError) when not even its first sectors can be read.
    """
    looked = [_metered(disk) for disk in disks]
    facts = _look([reader for reader, _ in looked])
    budgets = {id(budget): budget for _, budget in looked}.values()
    return GuestReport(
        facts,
        check_content(facts, firmware=firmware, must_boot=must_boot),
        sum(budget.used_requests for budget in budgets),
        sum(budget.used_bytes for budget in budgets),
    )


def _metered(disk: ByteReader) -> tuple[ByteReader, Budget]:
    budget = getattr(disk, "budget", None)
    if isinstance(budget, Budget):
        return disk, budget
    reader = BlockReader(disk)
    return reader, reader.budget


def _look(disks: Sequence[ByteReader]) -> GuestFacts:
    missed: list[NotInspected] = []

    def miss(what: str, why: str) -> None:
        note = NotInspected(what, why)
        if note not in missed:
            missed.append(note)

    tables, found = find_volumes(disks, miss)
    grub = _grub(found, missed)
    linux, roots = _linux(found, grub, missed)
    windows = _windows(found, missed)
    return GuestFacts(
        tables,
        tuple(one.volume for one in found),
        roots,
        linux,
        windows,
        any(one.esp for one in found),
        _loader(found, missed),
        grub,
        tuple(missed),
    )


def _grub(found: Sequence[Found], missed: list[NotInspected]) -> tuple[GrubConfig, ...]:
    """Every boot loader configuration, but for those on an ESP, which only lead to the real one."""
    configs: list[GrubConfig] = []
    for one in found:
        if one.posix is not None:
            configs += grub_configs(Tree(one.posix, missed), one.volume.name)
    return tuple(configs)


def _loader(found: Sequence[Found], missed: list[NotInspected]) -> Presence:
    """Whether an EFI system partition has the fallback loader."""
    seen = {Tree(one.system, missed).has(_LOADER) for one in found if one.esp and one.system is not None}
    if any(one.esp and one.system is None for one in found):
        seen.add(Presence.UNKNOWN)
    return next((state for state in (Presence.PRESENT, Presence.UNKNOWN) if state in seen), Presence.MISSING)


def _linux(
    found: Sequence[Found], grub: tuple[GrubConfig, ...], missed: list[NotInspected]
) -> tuple[LinuxFacts | None, tuple[str, ...]]:
    """The Linux system that would start, and the volumes of all there are."""
    roots = [one for one in found if one.posix is not None and _holds(is_root, one, one.posix, missed)]
    if not roots:
        return None, ()
    root = next((one for one in roots if one.active), roots[0])
    system = root.posix
    assert system is not None
    tree = Tree(system, missed)
    _mount(tree, root, found)
    facts = inspect_linux(tree, root.volume.name, system.free, grub)
    return facts, tuple(one.volume.name for one in roots)


def _mount(tree: Tree, root: Found, found: Sequence[Found]) -> None:
    """Mount what fstab says, as far as it matters here; a kernel's file system also without fstab."""
    others = [one for one in found if one is not root]
    wanted = {line.mount: line.spec for line in read_fstab(tree)[1] if line.mount in _MOUNTED}
    for mount in sorted(wanted):
        spec = wanted[mount]
        volume = next((one for one in others if _matches(spec, one)), None)
        if volume is not None and volume.system is not None:
            tree.mount(mount, volume.system)
        elif volume is None or not volume.esp:
            tree.miss(mount, f"its file system {spec} was not found, or cannot be read")
    if "/boot" not in wanted:
        kernels = [one.posix for one in others if one.posix is not None and _has_kernels(one.posix)]
        if len(kernels) == 1 and not any(name.startswith("vmlinu") for name in tree.names("/boot") or ()):
            tree.mount("/boot", kernels[0])


def _has_kernels(system: FileSystem) -> bool:
    try:
        return any(name.startswith("vmlinu") for name in system.root().names())
    except ServiceError:
        return False


def _matches(spec: str, one: Found) -> bool:
    """Whether the first field of an fstab line names this volume."""
    volume = one.volume
    kind, _, value = spec.partition("=")
    value = value.strip("\"'")
    if kind == "UUID":
        return bool(volume.uuid) and value.lower() == volume.uuid.lower()
    if kind == "LABEL":
        return bool(volume.label) and value == volume.label
    if "/" in volume.name:
        group, _, name = volume.name.partition("/")
        mapped = f"{group.replace('-', '--')}-{name.replace('-', '--')}"
        return spec in {f"/dev/mapper/{mapped}", f"/dev/{group}/{name}"}
    device = _DEVICE.fullmatch(spec)
    return device is not None and (ord(device[1]) - ord("a"), int(device[2] or 0)) == (volume.disk, one.partition)


def _windows(found: Sequence[Found], missed: list[NotInspected]) -> WindowsFacts | None:
    for one in found:
        if isinstance(one.system, Ntfs) and _holds(is_windows, one, one.system, missed):
            return inspect_windows(Tree(one.system, missed), one.volume.name, one.system)
    return None


def _holds(question: Callable[[Tree], Presence], one: Found, system: FileSystem, missed: list[NotInspected]) -> bool:
    """Whether there is a system; not being able to tell is noted for the volume as a whole."""
    notes: list[NotInspected] = []
    answer = question(Tree(system, notes))
    if answer is Presence.UNKNOWN:
        missed.append(NotInspected(f"the files on {one.volume.name}", notes[0].why))
    return answer is Presence.PRESENT
