"""An export at work: its plan, the services its Region offers, and what is remembered of it."""

from __future__ import annotations

from pathlib import Path

from vmie_tui.jobs.engine.context import JobContext, Remember
from vmie_tui.jobs.store.ledger import ExportLedger
from vmie_tui.model.export import ExportPlan
from vmie_tui.services.aws.s3.download import NOTES, Download
from vmie_tui.services.aws.s3.objects import ObjectStore
from vmie_tui.services.aws.vmie.export_tasks import ExportTasks


class ExportContext(JobContext):
    """One export job in one phase."""

    plan: ExportPlan
    remember = Remember(ExportLedger)

    @property
    def ledger(self) -> ExportLedger:
        """What is remembered of the job now."""
        return self.record.ledger_as(ExportLedger)

    @property
    def exports(self) -> ExportTasks:
        return ExportTasks(self.aws, self.plan.region)

    @property
    def objects(self) -> ObjectStore:
        return ObjectStore(self.aws, self.plan.region)

    @property
    def download(self) -> Download:
        return Download(self.aws, self.plan.region, self.settings.state_dir / NOTES)

    @property
    def key(self) -> str:
        """Of the object AWS has written, "" until it is known."""
        return self.ledger.objects[0][0] if self.ledger.objects else ""

    @property
    def objects_written(self) -> tuple[tuple[str, int], ...]:
        """(key, bytes) of every object of the export: one for each disk of an image."""
        return self.ledger.objects

    def destination(self, key: str) -> Path:
        """The file an object is downloaded to."""
        return Path(self.plan.download_to).expanduser() / key.rpartition("/")[2]

    def remove_object(self, key: str) -> None:
        """Delete what an export wrote; says so where the bucket keeps a version of it."""
        if not self.objects.delete(self.plan.bucket, key):
            self.say_version_stays(f"s3://{self.plan.bucket}/{key}")
