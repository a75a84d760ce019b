"""Import of a machine: ImportVApp and its lease, into which the disks are sent."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Self

from vmie_tui.model.errors import ErrorKind, ServiceError
from vmie_tui.model.export import DeployTarget
from vmie_tui.services.disks.feeds.disk_feed import Feed
from vmie_tui.services.vsphere.nfc.disk_upload import DiskUpload
from vmie_tui.services.vsphere.nfc.nfc_lease import READY_SECONDS, NfcLease, is_disk, thumbprint_at
from vmie_tui.services.vsphere.sdk import vim
from vmie_tui.services.vsphere.session import VSphere

IMPORT = "import"
_UNIT = re.compile(r"/\w+?Controller(\d+):(\d+)$")


@dataclass(frozen=True, slots=True)
class ImportDisk:
    """Where one disk is to be sent: disks come in the order of the machine's hardware."""

    key: str
    url: str
    thumbprint: str


@dataclass(frozen=True, slots=True)
class Sent:
    """What was sent. ``proven``: the host's checksum it was verified by, "" if it gave none."""

    bytes: int
    sha256: str
    proven: str


class ImportLease(NfcLease):
    """``with ImportLease(...) as lease``: the machine exists inside the block, and stays only after `complete`."""

    def __init__(
        self,
        vsphere: VSphere,
        target: DeployTarget,
        config: Any,
        folder: str,
        *,
        keep_alive: float = 10.0,
        ready_timeout: float = READY_SECONDS,
    ) -> None:
        """``config``: the vim.vm.ConfigSpec of the new machine; ``folder``: the id of its folder."""
        super().__init__(vsphere, target.name, what=IMPORT, keep_alive=keep_alive, ready_timeout=ready_timeout)
        self._target, self._config, self._folder = target, config, folder
        self.moid = ""
        self.disks: tuple[ImportDisk, ...] = ()

    def __enter__(self) -> Self:
        """Requests the machine and waits until its disks can be sent. Raises ServiceError."""
        vsphere, target = self._vsphere, self._target
        pool = vsphere.object(vim.ResourcePool, target.resource_pool)
        spec = vim.vm.VmImportSpec(configSpec=self._config, resPoolEntity=None)
        folder = vsphere.object(vim.Folder, self._folder)
        host = vsphere.object(vim.HostSystem, target.host) if target.host else None
        lease = vsphere.call(
            lambda: pool.ImportVApp(spec, folder, host), subject=self._subject, doing="making the virtual machine"
        )
        try:
            info = self._take(lease._moId)
            self.moid = info.entity._moId
            self.disks = self._offered([url for url in info.deviceUrl or () if is_disk(url)])
            self._ask_for_sha256(info.deviceUrl or ())
            self._keep(info)
        except BaseException as error:
            self.abort(str(error))
            raise
        return self

    def _offered(self, urls: Sequence[Any]) -> tuple[ImportDisk, ...]:
        """The places in the order of the hardware, where their names say it, else as vCenter lists them."""
        places = [_UNIT.search(url.importKey or "") or _UNIT.search(url.key or "") for url in urls]
        if all(places):
            order = [(int(place[1]), int(place[2])) for place in places if place]
            urls = [url for _, url in sorted(zip(order, urls, strict=True), key=lambda pair: pair[0])]
        return tuple(ImportDisk(url.key, self._substitute(url.url), thumbprint_at(url)) for url in urls)

    def send(self, disk: ImportDisk, feed: Feed, tell: Callable[[int], None], length: int | None = None) -> Sent:
        """One disk, and the host's checksum of it where it gives one. ``length``: as `DiskUpload.send` has it.

        Raises ServiceError; CORRUPT (retry_safe) when the host got other bytes.
        """
        self.check()
        upload = DiskUpload(self._place(disk.url, disk.thumbprint), explain=self._explain)
        with self._lock:
            self._transfers.append(upload)
        upload.send(feed, tell, length)
        entry = self.manifest(disk.key).get(disk.key)
        theirs, ours, proven = None, "", ""
        if entry is not None:
            theirs, ours = (entry.sha256, feed.sha256) if entry.sha256 else (entry.sha1, upload.sha1)
            proven = "SHA-256" if entry.sha256 else "SHA-1" if entry.sha1 else ""
        if theirs and theirs != ours:
            raise ServiceError(
                ErrorKind.CORRUPT,
                "the host got other bytes than were sent",
                subject=f"{self._subject}, {disk.key}",
                remedy="Deploy again; check the network when it happens again",
                retry_safe=True,
                detail=f"{proven} {theirs} there, {ours} here",
            )
        return Sent(upload.sent, feed.sha256, proven)

    def interrupt(self) -> None:
        """Makes a send in progress in another thread fail at once."""
        with self._lock:
            transfers = list(self._transfers)
        for transfer in transfers:
            transfer.interrupt()
