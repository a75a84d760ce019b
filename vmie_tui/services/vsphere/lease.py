"""Export of a machine's disks: an HttpNfcLease as a context manager that is ended whatever happens."""

from __future__ import annotations

import contextlib
import re
import ssl
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit, urlunsplit

from pyVmomi import vim, vmodl

from vmie_tui.model.errors import ErrorKind, ServiceError
from vmie_tui.model.machine import Disk
from vmie_tui.services.vsphere.errors import from_fault
from vmie_tui.services.vsphere.hardware import Attachment, Hardware, Names, read_hardware
from vmie_tui.services.vsphere.keepalive import KeepAlive, lost_lease
from vmie_tui.services.vsphere.session import VSphere
from vmie_tui.services.vsphere.soap import object_specification, properties, retrieve
from vmie_tui.services.vsphere.stream import READ_SECONDS, DiskStream
from vmie_tui.services.vsphere.tls import Trust, thumbprint_of

READY_SECONDS = 300.0  # vCenter prepares a lease in seconds; a busy host may need minutes
_PLACE = re.compile(r"/(\w+?Controller)(\d+):(\d+)$")
MANIFEST_SECONDS = 5.0
_NO_CHECKSUM_CHOICE = frozenset({"MethodNotFound", "NotSupported", "InvalidRequest", "InvalidType"})
_DOING = "starting the export"


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
    target_id: str


@dataclass(frozen=True, slots=True)
class ManifestEntry:
    """What the host says it sent: checksums of the transferred file in hex, its size, the disk's capacity (bytes)."""

    sha256: str | None
    sha1: str | None
    size: int
    capacity: int | None


class ExportLease:
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
        self._vsphere, self._moid, self._snapshot_moid = vsphere, moid, snapshot_moid
        self._interval, self._ready_timeout, self._read_timeout = keep_alive, ready_timeout, read_timeout
        self._lock = threading.Lock()
        self._streams: list[DiskStream] = []
        self._opened: set[str] = set()  # lease keys
        self._lease: Any = None
        self._stub: Any = None
        self._keeper: KeepAlive | None = None
        self._ended = False
        self.disks: tuple[LeaseDisk, ...] = ()
        self.content_ids: tuple[tuple[int, str], ...] = ()  # (device key, content id) of the machine's disks

    # -- getting it ---------------------------------------------------------------------------------------------------

    def __enter__(self) -> Self:
        """Ask for the lease and wait until it is ready. Raises ServiceError."""
        vsphere = self._vsphere
        if self._snapshot_moid:
            target = vsphere.object(vim.vm.Snapshot, self._snapshot_moid)
            lease = vsphere.call(target.ExportSnapshot, subject=self._moid, doing=_DOING)
        else:
            target = vsphere.object(vim.VirtualMachine, self._moid)
            lease = vsphere.call(target.ExportVm, subject=self._moid, doing=_DOING)
        try:
            self._stub = vsphere.second_stub()
            self._lease = vsphere.object(vim.HttpNfcLease, lease._moId, self._stub)
            info = self._await_ready()
            hardware = self._hardware(target)
            self.disks = self._match(info.deviceUrl or (), hardware)
            self.content_ids = tuple((disk.key, disk.content_id) for disk in hardware.disks)
            self._ask_for_sha256(info.deviceUrl or ())
            timeout = float(info.leaseTimeout or 300)
            self._keeper = KeepAlive(
                vsphere,
                self._lease,
                subject=self._moid,
                interval=min(self._interval, max(timeout / 4, 0.05)),
                lease_timeout=timeout,
                on_lost=self._on_lost,
            )
            self._keeper.start()
        except BaseException as error:
            self.abort(str(error))
            raise
        return self

    def _await_ready(self) -> Any:
        """The lease's info once it is ready."""
        deadline, pause, resting = time.monotonic() + self._ready_timeout, 0.05, threading.Event()
        while True:
            found = self._once(lambda: properties(self._vsphere, self._lease, "state", "error"))
            state = found.get("state")
            if state == "ready":
                return self._once(lambda: properties(self._vsphere, self._lease, "info"))["info"]
            if state == "error" and found.get("error") is not None:
                raise from_fault(found["error"], subject=self._moid, doing=_DOING)
            if state != "initializing":
                raise lost_lease(self._moid, detail=f"its state is {state}")
            if time.monotonic() > deadline:
                raise ServiceError(
                    ErrorKind.REMOTE,
                    f"vCenter did not get the export ready within {self._ready_timeout:.0f} s",
                    subject=self._moid,
                    remedy="The host may be busy with other exports: try again later",
                    retry_safe=True,
                )
            resting.wait(pause)
            pause = min(pause * 1.5, 2.0)

    def _once(self, function: Any) -> Any:
        return self._vsphere.once(function, subject=self._moid, doing=_DOING)

    def _hardware(self, target: Any) -> Hardware:
        found = Hardware()
        for record in retrieve(self._vsphere, object_specification(target, ("config.hardware.device",))):
            devices = record.values.get("config.hardware.device")
            found = read_hardware(devices if devices is not None else (), Names())
        return found

    def _match(self, urls: Sequence[Any], hardware: Hardware) -> tuple[LeaseDisk, ...]:
        offered = [url for url in urls if _is_disk(url)]
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
                    subject=self._moid,
                    remedy="Report this with the names of the machine's disk controllers",
                )
            keys = [disk.key for disk in taken]
        return tuple(self._offer(url, by_key[key]) for url, key in zip(offered, keys, strict=True) if key is not None)

    def _offer(self, url: Any, disk: Disk) -> LeaseDisk:
        certificate = getattr(url, "sslCertificate", None)
        thumbprint = url.sslThumbprint or ""
        if not thumbprint and certificate:
            thumbprint = thumbprint_of(ssl.PEM_cert_to_DER_cert(certificate))
        return LeaseDisk(
            key=url.key,
            device_key=disk.key,
            label=disk.label,
            url=self._substitute(url.url),
            capacity=disk.capacity,
            file_size=url.fileSize or None,
            thumbprint=thumbprint,
            target_id=url.targetId or "",
        )

    def _substitute(self, url: str) -> str:
        """``*`` as host means the one we are connected to (trap 2)."""
        parts = urlsplit(url)
        if parts.scheme != "https":
            raise ServiceError(
                ErrorKind.TLS,
                "the export is offered without TLS",
                subject=url,
                remedy="Enable HTTPS for NFC on the host",
            )
        if parts.hostname != "*":
            return url
        host = self._vsphere.settings.host
        port = parts.port or self._vsphere.settings.port
        return urlunsplit(parts._replace(netloc=f"[{host}]:{port}" if ":" in host else f"{host}:{port}"))

    def _ask_for_sha256(self, urls: Sequence[Any]) -> None:
        """Hosts before vSphere 6.7 know SHA-1 only."""
        wanted = [vim.KeyValue(key=url.key, value="sha256") for url in urls if _is_disk(url)]
        try:
            self._once(lambda: self._lease.HttpNfcLeaseSetManifestChecksumType(wanted))
        except ServiceError as error:
            if error.problem.code not in _NO_CHECKSUM_CHOICE:
                raise

    # -- holding it ---------------------------------------------------------------------------------------------------

    def open(self, disk: LeaseDisk) -> DiskStream:
        """The bytes of one disk (streamOptimized VMDK). Raises ServiceError."""
        self.check()
        parts = urlsplit(disk.url)
        settings = self._vsphere.settings
        host, port = parts.hostname or settings.host, parts.port or 443
        at_vcenter = host.lower() == settings.host.strip("[]").lower()
        if disk.thumbprint:
            trust = Trust(thumbprint=disk.thumbprint)
        else:
            trust = self._vsphere.trust if at_vcenter else Trust(ca_file=settings.ca_file)
        path = urlunsplit(("", "", parts.path, parts.query, ""))
        stream = DiskStream(
            host,
            port,
            path,
            trust=trust,
            # An ESXi host gets no vCenter session: its URL carries a ticket of its own.
            cookie=self._vsphere.cookie if at_vcenter else "",
            timeout=self._read_timeout,
            explain=self._explain,
        )
        with self._lock:
            self._streams.append(stream)
            self._opened.add(disk.key)
        return stream

    def _explain(self) -> ServiceError | None:
        """Why a transfer failed, if it is for a lost lease."""
        lost = self._keeper.look() if self._keeper and not self._ended else None
        return ServiceError.of(lost.problem) if lost else None

    def _on_lost(self, _: ServiceError) -> None:
        with self._lock:
            streams = list(self._streams)
        for stream in streams:
            stream.interrupt()

    def progress(self, fraction: float) -> None:
        """Remember how much is done (0..1); the lease's own thread tells vCenter."""
        if self._keeper is not None:
            self._keeper.fraction = fraction

    def check(self) -> None:
        """Raise ServiceError when the lease is lost (CONFLICT), or its session (LOGIN)."""
        lost = self._keeper.lost if self._keeper else None
        if lost is not None:
            raise ServiceError.of(lost.problem)

    def manifest(self, *keys: str) -> dict[str, ManifestEntry]:
        """The host's checksums by lease key; ask after the last byte and before `complete`. Raises ServiceError.

        A host writes an entry when it has closed the file, which may be a moment after the last byte came: the entries
        of ``keys`` (of all disks opened) are waited for, `MANIFEST_SECONDS` at most. What is missing then was never
        promised.
        """
        wanted = set(keys) or self._opened
        deadline, pause, resting = time.monotonic() + MANIFEST_SECONDS, 0.05, threading.Event()
        while True:
            self.check()
            found = self._vsphere.once(
                self._lease.HttpNfcLeaseGetManifest, subject=self._moid, doing="reading the export's checksums"
            )
            entries = {entry.key: _manifest_entry(entry) for entry in found or ()}
            if wanted <= entries.keys() or time.monotonic() > deadline:
                return entries
            resting.wait(pause)
            pause *= 2

    # -- ending it ----------------------------------------------------------------------------------------------------

    def complete(self) -> None:
        """Tell vCenter that all is received. Raises ServiceError when the lease is lost."""
        self.check()
        assert self._keeper is not None
        self._keeper.stop()
        self.check()
        lease, doing = self._lease, "completing the export"
        self._vsphere.once(lambda: lease.HttpNfcLeaseProgress(100), subject=self._moid, doing=doing)
        self._vsphere.once(lease.HttpNfcLeaseComplete, subject=self._moid, doing=doing)
        self._ended = True
        self._close()

    def abort(self, reason: str) -> None:
        """Give the lease back; never raises: without reports vCenter ends it by itself."""
        if self._ended:
            return
        self._ended = True
        if self._keeper is not None:
            self._keeper.stop()
        if self._lease is not None:
            fault = vmodl.fault.RequestCanceled(msg=reason[:200])
            with contextlib.suppress(Exception):
                self._lease.HttpNfcLeaseAbort(fault)
        self._close()

    def _close(self) -> None:
        with self._lock:
            streams, self._streams = self._streams, []
        for stream in streams:
            stream.interrupt()
            stream.close()
        if self._stub is not None:
            self._stub.DropConnections()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.abort(str(error) if error else "the export was left before it was complete")


def _is_disk(url: Any) -> bool:
    """A lease may list files such as NVRAM too (trap 5)."""
    if url.disk is not None:
        return bool(url.disk)
    return str(url.targetId or urlsplit(url.url).path).endswith(".vmdk")


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


def _manifest_entry(entry: Any) -> ManifestEntry:
    kind, checksum = (entry.checksumType or "").lower(), entry.checksum or None
    return ManifestEntry(
        sha256=checksum.lower() if checksum and kind == "sha256" else None,
        sha1=(entry.sha1 or (checksum if kind == "sha1" else "") or "").lower() or None,
        size=int(entry.size),
        capacity=int(entry.capacity) if entry.capacity else None,
    )
