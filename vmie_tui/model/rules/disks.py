"""What a virtual disk's configuration says: its backing, size, mode, who shares it, where it lies."""

from __future__ import annotations

from collections.abc import Iterator

from vmie_tui.model import facts
from vmie_tui.model.finding import Finding, Severity
from vmie_tui.model.formatting import size
from vmie_tui.model.machine import Backing, Disk, Machine, Power
from vmie_tui.model.plan import Route

B, W, I = Severity.BLOCKER, Severity.WARNING, Severity.INFO  # noqa: E741 - read as a column of the rules below
BY_IMAGE = frozenset({Route.IMAGE, Route.IMAGE_DIRECT})
ONE_TIME_STORES = {"vsan": "vSAN", "vvol": "vVol"}  # their files cannot be read one by one


def check_disks(vm: Machine, route: Route = Route.IMAGE) -> Iterator[Finding]:
    """Findings about every disk of the machine, for one way into AWS."""
    yield from _count(vm, route)
    for disk in vm.disks:
        yield from check_disk_size(disk.capacity, disk.label, route)
        if disk.backing is not Backing.FLAT or disk.encrypted:
            yield from _backing(disk)
        if disk.independent:
            yield from _independent(vm, disk)
        if disk.sharing not in {"", "sharingNone"}:
            yield Finding(
                W,
                "is shared with other VMs",
                disk.label,
                "Others may write during the copy, and the imported disk is shared with none",
                "",
                "Stop the others first",
                "trap 29",
                "shared-disk",
            )


def _count(vm: Machine, route: Route) -> Iterator[Finding]:
    most = facts.limit("import", "max_volumes_per_vm")["value"]
    if not vm.disks:
        yield Finding(B, "it has no disk", why="There is nothing to import", remedy="Attach its boot disk")
    elif len(vm.disks) > most and route in BY_IMAGE:
        yield Finding(
            B,
            f"it has {len(vm.disks)} disks, VM import takes {most}",
            why="The task fails",
            prevents="task failure",
            remedy="Import the further disks one by one as snapshots",
            fact="F114",
        )
    elif len(vm.disks) > 1 and route is Route.INSTANCE:
        yield Finding(
            W,
            f"only the boot disk of {len(vm.disks)} is imported",
            why="Instance import takes one disk",
            remedy="Check that the guest boots without the others; import them as snapshots",
            fact="F267",
        )


def check_disk_size(capacity: int, label: str, route: Route = Route.IMAGE) -> Iterator[Finding]:
    """``capacity`` in bytes: 8 TiB for ImportImage, 16 TiB for everything, a manifest between the two."""
    most = facts.limit("import", "import_image_disk_max")["value_tib"]
    if capacity < most * facts.TIB:
        return
    top = facts.limit("import", "disk_image_size_max")["value_tib"]
    words = size(capacity)
    if capacity >= top * facts.TIB:
        yield Finding(B, f"is {words}; no way of VM import takes {top} TiB", label, remedy="Split it", fact="F118")
    elif route in BY_IMAGE:
        yield Finding(
            B,
            f"is {words}; ImportImage takes less than {most} TiB",
            label,
            remedy="Import it as a snapshot instead",
            fact="F119",
        )
    elif capacity > facts.limit("import", "manifest_required_above")["value_tib"] * facts.TIB:
        yield Finding(W, f"is {words}; above {most} TiB AWS wants a manifest file", label, fact="F118")


def _backing(disk: Disk) -> Iterator[Finding]:
    if disk.backing is Backing.RDM:
        yield Finding(
            B,
            "is a raw device mapping",
            disk.label,
            "VM import takes VMDK disks only",
            "",
            "Turn it into a virtual disk by storage migration",
            "F040",
        )
    elif disk.backing is Backing.SESPARSE:
        yield Finding(
            B,
            "is in the SEsparse format",
            disk.label,
            "VM import does not read SEsparse",
            str(facts.error("E04")["message"]),
            "Consolidate its snapshots, or clone it to a flat disk",
            "F039",
        )
    if disk.encrypted:
        yield Finding(
            B,
            "is encrypted by vSphere",
            disk.label,
            "An export lease does not give its content in clear",
            "",
            "Decrypt it (change its storage policy)",
            "F112",
        )


def _independent(vm: Machine, disk: Disk) -> Iterator[Finding]:
    if vm.power is Power.ON:
        yield Finding(
            B,
            "is independent, and a snapshot leaves it out",
            disk.label,
            "A running VM is copied through a snapshot",
            "",
            "Power the VM off, or make the disk dependent",
            "trap 29",
            "independent-disk",
        )
    elif disk.mode.endswith("nonpersistent"):
        yield Finding(
            I,
            "forgets its changes when the VM is powered off",
            disk.label,
            "What is copied is the state before them",
            fact="trap 29",
        )


def check_stores(vm: Machine) -> Iterator[Finding]:
    """Datastores that allow a copy, but no repeated one."""
    for kind in one_time_stores(vm):
        yield Finding(
            I,
            f"its disks are on {kind}",
            why="It can be migrated once; repeated replication is not possible there",
            fact="F424",
            rule="one-time-store",
        )


def one_time_stores(vm: Machine) -> tuple[str, ...]:
    """Kinds of datastore the machine is on that give no access to their files: ``vSAN``, ``vVol`` (F424, trap 30)."""
    kinds = {disk.datastore_type.lower() for disk in vm.disks}
    return tuple(ONE_TIME_STORES[kind] for kind in sorted(kinds & ONE_TIME_STORES.keys()))
