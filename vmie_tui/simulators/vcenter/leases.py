"""Leases: what ExportVm, ExportSnapshot and (imports.py) ImportVApp hand out, and how they end."""

from __future__ import annotations

import uuid
from typing import Any

from pyVmomi import vim, vmodl

from vmie_tui.simulators.vcenter.calls import Call
from vmie_tui.simulators.vcenter.hardware import lease_name
from vmie_tui.simulators.vcenter.machine import Device, Lease, Machine, SnapshotNode, VmDisk
from vmie_tui.simulators.vcenter.power import OFF, refuse_while_leased, wrong_power
from vmie_tui.simulators.vcenter.registry import Managed
from vmie_tui.simulators.vcenter.shared_state import Center
from vmie_tui.simulators.vcenter.tasks import Tasks
from vmie_tui.simulators.vcenter.values import data

KEPT_SECONDS = 300.0  # an ended lease's life


class Leases:
    """Leases by ticket, and their methods."""

    def __init__(self, center: Center, tasks: Tasks) -> None:
        self._center, self._registry, self._tasks = center, center.registry, tasks
        self._by_ticket: dict[str, Lease] = {}

    def find(self, ticket: str) -> Lease | None:
        return self._by_ticket.get(ticket)

    def session_ended(self, key: str) -> None:
        for lease in list(self._by_ticket.values()):
            if lease.owner == key:
                self.fail(lease, vmodl.fault.RequestCanceled(msg="The session of the lease ended."))

    # ---- SOAP methods

    def ExportVm(self, call: Call, this: Machine) -> Any:
        self._exportable(this)
        if this.power != OFF:
            raise wrong_power(this, OFF)
        return self._open(call, this, [(disk, disk.content.freeze()) for disk in this.disks])

    def ExportSnapshot(self, call: Call, this: SnapshotNode) -> Any:
        machine = this.machine
        self._exportable(machine)
        taken = [(disk, this.held[disk.key]) for disk in machine.disks if disk.key in this.held]
        held = [(disk, disk.content.hold(kept.generation)) for disk, kept in taken]
        return self._open(call, machine, held)

    def HttpNfcLeaseProgress(self, call: Call, this: Lease, percent: int) -> None:
        self._usable(this)
        if not 0 <= percent <= 100:
            raise vmodl.fault.InvalidArgument(
                invalidProperty="percent", msg="A specified parameter was not correct: percent"
            )
        this.heard = self._center.clock.now()
        self._registry.set(this, transferProgress=percent)
        if this.task is not None:
            self._tasks.update(this.task, progress=percent)

    def HttpNfcLeaseComplete(self, call: Call, this: Lease) -> None:
        self._usable(this)
        if this.state != "ready":
            raise vim.fault.InvalidState(msg="The lease is not ready.")
        this.check_whole()
        self._registry.set(this, state="done")
        self._end(this, None)

    def HttpNfcLeaseAbort(self, call: Call, this: Lease, fault: Any) -> None:
        self._usable(this)
        self.fail(this, fault or vmodl.fault.RequestCanceled(msg="The lease was aborted."))

    def HttpNfcLeaseGetManifest(self, call: Call, this: Lease) -> list[Any]:
        self._usable(this)
        if this.state != "ready":
            raise vim.fault.InvalidState(msg="The lease is not ready.")
        return [_manifest_entry(device) for device in this.devices if device.sent is not None]

    def HttpNfcLeaseSetManifestChecksumType(self, call: Call, this: Lease, wanted: Any) -> None:
        self._usable(this)
        devices = {device.key: device for device in this.devices}
        for pair in wanted or ():
            if pair.key not in devices or pair.value not in ("sha1", "sha256"):
                raise vmodl.fault.InvalidArgument(
                    invalidProperty="deviceUrlsToChecksumTypes",
                    msg="A specified parameter was not correct: deviceUrlsToChecksumTypes",
                )
            devices[pair.key].digest = pair.value

    # ---- life of a lease

    def _exportable(self, machine: Machine) -> None:
        refuse_while_leased(machine)
        if machine.spec.encrypted:
            raise vmodl.fault.NotSupported(msg="An encrypted virtual machine cannot be exported.")
        if machine.spec.connection != "connected":
            raise vim.fault.InvalidState(msg="The operation is not allowed in the current state.")

    def _usable(self, lease: Lease) -> None:
        if lease.state == "error":
            error = lease.props["error"]
            raise error if isinstance(error, vim.fault.Timedout) else vim.fault.InvalidState(msg=error.msg)
        if lease.state == "done":
            raise vim.fault.InvalidState(msg="The lease is already complete.")

    def _open(self, call: Call, machine: Machine, disks: list[tuple[VmDisk, int]]) -> Any:
        devices = []
        for number, (disk, generation) in enumerate(disks):
            place = lease_name(disk)
            key, long_name = f"/{machine.moid}/{place}", f"/{machine.spec.name}/{place}"
            devices.append(Device(key, f"disk-{number}.vmdk", long_name, disk, generation))
        devices.append(
            Device(f"/{machine.moid}/nvram", f"disk-{len(disks)}.nvram", f"/{machine.spec.name}/nvram", None, 0)
        )
        moid = f"session[{call.owner}]{uuid.uuid4()}"
        return self.adopt(call, Lease(moid, machine, devices, self._center.clock.now()), machine)

    def adopt(self, call: Call, lease: Lease, entity: Managed) -> Any:
        """Take up a new lease; its task is one on ``entity``. Returns the lease's reference."""
        machine = lease.machine
        lease.owner = call.owner
        user = "" if call.session is None else call.session.user
        lease.task = task = self._tasks.new(entity, call.method, user)
        task.cancel = lambda: self.fail(lease, vmodl.fault.RequestCanceled(msg="The task was canceled by a user."))
        self._tasks.start(task, cancelable=True)
        machine.lease = lease
        self._by_ticket[lease.ticket] = lease
        self._registry.add(lease)
        self._registry.touch(machine)
        self._center.later.after(self._center.options.lease_seconds, lambda: self._ready(lease))
        return lease.ref

    def _ready(self, lease: Lease) -> None:
        with self._registry.lock:
            if lease.state != "initializing":
                return
            method = lease.task.props["info"].name if lease.task is not None else ""
            fault = self._center.faults.take(method, lease.subject, "lease-error")
            if fault is not None:
                self.fail(lease, vmodl.fault.SystemError(reason=fault.code, msg=fault.message or "The export failed."))
                return
            lease.heard = self._center.clock.now()
            self._registry.set(lease, info=self._info(lease), initializeProgress=100, state="ready")
            self._watch(lease)

    def _info(self, lease: Lease) -> Any:
        options, center = self._center.options, self._center
        host = "*" if options.nfc_host == "*" else f"{options.nfc_host}:{center.nfc_port}"
        urls = []
        for device in lease.devices:
            disk = device.disk
            urls.append(
                data(
                    vim.HttpNfcLease.DeviceUrl,
                    key=device.key,
                    importKey=device.import_key,
                    url=f"https://{host}/nfc/{lease.ticket}/{device.file}",
                    sslThumbprint=center.thumbprint,
                    disk=disk is not None,
                    targetId=None if not lease.exports else device.file if disk is not None else "nvram",
                    datastoreKey=None if disk is None else disk.datastore.value("summary").url,
                    fileSize=disk.capacity if disk is not None and options.nfc_file_size else None,
                )
            )
        total = sum(device.disk.capacity for device in lease.devices if device.disk is not None)
        return data(
            vim.HttpNfcLease.Info,
            lease=lease.ref,
            entity=lease.machine.ref,
            deviceUrl=urls,
            totalDiskCapacityInKB=total >> 10,
            leaseTimeout=options.lease_timeout,
        )

    def _watch(self, lease: Lease) -> None:
        """Let the lease time out unless progress is heard in time."""
        timeout = lease.props["info"].leaseTimeout

        def look() -> None:
            with self._registry.lock:
                left = lease.heard + timeout - self._center.clock.now()
                if lease.state != "ready":
                    return
                if left <= 0:
                    self.fail(lease, vim.fault.Timedout(msg="The lease has timed out."))
                else:
                    self._center.later.after(left, look)

        self._center.later.after(timeout, look)

    def fail(self, lease: Lease, fault: Any) -> None:
        """Puts a live lease into the state error."""
        with self._registry.lock:
            if lease.state in ("initializing", "ready"):
                self._registry.set(lease, state="error", error=fault)
                self._end(lease, fault)

    def _end(self, lease: Lease, fault: Any) -> None:
        machine = lease.machine
        if machine.lease is lease:
            machine.lease = None
            self._registry.touch(machine)
        lease.released(fault)
        if lease.task is not None:
            self._tasks.finish(lease.task, error=fault)
        self._by_ticket.pop(lease.ticket, None)
        self._center.later.after(KEPT_SECONDS, lambda: self._registry.remove(lease))


def _manifest_entry(device: Device) -> Any:
    assert device.sent is not None
    size, sha1, digest, populated = device.sent
    disk = device.disk
    return data(
        vim.HttpNfcLease.ManifestEntry,
        key=device.key,
        sha1=sha1,
        checksum=digest,
        checksumType=device.digest,
        size=size,
        disk=disk is not None,
        capacity=None if disk is None else disk.capacity,
        populatedSize=None if disk is None else populated,
    )
