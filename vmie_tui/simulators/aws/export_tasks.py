"""Export tasks: what they walk through on the simulator's clock, and the thread that really writes their object.

A task never leaves a phase before the work that belongs to it has ended, however fast the clock runs. Until it is
complete its object is an unfinished upload, which goes when the task is cancelled or fails.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from vmie_tui.model.task import USER_CANCELLED
from vmie_tui.simulators.aws.disk_checks import CheckFailed, Stopped
from vmie_tui.simulators.aws.ec2_models import Ec2Models
from vmie_tui.simulators.aws.export_checks import ExportSource
from vmie_tui.simulators.aws.export_disks import ExportedObject, hybrid_boot
from vmie_tui.simulators.aws.import_tasks import CANCEL_SECONDS, KEPT_SECONDS, Phase
from vmie_tui.simulators.aws.s3 import S3Service
from vmie_tui.simulators.aws.snapshots import SnapshotStore
from vmie_tui.simulators.aws.stored_disk import StoredDisk
from vmie_tui.simulators.control import SimClock

LOG = logging.getLogger(__name__)
HYBRID = "ClientError: Unsupported configuration - hybrid boot (GRUB2 is enabled for both BIOS and UEFI)"
INTERNAL = "ServerError: An internal error occurred"

PHASES = (
    Phase("validating", 60, 0, 15, "checked"),
    Phase("updating", 120, 21, 55),
    Phase("converting", 300, 60, 80, "written"),
    Phase("converting", 60, 81, 95),  # the final disk image is being transferred: too late to cancel
)
FINAL = len(PHASES) - 1
ENDED = frozenset({"completed", "deleted", "cancelled"})


@dataclass(slots=True)
class ExportTask:
    """A task. ``kind``: instance | image; ``key`` is that of the first disk; ``doom``: StatusMessage to fail with."""

    id: str
    kind: str
    region: str
    source: ExportSource
    bucket: str
    prefix: str
    extension: str
    spec: dict[str, Any]
    created: float
    token: str = ""
    doom: str = ""
    state: str = "active"
    message: str = ""
    index: int = 0
    entered: float = 0.0
    gates: dict[str, float] = field(default_factory=dict)
    failure: tuple[str, str] | None = None  # (gate, StatusMessage)
    stop: threading.Event = field(default_factory=threading.Event)
    objects: list[ExportedObject] = field(default_factory=list)

    @property
    def key(self) -> str:
        return self.key_of(1)

    def key_of(self, number: int) -> str:
        """The documented key; the guides do not say what the further disks of an image are called."""
        more = f"-disk{number}" if number > 1 else ""
        return f"{self.prefix}{self.id}{more}.{self.extension}"

    @property
    def phase(self) -> Phase:
        return PHASES[self.index]

    @property
    def final(self) -> bool:
        """Complete, or transferring the final disk image: it cannot be cancelled any more."""
        return self.state in ENDED or (self.state == "active" and self.index == FINAL)

    def progress(self, now: float) -> int:
        part = min(1.0, max(0.0, (now - self.entered) / self.phase.seconds))
        return int(self.phase.first + (self.phase.last - self.phase.first) * part)


class World(Protocol):
    """The parts of an account that tasks work on."""

    clock: SimClock
    s3: S3Service
    snapshots: SnapshotStore
    ec2: Ec2Models
    closing: threading.Event


class ExportEngine:
    """All export tasks of an account, of every Region."""

    def __init__(self, world: World, exports: int = 2) -> None:
        self._world = world
        self._lock = world.ec2.lock
        self._tasks: dict[str, ExportTask] = {}
        self._slots = threading.Semaphore(exports)

    def start(self, task: ExportTask) -> None:
        """Take a task on and begin writing its object."""
        task.entered = task.created
        task.message = task.phase.message if task.kind == "image" else ""
        with self._lock:
            self._tasks[task.id] = task
        threading.Thread(target=self._work, args=(task,), name=task.id, daemon=True).start()

    def tasks(self, kind: str, region: str) -> Sequence[ExportTask]:
        """Those AWS still lists, oldest first."""
        self.settle()
        with self._lock:
            return [task for task in self._tasks.values() if task.kind == kind and task.region == region]

    def running(self, region: str) -> int:
        """How many count against the limit of the Region."""
        with self._lock:
            return sum(task.region == region and task.state not in ENDED for task in self._tasks.values())

    def busy(self) -> bool:
        """Whether a thread still writes."""
        with self._lock:
            return any("written" not in task.gates for task in self._tasks.values())

    def settle(self) -> None:
        """Bring every task to where it is at this moment of the clock; ended ones are forgotten after a week."""
        now = self._world.clock.now()
        with self._lock:
            for task in list(self._tasks.values()):
                self._advance(task, now)
                if task.state in ENDED and now - task.entered > KEPT_SECONDS:
                    del self._tasks[task.id]

    def cancel(self, task: ExportTask) -> None:
        """Begin to cancel."""
        with self._lock:
            task.stop.set()
            task.state = "deleting" if task.kind == "image" else "cancelling"
            task.message, task.entered = "deleting" if task.kind == "image" else "", self._world.clock.now()

    def _advance(self, task: ExportTask, now: float) -> None:
        if task.state in {"deleting", "cancelling"} and now - task.entered >= CANCEL_SECONDS:
            self._fail(task, USER_CANCELLED, task.entered + CANCEL_SECONDS)
        while task.state == "active":
            phase = task.phase
            if phase.gate and phase.gate not in task.gates:
                return
            ends = max(task.entered + phase.seconds, task.gates.get(phase.gate, 0.0))
            if now < ends:
                return
            if task.failure is not None and task.failure[0] == phase.gate:
                self._fail(task, task.failure[1], ends)
            elif task.doom and phase.gate == "written":
                self._fail(task, task.doom, ends)
            elif task.index == FINAL:
                self._complete(task, ends)
            else:
                task.index, task.entered = task.index + 1, ends
                task.message = task.phase.message if task.kind == "image" else ""

    def _fail(self, task: ExportTask, message: str, when: float) -> None:
        task.state = "deleted" if task.kind == "image" else "cancelled"
        task.message, task.entered = message, when
        task.stop.set()
        for each in task.objects:
            each.discard()

    def _complete(self, task: ExportTask, when: float) -> None:
        try:
            for each in task.objects:
                each.complete(self._world.s3.now())
        except OSError:  # somebody has aborted its upload
            self._fail(task, INTERNAL, when)
            return
        task.state, task.message, task.entered = "completed", "", when

    # the bytes

    def _work(self, task: ExportTask) -> None:
        gate = "checked"
        try:
            with self._slots:
                self._check(task)
                task.gates[gate] = self._world.clock.now()
                gate = "written"
                self._write(task)
        except CheckFailed as error:
            task.failure = (gate, str(error))
        except Stopped:
            pass
        except Exception:
            if not task.stop.is_set():  # it was ended and its upload removed while that was being written
                LOG.exception("the simulated export %s failed", task.id)
            task.failure = (gate, INTERNAL)
        if task.stop.is_set():
            for each in task.objects:
                each.discard()
        task.gates.setdefault("checked", self._world.clock.now())
        task.gates["written"] = self._world.clock.now()

    def _disk(self, task: ExportTask, number: int) -> StoredDisk:
        source = task.source.disks[number]
        return StoredDisk(self._world.snapshots, source.snapshot, source.size_gib, task.stop)

    def _check(self, task: ExportTask) -> None:
        """Look into the disk that starts the machine."""
        if task.source.hybrid or hybrid_boot(self._disk(task, 0)):
            raise CheckFailed(HYBRID)

    def _write(self, task: ExportTask) -> None:
        now = self._world.s3.now
        for number in range(len(task.source.disks)):
            if task.stop.is_set() or self._world.closing.is_set():
                raise Stopped
            made = ExportedObject(self._world.s3.store, task.bucket, task.key_of(number + 1), now())
            task.objects.append(made)
            made.write(self._disk(task, number), task.extension, task.source.name, task.source.hardware, now())
