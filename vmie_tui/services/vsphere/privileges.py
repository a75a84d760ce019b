"""Examines a session: privileges by datacenter, hosts, the server's time and certificate."""

from __future__ import annotations

import ssl
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from vmie_tui.proxy import Proxy, open_socket
from vmie_tui.services.vsphere.inventory_paths import read_inventory_paths
from vmie_tui.services.vsphere.sdk import vim
from vmie_tui.services.vsphere.session import VSphere
from vmie_tui.services.vsphere.tls import proxy_trouble, thumbprint_of, unreachable

DIAL_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Certificate:
    """vCenter's certificate. ``expires`` is None if it is pinned: then only the thumbprint counts."""

    thumbprint: str
    pinned: bool
    expires: datetime | None = None


def missing_privileges(vsphere: VSphere, wanted: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """Name of each datacenter in sight -> the privileges of these that the user lacks on it. Raises ServiceError."""
    places = read_inventory_paths(vsphere, fresh=True)
    sites = {moid: places.datacenter(moid) for moid, kind in places.kinds.items() if kind == "Datacenter"}
    if not sites:
        return {}
    content = vsphere.content
    entities = [vsphere.object(vim.Datacenter, moid) for moid in sites]

    def ask() -> list[vim.AuthorizationManager.EntityPrivilege]:
        key = content.sessionManager.currentSession.key
        found: list[vim.AuthorizationManager.EntityPrivilege] = content.authorizationManager.HasPrivilegeOnEntities(
            entities, key, list(wanted)
        )
        return found

    answer = vsphere.call(ask, doing="asking for privileges")
    return {
        sites[one.entity._GetMoId()]: tuple(item.privId for item in one.privAvailability if not item.isGranted)
        for one in answer
    }


def hosts(vsphere: VSphere) -> tuple[str, ...]:
    """Names of the visible ESXi hosts, which are the addresses vCenter knows them by."""
    places = read_inventory_paths(vsphere)
    return tuple(sorted(places.names[moid] for moid, kind in places.kinds.items() if kind == "HostSystem"))


def dial(host: str, port: int, proxy: Proxy | None = None) -> None:
    """Connects, through ``proxy`` if there is one, and disconnects. Raises ServiceError NETWORK."""
    try:
        open_socket(host, port, DIAL_SECONDS, proxy).close()
    except OSError as error:
        raise unreachable(error, host, port) if proxy is None else proxy_trouble(error, proxy, host, port) from error


def ahead_of(vsphere: VSphere) -> float:
    """Seconds by which this machine's clock is ahead of vCenter's."""
    instance = vsphere.object(vim.ServiceInstance, "ServiceInstance")
    theirs = vsphere.call(instance.CurrentTime, doing="asking for the time")
    return float((datetime.now(UTC) - theirs.astimezone(UTC)).total_seconds())


def certificate(vsphere: VSphere) -> Certificate:
    """The certificate of a new connection, verified as all are. Raises ServiceError TLS."""
    connection = vsphere.connection(timeout=DIAL_SECONDS)
    try:
        connection.connect()
        assert isinstance(connection.sock, ssl.SSLSocket)
        encoded = connection.sock.getpeercert(binary_form=True) or b""
        read = connection.sock.getpeercert() or {}
    finally:
        connection.close()
    until = read.get("notAfter")
    expires = datetime.fromtimestamp(ssl.cert_time_to_seconds(until), UTC) if isinstance(until, str) else None
    return Certificate(thumbprint_of(encoded), vsphere.trust.thumbprint is not None, expires)
