"""Writes an OVF descriptor: one virtual machine, its disks, controllers and network cards."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Self
from xml.sax.saxutils import escape, quoteattr

from vmie_tui.model.machine import Firmware, Machine

_UNSAFE = re.compile(r"[^A-Za-z0-9._-]+")
_PLACE = re.compile(r"(scsi|sata|ide|nvme)(\d{1,2}):(\d{1,3})")
_FORMAT = "http://www.vmware.com/interfaces/specifications/vmdk.html#streamOptimized"
_LONGEST = 10**16  # more bytes than any file has: as many digits as a size may take
_BLOCK = 512
_PER_SCSI = 15  # disks on one controller, whose own unit is 7
# kind of controller -> (CIM resource type, subtype, shown)
_CONTROLLERS = {
    "scsi": (6, "lsilogic", "SCSI controller"),
    "sata": (20, "vmware.sata.ahci", "SATA controller"),
    "nvme": (20, "vmware.nvme.controller", "NVMe controller"),
    "ide": (5, "", "IDE controller"),
}


@dataclass(frozen=True, slots=True)
class Hardware:
    """What the OVF says of the machine; an import into EC2 takes its own instance type instead."""

    cpus: int = 1
    memory_mib: int = 2048
    firmware: str = "bios"  # or efi
    secure_boot: bool = False
    guest_id: str = ""
    networks: tuple[str, ...] = ()  # one network's name for each network card

    @classmethod
    def of(cls, machine: Machine) -> Self:
        """As vCenter describes the machine."""
        return cls(
            cpus=machine.cpus,
            memory_mib=machine.memory_mib,
            firmware="efi" if machine.firmware is Firmware.UEFI else "bios",
            secure_boot=machine.secure_boot,
            guest_id=machine.guest_id,
            networks=tuple(nic.network or "VM Network" for nic in machine.nics),
        )


@dataclass(frozen=True, slots=True)
class OvfDisk:
    """A disk and its file."""

    file: str
    capacity: int  # bytes
    file_size: int = _LONGEST  # bytes
    controller: str = ""  # ``scsi0:0``


def member_name(text: str) -> str:
    """A name that every tar and OVF reader accepts: ASCII letters, digits, dot, dash; up to 80 characters."""
    return _UNSAFE.sub("_", text).strip("._")[:80] or "disk"


def ovf_room(name: str, disks: Sequence[OvfDisk], hardware: Hardware) -> int:
    """Bytes to reserve for the descriptor while the disks' sizes are unknown: whole tar blocks."""
    longest = [OvfDisk(disk.file, disk.capacity, controller=disk.controller) for disk in disks]
    return -(-len(make_ovf(name, longest, hardware=hardware)) // _BLOCK) * _BLOCK


def make_ovf(name: str, disks: Sequence[OvfDisk], *, hardware: Hardware) -> bytes:
    """An OVF 1.1 envelope of one machine. ``name``: up to 200 characters of it are used."""
    shown = escape(_shown(name)[:200])
    devices = _Devices(hardware, disks)
    files = "\n".join(
        f'    <File ovf:href={quoteattr(disk.file)} ovf:id="file{number}" ovf:size="{disk.file_size}"/>'
        for number, disk in enumerate(disks, 1)
    )
    drives = "\n".join(
        f'    <Disk ovf:capacity="{-(-disk.capacity // _BLOCK) * _BLOCK}" ovf:diskId="vmdisk{number}"'
        f' ovf:fileRef="file{number}" ovf:format="{_FORMAT}"/>'
        for number, disk in enumerate(disks, 1)
    )
    return f"""<?xml version="1.0" encoding="UTF-8"?>
<Envelope xmlns="http://schemas.dmtf.org/ovf/envelope/1" xmlns:ovf="http://schemas.dmtf.org/ovf/envelope/1"\
 xmlns:rasd="http://schemas.dmtf.org/wbem/wscim/1/cim-schema/2/CIM_ResourceAllocationSettingData"\
 xmlns:vssd="http://schemas.dmtf.org/wbem/wscim/1/cim-schema/2/CIM_VirtualSystemSettingData"\
 xmlns:vmw="http://www.vmware.com/schema/ovf">
  <References>
{files}
  </References>
  <DiskSection>
    <Info>Virtual disks</Info>
{drives}
  </DiskSection>
{_network_section(hardware.networks)}\
  <VirtualSystem ovf:id={quoteattr(member_name(name))}>
    <Info>A virtual machine</Info>
    <Name>{shown}</Name>
    <OperatingSystemSection ovf:id="1"{_os_type(hardware.guest_id)}>
      <Info>The guest operating system</Info>
    </OperatingSystemSection>
    <VirtualHardwareSection>
      <Info>Virtual hardware</Info>
      <System>
        <vssd:ElementName>Virtual Hardware Family</vssd:ElementName>
        <vssd:InstanceID>0</vssd:InstanceID>
        <vssd:VirtualSystemIdentifier>{shown}</vssd:VirtualSystemIdentifier>
        <vssd:VirtualSystemType>vmx-10</vssd:VirtualSystemType>
      </System>
{devices.xml}
{_config("firmware", hardware.firmware)}{_secure_boot(hardware)}
    </VirtualHardwareSection>
  </VirtualSystem>
</Envelope>
""".encode()


def _shown(text: str) -> str:
    return "".join(sign for sign in text if sign.isprintable())


def _os_type(guest_id: str) -> str:
    return f" vmw:osType={quoteattr(_shown(guest_id))}" if guest_id else ""


def _config(key: str, value: str) -> str:
    return f'      <vmw:Config ovf:required="false" vmw:key="{key}" vmw:value={quoteattr(value)}/>'


def _secure_boot(hardware: Hardware) -> str:
    return "\n" + _config("bootOptions.efiSecureBootEnabled", "true") if hardware.secure_boot else ""


def _network_section(networks: Iterable[str]) -> str:
    names = sorted(set(networks))
    if not names:
        return ""
    listed = "".join(f"    <Network ovf:name={quoteattr(_shown(name))}/>\n" for name in names)
    return f"  <NetworkSection>\n    <Info>Networks</Info>\n{listed}  </NetworkSection>\n"


@dataclass
class _Devices:
    """The items of the hardware section, numbered as they come."""

    hardware: Hardware
    disks: Sequence[OvfDisk]
    items: list[str] = field(default_factory=list)

    @property
    def xml(self) -> str:
        self.items.clear()
        cpus, memory = self.hardware.cpus, self.hardware.memory_mib
        self._add(3, f"{cpus} virtual CPU(s)", VirtualQuantity=cpus)
        self._add(4, f"{memory} MB of memory", AllocationUnits="byte * 2^20", VirtualQuantity=memory)
        places = _places(self.disks)
        controllers: dict[tuple[str, int], int] = {}
        for kind, bus in sorted({(kind, bus) for kind, bus, _ in places}):
            resource, subtype, shown = _CONTROLLERS[kind]
            more = {"ResourceSubType": subtype} if subtype else {}
            controllers[kind, bus] = self._add(resource, f"{shown} {bus}", Address=bus, **more)
        for number, (kind, bus, unit) in enumerate(places, 1):
            self._add(
                17,
                f"Hard disk {number}",
                AddressOnParent=unit,
                HostResource=f"ovf:/disk/vmdisk{number}",
                Parent=controllers[kind, bus],
            )
        for number, network in enumerate(self.hardware.networks, 1):
            self._add(
                10,
                f"Network adapter {number}",
                AutomaticAllocation="true",
                Connection=escape(_shown(network)),
                ResourceSubType="VmxNet3",
            )
        return "\n".join(self.items)

    def _add(self, kind: int, name: str, **values: str | int) -> int:
        """One device, the standard wants its elements in alphabetical order; its number."""
        number = len(self.items) + 1
        fields: dict[str, str | int] = {"ElementName": name, "InstanceID": number, "ResourceType": kind, **values}
        inner = "".join(f"<rasd:{key}>{fields[key]}</rasd:{key}>" for key in sorted(fields))
        self.items.append(f"      <Item>{inner}</Item>")
        return number


def _places(disks: Sequence[OvfDisk]) -> list[tuple[str, int, int]]:
    """(kind of controller, bus, unit) of each disk: its own, or the next free one of SCSI."""
    found = [_PLACE.fullmatch(disk.controller) for disk in disks]
    taken = {(match[1], int(match[2]), int(match[3])) for match in found if match}
    free = (
        ("scsi", bus, unit)
        for bus in range(len(disks) + 1)
        for unit in range(_PER_SCSI + 1)
        if unit != 7 and ("scsi", bus, unit) not in taken
    )
    used: set[tuple[str, int, int]] = set()
    places = []
    for match in found:
        place = (match[1], int(match[2]), int(match[3])) if match else None
        if place is None or place in used:
            place = next(free)
        used.add(place)
        places.append(place)
    return places
