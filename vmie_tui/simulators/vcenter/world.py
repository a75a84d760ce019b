"""The content of a simulated vCenter, and third-party changes to it; `server.py` serves it."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pyVmomi import vim

from vmie_tui.simulators.control import Faults, SimClock, Stats
from vmie_tui.simulators.spec import FleetSpec
from vmie_tui.simulators.vcenter.activity import Activity
from vmie_tui.simulators.vcenter.authorization import Authorization
from vmie_tui.simulators.vcenter.browser import Browsers
from vmie_tui.simulators.vcenter.builder import Builder
from vmie_tui.simulators.vcenter.calls import Call
from vmie_tui.simulators.vcenter.changed import ChangedBlocks
from vmie_tui.simulators.vcenter.collector import Collector
from vmie_tui.simulators.vcenter.dispatch import Dispatcher
from vmie_tui.simulators.vcenter.folder import Folders
from vmie_tui.simulators.vcenter.frozen_disks import Witness
from vmie_tui.simulators.vcenter.history import History
from vmie_tui.simulators.vcenter.imports import Imports
from vmie_tui.simulators.vcenter.leases import Leases
from vmie_tui.simulators.vcenter.machine import SPACE, Machine, VmDisk
from vmie_tui.simulators.vcenter.ovf import OvfManager
from vmie_tui.simulators.vcenter.power import Power
from vmie_tui.simulators.vcenter.registry import Managed
from vmie_tui.simulators.vcenter.sessions import Sessions
from vmie_tui.simulators.vcenter.shared_state import Center, Options
from vmie_tui.simulators.vcenter.snapshots import Snapshots
from vmie_tui.simulators.vcenter.tasks import Tasks
from vmie_tui.simulators.vcenter.updates import Updates
from vmie_tui.simulators.vcenter.values import data
from vmie_tui.simulators.vcenter.views import Search, Views


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


class World:
    """Every managed object of a vCenter with its methods; content of disks lives below ``root``.

    ``thumbprint`` is that of the port that serves disk data.
    """

    def __init__(
        self,
        fleet: FleetSpec,
        root: Path,
        *,
        user: str,
        password: str,
        clock: SimClock,
        thumbprint: str,
        guests_clock: Callable[[], float],
        options: Options,
    ) -> None:
        self.clock = clock
        self.center = Center(root, clock, user, password, options)
        self.options = options
        self.faults: Faults = self.center.faults
        self.stats: Stats = self.center.stats
        self.center.thumbprint = thumbprint
        names = ",".join(site.path for site in fleet.datacenters)
        self.center.instance_uuid = str(uuid.uuid5(SPACE, f"vcenter {names}"))
        self._assemble(fleet)
        self.activity = Activity(self.center, self.changed, guests_clock)
        self.witness = Witness(self.center)
        self.snapshots.before.append(self.activity.before_snapshot)
        self.snapshots.after += [self.witness.saw, self.activity.after_snapshot]
        self._power.down.append(self.activity.last_words)

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

    # ---- what somebody does behind the caller's back

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


def _licences() -> Managed:
    """The LicenseManager of a vCenter in its evaluation."""
    evaluation = data(
        vim.LicenseManager.LicenseInfo, licenseKey="00000-00000-00000-00000-00000", editionKey="eval", name="Evaluation"
    )
    return Managed(vim.LicenseManager, "LicenseManager", None, licenses=[evaluation], licensedEdition="eval")


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
