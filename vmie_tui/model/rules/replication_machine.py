"""What a machine has against being replicated: its datastores, who else writes to its disks, what is good to know."""

from __future__ import annotations

import re
from collections.abc import Iterator

from vmie_tui.model.finding import Finding, Severity
from vmie_tui.model.machine import Disk, Machine, Power
from vmie_tui.model.replication import Replication
from vmie_tui.model.rules.disks import one_time_stores
from vmie_tui.model.rules.machine import MOVING

B, W, I = Severity.BLOCKER, Severity.WARNING, Severity.INFO  # noqa: E741 - read as a column of the rules below
_DELTA = re.compile(r"-\d{6}\.vmdk$")  # the name vSphere gives to what is written while there are snapshots
_TOOLS_RUN = frozenset({"toolsOk", "toolsOld"})


def check_source(spec: Replication, machine: Machine, *, snapshots: bool) -> Iterator[Finding]:
    """Findings beside those of an import; ``snapshots``: whether those the machine has are somebody else's."""
    yield from _stores(spec, machine)
    yield from _disks(machine)
    if snapshots:
        yield from _present_content(machine)
    yield from _remarks(spec, machine)


def no(what: str, subject: str, remedy: str, fact: str = "", why: str = "") -> Finding:
    return Finding(B, what, subject, why, remedy=remedy, fact=fact)


def _stores(spec: Replication, machine: Machine) -> Iterator[Finding]:
    for kind in one_time_stores(machine):
        if spec.once:
            yield Finding(I, f"its disks are on {kind}: all is read by an export lease", machine.name, fact="F424")
        else:
            yield no(
                f"its disks are on {kind}, where it cannot be replicated by an interval",
                machine.name,
                "Choose a one-time migration; or move its disks to VMFS or NFS",
                "F424",
                "Changed blocks are read from the datastore's files, and it shows none",
            )


def _disks(machine: Machine) -> Iterator[Finding]:
    for disk in machine.disks:
        if disk.independent:
            yield no(
                "is independent, and a snapshot leaves it out",
                disk.label,
                "Make the disk dependent, or import it on its own while the VM is off",
                "trap 29",
                "Every run copies what a snapshot has frozen",
            )
        if _shared(disk):
            yield no(
                "is shared with other VMs",
                disk.label,
                "Stop sharing it, or import the VM once with the others stopped",
                "trap 29",
                "What the others write is neither frozen nor tracked",
            )


def _shared(disk: Disk) -> bool:
    return disk.sharing not in {"", "sharingNone"}


def _present_content(machine: Machine) -> Iterator[Finding]:
    """A disk's file holds its present content only when nothing was written beside it before our snapshot."""
    why = "What it wrote since then is in other files than its disks"
    if machine.snapshots:
        yield no(
            f"it has {machine.snapshots} snapshot{'' if machine.snapshots == 1 else 's'}",
            machine.name,
            "Delete them (their content stays in the VM), then replicate it",
            "trap 27",
            f"{why}, and tracking does not start while there are snapshots",
        )
    elif machine.consolidation_needed:
        yield no("its disks need consolidation", machine.name, "Consolidate its disks in vCenter", "trap 28", why)
    else:
        for disk in machine.disks:
            if _DELTA.search(disk.file_name):
                yield no(
                    f"is written to {disk.file_name}, a file left of a snapshot",
                    disk.label,
                    "Consolidate the VM's disks in vCenter",
                    "trap 28",
                    why,
                )


def _remarks(spec: Replication, machine: Machine) -> Iterator[Finding]:
    """What is no trouble, and good to know before the first run."""
    if spec.plan.quiesce and machine.power is Power.ON and machine.tools_status not in _TOOLS_RUN:
        yield Finding(
            W,
            "VMware Tools does not run: its snapshots are crash-consistent",
            machine.name,
            "Tools quiesce the file systems, and shut the guest down at a cutover",
            remedy="Start VMware Tools",
            fact="trap 30",
        )
    if spec.once:
        return
    if not machine.cbt:
        yield Finding(
            I,
            "changed blocks are not tracked yet",
            machine.name,
            "The first run turns it on, and it starts with that run's snapshot",
            fact="trap 27",
        )
    yield from MOVING
    yield Finding(
        I,
        f"the first run decides: its snapshots are {'' if spec.plan.encrypted else 'not '}encrypted",
        machine.name,
        "Each snapshot is made on the one before, and is encrypted as that is",
        fact="trap 21",
    )
