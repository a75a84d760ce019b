"""Which of the plan's choices this version carries out."""

from __future__ import annotations

from vmie_tui.model.errors import ErrorKind, ServiceError
from vmie_tui.model.plan import ImportPlan, Route, UploadFormat

READY_ROUTES = frozenset({Route.IMAGE})
READY_FORMATS = frozenset({UploadFormat.VMDK})


def refuse_unready(plan: ImportPlan) -> None:
    """Raises ServiceError REFUSED for a route or format that is not built yet, before anything is moved."""
    if plan.route not in READY_ROUTES or plan.upload_format not in READY_FORMATS:
        raise ServiceError(
            ErrorKind.REFUSED,
            f"route {plan.route.value} with format {plan.upload_format.value} is not available in this version",
            subject=plan.source.name,
            remedy="Use route image with format VMDK",
        )
