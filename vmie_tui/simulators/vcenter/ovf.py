"""The OvfManager: a machine written as an OVF descriptor, and an OVF descriptor read as a machine to be imported."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any
from xml.sax.saxutils import escape, quoteattr

from pyVmomi import vim, vmodl

from vmie_tui.simulators.vcenter.calls import Call
from vmie_tui.simulators.vcenter.hardware import CONTROLLERS, place
from vmie_tui.simulators.vcenter.machine import Machine
from vmie_tui.simulators.vcenter.registry import Managed
from vmie_tui.simulators.vcenter.shared_state import Center
from vmie_tui.simulators.vcenter.values import data

OVF = "http://schemas.dmtf.org/ovf/envelope/1"
RASD = "http://schemas.dmtf.org/wbem/wscim/1/cim-schema/2/CIM_ResourceAllocationSettingData"
VMW = "http://www.vmware.com/schema/ovf"
STREAM = "http://www.vmware.com/interfaces/specifications/vmdk.html#streamOptimized"
UNITS = {"byte": 1, "byte * 2^10": 1 << 10, "byte * 2^20": 1 << 20, "byte * 2^30": 1 << 30, "byte * 2^40": 1 << 40}
CPU, MEMORY, IDE, SCSI, NIC, DISK, SATA = "3", "4", "5", "6", "10", "17", "20"
SUBTYPES = {
    "VirtualSCSI": "pvscsi",
    "lsilogic": "lsi",
    "lsilogicsas": "lsisas",
    "AHCI": "sata",
    "vmware.sata.ahci": "sata",
}
HARDWARE = {"pvscsi": (SCSI, "VirtualSCSI"), "lsi": (SCSI, "lsilogic"), "lsisas": (SCSI, "lsilogicsas")}
HARDWARE |= {"sata": (SATA, "vmware.sata.ahci"), "ide": (IDE, ""), "nvme": (SATA, "vmware.nvme.controller")}


@dataclass(slots=True)
class _Disk:
    """A disk of a descriptor, in the order in which it is plugged in."""

    capacity: int
    path: str
    size: int
    controller: str
    spot: tuple[int, int]


@dataclass(slots=True)
class _System:
    name: str
    guest: str = ""
    cpus: int = 1
    memory: int = 32
    disks: list[_Disk] = field(default_factory=list)
    networks: list[str] = field(default_factory=list)


class OvfManager:
    """The manager's methods."""

    def __init__(self, center: Center) -> None:
        self._center = center
        self.manager = center.registry.add(Managed(vim.OvfManager, "OvfManager"))

    # ---- SOAP methods

    def CreateDescriptor(self, call: Call, this: Managed, obj: Any, asked: Any) -> Any:
        machine = self._center.registry.find(obj)
        if not isinstance(machine, Machine):
            raise vmodl.fault.NotSupported(msg="The simulated vCenter describes single virtual machines.")
        self._center.privileges.check("VApp.Export", machine)
        text = describe_machine(machine, asked.name or machine.name, list(asked.ovfFiles))
        return data(vim.OvfManager.CreateDescriptorResult, ovfDescriptor=text, includeImageFiles=False)

    def ParseDescriptor(self, call: Call, this: Managed, text: str, asked: Any) -> Any:
        system = read_system(text)
        sizes = sum(disk.size for disk in system.disks)
        networks = [data(vim.OvfManager.NetworkInfo, name=name, description=name) for name in system.networks]
        return data(
            vim.OvfManager.ParseDescriptorResult,
            network=networks,
            annotation="",
            approximateDownloadSize=sizes,
            approximateFlatDeploymentSize=sum(disk.capacity for disk in system.disks),
            defaultEntityName=system.name,
            virtualApp=False,
            defaultDeploymentOption="",
        )

    def CreateImportSpec(self, call: Call, this: Managed, text: str, pool: Any, datastore: Any, asked: Any) -> Any:
        store = self._center.registry.find(datastore)
        try:
            system = read_system(text)
        except vmodl.MethodFault as fault:
            return data(vim.OvfManager.CreateImportSpecResult, error=[fault])
        name = asked.entityName or system.name
        mapped = {each.name: self._center.registry.find(each.network).name for each in asked.networkMapping or ()}
        config = vim.vm.ConfigSpec(
            name=name,
            numCPUs=system.cpus,
            memoryMB=system.memory,
            guestId=system.guest or None,
            files=vim.vm.FileInfo(vmPathName=f"[{store.name}]"),
            deviceChange=list(_devices(system, mapped, thin=asked.diskProvisioning in (None, "", "thin"))),
        )
        items = [
            data(
                vim.OvfManager.FileItem,
                deviceId=f"/{name}/{CONTROLLERS[disk.controller][1]}{disk.spot[0]}:{disk.spot[1]}",
                path=disk.path,
                size=disk.size,
                cimType=int(DISK),
                create=False,
            )
            for disk in system.disks
        ]
        spec = vim.vm.VmImportSpec(configSpec=config)
        return data(vim.OvfManager.CreateImportSpecResult, importSpec=spec, fileItem=items)


# ---- writing


def describe_machine(machine: Machine, name: str, files: list[Any]) -> str:
    """The descriptor of a machine whose disks are these files (by the keys of their lease)."""
    by_key = {file.deviceId: file for file in files}
    disks = [
        (disk, by_key.get(f"/{machine.moid}/{CONTROLLERS[disk.spec.controller][1]}{disk.place[0]}:{disk.place[1]}"))
        for disk in machine.disks
    ]
    described = [(disk, file) for disk, file in disks if file is not None]
    references = "".join(
        f'<File ovf:href={quoteattr(file.path)} ovf:id="file{n}" ovf:size="{file.size}"/>'
        for n, (_, file) in enumerate(described, 1)
    )
    listed = "".join(
        f'<Disk ovf:capacity="{disk.capacity}" ovf:capacityAllocationUnits="byte" ovf:diskId="vmdisk{n}" '
        f'ovf:fileRef="file{n}" ovf:format="{STREAM}" ovf:populatedSize="{file.populatedSize or file.size}"/>'
        for n, (disk, file) in enumerate(described, 1)
    )
    networks = dict.fromkeys(nic.network for nic in machine.spec.nics)
    nets = "".join(f"<Network ovf:name={quoteattr(net)}><Description/></Network>" for net in networks)
    return (
        f'<?xml version="1.0" encoding="UTF-8"?>\n<Envelope xmlns="{OVF}" xmlns:ovf="{OVF}" xmlns:rasd="{RASD}" '
        f'xmlns:vmw="{VMW}"><References>{references}</References><DiskSection><Info>Virtual disks</Info>{listed}'
        f"</DiskSection><NetworkSection><Info>Networks</Info>{nets}</NetworkSection>"
        f"<VirtualSystem ovf:id={quoteattr(name)}><Info>A virtual machine</Info><Name>{escape(name)}</Name>"
        f'<OperatingSystemSection ovf:id="1" vmw:osType="{machine.spec.guest_id}"><Info>Guest</Info>'
        f"</OperatingSystemSection><VirtualHardwareSection><Info>Hardware</Info>"
        f"{''.join(_items(machine, [disk for disk, _ in described]))}</VirtualHardwareSection></VirtualSystem>"
        "</Envelope>\n"
    )


def _item(ident: int, kind: str, **more: str) -> str:
    fields = {"InstanceID": str(ident), "ResourceType": kind, "ElementName": f"item {ident}", **more}
    return f"<Item>{''.join(f'<rasd:{key}>{escape(text)}</rasd:{key}>' for key, text in sorted(fields.items()))}</Item>"


def _items(machine: Machine, disks: list[Any]) -> Iterator[str]:
    yield _item(1, CPU, VirtualQuantity=str(machine.spec.cpus), AllocationUnits="hertz * 10^6")
    yield _item(2, MEMORY, VirtualQuantity=str(machine.spec.memory_mib), AllocationUnits="byte * 2^20")
    buses = dict.fromkeys((disk.spec.controller, disk.place[0]) for disk in disks)
    idents = {bus: ident for ident, bus in enumerate(buses, 3)}
    for (controller, number), ident in idents.items():
        kind, subtype = HARDWARE[controller]
        more = {"ResourceSubType": subtype} if subtype else {}
        yield _item(ident, kind, Address=str(number), **more)
    ident = 3 + len(buses)
    for number, disk in enumerate(disks, 1):
        yield _item(
            ident,
            DISK,
            HostResource=f"ovf:/disk/vmdisk{number}",
            Parent=str(idents[disk.spec.controller, disk.place[0]]),
            AddressOnParent=str(disk.place[1]),
        )
        ident += 1
    for nic in machine.spec.nics:
        yield _item(ident, NIC, Connection=nic.network, ResourceSubType="VmxNet3", AutomaticAllocation="true")
        ident += 1


# ---- reading


def read_system(text: str) -> _System:
    """The one virtual system of a descriptor. Raises OvfInvalidPackage, NotSupported."""
    try:
        root = ET.fromstring(text)  # noqa: S314 - loopback, and expat limits entity expansion
    except ET.ParseError as error:
        raise vim.fault.OvfXmlFormat(
            lineNumber=error.position[0], msg=f"The OVF descriptor is no XML: {error}"
        ) from None
    node = root.find(f"{{{OVF}}}VirtualSystem")
    if node is None:
        raise vmodl.fault.NotSupported(msg="The simulated vCenter imports single virtual machines.")
    name = node.findtext(f"{{{OVF}}}Name") or node.get(f"{{{OVF}}}id") or "vm"
    system = _System(name)
    guest = node.find(f"{{{OVF}}}OperatingSystemSection")
    system.guest = "" if guest is None else guest.get(f"{{{VMW}}}osType") or ""
    files = {_at(one, "id"): one for one in root.iter(f"{{{OVF}}}File")}
    disks = {_at(one, "diskId"): one for one in root.iter(f"{{{OVF}}}Disk")}
    items = [_fields(item) for item in node.iter(f"{{{OVF}}}Item")]
    kinds = {CPU: "cpus", MEMORY: "memory"}
    controllers: dict[str, tuple[str, int]] = {}
    for item in items:
        kind = item.get("ResourceType", "")
        if kind in kinds:
            setattr(system, kinds[kind], int(item.get("VirtualQuantity", "1")))
        elif kind in (SCSI, SATA, IDE):
            usual = {SCSI: "lsi", SATA: "sata", IDE: "ide"}[kind]
            made = SUBTYPES.get(item.get("ResourceSubType", ""), usual)
            controllers[item["InstanceID"]] = made, int(item.get("Address", "0"))
        elif kind == NIC:
            system.networks.append(item.get("Connection", ""))
    for item in items:
        if item.get("ResourceType") == DISK:
            system.disks.append(_disk(item, controllers, disks, files, len(system.disks)))
    return system


def _disk(
    item: dict[str, str],
    controllers: dict[str, tuple[str, int]],
    disks: dict[str, ET.Element],
    files: dict[str, ET.Element],
    number: int,
) -> _Disk:
    described = disks.get(item.get("HostResource", "").rpartition("/")[2])
    file = None if described is None else files.get(_at(described, "fileRef"))
    if described is None or file is None or item.get("Parent") not in controllers:
        raise vim.fault.OvfInvalidPackage(
            lineNumber=0, msg="A disk of the OVF descriptor has no file or no controller."
        )
    controller, _ = controllers[item["Parent"]]
    unit = UNITS.get(_at(described, "capacityAllocationUnits") or "byte", 1)
    capacity = int(_at(described, "capacity")) * unit
    return _Disk(capacity, _at(file, "href"), int(_at(file, "size") or 0), controller, place(controller, number))


def _at(node: ET.Element, name: str) -> str:
    return node.get(f"{{{OVF}}}{name}") or node.get(name) or ""


def _fields(item: ET.Element) -> dict[str, str]:
    return {child.tag.rpartition("}")[2]: (child.text or "").strip() for child in item}


def _devices(system: _System, mapped: dict[str, str], *, thin: bool) -> Iterator[Any]:
    change = vim.vm.device.VirtualDeviceSpec
    for controller, bus in dict.fromkeys((disk.controller, disk.spot[0]) for disk in system.disks):
        kind, _, first, _, _, _ = CONTROLLERS[controller]
        made = kind(key=-first - bus, busNumber=bus)
        if issubclass(kind, vim.vm.device.VirtualSCSIController):
            made.sharedBus = "noSharing"
        yield change(operation="add", device=made)
    for number, disk in enumerate(system.disks):
        device = vim.vm.device.VirtualDisk(
            key=-1 - number,
            controllerKey=-CONTROLLERS[disk.controller][2] - disk.spot[0],
            unitNumber=disk.spot[1],
            capacityInKB=disk.capacity >> 10,
            capacityInBytes=disk.capacity,
            backing=vim.vm.device.VirtualDisk.FlatVer2BackingInfo(
                fileName="", diskMode="persistent", thinProvisioned=thin
            ),
        )
        yield change(operation="add", fileOperation="create", device=device)
    for number, network in enumerate(system.networks):
        backing = vim.vm.device.VirtualEthernetCard.NetworkBackingInfo(deviceName=mapped.get(network, network))
        yield change(operation="add", device=vim.vm.device.VirtualVmxnet3(key=-100 - number, backing=backing))
