"""What a route must be told, and what it is told in vain: how a guest boots, where a volume goes, what comes after."""

from __future__ import annotations

import re
from collections.abc import Iterator

from vmie_tui.model import facts
from vmie_tui.model.finding import Finding, Severity
from vmie_tui.model.machine import Firmware, Machine, OsFamily
from vmie_tui.model.plan import BootMode, ImportPlan, Route, SnapshotSource
from vmie_tui.model.rules.disks import volume_limits
from vmie_tui.model.rules.systems import System, system_of

ARCHITECTURES = ("x86_64", "i386", "arm64")  # RegisterImage's
VOLUME_TYPES = tuple(volume_limits())
MAKES_AMI = frozenset({Route.IMAGE, Route.IMAGE_DIRECT, Route.UNMODIFIED})
REGION = re.compile(r"[a-z]{2}(-[a-z]+)+-\d+")
_ROOT_DEVICE = re.compile(r"/dev/(?:sd|xvd)[a-z]\d{0,2}")
_INSTANCE_ID = re.compile(r"i-[0-9a-f]{8,17}")


def check_needs(plan: ImportPlan, machine: Machine) -> Iterator[Finding]:
    """Findings on the answers that belong to the plan's route, and on those that belong to another."""
    if plan.route is Route.UNMODIFIED:
        yield from _unmodified(plan, machine)
    elif plan.route is Route.IMAGE_DIRECT:
        yield from _direct(plan, machine)
    elif plan.route is Route.SNAPSHOT and isinstance(plan.source, SnapshotSource) and plan.volumes is None:
        yield _no(
            "it is an EBS snapshot already: there is nothing to import",
            machine.name,
            "Have a volume made of it (--volume-zone, --attach), or take another route",
            "F253",
        )
    yield from _volumes(plan, machine)
    yield from _afterwards(plan)


def _no(what: str, subject: str, remedy: str, fact: str = "", why: str = "") -> Finding:
    return Finding(Severity.BLOCKER, what, subject, why, remedy=remedy, fact=fact)


def _direct(plan: ImportPlan, machine: Machine) -> Iterator[Finding]:
    """A UEFI machine without a platform is `check_boot`'s to refuse."""
    if not plan.platform and machine.firmware is Firmware.BIOS and machine.os_family is OsFamily.OTHER:
        yield _no(
            "nothing says what system the snapshots hold",
            machine.name,
            "Name its platform: Linux or Windows (--platform)",
            "F102",
            "AWS asks for it when the machine can boot by UEFI",
        )


def _unmodified(plan: ImportPlan, machine: Machine) -> Iterator[Finding]:
    yield Finding(
        Severity.WARNING,
        "nobody checks whether the AMI boots",
        machine.name,
        "AWS registers the disks as they are",
        remedy="See that the guest has EC2's drivers, and launch a test instance",
        fact="F229",
    )
    if plan.architecture not in ARCHITECTURES:
        yield _no(f"{plan.architecture!r} is no architecture", machine.name, f"One of {', '.join(ARCHITECTURES)}")
    else:
        yield from _architecture(plan, machine, system_of(machine))
    if not _ROOT_DEVICE.fullmatch(plan.root_device):
        yield _no(f"{plan.root_device!r} is no root device", machine.name, "Give /dev/sda1, or /dev/xvda", "F230")
    if not plan.ena:
        yield Finding(
            Severity.WARNING,
            "without ENA it starts on old instance types only",
            machine.name,
            remedy="Leave it on if the guest has the driver",
            fact="F126",
        )
    if plan.encrypted and isinstance(plan.source, SnapshotSource):
        yield _no(
            "a snapshot is registered as it is, and cannot be encrypted on the way",
            machine.name,
            "Copy the snapshot with encryption first, or take the route image-direct",
        )


def _architecture(plan: ImportPlan, machine: Machine, system: System) -> Iterator[Finding]:
    is_arm = plan.architecture == "arm64"
    if system.arm != is_arm and (system.arm or system.product):
        guest = "ARM64" if system.arm else "x86"
        yield _no(
            f"the guest is built for {guest}, the plan says {plan.architecture}",
            machine.name,
            f"Choose {'arm64' if system.arm else 'x86_64'} (--architecture)",
            "F228",
            "RegisterImage takes what it is told",
        )
    elif is_arm and plan.boot_mode is BootMode.LEGACY_BIOS:
        yield _no("ARM64 boots by UEFI only", machine.name, "Choose boot mode uefi (--boot-mode)", "F228")
    elif machine.firmware is Firmware.UEFI and plan.boot_mode is None:
        yield _no(
            "a UEFI machine needs its boot mode named",
            machine.name,
            "Choose boot mode uefi (--boot-mode)",
            "F228",
            "RegisterImage does not look at the disks, and takes legacy-bios when nothing is said",
        )


def _volumes(plan: ImportPlan, machine: Machine) -> Iterator[Finding]:
    wanted = plan.volumes
    if wanted is None:
        return
    if plan.route is not Route.SNAPSHOT:
        yield _no("volumes are made by the snapshot route", "target", "Take that route, or leave them out", "F253")
        return
    if not wanted.availability_zone and not wanted.instance_id:
        yield _no("a volume needs a zone", "target", "Name the Availability Zone of the instance it is for", "F253")
    elif wanted.availability_zone and plan.region and not wanted.availability_zone.startswith(plan.region):
        yield _no(
            f"zone {wanted.availability_zone} is not in {plan.region}",
            "target",
            "Name a zone of the Region the snapshot is in",
            "F253",
        )
    if wanted.volume_type not in VOLUME_TYPES:
        yield _no(f"{wanted.volume_type!r} is no volume type", "target", f"One of {', '.join(VOLUME_TYPES)}", "F254")
    else:
        yield from _volume_sizes(wanted.volume_type, machine)
    if wanted.instance_id and _INSTANCE_ID.fullmatch(wanted.instance_id):
        yield Finding(
            Severity.INFO,
            "an attached volume is not mounted yet",
            "target",
            remedy="Mount it in the guest",
            fact="F256",
        )
    elif wanted.instance_id:
        yield _no(f"{wanted.instance_id!r} is no instance id", "target", "Give one like i-0123456789abcdef0", "F255")


def _volume_sizes(volume_type: str, machine: Machine) -> Iterator[Finding]:
    limits = volume_limits()
    for disk in machine.disks:
        if disk.capacity > limits[volume_type] * facts.GIB:
            fit = [name for name, most in limits.items() if disk.capacity <= most * facts.GIB]
            yield _no(
                f"a volume of the type {volume_type} has at most {limits[volume_type] // 1024} TiB",
                disk.label,
                f"Choose {' or '.join(fit)} (--volume-type)" if fit else "Split the disk",
                "F254",
            )


def _afterwards(plan: ImportPlan) -> Iterator[Finding]:
    if plan.route not in MAKES_AMI:
        made = "a stopped instance" if plan.route is Route.INSTANCE else "snapshots"
        if plan.copy_to:
            yield _no(f"there is no AMI to copy: this route makes {made}", "target", "Leave the copies out", "F233")
        if plan.test_launch is not None:
            yield _no(f"there is no AMI to launch: this route makes {made}", "target", "Leave it out", "F233")
        return
    for region in plan.copy_to:
        if not REGION.fullmatch(region):
            yield _no(f"{region!r} is no Region", "copies", "A Region reads like eu-west-1", "F233")
        elif region == plan.region:
            yield _no(f"the AMI is made in {region}: it needs no copy there", "copies", "Leave it out", "F233")
    if len(set(plan.copy_to)) < len(plan.copy_to):
        yield _no("a Region is named twice", "copies", "Name each once", "F233")
