"""The config spec of a new machine: its hardware, controllers, disks and network card."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from vmie_tui.model.errors import ErrorKind, ServiceError
from vmie_tui.services.vsphere.property_collector import properties
from vmie_tui.services.vsphere.sdk import vim
from vmie_tui.services.vsphere.session import VSphere

CPUS, MEMORY_MIB = 2, 4096  # where neither the user nor an OVF says anything
GUEST_ID = "otherGuest64"
UNITS = tuple(unit for unit in range(16) if unit != 7)  # of one SCSI controller; 7 is its own
MOST_CONTROLLERS = 4
SECTOR = 512


class Controller(StrEnum):
    """Which SCSI controller the disks hang on."""

    PVSCSI = "pvscsi"
    LSI_SAS = "lsi-sas"
    LSI = "lsi"


_CLASSES = {
    Controller.PVSCSI: "ParaVirtualSCSIController",
    Controller.LSI_SAS: "VirtualLsiLogicSASController",
    Controller.LSI: "VirtualLsiLogicController",
}
_OLD_WINDOWS = ("winxp", "win2000", "winnet")  # before Vista: no driver for SAS in the box


@dataclass(frozen=True, slots=True)
class NewHardware:
    """``controller`` None: the one that the guest has a driver for out of the box (`controller_for`)."""

    cpus: int = CPUS
    memory_mib: int = MEMORY_MIB
    guest_id: str = GUEST_ID
    uefi: bool = False
    secure_boot: bool = False
    controller: Controller | None = None


def controller_for(guest_id: str) -> Controller:
    """PVSCSI, which Linux has in its kernel; for Windows the LSI controller that its release has a driver for."""
    kind = guest_id.lower()
    if not kind.startswith("win"):
        return Controller.PVSCSI
    return Controller.LSI if kind.startswith(_OLD_WINDOWS) else Controller.LSI_SAS


def config_spec(
    name: str,
    hardware: NewHardware,
    capacities: Sequence[int],
    *,
    datastore: str,
    network: Any = None,
    annotation: str = "",
) -> Any:
    """The vim.vm.ConfigSpec. ``capacities``: bytes of each disk; ``datastore``: its name; ``network``: a backing.

    Disks are thin, rounded up to whole sectors. Raises ServiceError INVALID for more disks than controllers take.
    """
    if len(capacities) > MOST_CONTROLLERS * len(UNITS):
        raise ServiceError(
            ErrorKind.INVALID, f"{len(capacities)} disks are more than one machine can have", subject=name
        )
    device = vim.vm.device
    kind = getattr(device, _CLASSES[hardware.controller or controller_for(hardware.guest_id)])
    changes: list[Any] = []
    for number, capacity in enumerate(capacities):
        bus, index = divmod(number, len(UNITS))
        key = -100 - bus
        if not index:
            controller = kind(key=key, busNumber=bus, sharedBus="noSharing", scsiCtlrUnitNumber=7)
            changes.append(device.VirtualDeviceSpec(operation="add", device=controller))
        size = -(-capacity // SECTOR) * SECTOR
        backing = device.VirtualDisk.FlatVer2BackingInfo(
            fileName=f"[{datastore}]", diskMode="persistent", thinProvisioned=True
        )
        disk = device.VirtualDisk(
            key=-1000 - number,
            controllerKey=key,
            unitNumber=UNITS[index],
            capacityInKB=-(-size // 1024),
            capacityInBytes=size,
            backing=backing,
        )
        changes.append(device.VirtualDeviceSpec(operation="add", fileOperation="create", device=disk))
    if network is not None:
        connectable = device.VirtualDevice.ConnectInfo(startConnected=True, allowGuestControl=True, connected=False)
        card = device.VirtualVmxnet3(key=-2000, addressType="generated", backing=network, connectable=connectable)
        changes.append(device.VirtualDeviceSpec(operation="add", device=card))
    return vim.vm.ConfigSpec(
        name=name,
        annotation=annotation,
        guestId=hardware.guest_id,
        numCPUs=hardware.cpus,
        memoryMB=hardware.memory_mib,
        firmware="efi" if hardware.uefi else "bios",
        bootOptions=vim.vm.BootOptions(efiSecureBootEnabled=hardware.uefi and hardware.secure_boot),
        files=vim.vm.FileInfo(vmPathName=f"[{datastore}]"),
        deviceChange=changes,
    )


def network_backing(vsphere: VSphere, moid: str) -> Any:
    """The network card's backing for this network; None for no network. Raises ServiceError."""
    if not moid:
        return None
    doing = "reading the network"
    if moid.startswith("dvportgroup-"):
        group = vsphere.object(vim.dvs.DistributedVirtualPortgroup, moid)
        found = vsphere.call(
            lambda: properties(vsphere, group, "key", "config.distributedVirtualSwitch"), subject=moid, doing=doing
        )
        switch = found["config.distributedVirtualSwitch"]
        ident = vsphere.call(lambda: properties(vsphere, switch, "uuid"), subject=moid, doing=doing)["uuid"]
        port = vim.dvs.PortConnection(switchUuid=ident, portgroupKey=found["key"])
        return vim.vm.device.VirtualEthernetCard.DistributedVirtualPortBackingInfo(port=port)
    if not moid.startswith("network-"):
        raise ServiceError(
            ErrorKind.REFUSED,
            "a machine cannot be joined to a network of this kind here",
            subject=moid,
            remedy="Deploy without a network and join it in the vSphere Client",
        )
    network = vsphere.object(vim.Network, moid)
    name = vsphere.call(lambda: properties(vsphere, network, "name"), subject=moid, doing=doing)["name"]
    return vim.vm.device.VirtualEthernetCard.NetworkBackingInfo(deviceName=name)
