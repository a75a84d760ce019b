"""Container views and the search index: ways to find objects without walking the tree."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from typing import Any

from pyVmomi import vim, vmodl

from vmie_tui.simulators.vcenter.calls import Call
from vmie_tui.simulators.vcenter.machine import Machine
from vmie_tui.simulators.vcenter.registry import Managed, Registry
from vmie_tui.simulators.vcenter.shared_state import Center


def inside(registry: Registry, container: Managed, recursive: bool) -> Iterator[Managed]:
    """What lies in a container, each object once; hosts and pools hold their machines too."""
    seen: set[str] = set()
    waiting = [container]
    while waiting:
        node = waiting.pop()
        children = list(node.children)
        if node.is_a(vim.HostSystem) or node.is_a(vim.ResourcePool):
            children += [registry.objects[ref._moId] for ref in node.value("vm") or () if ref._moId in registry.objects]
        for child in children:
            if child.moid not in seen:
                seen.add(child.moid)
                yield child
        if recursive:
            waiting.extend(reversed(node.children))


class View(Managed):
    """A live list of the objects of some types in a container."""

    __slots__ = ("_center", "_container", "_recursive", "_types")

    def __init__(self, center: Center, moid: str, container: Managed, types: tuple[type, ...], recursive: bool) -> None:
        super().__init__(vim.view.ContainerView, moid)
        self._center, self._container, self._types, self._recursive = center, container, types, recursive
        self.props.update(container=container.ref, type=list(types), recursive=recursive)

    def members(self) -> Iterator[Managed]:
        for found in inside(self._center.registry, self._container, self._recursive):
            fits = not self._types or issubclass(found.kind, self._types)
            if fits and self._center.privileges.held("System.View", found):
                yield found

    def value(self, name: str) -> Any:
        return [found.ref for found in self.members()] if name == "view" else super().value(name)

    def names(self) -> Iterator[str]:
        yield from ("view", *self.props)


class ListView(Managed):
    """A list of objects that its client keeps."""

    __slots__ = ("_registry", "kept_refs")

    def __init__(self, registry: Registry, moid: str, refs: list[Any]) -> None:
        super().__init__(vim.view.ListView, moid)
        self._registry = registry
        self.kept_refs = {ref._moId: ref for ref in refs}

    def members(self) -> Iterator[Managed]:
        for moid in list(self.kept_refs):
            if (found := self._registry.objects.get(moid)) is not None:
                yield found

    def value(self, name: str) -> Any:
        return [found.ref for found in self.members()] if name == "view" else super().value(name)

    def names(self) -> Iterator[str]:
        yield "view"


class Views:
    """The ViewManager's methods."""

    def __init__(self, center: Center) -> None:
        self._center = center
        self.manager = center.registry.add(Managed(vim.view.ViewManager, "ViewManager"))
        self.manager.props["viewList"] = []

    def CreateContainerView(
        self, call: Call, this: Managed, container: Any, types: list[type] | None, recursive: bool
    ) -> Any:
        root = self._center.registry.find(container)
        allowed = (vim.Folder, vim.Datacenter, vim.ComputeResource, vim.ResourcePool, vim.HostSystem)
        if not issubclass(root.kind, allowed):
            raise vmodl.fault.InvalidArgument(
                invalidProperty="container", msg="A specified parameter was not correct: container"
            )
        moid = f"session[{call.owner}]{uuid.uuid4()}"
        view = View(self._center, moid, root, tuple(types or ()), bool(recursive))
        view.owner = call.owner
        return self._center.registry.add(view).ref

    def CreateListView(self, call: Call, this: Managed, refs: list[Any] | None) -> Any:
        return self._list(call, list(refs or ()))

    def CreateListViewFromView(self, call: Call, this: Managed, view: Any) -> Any:
        return self._list(call, list(self._center.registry.find(view).value("view") or ()))

    def _list(self, call: Call, refs: list[Any]) -> Any:
        made = ListView(self._center.registry, f"session[{call.owner}]{uuid.uuid4()}", refs)
        made.owner = call.owner
        return self._center.registry.add(made).ref

    def ModifyListView(self, call: Call, this: ListView, add: list[Any] | None, remove: list[Any] | None) -> list[Any]:
        """Returns the objects that are not there."""
        for ref in remove or ():
            this.kept_refs.pop(ref._moId, None)
        return self._add(this, list(add or ()))

    def ResetListView(self, call: Call, this: ListView, refs: list[Any] | None) -> list[Any]:
        this.kept_refs.clear()
        return self._add(this, list(refs or ()))

    def ResetListViewFromView(self, call: Call, this: ListView, view: Any) -> None:
        self.ResetListView(call, this, list(self._center.registry.find(view).value("view") or ()))

    def _add(self, view: ListView, refs: list[Any]) -> list[Any]:
        registry = self._center.registry
        there = {ref._moId: ref for ref in refs if ref._moId in registry.objects}
        view.kept_refs.update(there)
        registry.structure += 1  # filters look again at what the view leads to
        registry.touch(view)
        return [ref for ref in refs if ref._moId not in there]

    def DestroyView(self, call: Call, this: Managed) -> None:
        self._center.registry.remove(this)


class Search:
    """The SearchIndex's methods."""

    def __init__(self, center: Center) -> None:
        self._center = center
        self.index = center.registry.add(Managed(vim.SearchIndex, "SearchIndex"))

    def _machines(self, within: Any) -> Iterator[Machine]:
        top = None if within is None else self._center.registry.find(within)
        for managed in self._center.registry.objects.values():
            if isinstance(managed, Machine) and (top is None or top in managed.up()):
                yield managed

    def FindAllByUuid(self, call: Call, this: Managed, within: Any, ident: str, vms: bool, instance: bool) -> Any:
        if not vms:
            return []
        wanted = ident.lower()
        return [
            one.ref
            for one in self._machines(within)
            if (one.instance_uuid if instance else one.bios_uuid) == wanted
            and self._center.privileges.held("System.View", one)
        ]

    def FindByUuid(self, call: Call, this: Managed, within: Any, ident: str, vms: bool, instance: bool) -> Any:
        found = self.FindAllByUuid(call, this, within, ident, vms, instance)
        return found[0] if found else None

    def FindByInventoryPath(self, call: Call, this: Managed, path: str) -> Any:
        """``Datacenter/vm/folder/name``; a slash in a name is written %2f."""
        node = next((one for one in self._center.registry.objects.values() if one.moid == "group-d1"), None)
        for part in filter(None, path.split("/")):
            name = part.replace("%2f", "/").replace("%2F", "/")
            node = None if node is None else next((child for child in node.children if child.name == name), None)
        seen = node is not None and self._center.privileges.held("System.View", node)
        return node.ref if node is not None and seen else None

    def FindChild(self, call: Call, this: Managed, entity: Any, name: str) -> Any:
        parent = self._center.registry.find(entity)
        return next((child.ref for child in parent.children if child.name == name), None)
