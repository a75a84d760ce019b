"""An export that a killed process of ours left behind: ended, so that the machine can be exported again at once."""

from __future__ import annotations

from typing import Any

from pyVmomi import vim

from vmie_tui.model.errors import ErrorKind, ServiceError
from vmie_tui.services.vsphere.session import VSphere
from vmie_tui.services.vsphere.soap import properties

EXPORTS = ("exportvm", "exportsnapshot")  # how the ids of export tasks end, in lower case


def end_own_export(vsphere: VSphere, moid: str) -> bool:
    """Cancel the export task of this machine that our own account started; False when there is none.

    A held lease belongs to a session that no longer speaks and would block the machine until it times out (trap 4).
    Its task can be cancelled by the account that started it. Raises ServiceError when vCenter cannot be asked.
    """
    doing = "looking for an export that was left behind"
    tasks = vsphere.call(
        lambda: properties(vsphere, vsphere.content.taskManager, "recentTask"), subject=moid, doing=doing
    ).get("recentTask")
    ended = False
    for task in tasks or ():
        info = _info(vsphere, task)
        if info is not None and _is_own_export(info, moid, vsphere.info.user):
            try:
                vsphere.call(task.CancelTask, subject=moid, doing="ending an export that was left behind")
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


def _is_own_export(info: Any, moid: str, user: str) -> bool:
    running = info.state in {"running", "queued"}
    here = info.entity is not None and info.entity._moId == moid
    own = isinstance(info.reason, vim.TaskReasonUser) and str(info.reason.userName).lower() == user.lower()
    return bool(running and here and own and str(info.descriptionId).lower().endswith(EXPORTS))
