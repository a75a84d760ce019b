"""The common part of export and import leases: waited for, kept alive, and always ended."""

from __future__ import annotations

import contextlib
import re
import ssl
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Protocol
from urllib.parse import urlsplit, urlunsplit

from vmie_tui.model.errors import ErrorKind, ServiceError
from vmie_tui.proxy import Proxy
from vmie_tui.services.pacing import Poll
from vmie_tui.services.vsphere.errors import from_fault
from vmie_tui.services.vsphere.nfc.keepalive import EXPORT, KeepAlive, lost_lease
from vmie_tui.services.vsphere.property_collector import properties
from vmie_tui.services.vsphere.sdk import vim, vmodl
from vmie_tui.services.vsphere.session import VSphere
from vmie_tui.services.vsphere.tls import Trust, thumbprint_of

READY_SECONDS = 300.0  # vCenter prepares a lease in seconds; a busy host may need minutes
MANIFEST_SECONDS = 5.0
FIRST_PAUSE, LONGEST_PAUSE = 0.05, 2.0  # seconds between two looks at either
SHA1_DIGITS = 40
_PEM = re.compile(r"-----BEGIN CERTIFICATE-----[A-Za-z0-9+/=\s]*-----END CERTIFICATE-----")
_NO_CHECKSUM_CHOICE = frozenset({"MethodNotFound", "NotSupported", "InvalidRequest", "InvalidType"})


@dataclass(frozen=True, slots=True)
class ManifestEntry:
    """What the host says it sent or got: checksums of the file in hex, its size, the disk's capacity (bytes)."""

    sha256: str | None
    sha1: str | None
    size: int
    capacity: int | None


@dataclass(frozen=True, slots=True)
class DataPlace:
    """Where a file of a lease is: connect with ``trust`` (and through ``proxy``), ask for ``path``, send ``cookie``
    unless it is empty."""

    host: str
    port: int
    path: str
    trust: Trust
    cookie: str
    proxy: Proxy | None = None


class Transfer(Protocol):
    """A data connection; `interrupt` makes what waits on it in another thread fail at once."""

    def interrupt(self) -> None: ...

    def close(self) -> None: ...


class NfcLease:
    """A lease of ``what``: "export" or "import"; subclasses get it in ``__enter__``.

    It is aborted at the end of the block unless `complete` was called. ``keep_alive`` is the time between two reports
    to vCenter in seconds; it is shortened when the lease's own time-out asks for that.
    """

    def __init__(
        self, vsphere: VSphere, subject: str, *, what: str = EXPORT, keep_alive: float, ready_timeout: float
    ) -> None:
        self._vsphere, self._subject, self._what = vsphere, subject, what
        self._interval, self._ready_timeout = keep_alive, ready_timeout
        self._doing = f"starting the {what}"
        self._lock = threading.Lock()
        self._transfers: list[Transfer] = []
        self._opened: set[str] = set()  # lease keys
        self._lease: Any = None
        self._stub: Any = None
        self._keeper: KeepAlive | None = None
        self._ended = False
        self._told_end = False

    # -- getting it ---------------------------------------------------------------------------------------------------

    def _take(self, moid: str) -> Any:
        """Wait, on a connection of its own, until the lease of this id is ready; its info."""
        self._stub = self._vsphere.second_stub()
        self._lease = self._vsphere.object(vim.HttpNfcLease, moid, self._stub)
        return self._await_ready()

    def _keep(self, info: Any) -> None:
        """Starts the keepalive of the lease."""
        timeout = float(info.leaseTimeout or 300)
        self._keeper = KeepAlive(
            self._vsphere,
            self._lease,
            subject=self._subject,
            interval=min(self._interval, max(timeout / 4, 0.05)),
            lease_timeout=timeout,
            on_lost=self._on_lost,
            what=self._what,
        )
        self._keeper.start()

    def _await_ready(self) -> Any:
        """The lease's info once it is ready."""
        for _ in Poll(FIRST_PAUSE, LONGEST_PAUSE, seconds=self._ready_timeout):
            found = self._once(lambda: properties(self._vsphere, self._lease, "state", "error"))
            state = found.get("state")
            if state == "ready":
                return self._once(lambda: properties(self._vsphere, self._lease, "info"))["info"]
            if state == "error" and found.get("error") is not None:
                raise from_fault(found["error"], subject=self._subject, doing=self._doing)
            if state != "initializing":
                raise lost_lease(self._subject, self._what, detail=f"its state is {state}")
        raise ServiceError(
            ErrorKind.REMOTE,
            f"vCenter did not get the {self._what} ready within {self._ready_timeout:.0f} s",
            subject=self._subject,
            remedy="The host may be busy with other transfers: try again later",
            retry_safe=True,
        )

    def _once(self, function: Any) -> Any:
        return self._vsphere.once(function, subject=self._subject, doing=self._doing)

    def _place(self, url: str, thumbprint: str) -> DataPlace:
        """Where a data URL leads, and how the host there proves who it is."""
        parts = urlsplit(url)
        settings = self._vsphere.settings
        host, port = parts.hostname or settings.host, parts.port or 443
        at_vcenter = host.lower() == settings.host.strip("[]").lower()
        if thumbprint:
            trust = Trust(thumbprint=thumbprint)
        else:
            trust = self._vsphere.trust if at_vcenter else Trust(ca_file=settings.ca_file)
        path = urlunsplit(("", "", parts.path, parts.query, ""))
        # An ESXi host gets no vCenter session: its URL carries a ticket of its own.
        cookie = self._vsphere.cookie if at_vcenter else ""
        return DataPlace(host, port, path, trust, cookie, self._vsphere.proxy)

    def _substitute(self, url: str) -> str:
        """``*`` as host means the one we are connected to (trap 2)."""
        parts = urlsplit(url)
        if parts.scheme != "https":
            raise ServiceError(
                ErrorKind.TLS,
                f"the {self._what} is offered without TLS",
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
        wanted = [vim.KeyValue(key=url.key, value="sha256") for url in urls if is_disk(url)]
        try:
            self._once(lambda: self._lease.HttpNfcLeaseSetManifestChecksumType(wanted))
        except ServiceError as error:
            if error.problem.code not in _NO_CHECKSUM_CHOICE:
                raise

    # -- holding it ---------------------------------------------------------------------------------------------------

    def _explain(self) -> ServiceError | None:
        """Why a transfer failed, if it is for a lost lease."""
        lost = self._keeper.look() if self._keeper and not self._ended else None
        return ServiceError.of(lost.problem) if lost else None

    def _on_lost(self, _: ServiceError) -> None:
        with self._lock:
            transfers = list(self._transfers)
        for transfer in transfers:
            transfer.interrupt()

    def progress(self, fraction: float) -> None:
        """Sets the progress (0..1), which the keepalive thread reports to vCenter."""
        if self._keeper is not None:
            self._keeper.fraction = fraction

    def check(self) -> None:
        """Raises ServiceError if the lease is lost (CONFLICT), or its session (LOGIN)."""
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
        entries: dict[str, ManifestEntry] = {}
        for _ in Poll(FIRST_PAUSE, LONGEST_PAUSE, growth=2.0, seconds=MANIFEST_SECONDS):
            self.check()
            found = self._vsphere.once(
                self._lease.HttpNfcLeaseGetManifest,
                subject=self._subject,
                doing=f"reading the {self._what}'s checksums",
            )
            entries = {entry.key: _manifest_entry(entry) for entry in found or ()}
            if wanted <= entries.keys():
                break
        return entries

    # -- ending it ----------------------------------------------------------------------------------------------------

    def complete(self) -> None:
        """Completes the lease once everything is received or sent. Raises ServiceError when the lease is lost."""
        self.check()
        assert self._keeper is not None
        self._keeper.stop()
        self.check()
        lease, doing = self._lease, f"completing the {self._what}"
        self._vsphere.once(lambda: lease.HttpNfcLeaseProgress(100), subject=self._subject, doing=doing)
        self._vsphere.once(lease.HttpNfcLeaseComplete, subject=self._subject, doing=doing)
        self._ended = self._told_end = True
        self._close()

    def abort(self, reason: str) -> None:
        """Aborts the lease; never raises: without progress reports vCenter ends it by itself."""
        if self._ended:
            return
        self._ended = True
        if self._keeper is not None:
            self._keeper.stop()
        if self._lease is not None:
            fault = vmodl.fault.RequestCanceled(msg=reason[:200])
            with contextlib.suppress(Exception):
                # One that is over already is as wanted.
                with contextlib.suppress(vim.fault.InvalidState, vmodl.fault.ManagedObjectNotFound):
                    self._lease.HttpNfcLeaseAbort(fault)
                self._told_end = True
        self._close()

    @property
    def given_back(self) -> bool:
        """Whether the lease has ended in vCenter, or never existed."""
        return self._lease is None or self._told_end

    def _close(self) -> None:
        with self._lock:
            transfers, self._transfers = self._transfers, []
        for transfer in transfers:
            transfer.interrupt()
            transfer.close()
        if self._stub is not None:
            self._stub.DropConnections()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.abort(str(error) if error else f"the {self._what} was left before it was complete")


def thumbprint_at(told: Any) -> str:
    """The thumbprint of the certificate that vCenter tells of a host, with a lease's URL or a ticket: the SHA-256 of
    the certificate itself where it is given, else the SHA-1 that vSphere shows; "" when vCenter does not say.
    """
    shown = str(told.sslThumbprint or "")
    certificates = list(_certificates(str(getattr(told, "sslCertificate", None) or "")))
    if shown and certificates:  # of a chain the one that is shown, should another stand first
        same = [each for each in certificates if thumbprint_of(each, SHA1_DIGITS) == shown.upper()]
        certificates = same or certificates
    return thumbprint_of(certificates[0]) if certificates else shown


def _certificates(pem: str) -> Iterator[bytes]:
    """The certificates in a PEM text; what is none is left out."""
    for found in _PEM.finditer(pem):
        with contextlib.suppress(ValueError):
            yield ssl.PEM_cert_to_DER_cert(found[0])


def is_disk(url: Any) -> bool:
    """A lease may list files such as NVRAM too (trap 5)."""
    if url.disk is not None:
        return bool(url.disk)
    return str(url.targetId or urlsplit(url.url).path).endswith(".vmdk")


def _manifest_entry(entry: Any) -> ManifestEntry:
    kind, checksum = (entry.checksumType or "").lower(), entry.checksum or None
    return ManifestEntry(
        sha256=checksum.lower() if checksum and kind == "sha256" else None,
        sha1=(entry.sha1 or (checksum if kind == "sha1" else "") or "").lower() or None,
        size=int(entry.size),
        capacity=int(entry.capacity) if entry.capacity else None,
    )
