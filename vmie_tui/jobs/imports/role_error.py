"""What hides behind "the service role does not exist": look for its six causes, and name those found."""

from __future__ import annotations

from dataclasses import replace

from vmie_tui.jobs.engine.import_context import ImportContext
from vmie_tui.model.errors import ServiceError, VmieError
from vmie_tui.model.explain import ROLE_ERROR
from vmie_tui.services.aws.errors import is_role_error
from vmie_tui.services.aws.iam.role_probes import Outcome, RoleCase, probe_role_error


def with_causes(context: ImportContext, error: ServiceError) -> ServiceError:
    """The error with the causes that were found; any other error, or one that cannot be examined, as it is.

    The result for each cause goes to the job's log. Only reads.
    """
    if not is_role_error(error):
        return error
    plan = context.plan
    key = next((disk.s3_key for disk in context.disks()), "")
    case = RoleCase(plan.role_name, plan.bucket, plan.region, key, plan.kms_key_id or "", plan.encrypted)
    try:
        results = probe_role_error(context.aws, case)
    except VmieError as trouble:
        context.say(f"the causes of the role error could not be looked for: {trouble}", message=False, level="warning")
        return error
    for result in results:
        seen = f": {result.detail}" if result.detail else ""
        level = "error" if result.outcome is Outcome.FOUND else "info"
        context.say(f"{result.title}: {result.outcome.value}{seen}", message=False, level=level)
    found = [result for result in results if result.outcome is Outcome.FOUND]
    if not found:
        return error
    problem = error.problem
    named = replace(
        problem,
        what="; ".join(result.detail or result.title for result in found),
        subject=problem.subject or plan.role_name,
        remedy=". ".join(result.remedy.rstrip(".") for result in found if result.remedy),
        code=ROLE_ERROR,
        detail=problem.detail or problem.what,
        causes=tuple(result.id for result in found),
    )
    return ServiceError.of(named)
