"""The engine of all tasks: they advance through phases on the simulator's clock while a thread does the work.

A task never leaves a phase before its work has ended, however fast the clock runs.
"""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass, field
from typing import ClassVar, Generic, Protocol, TypeVar

from vmie_tui.model.task import USER_CANCELLED
from vmie_tui.simulators.aws.ec2_models import Ec2Models
from vmie_tui.simulators.aws.s3 import S3Service
from vmie_tui.simulators.aws.snapshots import SnapshotStore
from vmie_tui.simulators.control import SimClock

CANCEL_SECONDS, KEPT_SECONDS = 5.0, 7 * 86_400.0


@dataclass(frozen=True, slots=True)
class Phase:
    """``seconds`` of the simulator's clock; Progress goes from ``first`` to ``last``; ``gate``: the work to await."""

    message: str
    seconds: float
    first: int
    last: int
    gate: str = ""


@dataclass(slots=True)
class Walk(ABC):
    """A task. ``entered``: when it came into its phase, or ended; ``gates``: when each piece of its work was done."""

    id: str
    kind: str
    region: str
    created: float
    _: KW_ONLY
    state: str = "active"
    message: str = ""
    index: int = 0
    entered: float = 0.0
    gates: dict[str, float] = field(default_factory=dict)
    stop: threading.Event = field(default_factory=threading.Event)

    @property
    @abstractmethod
    def phases(self) -> Sequence[Phase]:
        """All of them, in their order."""

    @abstractmethod
    def why_failed(self, phase: Phase) -> str:
        """The StatusMessage of a task that fails in this phase, else ""."""

    @property
    def phase(self) -> Phase:
        return self.phases[self.index]

    @property
    def last(self) -> bool:
        """Whether it is in its last phase."""
        return self.index == len(self.phases) - 1

    def tell(self) -> str:
        """The StatusMessage of an active task."""
        return self.phase.message

    def share(self, now: float) -> float:
        """How far it is through its phase, 0 to 1."""
        return min(1.0, max(0.0, (now - self.entered) / self.phase.seconds))

    def progress(self, now: float) -> int:
        return int(self.phase.first + (self.phase.last - self.phase.first) * self.share(now))


class World(Protocol):
    """The parts of an account that tasks use."""

    clock: SimClock
    s3: S3Service
    snapshots: SnapshotStore
    ec2: Ec2Models
    closing: threading.Event


T = TypeVar("T", bound=Walk)
W = TypeVar("W", bound=World)


class Engine(ABC, Generic[T, W]):
    """All tasks of a sort of an account, of every Region."""

    ENDED: ClassVar[frozenset[str]]

    def __init__(self, world: W, at_once: int = 2) -> None:
        """``at_once``: so many tasks read or write their disks at the same time."""
        self._world, self._lock = world, world.ec2.lock
        self._tasks: dict[str, T] = {}
        self._slots = threading.Semaphore(at_once)

    def start(self, task: T) -> None:
        """Adds a task and starts its work."""
        task.entered, task.message = task.created, task.tell()
        with self._lock:
            self._tasks[task.id] = task
        threading.Thread(target=self._work, args=(task,), name=task.id, daemon=True).start()

    def tasks(self, region: str, kind: str = "") -> list[T]:
        """Those AWS still lists, oldest first."""
        self.settle()
        with self._lock:
            return [task for task in self._tasks.values() if task.region == region and kind in {"", task.kind}]

    def running(self, region: str) -> int:
        """How many count against the limit of the Region."""
        with self._lock:
            return sum(task.region == region and task.state not in self.ENDED for task in self._tasks.values())

    def settle(self) -> None:
        """Advances every task to the current time of the clock; ended ones are forgotten after a week."""
        now = self._world.clock.now()
        with self._lock:
            for task in list(self._tasks.values()):
                self._advance(task, now)
                if task.state in self.ENDED and now - task.entered > KEPT_SECONDS:
                    del self._tasks[task.id]

    def _advance(self, task: T, now: float) -> None:
        if task.state in {"deleting", "cancelling"} and now - task.entered >= CANCEL_SECONDS:
            self._cancelled(task, task.entered + CANCEL_SECONDS)
        while task.state == "active":
            phase = task.phase
            if phase.gate and phase.gate not in task.gates:
                return
            ends = max(task.entered + phase.seconds, task.gates.get(phase.gate, 0.0))
            if now < ends:
                return
            why = task.why_failed(phase)
            if why:
                self._fail(task, why, ends)
            elif task.last:
                self._complete(task, ends)
            else:
                task.index, task.entered = task.index + 1, ends
                task.message = task.tell()

    def _cancelled(self, task: T, when: float) -> None:
        """Its cancelling is over."""
        self._fail(task, USER_CANCELLED, when)

    def _stopped(self, task: T) -> bool:
        return task.stop.is_set() or self._world.closing.is_set()

    @abstractmethod
    def _fail(self, task: T, message: str, when: float) -> None:
        """Fails a task with a StatusMessage, and removes what it has created."""

    @abstractmethod
    def _complete(self, task: T, when: float) -> None:
        """Completes a task."""

    @abstractmethod
    def _work(self, task: T) -> None:
        """Read or write its bytes, in a thread of its own, and open the gates."""
