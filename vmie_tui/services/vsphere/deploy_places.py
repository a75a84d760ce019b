"""Reads the possible locations of a new machine: resource pools, datastores, folders, networks, hosts."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from urllib.parse import unquote

from vmie_tui.model.deploy_places import DeployPlace, DeployPlaces
from vmie_tui.services.vsphere.property_collector import Record, retrieve, view_of_all, view_specification
from vmie_tui.services.vsphere.session import VSphere

_DEPTH = 64
_PATHS = {
    "Datacenter": ("name", "parent", "vmFolder"),
    "Folder": ("name", "parent", "childType"),
    "ComputeResource": ("name", "parent", "resourcePool", "datastore", "network"),
    "ResourcePool": ("name", "parent", "owner"),
    "HostSystem": ("name", "parent", "runtime.connectionState", "runtime.inMaintenanceMode"),
    "Datastore": ("name", "parent", "summary.accessible", "summary.maintenanceMode", "summary.freeSpace"),
    "Network": ("name", "parent"),
}


def read_deploy_places(vsphere: VSphere) -> DeployPlaces:
    """One read of a few properties of everything that is no machine. Raises ServiceError."""
    tree = _Tree()
    with view_of_all(vsphere, _PATHS, doing="reading where machines can be put") as view:
        for record in retrieve(vsphere, view_specification(view, _PATHS)):
            tree.add(record)
    return tree.places()


@dataclass(slots=True)
class _Node:
    moid: str
    kind: str
    name: str
    parent: str
    free: int | None = None
    why_not: str = ""
    refs: dict[str, list[str]] = field(default_factory=dict)


class _Tree:
    """The objects by id, as they were read."""

    def __init__(self) -> None:
        self._nodes: dict[str, _Node] = {}

    def add(self, record: Record) -> None:
        node = _Node(record.moid, record.kind, unquote(record.text("name")), record.text("parent"))
        for name in ("vmFolder", "resourcePool", "owner"):
            if record.text(name):
                node.refs[name] = [record.text(name)]
        for name in ("datastore", "network", "childType"):
            element = record.values.get(name)
            node.refs[name] = [item.text or "" for item in element] if element is not None else []
        if record.kind == "Datastore":
            node.free = record.number("summary.freeSpace")
            if not record.flag("summary.accessible"):
                node.why_not = "it is not accessible"
            elif record.text("summary.maintenanceMode", "normal") != "normal":
                node.why_not = "it is in maintenance mode"
        elif record.kind == "HostSystem":
            if record.text("runtime.connectionState", "connected") != "connected":
                node.why_not = "it is not connected"
            elif record.flag("runtime.inMaintenanceMode"):
                node.why_not = "it is in maintenance mode"
        self._nodes[node.moid] = node

    def _up(self, moid: str) -> list[_Node]:
        """The object and what it lies in, without the root."""
        found: list[_Node] = []
        while (node := self._nodes.get(moid)) is not None and len(found) < _DEPTH:
            found.append(node)
            moid = node.parent
        return found

    def _path(self, moid: str, *, without: Callable[[_Node], bool] = lambda node: False) -> str:
        return "/".join(node.name for node in reversed(self._up(moid)) if not without(node))

    def places(self) -> DeployPlaces:
        centers = [node for node in self._nodes.values() if node.kind == "Datacenter"]
        systems = [node for node in self._nodes.values() if node.refs.get("resourcePool")]
        roots = {node.refs["resourcePool"][0]: node for node in systems}
        # The folders that every datacenter has, which people never see.
        hidden = {node.moid for node in self._nodes.values() if self._is_datacenter(node.parent)}

        def unseen(node: _Node) -> bool:
            return node.moid in hidden or node.moid in roots

        pools = [
            DeployPlace(
                node.moid,
                roots[node.moid].name if node.moid in roots else node.name,
                self._path(node.moid, without=unseen),
                near=frozenset(node.refs.get("owner", ())),
                datacenter=self._datacenter(node.moid),
            )
            for node in self._nodes.values()
            if node.kind == "ResourcePool"
        ]
        homes = {center.refs["vmFolder"][0]: center for center in centers if center.refs.get("vmFolder")}
        folders = [
            DeployPlace(
                node.moid,
                homes[node.moid].name if node.moid in homes else node.name,
                self._path(node.moid, without=unseen),
                datacenter=self._datacenter(node.moid),
            )
            for node in self._nodes.values()
            if node.kind == "Folder" and any(up.moid in homes for up in self._up(node.moid))
        ]
        return DeployPlaces(
            _sorted(pools),
            _sorted(self._used("datastore", systems, unseen)),
            _sorted(folders),
            _sorted(self._used("network", systems, unseen)),
            _sorted(
                DeployPlace(
                    node.moid,
                    node.name,
                    self._path(node.moid, without=unseen),
                    why_not=node.why_not,
                    near=frozenset({node.parent}),
                )
                for node in self._nodes.values()
                if node.kind == "HostSystem"
            ),
        )

    def _datacenter(self, moid: str) -> str:
        return next((node.moid for node in self._up(moid) if node.kind == "Datacenter"), "")

    def _is_datacenter(self, moid: str) -> bool:
        return moid in self._nodes and self._nodes[moid].kind == "Datacenter"

    def _used(self, what: str, systems: Sequence[_Node], unseen: Callable[[_Node], bool]) -> list[DeployPlace]:
        """The datastores or networks that clusters and hosts can use."""
        users: dict[str, set[str]] = {}
        for system in systems:
            for moid in system.refs.get(what, ()):
                users.setdefault(moid, set()).add(system.moid)
        return [
            DeployPlace(
                moid,
                self._nodes[moid].name,
                self._path(moid, without=unseen),
                self._nodes[moid].free,
                self._nodes[moid].why_not,
                frozenset(near),
            )
            for moid, near in users.items()
            if moid in self._nodes
        ]


def _sorted(found: Iterable[DeployPlace]) -> tuple[DeployPlace, ...]:
    return tuple(sorted(found, key=lambda place: (place.path.casefold(), place.moid)))
