"""The virtual devices of a machine, as vSphere lists them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pyVmomi import vim

from vmie_tui.simulators.vcenter.machine import Machine, SnapshotNode, VmDisk
from vmie_tui.simulators.vcenter.values import data, shared

device = vim.vm.device

# spec name -> (class, name in lease keys, first controller key, first disk key, keys per bus, label)
CONTROLLERS: dict[str, tuple[Any, str, int, int, int, str]] = {
    "pvscsi": (device.ParaVirtualSCSIController, "ParaVirtualSCSIController", 1000, 2000, 16, "SCSI controller"),
    "lsi": (device.VirtualLsiLogicController, "VirtualLsiLogicController", 1000, 2000, 16, "SCSI controller"),
    "lsisas": (device.VirtualLsiLogicSASController, "VirtualLsiLogicSASController", 1000, 2000, 16, "SCSI controller"),
    "sata": (device.VirtualAHCIController, "VirtualAHCIController", 15000, 16000, 30, "SATA controller"),
    "nvme": (device.VirtualNVMEController, "VirtualNVMEController", 31000, 32000, 15, "NVME controller"),
    "ide": (device.VirtualIDEController, "VirtualIDEController", 200, 3000, 2, "IDE"),
}
SCSI = ("pvscsi", "lsi", "lsisas")


def _device(kind: Any, key: int, label: str, summary: str = "", **more: Any) -> Any:
    about = data(vim.Description, label=label, summary=summary or label)
    return data(kind, key=key, deviceInfo=about, **more)


PCI = 100
COMMON = tuple(
    shared(one)
    for one in (
        _device(device.VirtualPS2Controller, 300, "PS2 controller 0", busNumber=0, device=[600, 700]),
        _device(device.VirtualPCIController, PCI, "PCI controller 0", busNumber=0, device=[500, 12000]),
        _device(device.VirtualSIOController, 400, "SIO controller 0", busNumber=0),
        _device(device.VirtualKeyboard, 600, "Keyboard", controllerKey=300, unitNumber=0),
        _device(device.VirtualPointingDevice, 700, "Pointing device", controllerKey=300, unitNumber=1),
        _device(device.VirtualVideoCard, 500, "Video card", controllerKey=PCI, unitNumber=0, videoRamSizeInKB=8192),
        _device(device.VirtualVMCIDevice, 12000, "VMCI device", controllerKey=PCI, unitNumber=17, id=-1),
    )
)
IDE = tuple(shared(_device(device.VirtualIDEController, 200 + bus, f"IDE {bus}", busNumber=bus)) for bus in range(2))
NO_CONNECTION = shared(
    data(
        device.VirtualDevice.ConnectInfo,
        startConnected=False,
        allowGuestControl=True,
        connected=False,
        status="untried",
    )
)
CONNECTED = shared(
    data(device.VirtualDevice.ConnectInfo, startConnected=True, allowGuestControl=True, connected=True, status="ok")
)


def place(controller: str, index: int) -> tuple[int, int]:
    """(bus, unit) of the index-th disk on controllers of one kind; SCSI unit 7 is the controller itself."""
    if controller in SCSI:
        bus, unit = divmod(index, 15)
        return bus, unit + 1 if unit >= 7 else unit
    return divmod(index, CONTROLLERS[controller][4])


def disk_keys(controller: str, spot: tuple[int, int]) -> tuple[int, int]:
    """(device key, controller key) of a disk at (bus, unit)."""
    _, _, controllers, first, per_bus, _ = CONTROLLERS[controller]
    return first + spot[0] * per_bus + spot[1], controllers + spot[0]


def lease_name(disk: VmDisk) -> str:
    """A disk's place as export leases write it: ``ParaVirtualSCSIController0:1``."""
    return f"{CONTROLLERS[disk.spec.controller][1]}{disk.place[0]}:{disk.place[1]}"


def devices(machine: Machine, snapshot: SnapshotNode | None = None) -> list[Any]:
    """All devices, of now or of a snapshot."""
    found = [*IDE, *COMMON, *_controllers(machine)]
    found.extend(_disk(machine, disk, snapshot) for disk in machine.disks)
    found.append(_cdrom(machine))
    found.extend(_nics(machine))
    if machine.spec.vtpm:
        found.append(_device(device.VirtualTPM, 11000, "Virtual TPM", controllerKey=PCI, unitNumber=36))
    if machine.spec.passthrough:
        backing = data(
            device.VirtualPCIPassthrough.DeviceBackingInfo,
            deviceName="NVIDIA A10",
            id="0000:3b:00.0",
            deviceId="2236",
            systemId="5f8d7c60-1b2a",
            vendorId=4318,
        )
        found.append(
            _device(
                device.VirtualPCIPassthrough, 13000, "PCI device 0", controllerKey=PCI, unitNumber=32, backing=backing
            )
        )
    return found


def _controllers(machine: Machine) -> Iterator[Any]:
    seen: dict[int, Any] = {}
    for disk in machine.disks:
        if disk.controller_key not in seen and disk.spec.controller != "ide":
            kind, _, _, _, _, label = CONTROLLERS[disk.spec.controller]
            bus = disk.place[0]
            made = _device(kind, disk.controller_key, f"{label} {bus}", controllerKey=PCI, busNumber=bus)
            made.unitNumber = 3 + len(seen)
            if issubclass(kind, device.VirtualSCSIController):
                made.__dict__.update(sharedBus="noSharing", hotAddRemove=True, scsiCtlrUnitNumber=7)
            seen[disk.controller_key] = made
        if disk.controller_key in seen:
            seen[disk.controller_key].device.append(disk.key)
    yield from seen.values()


def _disk(machine: Machine, disk: VmDisk, snapshot: SnapshotNode | None) -> Any:
    return _device(
        device.VirtualDisk,
        disk.key,
        disk.label,
        f"{disk.capacity >> 10:,} KB",
        controllerKey=disk.controller_key,
        unitNumber=disk.place[1],
        capacityInKB=disk.capacity >> 10,
        capacityInBytes=disk.capacity,
        diskObjectId=f"{machine.moid[3:]}-{disk.key}",
        nativeUnmanagedLinkedClone=False,
        backing=_backing(machine, disk, snapshot),
    )


def _change_id(machine: Machine, disk: VmDisk, snapshot: SnapshotNode | None) -> str | None:
    if snapshot is not None:
        held = snapshot.held.get(disk.key)
        return None if held is None else held.change_id
    return machine.tracker(disk).change_id() if machine.cbt_active and not disk.independent else None


def _backing(machine: Machine, disk: VmDisk, snapshot: SnapshotNode | None) -> Any:
    spec = disk.spec
    held = None if snapshot is None else snapshot.held.get(disk.key)
    fields = {
        "fileName": disk.open_name if held is None else held.file_name,
        "datastore": disk.datastore.ref,
        "diskMode": spec.mode,
        "uuid": disk.ident,
        "contentId": disk.content_id,
        "changeId": _change_id(machine, disk, snapshot),
    }
    if spec.backing == "rdm":
        mode = "physicalMode" if disk.independent else "virtualMode"
        lun = disk.ident.replace("-", "")
        return data(
            device.VirtualDisk.RawDiskMappingVer1BackingInfo,
            **fields,
            lunUuid=lun,
            deviceName=f"vml.{lun}",
            compatibilityMode=mode,
            sharing=spec.sharing,
        )
    key = crypto_key() if spec.encrypted or machine.spec.encrypted else None
    if spec.backing == "sesparse":
        return data(device.VirtualDisk.SeSparseBackingInfo, **fields, keyId=key)
    return data(
        device.VirtualDisk.FlatVer2BackingInfo,
        **fields,
        split=False,
        writeThrough=False,
        thinProvisioned=spec.thin,
        eagerlyScrub=None if spec.thin else False,
        digestEnabled=False,
        sharing=spec.sharing,
        keyId=key,
        parent=_beneath(machine, disk, snapshot),
    )


def _beneath(machine: Machine, disk: VmDisk, snapshot: SnapshotNode | None) -> Any:
    """The file below the one the machine, or the snapshot, has of a flat disk."""
    node = machine.current if snapshot is None else snapshot.above
    if node is None or disk.key not in node.held:
        return None
    return _backing(machine, disk, node)


def crypto_key() -> Any:
    provider = data(vim.encryption.KeyProviderId, id="corp-kms")
    return data(vim.encryption.CryptoKeyId, keyId="7f1c1d6e-2e7b-4b7e-8d53-5a3b2f0f9a41", providerId=provider)


def _cdrom(machine: Machine) -> Any:
    connected = machine.spec.cdrom_connected
    if connected and machine.datastore is not None:
        name = f"[{machine.datastore.name}] iso/installer.iso"
        backing = data(device.VirtualCdrom.IsoBackingInfo, fileName=name, datastore=machine.datastore.ref)
    else:
        backing = data(device.VirtualCdrom.RemotePassthroughBackingInfo, deviceName="", useAutoDetect=False)
    return _device(
        device.VirtualCdrom,
        3002,
        "CD/DVD drive 1",
        controllerKey=201,
        unitNumber=0,
        backing=backing,
        connectable=CONNECTED if connected else NO_CONNECTION,
    )


def mac_address(machine: Machine, index: int) -> str:
    number = int(machine.moid.rsplit("-", 1)[-1]) * 4 + index
    return f"00:50:56:{0x80 | number >> 16 & 0x3F:02x}:{number >> 8 & 0xFF:02x}:{number & 0xFF:02x}"


def _nics(machine: Machine) -> Iterator[Any]:
    for index, nic in enumerate(machine.spec.nics):
        network = next((one for one in machine.networks if one.name == nic.network), None)
        backing = data(
            device.VirtualEthernetCard.NetworkBackingInfo,
            deviceName=nic.network,
            network=None if network is None else network.ref,
        )
        yield _device(
            device.VirtualVmxnet3,
            4000 + index,
            f"Network adapter {index + 1}",
            nic.network,
            controllerKey=PCI,
            unitNumber=7 + index,
            addressType="assigned",
            macAddress=mac_address(machine, index),
            wakeOnLanEnabled=True,
            backing=backing,
            connectable=CONNECTED if nic.connected else NO_CONNECTION,
        )
