"""Which blockers a user may push aside, and what nobody can: a machine that cannot be exported at all."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from vmie_tui.model.finding import Finding, Severity
from vmie_tui.model.machine import Machine, Power

CONTENT = "whatever is on its disks"  # in a plan's override: the user forced the machine without a look inside


@dataclass(frozen=True, slots=True)
class Blocked:
    """Blockers of one machine."""

    firm: tuple[Finding, ...] = ()  # must be put right first
    soft: tuple[Finding, ...] = ()  # may be overridden by typing the machine's name


def impossible(machine: Machine) -> Finding | None:
    """Why vCenter will not export the machine as it is now, whatever the user wants."""
    if machine.connection != "connected":
        what, remedy = f"the VM is {machine.connection}", "Reconnect its host in vCenter"
    elif machine.power is Power.SUSPENDED:
        what, remedy = "the VM is suspended", "Power it on or off first"
    elif not machine.disks:
        what, remedy = "the VM has no disk", "Choose another VM"
    elif machine.power is Power.ON and any(disk.independent for disk in machine.disks):
        what, remedy = "an independent disk is left out of snapshots", "Power the VM off first"
    else:
        return None
    return Finding(Severity.BLOCKER, what, remedy=remedy)


def blocked(machine: Machine, found: Sequence[Finding], about_machine: Sequence[Finding]) -> Blocked:
    """The blockers in ``found``, sorted out.

    Those also in ``about_machine`` (what its configuration and its disks say) are soft; those about the plan's own
    answers, which can be corrected, are firm, and so are all of a machine that cannot be exported.
    """
    blockers = [finding for finding in found if finding.severity is Severity.BLOCKER]
    firm_reason = impossible(machine)
    if firm_reason is not None:
        return Blocked(tuple(blockers) or (firm_reason,))
    may = {finding.headline for finding in about_machine}
    return Blocked(
        tuple(finding for finding in blockers if finding.headline not in may),
        tuple(finding for finding in blockers if finding.headline in may),
    )


def not_overridden(found: Sequence[Finding], override: Collection[str]) -> tuple[Finding, ...]:
    """The blockers that still stand."""
    return tuple(
        finding for finding in found if finding.severity is Severity.BLOCKER and finding.headline not in override
    )
