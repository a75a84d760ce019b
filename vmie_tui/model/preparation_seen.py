"""Which lines of the preparation checklist a look into the guest's disks settles."""

from __future__ import annotations

from collections.abc import Iterator

from vmie_tui.model import facts
from vmie_tui.model.guest import GuestFacts, LinuxFacts, Presence, WindowsFacts
from vmie_tui.model.rules.content_windows import DOTNET_45, US_ENGLISH

MIB = 1 << 20
_ENCRYPTED = frozenset({"luks", "bitlocker"})
_DEVICES = ("/dev/sd", "/dev/hd", "/dev/vd", "/dev/xvd", "/dev/nvme")
_PREDICTABLE = ("en", "wl")
_NIC_DRIVERS = ("nvme", "ena")


def seen_on_disk(guest: GuestFacts) -> dict[str, bool]:
    """Item id -> done; only what was read. Give it to `preparation.checklist`."""
    found = dict(_any(guest))
    if guest.linux is not None:
        found |= dict(_linux(guest, guest.linux))
    if guest.windows is not None:
        found |= dict(_windows(guest.windows))
    return found


def _any(guest: GuestFacts) -> Iterator[tuple[str, bool]]:
    encrypted = any(volume.kind.lower() in _ENCRYPTED for volume in guest.volumes)
    if encrypted or len(guest.roots) > 1 or (guest.linux is not None and guest.windows is not None):
        yield "GP8", False


def _presence(ident: str, presence: Presence) -> Iterator[tuple[str, bool]]:
    if presence is not Presence.UNKNOWN:
        yield ident, presence is Presence.PRESENT


def _linux(guest: GuestFacts, linux: LinuxFacts) -> Iterator[tuple[str, bool]]:
    yield from _presence("GP4", linux.dhcp)
    if linux.vmware_tools is not Presence.UNKNOWN:
        yield "GP2", linux.vmware_tools is Presence.MISSING
    if linux.sshd is Presence.MISSING or linux.sshd_enabled is Presence.MISSING:
        yield "GL1", False
    elif linux.sshd is Presence.PRESENT and linux.sshd_enabled is Presence.PRESENT:
        yield "GL1", True
    if linux.grub or guest.grub:
        yield "GL4", True
    root = next((volume for volume in guest.volumes if volume.name == linux.volume), None)
    if root is not None and root.kind and root.subvolumes is not None:
        yield "GL5", root.subvolumes == 0
    elif root is not None and root.kind and root.kind != "btrfs":
        yield "GL5", root.kind in facts.load("guests")["filesystems"]["linux"]["root_must_be_one_of"]
    if linux.nics:
        yield "GL6", not any(nic.name.startswith(_PREDICTABLE) for nic in linux.nics)
    if linux.elf:
        yield "GL8", linux.elf == "x86_64"
    if linux.free is not None:
        yield "GL10", linux.free >= facts.limit("sms", "linux_root_free_space_min")["value_mib"] * MIB
    yield from _kernels(linux)
    if guest.esp:
        yield from _presence("GL12", guest.loader)
    if linux.fstab is Presence.PRESENT:
        yield "GL13", not any(line.spec.startswith(_DEVICES) for line in linux.fstab_lines)
    if guest.roots and (linux.grub or guest.grub):
        yield "GL14", len(guest.roots) == 1 and len({config.digest for config in (*linux.grub, *guest.grub)}) <= 1


def _kernels(linux: LinuxFacts) -> Iterator[tuple[str, bool]]:
    if not linux.kernels:
        return
    drivers = [kernel.drivers.get(name, Presence.UNKNOWN) for kernel in linux.kernels for name in _NIC_DRIVERS]
    if Presence.UNKNOWN not in drivers:
        yield "GL11", Presence.MISSING not in drivers
    disks = [kernel.ramdisk for kernel in linux.kernels]
    if Presence.UNKNOWN not in disks:
        yield "GL15", Presence.MISSING not in disks and all(kernel.format != "" for kernel in linux.kernels)


def _windows(windows: WindowsFacts) -> Iterator[tuple[str, bool]]:
    plain = {
        "GP2": windows.vmware_tools,
        "GW1": windows.rdp_denied,
        "GW5": windows.auto_logon,
        "GW6": windows.pending_reboot,
        "GW13": windows.hyper_v,
    }
    for ident, wrong in plain.items():
        if wrong is not None:
            yield ident, not wrong
    if windows.static_addresses is not None:
        yield "GP4", not windows.static_addresses
    if windows.dotnet is not None:
        yield "GW4", windows.dotnet >= DOTNET_45
    if windows.language:
        yield "GW12", windows.language.lower() == US_ENGLISH
    if windows.paging is not None and windows.free is not None:
        room = facts.limit("import", "windows_root_free_space_min")["value_gib"] * facts.GIB
        fixed = not any(line.startswith("?:") for line in windows.paging)
        if windows.free >= room or not windows.free_at_least:
            yield "GW11", fixed and windows.free >= room
        elif not fixed:
            yield "GW11", False
