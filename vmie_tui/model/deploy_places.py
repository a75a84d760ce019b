"""Where a new machine can be put in a vCenter, and the place that a user's words name."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from vmie_tui.model.errors import ErrorKind, ServiceError
from vmie_tui.model.export import DeployTarget


@dataclass(frozen=True, slots=True)
class DeployPlace:
    moid: str
    name: str
    path: str  # what tells it from others of its name
    free: int | None = None  # bytes; of datastores only
    why_not: str = ""  # why nothing can be put there now
    near: frozenset[str] = frozenset()  # ids of the clusters, or hosts outside one, that can use it
    datacenter: str = ""  # its id; a folder is for all of its datacenter


NOWHERE = DeployPlace("", "", "")


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


@dataclass(frozen=True, slots=True)
class DeployChoice:
    """A place that was chosen for a new machine."""

    target: DeployTarget  # with the places' ids
    names: DeployNames  # their paths
    free: int | None = None  # bytes of the datastore

    @property
    def where(self) -> str:
        """In words, as ``web-01 in DC1/Compute on vmfs-01``."""
        network = f", network {self.names.network}" if self.names.network else ", no network"
        folder = f", folder {self.names.folder}" if self.names.folder else ""
        return f"{self.target.name} in {self.names.pool} on {self.names.datastore}{folder}{network}"


def choose_place(places: DeployPlaces, name: str, wanted: DeployNames) -> DeployChoice:
    """Where the words put a machine called ``name``.

    Raises ServiceError: NOT_FOUND for a name that is not there (naming those that are), CONFLICT for one that several
    places have, REFUSED for a place that can take nothing now, or that the pool cannot use.
    """
    pool = _pick(places.pools, wanted.pool, "resource pool or cluster")
    usable = _near(places.datastores, pool)
    if wanted.datastore:
        store = _pick(places.datastores, wanted.datastore, "datastore", pool=pool, among=usable)
    else:
        store = _only([one for one in usable if not one.why_not], "datastore", pool)

    def within_pool(what: str, text: str, every: Sequence[DeployPlace], among: Sequence[DeployPlace]) -> DeployPlace:
        return _pick(every, text, what, pool=pool, among=among) if text else NOWHERE

    network = within_pool("network", wanted.network, places.networks, _near(places.networks, pool))
    host = within_pool("host", wanted.host, places.hosts, _near(places.hosts, pool))
    folders = [one for one in places.folders if one.datacenter == pool.datacenter]
    folder = within_pool("folder", wanted.folder, places.folders, folders)
    return DeployChoice(
        DeployTarget(name, pool.moid, store.moid, folder.moid, network.moid, host.moid),
        DeployNames(pool.path, store.path, folder.path, network.path, host.path),
        store.free,
    )


def _near(places: Sequence[DeployPlace], pool: DeployPlace) -> list[DeployPlace]:
    return [one for one in places if one.near & pool.near]


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
