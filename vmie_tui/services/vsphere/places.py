"""Names of folders, clusters, hosts, datastores and networks, and the path each machine lies on."""

from __future__ import annotations

from dataclasses import dataclass, field
from urllib.parse import unquote

from pyVmomi import vim

from vmie_tui.services.vsphere.hardware import Names
from vmie_tui.services.vsphere.session import VSphere
from vmie_tui.services.vsphere.soap import retrieve, view_specification

_DEPTH = 64  # a vCenter allows far fewer nested folders; guards against a loop in odd data
_PATHS = {
    vim.Folder: ("name", "parent"),
    vim.Datacenter: ("name", "parent"),
    vim.ComputeResource: ("name",),
    vim.HostSystem: ("name", "parent"),
    vim.Datastore: ("name", "summary.type"),
    vim.Network: ("name",),
    vim.VirtualApp: ("name", "parentFolder"),
}


@dataclass(slots=True)
class Places:
    """Everything but machines, by moid."""

    names: dict[str, str] = field(default_factory=dict)
    parents: dict[str, str] = field(default_factory=dict)
    kinds: dict[str, str] = field(default_factory=dict)
    datastore_types: dict[str, str] = field(default_factory=dict)
    devices: Names = field(default_factory=Names)

    def know(self, *moids: str) -> bool:
        """Are all these (an empty one counts) in the list?"""
        return all(moid in self.kinds for moid in moids if moid)

    def path(self, parent: str) -> tuple[str, tuple[str, ...]]:
        """(datacenter, folders below its VM folder) of what lies in the folder or vApp ``parent``."""
        folders: list[str] = []
        for _ in range(_DEPTH):
            kind = self.kinds.get(parent)
            if kind == "Datacenter":
                # The topmost folder is the datacenter's VM folder, which people never see.
                return self.names.get(parent, ""), tuple(reversed(folders[:-1]))
            if kind is None:
                break
            folders.append(self.names.get(parent, ""))
            parent = self.parents.get(parent, "")
        return "", tuple(reversed(folders))

    def datacenter_path(self, name: str) -> str:
        """How datastore addresses name a datacenter: with the folders it lies in; only ``name`` when it is unclear."""
        found = [moid for moid, kind in self.kinds.items() if kind == "Datacenter" and self.names[moid] == name]
        if len(found) != 1:
            return name
        parts: list[str] = []
        moid = found[0]
        while moid in self.kinds and len(parts) < _DEPTH:  # the root folder is not among them, and in no path
            parts.append(self.names[moid].replace("%", "%25").replace("/", "%2f"))
            moid = self.parents.get(moid, "")
        return "/".join(reversed(parts))

    def host(self, moid: str) -> tuple[str, str]:
        """(host name, cluster name); a host outside a cluster has none."""
        parent = self.parents.get(moid, "")
        in_cluster = self.kinds.get(parent) == "ClusterComputeResource"
        return self.names.get(moid, ""), self.names.get(parent, "") if in_cluster else ""


def read_places(vsphere: VSphere, *, fresh: bool = False) -> Places:
    """The names as read before in this session, or read now. Raises ServiceError."""
    if isinstance(vsphere.places, Places) and not fresh:
        return vsphere.places
    places = Places()
    content = vsphere.content
    view = vsphere.call(
        lambda: content.viewManager.CreateContainerView(content.rootFolder, list(_PATHS), True),
        doing="reading the inventory",
    )
    networks: dict[str, str] = {}
    try:
        for record in retrieve(vsphere, view_specification(view, dict(_PATHS))):
            name = unquote(record.text("name"))
            places.kinds[record.moid], places.names[record.moid] = record.kind, name
            parent = record.text("parent") or record.text("parentFolder")
            if parent:
                places.parents[record.moid] = parent
            if record.kind == "Datastore":
                places.datastore_types[record.moid] = record.text("summary.type")
            elif record.kind in ("Network", "DistributedVirtualPortgroup", "OpaqueNetwork"):
                networks[record.moid] = name
    finally:
        destroy(vsphere, view)
    datastores = {moid: (places.names[moid], kind) for moid, kind in places.datastore_types.items()}
    places.devices = Names(datastores, networks)
    vsphere.places = places
    return places


def destroy(vsphere: VSphere, view: object) -> None:
    """Give a view back; vCenter drops it with the session anyway, so trouble here hides none that came before."""
    from contextlib import suppress

    with suppress(Exception):
        view.DestroyView()  # type: ignore[attr-defined]
