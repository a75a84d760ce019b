"""The demo company's specifications as the machines an inventory read would give."""

from __future__ import annotations

from functools import cache

from vmie_tui.model.machine import Backing, Disk, Firmware, GuestDisk, Machine, Nic, Power
from vmie_tui.simulators.fleet.company import company
from vmie_tui.simulators.spec import DatastoreSpec, FleetSpec, VmSpec


def machine_of(spec: VmSpec, stores: dict[str, DatastoreSpec]) -> Machine:
    """The machine of one specification; its file systems are two fifths free, as the simulated vCenter says."""
    windows = spec.guest_id.startswith("win")
    running = spec.power == "on" and spec.tools in {"toolsOk", "toolsOld"}
    store = stores.get(spec.datastore)
    return Machine(
        moid=spec.name,
        name=spec.name,
        datacenter=spec.datacenter,
        folder=spec.folder,
        power=Power(spec.power),
        connection=spec.connection,
        guest_id=spec.guest_id,
        guest_name=spec.guest_name,
        tools_guest_name=spec.tools_guest_name,
        tools_status=spec.tools,
        firmware=Firmware.UEFI if spec.firmware in {"efi", "uefi"} else Firmware.BIOS,
        secure_boot=spec.secure_boot,
        disks=tuple(
            Disk(
                2000 + index,
                f"Hard disk {index + 1}",
                disk.capacity,
                backing=Backing(disk.backing),
                mode=disk.mode,
                sharing=disk.sharing,
                datastore=spec.datastore,
                datastore_type=store.type if store else "",
                encrypted=disk.encrypted,
            )
            for index, disk in enumerate(spec.disks)
        ),
        nics=tuple(Nic(nic.network, dhcp=nic.dhcp if running else None) for nic in spec.nics),
        cdrom_connected=spec.cdrom_connected,
        snapshots=spec.snapshots,
        consolidation_needed=spec.consolidation_needed,
        cbt=spec.cbt,
        vtpm=spec.vtpm,
        encrypted=spec.encrypted,
        passthrough=spec.passthrough,
        guest_disks=tuple(
            GuestDisk("C:\\" if windows else "/", disk.capacity, disk.capacity * 2 // 5) for disk in spec.disks[:1]
        )
        if running
        else (),
    )


def machines(fleet: FleetSpec) -> list[Machine]:
    stores = {store.name: store for datacenter in fleet.datacenters for store in datacenter.datastores}
    return [machine_of(spec, stores) for spec in fleet.machines]


@cache
def company_machines() -> dict[str, Machine]:
    return {machine.name: machine for machine in machines(company())}
