"""What an import does at the points where kinds of jobs differ; a replication's run overrides it."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from vmie_tui.jobs.engine.import_context import ImportContext
from vmie_tui.jobs.engine.ports import Steps, Undo
from vmie_tui.jobs.imports import finish, undo
from vmie_tui.jobs.transfer.source import TransferSource
from vmie_tui.jobs.transfer.source_image import ImageSource
from vmie_tui.jobs.transfer.source_lease import LeaseSource
from vmie_tui.jobs.transfer.target import Target
from vmie_tui.jobs.transfer.target_s3 import target_of
from vmie_tui.model.finding import Finding
from vmie_tui.model.machine import Machine, Power
from vmie_tui.model.plan import VmSource
from vmie_tui.model.rules.plan import check_plan
from vmie_tui.services.vsphere.snapshot import Snapshot


class ImportHooks:
    """`ports.StepHooks` and `ports.Cleanup` of one job in one phase, and what the flow itself asks."""

    def __init__(self, context: ImportContext) -> None:
        self.context = context

    # what the steps ask

    def attempt_begins(self) -> None:
        """An import notes nothing."""

    def findings(self, machine: Machine) -> tuple[Finding, ...]:
        return check_plan(self.context.plan, machine)

    def before_snapshot(self) -> None:
        """An import takes the machine as it is."""

    def needs_snapshot(self, machine: Machine) -> bool:
        """A machine that is off does not change."""
        return machine.power is not Power.OFF

    def snapshot_taken(self, snapshot: Snapshot, machine: Machine) -> None:
        """An import needs no more than its id."""

    def inspects_guest(self) -> bool:
        return True

    def before_launch(self) -> None:
        """A test instance may run beside the machine."""

    # what the flow asks

    def source(self, snapshot_moid: str | None) -> TransferSource:
        """What the disks are read from in this transfer phase."""
        if isinstance(self.context.plan.source, VmSource):
            return LeaseSource(self.context, self.context.ledger.moid, snapshot_moid)
        return ImageSource(self.context)

    def target(self) -> Target:
        """Where the disks go."""
        return target_of(self.context)

    def before_release(self) -> Steps:
        """Steps to take while all disks are in AWS and our snapshot still exists."""
        return []

    def closing(self) -> Steps:
        """The last steps of all."""
        return [("clean up", partial(finish.clean_up, self.context))]

    # what the engine asks

    def undo(self) -> Iterator[Undo]:
        yield from undo.undo(self.context)
        yield from self.give_back()

    def give_back(self) -> Iterator[Undo]:
        return undo.give_back(self.context)
