"""Machines of a vCenter as model values: all of them page by page, one by its moid, or one found again."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import unquote

from vmie_tui.gc_pause import collector_paused
from vmie_tui.model.errors import Cancelled, ErrorKind, ServiceError
from vmie_tui.model.machine import Firmware, Inventory, Machine, Power
from vmie_tui.model.plan import VmSource
from vmie_tui.services.vsphere.errors import from_fault_name
from vmie_tui.services.vsphere.hardware import read_guest_disks, read_hardware
from vmie_tui.services.vsphere.inventory_paths import InventoryPaths, read_inventory_paths
from vmie_tui.services.vsphere.property_collector import (
    PAGE_SIZE,
    Record,
    local,
    object_specification,
    retrieve,
    view_of_all,
    view_specification,
    without_unknown,
)
from vmie_tui.services.vsphere.sdk import vim
from vmie_tui.services.vsphere.session import VSphere

PATHS = (
    "name",
    "parent",
    "parentVApp",
    "runtime.host",
    "runtime.powerState",
    "runtime.connectionState",
    "runtime.consolidationNeeded",
    "config.template",
    "config.instanceUuid",
    "config.guestId",
    "config.guestFullName",
    "config.firmware",
    "config.bootOptions.efiSecureBootEnabled",
    "config.changeTrackingEnabled",
    "config.keyId",
    "config.annotation",
    "config.hardware.numCPU",
    "config.hardware.memoryMB",
    "config.hardware.device",
    "guest.guestFullName",
    "guest.toolsStatus",
    "guest.hostName",
    "guest.net",
    "guest.disk",
    "snapshot.rootSnapshotList",
)
_POWER = {"poweredOn": Power.ON, "poweredOff": Power.OFF, "suspended": Power.SUSPENDED}
_NEEDED = ("name", "config.hardware.device")  # without these a machine cannot be judged
_DENIED = frozenset({"NoPermission", "RestrictedByAdministrator", "SecurityError"})
_DOING = "reading the inventory"


def read_inventory(
    vsphere: VSphere,
    *,
    on_page: Callable[[Sequence[Machine], int], None] | None = None,
    cancelled: Callable[[], bool] = lambda: False,
    page_size: int = PAGE_SIZE,
) -> Inventory:
    """All machines but templates. ``on_page`` gets (machines of this page, objects in all) on the calling thread.

    Raises ServiceError, and Cancelled when ``cancelled()`` turned true between two pages.
    """
    places = read_inventory_paths(vsphere, fresh=True)
    with view_of_all(vsphere, ["VirtualMachine"], doing=_DOING) as view:
        total = _count(vsphere, view)
        reading = _Reading(vsphere, view, places, total, on_page, cancelled, page_size)
        with collector_paused():
            inventory: Inventory = without_unknown(reading.run, PATHS)
        return inventory


@dataclass(frozen=True, slots=True)
class _Reading:
    """One pass over the view of all machines."""

    vsphere: VSphere
    view: Any
    places: InventoryPaths
    total: int
    on_page: Callable[[Sequence[Machine], int], None] | None
    cancelled: Callable[[], bool]
    page_size: int

    def run(self, paths: Sequence[str]) -> Inventory:
        taken_at = datetime.now(UTC)
        machines: list[Machine] = []
        page: list[Machine] = []
        unreadable = 0

        def page_end() -> None:
            if page and self.on_page:
                self.on_page(tuple(page), self.total)
            machines.extend(page)
            page.clear()

        records = retrieve(
            self.vsphere,
            view_specification(self.view, {"VirtualMachine": paths}),
            page_size=self.page_size,
            cancelled=self.cancelled,
            on_page_end=page_end,
        )
        for record in records:
            if _gone(record):
                continue
            if _hidden(record):
                unreadable += 1
            elif not record.flag("config.template"):
                page.append(machine_from(record, self.places))
        if self.cancelled():
            raise Cancelled("reading the inventory was cancelled")
        return Inventory(self.vsphere.info, taken_at, tuple(machines), unreadable)


def _gone(record: Record) -> bool:
    """Whether it was deleted between the view and the read."""
    return "ManagedObjectNotFound" in record.missing.values()


def _hidden(record: Record) -> bool:
    return any(record.missing.get(path) in _DENIED for path in _NEEDED) or "name" not in record.values


def _count(vsphere: VSphere, view: Any) -> int:
    """How many machines and templates the view holds."""
    return sum(
        len(record.values["view"])
        for record in retrieve(vsphere, object_specification(view, ("view",)))
        if "view" in record.values
    )


def machine_from(record: Record, places: InventoryPaths) -> Machine:
    """One record, read with `PATHS`, as a model value."""
    power = _POWER.get(record.text("runtime.powerState"), Power.OFF)
    devices = record.values.get("config.hardware.device")
    hardware = read_hardware(
        devices if devices is not None else (), places.devices, power=power, guest_nics=record.values.get("guest.net")
    )
    host, cluster = places.host(record.text("runtime.host"))
    site, folder = places.path(record.text("parent") or record.text("parentVApp"))
    return Machine(
        moid=record.moid,
        name=unquote(record.text("name")),
        instance_uuid=record.text("config.instanceUuid"),
        datacenter=places.datacenter(site),
        folder=folder,
        cluster=cluster,
        host=host,
        power=power,
        connection=record.text("runtime.connectionState", "connected"),
        guest_id=record.text("config.guestId"),
        guest_name=record.text("config.guestFullName"),
        tools_guest_name=record.text("guest.guestFullName"),
        tools_status=record.text("guest.toolsStatus"),
        hostname=record.text("guest.hostName"),
        firmware=Firmware.UEFI if record.text("config.firmware") == "efi" else Firmware.BIOS,
        secure_boot=record.flag("config.bootOptions.efiSecureBootEnabled"),
        cpus=record.number("config.hardware.numCPU", 1),
        memory_mib=record.number("config.hardware.memoryMB"),
        disks=hardware.disks,
        nics=hardware.nics,
        cdrom_connected=hardware.cdrom_connected,
        snapshots=_snapshots(record.values.get("snapshot.rootSnapshotList")),
        consolidation_needed=record.flag("runtime.consolidationNeeded"),
        cbt=record.flag("config.changeTrackingEnabled"),
        vtpm=hardware.vtpm,
        encrypted="config.keyId" in record.values,
        passthrough=hardware.passthrough,
        annotation=record.text("config.annotation"),
        guest_disks=read_guest_disks(record.values.get("guest.disk")),
        datacenter_id=site,
    )


def _snapshots(trees: ET.Element | None) -> int:
    """Roots and all their children."""
    if trees is None:
        return 0
    return sum(local(item) in ("VirtualMachineSnapshotTree", "childSnapshotList") for item in trees.iter())


def read_machine(vsphere: VSphere, moid: str, *, name: str = "") -> Machine:
    """One machine. ServiceError NOT_FOUND, naming it, when it vanished; PERMISSION when it may not be seen."""
    subject = f"{name} ({moid})" if name else moid
    target = vsphere.object(vim.VirtualMachine, moid)

    def read(paths: list[str]) -> Machine:
        found: Machine | None = None
        for record in retrieve(vsphere, object_specification(target, paths)):
            for path in _NEEDED:
                if path in record.missing:
                    raise from_fault_name(record.missing[path], doing="reading the virtual machine")
            places = read_inventory_paths(vsphere)
            parent = record.text("parent") or record.text("parentVApp")
            if not places.know(parent, record.text("runtime.host")):  # made since the names were read
                places = read_inventory_paths(vsphere, fresh=True)
            found = machine_from(record, places)
        if found is not None:
            return found
        raise from_fault_name("ManagedObjectNotFound")

    try:
        machine: Machine = vsphere.call(lambda: without_unknown(read, PATHS))
    except ServiceError as error:
        if error.kind is ErrorKind.NOT_FOUND:
            raise _vanished(subject, vsphere) from error
        raise error.about(subject) from error.__cause__
    return machine


def find_machine(vsphere: VSphere, source: VmSource) -> Machine:
    """The machine of a plan: by moid, checked by its instance UUID, else searched by that UUID.

    A machine that was unregistered and registered again has a new moid but keeps its UUID.
    """
    found: Machine | None = None
    try:
        found = read_machine(vsphere, source.moid, name=source.name)
    except ServiceError as error:
        if error.kind is not ErrorKind.NOT_FOUND or not source.instance_uuid:
            raise
    if found is not None and source.instance_uuid in ("", found.instance_uuid):
        return found
    index = vsphere.content.searchIndex
    reference = vsphere.call(lambda: index.FindByUuid(None, source.instance_uuid, True, True), subject=source.name)
    if reference is None:
        raise _vanished(f"{source.name} ({source.moid})", vsphere)
    return read_machine(vsphere, reference._moId, name=source.name)


def _vanished(subject: str, vsphere: VSphere) -> ServiceError:
    return ServiceError(
        ErrorKind.NOT_FOUND,
        f"the virtual machine is no longer in vCenter {vsphere.info.host}",
        subject=subject,
        remedy="It was deleted, or the user may not see it: reload the inventory and choose again",
        code="ManagedObjectNotFound",
    )
