"""What is asked of vCenter and AWS before an import starts: its source, the guest on its disks, the account."""

from __future__ import annotations

from collections.abc import Callable

from vmie_tui.model.finding import Finding
from vmie_tui.model.machine import Machine
from vmie_tui.model.plan import ImportPlan
from vmie_tui.model.preflight import Preflight
from vmie_tui.model.rules.account import Account
from vmie_tui.model.rules.machine import check_machine
from vmie_tui.operations.connections import Connections
from vmie_tui.operations.import_check import Judged, weigh
from vmie_tui.operations.sources import describe_line
from vmie_tui.services.aws.account import look_at_account
from vmie_tui.services.image_sources import Described
from vmie_tui.services.preflight import preflight_machine


class Imports:
    """Every method may block: call it in a thread. Raises ServiceError."""

    def __init__(self, connections: Connections) -> None:
        self._connections = connections

    def check_machine(self, machine: Machine) -> tuple[Finding, ...]:
        return check_machine(machine)

    def weigh(self, plan: ImportPlan, machine: Machine, preflight: Preflight | None = None) -> Judged:
        """A plan judged by the rules and by what the disks have shown (``preflight``)."""
        return weigh(plan, machine, preflight=preflight)

    def look_at_account(self, plan: ImportPlan) -> Account:
        """The account a plan's import goes to, as far as this profile may look."""
        return look_at_account(self._connections.aws(), plan)

    def preflight(self, machine: Machine, *, snapshot: bool, on_step: Callable[[str], None]) -> Preflight:
        """The machine and its disks; a running one's only through a snapshot, when ``snapshot`` allows it."""
        read_only = self._connections.profile.read_only
        with self._connections.vsphere() as vsphere:
            return preflight_machine(vsphere, machine, snapshot=snapshot, read_only=read_only, on_step=on_step)

    def describe(self, text: str, *, raw: bool, on_step: Callable[[str], None]) -> Described:
        """A file, objects in S3 or EBS snapshots, and what is on their disks."""
        return describe_line(text, self._connections.aws, raw=raw, on_step=on_step)
