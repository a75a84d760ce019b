"""The simulated vCenter as one object: build it from a fleet, start it, talk to it with pyVmomi."""

from __future__ import annotations

import hashlib
import ssl
import threading
import uuid
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from pyVmomi import vim

from vmie_tui.simulators.control import Faults, SimClock, Stats, TlsFiles
from vmie_tui.simulators.spec import FleetSpec
from vmie_tui.simulators.vcenter.authorization import Authorization
from vmie_tui.simulators.vcenter.builder import Builder
from vmie_tui.simulators.vcenter.calls import Call
from vmie_tui.simulators.vcenter.center import Center, Options
from vmie_tui.simulators.vcenter.changed import ChangedBlocks
from vmie_tui.simulators.vcenter.collector import Collector
from vmie_tui.simulators.vcenter.controls import Controls
from vmie_tui.simulators.vcenter.dispatch import Dispatcher
from vmie_tui.simulators.vcenter.folder import Folders
from vmie_tui.simulators.vcenter.http import Server
from vmie_tui.simulators.vcenter.leases import Leases
from vmie_tui.simulators.vcenter.machine import SPACE, Machine, VmDisk
from vmie_tui.simulators.vcenter.power import Power
from vmie_tui.simulators.vcenter.registry import Managed
from vmie_tui.simulators.vcenter.sessions import Sessions
from vmie_tui.simulators.vcenter.snapshots import Snapshots
from vmie_tui.simulators.vcenter.tasks import Tasks
from vmie_tui.simulators.vcenter.updates import Updates
from vmie_tui.simulators.vcenter.values import data
from vmie_tui.simulators.vcenter.views import Search, Views

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


class VCenterSimulator:
    """A vCenter 8 on loopback. Content of disks lives below ``root`` and survives a restart.

    Keyword options beyond those named are the fields of `Options`. Faults (`Faults.add`, ``POST /_sim/faults``) are
    looked up by SOAP method name, "nfc:GET", "nfc:HEAD", "folder:GET" or "folder:HEAD"; actions:

    - SOAP: ``error`` (``code`` a fault type such as NoPermission), ``delay``, ``reset``, ``expire`` (the session);
      ``task-error`` on a ``_Task`` method; ``missing`` on RetrievePropertiesEx (per object, NotAuthenticated or
      ``code``); ``lease-error`` on ExportVm (the lease fails while initializing).
    - ``nfc:GET``: ``lose-lease``, ``reset``, ``truncate``, ``delay`` after ``after`` bytes; ``error`` with ``status``.
    - ``folder:*``: ``error`` with ``status``, ``reset``, ``delay``.

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
        **options: Any,
    ) -> None:
        self.host = "localhost"
        self.port = port
        self.tls, self.user, self.password = tls, user, password
        self.clock = clock or SimClock()
        self.center = Center(root, self.clock, user, password, Options(**options))
        self.options = self.center.options
        self.faults: Faults = self.center.faults
        self.stats: Stats = self.center.stats
        certificate = ssl.PEM_cert_to_DER_cert(
            tls.chain.read_text().split("-----END CERTIFICATE-----")[0] + "-----END CERTIFICATE-----\n"
        )
        self.thumbprint = _colons(hashlib.sha1(certificate).hexdigest())  # noqa: S324 - what vSphere shows
        self.thumbprint_sha256 = _colons(hashlib.sha256(certificate).hexdigest())
        self.center.thumbprint = self.thumbprint
        names = ",".join(site.name for site in fleet.datacenters)
        self.center.instance_uuid = str(uuid.uuid5(SPACE, f"vcenter {names}"))
        self.stopped = threading.Event()
        self._server: Server | None = None
        self._thread: threading.Thread | None = None
        self._controls = Controls(self)
        self._assemble(fleet)

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
        self._power = Power(center, self.tasks, self.builder.forget_machine)
        collector = Collector(center)
        updates = Updates(center, collector.reader)
        views, search, authorization = Views(center), Search(center), Authorization(center)
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
            Snapshots(center, self.tasks),
            Service(center, content),
        )
        self.builder.build(fleet)

    # ---- life

    def start(self) -> None:
        """Listen; `port` then says where."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.tls.chain, self.tls.key)
        self._server = Server(self.port, context, self)
        self.port = self.center.port = self._server.server_address[1]
        self.center.later.start()
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(0.1,), name="vcenter-http", daemon=True
        )
        self._thread.start()

    def stop(self) -> None:
        """Close every connection and stop; disk contents stay."""
        self.stopped.set()
        self.dispatcher.stop()
        self.center.later.stop()
        if self._server is not None and self._thread is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server.close_all()
            self._thread.join()

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


def _colons(text: str) -> str:
    return ":".join(text[at : at + 2] for at in range(0, len(text), 2)).upper()


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
