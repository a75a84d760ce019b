"""What vCenter's own configuration of a machine says about its import. No disk is read here."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from functools import cache

import humanize

from vmie_tui.model import facts
from vmie_tui.model.finding import Finding, Severity
from vmie_tui.model.machine import Backing, Disk, Firmware, Machine, OsFamily, Power

B, W, I = Severity.BLOCKER, Severity.WARNING, Severity.INFO  # noqa: E741 - read as a column of the rules below


def check_machine(machine: Machine) -> tuple[Finding, ...]:
    """Everything to be said about importing ``machine`` with ImportImage, worst first."""
    found = [finding for rule in _RULES for finding in rule(machine)]
    return tuple(sorted(found, key=lambda finding: -finding.severity))


def _architecture(vm: Machine) -> Iterator[Finding]:
    gid = vm.guest_id.lower()
    if "arm" in gid:
        yield Finding(
            B,
            "ARM64 guests are not accepted",
            vm.os_name,
            "VM import takes x86 only",
            "",
            "Rebuild it on AWS Graviton",
            "F043",
        )
    elif vm.os_family is OsFamily.LINUX and not gid.endswith("64guest") and "64" not in gid:
        yield Finding(
            B,
            "32-bit Linux is not accepted",
            vm.os_name,
            "VM import takes 64-bit Linux only",
            facts.error("E27")["message"],
            "Move the application to a 64-bit system",
            "IC12",
        )


def _deprecated(vm: Machine) -> Iterator[Finding]:
    name = vm.os_name.lower()
    since = facts.load("guests")["operating_systems"]["deprecation"]["from"]
    for system, pattern in _deprecated_patterns():
        if pattern.search(name):
            yield Finding(
                W,
                f"{system} is deprecated by VM import since {since}",
                vm.os_name,
                "Import may be refused, and AWS does not test it",
                "",
                "Upgrade it first, or take the unmodified route",
                "IC20",
            )
            return


@cache
def _deprecated_patterns() -> tuple[tuple[str, re.Pattern[str]], ...]:
    names: list[str] = facts.load("guests")["operating_systems"]["deprecation"]["all_versions_of"]
    patterns = []
    for name in names:
        words = name.lower().split()
        # "CentOS 5" is in "CentOS 4/5" and "CentOS Linux 5.11", not in "CentOS 7"; "Windows 8" is not in "Windows 8.1".
        *head, last = words
        body = r"\b.*?".join(re.escape(word) for word in head)
        tail = re.escape(last) + (r"(?![\d.])(?! r2)" if "windows" in words else r"(?!\d)")
        patterns.append((name, re.compile(rf"{body}\b[^0-9]*(?:\d+/)?\b{tail}")))
    return tuple(patterns)


def _volumes(vm: Machine) -> Iterator[Finding]:
    most = facts.limit("import", "max_volumes_per_vm")["value"]
    if not vm.disks:
        yield Finding(B, "it has no disk", why="There is nothing to import", remedy="Attach its boot disk")
    elif len(vm.disks) > most:
        yield Finding(
            B,
            f"it has {len(vm.disks)} disks, VM import takes {most}",
            why="The task fails",
            remedy="Import the further disks one by one as snapshots",
            fact="F114",
        )


def _disk(vm: Machine) -> Iterator[Finding]:
    for disk in vm.disks:
        yield from _disk_backing(disk)
        yield from _disk_size(disk)
        if disk.independent and vm.power is Power.ON:
            yield Finding(
                B,
                "is independent, and a snapshot leaves it out",
                disk.label,
                "A running VM is copied through a snapshot",
                "",
                "Power the VM off, or make the disk dependent",
                "trap 29",
            )
        if disk.sharing not in {"", "sharingNone"}:
            yield Finding(
                W,
                "is shared with other VMs",
                disk.label,
                "Others may write during the copy",
                "",
                "Stop the others first",
            )


def _disk_backing(disk: Disk) -> Iterator[Finding]:
    if disk.backing is Backing.RDM:
        yield Finding(
            B,
            "is a raw device mapping",
            disk.label,
            "VM import takes VMDK disks only",
            "",
            "Turn it into a virtual disk by storage migration",
            "F040",
        )
    elif disk.backing is Backing.SESPARSE:
        yield Finding(
            B,
            "is in the SEsparse format",
            disk.label,
            "VM import does not read SEsparse",
            "",
            "Consolidate its snapshots, or clone it to a flat disk",
            "F039",
        )
    if disk.encrypted:
        yield Finding(
            B,
            "is encrypted by vSphere",
            disk.label,
            "An export lease does not give its content in clear",
            "",
            "Decrypt it (change its storage policy)",
            "IC3",
        )


def _disk_size(disk: Disk) -> Iterator[Finding]:
    most = facts.limit("import", "import_image_disk_max")["value_tib"]
    top = facts.limit("import", "disk_image_size_max")["value_tib"]
    size = humanize.naturalsize(disk.capacity, binary=True)
    if disk.capacity >= top * facts.TIB:
        yield Finding(B, f"is {size}; no way of VM import takes {top} TiB", disk.label, remedy="Split it", fact="F118")
    elif disk.capacity >= most * facts.TIB:
        yield Finding(
            B,
            f"is {size}; ImportImage takes less than {most} TiB",
            disk.label,
            "",
            "",
            "Import it as a snapshot instead",
            "F119",
        )


def _state(vm: Machine) -> Iterator[Finding]:
    if vm.connection != "connected":
        yield Finding(
            B,
            f"vCenter says it is {vm.connection}",
            why="It cannot be exported",
            remedy="Bring its host or datastore back",
        )
    if vm.encrypted:
        yield Finding(
            B, "the VM is encrypted", why="Its disks cannot be read in clear", remedy="Decrypt it", fact="IC3"
        )
    if vm.power is Power.SUSPENDED:
        yield Finding(
            B,
            "it is suspended",
            why="An export wants it off, or running with a snapshot",
            remedy="Resume it or power it off",
        )
    if vm.consolidation_needed:
        yield Finding(
            W, "its disks need consolidation", why="The copy may be slow or fail", remedy="Consolidate its disks"
        )
    if vm.snapshots:
        yield Finding(
            W,
            f"it has {humanize.intcomma(vm.snapshots)} snapshot(s)",
            why="The present state is copied, not theirs",
            remedy="Delete those not needed",
        )


def _devices(vm: Machine) -> Iterator[Finding]:
    if vm.cdrom_connected:
        yield Finding(W, "a CD-ROM is connected", remedy="Disconnect it before the copy", fact="F130")
    if len(vm.nics) > facts.limit("import", "network_interfaces_after_import")["value"]:
        yield Finding(
            W,
            f"it has {len(vm.nics)} network interfaces",
            why="The imported machine has one, with DHCP",
            remedy="Add the others after the import",
        )
    if vm.vtpm:
        yield Finding(
            W,
            "it has a virtual TPM",
            why="Keys sealed in it are not imported",
            remedy="Suspend BitLocker and save recovery keys",
        )
    if vm.secure_boot:
        yield Finding(
            W,
            "secure boot is on",
            why="The imported machine boots without it",
            remedy="Check that the guest boots without",
        )
    if vm.passthrough:
        yield Finding(
            W, "a device is passed through", why="It does not exist on EC2", remedy="Check that the guest boots without"
        )


def _guest(vm: Machine) -> Iterator[Finding]:
    if vm.os_family is OsFamily.OTHER:
        yield Finding(
            W,
            "the guest system is not one VM import lists",
            vm.os_name or "unknown",
            remedy="Check the list of systems, or take the unmodified route later",
            fact="IC20",
        )
    if vm.tools_status not in {"", "toolsNotInstalled", "guestToolsNotInstalled"}:
        yield Finding(
            I,
            "VMware Tools is installed",
            why="AWS advises to remove it before the import",
            remedy="Remove it before the last copy",
            fact="F129",
        )
    if any(nic.dhcp is False for nic in vm.nics):
        yield Finding(
            W,
            "an address is set by hand",
            why="Static addresses are removed at import",
            remedy="Switch the interface to DHCP",
            fact="F132",
        )
    if vm.firmware is Firmware.UEFI and vm.os_family is OsFamily.LINUX:
        yield Finding(
            I,
            "UEFI Linux needs EFI/BOOT/BOOTX64.EFI",
            why="EC2 starts the fallback loader",
            remedy="Check that the file is there",
            fact="F101",
        )


_RULES: tuple[Callable[[Machine], Iterator[Finding]], ...] = (
    _architecture,
    _deprecated,
    _volumes,
    _disk,
    _state,
    _devices,
    _guest,
)
