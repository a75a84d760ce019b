"""Export tasks: their phases on the simulator's clock, and the thread that writes their objects.

Until a task is complete its object is an unfinished upload, which goes when the task is cancelled or fails.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from vmie_tui.simulators.aws.disk_checks import CheckFailed, Stopped
from vmie_tui.simulators.aws.export_checks import ExportSource
from vmie_tui.simulators.aws.export_disks import ExportedObject, hybrid_boot
from vmie_tui.simulators.aws.stored_disk import StoredDisk
from vmie_tui.simulators.aws.task_engine import Engine, Phase, Walk, World

LOG = logging.getLogger(__name__)
HYBRID = "ClientError: Unsupported configuration - hybrid boot (GRUB2 is enabled for both BIOS and UEFI)"
INTERNAL = "ServerError: An internal error occurred"

PHASES = (
    Phase("validating", 60, 0, 15, "checked"),
    Phase("updating", 120, 21, 55),
    Phase("converting", 300, 60, 80, "written"),
    Phase("converting", 60, 81, 95),  # the final disk image is being transferred: too late to cancel
)
ENDED = frozenset({"completed", "deleted", "cancelled"})


@dataclass(slots=True)
class ExportTask(Walk):
    """A task. ``kind``: instance | image; ``key`` is that of the first disk; ``doom``: StatusMessage to fail with."""

    source: ExportSource
    bucket: str
    prefix: str
    extension: str
    spec: dict[str, Any]
    token: str = ""
    doom: str = ""
    failure: tuple[str, str] | None = None  # (gate, StatusMessage)
    objects: list[ExportedObject] = field(default_factory=list)

    @property
    def key(self) -> str:
        return self.key_of(1)

    def key_of(self, number: int) -> str:
        """The documented key; the guides do not say what the further disks of an image are called."""
        more = f"-disk{number}" if number > 1 else ""
        return f"{self.prefix}{self.id}{more}.{self.extension}"

    @property
    def phases(self) -> Sequence[Phase]:
        return PHASES

    def tell(self) -> str:
        return self.phase.message if self.kind == "image" else ""

    def why_failed(self, phase: Phase) -> str:
        if self.failure is not None and self.failure[0] == phase.gate:
            return self.failure[1]
        return self.doom if phase.gate == "written" else ""

    @property
    def final(self) -> bool:
        """Complete, or transferring the final disk image: it cannot be cancelled any more."""
        return self.state in ENDED or (self.state == "active" and self.last)


class ExportEngine(Engine[ExportTask, World]):
    """All export tasks of an account, of every Region."""

    ENDED = ENDED

    def busy(self) -> bool:
        """Whether a thread still writes."""
        with self._lock:
            return any("written" not in task.gates for task in self._tasks.values())

    def cancel(self, task: ExportTask) -> None:
        """Begin to cancel."""
        with self._lock:
            task.stop.set()
            task.state = "deleting" if task.kind == "image" else "cancelling"
            task.message, task.entered = "deleting" if task.kind == "image" else "", self._world.clock.now()

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
        """Inspects the boot disk."""
        if task.source.hybrid or hybrid_boot(self._disk(task, 0)):
            raise CheckFailed(HYBRID)

    def _write(self, task: ExportTask) -> None:
        now = self._world.s3.now
        for number in range(len(task.source.disks)):
            if self._stopped(task):
                raise Stopped
            made = ExportedObject(self._world.s3.store, task.bucket, task.key_of(number + 1), now())
            task.objects.append(made)
            made.write(self._disk(task, number), task.extension, task.source.name, task.source.hardware, now())
