"""Ends leases that a killed process of ours left behind, so that the work can be repeated at once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from vmie_tui.model.errors import ErrorKind, ServiceError
from vmie_tui.services.vsphere.property_collector import properties
from vmie_tui.services.vsphere.sdk import vim
from vmie_tui.services.vsphere.session import VSphere

EXPORTS = ("exportvm", "exportsnapshot")  # how the ids of export tasks end, in lower case
IMPORTS = ("importvapp", "importvapplro")


def end_own_export(vsphere: VSphere, moid: str) -> bool:
    """Cancels the export task of this machine that our own account started; False if there is none.

    A held lease belongs to a session that no longer speaks and would block the machine until it times out (trap 4).
    Its task can be cancelled by the account that started it. Raises ServiceError when vCenter cannot be asked.
    """
    doing = "looking for an export that was left behind"
    tasks = vsphere.call(
        lambda: properties(vsphere, vsphere.content.taskManager, "recentTask"), subject=moid, doing=doing
    ).get("recentTask")
    return _cancel(vsphere, tasks, moid, lambda info: _is_own(info, moid, vsphere.info.user, EXPORTS), "an export")


def end_own_imports(vsphere: VSphere, pool: str, machine: str) -> bool:
    """Cancel the import that holds this unfinished machine; False when none can be told to be it.

    The task of an import is one of the resource pool, or of the machine itself. Where several of our account's run in
    the pool none of them is touched: vCenter ends the one that no longer speaks by itself. Raises as `end_own_export`.
    """
    doing = "looking for an import that was left behind"
    tasks = vsphere.call(
        lambda: properties(vsphere, vsphere.content.taskManager, "recentTask"), subject=machine, doing=doing
    ).get("recentTask")
    known = [(task, _info(vsphere, task)) for task in tasks or ()]
    user = vsphere.info.user
    own = [task for task, info in known if info is not None and _is_own(info, machine, user, IMPORTS)]
    of_pool = [task for task, info in known if info is not None and _is_own(info, pool, user, IMPORTS)]
    chosen = own or (of_pool if len(of_pool) == 1 else [])
    return _cancel(vsphere, chosen, machine, lambda info: True, "an import")


def _cancel(vsphere: VSphere, tasks: Any, subject: str, wanted: Callable[[Any], bool], what: str) -> bool:
    ended = False
    for task in tasks or ():
        info = _info(vsphere, task)
        if info is not None and wanted(info):
            try:
                vsphere.call(task.CancelTask, subject=subject, doing=f"ending {what} that was left behind")
                ended = True
            except ServiceError as error:
                if error.kind not in {ErrorKind.CONFLICT, ErrorKind.NOT_FOUND, ErrorKind.REFUSED}:
                    raise
    return ended


def _info(vsphere: VSphere, task: Any) -> Any:
    """A task's info; None for one that vCenter forgot meanwhile."""
    try:
        return vsphere.call(lambda: properties(vsphere, task, "info")).get("info")
    except ServiceError as error:
        if error.kind is not ErrorKind.NOT_FOUND:
            raise
        return None


def _is_own(info: Any, moid: str, user: str, kinds: tuple[str, ...]) -> bool:
    running = info.state in {"running", "queued"}
    here = info.entity is not None and info.entity._moId == moid
    own = isinstance(info.reason, vim.TaskReasonUser) and str(info.reason.userName).lower() == user.lower()
    return bool(running and here and own and str(info.descriptionId).lower().endswith(kinds))
