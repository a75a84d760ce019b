"""Replications of the profile in use: what of them asks vCenter and AWS, besides the store."""

from __future__ import annotations

from collections.abc import Callable

from vmie_tui.clock import clock_of
from vmie_tui.model.errors import ErrorKind, ServiceError
from vmie_tui.model.finding import Finding
from vmie_tui.model.machine import Machine
from vmie_tui.model.plan import TestLaunch
from vmie_tui.model.replication import Catalogue, Replication, ReplicationView, Sync, Verify
from vmie_tui.operations.connections import Connections
from vmie_tui.operations.replication_jobs import ReplicationJobs
from vmie_tui.operations.roll_back import last_cutover, roll_back
from vmie_tui.operations.vcenter import VCenter
from vmie_tui.services.read_only import Policy
from vmie_tui.services.vsphere.inventory import find_machine


class Replications:
    """``ident``: of a replication. Times are seconds since the epoch by the profile's clock, simulated in the demo.

    Every method blocks: call it in a thread. Raises ServiceError.
    """

    def __init__(self, connections: Connections, vcenter: VCenter) -> None:
        self._settings, self._profile = connections.settings, connections.profile
        self._session, self._vsphere, self._inventory = connections.aws, connections.vsphere, vcenter.inventory
        self.jobs = ReplicationJobs(self._settings)  # of every profile
        self._account = ""

    def close(self) -> None:
        self.jobs.close()

    def now(self) -> float:
        return self.jobs.now(self._profile.name)

    def views(self) -> list[ReplicationView]:
        return self.jobs.views(self._profile.name)

    # -- the catalogue

    def catalogue(self) -> Catalogue:
        return self.jobs.catalogue(self._profile.name)

    def import_catalogue(self) -> Catalogue:
        """Read the machines from vCenter, and make servers of them; meanwhile the catalogue says so."""
        profile = self._profile.name
        with self.jobs.importing(profile):
            return self.jobs.import_catalogue(profile, self._inventory())

    def clear_catalogue(self) -> Catalogue:
        return self.jobs.clear_catalogue(self._profile.name)

    # -- one of them

    def findings(self, spec: Replication, machine: Machine, ident: str = "") -> tuple[Finding, ...]:
        """What there is to be said, worst first; ``ident``: the replication that is edited."""
        return self.jobs.findings(spec, machine, account=self._account, ident=ident)

    def create(self, spec: Replication, machine: Machine) -> str:
        """Record it for the account AWS takes us for, whose replications at once are limited; its id."""
        if not self._account:
            self._account = self._session().identity().account
        return self.jobs.create(spec, machine, account=self._account)

    def edit(self, ident: str, spec: Replication, next_run: float | None) -> None:
        self.jobs.edit(ident, spec, next_run=next_run)

    def pause(self, ident: str) -> None:
        self.jobs.pause(ident)

    def resume(self, ident: str) -> None:
        self.jobs.resume(ident)

    def delete(self, ident: str) -> None:
        self.jobs.delete(ident)

    def extend(self, ident: str, days: int) -> None:
        self.jobs.extend(ident, days)

    # -- runs

    def run_now(self, ident: str, *, resync: Sync | None, verify: Verify | None, cutover: TestLaunch | None) -> str:
        return self.jobs.run_now(ident, resync=resync, verify=verify, cutover=cutover)

    def start_group(self, group: str, cutover: TestLaunch | None) -> list[str]:
        """One run of each of the group's, those of the lowest order first; their ids."""
        return self.jobs.start_group(self._profile.name, group, cutover=cutover)

    def check_roll_back(self, view: ReplicationView) -> None:
        """Raise ServiceError REFUSED for a read-only profile, CONFLICT where there is no cutover to go back from."""
        Policy(self._profile.read_only).check_work("rolled back", view.id)
        last_cutover(view)

    def roll_back(self, ident: str, on_step: Callable[[str], None] = lambda words: None) -> tuple[str, ...]:
        """After a cutover: stop the instance it launched, power the machine on; in words what was done."""
        view = self.jobs.view(ident)
        self.check_roll_back(view)
        run, plan = last_cutover(view), view.spec.plan
        with self._vsphere() as vsphere:
            moid = find_machine(vsphere, plan.vm).moid  # it may have been registered anew
            return roll_back(
                vsphere, self._session(), plan.region, moid=moid, instance_id=run.instance_id, on_step=on_step
            )

    # -- the clock, the worker

    def advance(self, seconds: float) -> float:
        """Set the simulated clock forward; what it says then. REFUSED for a profile that follows the wall clock."""
        clock = clock_of(self._settings.state_dir, self._profile)
        if not clock.simulated:
            raise ServiceError(
                ErrorKind.REFUSED,
                "its schedules follow the wall clock, which is not ours to set",
                subject=f"profile {self._profile.name}",
                remedy="The clock of the simulators can be set: --profile demo",
            )
        now = clock.advance(seconds)
        self.jobs.ensure_worker_for_schedules()
        return now

    def ensure_worker(self) -> None:
        """See that a worker runs when there is a schedule to keep, or a job that nobody moves."""
        if not self.jobs.ensure_worker_for_schedules():
            self.jobs.ensure_worker_for_jobs()
