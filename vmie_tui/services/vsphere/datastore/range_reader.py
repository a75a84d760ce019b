"""Reads parts of a virtual disk on its datastore, over one connection: to inspect it without an export."""

from __future__ import annotations

import threading

from vmie_tui.close_on_exit import Closing
from vmie_tui.model.errors import ErrorKind, ServiceError
from vmie_tui.model.machine import Backing, Disk, Machine
from vmie_tui.services.vsphere.datastore.flat_file import FlatConnection, FlatFile
from vmie_tui.services.vsphere.session import VSphere

_FIRST = 64 << 10
_NO_FILES = frozenset({"vsan", "vvol"})
_LATER = "It can be checked after the export, in S3"


class DatastoreFile(Closing):
    """A `ByteReader` over the flat file of a disk; each read is one request. A context manager.

    ``requests`` counts them. Raises ServiceError as `FlatConnection.get` does.
    """

    def __init__(
        self, vsphere: VSphere, datacenter: str, file_name: str, *, datastore: str = "", host: str = ""
    ) -> None:
        self._file = FlatFile(vsphere, datacenter, file_name, otherwise=_LATER, datastore=datastore, host=host)
        self._connection = FlatConnection(self._file)
        self._lock = threading.Lock()
        try:
            self._head = self._connection.get(0, _FIRST)
        except BaseException:
            self.close()
            raise

    @property
    def name(self) -> str:
        return self._file.name

    @property
    def size(self) -> int:
        return self._file.size

    @property
    def requests(self) -> int:
        return self._connection.requests

    def read_at(self, offset: int, length: int) -> bytes:
        """``length`` bytes from ``offset``, fewer only at the end."""
        end = min(offset + length, self.size)
        if offset >= end:
            return b""
        if end <= len(self._head):
            return self._head[offset:end]
        with self._lock:
            return self._connection.get(offset, end)

    def close(self) -> None:
        self._connection.close()


def open_datastore_disk(vsphere: VSphere, machine: Machine, disk: Disk, *, frozen: bool = False) -> DatastoreFile:
    """The content of a machine's disk, when its datastore can serve it.

    For a machine that is on, give the ``disk`` as it was before the snapshot that froze it; with ``frozen`` its host
    may be asked itself, then, for a file that vCenter finds locked.

    Raises ServiceError with the reason otherwise: REFUSED for kinds of disks and datastores that have no flat file,
    else as `DatastoreFile`.
    """
    why = why_unreadable(disk)
    if why:
        raise ServiceError(ErrorKind.REFUSED, why, subject=disk.label, remedy=_LATER)
    site = machine.datacenter_id or machine.datacenter
    host = machine.host if frozen else ""
    return DatastoreFile(vsphere, site, disk.file_name, datastore=disk.datastore, host=host)


def why_unreadable(disk: Disk) -> str:
    """Why a disk has no flat file that a datastore could serve, as far as its description tells; "" when it may."""
    if disk.backing is not Backing.FLAT:
        return f"a disk of the kind {disk.backing} has no flat file"
    if disk.encrypted:
        return "the disk is encrypted"
    if disk.datastore_type.lower() in _NO_FILES:
        return f"datastores of the type {disk.datastore_type} serve no files"
    return ""
