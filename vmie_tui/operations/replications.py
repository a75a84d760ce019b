"""What the replication screens do: one protocol, and its real implementation over the store's client and services.

Every method blocks: call it in a thread worker. Raises ServiceError.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Protocol

from vmie_tui.model.errors import ErrorKind, ServiceError

if TYPE_CHECKING:
    from vmie_tui.model.finding import Finding
    from vmie_tui.model.machine import Machine
    from vmie_tui.model.plan import TestLaunch
    from vmie_tui.model.replication import Catalogue, Replication, ReplicationView, Sync, Verify
    from vmie_tui.operations.connections import Connections
    from vmie_tui.operations.replication_jobs import ReplicationClient
    from vmie_tui.operations.vcenter import VCenter


class Replicas(Protocol):
    """``ident``: of a replication. Times are seconds since the epoch by the profile's clock, simulated in the demo."""

    def now(self) -> float: ...
    def views(self) -> list[ReplicationView]: ...
    def catalogue(self) -> Catalogue: ...
    def import_catalogue(self) -> Catalogue: ...
    def clear_catalogue(self) -> Catalogue: ...
    def findings(self, spec: Replication, machine: Machine, ident: str = "") -> tuple[Finding, ...]: ...
    def create(self, spec: Replication, machine: Machine) -> str: ...
    def edit(self, ident: str, spec: Replication, next_run: float | None) -> None: ...
    def pause(self, ident: str) -> None: ...
    def resume(self, ident: str) -> None: ...
    def delete(self, ident: str) -> None: ...
    def extend(self, ident: str, days: int) -> None: ...
    def run_now(self, ident: str, *, resync: Sync | None, verify: Verify | None, cutover: TestLaunch | None) -> str: ...
    def start_group(self, group: str, cutover: TestLaunch | None) -> list[str]: ...
    def roll_back(self, ident: str) -> tuple[str, ...]: ...
    def advance(self, seconds: float) -> float: ...
    def ensure_worker(self) -> None: ...


class LiveReplicas:
    """Replications of one profile."""

    def __init__(self, connections: Connections, vcenter: VCenter) -> None:
        self._settings, self._profile = connections.settings, connections.profile
        self._session, self._vsphere, self._inventory = connections.aws, connections.vsphere, vcenter.inventory
        self._lock = threading.Lock()
        self._opened: ReplicationClient | None = None
        self._account = ""

    def close(self) -> None:
        with self._lock:
            opened, self._opened = self._opened, None
        if opened is not None:
            opened.close()

    def _client(self) -> ReplicationClient:
        with self._lock:
            if self._opened is None:
                from vmie_tui.operations.replication_jobs import ReplicationClient

                self._opened = ReplicationClient(self._settings)
            return self._opened

    def now(self) -> float:
        return self._client().now(self._profile.name)

    def views(self) -> list[ReplicationView]:
        return self._client().views(self._profile.name)

    def catalogue(self) -> Catalogue:
        return self._client().catalogue(self._profile.name)

    def import_catalogue(self) -> Catalogue:
        """Read the machines from vCenter, and make servers of them; meanwhile the catalogue says so."""
        client, profile = self._client(), self._profile.name
        with client.importing(profile):
            return client.import_catalogue(profile, self._inventory())

    def clear_catalogue(self) -> Catalogue:
        return self._client().clear_catalogue(self._profile.name)

    def findings(self, spec: Replication, machine: Machine, ident: str = "") -> tuple[Finding, ...]:
        """What there is to be said, worst first; ``ident``: the replication that is edited."""
        return self._client().findings(spec, machine, account=self._account, ident=ident)

    def create(self, spec: Replication, machine: Machine) -> str:
        """Record it for the account AWS takes us for, whose replications at once are limited; its id."""
        if not self._account:
            self._account = self._session().identity().account
        return self._client().create(spec, machine, account=self._account)

    def edit(self, ident: str, spec: Replication, next_run: float | None) -> None:
        self._client().edit(ident, spec, next_run=next_run)

    def pause(self, ident: str) -> None:
        self._client().pause(ident)

    def resume(self, ident: str) -> None:
        self._client().resume(ident)

    def delete(self, ident: str) -> None:
        self._client().delete(ident)

    def extend(self, ident: str, days: int) -> None:
        self._client().extend(ident, days)

    def run_now(self, ident: str, *, resync: Sync | None, verify: Verify | None, cutover: TestLaunch | None) -> str:
        return self._client().run_now(ident, resync=resync, verify=verify, cutover=cutover)

    def start_group(self, group: str, cutover: TestLaunch | None) -> list[str]:
        """One run of each of the group's, those of the lowest order first; their ids."""
        return self._client().start_group(self._profile.name, group, cutover=cutover)

    def roll_back(self, ident: str) -> tuple[str, ...]:
        """After a cutover: stop the instance it launched, power the machine on; in words what was done."""
        view = self._client().view(ident)
        from vmie_tui.operations.roll_back import last_cutover, roll_back
        from vmie_tui.services.vsphere.inventory import find_machine

        run = last_cutover(view)
        plan = view.spec.plan
        with self._vsphere() as vsphere:
            moid = find_machine(vsphere, plan.vm).moid  # it may have been registered anew
            return roll_back(vsphere, self._session(), plan.region, moid=moid, instance_id=run.instance_id)

    def advance(self, seconds: float) -> float:
        """Set the simulated clock forward; what it says then. INVALID for a profile that follows the wall clock."""
        from vmie_tui.clock import clock_of

        try:
            return clock_of(self._settings.state_dir, self._profile).advance(seconds)
        except ValueError as error:
            raise ServiceError(ErrorKind.INVALID, str(error), subject=f"profile {self._profile.name}") from error

    def ensure_worker(self) -> None:
        """See that a worker runs when there is a schedule to keep, or a job that nobody moves."""
        if not self._client().ensure_worker_for_schedules():
            self._client().ensure_worker_for_jobs()
