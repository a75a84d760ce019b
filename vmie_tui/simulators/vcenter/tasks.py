"""Long-running operations: queued, running, then success or error."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from pyVmomi import vim, vmodl

from vmie_tui.simulators.vcenter.calls import Call
from vmie_tui.simulators.vcenter.registry import Managed
from vmie_tui.simulators.vcenter.shared_state import Center
from vmie_tui.simulators.vcenter.values import data

log = logging.getLogger(__name__)

KEPT_SECONDS = 3600.0  # a finished task's life


class Task(Managed):
    """One vim.Task; ``cancel`` stops its work where that can be stopped."""

    __slots__ = ("cancel",)

    def __init__(self, moid: str) -> None:
        super().__init__(vim.Task, moid)
        self.cancel: Callable[[], None] | None = None


class Tasks:
    """Makes tasks and runs them on the simulated clock."""

    def __init__(self, center: Center) -> None:
        self._center, self._registry = center, center.registry
        self._recent: list[Managed] = []
        self._chain = 0
        self.told: list[Callable[[Task, Managed], None]] = []  # called with each new task and its object
        self.manager = center.registry.add(Managed(vim.TaskManager, "TaskManager"))
        self.manager.props.update(maxCollector=32, recentTask=lambda: [task.ref for task in self._recent[-20:]])

    def new(self, entity: Managed, operation: str, user: str) -> Task:
        """A queued task."""
        self._chain += 1
        task = Task(self._registry.new_id("task"))
        task.props["info"] = data(
            vim.TaskInfo,
            key=task.moid,
            task=task.ref,
            name=operation,
            descriptionId=f"{entity.ref._wsdlName}.{operation.removesuffix('_Task')}",
            entity=entity.ref,
            entityName=entity.name,
            state="queued",
            reason=data(vim.TaskReasonUser, userName=user),
            queueTime=self._center.now(),
            eventChainId=self._chain,
        )
        self._recent = [*self._recent[-200:], task]
        self._registry.add(task)
        for tell in self.told:
            tell(task, entity)
        self._registry.touch(self.manager)
        return task

    def all(self) -> list[Managed]:
        """The tasks that are remembered, oldest first."""
        return list(self._recent)

    def update(self, task: Managed, **fields: Any) -> None:
        """Change the info; readers hold the registry's lock, so it is replaced whole."""
        with self._registry.lock:
            old = task.props["info"]
            info = data(type(old), **{name: value for name, value in old.__dict__.items() if not name.startswith("_")})
            info.__dict__.update(fields)
            self._registry.set(task, info=info)

    def start(self, task: Managed, *, cancelable: bool = False) -> None:
        self.update(task, state="running", startTime=self._center.now(), progress=0, cancelable=cancelable)

    def finish(self, task: Managed, *, result: Any = None, error: Any = None) -> None:
        state = "success" if error is None else "error"
        progress = None if error is not None else 100
        self.update(
            task,
            state=state,
            result=result,
            error=error,
            progress=progress,
            completeTime=self._center.now(),
            cancelable=False,
        )
        self._center.later.after(KEPT_SECONDS, lambda: self._registry.remove(task))

    def run(self, call: Call, entity: Managed, work: Callable[[], Any], *, times: float = 1.0) -> Any:
        """A task that does ``work`` after its time (``times`` the usual one); returns its reference.

        A fault raised by ``work`` becomes the task's error, and so does a ``task-error`` fault asked for.
        """
        center = self._center
        task = self.new(entity, call.method, "" if call.session is None else call.session.user)
        seconds = center.options.task_seconds * times

        def halfway() -> None:
            self.update(task, progress=50)

        def done() -> None:
            with self._registry.lock:
                try:
                    center_fault(center, call.method, entity)
                    result = work()
                except vmodl.MethodFault as fault:
                    self.finish(task, error=fault)
                except Exception as error:
                    log.exception("%s failed", call.method)
                    self.finish(task, error=vmodl.fault.SystemError(reason=str(error), msg="A system error occurred."))
                else:
                    self.finish(task, result=result)

        def begin() -> None:
            self.start(task)
            center.later.after(seconds / 2, halfway)
            center.later.after(seconds, done)

        center.later.after(0, begin)
        return task.ref

    # ---- SOAP methods

    def CancelTask(self, call: Call, this: Task) -> None:
        if not this.props["info"].cancelable or this.cancel is None:
            raise vmodl.fault.NotSupported(msg="The task cannot be canceled.")
        self.update(this, cancelled=True)
        this.cancel()


def center_fault(center: Center, method: str, entity: Managed) -> None:
    """Raise the ``task-error`` fault asked for this method, if any."""
    fault = center.faults.take(method, entity.subject, "task-error")
    if fault is not None:
        raise make_fault(fault.code, fault.message, entity)


def make_fault(code: str, message: str, about: Managed) -> Any:
    """A vSphere fault by its type's name, with the fields that type must have."""
    kind: Any = None
    for place in (vim.fault, vmodl.fault, vmodl.query):
        kind = kind or getattr(place, code, None)
    if kind is None:
        return vmodl.fault.SystemError(reason=code or "unknown", msg=message or "A general system error occurred.")
    made = kind(msg=message or f"{code}: the simulator was asked for this fault")
    names = {info.name for info in kind._GetPropertyList()}
    fields: dict[str, Any] = {
        "object": about.ref,
        "obj": about.ref,
        "privilegeId": "System.Read",
        "file": "/vmfs/volumes/datastore/disk.vmdk",
        "existingState": "poweredOn",
        "reason": code,
    }
    for name, value in fields.items():
        if name in names and not getattr(made, name, None):
            made.__dict__[name] = value
    return made
