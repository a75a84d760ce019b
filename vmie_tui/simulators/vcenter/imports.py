"""ImportVApp: a new machine from a config spec, its disks received as streamOptimized VMDK; gone unless completed."""

from __future__ import annotations

import hashlib
import uuid
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from pyVmomi import vim, vmodl

from vmie_tui.model.errors import ServiceError
from vmie_tui.services.disks.formats.vmdk_stream import StreamDecoder
from vmie_tui.simulators.spec import DiskSpec, NicSpec, VmSpec
from vmie_tui.simulators.vcenter.builder import Builder
from vmie_tui.simulators.vcenter.calls import Call
from vmie_tui.simulators.vcenter.hardware import CONTROLLERS, lease_name, place
from vmie_tui.simulators.vcenter.leases import Leases
from vmie_tui.simulators.vcenter.machine import Device, Lease, Machine
from vmie_tui.simulators.vcenter.power import Power
from vmie_tui.simulators.vcenter.registry import Managed
from vmie_tui.simulators.vcenter.shared_state import Center

NAME_LIMIT = 80
OPEN_SCSI = 7  # the unit of a SCSI controller itself


class ImportLease(Lease):
    """The lease of a machine that is being made: ending it otherwise than by HttpNfcLeaseComplete removes it."""

    __slots__ = ("drop",)
    exports = False

    def __init__(self, moid: str, machine: Machine, devices: list[Device], heard: float, drop: Any) -> None:
        super().__init__(moid, machine, devices, heard)
        self.drop = drop

    def check_whole(self) -> None:
        missing = [device.key for device in self.devices if device.sent is None]
        if missing:
            raise vim.fault.InvalidState(msg=f"Not every file was uploaded: {missing[0]} is missing.")

    def released(self, fault: Any) -> None:
        if fault is not None:
            self.drop(self.machine)


def _store_of(path: str) -> str:
    """The datastore in ``[name]`` or ``[name] folder/file``; a name may hold brackets."""
    return path[1:-1] if path.endswith("]") else path.removeprefix("[").partition("] ")[0]


@dataclass(slots=True)
class _Asked:
    """What a config spec asks for, in the simulator's terms."""

    spec: VmSpec
    needs: int  # bytes the datastore must have at once: the thick disks


class Imports:
    """The method of resource pools, and what comes of it."""

    def __init__(self, center: Center, leases: Leases, builder: Builder, power: Power) -> None:
        self._center, self._leases, self._builder, self._power = center, leases, builder, power

    def ImportVApp(self, call: Call, this: Managed, spec: Any, folder: Any, host: Any) -> Any:
        if not isinstance(spec, vim.vm.VmImportSpec):
            raise vmodl.fault.NotSupported(msg="The simulated vCenter imports single virtual machines.")
        registry, config = self._center.registry, spec.configSpec
        try:
            datacenter, cluster = self._builder.place_of(this)
        except KeyError:
            raise _wrong("resPool") from None
        held = self._builder.machine_folder(datacenter) if folder is None else registry.find(folder)
        try:
            path = self._builder.folder_path(datacenter, held)
        except KeyError:
            raise _wrong("folder") from None
        self._center.privileges.check("VApp.Import", held)
        name = config.name or ""
        if not 0 < len(name) <= NAME_LIMIT:
            raise vim.fault.InvalidName(name=name, entity=held.ref, msg=f"The name '{name}' is not valid.")
        for child in held.children:
            if child.name.lower() == name.lower():
                raise vim.fault.DuplicateName(name=name, object=child.ref, msg=f"The name '{name}' already exists.")
        store = self._datastore(config, datacenter)
        self._center.privileges.check("Datastore.AllocateSpace", store)
        on = registry.find(host) if host is not None else self._builder.first_host(cluster, datacenter)
        if on.parent is not this.parent:
            raise _wrong("host")
        asked = self._asked(config, datacenter, cluster, on.name, store.name, path)
        if asked.needs > store.value("summary").freeSpace:
            raise vim.fault.InsufficientStorageSpace(msg=f"Insufficient disk space on datastore '{store.name}'.")
        machine = self._builder.add_machine(asked.spec, fresh=True)
        devices = [
            Device(f"/{machine.moid}/{lease_name(disk)}", f"disk-{number}.vmdk", f"/{name}/{lease_name(disk)}", disk, 0)
            for number, disk in enumerate(machine.disks)
        ]
        moid = f"session[{call.owner}]{uuid.uuid4()}"
        lease = ImportLease(moid, machine, devices, self._center.clock.now(), partial(self._power.remove, files=True))
        registry.touch(held)
        return self._leases.adopt(call, lease, this)

    def _datastore(self, config: Any, datacenter: str) -> Managed:
        """That of the machine's files: ``[name]`` in files.vmPathName."""
        path = (config.files.vmPathName if config.files is not None else "") or ""
        try:
            return self._builder.datastore(datacenter, _store_of(path))
        except KeyError:
            raise vim.fault.InvalidDatastorePath(datastorePath=path, msg=f"Invalid datastore path '{path}'.") from None

    def _asked(
        self, config: Any, datacenter: str, cluster: str, host: str, store: str, path: tuple[str, ...]
    ) -> _Asked:
        controllers: dict[int, tuple[str, int]] = {}
        disks: dict[tuple[str, int, int], DiskSpec] = {}
        nics: list[NicSpec] = []
        for index, change in enumerate(config.deviceChange):
            device = change.device
            if change.operation != "add":
                raise _bad(index, "operation")
            if isinstance(device, vim.vm.device.VirtualDisk):
                spot, disk = self._disk(index, change, controllers, store)
                if spot in disks:
                    raise _bad(index, "device.unitNumber")
                disks[spot] = disk
            elif isinstance(device, vim.vm.device.VirtualEthernetCard):
                nics.append(self._nic(index, device, datacenter))
            elif isinstance(device, vim.vm.device.VirtualController):
                controllers[device.key] = (_controller(index, device), device.busNumber)
            else:
                raise vmodl.fault.NotSupported(msg=f"Not simulated: {type(device).__name__} in an import")
        ordered = [disks[spot] for spot in sorted(disks)]
        for number, (spot, disk) in enumerate(sorted(disks.items(), key=lambda item: item[0])):
            if len({one.controller for one in ordered}) > 1 or spot[1:] != place(disk.controller, number):
                raise vmodl.fault.NotSupported(msg="Not simulated: disks on several kinds of controllers, or with gaps")
        firmware = {"efi": "uefi", "bios": "bios", None: "bios"}.get(config.firmware)
        if firmware is None:
            raise _wrong("configSpec.firmware")
        boot = config.bootOptions
        spec = VmSpec(
            config.name,
            datacenter,
            cluster,
            host,
            store,
            folder=path,
            guest_id=config.guestId or "otherGuest",
            guest_name=config.guestId or "Other",
            tools="toolsNotInstalled",
            firmware=firmware,
            secure_boot=bool(boot and boot.efiSecureBootEnabled),
            cpus=config.numCPUs or 1,
            memory_mib=config.memoryMB or 32,
            disks=tuple(ordered),
            nics=tuple(nics),
            annotation=config.annotation or "",
            hardware=config.version or "vmx-21",
        )
        return _Asked(spec, sum(disk.capacity for disk in ordered if not disk.thin))

    def _disk(
        self, index: int, change: Any, controllers: dict[int, tuple[str, int]], store: str
    ) -> tuple[tuple[str, int, int], DiskSpec]:
        device, backing = change.device, change.device.backing
        if change.fileOperation != "create":
            raise _bad(index, "fileOperation")
        if device.controllerKey not in controllers:
            raise _bad(index, "device.controllerKey")
        kind, bus = controllers[device.controllerKey]
        if device.unitNumber is None or (kind in ("pvscsi", "lsi", "lsisas") and device.unitNumber == OPEN_SCSI):
            raise _bad(index, "device.unitNumber")
        capacity = device.capacityInBytes or (device.capacityInKB or 0) << 10
        if capacity <= 0 or capacity % 512:
            raise _bad(index, "device.capacityInBytes")
        if not isinstance(backing, vim.vm.device.VirtualDisk.FlatVer2BackingInfo):
            raise _bad(index, "device.backing")
        if backing.fileName and _store_of(backing.fileName) != store:
            raise vmodl.fault.NotSupported(msg="Not simulated: disks of an import on several datastores")
        spot = (kind, bus, device.unitNumber)
        return spot, DiskSpec(capacity, thin=bool(backing.thinProvisioned), controller=kind)

    def _nic(self, index: int, device: Any, datacenter: str) -> NicSpec:
        backing = device.backing
        if not isinstance(backing, vim.vm.device.VirtualEthernetCard.NetworkBackingInfo):
            raise _bad(index, "device.backing")
        try:
            network = self._builder.network(datacenter, backing.deviceName)
        except KeyError:
            raise _bad(index, "device.backing.deviceName") from None
        self._center.privileges.check("Network.Assign", network)
        return NicSpec(network.name, connected=False)


class Receiver:
    """Takes the bytes of one disk of an import lease; a context manager. Raises `RejectedError` for what is wrong."""

    def __init__(self, leases: Leases, lease: ImportLease, device: Device, free: int) -> None:
        self._leases, self._lease, self._device, self._free = leases, lease, device, free
        assert device.disk is not None
        self._disk = device.disk
        self._path: Path = self._disk.folder / f"{self._disk.key}.import"
        self._next = 0
        self._decoder = StreamDecoder(self._grain)
        self._sha1, self._digest = hashlib.sha1(), hashlib.new(device.digest)  # noqa: S324 - what the protocol says
        self.total = 0

    def __enter__(self) -> Self:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._file = self._path.open("wb")
        self._file.truncate(self._disk.capacity)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self._file.close()
        self._path.unlink(missing_ok=True)

    def _grain(self, offset: int, data: memoryview) -> None:
        if offset < self._next:
            raise RejectedError(f"the grain at {offset} comes after one at {self._next}")
        self._next = offset + len(data)
        if self._decoder.data_bytes + len(data) > self._free:
            raise RejectedError("", full=True)
        self._file.seek(offset)
        self._file.write(data)

    def take(self, piece: bytes) -> None:
        """The next bytes of the VMDK. Raises RejectedError."""
        if self._lease.state != "ready":
            raise RejectedError("the lease has ended")
        self.total += len(piece)
        self._sha1.update(piece)
        self._digest.update(piece)
        try:
            self._decoder.feed(piece)
        except ServiceError as error:
            raise RejectedError(str(error)) from error
        if self._decoder.capacity not in (None, self._disk.capacity):
            raise RejectedError(f"a disk of {self._decoder.capacity} bytes where one of {self._disk.capacity} is due")

    def finish(self) -> None:
        """Ends the disk's data. Raises RejectedError."""
        try:
            self._decoder.finish()
        except ServiceError as error:
            raise RejectedError(str(error)) from error
        self._file.flush()
        self._disk.content.adopt(self._path)
        populated = self._decoder.grains << 16
        self._device.sent = (self.total, self._sha1.hexdigest(), self._digest.hexdigest(), populated)

    def reject(self, error: RejectedError) -> None:
        """Fails the lease: the received data is no valid disk."""
        name = self._disk.file_name
        fault: Any = vmodl.fault.SystemError(reason="import", msg=f"The file {name} cannot be imported: {error}")
        if error.full:
            store = self._disk.datastore.name
            fault = vim.fault.NoDiskSpace(file=name, datastore=store, msg=f"There is no more space on '{store}'.")
        self._leases.fail(self._lease, fault)


class RejectedError(Exception):
    """The bytes are no disk of this import. ``full``: the datastore has no room for them."""

    def __init__(self, text: str, *, full: bool = False) -> None:
        super().__init__(text)
        self.full = full


def _controller(index: int, device: Any) -> str:
    for name, (kind, *_) in CONTROLLERS.items():
        if type(device) is kind:
            return name
    raise _bad(index, "device")


def _bad(index: int, name: str) -> Exception:
    fault: Exception = vim.fault.InvalidDeviceSpec(
        deviceIndex=index, property=name, msg=f"Invalid configuration for device '{index}'."
    )
    return fault


def _wrong(name: str) -> Exception:
    fault: Exception = vmodl.fault.InvalidArgument(
        invalidProperty=name, msg=f"A specified parameter was not correct: {name}"
    )
    return fault
