"""The state of one simulated virtual machine; what vCenter says about it is worked out from this when asked."""

from __future__ import annotations

import itertools
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pyVmomi import vim

from vmie_tui.services.disks.streams.source import RawFile
from vmie_tui.simulators.spec import DiskSpec, VmSpec
from vmie_tui.simulators.vcenter.content import DiskContent
from vmie_tui.simulators.vcenter.registry import Managed
from vmie_tui.simulators.vcenter.tasks import Task
from vmie_tui.simulators.vcenter.values import data

SPACE = uuid.UUID("6b2f0e7c-6c3d-4d5e-9c2b-0d3a5c1f7e11")  # names of this simulator's own UUIDs
GRAIN = 65536  # the least that change tracking tells apart


@dataclass(slots=True)
class Tracker:
    """Changed blocks of one disk: an epoch (the UUID part of its change ids) and writes with their numbers."""

    epoch: str
    sequence: int = 1
    writes: list[tuple[int, int, int]] = field(default_factory=list)  # (sequence, start, end)

    def change_id(self) -> str:
        return f"{self.epoch}/{self.sequence}"

    def wrote(self, start: int, end: int, capacity: int) -> None:
        self.writes.append((self.sequence, start // GRAIN * GRAIN, min(-(-end // GRAIN) * GRAIN, capacity)))


@dataclass(slots=True)
class VmDisk:
    """One disk of a machine. ``key`` is the device key, ``place`` the bus and unit such as (0, 1).

    ``file_name`` is the file at the bottom of its chain; with snapshots the machine writes to ``delta``.
    """

    spec: DiskSpec
    key: int
    controller_key: int
    place: tuple[int, int]
    label: str
    datastore: Managed
    file_name: str
    folder: Path
    ident: str  # the disk's own UUID
    capacity: int
    _content: DiskContent | None = None
    tracker: Tracker | None = None
    runs: int = 0  # how often its machine was powered on, and so wrote to it
    delta: str = ""  # the file the machine writes to while it has snapshots

    @property
    def content_id(self) -> str:
        """Names the content, as a VMDK's CID does."""
        return uuid.uuid5(SPACE, f"content {self.ident} {self.runs}").hex

    @property
    def content(self) -> DiskContent:
        if self._content is None:
            self._content = DiskContent(self.folder, self.key, self.spec)
        return self._content

    @property
    def open_name(self) -> str:
        """The file the machine writes to."""
        return self.delta or self.file_name

    @property
    def independent(self) -> bool:
        return self.spec.mode.startswith("independent")


@dataclass(slots=True)
class Held:
    """What a snapshot keeps of one disk. ``file_name`` is the file it froze."""

    generation: int
    change_id: str | None
    sequence: int
    file_name: str


class SnapshotNode(Managed):
    """A snapshot: a managed object and its place in the machine's tree."""

    __slots__ = (
        "above",
        "below",
        "changed_at",
        "config",
        "created",
        "description",
        "held",
        "label",
        "machine",
        "number",
        "power",
        "quiesced",
    )

    def __init__(self, moid: str, machine: Machine, above: SnapshotNode | None) -> None:
        super().__init__(vim.vm.Snapshot, moid)
        self.machine, self.above = machine, above
        self.below: list[SnapshotNode] = []
        self.held: dict[int, Held] = {}
        self.label, self.description, self.number = "", "", 0
        self.created: Any = None
        self.power = "poweredOff"
        self.quiesced = False
        self.config: Any = None

    @property
    def name(self) -> str:
        return self.label

    @property
    def subject(self) -> str:
        return f"{self.moid} {self.label} {self.machine.subject}"

    def value(self, name: str) -> Any:
        match name:
            case "config":
                return self.config() if callable(self.config) else self.config
            case "vm":
                return self.machine.ref
            case "childSnapshot":
                return [node.ref for node in self.below]
        return None

    def names(self) -> Iterator[str]:
        yield from ("config", "vm", "childSnapshot")

    def up(self) -> Iterator[Managed]:
        """Permissions on a snapshot are those on its machine."""
        yield self
        yield from self.machine.up()


@dataclass(slots=True)
class Device:
    """One file of a lease; ``disk`` None for a file that is not a disk."""

    key: str
    file: str
    import_key: str
    disk: VmDisk | None
    generation: int  # the held content
    digest: str = "sha1"  # what the manifest is to say: sha1 | sha256
    sent: tuple[int, str, str, int] | None = None  # (bytes, SHA-1, digest, populated bytes) once sent whole

    def open(self) -> RawFile | None:
        """The disk's content, None for a file that is no disk; raises what the content's maker raises."""
        if self.disk is None:
            return None
        with self.disk.content.held(self.generation) as path:
            return RawFile(path)


class Lease(Managed):
    """One HttpNfcLease. ``ticket`` is its part of the data URLs, ``heard`` when it was last told of progress."""

    __slots__ = ("devices", "heard", "machine", "task", "ticket")
    exports = True  # its files are read, not written

    def __init__(self, moid: str, machine: Machine, devices: list[Device], heard: float) -> None:
        super().__init__(vim.HttpNfcLease, moid)
        self.machine, self.devices, self.heard = machine, devices, heard
        self.ticket = str(uuid.uuid4())
        self.task: Task | None = None
        capabilities = data(vim.HttpNfcLease.Capabilities, pullModeSupported=False, corsSupported=False)
        self.props.update(
            initializeProgress=0, transferProgress=0, mode="pushOrGet", capabilities=capabilities, state="initializing"
        )

    @property
    def name(self) -> str:
        return self.machine.name

    @property
    def subject(self) -> str:
        return f"{self.moid} {self.machine.subject}"

    @property
    def state(self) -> str:
        return str(self.props["state"])

    def device(self, file: str) -> Device | None:
        return next((device for device in self.devices if device.file == file), None)

    def check_whole(self) -> None:
        """Raise InvalidState when the lease cannot be completed yet."""

    def released(self, fault: Any) -> None:
        """The lease has ended, in an error when there is a fault: give back what it holds."""
        for device in self.devices:
            if device.disk is not None:
                device.disk.content.release(device.generation)


class Machine(Managed):
    """A virtual machine. Change its attributes under the registry's lock, then `Registry.touch` it."""

    __slots__ = (
        "bios_uuid",
        "cbt",
        "cbt_active",
        "consolidate",
        "current",
        "datastore",
        "describe",
        "disks",
        "extra",
        "hangs",
        "home",
        "host",
        "instance_uuid",
        "label",
        "lease",
        "life",
        "lock_owner",
        "networks",
        "pool",
        "power",
        "power_since",
        "roots",
        "snapshot_count",
        "spec",
        "trackable",
        "writes",
        "wrote_at",
    )

    def __init__(self, moid: str, parent: Managed, spec: VmSpec, describe: dict[str, Any]) -> None:
        super().__init__(vim.VirtualMachine, moid, parent)
        self.spec, self.label, self.describe = spec, spec.name, describe
        self.home = spec.name  # its files' folder on each of its datastores
        path = "/".join((spec.datacenter, *spec.folder, spec.name))
        self.instance_uuid = str(uuid.uuid5(SPACE, f"instance {path}"))
        self.bios_uuid = str(uuid.uuid5(SPACE, f"bios {path}"))
        self.power = {"on": "poweredOn", "suspended": "suspended"}.get(spec.power, "poweredOff")
        self.power_since: Any = None
        self.cbt = self.cbt_active = spec.cbt
        self.life = ""  # of the simulator: no change id of an earlier one is known in this
        self.trackable = True  # False: this host does not track changed blocks
        self.lock_owner = False  # True: only the host that runs it can read its disks' files
        self.hangs = False  # True: the guest does not shut down when told to
        self.writes, self.wrote_at = spec.writes, 0.0
        self.consolidate = spec.consolidation_needed
        self.disks: list[VmDisk] = []
        self.extra: dict[str, str] = {}  # settings that only the host reads
        self.roots: list[SnapshotNode] = []
        self.current: SnapshotNode | None = None
        self.snapshot_count = 0
        self.lease: Lease | None = None
        self.host: Managed | None = None
        self.pool: Managed | None = None
        self.datastore: Managed | None = None
        self.networks: list[Managed] = []

    @property
    def name(self) -> str:
        return self.label

    def value(self, name: str) -> Any:
        made = self.describe.get(name)
        return super().value(name) if made is None else made(self)

    def names(self) -> Iterator[str]:
        yield "parent"
        yield from self.describe

    def disk(self, key: int) -> VmDisk | None:
        return next((disk for disk in self.disks if disk.key == key), None)

    def snapshots(self) -> Iterator[SnapshotNode]:
        """Every snapshot, parents first."""
        waiting = list(self.roots)
        while waiting:
            node = waiting.pop(0)
            yield node
            waiting.extend(node.below)

    def running(self) -> bool:
        """Whether VMware Tools answer in the guest."""
        return self.power == "poweredOn" and self.spec.tools in ("toolsOk", "toolsOld")

    def grow_chain(self, disk: VmDisk) -> None:
        """Let the machine write to a new file on top of those that snapshots froze."""
        frozen = {held.file_name for node in self.snapshots() for held in node.held.values()}
        stem = disk.file_name.removesuffix(".vmdk")
        disk.delta = next(name for n in itertools.count(1) if (name := f"{stem}-{n:06}.vmdk") not in frozen)

    def tracker(self, disk: VmDisk) -> Tracker:
        """The disk's change tracker, begun when first needed."""
        if disk.tracker is None:
            disk.tracker = Tracker(new_epoch(f"{disk.ident} {self.life}"))
        return disk.tracker

    def stun(self) -> None:
        """The moment at which a changed tracking setting takes effect."""
        if self.cbt and not self.cbt_active:
            for disk in self.disks:
                disk.tracker = None if disk.tracker is None else Tracker(new_epoch(disk.tracker.epoch))
        self.cbt_active = self.cbt


def new_epoch(seed: str) -> str:
    """The UUID part of change ids, as VMFS writes it: ``52 3c ec 11 9e 2c 4c 3d-87 4a c3 4e 85 f2 ea 95``."""
    raw = b"\x52" + uuid.uuid5(SPACE, f"epoch {seed}").bytes[1:]
    return raw[:8].hex(" ") + "-" + raw[8:].hex(" ")
