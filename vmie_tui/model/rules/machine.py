"""What vCenter's own configuration of a machine says about its import. No disk is read here."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import lru_cache

import humanize

from vmie_tui.model import facts
from vmie_tui.model.finding import Finding, Severity
from vmie_tui.model.formatting import size
from vmie_tui.model.machine import GuestDisk, Machine, OsFamily, Power
from vmie_tui.model.plan import Route, Via
from vmie_tui.model.rules.boot import advise_boot, check_boot_machine
from vmie_tui.model.rules.disks import check_disks, check_stores, one_time_stores
from vmie_tui.model.rules.supported_systems import check_system
from vmie_tui.model.rules.systems import System, system_of

B, W, I = Severity.BLOCKER, Severity.WARNING, Severity.INFO  # noqa: E741 - read as a column of the rules below
_NO_TOOLS = frozenset({"", "toolsNotInstalled", "guestToolsNotInstalled"})
MIB = 1 << 20


def check_machine(
    machine: Machine, *, route: Route = Route.IMAGE, via: Via = Via.S3, notes: bool = False
) -> tuple[Finding, ...]:
    """All findings about importing ``machine``, most severe first.

    Routes that do not change the guest (``unmodified``, ``snapshot``) do not mind what it runs. ``notes`` adds what is
    no trouble but belongs into a report: boot firmware, change tracking, state of VMware Tools.
    """
    found = [
        *_system(system_of(machine), machine.os_name, machine.name, route),
        *check_disks(machine, route, via),
        *_state(machine),
        *_devices(machine),
        *_guest(machine, route),
        *check_boot_machine(machine, route),
        *check_stores(machine),
    ]
    if notes:
        found += _notes(machine)
    return tuple(sorted(found, key=_by_severity)) if len(found) > 1 else tuple(found)


def _by_severity(finding: Finding) -> int:
    return -finding.severity


def _system(system: System, os_name: str, name: str, route: Route) -> tuple[Finding, ...]:
    if route is Route.SNAPSHOT:
        return ()
    return _system_findings(system, os_name or name, route is Route.UNMODIFIED)


@lru_cache(maxsize=4096)
def _system_findings(system: System, subject: str, unmodified: bool) -> tuple[Finding, ...]:
    """The same for all machines of a system: 20,000 machines run a few dozen."""
    found = tuple(check_system(system, subject))
    if not unmodified:
        return found
    # AWS does not look inside on this route: whether it boots is up to the guest (F229)
    return tuple(
        replace(item, severity=min(item.severity, W), prevents="", remedy="Check that it has EC2's drivers, and boots")
        for item in found
        if item.severity is not I
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
            B,
            "the VM is encrypted",
            why="Its disks cannot be read in clear",
            remedy="Decrypt it (change its storage policy)",
            fact="F112",
        )
    if vm.power is Power.SUSPENDED:
        yield Finding(
            B,
            "it is suspended",
            why="An export wants it off, or running with a snapshot",
            remedy="Resume it or power it off",
            fact="F133",
        )
    if vm.consolidation_needed:
        yield Finding(
            W,
            "its disks need consolidation",
            why="The copy may be slow or fail",
            remedy="Consolidate its disks",
            rule="consolidation",
        )
    if vm.snapshots:
        yield Finding(
            W,
            f"it has {humanize.intcomma(vm.snapshots)} snapshot(s)",
            why="The present state is copied, not theirs",
            remedy="Delete those not needed",
            rule="snapshots",
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
            fact="F117",
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


def _guest(vm: Machine, route: Route) -> Iterator[Finding]:
    if vm.tools_status not in _NO_TOOLS:
        yield _TOOLS
    if any(nic.dhcp is False for nic in vm.nics):
        yield Finding(
            W,
            "an address is set by hand",
            why="Static addresses are removed at import",
            remedy="Switch the interface to DHCP",
            fact="F132",
        )
    if vm.guest_disks and route is not Route.SNAPSHOT:
        yield from _free_space(vm)


# What replications ask of every VM: said where one is planned, and in a report.
MOVING = (
    Finding(
        I,
        "vMotion and DRS may move it between replication runs",
        why="Each run looks again where it is",
        remedy="The login needs its rights on the new host and datastore too",
        fact="F422",
    ),
    Finding(
        I,
        "it must not be moved while a replication run uploads, and never to another vCenter",
        why="That run fails, and the next one takes its place",
        fact="F423",
    ),
)
# Nearly every VM has them: as a warning on each this would hide the others.
_TOOLS = Finding(
    I,
    "VMware Tools is installed",
    why="AWS advises to remove it before the import",
    remedy="Remove it before the last copy",
    fact="F129",
)


def _free_space(vm: Machine) -> Iterator[Finding]:
    """Drivers and agents are installed into the root file system."""
    windows = vm.os_family in {OsFamily.WINDOWS_SERVER, OsFamily.WINDOWS_CLIENT}
    if windows:
        needed, fact = facts.limit("import", "windows_root_free_space_min")["value_gib"] * facts.GIB, "F123"
    elif vm.os_family is OsFamily.LINUX:
        needed, fact = facts.limit("sms", "linux_root_free_space_min")["value_mib"] * MIB, "F122"
    else:
        return
    root = next((disk for disk in vm.guest_disks if _is_root(disk, windows)), None)
    if root is not None and root.free < needed:
        free, wanted = size(root.free), size(needed)
        yield Finding(
            W,
            f"{free} are free on {root.path}, {wanted} are wanted",
            vm.name,
            "The import installs drivers there",
            remedy="Free space or enlarge the disk",
            fact=fact,
        )


def _is_root(disk: GuestDisk, windows: bool) -> bool:
    return disk.path.upper().startswith("C:") if windows else disk.path == "/"


def _notes(vm: Machine) -> Iterator[Finding]:
    advice = advise_boot(vm.firmware, system_of(vm))
    mode = advice.mode.value if advice.mode else "left out"
    yield Finding(
        I, f"it boots by {vm.firmware.value.upper()}", why=advice.why, remedy=f"Boot mode: {mode}", fact=advice.fact
    )
    if vm.cbt:
        yield Finding(I, "changed blocks are tracked", why="Later copies can be incremental", fact="trap 25")
    else:
        why = "It starts at the next stun, and not while snapshots exist" if vm.snapshots else "It starts when stunned"
        yield Finding(I, "changed blocks are not tracked", why=why, fact="trap 27")
    if not one_time_stores(vm):
        yield from MOVING
    if vm.tools_status in _NO_TOOLS:
        yield Finding(
            I,
            "VMware Tools is not installed",
            why="The guest's version, addresses and free space cannot be seen, and a snapshot is not quiesced",
            fact="trap 30",
        )
    elif vm.tools_status != "toolsOk":
        yield Finding(I, f"VMware Tools: {vm.tools_status}", why="What it reported may be old", fact="trap 30")
