"""What a virtual disk's configuration says: its backing, size, mode, who shares it, where it lies."""

from __future__ import annotations

from collections.abc import Iterator

from vmie_tui.model import facts
from vmie_tui.model.finding import Finding, Severity
from vmie_tui.model.formatting import size
from vmie_tui.model.machine import Backing, Disk, Machine, Power
from vmie_tui.model.plan import Route, Via

B, W, I = Severity.BLOCKER, Severity.WARNING, Severity.INFO  # noqa: E741 - read as a column of the rules below
BY_IMAGE = frozenset({Route.IMAGE, Route.IMAGE_DIRECT})
EITHER_WAY = frozenset({Route.UNMODIFIED, Route.SNAPSHOT})  # by S3 or by EBS direct
ONE_TIME_STORES = {"vsan": "vSAN", "vvol": "vVol"}  # their files cannot be read one by one


def check_disks(vm: Machine, route: Route = Route.IMAGE, via: Via = Via.S3) -> Iterator[Finding]:
    """Findings about every disk of the machine, for one way into AWS."""
    yield from _count(vm, route)
    for disk in vm.disks:
        yield from check_disk_size(disk.capacity, disk.label, route, via)
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


def check_disk_size(capacity: int, label: str, route: Route = Route.IMAGE, via: Via = Via.S3) -> Iterator[Finding]:
    """``capacity`` in bytes against what the route takes; that a file in S3 may need a manifest is `routes`' to say."""
    words = size(capacity)
    if route in EITHER_WAY and via is Via.EBS:
        yield from _as_blocks(capacity, label)
        return
    top = facts.limit("import", "disk_image_size_max")["value_tib"]
    most = facts.limit("import", "import_image_disk_max")["value_tib"]
    blocks = facts.limit("ebs", "snapshot_max")["value_gib"] * facts.GIB // facts.TIB
    if route in BY_IMAGE and capacity >= most * facts.TIB:
        remedy = "Take the unmodified route or the snapshot route"
        yield Finding(
            B,
            f"is {words}; ImportImage takes less than {most} TiB",
            label,
            remedy=remedy if capacity < top * facts.TIB else f"{remedy}, by EBS direct (--via ebs)",
            fact="F119",
        )
    elif route not in BY_IMAGE and capacity >= top * facts.TIB:
        take = "Send it" if route in EITHER_WAY else "Take the unmodified route or the snapshot route, and send it"
        yield Finding(
            B,
            f"is {words}; a file in S3 may stand for a disk of less than {top} TiB",
            label,
            remedy=f"{take} by EBS direct (--via ebs), which takes up to {blocks} TiB",
            fact="F118",
        )


def _as_blocks(capacity: int, label: str) -> Iterator[Finding]:
    """EBS direct takes blocks and no file: what it is held to is the size of a volume."""
    gib = -(-capacity // facts.GIB)
    most = facts.limit("ebs", "snapshot_max")["value_gib"]
    if gib > most:
        what = f"is {size(capacity)}; an EBS volume has at most {most // 1024} TiB"
        yield Finding(B, what, label, remedy="Split it", fact="F118")
        return
    old = facts.limit("ebs", "volume_max_gib")["previous_generation"]
    current = {name: limit for name, limit in volume_limits().items() if name not in old}
    if small := [name for name, limit in current.items() if limit < gib]:
        large = [name for name in current if name not in small]
        yield Finding(
            I,
            f"is {size(capacity)}; its volume must be of the type {' or '.join(large)}",
            label,
            f"Volumes of the other types ({', '.join(small)}) are smaller",
            fact="F118",
        )


def volume_limits() -> dict[str, int]:
    """The largest volume of each EBS volume type, in GiB."""
    return {name: most for name, most in facts.limit("ebs", "volume_max_gib").items() if isinstance(most, int)}


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
