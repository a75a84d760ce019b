"""The simulated vCenter as one object: build it from a fleet, start it, talk to it with pyVmomi."""

from __future__ import annotations

import hashlib
import ssl
import threading
import uuid
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from pyVmomi import vim

from vmie_tui.simulators.control import Faults, Gate, SimClock, Stats, TlsFiles
from vmie_tui.simulators.spec import FleetSpec
from vmie_tui.simulators.vcenter.activity import Activity
from vmie_tui.simulators.vcenter.authorization import Authorization
from vmie_tui.simulators.vcenter.browser import Browsers
from vmie_tui.simulators.vcenter.builder import Builder
from vmie_tui.simulators.vcenter.calls import Call
from vmie_tui.simulators.vcenter.center import Center, Options
from vmie_tui.simulators.vcenter.changed import ChangedBlocks
from vmie_tui.simulators.vcenter.collector import Collector
from vmie_tui.simulators.vcenter.controls import Controls
from vmie_tui.simulators.vcenter.dispatch import Dispatcher
from vmie_tui.simulators.vcenter.folder import Folders
from vmie_tui.simulators.vcenter.history import History
from vmie_tui.simulators.vcenter.http import Server
from vmie_tui.simulators.vcenter.imports import Imports
from vmie_tui.simulators.vcenter.leases import Leases
from vmie_tui.simulators.vcenter.machine import SPACE, Machine, VmDisk
from vmie_tui.simulators.vcenter.ovf import OvfManager
from vmie_tui.simulators.vcenter.power import Power
from vmie_tui.simulators.vcenter.registry import Managed
from vmie_tui.simulators.vcenter.sessions import Sessions
from vmie_tui.simulators.vcenter.snapshots import Snapshots
from vmie_tui.simulators.vcenter.tasks import Tasks
from vmie_tui.simulators.vcenter.trouble import Trouble
from vmie_tui.simulators.vcenter.updates import Updates
from vmie_tui.simulators.vcenter.values import data
from vmie_tui.simulators.vcenter.views import Search, Views
from vmie_tui.simulators.vcenter.witness import Witness

DEFAULT_USER = "administrator@vsphere.local"
DEFAULT_PASSWORD = "VMware1!"  # noqa: S105 - the simulator's own, on loopback


class Service:
    """The ServiceInstance's methods."""

    def __init__(self, center: Center, content: Any) -> None:
        self._center, self._content = center, content

    def RetrieveServiceContent(self, call: Call, this: Managed) -> Any:
        return self._content

    def CurrentTime(self, call: Call, this: Managed) -> Any:
        return self._center.now()

    def QueryDescriptions(self, call: Call, this: Managed, host: Any) -> list[Any]:
        """The DiagnosticManager's: no log is simulated."""
        return []

    def BrowseDiagnosticLog(
        self, call: Call, this: Managed, host: Any, key: str, start: int | None, lines: int | None
    ) -> Any:
        return data(vim.DiagnosticManager.LogHeader, lineStart=start or 0, lineEnd=start or 0)


class VCenterSimulator:
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
        self.clock = clock or SimClock()
        self.gate = Gate(control_token)
        self.center = Center(root, self.clock, user, password, Options(**options))
        self.options = self.center.options
        self.faults: Faults = self.center.faults
        self.stats: Stats = self.center.stats
        self.thumbprint, self.thumbprint_sha256 = thumbprints(tls)
        self._nfc_tls = nfc_tls
        self.center.thumbprint = self.thumbprint if nfc_tls is None else thumbprints(nfc_tls)[0]
        names = ",".join(site.path for site in fleet.datacenters)
        self.center.instance_uuid = str(uuid.uuid5(SPACE, f"vcenter {names}"))
        self.stopped = threading.Event()
        self._servers: list[tuple[Server, threading.Thread]] = []
        self._assemble(fleet)
        self.activity = Activity(self.center, self.changed, guests_clock or self.clock.now)
        self.witness = Witness(self.center)
        self.trouble = Trouble(self)
        self.snapshots.before.append(self.activity.before_snapshot)
        self.snapshots.after += [self.witness.saw, self.activity.after_snapshot]
        self._power.down.append(self.activity.last_words)
        self._controls = Controls(self)

    def _assemble(self, fleet: FleetSpec) -> None:
        center, registry = self.center, self.center.registry
        root = registry.add(Managed(vim.Folder, "group-d1", None, name="Datacenters"))
        root.props.update(
            childType=[vim.Folder, vim.Datacenter],
            childEntity=lambda: [child.ref for child in root.children],
            overallStatus="green",
        )
        self.builder = Builder(center, root)
        self.sessions = Sessions(center)
        self.tasks = Tasks(center)
        self.leases = Leases(center, self.tasks)
        self.folders = Folders(center)
        self.changed = ChangedBlocks(center)
        self.snapshots = Snapshots(center, self.tasks)
        self._power = Power(center, self.tasks, self.builder.forget_machine)
        collector = Collector(center)
        updates = Updates(center, collector.reader)
        views, search, authorization = Views(center), Search(center), Authorization(center)
        history, browsers, ovf = History(center, self.tasks), Browsers(center, self.tasks), OvfManager(center)
        self.sessions.began.append(
            lambda session: history.log(
                vim.event.UserLoginSessionEvent,
                f"User {session.user}@{session.address} logged in as {session.agent}",
                session.user,
                ipAddress=session.address,
                userAgent=session.agent,
                locale="en",
                sessionId=session.key,
            )
        )
        self.sessions.ended += [self.leases.session_ended, updates.session_ended]
        content = data(
            vim.ServiceInstanceContent,
            rootFolder=root.ref,
            propertyCollector=registry.objects["propertyCollector"].ref,
            viewManager=views.manager.ref,
            about=_about(center.instance_uuid),
            sessionManager=self.sessions.manager.ref,
            authorizationManager=authorization.manager.ref,
            taskManager=self.tasks.manager.ref,
            eventManager=history.manager.ref,
            ovfManager=ovf.manager.ref,
            licenseManager=registry.add(_licences()).ref,
            diagnosticManager=registry.add(Managed(vim.DiagnosticManager, "DiagMgr")).ref,
            searchIndex=search.index.ref,
        )
        instance = registry.add(Managed(vim.ServiceInstance, "ServiceInstance", None, content=content))
        instance.props["serverClock"] = center.now
        self.dispatcher = Dispatcher(
            center,
            self.sessions,
            collector,
            updates,
            views,
            search,
            authorization,
            self.tasks,
            self.leases,
            self.changed,
            self._power,
            Imports(center, self.leases, self.builder, self._power),
            self.snapshots,
            history,
            browsers,
            ovf,
            Service(center, content),
        )
        self.builder.build(fleet)
        browsers.attach()

    # ---- life

    def start(self) -> None:
        """Listen; `port` then says where."""
        self.stopped.clear()
        front = self._listen(self.port, self.tls)
        self.port = front.server_address[1]
        behind = front if self._nfc_tls is None else self._listen(0, self._nfc_tls)
        self.center.nfc_port = behind.server_address[1]
        self.center.later.start()

    def _listen(self, port: int, tls: TlsFiles) -> Server:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(tls.chain, tls.key)
        server = Server(port, context, self)
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

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    # ---- what tests and proofs do behind vCenter's back

    def machine(self, moid_or_name: str) -> Machine:
        """A machine by id or name; raises KeyError."""
        with self.center.registry.lock:
            found = self.center.registry.objects.get(moid_or_name)
            if isinstance(found, Machine):
                return found
            for managed in self.center.registry.objects.values():
                if isinstance(managed, Machine) and managed.name == moid_or_name:
                    return managed
        raise KeyError(moid_or_name)

    def disk(self, moid_or_name: str, key: int) -> VmDisk:
        """A machine's disk by device key; raises KeyError."""
        disk = self.machine(moid_or_name).disk(key)
        if disk is None:
            raise KeyError(f"{moid_or_name} has no disk {key}")
        return disk

    def disk_keys(self, moid_or_name: str) -> tuple[int, ...]:
        """The machine's disk device keys, in order."""
        return tuple(disk.key for disk in self.machine(moid_or_name).disks)

    def disk_path(self, moid_or_name: str, disk_key: int) -> Path:
        """The raw file with a disk's present content, made if it is not there yet."""
        return self.disk(moid_or_name, disk_key).content.path()

    def write_disk(self, moid_or_name: str, disk_key: int, offset: int, content: bytes) -> None:
        """Write to a disk as its guest would."""
        with self.center.registry.lock:
            self.changed.write(self.machine(moid_or_name), self.disk(moid_or_name, disk_key), offset, content)

    def grow_disk(self, moid_or_name: str, disk_key: int, capacity: int) -> None:
        """Somebody enlarged a disk; raises ValueError while snapshots exist."""
        with self.center.registry.lock:
            disk = self.disk(moid_or_name, disk_key)
            disk.content.grow(capacity)
            disk.capacity = capacity
            self.center.registry.touch(self.machine(moid_or_name))

    def reset_change_tracking(self, moid_or_name: str) -> None:
        with self.center.registry.lock:
            self.changed.reset(self.machine(moid_or_name))

    def remove_machine(self, moid_or_name: str) -> None:
        """Somebody else deleted the machine."""
        with self.center.registry.lock:
            machine = self.machine(moid_or_name)
            if machine.lease is not None:
                self.leases.fail(machine.lease, vim.fault.InvalidState(msg="The virtual machine is gone."))
            self._power.remove(machine, files=True)

    def set_power(self, moid_or_name: str, state: str) -> None:
        """poweredOn, poweredOff or suspended, at once."""
        with self.center.registry.lock:
            self._power.set_power(self.machine(moid_or_name), state)

    def revoke(self, privilege: str, entity: str | None = None) -> None:
        """Take a privilege away, everywhere or on one object (id, or a machine's name)."""
        with self.center.registry.lock:
            self.center.privileges.revoke(privilege, self._entity(entity))

    def grant(self, privilege: str, entity: str | None = None) -> None:
        with self.center.registry.lock:
            self.center.privileges.grant(privilege, self._entity(entity))

    def _entity(self, entity: str | None) -> str | None:
        if entity is None or entity in self.center.registry.objects:
            return entity
        return self.machine(entity).moid

    def expire_sessions(self) -> None:
        with self.center.registry.lock:
            self.sessions.expire_all()

    def control(self, method: str, path: str, query: dict[str, str], body: bytes) -> tuple[int, dict[str, Any]]:
        """Answer one ``/_sim/`` request."""
        return self._controls.answer(method, path, query, body)


def _licences() -> Managed:
    """The LicenseManager of a vCenter in its evaluation."""
    evaluation = data(
        vim.LicenseManager.LicenseInfo, licenseKey="00000-00000-00000-00000-00000", editionKey="eval", name="Evaluation"
    )
    return Managed(vim.LicenseManager, "LicenseManager", None, licenses=[evaluation], licensedEdition="eval")


def thumbprints(tls: TlsFiles) -> tuple[str, str]:
    """SHA-1 and SHA-256 of a server certificate, as colon-separated hex."""
    end = "-----END CERTIFICATE-----"
    certificate = ssl.PEM_cert_to_DER_cert(tls.chain.read_text().split(end)[0] + end + "\n")
    sha1 = hashlib.sha1(certificate)  # noqa: S324 - what vSphere shows
    return sha1.digest().hex(":").upper(), hashlib.sha256(certificate).digest().hex(":").upper()


def _about(ident: str) -> Any:
    return data(
        vim.AboutInfo,
        name="VMware vCenter Server",
        fullName="VMware vCenter Server 8.0.3 build-24022515 (simulated)",
        vendor="VMware, Inc.",
        version="8.0.3",
        build="24022515",
        localeVersion="INTL",
        localeBuild="000",
        osType="linux-x64",
        productLineId="vpx",
        apiType="VirtualCenter",
        apiVersion="8.0.3.0",
        instanceUuid=ident,
        licenseProductName="VMware VirtualCenter Server",
        licenseProductVersion="8.0",
    )
