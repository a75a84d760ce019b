"""What there is to say of an export that becomes a virtual machine in vCenter."""

from __future__ import annotations

from collections.abc import Iterator

from vmie_tui.model import facts
from vmie_tui.model.export import DeployTarget, ExportPlan
from vmie_tui.model.exportable import Exportable
from vmie_tui.model.finding import Finding, Severity
from vmie_tui.model.formatting import size

B, W, I = Severity.BLOCKER, Severity.WARNING, Severity.INFO  # noqa: E741 - read as a column of the rules below
NAME_MAX = 80  # characters of a machine's name in vSphere (origin: known)


def check_deploy(plan: ExportPlan, thing: Exportable | None = None, free: int | None = None) -> tuple[Finding, ...]:
    """Findings on the machine to be made, worst first. ``free``: bytes of its datastore, as far as is known."""
    if plan.deploy is None:
        return ()
    found = [*_name(plan.deploy), *_room(plan.deploy, thing, free), *_hardware(plan), *_network(plan.deploy)]
    return tuple(sorted(found, key=lambda finding: -finding.severity))


def _name(target: DeployTarget) -> Iterator[Finding]:
    if len(target.name) > NAME_MAX:
        yield Finding(B, f"is longer than {NAME_MAX} characters", "name in vCenter", remedy="Shorten it")


def _room(target: DeployTarget, thing: Exportable | None, free: int | None) -> Iterator[Finding]:
    wanted = thing.size_gib * facts.GIB if thing is not None else 0
    if free is not None and wanted > free:
        yield Finding(
            W,
            f"the datastore has {size(free)} free, its disks may need {size(wanted)}",
            target.name,
            "Blocks without data are not written",
            remedy="Choose another datastore, or free space on it",
        )


def _hardware(plan: ExportPlan) -> Iterator[Finding]:
    target = plan.deploy
    if target is None or plan.container:
        return  # the descriptor in an OVA says what the machine is
    if target.cpus and target.memory_mib:
        words = f"gets {target.cpus} CPUs and {target.memory_mib:,} MiB, as the instance has"
    else:
        words = "gets modest hardware: a disk does not say what it ran on"
    yield Finding(I, words, target.name, "Firmware and kind of guest are taken over from AWS")


def _network(target: DeployTarget) -> Iterator[Finding]:
    if not target.network:
        yield Finding(I, "gets no network card", target.name, "No network was chosen")
