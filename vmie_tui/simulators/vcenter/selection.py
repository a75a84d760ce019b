"""Which objects and properties a property filter means."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from functools import lru_cache
from typing import Any

from pyVmomi import VmomiSupport, vmodl

from vmie_tui.simulators.vcenter.registry import Managed, gone
from vmie_tui.simulators.vcenter.shared_state import Center
from vmie_tui.simulators.vcenter.values import VERSION
from vmie_tui.simulators.vcenter.views import ListView, View

TraversalSpec = vmodl.query.PropertyCollector.TraversalSpec
STEP = re.compile(r'([A-Za-z]\w*)(?:\[(?:"([^"]*)"|(-?\d+))\])?')
PATH = re.compile(rf"{STEP.pattern}(?:\.{STEP.pattern})*")


def invalid(path: str) -> Exception:
    fault: Exception = vmodl.query.InvalidProperty(name=path, msg=f"A property path is not valid: {path}")
    return fault


class Selector:
    """Walks one FilterSpec."""

    def __init__(self, center: Center, owner: str) -> None:
        self._center, self._objects, self._owner = center, center.registry.objects, owner

    def objects(self, spec: Any) -> list[Managed]:
        """The selected objects, each once, in the order found; raises ManagedObjectNotFound for a start gone."""
        found: dict[str, Managed] = {}
        for start in spec.objectSet:
            managed = self._objects.get(start.obj._moId)
            if managed is None or managed.owner not in ("", self._owner):
                raise gone(start.obj)
            named: dict[str, Any] = {}
            _collect_names(start.selectSet, named)
            if not start.skip:
                found.setdefault(managed.moid, managed)
            self._walk(managed, start.selectSet, named, found, set())
        return list(found.values())

    def _walk(
        self, at: Managed, specs: Iterable[Any], named: dict[str, Any], found: dict[str, Managed], been: set[Any]
    ) -> None:
        waiting = [(at, spec) for spec in specs or ()]
        while waiting:
            node, given = waiting.pop()
            spec = given if isinstance(given, TraversalSpec) else named.get(given.name)
            if spec is None:
                raise vmodl.fault.InvalidArgument(invalidProperty="selectSet", msg=f"No selection named {given.name}")
            if (node.moid, id(spec)) in been or not issubclass(node.kind, spec.type):
                continue
            been.add((node.moid, id(spec)))
            for managed in self._step(node, spec):
                if not spec.skip:
                    found.setdefault(managed.moid, managed)
                waiting.extend((managed, below) for below in spec.selectSet or ())

    def _step(self, node: Managed, spec: Any) -> Iterator[Managed]:
        if isinstance(node, (View, ListView)) and spec.path == "view":
            yield from node.members()
            return
        check_path(spec.type, spec.path)
        value, declared = read_typed(node, spec.path)
        if not issubclass(getattr(declared, "Item", declared), VmomiSupport.ManagedObject):
            raise invalid(spec.path)
        for ref in value if isinstance(value, list) else [value]:
            managed = None if ref is None else self._objects.get(ref._moId)
            if managed is not None and self._center.privileges.held("System.View", managed):
                yield managed


def _collect_names(specs: Iterable[Any], named: dict[str, Any]) -> None:
    for spec in specs or ():
        if isinstance(spec, TraversalSpec):
            if spec.name:
                named[spec.name] = spec
            _collect_names(spec.selectSet, named)


def paths_of(managed: Managed, spec: Any) -> tuple[str, ...]:
    """The property paths a filter asks of this object; raises InvalidProperty for one its class does not have."""
    wanted: dict[str, None] = {}
    for prop in spec.propSet:
        if issubclass(managed.kind, prop.type):
            if prop.all:
                wanted.update(dict.fromkeys(managed.names()))
            for path in prop.pathSet or ():
                check_path(prop.type, path)
                wanted[path] = None
    return tuple(wanted)


@lru_cache(maxsize=4096)
def check_path(kind: type, path: str) -> str:
    """The privilege a path's first property needs; raises InvalidProperty when the schema has no such path.

    Behind an array element (``device[2000].``) only the object itself can tell which properties there are.
    """
    steps = steps_of(path)
    holder: Any = kind
    for number, (name, key) in enumerate(steps):
        try:
            info = VmomiSupport.GetPropertyInfo(holder, name)
        except AttributeError:
            raise invalid(path) from None
        if not VmomiSupport.IsChildVersion(VERSION, info.version):
            raise invalid(path)
        holder = info.type
        if key is not None:
            break
        if issubclass(holder, list) and number < len(steps) - 1:
            raise invalid(path)
    return str(VmomiSupport.GetPropertyInfo(kind, steps[0][0]).privId or "System.Read")


@lru_cache(maxsize=4096)
def steps_of(path: str) -> tuple[tuple[str, str | int | None], ...]:
    """(property, key in an array or None) for each step of a path; raises InvalidProperty."""
    if not PATH.fullmatch(path):
        raise invalid(path)
    return tuple((name, text or (int(number) if number else None)) for name, text, number in STEP.findall(path))


def read_typed(managed: Managed, path: str, heads: dict[str, Any] | None = None) -> tuple[Any, type]:
    """(value, its declared type) at a property path; ``heads`` keeps top-level values from call to call."""
    steps = steps_of(path)
    head = steps[0][0]
    if heads is None or head not in heads:
        value = managed.value(head)
        if heads is not None:
            heads[head] = value
    else:
        value = heads[head]
    declared = VmomiSupport.GetPropertyInfo(managed.kind, head).type
    value, declared = _keyed(value, declared, steps[0][1])
    for name, key in steps[1:]:
        if value is None:
            return None, declared
        try:
            declared = VmomiSupport.GetPropertyInfo(type(value), name).type
        except AttributeError:  # this element of an array has no such property
            return None, declared
        value, declared = _keyed(getattr(value, name), declared, key)
    return value, declared


def _keyed(value: Any, declared: Any, key: str | int | None) -> tuple[Any, Any]:
    if key is None or value is None:
        return value, declared
    return next((item for item in value if getattr(item, "key", None) == key), None), declared.Item
