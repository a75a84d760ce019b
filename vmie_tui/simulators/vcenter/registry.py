"""The registry of managed objects, with change notifications."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from types import FunctionType, MethodType
from typing import Any

from pyVmomi import vmodl


class Managed:
    """One managed object: its class, its id, its place in the tree and its properties.

    A property may be a function of no arguments, asked each time. Subclasses with many properties override `value`.
    """

    __slots__ = ("children", "kept", "kind", "moid", "owner", "parent", "props", "ref")

    def __init__(self, kind: Any, moid: str, parent: Managed | None = None, **props: Any) -> None:
        self.kind, self.moid, self.parent, self.props = kind, moid, parent, props
        self.children: list[Managed] = []
        self.ref = kind(moid, None)
        self.owner = ""  # the session this object lives in
        self.kept: tuple[object, bytes] | None = None  # the collector's copy of the written properties
        if parent is not None:
            parent.children.append(self)

    @property
    def name(self) -> str:
        return str(self.props.get("name", ""))

    @property
    def subject(self) -> str:
        """What a fault's ``match`` is looked for in."""
        return f"{self.moid} {self.name}"

    def value(self, name: str) -> Any:
        """A top-level property; None when unset."""
        if name == "parent":
            return None if self.parent is None else self.parent.ref
        found = self.props.get(name)
        return found() if isinstance(found, (FunctionType, MethodType)) else found

    def names(self) -> Iterator[str]:
        """Every property this object can have set."""
        if self.parent is not None:
            yield "parent"
        yield from self.props

    def is_a(self, kind: type) -> bool:
        return issubclass(self.kind, kind)

    def up(self) -> Iterator[Managed]:
        """This object and what it lies in, to the root."""
        node: Managed | None = self
        while node is not None:
            yield node
            node = node.parent


def gone(ref: Any) -> Exception:
    """The fault for an object that does not exist, or not for this session."""
    text = f"The object '{ref._wsdlName}:{ref._moId}' has already been deleted or has not been completely created"
    fault: Exception = vmodl.fault.ManagedObjectNotFound(obj=ref, msg=text)
    return fault


class Registry:
    """All managed objects by id. Everything that reads or changes them holds ``lock``."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.changed = threading.Condition(self.lock)
        self.objects: dict[str, Managed] = {}
        self.structure = 0  # goes up when an object comes, goes or moves
        self.listeners: list[set[str]] = []  # each is told the ids of changed objects
        self._last = 0

    def new_id(self, prefix: str) -> str:
        """The next id, such as ``vm-17``: one count for all, as in vCenter."""
        with self.lock:
            self._last += 1
            return f"{prefix}-{self._last}"

    def add(self, managed: Managed) -> Managed:
        with self.lock:
            self.objects[managed.moid] = managed
            self.structure += 1
            self.changed.notify_all()
        return managed

    def new(self, kind: Any, prefix: str, parent: Managed | None = None, **props: Any) -> Managed:
        """Make and add an object with a fresh id."""
        return self.add(Managed(kind, self.new_id(prefix), parent, **props))

    def remove(self, managed: Managed) -> None:
        with self.lock:
            if self.objects.pop(managed.moid, None) is None:
                return
            if managed.parent is not None and managed in managed.parent.children:
                managed.parent.children.remove(managed)
                self.touch(managed.parent)
            self.structure += 1
            self.changed.notify_all()

    def touch(self, managed: Managed) -> None:
        """Notifies that an object's properties changed."""
        with self.lock:
            managed.kept = None
            for told in self.listeners:
                told.add(managed.moid)
            self.changed.notify_all()

    def set(self, managed: Managed, **props: Any) -> None:
        with self.lock:
            managed.props.update(props)
            self.touch(managed)

    def find(self, ref: Any) -> Managed:
        """The object a reference names; raises ManagedObjectNotFound."""
        managed = self.objects.get(ref._moId)
        if managed is None or not issubclass(managed.kind, type(ref)):
            raise gone(ref)
        return managed
