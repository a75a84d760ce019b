"""Names of folders, clusters, hosts, datastores and networks, and the path each machine lies on."""

from __future__ import annotations

from dataclasses import dataclass, field
from urllib.parse import unquote

from vmie_tui.services.vsphere.hardware import Names
from vmie_tui.services.vsphere.property_collector import retrieve, view_of_all, view_specification
from vmie_tui.services.vsphere.session import VSphere

_DEPTH = 64  # a vCenter allows far fewer nested folders; guards against a loop in odd data
_PATHS = {
    "Folder": ("name", "parent"),
    "Datacenter": ("name", "parent"),
    "ComputeResource": ("name",),
    "HostSystem": ("name", "parent"),
    "Datastore": ("name", "summary.type"),
    "Network": ("name",),
    "VirtualApp": ("name", "parentFolder"),
}


@dataclass(slots=True)
class InventoryPaths:
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
        """(datacenter's id or "", folders below its VM folder) of what lies in the folder or vApp ``parent``."""
        folders: list[str] = []
        for _ in range(_DEPTH):
            kind = self.kinds.get(parent)
            if kind == "Datacenter":
                # The topmost folder is the datacenter's VM folder, which people never see.
                return parent, tuple(reversed(folders[:-1]))
            if kind is None:
                break
            folders.append(self.names.get(parent, ""))
            parent = self.parents.get(parent, "")
        return "", tuple(reversed(folders))

    def datacenter(self, moid: str) -> str:
        """What people call a datacenter: its name, or with the folders it lies in where another has that name."""
        name = self.names.get(moid, "")
        if sum(kind == "Datacenter" and self.names[one] == name for one, kind in self.kinds.items()) > 1:
            return "/".join(self._down_to(moid))
        return name

    def datacenter_path(self, which: str) -> str:
        """How datastore addresses name a datacenter, given by its id or by what `datacenter` says.

        With the folders it lies in; only the name when it is unclear which one is meant.
        """
        found = [moid for moid, kind in self.kinds.items() if kind == "Datacenter" and self.datacenter(moid) == which]
        if self.kinds.get(which) == "Datacenter":
            found = [which]
        if len(found) != 1:
            return which
        return "/".join(escaped(name) for name in self._down_to(found[0]))

    def _down_to(self, moid: str) -> list[str]:
        """The names from the topmost folder down to this object; the root folder is not among them."""
        parts: list[str] = []
        while moid in self.kinds and len(parts) < _DEPTH:
            parts.append(self.names[moid])
            moid = self.parents.get(moid, "")
        return parts[::-1]

    def split_file(self, file_name: str, datastore: str = "") -> tuple[str, str]:
        """(datastore, path) of ``[datastore] folder/name.vmdk``; both empty for another text.

        A datastore's name may hold "] " itself, so it is cut off as the name that is known: ``datastore``, or else the
        longest of all that fits.
        """
        known = [name for moid, name in self.names.items() if self.kinds[moid] == "Datastore"]
        names = sorted({*known, *map(escaped, known)}, key=len, reverse=True)
        for name in [datastore, escaped(datastore), *names]:
            if name and file_name.startswith(f"[{name}] "):
                return name, file_name[len(name) + 3 :]
        name, mark, path = file_name.partition("] ")
        return (name[1:], path) if mark and name.startswith("[") and len(name) > 1 else ("", "")

    def host(self, moid: str) -> tuple[str, str]:
        """(host name, cluster name); a host outside a cluster has none."""
        parent = self.parents.get(moid, "")
        in_cluster = self.kinds.get(parent) == "ClusterComputeResource"
        return self.names.get(moid, ""), self.names.get(parent, "") if in_cluster else ""


def escaped(name: str) -> str:
    """A name as inventory paths and vCenter's own properties write it."""
    return name.replace("%", "%25").replace("/", "%2f").replace("\\", "%5c")


def read_inventory_paths(vsphere: VSphere, *, fresh: bool = False) -> InventoryPaths:
    """The names as read before in this session, or read now. Raises ServiceError."""
    if isinstance(vsphere.places, InventoryPaths) and not fresh:
        return vsphere.places
    places = InventoryPaths()
    networks: dict[str, str] = {}
    with view_of_all(vsphere, _PATHS, doing="reading the inventory") as view:
        for record in retrieve(vsphere, view_specification(view, _PATHS)):
            name = unquote(record.text("name"))
            places.kinds[record.moid], places.names[record.moid] = record.kind, name
            parent = record.text("parent") or record.text("parentFolder")
            if parent:
                places.parents[record.moid] = parent
            if record.kind == "Datastore":
                places.datastore_types[record.moid] = record.text("summary.type")
            elif record.kind in ("Network", "DistributedVirtualPortgroup", "OpaqueNetwork"):
                networks[record.moid] = name
    datastores = {moid: (places.names[moid], kind) for moid, kind in places.datastore_types.items()}
    places.devices = Names(datastores, networks)
    vsphere.places = places
    return places
