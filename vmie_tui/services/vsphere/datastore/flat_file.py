"""A disk's flat file on its datastore, by range requests over ``/folder``: where it is, and one connection to it.

The machine must be off, or the file frozen by a snapshot: the host locks the file it writes to. vCenter has any host
that sees the datastore read the file. On VMFS only the host that runs the machine may be let to it, even when it is
frozen; then that host is asked itself, with a service ticket for each request.

vCenter decodes dcPath and dsName twice (Broadcom KB 386368): once as a query, and once more itself. A server that
decodes them once (ESXi, govmomi's simulator) gets on with the same text for nearly every name: only what a second
decoding would change is quoted twice, and that is ``%`` and ``+``. Where such a name is not found, it is asked for once
more in the form for a single decoding.
"""

from __future__ import annotations

import http.client
import re
from dataclasses import dataclass
from urllib.parse import quote, unquote_plus, urlencode

from vmie_tui.model.errors import ErrorKind, ServiceError
from vmie_tui.services.vsphere.inventory_paths import InventoryPaths, read_inventory_paths
from vmie_tui.services.vsphere.nfc.nfc_lease import thumbprint_at
from vmie_tui.services.vsphere.sdk import vim
from vmie_tui.services.vsphere.session import VSphere
from vmie_tui.services.vsphere.tls import Trust, VerifiedConnection, unreachable

READ_SECONDS = 30.0
_RANGE = re.compile(r"bytes (\d+)-(\d+)/(\d+)")
_BUSY = frozenset({429, 502, 503, 504})
_LOCKED = 500
LOCK_OWNER = "LockOwner"  # code of the error for a file that not even the host of its machine serves
HOST_DATACENTER = "ha-datacenter"  # the only one of an ESXi host
_SUFFIX = ".vmdk"
_PRIVILEGE = "Ask for the privilege Datastore.Browse"


class FlatFile:
    """Where a file is served, and what its first answer told: its size in bytes, and which version of it was read.

    ``otherwise`` is the advice for a file that cannot be read so. ``host``: the name of the host that runs the machine,
    when it may be asked itself (the file must be frozen then). Any thread may use it once the size is known.
    """

    def __init__(
        self,
        vsphere: VSphere,
        datacenter: str,
        file_name: str,
        *,
        otherwise: str,
        datastore: str = "",
        host: str = "",
    ) -> None:
        """``datacenter``: its id, or as `Machine` has it; ``datastore``: the name that ``file_name`` begins with, when
        it is known.

        Raises ServiceError INVALID for a name that is not ``[datastore] folder/name.vmdk``.
        """
        places = read_inventory_paths(vsphere)
        store, path = places.split_file(file_name, datastore)
        if not store or not path.endswith(_SUFFIX) or path == _SUFFIX:
            raise ServiceError(
                ErrorKind.INVALID,
                "the disk's file name is not one of a datastore",
                subject=file_name,
                remedy=otherwise,
            )
        self.vsphere, self.name, self.size, self.host = vsphere, file_name, -1, host
        self.at_host = False  # the host itself is asked, and no longer vCenter
        self._otherwise, self._version = otherwise, ""
        self._file, self._store = f"/folder/{quote(path.removesuffix(_SUFFIX))}-flat.vmdk", store
        self.site = places.datacenter_path(datacenter)
        self._other = ""  # the other form of the address, where there is one that was not tried yet
        self._locked = False  # vCenter said so
        self.path = self._address(self.site, store)
        if self.path != self._address(self.site, store, once=True) and not _of_others(places, store, self.site):
            self._other = self._address(self.site, store, once=True)

    def _address(self, site: str, store: str, *, once: bool = False) -> str:
        """``site`` is an inventory path, whose names are escaped already: that is its first encoding."""
        if not once:
            site, store = site.replace("+", "%2B"), store.replace("%", "%25").replace("+", "%2B")
        return f"{self._file}?{urlencode({'dcPath': site, 'dsName': store}, quote_via=quote, safe='')}"

    def another_way(self, status: int) -> bool:
        """Whether a file that was refused before its first byte may be served otherwise; it is asked for so then."""
        if self.size >= 0:
            return False
        if status == _NOT_FOUND and self._other:
            self.path, self._other = self._other, ""
            return True
        if status == _LOCKED and self.host and not self.at_host:
            self.ask_host()
            self._locked = True
            return True
        return False

    def ask_host(self) -> None:
        """Switches from vCenter to the host that runs the machine; only before the first byte."""
        self.at_host, self.path = True, self._address(HOST_DATACENTER, self._store, once=True)
        twice = self._address(HOST_DATACENTER, self._store)
        self._other = "" if twice == self.path else twice  # whether all hosts decode once is not known

    @property
    def version(self) -> str:
        """The ETag or date of the first response, "" for neither."""
        return self._version

    def ticket(self) -> Ticket:
        """A ticket for one request to the host that runs the machine. Raises ServiceError."""
        vsphere = self.vsphere
        url = f"https://{f'[{self.host}]' if ':' in self.host else self.host}{self.path}"
        spec = vim.SessionManager.HttpServiceRequestSpec(method="httpGet", url=url)
        made = vsphere.call(
            lambda: vsphere.content.sessionManager.AcquireGenericServiceTicket(spec),
            subject=self.name,
            doing=f"asking for a ticket for the host {self.host}",
        )
        host, port = _place(str(made.hostName or "") or self.host)
        pin = thumbprint_at(made)
        trust = Trust(thumbprint=pin) if pin else Trust(ca_file=vsphere.settings.ca_file)
        return Ticket(host, port, trust, f"vmware_cgi_ticket={made.id}")

    def headers(self, offset: int, end: int) -> dict[str, str]:
        """Of a request for the bytes ``offset`` to ``end``, as long as the file is the one that was read before."""
        found = {
            "Range": f"bytes={offset}-{end - 1}",
            "Cookie": self.vsphere.cookie,
            "Accept-Encoding": "identity",
            "Cache-Control": "no-cache",  # a proxy that signs anew could keep what the same file held at the last run
        }
        return {**found, "If-Range": self._version} if self._version else found

    def check(self, offset: int, end: int, status: int, headers: http.client.HTTPMessage, data: bytes) -> None:
        """Raise the ServiceError for any answer that is not exactly those bytes of this file."""
        if status == 200 and self._version:
            raise self._changed("it is served under another date or tag than before")
        if status != 206:
            raise self._refused(status)
        told = headers.get("Content-Range") or ""
        found = _RANGE.fullmatch(told)
        first, last, total = map(int, found.groups()) if found is not None else (-1, -1, -1)
        version = _version(headers)
        if self.size < 0 < total:
            self.size, self._version = total, version
        elif version and version != self._version:
            raise self._changed(f"it was {self._version}, it is {version}")
        elif found is not None and total != self.size:
            raise self._changed(f"it had {self.size} bytes, it has {total}")
        wanted = min(end, self.size)
        if (first, last) != (offset, wanted - 1) or len(data) > wanted - offset:
            raise ServiceError(
                ErrorKind.CORRUPT,
                "the datastore gave other bytes than those asked for",
                subject=self.name,
                remedy="Check any proxy in between, and that nobody writes to the disk",
                detail=f"asked for {offset}-{wanted - 1}, got {told or 'no range'} with {len(data)} bytes",
            )
        if len(data) < wanted - offset:
            raise self.broken(http.client.IncompleteRead(data, wanted - offset - len(data)))

    def broken(self, error: Exception) -> ServiceError:
        """The error for a connection or an answer that broke off; another try may succeed."""
        settings = self.vsphere.settings
        if isinstance(error, OSError):
            return unreachable(error, settings.host, settings.port)
        return ServiceError(
            ErrorKind.NETWORK,
            "the answer broke off",
            subject=f"{settings.host}:{settings.port}",
            remedy="Try again",
            retry_safe=True,
            code=type(error).__name__,
            detail=str(error),
        )

    def _changed(self, how: str) -> ServiceError:
        return ServiceError(
            ErrorKind.CORRUPT,
            "the disk's file changed while it was read",
            subject=self.name,
            remedy="See in vCenter who removed the snapshot or moved the disk, then start again",
            code="FileChanged",
            detail=how,
        )

    def _refused(self, status: int) -> ServiceError:
        kind, what, remedy = _REFUSALS.get(status, (ErrorKind.REMOTE, f"the datastore answered HTTP {status}", ""))
        opened = self.size >= 0  # a file that could be read is not locked: its host has some other trouble
        code = str(status)
        if status == _LOCKED and opened:
            kind, what, remedy = ErrorKind.REMOTE, "the host failed to read the disk's file", "Look at the host's log"
        elif self.at_host and not opened:
            kind, code = ErrorKind.CONFLICT, LOCK_OWNER
            found = "vCenter found the disk's file locked, and its" if self._locked else "the"
            what = f"{found} host {self.host} answered HTTP {status}"
            remedy = self._otherwise
        return ServiceError(
            kind,
            what,
            subject=self.name,
            remedy=remedy or self._otherwise,
            retry_safe=status in _BUSY or (status == _LOCKED and opened),
            code=code,
        )


@dataclass(frozen=True, slots=True)
class Ticket:
    """A ticket for one request, and its address."""

    host: str
    port: int
    trust: Trust
    cookie: str


def _place(text: str) -> tuple[str, int]:
    """Host and port of ``host``, ``host:port``, ``[v6]:port`` or a plain IPv6 address."""
    host, colon, port = text.rpartition(":")
    if not colon or not port.isdigit() or (":" in host and not host.endswith("]")):
        return text.strip("[]"), 443
    return host.strip("[]"), int(port)


def _of_others(places: InventoryPaths, store: str, site: str) -> bool:
    """Would the form for a single decoding, decoded twice, name another datastore or datacenter that there is?"""
    names = {name for moid, name in places.names.items() if places.kinds[moid] in ("Datastore", "Datacenter")}
    return unquote_plus(store) in names - {store} or ("+" in site and unquote_plus(site.rpartition("/")[2]) in names)


def _version(headers: http.client.HTTPMessage) -> str:
    """What tells one version of a file from another; weak tags cannot be asked for."""
    tag = headers.get("ETag") or ""
    return "" if tag.startswith("W/") else tag or headers.get("Last-Modified") or ""


_NOT_FOUND = 404
_REFUSALS = {
    200: (ErrorKind.REMOTE, "the datastore does not serve parts of files", ""),
    401: (ErrorKind.LOGIN, "the session may not read datastore files", "Log in again"),
    403: (ErrorKind.PERMISSION, "this user may not browse the datastore", _PRIVILEGE),
    _NOT_FOUND: (ErrorKind.NOT_FOUND, "the datastore has no flat file of this disk (vSAN and vVol have none)", ""),
    416: (ErrorKind.CORRUPT, "the disk's file is empty", ""),
    _LOCKED: (
        ErrorKind.CONFLICT,
        "the host holds the disk's file locked",
        "Power the machine off, or take a snapshot first",
    ),
    503: (ErrorKind.REMOTE, "the datastore's host is too busy to serve the file", "Try again later"),
}


class FlatConnection:
    """One connection to a file's server, opened when first needed; one thread at a time. ``requests`` counts them."""

    def __init__(self, file: FlatFile) -> None:
        self._file, self.requests = file, 0
        self._connection: VerifiedConnection | None = None
        self._interrupted = False

    def get(self, offset: int, end: int) -> bytes:
        """The bytes ``offset`` to ``end``, fewer only at the end of the file.

        A connection that the server had closed meanwhile, or a session that ended, is renewed once. Raises
        ServiceError: NOT_FOUND where the datastore serves no such file (vSAN, vVol), CONFLICT while the host holds it
        locked, CORRUPT for a file that changed and for an answer that is not the range asked for, PERMISSION, LOGIN,
        TLS, NETWORK and REMOTE; those of the last two that may pass are ``retry_safe``.
        """
        status, headers, data = self._ask(offset, end)
        if status == 401:
            root = self._file.vsphere.content.rootFolder
            self._file.vsphere.call(lambda: root.name, subject=self._file.name)  # logs in again
            status, headers, data = self._ask(offset, end)
        while self._file.another_way(status):
            self.close()
            status, headers, data = self._by_host(offset, end) if self._file.at_host else self._ask(offset, end)
        try:
            self._file.check(offset, end, status, headers, data)
        except ServiceError:
            self.close()
            raise
        return data

    def _by_host(self, offset: int, end: int) -> tuple[int, http.client.HTTPMessage, bytes]:
        """The first request to the host itself. Whatever keeps us from it, the file cannot be read so."""
        file = self._file
        try:
            return self._ask(offset, end)
        except ServiceError as error:
            if error.kind in (ErrorKind.LOGIN, ErrorKind.CANCELLED) or self._interrupted:
                raise
            raise ServiceError(
                ErrorKind.CONFLICT,
                f"vCenter found the disk's file locked, and its host {file.host} cannot be asked: {error.problem.what}",
                subject=file.name,
                remedy=error.problem.remedy,
                code=LOCK_OWNER,
                detail=error.problem.detail,
            ) from error

    def _ask(self, offset: int, end: int) -> tuple[int, http.client.HTTPMessage, bytes]:
        kept = self._connection is not None
        try:
            return self._exchange(offset, end)
        except (OSError, http.client.HTTPException, ValueError, AttributeError) as error:
            # ValueError, AttributeError: http.client's own, when `interrupt` takes the socket away in between.
            self.close()
            if not kept or self._interrupted:
                raise self._file.broken(error) from error
        try:
            return self._exchange(offset, end)
        except (OSError, http.client.HTTPException, ValueError, AttributeError) as error:
            self.close()
            raise self._file.broken(error) from error

    def _exchange(self, offset: int, end: int) -> tuple[int, http.client.HTTPMessage, bytes]:
        ticket = self._file.ticket() if self._file.at_host else None
        if self._connection is None:
            connection = self._open(ticket)
            connection.connect()
            self._connection = connection
        if self._interrupted:
            raise http.client.NotConnected
        self.requests += 1
        headers = self._file.headers(offset, end)
        if ticket is not None:
            headers["Cookie"] = ticket.cookie  # an ESXi host gets no vCenter session
        self._connection.request("GET", self._file.path, headers=headers)
        answer = self._connection.getresponse()
        data = answer.read(end - offset) if answer.status == 206 else b""
        if answer.status != 206 or not answer.isclosed():  # never read a whole disk only to keep the connection
            self.close()
        return answer.status, answer.headers, data

    def _open(self, ticket: Ticket | None) -> VerifiedConnection:
        vsphere = self._file.vsphere
        if ticket is None:
            return vsphere.connection(timeout=READ_SECONDS)
        return VerifiedConnection(
            ticket.host, ticket.port, trust=ticket.trust, timeout=READ_SECONDS, proxy=vsphere.proxy
        )

    def interrupt(self) -> None:
        """Makes a read blocked in another thread fail at once, and every later one."""
        self._interrupted = True
        if (connection := self._connection) is not None:
            connection.interrupt()

    def close(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()
