"""What to do inside the guest before an import: the documented checklist, ticked as far as can be seen, and the
answer file for Sysprep; and what AWS will change in the guest."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any
from xml.sax.saxutils import escape, quoteattr

from vmie_tui.model import facts
from vmie_tui.model.guest import GuestFacts, LinuxFacts, Presence, WindowsFacts
from vmie_tui.model.machine import Backing, Firmware, Machine, OsFamily, Power
from vmie_tui.model.plan import Route
from vmie_tui.model.rules.content_windows import DOTNET_45, US_ENGLISH
from vmie_tui.model.rules.systems import System, system_of

MIB = 1 << 20
_WINDOWS = frozenset({OsFamily.WINDOWS_SERVER, OsFamily.WINDOWS_CLIENT})
_NOT_HERE = frozenset({"GP6", "GL7", "GL16"})  # our own client needs no AWS CLI; said by GP5; about exports
_EDITION = re.compile(r"\b00\d\b")
_LOCALE = re.compile(r"[a-z]{2,3}(?:-[A-Z][a-z]{3})?-[A-Z]{2}")


class Tick(StrEnum):
    """``UNSEEN``: neither done nor open, because nothing that was read shows it."""

    DONE = "done"
    OPEN = "open"
    UNSEEN = "cannot be seen"


@dataclass(frozen=True, slots=True)
class Item:
    """One line of the checklist."""

    id: str  # of its fact
    words: str  # what to do
    group: str
    tick: Tick = Tick.UNSEEN
    seen: str = ""  # what was seen of it
    note: str = ""


_Look = tuple[bool | None, str]  # done, open or not seen; and what was seen


def checklist(
    machine: Machine, *, seen: Mapping[str, bool] | None = None, route: Route = Route.IMAGE
) -> tuple[Item, ...]:
    """The documented preparation for the machine's system. ``seen`` adds, by item id, what was found on its disks.

    What was found on the disks goes before what vCenter's configuration suggests.
    """
    return tuple(_items(machine, dict(seen or {}), route))


def _items(machine: Machine, seen: dict[str, bool], route: Route) -> Iterator[Item]:
    for group, entries in facts.load("guests")["guest_preparation"].items():
        if not isinstance(entries, list) or not _concerns(group, machine):
            continue
        for entry in entries:
            ident = entry["id"]
            if not _applies(ident, machine, route):
                continue
            look = _LOOKS.get(ident)
            done, what = look(machine) if look else (None, "")
            if ident in seen:
                done, what = seen[ident], "seen on the disk"
            tick = Tick.UNSEEN if done is None else Tick.DONE if done else Tick.OPEN
            yield Item(ident, _plain(entry["do"]), group, tick, what, _note(entry))


def _note(entry: dict[str, Any]) -> str:
    parts = [entry.get("note", ""), entry.get("after_import", ""), entry.get("before", ""), entry.get("after", "")]
    return "; ".join(part for part in parts if part and not _EDITION.search(part))


def _concerns(group: str, machine: Machine) -> bool:
    if group == "general":
        return True
    return machine.os_family in _WINDOWS if group == "windows" else machine.os_family is OsFamily.LINUX


def _applies(ident: str, machine: Machine, route: Route) -> bool:
    """Some lines are for certain machines only."""
    system = system_of(machine)
    only = {
        "GW8": _dst_hotfix(system),
        "GW10": machine.os_family is OsFamily.WINDOWS_SERVER,
        "GW15": route is Route.INSTANCE or len(machine.disks) > 1,
        "GL12": machine.firmware is Firmware.UEFI,
    }
    return ident not in _NOT_HERE and only.get(ident, True)


def _dst_hotfix(system: System) -> bool:
    """Named by the guides for these three; asked of a Windows whose version is not known as well."""
    return not system.releases or bool({"2008", "2008 R2", "7"} & set(system.releases))


# -- what vCenter's configuration shows


def _tools(machine: Machine) -> _Look:
    if not machine.tools_status:
        return None, ""
    absent = machine.tools_status in {"toolsNotInstalled", "guestToolsNotInstalled"}
    return absent, "not installed" if absent else "installed"


def _cdrom(machine: Machine) -> _Look:
    return (False, "one is connected") if machine.cdrom_connected else (True, "none is connected")


def _dhcp(machine: Machine) -> _Look:
    known = [nic.dhcp for nic in machine.nics if nic.dhcp is not None]
    if not known:
        return None, ""
    return all(known), "all addresses by DHCP" if all(known) else "an address is set by hand"


def _power(machine: Machine) -> _Look:
    if machine.power is Power.OFF:
        return True, "it is off"
    return False, f"it is {machine.power.value}; a running VM is copied from a snapshot"


def _forbidden(machine: Machine) -> _Look:
    kinds = {Backing.RDM: "a raw device mapping", Backing.SESPARSE: "SEsparse"}
    found = [kinds[disk.backing] for disk in machine.disks if disk.backing in kinds]
    if machine.encrypted or any(disk.encrypted for disk in machine.disks):
        found.append("encryption by vSphere")
    return (False, "it has " + ", ".join(dict.fromkeys(found))) if found else (None, "no RDM and no SEsparse")


def _volumes(machine: Machine) -> _Look:
    most = facts.limit("import", "max_volumes_per_vm")["value"]
    return len(machine.disks) <= most, f"{len(machine.disks)} disk(s)"


def _one_disk(machine: Machine) -> _Look:
    return (True, "it has one disk") if len(machine.disks) == 1 else (None, "")


def _one_nic(machine: Machine) -> _Look:
    return len(machine.nics) <= 1, f"{len(machine.nics)} interface(s)"


def _bits(machine: Machine) -> _Look:
    bits = system_of(machine).bits
    return (None, "") if bits is None else (bits == 64, f"{bits}-bit")


def _free(machine: Machine, root: str, wanted: int) -> _Look:
    for disk in machine.guest_disks:
        if disk.path.upper().rstrip("\\") == root:
            return disk.free >= wanted, f"{disk.free // MIB} MiB free on {disk.path}"
    return None, ""


def _linux_free(machine: Machine) -> _Look:
    return _free(machine, "/", facts.limit("sms", "linux_root_free_space_min")["value_mib"] * MIB)


def _windows_free(machine: Machine) -> _Look:
    enough, what = _free(machine, "C:", facts.limit("import", "windows_root_free_space_min")["value_gib"] * facts.GIB)
    return (None if enough else enough), what  # whether the page file is fixed cannot be seen


_LOOKS: dict[str, Callable[[Machine], _Look]] = {
    "GP2": _tools,
    "GP3": _cdrom,
    "GP4": _dhcp,
    "GP5": _power,
    "GP8": _forbidden,
    "GP9": _volumes,
    "GP10": _one_disk,
    "GP11": _one_nic,
    "GL8": _bits,
    "GL10": _linux_free,
    "GW11": _windows_free,
}


# -- what AWS changes


def modifications(machine: Machine) -> tuple[str, ...]:
    """What ImportImage will change inside the guest, in AWS's documented words."""
    listed = facts.load("guests")["programmatic_modifications"]
    found = [_plain(text) for text in listed["general"]]
    if machine.os_family in _WINDOWS:
        releases = system_of(machine).releases
        for text in listed["windows"]:
            if "2012 R2 only" not in text or not releases or {"2012", "2012 R2"} & set(releases):
                found.append(_plain(text))
        found.append(listed["boot"].replace(" (see boot_modes)", ""))
    elif machine.os_family is OsFamily.LINUX:
        found += listed["linux"]
    return (*found, listed["addressing"], listed["originals_kept"])


def after_import(machine: Machine) -> tuple[str, ...]:
    """What is left to do once the AMI exists."""
    other = "Linux: " if machine.os_family in _WINDOWS else "Windows: "
    words = [_plain(entry["do"]) for entry in facts.load("guides")["post_import"]]
    return tuple(text for text in words if not text.startswith(other))


def _plain(text: str) -> str:
    """Without the editions of the guide that say so ("000", "003 and 004")."""
    text = re.sub(r" in (?:00\d(?:, | and )?)+(?=\))", "", text)
    return re.sub(r" \([^()]*\b00\d\b[^()]*\)", "", text)


# -- exports


def to_markdown(machine: Machine, items: tuple[Item, ...]) -> str:
    """The checklist as a Markdown document to hand to whoever looks after the guest."""
    titles = {"general": "Any system", "linux": "Linux", "windows": "Windows"}
    lines = [f"# Before the import of {_md(machine.name)}", "", f"Guest: {_md(machine.os_name or 'unknown')}", ""]
    for group in dict.fromkeys(item.group for item in items):
        lines += [f"## {titles[group]}", ""]
        for item in items:
            if item.group == group:
                box = "x" if item.tick is Tick.DONE else " "
                seen = item.seen or ("cannot be seen from here" if item.tick is Tick.UNSEEN else "")
                lines.append(f"- [{box}] {_md(item.words)} ({item.id}){f': {_md(seen)}' if seen else ''}")
                if item.note:
                    lines.append(f"  - {_md(item.note)}")
        lines.append("")
    lines += ["## What AWS will change inside the guest", ""]
    lines += [f"- {_md(text)}" for text in modifications(machine)]
    lines += ["", "## After the import", ""]
    lines += [f"- {_md(text)}" for text in after_import(machine)]
    return "\n".join(lines) + "\n"


def _md(text: str) -> str:
    """A text that cannot be taken for markup, on one line."""
    return re.sub(r"([\\`*_{}\[\]<>#|])", r"\\\1", " ".join(text.split()))


def unattend_xml(architecture: str = "amd64", locale: str = "en-US") -> str:
    """The answer file for Sysprep: for ``C:\\Windows\\Panther\\unattend.xml``; then run Sysprep /oobe /generalize.

    Raises ValueError for an architecture other than ``amd64`` and ``x86``, or what is no locale such as ``en-US``.
    """
    fact = facts.load("guests")["guest_preparation"]["sysprep_answer_file"]
    if architecture not in fact["processor_architecture"]:
        raise ValueError(f"{architecture!r} is none of {', '.join(fact['processor_architecture'])}")
    if not _LOCALE.fullmatch(locale):
        raise ValueError(f"{locale!r} is no locale")
    root = fact["root"]
    lines = [
        '<?xml version="1.0" encoding="UTF-8"?>',
        f"<unattend xmlns={quoteattr(root['xmlns'])} xmlns:wcm={quoteattr(root['xmlns:wcm'])}>",
        f"  <settings pass={quoteattr(fact['settings_pass'])}>",
    ]
    for component in fact["components"]:
        names = {
            "name": component["name"],
            "processorArchitecture": architecture,
            "publicKeyToken": component["publicKeyToken"],
            "language": component["language"],
            "versionScope": component["versionScope"],
        }
        lines.append(f"    <component {' '.join(f'{key}={quoteattr(value)}' for key, value in names.items())}>")
        lines += _elements(component["values"], locale, "      ")
        lines.append("    </component>")
    return "\n".join([*lines, "  </settings>", "</unattend>", ""])


def _elements(values: dict[str, Any], locale: str, indent: str) -> Iterator[str]:
    for name, value in values.items():
        if isinstance(value, dict):
            yield f"{indent}<{name}>"
            yield from _elements(value, locale, f"{indent}  ")
            yield f"{indent}</{name}>"
        else:
            words = str(value).lower() if isinstance(value, bool) else locale if value == "en-US" else str(value)
            yield f"{indent}<{name}>{escape(words)}</{name}>"


# -- what the disks of the guest show

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
