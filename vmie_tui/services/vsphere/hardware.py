"""Virtual devices, as elements of a property collector reply, into the model's disks and network cards."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from vmie_tui.model.machine import Backing, Disk, GuestDisk, Nic, Power
from vmie_tui.services.vsphere.property_collector import child, children, kind_of, local, text_at

_CONTROLLERS = {
    "ParaVirtualSCSIController": "scsi",
    "VirtualLsiLogicController": "scsi",
    "VirtualLsiLogicSASController": "scsi",
    "VirtualBusLogicController": "scsi",
    "VirtualIDEController": "ide",
    "VirtualAHCIController": "sata",
    "VirtualNVMEController": "nvme",
}
_BACKINGS = {
    "VirtualDiskFlatVer2BackingInfo": Backing.FLAT,
    "VirtualDiskFlatVer1BackingInfo": Backing.FLAT,
    "VirtualDiskSeSparseBackingInfo": Backing.SESPARSE,
    "VirtualDiskRawDiskMappingVer1BackingInfo": Backing.RDM,
}
_NICS = frozenset(
    {
        "VirtualE1000",
        "VirtualE1000e",
        "VirtualPCNet32",
        "VirtualVmxnet",
        "VirtualVmxnet2",
        "VirtualVmxnet3",
        "VirtualVmxnet3Vrdma",
        "VirtualSriovEthernetCard",
    }
)
_PASSTHROUGH = frozenset({"VirtualPCIPassthrough", "VirtualSriovEthernetCard", "VirtualSCSIPassthrough"})
_TRUE = ("true", "1")


@dataclass(frozen=True, slots=True)
class Attachment:
    """A disk's controller and unit, as export leases name it: ``ParaVirtualSCSIController`` 0, unit 1."""

    controller: str
    bus: int
    unit: int

    @property
    def short(self) -> str:
        return f"{_CONTROLLERS.get(self.controller, self.controller)}{self.bus}:{self.unit}"


@dataclass(slots=True)
class Hardware:
    """What the device list of one machine says."""

    disks: tuple[Disk, ...] = ()
    nics: tuple[Nic, ...] = ()
    attachments: dict[int, Attachment] = field(default_factory=dict)  # device key of a disk -> its place
    cdrom_connected: bool = False
    vtpm: bool = False
    passthrough: bool = False


@dataclass(frozen=True, slots=True)
class Names:
    """Names for references in the devices: datastore moid -> (name, type), network moid -> name."""

    datastores: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    networks: Mapping[str, str] = field(default_factory=dict)


def read_hardware(
    devices: Iterable[ET.Element], names: Names, *, power: Power = Power.OFF, guest_nics: ET.Element | None = None
) -> Hardware:
    """Sort the devices. ``guest_nics`` is ``guest.net``: addresses as VMware Tools report them."""
    found = Hardware()
    controllers: dict[str, tuple[str, int]] = {}
    disks: list[ET.Element] = []
    nics: list[ET.Element] = []
    for device in devices:
        kind = kind_of(device)
        if kind == "VirtualDisk":
            disks.append(device)
        elif kind in _CONTROLLERS:
            controllers[text_at(device, "key")] = kind, int(text_at(device, "busNumber") or 0)
        elif kind in _NICS:
            nics.append(device)
        elif kind == "VirtualCdrom":
            found.cdrom_connected |= _connected(device, power)
        elif kind == "VirtualTPM":
            found.vtpm = True
        found.passthrough |= kind in _PASSTHROUGH
    for device in disks:
        controller = controllers.get(text_at(device, "controllerKey"))
        if controller:
            unit = int(text_at(device, "unitNumber") or 0)
            found.attachments[int(text_at(device, "key"))] = Attachment(*controller, unit)
    found.disks = tuple(_disk(device, found.attachments, names) for device in disks)
    guests = _guest_nics(guest_nics)
    found.nics = tuple(_nic(device, names, power, guests) for device in nics)
    return found


def read_guest_disks(listed: ET.Element | None) -> tuple[GuestDisk, ...]:
    """``guest.disk``: the mounted file systems with what is free on them."""
    found = []
    for item in listed if listed is not None else ():
        plain = {local(field): field.text or "" for field in item}
        found.append(
            GuestDisk(plain.get("diskPath", ""), int(plain.get("capacity") or 0), int(plain.get("freeSpace") or 0))
        )
    return tuple(found)


def _disk(device: ET.Element, attachments: Mapping[int, Attachment], names: Names) -> Disk:
    fields = {local(item): item for item in device}
    backing = fields.get("backing")
    plain = {local(item): item.text or "" for item in backing} if backing is not None else {}
    key = int(fields["key"].text or 0)
    capacity = fields.get("capacityInBytes")
    size = int(capacity.text or 0) if capacity is not None else int(text_at(device, "capacityInKB") or 0) * 1024
    file_name = plain.get("fileName", "")
    datastore, kind = names.datastores.get(plain.get("datastore", ""), ("", ""))
    thin = plain.get("thinProvisioned")
    place = attachments.get(key)
    return Disk(
        key=key,
        label=text_at(device, "deviceInfo", "label") or f"disk {key}",
        capacity=size,
        controller=place.short if place else "",
        backing=_BACKINGS.get(kind_of(backing), Backing.OTHER) if backing is not None else Backing.OTHER,
        thin=None if thin is None else thin in _TRUE,
        mode=plain.get("diskMode") or "persistent",
        sharing=plain.get("sharing", ""),
        datastore=datastore or (file_name[1:].partition("]")[0] if file_name.startswith("[") else ""),
        datastore_type=kind,
        file_name=file_name,
        uuid=plain.get("uuid", ""),
        content_id=plain.get("contentId", ""),
        encrypted="keyId" in plain,
    )


def _connected(device: ET.Element, power: Power) -> bool:
    """Connected now, or for a machine that is off: will be at power on."""
    connectable = child(device, "connectable")
    if connectable is None:
        return False
    return text_at(connectable, "connected" if power is Power.ON else "startConnected") in _TRUE


@dataclass(frozen=True, slots=True)
class _GuestNic:
    addresses: tuple[str, ...]
    dhcp: bool | None


def _guest_nics(listed: ET.Element | None) -> dict[str, _GuestNic]:
    """By device key and by MAC."""
    found: dict[str, _GuestNic] = {}
    for item in listed if listed is not None else ():
        dhcp = text_at(item, "ipConfig", "dhcp", "ipv4", "enable")
        addresses = tuple(address.text or "" for address in children(item, "ipAddress"))
        guest = _GuestNic(addresses, dhcp in _TRUE if dhcp else None)
        for name in (text_at(item, "deviceConfigId"), text_at(item, "macAddress").lower()):
            if name and name != "-1":
                found[name] = guest
    return found


def _nic(device: ET.Element, names: Names, power: Power, guests: Mapping[str, _GuestNic]) -> Nic:
    mac = text_at(device, "macAddress")
    portgroup = text_at(device, "backing", "port", "portgroupKey")
    network = text_at(device, "backing", "deviceName") or names.networks.get(portgroup, "")
    if not network:
        network = names.networks.get(text_at(device, "backing", "network"), portgroup)
    guest = guests.get(text_at(device, "key")) or guests.get(mac.lower())
    return Nic(
        label=text_at(device, "deviceInfo", "label") or "network card",
        mac=mac,
        network=network,
        connected=_connected(device, power),
        addresses=guest.addresses if guest else (),
        dhcp=guest.dhcp if guest else None,
    )
