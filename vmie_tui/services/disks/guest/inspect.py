"""Inspects a machine's disks and applies the content rules."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from vmie_tui.model.errors import ServiceError
from vmie_tui.model.finding import Finding
from vmie_tui.model.guest import GrubConfig, GuestFacts, LinuxFacts, NotInspected, Presence, WindowsFacts
from vmie_tui.model.machine import Firmware
from vmie_tui.model.rules.content import check_content
from vmie_tui.services.disks.guest.devices import by_place, named
from vmie_tui.services.disks.guest.filesystems import FileSystem
from vmie_tui.services.disks.guest.linux import (
    grub_configs,
    inspect_linux,
    is_root,
    kernel_version,
    loader_roots,
    mounts,
)
from vmie_tui.services.disks.guest.ntfs import Ntfs
from vmie_tui.services.disks.guest.tree import Tree
from vmie_tui.services.disks.guest.volumes import Found, find_volumes
from vmie_tui.services.disks.guest.windows import inspect_windows, is_windows
from vmie_tui.services.disks.streams.ranges import BlockReader, Budget
from vmie_tui.services.disks.streams.source import ByteReader

_LOADER = "/EFI/BOOT/BOOTX64.EFI"
_GRUB_LOADER = "GRUBX64.EFI"
_ESPS = ("/boot/efi", "/efi")


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
    """Inspects the disks of one machine, boot disk first.

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
    linux, roots = find_linux(found, grub, missed)
    windows, windows_roots = _windows(found, missed)
    return GuestFacts(
        tables,
        tuple(one.volume for one in found),
        roots,
        linux,
        windows,
        windows_roots,
        any(one.esp for one in found),
        _on_esp(found, missed, lambda tree: (_LOADER,)),
        _on_esp(found, missed, _grub_loaders),
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


def _on_esp(found: Sequence[Found], missed: list[NotInspected], paths: Callable[[Tree], tuple[str, ...]]) -> Presence:
    """Whether an EFI system partition has one of these files."""
    trees = [Tree(one.system, missed) for one in found if one.esp and one.system is not None]
    seen = {tree.has(*paths(tree)) for tree in trees}
    if any(one.esp and one.system is None for one in found):
        seen.add(Presence.UNKNOWN)
    return next((state for state in (Presence.PRESENT, Presence.UNKNOWN) if state in seen), Presence.MISSING)


def _grub_loaders(tree: Tree) -> tuple[str, ...]:
    """Where distributions put GRUB: a folder of the vendor's name below EFI."""
    return tuple(f"/EFI/{folder}/{_GRUB_LOADER}" for folder in tree.names("/EFI") or ("BOOT",))


def find_linux(
    found: Sequence[Found], grub: tuple[GrubConfig, ...], missed: list[NotInspected]
) -> tuple[LinuxFacts | None, tuple[str, ...]]:
    """The Linux system that would boot, and the volumes of all that were found."""
    roots = [one for one in found if one.posix is not None and _holds(is_root, one, one.posix, missed)]
    if not roots:
        return None, ()
    root = _root(roots, found, missed)
    system = root.posix
    assert system is not None
    tree = Tree(system, missed)
    _mount(tree, root, found)
    facts = inspect_linux(tree, root.volume.name, system.free, grub)
    return facts, tuple(one.volume.name for one in roots)


def _root(roots: Sequence[Found], found: Sequence[Found], missed: list[NotInspected]) -> Found:
    """Of several the one that a boot loader names, else the active one."""
    if len(roots) > 1:
        specs = {spec for one in found for spec in _loader_roots(one, missed)}
        meant = [one for one in roots if any(_resolve(spec, found, one) is one for spec in specs)]
        if len(meant) == 1:
            return meant[0]
    return next((one for one in roots if one.active), roots[0])


def _loader_roots(one: Found, missed: list[NotInspected]) -> tuple[str, ...]:
    return loader_roots(Tree(one.system, missed)) if one.system is not None and _mountable(one) else ()


def _mountable(one: Found) -> bool:
    """Whether /boot may be here: a file system for Linux, or an EFI system partition."""
    return one.posix is not None or (one.system is not None and one.volume.kind == "fat")


def _resolve(spec: str, found: Sequence[Found], near: Found) -> Found | None:
    """The one volume that a device name means; of copies with the same ids the one on the disk of ``near``."""
    meant = [found[place] for place in named(spec, found)]
    if len(meant) > 1:
        meant = [one for one in meant if one.volume.disk == near.volume.disk]
    return meant[0] if len(meant) == 1 else None


def _mount(tree: Tree, root: Found, found: Sequence[Found]) -> None:
    """Mount what fstab says, as far as it matters here. What it says and is not found hides what is there."""
    wanted = mounts(tree)
    esps = [one for one in found if one.esp and one.system is not None]
    for mount in sorted({*wanted, "/boot", "/boot/efi"}):
        spec = wanted.get(mount, "")
        volume = _resolve(spec, found, root) if spec else None
        if volume is root:
            continue
        if mount == "/boot" and (volume is None or (by_place(spec) and not _kernels(volume))):
            volume = _boot_volume(tree, root, found, spec)
        elif mount in _ESPS and volume is None and len(esps) == 1:
            volume = esps[0]
        if volume is not None and volume.system is not None:
            tree.mount(mount, volume.system)
        elif spec:
            tree.hide(mount, f"its file system {spec} was not found, or cannot be read")


def _boot_volume(tree: Tree, root: Found, found: Sequence[Found], spec: str) -> Found | None:
    """The volume that must be /boot although ``spec`` does not tell: the only one with kernels of this system."""
    if not spec and any(kernel_version(name) for name in tree.names("/boot") or ()):
        return None  # they are on the root file system
    modules = set(tree.names("/lib/modules") or ())
    fitting = [one for one in found if one is not root and (_kernels(one) & modules or (not modules and _kernels(one)))]
    if len(fitting) > 1:
        specs = [(one, _loader_roots(one, [])) for one in fitting]
        fitting = [one for one, roots in specs if any(_resolve(each, found, root) is root for each in roots)]
    if len(fitting) != 1:
        return None
    if spec:
        name = fitting[0].volume.name
        tree.miss(f"/boot as {spec}", f"that was not found; {name} was taken, the only one with this system's kernels")
    return fitting[0]


def _kernels(one: Found) -> set[str]:
    """The versions of the kernels in the top directory of a file system."""
    if one.system is None or not _mountable(one):
        return set()
    try:
        return {version for name in one.system.root().names() if (version := kernel_version(name))}
    except ServiceError:
        return set()


def _windows(found: Sequence[Found], missed: list[NotInspected]) -> tuple[WindowsFacts | None, tuple[str, ...]]:
    """The first Windows, and the volumes of all that were found."""
    facts, roots = None, []
    for one in found:
        if isinstance(one.system, Ntfs) and _holds(is_windows, one, one.system, missed):
            facts = facts or inspect_windows(Tree(one.system, missed), one.volume.name, one.system)
            roots.append(one.volume.name)
    return facts, tuple(roots)


def _holds(question: Callable[[Tree], Presence], one: Found, system: FileSystem, missed: list[NotInspected]) -> bool:
    """Whether there is a system; not being able to tell is noted for the volume as a whole."""
    notes: list[NotInspected] = []
    answer = question(Tree(system, notes))
    if answer is Presence.UNKNOWN:
        missed.append(NotInspected(f"the files on {one.volume.name}", notes[0].why))
    return answer is Presence.PRESENT
