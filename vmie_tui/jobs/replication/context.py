"""One run of a replication: an import of the machine as it is now, on top of the last run's copy in AWS."""

from __future__ import annotations

from collections.abc import Iterable

from vmie_tui.clock import Clock, clock_of
from vmie_tui.jobs.engine.context import Remember, Runtime
from vmie_tui.jobs.engine.control import JobControl
from vmie_tui.jobs.engine.import_context import ImportContext
from vmie_tui.jobs.replication.areas_to_copy import Delta
from vmie_tui.jobs.store.block_digests import BlockDigests
from vmie_tui.jobs.store.ledger import RunLedger
from vmie_tui.jobs.store.replications import Replications, runs_of
from vmie_tui.model.replication import TAG_REPLICATION, TAG_RUN, KeptDisk, Replication, ReplicationPlan
from vmie_tui.model.rules.disks import one_time_stores


class ReplicationContext(ImportContext):
    """One run in one phase."""

    plan: ReplicationPlan
    remember = Remember(RunLedger)

    def __init__(self, runtime: Runtime, job_id: str, control: JobControl) -> None:
        super().__init__(runtime, job_id, control)
        self.replications = Replications(self.store)
        self.deltas: dict[int, Delta] = {}  # what is moved of each disk, by its key, once that is decided

    @property
    def ledger(self) -> RunLedger:
        return self.record.ledger_as(RunLedger)

    @property
    def clock(self) -> Clock:
        """The clock that the replication's schedule follows."""
        return clock_of(self.settings.state_dir, self.profile)

    @property
    def spec(self) -> Replication:
        return self.replications.record(self.plan.replication).spec

    @property
    def kept(self) -> dict[int, KeptDisk]:
        """What the last run left of each disk, by its key."""
        return {disk.key: disk for disk in self.replications.kept(self.plan.replication)}

    @property
    def reads_by_lease(self) -> bool:
        """Whether an export lease reads all disks, because their datastore shows no files (F424)."""
        return bool(self.lease_reason)

    @property
    def lease_reason(self) -> str:
        """Why an export lease reads the disks, in words; "" when their files are read."""
        if one_time_stores(self.machine):
            return "its datastore shows no files: all is read by an export lease"
        return self.ledger.lease_reason

    def content(self, key: int) -> BlockDigests:
        """The block digests of the last run's copy of a disk."""
        return BlockDigests(self.store, self.plan.replication, key)

    def jobs_of_runs(self) -> dict[str, str]:
        """Run id -> job id of this replication's runs, newest first."""
        with self.store.begin() as connection:
            return {run.id: run.job_id for run in runs_of(connection, self.plan.replication) if run.job_id}

    def earlier_jobs(self) -> list[str]:
        """Ids of the jobs of this replication's other runs, newest first."""
        return [job_id for job_id in self.jobs_of_runs().values() if job_id != self.job_id]

    def add_leftovers(self, snapshots: Iterable[str]) -> None:
        """No run goes on from these EBS snapshots any more: the retention deletes those that no AMI uses."""
        before = self.ledger.leftovers or ()
        self.remember(leftovers=tuple(dict.fromkeys([*before, *sorted(snapshots)])))

    # what an import's steps read

    @property
    def own_tags(self) -> dict[str, str]:
        return {TAG_REPLICATION: self.plan.replication, TAG_RUN: self.plan.run}

    @property
    def launches(self) -> str:
        return "instance of the cutover" if self.plan.shut_down else super().launches

    @property
    def kept_snapshots(self) -> frozenset[str]:
        """What the next run goes on from."""
        return frozenset(disk.snapshot_id for disk in self.kept.values())
