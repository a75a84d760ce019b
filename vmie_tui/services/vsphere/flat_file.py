"""A disk's flat file on its datastore, by range requests over ``/folder``: where it is, and one connection to it.

The machine must be off, or the file frozen by a snapshot: the host locks the file it writes to.
"""

from __future__ import annotations

import contextlib
import http.client
import re
import socket
from urllib.parse import quote, urlencode

from vmie_tui.model.errors import ErrorKind, ServiceError
from vmie_tui.services.vsphere.places import read_places
from vmie_tui.services.vsphere.session import VSphere
from vmie_tui.services.vsphere.tls import VerifiedConnection, unreachable

READ_SECONDS = 30.0
_FILE = re.compile(r"\[([^\]]+)\] (.+)\.vmdk")
_RANGE = re.compile(r"bytes (\d+)-(\d+)/(\d+)")
_BUSY = frozenset({429, 502, 503, 504})
_LOCKED = 500
_PRIVILEGE = "Ask for the privilege Datastore.Browse"


class FlatFile:
    """Where a file is served, and what its first answer told: its size in bytes, and which version of it was read.

    ``otherwise`` is the advice for a file that cannot be read so. Any thread may use it once the size is known.
    """

    def __init__(self, vsphere: VSphere, datacenter: str, file_name: str, *, otherwise: str) -> None:
        """Raises ServiceError INVALID for a name that is not ``[datastore] folder/name.vmdk``."""
        match = _FILE.fullmatch(file_name)
        if match is None:
            raise ServiceError(
                ErrorKind.INVALID,
                "the disk's file name is not one of a datastore",
                subject=file_name,
                remedy=otherwise,
            )
        self.vsphere, self.name, self.size = vsphere, file_name, -1
        self._otherwise, self._version = otherwise, ""
        place = read_places(vsphere).datacenter_path(datacenter)
        query = urlencode({"dcPath": place, "dsName": match[1]}, quote_via=quote)
        self.path = f"/folder/{quote(match[2])}-flat.vmdk?{query}"

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
        if status == _LOCKED and opened:
            kind, what, remedy = ErrorKind.REMOTE, "the host failed to read the disk's file", "Look at the host's log"
        return ServiceError(
            kind,
            what,
            subject=self.name,
            remedy=remedy or self._otherwise,
            retry_safe=status in _BUSY or (status == _LOCKED and opened),
            code=str(status),
        )


def _version(headers: http.client.HTTPMessage) -> str:
    """What tells one version of a file from another; weak tags cannot be asked for."""
    tag = headers.get("ETag") or ""
    return "" if tag.startswith("W/") else tag or headers.get("Last-Modified") or ""


_REFUSALS = {
    200: (ErrorKind.REMOTE, "the datastore does not serve parts of files", ""),
    401: (ErrorKind.LOGIN, "the session may not read datastore files", "Log in again"),
    403: (ErrorKind.PERMISSION, "this user may not browse the datastore", _PRIVILEGE),
    404: (ErrorKind.NOT_FOUND, "the datastore has no flat file of this disk (vSAN and vVol have none)", ""),
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
        self._socket: socket.socket | None = None
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
        try:
            self._file.check(offset, end, status, headers, data)
        except ServiceError:
            self.close()
            raise
        return data

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
        if self._connection is None:
            connection = self._file.vsphere.connection(timeout=READ_SECONDS)
            connection.connect()
            self._connection, self._socket = connection, connection.sock
        if self._interrupted:
            raise http.client.NotConnected
        self.requests += 1
        self._connection.request("GET", self._file.path, headers=self._file.headers(offset, end))
        answer = self._connection.getresponse()
        data = answer.read(end - offset) if answer.status == 206 else b""
        if answer.status != 206 or not answer.isclosed():  # never read a whole disk only to keep the connection
            self.close()
        return answer.status, answer.headers, data

    def interrupt(self) -> None:
        """Make a read that waits in another thread fail at once, and every later one."""
        self._interrupted = True
        if (sock := self._socket) is not None:
            with contextlib.suppress(OSError):
                # Not SSLSocket.shutdown: that would let the reader take the ciphertext still queued for data.
                socket.socket.shutdown(sock, socket.SHUT_RDWR)

    def close(self) -> None:
        connection, self._connection, self._socket = self._connection, None, None
        if connection is not None:
            connection.close()
