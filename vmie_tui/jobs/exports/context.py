"""An export at work: its plan, the services its Region offers, and what there is to undo."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from vmie_tui.jobs.engine.context import JobContext, Remember, Undo
from vmie_tui.jobs.store.ledger import ExportLedger
from vmie_tui.model.export import ExportPlan

if TYPE_CHECKING:
    from vmie_tui.services.aws.s3.download import Download
    from vmie_tui.services.aws.s3.objects import ObjectStore
    from vmie_tui.services.aws.vmie.export_tasks import Exports


class ExportContext(JobContext):
    """One export job in one phase."""

    plan: ExportPlan
    remember = Remember(ExportLedger)

    @property
    def ledger(self) -> ExportLedger:
        """What is remembered of the job now."""
        return self.record.ledger_as(ExportLedger)

    @property
    def exports(self) -> Exports:
        from vmie_tui.services.aws.vmie.export_tasks import Exports

        return Exports(self.aws, self.plan.region)

    @property
    def objects(self) -> ObjectStore:
        from vmie_tui.services.aws.s3.objects import ObjectStore

        return ObjectStore(self.aws, self.plan.region)

    @property
    def download(self) -> Download:
        from vmie_tui.services.aws.s3.download import NOTES, Download

        return Download(self.aws, self.plan.region, self.settings.state_dir / NOTES)

    @property
    def key(self) -> str:
        """Of the object AWS has written, "" until it is known."""
        return self.ledger.object_key

    @property
    def objects_written(self) -> tuple[tuple[str, int], ...]:
        """(key, bytes) of every object of the export: one for each disk of an image."""
        return self.ledger.objects

    def destination(self, key: str) -> Path:
        """The file an object is downloaded to."""
        return Path(self.plan.download_to).expanduser() / key.rpartition("/")[2]

    def undo(self) -> Iterator[Undo]:
        yield "the export task", self._cancel_task
        if self.plan.deploy is not None:
            yield f"the machine {self.plan.deploy.name}", self._remove_machine
        yield "the exported object", self._remove_objects
        yield "the unfinished download", self._forget_download
        yield from self.let_go()

    def let_go(self) -> Iterator[Undo]:
        return iter(())

    def _cancel_task(self) -> None:
        from vmie_tui.jobs.exports.steps import own_task

        task = own_task(self)
        if task is not None and not task.terminal:
            self.exports.cancel(task.id)  # AWS removes what it has written so far

    def _remove_machine(self) -> None:
        from vmie_tui.jobs.exports.deploy import remove_machine

        remove_machine(self)

    def _remove_objects(self) -> None:
        for key, _ in self.objects_written:
            self.remove_object(key)

    def remove_object(self, key: str) -> None:
        """Delete what an export wrote; says so where the bucket keeps a version of it."""
        if not self.objects.delete(self.plan.bucket, key):
            self.say_version_stays(f"s3://{self.plan.bucket}/{key}")

    def _forget_download(self) -> None:
        from vmie_tui.services.aws.s3.download import NOTES, forget

        if self.plan.download_to:
            for key, _ in self.objects_written:
                forget(self.destination(key), self.settings.state_dir / NOTES)
