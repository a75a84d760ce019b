"""What happened: the EventManager, and the collectors that page through events and tasks."""

from __future__ import annotations

import itertools
import uuid
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from pyVmomi import vim

from vmie_tui.simulators.vcenter.calls import Call
from vmie_tui.simulators.vcenter.registry import Managed
from vmie_tui.simulators.vcenter.shared_state import Center
from vmie_tui.simulators.vcenter.tasks import Task, Tasks
from vmie_tui.simulators.vcenter.values import data

KEPT = 1000  # events
PAGE = 10  # of a collector, until its client says otherwise
MOST = 32  # collectors of one client
CATEGORIES = {
    vim.event.TaskEvent: "info",
    vim.event.UserLoginSessionEvent: "info",
    vim.event.UserLogoutSessionEvent: "info",
    vim.event.GeneralUserEvent: "user",
}
USUAL = ("createSnapshot", "powerOn", "powerOff", "reconfigure")


@dataclass(slots=True)
class _Seen:
    """One event, and the object that it is about."""

    event: Any
    about: Managed | None


class Collector(Managed):
    """Pages through what there is, newest first in ``latestPage``; a client reads on from where it is."""

    __slots__ = ("at", "items", "page")

    def __init__(self, kind: Any, moid: str, given: Any, items: Callable[[], list[Any]]) -> None:
        super().__init__(kind, moid)
        self.items, self.page, self.at = items, PAGE, -1
        self.props["filter"] = given
        self.props["latestPage"] = lambda: self.items()[-self.page :][::-1]

    def read(self, count: int, *, back: bool) -> list[Any]:
        """The next items on the way to the newest, or back to the oldest; from the latest page on, at first."""
        found = self.items()
        here = max(0, len(found) - self.page) if self.at < 0 else self.at
        if back:
            self.at = max(0, here - count)
            return found[self.at : here][::-1]
        self.at = min(len(found), here + count)
        return found[here : self.at]


@dataclass(slots=True)
class History:
    """The EventManager's methods, and those of all collectors."""

    center: Center
    tasks: Tasks
    manager: Managed = field(init=False)
    _seen: list[_Seen] = field(default_factory=list)
    _keys: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    def __post_init__(self) -> None:
        self.manager = self.center.registry.add(Managed(vim.event.EventManager, "EventManager"))
        details = [
            data(
                vim.event.EventDescription.EventDetail,
                key=kind,
                category=category,
                description=kind.__name__.rpartition(".")[2],
                fullFormat="{message}",
            )
            for kind, category in CATEGORIES.items()
        ]
        names = ("error", "warning", "info", "user")
        labels = [_element(name, name) for name in names]
        self.manager.props.update(
            description=data(vim.event.EventDescription, category=labels, eventInfo=details),
            maxCollector=MOST,
            latestEvent=lambda: self._seen[-1].event if self._seen else None,
        )
        self.tasks.told.append(self._task)
        self.tasks.manager.props["description"] = self._description

    def log(self, kind: Any, words: str, user: str, about: Managed | None = None, **more: Any) -> None:
        """Records an event, and notifies the collectors' clients."""
        event = data(
            kind,
            key=next(self._keys),
            chainId=0,
            createdTime=self.center.now(),
            userName=user,
            fullFormattedMessage=words,
            **{**_arguments(about), **more},
        )
        with self.center.registry.lock:
            self._seen = [*self._seen[1 - KEPT :], _Seen(event, about)]
            for managed in list(self.center.registry.objects.values()):
                if managed.is_a(vim.event.EventHistoryCollector):
                    self.center.registry.touch(managed)

    def _task(self, task: Task, entity: Managed) -> None:
        info = task.props["info"]
        user = getattr(info.reason, "userName", "")
        self.log(vim.event.TaskEvent, f"Task: {info.name.removesuffix('_Task')}", user, entity, info=info)

    def _description(self) -> Any:
        """What the names in tasks mean: those of the usual methods, and of all that were called."""
        known = {f"VirtualMachine.{name}": name for name in USUAL}
        for info in (task.props["info"] for task in self.tasks.all()):
            known[info.descriptionId] = info.name.removesuffix("_Task")
        reason = data(vim.TypeDescription, key=vim.TaskReasonUser, label="user", summary="a user asked for it")
        return data(
            vim.TaskDescription,
            methodInfo=[_element(key, name) for key, name in known.items()],
            state=[_element(state, state) for state in ("queued", "running", "success", "error")],
            reason=[reason],
        )

    # ---- SOAP methods

    def QueryEvents(self, call: Call, this: Managed, wanted: Any, view: Any) -> list[Any]:
        return self._events(wanted)

    def LogUserEvent(self, call: Call, this: Managed, entity: Any, message: str) -> None:
        about = self.center.registry.find(entity)
        user = "" if call.session is None else call.session.user
        self.log(vim.event.GeneralUserEvent, f"User logged event: {message}", user, about, message=message)

    def CreateCollectorForEvents(self, call: Call, this: Managed, wanted: Any) -> Any:
        return self._collector(call, vim.event.EventHistoryCollector, wanted, lambda: self._events(wanted))

    def CreateCollectorForTasks(self, call: Call, this: Managed, wanted: Any) -> Any:
        return self._collector(call, vim.TaskHistoryCollector, wanted, lambda: self._infos(wanted))

    def ReadNextEvents(self, call: Call, this: Collector, count: int) -> list[Any]:
        return this.read(count, back=False)

    def ReadPreviousEvents(self, call: Call, this: Collector, count: int) -> list[Any]:
        return this.read(count, back=True)

    def ReadNextTasks(self, call: Call, this: Collector, count: int) -> list[Any]:
        return this.read(count, back=False)

    def ReadPreviousTasks(self, call: Call, this: Collector, count: int) -> list[Any]:
        return this.read(count, back=True)

    def SetCollectorPageSize(self, call: Call, this: Collector, count: int) -> None:
        this.page = max(1, min(count, KEPT))
        self.center.registry.touch(this)

    def RewindCollector(self, call: Call, this: Collector) -> None:
        this.at = 0

    def ResetCollector(self, call: Call, this: Collector) -> None:
        this.at = -1

    def DestroyCollector(self, call: Call, this: Collector) -> None:
        self.center.registry.remove(this)

    # ---- the work

    def _collector(self, call: Call, kind: Any, wanted: Any, items: Callable[[], list[Any]]) -> Any:
        made = Collector(kind, f"session[{call.owner}]{uuid.uuid4()}", wanted, items)
        made.owner = call.owner
        return self.center.registry.add(made).ref

    def _events(self, wanted: Any) -> list[Any]:
        kinds, users = set(wanted.eventTypeId or ()), set(wanted.userName.userList if wanted.userName else ())
        found = [
            seen.event
            for seen in self._seen
            if self._fits(wanted.entity, seen.about)
            and (not kinds or _name(seen.event) in kinds or f"vim.event.{_name(seen.event)}" in kinds)
            and (not users or seen.event.userName in users)
            and _within(wanted.time, seen.event.createdTime)
        ]
        return found[-wanted.maxCount :] if wanted.maxCount else found

    def _infos(self, wanted: Any) -> list[Any]:
        states = {str(state) for state in wanted.state or ()}
        find = self.center.registry.objects.get
        return [
            info
            for info in (task.props["info"] for task in self.tasks.all())
            if self._fits(wanted.entity, find(info.entity._moId) if info.entity else None)
            and (not states or str(info.state) in states)
        ]

    def _fits(self, wanted: Any, about: Managed | None) -> bool:
        """Whether an object is the one of a filter, or lies in it."""
        if wanted is None or wanted.entity._moId == "group-d1":
            return True
        if about is None:
            return False
        depth = {"self": 1, "children": 2}.get(str(wanted.recursion))
        nodes = list(itertools.islice(about.up(), depth))
        return any(node.moid == wanted.entity._moId for node in nodes)


def _element(key: str, label: str) -> Any:
    return data(vim.ElementDescription, key=key, label=label, summary=label)


def _name(event: Any) -> str:
    return type(event).__name__.rpartition(".")[2]


def _within(wanted: Any, when: Any) -> bool:
    if wanted is None:
        return True
    return (wanted.beginTime is None or when >= wanted.beginTime) and (wanted.endTime is None or when <= wanted.endTime)


_ARGUMENTS: Sequence[tuple[Any, str, Any, str]] = (
    (vim.VirtualMachine, "vm", vim.event.VmEventArgument, "vm"),
    (vim.HostSystem, "host", vim.event.HostEventArgument, "host"),
    (vim.ComputeResource, "computeResource", vim.event.ComputeResourceEventArgument, "computeResource"),
    (vim.Datacenter, "datacenter", vim.event.DatacenterEventArgument, "datacenter"),
)


def _arguments(about: Managed | None) -> dict[str, Any]:
    """The objects that an event names: what it is about, and what that lies in."""
    found: dict[str, Any] = {}
    for node in () if about is None else about.up():
        for kind, name, argument, ref in _ARGUMENTS:
            if node.is_a(kind):
                found.setdefault(name, data(argument, name=node.name, **{ref: node.ref}))
    return found
