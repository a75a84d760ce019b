"""The server catalogue of each profile's vCenter (F425 to F429)."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

import sqlalchemy as sa

from vmie_tui.jobs.store import schema
from vmie_tui.jobs.store.replications import Replications
from vmie_tui.jobs.store.rows import UNREADABLE, typed
from vmie_tui.model.machine import Inventory, Machine
from vmie_tui.model.replication import Catalogue, CatalogueStatus, ReplicationState, Server

STALE_SECONDS = 600.0  # an import takes about a minute (F425); one that is said to take longer was broken off


def vm_key(host: str, instance_uuid: str) -> str:
    """The name under which a VM's days are counted and its replication is found: its vCenter and instance UUID."""
    return f"{host.lower()}/{instance_uuid.lower()}"


class Catalogues:
    """Reads and writes of catalogues. ``host``: of the profile's vCenter, as its settings name it."""

    def __init__(self, replications: Replications) -> None:
        self._replications = replications

    def read(self, profile: str, host: str) -> Catalogue:
        """The catalogue with each server's replication; EXPIRED, without servers, when it is of another vCenter."""
        if not self._replications.store.exists:
            return Catalogue()
        with self._replications.store.begin() as connection:
            row = _row(connection, profile)
            if row is None:
                return Catalogue()
            status, servers = CatalogueStatus(row["status"]), _servers(row)
            if servers and row["host"] != host.lower():
                status, servers = CatalogueStatus.EXPIRED, ()
            if row["importing"] is not None and time.time() - row["importing"] < STALE_SECONDS:
                status = CatalogueStatus.IMPORTING
            jobs = _jobs(connection)
        modified = row["modified"] if CatalogueStatus(row["status"]) is not CatalogueStatus.NOT_IMPORTED else None
        return Catalogue(status, modified, tuple(_with_job(server, host, jobs) for server in servers))

    def importing(self, profile: str, host: str, now: float) -> None:
        """The inventory is about to be read: IMPORTING until `fill`, `stop`, or for some minutes."""
        with self._replications.alone() as connection:
            since = {"importing": time.time()}
            _write(connection, profile, since, {**_content(CatalogueStatus.NOT_IMPORTED, host, now, []), **since})

    def stop(self, profile: str) -> None:
        """The import failed: the catalogue is what it was."""
        table = schema.catalogues
        with self._replications.alone() as connection:
            connection.execute(table.update().where(table.c.profile == profile).values(importing=None))

    def fill(self, profile: str, host: str, inventory: Inventory, now: float) -> None:
        """The servers of an inventory; those known before keep their ids."""
        with self._replications.alone() as connection:
            row = _row(connection, profile)
            before = {server.instance_uuid: server.server_id for server in _servers(row)} if row is not None else {}
            servers = [server.to_json() for server in _numbered(inventory, before)]
            _write(connection, profile, _content(CatalogueStatus.AVAILABLE, host, now, servers))

    def clear(self, profile: str, host: str, now: float) -> None:
        """Clear server catalogue: the list is removed, replications stay (F429)."""
        with self._replications.alone() as connection:
            _write(connection, profile, _content(CatalogueStatus.DELETED, host, now, []))


def _row(connection: sa.Connection, profile: str) -> sa.RowMapping | None:
    table = schema.catalogues
    row = connection.execute(sa.select(table).where(table.c.profile == profile)).mappings().first()
    try:
        if row is not None:
            typed(table, row)
            CatalogueStatus(row["status"])
            _servers(row)
    except UNREADABLE:  # it can be imported again at any time
        return None
    return row


def _content(status: CatalogueStatus, host: str, now: float, servers: list[dict[str, Any]]) -> dict[str, Any]:
    return {"status": status.value, "modified": now, "host": host.lower(), "servers": servers, "importing": None}


def _write(
    connection: sa.Connection, profile: str, values: Mapping[str, Any], new: Mapping[str, Any] | None = None
) -> None:
    """Change the profile's row, or make it of ``new``."""
    table = schema.catalogues
    if not connection.execute(table.update().where(table.c.profile == profile).values(**values)).rowcount:
        connection.execute(table.insert().values(profile=profile, **(values if new is None else new)))


def _servers(row: sa.RowMapping) -> tuple[Server, ...]:
    return tuple(Server(**server) for server in row["servers"])


def _numbered(inventory: Inventory, before: Mapping[str, str]) -> Iterable[Server]:
    """Servers with ids that stay: by the instance UUID, and another where two would share one."""
    taken = set(before.values())
    for machine in inventory.machines:
        ident = before.get(machine.instance_uuid, "")
        attempt = 0
        while not ident:
            text = f"{inventory.vcenter.instance_uuid}/{machine.instance_uuid or machine.moid}/{attempt}"
            new = f"s-{hashlib.sha256(text.encode()).hexdigest()[:8]}"
            ident, attempt = ("" if new in taken else new), attempt + 1
        taken.add(ident)
        yield Server(ident, machine.moid, machine.instance_uuid, machine.name, _path(machine), inventory.vcenter.host)


def _path(machine: Machine) -> str:
    """As the service wrote it: ``/Datacenters/DC1/vm/Folder/web-01``."""
    return "/".join(("", "Datacenters", machine.datacenter, "vm", *machine.folder, machine.name))


def _jobs(connection: sa.Connection) -> dict[str, tuple[str, bool]]:
    """(id, terminated) of the newest replication of each VM."""
    table = schema.replications
    query = (
        sa.select(table.c.vm, table.c.id, table.c.terminated)
        .where(table.c.state != ReplicationState.DELETED.value)
        .order_by(table.c.created)
    )
    return {row.vm: (row.id, bool(row.terminated)) for row in connection.execute(query)}


def _with_job(server: Server, host: str, jobs: Mapping[str, tuple[str, bool]]) -> Server:
    ident, terminated = jobs.get(vm_key(host, server.instance_uuid or server.moid), ("", False))
    return replace(server, replication_id=ident, terminated=terminated)
