"""What the engine and an import's steps ask of a kind of job. Its flow hands in an object that implements it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol

from vmie_tui.model.finding import Finding
from vmie_tui.model.machine import Machine
from vmie_tui.services.vsphere.snapshot import Snapshot

Undo = tuple[str, Callable[[], object]]  # what there is to remove, in words for the log, and how
Steps = list[tuple[str, Callable[[], dict[str, Any]]]]  # recorded steps of a phase, by their names


class Cleanup(Protocol):
    """How a job of any kind cleans up after itself."""

    def undo(self) -> Iterator[Undo]:
        """What a cancelled job removes, in this order; each is tried even when another failed."""

    def give_back(self) -> Iterator[Undo]:
        """What a failed job gives back at once. The upload stays: the job may be resumed."""


class StepHooks(Protocol):
    """What an import's steps leave open, because a replication's run does it in another way."""

    def attempt_begins(self) -> None:
        """The check begins, and with it an attempt."""

    def findings(self, machine: Machine) -> tuple[Finding, ...]:
        """What the rules say of the plan and the machine as it is now."""

    def before_snapshot(self) -> None:
        """The last moment before our vSphere snapshot is made."""

    def needs_snapshot(self, machine: Machine) -> bool:
        """Whether the disks are read from a snapshot of our own."""

    def snapshot_taken(self, snapshot: Snapshot, machine: Machine) -> None:
        """The snapshot exists; ``machine`` was read before it, or when an earlier worker had already made it."""

    def inspects_guest(self) -> bool:
        """Whether the guest's files are inspected before the upload."""

    def before_launch(self) -> None:
        """The AMI is ready, and an instance of it is about to be launched."""


@dataclass(frozen=True, slots=True)
class RunningJob:
    """A job in one phase: a context and hooks of its kind."""

    context: Any
    hooks: Any
