"""The last inspection before the upload: refuse now, in AWS's own words, what AWS would refuse hours later."""

from __future__ import annotations

from collections.abc import Sequence

from vmie_tui.jobs.engine.import_context import ImportContext
from vmie_tui.model.errors import ErrorKind, ServiceError
from vmie_tui.model.finding import Finding, Severity
from vmie_tui.model.guest import NotInspected
from vmie_tui.model.machine import Machine
from vmie_tui.model.plan import ImportPlan
from vmie_tui.model.preflight import for_route
from vmie_tui.model.replication import ReplicationPlan
from vmie_tui.model.rules.override import CONTENT, not_overridden
from vmie_tui.services.preflight import preflight_frozen


def inspect_disks(context: ImportContext, machine: Machine) -> None:
    """Inspect the disks' content: a few MiB of each, read by ranges.

    ``machine`` is off, or was read before this job's snapshot. Raises ServiceError REFUSED for what the conversion is
    documented to refuse and the user has not overridden; anything else that was found, or that could not be looked
    at, goes to the job's log.
    """
    if CONTENT in context.plan.override:
        return
    context.say("looking into the disks")
    try:
        seen = preflight_frozen(context.vsphere, machine)
    except ServiceError as error:
        if error.kind in {ErrorKind.LOGIN, ErrorKind.CANCELLED}:
            raise
        context.say(f"the disks could not be looked into: {error}", message=False, level="warning")
        return
    judge_content(context, for_route(seen.content, context.plan.route), seen.not_inspected, machine)


def judge_content(
    context: ImportContext, content: Sequence[Finding], missed: Sequence[NotInspected], machine: Machine
) -> None:
    """Raises ServiceError REFUSED for content that AWS refuses; everything else goes to the log."""
    for one in missed:
        context.say(f"not inspected: {one.what} ({one.why})", message=False)
    blockers = not_overridden(content, context.plan.override)
    refused = [finding for finding in blockers if finding.prevents]
    for finding in content:
        if finding.severity > Severity.INFO and finding not in refused:
            context.say(f"{finding.headline}. {finding.remedy}".rstrip(". "), message=False, level="warning")
    if refused:
        first = refused[0]
        raise ServiceError(
            ErrorKind.REFUSED,
            "; ".join(finding.said_of(machine.name) for finding in refused),
            subject=machine.name,
            remedy=f"{first.remedy}. {_as_it_is(context.plan, machine)}",
            code=first.fact,
            detail=f"AWS would say: {first.prevents}",
        )


def _as_it_is(plan: ImportPlan, machine: Machine) -> str:
    """How to start it in spite of the findings; an existing replication's plan cannot be forced."""
    if isinstance(plan, ReplicationPlan):
        return (
            "To replicate it as it is: delete its replication, then make one that is forced "
            f"(vmie-tui replicate create --force-name {machine.name})"
        )
    return "To import it as it is: p in the inventory, then start it by typing its name (vmie-tui import --force-name)"
