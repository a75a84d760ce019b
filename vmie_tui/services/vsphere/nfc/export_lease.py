"""Export of a machine's disks: an HttpNfcLease as a context manager that always ends it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

from vmie_tui.model.errors import ErrorKind, ServiceError
from vmie_tui.model.machine import Disk
from vmie_tui.services.vsphere.hardware import Attachment, Hardware, Names, read_hardware
from vmie_tui.services.vsphere.nfc.disk_download import READ_SECONDS, DiskStream
from vmie_tui.services.vsphere.nfc.nfc_lease import READY_SECONDS, ManifestEntry, NfcLease, is_disk, thumbprint_at
from vmie_tui.services.vsphere.property_collector import object_specification, retrieve
from vmie_tui.services.vsphere.sdk import vim
from vmie_tui.services.vsphere.session import VSphere

__all__ = ["ExportLease", "LeaseDisk", "ManifestEntry"]

_PLACE = re.compile(r"/(\w+?Controller)(\d+):(\d+)$")


@dataclass(frozen=True, slots=True)
class LeaseDisk:
    """One disk offered by the lease. ``capacity`` bytes of the disk, ``file_size`` bytes of the transfer if known."""

    key: str
    device_key: int
    label: str
    url: str
    capacity: int
    file_size: int | None
    thumbprint: str


class ExportLease(NfcLease):
    """``with ExportLease(...) as lease``: ready inside the block, aborted at its end unless `complete` was called.

    A held lease blocks power on, deletion and migration (trap 4). A machine that is on needs ``snapshot_moid``.
    ``keep_alive`` is the time between two reports to vCenter in seconds; it is shortened when the lease's own time-out
    asks for that.
    """

    def __init__(
        self,
        vsphere: VSphere,
        moid: str,
        *,
        snapshot_moid: str | None = None,
        keep_alive: float = 10.0,
        ready_timeout: float = READY_SECONDS,
        read_timeout: float = READ_SECONDS,
    ) -> None:
        super().__init__(vsphere, moid, keep_alive=keep_alive, ready_timeout=ready_timeout)
        self._snapshot_moid, self._read_timeout = snapshot_moid, read_timeout
        self.disks: tuple[LeaseDisk, ...] = ()
        self.content_ids: tuple[tuple[int, str], ...] = ()  # (device key, content id) of the machine's disks

    # -- getting it ---------------------------------------------------------------------------------------------------

    def __enter__(self) -> Self:
        """Requests the lease and waits until it is ready. Raises ServiceError."""
        vsphere = self._vsphere
        if self._snapshot_moid:
            target = vsphere.object(vim.vm.Snapshot, self._snapshot_moid)
            lease = vsphere.call(target.ExportSnapshot, subject=self._subject, doing=self._doing)
        else:
            target = vsphere.object(vim.VirtualMachine, self._subject)
            lease = vsphere.call(target.ExportVm, subject=self._subject, doing=self._doing)
        try:
            info = self._take(lease._moId)
            hardware = self._hardware(target)
            self.disks = self._match(info.deviceUrl or (), hardware)
            self.content_ids = tuple((disk.key, disk.content_id) for disk in hardware.disks)
            self._ask_for_sha256(info.deviceUrl or ())
            self._keep(info)
        except BaseException as error:
            self.abort(str(error))
            raise
        return self

    def _hardware(self, target: Any) -> Hardware:
        found = Hardware()
        for record in retrieve(self._vsphere, object_specification(target, ("config.hardware.device",))):
            devices = record.values.get("config.hardware.device")
            found = read_hardware(devices if devices is not None else (), Names())
        return found

    def _match(self, urls: Sequence[Any], hardware: Hardware) -> tuple[LeaseDisk, ...]:
        offered = [url for url in urls if is_disk(url)]
        by_key = {disk.key: disk for disk in hardware.disks}
        keys = [_device_key(url, hardware.attachments) for url in offered]
        if None in keys or len(set(keys)) < len(keys):
            # Names that say no place: the lease lists disks in device order, without those a snapshot leaves out.
            taken = [disk for disk in hardware.disks if not (self._snapshot_moid and disk.independent)]
            if len(taken) != len(offered):
                raise ServiceError(
                    ErrorKind.REMOTE,
                    f"the export offers {len(offered)} disks where the machine has {len(taken)}, under names unknown "
                    f"here: {', '.join(url.key for url in offered)}",
                    subject=self._subject,
                    remedy="Report this with the names of the machine's disk controllers",
                )
            keys = [disk.key for disk in taken]
        return tuple(self._offer(url, by_key[key]) for url, key in zip(offered, keys, strict=True) if key is not None)

    def _offer(self, url: Any, disk: Disk) -> LeaseDisk:
        return LeaseDisk(
            key=url.key,
            device_key=disk.key,
            label=disk.label,
            url=self._substitute(url.url),
            capacity=disk.capacity,
            file_size=url.fileSize or None,
            thumbprint=thumbprint_at(url),
        )

    # -- holding it ---------------------------------------------------------------------------------------------------

    def open(self, disk: LeaseDisk) -> DiskStream:
        """The bytes of one disk (streamOptimized VMDK). Raises ServiceError."""
        self.check()
        place = self._place(disk.url, disk.thumbprint)
        stream = DiskStream(
            place.host,
            place.port,
            place.path,
            trust=place.trust,
            cookie=place.cookie,
            proxy=place.proxy,
            timeout=self._read_timeout,
            explain=self._explain,
        )
        with self._lock:
            self._transfers.append(stream)
            self._opened.add(disk.key)
        return stream


def _device_key(url: Any, attachments: dict[int, Attachment]) -> int | None:
    """The disk whose place the lease's key or import key names: ``/vm-12/ParaVirtualSCSIController0:0``."""
    for name in (url.key, url.importKey):
        match = _PLACE.search(name or "")
        if match is None:
            continue
        place = Attachment(match[1], int(match[2]), int(match[3]))
        for key, attachment in attachments.items():
            if attachment == place:
                return key
    return None
