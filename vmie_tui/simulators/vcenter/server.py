"""The simulated vCenter as one object: build it from a fleet, start it, talk to it with pyVmomi."""

from __future__ import annotations

import hashlib
import ssl
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from vmie_tui.simulators.control import Gate, Serving, SimClock, TlsFiles
from vmie_tui.simulators.spec import FleetSpec
from vmie_tui.simulators.vcenter.controls import Controls
from vmie_tui.simulators.vcenter.http import Server
from vmie_tui.simulators.vcenter.shared_state import Options
from vmie_tui.simulators.vcenter.trouble import Trouble
from vmie_tui.simulators.vcenter.world import World

DEFAULT_USER = "administrator@vsphere.local"
DEFAULT_PASSWORD = "VMware1!"  # noqa: S105 - the simulator's own, on loopback


class VCenterSimulator(World, Serving):
    """A vCenter 8 on loopback. Content of disks lives below ``root`` and survives a restart.

    With ``nfc_tls`` disk data comes from a port of its own with that certificate, as from an ESXi host whose
    certificate only the thumbprint vouches for. ``guests_clock`` tells how much time passes for guests that write by
    the hour, when that is not ``clock``. ``control_token`` is what the controls ask for (`Gate`). Keyword options
    beyond those named are the fields of `Options`.

    Faults (`Faults.add`, ``POST /_sim/faults``) are looked up by SOAP method name, "nfc:GET", "nfc:HEAD",
    "nfc:POST", "folder:GET" or "folder:HEAD"; actions:

    - SOAP: ``error`` (``code`` a fault type such as NoPermission), ``delay``, ``reset``, ``expire`` (the session);
      ``task-error`` on a ``_Task`` method; ``missing`` on RetrievePropertiesEx (per object, NotAuthenticated or
      ``code``); ``lease-error`` on ExportVm, ExportSnapshot and ImportVApp (the lease fails while
      initializing).
    - ``nfc:GET``: ``lose-lease``, ``reset``, ``truncate``, ``delay`` after ``after`` bytes; ``error`` with ``status``.
    - ``nfc:POST``: ``lose-lease``, ``reset``, ``delay`` once ``after`` bytes came; ``error`` with ``status``.
    - ``folder:*``: ``error`` with ``status``, ``reset``, ``delay``, ``truncate`` after ``after`` bytes.

    ``match`` is looked for in the object's id and name (for a lease: the machine's, and the device's key).
    """

    def __init__(
        self,
        fleet: FleetSpec,
        root: Path,
        *,
        tls: TlsFiles,
        user: str = DEFAULT_USER,
        password: str = DEFAULT_PASSWORD,
        port: int = 0,
        clock: SimClock | None = None,
        nfc_tls: TlsFiles | None = None,
        guests_clock: Callable[[], float] | None = None,
        control_token: str = "",
        **options: Any,
    ) -> None:
        self.host = "localhost"
        self.port = port
        self.tls, self.user, self.password = tls, user, password
        self.gate = Gate(control_token)
        self.thumbprint, self.thumbprint_sha256 = thumbprints(tls)
        self._nfc_tls = nfc_tls
        self.stopped = threading.Event()
        self._servers: list[tuple[Server, threading.Thread]] = []
        clock = clock or SimClock()
        super().__init__(
            fleet,
            root,
            user=user,
            password=password,
            clock=clock,
            thumbprint=self.thumbprint if nfc_tls is None else thumbprints(nfc_tls)[0],
            guests_clock=guests_clock or clock.now,
            options=Options(**options),
        )
        self.trouble = Trouble(self)
        self._controls = Controls(self, self.trouble)

    def start(self) -> None:
        """Listen; `port` then says where."""
        self.stopped.clear()
        front = self._listen(self.port, self.tls)
        self.port = front.server_address[1]
        behind = front if self._nfc_tls is None else self._listen(0, self._nfc_tls)
        self.center.nfc_port = behind.server_address[1]
        self.center.later.start()

    def _listen(self, port: int, tls: TlsFiles) -> Server:
        server = Server(port, tls, self)
        thread = threading.Thread(target=server.serve_forever, args=(0.1,), name="vcenter-http", daemon=True)
        thread.start()
        self._servers.append((server, thread))
        return server

    def stop(self) -> None:
        """Close every connection and stop; disk contents stay."""
        self.stopped.set()
        self.activity.stop()
        self.dispatcher.stop()
        self.center.later.stop()
        for server, thread in self._servers:
            server.shutdown()
            server.server_close()
            server.close_all()
            thread.join()
        self._servers.clear()
        with self.center.registry.lock:
            self.witness.close()

    def control(self, method: str, path: str, query: dict[str, str], body: bytes) -> tuple[int, dict[str, Any]]:
        """Answer one ``/_sim/`` request."""
        return self._controls.answer(method, path, query, body)


def thumbprints(tls: TlsFiles) -> tuple[str, str]:
    """SHA-1 and SHA-256 of a server certificate, as colon-separated hex."""
    end = "-----END CERTIFICATE-----"
    certificate = ssl.PEM_cert_to_DER_cert(tls.chain.read_text().split(end)[0] + end + "\n")
    sha1 = hashlib.sha1(certificate)  # noqa: S324 - what vSphere shows
    return sha1.digest().hex(":").upper(), hashlib.sha256(certificate).digest().hex(":").upper()
