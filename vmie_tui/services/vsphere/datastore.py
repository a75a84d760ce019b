"""Parts of a virtual disk on its datastore by range requests over ``/folder``: to look into it without an export.

The machine must be off, or the file frozen by a snapshot: the host locks the file it writes to.
"""

from __future__ import annotations

import http.client
import re
import threading
from types import TracebackType
from typing import Self
from urllib.parse import quote, urlencode

from vmie_tui.model.errors import ErrorKind, ServiceError
from vmie_tui.model.machine import Backing, Disk, Machine
from vmie_tui.services.vsphere.session import VSphere
from vmie_tui.services.vsphere.tls import VerifiedConnection, unreachable

READ_SECONDS = 30.0
_FIRST = 64 << 10
_FILE = re.compile(r"\[([^\]]+)\] (.+)\.vmdk")
_RANGE = re.compile(r"bytes (\d+)-(\d+)/(\d+)")
_NO_FILES = frozenset({"vsan", "vvol"})
_LATER = "It can be checked after the export, in S3"


class DatastoreFile:
    """A `ByteReader` over the flat file of a disk; each read is one request. A context manager.

    ``requests`` counts them. Raises ServiceError: NOT_FOUND where the datastore serves no such file (vSAN, vVol),
    CONFLICT while the host holds the file locked, PERMISSION, LOGIN, TLS, NETWORK, CORRUPT for an answer that is not
    the range asked for.
    """

    def __init__(self, vsphere: VSphere, datacenter: str, file_name: str) -> None:
        match = _FILE.fullmatch(file_name)
        if match is None:
            raise ServiceError(
                ErrorKind.INVALID,
                "the disk's file name is not one of a datastore",
                subject=file_name,
                remedy=_LATER,
            )
        self.name, self.requests = file_name, 0
        self._vsphere = vsphere
        query = urlencode({"dcPath": datacenter, "dsName": match[1]}, quote_via=quote)
        self._path = f"/folder/{quote(match[2])}-flat.vmdk?{query}"
        self._lock = threading.Lock()
        self._connection: VerifiedConnection | None = None
        self._version = ""
        self._size = -1
        try:
            self._head = self._get(0, _FIRST)
        except BaseException:
            self.close()
            raise

    @property
    def size(self) -> int:
        return self._size

    def read_at(self, offset: int, length: int) -> bytes:
        """``length`` bytes from ``offset``, fewer only at the end."""
        end = min(offset + length, self._size)
        if offset >= end:
            return b""
        if end <= len(self._head):
            return self._head[offset:end]
        with self._lock:
            return self._get(offset, end)

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.close()

    # ---- one request

    def _get(self, offset: int, end: int) -> bytes:
        """Bytes ``offset`` to ``end``; a connection that was closed meanwhile, or a session, is renewed once."""
        status, headers, data = self._ask(offset, end)
        if status == 401:
            manager = self._vsphere.content.rootFolder
            self._vsphere.call(lambda: manager.name, subject=self.name)  # logs in again
            status, headers, data = self._ask(offset, end)
        if status != 206:
            raise self._refused(status)
        found = _RANGE.fullmatch(headers.get("Content-Range") or "")
        first, last, total = map(int, found.groups()) if found is not None else (-1, -1, -1)
        if self._size < 0:
            self._size = total
            tag = headers.get("ETag") or ""
            self._version = "" if tag.startswith("W/") else tag or headers.get("Last-Modified") or ""
        wanted = min(end, self._size)
        if total != self._size or (first, last) != (offset, wanted - 1) or len(data) != wanted - offset:
            raise ServiceError(
                ErrorKind.CORRUPT,
                "the datastore gave other bytes than those asked for",
                subject=self.name,
                remedy="Check any proxy in between, and that nobody writes to the disk",
                detail=f"asked for {offset}-{wanted - 1}, got {headers.get('Content-Range')} with {len(data)} bytes",
            )
        return data

    def _ask(self, offset: int, end: int) -> tuple[int, http.client.HTTPMessage, bytes]:
        headers = {
            "Range": f"bytes={offset}-{end - 1}",
            "Cookie": self._vsphere.cookie,
            "Accept-Encoding": "identity",
        }
        if self._version:
            headers["If-Range"] = self._version
        fresh = self._connection is None
        try:
            return self._exchange(headers, end - offset)
        except (OSError, http.client.HTTPException) as error:
            self.close()
            if fresh:
                raise self._broken(error) from error
        try:
            return self._exchange(headers, end - offset)
        except (OSError, http.client.HTTPException) as error:
            self.close()
            raise self._broken(error) from error

    def _exchange(self, headers: dict[str, str], most: int) -> tuple[int, http.client.HTTPMessage, bytes]:
        if self._connection is None:
            self._connection = self._vsphere.connection(timeout=READ_SECONDS)
        self.requests += 1
        self._connection.request("GET", self._path, headers=headers)
        answer = self._connection.getresponse()
        data = answer.read(most) if answer.status == 206 else b""
        if answer.status != 206 or not answer.isclosed():  # never read a whole disk only to keep the connection
            self.close()
        return answer.status, answer.headers, data

    def _broken(self, error: Exception) -> ServiceError:
        settings = self._vsphere.settings
        if isinstance(error, OSError):
            return unreachable(error, settings.host, settings.port)
        return ServiceError(
            ErrorKind.NETWORK,
            "the answer broke off",
            subject=f"{settings.host}:{settings.port}",
            remedy="Try again",
            retry_safe=True,
            detail=str(error),
        )

    def _refused(self, status: int) -> ServiceError:
        kind, what, remedy = _REFUSALS.get(status, (ErrorKind.REMOTE, f"the datastore answered HTTP {status}", _LATER))
        return ServiceError(kind, what, subject=self.name, remedy=remedy, code=str(status))


_REFUSALS = {
    200: (ErrorKind.REMOTE, "the datastore does not serve parts of files", _LATER),
    401: (ErrorKind.LOGIN, "the session may not read datastore files", "Log in again"),
    403: (ErrorKind.PERMISSION, "this user may not browse the datastore", "Ask for the privilege Datastore.Browse"),
    404: (ErrorKind.NOT_FOUND, "the datastore has no flat file of this disk (vSAN and vVol have none)", _LATER),
    416: (ErrorKind.CORRUPT, "the disk's file is empty", _LATER),
    500: (
        ErrorKind.CONFLICT,
        "the host holds the disk's file locked",
        "Power the machine off, or take a snapshot first",
    ),
}


def open_datastore_disk(vsphere: VSphere, machine: Machine, disk: Disk) -> DatastoreFile:
    """The content of a machine's disk, when its datastore can serve it.

    For a machine that is on, give the ``disk`` as it was before the snapshot that froze it. Raises ServiceError with
    the reason otherwise: REFUSED for kinds of disks and datastores that have no flat file, else as `DatastoreFile`.
    """
    why = why_unreadable(disk)
    if why:
        raise ServiceError(ErrorKind.REFUSED, why, subject=disk.label, remedy=_LATER)
    return DatastoreFile(vsphere, machine.datacenter, disk.file_name)


def why_unreadable(disk: Disk) -> str:
    """Why a disk has no flat file that a datastore could serve, as far as its description tells; "" when it may."""
    if disk.backing is not Backing.FLAT:
        return f"a disk of the kind {disk.backing} has no flat file"
    if disk.encrypted:
        return "the disk is encrypted"
    if disk.datastore_type.lower() in _NO_FILES:
        return f"datastores of the type {disk.datastore_type} serve no files"
    return ""
