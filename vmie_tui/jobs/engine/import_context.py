"""An import at work: its plan, the services its Region offers, and what is remembered of it."""

from __future__ import annotations

from vmie_tui.jobs.engine.context import JobContext, Remember
from vmie_tui.jobs.store.block_journal import BlockJournal
from vmie_tui.jobs.store.ledger import ImportLedger
from vmie_tui.model.machine import Machine
from vmie_tui.model.plan import ImportPlan
from vmie_tui.services.aws.s3.objects import ObjectStore
from vmie_tui.services.aws.vmie.import_tasks import ImportTasks


class ImportContext(JobContext):
    """One import job in one phase."""

    plan: ImportPlan
    remember = Remember(ImportLedger)

    @property
    def ledger(self) -> ImportLedger:
        """What is remembered of the job now."""
        return self.record.ledger_as(ImportLedger)

    @property
    def machine(self) -> Machine:
        """The machine as it was when the job checked it."""
        return self.ledger.machine

    @property
    def objects(self) -> ObjectStore:
        return ObjectStore(self.aws, self.plan.region)

    @property
    def vm_import(self) -> ImportTasks:
        return ImportTasks(self.aws, self.plan.region)

    def block_journal(self, key: int) -> BlockJournal:
        """The blocks of a disk that EBS has confirmed to this job."""
        return BlockJournal(self.store, self.job_id, key)

    @property
    def own_tags(self) -> dict[str, str]:
        """Tags on everything the job makes, besides those of every import."""
        return {}

    @property
    def launches(self) -> str:
        """What the instance of the finished AMI is for."""
        return "test instance"

    @property
    def kept_snapshots(self) -> frozenset[str]:
        """EBS snapshots that stay whatever becomes of the job."""
        return frozenset()
