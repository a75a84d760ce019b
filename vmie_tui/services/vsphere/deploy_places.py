"""Where a new machine can be put, for choosing by name: resource pools, datastores, folders, networks, hosts."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from urllib.parse import unquote

from pyVmomi import vim

from vmie_tui.model.errors import ErrorKind, ServiceError
from vmie_tui.model.export import DeployTarget
from vmie_tui.services.vsphere.deploy import check_room
from vmie_tui.services.vsphere.places import destroy
from vmie_tui.services.vsphere.property_collector import Record, retrieve, view_specification
from vmie_tui.services.vsphere.session import VSphere

_DEPTH = 64
_PATHS = {
    vim.Datacenter: ("name", "parent", "vmFolder"),
    vim.Folder: ("name", "parent", "childType"),
    vim.ComputeResource: ("name", "parent", "resourcePool", "datastore", "network"),
    vim.ResourcePool: ("name", "parent", "owner"),
    vim.HostSystem: ("name", "parent", "runtime.connectionState", "runtime.inMaintenanceMode"),
    vim.Datastore: ("name", "parent", "summary.accessible", "summary.maintenanceMode", "summary.freeSpace"),
    vim.Network: ("name", "parent"),
}


@dataclass(frozen=True, slots=True)
class DeployPlace:
    """One place. ``path`` is what tells it from others of its name; ``free`` bytes, of datastores only.

    ``why_not``: a reason for which nothing can be put there now. ``near``: the ids of the clusters (or hosts outside
    one) that can use it; a folder is for all of its datacenter.
    """

    moid: str
    name: str
    path: str
    free: int | None = None
    why_not: str = ""
    near: frozenset[str] = frozenset()
    datacenter: str = ""  # its id


@dataclass(frozen=True, slots=True)
class DeployPlaces:
    """All of a vCenter. A cluster's own pool has the cluster's name, a datacenter's own folder the datacenter's."""

    pools: tuple[DeployPlace, ...] = ()
    datastores: tuple[DeployPlace, ...] = ()
    folders: tuple[DeployPlace, ...] = ()
    networks: tuple[DeployPlace, ...] = ()
    hosts: tuple[DeployPlace, ...] = ()


@dataclass(frozen=True, slots=True)
class DeployNames:
    """What a user says: names, paths or ids; "" leaves it open. A datastore is needed where there are several."""

    pool: str
    datastore: str = ""
    folder: str = ""
    network: str = ""
    host: str = ""


def read_deploy_places(vsphere: VSphere) -> DeployPlaces:
    """One read of a few properties of everything that is no machine. Raises ServiceError."""
    content, tree = vsphere.content, _Tree()
    view = vsphere.call(
        lambda: content.viewManager.CreateContainerView(content.rootFolder, list(_PATHS), True),
        doing="reading where machines can be put",
    )
    try:
        for record in retrieve(vsphere, view_specification(view, dict(_PATHS))):
            tree.add(record)
    finally:
        destroy(vsphere, view)
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


def resolve(places: DeployPlaces, name: str, wanted: DeployNames, *, needs: int = 0) -> DeployTarget:
    """The target for a machine ``name``, its places by id. ``needs``: bytes that the datastore must have free.

    Raises ServiceError: NOT_FOUND for a name that is not there (naming those that are), CONFLICT for one that is
    several places', REFUSED for a place that can take nothing now, that the pool cannot use, or without room.
    """
    pool = _pick(places.pools, wanted.pool, "resource pool or cluster")
    usable = [one for one in places.datastores if one.near & pool.near]
    if wanted.datastore:
        store = _pick(places.datastores, wanted.datastore, "datastore", pool=pool, among=usable)
    else:
        store = _only([one for one in usable if not one.why_not], "datastore", pool)
    check_room(store.name, store.free or 0, needs)
    network = host = folder = ""
    if wanted.network:
        among = [one for one in places.networks if one.near & pool.near]
        network = _pick(places.networks, wanted.network, "network", pool=pool, among=among).moid
    if wanted.host:
        among = [one for one in places.hosts if one.near & pool.near]
        host = _pick(places.hosts, wanted.host, "host", pool=pool, among=among).moid
    if wanted.folder:
        among = [one for one in places.folders if one.datacenter == pool.datacenter]
        folder = _pick(places.folders, wanted.folder, "folder", pool=pool, among=among).moid
    return DeployTarget(name, pool.moid, store.moid, folder, network, host)


def _matches(place: DeployPlace, text: str) -> bool:
    """By id, name, path, or the end of a path."""
    wanted = text.strip("/")
    return wanted in {place.moid, place.name, place.path} or place.path.endswith(f"/{wanted}")


def _pick(
    places: Sequence[DeployPlace],
    text: str,
    what: str,
    *,
    pool: DeployPlace | None = None,
    among: Sequence[DeployPlace] | None = None,
) -> DeployPlace:
    usable = places if among is None else among
    found = [place for place in usable if _matches(place, text)]
    exact = [place for place in found if text.strip("/") in {place.moid, place.path}]
    found = exact or found
    if len(found) == 1:
        if found[0].why_not:
            raise ServiceError(
                ErrorKind.REFUSED,
                f"the {what} cannot be used: {found[0].why_not}",
                subject=found[0].path,
                remedy=f"Choose another {what}",
            )
        return found[0]
    if found:
        raise ServiceError(
            ErrorKind.CONFLICT,
            f"{len(found)} places have this name: {_few(found)}",
            subject=f"{what} {text}",
            remedy="Say which by its path",
        )
    if pool is not None and any(_matches(place, text) for place in places):
        raise ServiceError(
            ErrorKind.REFUSED,
            f"the {what} cannot be used from {pool.path}",
            subject=text,
            remedy=f"Choose one of {_few(usable)}" if usable else "Choose another pool",
        )
    raise ServiceError(
        ErrorKind.NOT_FOUND,
        f"there is no such {what}",
        subject=text,
        remedy=f"There are {_few(usable)}" if usable else f"vCenter shows no {what} to this user",
    )


def _only(usable: Sequence[DeployPlace], what: str, pool: DeployPlace) -> DeployPlace:
    if len(usable) == 1:
        return usable[0]
    raise ServiceError(
        ErrorKind.INVALID if usable else ErrorKind.NOT_FOUND,
        f"no {what} was chosen, and there are {len(usable)}" if usable else f"no {what} can be used",
        subject=pool.path,
        remedy=f"Choose one of {_few(usable)}" if usable else "Choose another pool",
    )


def _few(places: Sequence[DeployPlace]) -> str:
    names = [place.path for place in places[:6]]
    return ", ".join(names) + (", …" if len(places) > len(names) else "")
