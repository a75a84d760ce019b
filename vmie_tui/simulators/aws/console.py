"""Boots a simulated instance from the content of its disks, with console output and a screenshot."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from vmie_tui.model.guest import GuestFacts, Presence
from vmie_tui.services.disks.guest.inspect import inspect
from vmie_tui.services.disks.streams.source import ByteReader
from vmie_tui.simulators.aws.jpeg import grey_jpeg

COLUMNS, ROWS = 80, 25
CELL_WIDTH, CELL_HEIGHT = 8, 16  # pixels of a character in VGA's text mode
DIM, BRIGHT = 40, 200  # grey of a character's cell against black; most of a letter's cell is empty


@dataclass(frozen=True, slots=True)
class Boot:
    """A boot's result: the console lines, and whether the guest is reachable in the end."""

    lines: tuple[str, ...]
    healthy: bool

    @property
    def text(self) -> str:
        return "\r\n".join(self.lines) + "\r\n"

    def screenshot(self) -> bytes:
        """The last lines as the screen has them: one grey cell for each character, as JPEG."""
        shown = [line[:COLUMNS] for line in self.lines[-ROWS:]]
        grid = [[0 if char == " " else _grey(char) for char in line.ljust(COLUMNS)] for line in shown]
        grid += [[0] * COLUMNS for _ in range(ROWS - len(grid))]
        return grey_jpeg([row for line in grid for row in [line] * (CELL_HEIGHT // CELL_WIDTH)])


def _grey(char: str) -> int:
    return DIM if char in ".,:;'`-_" else min(255, BRIGHT - 60 + ord(char) % 60)


def boot(disks: Sequence[ByteReader], *, mode: str, instance_type: str, host: str, converted: bool = False) -> Boot:
    """Start from these disks, the boot disk first. ``mode``: uefi, or anything else for BIOS.

    ``converted``: VM import has changed the guest, so that addresses set by hand are gone (F132).
    """
    facts = inspect(disks, must_boot=True).facts
    firmware = _uefi(facts) if mode == "uefi" else _bios(facts)
    if firmware:
        return Boot(tuple(firmware), healthy=False)
    if facts.linux is not None:
        return _linux(facts, instance_type, host, converted=converted)
    if facts.windows is not None:
        return _windows(facts)
    return Boot(("Booting from Hard Disk...", "Missing operating system"), healthy=False)


def _bios(facts: GuestFacts) -> list[str]:
    """The BIOS's messages when it cannot boot the first disk; empty when it can."""
    if facts.disks and facts.disks[0].bios_boot:
        return []
    return [
        "SeaBIOS (version 1.16.0)",
        "",
        "Booting from Hard Disk...",
        "Boot failed: not a bootable disk",
        "",
        "No bootable device.",
    ]


def _uefi(facts: GuestFacts) -> list[str]:
    if facts.esp and facts.loader is not Presence.MISSING:
        return []
    lost = "\\EFI\\BOOT\\BOOTX64.EFI: Not Found" if facts.esp else "no EFI system partition"
    return [
        "UEFI firmware (version EDK II)",
        f"BdsDxe: failed to load Boot0001: {lost}",
        "BdsDxe: No bootable option or device was found.",
    ]


def _linux(facts: GuestFacts, instance_type: str, host: str, *, converted: bool) -> Boot:
    linux = facts.linux
    assert linux is not None
    kernels = linux.kernels or ()
    release = kernels[0].version if kernels else "5.10.0"
    name = linux.os_name or f"{linux.os_id or 'Linux'} {linux.os_version}".strip()
    nitro = instance_type.partition(".")[0] not in {"t2", "m4", "c4", "r4"}
    drivers = kernels[0].drivers if kernels else {}
    lines = [
        f"[    0.000000] Linux version {release} ({name})",
        f"[    0.000000] Command line: BOOT_IMAGE=/boot/vmlinuz-{release} console=ttyS0",
        f"[    0.000000] DMI: Amazon EC2 {instance_type}/, BIOS 1.0 10/16/2017",
    ]
    if nitro and drivers.get("nvme") is Presence.MISSING:
        return Boot((*lines, "[    5.001342] Gave up waiting for root file system device.", "(initramfs) "), False)
    root = next((volume for volume in facts.volumes if volume.name == linux.volume), None)
    system = {"xfs": "XFS", "btrfs": "BTRFS"}.get(root.kind if root else "", "EXT4-fs")
    lines += [
        f"[    1.204311] {'nvme nvme0: pci function 0000:00:04.0' if nitro else 'blkfront: xvda: barrier enabled'}",
        f"[    1.611820] {system}: mounted root from {linux.volume}",
        f"[    2.403911] systemd[1]: Set hostname to <{host}>.",
    ]
    card = not (nitro and drivers.get("ena") is Presence.MISSING)
    by_hand = bool(linux.nics) and all(nic.static for nic in linux.nics)
    network = card and (converted or not by_hand)  # an old address answers nobody
    lines.append("[    3.100220] eth0: link becomes ready" if card else "[    3.100220] no network device found")
    if linux.sshd is Presence.PRESENT:
        lines.append("[  OK  ] Started OpenSSH server daemon.")
    return Boot((*lines, "", f"{name} {host} ttyS0", "", f"{host} login: "), network)


def _windows(facts: GuestFacts) -> Boot:
    windows = facts.windows
    assert windows is not None
    name = windows.product or "Windows"
    lines = [
        "<?xml> Computer is booting, SAC started and initialized.",
        f"{name} [Version 10.0.{windows.build}]" if windows.build else name,
        f"Computer name: {windows.computer or 'WIN-EC2'}",
        "Windows is Ready to use",
    ]
    return Boot(tuple(lines), healthy=True)
